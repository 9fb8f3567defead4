"""The made-up market is a pure function, and behaves like a market."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.market import MINUTE_MS
from crypto_pipeline_tests.sandbox.asking import NOW_MS

EXCHANGES = ("binance", "coinbase", "okx", "bybit")
BEGIN_MS = 1_748_736_000_000
"""2025-06-01."""
EVERYWHERE = pytest.mark.parametrize("exchange", EXCHANGES)
EVERY_SYMBOL = pytest.mark.parametrize("symbol", market.SYMBOLS)

FINGERPRINT = "2cfe065bba59625261cb906201edf0c3f1299022818fe508f1547f47f394b67f"
"""Of the rows below; whoever changes it changes every stored month, every picture and every figure in the documents."""

SAMPLE = f"""
import hashlib
from crypto_pipeline.sandbox import market
digest = hashlib.sha256()
for exchange in {EXCHANGES!r}:
    for symbol in market.SYMBOLS:
        for start_ms in ({BEGIN_MS}, 1_700_000_040_000, market.listing(exchange, symbol).listed_ms):
            for row in market.rows(exchange, symbol, start_ms, 600):
                digest.update(repr(tuple(row)).encode())
print(digest.hexdigest())
"""


def rows(exchange: str, symbol: str, count: int = 3000, start_ms: int = BEGIN_MS) -> list[market.Row]:
    return market.rows(exchange, symbol, start_ms, count)


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_every_process_makes_the_same_market(hash_seed: str) -> None:
    """Nothing depends on the process, the order of hashes or what was asked before."""
    done = subprocess.run(
        [sys.executable, "-c", SAMPLE],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == FINGERPRINT


def test_the_order_of_asking_changes_nothing() -> None:
    """What is remembered of earlier questions is only a short cut."""
    forward = [market.rows("okx", "SOL-USDT", BEGIN_MS + step * MINUTE_MS, 1)[0] for step in range(2000)]
    backward = [market.minute("okx", "SOL-USDT", BEGIN_MS + step * MINUTE_MS) for step in reversed(range(2000))]

    places = market.decimals("okx", "SOL-USDT")
    assert rows("okx", "SOL-USDT", 2000) == forward
    assert [market.exact(row, places) for row in forward] == backward[::-1]


@EVERYWHERE
@EVERY_SYMBOL
def test_a_candle_is_one(exchange: str, symbol: str) -> None:
    """Low and high enclose open and close, nothing is negative, and takers bought no more than was traded."""
    for row in rows(exchange, symbol):
        assert 0 < row.low <= min(row.open, row.close) <= max(row.open, row.close) <= row.high
        assert 0 <= row.taker_buy_volume <= row.volume
        assert 0 <= row.taker_buy_quote_volume <= row.quote_volume
        assert row.low * row.volume <= row.quote_volume <= row.high * row.volume


@EVERYWHERE
@EVERY_SYMBOL
def test_each_minute_opens_where_the_one_before_closed(exchange: str, symbol: str) -> None:
    assert all(later.open == earlier.close for earlier, later in pairwise(rows(exchange, symbol)))
    times = [row.open_time_ms for row in rows(exchange, symbol)]
    assert times == list(range(BEGIN_MS, BEGIN_MS + 3000 * MINUTE_MS, MINUTE_MS))


@EVERYWHERE
@EVERY_SYMBOL
def test_nothing_moves_where_nobody_trades_and_only_there(exchange: str, symbol: str) -> None:
    for row in rows(exchange, symbol):
        if row.trades == 0:
            assert row.open == row.high == row.low == row.close
            assert row[5:] == (0, 0, 0, 0, 0)
        else:
            assert row.volume > 0


@pytest.mark.parametrize(
    ("exchange", "symbol", "least", "most"),
    [
        ("binance", "PEPE-USDT", 0, 0),
        ("coinbase", "BTC-USDT", 60, 180),
        ("coinbase", "PEPE-USDT", 400, 800),
        ("okx", "BTC-USDT", 1, 30),
        ("bybit", "DOGE-USDT", 10, 100),
    ],
)
def test_quiet_minutes_are_as_many_as_they_should_be(exchange: str, symbol: str, least: int, most: int) -> None:
    """In ten thousand minutes: about one in a hundred at Coinbase, none at Binance."""
    quiet = [row for row in rows(exchange, symbol, 10_000) if row.trades == 0]

    assert least <= len(quiet) <= most


@EVERY_SYMBOL
def test_exchanges_agree_on_the_price(symbol: str) -> None:
    """Within a twentieth of a percent on either side, besides the rounding to their ticks."""
    found = {
        exchange: [market.exact(row, market.decimals(exchange, symbol)) for row in rows(exchange, symbol, 1000)]
        for exchange in EXCHANGES
    }

    for at_binance, *others in zip(*found.values(), strict=True):
        for exchange, row in zip(EXCHANGES[1:], others, strict=True):
            if row.trades:
                ticks = market.listing("binance", symbol).tick + market.listing(exchange, symbol).tick
                assert abs(row.close - at_binance.close) <= at_binance.close * 6 / 10_000 + ticks
    assert found["binance"] != found["okx"]


@EVERY_SYMBOL
def test_a_year_is_plausible(symbol: str) -> None:
    """The price moves, but neither vanishes nor explodes; every fifth day."""
    closes = [market.rows("binance", symbol, BEGIN_MS + day * 1440 * MINUTE_MS, 1)[0].close for day in range(0, 365, 5)]

    assert 1.2 < max(closes) / min(closes) < 8
    assert all(0.6 < later / earlier < 1.6 for earlier, later in pairwise(closes))
    assert len(set(closes)) > 60


def test_decimals_are_exact_and_print_without_exponent() -> None:
    """The cheapest coin has prices with many zeros behind the point."""
    minute = market.minute("okx", "PEPE-USDT", BEGIN_MS)

    (row,) = rows("okx", "PEPE-USDT", 1)
    assert f"{minute.close:f}" == f"0.{row.close:012d}"
    assert minute.close % market.listing("okx", "PEPE-USDT").tick == 0


@settings(deadline=None, max_examples=30)  # the first use of a stretch of the market is slow
@given(start=st.integers(0, 3000), minutes=st.integers(1, 3000))
def test_any_number_of_minutes_adds_up(start: int, minutes: int) -> None:
    found = market.rows("bybit", "ETH-USDT", BEGIN_MS + start * MINUTE_MS, minutes)

    total = market.summed("bybit", "ETH-USDT", BEGIN_MS + start * MINUTE_MS, minutes)

    assert total[:5] == (
        found[0].open_time_ms,
        found[0].open,
        max(row.high for row in found),
        min(row.low for row in found),
        found[-1].close,
    )
    assert total[5:] == tuple(sum(column) for column in list(zip(*found, strict=True))[5:])


@EVERYWHERE
def test_what_is_listed_has_a_tick_a_lot_and_a_day(exchange: str) -> None:
    listings = market.instruments(exchange)

    assert [entry.symbol for entry in listings] == sorted(market.SYMBOLS)
    for entry in listings:
        assert entry.symbol == f"{entry.base}-{entry.quote}"
        assert entry.tick > 0
        assert entry.lot == entry.minimum > 0
        assert "2017" <= f"{datetime.fromtimestamp(entry.listed_ms / 1000, UTC):%Y}" <= "2023"


def test_there_is_no_minute_before_the_listing_between_two_or_of_an_unknown_symbol() -> None:
    listed = market.listing("binance", "BTC-USDT").listed_ms

    assert market.minute("binance", "BTC-USDT", listed).open_time_ms == listed
    for open_ms in (listed - MINUTE_MS, listed + 1):
        with pytest.raises(ValueError, match=f"no minute that opens at {open_ms}"):
            market.minute("binance", "BTC-USDT", open_ms)
    with pytest.raises(KeyError):
        market.minute("binance", "NONE-USDT", NOW_MS - NOW_MS % MINUTE_MS)


def test_no_minutes_are_no_rows_and_no_candle() -> None:
    assert market.rows("binance", "BTC-USDT", BEGIN_MS, 0) == []
    with pytest.raises(ValueError, match="at least one minute"):
        market.summed("binance", "BTC-USDT", BEGIN_MS, 0)


@pytest.mark.parametrize("exchange", ["binance", "coinbase", "okx", "bybit"])
@pytest.mark.parametrize("symbol", market.SYMBOLS)
def test_the_price_before_a_minute_is_the_one_it_opens_at(exchange: str, symbol: str) -> None:
    """Also where a stretch of minutes begins, and after quiet ones."""
    for number in (29_540_880, 29_540_881, 29_541_239, 29_541_359, 29_541_360):
        open_ms = number * market.MINUTE_MS

        assert market.price_before(exchange, symbol, open_ms) == market.minute(exchange, symbol, open_ms).open
