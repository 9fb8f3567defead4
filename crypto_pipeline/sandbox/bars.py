"""
Candles of any length, cut out of the made-up market's minutes.

Here: where a bar begins and ends, and the candle in it at a given moment, finished or not. How rows are ordered,
named and typed belongs to each exchange; where minutes come from belongs to `market.py`. Every bar is added up from
its minutes, so long bars take time: a day some 30 ms, a month about a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from functools import lru_cache

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.market import Minute

MINUTE_MS = 60_000
WEEK_MINUTES = 7 * 24 * 60
MONDAY_MINUTES = 4 * 24 * 60
"""The epoch was a Thursday: the first Monday began four days later."""


@dataclass(frozen=True, slots=True)
class Bar:
    """
    The length of a candle.

    Fields:
        minutes: its length, or 0 if it is counted in months.
        months: its length in calendar months, or 0.
        offset_minutes: when bars begin, counted from the epoch (a Monday for weeks, UTC+8 for some of OKX's).
    """

    minutes: int = 0
    months: int = 0
    offset_minutes: int = 0

    def opening(self, time_ms: int) -> int:
        """Return when the bar that holds `time_ms` opened."""
        return self._start(self._index(time_ms))

    def shift(self, open_ms: int, bars: int) -> int:
        """Return when the bar opens that is `bars` after (or before) the one that opened at `open_ms`."""
        return self._start(self._index(open_ms) + bars)

    def count(self, first_ms: int, last_ms: int) -> int:
        """Return how many bars open from `first_ms` to `last_ms`, both of them openings."""
        return self._index(last_ms) - self._index(first_ms) + 1

    def _index(self, time_ms: int) -> int:
        minute = time_ms // MINUTE_MS - self.offset_minutes
        if self.minutes:
            return minute // self.minutes
        moment = datetime.fromtimestamp(minute * 60, UTC)
        return (moment.year * 12 + moment.month - 1) // self.months

    def _start(self, index: int) -> int:
        if self.minutes:
            return (index * self.minutes + self.offset_minutes) * MINUTE_MS
        year, month = divmod(index * self.months, 12)
        opened = datetime(year, month + 1, 1, tzinfo=UTC)
        return int(opened.timestamp()) * 1000 + self.offset_minutes * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Chart:
    """The candles of one symbol at one exchange as they stand at `now_ms`."""

    exchange: str
    symbol: str
    bar: Bar
    now_ms: int

    def candle(self, open_ms: int) -> Minute:
        """
        Return the candle of one bar.

        A bar that has not ended holds what was traded in it so far, so that a client which stores an unfinished
        candle is found out by its numbers.
        """
        begin = max(open_ms, listed_ms(self.exchange, self.symbol))
        end = self.bar.shift(open_ms, 1)
        if end <= self.now_ms:
            return _finished(self.exchange, self.symbol, begin, end)._replace(open_time_ms=open_ms)
        running_ms = self.now_ms - self.now_ms % MINUTE_MS
        so_far = running(market.minute(self.exchange, self.symbol, running_ms), self.now_ms)
        if running_ms > begin:
            so_far = _joined(_finished(self.exchange, self.symbol, begin, running_ms), so_far)
        return so_far._replace(open_time_ms=open_ms)

    def newest(self, count: int, first_ms: int, last_ms: int) -> list[Minute]:
        """
        Return the `count` newest candles that open from `first_ms` to `last_ms`, newest first.

        Bars before the listing and after `now_ms` do not exist.
        """
        last_ms = min(last_ms, self.now_ms)
        listed = listed_ms(self.exchange, self.symbol)
        if last_ms < max(first_ms, listed):
            return []
        first = max(self.bar.opening(first_ms), self.bar.opening(listed))
        if first < first_ms:
            first = self.bar.shift(first, 1)
        last = self.bar.opening(last_ms)
        wanted = min(count, self.bar.count(first, last))
        return [self.candle(self.bar.shift(last, -back)) for back in range(wanted)]


def running(minute: Minute, now_ms: int) -> Minute:
    """Return what a minute shows before it is over: its price on the way, its volume in proportion."""
    passed = now_ms - minute.open_time_ms
    close = minute.open + _share(minute.close - minute.open, passed)
    volume = _share(minute.volume, passed)
    quote_volume = _share(minute.quote_volume, passed)
    taker_buy = _share(minute.taker_buy_volume, passed)
    taker_buy_quote = _share(minute.taker_buy_quote_volume, passed)
    return Minute(
        minute.open_time_ms,
        minute.open,
        max(minute.open, close),
        min(minute.open, close),
        close,
        volume,
        quote_volume,
        minute.trades * passed // MINUTE_MS,
        taker_buy,
        taker_buy_quote,
    )


def listed_ms(exchange: str, symbol: str) -> int:
    """Return the minute in which a symbol was first traded at an exchange."""
    listed = next(listing.listed_ms for listing in market.instruments(exchange) if listing.symbol == symbol)
    return listed - listed % MINUTE_MS


def _share(amount: Decimal, passed_ms: int) -> Decimal:
    """Return the part of `amount` that belongs to the first `passed_ms` of a minute, at its own increment."""
    exponent = Decimal(1).scaleb(int(amount.as_tuple().exponent))
    return (amount * passed_ms / MINUTE_MS).quantize(exponent, rounding=ROUND_DOWN)


def _finished(exchange: str, symbol: str, open_ms: int, end_ms: int) -> Minute:
    if end_ms - open_ms == MINUTE_MS:
        return market.minute(exchange, symbol, open_ms)
    return _added_up(exchange, symbol, open_ms, (end_ms - open_ms) // MINUTE_MS)


@lru_cache(maxsize=10_000)
def _added_up(exchange: str, symbol: str, open_ms: int, minutes: int) -> Minute:
    """Return many minutes as one candle; they never change, and adding them up takes time."""
    return market.aggregate(exchange, symbol, open_ms, minutes)


def _joined(earlier: Minute, later: Minute) -> Minute:
    return Minute(
        earlier.open_time_ms,
        earlier.open,
        max(earlier.high, later.high),
        min(earlier.low, later.low),
        later.close,
        earlier.volume + later.volume,
        earlier.quote_volume + later.quote_volume,
        earlier.trades + later.trades,
        earlier.taker_buy_volume + later.taker_buy_volume,
        earlier.taker_buy_quote_volume + later.taker_buy_quote_volume,
    )
