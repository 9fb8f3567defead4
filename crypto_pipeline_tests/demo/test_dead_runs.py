"""A run whose process is gone is ended by the next one; every other run is left alone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRun, DagsterRunStatus

from crypto_pipeline.demo.dead_runs import WORKER_TAG, end_dead_runs, this_process

POOL, STEP = "binance_api", "binance__candles_1m"
HOST = socket.gethostname()
GOING_ON = (
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)
OVER = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance with the limit of one step a pool, in memory."""
    with dg.DagsterInstance.ephemeral() as made:
        made.event_log_storage.set_concurrency_slots(POOL, 1)
        yield made


def run_of(
    instance: dg.DagsterInstance, worker: str | None, status: DagsterRunStatus = DagsterRunStatus.STARTED
) -> DagsterRun:
    """Return a run of this worker that holds the one place in the pool."""
    tags = {} if worker is None else {WORKER_TAG: worker}
    run = instance.add_run(DagsterRun("binance_market_data", status=status, tags=tags))
    assert instance.event_log_storage.claim_concurrency_slot(POOL, run.run_id, STEP).is_claimed
    return run


def status_of(instance: dg.DagsterInstance, run: DagsterRun) -> DagsterRunStatus:
    """Return how the run is now."""
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def is_pool_free(instance: dg.DagsterInstance) -> bool:
    """Tell whether another run gets the place."""
    is_claimed: bool = instance.event_log_storage.claim_concurrency_slot(POOL, "another-run", STEP).is_claimed
    return is_claimed


def name_of(process: subprocess.Popen[bytes]) -> str:
    """Return what the tag of a run in this process says; read here without a look at the module."""
    after_name = Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return f"{HOST} {process.pid} {after_name[22 - 3]}"  # field 22; the first after the name is field 3


@contextmanager
def some_process(program: str = "sleep") -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that does nothing, and end it."""
    process = subprocess.Popen([program, "300"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def killed(process: subprocess.Popen[bytes]) -> str:
    """Kill a process the hard way, and return what its run's tag says."""
    name = name_of(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return name


def test_a_process_is_named_by_host_number_and_start() -> None:
    """As the kernel tells them."""
    after_name = Path("/proc/self/stat").read_text().rsplit(") ", 1)[1].split()

    assert this_process() == f"{HOST} {os.getpid()} {after_name[22 - 3]}"


@pytest.mark.parametrize("status", GOING_ON)
def test_a_run_whose_process_was_killed_is_failed_and_its_place_in_the_pool_is_free(
    status: DagsterRunStatus, instance: dg.DagsterInstance
) -> None:
    """Else every later run of the exchange would wait for it, for ever."""
    with some_process() as process:
        run = run_of(instance, killed(process), status)

    ended = end_dead_runs(instance)

    assert ended == [run.run_id]
    assert status_of(instance, run) is DagsterRunStatus.FAILURE
    assert is_pool_free(instance)
    assert any("died before its end" in entry.message for entry in instance.all_logs(run.run_id))


def test_a_process_that_was_killed_and_not_yet_buried_is_dead(instance: dg.DagsterInstance) -> None:
    """Its number is still taken until its parent has asked for it."""
    with some_process() as process:
        run = run_of(instance, name_of(process))
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        ended = end_dead_runs(instance)

    assert ended == [run.run_id]


def test_a_number_that_another_process_has_by_now_is_a_dead_run(instance: dg.DagsterInstance) -> None:
    """Numbers are given out again; the time of the start tells them apart."""
    with some_process() as process:
        host, number, start = name_of(process).split()
        run = run_of(instance, f"{host} {number} {int(start) - 1}")

        ended = end_dead_runs(instance)

    assert ended == [run.run_id]


@pytest.mark.parametrize("name", ["sleep", "a) b (c", "R 1 2 3) Z 1"])
def test_a_living_process_is_left_alone_whatever_it_is_called(
    name: str, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """A program's name may hold anything, and stands in the middle of what the kernel tells."""
    shutil.copy(shutil.which("sleep") or "", tmp_path / name)
    with some_process(str(tmp_path / name)) as process:
        run = run_of(instance, name_of(process))

        ended = end_dead_runs(instance)

    assert ended == []
    assert status_of(instance, run) is DagsterRunStatus.STARTED
    assert not is_pool_free(instance)


def test_this_process_is_alive(instance: dg.DagsterInstance) -> None:
    run = run_of(instance, this_process())

    assert end_dead_runs(instance) == []
    assert status_of(instance, run) is DagsterRunStatus.STARTED


@pytest.mark.parametrize(
    "worker",
    [
        pytest.param(None, id="not started by the command line"),
        pytest.param("another-host 1 1", id="of another host"),
        pytest.param(f"{HOST}-2 999999999 1", id="of a host with a longer name"),
        pytest.param(HOST, id="only a host"),
        pytest.param(f"{HOST} -1 5", id="no number"),
        pytest.param(f"{HOST} ../self 5", id="a path"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_run_of_which_nobody_here_knows_the_process_is_left_alone(
    worker: str | None, instance: dg.DagsterInstance
) -> None:
    """Dagster's daemon looks after those that it launched, other hosts after their own."""
    run = run_of(instance, worker)

    assert end_dead_runs(instance) == []
    assert status_of(instance, run) is DagsterRunStatus.STARTED


@pytest.mark.parametrize("status", OVER)
def test_a_run_that_is_over_stays_as_it_ended(status: DagsterRunStatus, instance: dg.DagsterInstance) -> None:
    with some_process() as process:
        run = run_of(instance, killed(process), status)

    assert end_dead_runs(instance) == []
    assert status_of(instance, run) is status


def test_all_dead_runs_are_ended_at_once_and_only_they(instance: dg.DagsterInstance) -> None:
    with some_process() as process:
        name = killed(process)
    instance.event_log_storage.set_concurrency_slots(POOL, 4)
    dead = [run_of(instance, name) for _ in range(2)]
    alive = run_of(instance, this_process())

    ended = end_dead_runs(instance)

    assert sorted(ended) == sorted(run.run_id for run in dead)
    assert status_of(instance, alive) is DagsterRunStatus.STARTED
    assert end_dead_runs(instance) == []
