"""Processes of one host share one count, and a process that dies takes nothing along."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.transport import Budget, MinuteWindow, SlidingWindow, TokenBucket
from crypto_pipeline.transport.budget import LONGEST_ANSWER_SECONDS
from crypto_pipeline.transport.limits import SharedState
from crypto_pipeline_tests.transport.test_budget import (
    BucketCounter,
    MinuteCounter,
    RollingCounter,
    jittery,
    keep_asking,
    steady,
)
from crypto_pipeline_tests.transport.virtual_time import now, run

NAME = "api.example.com"
PROCESSES = 4


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the count is kept."""
    return tmp_path / "limits" / "limits.sqlite"


def together(build: Callable[[], Budget], path: Path, number: int = PROCESSES) -> list[Budget]:
    """Return budgets as so many processes would make them: each its own, over one file."""
    budgets = [build() for _ in range(number)]
    for budget in budgets:
        budget.share(path, NAME)
    return budgets


def test_four_that_share_a_minute_use_it_up_and_never_overspend_it(path: Path) -> None:
    exchange = MinuteCounter(0.3)

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for budget in together(lambda: MinuteWindow(600, margin=12, clock=now), path):
                asking = keep_asking(budget, exchange.arrive, jittery(0.01, 0.3), until=60 * 4 - 5, weights=(2,))
                group.create_task(asking)

    run(work())

    assert max(exchange.used.values()) <= 600
    assert sum(exchange.used.values()) >= 0.97 * 600 * 4


def test_four_that_share_a_rolling_window_use_it_up_and_never_overspend_it(path: Path) -> None:
    exchange = RollingCounter(2)

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for budget in together(lambda: SlidingWindow(20, 2, clock=now), path):
                group.create_task(keep_asking(budget, exchange.arrive, steady(0.02), until=120, callers=8))

    run(work())

    assert exchange.most[""] == 20
    assert exchange.total > 0.95 * 20 / 2 * 120


def test_four_that_share_a_bucket_use_it_up_and_never_overspend_it(path: Path) -> None:
    exchange = BucketCounter(10, 15)

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for budget in together(lambda: TokenBucket(10, 10, clock=now), path):
                group.create_task(keep_asking(budget, exchange.arrive, jittery(0.02, 0.3), until=120, callers=8))

    run(work())

    assert exchange.lowest >= 0
    assert exchange.total > 0.97 * 10 * 120


def test_a_neighbour_who_shares_the_address_and_not_the_count_is_made_room_for(path: Path) -> None:
    """He takes half; within one minute nobody is over the limit any more, and what is left is used."""
    exchange = MinuteCounter()

    async def neighbour() -> None:
        await asyncio.sleep(90)
        while now() < 355:
            exchange.arrive(10, "neighbour")
            await asyncio.sleep(1)

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(neighbour())
            for budget in together(lambda: MinuteWindow(1200, margin=60, clock=now), path):
                asking = keep_asking(budget, exchange.arrive, jittery(0.01, 0.2), until=355, weights=(2,), callers=4)
                group.create_task(asking)

    run(work())

    ours_after = [exchange.used[minute] for minute in (2, 3, 4)]
    assert exchange.met[""] <= 1200
    assert min(ours_after) > 0.9 * 1200


BUDGETS: list[Callable[[], Budget]] = [
    lambda: SlidingWindow(5, 1, clock=now),
    lambda: TokenBucket(5, 5, clock=now),
    lambda: MinuteWindow(10, margin=5, clock=now),
]


@pytest.mark.parametrize("build", BUDGETS, ids=["sliding window", "token bucket", "minute window"])
class TestEverySharedBudget:
    """What one process is told holds for all."""

    def test_a_block_holds_for_all_processes(self, build: Callable[[], Budget], path: Path) -> None:
        async def work() -> float:
            one, other = together(build, path, 2)
            one.block(10)
            await other.acquire()
            return now()

        assert 10 <= run(work()) < 11

    def test_who_is_shut_out_is_known_to_all_and_for_how_long(self, build: Callable[[], Budget], path: Path) -> None:
        async def work() -> list[float]:
            one, other = together(build, path, 2)
            await other.acquire()
            seconds = [other.shut_seconds()]
            one.shut(600)
            one.shut(60)  # a shorter one does not lift a longer one
            for wait in (0, 100, 600):
                await asyncio.sleep(wait)
                await other.acquire()
                seconds.append(other.shut_seconds())
            return [*seconds, now()]

        assert run(work()) == pytest.approx([0, 600, 500, 0, 700])

    def test_what_is_not_sent_because_of_that_is_not_counted(self, build: Callable[[], Budget], path: Path) -> None:
        async def work() -> float:
            one, other = together(build, path, 2)
            one.shut(30)
            for _ in range(50):
                other.release(await other.acquire())
            assert other.used == 0
            await asyncio.sleep(31)
            await other.acquire()
            return now()

        assert run(work()) == pytest.approx(31)

    def test_other_names_are_other_counts(self, build: Callable[[], Budget], path: Path) -> None:
        async def work() -> float:
            one, other = build(), build()
            one.share(path, "one")
            other.share(path, "other")
            one.block(10)
            await other.acquire()
            return now()

        assert run(work()) < 1


def test_what_a_dead_process_had_on_its_way_counts_no_longer_than_an_answer_takes(path: Path) -> None:
    async def work() -> float:
        dead, alive = together(lambda: SlidingWindow(2, 1, clock=now), path, 2)
        for _ in range(2):
            await dead.acquire()
        await alive.acquire()
        return now()

    assert LONGEST_ANSWER_SECONDS <= run(work()) < LONGEST_ANSWER_SECONDS + 2


def _count(path: Path, times: int) -> None:
    state = SharedState(path, NAME)
    for _ in range(times):
        with state.changing() as known:
            known["n"] = known.get("n", 0) + 1


def test_real_processes_lose_no_count(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(path, 200)) for _ in range(3)]

    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    with SharedState(path, NAME).changing() as known:
        assert known == {"n": 600}


def _count_at(path: Path, start_at: float, times: int) -> None:
    while time.time() < start_at:
        pass
    _count(path, times)


@pytest.mark.parametrize("attempt", range(3))
def test_processes_that_start_together_all_find_the_file_usable(attempt: int, path: Path) -> None:
    """As those of a command that runs four exchanges side by side, on the first day."""
    del attempt
    context, start_at = multiprocessing.get_context("fork"), time.time() + 0.5
    processes = [context.Process(target=_count_at, args=(path, start_at, 40)) for _ in range(6)]

    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0] * 6
    with SharedState(path, NAME).changing() as known:
        assert known == {"n": 240}


def test_two_in_one_process_do_not_disturb_each_other(path: Path) -> None:
    """To open the second must not let go of what the first one holds."""
    one, other = SharedState(path, NAME), SharedState(path, "another")

    with one.changing() as known:
        known["n"] = 1
    for number in range(3):
        with other.changing() as known:
            known["n"] = number
        with SharedState(path, f"new {number}").changing() as known:
            known["n"] = number
        with one.changing() as known:
            known["n"] += 1

    with SharedState(path, NAME).changing() as known:
        assert known == {"n": 4}


def test_a_process_killed_in_the_middle_of_a_change_leaves_the_count_as_it_was_and_free(path: Path) -> None:
    script = f"""
import sys, time
from pathlib import Path
from crypto_pipeline.transport.limits import SharedState
with SharedState(Path({str(path)!r}), {NAME!r}).changing() as known:
    known["n"] = 1
with SharedState(Path({str(path)!r}), {NAME!r}).changing() as known:
    known["n"] = 2
    print("changing", flush=True)
    time.sleep(60)
"""
    victim = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    victim.stdout.readline()

    victim.send_signal(signal.SIGKILL)
    victim.wait(20)
    victim.stdout.close()

    started = time.monotonic()
    with SharedState(path, NAME).changing() as known:
        assert known == {"n": 1}
    assert time.monotonic() - started < 5


def test_whoever_fails_in_the_middle_of_a_change_changes_nothing(path: Path) -> None:
    state = SharedState(path, NAME)
    with state.changing() as known:
        known["n"] = 1

    def fail() -> None:
        with state.changing() as known:
            known["n"] = 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with state.changing() as known:
        assert known == {"n": 1}


def test_a_forked_child_counts_on_its_own_connection(path: Path) -> None:
    state = SharedState(path, NAME)
    with state.changing() as known:
        known["n"] = 1

    child = os.fork()
    if child == 0:  # pragma: no cover - the child is not measured
        try:
            with state.changing() as known:
                known["n"] += 1
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    with state.changing() as known:
        assert known == {"n": 2}


def test_nobody_else_can_read_it(path: Path) -> None:
    with SharedState(path, NAME).changing() as known:
        known["n"] = 1

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_is_none_of_ours_is_told_and_nothing_is_asked(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all" * 100)

    with pytest.raises(ConfigurationError, match=r"cannot be kept \(DatabaseError\), so nothing is asked"):
        run(together(lambda: TokenBucket(5, 5, clock=now), path, 1)[0].acquire())


def test_a_count_that_cannot_be_read_is_told(path: Path) -> None:
    with SharedState(path, NAME).changing() as known:
        known["n"] = 1
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE limits SET known = 'no json'")
    connection.close()

    with pytest.raises(ConfigurationError, match="remove the file"), SharedState(path, NAME).changing():
        pass


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(ConfigurationError, match=r"NotADirectoryError|FileExistsError"),
        SharedState(tmp_path / "file" / "limits.sqlite", NAME).changing(),
    ):
        pass
