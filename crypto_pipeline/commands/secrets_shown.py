"""
How secrets are shown: for people on a terminal, as plain columns elsewhere, or as JSON.

Names, labels and accessors are other people's text. They are scrubbed, and what a terminal would act on
is written out, so that a label can neither show a key nor move the cursor.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.redaction import sanitized, scrub
from crypto_pipeline.rotation import Freshness, judge, max_age_days_of
from crypto_pipeline.rotation.inventory import SECRET_TYPES
from crypto_pipeline.rotation.policy import DEFAULT_MAX_AGE_DAYS
from crypto_pipeline.secrets import ListedSecret

TITLES: Final[Mapping[str, str]] = {
    "aws": "AWS Secrets Manager",
    "vault": "Vault",
    "environment": "Environment variables",
    "dotenv": "File of variables",
    "files": "Mounted files",
}

STYLES: Final[Mapping[str, str]] = {
    "fresh": "green",
    "due": "yellow",
    "overdue": "bold red",
    "unknown": "yellow",
    "missing": "bold red",
    "denied": "bold red",
    "malformed": "bold red",
    "deleted": "red",
    "empty": "red",
}
"""How a state looks on a terminal; it is never told by its colour alone."""

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_LONGEST_VERSION = 20
_MUCH = 100_000
_WHOLE = frozenset({"who", "read", "signed", "first", "last", "stored", "last read", "age"})
# Columns that give no room to others: half a date is none.

Cell = str | Text


def printable(text: str) -> str:
    """Return other people's text, scrubbed, on one line, and without anything that a terminal would act on."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode(errors="replace") for each in scrub(text)
    )


def labels_of(secret: ListedSecret) -> dict[str, str]:
    """Return the labels of a secret; what stands under a name such as `password` is masked."""
    cleaned = sanitized(dict(secret.labels))
    found = cleaned if isinstance(cleaned, Mapping) else {}  # pragma: no branch - a mapping stays one
    return {printable(str(name)): printable(str(value)) for name, value in sorted(found.items())}


def max_age_days(secret: ListedSecret) -> int:
    """Return how old the secret may be: as old as the strictest of what it holds."""
    types = [SECRET_TYPES.get(issuer, "exchange_keys") for issuer in secret.issuers]
    return min(map(max_age_days_of, types), default=DEFAULT_MAX_AGE_DAYS)


def freshness_of(secret: ListedSecret, now: datetime) -> Freshness:
    """Return what the age of the current version means."""
    return judge(secret.created_at, now=now, max_age_days=max_age_days(secret))


def state_of(secret: ListedSecret, now: datetime) -> str:
    """Return in one word what is to be known of a secret."""
    if secret.deleted_at is not None:
        return "deleted"
    return freshness_of(secret, now).value if secret.version else "empty"


def age_days(secret: ListedSecret, now: datetime) -> int | None:
    """Return the age of the current version in full days."""
    return None if secret.created_at is None else (now - secret.created_at).days


def facts_of(secret: ListedSecret, now: datetime) -> dict[str, Any]:
    """Return what is told of a secret, for JSON."""
    return {
        "name": printable(secret.name),
        "issuers": list(secret.issuers),
        "version": printable(secret.version),
        "created_at": iso(secret.created_at),
        "age_days": age_days(secret, now),
        "max_age_days": max_age_days(secret),
        "freshness": freshness_of(secret, now).value,
        "state": state_of(secret, now),
        "stages": {printable(stage): printable(version) for stage, version in sorted(secret.stages.items())},
        "next_rotation_at": iso(secret.next_rotation_at),
        "deleted_at": iso(secret.deleted_at),
        "labels": labels_of(secret),
    }


def whose(secret: ListedSecret) -> str:
    """Return whose credential it holds or may hold."""
    return "any issuer" if set(secret.issuers) == set(ISSUERS) else ", ".join(secret.issuers)


def iso(moment: datetime | None) -> str | None:
    """Return a time for programs."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")


def minute(moment: datetime | None) -> str:
    """Return a time for people, in UTC."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def day(moment: datetime | None) -> str:
    """Return the day of a time, in UTC."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d")


def short(version: str) -> str:
    """Return a version as short as it can still be told from its neighbours."""
    text = printable(version)
    if _ID.fullmatch(text):
        return text[:8]
    return text if len(text) <= _LONGEST_VERSION else f"{text[: _LONGEST_VERSION - 1]}…"


def state_text(state: str) -> Text:
    """Return a state with its colour."""
    return Text(state, style=STYLES[state])


def joined(pairs: Mapping[str, str], *, between: str = "=") -> str:
    """Return pairs as one text."""
    return ", ".join(f"{name}{between}{value}" for name, value in pairs.items())


def counted(number: int, what: str) -> str:
    """Return a number and what is counted, in the plural where it has to be."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def table_of(columns: Iterable[str], rows: Iterable[Sequence[Cell]], *, right: Iterable[str] = ()) -> Table:
    """
    Return a table for a terminal.

    Args:
        columns: their titles.
        rows: their cells, in the same order.
        right: the columns that hold numbers.
    """
    table = Table(header_style="bold")
    for column in columns:
        is_whole = column in _WHOLE
        table.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="ellipsis" if is_whole else "fold",
            no_wrap=is_whole,
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table


def fits(console: Console, table: Table) -> bool:
    """Tell whether the terminal is wide enough for a table without breaking a cell."""
    unbounded = console.options.update(max_width=_MUCH)
    return Measurement.get(console, unbounded, table).maximum <= console.width


def say(console: Console, text: str, *, style: str = "") -> None:
    """Print a sentence; on a terminal it is broken between words, elsewhere not at all."""
    console.print(Text(text, style=style), highlight=False, soft_wrap=not console.is_terminal)


def show_columns(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns that are as wide as they need be, for `grep` and `awk`; what is not known is a hyphen."""
    lines = [list(columns), *[[cell or "-" for cell in row] for row in rows]]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        console.out("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), style=None)


def show_json(console: Console, told: object) -> None:
    """Print JSON for programs."""
    console.out(json.dumps(told, indent=2), style=None, highlight=False)
