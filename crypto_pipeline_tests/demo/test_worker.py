"""A worker is one ordinary Dagster run that tells its parent what happens, line by line."""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.defs.failures import reported_to_dagster
from crypto_pipeline.demo.dead_runs import WORKER_TAG
from crypto_pipeline.demo.runs import WORKER
from crypto_pipeline.errors import BannedError
from crypto_pipeline.redaction import MASK, Secret
from crypto_pipeline.sandbox.server import Sandbox, running_sandbox
from crypto_pipeline_tests.support.deployment import QUIET, dagsters_own_warnings, shared_instance
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.project import Project, make_project

MONTH = "2023-06"
"""Bybit lists the symbol two days before the end of it."""


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty_environment(monkeypatch, tmp_path)


@pytest.fixture(autouse=True)
def _dagsters_own_warnings() -> Iterator[None]:
    with dagsters_own_warnings():
        yield


# What is read from a run...


@pytest.fixture
def read_outcome() -> Callable[..., dict[str, Any]]:
    """Return the function; its module reads the settings at its import, which must not be those of the machine."""
    from crypto_pipeline.demo.worker import read_outcome

    return read_outcome


@dg.asset(key=["okx", "api_key"])
def api_key() -> dg.MaterializeResult[None]:
    """Materialize with a verdict."""
    return dg.MaterializeResult(metadata={"verdict": "read-only", "other": 1})


@dg.asset(key=["okx", "candles_1m"], partitions_def=dg.StaticPartitionsDefinition(["2026-09", "2026-10"]))
def candles_1m(context: dg.AssetExecutionContext) -> None:
    """Materialize with what the table shows, and more."""
    shown = {"dagster/row_count": 5, "missing": 1, "requests": 2, "seconds": 0.5, "chart": dg.MetadataValue.md("large")}
    context.add_output_metadata({**shown, "files": dg.MetadataValue.json([f"/lake/{context.partition_key}"])})


@dg.asset(key=["okx", "instruments"])
def instruments() -> None:
    """Materialize without any metadata."""


@dg.asset
def ours(context: dg.AssetExecutionContext) -> None:
    """Fail with an error of ours."""
    with reported_to_dagster(context, dg.RetryPolicy(max_retries=0)):
        raise BannedError("OKX banned this address.")


@dg.asset
def fault() -> None:
    """Fail with a fault that quotes a secret."""
    quoted = Secret("value-of-" + "a-secret").reveal()
    raise ZeroDivisionError(f"a fault with {quoted}")


def events(*assets: dg.AssetsDefinition, month: str | None = None) -> Sequence[dg.DagsterEvent]:
    """Return the events of a run of these assets."""
    return dg.materialize(
        list(assets), run_config=QUIET, partition_key=month, instance=shared_instance(), raise_on_error=False
    ).all_events


def test_the_outcome_of_a_good_run_is_its_verdict_and_what_the_table_shows(
    read_outcome: Callable[..., dict[str, Any]],
) -> None:
    """Nothing else goes through the pipe: a chart is large."""
    told = read_outcome([*events(api_key, instruments), *events(candles_1m, month="2026-09")])

    numbers = {"dagster/row_count": 5, "missing": 1, "requests": 2, "seconds": 0.5}
    assert told == {
        "verdict": "read-only",
        "months": [{"month": "2026-09", **numbers, "files": ["/lake/2026-09"]}],
    }


def test_each_month_of_a_range_has_its_entry(read_outcome: Callable[..., dict[str, Any]]) -> None:
    told = read_outcome([event for month in ("2026-09", "2026-10") for event in events(candles_1m, month=month)])

    assert [month["month"] for month in told["months"]] == ["2026-09", "2026-10"]


def test_the_outcome_of_an_error_of_ours_is_its_sentence_and_exit_code(
    read_outcome: Callable[..., dict[str, Any]],
) -> None:
    assert read_outcome(events(ours)) == {"failure": "OKX banned this address.", "exit_code": 5}


def test_the_outcome_of_a_fault_is_its_traceback_without_the_secret_in_it(
    read_outcome: Callable[..., dict[str, Any]],
) -> None:
    """Taken out here, where the secret was read: the parent does not know it."""
    told = read_outcome(events(fault))

    assert told.keys() == {"trace"}
    assert f"ZeroDivisionError: a fault with {MASK}" in told["trace"]
    assert 'raise ZeroDivisionError(f"a fault with {quoted}")' in told["trace"]


def test_a_run_that_made_nothing_has_nothing_to_tell(read_outcome: Callable[..., dict[str, Any]]) -> None:
    assert read_outcome([]) == {}


def test_the_job_is_found_by_its_name() -> None:
    """Dagster calls it where it builds the run again."""
    from crypto_pipeline.demo.worker import build_job

    assert build_job("key_check").name == "key_check"


# A real one...


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Exchanges of this test's own."""
    with running_sandbox() as running:
        yield running


@pytest.fixture
def project(sandbox: Sandbox, tmp_path: Path) -> Project:
    """A project folder whose workers read from the sandbox, without a key."""
    urls = {f"CRYPTO_PIPELINE_{issuer.upper()}_URL": sandbox.urls[issuer] for issuer in ISSUERS}
    symbols = {"CRYPTO_PIPELINE_SYMBOLS": "PEPE-USDT", "CRYPTO_PIPELINE_WIDE_SYMBOLS": "bybit:PEPE-USDT"}
    return make_project(tmp_path / "project", {**urls, **symbols})


@contextmanager
def started(project: Project, first: str = MONTH, last: str = MONTH) -> Iterator[subprocess.Popen[str]]:
    """Start a worker for Bybit, and end it."""
    worker = subprocess.Popen(
        [*WORKER, "bybit", first, last],
        cwd=project.home,
        env=project.surroundings(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with worker:
        try:
            yield worker
        finally:
            worker.kill()


def lines_of(worker: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Return everything a worker tells until it ends."""
    out, _ = worker.communicate(timeout=100)
    return [json.loads(line) for line in out.splitlines()]


def runs_of(project: Project, monkeypatch: pytest.MonkeyPatch) -> list[dg.DagsterRun]:
    """Return the runs in the project's instance, the first one first."""
    monkeypatch.chdir(project.home)
    before = os.umask(0o022)  # opening the instance changes it
    try:
        with dg.DagsterInstance.from_config(str(project.home)) as instance:
            return list(instance.get_runs())[::-1]
    finally:
        os.umask(before)


def test_a_worker_runs_the_main_job_over_the_months_and_tells_progress_and_outcome(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is one of Dagster's own, with a tag that says whose."""
    with started(project, "2023-05") as worker:
        *on_the_way, outcome = lines_of(worker)

    (run,) = runs_of(project, monkeypatch)
    assert worker.returncode == 0
    assert {line["kind"] for line in on_the_way} == {"progress"}
    assert [line["done"] == line["total"] for line in on_the_way][-1]
    assert {line["month"] for line in on_the_way} == {"2023-05", MONTH}
    assert (outcome["kind"], outcome["exchange"], outcome["success"]) == ("outcome", "bybit", True)
    assert outcome["verdict"] == "no key configured"
    assert [(month["month"], month["dagster/row_count"]) for month in outcome["months"]] == [
        ("2023-05", 0),
        (MONTH, 2_880),
    ]
    assert (run.run_id, run.status, run.job_name) == (outcome["run_id"], DagsterRunStatus.SUCCESS, "bybit_market_data")
    assert run.tags[WORKER_TAG].split()[1] == str(worker.pid)


@pytest.mark.timeout(120)
def test_a_worker_ends_the_run_of_one_that_was_killed_and_leaves_none_when_it_is_told_to_end_itself(
    sandbox: Sandbox, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dead one holds the exchange's pool; whoever tells of progress has got its place."""
    sandbox.add_fault("bybit", "latency", amount=60, path_prefix="/v5/market/kline")
    workers = []

    for end in (signal.SIGKILL, signal.SIGTERM):
        with started(project) as worker:
            assert worker.stdout is not None
            assert json.loads(worker.stdout.readline())["done"] == 0
            worker.send_signal(end)
            worker.communicate(timeout=60)
        workers.append(worker)

    dead, stopped = runs_of(project, monkeypatch)
    assert (workers[0].returncode, workers[1].returncode) == (-signal.SIGKILL, 1)
    assert (dead.status, stopped.status) == (DagsterRunStatus.FAILURE, DagsterRunStatus.FAILURE)
    assert [run.tags[WORKER_TAG].split()[1] for run in (dead, stopped)] == [str(worker.pid) for worker in workers]
