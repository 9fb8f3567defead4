"""
What is known of a limit: in this process alone, or shared by all processes of a host.

An exchange counts by address, so two runs on one host share its patience whether they know of each other or not.
The file holds counts, times and the end of a ban; no address, no key.
"""

from __future__ import annotations

import json
import os
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

from crypto_pipeline.errors import ConfigurationError

PATIENCE_SECONDS: Final = 10.0
"""Whoever changes a count holds the file for less than a millisecond."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class LimitState(Protocol):
    """What is known of one limit."""

    @contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """Give what is known, to nobody else at the same time, and keep what becomes of it."""
        ...


class OwnState:
    """What one client knows; for one event loop, which is never interrupted between two lines."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    @contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """Give what is known."""
        yield self._known


class SharedState:
    """
    What all processes of a host know, in a file.

    SQLite, because a process that is killed in the middle of a change must not leave half of it. Times are those of
    a clock that all processes share until the machine is started again; then the count begins anew.

    Args:
        path: the file; made without access for others.
        name: the limit's name, such as the exchange's host.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._row = f"{name} {_boot_id()}"
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    @contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """
        Give what is known, and keep what becomes of it; nothing is kept if the caller fails.

        Raises:
            ConfigurationError: the file cannot be used; nothing may be sent without it.
        """
        with self._translated():
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
        try:
            with self._translated():
                before, known = self._read(connection)
            yield known
            with self._translated():
                self._write(connection, before, known)
        except BaseException:
            connection.rollback()
            raise
        with self._translated():
            connection.execute("COMMIT")

    def _read(self, connection: sqlite3.Connection) -> tuple[str, dict[str, Any]]:
        found = connection.execute("SELECT known FROM limits WHERE name = ?", (self._row,)).fetchone()
        text = found[0] if found else "{}"
        return text, json.loads(text)

    def _write(self, connection: sqlite3.Connection, before: str, known: dict[str, Any]) -> None:
        after = json.dumps(known, separators=(",", ":"))
        if after != before:
            connection.execute("INSERT OR REPLACE INTO limits VALUES (?, ?)", (self._row, after))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            msg = (
                f"The count of what exchanges were asked ({self._path}) cannot be kept ({type(error).__name__}), so "
                "nothing is asked. Make room, correct the folder's permissions, or remove the file."
            )
            raise ConfigurationError(msg) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None or self._process != os.getpid():  # a forked child must not use its parent's
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make_private(self._path)
            connection = sqlite3.connect(
                self._path, timeout=PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
            )
            weakref.finalize(self, connection.close)
            # Not a write-ahead log: of processes that start together, all but one fail to switch to it.
            connection.execute("PRAGMA journal_mode = PERSIST")
            connection.execute("PRAGMA synchronous = OFF")  # after a power cut the count begins anew anyway
            connection.execute("CREATE TABLE IF NOT EXISTS limits (name TEXT PRIMARY KEY, known TEXT NOT NULL)")
            self._connection, self._process = connection, os.getpid()
        return self._connection


def _boot_id() -> str:
    """Return what names the time since the machine was started; empty where the system does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:  # pragma: no cover - not Linux
        return ""


def _make_private(path: Path) -> None:
    """Make the file if it is not there, without access for others."""
    # Never opened if it is there: to close it would let go of the locks that SQLite holds on it for this process.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
