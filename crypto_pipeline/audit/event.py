"""
What one line of the audit log says.

Events are built by the functions here and nowhere else, so that the security handbook's keys
(`event`, `timestamp`, `secret_name`, …) stay the same everywhere. An event never holds a
secret, a signature or a query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

SCHEMA_VERSION: Final = 1

FieldValue = str | int | float | bool | None
Fields = Mapping[str, FieldValue]

WARNING_EVENTS: Final = frozenset({"failed_auth", "rate_limit_hit", "key_refused", "egress_denied"})
"""Events that the security handbook lists at level WARNING; all others are INFO."""

_QUERY = re.compile(r"(?<=[\w/])\?[^\s'\"]+")


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """
    One thing that happened, before it is stamped with time and context.

    Fields:
        event: the kind, such as `secret_access`.
        fields: what belongs to this kind.
        durable: whether the record must be on disk before the thing itself is done.
    """

    event: str
    fields: Fields = field(default_factory=dict)
    durable: bool = False

    @property
    def is_warning(self) -> bool:
        """Whether a person should notice."""
        return self.event in WARNING_EVENTS


def secret_access(
    secret_name: str,
    accessor: str,
    action: str = "read",
    *,
    success: bool = True,
    version: str | None = None,
    store: str | None = None,
    rung: str | None = None,
    error: str | None = None,
) -> AuditEvent:
    """Somebody read a secret, or was refused; durable, because no record means no secret."""
    fields: dict[str, FieldValue] = {
        "secret_name": secret_name,
        "accessor": accessor,
        "action": action,
        "success": success,
        "credential_version": version,
        "store": store,
        "rung": rung,
        "error": error,
    }
    return AuditEvent("secret_access", fields, durable=True)


def secret_used(
    secret_name: str, accessor: str, *, version: str, store: str, handed_out: int, signed_requests: int
) -> AuditEvent:
    """A run is through with a secret: how often it was handed out, and how many requests were signed with it."""
    fields: dict[str, FieldValue] = {
        "secret_name": secret_name,
        "accessor": accessor,
        "action": "use",
        "success": True,
        "credential_version": version,
        "store": store,
        "handed_out": handed_out,
        "signed_requests": signed_requests,
    }
    return AuditEvent("secret_access", fields)


def secret_write_intended(
    secret_name: str, accessor: str, *, store: str, replaces: str | None, version: str
) -> AuditEvent:
    """
    Somebody is about to store a version of a secret; that it was done is a `secret_access` with the action `write`.

    Where the second is missing, the process died in between, and the store knows whether this version is there.
    """
    fields: dict[str, FieldValue] = {
        "secret_name": secret_name,
        "accessor": accessor,
        "action": "write",
        "store": store,
        "replaces_version": replaces,
        "credential_version": version,
    }
    return AuditEvent("secret_write_intended", fields, durable=True)


def api_call(
    exchange: str,
    endpoint: str,
    success: bool,
    error: str | None = None,
    *,
    status: int | None = None,
    signed: bool = False,
    credential_version: str | None = None,
) -> AuditEvent:
    """One request went to an exchange; `signed` tells whether a key was used for it."""
    fields: dict[str, FieldValue] = {
        "exchange": exchange,
        "endpoint": _without_queries(endpoint),
        "success": success,
        "error": _without_queries(error),
        "status": status,
        "signed": signed,
        "credential_version": credential_version,
    }
    return AuditEvent("api_call", fields)


def failed_auth(exchange: str, error_type: str, endpoint: str, *, credential_version: str | None = None) -> AuditEvent:
    """An exchange or a store did not accept a credential."""
    fields: dict[str, FieldValue] = {
        "exchange": exchange,
        "error_type": error_type,
        "endpoint": _without_queries(endpoint),
        "credential_version": credential_version,
    }
    return AuditEvent("failed_auth", fields)


def rate_limit_hit(exchange: str, endpoint: str, status: int | None, retry_after_seconds: float | None) -> AuditEvent:
    """An exchange told us to slow down, or banned us."""
    fields: dict[str, FieldValue] = {
        "exchange": exchange,
        "endpoint": _without_queries(endpoint),
        "status": status,
        "retry_after_seconds": retry_after_seconds,
    }
    return AuditEvent("rate_limit_hit", fields)


def key_verdict(
    exchange: str, *, accepted: bool, may: str, reason: str | None, credential_version: str | None
) -> AuditEvent:
    """A key was asked about and accepted or refused."""
    fields: dict[str, FieldValue] = {
        "exchange": exchange,
        "may": may,
        "reason": reason,
        "credential_version": credential_version,
    }
    return AuditEvent("key_accepted" if accepted else "key_refused", fields, durable=True)


def configuration_change(what: str, old: str | None, new: str, who: str) -> AuditEvent:
    """A part of the configuration is not what it was when this log last saw it."""
    return AuditEvent("configuration_change", {"what": what, "old": old, "new": new, "who": who}, durable=True)


def _without_queries(text: str | None) -> str | None:
    """Return `text` without the query of any address in it: queries hold signatures."""
    return text if text is None else _QUERY.sub("", text)


def stamped(event: AuditEvent, *, at: datetime, context: Fields) -> dict[str, FieldValue]:
    """Return the event as it stands in the log: kind, time, its own fields, then the context."""
    own = {name: value for name, value in event.fields.items() if value is not None or name == "error"}
    head: dict[str, FieldValue] = {
        "event": event.event,
        "timestamp": at.isoformat(timespec="microseconds"),
        "schema": SCHEMA_VERSION,
    }
    fields = head | own
    # The context adds, and never overwrites: not even a field that is named like the time.
    return fields | {name: value for name, value in context.items() if value is not None and name not in fields}
