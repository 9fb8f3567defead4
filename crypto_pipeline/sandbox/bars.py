"""
Candles of any length, cut out of the made-up market's minutes.

Here: where a bar begins and ends, and the candle in it at a given moment, finished or not. How rows are ordered,
named and typed belongs to each exchange; where minutes come from belongs to `market.py`. Every bar is added up from
its minutes, so long bars take time when they are asked for first: a day some 7 ms, a month 0.2 s, and a page of
five hundred weeks half a minute, in which no other exchange answers either.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.market import Minute, Row

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


MINUTE = Bar(1)


@dataclass(frozen=True, slots=True)
class Chart:
    """The candles of one symbol at one exchange as they stand at `now_ms`."""

    exchange: str
    symbol: str
    bar: Bar
    now_ms: int

    def candle(self, open_ms: int) -> Minute:
        """Return the candle of one bar as exact decimals; see `row`."""
        return market.exact(self.row(open_ms), market.decimals(self.exchange, self.symbol))

    def row(self, open_ms: int) -> Row:
        """
        Return the candle of one bar.

        A bar that has not ended holds what was traded in it so far, so that a client which stores an unfinished
        candle is found out by its numbers.
        """
        begin = max(open_ms, listed_ms(self.exchange, self.symbol))
        end = self.bar.shift(open_ms, 1)
        if end <= self.now_ms:
            return _added_up(self.exchange, self.symbol, begin, (end - begin) // MINUTE_MS)._replace(
                open_time_ms=open_ms
            )
        running_ms = self.now_ms - self.now_ms % MINUTE_MS
        so_far = running(market.rows(self.exchange, self.symbol, running_ms, 1)[0], self.now_ms)
        if running_ms > begin:
            finished = market.summed(self.exchange, self.symbol, begin, (running_ms - begin) // MINUTE_MS)
            so_far = market.joined(finished, so_far)
        return so_far._replace(open_time_ms=open_ms)

    def newest(self, count: int, first_ms: int, last_ms: int) -> list[Row]:
        """
        Return the `count` newest candles that open from `first_ms` to `last_ms`, newest first.

        Bars before the listing and after `now_ms` do not exist.
        """
        last_ms = min(last_ms, self.now_ms)
        listed = listed_ms(self.exchange, self.symbol)
        if count < 1 or last_ms < max(first_ms, listed):
            return []
        first = max(self.bar.opening(first_ms), self.bar.opening(listed))
        if first < first_ms:
            first = self.bar.shift(first, 1)
        last = self.bar.opening(last_ms)
        wanted = min(count, self.bar.count(first, last))
        if self.bar == MINUTE:
            return self._newest_minutes(last, wanted)
        return [self.row(self.bar.shift(last, -back)) for back in range(wanted)]

    def _newest_minutes(self, last_ms: int, count: int) -> list[Row]:
        """Return minutes, newest first, read all at once."""
        if count < 1:
            return []
        found = market.rows(self.exchange, self.symbol, last_ms - (count - 1) * MINUTE_MS, count)
        found.reverse()
        if last_ms + MINUTE_MS > self.now_ms:
            found[0] = running(found[0], self.now_ms)
        return found


def running(row: Row, now_ms: int) -> Row:
    """Return what a minute shows before it is over: its price on the way, its volume in proportion."""
    passed = now_ms - row.open_time_ms
    way = abs(row.close - row.open) * passed // MINUTE_MS
    close = row.open + (way if row.close > row.open else -way)
    return Row(
        row.open_time_ms,
        row.open,
        max(row.open, close),
        min(row.open, close),
        close,
        *(amount * passed // MINUTE_MS for amount in row[5:]),
    )


def listed_ms(exchange: str, symbol: str) -> int:
    """Return the minute in which a symbol was first traded at an exchange."""
    listed = market.listing(exchange, symbol).listed_ms
    return listed - listed % MINUTE_MS


@lru_cache(maxsize=10_000)
def _added_up(exchange: str, symbol: str, open_ms: int, minutes: int) -> Row:
    """Return many minutes as one candle; they never change, and adding them up takes time."""
    return market.summed(exchange, symbol, open_ms, minutes)
