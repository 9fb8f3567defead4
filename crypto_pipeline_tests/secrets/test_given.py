"""What is given to be stored: judged before any store is asked, and never repeated."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.redaction import MASK, Secret, scrub
from crypto_pipeline.secrets.given import MOST_BYTES, check_given, fault_of, is_first_line_of_pem, parse_given, taken
from crypto_pipeline_tests.secrets.stores import new_parts
from crypto_pipeline_tests.support.hiding import assert_hides

BEGIN, END = (f"-----{word} {'PRIVATE'} KEY-----" for word in ("BEGIN", "END"))
PEM = f"{BEGIN}\nMIGHAgEAMBMGByqGSM49AgEG\n{END}\n"


def revealed(parts: dict[str, Secret]) -> dict[str, str]:
    """Return the values."""
    return {name: value.reveal() for name, value in parts.items()}


@pytest.mark.parametrize("issuer", ISSUERS)
def test_an_object_of_the_fields_is_a_credential(issuer: str) -> None:
    parts = new_parts(issuer)

    assert revealed(parse_given(issuer, json.dumps(parts))) == parts


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_only_field_may_come_alone(end: str) -> None:
    """One line break at its end is the editor's."""
    assert revealed(parse_given("huggingface", f"hf_planted0token{end}")) == {"token": "hf_planted0token"}


@pytest.mark.parametrize(
    "pem",
    [PEM, PEM.strip(), PEM.replace("\n", "\r\n"), PEM.replace("\n", "\\n")],
    ids=["lines", "no end", "crlf", "one"],
)
def test_a_private_key_is_taken_as_it_is(pem: str) -> None:
    """In lines, or in one with the breaks written out."""
    parts = {"api_key": "planted-name-of-key", "api_secret": pem}

    assert revealed(parse_given("coinbase", json.dumps(parts))) == parts


@pytest.mark.parametrize(
    "value",
    [
        "hunter2!",
        "Tr0ub4dor & 3",
        "my secret passphrase 2024!",
        "<Abc123!>",
        "$ecret-42",
        "testing-1-2-3",
        "ünïcode-🔑",
    ],
)
def test_a_passphrase_may_look_odd(value: str) -> None:
    """There is no way around a refusal for somebody whose passphrase it is."""
    parts = {**new_parts("okx"), "passphrase": value}

    assert revealed(parse_given("okx", json.dumps(parts))) == parts


BAD_VALUES = [
    ("", "is empty"),
    (" \n", "is empty"),
    (" planted-7c1e", "has white space around it"),
    ("planted-7c1e\n", "has white space around it"),
    ("planted\n7c1e", "holds line breaks, or characters that cannot be seen"),
    ("planted\x1b[31m7c1e", "holds line breaks, or characters that cannot be seen"),
    ("planted\u200b7c1e", "holds line breaks, or characters that cannot be seen"),
    ("planted\ud8007c1e", "holds line breaks, or characters that cannot be seen"),
    (f"{BEGIN}\nMIGH\x07Ag\n{END}\n", "holds line breaks, or characters that cannot be seen"),
    (BEGIN, "is cut off"),
    (f"{BEGIN}\nMIGHAgEAMBMGByqGSM49AgEG\n", "is cut off"),
    (f" {PEM}", "has white space around it"),
    ("short", "is shorter than 6 characters"),
    ("xY7-" * (MOST_BYTES // 4 + 1), f"is longer than {MOST_BYTES} bytes"),
]
PLACEHOLDERS = [
    "changeme", "change-me", "CHANGE_ME_NOW", "replace this", "fill_me_in", "insert your key here", "paste_here",
    "your-api-key", "YOUR_API_KEY_HERE", "my-secret", "api_secret", "API_KEY", "passphrase", "password", "secret",
    "<your key>", "<api-key>", "[api key]", "${OKX_API_KEY}", "$OKX_API_KEY", "{{ okx.api_key }}",
    "xxxxxxxx", "********", "........", "hf_xxxxxxxx", "hf_your_token", "hf_your_token_here", "hf_........",
    "todo", "to-do", "TBD", "fixme", "none", "null", "undefined", "N/A", "example", "dummy token", "test-key", "dummy",
    "REDACTED", MASK, f"key={MASK}", "this-is-a-placeholder", "sk-changeme-1234",
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "says"), [*BAD_VALUES, *((value, "looks like a placeholder") for value in PLACEHOLDERS)], ids=repr
)
def test_a_value_that_cannot_be_one_is_told_by_the_name_of_its_field(value: str, says: str) -> None:
    parts = {**new_parts("okx"), "api_secret": value}

    with pytest.raises(ConfigurationError) as caught:
        parse_given("okx", json.dumps(parts))

    assert f"this is no credential of okx: api_secret {says}" in str(caught.value)
    assert_hides(caught.value, {name: each for name, each in parts.items() if len(each) > 12 and each not in says})


def test_all_that_is_wrong_is_told_at_once() -> None:
    parts = {"api_key": " planted-0d1f", "api_secret": 7, "secretKey": "planted-2b77"}

    with pytest.raises(ConfigurationError) as caught:
        parse_given("okx", json.dumps(parts))

    assert str(caught.value) == (
        "Nothing was stored, because this is no credential of okx: 'secretKey' is no field of it; api_key has white "
        "space around it; api_secret is not text: put it in quotes; passphrase is missing. "
        "Its fields are 'api_key', 'api_secret', 'passphrase'."
    )


@pytest.mark.parametrize("value", [7, 1.5, True, ["planted-in-a-list"], {"in": "planted-in-an-object"}])
def test_a_field_that_is_not_text_is_named_and_not_shown(value: object) -> None:
    """A number may have lost its zeros already."""
    with pytest.raises(ConfigurationError, match="api_key is not text") as caught:
        parse_given("okx", json.dumps({**new_parts("okx"), "api_key": value}))

    assert_hides(caught.value, {"listed": "planted-in-a-list", "nested": "planted-in-an-object"})
    assert scrub("planted-in-a-list") == MASK or not isinstance(value, list)


def test_a_null_is_a_missing_field() -> None:
    with pytest.raises(ConfigurationError, match="passphrase is missing"):
        parse_given("okx", json.dumps({**new_parts("okx"), "passphrase": None}))


def test_a_value_in_the_place_of_a_name_is_not_repeated() -> None:
    """Whoever mixes up the two sides of a colon must not find the key in the log of the shell."""
    planted = [secrets.token_hex(16), "Plantedpassphrase", "planted-key-1"]

    with pytest.raises(ConfigurationError, match="a field whose name is not repeated here is no field") as caught:
        parse_given("okx", json.dumps(dict.fromkeys(planted, "api_key")))

    assert_hides(caught.value, {str(number): value for number, value in enumerate(planted)})
    assert str(caught.value).count("not repeated here") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"api_key": "planted-1a", "api_key": "planted-2b", "api_secret": "planted-3c"}', "'api_key' is there twice"),
        ('{"planted-name": 1, "planted-name": 2}', "a field whose name is not repeated here is there twice"),
    ],
)
def test_a_field_that_is_there_twice_is_refused(text: str, says: str) -> None:
    """Nobody can tell which one is meant."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        parse_given("bybit", text)

    assert_hides(caught.value, {"1": "planted-1a", "2": "planted-2b", "3": "planted-3c", "name": "planted-name"})


def test_the_same_value_in_two_fields_is_a_mistake() -> None:
    """The key was pasted twice."""
    with pytest.raises(ConfigurationError, match="two of its fields hold the same"):
        parse_given("bybit", json.dumps(dict.fromkeys(("api_key", "api_secret"), "planted-4d5e")))


@pytest.mark.parametrize(
    ("issuer", "text", "says"),
    [
        ("okx", "", "Nothing came in on the standard input. Pipe a JSON object with 'api_key', 'api_secret', 'pass"),
        ("huggingface", " \n", "Nothing came in on the standard input"),
        ("okx", "planted-raw-key", "not a JSON object. Pipe one with 'api_key', 'api_secret', 'passphrase'"),
        ("coinbase", PEM, "not a JSON object"),
        ("okx", '["planted-raw-key"]', "not a JSON object"),
        ("okx", '{"api_key": "planted-raw-key"', "not a JSON object"),
        ("huggingface", '{"planted-raw-key"', "not a JSON object"),
        ("okx", '{"a":' * 9999, "not a JSON object"),
    ],
    ids=lambda text: repr(text)[:30],
)
def test_what_is_no_object_of_fields_is_not_repeated(issuer: str, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        parse_given(issuer, text)

    assert_hides(caught.value, {"raw": "planted-raw-key", "pem": PEM})


def test_a_placeholder_masks_no_word_of_ours() -> None:
    """It is no secret, and often just the name of the field."""
    with pytest.raises(ConfigurationError) as caught:
        parse_given("okx", json.dumps({**new_parts("okx"), "api_secret": "api_secret", "passphrase": ["password"]}))

    assert scrub(str(caught.value)) == str(caught.value)
    assert "api_secret looks like a placeholder; passphrase is not text" in str(caught.value)
    assert fault_of(taken("API_KEY")) == "looks like a placeholder"
    assert not is_first_line_of_pem(taken("API_KEY"))


def test_what_was_given_is_known_to_the_redactor_even_if_it_is_refused() -> None:
    """Whatever goes wrong later shows a mask."""
    planted = f"planted-{secrets.token_hex(8)}"

    with pytest.raises(ConfigurationError):
        parse_given("okx", json.dumps({"nonsense": {"deep": [planted]}}))

    assert scrub(f"it was {planted}") == f"it was {MASK}"


def test_an_issuer_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no issuer"):
        parse_given("binanse", "{}")


def test_a_prompt_cuts_a_private_key_after_its_first_line() -> None:
    assert is_first_line_of_pem(Secret(BEGIN))
    assert not is_first_line_of_pem(Secret(PEM))
    assert not is_first_line_of_pem(Secret("planted-hmac-secret"))


def test_a_good_value_has_no_fault() -> None:
    assert fault_of(Secret("planted-hmac-secret")) == ""


def test_parts_that_were_asked_for_one_by_one_are_checked_together() -> None:
    parts: dict[str, Any] = {name: Secret(value) for name, value in new_parts("bybit").items()}

    assert check_given("bybit", parts) == parts
    with pytest.raises(ConfigurationError, match="passphrase is missing"):
        check_given("okx", parts)
