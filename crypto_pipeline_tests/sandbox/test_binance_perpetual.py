"""The simulated Binance USD-M futures, asked directly."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from crypto_pipeline.sandbox import market, perpetuals
from crypto_pipeline.sandbox.binance_perpetual import (
    LATEST_MS,
    MARKS_KEPT_FROM_MS,
    BinancePerpetualExchange,
    mark_at,
    told_ms,
)
from crypto_pipeline.sandbox.interface import Answer
from crypto_pipeline_tests.sandbox.asking import MINUTE_MS, NOW_MS, asked, content

HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
RUNNING_MS = NOW_MS - NOW_MS % MINUTE_MS
SYMBOLS = sorted(symbol.replace("-", "") for symbol in market.SYMBOLS)


@pytest.fixture
def binance() -> BinancePerpetualExchange:
    return BinancePerpetualExchange()


def ask(exchange: BinancePerpetualExchange, path: str, query: str = "", **how: Any) -> Answer:
    return exchange.handle(asked(f"/fapi/v1/{path}", query, **how))


def shown(exchange: BinancePerpetualExchange, path: str, query: str = "") -> Any:
    answer = ask(exchange, path, query)
    assert answer.status == 200, answer.body
    return content(answer)


def refusal(answer: Answer) -> tuple[int, int]:
    return answer.status, content(answer)["code"]


def due(symbol: str, first_ms: int, last_ms: int) -> list[int]:
    """Return when was paid, as it is dated."""
    moments = perpetuals.payments("binance", symbol, max(0, first_ms - LATEST_MS), last_ms)
    return [told for moment in moments if first_ms <= (told := told_ms(symbol, moment)) <= last_ms]


# Funding...


def test_a_rate_has_the_documents_fields_as_texts(binance: BinancePerpetualExchange) -> None:
    (row,) = shown(binance, "fundingRate", "symbol=BTCUSDT&limit=1")

    payment_ms = NOW_MS // (8 * HOUR_MS) * 8 * HOUR_MS
    assert list(row) == ["symbol", "fundingTime", "fundingRate", "markPrice", "rateType"]
    assert (row["symbol"], row["fundingTime"]) == ("BTCUSDT", told_ms("BTC-USDT", payment_ms))
    assert Decimal(row["fundingRate"]) == perpetuals.paid_rate("binance", "BTC-USDT", payment_ms)
    assert Decimal(row["markPrice"]) == perpetuals.mark_price("binance", "BTC-USDT", payment_ms)
    assert row["rateType"] == "Regular"
    assert len(row["fundingRate"].rpartition(".")[2]) == len(row["markPrice"].rpartition(".")[2]) == 8


def test_rates_may_be_dated_some_milliseconds_late(binance: BinancePerpetualExchange) -> None:
    """About a third are exact, as in real answers; none is a minute late."""
    rows = shown(binance, "fundingRate", f"symbol=BTCUSDT&startTime={NOW_MS - 300 * DAY_MS}&limit=900")

    late = [row["fundingTime"] % (8 * HOUR_MS) for row in rows]
    assert max(late) < LATEST_MS
    assert 0.2 < late.count(0) / len(late) < 0.6


@pytest.mark.parametrize("symbol", ["BTC-USDT", "PEPE-USDT"])
def test_a_payments_price_is_the_mark_price_of_its_moment(symbol: str) -> None:
    """Worked out in a quicker way."""
    for moment in perpetuals.payments("binance", symbol, NOW_MS - 9 * DAY_MS, NOW_MS):
        assert mark_at(symbol, moment) == perpetuals.mark_price("binance", symbol, moment)


def test_no_mark_price_was_kept_of_old_rates(binance: BinancePerpetualExchange) -> None:
    query = f"symbol=BTCUSDT&startTime={MARKS_KEPT_FROM_MS - DAY_MS}&endTime={MARKS_KEPT_FROM_MS + DAY_MS - 1}"

    rows = shown(binance, "fundingRate", query)

    assert [row["markPrice"] == "" for row in rows] == [True] * 3 + [False] * 3


def test_rates_begin_with_the_listing(binance: BinancePerpetualExchange) -> None:
    rows = shown(binance, "fundingRate", "symbol=PEPEUSDT&startTime=0&limit=5")

    listed = market.listing("binance", "PEPE-USDT").listed_ms
    assert [row["fundingTime"] for row in rows] == due("PEPE-USDT", listed, listed + 2 * DAY_MS)[:5]


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        pytest.param("", -200, None, id="without a time or a limit: the newest 200"),
        pytest.param("&limit=7", -7, None, id="without a time: the newest"),
        pytest.param(f"&startTime={NOW_MS - 90 * DAY_MS}", 0, 100, id="with a start: the oldest hundred from there"),
        pytest.param(f"&startTime={NOW_MS - 90 * DAY_MS}&limit=1000", 0, 270, id="with a start: as many as there are"),
    ],
)
def test_rates_are_always_oldest_first(
    binance: BinancePerpetualExchange, query: str, first: int, last: int | None
) -> None:
    rows = shown(binance, "fundingRate", f"symbol=BTCUSDT{query}")

    told = due("BTC-USDT", NOW_MS - 90 * DAY_MS, NOW_MS)
    assert [row["fundingTime"] for row in rows] == told[first:last]


def test_both_ends_of_a_range_are_inclusive(binance: BinancePerpetualExchange) -> None:
    first, *_, last = told = due("BTC-USDT", NOW_MS - 5 * DAY_MS, NOW_MS)

    whole = shown(binance, "fundingRate", f"symbol=BTCUSDT&startTime={first}&endTime={last}")
    inner = shown(binance, "fundingRate", f"symbol=BTCUSDT&startTime={first + 1}&endTime={last - 1}")
    until = shown(binance, "fundingRate", f"symbol=BTCUSDT&endTime={last - 1}&limit=3")

    assert [row["fundingTime"] for row in whole] == told
    assert [row["fundingTime"] for row in inner] == told[1:-1]
    assert [row["fundingTime"] for row in until] == told[-4:-1]


def test_no_more_than_a_thousand_rates_are_told_at_once(binance: BinancePerpetualExchange) -> None:
    assert len(shown(binance, "fundingRate", "symbol=BTCUSDT&startTime=0&limit=5000")) == 1000


def test_a_range_that_is_empty_has_no_rates(binance: BinancePerpetualExchange) -> None:
    """Backwards, or in the future."""
    assert shown(binance, "fundingRate", "symbol=BTCUSDT&startTime=9&endTime=5") == []
    assert shown(binance, "fundingRate", f"symbol=BTCUSDT&startTime={NOW_MS + DAY_MS}") == []


def test_without_a_symbol_all_are_told(binance: BinancePerpetualExchange) -> None:
    """By time, cut to the limit all the same."""
    rows = shown(binance, "fundingRate", "limit=10")

    assert len(rows) == 10
    assert {row["symbol"] for row in rows[-5:]} == set(SYMBOLS)
    due_ms = [row["fundingTime"] // HOUR_MS for row in rows]
    assert due_ms == sorted(due_ms)


def test_funding_info_tells_how_often_is_paid(binance: BinancePerpetualExchange) -> None:
    rows = shown(binance, "fundingInfo")

    assert sorted(row["symbol"] for row in rows) == SYMBOLS
    assert {row["fundingIntervalHours"] for row in rows} == {8}


# What is open, what it is reckoned with, what there is...


def test_open_interest_is_told_in_base_currency(binance: BinancePerpetualExchange) -> None:
    found = shown(binance, "openInterest", "symbol=ETHUSDT")

    assert set(found) == {"symbol", "openInterest", "time"}
    assert (found["symbol"], found["time"]) == ("ETHUSDT", NOW_MS)
    assert Decimal(found["openInterest"]) == perpetuals.open_interest("binance", "ETH-USDT", NOW_MS)


def test_the_premium_index_tells_prices_and_the_payment_that_comes(binance: BinancePerpetualExchange) -> None:
    one = shown(binance, "premiumIndex", "symbol=BTCUSDT")
    every = shown(binance, "premiumIndex")

    assert set(one) == {
        "symbol", "markPrice", "indexPrice", "estimatedSettlePrice", "lastFundingRate", "interestRate",
        "nextFundingTime", "time",
    }  # fmt: skip
    minute = market.minute("binance", "BTC-USDT", RUNNING_MS)
    assert minute.low * Decimal("0.999") < Decimal(one["markPrice"]) < minute.high * Decimal("1.001")
    assert abs(Decimal(one["indexPrice"]) / Decimal(one["markPrice"]) - 1) < Decimal("0.005")
    assert NOW_MS < one["nextFundingTime"] <= NOW_MS + 8 * HOUR_MS
    assert one["nextFundingTime"] % (8 * HOUR_MS) == 0
    assert one in every
    assert [row["symbol"] for row in every] == SYMBOLS


def test_perpetual_contracts_are_listed_with_their_rules(binance: BinancePerpetualExchange) -> None:
    info = shown(binance, "exchangeInfo")

    assert [entry["symbol"] for entry in info["symbols"]] == SYMBOLS
    assert {entry["contractType"] for entry in info["symbols"]} == {"PERPETUAL"}
    assert {limit["limit"] for limit in info["rateLimits"] if limit["rateLimitType"] == "REQUEST_WEIGHT"} == {2400}


def test_the_clock_is_told(binance: BinancePerpetualExchange) -> None:
    assert shown(binance, "ping") == {}
    assert shown(binance, "time") == {"serverTime": NOW_MS}


# Refusals and limits...


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("openInterest", "", -1102),
        ("openInterest", "symbol=NONEUSDT", -1121),
        ("openInterest", "symbol=btcusdt", -1100),
        ("openInterest", "symbol=BTCUSDT&limit=1", -1104),
        ("openInterest", "symbol=", -1105),
        ("premiumIndex", "symbol=NONEUSDT", -1121),
        ("fundingRate", "symbol=NONEUSDT", -1121),
        ("fundingRate", "symbol=BTCUSDT&limit=0", -1130),
        ("fundingRate", "symbol=BTCUSDT&limit=all", -1100),
        ("fundingRate", "symbol=BTCUSDT&startTime=-1", -1100),
        ("fundingRate", "symbol=BTCUSDT&endTime=now", -1100),
    ],
)
def test_a_bad_parameter_has_its_code(binance: BinancePerpetualExchange, path: str, query: str, code: int) -> None:
    assert refusal(ask(binance, path, query)) == (400, code)


@pytest.mark.parametrize("path", ["/fapi/v1/order", "/api/v3/time", "/fapi/v2/balance"])
def test_nothing_else_is_there(binance: BinancePerpetualExchange, path: str) -> None:
    assert binance.handle(asked(path)).status == 404


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        ("ping", "", 1),
        ("exchangeInfo", "", 1),
        ("premiumIndex", "symbol=BTCUSDT", 1),
        ("premiumIndex", "", 10),
        ("openInterest", "symbol=BTCUSDT", 1),
        ("fundingRate", "symbol=BTCUSDT", 0),
        ("fundingInfo", "", 0),
    ],
)
def test_each_route_has_its_weight(binance: BinancePerpetualExchange, path: str, query: str, weight: int) -> None:
    assert ask(binance, path, query).headers["x-mbx-used-weight-1m"] == str(weight)


def test_the_weight_of_a_minute_is_2400(binance: BinancePerpetualExchange) -> None:
    for _ in range(2400):
        assert ask(binance, "ping").status == 200

    refused = ask(binance, "ping")

    assert refusal(refused) == (429, -1003)
    assert "current limit is 2400 request weight" in content(refused)["msg"]
    assert ask(binance, "ping", now_ms=NOW_MS + MINUTE_MS).status == 200


def test_going_on_is_a_ban(binance: BinancePerpetualExchange) -> None:
    statuses = [ask(binance, "ping").status for _ in range(2641)]

    assert statuses.count(429) == 240
    assert statuses[-1] == 418


def test_funding_may_be_asked_for_500_times_in_five_minutes_both_ways_together(
    binance: BinancePerpetualExchange,
) -> None:
    for turn in range(250):
        assert ask(binance, "fundingRate", "symbol=BTCUSDT&limit=1", now_ms=NOW_MS + turn).status == 200
        assert ask(binance, "fundingInfo", now_ms=NOW_MS + turn).status == 200

    refused = ask(binance, "fundingRate", "symbol=BTCUSDT&limit=1", now_ms=NOW_MS + 1000)

    assert refusal(refused) == (429, -1003)
    assert refused.headers["retry-after"] == "300"
    assert ask(binance, "openInterest", "symbol=BTCUSDT", now_ms=NOW_MS + 1000).status == 200
    assert ask(binance, "fundingInfo", now_ms=NOW_MS + 1000, address="10.0.0.1").status == 200
    assert ask(binance, "fundingInfo", now_ms=NOW_MS + 300_000).status == 200


def test_limits_can_be_switched_off() -> None:
    exchange = BinancePerpetualExchange(limits=False)

    assert {ask(exchange, "fundingInfo").status for _ in range(501)} == {200}


@pytest.mark.parametrize(
    ("fault", "status", "code"), [("rate_limited", 429, -1003), ("banned", 418, -1003), ("region_blocked", 451, 0)]
)
def test_each_fault_has_binances_form(binance: BinancePerpetualExchange, fault: str, status: int, code: int) -> None:
    assert refusal(binance.rate_answer(asked("/fapi/v1/time"), fault)) == (status, code)
