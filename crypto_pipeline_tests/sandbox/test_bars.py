"""Candles of any length, the trades and books derived from them, and the counters of requests."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.bars import Bar, Chart, listed_ms, running
from crypto_pipeline.sandbox.quotes import book, last_day, last_price, newest_trades, trades_before
from crypto_pipeline.sandbox.rates import RollingWindow, TokenBucket
from crypto_pipeline.sandbox.refusal import is_listed, parse_parameters, parse_whole
from crypto_pipeline_tests.sandbox.asking import MINUTE_MS, NOW_MS

RUNNING_MS = NOW_MS - NOW_MS % MINUTE_MS
MOMENTS = st.integers(min_value=0, max_value=4_000_000_000_000)
BARS = st.one_of(
    st.builds(Bar, minutes=st.integers(1, 20_000), offset_minutes=st.integers(-600, 10_000)),
    st.builds(Bar, months=st.sampled_from([1, 3]), offset_minutes=st.sampled_from([0, -480])),
)


@settings(deadline=None)  # the first use of a stretch of the market is slow, and the machine is shared
@given(bar=BARS, moment=MOMENTS)
def test_every_moment_lies_in_exactly_one_bar(bar: Bar, moment: int) -> None:
    opened = bar.opening(moment)

    assert opened <= moment < bar.shift(opened, 1)
    assert bar.opening(opened) == opened
    assert bar.shift(bar.shift(opened, 1), -1) == opened
    assert bar.count(opened, bar.shift(opened, 7)) == 8


@pytest.mark.parametrize(
    ("bar", "opened"),
    [
        (Bar(1440), "2026-03-02T00:00:00+00:00"),
        (Bar(months=1), "2026-03-01T00:00:00+00:00"),
        (Bar(months=3), "2026-01-01T00:00:00+00:00"),
        (Bar(months=1, offset_minutes=-480), "2026-02-28T16:00:00+00:00"),
    ],
)
def test_long_bars_open_when_the_calendar_says(bar: Bar, opened: str) -> None:
    assert datetime.fromtimestamp(bar.opening(NOW_MS) / 1000, UTC).isoformat() == opened


def test_a_long_candle_is_made_of_its_minutes() -> None:
    open_ms = RUNNING_MS - 120 * MINUTE_MS
    minutes = [market.minute("bybit", "ETH-USDT", open_ms + step * MINUTE_MS) for step in range(60)]

    hour = Chart("bybit", "ETH-USDT", Bar(60), NOW_MS).candle(open_ms)

    assert (hour.open, hour.close) == (minutes[0].open, minutes[-1].close)
    assert (hour.low, hour.high) == (min(row.low for row in minutes), max(row.high for row in minutes))
    assert hour.volume == sum(row.volume for row in minutes)
    assert hour.trades == sum(row.trades for row in minutes)


def test_the_running_candle_holds_what_was_traded_so_far() -> None:
    """Whoever stores it is found out: it changes until it ends."""
    earlier = Chart("bybit", "BTC-USDT", Bar(5), RUNNING_MS + 500).candle(RUNNING_MS)
    later = Chart("bybit", "BTC-USDT", Bar(5), RUNNING_MS + 3 * MINUTE_MS + 500).candle(RUNNING_MS)
    over = Chart("bybit", "BTC-USDT", Bar(5), RUNNING_MS + 5 * MINUTE_MS).candle(RUNNING_MS)

    assert earlier.volume < later.volume < over.volume
    assert earlier.open == later.open == over.open
    assert over == market.aggregate("bybit", "BTC-USDT", RUNNING_MS, 5)


@settings(deadline=None)  # the first use of a stretch of the market is slow, and the machine is shared
@given(passed=st.integers(0, MINUTE_MS - 1))
def test_a_running_minute_stays_within_the_whole_one(passed: int) -> None:
    whole = market.minute("okx", "BTC-USDT", RUNNING_MS)

    part = running(whole, RUNNING_MS + passed)

    assert whole.low <= part.low <= part.close <= part.high <= whole.high
    assert 0 <= part.taker_buy_volume <= part.volume <= whole.volume
    assert part.close.as_tuple().exponent == whole.close.as_tuple().exponent


def test_the_first_candle_begins_with_the_listing() -> None:
    listed = listed_ms("okx", "PEPE-USDT")

    candles = Chart("okx", "PEPE-USDT", Bar(1440), listed + 1440 * MINUTE_MS).newest(9, 0, NOW_MS)

    assert [row.open_time_ms for row in candles][-1] == Bar(1440).opening(listed)
    assert Chart("okx", "PEPE-USDT", Bar(1440), listed - 1).newest(9, 0, NOW_MS) == []
    assert Chart("okx", "PEPE-USDT", Bar(1440), NOW_MS).newest(9, 50, 40) == []


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


def test_a_rolling_window_gives_back_request_by_request() -> None:
    window = RollingWindow(2, 1000)

    taken = [window.take("a", now) for now in (0, 400, 999, 1000, 1399, 1400)]

    assert taken == [True, True, False, True, False, True]
    assert window.take("b", 1400)
    assert (window.remaining("a", 1400), window.free_again_ms("a", 1400)) == (0, 2000)
    assert window.free_again_ms("c", 1400) == 1400


def test_a_bucket_fills_lazily_and_never_overflows() -> None:
    """A clock that is set back takes nothing away."""
    bucket = TokenBucket(rate=10, burst=2)

    taken = [bucket.take("a", now) for now in (0, 0, 99, 100, 199, 100_000, 100_000, 100_000)]

    assert taken == [True, True, False, True, False, True, True, False]
    assert not bucket.take("a", 50_000)


@pytest.mark.parametrize(
    ("address", "allowed", "listed"),
    [
        ("127.0.0.1", (), True),
        ("127.0.0.1", ("10.0.0.1", "127.0.0.0/8"), True),
        ("127.0.0.1", ("10.0.0.1",), False),
        ("::1", ("127.0.0.1",), False),
        ("not an address", ("127.0.0.1",), False),
    ],
)
def test_a_bound_key_works_from_its_addresses_only(address: str, allowed: tuple[str, ...], *, listed: bool) -> None:
    assert is_listed(address, allowed) is listed


def test_parameters_are_read_as_they_were_sent() -> None:
    """Empty ones are kept, and of one that is sent twice the first counts."""
    assert parse_parameters("a=1&b=&a=2&c=%2C") == {"a": "1", "b": "", "c": ","}
    assert [parse_whole(text) for text in ("7", "007", "-1", "1.0", "", "\u0667", "9" * 19)] == [7, 7] + [None] * 5
