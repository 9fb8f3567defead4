"""
One cache in front of every store, and one per process.

`CachedSource` stands before any source and hands out what it read by the rules of `staleness`.
`shared_cache` gives every user of the same store, in the same role, the same one: Dagster sets
resources up again for each step, each tick and each resource that nests them, and none of that may
cost a call (docs/decisions/0013). Values are kept in memory and nowhere else.
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from crypto_pipeline.credentials import ISSUERS, CredentialDescription, Credentials
from crypto_pipeline.errors import (
    ConfigurationError,
    SecretDeniedError,
    SecretError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.secrets.handouts import ToldOnce
from crypto_pipeline.secrets.interface import SecretSource
from crypto_pipeline.secrets.ladder import Ladder, Surroundings, start_thread
from crypto_pipeline.secrets.opened_later import SourceOpenedLater
from crypto_pipeline.secrets.staleness import CachePolicy, Rung

Sweep = Callable[[SecretSource], Mapping[str, CredentialDescription]]
"""Describes all it can with one question, by issuer; what it leaves out is asked for by itself."""

_ALL: Final = "all issuers"


ReadMany = Callable[[Iterable[str]], Mapping[str, Credentials | SecretError]]
"""`read_many` of a store in which several issuers' credentials may lie in one secret: each one's, or why not."""


def _in_the_same_secret(source: SecretSource, issuer: str) -> list[str]:
    name = source.name_of(issuer)
    return [each for each in ISSUERS if source.name_of(each) == name]


def _marked_description(found: CredentialDescription, rung: Rung, fetched_at: datetime) -> CredentialDescription:
    # Not `dataclasses.replace`, which takes four times as long; a field that is forgotten here fails a test.
    return CredentialDescription(
        found.issuer, found.name, found.store, found.version, found.created_at, fetched_at, rung.value
    )


def _marked_descriptions(
    found: Mapping[str, CredentialDescription], rung: Rung, fetched_at: datetime
) -> Mapping[str, CredentialDescription]:
    return {issuer: _marked_description(each, rung, fetched_at) for issuer, each in found.items()}


def _marked_credentials(found: Credentials, rung: Rung, fetched_at: datetime) -> Credentials:
    return Credentials(_marked_description(found.description, rung, fetched_at), found.parts)


class CachedSource:
    """
    A source that asks another one as seldom as its policy allows.

    What is handed out tells in its description on which rung it stands, and when the store was
    asked for it. Values and descriptions are kept apart; reading a value also tells its description. A
    description that names another version makes the value stale, one that finds the secret gone
    takes the value away.

    Args:
        source: the store; in a forked child, a `SourceOpenedLater` is opened anew.
        policy: how far an answer may go down the ladder.
        sweep: describes many issuers with one question to the source.
        clock: seconds that only ever rise; decides what is fresh.
        wall: the time for people.
        chance: a number from 0 to below 1, for the jitter.
        start: runs something in the background.

    Attributes:
        policy: as given.
        told: who was told which of its descriptions, for the record.
    """

    def __init__(
        self,
        source: SecretSource,
        *,
        policy: CachePolicy,
        sweep: Sweep | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
        start: Callable[[Callable[[], None]], None] = start_thread,
    ) -> None:
        around = Surroundings(clock, wall, chance, start)
        described = policy.for_descriptions()
        self.policy = policy
        self.told = ToldOnce()
        self._source = source
        self._sweep = sweep
        self._clock = clock
        self._values = Ladder(self._ask_value, _marked_credentials, policy=policy, surroundings=around)
        self._descriptions = Ladder(self._ask_description, _marked_description, policy=described, surroundings=around)
        self._sweeps = Ladder(self._ask_all, _marked_descriptions, policy=described, surroundings=around)
        self._held = self._values.held
        _EVERY.add(self)

    @property
    def store(self) -> str:
        """The kind of store behind it."""
        return self._source.store

    def name_of(self, issuer: str) -> str:
        """Return the name under which the issuer's credential is looked for; asks nobody."""
        return self._source.name_of(issuer)

    def read(self, issuer: str) -> Credentials:
        """
        Return the issuer's credential, from the highest rung there is.

        Raises:
            SecretError: what the store said, and no value may be handed out instead.
        """
        # All there is to most reads, so it is looked up here: one more call would double its time.
        held = self._held.get(issuer)
        if held is not None and self._clock() < held.fresh_until:
            return held.value
        return self._values.give(issuer)

    def describe(self, issuer: str) -> CredentialDescription:
        """
        Return what may be told of the issuer's credential; at most one question per `describe_seconds`.

        Raises:
            SecretError: what the store said, and no description may be handed out instead.
        """
        held = self._descriptions.held.get(issuer)
        if held is not None and self._clock() < held.fresh_until:
            return held.value
        swept = self._sweeps.give(_ALL).get(issuer) if self._sweep else None
        return self._descriptions.give(issuer) if swept is None else swept

    def refresh(self, issuer: str, *, rejected: str | None = None) -> Credentials:
        """
        Ask the store for the issuer's credential now; threads that do so at the same time share one question.

        Args:
            issuer: whose credential.
            rejected: the version that the issuer rejected; if another one is held by now, that is returned.

        Raises:
            SecretError: what the store said. An outage leaves the old value where it is.
        """
        return self._values.renew(issuer, suffices=lambda held: _is_other(held, rejected))

    def invalidate(self, issuer: str, *, rejected: str | None = None) -> None:
        """
        Drop the issuer's credential, so that the next read asks the store.

        Args:
            issuer: whose credential.
            rejected: the version that the issuer rejected; if another one is held by now, it stays.
        """
        self._values.drop(issuer, unless=lambda held: _is_other(held, rejected))
        self._descriptions.drop(issuer)

    def forget(self) -> None:
        """Drop everything, connections included; called in a forked child."""
        for ladder in (self._values, self._descriptions, self._sweeps):
            ladder.forget()
        self.told = ToldOnce()
        if isinstance(self._source, SourceOpenedLater):
            self._source.forget()

    # Asking the store...

    def _ask_value(self, issuer: str) -> Credentials:
        source = self._source.opened() if isinstance(self._source, SourceOpenedLater) else self._source
        # Not a protocol that is checked at run time: that alone would cost a twentieth of a cold read.
        read_many: ReadMany | None = getattr(source, "read_many", None)
        together = _in_the_same_secret(source, issuer) if read_many else []
        if read_many and len(together) > 1:
            found = self._one_of_many(issuer, read_many(together))
        else:
            found = source.read(issuer)
        # A report must not speak of an older version than the one in use.
        self._descriptions.learn(issuer, found.description)
        return found

    def _one_of_many(self, issuer: str, told: Mapping[str, Credentials | SecretError]) -> Credentials:
        """Return what was told of an issuer; what one answer tells of the others is kept, or takes theirs away, too."""
        for other in told.keys() - {issuer}:
            found = told[other]
            if isinstance(found, Credentials):
                self._values.learn(other, found)
                self._descriptions.learn(other, found.description)
            elif not isinstance(found, SecretStoreUnavailableError):
                self._values.drop(other)
        if isinstance(found := told[issuer], SecretError):
            raise found
        return found

    def _ask_description(self, issuer: str) -> CredentialDescription:
        try:
            found = self._source.describe(issuer)
        except SecretNotFoundError:
            self._values.drop(issuer)
            raise
        self._notice(found)
        return found

    def _ask_all(self, _: str) -> Mapping[str, CredentialDescription]:
        source = self._source.opened() if isinstance(self._source, SourceOpenedLater) else self._source
        try:
            found = self._sweep(source) if self._sweep else {}
        except (SecretDeniedError, SecretNotFoundError):
            return {}  # no right to list, or nothing to list: each secret tells by itself
        for each in found.values():
            self._notice(each)
        return found

    def _notice(self, found: CredentialDescription) -> None:
        """Take a value of another version than the one that is now current for stale."""
        self._values.expire(found.issuer, unless=lambda held: held.description.version == found.version)


def _is_other(held: Credentials, rejected: str | None) -> bool:
    return rejected is not None and held.description.version != rejected


@dataclass(frozen=True, slots=True)
class CacheKey:
    """
    What two users of a store must have in common to share what is read. Names only, never a login.

    Fields:
        store: the kind of store, such as `vault`.
        address: the server, endpoint or region.
        namespace: the namespace, where the server has them.
        role: who reads: the way of logging in, the profile, the role.
        place: where the secrets lie: mount, prefix and layout.
        stage: the stage of the versions that are read.
    """

    store: str
    address: str = ""
    namespace: str = ""
    role: str = ""
    place: str = ""
    stage: str = "current"


class _Registry:
    """The caches of this process."""

    def __init__(self) -> None:
        self._caches: dict[CacheKey, CachedSource] = {}
        self._lock = threading.Lock()

    def give(
        self, key: CacheKey, open_source: Callable[[], SecretSource], policy: CachePolicy, sweep: Sweep | None
    ) -> CachedSource:
        with self._lock:
            found = self._caches.get(key)
            if found is None:
                found = self._caches[key] = CachedSource(SourceOpenedLater(open_source), policy=policy, sweep=sweep)
        if found.policy != policy:
            msg = (
                f"The {key.store} secrets at '{key.place}' are to be cached in two ways in one process. "
                "Give all resources of this store the same times."
            )
            raise ConfigurationError(msg)
        return found

    def clear(self) -> None:
        with self._lock:
            caches, self._caches = self._caches, {}
        for cached in caches.values():
            cached.forget()

    def forget_locks(self) -> None:  # pragma: no cover - runs in forked children only, which are not measured
        self._lock = threading.Lock()


_REGISTRY: Final = _Registry()
_EVERY: Final[weakref.WeakSet[CachedSource]] = weakref.WeakSet()


def shared_cache(
    key: CacheKey, open_source: Callable[[], SecretSource], policy: CachePolicy, *, sweep: Sweep | None = None
) -> CachedSource:
    """
    Return this process's cache for `key`; the first caller's source and sweep are used.

    Args:
        key: whose answers are shared.
        open_source: opens the store; called when a value or description is first asked for.
        policy: how far an answer may go down the ladder.
        sweep: describes many issuers with one question.

    Raises:
        ConfigurationError: another policy is in force for this key.
    """
    return _REGISTRY.give(key, open_source, policy, sweep)


def clear_shared_caches() -> None:
    """Forget all shared caches and what they hold; for tests, and for a process that changes its configuration."""
    _REGISTRY.clear()


def _forget_in_child() -> None:  # pragma: no cover - runs in forked children only, which are not measured
    """Leave the parent's values to the parent: its locks may be held by threads that do not exist here."""
    _REGISTRY.forget_locks()
    for cached in list(_EVERY):
        cached.forget()


os.register_at_fork(after_in_child=_forget_in_child)
