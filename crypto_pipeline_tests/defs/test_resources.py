"""Resources show names and addresses to everyone, hold no secret, and open nothing before a step asks."""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

import asyncio
import inspect
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import dagster as dg
import pytest

from crypto_pipeline.access import Access
from crypto_pipeline.audit import AuditEvent, AuditLog, JsonLinesAuditLog
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.defs import resources
from crypto_pipeline.defs.build import build_resources, secrets_resource
from crypto_pipeline.defs.resources import (
    AuditFile,
    AwsSecrets,
    DotenvSecrets,
    EnvironmentSecrets,
    ExchangeAccess,
    FileSecrets,
    Lake,
    NoSecrets,
    VaultSecrets,
)
from crypto_pipeline.demo.stack import parts_of
from crypto_pipeline.errors import ConfigurationError, CryptoPipelineError, SecretError
from crypto_pipeline.lake import LocalLake
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline.secrets import EnvironmentSource, SecretSource, SourceOpenedLater
from crypto_pipeline.settings import Settings, StoreName
from crypto_pipeline_tests.support.deployment import QUIET, Deployment
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.vault import Vault

CLASSES: list[type[dg.ConfigurableResource[Any]]] = [
    NoSecrets,
    AwsSecrets,
    VaultSecrets,
    EnvironmentSecrets,
    DotenvSecrets,
    FileSecrets,
    AuditFile,
    ExchangeAccess,
    Lake,
]
OTHER_RESOURCES = {"secrets", "audit"}
"""Fields of `ExchangeAccess` that are resources themselves."""

FIELDS = [
    pytest.param(kind, name, id=f"{kind.__name__}.{name}")
    for kind in CLASSES
    for name in kind.model_fields
    if name not in OTHER_RESOURCES
]
SOUNDS_LIKE_A_VALUE = re.compile(
    r"secret|token|password|passphrase|private|credential|signature|api_?key|secret_?id|(^|_)key$|role_?id|login",
    re.IGNORECASE,
)


def made(resource: dg.ConfigurableResource[Any]) -> Any:
    """Return what a run gets of a resource, those it depends on made first."""
    with resource.process_config_and_initialize_cm() as thing:
        return thing


@pytest.fixture(params=["aws", "vault", "environment", "dotenv", "files"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SecretSource:
    """Every kind of store as a run gets it, with an address where nobody listens and without any login."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    settings = Settings.from_environment(
        secrets=request.param,
        environment="development",
        dotenv=tmp_path / ".env.local",
        secrets_folder=tmp_path / "secrets",
        aws_endpoint_url=nowhere,
        vault_address=nowhere,
    )
    source: SecretSource = made(secrets_resource(settings))
    return source


# What everyone can see...


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_every_field_says_what_it_is_and_has_no_place_for_a_secret(
    kind: type[dg.ConfigurableResource[Any]], name: str
) -> None:
    """Dagster shows each field to everyone who can open the UI, and keeps it in its database."""
    field = kind.model_fields[name]

    assert field.description
    assert field.description.endswith(".")
    # `use_key` is a switch, and `secrets` a resource; a field of text must not be where a value goes.
    assert field.annotation is bool or not SOUNDS_LIKE_A_VALUE.search(name)


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_no_default_is_more_than_a_name_or_an_address(kind: type[dg.ConfigurableResource[Any]], name: str) -> None:
    default = kind.model_fields[name].get_default(call_default_factory=True)

    choices = get_args(kind.model_fields[name].annotation)
    is_choice = get_origin(kind.model_fields[name].annotation) is Literal and default in choices
    is_required = kind.model_fields[name].is_required()
    is_time = isinstance(default, float) and name.endswith("_seconds")
    is_empty = default in (None, False, {}, [])
    assert is_required or is_choice or is_time or is_empty or re.fullmatch(r"[a-z./-]{1,20}", default)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_schema_that_dagster_shows_has_the_same_fields(kind: type[dg.ConfigurableResource[Any]]) -> None:
    """What was looked at above is what is shown, and nothing else."""
    shown = kind.to_config_schema().config_type

    assert isinstance(shown, dg.Shape | dg.Permissive)
    assert set(shown.fields) - OTHER_RESOURCES == set(kind.model_fields) - OTHER_RESOURCES


def test_no_class_of_resource_is_left_out_above() -> None:
    found = {
        kind
        for _, kind in inspect.getmembers(resources, inspect.isclass)
        if issubclass(kind, dg.ConfigurableResource) and kind.__module__ == resources.__name__ and "[" not in str(kind)
    }

    assert found == set(CLASSES)


# Nothing is opened before it is needed...


def test_making_a_store_opens_nothing(store: SecretSource) -> None:
    """Dagster makes resources before the first step, where an error has no step to be told by."""
    assert store is not None  # made without a login, a server or a file


@pytest.mark.parametrize("verb", ["describe", "read"])
def test_what_a_store_lacks_is_told_at_the_first_use_by_an_error_of_ours(store: SecretSource, verb: str) -> None:
    with pytest.raises((ConfigurationError, SecretError)):
        getattr(store, verb)("okx")


@pytest.mark.parametrize(
    ("auth", "missing"), [("token", "VAULT_TOKEN"), ("approle", "VAULT_ROLE_ID")], ids=["token", "approle"]
)
def test_a_login_that_is_missing_is_told_by_the_first_read_and_names_the_variable(auth: Any, missing: str) -> None:
    vault = made(VaultSecrets(address="http://127.0.0.1:8200", auth=auth))

    with pytest.raises(ConfigurationError, match=missing):
        vault.read("okx")


def test_a_file_for_development_is_refused_at_the_first_read_elsewhere() -> None:
    dotenv = made(DotenvSecrets(path=".env.local"))

    with pytest.raises(ConfigurationError, match="this is not development"):
        dotenv.read("okx")


def test_a_store_that_cannot_be_opened_is_tried_again_by_the_next_read() -> None:
    """A login that was missing may be there a minute later."""
    attempts: Iterator[SecretSource | None] = iter([None, EnvironmentSource({"HF_TOKEN": "hf_" + "x" * 34})])

    def open_source() -> SecretSource:
        if source := next(attempts):
            return source
        msg = "there is no login"
        raise ConfigurationError(msg)

    source = SourceOpenedLater(open_source)

    with pytest.raises(ConfigurationError):
        source.read("huggingface")
    assert source.read("huggingface").description.name == "HUGGINGFACE_TOKEN"
    assert source.describe("huggingface").version == "environment"
    assert (source.store, source.name_of("okx")) == ("environment", "OKX_API_KEY")
    assert next(attempts, "used up") == "used up"


def test_a_run_without_its_login_fails_in_the_step_with_a_sentence(deployment: Deployment) -> None:
    """Not before the first step, where Dagster has no place for it."""
    vault = VaultSecrets(address=f"http://127.0.0.1:{free_port()}")

    result = dg.materialize([probe], resources=another_teams(vault, deployment), run_config=QUIET, raise_on_error=False)

    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert ["VAULT_TOKEN" in str(failure.error) for failure in failures] == [True]
    assert deployment.requests() == []


@pytest.mark.parametrize("store_name", get_args(StoreName))
def test_making_every_resource_of_a_deployment_connects_to_nothing(store_name: str, tmp_path: Path) -> None:
    """Not one folder or file is made either."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = Settings.from_environment(
            secrets=store_name,
            lake=tmp_path / "lake",
            audit_log=tmp_path / "log" / "audit.jsonl",
            vault_address=address,
            aws_endpoint_url=address,
            keys=tuple(ISSUERS) if store_name != "none" else (),
            **{f"{issuer}_url": address for issuer in ISSUERS},
        )

        with dg.build_resources(build_resources(settings, {})), pytest.raises(BlockingIOError):
            listener.accept()
    assert list(tmp_path.iterdir()) == []


# Another team's code location...


@dg.asset
def probe(context: dg.AssetExecutionContext, okx: dg.ResourceParam[Access]) -> dg.MaterializeResult[None]:
    """Prove the key, as another team's asset would."""

    async def ask() -> tuple[str, list[str]]:
        async with okx.open(asset="their/asset") as client:
            instruments = await client.read_instruments()
            assert client.credential is not None
            return client.credential.version, [instrument.symbol for instrument in instruments]

    version, symbols = asyncio.run(ask())
    return dg.MaterializeResult(metadata={"credential_version": version, "symbols": ", ".join(symbols)})


def another_teams(vault: VaultSecrets, deployment: Deployment) -> dict[str, Any]:
    """Return the resources of a code location that takes three classes of ours and nothing else."""
    okx = ExchangeAccess(
        issuer="okx",
        use_key=True,
        base_url=deployment.sandbox.urls["okx"],
        secrets=vault,
        audit=AuditFile(path=str(deployment.audit_file)),
    )
    return {"okx": okx}


def test_another_team_can_use_them_in_its_own_code_location(
    deployment: Deployment, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a real store, a key in it, and a run of theirs."""
    key = deployment.sandbox.keys.issue("okx", KeyKind.READ_ONLY, now_ms=deployment.sandbox.now_ms())
    vault.put("their-team/okx", parts_of(key))
    policy = 'path "secret/data/their-team/*" { capabilities = ["read"] }'
    monkeypatch.setenv("VAULT_TOKEN", vault.token(policy))
    theirs = dg.Definitions(
        assets=[probe],
        resources=another_teams(VaultSecrets(address=vault.address, prefix="their-team"), deployment),
    )

    result = theirs.resolve_implicit_global_asset_job_def().execute_in_process(run_config=QUIET)

    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert metadata["credential_version"].value == "1"
    assert "BTC-USDT" in str(metadata["symbols"].value)
    read, use = deployment.events("secret_access")
    for told in (read, use):
        assert (told["secret_name"], told["credential_version"], told["store"]) == ("their-team/okx", "1", "vault")
        assert told["run_id"] == result.run_id
    assert (read["action"], use["action"], use["handed_out"], use["signed_requests"]) == ("read", "use", 1, 1)
    assert [request["key"] for request in deployment.requests(key=True)] == [key.api_key]


def test_a_rotated_key_is_used_by_the_next_step_once_the_old_one_is_rejected(
    deployment: Deployment, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache holds the old key; the exchange's no is answered by one more look into the store."""
    monkeypatch.setenv("VAULT_TOKEN", str(vault.root.token))
    theirs = another_teams(VaultSecrets(address=vault.address, prefix="rotating-team"), deployment)
    versions, old = [], None

    for _ in range(2):
        key = deployment.sandbox.keys.issue("okx", KeyKind.READ_ONLY, now_ms=deployment.sandbox.now_ms())
        vault.put("rotating-team/okx", parts_of(key))
        if old is not None:
            deployment.sandbox.keys.revoke("okx", old)
        result = dg.materialize([probe], resources=theirs, run_config=QUIET)
        (event,) = result.get_asset_materialization_events()
        versions.append(event.step_materialization_data.materialization.metadata["credential_version"].value)
        assert deployment.requests(key=True)[-1]["key"] == key.api_key
        old = key.api_key

    assert versions == ["1", "2"]


def test_a_secret_is_read_once_however_many_steps_and_resources_want_it(
    deployment: Deployment, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster makes each resource anew for each run; the cache is the process's."""
    monkeypatch.setenv("VAULT_TOKEN", str(vault.root.token))
    key = deployment.sandbox.keys.issue("okx", KeyKind.READ_ONLY, now_ms=deployment.sandbox.now_ms())
    vault.put("thrifty-team/okx", parts_of(key))

    for _ in range(3):
        theirs = another_teams(VaultSecrets(address=vault.address, prefix="thrifty-team"), deployment)
        dg.materialize([probe], resources=theirs, run_config=QUIET)
        # What is in the store now is nobody's key; a second read would find it.
        vault.put("thrifty-team/okx", {"api_key": "k" * 40, "api_secret": "s" * 40, "passphrase": "p" * 12})

    assert {request["key"] for request in deployment.requests(key=True)} == {key.api_key}


# Each resource...


def test_without_a_store_there_is_nothing_to_read_from() -> None:
    assert made(NoSecrets()) is None


def test_a_key_that_is_to_be_used_needs_a_store(tmp_path: Path) -> None:
    """Else a deployment would quietly go on without the key it was given."""
    exchange = ExchangeAccess(
        issuer="okx", use_key=True, secrets=NoSecrets(), audit=AuditFile(path=str(tmp_path / "audit"))
    )

    with pytest.raises(ConfigurationError, match="The key of okx is to be used, but no secret store is configured"):
        made(exchange)


def test_a_key_that_is_not_to_be_used_is_not_given_its_store(tmp_path: Path) -> None:
    exchange = ExchangeAccess(issuer="okx", secrets=EnvironmentSecrets(), audit=AuditFile(path=str(tmp_path / "audit")))

    access = made(exchange)

    assert (access.source, access.has_key) == (None, False)


def test_the_lake_is_where_it_was_said_to_be(tmp_path: Path) -> None:
    lake = made(Lake(root=str(tmp_path / "lake")))

    assert isinstance(lake, LocalLake)
    assert lake.root == tmp_path / "lake"


def test_the_record_notes_first_what_changed_in_the_settings_and_by_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each change, whatever the number of runs."""
    monkeypatch.setenv("LOGNAME", "somebody")

    for settings in ({"symbols": "a"}, {"symbols": "a"}, {"symbols": "b"}):
        log = made(AuditFile(path=str(tmp_path / "audit"), settings=settings))
        log.record(AuditEvent("step"))
        log.record(AuditEvent("step"))
    events = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]

    assert [event["event"] for event in events] == [
        "configuration_change", "step", "step", "step", "step", "configuration_change", "step", "step",
    ]  # fmt: skip
    assert [(event.get("old"), event["new"], event["who"]) for event in events if "what" in event] == [
        (None, "a", "somebody"),
        ("a", "b", "somebody"),
    ]


def test_without_settings_there_is_nothing_to_note(tmp_path: Path) -> None:
    """Another team's record holds no settings of ours."""
    log = made(AuditFile(path=str(tmp_path / "audit")))

    log.record(AuditEvent("step"))

    assert isinstance(log, JsonLinesAuditLog)
    assert [path.name for path in tmp_path.iterdir()] == ["audit"]


def test_a_record_that_cannot_be_kept_is_told_by_its_first_use(tmp_path: Path) -> None:
    """Not when it is made."""
    (tmp_path / "file").write_text("")
    log: AuditLog = made(AuditFile(path=str(tmp_path / "file" / "audit"), settings={"a": "b"}))

    with pytest.raises(CryptoPipelineError):
        log.record(AuditEvent("step"))
