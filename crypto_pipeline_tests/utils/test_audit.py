"""The security handbook's names for recording write the handbook's keys, to the logger and to the file."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crypto_pipeline.errors import AuditError, ConfigurationError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.utils.audit import log_api_call, log_secret_access
from crypto_pipeline_tests.support.environment import empty_environment


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The audit log that the environment names."""
    empty_environment(monkeypatch, tmp_path)
    log = tmp_path / "audit" / "audit.jsonl"
    monkeypatch.setenv("CRYPTO_PIPELINE_AUDIT_LOG", str(log))
    return log


def last_of(path: Path) -> dict[str, object]:
    """Return the last event in the file."""
    event: dict[str, object] = json.loads(path.read_text().splitlines()[-1])
    return event


def test_a_secret_access_has_the_handbooks_keys(path: Path) -> None:
    before = datetime.now(UTC)

    log_secret_access("crypto-pipeline/exchange-keys", "fetch_job")

    event = last_of(path)
    assert (event["event"], event["secret_name"], event["accessor"], event["action"]) == (
        "secret_access",
        "crypto-pipeline/exchange-keys",
        "fetch_job",
        "read",
    )
    assert before <= datetime.fromisoformat(str(event["timestamp"])) <= datetime.now(UTC)


def test_another_action_is_recorded_as_it_is_named(path: Path) -> None:
    log_secret_access("name", "fetch_job", action="rotate")
    log_secret_access("name", "fetch_job", "delete")

    assert [json.loads(line)["action"] for line in path.read_text().splitlines()] == ["rotate", "delete"]


def test_a_successful_call_has_the_handbooks_keys(path: Path) -> None:
    log_api_call("binance", "/api/v3/klines", True)

    event = last_of(path)
    assert (event["event"], event["exchange"], event["endpoint"]) == ("api_call", "binance", "/api/v3/klines")
    assert (event["success"], event["error"]) == (True, None)


def test_a_failed_call_tells_the_error_without_the_query(path: Path) -> None:
    """Whoever calls this passes on what the HTTP library said, and that quotes the signed address."""
    log_api_call("binance", "/api/v3/account?signature=9f3c", success=False, error="401 for '/api?signature=9f3c'")

    event = last_of(path)
    assert (event["endpoint"], event["success"], event["error"]) == ("/api/v3/account", False, "401 for '/api'")
    assert "9f3c" not in path.read_text()


def test_the_logger_gets_the_line_of_the_file(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Collectors that were set up by the handbook listen there."""
    caplog.set_level(logging.INFO, "audit")

    log_secret_access("name", "fetch_job")
    log_api_call("okx", "/", True)

    assert caplog.messages == path.read_text().splitlines()
    assert {name for name, _, _ in caplog.record_tuples} == {"audit"}


def test_a_known_secret_does_not_reach_the_record(path: Path) -> None:
    secret = Secret("planted-in-an-error-message")

    log_api_call("okx", "/", False, f"wrong key {secret.reveal()}")

    assert last_of(path)["error"] == "wrong key ***REDACTED***"


def test_what_cannot_be_recorded_is_said(path: Path) -> None:
    path.parent.write_text("a file where the folder should be")

    with pytest.raises(AuditError, match="nothing was done"):
        log_secret_access("name", "fetch_job")
    with pytest.raises(AuditError, match="nothing was done"):
        log_api_call("okx", "/", True)


def test_settings_that_are_not_usable_are_said(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """A record that went somewhere else than it should would be worse than none."""
    monkeypatch.setenv("CRYPTO_PIPELINE_OP_RETRIES", "many")

    with pytest.raises(ConfigurationError, match="CRYPTO_PIPELINE_OP_RETRIES"):
        log_secret_access("name", "fetch_job")
    assert not path.exists()
