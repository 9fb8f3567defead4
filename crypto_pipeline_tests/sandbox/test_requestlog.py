"""What the sandbox remembers of each request."""

from __future__ import annotations

import base64
import json

import pytest

from crypto_pipeline.sandbox.requestlog import MOST_ENTRIES, RequestLog, key_presented
from crypto_pipeline_tests.sandbox.asking import NOW_MS, asked, with_headers


def token(claims: object) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{part}.c2ln"


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"x-mbx-apikey": "a"}, "a"),
        ({"ok-access-key": "b"}, "b"),
        ({"x-bapi-api-key": "c"}, "c"),
        ({"cb-access-key": "d"}, "d"),
        ({"authorization": f"Bearer {token({'sub': 'organizations/1'})}"}, "organizations/1"),
        ({"authorization": f"Bearer {token({})}"}, "unreadable token"),
        ({"authorization": f"Bearer {token([])}"}, "unreadable token"),
        ({"authorization": "Bearer a.!.c"}, "unreadable token"),
        ({"authorization": "Bearer hf_secret"}, "bearer token"),
        ({"authorization": "Basic dTpw"}, None),
    ],
)
def test_a_key_is_known_by_its_name(headers: dict[str, str], key: str | None) -> None:
    """Never by its secret: a Hugging Face token is one, so it has no name here."""
    assert key_presented(with_headers(asked("/"), headers)) == key


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("a=1&signature=abc&b=2", "a=1&signature=left-out&b=2"),
        ("signature=abc", "signature=left-out"),
        ("a=1", "a=1"),
        ("designature=abc", "designature=abc"),
    ],
)
def test_signatures_are_left_out(query: str, kept: str) -> None:
    log = RequestLog()

    log.add("binance", asked("/x", query), "k", 200)

    assert log.all() == [
        {
            "exchange": "binance",
            "method": "GET",
            "path": "/x",
            "query": kept,
            "key": "k",
            "status": 200,
            "time_ms": NOW_MS,
        }
    ]


def test_it_can_be_cleared_and_gives_copies() -> None:
    log = RequestLog()
    log.add("okx", asked("/a"), None, None)
    before = log.all()

    log.clear()

    assert log.all() == []
    assert [entry["path"] for entry in before] == ["/a"]


def test_only_the_latest_are_kept() -> None:
    """A sandbox may run for days."""
    log = RequestLog()
    for number in range(MOST_ENTRIES + 5):
        log.add("okx", asked("/a", str(number)), None, 200)

    assert len(log.all()) == MOST_ENTRIES
    assert log.all()[0]["query"] == "5"
