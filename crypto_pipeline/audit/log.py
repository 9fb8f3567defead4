"""
Where audit events go: an append-only file, and the logger `audit`.

An event that cannot be written raises `AuditError`, and what was to be recorded does not happen.
Lines are written whole under a lock that holds between processes; a line that was cut short by a
full disk is taken back, one that was cut short by a crash is closed. The tamper-evident form (hash
chain, seals) is a later member of the same `AuditLog` interface.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, Self

from crypto_pipeline.audit.event import AuditEvent, Fields, stamped
from crypto_pipeline.audit.file import PATIENCE_SECONDS, opened_alone
from crypto_pipeline.errors import AuditError
from crypto_pipeline.redaction import scrub

AUDIT_LOGGER = "audit"
logging.getLogger(AUDIT_LOGGER).addHandler(logging.NullHandler())
# Else Python prints its warnings to the standard error wherever nobody has asked for the logger.


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
        patience_seconds: how long to wait for another process that holds the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: Fields | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.path = path
        self._context = dict(context or {})
        self._clock = clock
        self._patience_seconds = patience_seconds

    def bound(self, **context: str | None) -> Self:
        """Return the same log, with `context` added to each of its events."""
        context_now = self._context | context
        return type(self)(self.path, context=context_now, clock=self._clock, patience_seconds=self._patience_seconds)

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
            # Opened anew each time, whatever became of it since the last record.
            with opened_alone(self.path, os.O_APPEND, patience_seconds=self._patience_seconds) as file:
                _append_line(file, line.encode() + b"\n", durable=event.durable)
        except OSError as error:
            msg = (
                f"The audit log {self.path} cannot be written ({error.strerror}), so nothing was done. "
                "Make room, or correct the path and its permissions."
            )
            raise AuditError(msg) from error
        level = logging.WARNING if event.is_warning else logging.INFO
        logging.getLogger(AUDIT_LOGGER).log(level, line)


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
