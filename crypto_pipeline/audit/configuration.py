"""
Which settings changed since this log last saw them.

The settings last seen stand in a file beside the log. Settings are names and addresses, so their
values may be recorded.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

from crypto_pipeline.audit.event import configuration_change
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
        state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(state, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(file, "r+") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
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


def _parse(text: str) -> dict[str, str]:
    """Return the settings last seen; a file cut short by a crash counts as never seen."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
