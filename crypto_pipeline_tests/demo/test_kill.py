"""A run that is killed leaves the old file or the new one, never a part of one."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from crypto_pipeline_tests.support.project import Project

MINUTES_OF_A_MONTH = (40_320, 41_760, 43_200, 44_640)


def kill_at_random_moments(project: Project, lake: Path, *, kills: int, longest_seconds: float) -> list[float]:
    """Start a run, kill its processes after a random time, look at what it left; return the moments."""
    chance = random.Random(20_261_124)
    moments = []
    for _ in range(kills):
        moment = chance.uniform(0.5, longest_seconds)
        running = subprocess.Popen(
            project.command("run", "--exchange", "binance"),
            cwd=project.home,
            env=project.surroundings(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(moment)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        moments.append(moment)
        for found in lake.rglob("*.parquet"):
            assert pq.read_table(found).num_rows > 0
    return moments


def assert_next_run_is_whole(project: Project, lake: Path) -> str:
    """Run once more to the end; nothing unfinished may be left. Return the candle file's hash."""
    done = project.run("run", "--exchange", "binance")
    assert done.code == 0, done.said
    files = [path for path in lake.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"data.parquet"}
    (candles,) = [path for path in files if "candles" in str(path)]
    assert pq.read_table(candles).num_rows in MINUTES_OF_A_MONTH
    return hashlib.sha256(candles.read_bytes()).hexdigest()


def test_a_run_killed_at_any_moment_leaves_nothing_unfinished_and_the_next_completes(
    project: Project, lake: Path
) -> None:
    """The small version: three kills."""
    kill_at_random_moments(project, lake, kills=3, longest_seconds=6)

    assert assert_next_run_is_whole(project, lake) == assert_next_run_is_whole(project, lake)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_run_killed_at_forty_moments_leaves_nothing_unfinished(project: Project, lake: Path) -> None:
    """The heavy version."""
    kill_at_random_moments(project, lake, kills=40, longest_seconds=8)

    assert assert_next_run_is_whole(project, lake) == assert_next_run_is_whole(project, lake)
