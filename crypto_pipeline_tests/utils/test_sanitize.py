"""The security handbook's names for keeping secrets out of logs and files."""

from __future__ import annotations

import logging
import re
import stat
from pathlib import Path

import pytest

from crypto_pipeline.redaction import Secret
from crypto_pipeline.utils.sanitize import SENSITIVE_PATTERNS, sanitize_for_logging, secure_file_permissions

CONFIG = {
    "exchange": "binance",
    "api_key": "a",
    "API-SECRET": "b",
    "nested": {"password": "c", "symbol": "BTC-USDT"},
    "list": [{"token": "d"}, {"depth": [{"passphrase": "e"}]}],
    "timeout": 10,
}


def test_sensitive_names_are_masked_however_deep_they_stand() -> None:
    assert sanitize_for_logging(CONFIG) == {
        "exchange": "binance",
        "api_key": "***REDACTED***",
        "API-SECRET": "***REDACTED***",
        "nested": {"password": "***REDACTED***", "symbol": "BTC-USDT"},
        "list": [{"token": "***REDACTED***"}, {"depth": [{"passphrase": "***REDACTED***"}]}],
        "timeout": 10,
    }


def test_the_argument_is_left_as_it_is() -> None:
    config = {"password": "c", "nested": {"token": "d"}}

    sanitize_for_logging(config)

    assert config == {"password": "c", "nested": {"token": "d"}}


def test_a_known_secret_is_masked_under_a_harmless_name_too() -> None:
    """The handbook's own sketch looks at names only."""
    secret = Secret("planted-under-a-harmless-name")

    assert sanitize_for_logging({"note": f"use {secret.reveal()}", "n": [secret]}) == {
        "note": "use ***REDACTED***",
        "n": ["***REDACTED***"],
    }


def test_the_handbooks_way_of_logging_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    logging.getLogger("test").info(f"Fetching with config: {sanitize_for_logging(CONFIG)}")  # noqa: G004 - the handbook's

    assert "BTC-USDT" in caplog.text
    assert "'a'" not in caplog.text


def test_the_patterns_are_regular_expressions_for_names() -> None:
    assert [name for name in ("api_key", "apiSecret", "passphrase") if not is_sensitive(name)] == []
    assert not is_sensitive("symbol")


def is_sensitive(name: str) -> bool:
    """Use the patterns as the handbook does."""
    return any(re.search(pattern, name.lower()) for pattern in SENSITIVE_PATTERNS)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_secured_file_is_the_owners_alone(kind: type, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    file.chmod(0o777)

    secure_file_permissions(kind(file))

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_that_is_not_there_cannot_be_secured(tmp_path: Path) -> None:
    """It must not look done."""
    with pytest.raises(FileNotFoundError):
        secure_file_permissions(tmp_path / "missing")
