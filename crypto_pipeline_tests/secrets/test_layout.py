"""How what a store gave becomes a credential."""

from __future__ import annotations

import pytest

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import MalformedSecretError, SecretNotFoundError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets.layout import (
    OWN,
    SHARED,
    VARIABLES,
    Layout,
    StoredSecret,
    covered,
    parse_fields,
    parts_of,
    placed_parts,
    uncovered,
)
from crypto_pipeline_tests.support.hiding import assert_hides

PLANTED = "planted-4c1f0b7d9a"


@pytest.mark.parametrize(
    "text",
    [
        "",
        PLANTED,
        f'"{PLANTED}"',
        f'["{PLANTED}"]',
        f'{{"api_key": "{PLANTED}"',
        f'{{"api_key": "{PLANTED}"}} {{}}',
        f"{{'api_key': '{PLANTED}'}}",
        "null",
        "7",
        f'{{"api_key": {"9" * 5000}, "x": "{PLANTED}"',
        "[" * 100_000,
    ],
    ids=lambda text: text[:20] or "empty",
)
def test_what_is_not_a_json_object_is_malformed_and_not_shown(text: str) -> None:
    """The parser's own error would hold the whole text."""
    with pytest.raises(MalformedSecretError, match="AWS secret 'a/b' is not a JSON object") as caught:
        parse_fields(text, place="AWS secret 'a/b'")

    assert_hides(caught.value, {"text": PLANTED})


def test_every_text_in_a_secret_is_covered_however_deep_it_lies() -> None:
    """What is not text stays as it is."""
    found = covered({"a": "one", "b": ["two", {"c": "three", "d": 4}], "e": None, "f": True})

    assert found == {
        "a": Secret("one"),
        "b": [Secret("two"), {"c": Secret("three"), "d": 4}],
        "e": None,
        "f": True,
    }


def test_what_a_store_gave_does_not_show_when_printed() -> None:
    """A number may be a passphrase too."""
    stored = StoredSecret("a/b", "7", None, {"passphrase": 31_415_926})

    assert repr(stored) == "StoredSecret(name='a/b', version='7', created_at=None)"


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"huggingface_token": "planted-first-51", "hf_token": "planted-other-51"}, "planted-first-51"),
        ({"hf_token": "planted-other-51"}, "planted-other-51"),
        ({"huggingface_token": "", "hf_token": "planted-other-51"}, "planted-other-51"),
        ({"huggingface_token": "  ", "hf_token": "planted-other-51"}, "planted-other-51"),
    ],
    ids=["both", "only the other", "the first empty", "the first blank"],
)
def test_the_first_name_that_is_filled_counts(fields: dict[str, str], part: str) -> None:
    """Hugging Face's own tools call it `HF_TOKEN`."""
    found = parts_of("huggingface", {name: Secret(value) for name, value in fields.items()}, layout=SHARED, place="It")

    assert found == {"token": Secret(part)}


def test_variables_are_the_shared_names_in_upper_case() -> None:
    """One rule for the names of all shared places."""
    for issuer, fields in ISSUERS.items():
        for part in fields.names:
            assert VARIABLES.names(issuer, part) == tuple(name.upper() for name in SHARED.names(issuer, part))


def test_all_missing_parts_are_named_at_once() -> None:
    """Nobody should have to run it three times to learn of three fields."""
    with pytest.raises(MalformedSecretError, match="nothing in 'api_key', 'api_secret', 'passphrase'"):
        parts_of("okx", {}, layout=OWN, place="It")


def test_nothing_in_a_shared_place_means_that_there_is_no_key() -> None:
    """The message says what to put there, and how to do without."""
    with pytest.raises(SecretNotFoundError) as caught:
        parts_of("bybit", {"okx_api_key": Secret(PLANTED)}, layout=SHARED, place="AWS secret 'x'")

    assert str(caught.value) == (
        "AWS secret 'x' holds no key of bybit. "
        "Put 'bybit_api_key', 'bybit_api_secret' there, or take bybit off the list of keys."
    )


def test_a_field_that_nobody_asked_for_is_left_out() -> None:
    """A note beside the key goes nowhere."""
    fields = {"api_key": Secret("k"), "api_secret": Secret("s"), "note": Secret("planted note 51"), "n": 1}

    assert set(parts_of("binance", fields, layout=OWN, place="It")) == {"api_key", "api_secret"}


def test_what_was_covered_goes_back_as_it_came() -> None:
    """Whatever it is, and however deep."""
    fields = {"text": PLANTED, "number": 1.5, "nothing": None, "list": ["a", {"b": [PLANTED]}], "flag": True}

    assert uncovered(covered(fields)) == fields


@pytest.mark.parametrize(
    ("issuer", "layout", "there", "fields"),
    [
        ("bybit", OWN, (), ("api_key", "api_secret")),
        ("bybit", OWN, ("note",), ("api_key", "api_secret")),
        ("bybit", SHARED, ("okx_api_key", "api_key"), ("bybit_api_key", "bybit_api_secret")),
        ("huggingface", SHARED, (), ("huggingface_token",)),
        ("huggingface", SHARED, ("hf_token",), ("hf_token",)),
        ("huggingface", SHARED, ("hf_token", "huggingface_token"), ("huggingface_token", "hf_token")),
    ],
)
def test_a_part_is_put_where_it_is_looked_for(
    issuer: str, layout: Layout, there: tuple[str, ...], fields: tuple[str, ...]
) -> None:
    """Under each of its names that is in use."""
    parts = {part: Secret(f"{PLANTED}-{part}") for part in ISSUERS[issuer].names}

    placed = placed_parts(issuer, parts, there, layout=layout)

    assert tuple(placed) == fields
    assert {name.rpartition("_")[2]: value for name, value in placed.items()} == {
        part.rpartition("_")[2]: value for part, value in parts.items()
    }


def test_a_part_that_is_not_there_any_more_goes() -> None:
    """A new key with a part of the old one is no key."""
    placed = placed_parts("bybit", {"api_key": Secret(PLANTED)}, ("api_key", "api_secret", "note"), layout=OWN)

    assert placed == {"api_key": Secret(PLANTED), "api_secret": None}
