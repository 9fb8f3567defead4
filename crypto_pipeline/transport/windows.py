"""The ways in which exchanges count: a rolling window, a bucket that fills, the minute of the exchange's clock."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from crypto_pipeline.transport.budget import LONGEST_ANSWER_SECONDS, NO_HEADERS, Clock, PacedBudget, Sleep, Ticket

_GUARD_SECONDS = 0.01
"""Two clocks that run side by side do not tick together."""
_SLOTS = 50
"""Into how many parts a rolling window is cut; a part is what is lost of it."""


class SlidingWindow(PacedBudget):
    """
    At most `allowed` requests in any `seconds`.

    A request counts until `seconds` after its answer came back: it arrived there at some moment before, and the next
    one arrives after it is sent, so the exchange does not see more than `allowed` however the way's length changes.
    Each key has a window of its own.

    Args:
        allowed: how many.
        seconds: the length of the window.
        allowed_for: how many with these keys, where that differs; of a key of several words, such as an endpoint and
            an instrument, the first word decides.
    """

    def __init__(
        self,
        allowed: int,
        seconds: float,
        *,
        allowed_for: Mapping[str, int] = MappingProxyType({}),
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        super().__init__(clock=clock, sleep=sleep)
        self._allowed = allowed
        self._allowed_for = allowed_for
        self._seconds = seconds
        self._slot_seconds = seconds / _SLOTS

    def describe(self) -> str:
        """Say in words how much is used of what."""
        each = "; ".join(f"{key} {allowed}" for key, allowed in self._allowed_for.items())
        return f"{self._used} requests, at most {self._allowed} per {self._seconds:g} s{each and f' ({each})'}"

    def _counted_as(self, key: str) -> str:
        return key

    def _most(self, key: str) -> int:
        return self._allowed_for.get(key.partition(" ")[0], self._allowed)

    def release(self, ticket: Ticket, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Note that the request has been answered, or never will be."""
        with self._state.changing() as known:
            count = known.get("counts", {}).get(ticket.key, {"sent": []})
            for sent in [each for each in count["sent"] if each[0] == ticket.number]:
                count["sent"].remove(sent)
                # Counted as if it were a little younger: thousands of requests are a few dozen numbers then.
                slot = str(math.ceil(self._clock() / self._slot_seconds))
                count["answered"][slot] = count["answered"].get(slot, 0) + sent[2]

    def _pause(self, known: dict[str, Any], weight: int, key: str) -> float:
        now = self._clock()
        begin = now - self._seconds - _GUARD_SECONDS
        count = known.get("counts", {}).get(key)
        recent = [] if count is None else sorted((at, n) for at, n in self._arrivals(count, now) if at > begin)
        excess = sum(number for _, number in recent) + weight - self._most(key)
        for at, number in recent:
            if excess <= 0:
                break
            excess -= number
            if excess <= 0:
                return at - begin
        return 0.0

    def _take(self, known: dict[str, Any], weight: int, key: str) -> Ticket:
        now = self._clock()
        begin = now - self._seconds - _GUARD_SECONDS
        number = known["number"] = known.get("number", 0) + 1
        count = known.setdefault("counts", {}).setdefault(key, {"sent": [], "answered": {}})
        old = [slot for slot in count["answered"] if int(slot) * self._slot_seconds <= begin]
        for slot in old:
            del count["answered"][slot]
        count["sent"] = [sent for sent in count["sent"] if sent[1] + LONGEST_ANSWER_SECONDS > begin]
        count["sent"].append([number, now, weight])
        return Ticket(now, key, number)

    def _arrivals(self, count: Mapping[str, Any], now: float) -> Iterator[tuple[float, int]]:
        """Return when requests arrived at the latest, and how many."""
        for slot, number in count["answered"].items():
            yield int(slot) * self._slot_seconds, number
        # Answers do not come back in the order of the questions; one that is on its way may arrive there only now.
        for _, sent_at, number in count["sent"]:
            yield min(now, sent_at + LONGEST_ANSWER_SECONDS), number


class TokenBucket(PacedBudget):
    """
    `rate` requests a second, `burst` at once.

    Keep `burst` well below the exchange's own: requests that leave one after the other may arrive together. With
    the exchange's burst B, a delay of (B - burst) / rate seconds does no harm.
    """

    def __init__(self, rate: float, burst: int, *, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        super().__init__(clock=clock, sleep=sleep)
        self._rate = rate
        self._burst = burst

    def describe(self) -> str:
        """Say in words how much is used of what."""
        return f"{self._used} requests, at most {self._rate:g} per second"

    def _most(self, key: str) -> int:
        return self._burst

    def _pause(self, known: dict[str, Any], weight: int, key: str) -> float:
        now = self._clock()
        passed = max(0.0, now - known.get("filled_at", now))
        known["tokens"] = min(self._burst, known.get("tokens", self._burst) + passed * self._rate)
        known["filled_at"] = now
        lacking = weight - known["tokens"]
        return float(lacking) / self._rate if lacking > 1e-6 else 0.0

    def _take(self, known: dict[str, Any], weight: int, key: str) -> Ticket:
        known["tokens"] -= weight
        return Ticket(self._clock())


class MinuteWindow(PacedBudget):
    """
    A weight per minute of the exchange's clock, with a header that tells how much is used.

    After the turn of the minute the exchange may still be in the one before, so that a request counts in both for a
    while. Others may share our address, so the header counts where it says more than we know of.

    Args:
        limit: the weight per minute.
        margin: what is never used, for requests that are on their way when a header is written.
        header: the name of the header with the weight used in the running minute.
        clock: the exchange's time in seconds.
        guard_seconds: for how long; the difference of the clocks must fit into it.
    """

    def __init__(
        self,
        limit: int,
        *,
        margin: int,
        header: str = "x-mbx-used-weight-1m",
        clock: Clock = time.time,
        sleep: Sleep = asyncio.sleep,
        guard_seconds: float = 1.0,
    ) -> None:
        super().__init__(clock=clock, sleep=sleep)
        self._usable = limit - margin
        self._limit = limit
        self._header = header
        self._guard_seconds = guard_seconds

    def describe(self) -> str:
        """Say in words how much is used of what."""
        return f"weight {self._used} used, at most {self._limit} per minute"

    def release(self, ticket: Ticket, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Note that the request has been answered, and learn from its header what others use."""
        text = headers.get(self._header, "")
        with self._state.changing() as known:
            self._turn_over(known)
            # The header of a request that was sent before, or near, the turn may tell of the minute before.
            is_current = ticket.sent_at >= known["minute"] * 60 + self._guard_seconds
            if is_current and text.isascii() and text.isdigit() and len(text) < 10:
                known["others"] = max(known["others"], int(text) - known["own"])

    def _most(self, key: str) -> int:
        return self._usable

    def _pause(self, known: dict[str, Any], weight: int, key: str) -> float:
        self._turn_over(known)
        into_minute = self._clock() - known["minute"] * 60
        is_early = into_minute < self._guard_seconds
        used = known["own"] + known["others"] + (known["before"] if is_early else 0)
        if used + weight <= self._usable:
            return 0.0
        return float((self._guard_seconds if is_early else 60) - into_minute)

    def _take(self, known: dict[str, Any], weight: int, key: str) -> Ticket:
        known["own"] += weight
        return Ticket(self._clock())

    def _turn_over(self, known: dict[str, Any]) -> None:
        """Begin a new count if the exchange's minute is over; another process may have seen that a little earlier."""
        minute, last = int(self._clock() // 60), known.get("minute")
        if last is None or minute > last or minute < last - 1:
            used = known["own"] + known["others"] if last is not None and minute == last + 1 else 0
            known.update(minute=minute, before=used, own=0, others=0)
