"""
Starts one worker process per exchange and watches them.

A worker's progress and outcome come as lines on its standard output; what it writes to its
standard error is kept for the case that it dies.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.redaction import scrub

OnProgress = Callable[[str, Mapping[str, Any]], None]

WORKER = (sys.executable, "-m", "crypto_pipeline.demo.worker")
LINES_KEPT = 200
"""How much of what a worker writes to its standard error is shown if it dies."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How one run ended.

    Fields:
        exchange: whose run.
        exit_code: 0, or the `exit_code` of the error that failed it.
        seconds: wall time of the process.
        verdict: what was found about the key, in words.
        months: one record per month, as the worker told it.
        failure: the sentence that says what failed; empty for a success.
        run_id: the Dagster run.
        trace: what a worker that died wrote last; shown with --debug only.
    """

    exchange: str
    exit_code: int
    seconds: float
    verdict: str = "not asked"
    months: Sequence[Mapping[str, Any]] = ()
    failure: str = ""
    run_id: str = ""
    trace: str = field(default="", repr=False)


def dagster_home() -> Path:
    """
    Return the folder with `dagster.yaml`.

    Raises:
        ConfigurationError: there is none.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or Path.cwd()).absolute()
    if not (home / "dagster.yaml").is_file():
        msg = f"There is no dagster.yaml in {home}. Run this in the project's folder, or set DAGSTER_HOME."
        raise ConfigurationError(msg)
    return home


def run_all(
    exchanges: Sequence[str],
    first_month: str,
    last_month: str,
    *,
    environment: Mapping[str, str],
    on_progress: OnProgress,
    command: Sequence[str] = WORKER,
) -> list[Outcome]:
    """
    Run the main job of each exchange over the months, all at the same time, and wait for the end.

    Args:
        exchanges: whose jobs.
        first_month: such as `2026-10`.
        last_month: the same month, or a later one.
        environment: variables that the workers get besides this process's own.
        on_progress: is told, in another thread, how far each is.
        command: what a worker is; gets exchange and months as arguments.

    Raises:
        ConfigurationError: there is no Dagster instance.
    """
    home = dagster_home()
    surroundings = {**os.environ, **environment, "DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}
    workers = [
        _Worker(exchange, [*command, exchange, first_month, last_month], surroundings, home, on_progress)
        for exchange in exchanges
    ]
    try:
        return [worker.wait() for worker in workers]
    except BaseException:
        for worker in workers:
            worker.stop()
        raise


class _Worker:
    """One process and the thread that reads its lines."""

    def __init__(
        self, exchange: str, command: Sequence[str], environment: Mapping[str, str], home: Path, on_progress: OnProgress
    ) -> None:
        self.exchange = exchange
        self._started = time.monotonic()
        self._ended = self._started
        self._outcome: dict[str, Any] = {}
        self._errors: deque[str] = deque(maxlen=LINES_KEPT)
        self._on_progress = on_progress
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            command,
            env=dict(environment),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_lines, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def wait(self) -> Outcome:
        """Wait for the end and return how it went."""
        code = self._process.wait()
        for reader in self._readers:
            reader.join()
        told = self._outcome
        failure = told.get("failure", "")
        if code and not failure:
            failure = (
                f"The run of {self.exchange} ended unexpectedly (exit code {code}). Run again with --debug to see why."
            )
        return Outcome(
            exchange=self.exchange,
            exit_code=code if code >= 0 else 1,
            seconds=self._ended - self._started,
            verdict=told.get("verdict", "not asked"),
            months=told.get("months", ()),
            failure=scrub(failure),
            run_id=told.get("run_id", ""),
            trace=scrub(told.get("trace", "") + "".join(self._errors)),
        )

    def stop(self) -> None:
        """End the process; Dagster marks its run as failed."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def _read_lines(self) -> None:
        for line in _lines_of(self._process.stdout):
            kind, told = _parse(line)
            if kind == "outcome":
                self._outcome = told
            elif kind == "progress":
                self._on_progress(self.exchange, told)
        # Not when it is waited for: the others may take longer.
        self._ended = time.monotonic()

    def _read_errors(self) -> None:
        self._errors.extend(_lines_of(self._process.stderr))


def _lines_of(pipe: IO[str] | None) -> Iterator[str]:
    """Yield what comes through a pipe, and close it at its end."""
    if pipe is not None:
        with pipe:
            yield from pipe


def _parse(line: str) -> tuple[str, dict[str, Any]]:
    """Return what a worker told, its kind first; the kind is empty where a library printed something."""
    try:
        told = json.loads(line)
    except ValueError:
        return "", {}
    return (str(told.pop("kind", "")), told) if isinstance(told, dict) else ("", {})
