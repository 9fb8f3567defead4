"""
How long `make demo` takes once everything is installed, and what the limits alone would cost.

The floor is the pace of the slowest exchange: 149 pages of 300 minutes at 10 requests a second.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROUNDS = 5
FLOOR_SECONDS = 44_640 / 300 / 10


def main() -> None:
    """Print the median wall time of the demo in a folder of its own."""
    walls = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
        for _ in range(ROUNDS):
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "crypto_pipeline", "demo"],
                cwd=home,
                env={**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                check=True,
            )
            walls.append(time.perf_counter() - started)
    wall = statistics.median(walls)
    print(f"medians of {ROUNDS}")
    print(f"the exchanges' own limits (floor) {FLOOR_SECONDS:6.1f} s")
    print(f"make demo                         {wall:6.1f} s   {wall / FLOOR_SECONDS:.2f} x the floor")


if __name__ == "__main__":
    main()
