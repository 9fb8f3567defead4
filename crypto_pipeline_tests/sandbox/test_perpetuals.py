"""The made-up perpetual contracts fit the made-up market that they are derived from."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_pipeline.sandbox import market, perpetuals
from crypto_pipeline.sandbox.bars import listed_ms
from crypto_pipeline.sandbox.quotes import last_price
from crypto_pipeline_tests.sandbox.asking import NOW_MS

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
EXCHANGES = pytest.mark.parametrize("exchange", ["binance", "okx", "bybit"])


@EXCHANGES
@pytest.mark.parametrize("symbol", market.SYMBOLS)
def test_payments_come_at_whole_hours_one_interval_apart(exchange: str, symbol: str) -> None:
    every = perpetuals.interval_ms(exchange, symbol)

    found = list(perpetuals.payments(exchange, symbol, NOW_MS - 9 * DAY_MS, NOW_MS))

    assert {later - earlier for earlier, later in pairwise(found)} == {every}
    assert all(moment % every == 0 for moment in found)
    assert found[-1] + every == perpetuals.next_payment_ms(exchange, symbol, NOW_MS) > NOW_MS


def test_most_contracts_pay_every_eight_hours_and_some_more_often() -> None:
    """As exchanges do for what moves much."""
    assert perpetuals.interval_ms("okx", "BTC-USDT") == 8 * HOUR_MS
    assert perpetuals.interval_ms("okx", "PEPE-USDT") == HOUR_MS


def test_both_ends_of_a_range_of_payments_are_in_it() -> None:
    noon_ms = NOW_MS // DAY_MS * DAY_MS + 8 * HOUR_MS

    assert list(perpetuals.payments("okx", "BTC-USDT", noon_ms, noon_ms)) == [noon_ms]
    assert list(perpetuals.payments("okx", "BTC-USDT", noon_ms + 1, noon_ms + 8 * HOUR_MS - 1)) == []


@EXCHANGES
def test_nothing_is_paid_before_the_listing(exchange: str) -> None:
    listed = listed_ms(exchange, "PEPE-USDT")

    first = perpetuals.payments(exchange, "PEPE-USDT", 0, NOW_MS)[0]

    assert 0 <= first - listed < perpetuals.interval_ms(exchange, "PEPE-USDT")


@EXCHANGES
def test_rates_are_small_and_of_either_sign(exchange: str) -> None:
    found = [
        perpetuals.paid_rate(exchange, "BTC-USDT", moment)
        for moment in perpetuals.payments(exchange, "BTC-USDT", NOW_MS - 300 * DAY_MS, NOW_MS)
    ]

    assert Decimal("-0.0002") <= min(found) < 0 < max(found) < Decimal("0.0003")
    assert 300 < sum(rate < 0 for rate in found) < 430
    assert len(set(found)) > 800


def test_okx_tells_more_digits_of_a_rate_than_the_others() -> None:
    assert perpetuals.paid_rate("okx", "BTC-USDT", 8 * HOUR_MS).as_tuple().exponent == -16
    assert perpetuals.paid_rate("bybit", "BTC-USDT", 8 * HOUR_MS).as_tuple().exponent == -8


@EXCHANGES
def test_what_is_expected_becomes_what_is_paid(exchange: str) -> None:
    """From what was paid last, straight to it."""
    payment_ms = perpetuals.next_payment_ms(exchange, "ETH-USDT", NOW_MS)
    before_ms = payment_ms - perpetuals.interval_ms(exchange, "ETH-USDT")
    last, then = (perpetuals.paid_rate(exchange, "ETH-USDT", moment) for moment in (before_ms, payment_ms))

    expected = [perpetuals.expected_rate(exchange, "ETH-USDT", before_ms + hour * HOUR_MS) for hour in range(8)]

    assert expected[0] == last
    assert expected == sorted(expected, reverse=last > then)
    assert abs(perpetuals.expected_rate(exchange, "ETH-USDT", payment_ms - 1) - then) < Decimal("0.00000002")


@settings(deadline=None)  # the first use of a stretch of the market is slow, and the machine is shared
@given(
    exchange=st.sampled_from(["binance", "okx", "bybit"]),
    symbol=st.sampled_from(market.SYMBOLS),
    back_ms=st.integers(0, 30 * DAY_MS),
)
def test_mark_and_index_lie_near_the_last_price(exchange: str, symbol: str, back_ms: int) -> None:
    now_ms = NOW_MS - back_ms
    last, tick = last_price(exchange, symbol, now_ms), market.listing(exchange, symbol).tick

    mark, index = (each(exchange, symbol, now_ms) for each in (perpetuals.mark_price, perpetuals.index_price))

    assert abs(mark - last) <= last * 3 / 10_000 + tick
    assert abs(index - last) <= last * 30 / 10_000 + tick
    assert mark % tick == index % tick == 0


def test_the_index_leaves_out_who_does_not_list_the_symbol_yet() -> None:
    """The first exchange that has it is alone at first."""
    first = min(perpetuals.EXCHANGES, key=lambda exchange: listed_ms(exchange, "PEPE-USDT"))
    now_ms = listed_ms(first, "PEPE-USDT") + 90_000

    assert perpetuals.index_price(first, "PEPE-USDT", now_ms) == last_price(first, "PEPE-USDT", now_ms)


@EXCHANGES
@pytest.mark.parametrize("symbol", market.SYMBOLS)
def test_open_interest_is_whole_contracts(exchange: str, symbol: str) -> None:
    found = perpetuals.open_interest(exchange, symbol, NOW_MS)

    assert found > 0
    assert found % perpetuals.contract_size(symbol) == 0
