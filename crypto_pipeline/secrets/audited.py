"""
A source whose every use is on the record.

The store is asked first, for only its answer tells the version; the answer is handed out when the
record of it is on disk, and not before. So a read that cannot be recorded may show in the store's
own audit, but no value comes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from crypto_pipeline.audit import AuditEvent, AuditLog, failed_auth, secret_access
from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.errors import SecretDeniedError
from crypto_pipeline.secrets.cache import CachedSource
from crypto_pipeline.secrets.handouts import HandOuts
from crypto_pipeline.secrets.interface import SecretSource

T = TypeVar("T")


class Told(Protocol):
    """What the record says of a secret that was found."""

    @property
    def name(self) -> str:
        """The name in the store."""
        ...

    @property
    def version(self) -> str:
        """The store's version of it."""
        ...


class AuditedSource:
    """
    A source that records what another one gives and tells.

    Each question is an event, with two exceptions, for what costs no question: a credential that the
    same accessor was handed before (with `handed`), and a description that a cache repeats.

    Args:
        source: the store.
        audit: the record.
        accessor: on whose behalf, as the record names it.
        handed: what the run was handed so far; None records every read.
    """

    def __init__(self, source: SecretSource, audit: AuditLog, *, accessor: str, handed: HandOuts | None = None) -> None:
        self._source = source
        self._audit = audit
        self._accessor = accessor
        self._handed = handed

    @property
    def store(self) -> str:
        """The kind of store behind it."""
        return self._source.store

    def name_of(self, issuer: str) -> str:
        """Return the name under which the issuer's credential is looked for; asks nobody."""
        return self._source.name_of(issuer)

    def describe(self, issuer: str) -> CredentialDescription:
        """
        Return what may be told of the issuer's credential, on the record.

        Raises:
            AuditError: it could not be recorded.
            SecretError: the source did not tell.
        """

        def record(found: CredentialDescription, event: AuditEvent) -> None:
            if isinstance(self._source, CachedSource):
                self._source.told.tell(found, self._accessor, lambda: self._audit.record(event))
            else:
                self._audit.record(event)

        return self._recorded("describe", issuer, self._source.describe, lambda found: found, record)

    def read(self, issuer: str) -> Credentials:
        """
        Return the issuer's credential, on the record.

        Raises:
            AuditError: it could not be recorded.
            SecretError: the source did not give it.
        """

        def record(found: Credentials, event: AuditEvent) -> None:
            self._hand_out(found.description, lambda: self._audit.record(event))

        return self._recorded("read", issuer, self._source.read, lambda found: found.description, record)

    def refresh(self, issuer: str, *, rejected: str) -> Credentials:
        """
        Return the issuer's credential as the store has it now, on the record.

        Args:
            issuer: whose credential.
            rejected: the version that the issuer rejected; a cache that holds another one already asks nobody.

        Raises:
            AuditError: it could not be recorded.
            SecretError: the source did not give it.
        """
        source = self._source

        def ask(whose: str) -> Credentials:
            return source.refresh(whose, rejected=rejected) if isinstance(source, CachedSource) else source.read(whose)

        def record(found: Credentials, event: AuditEvent) -> None:
            self._audit.record(event)
            self._hand_out(found.description, lambda: None)

        return self._recorded("refresh", issuer, ask, lambda found: found.description, record)

    def _hand_out(self, found: CredentialDescription, record: Callable[[], None]) -> None:
        if self._handed is None:
            record()
        else:
            self._handed.hand_out(found, self._accessor, self._audit, record)

    def _recorded(
        self,
        action: str,
        issuer: str,
        ask: Callable[[str], T],
        told: Callable[[T], Told],
        record: Callable[[T, AuditEvent], None],
    ) -> T:
        return recorded(
            lambda: ask(issuer),
            told,
            audit=self._audit,
            accessor=self._accessor,
            action=action,
            store=self.store,
            name=self.name_of(issuer),
            record=record,
        )


def recorded(
    ask: Callable[[], T],
    told: Callable[[T], Told],
    *,
    audit: AuditLog,
    accessor: str,
    action: str,
    store: str,
    name: str,
    record: Callable[[T, AuditEvent], None] | None = None,
) -> T:
    """
    Ask a store, and return its answer once the record of it is on disk.

    Args:
        ask: the question.
        told: what the record says of the answer.
        audit: the record.
        accessor: on whose behalf.
        action: `read`, `refresh` or `describe`.
        store: the kind of store.
        name: what was looked for, for the record of a failure.
        record: records the event of an answer, if not every time.

    Raises:
        AuditError: it could not be recorded.
    """
    try:
        answer = ask()
    except Exception as error:
        kind = type(error).__name__
        audit.record(secret_access(name, accessor, action, success=False, store=store, error=kind))
        if isinstance(error, SecretDeniedError):
            audit.record(failed_auth(store, kind, name))
        raise
    found = told(answer)
    rung = getattr(found, "rung", "") or None  # where a cache stands before the store
    event = secret_access(found.name, accessor, action, version=found.version, store=store, rung=rung)
    if record is None:
        audit.record(event)
    else:
        record(answer, event)
    return answer
