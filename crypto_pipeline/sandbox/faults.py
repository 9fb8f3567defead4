"""Faults that a test can switch on: slow, failing, lying and broken exchanges."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from crypto_pipeline.sandbox.interface import Answer, Request, SimulatedExchange
from crypto_pipeline.sandbox.wire import Reply

KINDS = frozenset(
    {
        "latency", "status_5xx", "cut", "clock", "maintenance", "region_block", "rate_limited", "banned", "malformed",
        "cut_body", "redirect",
    }
)  # fmt: skip
_ANSWERED = {
    "status_5xx": "unavailable",
    "maintenance": "maintenance",
    "region_block": "region_blocked",
    "rate_limited": "rate_limited",
    "banned": "banned",
}


@dataclass(slots=True)
class Fault:
    """
    One fault of one exchange.

    Fields:
        kind: a member of `KINDS`.
        amount: seconds of latency, or seconds by which the clock is ahead.
        path_prefix: only requests to paths that begin so.
        times: how many more requests it meets; None for all.
    """

    exchange: str
    kind: str
    amount: float = 0.0
    path_prefix: str = ""
    times: int | None = None

    def meets(self, path: str) -> bool:
        """Say whether a request to `path` is met."""
        return path.startswith(self.path_prefix) and self.times != 0


class Faults:
    """The faults in force; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """
        Switch a fault on.

        Raises:
            ValueError: there is no such kind, or a number is out of its range.
        """
        if fault.kind not in KINDS:
            msg = f"There is no fault {fault.kind!r}; there are {', '.join(sorted(KINDS))}."
            raise ValueError(msg)
        _check_range(fault)
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Switch every fault off."""
        with self._lock:
            self._faults.clear()

    def take(self, exchange: str, path: str) -> list[Fault]:
        """Return the faults that a request meets, and count it."""
        with self._lock:
            met = [fault for fault in self._faults if fault.exchange == exchange and fault.meets(path)]
            for fault in met:
                if fault.times is not None:
                    fault.times -= 1
        return met


def _check_range(fault: Fault) -> None:
    """Refuse what would only be found out when the fault meets a request."""
    if not math.isfinite(fault.amount) or (fault.kind == "latency" and fault.amount < 0):
        msg = f"The amount is a number of seconds, for a latency not below zero; it is {fault.amount}."
        raise ValueError(msg)
    if fault.times is not None and fault.times < 1:
        msg = f"A fault meets at least one request, not {fault.times}."
        raise ValueError(msg)


def answer_with(faults: list[Fault], exchange: SimulatedExchange, request: Request) -> Reply:
    """Return what the exchange answers under the faults that the request met."""
    kinds = {fault.kind for fault in faults}
    delay = sum(fault.amount for fault in faults if fault.kind == "latency")
    if "cut" in kinds:
        return Reply(None, delay)
    if "malformed" in kinds:
        return Reply(
            Answer(200, b"<html><body>Checking your browser</body></html>", {"content-type": "text/html"}), delay
        )
    if "redirect" in kinds:
        return Reply(Answer(302, b"", {"location": f"http://{request.headers.get('host', '')}/elsewhere"}), delay)
    answered = next((_ANSWERED[fault.kind] for fault in faults if fault.kind in _ANSWERED), None)
    answer = exchange.rate_answer(request, answered) if answered else exchange.handle(request)
    return Reply(answer, delay, cut_body="cut_body" in kinds)
