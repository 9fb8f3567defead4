"""
How fast an exchange may be asked.

A budget counts what was sent as the exchange counts it, and makes callers wait before they would go over the
limit. It knows no exchange: limits come in as arguments, time and sleep too. Here: what all budgets share; how each
counts is in `windows`, what is known of a limit in `limits`.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from crypto_pipeline.transport.limits import LimitState, OwnState, SharedState

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_SHORTEST_SECONDS = 0.001
"""Rounding must not make the last nanosecond of a wait a loop of its own."""

LONGEST_ANSWER_SECONDS = 60.0
"""A request that was not answered by then never will be: whoever sent it has ended."""


@dataclass(slots=True)
class Ticket:
    """
    The right to send one request.

    Fields:
        sent_at: when it was given.
        key: the count that it went into.
        number: tells it from all others of that count.
    """

    sent_at: float
    key: str = ""
    number: int = 0


class Budget(Protocol):
    """What a client may use of an exchange's patience."""

    @property
    def used(self) -> int:
        """The weight of everything sent so far."""
        ...

    async def acquire(self, weight: int = 1, key: str = "") -> Ticket:
        """
        Wait until a request of this weight may be sent; `key` is the endpoint, where each has its own limit.

        Whoever is shut out does not wait, and may not send: ask `shut_seconds` afterwards.
        """
        ...

    def release(self, ticket: Ticket, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Note that the request has been answered, with these headers, or never will be."""
        ...

    def block(self, seconds: float) -> None:
        """Let nobody send anything for a while: the exchange asked for it."""
        ...

    def shut(self, seconds: float) -> None:
        """Note that the exchange has shut us out for so long."""
        ...

    def shut_seconds(self) -> float:
        """Return for how much longer we are shut out."""
        ...

    def share(self, path: Path, name: str) -> None:
        """Count together with all processes of this host that name the same file and limit."""
        ...

    def describe(self) -> str:
        """Say in words how much is used of what."""
        ...


class PacedBudget(ABC):
    """
    What all budgets share: first come, first served, and a block that holds for everybody.

    What is known of a limit is a dictionary (see `limits`), so that it can be kept in a file.
    """

    def __init__(self, *, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._used = 0
        self._state: LimitState = OwnState()
        self._shut_until = 0.0
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
            while True:
                with self._state.changing() as known:
                    self._shut_until = known.get("shut_until", 0.0)
                    if self.shut_seconds():
                        return Ticket(self._clock(), key)  # nothing may be waited for, or counted, that is not sent
                    blocked = known.get("blocked_until", 0.0) - self._clock()
                    pause = max(blocked, self._pause(known, weight, key))
                    if pause <= 0:
                        self._used += weight
                        return self._take(known, weight, key)
                await self._sleep(max(pause, _SHORTEST_SECONDS))

    def release(self, ticket: Ticket, headers: Mapping[str, str] = NO_HEADERS) -> None:  # noqa: B027 - some need not know
        """Note that the request has been answered, or never will be."""

    def block(self, seconds: float) -> None:
        """Let nobody send anything for a while."""
        self._extend("blocked_until", seconds)

    def shut(self, seconds: float) -> None:
        """Note that the exchange has shut us out for so long."""
        self._extend("shut_until", seconds)
        self._shut_until = max(self._shut_until, self._clock() + seconds)

    def shut_seconds(self) -> float:
        """Return for how much longer we are shut out, as far as was known when a request was last allowed."""
        return max(0.0, self._shut_until - self._clock())

    def share(self, path: Path, name: str) -> None:
        """Count together with all processes of this host that name the same file and limit."""
        self._state = SharedState(path, name)

    def _extend(self, name: str, seconds: float) -> None:
        with self._state.changing() as known:
            known[name] = max(known.get(name, 0.0), self._clock() + seconds)

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
    def _pause(self, known: dict[str, Any], weight: int, key: str) -> float:
        """Return how long to wait before asking again; 0 or less if a request may go now."""

    @abstractmethod
    def _take(self, known: dict[str, Any], weight: int, key: str) -> Ticket:
        """Count a request that goes now."""
