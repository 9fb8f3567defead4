"""
The control endpoint: request log, faults and keys over HTTP, for tests in other processes.

GET and DELETE /requests; POST and DELETE /faults; POST /keys; POST /keys/revoke; GET /health.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from crypto_pipeline.sandbox.interface import Answer, Request, json_answer
from crypto_pipeline.sandbox.keys import KeyKind

if TYPE_CHECKING:
    from crypto_pipeline.sandbox.server import Sandbox

Body = Mapping[str, Any]


def control_answer(sandbox: Sandbox, request: Request) -> Answer:
    """Answer one request to the control endpoint; bad input gets 400 with a sentence."""
    action = _ACTIONS.get((request.method, request.path))
    if action is None:
        known = ", ".join(f"{method} {path}" for method, path in _ACTIONS)
        return json_answer(404, {"error": f"There is no {request.method} {request.path}; there are {known}."})
    try:
        body = json.loads(request.body or b"{}")
        return json_answer(200, action(sandbox, body))
    except (ValueError, TypeError, KeyError) as error:
        return json_answer(400, {"error": f"The request is not usable: {error}."})


def _health(sandbox: Sandbox, _: Body) -> object:
    return {"urls": sandbox.urls}


def _requests(sandbox: Sandbox, _: Body) -> object:
    return sandbox.requests()


def _forget(sandbox: Sandbox, _: Body) -> object:
    sandbox.clear_requests()
    return {}


def _add_fault(sandbox: Sandbox, body: Body) -> object:
    wanted = dict(body)
    sandbox.add_fault(wanted.pop("exchange"), wanted.pop("kind"), **wanted)
    return {}


def _clear_faults(sandbox: Sandbox, _: Body) -> object:
    sandbox.clear_faults()
    return {}


def _issue(sandbox: Sandbox, body: Body) -> object:
    wanted = dict(body)
    kind = KeyKind(wanted.pop("kind"))
    if "addresses" in wanted:
        wanted["addresses"] = tuple(wanted["addresses"])
    return asdict(sandbox.keys.issue(wanted.pop("exchange"), kind, now_ms=sandbox.now_ms(), **wanted))


def _revoke(sandbox: Sandbox, body: Body) -> object:
    return {"revoked": sandbox.keys.revoke(body["exchange"], body["api_key"])}


_ACTIONS: Mapping[tuple[str, str], Callable[[Sandbox, Body], object]] = {
    ("GET", "/health"): _health,
    ("GET", "/requests"): _requests,
    ("DELETE", "/requests"): _forget,
    ("POST", "/faults"): _add_fault,
    ("DELETE", "/faults"): _clear_faults,
    ("POST", "/keys"): _issue,
    ("POST", "/keys/revoke"): _revoke,
}
