"""The control endpoint, asked as a test in another process would."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from crypto_pipeline.sandbox.control import control_answer
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline_tests.sandbox.asking import NOW_MS, asked, content


@pytest.fixture
def sandbox() -> Sandbox:
    """A sandbox that does not listen."""
    return Sandbox(clock=lambda: NOW_MS / 1000)


def told(sandbox: Sandbox, method: str, path: str, body: object = None) -> tuple[int, Any]:
    sent = b"" if body is None else json.dumps(body).encode()
    answer = control_answer(sandbox, replace(asked(path), method=method, body=sent))
    return answer.status, content(answer)


def test_addresses_are_told(sandbox: Sandbox) -> None:
    sandbox.urls["okx"] = "http://127.0.0.1:1"

    assert told(sandbox, "GET", "/health") == (200, {"urls": {"okx": "http://127.0.0.1:1"}})


def test_requests_are_listed_and_forgotten(sandbox: Sandbox) -> None:
    sandbox.log.add("okx", asked("/a"), None, 200)

    status, listed = told(sandbox, "GET", "/requests")
    assert (status, [entry["path"] for entry in listed]) == (200, ["/a"])
    assert told(sandbox, "DELETE", "/requests") == (200, {})
    assert told(sandbox, "GET", "/requests") == (200, [])


def test_faults_are_switched_on_and_off(sandbox: Sandbox) -> None:
    wanted = {"exchange": "okx", "kind": "latency", "amount": 2, "path_prefix": "/a", "times": 3}

    assert told(sandbox, "POST", "/faults", wanted) == (200, {})
    (fault,) = sandbox.faults.take("okx", "/a")
    assert (fault.kind, fault.amount, fault.times) == ("latency", 2, 2)

    assert told(sandbox, "DELETE", "/faults") == (200, {})
    assert sandbox.faults.take("okx", "/a") == []


def test_a_key_is_issued_and_revoked(sandbox: Sandbox) -> None:
    wanted = {"exchange": "okx", "kind": "may_trade", "addresses": ["10.0.0.0/8"], "created_ms": 5}

    status, key = told(sandbox, "POST", "/keys", wanted)

    assert status == 200
    assert (key["kind"], key["addresses"], key["created_ms"]) == ("may_trade", ["10.0.0.0/8"], 5)
    found = sandbox.keys.find("okx", key["api_key"])
    assert found is not None
    assert (found.kind, found.api_secret) == (KeyKind.MAY_TRADE, key["api_secret"])
    parts = {"exchange": "okx", "api_key": key["api_key"]}
    assert told(sandbox, "POST", "/keys/revoke", parts) == (200, {"revoked": True})
    assert told(sandbox, "POST", "/keys/revoke", parts) == (200, {"revoked": False})


def test_a_key_is_made_at_the_sandboxs_own_time(sandbox: Sandbox) -> None:
    _, key = told(sandbox, "POST", "/keys", {"exchange": "bybit", "kind": "read_only"})

    assert key["created_ms"] == NOW_MS - 5 * 86_400_000


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/faults", [], "no JSON object"),
        ("/faults", {"kind": "cut"}, "'exchange' is missing"),
        ("/faults", {"exchange": "okx"}, "'kind' is missing"),
        ("/faults", {"exchange": "okx", "kind": 7}, "'kind' is missing, or no text"),
        ("/faults", {"exchange": "kraken", "kind": "cut"}, "no exchange 'kraken'"),
        ("/faults", {"exchange": "okx", "kind": "earthquake"}, "no fault 'earthquake'"),
        ("/faults", {"exchange": "okx", "kind": "latency", "amount": "2"}, "'amount' is not of its type"),
        ("/faults", {"exchange": "okx", "kind": "latency", "amount": True}, "'amount' is not of its type"),
        ("/faults", {"exchange": "okx", "kind": "latency", "amount": float("nan")}, "number of seconds"),
        ("/faults", {"exchange": "okx", "kind": "cut", "times": 0}, "at least one request"),
        ("/faults", {"exchange": "okx", "kind": "cut", "colour": "red"}, "no field 'colour'"),
        ("/keys", {"exchange": "okx", "kind": "golden"}, "golden"),
        ("/keys", {"exchange": "kraken", "kind": "read_only"}, "no exchange 'kraken'"),
        ("/keys", {"exchange": "okx", "kind": "read_only", "addresses": "10.0.0.1"}, "'addresses' is not of its type"),
        ("/keys", {"exchange": "okx", "kind": "read_only", "addresses": [7]}, "7"),
        ("/keys", {"exchange": "okx", "kind": "read_only", "algorithm": "es256"}, "sign with hmac"),
        ("/keys/revoke", {"exchange": "okx"}, "'api_key' is missing"),
    ],
)
def test_what_cannot_be_used_is_answered_with_a_sentence(sandbox: Sandbox, path: str, body: object, said: str) -> None:
    status, answer = told(sandbox, "POST", path, body)

    assert status == 400
    assert answer["error"].startswith("The request is not usable: ")
    assert said in answer["error"]


def test_what_is_no_json_is_answered_with_a_sentence(sandbox: Sandbox) -> None:
    answer = control_answer(sandbox, replace(asked("/keys"), method="POST", body=b"\xff{"))

    assert answer.status == 400


def test_an_unknown_path_is_answered_with_the_known_ones(sandbox: Sandbox) -> None:
    status, answer = told(sandbox, "PUT", "/keys")

    assert status == 404
    assert "POST /keys" in answer["error"]
