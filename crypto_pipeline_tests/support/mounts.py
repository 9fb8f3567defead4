"""Small file systems of a test's own: full, read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """Mount a tmpfs with these options, such as `size=64k` or `ro`; needs root, without it the test is skipped."""
    if os.geteuid() != 0:
        why = "needs root to mount a small file system: run as root, or in a container"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
