"""What the simulated Bybit tells of perpetual contracts, asked directly."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from crypto_pipeline.sandbox import market, perpetuals
from crypto_pipeline.sandbox.bybit import BybitExchange
from crypto_pipeline.sandbox.keys import KeyRing
from crypto_pipeline_tests.sandbox.asking import MINUTE_MS, NOW_MS, asked, content

HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


@pytest.fixture
def bybit() -> BybitExchange:
    return BybitExchange(KeyRing())


def result(exchange: BybitExchange, path: str, query: str) -> Any:
    answer = content(exchange.handle(asked(f"/v5/market/{path}", query)))
    assert answer["retCode"] == 0, answer
    return answer["result"]


def rates(exchange: BybitExchange, query: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = result(exchange, "funding/history", f"category=linear&symbol=BTCUSDT&{query}")["list"]
    return found


def paid(first_ms: int, last_ms: int) -> list[str]:
    """Return when was paid, newest first."""
    return [str(moment) for moment in reversed(perpetuals.payments("bybit", "BTC-USDT", first_ms, last_ms))]


def times(rows: list[dict[str, str]]) -> list[str]:
    return [row["fundingRateTimestamp"] for row in rows]


# Funding...


def test_a_rate_has_the_documents_fields_as_texts(bybit: BybitExchange) -> None:
    (row,) = rates(bybit, "limit=1")

    moment = int(row["fundingRateTimestamp"])
    assert list(row) == ["symbol", "fundingRate", "fundingRateTimestamp"]
    assert (row["symbol"], moment) == ("BTCUSDT", NOW_MS // (8 * HOUR_MS) * 8 * HOUR_MS)
    assert Decimal(row["fundingRate"]) == perpetuals.paid_rate("bybit", "BTC-USDT", moment)


@pytest.mark.parametrize(
    ("query", "count"),
    [("", 200), ("limit=3", 3), ("limit=999", 200), (f"endTime={NOW_MS - 5 * DAY_MS}", 200)],
    ids=["neither time", "a limit", "more than there may be", "an end alone"],
)
def test_the_newest_rates_come_first(bybit: BybitExchange, query: str, count: int) -> None:
    last_ms = NOW_MS - 5 * DAY_MS if query.startswith("endTime") else NOW_MS

    assert times(rates(bybit, query)) == paid(0, last_ms)[:count]


def test_both_ends_are_inclusive_and_of_too_many_the_newest_are_given(bybit: BybitExchange) -> None:
    last, *_, first = paid(NOW_MS - 90 * DAY_MS, NOW_MS)

    whole = times(rates(bybit, f"startTime={first}&endTime={last}"))
    inner = times(rates(bybit, f"startTime={int(first) + 1}&endTime={int(last) - 1}&limit=5"))

    assert whole == paid(int(first), int(last))[:200]
    assert inner == whole[1:6]


def test_a_range_before_the_listing_is_empty(bybit: BybitExchange) -> None:
    assert rates(bybit, "startTime=1&endTime=1000000000000") == []


@pytest.mark.parametrize(
    "query",
    [
        "category=linear&symbol=BTCUSDT&startTime=1600000000000",
        "category=linear&symbol=BTCUSDT&startTime=9&endTime=5",
        "category=linear&symbol=BTCUSDT&endTime=now",
        "category=linear&symbol=BTCUSDT&limit=0",
        "category=linear&symbol=NONEUSDT",
        "category=linear",
        "category=inverse&symbol=BTCUSDT",
        "category=spot&symbol=BTCUSDT",
        "symbol=BTCUSDT",
    ],
)
def test_a_bad_question_for_rates_is_refused_with_http_200(bybit: BybitExchange, query: str) -> None:
    """A start alone among them."""
    answer = bybit.handle(asked("/v5/market/funding/history", query))

    assert (answer.status, content(answer)["retCode"]) == (200, 10001)


# Open interest and prices...


def test_a_ticker_tells_open_interest_of_both_sides_and_of_one(bybit: BybitExchange) -> None:
    """Whoever takes the wrong one is twice too high."""
    (ticker,) = result(bybit, "tickers", "category=linear&symbol=SOLUSDT")["list"]

    single, value = Decimal(ticker["singleOpenInterest"]), Decimal(ticker["singleOpenInterestValue"])
    assert single == perpetuals.open_interest("bybit", "SOL-USDT", NOW_MS) > 0
    assert (Decimal(ticker["openInterest"]), Decimal(ticker["openInterestValue"])) == (single * 2, value * 2)
    assert value == single * Decimal(ticker["markPrice"])


def test_a_ticker_tells_prices_and_the_payment_that_comes(bybit: BybitExchange) -> None:
    (ticker,) = result(bybit, "tickers", "category=linear&symbol=BTCUSDT")["list"]

    minute = market.minute("bybit", "BTC-USDT", NOW_MS - NOW_MS % MINUTE_MS)
    assert minute.low * Decimal("0.999") < Decimal(ticker["markPrice"]) < minute.high * Decimal("1.001")
    assert abs(Decimal(ticker["indexPrice"]) / Decimal(ticker["markPrice"]) - 1) < Decimal("0.005")
    assert Decimal(ticker["fundingRate"]) == perpetuals.expected_rate("bybit", "BTC-USDT", NOW_MS)
    assert int(ticker["nextFundingTime"]) == perpetuals.next_payment_ms("bybit", "BTC-USDT", NOW_MS)
    assert ticker["fundingIntervalHour"] == "8"


def test_the_history_of_open_interest_is_told_newest_first_page_after_page(bybit: BybitExchange) -> None:
    query = f"category=linear&symbol=BTCUSDT&intervalTime=1h&startTime={NOW_MS - 5 * HOUR_MS}&limit=2"
    found: list[dict[str, str]] = []
    cursor = "0"
    while cursor:
        page = result(bybit, "open-interest", f"{query}&cursor={cursor}")
        found += page["list"]
        cursor = page["nextPageCursor"]

    newest = NOW_MS // HOUR_MS * HOUR_MS
    assert [int(row["timestamp"]) for row in found] == [newest - back * HOUR_MS for back in range(5)]
    for row in found:
        single = perpetuals.open_interest("bybit", "BTC-USDT", int(row["timestamp"]))
        assert Decimal(row["singleOpenInterest"]) == single
        assert Decimal(row["openInterest"]) == single * 2


@pytest.mark.parametrize(("interval", "minutes"), [("5min", 5), ("4h", 240), ("1d", 1440)])
def test_the_history_has_a_point_for_every_interval(bybit: BybitExchange, interval: str, minutes: int) -> None:
    found = result(bybit, "open-interest", f"category=linear&symbol=BTCUSDT&intervalTime={interval}&limit=3")["list"]

    stamps = [int(row["timestamp"]) for row in found]
    assert [stamp % (minutes * MINUTE_MS) for stamp in stamps] == [0, 0, 0]
    assert stamps[0] - stamps[2] == 2 * minutes * MINUTE_MS


@pytest.mark.parametrize("query", ["symbol=BTCUSDT", "symbol=BTCUSDT&intervalTime=2h", "symbol=NONE&intervalTime=1h"])
def test_a_bad_question_for_open_interest_is_refused(bybit: BybitExchange, query: str) -> None:
    answer = bybit.handle(asked("/v5/market/open-interest", f"category=linear&{query}"))

    assert (answer.status, content(answer)["retCode"]) == (200, 10001)
