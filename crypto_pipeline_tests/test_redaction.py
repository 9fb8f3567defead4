"""A secret cannot be shown by accident, and text is scrubbed of it in every form it takes."""

from __future__ import annotations

import base64
import copy
import html
import json
import logging
import pickle
import pprint
import random
import re
import string
import threading
from collections import OrderedDict, deque, namedtuple
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from crypto_pipeline.redaction import (
    MASK,
    SENSITIVE_PATTERNS,
    Redactor,
    Secret,
    encoded_forms,
    sanitized,
    scrub,
)
from crypto_pipeline_tests.support.search import forms

VALUE = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
AWKWARD = """kQ3+x/9"=Z'<t>\\7&w Lé~"""
PEM = (
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEIDr3Xk8zq0Yw7kq3m1m2dKkz0b8bM5l8vZc3P0nqJ7yCoAoGCCqGSM49\n"
    "AwEHoUQDQgAEk2mYt8q1c3o0v5sX9wR4eT6uI8pL2aS7dF3gH1jK5zX4cV6bN8mQ\n"
    "w0eR2tY4uI6oP8aS1dF3gH5jK7lZ9xC==\n"
    "-----END EC PRIVATE KEY-----\n"
)

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


def redactor_of(*values: str) -> Redactor:
    """Return a redactor of the test's own that knows the values."""
    redactor = Redactor()
    for value in values:
        redactor.register(value)
    return redactor


# A secret cannot be shown...


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        ascii,
        format,
        pprint.pformat,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r:>80}",
        lambda secret: f"{secret:>80}",
        lambda secret: f"{secret=}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - what logging does
        lambda secret: string.Template("$key").substitute(key=secret),
        lambda secret: str([secret, (secret,), {"key": secret}]),
        lambda secret: str(ValueError("wrong key", secret)),
        lambda secret: str(Holder(key=secret)) + repr(Holder(key=secret)) + str(Holder(key=secret).model_dump()),
        lambda secret: json.dumps({"key": secret}, default=str),
        lambda secret: logging.LogRecord("x", 20, "", 1, "key %s", (secret,), None).getMessage(),
    ],
)
def test_a_secret_shows_a_mask_however_it_is_written(show: Callable[[Secret], str]) -> None:
    shown = show(Secret(VALUE))

    assert MASK in shown
    assert VALUE not in shown


@pytest.mark.parametrize(
    "write",
    [
        pickle.dumps,
        lambda secret: pickle.dumps(secret, protocol=0),
        lambda secret: pickle.dumps({"deep": [secret]}),
        lambda secret: secret.__reduce__(),
        lambda secret: secret.__getstate__(),
        json.dumps,
        lambda secret: Holder(key=secret).model_dump_json(),
        vars,
        hash,
        lambda secret: {secret},
        bytes,
        list,
        len,
        lambda secret: secret + "",
        lambda secret: "".join([secret]),
        lambda secret: VALUE[:3] in secret,
        lambda secret: secret[0],
    ],
)
def test_what_would_write_or_take_a_secret_apart_raises(write: Callable[[Any], object]) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        write(Secret(VALUE))

    assert VALUE not in str(caught.value)


def test_a_copy_of_a_secret_is_the_secret() -> None:
    """Records that hold one can be copied and turned into dicts, and still hold a secret."""

    @dataclass
    class Record:
        key: Secret

    secret = Secret(VALUE)

    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret
    assert asdict(Record(secret))["key"] is secret


def test_a_secret_cannot_be_changed() -> None:
    secret = Secret(VALUE)

    with pytest.raises(AttributeError, match="cannot be changed"):
        secret._value = "other"
    with pytest.raises(AttributeError, match="cannot be changed"):
        secret.more = "other"
    with pytest.raises(AttributeError, match="cannot be changed"):
        del secret._value
    assert secret.reveal() == VALUE


def test_secrets_compare_by_value_and_with_secrets_only() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret(VALUE[::-1])
    assert Secret(AWKWARD) == Secret(AWKWARD)
    assert Secret(VALUE) != VALUE
    assert not Secret("")
    assert Secret(VALUE)


@pytest.mark.parametrize("value", [b"bytes", 123456, None, ["x"]])
def test_a_secret_is_made_from_text_only(value: object) -> None:
    with pytest.raises(TypeError, match="made from text"):
        Secret(value)  # type: ignore[arg-type]


def test_the_bytes_of_an_environment_variable_that_are_no_text_make_a_secret() -> None:
    """Python hands them out as lone surrogates; they must neither crash nor leak."""
    value = "surrogate-\udcff-escaped-value"

    secret = Secret(value)

    assert secret == Secret(value)
    assert scrub(f"<{value}>") == f"<{MASK}>"


def test_making_a_secret_registers_it() -> None:
    secret = Secret("registered-on-" + "construction")

    assert scrub(f"a {secret.reveal()} b") == f"a {MASK} b"


# Text is scrubbed...


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (value, name)
        for value in (VALUE, AWKWARD, PEM, "Aa1!bB", "/+/+/+==", "päßwörd-日本語-🔑")
        for name in forms(value)
        if name != "reversed"
    ],
)
def test_no_form_that_the_leak_search_knows_survives(value: str, name: str) -> None:
    """The search is written without a look at the product."""
    form = forms(value)[name].decode()

    scrubbed = redactor_of(value).scrub(f"before {form} after")

    assert form not in scrubbed
    assert MASK in scrubbed
    assert scrubbed.startswith("before ")
    assert scrubbed.endswith(" after")


@pytest.mark.parametrize(
    "write",
    [
        repr,
        json.dumps,
        lambda value: json.dumps([json.dumps({"k": value})]),
        lambda value: json.dumps(value, ensure_ascii=False),
        lambda value: json.dumps(urlencode({"key": value})),
        lambda value: urlencode({"key": value}),
        lambda value: urlencode({"outer": urlencode({"key": value})}),
        lambda value: repr(value.encode()),
        lambda value: repr({"k": f"'both' \"quotes\" {value}"}),
        lambda value: repr(json.dumps({"k": value})),
        lambda value: f"{value}\n".encode().hex(":").replace(":", ""),
        lambda value: base64.b64encode(f"user:{value}".encode()).decode(),
        lambda value: urlencode({"basic": base64.b64encode(f"user:{value}@".encode()).decode()}),
        lambda value: base64.urlsafe_b64encode(f"xx{value}yy".encode()).decode(),
        lambda value: json.dumps(value).replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e"),
        lambda value: json.dumps(value).replace("/", r"\/"),
        html.escape,
        lambda value: html.escape(value).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    ],
)
@pytest.mark.parametrize("value", [VALUE, "simple&<less>", "a/b+c/d=e/f", 'it\'s "quoted" all', "back\\slash\\value"])
def test_nothing_of_a_value_is_left_in_what_programs_write(write: Callable[[str], str], value: str) -> None:
    """JSON in JSON, URLs in JSON, `repr`, Go's and PHP's JSON, templates: as they meet in logs."""
    scrubbed = redactor_of(value).scrub(write(value))

    assert MASK in scrubbed
    # In base64 up to two characters on each side hold bits of the value.
    assert len(scrubbed) <= len(write("")) + len(MASK) + 8


@pytest.mark.parametrize("length", range(6, 40))
def test_a_value_is_found_wherever_it_begins(length: int) -> None:
    """Long forms are looked for by sample; no place may fall between two samples."""
    redactor = redactor_of(VALUE[:length])

    missed = [at for at in range(40) if redactor.scrub(f"{' ' * at}{VALUE[:length]}.") != f"{' ' * at}{MASK}."]

    assert missed == []


@pytest.mark.parametrize("before", ["", "u", "uv", "user:"])
@pytest.mark.parametrize("after", ["", "x", "xy"])
def test_in_base64_all_is_masked_but_the_characters_shared_with_neighbours(before: str, after: str) -> None:
    """Three bytes make four characters; one at each edge may hold bits of both."""
    written = base64.b64encode(f"{before}{VALUE}{after}".encode()).decode()
    start, stop = -(-len(before) * 8 // 6), len(before + VALUE) * 8 // 6

    assert redactor_of(VALUE).scrub(written) == written[:start] + MASK + written[stop:]


def test_url_escapes_are_found_in_both_cases() -> None:
    redactor = redactor_of("a/b+c/d=e/f")

    assert redactor.scrub("key=a%2Fb%2Bc%2Fd%3De%2Ff.") == f"key={MASK}."
    assert redactor.scrub("key=a%2fb%2bc%2fd%3de%2ff.") == f"key={MASK}."


@pytest.mark.parametrize("first", [0, 1])
def test_a_secret_that_begins_like_another_leaves_no_tail(first: int) -> None:
    """Whichever of them was registered first."""
    values = ["prefix-secret", "prefix-secret-with-tail"]

    redactor = redactor_of(values[first], values[1 - first])

    assert redactor.scrub("<prefix-secret-with-tail>") == f"<{MASK}>"
    assert redactor.scrub("<prefix-secret>") == f"<{MASK}>"


def test_secrets_that_overlap_are_masked_as_one() -> None:
    redactor = redactor_of("abcdefghijkl", "ghijklmnopqr")

    assert redactor.scrub("<abcdefghijklmnopqr>") == f"<{MASK}>"


def test_a_secret_that_overlaps_with_itself_leaves_nothing() -> None:
    assert redactor_of("abcabcabc").scrub("<abcabcabcabcabc>") == f"<{MASK}>"


@pytest.mark.parametrize("breaks", ["\n", "\\n", "\r\n", " ", "\n    "], ids=repr)
def test_a_pem_key_is_found_by_its_lines_however_they_are_broken(breaks: str) -> None:
    """In an environment variable its breaks are written out; a log shows one line of it."""
    redactor = redactor_of(PEM.replace("\n", breaks))

    for line in PEM.splitlines()[1:-1]:
        assert redactor.scrub(f"line: {line};") == f"line: {MASK};"
    assert redactor.scrub("-----BEGIN EC PRIVATE KEY-----") == "-----BEGIN EC PRIVATE KEY-----"


def test_a_value_of_several_lines_is_found_by_the_line() -> None:
    redactor = redactor_of("first-line-of-it\nsecond-line-of-it\nx")

    assert redactor.scrub("got second-line-of-it") == f"got {MASK}"


def test_white_space_around_a_value_does_not_hide_it() -> None:
    """A file ends with a line break; the key in it does not."""
    assert redactor_of(f"  {VALUE}\n").scrub(f"key={VALUE};") == f"key={MASK};"


@pytest.mark.parametrize("value", ["", "short", "      ", "  ab  \n", "\t\n\r \n\n"])
def test_what_is_too_short_is_not_looked_for(value: str) -> None:
    """It would blank out ordinary words, or every indentation."""
    text = "a short text\n      with ab and     spaces\t\n\r \n\n"

    assert redactor_of(value).scrub(text) == text


def test_a_value_that_stands_in_the_mask_does_not_make_masks_grow() -> None:
    redactor = redactor_of("REDACTED")

    assert redactor.scrub(MASK) == MASK


@fuzzed
@given(VALUES, TEXTS, TEXTS, st.data())
def test_no_form_of_any_value_survives_in_any_text(value: str, before: str, after: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(set(forms(value)) - {"reversed"})))
    form = forms(value)[name].decode()
    assume(len(form) >= 6)

    scrubbed = redactor_of(value).scrub(before + form + after)

    assert form not in scrubbed
    assert value.strip() not in scrubbed


@fuzzed
@given(st.lists(VALUES, min_size=1, max_size=4), TEXTS)
def test_a_text_without_secrets_is_left_as_it_is(values: list[str], text: str) -> None:
    assume(not any(form in text for form in all_forms(values)))

    assert redactor_of(*values).scrub(text) == text


@fuzzed
@given(st.lists(VALUES, min_size=1, max_size=4), st.lists(TEXTS, max_size=4), st.randoms(use_true_random=False))
def test_scrubbing_twice_changes_nothing_more(values: list[str], texts: list[str], chance: random.Random) -> None:
    parts = texts + [chance.choice(sorted(encoded_forms(value))) for value in values]
    chance.shuffle(parts)
    redactor = redactor_of(*values)

    once = redactor.scrub("".join(parts))

    assert redactor.scrub(once) == once


@fuzzed
@given(st.text("ab/", min_size=6, max_size=40), st.data())
def test_exactly_what_a_slow_search_finds_is_masked(base: str, data: st.DataObject) -> None:
    """Values that are cut from one another overlap in every way there is."""
    cut = st.tuples(st.integers(0, len(base) - 6), st.integers(6, len(base))).map(lambda at: base[at[0] :][: at[1]])
    values = data.draw(st.lists(cut, min_size=1, max_size=5))
    text = data.draw(st.lists(st.one_of(cut, st.text("ab/ %2F\\", max_size=8)), max_size=8).map("".join))

    scrubbed = redactor_of(*values).scrub(text)

    assert masks_joined(scrubbed) == masks_joined(slowly_scrubbed(text, all_forms(values)))


def all_forms(values: Iterable[str]) -> set[str]:
    """Return every form of the values, and of their lines."""
    pieces = [piece for value in values for piece in (value, *re.split(r"\\[nr]|\s|-----[A-Z0-9 ]+-----", value))]
    return {form for piece in pieces if len(piece.strip()) >= 6 for form in encoded_forms(piece)}


def slowly_scrubbed(text: str, wanted: Iterable[str]) -> str:
    """Mask each character that belongs to any occurrence of any form."""
    covered = {
        place
        for form in wanted
        for start in range(len(text))
        if text.startswith(form, start)
        for place in range(start, start + len(form))
    }
    return "".join(MASK if place in covered else character for place, character in enumerate(text))


def masks_joined(text: str) -> str:
    """Return the text with masks that follow each other made one."""
    return re.sub(f"({re.escape(MASK)})+", MASK, text)


def test_values_may_be_registered_while_others_scrub() -> None:
    """Runs read their keys in threads; each scrub sees whole sets only."""
    redactor = redactor_of(VALUE)
    values = [f"{number:04d}-{VALUE[number:]}" for number in range(20)]
    failures: list[str] = []

    def scrub_often() -> None:
        failures.extend(shown for _ in range(200) if VALUE in (shown := redactor.scrub(f"<{VALUE}>")))

    threads = [threading.Thread(target=scrub_often) for _ in range(3)]
    threads += [threading.Thread(target=redactor.register, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert [value for value in values if redactor.scrub(value) != MASK] == []


# Structures are sanitized...


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
