"""The simulated Binance, asked directly: its routes, their weights, and bans."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto_pipeline.sandbox.binance import BinanceExchange
from crypto_pipeline.sandbox.interface import Answer
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing
from crypto_pipeline_tests.sandbox.asking import MINUTE_MS, NOW_MS, asked, content, signed_binance

RUNNING_MS = NOW_MS - NOW_MS % MINUTE_MS


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing()


@pytest.fixture
def binance(keys: KeyRing) -> BinanceExchange:
    return BinanceExchange(keys)


def refusal(answer: Answer) -> tuple[int, int]:
    return answer.status, content(answer)["code"]


def test_what_general_clients_ask_with_a_key_is_answered(keys: KeyRing, binance: BinanceExchange) -> None:
    """They read coins and margin pairs before anything else."""
    key = keys.issue("binance", KeyKind.READ_ONLY, now_ms=NOW_MS)

    coins = content(binance.handle(signed_binance(key, "/sapi/v1/capital/config/getall")))
    pairs = content(binance.handle(signed_binance(key, "/sapi/v1/margin/allPairs")))

    assert {coin["coin"] for coin in coins} >= {"BTC", "USDT"}
    assert pairs == []
    assert binance.handle(asked("/sapi/v1/capital/config/getall")).status == 401
    assert binance.handle(asked("/sapi/v1/margin/allPairs")).status == 401
    assert content(binance.handle(asked("/sapi/v1/system/status"))) == {"status": 0, "msg": "normal"}


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("klines", "interval=1m", -1102),
        ("klines", "symbol=BTCUSDT", -1102),
        ("klines", "symbol=&interval=1m", -1105),
        ("klines", "symbol=BTCUSDT&interval=1m&colour=red", -1104),
        ("klines", "symbol=btcusdt&interval=1m", -1100),
        ("klines", "symbol=BTC-USDT&interval=1m", -1121),
        ("klines", "symbol=NONEUSDT&interval=1m", -1121),
        ("klines", "symbol=BTCUSDT&interval=7m", -1120),
        ("klines", "symbol=BTCUSDT&interval=1m&limit=many", -1100),
        ("klines", "symbol=BTCUSDT&interval=1m&limit=0", -1130),
        ("klines", "symbol=BTCUSDT&interval=1m&startTime=-1", -1100),
        ("klines", "symbol=BTCUSDT&interval=1m&timeZone=15", -1130),
        ("klines", "symbol=BTCUSDT&interval=1m&timeZone=UTC", -1130),
        ("ticker/24hr", "symbol=BTCUSDT&symbols=%5B%22ETHUSDT%22%5D", -1128),
        ("ticker/24hr", "symbols=BTCUSDT", -1100),
        ("ticker/24hr", "symbols=%5B%5D", -1100),
        ("ticker/24hr", "symbols=%5B1%5D", -1121),
        ("ticker/24hr", "symbol=BTCUSDT&type=TINY", -1100),
        ("historicalTrades", "symbol=BTCUSDT&fromId=first", -1100),
        ("depth", "limit=5", -1102),
    ],
)
def test_a_bad_parameter_has_its_code(binance: BinanceExchange, path: str, query: str, code: int) -> None:
    answer = binance.handle(asked(f"/api/v3/{path}", query))

    assert refusal(answer) == (400, code)
    assert set(content(answer)) == {"code", "msg"}


def test_an_unknown_route_is_not_found_and_nothing_can_be_changed(binance: BinanceExchange) -> None:
    assert binance.handle(asked("/api/v1/klines")).status == 404
    assert binance.handle(replace(asked("/api/v3/ping"), method="POST")).status == 405


@pytest.mark.parametrize("host", ["fapi", "dapi", "eapi"])
def test_the_futures_hosts_are_there_and_list_nothing(binance: BinanceExchange, host: str) -> None:
    """General clients ask them before they ask for anything on the spot market."""
    info = content(binance.handle(asked(f"/{host}/v1/exchangeInfo")))

    assert info["symbols"] == []
    assert info["serverTime"] == NOW_MS


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        ("ping", "", 1),
        ("time", "", 1),
        ("klines", "symbol=BTCUSDT&interval=1m&limit=1", 2),
        ("uiKlines", "symbol=BTCUSDT&interval=1m&limit=1", 2),
        ("exchangeInfo", "", 20),
        ("avgPrice", "symbol=BTCUSDT", 2),
        ("depth", "symbol=BTCUSDT&limit=100", 5),
        ("depth", "symbol=BTCUSDT&limit=101", 25),
        ("depth", "symbol=BTCUSDT&limit=1000", 50),
        ("depth", "symbol=BTCUSDT&limit=1001", 250),
        ("trades", "symbol=BTCUSDT&limit=1", 25),
        ("historicalTrades", "symbol=BTCUSDT&limit=1", 25),
        ("aggTrades", "symbol=BTCUSDT&limit=1", 4),
        ("ticker/price", "symbol=BTCUSDT", 2),
        ("ticker/price", "", 4),
        ("ticker/bookTicker", "symbol=BTCUSDT", 2),
        ("ticker/bookTicker", "", 4),
        ("ticker/24hr", "symbol=BTCUSDT", 2),
        ("ticker/24hr", "symbols=%5B%22BTCUSDT%22%5D", 2),
        ("ticker/24hr", "symbols=" + ",".join(["%22BTCUSDT%22"] * 21), 40),
        ("ticker/24hr", "symbols=" + ",".join(["%22BTCUSDT%22"] * 101), 80),
        ("ticker/24hr", "", 80),
        ("klines", "symbol=NONEUSDT&interval=1m", 2),
        ("nothing", "", 1),
    ],
)
def test_each_route_has_its_weight_and_every_answer_tells_it(
    binance: BinanceExchange, path: str, query: str, weight: int
) -> None:
    """A refusal costs as much, and tells as much."""
    answer = binance.handle(asked(f"/api/v3/{path}", query))

    assert answer.headers["x-mbx-used-weight-1m"] == answer.headers["x-mbx-used-weight"] == str(weight)


def test_weight_is_counted_per_address_and_clock_minute(binance: BinanceExchange) -> None:
    def used(now_ms: int, address: str = "127.0.0.1") -> str:
        answer = binance.handle(asked("/api/v3/exchangeInfo", now_ms=now_ms, address=address))
        return answer.headers["x-mbx-used-weight-1m"]

    found = [used(RUNNING_MS), used(RUNNING_MS + 59_999), used(RUNNING_MS + 1, "10.0.0.1"), used(RUNNING_MS + 60_000)]

    assert found == ["20", "40", "20", "20"]


def spend(exchange: BinanceExchange, weight: int, now_ms: int) -> Answer:
    """Spend as much weight in requests of 20 and return the last answer."""
    for _ in range(weight // 20):
        answer = exchange.handle(asked("/api/v3/exchangeInfo", "symbol=BTCUSDT", now_ms=now_ms))
    return answer


def test_too_much_weight_is_a_429_until_the_minute_ends(binance: BinanceExchange) -> None:
    assert spend(binance, 6000, RUNNING_MS + 45_000).status == 200

    answer = binance.handle(asked("/api/v3/ping", now_ms=RUNNING_MS + 45_000))

    assert refusal(answer) == (429, -1003)
    assert answer.headers["retry-after"] == "16"
    assert answer.headers["x-mbx-used-weight-1m"] == "6001"
    assert binance.handle(asked("/api/v3/ping", now_ms=RUNNING_MS + 61_000)).status == 200


def test_going_on_after_429s_is_a_ban_that_doubles_each_time(binance: BinanceExchange) -> None:
    """Two minutes, then four; each tells when it ends, in words and in `Retry-After`."""
    banned = spend(binance, 6620, RUNNING_MS)
    still = binance.handle(asked("/api/v3/ping", now_ms=RUNNING_MS + 119_000))
    over = binance.handle(asked("/api/v3/ping", now_ms=RUNNING_MS + 120_000))
    again = spend(binance, 6620, RUNNING_MS + 180_000)

    assert refusal(banned) == refusal(still) == refusal(again) == (418, -1003)
    assert f"IP banned until {RUNNING_MS + 120_000}." in content(banned)["msg"]
    assert (banned.headers["retry-after"], still.headers["retry-after"]) == ("121", "2")
    assert over.status == 200
    assert f"IP banned until {RUNNING_MS + 420_000}." in content(again)["msg"]
    assert binance.handle(asked("/api/v3/ping", now_ms=RUNNING_MS, address="127.0.0.2")).status == 200


def test_a_ban_lasts_three_days_at_most(binance: BinanceExchange) -> None:
    now_ms, lengths = RUNNING_MS, []
    for _ in range(13):
        wait = int(spend(binance, 6620, now_ms).headers["retry-after"]) - 1
        lengths.append(wait)
        now_ms += wait * 1000 + MINUTE_MS

    assert lengths[:3] == [120, 240, 480]
    assert lengths[-1] == 3 * 86_400


def test_limits_can_be_switched_off(keys: KeyRing) -> None:
    exchange = BinanceExchange(keys, limits=False)

    assert spend(exchange, 7000, NOW_MS).status == 200


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("rate_limited", 429, -1003),
        ("banned", 418, -1003),
        ("region_blocked", 451, 0),
        ("maintenance", 503, -1016),
        ("unavailable", 503, -1008),
    ],
)
def test_each_fault_has_binances_form(binance: BinanceExchange, fault: str, status: int, code: int) -> None:
    answer = binance.rate_answer(asked("/api/v3/time"), fault)

    assert refusal(answer) == (status, code)
    assert ("retry-after" in answer.headers) == (status in {418, 429})
