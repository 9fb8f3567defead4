"""
Which versions of credentials their issuers have rejected, for all processes of a host.

A key that is dead stays dead until another version is stored; every further question with it brings
the address closer to a ban. The file holds names, versions and times, never a value.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from crypto_pipeline.audit.file import opened_alone
from crypto_pipeline.credentials import CredentialDescription
from crypto_pipeline.errors import AuditError

TELLS_NO_VERSION: Final = frozenset({"environment"})
"""Stores whose version is always the same: a new key there could not be told from the one that was rejected."""


class RejectedVersions:
    """
    A memory of rejected versions, shared through one file.

    Args:
        path: the file; made with no access for others when the first version is rejected.
        clock: the time, aware, UTC.

    Every method raises `AuditError` if the file cannot be read or written.
    """

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self._clock = clock

    def rejected_at(self, found: CredentialDescription) -> str | None:
        """Return when this very version was rejected, ISO 8601; None if it was not."""
        if not self.path.exists():
            return None
        with self._opened() as known:
            entry = known.get(_name(found), {})
            at = entry.get("at") if entry.get("version") == _version(found) else None
            return at if isinstance(at, str) else None

    def add(self, rejected: CredentialDescription) -> None:
        """Remember that the issuer rejected this version."""
        if rejected.store in TELLS_NO_VERSION:
            return
        with self._opened() as known:
            at = self._clock().isoformat(timespec="seconds")
            known[_name(rejected)] = {"version": _version(rejected), "at": at}

    def remove(self, accepted: CredentialDescription) -> None:
        """Forget what was rejected under this name: the issuer has accepted it."""
        if self.path.exists():
            with self._opened() as known:
                known.pop(_name(accepted), None)

    @contextmanager
    def _opened(self) -> Iterator[dict[str, Any]]:
        """Give what is known, alone over all processes, and write down what became of it."""
        try:
            with (
                opened_alone(self.path) as file,
                os.fdopen(file, "r+", encoding="utf-8", errors="replace", closefd=False) as opened,
            ):
                known = _parse(opened.read())
                before = json.dumps(known, sort_keys=True)
                yield known
                after = json.dumps(known, sort_keys=True)
                if after != before:
                    opened.seek(0)
                    opened.truncate()
                    opened.write(after)
        except OSError as error:
            msg = (
                f"The memory of rejected keys ({self.path}) cannot be read or written ({error.strerror}), so no key "
                "was used. Make room, or correct the folder's permissions."
            )
            raise AuditError(msg) from error


def _name(found: CredentialDescription) -> str:
    return f"{found.issuer} {found.store} {found.name}"


def _version(found: CredentialDescription) -> str:
    # A store that was made anew counts from 1 again; its first version is another one.
    return f"{found.version} {found.created_at.isoformat() if found.created_at else ''}"


def _parse(text: str) -> dict[str, Any]:
    """Return what is known; a file cut short by a crash knows nothing, and one more question is asked."""
    try:
        known = json.loads(text or "{}")
    except ValueError:
        return {}
    is_ours = isinstance(known, dict) and all(isinstance(entry, dict) for entry in known.values())
    return known if is_ours else {}
