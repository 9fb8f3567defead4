"""Waits for what happens elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(is_so: Callable[[], bool], *, seconds: float = 30, every: float = 0.05) -> bool:
    """Wait until it is so, and tell whether it came to that."""
    deadline = time.monotonic() + seconds
    while not (found := is_so()) and time.monotonic() < deadline:
        time.sleep(every)
    return found
