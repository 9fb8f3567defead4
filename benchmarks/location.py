"""
What Dagster pays for this code location: loading it, and a run of it.

Each figure is the median of several fresh processes, beside its floor measured in the same round:
`import dagster` for loading, the fetching and storing itself for a run.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from crypto_pipeline.demo.show import last_full_months
from crypto_pipeline.demo.stack import running_stack

ROOT = Path(__file__).parents[1]
ROUNDS = 5


def seconds_of(command: Sequence[str], environment: Mapping[str, str], home: Path) -> tuple[float, str]:
    """Run a command to its successful end and return its wall time and its output."""
    started = time.perf_counter()
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        cwd=home,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return time.perf_counter() - started, done.stdout


def load() -> None:
    """Print the time to load the code location against the time to import Dagster."""
    python = [sys.executable, "-W", "ignore", "-c"]
    rounds = [
        (
            seconds_of([*python, "import dagster"], {}, ROOT)[0],
            seconds_of([*python, "import crypto_pipeline.definitions"], {}, ROOT)[0],
        )
        for _ in range(ROUNDS)
    ]
    floor = statistics.median(base for base, _ in rounds)
    ours = statistics.median(whole for _, whole in rounds)
    ratio = statistics.median(whole / base for base, whole in rounds)
    print(f"import dagster (floor)          {floor:6.2f} s")
    print(f"load the code location          {ours:6.2f} s   {ratio:.2f} x the floor")


def run() -> None:
    """Print the wall time of one partition's run against the fetching and storing in it."""
    month, _ = last_full_months(datetime.now(UTC), 1)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
        with running_stack(home / "data") as stack:
            environment = {**stack.environment, "DAGSTER_HOME": str(home), "PYTHONPATH": str(ROOT)}
            rounds = []
            for _ in range(ROUNDS):
                command = [sys.executable, "-m", "crypto_pipeline.demo.worker", "binance", month, month]
                wall, out = seconds_of(command, environment, home)
                outcome = json.loads(out.splitlines()[-1])
                rounds.append((outcome["months"][0]["seconds"], wall))
    work = statistics.median(inner for inner, _ in rounds)
    wall = statistics.median(whole for _, whole in rounds)
    print(f"fetch, check, store one month   {work:6.2f} s   (Binance, 1 symbol, sandbox; the floor)")
    print(f"the whole run in its process    {wall:6.2f} s   {wall - work:.2f} s more, {wall / work:.2f} x the floor")


if __name__ == "__main__":
    print(f"medians of {ROUNDS}")
    load()
    run()
