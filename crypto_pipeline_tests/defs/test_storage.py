"""Dagster's own files are this user's alone, and are made once however many processes start together."""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

import multiprocessing
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from crypto_pipeline.defs.storage import PrivateSqliteStorage
from crypto_pipeline_tests.support.deployment import QUIET
from crypto_pipeline_tests.support.opening import open_instance_at_once
from crypto_pipeline_tests.support.project import ROOT

PROCESSES = 4


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    """Begin with the umask of most systems, and leave none behind."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the project's `dagster.yaml`, as after a fresh clone."""
    shutil.copy(ROOT / "dagster.yaml", tmp_path / "dagster.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dg.asset
def noisy(context: dg.AssetExecutionContext) -> int:
    """Leave something in every kind of file: events, compute logs, a stored value."""
    sys.stdout.write("a line\n")
    context.log.info("a message")
    return 1


def modes_under(folder: Path) -> dict[str, str]:
    """Return the mode of every file and folder."""
    return {
        str(path.relative_to(folder)): oct(stat.S_IMODE(path.stat().st_mode))
        for path in [folder, *folder.rglob("*")]
        if not path.is_symlink()
    }


def is_private(path: Path) -> bool:
    """Tell whether nobody but its owner may do anything with it."""
    return stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_everything_that_a_run_leaves_is_for_its_user_alone(home: Path) -> None:
    """Databases, their -wal and -shm files, compute logs, stored values, and the folders they are in."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        dg.materialize([noisy], instance=instance, run_config=QUIET)
        made = [path for path in (home / "var").rglob("*") if not path.is_symlink()]
        open_to_others = [path for path in [home / "var", *made] if not is_private(path)]

    assert open_to_others == [], modes_under(home / "var")
    names = {path.name for path in made}
    assert {"runs.db", "index.db", "schedules.db"} <= names
    assert {path.suffix for path in made if path.is_file()} >= {".db", ".out", ".err"}
    assert "noisy" in names


def test_the_instance_uses_this_storage_and_asks_nobody_for_telemetry(home: Path) -> None:
    """What `dagster.yaml` names is what is opened; a class that built its parent would be none of ours."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert type(instance.get_ref().storage) is PrivateSqliteStorage
        assert instance.telemetry_enabled is False
        assert instance.run_retries_enabled
        assert instance.get_settings("run_retries")["retry_on_asset_or_op_failure"] is False


def test_a_folder_that_was_there_keeps_its_mode_and_what_is_made_in_it_is_private(home: Path) -> None:
    """Somebody else's decision about a folder is not overruled; no file in it can be read by others."""
    folder = home / "var" / "dagster"
    folder.mkdir(parents=True, mode=0o755)

    with dg.DagsterInstance.from_config(str(home)):
        made = list(folder.rglob("*"))

    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert made
    assert [path for path in made if not is_private(path)] == []


def test_opening_the_storage_makes_the_process_private(home: Path) -> None:
    """Other components of Dagster make files later, and ask no storage for their mode."""
    with dg.DagsterInstance.from_config(str(home)):
        (home / "later").touch()

    assert is_private(home / "later")


def test_processes_that_open_a_new_instance_at_the_same_moment_all_succeed(home: Path) -> None:
    """Web server, daemon and runs start together; without a lock each finds half of what another one makes."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES)
    processes = [context.Process(target=open_instance_at_once, args=(str(home), barrier)) for _ in range(PROCESSES)]

    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)

    assert [process.exitcode for process in processes] == [0] * PROCESSES
