"""
The staleness ladder at work: answers of a store, kept and handed out by rung.

Which rungs there are, and how long each lasts, stands in `staleness`. What an answer is about is not
known here; see `cache`. Only an outage lets an old answer live on: any other error (denied, not found,
malformed) takes it away at once, and no error is kept for longer than seconds.
"""

from __future__ import annotations

import contextlib
import copy
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Generic, TypeVar

from crypto_pipeline.errors import CryptoPipelineError, SecretStoreUnavailableError
from crypto_pipeline.secrets.staleness import CachePolicy, Rung

T = TypeVar("T")


class Held(Generic[T]):
    """An answer that is kept, and until when it may stand on which rung; times are those of the ladder's clock."""

    __slots__ = ("_mark", "_marked", "closes_at", "fresh_until", "revalidate_until", "value")

    def __init__(
        self,
        mark: Callable[[Rung], T],
        *,
        fresh_until: float,
        revalidate_until: float,
        closes_at: float,
    ) -> None:
        self.value = mark(Rung.FRESH)
        self.fresh_until = fresh_until
        self.revalidate_until = revalidate_until
        self.closes_at = closes_at
        self._mark = mark
        self._marked = {Rung.FRESH: self.value}

    def marked(self, rung: Rung) -> T:
        """Return the answer with its mark; marked once, handed out as often as wanted."""
        if rung not in self._marked:
            self._marked[rung] = self._mark(rung)
        return self._marked[rung]


@dataclass(frozen=True, slots=True)
class _Failure:
    """The last thing the store did was to fail."""

    error: CryptoPipelineError
    repeated_until: float
    known_until: float


class _Slot:
    """
    What is going on about one key.

    Fields:
        flight: held by whoever asks the store.
        started: how often it was asked.
        finished: the number of the last question that was answered.
        epoch: changes when what is being asked for is no longer wanted.
        is_refreshing: whether a background thread is on its way.
        failure: how the store failed, if that was the last it did.
    """

    __slots__ = ("epoch", "failure", "finished", "flight", "is_refreshing", "started")

    def __init__(self) -> None:
        self.flight = threading.Lock()
        self.started = 0
        self.finished = 0
        self.epoch = 0
        self.is_refreshing = False
        self.failure: _Failure | None = None


def start_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread of its own."""
    # A daemon: a process that is done does not wait for a store that does not answer.
    threading.Thread(target=work, name="secret-refresh", daemon=True).start()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    Time, chance and threads, as a ladder needs them.

    Fields:
        clock: seconds that only ever rise; what is fresh is decided by it.
        wall: the time for people, aware, UTC.
        chance: a number from 0 to below 1, for the jitter.
        start: runs something in the background; `RuntimeError` if that is not possible.
    """

    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    chance: Callable[[], float] = random.random
    start: Callable[[Callable[[], None]], None] = start_thread


class Ladder(Generic[T]):
    """
    Answers of a store, by key. Safe for threads; a key is asked for by one of them at a time.

    Args:
        ask: asks the store for a key.
        mark: returns an answer with its provenance: on which rung, and when the store was asked.
        policy: how far down an answer may go.
        surroundings: time, chance and threads.

    Attributes:
        held: the answers that are kept. A caller in a hurry may look here itself, and hand out
            `value` before `fresh_until`.
    """

    def __init__(
        self,
        ask: Callable[[str], T],
        mark: Callable[[T, Rung, datetime], T],
        *,
        policy: CachePolicy,
        surroundings: Surroundings,
    ) -> None:
        self.held: dict[str, Held[T]] = {}
        self._ask = ask
        self._mark = mark
        self._policy = policy
        self._around = surroundings
        self._slots: dict[str, _Slot] = {}
        self._lock = threading.Lock()  # held for moments, never while the store is asked

    def give(self, key: str) -> T:
        """
        Return the answer for `key`, from the highest rung there is.

        Raises:
            CryptoPipelineError: what the store raised, and there is no answer that may still be handed out.
        """
        slot, starts = self._slot_of(key), False
        with self._lock:
            found = self._at_hand(key, slot)
            if found is not None and self._is_due(key, slot):
                starts = slot.is_refreshing = True
        if starts:
            self._refresh_in_background(key, slot)
        return self._waited_for(key, slot) if found is None else found

    def renew(self, key: str, *, suffices: Callable[[T], bool] = lambda _: False) -> T:
        """
        Ask the store now, and return what it says; callers at the same time share one question.

        Args:
            key: what to ask for.
            suffices: tells whether an answer that is held already will do.

        Raises:
            CryptoPipelineError: what the store raised; an answer that is held is not handed out instead.
        """
        slot = self._slot_of(key)
        with self._lock:
            before = slot.started
            held = self._within_bound(key)
            if held and suffices(held.value):
                return self._handed_out(held, slot)
        with slot.flight:
            with self._lock:
                # A question that was under way when this call came in may have been answered too early.
                has_joined = slot.finished > before
                held, failure = self._within_bound(key), slot.failure
                if has_joined and failure:
                    raise copy.copy(failure.error)
                if held and (has_joined or suffices(held.value)):
                    return self._handed_out(held, slot)
            return self._asked(key, slot)

    def learn(self, key: str, answer: T) -> None:
        """Keep an answer that the store gave just now to another question."""
        slot = self._slot_of(key)
        with self._lock:
            slot.epoch += 1  # what is under way was asked earlier
            self._keep(key, slot, answer, self._around.clock(), self._around.wall())

    def expire(self, key: str, *, unless: Callable[[T], bool]) -> None:
        """Take what is held for no longer fresh: the store has been seen to have another version."""
        with self._lock:
            held = self.held.get(key)
            if held and not unless(held.value):
                held.fresh_until = -inf

    def drop(self, key: str, *, unless: Callable[[T], bool] = lambda _: False) -> None:
        """Forget what is held, and what is being asked for at this moment."""
        slot = self._slot_of(key)
        with self._lock:
            held = self.held.get(key)
            if held is None or not unless(held.value):
                slot.epoch += 1
                self.held.pop(key, None)

    def forget(self) -> None:
        """Forget everything, locks included: for a forked child, where threads that held them are gone."""
        self.held.clear()
        self._slots = {}
        self._lock = threading.Lock()

    def _slot_of(self, key: str) -> _Slot:
        slot = self._slots.get(key)
        return self._slots.setdefault(key, _Slot()) if slot is None else slot

    # What may be handed out, decided under the lock...

    def _at_hand(self, key: str, slot: _Slot) -> T | None:
        """Return what may be handed out without waiting for the store; None where it has to be asked."""
        now = self._around.clock()
        held, failure = self._within_bound(key), slot.failure
        if held is None:
            if failure and now < failure.repeated_until:
                raise copy.copy(failure.error)
            return None
        # News of the store must be as young as this, or an old answer would be handed out though it is well.
        if now < held.revalidate_until or (failure and now < failure.known_until):
            return self._handed_out(held, slot)
        return None

    def _within_bound(self, key: str) -> Held[T] | None:
        held = self.held.get(key)
        if held and self._around.clock() >= held.closes_at:
            del self.held[key]
            return None
        return held

    def _handed_out(self, held: Held[T], slot: _Slot) -> T:
        if self._around.clock() < held.fresh_until:
            return held.value
        return held.marked(Rung.STALE_IF_ERROR if slot.failure else Rung.STALE_REVALIDATING)

    def _is_due(self, key: str, slot: _Slot) -> bool:
        """Tell whether a background thread should ask the store again."""
        now, failure = self._around.clock(), slot.failure
        has_pause = failure is not None and now < failure.repeated_until
        return now >= self.held[key].fresh_until and not slot.is_refreshing and not has_pause

    # Asking the store, with the flight held...

    def _waited_for(self, key: str, slot: _Slot) -> T:
        with slot.flight:
            with self._lock:
                found = self._at_hand(key, slot)  # by whoever was first
            if found is not None:
                return found
            try:
                return self._asked(key, slot)
            except SecretStoreUnavailableError:
                with self._lock:
                    held = self._within_bound(key)
                    if held is None:
                        raise
                    return held.marked(Rung.STALE_IF_ERROR)

    def _refresh_in_background(self, key: str, slot: _Slot) -> None:
        def refresh() -> None:
            try:
                # Its error is kept for the next reader, or has taken the answer away, so that the
                # next reader meets the same one.
                with contextlib.suppress(Exception), slot.flight:
                    held = self.held.get(key)
                    if held and self._around.clock() >= held.fresh_until:
                        self._asked(key, slot)
            finally:
                slot.is_refreshing = False

        try:
            self._around.start(refresh)
        except RuntimeError:  # no more threads, or the process is ending: the next reader tries again
            slot.is_refreshing = False

    def _asked(self, key: str, slot: _Slot) -> T:
        """Ask the store, keep what it says, and return it."""
        with self._lock:
            slot.started += 1
            epoch = slot.epoch
        at, wall = self._around.clock(), self._around.wall()
        try:
            answer = self._ask(key)
        except Exception as error:
            self._note(key, slot, error)
            raise
        finally:
            slot.finished = slot.started
        with self._lock:
            if epoch == slot.epoch:
                return self._keep(key, slot, answer, at, wall)
        return self._mark(answer, Rung.FRESH, wall)

    def _keep(self, key: str, slot: _Slot, answer: T, at: float, wall: datetime) -> T:
        policy = self._policy
        fresh_until = at + policy.ttl_seconds * (1 - policy.jitter * self._around.chance())
        slot.failure = None
        held = self.held[key] = Held(
            lambda rung: self._mark(answer, rung, wall),
            fresh_until=fresh_until,
            revalidate_until=fresh_until + policy.revalidate_seconds,
            closes_at=at + policy.bound_seconds,
        )
        return held.value

    def _note(self, key: str, slot: _Slot, error: Exception) -> None:
        """Remember how the store failed; only an outage lets the last answer live on."""
        now, policy = self._around.clock(), self._policy
        with self._lock:
            slot.failure = None
            if not isinstance(error, SecretStoreUnavailableError):
                self.held.pop(key, None)
            if isinstance(error, CryptoPipelineError):
                # A copy: the error itself keeps every frame it came through, and so what stood in them.
                slot.failure = _Failure(
                    copy.copy(error),
                    repeated_until=now + policy.error_seconds,
                    known_until=now + max(policy.error_seconds, policy.revalidate_seconds),
                )
