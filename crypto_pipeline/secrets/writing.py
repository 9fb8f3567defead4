"""
A new version of a credential: looked at, announced, stored, and told.

A writer knows how its store notices that somebody else was faster; the order of things, and their
record, is here. What may be stored at all is decided in `given`, before any store is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final, Protocol, runtime_checkable

from crypto_pipeline.audit import AuditLog, secret_write_intended
from crypto_pipeline.errors import (
    AuditError,
    ConfigurationError,
    MalformedSecretError,
    SecretChangedError,
    SecretError,
    SecretStoreSealedError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets.audited import recorded
from crypto_pipeline.secrets.interface import SecretSource
from crypto_pipeline.secrets.layout import Layout, placed_parts

Placed = Mapping[str, Secret | None]
"""What is to stand in each field; None in one that has to go."""

_NOT_WRITTEN: Final = {
    "environment": "a process cannot change the environment that others are started with. Set the variables where "
    "they are set now, or keep credentials in AWS Secrets Manager or Vault.",
    "dotenv": "its file is for development, and yours. Edit it by hand and keep its mode 0600.",
    "files": "mounted files belong to the container's runtime. Change the secret there, and it mounts the new files.",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What stands under a name before a new version is stored there.

    Fields:
        name: the name in the store.
        version: the version that is current; empty where there is none.
        next_version: what the new one will be called.
        exists: whether the name is taken, be it without a version that is current.
        created_at: when the current version was stored.
        fields: its fields; every text in them is a `Secret`.
        text: the same as the store keeps it, where it keeps text.
        remark: what a person should know before and after.
    """

    name: str
    version: str
    next_version: str
    exists: bool
    created_at: datetime | None = None
    fields: Mapping[str, object] = field(default_factory=dict, repr=False)
    text: str = field(default="", repr=False)
    remark: str = ""

    def holds(self, placed: Placed) -> bool:
        """Tell whether all of this stands there already."""
        return self.version != "" and all(self.fields.get(name) == value for name, value in placed.items())


@dataclass(frozen=True, slots=True)
class Stored:
    """
    What became of it.

    Fields:
        name: the name in the store.
        version: the version that is current now.
        replaced: the version that was current before; empty where there was none.
        is_new: false where the same values were current already, and nothing was stored.
        created_at: when the version was stored that was found, if nothing new was.
        kept: how many other fields the secret has, which stay as they are.
        remark: what else a person should know.
    """

    name: str
    version: str
    replaced: str
    is_new: bool
    created_at: datetime | None
    kept: int
    remark: str


class SecretWriter(Protocol):
    """
    What stores new versions in one store, and notices if somebody else does so at the same time.

    Both verbs raise the members of `SecretError`, and `ConfigurationError` for what is wrong on our side.
    """

    @property
    def store(self) -> str:
        """The kind of store, such as `vault`."""
        ...

    @property
    def layout(self) -> Layout:
        """How the parts of a credential are named there."""
        ...

    def name_of(self, issuer: str) -> str:
        """Return the name under which the issuer's credential is kept."""
        ...

    def look(self, issuer: str) -> Seen:
        """Return what stands under the issuer's name; a secret that could not be kept whole raises."""
        ...

    def write(self, issuer: str, placed: Placed, seen: Seen) -> None:
        """
        Store a version with these fields and all others that were seen, if what was seen is still what is there.

        Raises:
            SecretChangedError: it is not; nothing of it was changed.
        """
        ...


@runtime_checkable
class Writable(Protocol):
    """A source whose store this package may write to."""

    def writer(self) -> SecretWriter:
        """Return what does it, with the login of the source."""
        ...


def writer_of(source: SecretSource | None) -> SecretWriter:
    """
    Return what writes to the store of a source.

    Raises:
        ConfigurationError: there is no store, or it is not for us to write to.
    """
    if source is None:
        msg = "No store of secrets is configured, so there is nowhere to store one. Set CRYPTO_PIPELINE_SECRETS."
        raise ConfigurationError(msg)
    if isinstance(source, Writable):
        return source.writer()
    msg = f"Nothing was stored in the store '{source.store}': {_NOT_WRITTEN[source.store]}"
    raise ConfigurationError(msg)


def store_credential(
    writer: SecretWriter, issuer: str, parts: Mapping[str, Secret], *, audit: AuditLog, accessor: str
) -> Stored:
    """
    Store a credential as the current version, on the record: what is read, what is about to be done, what was done.

    Values that are current already are not stored again: a new version would make an old key look young.

    Args:
        writer: the store.
        issuer: whose credential.
        parts: all of its parts.
        audit: the record.
        accessor: on whose behalf.

    Raises:
        AuditError: it could not be recorded; says whether it was done.
        SecretError: the store refused, did not answer, or has another version by now.
    """
    on_record = partial(recorded, accessor=accessor, store=writer.store, name=writer.name_of(issuer))
    seen: Seen = on_record(lambda: writer.look(issuer), lambda found: found, audit=audit, action="read")
    placed = placed_parts(issuer, parts, seen.fields.keys(), layout=writer.layout)
    kept = len(seen.fields.keys() - placed.keys())
    if seen.holds(placed):
        return Stored(seen.name, seen.version, seen.version, False, seen.created_at, kept, "")
    stored = Stored(seen.name, seen.next_version, seen.version, True, None, kept, seen.remark)
    audit.record(
        secret_write_intended(
            seen.name, accessor, store=writer.store, replaces=seen.version or None, version=seen.next_version
        )
    )
    # A failure tells no version of its own, and the announcement wants to be found again.
    outcome = audit.bound(intended_version=seen.next_version)
    done: list[Stored] = []

    def write() -> Stored:
        writer.write(issuer, placed, seen)
        done.append(stored)
        return stored

    try:
        return on_record(write, lambda found: found, audit=outcome, action="write")
    except AuditError as error:
        if not done:
            raise
        msg = (
            f"Version {stored.version} of '{stored.name}' was stored and is current; only that it was could not be "
            f"recorded, while the record has that it was about to be. Mend the audit log. {error}"
        )
        raise AuditError(msg) from error


def settle(look: Callable[[], Seen], placed: Placed, seen: Seen, failure: SecretError | ConfigurationError) -> None:
    """
    Find out what became of a write that seems to have failed; do nothing if it arrived, and only its answer did not.

    Args:
        look: asks the store for what is there now.
        placed: what was to be stored.
        seen: what was there before.
        failure: what the store, or the way to it, said.

    Raises:
        SecretChangedError: there is another version than the one that was seen.
        SecretStoreUnavailableError: nobody can say now.
        SecretError, ConfigurationError: the failure itself; nothing was stored.
    """
    is_refusal = not isinstance(failure, SecretStoreUnavailableError) or isinstance(failure, SecretStoreSealedError)
    try:
        now = look()
    except MalformedSecretError:
        raise _changed(seen) from None
    except SecretError:
        raise (failure if is_refusal else _unknown(seen)) from None
    if now.version == seen.next_version and now.holds(placed):
        return
    raise failure if now.version == seen.version else _changed(seen)


def _changed(seen: Seen) -> SecretChangedError:
    was = f"version {seen.version}" if seen.version else "no version"
    return SecretChangedError(
        f"Secret '{seen.name}' was changed by somebody else while it was being stored: there was {was} of it before. "
        "Theirs is current, and nothing of it was changed. See who it was (crypto-pipeline secrets describe), and "
        "store again if yours is the right one."
    )


def _unknown(seen: Seen) -> SecretStoreUnavailableError:
    return SecretStoreUnavailableError(
        f"The store did not answer, so it is not known whether version {seen.next_version} of '{seen.name}' was "
        "stored. Once it answers, run the same again: what is stored already is not stored twice."
    )
