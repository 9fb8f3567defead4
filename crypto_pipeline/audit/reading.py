"""
What the record says of one secret: who was given it, who stored it, who was refused.

The log is read as a stream, line by line, for it grows without end. A line that is no event of ours is
counted and left out: it must not hide the others.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from crypto_pipeline.errors import AuditError

LONGEST_LINE: Final = 1_000_000
"""Bytes; no event comes near. A longer line is somebody else's, and is not taken into memory."""

READING: Final = frozenset({"read", "refresh"})
"""The actions after which somebody holds the value."""


@dataclass(slots=True)
class Reader:
    """
    What one accessor had of a secret.

    Fields:
        accessor: on whose behalf it was asked.
        asset: the asset, or the command, as the context of the record names it.
        reads: how often the record says that it was handed over; once for each run that was given it.
        handed_out: how often it was handed out within these runs, as far as they came to their end.
        signed_requests: how many requests they signed with it.
        failures: how often it was not given, by the kind of error.
        versions: which versions were given, in this order.
        first_at: when it was first given or refused.
        last_at: when it was last given, used or refused.
    """

    accessor: str
    asset: str
    first_at: datetime
    last_at: datetime
    reads: int = 0
    handed_out: int = 0
    signed_requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    versions: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Writing:
    """
    One version that somebody stored, or was about to.

    Fields:
        version: the version.
        accessor: on whose behalf.
        user: who ran it, as the context of the record names them.
        at: when.
    """

    version: str
    accessor: str
    user: str
    at: datetime


@dataclass(slots=True)
class SecretRecord:
    """
    What the record says of one secret.

    Fields:
        readers: who was given it or refused it, whoever had it last first.
        stored: who stored which version.
        unfinished: versions that were about to be stored, and of which nothing more is on the record.
        unread_lines: how many lines are no event of ours.
    """

    readers: list[Reader] = field(default_factory=list)
    stored: dict[str, Writing] = field(default_factory=dict)
    unfinished: dict[str, Writing] = field(default_factory=dict)
    unread_lines: int = 0


def record_of(path: Path, name: str, *, store: str) -> SecretRecord:
    """
    Return what the log says of one secret.

    Args:
        path: the log.
        name: the secret's name in the store.
        store: the kind of store.

    Raises:
        AuditError: the log cannot be read.
    """
    found = SecretRecord()
    readers: dict[tuple[str, str], Reader] = {}
    try:
        for event in _events_in(path):
            if event is None:
                found.unread_lines += 1
            elif event.get("secret_name") == name and event.get("store") == store:
                _take(event, readers, found)
    except OSError as error:
        msg = f"The audit log {path} cannot be read ({error.strerror}). Correct the path and its permissions."
        raise AuditError(msg) from error
    found.readers = sorted(readers.values(), key=lambda reader: reader.last_at, reverse=True)
    return found


def _events_in(path: Path) -> Iterator[Mapping[str, Any] | None]:
    """Yield each event, and None for a line that is none; a last line that is still being written is left out."""
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE):
            if line.endswith(b"\n"):
                if line.strip():
                    yield _parsed(line)
            elif len(line) == LONGEST_LINE:
                while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield None


def _parsed(line: bytes) -> Mapping[str, Any] | None:
    """Return the event, its time as a time; None if the line is none of ours."""
    try:
        event = json.loads(line)
        at = datetime.fromisoformat(event["timestamp"])
    except (KeyError, RecursionError, TypeError, ValueError):
        return None
    is_ours = isinstance(event, dict) and isinstance(event.get("event"), str) and at.utcoffset() is not None
    return {**event, "timestamp": at} if is_ours else None


def _take(event: Mapping[str, Any], readers: dict[tuple[str, str], Reader], found: SecretRecord) -> None:
    """Add what one event of this secret says."""
    kind, action = event["event"], event.get("action")
    if kind == "secret_write_intended":
        writing = _writing(event)
        found.unfinished[writing.version] = writing
    elif kind == "secret_access" and action == "write":
        found.unfinished.pop(str(event.get("intended_version")), None)
        if event.get("success") is True:
            writing = _writing(event)
            found.stored[writing.version] = writing
    elif kind == "secret_access" and (action in READING or action == "use"):
        if event.get("credential_version") == "":
            return  # somebody looked where there was nothing yet
        at = event["timestamp"]
        key = str(event.get("accessor", "")), str(event.get("asset", ""))
        _count(event, readers.setdefault(key, Reader(*key, first_at=at, last_at=at)))


def _writing(event: Mapping[str, Any]) -> Writing:
    version, accessor, user = (str(event.get(key, "")) for key in ("credential_version", "accessor", "user"))
    return Writing(version, accessor, user, event["timestamp"])


def _count(event: Mapping[str, Any], reader: Reader) -> None:
    reader.first_at = min(reader.first_at, event["timestamp"])
    reader.last_at = max(reader.last_at, event["timestamp"])
    version = event.get("credential_version")
    if version and str(version) not in reader.versions:
        reader.versions.append(str(version))
    if event["action"] == "use":
        reader.handed_out += _number(event.get("handed_out"))
        reader.signed_requests += _number(event.get("signed_requests"))
    elif event.get("success") is True:
        reader.reads += 1
    else:
        reader.failures[str(event.get("error"))] += 1


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
