"""Trades, quotes and books of Binance spot (rest-api.md, "Market Data endpoints")."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from crypto_pipeline.exchanges import quoting, rows
from crypto_pipeline.exchanges.answers import decode
from crypto_pipeline.exchanges.asking import Endpoint
from crypto_pipeline.exchanges.quotes import Book, Quote, Side, Trade

TITLE = "Binance"
TRADES = Endpoint("/api/v3/trades", 25)
QUOTE = Endpoint("/api/v3/ticker/bookTicker", 2)
BOOK = "/api/v3/depth"
BOOK_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (5000, 250))
"""What a book costs, by the most levels that it may have."""
SIDES: Mapping[Any, Side] = MappingProxyType({True: Side.SELL, False: Side.BUY})
"""Who took, by `isBuyerMaker`: if the buyer was there before, the seller took."""


def parse_trades(body: bytes) -> list[Trade]:
    """Return the trades of a trades answer, oldest first."""
    found = quoting.entries(decode(body, TITLE, TRADES.path), TITLE, "a trade")
    return quoting.trades_oldest_first([_trade(entry) for entry in found], TITLE)


def _trade(entry: quoting.Entry) -> Trade:
    return Trade(
        quoting.name(entry.get("id"), TITLE, "the id of a trade"),
        rows.time_ms(entry.get("time"), TITLE),
        quoting.positive(entry.get("price"), TITLE, "the price of a trade"),
        quoting.positive(entry.get("qty"), TITLE, "the quantity of a trade"),
        quoting.side(entry.get("isBuyerMaker"), TITLE, SIDES),
    )


def parse_quote(body: bytes, symbol: str) -> Quote:
    """Return the best bid and ask of a bookTicker answer, which has no time."""
    entry = quoting.entry(decode(body, TITLE, QUOTE.path), TITLE, "the ticker")
    quoting.check_name(entry.get("symbol"), symbol.replace("-", ""), TITLE)
    bid, ask = ((entry.get(f"{side}Price"), entry.get(f"{side}Qty")) for side in ("bid", "ask"))
    return quoting.quote(symbol, None, bid, ask, TITLE)


def parse_book(body: bytes, symbol: str, levels: int) -> Book:
    """Return the book of a depth answer, which has a number of its own and no time."""
    entry = quoting.entry(decode(body, TITLE, BOOK), TITLE, "the book")
    return quoting.book(
        symbol,
        time_ms=None,
        sequence=str(rows.whole(entry.get("lastUpdateId"), TITLE, "lastUpdateId")),
        bids=quoting.levels(entry.get("bids"), TITLE, "a bid"),
        asks=quoting.levels(entry.get("asks"), TITLE, "an ask"),
        depth=levels,
        exchange=TITLE,
    )
