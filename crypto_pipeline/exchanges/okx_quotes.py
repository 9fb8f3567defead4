"""
What OKX tells besides candles and instruments: where, and how its answers are read.

Read the v5 manual, "Order book trading - Market data" and "Public data".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from crypto_pipeline.exchanges import quoting, rows
from crypto_pipeline.exchanges.asking import Endpoint
from crypto_pipeline.exchanges.okx_envelope import TITLE, data_of
from crypto_pipeline.exchanges.quotes import Book, FundingRate, MarkPrice, OpenInterest, Quote, Side, Trade

TRADES = Endpoint("/api/v5/market/trades", counted_as="trades")
TICKER = Endpoint("/api/v5/market/ticker", counted_as="ticker")
BOOKS = Endpoint("/api/v5/market/books", counted_as="books")
FUNDING_HISTORY = Endpoint("/api/v5/public/funding-rate-history", counted_as="funding-rate-history")
FUNDING = Endpoint("/api/v5/public/funding-rate", counted_as="funding-rate")
OPEN_INTEREST = Endpoint("/api/v5/public/open-interest", counted_as="open-interest")
MARK_PRICE = Endpoint("/api/v5/public/mark-price", counted_as="mark-price")
INDEX = Endpoint("/api/v5/market/index-tickers", counted_as="index-tickers")

SPOT_PATHS = (TRADES.path, TICKER.path, BOOKS.path)
PERPETUAL_PATHS = (FUNDING_HISTORY.path, FUNDING.path, OPEN_INTEREST.path, MARK_PRICE.path, INDEX.path)
LIMITS: Mapping[str, int] = MappingProxyType(
    {"trades": 100, "books": 40, "funding-rate-history": 10, "funding-rate": 10, "mark-price": 10}
)
"""How many requests in 2 s, where it is not 20."""

MOST_TRADES, MOST_LEVELS, MOST_RATES = 500, 400, 400
SIDES: Mapping[Any, Side] = MappingProxyType({"buy": Side.BUY, "sell": Side.SELL})
"""Of the taker."""


def contract_of(symbol: str) -> str:
    """Return the linear perpetual contract of a canonical symbol."""
    return f"{symbol}-SWAP"


def each(endpoint: Endpoint, contract: str) -> Endpoint:
    """Return an endpoint whose limit is counted for each contract."""
    return replace(endpoint, counted_as=f"{endpoint.counted_as} {contract}")


def parse_trades(body: bytes, symbol: str) -> list[Trade]:
    """Return the trades of a trades answer, oldest first; `side` is the taker's."""
    found = quoting.entries(data_of(body, TRADES.path), TITLE, "a trade")
    # The newest come first, and many have the same time.
    return quoting.trades_oldest_first([_trade(entry, symbol) for entry in reversed(found)], TITLE)


def _trade(entry: quoting.Entry, symbol: str) -> Trade:
    quoting.check_name(entry.get("instId"), symbol, TITLE)
    return Trade(
        quoting.name(entry.get("tradeId"), TITLE, "the id of a trade"),
        rows.time_ms(entry.get("ts"), TITLE),
        quoting.positive(entry.get("px"), TITLE, "the price of a trade"),
        quoting.positive(entry.get("sz"), TITLE, "the quantity of a trade"),
        quoting.side(entry.get("side"), TITLE, SIDES),
    )


def parse_quote(body: bytes, symbol: str) -> Quote:
    """Return the best bid and ask of a ticker answer."""
    entry = _about(body, TICKER, symbol)
    bid, ask = ((entry.get(f"{side}Px"), entry.get(f"{side}Sz")) for side in ("bid", "ask"))
    return quoting.quote(symbol, rows.time_ms(entry.get("ts"), TITLE), bid, ask, TITLE)


def parse_book(body: bytes, symbol: str, depth: int) -> Book:
    """Return the book of a books answer, which does not say of what: its rows are price, quantity, `0`, orders."""
    entry = quoting.only(data_of(body, BOOKS.path), TITLE, "a book")
    return quoting.book(
        symbol,
        time_ms=rows.time_ms(entry.get("ts"), TITLE),
        sequence=str(rows.whole(entry.get("seqId"), TITLE, "seqId")),
        bids=quoting.levels(entry.get("bids"), TITLE, "a bid"),
        asks=quoting.levels(entry.get("asks"), TITLE, "an ask"),
        depth=depth,
        exchange=TITLE,
    )


def parse_funding_rates(body: bytes, contract: str) -> list[FundingRate]:
    """
    Return the rates of a funding-rate-history answer, oldest first.

    `realizedRate` is the one that was paid; `fundingRate` is what was expected until then.
    """
    found = quoting.entries(data_of(body, FUNDING_HISTORY.path), TITLE, "a funding rate")
    return quoting.rates_oldest_first([_funding_rate(entry, contract) for entry in found], TITLE)


def _funding_rate(entry: quoting.Entry, contract: str) -> FundingRate:
    quoting.check_name(entry.get("instId"), contract, TITLE)
    paid_ms = rows.time_ms(entry.get("fundingTime"), TITLE)
    return FundingRate(paid_ms, rows.signed(entry.get("realizedRate"), TITLE, "realizedRate"))


def parse_open_interest(body: bytes, symbol: str) -> OpenInterest:
    """
    Return what an open-interest answer says: `oi` counts contracts, `oiCcy` the base currency.

    `oiUsd` is not the value in quote currency: a USDT is not always a dollar.
    """
    entry = _about(body, OPEN_INTEREST, contract_of(symbol))
    return OpenInterest(symbol, rows.time_ms(entry.get("ts"), TITLE), rows.number(entry.get("oiCcy"), TITLE, "oiCcy"))


def parse_mark_price(mark: bytes, index: bytes, funding: bytes, symbol: str) -> MarkPrice:
    """
    Return what three answers say: mark-price, index-tickers and funding-rate.

    In the last one `fundingRate` is expected for `fundingTime`, which is the payment that comes next;
    `nextFundingTime` is the one after it.
    """
    entry, behind = _about(mark, MARK_PRICE, contract_of(symbol)), _about(index, INDEX, symbol)
    coming = _about(funding, FUNDING, contract_of(symbol))
    return MarkPrice(
        symbol,
        rows.time_ms(entry.get("ts"), TITLE),
        quoting.positive(entry.get("markPx"), TITLE, "markPx"),
        quoting.positive(behind.get("idxPx"), TITLE, "idxPx"),
        rows.signed(coming.get("fundingRate"), TITLE, "fundingRate"),
        rows.time_ms(coming.get("fundingTime"), TITLE),
    )


def _about(body: bytes, endpoint: Endpoint, wanted: str) -> quoting.Entry:
    """Return the one entry of an answer about one instrument."""
    entry = quoting.only(data_of(body, endpoint.path), TITLE, "what was asked for")
    quoting.check_name(entry.get("instId"), wanted, TITLE)
    return entry
