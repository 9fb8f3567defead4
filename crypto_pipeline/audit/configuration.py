"""
Which settings changed since this log last saw them.

The settings last seen stand in a file beside the log. Settings are names and addresses, so their
values may be recorded.
"""

from __future__ import annotations

import getpass
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from crypto_pipeline.audit.event import AuditEvent, configuration_change
from crypto_pipeline.audit.file import opened_alone
from crypto_pipeline.audit.log import AuditLog
from crypto_pipeline.errors import AuditError


def note_configuration(log: AuditLog, state: Path, settings: Mapping[str, str], *, who: str) -> list[str]:
    """
    Record one event per setting that differs from the last time, and return their names.

    Processes that note the same change at the same moment record it once.

    Raises:
        AuditError: the change could not be recorded.
    """
    try:
        with (
            opened_alone(state) as file,
            # A file that is not text was not written by us, and counts as never seen.
            os.fdopen(file, "r+", encoding="utf-8", errors="replace", closefd=False) as opened,
        ):
            before = _parse(opened.read())
            changed = sorted(name for name in before.keys() | settings.keys() if before.get(name) != settings.get(name))
            for name in changed:
                log.record(configuration_change(name, before.get(name), settings.get(name, ""), who))
            if changed:
                opened.seek(0)
                opened.truncate()
                opened.write(json.dumps(dict(settings), sort_keys=True, indent=1))
    except OSError as error:
        msg = f"The settings last seen ({state}) cannot be read or written ({error.strerror}). Correct the folder."
        raise AuditError(msg) from error
    return changed


class ConfigurationNotingLog:
    """
    A log that notes what changed in the settings before the first event it records.

    Not when it is made: Dagster makes it before the first step of a run, where an error would have no
    step to be told by.
    """

    def __init__(self, log: AuditLog, state: Path, settings: Mapping[str, str], *, who: str) -> None:
        self._log = log
        self._note = _Once(lambda: note_configuration(log, state, settings, who=who))

    def record(self, event: AuditEvent) -> None:
        """Record one event; raises `AuditError` if that, or the note before it, is not possible."""
        self._note()
        self._log.record(event)

    def bound(self, **context: str | None) -> AuditLog:
        """Return the same log, with `context` added to each of its events."""
        return _Noted(self._log.bound(**context), self._note)


class _Noted(ConfigurationNotingLog):
    """The same log with context; it shares the note with the one it comes from."""

    def __init__(self, log: AuditLog, note: _Once) -> None:
        self._log, self._note = log, note


class _Once:
    """Does something at the first call that succeeds, and never again."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do = do
        self._lock = threading.Lock()
        self._done = False

    def __call__(self) -> None:
        with self._lock:
            if not self._done:
                self._do()
                self._done = True


def _parse(text: str) -> dict[str, str]:
    """Return the settings last seen; a file cut short by a crash counts as never seen."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def user_name(ask: Callable[[], str] = getpass.getuser) -> str:
    """Return who runs this; in a container the number may have no name."""
    try:
        return ask()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
