"""The simulated Bybit, asked directly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.bybit import BybitExchange
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing
from crypto_pipeline_tests.sandbox.asking import MINUTE_MS, NOW_MS, asked, content, signed_bybit, with_headers

RUNNING_MS = NOW_MS - NOW_MS % MINUTE_MS
DAY_MS = 86_400_000


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing()


@pytest.fixture
def bybit(keys: KeyRing) -> BybitExchange:
    return BybitExchange(keys)


def result(exchange: BybitExchange, path: str, query: str) -> Any:
    answer = content(exchange.handle(asked(f"/v5/market/{path}", query)))
    assert answer["retCode"] == 0, answer
    return answer["result"]


def candle_times(exchange: BybitExchange, query: str, interval: str = "1") -> list[int]:
    found = result(exchange, "kline", f"category=spot&symbol=BTCUSDT&interval={interval}&{query}")
    return [int(row[0]) for row in found["list"]]


def test_a_signature_from_elsewhere_is_accepted(keys: KeyRing, bybit: BybitExchange) -> None:
    """The header values were computed by ccxt 4.5.90 for a published Bybit test key."""
    sent_ms = 1_700_000_000_000
    keys.issue("bybit", KeyKind.READ_ONLY, now_ms=sent_ms, api_key="test_api_key", api_secret="test_secret")
    headers = {
        "x-bapi-api-key": "test_api_key",
        "x-bapi-timestamp": "1700000000000",
        "x-bapi-recv-window": "5000",
        "x-bapi-sign": "cfffd774219bfa1d400476f699f830daaedcd3c41faa1dbdda95a8f4dd8170cc",
    }

    answer = content(bybit.handle(with_headers(asked("/v5/user/query-api", now_ms=sent_ms), headers)))

    assert (answer["retCode"], answer["result"]["readOnly"]) == (0, 1)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x-bapi-api-key": ""}, 401, 10003),
        ({"x-bapi-sign": ""}, 401, 10003),
        ({"x-bapi-timestamp": ""}, 401, 10003),
        ({"x-bapi-api-key": "unknown"}, 200, 10003),
        ({"x-bapi-timestamp": "soon"}, 200, 10001),
        ({"x-bapi-recv-window": "wide"}, 200, 10001),
        ({"x-bapi-sign": "0" * 64}, 200, 10004),
        ({"x-bapi-recv-window": "6000"}, 200, 10004),
    ],
)
def test_each_fault_of_a_signed_request_has_its_code(
    keys: KeyRing, bybit: BybitExchange, headers: Mapping[str, str], status: int, code: int
) -> None:
    key = keys.issue("bybit", KeyKind.READ_ONLY, now_ms=NOW_MS)

    answer = bybit.handle(with_headers(signed_bybit(key), headers))

    assert (answer.status, content(answer)["retCode"]) == (status, code)


def test_a_bad_signature_is_answered_with_the_key_in_the_text(keys: KeyRing, bybit: BybitExchange) -> None:
    """The real host does so: a client that logs the text leaks the key."""
    key = keys.issue("bybit", KeyKind.READ_ONLY, now_ms=NOW_MS)

    answer = content(bybit.handle(with_headers(signed_bybit(key), {"x-bapi-sign": "0" * 64})))

    assert answer["retMsg"] == f"error sign! origin_string[{NOW_MS}{key.api_key}5000]"


@pytest.mark.parametrize(("skew_ms", "code"), [(-5000, 0), (-5001, 10002), (999, 0), (1000, 10002)])
def test_a_request_may_be_late_by_its_window_and_early_by_a_second(
    keys: KeyRing, bybit: BybitExchange, skew_ms: int, code: int
) -> None:
    key = keys.issue("bybit", KeyKind.READ_ONLY, now_ms=NOW_MS)

    answer = content(bybit.handle(signed_bybit(key, sent_ms=NOW_MS + skew_ms)))

    assert answer["retCode"] == code
    if code:
        wanted = f"req_timestamp[{NOW_MS + skew_ms}],server_timestamp[{NOW_MS}],recv_window[5000]"
        assert answer["retMsg"].endswith(wanted)


def test_a_key_without_a_window_has_five_seconds(keys: KeyRing, bybit: BybitExchange) -> None:
    key = keys.issue("bybit", KeyKind.READ_ONLY, now_ms=NOW_MS)

    answer = content(bybit.handle(signed_bybit(key, sent_ms=NOW_MS - 5000, window="")))

    assert answer["retCode"] == 0


@pytest.mark.parametrize(("kind", "code"), [(KeyKind.REVOKED, 10003), (KeyKind.EXPIRED, 33004)])
def test_a_key_that_is_no_more_is_refused(keys: KeyRing, bybit: BybitExchange, kind: KeyKind, code: int) -> None:
    key = keys.issue("bybit", kind, now_ms=NOW_MS)

    assert content(bybit.handle(signed_bybit(key)))["retCode"] == code


def test_a_key_bound_to_other_addresses_is_refused(keys: KeyRing, bybit: BybitExchange) -> None:
    key = keys.issue("bybit", KeyKind.READ_ONLY, now_ms=NOW_MS, addresses=("10.0.0.1",))

    assert content(bybit.handle(signed_bybit(key)))["retCode"] == 10010


@pytest.mark.parametrize(
    ("kind", "read_only", "wallet"),
    [
        (KeyKind.READ_ONLY, 1, []),
        (KeyKind.MAY_TRADE, 0, []),
        (KeyKind.MAY_WITHDRAW, 0, ["AccountTransfer", "Withdraw"]),
        (KeyKind.MAY_TRANSFER, 0, ["AccountTransfer", "SubMemberTransfer"]),
        (KeyKind.UNKNOWN_FLAG, 1, []),
    ],
)
def test_each_kind_of_key_shows_its_permissions(
    keys: KeyRing, bybit: BybitExchange, kind: KeyKind, read_only: int, wallet: list[str]
) -> None:
    key = keys.issue("bybit", kind, now_ms=NOW_MS)

    information = content(bybit.handle(signed_bybit(key)))["result"]

    assert information["readOnly"] == read_only
    assert information["permissions"]["Wallet"] == wallet
    assert ("Custody" in information["permissions"]) == (kind is KeyKind.UNKNOWN_FLAG)


def test_a_missing_flag_is_missing(keys: KeyRing, bybit: BybitExchange) -> None:
    key = keys.issue("bybit", KeyKind.FLAG_MISSING, now_ms=NOW_MS)

    assert "readOnly" not in content(bybit.handle(signed_bybit(key)))["result"]


def test_a_bound_key_never_ends_and_says_1970(keys: KeyRing, bybit: BybitExchange) -> None:
    """The trap in this field: 1970 does not mean that the key has expired."""
    key = keys.issue("bybit", KeyKind.OLD, now_ms=NOW_MS)

    information = content(bybit.handle(signed_bybit(key)))["result"]

    assert information["ips"] == ["127.0.0.1"]
    assert (information["deadlineDay"], information["expiredAt"]) == (-2, "1970-01-01T00:00:00Z")
    assert information["createdAt"] == "2025-11-22T12:00:30Z"


def test_an_unbound_key_ends_after_ninety_days(keys: KeyRing, bybit: BybitExchange) -> None:
    key = keys.issue("bybit", KeyKind.UNBOUND_IP, now_ms=NOW_MS, created_ms=NOW_MS - 30 * DAY_MS)

    information = content(bybit.handle(signed_bybit(key)))["result"]

    assert (information["ips"], information["deadlineDay"]) == (["*"], 60)


def test_candles_come_newest_first_with_the_running_one(bybit: BybitExchange) -> None:
    assert candle_times(bybit, "") == [RUNNING_MS - back * MINUTE_MS for back in range(200)]


def test_a_row_holds_the_markets_own_numbers(bybit: BybitExchange) -> None:
    """Seven strings; the last is the turnover in the quote currency."""
    open_ms = RUNNING_MS - 5 * MINUTE_MS
    query = f"category=spot&symbol=BTCUSDT&interval=1&start={open_ms}&end={open_ms}"

    (row,) = result(bybit, "kline", query)["list"]

    minute = market.minute("bybit", "BTC-USDT", open_ms)
    assert row[0] == str(open_ms)
    assert [Decimal(value) for value in row[1:]] == [
        minute.open,
        minute.high,
        minute.low,
        minute.close,
        minute.volume,
        minute.quote_volume,
    ]


def test_both_ends_are_inclusive_and_the_candle_around_start_is_given_too(bybit: BybitExchange) -> None:
    end = RUNNING_MS - 2 * MINUTE_MS

    times = candle_times(bybit, f"start={end - 3 * MINUTE_MS + 1}&end={end}")

    assert times == [end - back * MINUTE_MS for back in range(4)]


def test_of_too_long_a_range_the_newest_rows_are_given(bybit: BybitExchange) -> None:
    end = RUNNING_MS - 2 * MINUTE_MS

    times = candle_times(bybit, f"start={end - 5000 * MINUTE_MS}&end={end}&limit=3")

    assert times == [end, end - MINUTE_MS, end - 2 * MINUTE_MS]


def test_a_start_alone_gives_the_rows_from_there_on(bybit: BybitExchange) -> None:
    start = RUNNING_MS - 5000 * MINUTE_MS

    assert candle_times(bybit, f"start={start}&limit=2") == [start + MINUTE_MS, start]
    assert candle_times(bybit, f"start={RUNNING_MS + 2 * MINUTE_MS}") == []


def test_more_than_a_thousand_rows_are_cut_to_a_thousand(bybit: BybitExchange) -> None:
    assert len(candle_times(bybit, "limit=2000")) == 1000


@pytest.mark.parametrize(("interval", "opened"), [("D", "2026-03-02"), ("W", "2026-03-02"), ("M", "2026-03-01")])
def test_long_bars_open_at_midnight_utc(bybit: BybitExchange, interval: str, opened: str) -> None:
    """2026-03-02 was a Monday."""
    (time_ms,) = candle_times(bybit, "limit=1", interval)

    assert datetime.fromtimestamp(time_ms / 1000, UTC).isoformat() == f"{opened}T00:00:00+00:00"


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("kline", "category=spot&interval=1"),
        ("kline", "category=spot&symbol=btcusdt&interval=1"),
        ("kline", "category=inverse&symbol=BTCUSDT&interval=1"),
        ("kline", "category=future&symbol=BTCUSDT&interval=1"),
        ("kline", "category=spot&symbol=BTCUSDT&interval=7"),
        ("kline", "category=spot&symbol=BTCUSDT&interval=1&limit=0"),
        ("kline", "category=spot&symbol=BTCUSDT&interval=1&start=now"),
        ("kline", "category=spot&symbol=BTCUSDT&interval=1&start=100&end=99"),
        ("tickers", "category=spot&symbol=NONE"),
    ],
)
def test_a_bad_parameter_is_refused_with_http_200(bybit: BybitExchange, path: str, query: str) -> None:
    answer = bybit.handle(asked(f"/v5/market/{path}", query))

    assert (answer.status, content(answer)["retCode"]) == (200, 10001)


def test_an_unknown_route_and_another_method_are_not_found(bybit: BybitExchange) -> None:
    assert bybit.handle(asked("/v5/market/nothing")).status == 404
    assert bybit.handle(replace(asked("/v5/order/create"), method="POST")).status == 404


def test_a_get_with_a_body_is_forbidden(bybit: BybitExchange) -> None:
    assert bybit.handle(replace(asked("/v5/market/time"), body=b"{}")).status == 403


def test_instruments_are_those_of_the_market(bybit: BybitExchange) -> None:
    spot = result(bybit, "instruments-info", "category=spot")

    shown = {entry["baseCoin"] + "-" + entry["quoteCoin"] for entry in spot["list"]}
    assert shown == {entry.symbol for entry in market.instruments("bybit")}
    assert spot["nextPageCursor"] == ""
    assert len(result(bybit, "instruments-info", "category=spot&symbol=BTCUSDT")["list"]) == 1
    assert result(bybit, "instruments-info", "category=linear&status=PreLaunch")["list"] == []
    assert result(bybit, "instruments-info", "category=option")["list"] == []


def test_linear_instruments_page_by_cursor(bybit: BybitExchange) -> None:
    found: list[str] = []
    cursor = "0"
    while cursor:
        page = result(bybit, "instruments-info", f"category=linear&limit=2&cursor={cursor}")
        found += [entry["symbol"] for entry in page["list"]]
        cursor = page["nextPageCursor"]

    assert found == [entry.base + entry.quote for entry in market.instruments("bybit")]


def test_ticker_book_and_trades_agree(bybit: BybitExchange) -> None:
    """The best bid is below the last price, the best ask above it, and the trades are newest first."""
    (ticker,) = result(bybit, "tickers", "category=spot&symbol=BTCUSDT")["list"]
    book = result(bybit, "orderbook", "category=spot&symbol=BTCUSDT")
    deep = result(bybit, "orderbook", "category=linear&symbol=BTCUSDT")
    trades = result(bybit, "recent-trade", "category=spot&symbol=BTCUSDT&limit=1000")["list"]

    assert Decimal(ticker["bid1Price"]) < Decimal(ticker["lastPrice"]) < Decimal(ticker["ask1Price"])
    assert book["b"] == [[ticker["bid1Price"], ticker["bid1Size"]]]
    assert len(deep["a"]) == 25
    times = [int(trade["time"]) for trade in trades]
    assert len(times) == 60
    assert times == sorted(times, reverse=True)
    assert ticker in result(bybit, "tickers", "category=spot")["list"]


def test_a_perpetual_tells_its_funding_and_open_interest(bybit: BybitExchange) -> None:
    """A spot ticker has none of it."""
    (spot,) = result(bybit, "tickers", "category=spot&symbol=BTCUSDT")["list"]
    (linear,) = result(bybit, "tickers", "category=linear&symbol=BTCUSDT")["list"]

    more = {"fundingRate", "nextFundingTime", "openInterest", "openInterestValue", "singleOpenInterest"}
    assert more <= set(linear)
    assert not more & set(spot)
    assert linear["lastPrice"] == spot["lastPrice"]
    assert NOW_MS < int(linear["nextFundingTime"]) <= NOW_MS + 480 * MINUTE_MS
    assert int(linear["nextFundingTime"]) % (480 * MINUTE_MS) == 0


def test_what_general_clients_ask_besides_is_answered(keys: KeyRing, bybit: BybitExchange) -> None:
    """Planned maintenance without a key; the coins with one, before anything else."""
    key = keys.issue("bybit", KeyKind.READ_ONLY, now_ms=NOW_MS)

    status = content(bybit.handle(asked("/v5/system/status")))
    coins = content(bybit.handle(replace(signed_bybit(key), path="/v5/asset/coin/query-info")))
    unsigned = content(bybit.handle(asked("/v5/asset/coin/query-info")))

    assert (status["retCode"], status["result"]) == (0, {"list": []})
    assert {coin["coin"] for coin in coins["result"]["rows"]} >= {"BTC", "USDT"}
    assert unsigned["retCode"] == 10003


def test_the_clock_is_told(bybit: BybitExchange) -> None:
    answer = content(bybit.handle(asked("/v5/market/time")))

    assert answer["time"] == NOW_MS
    assert answer["result"] == {"timeSecond": str(NOW_MS // 1000), "timeNano": f"{NOW_MS}000000"}


def test_the_601st_request_in_five_seconds_shuts_the_address_out_for_ten_minutes(bybit: BybitExchange) -> None:
    for step in range(600):
        assert bybit.handle(asked("/v5/market/time", now_ms=NOW_MS + step)).status == 200

    refused = bybit.handle(asked("/v5/market/time", now_ms=NOW_MS + 600))

    assert refused.status == 403
    assert b"access too frequent" in refused.body
    assert bybit.handle(asked("/v5/market/time", now_ms=NOW_MS + 600_599)).status == 403
    assert bybit.handle(asked("/v5/market/time", now_ms=NOW_MS + 600_600)).status == 200
    assert bybit.handle(asked("/v5/market/time", address="127.0.0.2")).status == 200


def test_a_user_that_asks_too_often_is_told_when_to_come_back(keys: KeyRing, bybit: BybitExchange) -> None:
    key = keys.issue("bybit", KeyKind.READ_ONLY, now_ms=NOW_MS)

    answers = [bybit.handle(signed_bybit(key)) for _ in range(11)]

    assert [content(answer)["retCode"] for answer in answers] == [0] * 10 + [10006]
    assert [answer.headers["X-Bapi-Limit-Status"] for answer in answers][:3] == ["9", "8", "7"]
    assert answers[-1].status == 200
    assert answers[-1].headers["X-Bapi-Limit"] == "10"
    assert answers[-1].headers["X-Bapi-Limit-Status"] == "0"
    assert answers[-1].headers["X-Bapi-Limit-Reset-Timestamp"] == str(NOW_MS + 1000)


def test_limits_can_be_switched_off(keys: KeyRing) -> None:
    exchange = BybitExchange(keys, limits=False)
    key = keys.issue("bybit", KeyKind.READ_ONLY, now_ms=NOW_MS)

    statuses = {exchange.handle(asked("/v5/market/time")).status for _ in range(700)}
    codes = {content(exchange.handle(signed_bybit(key)))["retCode"] for _ in range(20)}

    assert (statuses, codes) == ({200}, {0})


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ("rate_limited", 200, b"10006"),
        ("banned", 403, b"access too frequent"),
        ("region_blocked", 403, b"country"),
        ("maintenance", 503, b"10016"),
        ("unavailable", 503, b"10016"),
    ],
)
def test_each_fault_has_bybits_form(bybit: BybitExchange, fault: str, status: int, text: bytes) -> None:
    answer = bybit.rate_answer(asked("/v5/market/time"), fault)

    assert answer.status == status
    assert text in answer.body
