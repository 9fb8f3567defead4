"""The security handbook's names for the age of secrets; the health check really asks the store."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.utils.rotation_check import SECRET_MAX_AGE_DAYS, check_secret_age, rotation_health_check
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.vault import Vault

LOGGER = "crypto_pipeline.utils.rotation_check"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    empty_environment(monkeypatch, tmp_path)
    monkeypatch.setenv("CRYPTO_PIPELINE_AUDIT_LOG", str(tmp_path / "audit.jsonl"))
    caplog.set_level(logging.INFO, LOGGER)


def use(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    """Set settings of the environment."""
    for name, value in settings.items():
        monkeypatch.setenv(f"CRYPTO_PIPELINE_{name.upper()}", value)


@pytest.fixture
def use_vault(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes the settings name a Vault that holds these issuers' keys, and returns their prefix there."""

    def use_it(*stored: str, keys: str) -> str:
        prefix = f"health-{secrets.token_hex(4)}"
        for issuer in stored:
            vault.put(f"{prefix}/{issuer}", {part: secrets.token_hex(16) for part in ISSUERS[issuer].required})
        use(monkeypatch, secrets="vault", keys=keys, vault_address=vault.address, secret_prefix=prefix)
        # It may tell of a secret, and not give it.
        policy = f'path "secret/metadata/{prefix}/*" {{ capabilities = ["read"] }}'
        monkeypatch.setenv("VAULT_TOKEN", vault.token(policy))
        return prefix

    return use_it


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings of the handbook's logger."""
    return [message for name, level, message in caplog.record_tuples if name == LOGGER and level == logging.WARNING]


@pytest.mark.parametrize(
    ("days", "secret_type", "says"),
    [
        (95, "exchange_keys", "Secret 'x' is 95 days old (max: 90)"),
        (85, "exchange_keys", "Secret 'x' will expire in 5 days"),
        (10, "exchange_keys", None),
        (95, "hf_token", None),
        (190, "hf_token", "Secret 'x' is 190 days old (max: 180)"),
        (31, "database", "Secret 'x' is 31 days old (max: 30)"),
        (85, "service_account", "Secret 'x' will expire in 5 days"),
        (95, "invented", "Secret 'x' is 95 days old (max: 90)"),
    ],
)
@pytest.mark.parametrize("zone", [UTC, None], ids=["aware", "naive is UTC"])
def test_an_age_is_said_in_the_handbooks_words(days: int, secret_type: str, says: str | None, zone: object) -> None:
    # Half a day more, so that midnight during the test changes nothing.
    made = datetime.now(UTC) - timedelta(days=days, hours=12)

    assert check_secret_age("x", made if zone else made.replace(tzinfo=None), secret_type) == says


def test_the_type_is_an_exchange_key_if_nothing_else_is_said() -> None:
    assert check_secret_age("x", datetime.now(UTC) - timedelta(days=95)) == "Secret 'x' is 95 days old (max: 90)"
    assert SECRET_MAX_AGE_DAYS["exchange_keys"] == 90


def test_no_key_is_healthy_and_said(caplog: pytest.LogCaptureFixture) -> None:
    assert rotation_health_check() is True
    assert [(level, "No key is configured" in message) for _, level, message in caplog.record_tuples] == [
        (logging.INFO, True)
    ]


def test_a_store_without_keys_to_use_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no login for it either."""
    use(monkeypatch, secrets="vault", vault_address=f"http://127.0.0.1:{free_port()}")

    assert rotation_health_check() is True


def test_keys_that_were_just_stored_are_healthy(
    use_vault: Callable[..., str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The store was asked, and that is on the record."""
    prefix = use_vault("okx", "huggingface", keys="okx,huggingface")

    assert rotation_health_check() is True
    assert warnings_in(caplog) == []
    events = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(event["secret_name"], event["action"], event["accessor"]) for event in events] == [
        (f"{prefix}/okx", "describe", LOGGER),
        (f"{prefix}/huggingface", "describe", LOGGER),
    ]


def test_one_key_that_is_missing_makes_all_unhealthy(
    use_vault: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    prefix = use_vault("okx", keys="okx,bybit")

    assert rotation_health_check() is False
    (said,) = warnings_in(caplog)
    assert said.startswith(f"The age of secret '{prefix}/bybit' is not known. ")


def test_keys_of_unknown_age_are_unhealthy(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody knows since when a variable has its value."""
    use(monkeypatch, secrets="environment", keys="huggingface")
    monkeypatch.setenv("HUGGINGFACE_TOKEN", "planted-token-of-unknown-age")

    assert rotation_health_check() is False
    (said,) = warnings_in(caplog)
    assert "HUGGINGFACE_TOKEN" in said
    assert "no known age" in said
    assert "planted-token" not in caplog.text


def test_a_store_that_is_down_is_unhealthy(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    use(monkeypatch, secrets="vault", keys="okx", vault_address=f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("VAULT_TOKEN", "planted-token-for-nobody")

    assert rotation_health_check() is False
    (said,) = warnings_in(caplog)
    assert "cannot be reached" in said
    assert "planted-token" not in caplog.text


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"secrets": "vault", "keys": "okx"}, "VAULT_TOKEN"),
        ({"keys": "okx"}, "CRYPTO_PIPELINE_SECRETS"),
        ({"secrets": "dotenv", "keys": "okx"}, "development"),
        ({"op_retries": "many"}, "CRYPTO_PIPELINE_OP_RETRIES"),
    ],
    ids=["no login", "no store", "a file in production", "a malformed setting"],
)
def test_what_cannot_be_told_is_unhealthy(
    settings: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The check answers with False and a reason; it does not stop the monitor that asks it."""
    use(monkeypatch, **settings)

    assert rotation_health_check() is False
    (said,) = warnings_in(caplog)
    assert said.startswith("The age of the keys is not known. ")
    assert says in said


def test_a_check_that_cannot_be_recorded_is_unhealthy(
    use_vault: Callable[..., str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    use_vault("okx", keys="okx")
    (tmp_path / "audit.jsonl").mkdir()

    assert rotation_health_check() is False
    assert "nothing was done" in warnings_in(caplog)[0]
