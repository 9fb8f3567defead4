"""
What is to be had only while it is there: trades, quotes, books, open interest and mark prices of this moment.

Each look adds its rows to the file of the day. A look that fails adds nothing and loses nothing; what was between
two looks nobody can fetch later, except trades, of which exchanges tell the last ones, and here it is told whether
they reach back to those that are stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from crypto_pipeline.exchanges.quotes import Book, MarkPrice, OpenInterest, Perpetuals, Quote, SpotQuotes, Trade
from crypto_pipeline.lake import (
    BOOKS,
    MARK_PRICES,
    OPEN_INTEREST,
    QUOTES,
    TRADES,
    DataSet,
    LocalLake,
    Partition,
    Provenance,
    Stored,
    build_table,
)
from crypto_pipeline.market.months import moment


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where the looks at one market are kept.

    Fields:
        exchange: its name.
        host: where the data comes from, for the provenance.
        market: `spot` or `perpetual`.
        symbol: canonical.
    """

    exchange: str
    host: str
    market: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Look:
    """
    What one look at one market added to one data set.

    Fields:
        symbol: canonical.
        rows: how many rows were new.
        stored: the files of the days they belong to.
        is_continuous: for trades, whether they reach back to those stored before; None for what is no series, and
            where nothing was stored before.
    """

    symbol: str
    rows: int
    stored: tuple[Stored, ...]
    is_continuous: bool | None = None


async def look_at_trades(client: SpotQuotes, lake: LocalLake, place: Place, *, at: datetime) -> Look:
    """
    Add the trades that the exchange still tells.

    Raises:
        ExchangeError: they could not be had.
        StorageError: the lake could not be written.
    """
    found = await client.read_trades(place.symbol)
    looks, had_before = [], bool(found) and _has_trades(lake, place, moment(found[0].time_ms))
    for day, trades in _by_day(found).items():
        table = build_table(TRADES, _trade_columns(trades), whose=f"{place.exchange} {place.symbol}")
        looks.append(_add(lake, TRADES, place, day, table, at=at, once="trade_id"))
    rows = sum(look.rows for look in looks)
    stored = tuple(each for look in looks for each in look.stored)
    return Look(place.symbol, rows, stored, rows < len(found) if had_before else None)


async def look_at_quote(client: SpotQuotes, lake: LocalLake, place: Place, *, at: datetime) -> Look:
    """Add the best bid and ask of this moment; raises as `look_at_trades`."""
    return _looked(lake, QUOTES, place, _quote_columns(await client.read_quote(place.symbol), at), at)


async def look_at_book(client: SpotQuotes, lake: LocalLake, place: Place, *, levels: int, at: datetime) -> Look:
    """Add the order book of this moment, `levels` on each side at most; raises as `look_at_trades`."""
    book = await client.read_book(place.symbol, min(levels, client.deepest_book))
    return _looked(lake, BOOKS, place, _book_columns(book, at), at)


async def look_at_open_interest(client: Perpetuals, lake: LocalLake, place: Place, *, at: datetime) -> Look:
    """Add how much is open at this moment; raises as `look_at_trades`."""
    found = await client.read_open_interest(place.symbol)
    return _looked(lake, OPEN_INTEREST, place, _interest_columns(found, at), at)


async def look_at_mark_price(client: Perpetuals, lake: LocalLake, place: Place, *, at: datetime) -> Look:
    """Add mark and index price of this moment; raises as `look_at_trades`."""
    found = await client.read_mark_price(place.symbol)
    return _looked(lake, MARK_PRICES, place, _mark_columns(found, at), at)


def day_partition(data_set: DataSet, place: Place, day: str) -> Partition:
    """Return the place of one day of one market."""
    keys = (("exchange", place.exchange), ("market", place.market), ("symbol", place.symbol), ("day", day))
    return Partition(data_set, keys)


def _has_trades(lake: LocalLake, place: Place, first: datetime) -> bool:
    """Tell whether there is a file that trades from this moment on should join."""
    days = {first.date(), (first - timedelta(days=1)).date()}
    return any(lake.path_of(day_partition(TRADES, place, day.isoformat())).exists() for day in days)


def _looked(
    lake: LocalLake, data_set: DataSet, place: Place, columns: Mapping[str, Sequence[Any]], at: datetime
) -> Look:
    table = build_table(data_set, columns, whose=f"{place.exchange} {place.symbol}")
    return _add(lake, data_set, place, at.date().isoformat(), table, at=at)


def _add(
    lake: LocalLake, data_set: DataSet, place: Place, day: str, fresh: pa.Table, *, at: datetime, once: str = ""
) -> Look:
    """
    Add rows to the file of a day.

    Args:
        lake: where it lies.
        data_set: what it holds.
        place: whose.
        day: such as `2026-11-24`.
        fresh: the rows.
        at: when they were had.
        once: the column by which a row that is there already is known.
    """
    partition = day_partition(data_set, place, day)
    lake.prepare(partition)
    stored, source = lake.read(partition), lake.provenance(partition)
    if stored is not None and once:
        fresh = fresh.filter(pc.invert(pc.is_in(fresh[once], stored[once].combine_chunks())))
    table = fresh if stored is None else pa.concat_tables([stored, fresh])
    since = source.fetched_from if source else _text(at)
    written = lake.write(
        partition,
        table.combine_chunks().sort_by(_order(data_set)),
        Provenance(place.exchange, place.host, since, _text(at)),
    )
    return Look(place.symbol, fresh.num_rows, (written,))


def _order(data_set: DataSet) -> list[tuple[str, str]]:
    """Return what rows are sorted by: time, and what tells those of one moment apart."""
    names = [name for name in ("taken_at", "time", "side", "level") if name in data_set.schema.names]
    return [(name, "ascending") for name in names]


def _by_day(trades: Sequence[Trade]) -> Mapping[str, list[Trade]]:
    days: dict[str, list[Trade]] = {}
    for trade in trades:
        days.setdefault(moment(trade.time_ms).date().isoformat(), []).append(trade)
    return days


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


# Records as columns...


def _trade_columns(trades: Sequence[Trade]) -> Mapping[str, Sequence[Any]]:
    return {
        "time": [trade.time_ms for trade in trades],
        "trade_id": [trade.trade_id for trade in trades],
        "price": [trade.price for trade in trades],
        "quantity": [trade.quantity for trade in trades],
        "taker_side": [trade.taker_side.value for trade in trades],
    }


def _quote_columns(quote: Quote, at: datetime) -> Mapping[str, Sequence[Any]]:
    return {
        "taken_at": [at],
        "time": [quote.time_ms],
        "bid": [quote.bid],
        "bid_quantity": [quote.bid_quantity],
        "ask": [quote.ask],
        "ask_quantity": [quote.ask_quantity],
    }


def _book_columns(book: Book, at: datetime) -> Mapping[str, Sequence[Any]]:
    rows = [
        (side, number, level)
        for side, levels in (("bid", book.bids), ("ask", book.asks))
        for number, level in enumerate(levels)
    ]
    return {
        "taken_at": [at] * len(rows),
        "time": [book.time_ms] * len(rows),
        "sequence": [book.sequence] * len(rows),
        "side": [side for side, _, _ in rows],
        "level": [number for _, number, _ in rows],
        "price": [level.price for _, _, level in rows],
        "quantity": [level.quantity for _, _, level in rows],
    }


def _interest_columns(found: OpenInterest, at: datetime) -> Mapping[str, Sequence[Any]]:
    return {"taken_at": [at], "time": [found.time_ms], "quantity": [found.quantity], "value": [found.value]}


def _mark_columns(found: MarkPrice, at: datetime) -> Mapping[str, Sequence[Any]]:
    return {
        "taken_at": [at],
        "time": [found.time_ms],
        "mark_price": [found.mark_price],
        "index_price": [found.index_price],
        "funding_rate": [found.funding_rate],
        "next_funding_at": [found.next_funding_ms],
    }
