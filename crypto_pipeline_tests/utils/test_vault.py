"""The security handbook's names for Vault."""

from __future__ import annotations

import inspect
import json
import secrets
from pathlib import Path

import pytest

from crypto_pipeline.errors import AuditError, ConfigurationError, SecretDeniedError, SecretNotFoundError
from crypto_pipeline.redaction import MASK, scrub
from crypto_pipeline.utils.vault import VaultClient
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.vault import Vault

POLICY = 'path "secret/data/*" { capabilities = ["read"] }'


@pytest.fixture(autouse=True)
def log(vault: Vault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The way to the server, and where every read is recorded."""
    empty_environment(monkeypatch, tmp_path)
    path = tmp_path / "audit.jsonl"
    monkeypatch.setenv("VAULT_ADDR", vault.address)
    monkeypatch.setenv("VAULT_TOKEN", vault.token(POLICY))
    monkeypatch.setenv("CRYPTO_PIPELINE_AUDIT_LOG", str(path))
    return path


@pytest.fixture
def exchange() -> str:
    """An exchange that no other test has keys of."""
    return f"exchange{secrets.token_hex(4)}"


def test_the_names_and_signatures_are_the_handbooks() -> None:
    """They are printed, and used."""
    assert not inspect.signature(VaultClient).parameters
    assert list(inspect.signature(VaultClient.get_secret).parameters) == ["self", "path"]
    assert list(inspect.signature(VaultClient.get_exchange_credentials).parameters) == ["self", "exchange"]


def test_a_secret_comes_as_a_plain_dictionary(vault: Vault, exchange: str) -> None:
    """Whatever JSON its fields hold; its texts are known to the redactor."""
    fields = {"api_key": f"planted-{exchange}", "n": 7, "nested": {"list": ["x"]}}
    vault.put(f"somewhere/{exchange}", fields)

    found = VaultClient().get_secret(f"somewhere/{exchange}")

    assert found == fields
    assert type(found) is dict
    assert scrub(f"see planted-{exchange}") == f"see {MASK}"


def test_an_exchanges_keys_lie_at_the_handbooks_path(vault: Vault, exchange: str) -> None:
    """And a rotated one is seen by the next call."""
    client = VaultClient()
    vault.put(f"crypto-pipeline/{exchange}", {"api_key": "old", "api_secret": "old"})
    client.get_exchange_credentials(exchange)
    vault.put(f"crypto-pipeline/{exchange}", {"api_key": "new", "api_secret": "new"})

    assert client.get_exchange_credentials(exchange) == {"api_key": "new", "api_secret": "new"}


def test_every_read_is_on_the_record(vault: Vault, exchange: str, log: Path) -> None:
    """Failures too; no value is."""
    vault.put(f"crypto-pipeline/{exchange}", {"api_key": f"planted-{exchange}"})
    VaultClient().get_exchange_credentials(exchange)
    with pytest.raises(SecretNotFoundError):
        VaultClient().get_secret("crypto-pipeline/nobodys")

    read, failed = [json.loads(line) for line in log.read_text().splitlines()]

    assert (read["event"], read["action"], read["success"]) == ("secret_access", "read", True)
    assert (read["secret_name"], read["credential_version"]) == (f"crypto-pipeline/{exchange}", "1")
    assert (read["accessor"], read["store"]) == ("crypto_pipeline.utils.vault", "vault")
    assert (failed["secret_name"], failed["error"]) == ("crypto-pipeline/nobodys", "SecretNotFoundError")
    assert f"planted-{exchange}" not in log.read_text()


def test_a_read_that_cannot_be_recorded_gives_nothing(
    vault: Vault, exchange: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No record, no secret."""
    vault.put(f"crypto-pipeline/{exchange}", {"api_key": "k"})
    monkeypatch.setenv("CRYPTO_PIPELINE_AUDIT_LOG", str(tmp_path))

    with pytest.raises(AuditError):
        VaultClient().get_exchange_credentials(exchange)


def test_a_client_without_a_token_is_told_at_the_first_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making one asks for nothing, as in the handbook."""
    monkeypatch.delenv("VAULT_TOKEN")
    client = VaultClient()

    with pytest.raises(ConfigurationError, match="VAULT_TOKEN is not set"):
        client.get_secret("a/b")


def test_the_settings_say_where_if_the_handbooks_variable_does_not(
    vault: Vault, exchange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mount is theirs in any case."""
    mount = f"mount-{secrets.token_hex(4)}"
    vault.root.sys.enable_secrets_engine("kv", path=mount, options={"version": "2"})
    vault.put(f"crypto-pipeline/{exchange}", {"api_key": "k"}, mount=mount)
    monkeypatch.delenv("VAULT_ADDR")
    monkeypatch.setenv("CRYPTO_PIPELINE_VAULT_ADDRESS", vault.address)
    monkeypatch.setenv("CRYPTO_PIPELINE_VAULT_MOUNT", mount)
    monkeypatch.setenv("VAULT_TOKEN", vault.token(f'path "{mount}/data/*" {{ capabilities = ["read"] }}'))

    assert VaultClient().get_exchange_credentials(exchange) == {"api_key": "k"}


def test_the_handbooks_variable_goes_before_the_settings(
    vault: Vault, exchange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the one that is printed."""
    vault.put(f"crypto-pipeline/{exchange}", {"api_key": "k"})
    monkeypatch.setenv("CRYPTO_PIPELINE_VAULT_ADDRESS", "https://vault.example.org")

    assert VaultClient().get_exchange_credentials(exchange) == {"api_key": "k"}


def test_a_denial_is_ours(vault: Vault, exchange: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its remedy, and without the server's words."""
    monkeypatch.setenv("VAULT_TOKEN", vault.token('path "nothing" { capabilities = ["read"] }'))

    with pytest.raises(SecretDeniedError, match=f"denied 'secret/data/crypto-pipeline/{exchange}'"):
        VaultClient().get_exchange_credentials(exchange)
