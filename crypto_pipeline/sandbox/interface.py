"""
The interface of a simulated exchange, and the records that go in and out.

A simulated exchange is a plain object: one request in, one answer out, with the time as part of
the request. `server.py` puts it on a socket.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Request:
    """
    One request exactly as it arrived.

    Fields:
        method: upper case.
        path: the path as sent, still percent-encoded, without the query.
        query: the raw query as sent, without `?`; never re-serialised, because signatures cover it.
        headers: names in lower case.
        body: the raw body.
        client_address: the caller's IP address.
        now_ms: the exchange's clock, milliseconds since the epoch.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    client_address: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; `body` is sent as it is."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(status: int, value: object, headers: Mapping[str, str] | None = None) -> Answer:
    """Return `value` as compact JSON, as the exchanges send it."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Answer(status, body, {"content-type": "application/json;charset=UTF-8", **(headers or {})})


class SimulatedExchange(Protocol):
    """One exchange as seen from outside."""

    name: str

    def handle(self, request: Request) -> Answer:
        """Answer one request."""
        ...

    def rate_answer(self, request: Request, fault: str) -> Answer:
        """
        Answer with this exchange's form of a fault.

        `fault` is `rate_limited`, `banned`, `maintenance`, `region_blocked` or `unavailable`.
        """
        ...
