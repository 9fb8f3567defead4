"""
How Coinbase Advanced Trade's answers about trades, quotes and books are read.

Read the Advanced Trade REST documents, "Get Public Market Trades" and "Get Public Product Book".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from crypto_pipeline.exchanges import quoting, rows
from crypto_pipeline.exchanges.answers import decode, malformed
from crypto_pipeline.exchanges.quotes import Book, Level, Quote, Side, Trade

TITLE = "Coinbase"
MOST_TRADES = 1000
"""More are answered with an internal error."""
MOST_LEVELS = 1000
SIDES: Mapping[Any, Side] = MappingProxyType({"SELL": Side.BUY, "BUY": Side.SELL})
"""
Who took, by the `side` of a trade: that is the maker's, as it is on Coinbase Exchange, whose trades these are.

The Advanced Trade documents do not say whose it is. A probe of the real host found it to be the maker's; there a
trade at the best ask, at which somebody bought, is a `SELL`. General clients such as ccxt hand it on as it comes.
"""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_trades(body: bytes) -> list[Trade]:
    """
    Return the trades of a ticker answer, oldest first.

    Their `product_id` is not looked at: a product that is another one's alias shows that one's trades.
    """
    answer = quoting.entry(decode(body, TITLE, "ticker"), TITLE, "the ticker")
    found = quoting.entries(answer.get("trades"), TITLE, "a trade")
    # The newest come first, and several may have the same time.
    return quoting.trades_oldest_first([_trade(entry) for entry in reversed(found)], TITLE)


def _trade(entry: quoting.Entry) -> Trade:
    return Trade(
        quoting.name(entry.get("trade_id"), TITLE, "the id of a trade"),
        _time_ms(entry.get("time")),
        quoting.positive(entry.get("price"), TITLE, "the price of a trade"),
        quoting.positive(entry.get("size"), TITLE, "the quantity of a trade"),
        quoting.side(entry.get("side"), TITLE, SIDES),
    )


def parse_quote(body: bytes, symbol: str) -> Quote:
    """Return the top of a product_book answer: the ticker has best prices too, but not how much stands there."""
    found = parse_book(body, symbol, 1)
    if not (found.bids and found.asks):
        malformed(TITLE, "a side of the book is empty, so that there is no best price")
    return Quote(symbol, found.time_ms, *found.bids[0], *found.asks[0])


def parse_book(body: bytes, symbol: str, depth: int) -> Book:
    """Return the book of a product_book answer, whose states have no number."""
    answer = quoting.entry(decode(body, TITLE, "product_book"), TITLE, "the answer")
    found = quoting.entry(answer.get("pricebook"), TITLE, "the book")
    return quoting.book(
        symbol,
        time_ms=_time_ms(found.get("time")),
        sequence=None,
        bids=_levels(found.get("bids"), "a bid"),
        asks=_levels(found.get("asks"), "an ask"),
        depth=depth,
        exchange=TITLE,
    )


def _levels(value: Any, what: str) -> list[Level]:
    found = quoting.entries(value, TITLE, what)
    return [quoting.level((one.get("price"), one.get("size")), TITLE, what) for one in found]


def _time_ms(value: Any) -> int:
    """Return milliseconds of a time in UTC, given to the microsecond or finer; what is finer is cut off."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        malformed(TITLE, "a time is not one in UTC")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        malformed(TITLE, "a time is not on the calendar")
    return rows.time_ms((moment - _EPOCH) // timedelta(milliseconds=1), TITLE)
