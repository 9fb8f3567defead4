"""
How the rows of candle answers become records: every field checked, every number exact.

Shared by the client files; the columns and their order are each exchange's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from crypto_pipeline.exchanges.answers import malformed
from crypto_pipeline.exchanges.interface import Candle

MINUTE_MS = 60_000
LATEST_MS = 253_402_300_800_000
"""The year 10000: a time beyond it is not in milliseconds."""
LONGEST_NUMBER = 80
LONGEST_USUAL = 40
LONGEST_WHOLE = 20
WIDEST_EXPONENT = 60

_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)


def numbers(values: Sequence[Any], exchange: str, names: Sequence[str]) -> list[Decimal]:
    """
    Return exact, finite numbers that are not negative, from texts, integers or decimals.

    Args:
        values: what the exchange sent.
        exchange: its title, for the error.
        names: what each value is, for the error.
    """
    try:
        joined = "".join(values)
        # Nearly all are plain texts; to ask once for a whole row is much quicker.
        if joined.isascii() and joined.replace(".", "").isdigit() and max(map(len, values)) <= LONGEST_USUAL:
            return list(map(Decimal, values))
    except (TypeError, InvalidOperation):
        pass  # asked again one by one, to say which it is
    return [number(value, exchange, name) for value, name in zip(values, names, strict=True)]


def number(value: Any, exchange: str, what: str) -> Decimal:
    """Return an exact, finite number that is not negative, from a text, an integer or a decimal."""
    if isinstance(value, str):
        # Decimal alone would also take " 1", "1_0" and digits of other scripts.
        is_number = len(value) <= LONGEST_NUMBER and _NUMBER.fullmatch(value) is not None
    else:
        is_number = type(value) is int or isinstance(value, Decimal)
    if not is_number:
        malformed(exchange, f"{what} is not a number")
    return _checked(Decimal(value), exchange, what)


def signed(value: Any, exchange: str, what: str) -> Decimal:
    """Return an exact, finite number of either sign: a rate may be below zero, a price never is."""
    is_negative, size = False, value
    if isinstance(value, str):
        is_negative, size = value.startswith("-"), value.removeprefix("-")
    elif type(value) is int or isinstance(value, Decimal):
        # Neither constructor nor copies round; the operators would, to 28 digits.
        is_negative, size = Decimal(value).is_signed(), Decimal(value).copy_abs()
    found = number(size, exchange, what)
    return found.copy_negate() if is_negative else found


def _checked(found: Decimal, exchange: str, what: str) -> Decimal:
    """Refuse what is no price or amount; a billion zeros in an exponent would fill the memory later."""
    if not found.is_finite() or found.is_signed() or not _is_of_this_world(found):
        malformed(exchange, f"{what} is not a number that can be")
    return found


def _is_of_this_world(found: Decimal) -> bool:
    exponent = found.as_tuple().exponent
    return isinstance(exponent, int) and abs(exponent) <= WIDEST_EXPONENT and abs(found.adjusted()) <= WIDEST_EXPONENT


def whole(value: Any, exchange: str, what: str) -> int:
    """Return a whole number that is not negative and has at most 20 digits, from a text or a number."""
    found = -1
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= LONGEST_WHOLE:
        found = int(value)
    elif type(value) is int:
        found = value
    elif isinstance(value, Decimal) and _is_of_this_world(value) and value == value.to_integral_value():
        found = int(value)
    if not 0 <= found < 10**LONGEST_WHOLE:
        malformed(exchange, f"{what} is not a whole number")
    return found


def time_ms(value: Any, exchange: str, *, unit_ms: int = 1) -> int:
    """Return a time in milliseconds."""
    found = whole(value, exchange, "a time") * unit_ms
    if not 0 < found < LATEST_MS:
        malformed(exchange, "a time lies outside of all years")
    return found


def rows_of(value: Any, exchange: str, columns: int) -> Sequence[Sequence[Any]]:
    """Return a list of rows that have at least `columns` columns; more may be added by the exchange."""
    if not isinstance(value, list):
        malformed(exchange, "there is no list of candles")
    for row in value:
        if not isinstance(row, list) or len(row) < columns:
            malformed(exchange, f"a candle has not {columns} columns")
    return value


def parsed(rows: Sequence[Any], parse: Callable[[Any], Candle], exchange: str) -> list[Candle]:
    """Return every row as a record, oldest first."""
    return oldest_first([parse(row) for row in rows], exchange)


def oldest_first(candles: Sequence[Candle], exchange: str) -> list[Candle]:
    """Return the candles by time; one that is sent twice is taken once, two that differ are refused."""
    ordered = sorted(candles, key=_time)
    times = {candle.open_time_ms for candle in ordered}
    if len(times) == len(ordered):
        return ordered
    once = [ordered[0]]
    for candle in ordered[1:]:
        if candle.open_time_ms != once[-1].open_time_ms:
            once.append(candle)
        elif candle != once[-1]:
            malformed(exchange, "two candles for the same time differ")
    return once


def within(candles: Sequence[Candle], start_ms: int, end_ms: int) -> list[Candle]:
    """Return the candles that open in the half-open range."""
    return [candle for candle in candles if start_ms <= candle.open_time_ms < end_ms]


def _time(candle: Candle) -> int:
    return candle.open_time_ms
