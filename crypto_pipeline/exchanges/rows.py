"""
How the rows of candle answers become records: every field checked, every number exact.

Shared by the client files; the columns and their order are each exchange's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from crypto_pipeline.errors import MalformedAnswerError
from crypto_pipeline.exchanges.interface import Candle

MINUTE_MS = 60_000
LATEST_MS = 253_402_300_800_000
"""The year 10000: a time beyond it is not in milliseconds."""


def malformed(exchange: str, what: str) -> NoReturn:
    """Refuse an answer; what it holds is never quoted."""
    msg = (
        f"{exchange} answered in a shape that its documents do not give: {what}. Nothing was stored; "
        "look for a change in its API."
    )
    raise MalformedAnswerError(msg, exchange=exchange.lower())


def number(value: Any, exchange: str, what: str) -> Decimal:
    """Return an exact, finite number that is not negative, from a text, an integer or a decimal."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        malformed(exchange, f"{what} is not a number")
    try:
        found = Decimal(value)
    except InvalidOperation:
        malformed(exchange, f"{what} is not a number")
    if not found.is_finite() or found.is_signed():
        malformed(exchange, f"{what} is not a number that can be")
    return found


def whole(value: Any, exchange: str, what: str) -> int:
    """Return a whole number that is not negative, from a text or an integer."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        return int(value)
    if isinstance(value, Decimal) and value == value.to_integral_value() and not value.is_signed():
        return int(value)
    if type(value) is int and value >= 0:
        return value
    malformed(exchange, f"{what} is not a whole number")


def time_ms(value: Any, exchange: str, *, unit_ms: int = 1) -> int:
    """Return the opening of a minute or longer bar in milliseconds."""
    found = whole(value, exchange, "a candle's time") * unit_ms
    if not 0 < found < LATEST_MS:
        malformed(exchange, "a candle's time lies outside of all years")
    return found


def rows_of(value: Any, exchange: str, columns: int) -> Sequence[Sequence[Any]]:
    """Return a list of rows that have at least `columns` columns; more may be added by the exchange."""
    if not isinstance(value, list):
        malformed(exchange, "there is no list of candles")
    for row in value:
        if not isinstance(row, list) or len(row) < columns:
            malformed(exchange, f"a candle has not {columns} columns")
    return value


def oldest_first(candles: Sequence[Candle], exchange: str) -> list[Candle]:
    """Return the candles by time; two for the same time are refused."""
    ordered = sorted(candles, key=_time)
    for earlier, later in zip(ordered, ordered[1:], strict=False):
        if earlier.open_time_ms == later.open_time_ms:
            malformed(exchange, "two candles have the same time")
    return ordered


def within(candles: Sequence[Candle], start_ms: int, end_ms: int) -> list[Candle]:
    """Return the candles that open in the half-open range."""
    return [candle for candle in candles if start_ms <= candle.open_time_ms < end_ms]


def parsed(rows: Sequence[Any], parse: Callable[[Any], Candle], exchange: str) -> list[Candle]:
    """Return every row as a record, oldest first."""
    return oldest_first([parse(row) for row in rows], exchange)


def _time(candle: Candle) -> int:
    return candle.open_time_ms
