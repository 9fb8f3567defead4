"""
Where audit events go: an append-only file, and the logger `audit`.

An event that cannot be written raises `AuditError`, and what was to be recorded does not happen.
Lines are written whole under a lock that holds between processes; a line that was cut short by a
full disk is taken back, one that was cut short by a crash is closed. The tamper-evident form (hash chain, seals) is a later member of the same
`AuditLog` interface.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, Self

from crypto_pipeline.audit.event import AuditEvent, Fields, stamped
from crypto_pipeline.errors import AuditError
from crypto_pipeline.redaction import scrub

AUDIT_LOGGER = "audit"


class AuditLog(Protocol):
    """Anything that keeps a record."""

    def record(self, event: AuditEvent) -> None:
        """Record one event; raises `AuditError` if that is not possible."""
        ...

    def bound(self, **context: str | None) -> AuditLog:
        """Return the same log, with `context` (run id, asset, …) added to each of its events."""
        ...


class JsonLinesAuditLog:
    """
    An append-only file with one JSON object per line, shared by any number of processes.

    Args:
        path: the file; it and its folder are made with no access for others.
        context: fields that every event of this log carries.
        clock: the time, aware, UTC.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: Fields | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.path = path
        self._context = dict(context or {})
        self._clock = clock
        # flock excludes other processes, and other opens of this one; each record opens anew.
        self._lock = threading.Lock()

    def bound(self, **context: str | None) -> Self:
        """Return the same log, with `context` added to each of its events."""
        return type(self)(self.path, context=self._context | context, clock=self._clock)

    def record(self, event: AuditEvent) -> None:
        """
        Append one event to the file, then pass it to the logger `audit`.

        Raises:
            AuditError: the line could not be written whole.
        """
        fields = stamped(event, at=self._clock(), context=self._context)
        # Before it becomes JSON: taking a value out of JSON text could cut an escape in two.
        line = json.dumps({name: scrub(value) if isinstance(value, str) else value for name, value in fields.items()})
        try:
            with self._lock, self._opened() as file:
                _append_line(file, line.encode() + b"\n", durable=event.durable)
        except OSError as error:
            msg = (
                f"The audit log {self.path} cannot be written ({error.strerror}), so nothing was done. "
                "Make room, or correct the path and its permissions."
            )
            raise AuditError(msg) from error
        level = logging.WARNING if event.is_warning else logging.INFO
        logging.getLogger(AUDIT_LOGGER).log(level, line)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the file for appending, alone, whatever became of it since the last record."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # O_NONBLOCK: a pipe put in the file's place must fail, not wait for a reader.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(self.path, flags, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)


def _append_line(file: int, line: bytes, *, durable: bool) -> None:
    """Write the whole line or nothing; a disk that fills up gives a short write, not an error."""
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        line = b"\n" + line  # another process died in the middle of its line; it must not swallow this one
    written = 0
    try:
        while written < len(line):
            written += os.write(file, line[written:])
        if durable:
            os.fdatasync(file)
    except OSError:
        os.ftruncate(file, size)
        raise
