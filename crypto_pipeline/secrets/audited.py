"""
A source whose every use is on the record.

The store is asked first, for only its answer tells the version; the answer is handed out when the
record of it is on disk, and not before. So a read that cannot be recorded may show in the store's
own audit, but no value comes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from crypto_pipeline.audit import AuditLog, failed_auth, secret_access
from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.errors import SecretDeniedError
from crypto_pipeline.secrets.cache import CachedSource
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
    A source that records each read and each description of another one.

    Args:
        source: the store.
        audit: the record.
        accessor: on whose behalf, as the record names it.
    """

    def __init__(self, source: SecretSource, audit: AuditLog, *, accessor: str) -> None:
        self._source = source
        self._audit = audit
        self._accessor = accessor

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
        return self._recorded("describe", issuer, self._source.describe, lambda found: found)

    def read(self, issuer: str) -> Credentials:
        """
        Return the issuer's credential, on the record.

        Raises:
            AuditError: it could not be recorded.
            SecretError: the source did not give it.
        """
        return self._recorded("read", issuer, self._source.read, lambda found: found.description)

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

        return self._recorded("refresh", issuer, ask, lambda found: found.description)

    def _recorded(self, action: str, issuer: str, ask: Callable[[str], T], told: Callable[[T], Told]) -> T:
        return recorded(
            lambda: ask(issuer),
            told,
            audit=self._audit,
            accessor=self._accessor,
            action=action,
            store=self.store,
            name=self.name_of(issuer),
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
    audit.record(secret_access(found.name, accessor, action, version=found.version, store=store, rung=rung))
    return answer
