"""The simulated Hugging Face Hub, asked directly."""

from __future__ import annotations

from typing import Any

import pytest

from crypto_pipeline.sandbox.huggingface import HuggingFaceHub
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing
from crypto_pipeline_tests.sandbox.asking import NOW_MS, asked, content, with_headers

WHOAMI = "/api/whoami-v2"


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing()


@pytest.fixture
def hub(keys: KeyRing) -> HuggingFaceHub:
    return HuggingFaceHub(keys)


def access_token(keys: KeyRing, hub: HuggingFaceHub, kind: KeyKind) -> dict[str, Any]:
    key = keys.issue("huggingface", kind, now_ms=NOW_MS)
    answer = hub.handle(with_headers(asked(WHOAMI), {"authorization": f"Bearer {key.api_secret}"}))
    assert answer.status == 200
    found: dict[str, Any] = content(answer)["auth"]["accessToken"]
    return found


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        (KeyKind.READ_ONLY, "read"),
        (KeyKind.OLD, "read"),
        (KeyKind.UNBOUND_IP, "read"),
        (KeyKind.MAY_TRADE, "write"),
        (KeyKind.MAY_WITHDRAW, "write"),
        (KeyKind.MAY_TRANSFER, "write"),
        (KeyKind.UNKNOWN_FLAG, "fineGrained"),
        (KeyKind.FLAG_MISSING, None),
    ],
)
def test_each_kind_of_token_shows_its_role(keys: KeyRing, hub: HuggingFaceHub, kind: KeyKind, role: str | None) -> None:
    assert access_token(keys, hub, kind).get("role") == role


def test_a_fine_grained_token_lists_its_scopes(keys: KeyRing, hub: HuggingFaceHub) -> None:
    """One of them writes."""
    (scope,) = access_token(keys, hub, KeyKind.UNKNOWN_FLAG)["fineGrained"]["scoped"]

    assert scope["permissions"] == ["repo.content.read", "repo.write"]


def test_a_token_tells_its_age(keys: KeyRing, hub: HuggingFaceHub) -> None:
    assert access_token(keys, hub, KeyKind.OLD)["createdAt"] == "2025-11-22T12:00:30.000Z"


@pytest.mark.parametrize("kind", [KeyKind.EXPIRED, KeyKind.REVOKED])
def test_a_token_that_is_no_more_is_refused(keys: KeyRing, hub: HuggingFaceHub, kind: KeyKind) -> None:
    key = keys.issue("huggingface", kind, now_ms=NOW_MS)

    answer = hub.handle(with_headers(asked(WHOAMI), {"authorization": f"Bearer {key.api_secret}"}))

    assert (answer.status, content(answer)) == (401, {"error": "Invalid credentials in Authorization header"})


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer unknown", "Basic unknown"])
def test_without_a_known_token_nobody_is_known(hub: HuggingFaceHub, authorization: str) -> None:
    assert hub.handle(with_headers(asked(WHOAMI), {"authorization": authorization})).status == 401


def test_a_token_works_as_bearer_only(keys: KeyRing, hub: HuggingFaceHub) -> None:
    key = keys.issue("huggingface", KeyKind.READ_ONLY, now_ms=NOW_MS)

    assert hub.handle(with_headers(asked(WHOAMI), {"authorization": f"Basic {key.api_secret}"})).status == 401
    assert hub.handle(with_headers(asked(WHOAMI), {"authorization": f"Bearer {key.api_key}"})).status == 401


def test_nothing_else_is_there(hub: HuggingFaceHub) -> None:
    assert hub.handle(asked("/api/models")).status == 404


@pytest.mark.parametrize(
    ("fault", "status"),
    [("rate_limited", 429), ("banned", 403), ("region_blocked", 451), ("maintenance", 503), ("unavailable", 500)],
)
def test_each_fault_has_a_status(hub: HuggingFaceHub, fault: str, status: int) -> None:
    assert hub.rate_answer(asked(WHOAMI), fault).status == status
