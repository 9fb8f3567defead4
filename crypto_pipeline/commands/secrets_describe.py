"""What `crypto-pipeline secrets describe` does: which secret, which version, since when, and read by whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.console import Console

from crypto_pipeline.audit.reading import Reader, SecretRecord, Writing, record_of
from crypto_pipeline.commands import secrets_shown as shown
from crypto_pipeline.commands.secrets_described import show_description
from crypto_pipeline.commands.secrets_opened import Opened, open_store
from crypto_pipeline.credentials import ISSUERS, CredentialDescription
from crypto_pipeline.errors import SecretNotFoundError
from crypto_pipeline.secrets import ListedSecret, RejectedVersions
from crypto_pipeline.secrets.audited import recorded
from crypto_pipeline.secrets.history import History, StoredVersion, history_of, name_meant


def show_secret(console: Console, given: str, *, now: datetime, as_json: bool) -> int:
    """
    Print all that is known of one secret, but its value, and return 0.

    Args:
        console: where to.
        given: an issuer, or the name in the store.
        now: the time.
        as_json: whether a program reads it.

    Raises:
        SecretNotFoundError: there is no such secret.
        SecretError: the store did not tell.
        AuditError: it could not be recorded, or the record cannot be read.
    """
    opened = open_store("secrets_describe")
    name = name_meant(opened.source, given)
    if name is None:
        # Not repeated, and not recorded: it may be a key that was pasted in the wrong place.
        msg = (
            f"That is no name of a secret here. Name an issuer ({', '.join(ISSUERS)}), or a secret as "
            "`crypto-pipeline secrets list` shows it, with its folder."
        )
        raise SecretNotFoundError(msg)
    found = recorded(
        lambda: history_of(opened.source, name),
        lambda history: history,
        audit=opened.audit,
        accessor=opened.accessor,
        action="describe",
        store=opened.source.store,
        name=name,
    )
    record = record_of(opened.settings.audit_log, name, store=opened.source.store)
    rejected = _rejected(opened, found.secret)
    if as_json:
        shown.show_json(console, _told(opened, found, record, rejected, now))
    else:
        show_description(console, found, record, rejected, log=opened.settings.audit_log, now=now)
    return 0


def _rejected(opened: Opened, secret: ListedSecret) -> dict[str, str]:
    """Return which issuers have rejected the version that is current, and when."""
    memory = RejectedVersions(opened.settings.rejected_keys)
    found = {
        issuer: memory.rejected_at(
            CredentialDescription(issuer, secret.name, secret.store, secret.version, secret.created_at)
        )
        for issuer in secret.issuers
    }
    return {issuer: at for issuer, at in found.items() if at is not None}


# For programs...


def _told(
    opened: Opened, found: History, record: SecretRecord, rejected: dict[str, str], now: datetime
) -> dict[str, Any]:
    return {
        "store": opened.source.store,
        "told_at": shown.iso(now),
        "secret": shown.facts_of(found.secret, now),
        "rejected": [{"issuer": issuer, "at": shown.printable(at)} for issuer, at in rejected.items()],
        "versions": [_version_told(each, record) for each in found.versions],
        "readers": [_reader_told(each) for each in record.readers],
        "unfinished_writes": [_writing_told(each) for each in record.unfinished.values()],
        "audit_log": {"path": str(opened.settings.audit_log), "unread_lines": record.unread_lines},
    }


def _version_told(version: StoredVersion, record: SecretRecord) -> dict[str, Any]:
    stored = record.stored.get(version.version)
    return {
        "version": shown.printable(version.version),
        "is_current": version.is_current,
        "created_at": shown.iso(version.created_at),
        "stages": [shown.printable(stage) for stage in version.stages],
        "deleted_at": shown.iso(version.deleted_at),
        "is_gone": version.is_gone,
        "is_destroyed": version.is_destroyed,
        "last_accessed_on": shown.day(version.last_accessed_on) or None,
        "stored_by": _writing_told(stored) if stored else None,
    }


def _writing_told(writing: Writing) -> dict[str, Any]:
    return {
        "version": shown.printable(writing.version),
        "accessor": shown.printable(writing.accessor),
        "user": shown.printable(writing.user),
        "at": shown.iso(writing.at),
    }


def _reader_told(reader: Reader) -> dict[str, Any]:
    return {
        "accessor": shown.printable(reader.accessor),
        "asset": shown.printable(reader.asset),
        "reads": reader.reads,
        "handed_out": reader.handed_out,
        "signed_requests": reader.signed_requests,
        "first_at": shown.iso(reader.first_at),
        "last_at": shown.iso(reader.last_at),
        "versions": [shown.printable(each) for each in reader.versions],
        "failures": {shown.printable(kind): number for kind, number in sorted(reader.failures.items())},
    }
