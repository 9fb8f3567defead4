"""
Trades, quotes, books and perpetual contracts of Bybit v5.

The documents are "Get Recent Public Trades", "Get Tickers", "Get Orderbook" and "Get Funding Rate History".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from crypto_pipeline.exchanges import quoting, rows
from crypto_pipeline.exchanges.answers import malformed
from crypto_pipeline.exchanges.asking import Endpoint
from crypto_pipeline.exchanges.bybit_envelope import TITLE, result, timed_result
from crypto_pipeline.exchanges.quotes import Book, FundingRate, MarkPrice, OpenInterest, Quote, Side, Trade

TRADES = Endpoint("/v5/market/recent-trade")
TICKERS = Endpoint("/v5/market/tickers")
BOOK = Endpoint("/v5/market/orderbook")
FUNDING = Endpoint("/v5/market/funding/history")
SPOT, LINEAR = "spot", "linear"
SIDES: Mapping[Any, Side] = MappingProxyType({"Buy": Side.BUY, "Sell": Side.SELL})


def spot_name(base: str, quote: str) -> str:
    """Return what Bybit calls a spot market."""
    return base + quote


def contract_name(base: str, quote: str) -> str:
    """Return what Bybit calls a linear perpetual contract; those settled in USDC have a name of their own form."""
    return f"{base}PERP" if quote == "USDC" else base + quote


def parse_trades(body: bytes, native: str) -> list[Trade]:
    """Return the trades of a recent-trade answer, oldest first; Bybit sends the newest first."""
    found = quoting.entries(_of(SPOT, result(body, TRADES.path)).get("list"), TITLE, "a trade")
    return quoting.trades_oldest_first([_trade(entry, native) for entry in reversed(found)], TITLE)


def _trade(entry: quoting.Entry, native: str) -> Trade:
    quoting.check_name(entry.get("symbol"), native, TITLE)
    return Trade(
        quoting.name(entry.get("execId"), TITLE, "the id of a trade"),
        rows.time_ms(entry.get("time"), TITLE),
        quoting.positive(entry.get("price"), TITLE, "the price of a trade"),
        quoting.positive(entry.get("size"), TITLE, "the quantity of a trade"),
        quoting.side(entry.get("side"), TITLE, SIDES),
    )


def parse_quote(body: bytes, symbol: str, native: str) -> Quote:
    """Return the best bid and ask of a ticker answer, as of the time of the whole answer."""
    ticker, time_ms = _ticker(body, SPOT, native)
    bid, ask = ((ticker.get(f"{side}1Price"), ticker.get(f"{side}1Size")) for side in ("bid", "ask"))
    return quoting.quote(symbol, time_ms, bid, ask, TITLE)


def parse_book(body: bytes, symbol: str, native: str, levels: int) -> Book:
    """Return the book of an orderbook answer; of its two numbers, `seq` also stands in trades and only rises."""
    found = result(body, BOOK.path)
    quoting.check_name(found.get("s"), native, TITLE)
    sequence = found.get("seq")
    return quoting.book(
        symbol,
        time_ms=rows.time_ms(found.get("ts"), TITLE),
        sequence=None if sequence is None else str(rows.whole(sequence, TITLE, "seq")),
        bids=quoting.levels(found.get("b"), TITLE, "a bid"),
        asks=quoting.levels(found.get("a"), TITLE, "an ask"),
        depth=levels,
        exchange=TITLE,
    )


def parse_funding_rates(body: bytes, native: str) -> list[FundingRate]:
    """Return the rates of a funding history, oldest first; Bybit tells no mark price with them."""
    found = _of(LINEAR, result(body, FUNDING.path)).get("list")
    rates = [_funding_rate(entry, native) for entry in quoting.entries(found, TITLE, "a funding rate")]
    return quoting.rates_oldest_first(rates, TITLE)


def _funding_rate(entry: quoting.Entry, native: str) -> FundingRate:
    quoting.check_name(entry.get("symbol"), native, TITLE)
    time_ms = rows.time_ms(entry.get("fundingRateTimestamp"), TITLE)
    return FundingRate(time_ms, rows.signed(entry.get("fundingRate"), TITLE, "fundingRate"))


def parse_open_interest(body: bytes, symbol: str, native: str) -> OpenInterest:
    """
    Return how much is open from a ticker answer.

    `openInterest` and `openInterestValue` count both sides of each position; `single…` count one.
    """
    ticker, time_ms = _ticker(body, LINEAR, native)
    value = quoting.optional(ticker.get("singleOpenInterestValue"), rows.number, TITLE, "singleOpenInterestValue")
    quantity = rows.number(ticker.get("singleOpenInterest"), TITLE, "singleOpenInterest")
    return OpenInterest(symbol, time_ms, quantity, value)


def parse_mark_price(body: bytes, symbol: str, native: str) -> MarkPrice:
    """Return mark and index price, and the rate that is expected next, from a ticker answer."""
    ticker, time_ms = _ticker(body, LINEAR, native)
    return MarkPrice(
        symbol,
        time_ms,
        quoting.positive(ticker.get("markPrice"), TITLE, "markPrice"),
        quoting.optional(ticker.get("indexPrice"), quoting.positive, TITLE, "indexPrice"),
        quoting.optional(ticker.get("fundingRate"), rows.signed, TITLE, "fundingRate"),
        quoting.optional_time(ticker.get("nextFundingTime"), TITLE),
    )


def _ticker(body: bytes, category: str, native: str) -> tuple[quoting.Entry, int]:
    """Return the one ticker of an answer; it has no time of its own, so that of the answer counts."""
    found, time = timed_result(body, TICKERS.path)
    ticker = quoting.only(_of(category, found).get("list"), TITLE, "a ticker")
    quoting.check_name(ticker.get("symbol"), native, TITLE)
    return ticker, rows.time_ms(time, TITLE)


def _of(category: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return a result if it is of the category that was asked for: the same names stand for different things."""
    if found.get("category") != category:
        malformed(TITLE, "it tells of another kind of market than the one that was asked for")
    return found
