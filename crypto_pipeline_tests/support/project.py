"""A project folder of its own for one test, and the command line run in it as a user would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything it printed, on one line, so that a sentence is found whatever the terminal's width."""
        return " ".join((self.out + self.err).split())


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with the project's `dagster.yaml`, and the environment its commands run in."""

    home: Path
    environment: Mapping[str, str]

    def command(self, *words: str) -> list[str]:
        """Return the command line for `crypto-pipeline words`."""
        return [sys.executable, "-m", "crypto_pipeline", *words]

    def surroundings(self, **more: str) -> dict[str, str]:
        """Return the whole environment of a command."""
        kept = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE")
            if name in os.environ
        }
        return {
            **kept,
            "COLUMNS": "200",
            "PYTHONWARNINGS": "ignore",
            "DAGSTER_HOME": str(self.home),
            "CRYPTO_PIPELINE_OP_RETRIES": "0",
            **self.environment,
            **more,
        }

    def run(self, *words: str, timeout_seconds: float = 120, **more: str) -> Finished:
        """Run `crypto-pipeline words` to its end."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.home,
            env=self.surroundings(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)


def make_project(home: Path, environment: Mapping[str, str]) -> Project:
    """Return a project folder like a fresh clone's, as far as a run needs it."""
    home.mkdir(parents=True, exist_ok=True)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, home / name)
    return Project(home, dict(environment))
