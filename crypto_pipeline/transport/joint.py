"""
A budget for an exchange that counts some of its endpoints twice.

Here: how two counts are kept together. How each of them counts belongs to `windows.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crypto_pipeline.transport.budget import NO_HEADERS, Budget, Ticket


class JointBudget:
    """
    One budget for all requests, and a further one for some endpoints, which must allow theirs too.

    Args:
        whole: counts every request, by its weight.
        further: by the name that an endpoint is counted as; counts requests.
    """

    def __init__(self, whole: Budget, further: Mapping[str, Budget]) -> None:
        self._whole = whole
        self._further = further
        self._held: dict[int, tuple[Ticket, Budget, Ticket]] = {}
        """By the identity of the right that the whole gave: that right, and what was given besides."""

    @property
    def used(self) -> int:
        """The weight of everything sent so far."""
        return self._whole.used

    async def acquire(self, weight: int = 1, key: str = "") -> Ticket:
        """
        Wait until a request of this weight may be sent, by all counts that it is in; `key` is the endpoint.

        Raises:
            ValueError: it never may, because it alone is over a limit.
        """
        budget = self._further.get(key)
        if budget is None:
            return await self._whole.acquire(weight)
        # The whole comes last: it counts by the minute in which its right is given, so nothing may be waited for after.
        besides = await budget.acquire()
        try:
            ticket = await self._whole.acquire(weight)
        except BaseException:
            budget.release(besides)
            raise
        self._held[id(ticket)] = ticket, budget, besides
        return ticket

    def release(self, ticket: Ticket, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Note that the request has been answered, with these headers, or never will be."""
        self._whole.release(ticket, headers)
        if id(ticket) in self._held:
            _, budget, besides = self._held.pop(id(ticket))
            budget.release(besides, headers)

    def block(self, seconds: float) -> None:
        """Let nobody send anything for a while: the exchange asked for it."""
        self._whole.block(seconds)

    def shut(self, seconds: float) -> None:
        """Note that the exchange has shut us out for so long."""
        self._whole.shut(seconds)

    def shut_seconds(self) -> float:
        """Return for how much longer we are shut out."""
        return self._whole.shut_seconds()

    def share(self, path: Path, name: str) -> None:
        """Count together with all processes of this host that name the same file and limit."""
        self._whole.share(path, name)
        for key, budget in self._further.items():
            budget.share(path, f"{name} {key}")

    def describe(self) -> str:
        """Say in words how much is used of what."""
        each = (f"{key}: {budget.describe()}" for key, budget in self._further.items())
        return "; ".join((self._whole.describe(), *each))
