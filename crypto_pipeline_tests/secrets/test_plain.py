"""Secrets as plain dictionaries, for the handbook's import paths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.errors import AuditError, MalformedSecretError
from crypto_pipeline.redaction import MASK, scrub
from crypto_pipeline.secrets.layout import covered
from crypto_pipeline.secrets.plain import export, fetch_plain, uncovered, under_prefix
from crypto_pipeline_tests.secrets.stores import VaultStore

PLANTED = "planted-77f1c3ade0"


def test_what_was_covered_comes_out_as_it_was() -> None:
    """Whatever JSON it holds."""
    fields = {"a": PLANTED, "b": [PLANTED, {"c": PLANTED}], "d": 7, "e": None, "f": True, "g": ""}

    assert uncovered(covered(fields)) == fields


def test_the_fields_of_a_secret_are_given_out_on_the_record(vault_token: VaultStore, tmp_path: Path) -> None:
    """Plain, known to the redactor, and recorded with their version."""
    vault_token.put("okx", {"api_key": PLANTED, "note": ["x", 7]})
    log = JsonLinesAuditLog(tmp_path / "audit.jsonl")

    found = fetch_plain(vault_token.source, vault_token.source.name_of("okx"), audit=log, accessor="me")

    (event,) = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert found == {"api_key": PLANTED, "note": ["x", 7]}
    assert scrub(PLANTED) == MASK
    assert (event["event"], event["accessor"], event["action"]) == ("secret_access", "me", "read")
    assert (event["secret_name"], event["credential_version"]) == (vault_token.source.name_of("okx"), "1")


def test_fields_that_cannot_be_recorded_are_not_given_out(vault_token: VaultStore, tmp_path: Path) -> None:
    """The same rule as for credentials."""
    vault_token.put("okx", {"api_key": PLANTED})
    log = JsonLinesAuditLog(tmp_path)  # a folder

    with pytest.raises(AuditError):
        fetch_plain(vault_token.source, vault_token.source.name_of("okx"), audit=log, accessor="me")


def test_only_the_prefix_is_taken_off() -> None:
    """A name may hold it twice, and another name may begin almost like it."""
    fields = {"okx_api_key": 1, "okx_okx_note": 2, "okxx_api_key": 3, "my_okx_key": 4, "okx_": 5, "okx": 6}

    assert under_prefix(fields, "okx_") == {"api_key": 1, "okx_note": 2, "": 5}


def test_fields_become_variables_unless_there_are_some() -> None:
    """A variable that was set by a person wins, an empty one too."""
    environ = {"OKX_API_KEY": "mine", "OKX_PASSPHRASE": ""}

    names = export({"okx_api_key": "a", "okx_passphrase": "b", "Bybit_Api_Key": "c"}, environ, name="x")

    assert environ == {"OKX_API_KEY": "mine", "OKX_PASSPHRASE": "", "BYBIT_API_KEY": "c"}
    assert names == ["BYBIT_API_KEY"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a", 7),
        ("a", None),
        ("a", [PLANTED]),
        ("a", f"{PLANTED}\0"),
        ("a=b", "x"),
        ("a b", "x"),
        ("", "x"),
        ("1a", "x"),
    ],
)
def test_a_field_that_cannot_be_a_variable_lets_none_be_set(key: str, value: object) -> None:
    """It is named, and its value is not shown."""
    environ: dict[str, str] = {}

    with pytest.raises(MalformedSecretError, match=f"its field '{key}' cannot be") as caught:
        export({"good": "value", key: value}, environ, name="x")

    assert environ == {}
    assert PLANTED not in str(caught.value)
