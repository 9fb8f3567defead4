"""The code location is whole for every deployment, and what a module builds is in it."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import pkgutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import dagster as dg
import pytest

from crypto_pipeline import defs as floor
from crypto_pipeline.defs import resources
from crypto_pipeline.defs.build import TOKEN_ISSUERS, build_defs, secrets_resource
from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.exchanges import CLIENTS, ISSUER_PROBES, PERPETUAL_CLIENTS
from crypto_pipeline.lake import LocalLake
from crypto_pipeline.settings import Settings, StoreName

STORES = get_args(StoreName)
SUBSETS = [subset for count in range(len(CLIENTS) + 1) for subset in itertools.combinations(CLIENTS, count)]
BUILT = (dg.AssetsDefinition, dg.JobDefinition, dg.ScheduleDefinition, dg.SensorDefinition, dg.AssetChecksDefinition)
CHECKS = {
    "api_key": {"key_is_read_only"},
    "instruments": set(),
    "candles_1m": {"candles_are_complete", "candles_are_consistent"},
    "trades": set(),
    "quotes": set(),
    "books": set(),
}
PERPETUALS = ("funding_rates", "open_interest", "mark_prices")
every_exchange = pytest.mark.parametrize("exchange", CLIENTS)


@pytest.fixture
def settings() -> Settings:
    """Settings of an empty environment."""
    return Settings.from_environment()


@pytest.fixture
def built(settings: Settings) -> dg.Definitions:
    """The code location of an empty environment."""
    return build_defs(settings)


def assets_of(defs: dg.Definitions) -> dict[str, dg.AssetsDefinition]:
    """Return the assets by key, with those that are made together under each of theirs."""
    made = [asset for asset in defs.assets or () if isinstance(asset, dg.AssetsDefinition)]
    return {key.to_user_string(): asset for asset in made for key in asset.keys}


@pytest.mark.parametrize(
    ("exchanges", "store"),
    [*zip(SUBSETS, itertools.cycle(STORES), strict=False), *((tuple(CLIENTS), store) for store in STORES)],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_the_code_location_loads_for_every_store_and_every_choice_of_exchanges(
    exchanges: Sequence[str], store: str
) -> None:
    """Nothing has to be there for that: no store, no login, no exchange."""
    keys = (*exchanges, *TOKEN_ISSUERS) if store != "none" else ()

    defs = build_defs(Settings.from_environment(secrets=store, exchanges=exchanges, keys=keys))

    dg.Definitions.validate_loadable(defs)
    expected = {f"{exchange}/{name}" for exchange in exchanges for name in CHECKS}
    assert set(assets_of(defs)) == expected | {"huggingface/api_key"}


def test_perpetual_contracts_are_read_where_the_exchange_has_them_and_only_if_wanted() -> None:
    """Coinbase Exchange is spot only."""
    wanted = assets_of(build_defs(Settings.from_environment(perpetuals="BTC-USDT")))
    unwanted = assets_of(build_defs(Settings.from_environment()))

    found = {name for name in wanted if name.partition("/")[2] in PERPETUALS}
    assert found == {f"{exchange}/{name}" for exchange in PERPETUAL_CLIENTS for name in PERPETUALS}
    assert not found & unwanted.keys()
    assert PERPETUAL_CLIENTS.keys() == CLIENTS.keys() - {"coinbase"}


def test_each_exchange_knows_where_its_perpetual_contracts_are_asked_about() -> None:
    urls = {"binance_url": "http://127.0.0.1:1", "binance_perpetual_url": "http://127.0.0.1:2"}
    made = build_defs(Settings.from_environment(okx_url="http://127.0.0.1:3", **urls)).resources or {}

    assert (made["binance"].perpetuals_url, made["okx"].perpetuals_url) == ("http://127.0.0.1:2", None)


@every_exchange
@pytest.mark.parametrize("name", CHECKS)
def test_each_exchange_has_its_assets_with_their_checks_group_and_pool(
    exchange: str, name: str, built: dg.Definitions
) -> None:
    key = dg.AssetKey([exchange, name])
    asset = assets_of(built)[f"{exchange}/{name}"]
    spec = asset.specs_by_key[key]

    assert {check.name for check in asset.check_specs if check.asset_key == key} == CHECKS[name]
    assert spec.group_name == exchange
    assert spec.tags["exchange"] == exchange
    assert spec.description
    assert CLIENTS[exchange].title in spec.description
    assert asset.op.pool == f"{exchange}_api"
    assert asset.required_resource_keys >= {exchange}
    assert [dep.asset_key for dep in spec.deps] == ([] if name == "api_key" else [dg.AssetKey([exchange, "api_key"])])


@pytest.mark.parametrize("issuer", TOKEN_ISSUERS)
def test_an_issuer_without_market_data_has_its_key_proved_all_the_same(issuer: str, built: dg.Definitions) -> None:
    asset = assets_of(built)[f"{issuer}/api_key"]

    assert {check.name for check in asset.check_specs} == {"key_is_read_only"}
    assert asset.op.pool == f"{issuer}_api"
    assert asset.specs_by_key[asset.key].group_name == issuer


def test_every_issuer_whose_key_can_be_asked_about_is_asked(built: dg.Definitions) -> None:
    """A new probe that is built into no asset would leave its key unproved."""
    assert {name.removesuffix("/api_key") for name in assets_of(built) if name.endswith("/api_key")} == set(
        ISSUER_PROBES
    )


def test_only_the_check_of_the_key_stops_what_comes_after_it(built: dg.Definitions) -> None:
    """A gap in the data is told; a key that may do more than read ends the run."""
    blocking = {
        f"{check.asset_key.to_user_string()}:{check.name}": check.blocking
        for asset in assets_of(built).values()
        for check in asset.check_specs
    }

    assert {name for name, blocks in blocking.items() if blocks} == {
        f"{issuer}/api_key:key_is_read_only" for issuer in ISSUER_PROBES
    }
    assert len(blocking) == len(ISSUER_PROBES) + 2 * len(CLIENTS)


def test_every_asset_and_every_check_says_what_it_is(built: dg.Definitions) -> None:
    """People who see the graph have not read the code."""
    assets = assets_of(built).values()
    texts = [spec.description for asset in assets for spec in asset.specs]
    texts += [check.description for asset in assets for check in asset.check_specs]

    assert [text for text in texts if not text or not text.endswith(".")] == []


@every_exchange
def test_candles_are_cut_by_month_and_a_range_is_one_run(exchange: str) -> None:
    defs = build_defs(Settings.from_environment(first_month="2023-05"))
    asset = assets_of(defs)[f"{exchange}/candles_1m"]

    assert isinstance(asset.partitions_def, dg.MonthlyPartitionsDefinition)
    assert asset.partitions_def.get_first_partition_key() == "2023-05"
    assert asset.backfill_policy == dg.BackfillPolicy.single_run()


def test_no_step_has_a_retry_policy_of_dagsters(built: dg.Definitions) -> None:
    """It would retry faults of ours too; `failures` asks for a retry where that can help."""
    assert [name for name, asset in assets_of(built).items() if asset.op.retry_policy is not None] == []


def test_steps_run_in_the_process_of_their_run(built: dg.Definitions) -> None:
    """A step process costs seconds to start."""
    assert built.resolve_job_def("key_check").executor_def is dg.in_process_executor


# What is replaced...


@pytest.mark.parametrize("key", ["secrets", "audit", "lake", *ISSUER_PROBES])
def test_an_override_takes_the_place_of_the_resource_of_its_key(key: str, settings: Settings) -> None:
    replacement = object()

    made = dict(build_defs(settings).resources or {})
    given = dict(build_defs(settings, **{key: replacement}).resources or {})

    assert given[key] is replacement
    assert made[key] is not replacement
    assert made.keys() == given.keys() == {"secrets", "audit", "lake", *ISSUER_PROBES}


def test_an_override_of_the_store_or_the_record_reaches_every_exchange(settings: Settings) -> None:
    """Else an exchange would go on reading from, or writing to, the one that was replaced."""
    secrets, audit = resources.VaultSecrets(address="http://127.0.0.1:1"), resources.AuditFile(path="elsewhere")

    given = build_defs(settings, secrets=secrets, audit=audit).resources or {}

    for issuer in ISSUER_PROBES:
        assert given[issuer].secrets is secrets
        assert given[issuer].audit is audit


def test_an_override_of_what_does_not_exist_is_refused_and_what_exists_is_named(settings: Settings) -> None:
    """A slip in a name would leave the real one in place."""
    with pytest.raises(ConfigurationError, match="no resource lakes, secret; there are secrets, audit, lake, binance"):
        build_defs(settings, lakes=LocalLake(Path()), secret=None)


def test_an_exchange_that_is_not_configured_cannot_be_overridden() -> None:
    with pytest.raises(ConfigurationError, match="no resource okx"):
        build_defs(Settings.from_environment(exchanges="binance"), okx=None)


# What is made of the settings...


def test_each_exchange_gets_its_own_address_and_a_key_only_where_one_is_configured() -> None:
    defs = build_defs(
        Settings.from_environment(secrets="environment", keys="okx,huggingface", okx_url="http://127.0.0.1:7777")
    )
    made = defs.resources or {}

    assert {issuer for issuer in ISSUER_PROBES if made[issuer].use_key} == {"okx", "huggingface"}
    assert {issuer: made[issuer].base_url for issuer in ISSUER_PROBES if made[issuer].base_url} == {
        "okx": "http://127.0.0.1:7777"
    }
    assert [issuer for issuer in ISSUER_PROBES if made[issuer].issuer != issuer] == []


STORE_SETTINGS: dict[str, tuple[type[Any], dict[str, Any], dict[str, Any]]] = {
    "none": (resources.NoSecrets, {}, {}),
    "environment": (resources.EnvironmentSecrets, {}, {}),
    "dotenv": (
        resources.DotenvSecrets,
        {"dotenv": "/somewhere/.env.local", "environment": "development"},
        {"path": "/somewhere/.env.local", "environment": "development"},
    ),
    "files": (resources.FileSecrets, {"secrets_folder": "/run/keys"}, {"folder": "/run/keys"}),
    "aws": (
        resources.AwsSecrets,
        {
            "aws_region": "eu-west-1",
            "aws_endpoint_url": "https://vpce.example",
            "aws_profile": "reader",
            "aws_layout": "separate",
            "aws_role_arn": "arn:aws:iam::123456789012:role/reader",
            "aws_replica_regions": "us-east-1, eu-central-1",
            "secret_prefix": "team/keys",
            "cache_seconds": 60.0,
            "stale_seconds": 600.0,
        },
        {
            "region": "eu-west-1",
            "endpoint_url": "https://vpce.example",
            "profile": "reader",
            "layout": "separate",
            "role_arn": "arn:aws:iam::123456789012:role/reader",
            "replica_regions": ["us-east-1", "eu-central-1"],
            "prefix": "team/keys",
            "cache_seconds": 60.0,
            "stale_seconds": 600.0,
        },
    ),
    "vault": (
        resources.VaultSecrets,
        {
            "vault_address": "https://vault.example:8200",
            "vault_mount": "kv",
            "vault_namespace": "team",
            "vault_ca_file": "/etc/ca.pem",
            "vault_auth": "approle",
            "vault_auth_mount": "team/approle",
            "vault_role": "reader",
            "vault_jwt_file": "/etc/token",
            "vault_client_cert_file": "/etc/client.pem",
            "vault_client_key_file": "/etc/client.key",
            "secret_prefix": "team/keys",
            "cache_seconds": 60.0,
            "stale_seconds": 600.0,
        },
        {
            "address": "https://vault.example:8200",
            "mount": "kv",
            "namespace": "team",
            "ca_file": "/etc/ca.pem",
            "auth": "approle",
            "cache_seconds": 60.0,
            "stale_seconds": 600.0,
            "auth_mount": "team/approle",
            "role": "reader",
            "jwt_file": "/etc/token",
            "client_cert_file": "/etc/client.pem",
            "client_key_file": "/etc/client.key",
            "prefix": "team/keys",
        },
    ),
}


@pytest.mark.parametrize("store", STORES)
def test_the_resource_of_the_store_gets_every_setting_of_the_store(store: str) -> None:
    """One that is not handed on would be read by nobody, and say so to nobody."""
    kind, given, expected = STORE_SETTINGS[store]

    made = secrets_resource(Settings.from_environment(secrets=store, **given))

    assert type(made) is kind
    assert {name: getattr(made, name) for name in kind.model_fields} == expected


def test_the_record_and_the_lake_are_where_the_settings_say(tmp_path: Path) -> None:
    settings = Settings.from_environment(lake=tmp_path / "lake", audit_log=tmp_path / "audit.jsonl")

    made = build_defs(settings).resources or {}

    assert made["lake"].root == str(tmp_path / "lake")
    assert made["audit"].path == str(tmp_path / "audit.jsonl")
    assert made["audit"].settings == settings.as_text()


# Nothing is left out...


def modules() -> Iterator[ModuleType]:
    """Yield every module of the Dagster floor."""
    for found in pkgutil.iter_modules(floor.__path__, f"{floor.__name__}."):
        yield importlib.import_module(found.name)


def builders(module: ModuleType) -> set[str]:
    """Return the names of the module's public functions that return something a code location is made of."""
    kinds = {kind.__name__ for kind in BUILT} | {"UnresolvedAssetJobDefinition"}
    return {
        name
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and (name.startswith("build_") or any(kind in str(function.__annotations__.get("return")) for kind in kinds))
    }


def test_what_every_builder_returns_is_merged() -> None:
    """A builder that `build` does not call would be tested, documented, and never run."""
    build = importlib.import_module(f"{floor.__name__}.build")
    called = {
        node.func.id
        for node in ast.walk(ast.parse(inspect.getsource(build)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    found = {module.__name__: builders(module) for module in modules() if module is not build}

    assert {name: names - called for name, names in found.items() if names - called} == {}
    # The search itself finds what is there now.
    now = {"build_api_key", "build_candles", "build_instruments", "build_jobs", "build_schedules"}
    assert set.union(*found.values()) >= now


def test_no_module_defines_something_by_itself_that_is_not_merged() -> None:
    """Such as an asset at the top of a module; everything is made by builders from the settings."""
    found = [
        f"{module.__name__}.{name}"
        for module in modules()
        for name, value in vars(module).items()
        if isinstance(value, (*BUILT, dg.Definitions))
    ]

    assert found == []


def test_every_class_of_resource_is_used_by_some_deployment() -> None:
    """And none is used that does not stand in `resources`."""
    used = {
        type(resource)
        for store in STORES
        for resource in (build_defs(Settings.from_environment(secrets=store)).resources or {}).values()
    }

    assert used == {
        kind
        for _, kind in inspect.getmembers(resources, inspect.isclass)
        if issubclass(kind, dg.ConfigurableResource)
        and kind.__module__ == resources.__name__
        and "[" not in kind.__name__  # pydantic keeps the bases there too
    }
