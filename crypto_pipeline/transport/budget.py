"""
How fast an exchange may be asked.

A budget counts what was sent as the exchange counts it, and makes callers wait before they would go over the
limit. It knows no exchange: limits come in as arguments, time and sleep too.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]

_GUARD_SECONDS = 0.01
"""Two clocks that run side by side do not tick together."""


@dataclass(slots=True)
class Ticket:
    """The right to send one request; `counts_from` is when it was sent, and after `release` when it was answered."""

    counts_from: float


class Budget(Protocol):
    """What a client may use of an exchange's patience."""

    @property
    def used(self) -> int:
        """The weight of everything sent so far."""
        ...

    async def acquire(self, weight: int = 1, key: str = "") -> Ticket:
        """Wait until a request of this weight may be sent; `key` is the endpoint, where each has its own limit."""
        ...

    def release(self, ticket: Ticket) -> None:
        """Note that the request has been answered, or never will be."""
        ...

    def observe(self, headers: Mapping[str, str]) -> None:
        """Learn from the headers of an answer."""
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
        self._blocked_until = float("-inf")
        # Whoever waits holds the turn: those behind could not go earlier.
        self._turn = asyncio.Lock()

    @property
    def used(self) -> int:
        """The weight of everything sent so far."""
        return self._used

    async def acquire(self, weight: int = 1, key: str = "") -> Ticket:
        """Wait until a request of this weight may be sent."""
        async with self._turn:
            while (pause := max(self._blocked_until - self._clock(), self._pause(weight, key))) > 0:
                await self._sleep(pause)
            self._used += weight
            return self._take(weight, key)

    def release(self, ticket: Ticket) -> None:
        """Note that the request has been answered, or never will be."""
        ticket.counts_from = self._clock()

    def observe(self, headers: Mapping[str, str]) -> None:  # noqa: B027 - most exchanges tell nothing
        """Learn from the headers of an answer."""

    def block(self, seconds: float) -> None:
        """Let nobody send anything for a while."""
        self._blocked_until = max(self._blocked_until, self._clock() + seconds)

    @abstractmethod
    def describe(self) -> str:
        """Say in words how much is used of what."""

    @abstractmethod
    def _pause(self, weight: int, key: str) -> float:
        """Return how long to wait before asking again; 0 or less if a request may go now."""

    @abstractmethod
    def _take(self, weight: int, key: str) -> Ticket:
        """Count a request that goes now."""


class SlidingWindow(PacedBudget):
    """
    At most `allowed` requests in any `seconds`.

    A request counts until `seconds` after it was released, that is, after its answer came back: it arrived there at
    some moment before, and the next one arrives after it is sent, so the exchange does not see more than `allowed`
    however the way's length changes. Each key has a window of its own.

    Args:
        allowed: how many.
        seconds: the length of the window.
    """

    def __init__(
        self,
        allowed: int,
        seconds: float,
        *,
        clock: Clock = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        super().__init__(clock=clock, sleep=sleep)
        self._allowed = allowed
        self._seconds = seconds
        self._tickets: defaultdict[str, list[Ticket]] = defaultdict(list)

    def describe(self) -> str:
        """Say in words how much is used of what."""
        return f"{self._used} requests, at most {self._allowed} per {self._seconds:g} s"

    def _pause(self, weight: int, key: str) -> float:
        now = self._clock()
        begin = now - self._seconds - _GUARD_SECONDS
        # Answers do not come back in the order of the questions, so neither are the tickets in order.
        recent = sorted(ticket.counts_from for ticket in self._tickets[key] if ticket.counts_from > begin)
        excess = len(recent) + weight - self._allowed
        return recent[excess - 1] - begin if excess > 0 else 0.0

    def _take(self, weight: int, key: str) -> Ticket:
        now = self._clock()
        begin = now - self._seconds - _GUARD_SECONDS
        ticket = Ticket(now)
        kept = (taken for taken in self._tickets[key] if taken.counts_from > begin)
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

    def _pause(self, weight: int, key: str) -> float:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled_at) * self._rate)
        self._filled_at = now
        lacking = weight - self._tokens
        # Rounding must not make the last nanosecond of a wait a loop of its own.
        return lacking / self._rate if lacking > 1e-6 else 0.0

    def _take(self, weight: int, key: str) -> Ticket:
        self._tokens -= weight
        return Ticket(self._clock())


class MinuteWindow(PacedBudget):
    """
    A weight per minute of the exchange's clock, with a header that tells how much is used.

    Others may share our address, so the header counts where it says more than we know of.

    Args:
        limit: the weight per minute.
        margin: what is never used, for requests that are on their way when a header is written.
        header: the name of the header with the weight used in the running minute.
        clock: the exchange's time in seconds.
        guard_seconds: how long after the turn of the minute to wait once a minute was used up: the two clocks are
            not the same, and a request that comes too early counts in the minute that is used up.
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
        self._limit = limit
        self._margin = margin
        self._header = header
        self._guard_seconds = guard_seconds
        self._minute = -1
        self._own = 0
        self._others = 0
        self._told_before = 0
        self._told = 0

    def describe(self) -> str:
        """Say in words how much is used of what."""
        return f"weight {self._used} used, at most {self._limit} per minute"

    def observe(self, headers: Mapping[str, str]) -> None:
        """Learn what others use; a header of the minute before, which comes in late, says nothing."""
        text = headers.get(self._header, "")
        if not (text.isascii() and text.isdigit()):
            return
        told = int(text)
        self._turn_over()
        into_minute = self._clock() % 60
        if self._told_before <= told and into_minute < 2 * self._guard_seconds and told > self._own:
            return
        self._told = max(self._told, told)
        self._others = max(self._others, told - self._own)

    def _pause(self, weight: int, key: str) -> float:
        self._turn_over()
        if self._own + self._others + weight <= self._limit - self._margin:
            return 0.0
        return 60 - self._clock() % 60 + self._guard_seconds

    def _take(self, weight: int, key: str) -> Ticket:
        self._own += weight
        return Ticket(self._clock())

    def _turn_over(self) -> None:
        """Begin a new count if the exchange's minute is over."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute = minute
            self._told_before, self._told = self._told, 0
            self._own = self._others = 0
