"""The simulated Binance's tickers, trades and books."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.binance import BinanceExchange
from crypto_pipeline.sandbox.keys import KeyRing
from crypto_pipeline_tests.sandbox.asking import MINUTE_MS, NOW_MS, asked, content

RUNNING_MS = NOW_MS - NOW_MS % MINUTE_MS


@pytest.fixture
def binance() -> BinanceExchange:
    return BinanceExchange(KeyRing())


def shown(exchange: BinanceExchange, path: str, query: str = "") -> Any:
    answer = exchange.handle(asked(f"/api/v3/{path}", query))
    assert answer.status == 200, answer.body
    return content(answer)


def test_tickers_book_and_trades_agree(binance: BinanceExchange) -> None:
    """The best bid is below the last price, the best ask above it, and trades are oldest first."""
    day = shown(binance, "ticker/24hr", "symbol=BTCUSDT")
    price = shown(binance, "ticker/price", "symbol=BTCUSDT")
    best = shown(binance, "ticker/bookTicker", "symbol=BTCUSDT")
    book = shown(binance, "depth", "symbol=BTCUSDT&limit=5")
    trades = shown(binance, "trades", "symbol=BTCUSDT&limit=50")

    assert Decimal(best["bidPrice"]) < Decimal(price["price"]) < Decimal(best["askPrice"])
    assert day["lastPrice"] == price["price"]
    assert {name: day[name] for name in best} == best
    assert Decimal(day["lowPrice"]) <= Decimal(day["weightedAvgPrice"]) <= Decimal(day["highPrice"])
    assert Decimal(day["priceChange"]) == Decimal(day["lastPrice"]) - Decimal(day["openPrice"])
    assert book["bids"][0] == [best["bidPrice"], best["bidQty"]]
    assert (len(book["bids"]), len(book["asks"]), book["lastUpdateId"]) == (5, 5, NOW_MS)
    assert len(trades) == 50
    assert [trade["id"] for trade in trades] == sorted(trade["id"] for trade in trades)
    assert trades[-1]["time"] <= NOW_MS
    assert trades[-1]["id"] == day["lastId"]


def test_several_symbols_are_answered_in_their_order_and_all_without_any(binance: BinanceExchange) -> None:
    some = "symbols=%5B%22SOLUSDT%22,%22BTCUSDT%22%5D"

    assert [row["symbol"] for row in shown(binance, "ticker/price", some)] == ["SOLUSDT", "BTCUSDT"]
    for path in ("ticker/24hr", "ticker/price", "ticker/bookTicker"):
        assert len(shown(binance, path)) == len(market.SYMBOLS)
    assert set(shown(binance, "ticker/24hr", "symbol=BTCUSDT&type=MINI")) < set(
        shown(binance, "ticker/24hr", "symbol=BTCUSDT")
    )


def test_the_average_price_lies_within_its_five_minutes(binance: BinanceExchange) -> None:
    average = shown(binance, "avgPrice", "symbol=BTCUSDT")

    five = market.aggregate("binance", "BTC-USDT", RUNNING_MS - 5 * MINUTE_MS, 5)
    assert five.low <= Decimal(average["price"]) <= five.high
    assert (average["mins"], average["closeTime"]) == (5, RUNNING_MS - 1)


def test_trades_go_on_from_an_id_or_a_time(binance: BinanceExchange) -> None:
    newest = shown(binance, "trades", "symbol=BTCUSDT&limit=30")
    first = newest[10]

    on = shown(binance, "historicalTrades", f"symbol=BTCUSDT&fromId={first['id']}&limit=5")
    by_id = shown(binance, "aggTrades", f"symbol=BTCUSDT&fromId={first['id']}&limit=5")
    by_time = shown(binance, "aggTrades", f"symbol=BTCUSDT&startTime={first['time']}&limit=5")
    until = shown(binance, "aggTrades", f"symbol=BTCUSDT&endTime={first['time']}&limit=5")

    assert on == newest[10:15]
    assert [trade["a"] for trade in by_id] == [trade["a"] for trade in by_time] == [trade["id"] for trade in on]
    assert [trade["a"] for trade in until] == [trade["id"] for trade in newest[6:11]]
    assert [trade["m"] for trade in by_id] == [trade["isBuyerMaker"] for trade in on]
    assert shown(binance, "historicalTrades", "symbol=BTCUSDT&limit=30") == newest
