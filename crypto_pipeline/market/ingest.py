"""
One month of one symbol: fetched, checked, stored.

A month is a fixed grid of pages that are asked for side by side; one page that fails fails the
month, so that no hole is ever silent. A closed month is made anew each time. A running month, or
any month when only an update is wanted, is continued where its file ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from crypto_pipeline.errors import CorruptFileError, InconsistentDataError
from crypto_pipeline.exchanges import Candle, CandlePage, ExchangeClient, Usage
from crypto_pipeline.exchanges.pages import FINISHED, TIME, read_together
from crypto_pipeline.lake import CANDLES, CANDLES_WIDE, DataSet, LocalLake, Partition, Provenance, Stored, build_table
from crypto_pipeline.market.checks import Gap, find_gaps, find_problems, open_times
from crypto_pipeline.market.months import MINUTE_MS, last_closed_ms, moment, month_bounds, pages

PAGES_IN_FLIGHT: Final = 12
"""Enough to fill every exchange's limit at its usual round trip; the budget does the pacing."""

ASKED_AGAIN_MS: Final = 5 * MINUTE_MS
"""How much of a running month is asked for again: an exchange may still add to the last minutes."""

CHART_POINTS: Final = 480


class Progress(NamedTuple):
    """How far a month is, in minutes."""

    symbol: str
    month: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class MonthResult:
    """
    What became of one month of one symbol.

    Fields:
        partition: its place in the lake.
        start_ms, until_ms: the range that was asked for, in all runs together.
        complete_month: whether the month is over and all of it was asked for.
        rows: candles in the file; gaps: the minutes of the range without one.
        stored: the file; None if the exchange had no candle in the range.
        usage: what this run used of the exchange's patience.
        closes: closing prices for a chart, thinned out; the only place where a price is a float.
    """

    symbol: str
    month: str
    partition: Partition
    start_ms: int
    until_ms: int
    complete_month: bool
    rows: int
    gaps: tuple[Gap, ...]
    first: datetime | None
    last: datetime | None
    stored: Stored | None
    usage: Usage
    seconds: float
    closes: tuple[float, ...]

    @property
    def expected(self) -> int:
        """The minutes of the range."""
        return (self.until_ms - self.start_ms) // MINUTE_MS

    @property
    def missing(self) -> int:
        """The minutes of the range without a candle."""
        return self.expected - self.rows


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to ask for: everything from `begin_ms`, and what is kept of the file as it is."""

    begin_ms: int
    kept: pa.Table | None


async def ingest_month(
    client: ExchangeClient,
    lake: LocalLake,
    *,
    symbol: str,
    month: str,
    wide: bool = False,
    update_only: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> MonthResult:
    """
    Bring one month of 1-minute candles into the lake.

    Args:
        client: whose candles.
        lake: where to.
        symbol: canonical, such as `BTC-USDT`.
        month: such as `2026-10`.
        wide: whether the symbol was declared to need the wide columns.
        update_only: continue the file also if the month is over, instead of making it anew.
        progress: is told how far it is.

    Raises:
        ExchangeError: a page could not be had; the file is as it was.
        ValueTooWideError: a number does not fit; names the symbol.
        InconsistentDataError: the candles contradict themselves or what is stored.
        StorageError: the lake could not be written.
    """
    started, used = time.monotonic(), client.usage
    start_ms, end_ms = month_bounds(month)
    until_ms = max(start_ms, min(end_ms, last_closed_ms(await client.read_clock())))
    partition = candle_partition(client.name, symbol, month, wide=wide)
    lake.prepare(partition)
    plan = _plan(lake, partition, start_ms, is_update=update_only or until_ms < end_ms)

    def tell(done_ms: int) -> None:
        progress(Progress(symbol, month, done_ms // MINUTE_MS, (until_ms - start_ms) // MINUTE_MS))

    tell(plan.begin_ms - start_ms)
    whose = f"{client.name} {symbol}"
    bounds = (plan.begin_ms, until_ms)
    found = await _fetch(client, symbol, bounds, lambda ms: tell(plan.begin_ms - start_ms + ms))
    fetched = _read(found, partition.data_set, whose=whose)
    fresh, until_ms = _finished(fetched, until_ms, whose=whose)
    # One chunk, so that the bytes do not depend on how the month was put together.
    table = (pa.concat_tables([plan.kept, fresh]) if plan.kept else fresh).combine_chunks()
    _check(table, start_ms, until_ms, whose=f"{whose} {month}")
    stored = None
    if table.num_rows:
        source = Provenance(client.name, client.candle_endpoint, _text(start_ms), _text(until_ms))
        stored = lake.write(partition, table, source)
    elif lake.path_of(partition).exists():
        msg = f"{client.name} no longer has the candles of {symbol} in {month} that are stored; they were kept."
        raise InconsistentDataError(msg)
    times = open_times(table)
    return MonthResult(
        symbol=symbol,
        month=month,
        partition=partition,
        start_ms=start_ms,
        until_ms=until_ms,
        complete_month=until_ms == end_ms,
        rows=table.num_rows,
        gaps=find_gaps(times, start_ms, until_ms),
        first=moment(times[0]) if times else None,
        last=moment(times[-1]) if times else None,
        stored=stored,
        usage=usage_since(used, client.usage),
        seconds=time.monotonic() - started,
        closes=_thinned(table),
    )


def candle_partition(exchange: str, symbol: str, month: str, *, wide: bool) -> Partition:
    """Return the place of one month of 1-minute candles."""
    keys = (("exchange", exchange), ("market", "spot"), ("interval", "1m"), ("symbol", symbol), ("month", month))
    return Partition(CANDLES_WIDE if wide else CANDLES, keys)


def _plan(lake: LocalLake, partition: Partition, start_ms: int, *, is_update: bool) -> _Plan:
    """Continue the stored file where that is wanted and it can be read; else begin at the start."""
    try:
        source = lake.provenance(partition) if is_update else None
        table = lake.read(partition) if source else None
    except CorruptFileError:
        # What is fetched anew replaces it.
        return _Plan(start_ms, None)
    if source is None or table is None or source.fetched_from != _text(start_ms):
        return _Plan(start_ms, None)
    begin_ms = max(start_ms, last_closed_ms(datetime.fromisoformat(source.fetched_until)) - ASKED_AGAIN_MS)
    count = sum(time < begin_ms for time in open_times(table))
    return _Plan(begin_ms, table.slice(0, count))


async def _fetch(
    client: ExchangeClient, symbol: str, bounds_ms: tuple[int, int], tell: Callable[[int], None]
) -> list[CandlePage]:
    """Return all pages of the range, oldest first; the first page that fails stops the others."""
    turns = asyncio.Semaphore(PAGES_IN_FLIGHT)
    done_ms = 0

    async def page(start_ms: int, end_ms: int) -> CandlePage:
        nonlocal done_ms
        async with turns:
            found = await client.read_page(symbol, start_ms, end_ms)
        done_ms += end_ms - start_ms
        tell(done_ms)
        return found

    tasks = [asyncio.ensure_future(page(*bounds)) for bounds in pages(*bounds_ms, client.page_minutes)]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _read(found: Sequence[CandlePage], data_set: DataSet, *, whose: str) -> pa.Table:
    """Return the rows of all pages as a table of the data set, with the column `finished` behind it."""
    table = read_together(found, data_set.schema)
    if table is None:
        table = pa.concat_tables([_none(data_set), *(_rows_of(page, data_set, whose=whose) for page in found)])
    return table


def _rows_of(page: CandlePage, data_set: DataSet, *, whose: str) -> pa.Table:
    """Return one page, read row by row if there is something about it."""
    table = page.columns(data_set.schema)
    if table is not None:
        return table
    candles = page.candles()
    values = list(zip(*candles, strict=True)) or [()] * len(Candle._fields)
    columns = dict(zip((TIME, *Candle._fields[1:]), values, strict=True))
    finished = pa.array([None if flag is None else int(flag) for flag in columns.pop(FINISHED)], pa.int8())
    return build_table(data_set, columns, whose=whose).append_column(FINISHED, finished)


def _none(data_set: DataSet) -> pa.Table:
    return data_set.schema.append(pa.field(FINISHED, pa.int8())).empty_table()


def _finished(table: pa.Table, until_ms: int, *, whose: str) -> tuple[pa.Table, int]:
    """
    Return the candles that are over, and up to where they are.

    An exchange may flag the last minutes as unfinished although its clock says that they are over;
    they are left for the next update. A flag further back is a contradiction.
    """
    index = pc.index(table[FINISHED], pa.scalar(0, pa.int8())).as_py()
    over = table.drop_columns([FINISHED])
    if index < 0:
        return over, until_ms
    first_ms = open_times(over.slice(index, 1))[0]
    if first_ms < until_ms - ASKED_AGAIN_MS:
        msg = (
            f"{whose}: a candle of {moment(first_ms):%Y-%m-%d %H:%M} UTC is said to be unfinished; nothing was stored."
        )
        raise InconsistentDataError(msg)
    return over.filter(pc.less(over[TIME], pa.scalar(first_ms, over.schema.field(TIME).type))), first_ms


def _check(table: pa.Table, start_ms: int, until_ms: int, *, whose: str) -> None:
    problems = find_problems(table, start_ms, until_ms)
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        msg = (
            f"The candles of {whose} contradict themselves: {problems[0]}{more}. Nothing was stored; run again, and "
            "if it stays so, ask the exchange."
        )
        raise InconsistentDataError(msg)


def usage_since(before: Usage, after: Usage) -> Usage:
    """Return what was used between two moments."""
    return after._replace(
        requests=after.requests - before.requests,
        retries=after.retries - before.retries,
        weight=after.weight - before.weight,
    )


def _thinned(table: pa.Table) -> tuple[float, ...]:
    step = max(1, table.num_rows // CHART_POINTS)
    shown = table["close"].take(pa.array(range(0, table.num_rows, step), pa.int64()))
    return tuple(float(value) for value in shown.to_pylist())


def _text(milliseconds: int) -> str:
    return moment(milliseconds).isoformat(timespec="minutes")
