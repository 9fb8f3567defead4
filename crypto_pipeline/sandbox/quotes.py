"""
What a simulated exchange shows besides candles: last price, 24-hour figures, trades and an order book.

All of it is derived from the made-up market's minutes, so that it fits them: the trades of a minute add up to its
volume and end at its close.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.bars import MINUTE_MS, Bar, Chart, listed_ms, running

DAY_MINUTES = 24 * 60
TRADES_PER_MINUTE = 20
"""A simulated minute shows at most this many trades; their sizes add up to the minute's volume."""


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade; `taker_side` is `buy` or `sell`."""

    trade_id: int
    time_ms: int
    price: Decimal
    size: Decimal
    taker_side: str


@dataclass(frozen=True, slots=True)
class Day:
    """The last 24 hours of one symbol."""

    last: Decimal
    open: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal
    quote_volume: Decimal
    trades: int


@dataclass(frozen=True, slots=True)
class Level:
    """One price of an order book, with all that is offered at it in `orders` orders."""

    price: Decimal
    size: Decimal
    orders: int


def last_price(exchange: str, symbol: str, now_ms: int) -> Decimal:
    """Return the price of the latest trade."""
    return Chart(exchange, symbol, Bar(1), now_ms).candle(now_ms - now_ms % MINUTE_MS).close


def last_day(exchange: str, symbol: str, now_ms: int) -> Day:
    """Return the figures of the last 24 hours that are over, and the latest price."""
    end = now_ms - now_ms % MINUTE_MS
    begin = max(end - DAY_MINUTES * MINUTE_MS, listed_ms(exchange, symbol))
    day = market.aggregate(exchange, symbol, begin, (end - begin) // MINUTE_MS)
    last = last_price(exchange, symbol, now_ms)
    return Day(last, day.open, max(day.high, last), min(day.low, last), day.volume, day.quote_volume, day.trades)


def newest_trades(exchange: str, symbol: str, now_ms: int, count: int) -> list[Trade]:
    """Return the latest trades before this moment, newest first."""
    return list(islice(trades_before(exchange, symbol, now_ms), count))


def trades_before(exchange: str, symbol: str, before_ms: int) -> Iterator[Trade]:
    """Go back through the trades made before a moment, newest first, to the listing."""
    listed = listed_ms(exchange, symbol)
    open_ms = (before_ms - 1) - (before_ms - 1) % MINUTE_MS
    while open_ms >= listed:
        for trade in reversed(_minute_trades(exchange, symbol, open_ms)):
            if trade.time_ms < before_ms:
                yield trade
        open_ms -= MINUTE_MS


def trades_from(exchange: str, symbol: str, from_ms: int, until_ms: int) -> Iterator[Trade]:
    """Go forward through the trades made from one moment to another, oldest first."""
    from_ms = max(from_ms, listed_ms(exchange, symbol))
    for open_ms in range(from_ms - from_ms % MINUTE_MS, until_ms + 1, MINUTE_MS):
        for trade in _minute_trades(exchange, symbol, open_ms):
            if from_ms <= trade.time_ms <= until_ms:
                yield trade


def _minute_trades(exchange: str, symbol: str, open_ms: int) -> list[Trade]:
    (row,) = market.rows(exchange, symbol, open_ms, 1)
    count = min(row.trades, TRADES_PER_MINUTE)
    if count == 0:
        return []
    places = market.decimals(exchange, symbol)
    tick, lot = Decimal(1).scaleb(-places.price), Decimal(1).scaleb(-places.volume)
    size = row.volume // count
    sizes = [size] * (count - 1) + [row.volume - size * (count - 1)]
    path = _path(row, count)
    return [
        Trade(
            trade_id=open_ms // MINUTE_MS * TRADES_PER_MINUTE + index,
            time_ms=time_ms,
            price=price * tick,
            size=sizes[index] * lot,
            taker_side="buy" if index == 0 or price >= path[index - 1][1] else "sell",
        )
        for index, (time_ms, price) in enumerate(path)
    ]


def _path(row: market.Row, count: int) -> list[tuple[int, int]]:
    """
    Return times and prices of a minute's trades: along the way of the running candle, at last its high, low and close.

    So a trade lies within the candle of its minute whenever the two are looked at.
    """
    moments = [row.open_time_ms + index * MINUTE_MS // count for index in range(count)]
    on_the_way = [(time_ms, running(row, time_ms).close) for time_ms in moments]
    last = row.open_time_ms + MINUTE_MS - 1
    return [*on_the_way[:-3], (last, row.high), (last, row.low), (last, row.close)][-count:]


def book(exchange: str, symbol: str, now_ms: int, depth: int) -> tuple[list[Level], list[Level]]:
    """Return `depth` bids and `depth` asks, best first, one tick apart around the last price."""
    listing = market.listing(exchange, symbol)
    last = last_price(exchange, symbol, now_ms)
    bids = [_level(last - listing.tick * step, listing.lot, step, now_ms) for step in range(1, depth + 1)]
    asks = [_level(last + listing.tick * step, listing.lot, step, now_ms) for step in range(1, depth + 1)]
    return [level for level in bids if level.price > 0], asks


def _level(price: Decimal, lot: Decimal, step: int, now_ms: int) -> Level:
    # Any spread of numbers will do, so long as the same moment gives the same book.
    mixed = (int(price / lot) * 2654435761 + step * 40503 + now_ms // 1000) % 9973
    return Level(price, lot * (mixed * step + 1), 1 + mixed % 7)
