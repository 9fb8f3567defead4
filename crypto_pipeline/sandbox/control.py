"""
The control endpoint: request log, faults and keys over HTTP, for tests in other processes.

GET and DELETE /requests; POST and DELETE /faults; POST /keys; POST /keys/revoke; GET /health.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from crypto_pipeline.sandbox.interface import Answer, Request, json_answer
from crypto_pipeline.sandbox.keys import KeyKind

if TYPE_CHECKING:
    from crypto_pipeline.sandbox.server import Sandbox

Body = Mapping[str, Any]
Types = Mapping[str, type | tuple[type, ...]]

FAULT: Types = MappingProxyType({"amount": (int, float), "path_prefix": str, "times": int})
KEY: Types = MappingProxyType(
    {"algorithm": str, "api_key": str, "api_secret": str, "passphrase": str, "addresses": list, "created_ms": int}
)
"""What may be given besides exchange and kind."""


def control_answer(sandbox: Sandbox, request: Request) -> Answer:
    """Answer one request to the control endpoint; bad input gets 400 with a sentence."""
    action = _ACTIONS.get((request.method, request.path))
    if action is None:
        known = ", ".join(f"{method} {path}" for method, path in _ACTIONS)
        return json_answer(404, {"error": f"There is no {request.method} {request.path}; there are {known}."})
    try:
        body = json.loads(request.body or b"{}")
        if not isinstance(body, dict):
            raise TypeError("the body is no JSON object.")
        return json_answer(200, action(sandbox, body))
    except (ValueError, TypeError) as error:
        return json_answer(400, {"error": f"The request is not usable: {error}"})


def _named(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        msg = f"{name!r} is missing, or no text."
        raise TypeError(msg)
    return value


def _further(body: Body, types: Types) -> dict[str, Any]:
    """Return the fields besides exchange and kind, each of its type."""
    further = {name: value for name, value in body.items() if name not in {"exchange", "kind"}}
    for name, value in further.items():
        if name not in types:
            msg = f"There is no field {name!r}; there are exchange, kind, {', '.join(types)}."
            raise ValueError(msg)
        if isinstance(value, bool) or not isinstance(value, types[name]):
            msg = f"{name!r} is not of its type."
            raise TypeError(msg)
    return further


def _health(sandbox: Sandbox, _: Body) -> object:
    return {"urls": sandbox.urls}


def _requests(sandbox: Sandbox, _: Body) -> object:
    return sandbox.requests()


def _forget(sandbox: Sandbox, _: Body) -> object:
    sandbox.clear_requests()
    return {}


def _add_fault(sandbox: Sandbox, body: Body) -> object:
    sandbox.add_fault(_named(body, "exchange"), _named(body, "kind"), **_further(body, FAULT))
    return {}


def _clear_faults(sandbox: Sandbox, _: Body) -> object:
    sandbox.clear_faults()
    return {}


def _issue(sandbox: Sandbox, body: Body) -> object:
    kind, further = KeyKind(_named(body, "kind")), _further(body, KEY)
    if "addresses" in further:
        # As text, because a number would be taken for the address it encodes.
        further["addresses"] = tuple(str(address) for address in further["addresses"])
    return asdict(sandbox.keys.issue(_named(body, "exchange"), kind, now_ms=sandbox.now_ms(), **further))


def _revoke(sandbox: Sandbox, body: Body) -> object:
    return {"revoked": sandbox.keys.revoke(_named(body, "exchange"), _named(body, "api_key"))}


_ACTIONS: Mapping[tuple[str, str], Callable[[Sandbox, Body], object]] = {
    ("GET", "/health"): _health,
    ("GET", "/requests"): _requests,
    ("DELETE", "/requests"): _forget,
    ("POST", "/faults"): _add_fault,
    ("DELETE", "/faults"): _clear_faults,
    ("POST", "/keys"): _issue,
    ("POST", "/keys/revoke"): _revoke,
}
