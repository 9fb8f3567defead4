"""
The security handbook's names for recording; see `crypto_pipeline.audit`.

Each event goes to the audit log that the settings name, and then to the logger `audit`, as one line
of JSON. If it cannot be written, `AuditError` says so, and what was to be recorded must not be done.
"""

from __future__ import annotations

from crypto_pipeline.audit import AuditEvent, JsonLinesAuditLog, api_call, secret_access
from crypto_pipeline.settings import Settings


def log_secret_access(secret_name: str, accessor: str, action: str = "read") -> None:
    """
    Record that somebody reads a secret; call it before the secret is used.

    Raises:
        AuditError: it could not be recorded.
        ConfigurationError: the settings do not say where to.
    """
    _record(secret_access(secret_name, accessor, action))


def log_api_call(exchange: str, endpoint: str, success: bool, error: str | None = None) -> None:
    """
    Record a call of an exchange; a query in `endpoint` or `error` is left out.

    Raises:
        AuditError: it could not be recorded.
        ConfigurationError: the settings do not say where to.
    """
    _record(api_call(exchange, endpoint, success, error))


def _record(event: AuditEvent) -> None:
    # Read anew each time, like the handbook's: a caller may have changed its environment.
    JsonLinesAuditLog(Settings.from_environment().audit_log).record(event)
