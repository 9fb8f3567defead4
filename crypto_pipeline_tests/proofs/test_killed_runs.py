"""A run that is killed leaves no value of the store behind: in no file, no shared memory, no core file."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest

from crypto_pipeline_tests.proofs.scene import VaultScene
from crypto_pipeline_tests.proofs.waiting import until
from crypto_pipeline_tests.support.project import Project, make_project
from crypto_pipeline_tests.support.search import everything_under, forms, hits

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what stands there is searched
SECONDS_OF_A_RUN = 6.0
WITH_CORE_FILES = ("sh", "-c", 'ulimit -c "$(ulimit -Hc)"; exec "$@"', "sh")
"""Starts what follows as a user does who wants core files."""


class Killed:
    """
    Runs of one exchange's main job that are started to be killed.

    Args:
        scene: exchanges and store; everything a run writes goes below its folder.
        exchange: whose job.
        month: which month; the last full one if left out.
    """

    def __init__(self, scene: VaultScene, exchange: str, month: str | None = None) -> None:
        self.scene = scene
        self._job = ("run", "--exchange", exchange, *(("--month", month) if month else ()))
        self.moments: list[str] = []
        temporary, home = scene.folder / "tmp", scene.folder / "home"
        for folder in (temporary, home):
            folder.mkdir()
        self._variables = scene.variables()
        self._project = make_project(
            scene.folder / "project", {**self._variables, "TMPDIR": str(temporary), "HOME": str(home)}
        )
        self._chance = random.Random(20_261_125)

    @property
    def project(self) -> Project:
        """Where the runs take place."""
        return self._project

    def planted(self) -> dict[str, str]:
        """Return every value of the store, and the login to it."""
        return {**self.scene.values(), "login": self._variables["VAULT_TOKEN"]}

    def kill_at_any_moment(self) -> None:
        """Kill the run and all its processes after a random time."""
        running = self._started()
        moment = self._chance.uniform(0.5, SECONDS_OF_A_RUN)
        time.sleep(moment)
        self._end(running, f"{moment:.1f} s after the start")

    def kill_with_the_key_in_hand(self) -> None:
        """Kill the run and all its processes at a random time after it was handed the key."""
        running, _ = self._holding()
        moment = self._chance.uniform(0, SECONDS_OF_A_RUN / 2)
        time.sleep(moment)
        self._end(running, f"{moment:.1f} s after it was handed the key")

    def crash_with_the_key_in_hand(self, crash: signal.Signals) -> None:
        """Let the process that holds the key end in a way that leaves a core file, where that is allowed."""
        running, worker = self._holding()
        os.kill(worker, crash)
        running.wait(timeout=60)
        self.moments.append(f"{crash.name} when it was handed the key")

    def run_to_the_end(self) -> str:
        """Run the job whole, and return the hash of the candles it made."""
        done = self._project.run(*self._job)
        assert done.code == 0, done.said
        (candles,) = (self.scene.folder / "lake" / "candles").rglob("*.parquet")
        return hashlib.sha256(candles.read_bytes()).hexdigest()

    def left_behind(self) -> list[str]:
        """Return where a value stands, in any form."""
        found = hits(self.planted(), chain(as_it_is(self.scene.folder), shared_memory()))
        with tempfile.TemporaryDirectory() as copy:
            # A database whose process was killed in the middle of its work can be read after it was mended.
            mended = shutil.copytree(self.scene.folder, copy, dirs_exist_ok=True)
            for database in Path(mended).rglob("*.db"):
                with closing(sqlite3.connect(database)) as opened:
                    opened.execute("pragma wal_checkpoint(truncate)")
            return found + hits(self.planted(), everything_under(Path(mended)))

    def core_files(self) -> list[Path]:
        """Return the core files below the folder."""
        return [path for path in self.scene.folder.rglob("core*") if path.is_file()]

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*WITH_CORE_FILES, *self._project.command(*self._job)],
            cwd=self._project.home,
            env=self._project.surroundings(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _holding(self) -> tuple[subprocess.Popen[bytes], int]:
        """Return a run, and the process of it, that was handed the key just now."""
        before = self._handed_out()
        running = self._started()
        if not until(lambda: self._handed_out() > before, seconds=120):
            self._end(running, "never")
            pytest.fail("the run was not handed the key")
        (worker,) = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        return running, int(worker)

    def _handed_out(self) -> int:
        if not self.scene.audit_log.exists():
            return 0
        # Lines that are being written count when they are whole.
        lines = self.scene.audit_log.read_text().split("\n")[:-1]
        return sum(
            one["event"] == "secret_access" and one["action"] == "read" for line in lines if (one := json.loads(line))
        )

    def _end(self, running: subprocess.Popen[bytes], moment: str) -> None:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(timeout=60)
        self.moments.append(moment)


def as_it_is(root: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file under `root`, byte by byte."""
    return ((str(path), path.read_bytes()) for path in root.rglob("*") if path.is_file())


def shared_memory() -> Iterator[tuple[str, bytes]]:
    """Yield what stands in the system's shared memory, of other programs too."""
    for path in SHARED_MEMORY.rglob("*") if SHARED_MEMORY.is_dir() else ():
        try:
            if path.is_file():
                yield str(path), path.read_bytes()
        except OSError:
            continue  # it is gone by now, or nobody else's


@pytest.mark.timeout(280)
def test_killed_and_crashed_runs_leave_no_value_behind_and_the_next_one_is_whole(scene: VaultScene) -> None:
    """The small version: three moments, in a month of two days."""
    killed = Killed(scene, "bybit", "2023-06")
    whole = killed.run_to_the_end()

    killed.kill_at_any_moment()
    killed.kill_with_the_key_in_hand()
    killed.crash_with_the_key_in_hand(signal.SIGABRT)

    assert killed.left_behind() == []
    assert killed.core_files() == []
    assert killed.run_to_the_end() == whole


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("exchange", ["binance", "coinbase", "okx", "bybit"])
def test_runs_killed_at_twenty_moments_leave_no_value_behind(
    exchange: str, scene: VaultScene, capsys: pytest.CaptureFixture[str]
) -> None:
    """The heavy version: twenty moments and five crashes for each exchange, looked at after each; prints them."""
    killed = Killed(scene, exchange)
    whole = killed.run_to_the_end()
    left: list[str] = []

    for _ in range(10):
        killed.kill_at_any_moment()
        left += [*killed.left_behind(), *map(str, killed.core_files())]
        killed.kill_with_the_key_in_hand()
        left += [*killed.left_behind(), *map(str, killed.core_files())]
    for crash in (signal.SIGABRT, signal.SIGSEGV, signal.SIGQUIT, signal.SIGBUS, signal.SIGILL):
        killed.crash_with_the_key_in_hand(crash)
        left += [*killed.left_behind(), *map(str, killed.core_files())]

    with capsys.disabled():
        sys.stdout.write(f"\n{exchange}: {'; '.join(killed.moments)}; left behind: {len(left)}\n")
    assert left == []
    assert killed.run_to_the_end() == whole


def test_the_search_finds_a_value_that_a_run_did_leave(scene: VaultScene) -> None:
    """In each form, in a file and in shared memory: a search that is blind would pass the tests above."""
    killed = Killed(scene, "binance")
    value = killed.planted()["binance api_secret"]
    place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else scene.folder
    left = place / f"left-{os.getpid()}"

    for name, form in forms(value).items():
        try:
            left.write_bytes(b"before " + form + b" after")
            found = killed.left_behind()
        finally:
            left.unlink()
        assert any(one.startswith(f"binance api_secret ({name})") for one in found), name
