"""A process that has opened a store leaves no core file, and lets no other process of its user look into it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.search import hits

PLANTED = "planted-core-5f1b9e77c0d2"
NOBODY = 65_534
CRASHES = (signal.SIGABRT, signal.SIGSEGV)

HOLDS_A_SECRET = """
import os, resource, signal, sys

_, most = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (most, most))  # as a user with `ulimit -c unlimited`
variables = {"OKX_API_KEY": "k" * 12, "OKX_API_SECRET": "-".join(["planted", "core", "5f1b9e77c0d2"]),
              "OKX_PASSPHRASE": "p" * 12}
held = dict(variables)
if sys.argv[1] == "with a store":
    from crypto_pipeline.secrets import EnvironmentSource
    held = EnvironmentSource(variables).read("okx")
os.kill(os.getpid(), int(sys.argv[2]))
"""
"""Crashes with a value in its memory; it is put together at run time, so that it is not in the program's text."""

OPENS = """
import ctypes, resource, sys
from pathlib import Path

_, most = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import (
    AwsSource, DotenvSource, EnvironmentSource, FileSource, TokenAuth, VaultSource, build_client
)

nowhere, folder = sys.argv[2], Path(sys.argv[3])
{
    "vault": lambda: VaultSource(nowhere, auth=TokenAuth(Secret("a-token"))),
    "aws": lambda: AwsSource(build_client("eu-west-1", nowhere)),
    "files": lambda: FileSource(folder),
    "environment": lambda: EnvironmentSource({}),
    "dotenv": lambda: DotenvSource(folder / ".env.local", environment="development"),
    "none": lambda: None,
}[sys.argv[1]]()
is_dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == "linux" else 0
print(is_dumpable, resource.getrlimit(resource.RLIMIT_CORE)[0])
"""

WAITS = f"""
import ctypes, os, sys
from crypto_pipeline.secrets import EnvironmentSource

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as it is in a process that was this user's from the start
if sys.argv[1] == "with a store":
    EnvironmentSource({{}})
print("ready", flush=True)
sys.stdin.read()
"""


def run(script: str, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, in this folder."""
    environment = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "COVERAGE"))}
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=folder,
        env={**environment, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def cores_in(folder: Path) -> list[Path]:
    """Return the core files in a folder."""
    return [path for path in folder.iterdir() if path.name.startswith("core")]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for core files; they are large, so none is left behind."""
    yield tmp_path
    for core in cores_in(tmp_path):
        core.unlink()


@pytest.fixture
def _where_cores_are_written() -> None:
    """Skip where a process that crashes leaves no file in its folder, whatever it does."""
    pattern = Path("/proc/sys/kernel/core_pattern")
    named = pattern.read_text().strip() if pattern.exists() else "elsewhere"
    if "/" in named or named.startswith("|"):
        pytest.skip(f"this system writes core files elsewhere ({named})")
    if subprocess.run(["sh", "-c", "ulimit -Hc"], capture_output=True, text=True, check=True).stdout.strip() == "0":
        pytest.skip("this system allows no core files")


@pytest.mark.parametrize("crash", CRASHES)
def test_a_process_that_has_opened_a_store_crashes_without_a_core_file(crash: signal.Signals, folder: Path) -> None:
    """Though its user wants one."""
    done = run(HOLDS_A_SECRET, "with a store", str(int(crash)), folder=folder)

    assert done.returncode == -crash, done.stderr
    assert cores_in(folder) == []


@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.usefixtures("_where_cores_are_written")
def test_the_same_process_without_a_store_leaves_a_core_file_with_the_value_in_it(
    crash: signal.Signals, folder: Path
) -> None:
    """So that the test above is not passed by a system that writes none."""
    done = run(HOLDS_A_SECRET, "without", str(int(crash)), folder=folder)

    (core,) = cores_in(folder)
    assert done.returncode == -crash
    assert "planted (plain) in core" in hits({"planted": PLANTED}, iter([("core", core.read_bytes())]))


@pytest.mark.parametrize("store", ["vault", "aws", "files", "environment", "dotenv"])
def test_every_source_sees_to_it_when_it_is_made(store: str, folder: Path) -> None:
    """Before there is a value to be kept."""
    done = run(OPENS, store, f"http://127.0.0.1:{free_port()}", str(folder), folder=folder)

    assert done.stdout.split() == ["0", "0"], done.stderr


def test_importing_the_stores_changes_nothing(folder: Path) -> None:
    """A process that only imports this package stays as it was."""
    done = run(OPENS, "none", "http://127.0.0.1:1", str(folder), folder=folder)

    is_dumpable, limit = done.stdout.split()
    assert is_dumpable == ("1" if sys.platform == "linux" else "0")
    assert limit != "0" or done.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the files of a process are Linux's")
@pytest.mark.parametrize(("store", "reads"), [("with a store", "denied"), ("without", "planted")])
def test_another_process_of_the_user_cannot_look_into_one_that_has_opened_a_store(store: str, reads: str) -> None:
    """Not into its environment, where the login to the store stands. Root can, so both are somebody else here."""
    somebody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    environment = {"PATH": os.environ["PATH"], "VAULT_TOKEN": PLANTED, "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile() as errors:
        holder = subprocess.Popen(
            [sys.executable, "-c", WAITS, store],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert holder.stdout is not None
        assert holder.stdin is not None
        try:
            assert holder.stdout.readline() == b"ready\n"
            looked = subprocess.run(
                ["cat", f"/proc/{holder.pid}/environ"], **somebody, cwd="/", capture_output=True, check=False
            )
        finally:
            holder.stdin.close()
            holder.stdout.close()
            holder.wait(timeout=30)

    found = "planted" if PLANTED.encode() in looked.stdout else "denied" if b"denied" in looked.stderr else "?"
    assert found == reads
