"""Who uses whose key, as the code location tells: what is added to it appears by itself."""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pytest

from crypto_pipeline.access import Access
from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.defs.build import build_defs
from crypto_pipeline.defs.readers import collect_readers
from crypto_pipeline.defs.resources import AuditFile, ExchangeAccess, NoSecrets
from crypto_pipeline.secrets import EnvironmentSource
from crypto_pipeline.secrets.plan import Deployment, Job, Step, Timer
from crypto_pipeline.settings import Settings


@pytest.fixture
def location(tmp_path: Any) -> Deployment:
    """What the real code location tells, with keys of two issuers."""
    settings = Settings.from_environment(secrets="vault", keys=("okx", "huggingface"), lake=tmp_path)
    return collect_readers(build_defs(settings))


def resources() -> dict[str, Any]:
    """Return resources that lead to the key of OKX, to Bybit without its key, and to the store itself."""
    store, audit = NoSecrets(), AuditFile(path="audit.jsonl")
    return {
        "okx": ExchangeAccess(issuer="okx", use_key=True, secrets=store, audit=audit),
        "bybit": ExchangeAccess(issuer="bybit", secrets=store, audit=audit),
        "secrets": store,
    }


@dg.op(required_resource_keys={"okx", "bybit"})
def both() -> None:
    """Use two exchanges."""


@dg.op(required_resource_keys={"secrets"})
def everything() -> None:
    """Use the store itself."""


@dg.op
def neither() -> None:
    """Use nothing."""


@dg.graph
def inner() -> None:
    """Hold an op inside."""
    everything()


def test_the_steps_that_use_a_key_are_those_of_its_issuer(location: Deployment) -> None:
    """And no others; as the names of the assets tell."""
    steps = [step for job in location.jobs for step in job.steps]

    of_okx = {step.name for step in steps if step.name.startswith("okx/")}
    assert {step.name for step in steps if "okx" in step.issuers} == of_okx
    assert {"okx/api_key", "okx/candles_1m", "okx/instruments"} <= of_okx
    assert {step.name for step in steps if "huggingface" in step.issuers} == {"huggingface/api_key"}
    assert {issuer for step in steps for issuer in step.issuers} == {"okx", "huggingface"}
    assert {"okx_market_data", "key_check"} <= {job.name for job in location.jobs if any(s.issuers for s in job.steps)}
    assert all(job.in_one_process for job in location.jobs)


def test_schedules_are_counted_by_their_cron_strings(location: Deployment) -> None:
    found = {timer.name: timer for timer in location.timers}

    assert (found["okx_hourly"].per_day, found["okx_hourly"].job) == (24, "okx_market_data")
    assert (found["daily_key_check"].per_day, found["daily_key_check"].when) == (1, "15 6 * * *")
    assert not found["okx_hourly"].is_on


def test_a_sensor_that_takes_the_store_looks_at_every_key_in_use(location: Deployment) -> None:
    (sensor,) = [timer for timer in location.timers if timer.name == "rotation_due"]

    assert sensor.describes == ("huggingface", "okx")
    assert (sensor.when, sensor.per_day, sensor.job) == ("every 300 s", 288, "")


def test_what_starts_switched_on_is_told(tmp_path: Any) -> None:
    settings = Settings.from_environment(secrets="vault", keys=("okx",), schedules_running=True)

    assert all(timer.is_on for timer in collect_readers(build_defs(settings)).timers)


def test_an_access_that_stands_in_for_a_resource_counts_as_well(tmp_path: Any) -> None:
    """As tests and special deployments put it there."""
    log = JsonLinesAuditLog(tmp_path / "audit.jsonl")
    overrides = {"okx": Access("okx", EnvironmentSource({}), log), "bybit": Access("bybit", None, log)}

    found = collect_readers(build_defs(Settings.from_environment(), **overrides))

    assert {issuer for job in found.jobs for step in job.steps for issuer in step.issuers} == {"okx"}


def test_what_another_team_adds_appears_by_itself() -> None:
    """Ops, graphs, executors, schedules with several crons, sensors without an interval."""

    @dg.job(executor_def=dg.multiprocess_executor)
    def mixed() -> None:
        both()
        inner()
        neither()

    @dg.sensor(job=mixed, required_resource_keys={"okx"})
    def watching(context: dg.SensorEvaluationContext) -> None:
        """Do nothing."""

    @dg.schedule(job=mixed, cron_schedule=["0 6 * * 1", "0 18 * * 1-5"], required_resource_keys={"secrets"})
    def often(context: dg.ScheduleEvaluationContext) -> Sequence[dg.RunRequest]:
        return []

    defs = dg.Definitions(jobs=[mixed], sensors=[watching], schedules=[often], resources=resources())

    found = collect_readers(defs)

    (job,) = found.jobs
    assert (job.name, job.in_one_process) == ("mixed", False)
    assert {step.name: step.issuers for step in job.steps} == {"both": ("okx",), "inner": ("okx",), "neither": ()}
    assert {timer.name: timer for timer in found.timers} == {
        "often": Timer("often", "0 6 * * 1, 0 18 * * 1-5", 6 / 7, job="mixed", describes=("okx",)),
        "watching": Timer("watching", "every 30 s", 2_880, describes=("okx",)),
    }


def test_an_asset_of_several_keys_is_one_step_and_what_others_make_is_none() -> None:
    specs = [dg.AssetSpec("b", deps=["outside"]), dg.AssetSpec("a")]

    @dg.multi_asset(specs=specs, required_resource_keys={"okx"})
    def two() -> tuple[None, None]:
        """Make two."""
        return None, None

    made_elsewhere = dg.AssetSpec("outside")
    jobs = [dg.define_asset_job("job", dg.AssetSelection.assets("a", "b"))]

    (job,) = collect_readers(dg.Definitions([two, made_elsewhere], jobs=jobs, resources=resources())).jobs

    assert job == Job("job", (Step("a, b", ("okx",)),), in_one_process=False)


def test_a_location_without_resources_uses_no_key() -> None:
    @dg.job
    def quiet() -> None:
        neither()

    (job,) = collect_readers(dg.Definitions(jobs=[quiet])).jobs

    assert [step.issuers for step in job.steps] == [()]
