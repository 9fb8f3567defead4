"""
How fast an exchange may be asked.

A budget counts what was sent as the exchange counts it, and makes callers wait before they would go over the
limit. It knows no exchange: limits come in as arguments, time and sleep too.
"""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_GUARD_SECONDS = 0.01
"""Two clocks that run side by side do not tick together."""
_SHORTEST_SECONDS = 0.001
"""Rounding must not make the last nanosecond of a wait a loop of its own."""


@dataclass(slots=True)
class Ticket:
    """
    The right to send one request.

    Fields:
        sent_at: when it was given.
        answered_at: when the request was answered, or never will be; infinite while it is on its way.
    """

    sent_at: float
    answered_at: float = math.inf


class Budget(Protocol):
    """What a client may use of an exchange's patience."""

    @property
    def used(self) -> int:
        """The weight of everything sent so far."""
        ...

    async def acquire(self, weight: int = 1, key: str = "") -> Ticket:
        """Wait until a request of this weight may be sent; `key` is the endpoint, where each has its own limit."""
        ...

    def release(self, ticket: Ticket, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Note that the request has been answered, with these headers, or never will be."""
        ...

    def block(self, seconds: float) -> None:
        """Let nobody send anything for a while: the exchange asked for it."""
        ...

    def describe(self) -> str:
        """Say in words how much is used of what."""
        ...


class PacedBudget(ABC):
    """What all budgets share: first come, first served, and a block that holds for everybody."""

    def __init__(self, *, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._used = 0
        self._blocked_until = -math.inf
        # Whoever waits holds the turn: those behind, for the same count, could not go earlier.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def used(self) -> int:
        """The weight of everything sent so far."""
        return self._used

    async def acquire(self, weight: int = 1, key: str = "") -> Ticket:
        """
        Wait until a request of this weight may be sent.

        Raises:
            ValueError: it never may, because it alone is over the limit.
        """
        if weight > self._most(key):
            msg = f"A request of weight {weight} is over a limit of {self._most(key)} and would wait for ever."
            raise ValueError(msg)
        async with self._turns[self._counted_as(key)]:
            while (pause := max(self._blocked_until - self._clock(), self._pause(weight, key))) > 0:
                await self._sleep(max(pause, _SHORTEST_SECONDS))
            self._used += weight
            return self._take(weight, key)

    def release(self, ticket: Ticket, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Note that the request has been answered, or never will be."""
        ticket.answered_at = self._clock()

    def block(self, seconds: float) -> None:
        """Let nobody send anything for a while."""
        self._blocked_until = max(self._blocked_until, self._clock() + seconds)

    @abstractmethod
    def describe(self) -> str:
        """Say in words how much is used of what."""

    def _counted_as(self, key: str) -> str:
        """Return the name of the count that a request with this key goes into."""
        return ""

    @abstractmethod
    def _most(self, key: str) -> int:
        """Return the largest weight that may ever be sent at once."""

    @abstractmethod
    def _pause(self, weight: int, key: str) -> float:
        """Return how long to wait before asking again; 0 or less if a request may go now."""

    @abstractmethod
    def _take(self, weight: int, key: str) -> Ticket:
        """Count a request that goes now."""


class SlidingWindow(PacedBudget):
    """
    At most `allowed` requests in any `seconds`.

    A request counts until `seconds` after its answer came back: it arrived there at some moment before, and the next
    one arrives after it is sent, so the exchange does not see more than `allowed` however the way's length changes.
    Each key has a window of its own.

    Args:
        allowed: how many.
        seconds: the length of the window.
        allowed_for: how many with these keys, where that differs.
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
        self._tickets: defaultdict[str, list[Ticket]] = defaultdict(list)

    def describe(self) -> str:
        """Say in words how much is used of what."""
        each = "; ".join(f"{key} {allowed}" for key, allowed in self._allowed_for.items())
        return f"{self._used} requests, at most {self._allowed} per {self._seconds:g} s{each and f' ({each})'}"

    def _counted_as(self, key: str) -> str:
        return key

    def _most(self, key: str) -> int:
        return self._allowed_for.get(key, self._allowed)

    def _pause(self, weight: int, key: str) -> float:
        now = self._clock()
        begin = now - self._seconds - _GUARD_SECONDS
        # Answers do not come back in the order of the questions; one that is on its way may arrive there only now.
        recent = sorted(min(ticket.answered_at, now) for ticket in self._tickets[key] if ticket.answered_at > begin)
        excess = len(recent) + weight - self._most(key)
        return recent[excess - 1] - begin if excess > 0 else 0.0

    def _take(self, weight: int, key: str) -> Ticket:
        now = self._clock()
        begin = now - self._seconds - _GUARD_SECONDS
        ticket = Ticket(now)
        kept = (taken for taken in self._tickets[key] if taken.answered_at > begin)
        self._tickets[key] = [*kept, *[ticket] * weight]
        return ticket


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
        self._tokens = float(burst)
        self._filled_at = clock()

    def describe(self) -> str:
        """Say in words how much is used of what."""
        return f"{self._used} requests, at most {self._rate:g} per second"

    def _most(self, key: str) -> int:
        return self._burst

    def _pause(self, weight: int, key: str) -> float:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled_at) * self._rate)
        self._filled_at = now
        lacking = weight - self._tokens
        return lacking / self._rate if lacking > 1e-6 else 0.0

    def _take(self, weight: int, key: str) -> Ticket:
        self._tokens -= weight
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
        self._minute = -1
        self._before = 0
        self._own = 0
        self._others = 0

    def describe(self) -> str:
        """Say in words how much is used of what."""
        return f"weight {self._used} used, at most {self._limit} per minute"

    def release(self, ticket: Ticket, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Note that the request has been answered, and learn from its header what others use."""
        super().release(ticket)
        text = headers.get(self._header, "")
        self._turn_over()
        # The header of a request that was sent before, or near, the turn may tell of the minute before.
        is_current = ticket.sent_at >= self._minute * 60 + self._guard_seconds
        if is_current and text.isascii() and text.isdigit() and len(text) < 10:
            self._others = max(self._others, int(text) - self._own)

    def _most(self, key: str) -> int:
        return self._usable

    def _pause(self, weight: int, key: str) -> float:
        self._turn_over()
        into_minute = self._clock() % 60
        is_early = into_minute < self._guard_seconds
        used = self._own + self._others + (self._before if is_early else 0)
        if used + weight <= self._usable:
            return 0.0
        return (self._guard_seconds if is_early else 60) - into_minute

    def _take(self, weight: int, key: str) -> Ticket:
        self._own += weight
        return Ticket(self._clock())

    def _turn_over(self) -> None:
        """Begin a new count if the exchange's minute is over."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._before = self._own + self._others if minute == self._minute + 1 else 0
            self._minute, self._own, self._others = minute, 0, 0
