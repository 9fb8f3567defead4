"""Workers are started together, listened to, waited for, and ended with the one who started them."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from crypto_pipeline.demo.runs import LINES_KEPT, WORKER, Outcome, dagster_home, run_all
from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.redaction import MASK, Secret
from crypto_pipeline_tests.support.project import ROOT

Told = list[tuple[str, Mapping[str, Any]]]

STAND_IN = """
import json, os, signal, sys, time
exchange, first, last = sys.argv[1:]

def tell(kind, **fields):
    print(json.dumps({"kind": kind, **fields}), flush=True)

"""
"""A worker that does what a test says: its real one is in `test_worker`."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a Dagster instance, and the working folder."""
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return tmp_path


class Runner:
    """Runs a stand-in on some exchanges, and keeps what it told."""

    def __init__(self, folder: Path) -> None:
        self._script = folder / "worker.py"
        self.told: Told = []

    def __call__(
        self,
        body: str,
        *exchanges: str,
        environment: Mapping[str, str] | None = None,
        on_progress: Callable[[str, Mapping[str, Any]], None] | None = None,
    ) -> list[Outcome]:
        self._script.write_text(STAND_IN + body)
        return run_all(
            exchanges or ("okx",),
            "2026-09",
            "2026-10",
            environment=environment or {},
            on_progress=on_progress or (lambda exchange, told: self.told.append((exchange, told))),
            command=(sys.executable, str(self._script)),
        )


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Run a stand-in."""
    return Runner(tmp_path)


def test_what_a_worker_tells_at_its_end_is_its_outcome(run: Runner) -> None:
    (done,) = run(
        'tell("outcome", exchange=exchange, run_id="abc", success=True, verdict="read-only", months=[{"month": last}])'
    )

    assert (done.exchange, done.exit_code, done.failure, done.trace) == ("okx", 0, "", "")
    assert (done.verdict, done.run_id, done.months) == ("read-only", "abc", [{"month": "2026-10"}])
    assert done.seconds > 0


def test_what_it_tells_on_the_way_is_passed_on_with_its_exchange(run: Runner) -> None:
    run('tell("progress", done=1, first=first)\ntell("progress", done=2, first=first)', "okx", "bybit")

    assert sorted(run.told, key=str) == sorted(
        ((exchange, {"done": done, "first": "2026-09"}) for exchange in ("okx", "bybit") for done in (1, 2)), key=str
    )


NOISE = (
    "not json at all",
    "5",
    "null",
    '"a text"',
    "[1, 2]",
    "{}",
    '{"level": "info", "message": "a library logs in JSON"}',
    '{"kind": null}',
    '{"kind": ["progress"]}',
    "",
)


@pytest.mark.parametrize("line", NOISE)
def test_what_a_library_prints_is_passed_over(line: str, run: Runner) -> None:
    """A reader that stops at it would leave the worker waiting for room in its pipe, for ever."""
    body = f"for _ in range(20_000):\n    print({line!r})\ntell('progress', done=1)\ntell('outcome', success=True)"

    (done,) = run(body)

    assert (done.exit_code, done.failure) == (0, "")
    assert run.told == [("okx", {"done": 1})]


def test_bytes_that_are_no_text_are_passed_over(run: Runner) -> None:
    (done,) = run(
        'sys.stdout.buffer.write(b"\\xff\\xfe\\n"); sys.stdout.flush()\n'
        'sys.stderr.buffer.write(b"\\xff\\xfe\\n")\ntell("outcome", verdict="read-only")'
    )

    assert done.verdict == "read-only"


def test_all_workers_run_at_the_same_time_and_each_outcome_stands_where_its_exchange_stands(run: Runner) -> None:
    """Each waits until it sees the other's mark."""
    body = """
open(exchange, "w").close()
deadline = time.monotonic() + 30
while not (os.path.exists("okx") and os.path.exists("bybit")):
    assert time.monotonic() < deadline
    time.sleep(0.01)
tell("outcome", verdict=exchange)
"""

    done = run(body, "okx", "bybit")

    assert [(one.exchange, one.verdict, one.exit_code) for one in done] == [("okx", "okx", 0), ("bybit", "bybit", 0)]


def test_the_time_of_a_worker_is_its_own_and_not_that_of_the_slowest(run: Runner) -> None:
    """The quick one is waited for after the slow one, and has ended long before."""
    body = """
if exchange == "okx":
    while not os.path.exists("over"):
        time.sleep(0.01)
else:
    open("over", "w").close()
tell("outcome", verdict=exchange)
time.sleep(0.5 if exchange == "okx" else 0)
"""

    slow, quick = run(body, "okx", "bybit")

    assert slow.seconds > quick.seconds + 0.3


def test_a_worker_that_tells_of_its_failure_gives_the_sentence_and_the_exit_code(run: Runner) -> None:
    (done,) = run('tell("outcome", failure="OKX is down.", exit_code=5)\nsys.exit(5)')

    assert (done.exit_code, done.failure) == (5, "OKX is down.")
    assert done.verdict == "not asked"


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [("sys.exit(3)", 3, "exit code 3"), ("os.kill(os.getpid(), signal.SIGKILL)", 1, "exit code -9")],
    ids=["ended without a word", "killed"],
)
def test_a_worker_that_dies_is_a_failure_with_what_it_wrote_last(how: str, code: int, says: str, run: Runner) -> None:
    """What it wrote is kept for --debug."""
    (done,) = run(f'print("the last words", file=sys.stderr, flush=True)\n{how}')

    assert done.exit_code == code
    assert done.failure.startswith("The run of okx ended unexpectedly")
    assert says in done.failure
    assert "--debug" in done.failure
    assert done.trace == "the last words\n"


def test_one_worker_that_dies_does_not_take_the_others_with_it(run: Runner) -> None:
    bad, good = run('if exchange == "okx":\n    sys.exit(1)\ntell("outcome", verdict="read-only")', "okx", "bybit")

    assert (bad.exit_code, good.exit_code) == (1, 0)
    assert good.verdict == "read-only"


def test_only_the_last_lines_are_kept_of_a_worker_that_writes_without_end(run: Runner) -> None:
    (done,) = run(f'for n in range({LINES_KEPT + 50}):\n    print("line", n, file=sys.stderr)\nsys.exit(1)')

    lines = done.trace.splitlines()
    assert (len(lines), lines[0], lines[-1]) == (LINES_KEPT, "line 50", f"line {LINES_KEPT + 49}")


def test_secrets_are_taken_out_of_the_sentence_and_of_the_last_words(run: Runner) -> None:
    """Those that this process knows; the worker has taken out its own."""
    secret = Secret("value-of-" + "a-secret")
    body = """
planted = os.environ["PLANTED"]
tell("outcome", failure=f"with {planted}", trace=f"first {planted}", exit_code=5)
print("then", planted, file=sys.stderr)
sys.exit(5)
"""

    (done,) = run(body, environment={"PLANTED": secret.reveal()})

    assert done.failure == f"with {MASK}"
    assert done.trace == f"first {MASK}then {MASK}\n"


def test_the_last_words_are_not_in_the_text_of_an_outcome() -> None:
    """It may be logged by somebody."""
    assert "words" not in repr(Outcome("okx", 1, 0.1, trace="the last words"))


def test_a_worker_gets_the_instance_and_the_variables_and_no_telemetry(run: Runner, home: Path) -> None:
    body = """
names = ("DAGSTER_HOME", "MORE", "DAGSTER_DISABLE_TELEMETRY")
tell("outcome", months=[{name: os.environ.get(name) for name in names} | {"folder": os.getcwd()}])
"""

    (done,) = run(body, environment={"MORE": "variables"})

    assert done.months == [
        {"DAGSTER_HOME": str(home), "MORE": "variables", "DAGSTER_DISABLE_TELEMETRY": "1", "folder": str(home)}
    ]


def is_alive(process: int) -> bool:
    """Tell whether a process still runs."""
    return Path(f"/proc/{process}").exists()


@pytest.mark.parametrize("exchanges", [("okx",), ("okx", "bybit")])
def test_workers_end_when_the_one_who_waits_for_them_is_stopped(exchanges: tuple[str, ...], run: Runner) -> None:
    """Ctrl-C reaches this thread while it waits; no worker may go on by itself."""
    waiting = threading.current_thread().ident
    assert waiting is not None
    processes: set[int] = set()

    def stop(_: str, told: Mapping[str, Any]) -> None:
        processes.add(told["process"])
        if len(processes) == len(exchanges):
            signal.pthread_kill(waiting, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run('tell("progress", process=os.getpid())\ntime.sleep(300)', *exchanges, on_progress=stop)

    assert len(processes) == len(exchanges)
    assert [process for process in processes if is_alive(process)] == []


def test_a_worker_is_this_interpreter_with_our_module() -> None:
    assert (sys.executable, "-m", "crypto_pipeline.demo.worker") == WORKER


# The instance...


def test_the_instance_is_the_working_folder_unless_another_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(ROOT / "dagster.yaml", other)

    assert dagster_home() == home
    monkeypatch.setenv("DAGSTER_HOME", str(other))
    assert dagster_home() == other


def test_without_an_instance_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Runner) -> None:
    """Dagster would make one somewhere else, and nobody would find the runs."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "nowhere"))

    with pytest.raises(ConfigurationError, match=r"There is no dagster.yaml in .*nowhere.*DAGSTER_HOME"):
        run('open("started", "w").close()')

    assert not (tmp_path / "started").exists()
