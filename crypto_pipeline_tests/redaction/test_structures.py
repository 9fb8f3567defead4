"""Structures are sanitized by the names of their keys and by value."""

from __future__ import annotations

import base64
import json
import re
from collections import OrderedDict, deque, namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from crypto_pipeline.redaction import (
    MASK,
    SENSITIVE_PATTERNS,
    Secret,
    sanitized,
)
from crypto_pipeline_tests.redaction.values import VALUE

# Surrogates are no text, and a star could join with the mask to something new.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*"), max_size=60)
VALUES = TEXTS.filter(lambda value: len(value.strip()) >= 6)
fuzzed = settings(deadline=None, max_examples=150, database=None)


class Row(NamedTuple):
    """A record with a name that tells."""

    api_key: str
    symbol: str


@dataclass(frozen=True)
class Config:
    """A record of the kind that is logged with its values."""

    password: str
    symbol: str


class Model(BaseModel):
    """The same, as pydantic's."""

    api_secret: str
    symbol: str


class Holder(BaseModel):
    """A model with a secret in it."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    key: Secret


class Talkative:
    """An object that tells what it holds when it is printed."""

    def __init__(self, held: str) -> None:
        self.held = held

    def __repr__(self) -> str:
        return f"Talkative({self.held})"


@pytest.mark.parametrize(
    "name",
    [
        "api_key", "api-key", "apikey", "apiKey", "BINANCE_API_KEY", "X-MBX-APIKEY",
        "api_secret", "apiSecret", "secret", "client_secret", "SecretString",
        "password", "db_passwd", "PGPASSWORD", "user_pwd", "PWD", "passphrase", "OK-ACCESS-PASSPHRASE",
        "token", "hf_token", "X-Vault-Token", "private_key", "privateKey", "credentials",
        "Authorization", "Cookie", "set-cookie", "jwt", "bearer", "signature", "sign", "X-BAPI-SIGN",
        "OK-ACCESS-SIGN", "CB-ACCESS-KEY", "aws_access_key_id",
    ],
)  # fmt: skip
def test_what_stands_under_a_sensitive_name_is_masked(name: str) -> None:
    for value in ("value", b"value", 12345678, None, ["value"], {"inner": "value"}):
        assert sanitized({name: value}) == {name: MASK}


@pytest.mark.parametrize(
    "name", ["symbol", "exchange", "endpoint", "design", "signed", "key", "passed", "author", "id"]
)
def test_what_stands_under_another_name_is_kept(name: str) -> None:
    assert sanitized({name: "value"}) == {name: "value"}


@pytest.mark.parametrize("pattern", [r"api[_-]?key", r"api[_-]?secret", r"password", r"token", r"passphrase"])
def test_the_patterns_of_the_security_handbook_are_among_ours(pattern: str) -> None:
    assert pattern in SENSITIVE_PATTERNS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [{"token": "x"}, {"b": [{"password": "y"}]}]}, {"a": [{"token": MASK}, {"b": [{"password": MASK}]}]}),
        (({"token": "x"},), ({"token": MASK},)),
        (OrderedDict(token="x", b="y"), {"token": MASK, "b": "y"}),
        (MappingProxyType({"token": "x"}), {"token": MASK}),
        ([("Authorization", "Basic x"), ("Accept", "json")], [("Authorization", MASK), ("Accept", "json")]),
        (("a", "b", "c"), ("a", "b", "c")),
        (("token", "x", "y"), ("token", "x", "y")),
        (deque([{"token": "x"}]), [{"token": MASK}]),
        (Row("x", "BTC"), {"api_key": MASK, "symbol": "BTC"}),
        ([Config("x", "BTC")], [{"password": MASK, "symbol": "BTC"}]),
        (Model(api_secret="x", symbol="BTC"), {"api_secret": MASK, "symbol": "BTC"}),
        ({1: "a", None: "b", b"token": "c"}, {1: "a", None: "b", "token": MASK}),
        ({("token", 1): "x"}, {("token", 1): MASK}),
        (namedtuple("Empty", "")(), ()),
        (Config, Config),
        ("text", "text"),
        ([], []),
        ({}, {}),
    ],
    ids=repr,
)
def test_names_are_found_wherever_they_stand(value: object, expected: object) -> None:
    assert sanitized(value) == expected


@pytest.mark.parametrize(
    "value",
    [1, 1.5, True, None, Decimal("1.10"), datetime(2026, 11, 24, tzinfo=UTC), re.compile("x"), 3 + 4j],
    ids=repr,
)
def test_what_shows_no_secret_keeps_its_type(value: object) -> None:
    assert sanitized(value) is value
    assert sanitized([value]) == [value]


@pytest.mark.parametrize(
    "value",
    [
        VALUE,
        VALUE.encode(),
        bytearray(VALUE.encode()),
        memoryview(VALUE.encode()),
        b"\xff\xfe" + VALUE.encode(),
        Secret(VALUE),
        {"note": VALUE},
        {VALUE: 1},
        {VALUE.encode(): 1},
        {(VALUE,): 1},
        [VALUE],
        (1, VALUE, 2),
        ("note", VALUE),
        (VALUE, 1),
        {VALUE},
        frozenset({VALUE}),
        Row("x", VALUE),
        Config("x", VALUE),
        ValueError(f"wrong key {VALUE}"),
        Talkative(VALUE),
        {"error": Talkative(VALUE)},
        json.dumps({"key": base64.b64encode(VALUE.encode()).decode()}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_known_value_is_found_wherever_it_stands(value: object) -> None:
    Secret(VALUE)

    result = sanitized(value)

    assert VALUE not in f"{result!s} {result!r}"
    assert MASK in f"{result!s} {result!r}"


def test_a_number_that_is_a_known_value_is_masked() -> None:
    """A passphrase of digits is read from JSON as a number."""
    Secret("90817263544")

    assert sanitized({"n": 90817263544}) == {"n": MASK}


def test_the_argument_is_not_changed() -> None:
    value = {"token": "x", "inner": [{"password": "y"}]}

    sanitized(value)

    assert value == {"token": "x", "inner": [{"password": "y"}]}


def test_a_structure_that_holds_itself_is_cut_off() -> None:
    """A log line must not end in a RecursionError."""
    looped: list[object] = ["first"]
    looped.append(looped)
    mapping: dict[str, object] = {}
    mapping["self"] = mapping

    assert MASK in str(sanitized(looped))
    assert MASK in str(sanitized(mapping))
