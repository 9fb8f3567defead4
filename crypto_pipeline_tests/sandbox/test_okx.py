"""The simulated OKX, asked directly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing
from crypto_pipeline.sandbox.okx import OkxExchange
from crypto_pipeline_tests.sandbox.asking import MINUTE_MS, NOW_MS, asked, content, signed_okx, with_headers

CONFIG = "/api/v5/account/config"
RUNNING_MS = NOW_MS - NOW_MS % MINUTE_MS


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing()


@pytest.fixture
def okx(keys: KeyRing) -> OkxExchange:
    return OkxExchange(keys)


def candle_times(exchange: OkxExchange, query: str, path: str = "history-candles") -> list[int]:
    answer = exchange.handle(asked(f"/api/v5/market/{path}", f"instId=BTC-USDT&bar=1m&{query}"))
    assert answer.status == 200, answer.body
    return [int(row[0]) for row in content(answer)["data"]]


def test_a_signature_from_elsewhere_is_accepted(keys: KeyRing, okx: OkxExchange) -> None:
    """The header values were computed by ccxt 4.5.90 for a published OKX key."""
    sent_ms = 1_607_418_537_715
    keys.issue(
        "okx",
        KeyKind.READ_ONLY,
        now_ms=sent_ms,
        api_key="985d5b66-57ce-40fb-b714-afc0b9787083",
        api_secret="chNOOS4KvNXR_Xq4k4c9qsfoKWvnDecLATCRlcBwyKDYnWgO",
        passphrase="1234567890",
    )
    headers = {
        "ok-access-key": "985d5b66-57ce-40fb-b714-afc0b9787083",
        "ok-access-sign": "bXVuSI21x0GLUgzcrGEfJSzLrRcKeiTMJWGFz92qtpo=",
        "ok-access-timestamp": "2020-12-08T09:08:57.715Z",
        "ok-access-passphrase": "1234567890",
    }

    answer = okx.handle(with_headers(asked(CONFIG, now_ms=sent_ms), headers))

    assert content(answer)["code"] == "0"
    assert content(answer)["data"][0]["perm"] == "read_only"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"ok-access-key": ""}, 401, "50103"),
        ({"ok-access-passphrase": ""}, 401, "50104"),
        ({"ok-access-sign": ""}, 401, "50106"),
        ({"ok-access-timestamp": ""}, 401, "50107"),
        ({"ok-access-key": "no-such-form"}, 401, "50111"),
        ({"ok-access-key": "00000000-0000-0000-0000-000000000000"}, 200, "50119"),
        ({"ok-access-timestamp": "yesterday"}, 401, "50112"),
        ({"ok-access-timestamp": "2026-02-31T12:00:30.500Z"}, 401, "50112"),
        ({"ok-access-passphrase": "wrong"}, 401, "50105"),
        ({"ok-access-sign": "d3Jvbmc="}, 401, "50113"),
        ({"x-simulated-trading": "1"}, 401, "50101"),
    ],
)
def test_each_fault_of_a_signed_request_has_its_code(
    keys: KeyRing, okx: OkxExchange, headers: Mapping[str, str], status: int, code: str
) -> None:
    key = keys.issue("okx", KeyKind.READ_ONLY, now_ms=NOW_MS)

    answer = okx.handle(with_headers(signed_okx(key), headers))

    assert (answer.status, content(answer)["code"]) == (status, code)
    assert content(answer)["data"] == []


@pytest.mark.parametrize(("skew_ms", "code"), [(30_000, "0"), (-30_000, "0"), (30_001, "50102"), (-30_001, "50102")])
def test_a_clock_may_be_thirty_seconds_off_and_no_more(
    keys: KeyRing, okx: OkxExchange, skew_ms: int, code: str
) -> None:
    key = keys.issue("okx", KeyKind.READ_ONLY, now_ms=NOW_MS)

    answer = okx.handle(signed_okx(key, now_ms=NOW_MS + skew_ms))

    assert content(answer)["code"] == code


@pytest.mark.parametrize(("kind", "status", "code"), [(KeyKind.REVOKED, 200, "50119"), (KeyKind.EXPIRED, 401, "50111")])
def test_a_key_that_is_no_more_is_refused(
    keys: KeyRing, okx: OkxExchange, kind: KeyKind, status: int, code: str
) -> None:
    key = keys.issue("okx", kind, now_ms=NOW_MS)

    answer = okx.handle(signed_okx(key))

    assert (answer.status, content(answer)["code"]) == (status, code)


def test_a_key_bound_to_other_addresses_is_refused(keys: KeyRing, okx: OkxExchange) -> None:
    key = keys.issue("okx", KeyKind.READ_ONLY, now_ms=NOW_MS, addresses=("10.1.0.0/16",))

    answer = okx.handle(signed_okx(key))

    assert (answer.status, content(answer)["code"]) == (401, "50110")


@pytest.mark.parametrize(
    ("kind", "permissions"),
    [
        (KeyKind.READ_ONLY, {"read_only"}),
        (KeyKind.OLD, {"read_only"}),
        (KeyKind.MAY_TRADE, {"read_only", "trade"}),
        (KeyKind.MAY_WITHDRAW, {"read_only", "trade", "withdraw"}),
        (KeyKind.MAY_TRANSFER, {"read_only", "trade"}),
        (KeyKind.UNKNOWN_FLAG, {"read_only", "stake"}),
    ],
)
def test_each_kind_of_key_shows_its_permissions(
    keys: KeyRing, okx: OkxExchange, kind: KeyKind, permissions: set[str]
) -> None:
    key = keys.issue("okx", kind, now_ms=NOW_MS)

    config = content(okx.handle(signed_okx(key)))["data"][0]

    assert set(config["perm"].split(",")) == permissions
    assert config["ip"] == "127.0.0.1"


def test_a_missing_flag_is_missing(keys: KeyRing, okx: OkxExchange) -> None:
    key = keys.issue("okx", KeyKind.FLAG_MISSING, now_ms=NOW_MS)

    assert "perm" not in content(okx.handle(signed_okx(key)))["data"][0]


def test_an_unbound_key_has_an_empty_address_list(keys: KeyRing, okx: OkxExchange) -> None:
    key = keys.issue("okx", KeyKind.UNBOUND_IP, now_ms=NOW_MS)

    config = content(okx.handle(signed_okx(key)))["data"][0]

    assert (config["perm"], config["ip"]) == ("read_only", "")


def test_candles_come_newest_first_and_only_the_running_one_is_unconfirmed(okx: OkxExchange) -> None:
    rows = content(okx.handle(asked("/api/v5/market/candles", "instId=BTC-USDT")))["data"]

    assert [int(row[0]) for row in rows] == [RUNNING_MS - back * MINUTE_MS for back in range(100)]
    assert [row[8] for row in rows] == ["0"] + ["1"] * 99


def test_a_row_holds_the_markets_own_numbers(okx: OkxExchange) -> None:
    """Nine strings: the volume counts the base, the other two volumes the quote currency."""
    open_ms = RUNNING_MS - 5 * MINUTE_MS
    minute = market.minute("okx", "BTC-USDT", open_ms)

    query = f"instId=BTC-USDT&before={open_ms - 1}&after={open_ms + 1}"
    (row,) = content(okx.handle(asked("/api/v5/market/candles", query)))["data"]

    assert all(isinstance(value, str) for value in row)
    assert [Decimal(value) for value in row[1:6]] == [
        minute.open,
        minute.high,
        minute.low,
        minute.close,
        minute.volume,
    ]
    assert Decimal(row[6]) == Decimal(row[7]) == minute.quote_volume


def test_both_cursors_are_exclusive(okx: OkxExchange) -> None:
    first, last = RUNNING_MS - 10 * MINUTE_MS, RUNNING_MS - 5 * MINUTE_MS

    times = candle_times(okx, f"before={first}&after={last}")

    assert times == [last - back * MINUTE_MS for back in range(1, 5)]


def test_before_alone_gives_the_newest_rows_not_the_next_ones(okx: OkxExchange) -> None:
    times = candle_times(okx, f"before={RUNNING_MS - 5000 * MINUTE_MS}&limit=3")

    assert times == [RUNNING_MS, RUNNING_MS - MINUTE_MS, RUNNING_MS - 2 * MINUTE_MS]


def test_no_minute_is_missing_even_where_nobody_traded(okx: OkxExchange) -> None:
    """A year has minutes without trades; here they are flat candles."""
    flat = next(
        open_ms
        for open_ms in range(RUNNING_MS - MINUTE_MS, RUNNING_MS - 600_000 * MINUTE_MS, -MINUTE_MS)
        if market.minute("okx", "BTC-USDT", open_ms).trades == 0
    )

    query = f"instId=BTC-USDT&after={flat + 1}&limit=1"
    (row,) = content(okx.handle(asked("/api/v5/market/history-candles", query)))["data"]

    assert int(row[0]) == flat
    assert row[1] == row[2] == row[3] == row[4]
    assert row[5:] == ["0", "0", "0", "1"]


def test_the_recent_candles_end_after_1440_bars_and_history_goes_on(okx: OkxExchange) -> None:
    oldest = RUNNING_MS - 1439 * MINUTE_MS

    assert candle_times(okx, f"after={oldest + 1}", "candles") == [oldest]
    assert candle_times(okx, f"after={oldest}", "candles") == []
    assert candle_times(okx, f"after={oldest}&limit=1") == [oldest - MINUTE_MS]


def test_more_than_300_rows_are_cut_to_300(okx: OkxExchange) -> None:
    assert len(candle_times(okx, "limit=1000")) == 300


def test_nothing_is_known_before_the_listing(okx: OkxExchange) -> None:
    listed = next(entry.listed_ms for entry in market.instruments("okx") if entry.symbol == "BTC-USDT")

    times = candle_times(okx, f"after={listed + 3 * MINUTE_MS}")

    assert listed - MINUTE_MS < min(times) <= listed
    assert candle_times(okx, f"after={listed - MINUTE_MS}") == []


@pytest.mark.parametrize(("bar", "hour"), [("1D", 16), ("1Dutc", 0), ("12H", 4), ("12Hutc", 12)])
def test_long_bars_open_at_utc_plus_8_unless_they_say_utc(okx: OkxExchange, bar: str, hour: int) -> None:
    (row,) = content(okx.handle(asked("/api/v5/market/candles", f"instId=BTC-USDT&bar={bar}&limit=1")))["data"]

    assert int(row[0]) // 3_600_000 % 24 == hour


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("market/candles", "", 400, "50014"),
        ("market/candles", "instId=NONE-USDT", 200, "51001"),
        ("market/candles", "instId=btc-usdt", 200, "51001"),
        ("market/candles", "instId=BTC-USDT&bar=7m", 400, "51000"),
        ("market/candles", "instId=BTC-USDT&limit=many", 400, "51000"),
        ("market/candles", "instId=BTC-USDT&limit=0", 400, "51000"),
        ("market/books", "instId=BTC-USDT&sz=0", 400, "51000"),
        ("market/candles", "instId=BTC-USDT&after=-5", 400, "51000"),
        ("public/instruments", "", 400, "50014"),
        ("public/instruments", "instType=STOCK", 400, "51000"),
        ("public/instruments", "instType=SPOT&instId=NONE-USDT", 200, "51001"),
        ("market/tickers", "instType=STOCK", 400, "51000"),
        ("public/nothing", "", 404, "404"),
    ],
)
def test_each_bad_request_has_its_code(okx: OkxExchange, path: str, query: str, status: int, code: str) -> None:
    answer = okx.handle(asked(f"/api/v5/{path}", query))

    assert (answer.status, content(answer)["code"]) == (status, code)


def test_instruments_are_those_of_the_market(okx: OkxExchange) -> None:
    answer = content(okx.handle(asked("/api/v5/public/instruments", "instType=SPOT")))

    shown = {entry["instId"]: (Decimal(entry["tickSz"]), Decimal(entry["lotSz"])) for entry in answer["data"]}
    assert shown == {entry.symbol: (entry.tick, entry.lot) for entry in market.instruments("okx")}
    assert content(okx.handle(asked("/api/v5/public/instruments", "instType=OPTION")))["data"] == []
    assert content(okx.handle(asked("/api/v5/market/tickers", "instType=SWAP")))["data"] == []


def test_ticker_book_and_trades_agree(okx: OkxExchange) -> None:
    """The best bid is below the last price, the best ask above it, and the trades are newest first."""
    ticker = content(okx.handle(asked("/api/v5/market/ticker", "instId=BTC-USDT")))["data"][0]
    books = content(okx.handle(asked("/api/v5/market/books", "instId=BTC-USDT&sz=5")))["data"][0]
    trades = content(okx.handle(asked("/api/v5/market/trades", "instId=BTC-USDT&limit=50")))["data"]
    all_tickers = content(okx.handle(asked("/api/v5/market/tickers", "instType=SPOT")))["data"]

    assert Decimal(ticker["bidPx"]) < Decimal(ticker["last"]) < Decimal(ticker["askPx"])
    assert Decimal(ticker["low24h"]) <= Decimal(ticker["last"]) <= Decimal(ticker["high24h"])
    assert (len(books["bids"]), len(books["asks"])) == (5, 5)
    assert books["bids"][0][0] == ticker["bidPx"]
    times = [int(trade["ts"]) for trade in trades]
    assert len(times) == 50
    assert times == sorted(times, reverse=True)
    assert ticker in all_tickers


def test_the_clock_and_an_empty_list_of_maintenance_windows_are_told(okx: OkxExchange) -> None:
    assert content(okx.handle(asked("/api/v5/public/time")))["data"] == [{"ts": str(NOW_MS)}]
    assert content(okx.handle(asked("/api/v5/system/status")))["data"] == []


def test_the_21st_request_in_two_seconds_is_refused_and_the_window_rolls(okx: OkxExchange) -> None:
    path, query = "/api/v5/market/history-candles", "instId=BTC-USDT&limit=1"

    statuses = [okx.handle(asked(path, query, now_ms=NOW_MS + step)).status for step in range(21)]

    assert statuses == [200] * 20 + [429]
    assert content(okx.handle(asked(path, query)))["code"] == "50011"
    assert okx.handle(asked(path, query, address="127.0.0.2")).status == 200
    assert okx.handle(asked(path, query, now_ms=NOW_MS + 2000)).status == 200
    assert okx.handle(asked("/api/v5/market/candles", query)).status == 200


def test_instruments_are_counted_for_each_type(okx: OkxExchange) -> None:
    path = "/api/v5/public/instruments"
    for _ in range(20):
        okx.handle(asked(path, "instType=SWAP"))

    assert okx.handle(asked(path, "instType=SWAP")).status == 429
    assert okx.handle(asked(path, "instType=SPOT")).status == 200


def test_a_key_that_asks_too_often_is_refused_with_http_200(keys: KeyRing, okx: OkxExchange) -> None:
    key = keys.issue("okx", KeyKind.READ_ONLY, now_ms=NOW_MS)

    answers = [okx.handle(signed_okx(key)) for _ in range(6)]

    assert [content(answer)["code"] for answer in answers] == ["0"] * 5 + ["50011"]
    assert answers[-1].status == 200


def test_the_currencies_are_for_keys_and_counted_apart(keys: KeyRing, okx: OkxExchange) -> None:
    """General clients read them before anything else."""
    key = keys.issue("okx", KeyKind.READ_ONLY, now_ms=NOW_MS)
    path = "/api/v5/asset/currencies"

    answers = [content(okx.handle(signed_okx(key, path))) for _ in range(7)]

    assert [answer["code"] for answer in answers] == ["0"] * 6 + ["50011"]
    assert {row["ccy"] for row in answers[0]["data"]} >= {"BTC", "USDT"}
    assert content(okx.handle(asked(path)))["code"] == "50103"
    assert content(okx.handle(signed_okx(key)))["code"] == "0"


def test_limits_can_be_switched_off(keys: KeyRing) -> None:
    exchange = OkxExchange(keys, limits=False)

    statuses = {exchange.handle(asked("/api/v5/public/time")).status for _ in range(100)}

    assert statuses == {200}


def test_only_get_is_answered(okx: OkxExchange) -> None:
    answer = okx.handle(replace(asked("/api/v5/trade/order"), method="POST"))

    assert (answer.status, content(answer)["code"]) == (405, "50115")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("rate_limited", 429, "50011"),
        ("banned", 200, "50121"),
        ("region_blocked", 200, "50051"),
        ("maintenance", 200, "50046"),
        ("unavailable", 503, "50001"),
    ],
)
def test_each_fault_has_okxs_form(okx: OkxExchange, fault: str, status: int, code: str) -> None:
    answer = okx.rate_answer(asked("/api/v5/public/time"), fault)

    assert (answer.status, content(answer)["code"]) == (status, code)
