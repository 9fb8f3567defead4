"""Trades, books and 24-hour figures fit the minutes they are derived from."""

from __future__ import annotations

from itertools import takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.bars import Bar, Chart, listed_ms
from crypto_pipeline.sandbox.quotes import book, last_day, last_price, newest_trades, trades_before, trades_from
from crypto_pipeline_tests.sandbox.asking import MINUTE_MS, NOW_MS

RUNNING_MS = NOW_MS - NOW_MS % MINUTE_MS


@pytest.mark.parametrize("exchange", ["okx", "bybit", "coinbase"])
@pytest.mark.parametrize("symbol", market.SYMBOLS)
def test_the_trades_of_a_minute_add_up_to_its_candle(exchange: str, symbol: str) -> None:
    for open_ms in range(RUNNING_MS - 30 * MINUTE_MS, RUNNING_MS, MINUTE_MS):
        minute = market.minute(exchange, symbol, open_ms)
        trades = []
        for trade in trades_before(exchange, symbol, open_ms + MINUTE_MS):
            if trade.time_ms < open_ms:
                break
            trades.append(trade)

        assert sum(trade.size for trade in trades) == minute.volume
        assert all(minute.low <= trade.price <= minute.high for trade in trades)
        assert not trades or trades[0].price == minute.close


def test_no_trade_is_from_the_future_and_ids_only_rise() -> None:
    trades = newest_trades("okx", "BTC-USDT", NOW_MS, 200)

    assert trades[0].time_ms <= NOW_MS
    assert [trade.trade_id for trade in trades] == sorted({trade.trade_id for trade in trades}, reverse=True)
    assert list(trades_before("okx", "PEPE-USDT", listed_ms("okx", "PEPE-USDT"))) == []


@settings(deadline=None)  # the first use of a stretch of the market is slow, and the machine is shared
@given(passed=st.integers(1, MINUTE_MS), symbol=st.sampled_from(market.SYMBOLS), back=st.integers(0, 600))
def test_the_trades_of_a_running_minute_lie_within_its_candle(passed: int, symbol: str, back: int) -> None:
    """Whatever of it has passed; and none of them changes later."""
    open_ms = RUNNING_MS - back * MINUTE_MS
    candle = Chart("okx", symbol, Bar(1), open_ms + passed).candle(open_ms)
    so_far = [trade for trade in newest_trades("okx", symbol, open_ms + passed, 20) if trade.time_ms >= open_ms]
    in_the_end = newest_trades("okx", symbol, open_ms + MINUTE_MS, 20)

    assert all(candle.low <= trade.price <= candle.high for trade in so_far)
    assert all(trade.time_ms < open_ms + passed for trade in so_far)
    assert set(so_far) <= set(in_the_end)


@pytest.mark.parametrize("symbol", market.SYMBOLS)
def test_the_trades_of_a_minute_touch_its_high_and_its_low(symbol: str) -> None:
    """So that candles which are made of trades are those of the exchange."""
    minute = market.minute("okx", symbol, RUNNING_MS - MINUTE_MS)
    trades = [trade for trade in newest_trades("okx", symbol, RUNNING_MS, 20) if trade.time_ms >= minute.open_time_ms]

    assert (trades[-1].price, trades[0].price) == (minute.open, minute.close)
    assert max(trade.price for trade in trades) == minute.high
    assert min(trade.price for trade in trades) == minute.low


@pytest.mark.parametrize("symbol", market.SYMBOLS)
def test_a_book_never_crosses(symbol: str) -> None:
    bids, asks = book("bybit", symbol, NOW_MS, 100)

    prices = [level.price for level in reversed(bids)] + [level.price for level in asks]
    assert prices == sorted(set(prices))
    assert bids
    assert all(level.size > 0 and level.orders > 0 for level in bids + asks)


def test_a_day_spans_the_last_price() -> None:
    day = last_day("okx", "BTC-USDT", NOW_MS)

    assert day.low <= last_price("okx", "BTC-USDT", NOW_MS) == day.last <= day.high


def test_trades_forward_are_those_backward() -> None:
    begin = RUNNING_MS - 3 * MINUTE_MS + 17

    forward = list(trades_from("bybit", "BTC-USDT", begin, NOW_MS))
    going_back = trades_before("bybit", "BTC-USDT", NOW_MS + 1)
    backward = list(takewhile(lambda trade: trade.time_ms >= begin, going_back))

    assert forward == backward[::-1]
    assert len(forward) > 20


def test_trades_begin_with_the_listing() -> None:
    listed = listed_ms("okx", "PEPE-USDT")

    first = next(trades_from("okx", "PEPE-USDT", 0, NOW_MS))

    assert listed <= first.time_ms < listed + 60 * MINUTE_MS
    assert list(trades_from("okx", "PEPE-USDT", NOW_MS, NOW_MS - 1)) == []


def test_a_day_counts_its_trades() -> None:
    day = last_day("okx", "BTC-USDT", NOW_MS)

    assert day.trades == sum(row.trades for row in market.rows("okx", "BTC-USDT", RUNNING_MS - 1440 * MINUTE_MS, 1440))
