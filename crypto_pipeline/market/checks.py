"""
What good candles look like.

The same rules are asked before a file is written, where a problem stops it, and of the file as it
was read back, where a problem is reported. They look at whole columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from crypto_pipeline.errors import StorageError
from crypto_pipeline.lake import LocalLake
from crypto_pipeline.market.months import MINUTE_MS, moment

if TYPE_CHECKING:
    from crypto_pipeline.market.ingest import MonthResult

_NEVER_NEGATIVE = ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")
_ORDERED = (
    ("low", "open"),
    ("low", "close"),
    ("open", "high"),
    ("close", "high"),
    ("taker_buy_volume", "volume"),
    ("taker_buy_quote_volume", "quote_volume"),
)


class Gap(NamedTuple):
    """Minutes without a row: from `start_ms` up to, not including, `end_ms`."""

    start_ms: int
    end_ms: int

    @property
    def minutes(self) -> int:
        """How many minutes it has."""
        return (self.end_ms - self.start_ms) // MINUTE_MS


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found about one stored file; no problem means that it is consistent."""

    problems: tuple[str, ...]


def open_times(table: pa.Table) -> list[int]:
    """Return when each candle began, in milliseconds."""
    times: list[int] = table["open_time"].cast(pa.int64()).to_pylist()
    return times


def find_gaps(times: Sequence[int], start_ms: int, end_ms: int) -> tuple[Gap, ...]:
    """Return the minutes of the range that no row is for; `times` rise."""
    edges = [start_ms - MINUTE_MS, *times, end_ms]
    return tuple(Gap(left + MINUTE_MS, right) for left, right in pairwise(edges) if right - left > MINUTE_MS)


def find_problems(table: pa.Table, start_ms: int, end_ms: int) -> tuple[str, ...]:
    """Return what is wrong with candles of the range, each with the first minute it is wrong at."""
    return (*_wrong_times(table["open_time"].cast(pa.int64()), start_ms, end_ms), *_wrong_values(table))


def _wrong_times(times: pa.ChunkedArray, start_ms: int, end_ms: int) -> Iterator[str]:
    outside = pc.or_(pc.less(times, start_ms), pc.greater_equal(times, end_ms))
    if (time := _first_where(times, outside)) is not None:
        yield f"{_named(time)} is outside of the range that was asked for"
    minutes = pc.multiply(pc.divide(times, MINUTE_MS), MINUTE_MS)
    if (time := _first_where(times, pc.not_equal(times, minutes))) is not None:
        yield f"{_named(time)} does not begin with a minute"
    follows = times.slice(1)
    if (time := _first_where(follows, pc.less_equal(follows, times.slice(0, len(follows))))) is not None:
        yield f"{_named(time)} stands twice or does not follow the one before it"


def _first_where(times: pa.ChunkedArray, broken: pa.ChunkedArray) -> int | None:
    index = pc.index(broken, pa.scalar(value=True)).as_py()
    return None if index < 0 else times[index].as_py()


def _wrong_values(table: pa.Table) -> Iterator[str]:
    for lower, upper in _ORDERED:
        broken = pc.greater(table[lower], table[upper])
        if (at := _first_true(table, broken)) is not None:
            yield f"{lower} is above {upper} at {at}"
    for name in _NEVER_NEGATIVE:
        zero = pa.scalar(Decimal(0) if pa.types.is_decimal(table.schema.field(name).type) else 0)
        if (at := _first_true(table, pc.less(table[name], zero.cast(table.schema.field(name).type)))) is not None:
            yield f"{name} is below 0 at {at}"
    for name in ("open", "high", "low", "close"):
        zero = pa.scalar(Decimal(0)).cast(table.schema.field(name).type)
        if (at := _first_true(table, pc.less_equal(table[name], zero))) is not None:
            yield f"{name} is not above 0 at {at}"


def _first_true(table: pa.Table, broken: pa.ChunkedArray) -> str | None:
    # Null, where an exchange does not say, is neither above nor below.
    index = pc.index(broken, pa.scalar(value=True)).as_py()
    return None if index < 0 else _named(open_times(table.slice(index, 1))[0])


def _named(time_ms: int) -> str:
    return f"{moment(time_ms):%Y-%m-%d %H:%M:%S} UTC"


def check_stored(lake: LocalLake, result: MonthResult) -> Verdict:
    """Read the month back from the lake and compare it with the rules and with what was said to be stored."""
    if result.stored is None:
        return Verdict(())
    said = f"{result.symbol} {result.month}"
    try:
        table = lake.read(result.partition)
    except StorageError as error:
        return Verdict((str(error),))
    if table is None:
        return Verdict((f"{said}: its file is gone",))
    problems = [f"{said}: {problem}" for problem in find_problems(table, result.start_ms, result.until_ms)]
    if table.num_rows != result.rows:
        problems.append(f"{said}: {table.num_rows} rows were read back, {result.rows} were stored")
    return Verdict(tuple(problems))
