"""
How the entries of instrument answers become records.

An entry that is not an object, or has no name, refuses the whole answer: a market that is left out looks the
same as one that was delisted, and nobody would notice. Shared by the client files; the fields are each exchange's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from crypto_pipeline.exchanges import rows
from crypto_pipeline.exchanges.answers import malformed
from crypto_pipeline.exchanges.interface import Instrument

LATEST_MS = 10**14
"""A time beyond it (in the year 5138) is not in milliseconds."""

Entry = Mapping[str, Any]


def parsed(found: Any, parse: Callable[[Entry], Instrument], exchange: str) -> list[Instrument]:
    """
    Return every entry as a record, sorted by canonical symbol.

    Raises:
        MalformedAnswerError: there is no list, or one of its entries cannot be read.
    """
    return sorted(map(parse, entries(found, exchange)), key=_names)


def entries(found: Any, exchange: str) -> list[Entry]:
    """Return a list of objects."""
    if not isinstance(found, list):
        malformed(exchange, "there is no list of instruments")
    if not all(isinstance(entry, dict) for entry in found):
        malformed(exchange, "an instrument is not an object")
    return found


def names(entry: Entry, exchange: str, *fields: str) -> list[str]:
    """Return the names an instrument goes by; one without is refused."""
    found = [entry.get(field) for field in fields]
    if not all(isinstance(name, str) and name for name in found):
        malformed(exchange, "an instrument has no name")
    return [str(name) for name in found]


def increment(entry: Any, field: str, exchange: str) -> Decimal | None:
    """Return a number of an entry, or of an object in it; None where the exchange does not say."""
    value = entry.get(field) if isinstance(entry, dict) else None
    return None if value is None or value == "" else rows.number(value, exchange, field)


def word(entry: Entry, field: str) -> str:
    """Return a word such as a status; empty where there is none."""
    value = entry.get(field)
    return value if isinstance(value, str) else ""


def moment(value: Any) -> datetime | None:
    """Return a time from milliseconds, as a text or a number; None where there is none."""
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and 0 < int(text) < LATEST_MS):
        return None
    return datetime.fromtimestamp(int(text) / 1000, UTC)


def _names(instrument: Instrument) -> tuple[str, str]:
    return instrument.symbol, instrument.native
