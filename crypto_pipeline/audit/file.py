"""
A file of the record: opened by one at a time, readable by its owner only, and really a file.

How a record is opened and locked belongs here; what stands in it belongs to `log` and `configuration`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PATIENCE_SECONDS: Final = 30.0
"""How long to wait for another process that holds the file; it holds it for less than a millisecond, if it is well."""

_POLL_SECONDS: Final = 0.001


@contextmanager
def opened_alone(path: Path, flags: int = 0, *, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[int]:
    """
    Open the file for reading and writing, making it if need be, and keep all others out.

    Raises:
        OSError: it cannot be opened, is held by another, is no regular file, or was deleted meanwhile.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # O_NONBLOCK: a pipe put in the file's place must fail, not wait for a reader.
    flags |= os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    file = os.open(path, flags, 0o600)
    try:
        # The lock excludes other processes, and other opens in this one.
        _lock(file, patience_seconds)
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if not found.st_nlink:
            raise OSError(errno.ENOENT, "it was deleted while it was being opened")
        yield file
    finally:
        # A child that was forked meanwhile shares the lock, and closing here would leave it locked there.
        fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)


def _lock(file: int, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise OSError(errno.EBUSY, f"another process holds it for {patience_seconds:g} s already") from None
            time.sleep(_POLL_SECONDS)
        else:
            return
