"""The environment is read once, checked, and never quoted."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import pytest
from pydantic import ValidationError

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.exchanges import CLIENTS
from crypto_pipeline.secrets import AwsSource, DotenvSource, EnvironmentSource, FileSource, VaultSource
from crypto_pipeline.settings import PREFIX, Settings
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.ports import free_port


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty_environment(monkeypatch, tmp_path)


def use(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    """Set settings of the environment."""
    for name, value in settings.items():
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", value)


def test_without_any_variable_only_public_data_is_read() -> None:
    """Least privilege is what one gets by doing nothing."""
    settings = Settings.from_environment()

    assert settings.environment == "production"
    assert (settings.secrets, settings.keys) == ("none", ())
    assert settings.exchanges == tuple(CLIENTS)
    assert settings.symbols == ("BTC-USDT",)
    assert settings.schedules_running is False
    assert settings.build_source() is None
    assert [settings.base_url(issuer) for issuer in ISSUERS] == [None] * len(ISSUERS)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_explained_where_it_stands(name: str) -> None:
    description = Settings.model_fields[name].description

    assert description
    assert description.endswith(".")
    assert name == name.lower()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_the_variable_of_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that took another name would be set by nobody."""
    values = {
        "environment": "development", "secrets": "vault", "keys": "okx", "exchanges": "okx", "symbols": "ETH-USDT",
        "wide_symbols": "okx:PEPE-USDT", "first_month": "2024-05", "schedules_running": "true", "op_retries": "7",
        "op_retry_delay_seconds": "0.5", "aws_layout": "separate", "vault_auth": "approle",
        "vault_address": "https://vault.example:8200", "aws_endpoint_url": "https://vpce.example",
        "cache_seconds": "60.5", "stale_seconds": "600.5", "perpetuals": "ETH-USDT", "book_levels": "20",
    }  # fmt: skip
    value = values.get(name, "http://127.0.0.1:1234" if name.endswith("_url") else "/some/where")
    use(monkeypatch, **({"secrets": "vault"} if name == "keys" else {}), **{name: value})

    settings = Settings.from_environment()

    assert value in settings.as_text()[name] or settings.as_text()[name] == str(value == "true")
    assert getattr(settings, name) != getattr(Settings.model_construct(), name, None)


def test_lists_are_separated_by_commas_and_spaces_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, symbols=" BTC-USDT, ETH-USDT,,SOL-USD ,", exchanges="okx", keys="", wide_symbols="okx:PEPE-USDT")

    settings = Settings.from_environment()

    assert settings.symbols == ("BTC-USDT", "ETH-USDT", "SOL-USD")
    assert settings.exchanges == ("okx",)
    assert settings.keys == ()
    assert settings.is_wide("okx", "PEPE-USDT")
    assert not settings.is_wide("bybit", "PEPE-USDT")


def test_paths_are_absolute_and_know_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Dagster's processes have other working folders."""
    monkeypatch.chdir(tmp_path)
    use(monkeypatch, lake="data/lake", audit_log="~/audit.jsonl")

    settings = Settings.from_environment()

    assert settings.lake == tmp_path / "data" / "lake"
    assert settings.audit_log == tmp_path / "audit.jsonl"


def test_what_is_given_in_the_call_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, secrets="vault", keys="okx")

    settings = Settings.from_environment(secrets="none", keys=())

    assert (settings.secrets, settings.keys) == ("none", ())


@pytest.mark.parametrize(
    ("variable", "field"),
    [("VAULT_ADDR", "vault_address"), ("VAULT_NAMESPACE", "vault_namespace"), ("VAULT_CACERT", "vault_ca_file")],
)
def test_vaults_own_variables_are_known(variable: str, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And ours go first."""
    monkeypatch.setenv(variable, "https://one.example")
    assert Settings.from_environment().as_text()[field] in {"https://one.example", "https:/one.example"}

    use(monkeypatch, **{field: "https://two.example"})
    assert Settings.from_environment().as_text()[field] in {"https://two.example", "https:/two.example"}


MALFORMED = [
    ("environment", "staging-Xq7", "'production' or 'development'"),
    ("secrets", "keychain-Xq7", "'aws'"),
    ("keys", "okx,vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvXq7", "entry 2 is not one of binance, coinbase, okx, bybit, hugging"),
    ("exchanges", "krakenXq7", "entry 1 is not one of binance, coinbase, okx, bybit"),
    ("exchanges", "huggingface", "entry 1 is not one of"),
    ("symbols", "BTC-USDT,btcusdtXq7", "entry 2 is not a canonical symbol such as BTC-USDT"),
    ("symbols", "BTC-USDT-Xq7", "entry 1"),
    ("symbols", "ÄÖ-ÜXQ7", "entry 1"),
    ("symbols", "-", "entry 1"),
    ("wide_symbols", "PEPE-USDTXq7", "such as okx:PEPE-USDT"),
    ("wide_symbols", "krakenXq7:PEPE-USDT", "such as okx:PEPE-USDT"),
    ("first_month", "2024-13", "pattern"),
    ("first_month", "Xq7", "pattern"),
    ("schedules_running", "perhaps-Xq7", "boolean"),
    ("op_retries", "many-Xq7", "integer"),
    ("op_retries", "-1", "greater than or equal to 0"),
    ("op_retries", "11", "less than or equal to 10"),
    ("op_retry_delay_seconds", "soon-Xq7", "number"),
    ("op_retry_delay_seconds", "-0.1", "greater than or equal to 0"),
    ("aws_layout", "both-Xq7", "'combined' or 'separate'"),
    ("vault_auth", "ldap-Xq7", "'token', 'approle', 'jwt', 'kubernetes' or 'cert'"),
    ("vault_address", "https://user:passwordXq7@vault.example", "without user name, query or fragment"),
    ("vault_address", "https://vault.example/?token=Xq7", "without user name, query or fragment"),
    ("vault_address", "vault.example:8200/Xq7", "without user name, query or fragment"),
    ("vault_address", "http://[Xq7", "without user name, query or fragment"),
    ("aws_endpoint_url", "https://keyXq7@vpce.example", "without user name, query or fragment"),
]


@pytest.mark.parametrize(("name", "value", "says"), MALFORMED, ids=[f"{name}={value}" for name, value, _ in MALFORMED])
def test_a_malformed_value_names_the_variable_and_is_not_quoted(
    name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People paste keys where names belong."""
    use(monkeypatch, **{name: value})

    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environment()

    said = str(caught.value)
    assert f"{PREFIX}{name.upper()}: " in said
    assert says in said
    assert said.endswith("Correct the environment.")
    assert "Xq7" not in said
    assert "XQ7" not in said
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_all_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, op_retries="many", symbols="btcusdt", secrets="keychain")

    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environment()

    assert {f"{PREFIX}OP_RETRIES", f"{PREFIX}SYMBOLS", f"{PREFIX}SECRETS"} <= set(re.findall(r"\w+", str(caught.value)))


def test_pydantics_own_error_does_not_quote_the_value_either(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, op_retries="pasted-key-Xq7")

    with pytest.raises(ValidationError) as caught:
        Settings()

    assert "Xq7" not in str(caught.value)


def test_a_login_in_vaults_own_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address becomes a setting, and settings are shown."""
    monkeypatch.setenv("VAULT_ADDR", "https://user:passwordXq7@vault.example")

    with pytest.raises(ConfigurationError, match=f"{PREFIX}VAULT_ADDRESS") as caught:
        Settings.from_environment()
    assert "Xq7" not in str(caught.value)


@pytest.mark.parametrize("issuer", ISSUERS)
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:8080/base", "https://127.0.0.1"]
)
def test_a_sandbox_on_this_machine_may_stand_in_for_an_exchange(
    issuer: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, **{f"{issuer}_url": url})

    assert Settings.from_environment().base_url(issuer) == url


@pytest.mark.parametrize("issuer", ISSUERS)
@pytest.mark.parametrize(
    "url",
    [
        "https://api.binance.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com",
        "http://user@127.0.0.1",
        "http://127.0.0.1:80\\@example.com",
        "http://0.0.0.0:8080",
        "http://10.0.0.1",
        "http://169.254.169.254",
        "ftp://127.0.0.1",
        "127.0.0.1:8080",
        "http://",
        "http://[::1",
        "http://ex\u2100mple.com",
    ],
)
def test_nothing_else_may_stand_in_for_an_exchange(issuer: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key would be sent there."""
    use(monkeypatch, **{f"{issuer}_url": url})

    with pytest.raises(ConfigurationError, match=f"{PREFIX}{issuer.upper()}_URL: .*loopback") as caught:
        Settings.from_environment()
    assert url not in str(caught.value)


def test_keys_without_a_store_are_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise they would look as if they were used."""
    use(monkeypatch, keys="okx")

    with pytest.raises(ConfigurationError, match=f"{PREFIX}KEYS names credentials, but {PREFIX}SECRETS names no store"):
        Settings.from_environment()


def test_settings_cannot_be_changed_once_read() -> None:
    settings = Settings.from_environment()

    with pytest.raises(ValidationError, match="frozen"):
        settings.secrets = "aws"  # type: ignore[misc]


def test_a_variable_that_is_no_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, something_else="x")

    assert "something_else" not in Settings.from_environment().as_text()


def test_settings_as_text_hold_every_setting_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster shows them, and the audit log records them."""
    planted = {
        name: f"planted-{secrets.token_hex(12)}"
        for name in (
            "VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN", "OKX_API_KEY", "OKX_API_SECRET", "OKX_PASSPHRASE", "HF_TOKEN",
        )
    }  # fmt: skip
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    use(monkeypatch, secrets="vault", keys="okx")

    settings = Settings.from_environment()
    settings.build_source()
    text = settings.as_text()

    assert set(text) == set(Settings.model_fields)
    assert all(isinstance(value, str) for value in text.values())
    assert text["keys"] == "('okx',)"
    shown = f"{text} {settings!r} {settings!s} {settings.model_dump()} {settings.model_dump_json()}"
    assert [name for name, value in planted.items() if value in shown] == []


def test_the_store_that_is_named_is_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And no other."""
    monkeypatch.setenv("VAULT_TOKEN", "planted-" + secrets.token_hex(8))
    monkeypatch.setenv("VAULT_ROLE_ID", "planted-" + secrets.token_hex(8))
    monkeypatch.setenv("VAULT_SECRET_ID", "planted-" + secrets.token_hex(8))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    nobody = f"http://127.0.0.1:{free_port()}"
    certificate = tmp_path / "ca.pem"
    certificate.touch()

    def opened(**settings: object) -> object:
        return Settings.from_environment(**settings).build_source()

    assert isinstance(opened(secrets="vault", vault_address=nobody), VaultSource)
    assert isinstance(opened(secrets="vault", vault_address=nobody, vault_auth="approle"), VaultSource)
    assert isinstance(opened(secrets="aws", aws_endpoint_url=nobody), AwsSource)
    assert isinstance(opened(secrets="environment"), EnvironmentSource)
    assert isinstance(opened(secrets="dotenv", environment="development"), DotenvSource)
    assert isinstance(opened(secrets="files"), FileSource)
    assert opened(secrets="none") is None


def test_the_file_of_keys_is_refused_outside_development() -> None:
    with pytest.raises(ConfigurationError, match="development"):
        Settings.from_environment(secrets="dotenv").build_source()


def test_a_client_certificate_for_vault_may_hold_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the names that the tools of Vault use, too."""
    assert Settings.from_environment().vault_client_certificate is None
    monkeypatch.setenv("VAULT_CLIENT_CERT", "/etc/client.pem")
    assert Settings.from_environment().vault_client_certificate == ("/etc/client.pem", "/etc/client.pem")
    monkeypatch.setenv("VAULT_CLIENT_KEY", "/etc/client.key")
    assert Settings.from_environment().vault_client_certificate == ("/etc/client.pem", "/etc/client.key")
