"""
What is recorded: every secret read, every API call, every verdict on a key, every change.

`event` builds the records, `log` keeps them, `configuration` notes what changed in the settings, and
`file` opens what all this is kept in.
"""

from crypto_pipeline.audit.event import (
    AuditEvent,
    api_call,
    configuration_change,
    failed_auth,
    key_verdict,
    rate_limit_hit,
    secret_access,
    secret_used,
    secret_write_intended,
)
from crypto_pipeline.audit.log import AUDIT_LOGGER, AuditLog, JsonLinesAuditLog

__all__ = [
    "AUDIT_LOGGER",
    "AuditEvent",
    "AuditLog",
    "JsonLinesAuditLog",
    "api_call",
    "configuration_change",
    "failed_auth",
    "key_verdict",
    "rate_limit_hit",
    "secret_access",
    "secret_used",
    "secret_write_intended",
]
