"""The security handbook's names for AWS Secrets Manager."""

from __future__ import annotations

import inspect
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from crypto_pipeline.redaction import MASK, scrub
from crypto_pipeline.utils.secrets import EXCHANGE_KEYS, SecretsManager, load_secrets_to_env
from crypto_pipeline_tests.support.aws import LOGIN, REGION, Aws
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.hiding import assert_hides
from crypto_pipeline_tests.support.ports import free_port

PLANTED = "planted-3f0a61bb7c"
KEYS = {
    "okx_api_key": "planted-okx-key-61f0",
    "okx_api_secret": PLANTED,
    "okx_okx_note": "planted-note-61f0",
    "okxx_api_key": "planted-okxx-61f0",
    "my_okx_key": "planted-my-61f0",
    "binance_api_key": "planted-binance-key-61f0",
    "huggingface_token": "planted-hf-token-61f0",
}


@pytest.fixture(autouse=True)
def log(aws: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The way to the server, and where every read is recorded."""
    empty_environment(monkeypatch, tmp_path)
    path = tmp_path / "audit.jsonl"
    variables = {**LOGIN, "AWS_REGION": REGION, "AWS_ENDPOINT_URL_SECRETS_MANAGER": aws.address}
    for name, value in {**variables, "CRYPTO_PIPELINE_AUDIT_LOG": str(path)}.items():
        monkeypatch.setenv(name, value)
    return path


@pytest.fixture
def put(aws: Aws) -> Callable[[str], str]:
    """Store the text of the secret that the handbook names; return its version."""
    return lambda text: aws.put(EXCHANGE_KEYS, text)


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away, at the end, what a test lets be put into the environment."""
    for name in KEYS:
        monkeypatch.setenv(name.upper(), "")
        monkeypatch.delenv(name.upper())


def test_the_names_and_signatures_are_the_handbooks() -> None:
    """They are printed, and used."""
    region = inspect.signature(SecretsManager).parameters["region"]

    assert (region.kind, region.default) == (inspect.Parameter.POSITIONAL_OR_KEYWORD, None)
    assert list(inspect.signature(SecretsManager).parameters) == ["region"]
    assert list(inspect.signature(SecretsManager.get_secret).parameters) == ["self", "secret_name"]
    assert list(inspect.signature(SecretsManager.get_exchange_credentials).parameters) == ["self", "exchange"]
    assert not inspect.signature(load_secrets_to_env).parameters


def test_a_secret_comes_as_a_plain_dictionary(put: Callable[[str], str]) -> None:
    """Whatever JSON its fields hold; its texts are known to the redactor."""
    fields = {**KEYS, "n": 7, "nested": {"list": [PLANTED]}}
    put(json.dumps(fields))

    found = SecretsManager().get_secret(EXCHANGE_KEYS)

    assert found == fields
    assert type(found) is dict
    assert scrub(f"see {PLANTED}") == f"see {MASK}"


@pytest.mark.parametrize(
    ("exchange", "credentials"),
    [
        ("okx", {"api_key": "planted-okx-key-61f0", "api_secret": PLANTED, "okx_note": "planted-note-61f0"}),
        ("binance", {"api_key": "planted-binance-key-61f0"}),
        ("huggingface", {"token": "planted-hf-token-61f0"}),
        ("kraken", {}),
    ],
)
def test_only_the_prefix_is_taken_off_the_names(
    put: Callable[[str], str], exchange: str, credentials: dict[str, str]
) -> None:
    """The handbook's own sketch takes it off everywhere: `okx_okx_note` would become `note`."""
    put(json.dumps(KEYS))

    assert SecretsManager().get_exchange_credentials(exchange) == credentials


def test_a_rotated_key_is_seen_by_the_next_call(put: Callable[[str], str]) -> None:
    """The handbook's own sketch keeps the first answer for ever."""
    manager = SecretsManager()
    put(json.dumps(KEYS))
    manager.get_secret(EXCHANGE_KEYS)
    put(json.dumps({**KEYS, "okx_api_secret": "planted-rotated-61f0"}))

    found = manager.get_exchange_credentials("okx")

    assert found["api_secret"] == "planted-rotated-61f0"


def test_every_read_is_on_the_record(put: Callable[[str], str], log: Path) -> None:
    """Failures too; no value is."""
    version = put(json.dumps(KEYS))
    SecretsManager().get_exchange_credentials("okx")
    with pytest.raises(RuntimeError):
        SecretsManager().get_secret("crypto-pipeline/nobodys")

    read, failed = [json.loads(line) for line in log.read_text().splitlines()]

    assert (read["event"], read["action"], read["success"]) == ("secret_access", "read", True)
    assert (read["secret_name"], read["credential_version"]) == (EXCHANGE_KEYS, version)
    assert read["accessor"] == "crypto_pipeline.utils.secrets"
    assert (failed["secret_name"], failed["error"]) == ("crypto-pipeline/nobodys", "SecretNotFoundError")
    assert PLANTED not in log.read_text()


def test_a_read_that_cannot_be_recorded_gives_nothing(
    put: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure is the handbook's, like every other."""
    put(json.dumps(KEYS))
    monkeypatch.setenv("CRYPTO_PIPELINE_AUDIT_LOG", str(tmp_path))

    with pytest.raises(RuntimeError, match=f"^Failed to fetch secret {EXCHANGE_KEYS}: The audit log"):
        SecretsManager().get_secret(EXCHANGE_KEYS)


def test_a_missing_secret_is_the_handbooks_error() -> None:
    """With our sentence in it."""
    with pytest.raises(RuntimeError) as caught:
        SecretsManager().get_secret("crypto-pipeline/nobodys")

    assert str(caught.value) == (
        "Failed to fetch secret crypto-pipeline/nobodys: AWS Secrets Manager has no secret 'crypto-pipeline/nobodys' "
        "in this region. Create it, or correct region, prefix and layout."
    )


def test_a_malformed_secret_is_not_shown(put: Callable[[str], str]) -> None:
    """The handbook's own sketch shows the parser's error, which holds all of it."""
    put(f'{{"okx_api_secret": "{PLANTED}"')

    with pytest.raises(RuntimeError, match=f"^Failed to fetch secret {EXCHANGE_KEYS}: AWS secret") as caught:
        SecretsManager().get_secret(EXCHANGE_KEYS)

    assert_hides(caught.value, {"text": PLANTED})


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"AWS_PROFILE": "nobody"}, "ProfileNotFound"),
        ({"CRYPTO_PIPELINE_SYMBOLS": "btcusdt"}, "CRYPTO_PIPELINE_SYMBOLS"),
        ({"CRYPTO_PIPELINE_AWS_ENDPOINT_URL": "http://secrets.example.org"}, "must be"),
    ],
    ids=["profile", "setting", "in the clear"],
)
def test_a_wrong_setting_is_the_handbooks_error_too(
    variables: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told at the first read: making a manager asks nobody."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    manager = SecretsManager()

    with pytest.raises(RuntimeError, match=f"^Failed to fetch secret {EXCHANGE_KEYS}: .*{says}"):
        manager.get_secret(EXCHANGE_KEYS)


def test_the_region_of_the_call_goes_first(put: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the settings', then `AWS_REGION`, then the handbook's own default."""
    put(json.dumps(KEYS))

    with pytest.raises(RuntimeError, match="in this region"):
        SecretsManager("ap-south-1").get_secret(EXCHANGE_KEYS)
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(RuntimeError, match="in this region"):
        SecretsManager().get_secret(EXCHANGE_KEYS)
    monkeypatch.setenv("CRYPTO_PIPELINE_AWS_REGION", REGION)
    assert SecretsManager().get_secret(EXCHANGE_KEYS) == KEYS


@pytest.mark.parametrize("value", [None, "", "false", "1", "yes", "truely"])
@pytest.mark.usefixtures("own_environment")
def test_nothing_is_loaded_unless_it_is_asked_for(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked either: the server is out of reach."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://127.0.0.1:{free_port()}")
    if value is not None:
        monkeypatch.setenv("USE_AWS_SECRETS", value)
    before = dict(os.environ)

    load_secrets_to_env()

    assert dict(os.environ) == before


@pytest.mark.parametrize("value", ["true", "TRUE", "True"])
@pytest.mark.usefixtures("own_environment")
def test_fields_become_variables_and_a_warning_says_so(
    put: Callable[[str], str], value: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A variable that is set stays, an empty one too; the warning names no value."""
    put(json.dumps(KEYS))
    monkeypatch.setenv("USE_AWS_SECRETS", value)
    monkeypatch.setenv("OKX_API_KEY", "mine")
    monkeypatch.setenv("BINANCE_API_KEY", "")

    load_secrets_to_env()

    loaded = {name.upper(): value for name, value in KEYS.items()} | {"OKX_API_KEY": "mine", "BINANCE_API_KEY": ""}
    assert {name: os.environ[name] for name in loaded} == loaded
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "5 secrets stand in the environment" in warning.getMessage()
    assert "OKX_API_SECRET" in warning.getMessage()
    assert PLANTED not in caplog.text


@pytest.mark.usefixtures("own_environment")
def test_a_field_that_cannot_be_a_variable_lets_none_be_set(
    put: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All or nothing."""
    put(json.dumps({**KEYS, "port": 7}))
    monkeypatch.setenv("USE_AWS_SECRETS", "true")

    with pytest.raises(RuntimeError, match=f"^Failed to fetch secret {EXCHANGE_KEYS}: its field 'port'"):
        load_secrets_to_env()

    assert not os.environ.keys() & {name.upper() for name in KEYS}
