"""Candles of any length, cut out of the minutes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.bars import Bar, Chart, listed_ms, running
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
    (whole,) = market.rows("okx", "BTC-USDT", RUNNING_MS, 1)

    part = running(whole, RUNNING_MS + passed)

    assert whole.low <= part.low <= part.close <= part.high <= whole.high
    assert 0 <= part.taker_buy_volume <= part.volume <= whole.volume
    assert 0 <= part.trades <= whole.trades


def test_the_first_candle_begins_with_the_listing() -> None:
    listed = listed_ms("okx", "PEPE-USDT")

    candles = Chart("okx", "PEPE-USDT", Bar(1440), listed + 1440 * MINUTE_MS).newest(9, 0, NOW_MS)

    assert [row.open_time_ms for row in candles][-1] == Bar(1440).opening(listed)
    assert Chart("okx", "PEPE-USDT", Bar(1440), listed - 1).newest(9, 0, NOW_MS) == []
    assert Chart("okx", "PEPE-USDT", Bar(1440), NOW_MS).newest(9, 50, 40) == []


@pytest.mark.parametrize("passed", [0, 1, 30_000, 59_999])
def test_the_price_of_a_running_minute_goes_straight_to_its_close(passed: int) -> None:
    """Up or down, never beyond what has passed of it."""
    for symbol in market.SYMBOLS:
        for whole in market.rows("okx", symbol, RUNNING_MS, 20):
            part = running(whole, whole.open_time_ms + passed)

            way = (whole.close - whole.open) * passed
            assert part.close == whole.open + int(way / MINUTE_MS)


def test_many_minutes_are_the_same_as_each_alone() -> None:
    chart = Chart("coinbase", "SOL-USDT", Bar(1), NOW_MS)

    page = chart.newest(1000, 0, NOW_MS)

    assert page == [chart.row(RUNNING_MS - back * MINUTE_MS) for back in range(1000)]


def test_a_long_unfinished_candle_is_its_finished_minutes_and_the_running_one() -> None:
    """Its figures are those of all minutes since it opened."""
    day_ms = RUNNING_MS - RUNNING_MS % (1440 * MINUTE_MS)
    minutes = (RUNNING_MS - day_ms) // MINUTE_MS

    row = Chart("binance", "BTC-USDT", Bar(1440), NOW_MS).row(day_ms)

    found = market.rows("binance", "BTC-USDT", day_ms, minutes)
    found.append(running(market.rows("binance", "BTC-USDT", RUNNING_MS, 1)[0], NOW_MS))
    assert (row.open, row.high, row.low, row.close) == (
        found[0].open,
        max(one.high for one in found),
        min(one.low for one in found),
        found[-1].close,
    )
    assert row.volume == sum(one.volume for one in found)
    assert row.trades == sum(one.trades for one in found)


def test_no_candle_is_given_where_none_is_asked_for() -> None:
    chart = Chart("binance", "BTC-USDT", Bar(1), NOW_MS)

    assert chart.newest(0, 0, NOW_MS) == []
    assert chart.newest(5, RUNNING_MS + 1, RUNNING_MS + 2) == []
