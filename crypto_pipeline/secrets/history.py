"""
What a store tells of one secret and of each of its versions, without giving out one value.

`listing` tells of all secrets what is current; here one is looked at closely. A store without versions
has no history: of it the listing tells everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import SecretNotFoundError
from crypto_pipeline.secrets.interface import SecretSource
from crypto_pipeline.secrets.listing import ListedSecret, listed


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """
    One version of a secret, the current one or an old one. What the store does not tell is empty or None.

    Fields:
        version: the store's name for it.
        is_current: whether a read gives this one, or would if it were not deleted.
        created_at: when it was stored.
        stages: the labels it has (AWS).
        deleted_at: when it was deleted, or will be.
        is_gone: whether it is deleted by now.
        is_destroyed: whether it cannot be had back.
        last_accessed_on: the day on which it was read last, as the store counts (AWS).
    """

    version: str
    is_current: bool
    created_at: datetime | None = None
    stages: tuple[str, ...] = ()
    deleted_at: datetime | None = None
    is_gone: bool = False
    is_destroyed: bool = False
    last_accessed_on: datetime | None = None


@dataclass(frozen=True, slots=True)
class History:
    """One secret, and all of its versions that the store still knows, the newest first."""

    secret: ListedSecret
    versions: tuple[StoredVersion, ...] = ()

    @property
    def name(self) -> str:
        """The name in the store."""
        return self.secret.name

    @property
    def version(self) -> str:
        """The version that a read would give; empty where there is none."""
        return self.secret.version


@runtime_checkable
class Historical(Protocol):
    """A source whose store keeps the versions of a secret."""

    @property
    def folder(self) -> str:
        """What the names of all its secrets begin with, the last slash included."""
        ...

    def history(self, name: str) -> History:
        """
        Return what the store tells of one secret.

        Args:
            name: the name in the store.
        """
        ...


def name_meant(source: SecretSource, given: str) -> str | None:
    """
    Return the name in the store that a person means; None if it is no name of a secret there.

    Args:
        source: the store.
        given: an issuer, or the name in the store.
    """
    names = {issuer: source.name_of(issuer) for issuer in ISSUERS}
    if given in names:
        return names[given]
    is_below = isinstance(source, Historical) and given.startswith(source.folder) and given != source.folder
    return given if given in names.values() or is_below else None


def history_of(source: SecretSource, name: str) -> History:
    """
    Return what a store tells of one secret.

    Args:
        source: the store.
        name: the name in the store.

    Raises:
        SecretError: it is not there, or the store did not tell.
    """
    if isinstance(source, Historical):
        return source.history(name)
    for issuer in ISSUERS:
        if source.name_of(issuer) == name:
            (secret,) = listed([source.describe(issuer)])
            return History(secret)
    msg = "There is no secret of that name. `crypto-pipeline secrets list` shows the names."
    raise SecretNotFoundError(msg)
