"""One job per exchange, so that one that fails never stops another, and one that asks about every key."""

from __future__ import annotations

import dagster as dg
import pytest

from crypto_pipeline.defs.build import build_defs
from crypto_pipeline.exchanges import CLIENTS, ISSUER_PROBES, PERPETUAL_CLIENTS
from crypto_pipeline.settings import Settings
from crypto_pipeline_tests.support.deployment import Deployment, materialized, run_job


def job_of(name: str, **settings: object) -> dg.JobDefinition:
    """Return a job of a code location."""
    return build_defs(Settings.from_environment(**settings)).resolve_job_def(name)


def assets_in(job: dg.JobDefinition) -> set[str]:
    """Return the assets that a job makes."""
    return {key.to_user_string() for key in job.asset_layer.executable_asset_keys}


@pytest.mark.parametrize("exchange", CLIENTS)
def test_the_main_job_of_an_exchange_holds_its_assets_and_no_others(exchange: str) -> None:
    job = job_of(f"{exchange}_market_data")

    assert assets_in(job) == {f"{exchange}/{name}" for name in ("api_key", "instruments", "candles_1m")}
    assert job.tags["exchange"] == exchange
    assert job.description is not None
    assert exchange in job.description


@pytest.mark.parametrize("exchange", CLIENTS)
def test_the_main_job_is_run_for_a_month(exchange: str) -> None:
    """A run is asked for with a month, and a backfill of it is cut by months."""
    partitions = job_of(f"{exchange}_market_data", first_month="2024-05").partitions_def

    assert isinstance(partitions, dg.MonthlyPartitionsDefinition)
    assert partitions.get_first_partition_key() == "2024-05"


def test_the_check_of_the_keys_asks_every_issuer_and_needs_no_month() -> None:
    job = job_of("key_check")

    assert assets_in(job) == {f"{issuer}/api_key" for issuer in ISSUER_PROBES}
    assert job.partitions_def is None
    assert job.description


def test_an_exchange_that_is_not_configured_has_no_job_and_its_key_is_not_asked_about() -> None:
    defs = build_defs(Settings.from_environment(exchanges="okx"))

    assert {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")} == {
        "okx_market_data",
        "okx_looks",
        "key_check",
    }
    assert assets_in(defs.resolve_job_def("key_check")) == {"okx/api_key", "huggingface/api_key"}


@pytest.mark.parametrize("exchange", CLIENTS)
def test_a_look_takes_in_what_the_exchange_has(exchange: str) -> None:
    spot, contracts = {"trades", "quotes", "books"}, {"open_interest", "mark_prices"}
    with_contracts = spot | (contracts if exchange in PERPETUAL_CLIENTS else set())

    assert assets_in(job_of(f"{exchange}_looks")) == {f"{exchange}/{name}" for name in spot}
    job = job_of(f"{exchange}_looks", perpetuals="BTC-USDT")
    assert assets_in(job) == {f"{exchange}/{name}" for name in with_contracts}
    assert job.partitions_def is None


@pytest.mark.parametrize("exchange", PERPETUAL_CLIENTS)
def test_funding_rates_are_brought_month_by_month(exchange: str) -> None:
    job = job_of(f"{exchange}_funding", perpetuals="BTC-USDT", first_month="2024-05")

    assert assets_in(job) == {f"{exchange}/funding_rates"}
    assert isinstance(job.partitions_def, dg.MonthlyPartitionsDefinition)
    assert job.partitions_def.get_first_partition_key() == "2024-05"


def test_an_exchange_that_is_down_does_not_stop_the_others(early: Deployment) -> None:
    """Each is a run of its own."""
    early.sandbox.add_fault("binance", "region_block")
    defs = early.build_at_its_time(exchanges=("binance", "okx"))

    down, good = (run_job(defs, f"{exchange}_market_data", "2024-03") for exchange in ("binance", "okx"))

    assert not down.success
    assert good.success
    assert materialized(good) == {"okx/api_key", "okx/instruments", "okx/candles_1m"}
