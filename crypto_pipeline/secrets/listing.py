"""
What a store tells of all its secrets at once, without giving out one value.

Every source of this package has `describe_all`, which asks as little as its store allows. It is no
part of `SecretSource`: whatever stands before a store answers for single credentials, and `sweep`
goes to the store itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from crypto_pipeline.credentials import ISSUERS, CredentialDescription
from crypto_pipeline.errors import MalformedSecretError, SecretNotFoundError
from crypto_pipeline.secrets.interface import SecretSource


@dataclass(frozen=True, slots=True)
class ListedSecret:
    """
    What may be told of one secret without reading it. Anything that the store does not tell is empty or None.

    Fields:
        name: the name in the store.
        store: the kind of store.
        version: the version that a read would give; empty where there is none.
        created_at: when that version was stored.
        issuers: whose credential it holds or may hold, as its name tells.
        stages: the version of each stage (AWS).
        next_rotation_at: when the store will rotate it (AWS).
        deleted_at: when it was deleted, or marked for deletion.
        labels: its tags (AWS) or custom metadata (OpenBao, Vault).
    """

    name: str
    store: str
    version: str
    created_at: datetime | None = None
    issuers: tuple[str, ...] = ()
    stages: Mapping[str, str] = field(default_factory=dict)
    next_rotation_at: datetime | None = None
    deleted_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Listing(Protocol):
    """A source whose store describes all its secrets at once."""

    def describe_all(self) -> list[ListedSecret]:
        """Return what the store tells of each secret of ours, in the order of their names."""
        ...


def sweep(source: SecretSource) -> Mapping[str, CredentialDescription]:
    """
    Return the descriptions of all issuers whose credential is there, as one sweep of the store tells them.

    What is missing, deleted or malformed is left out: `describe` tells what is the matter with it.

    Raises:
        SecretError: the store did not tell.
    """
    if not isinstance(source, Listing):
        return {}
    return {
        issuer: CredentialDescription(issuer, each.name, each.store, each.version, each.created_at)
        for each in source.describe_all()
        if each.version and each.deleted_at is None
        for issuer in each.issuers
    }


def described_one_by_one(describe: Callable[[str], CredentialDescription]) -> list[ListedSecret]:
    """Return what a store tells that has to be asked for each issuer; what is not there, or not whole, is left out."""
    return listed(found for issuer in ISSUERS if (found := _described(describe, issuer)) is not None)


def listed(descriptions: Iterable[CredentialDescription]) -> list[ListedSecret]:
    """Return descriptions as a listing."""
    found = [
        ListedSecret(each.name, each.store, each.version, each.created_at, (each.issuer,)) for each in descriptions
    ]
    return sorted(found, key=lambda each: each.name)


def _described(describe: Callable[[str], CredentialDescription], issuer: str) -> CredentialDescription | None:
    try:
        return describe(issuer)
    except (MalformedSecretError, SecretNotFoundError):
        return None
