"""The simulated Coinbase Advanced Trade, asked directly."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.coinbase import CoinbaseAdvanced
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing, SimulatedKey
from crypto_pipeline.sandbox.quotes import newest_trades
from crypto_pipeline_tests.sandbox.asking import (
    MINUTE_MS,
    NOW_MS,
    asked,
    bearing,
    content,
    token,
    token_claims,
    with_headers,
)

PERMISSIONS = "/api/v3/brokerage/key_permissions"
CANDLES = "/api/v3/brokerage/market/products/BTC-USDT/candles"
NOW = NOW_MS // 1000
RUNNING = NOW - NOW % 60


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing()


@pytest.fixture
def coinbase(keys: KeyRing) -> CoinbaseAdvanced:
    return CoinbaseAdvanced(keys)


def permissions(exchange: CoinbaseAdvanced, key: SimulatedKey) -> dict[str, Any]:
    answer = exchange.handle(bearing(token(key, token_claims(key, PERMISSIONS))))
    assert answer.status == 200
    shown: dict[str, Any] = content(answer)
    return shown


@pytest.mark.parametrize("algorithm", ["es256", "eddsa"])
def test_a_documented_token_is_accepted(keys: KeyRing, coinbase: CoinbaseAdvanced, algorithm: str) -> None:
    key = keys.issue("coinbase", KeyKind.READ_ONLY, now_ms=NOW_MS, algorithm=algorithm)

    shown = permissions(coinbase, key)

    assert {name: shown[name] for name in ("can_view", "can_trade", "can_transfer")} == {
        "can_view": True,
        "can_trade": False,
        "can_transfer": False,
    }
    assert shown["portfolio_type"] == "DEFAULT"
    assert len(shown["portfolio_uuid"]) == 36


@pytest.mark.parametrize("length", [32, 64])
def test_an_ed25519_secret_may_be_base64_of_32_or_64_bytes(
    keys: KeyRing, coinbase: CoinbaseAdvanced, length: int
) -> None:
    """The longer form is the seed followed by the public key; only the seed counts."""
    secret = base64.b64encode(bytes(range(length))).decode()
    key = keys.issue("coinbase", KeyKind.READ_ONLY, now_ms=NOW_MS, algorithm="eddsa", api_secret=secret)

    assert permissions(coinbase, key)["can_view"] is True


def test_a_pem_with_escaped_line_ends_is_understood(keys: KeyRing, coinbase: CoinbaseAdvanced) -> None:
    key = keys.issue("coinbase", KeyKind.READ_ONLY, now_ms=NOW_MS)
    signed = bearing(token(key, token_claims(key, PERMISSIONS)))
    key.api_secret = key.api_secret.replace("\n", "\\n")

    assert coinbase.handle(signed).status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "coinbase-cloud"},
        {"aud": ["retail_rest_api_proxy"]},
        {"aud": "cdp_service"},
        {"iat": NOW},
        {"uri": None, "uris": [f"GET api.coinbase.com{PERMISSIONS}"]},
        {"uri": f"GET 127.0.0.1:8080{PERMISSIONS}"},
        {"uri": f"GET http://127.0.0.1:8080{PERMISSIONS}"},
        {"nbf": NOW + 5},
        {"nbf": NOW - 119, "exp": NOW + 1},
    ],
)
def test_forms_that_other_clients_send_are_accepted(
    keys: KeyRing, coinbase: CoinbaseAdvanced, change: Mapping[str, object]
) -> None:
    key = keys.issue("coinbase", KeyKind.READ_ONLY, now_ms=NOW_MS)

    answer = coinbase.handle(bearing(token(key, {**token_claims(key, PERMISSIONS), **change})))

    assert answer.status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "someone"},
        {"sub": "organizations/other/apiKeys/other"},
        {"aud": ["another_service"]},
        {"uri": f"GET api.coinbase.com{PERMISSIONS}?limit=1"},
        {"uri": f"POST api.coinbase.com{PERMISSIONS}"},
        {"uri": f"GET evil.example{PERMISSIONS}"},
        {"uri": "GET api.coinbase.com/api/v3/brokerage/products"},
        {"uri": None},
        {"nbf": NOW + 6},
        {"nbf": None},
        {"exp": "soon"},
        {"nbf": NOW - 121, "exp": NOW - 1},
        {"nbf": NOW - 120, "exp": NOW},
        {"exp": NOW + 121},
    ],
)
def test_a_token_with_a_wrong_claim_is_a_bare_401(
    keys: KeyRing, coinbase: CoinbaseAdvanced, change: Mapping[str, object]
) -> None:
    key = keys.issue("coinbase", KeyKind.READ_ONLY, now_ms=NOW_MS)

    answer = coinbase.handle(bearing(token(key, {**token_claims(key, PERMISSIONS), **change})))

    assert (answer.status, answer.body) == (401, b"Unauthorized\n")


def test_a_token_signed_by_another_key_is_refused(keys: KeyRing, coinbase: CoinbaseAdvanced) -> None:
    key = keys.issue("coinbase", KeyKind.READ_ONLY, now_ms=NOW_MS)
    other = keys.issue("coinbase", KeyKind.READ_ONLY, now_ms=NOW_MS)

    forged = token(other, token_claims(key, PERMISSIONS), {"kid": key.api_key})

    assert coinbase.handle(bearing(forged)).status == 401


@pytest.mark.parametrize("algorithm", ["none", "HS256", "EdDSA"])
def test_a_token_must_name_the_keys_own_algorithm(keys: KeyRing, coinbase: CoinbaseAdvanced, algorithm: str) -> None:
    key = keys.issue("coinbase", KeyKind.READ_ONLY, now_ms=NOW_MS)

    forged = token(key, token_claims(key, PERMISSIONS), {"alg": algorithm})

    assert coinbase.handle(bearing(forged)).status == 401


@pytest.mark.parametrize(
    "text", ["", "a.b", "a.b.c", "aGk.aGk.aGk", "e30.e30.", "W10.W10.W10", "!!.!!.!!", "\u00e9.e30.e30"]
)
def test_what_is_no_token_is_refused(coinbase: CoinbaseAdvanced, text: str) -> None:
    assert coinbase.handle(bearing(text)).status == 401


def test_a_key_of_another_family_is_refused(keys: KeyRing, coinbase: CoinbaseAdvanced) -> None:
    """Coinbase issues P-256 and Ed25519 keys; this one is RSA."""
    key = keys.issue("coinbase", KeyKind.READ_ONLY, now_ms=NOW_MS)
    signed = bearing(token(key, token_claims(key, PERMISSIONS)))
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key.api_secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    assert coinbase.handle(signed).status == 401


def test_a_cut_signature_is_refused(keys: KeyRing, coinbase: CoinbaseAdvanced) -> None:
    key = keys.issue("coinbase", KeyKind.READ_ONLY, now_ms=NOW_MS)
    cut = token(key, token_claims(key, PERMISSIONS))[:-8]

    assert coinbase.handle(bearing(cut)).status == 401


def test_the_retired_kind_of_key_is_refused(coinbase: CoinbaseAdvanced) -> None:
    headers = {"cb-access-key": "k", "cb-access-sign": "0" * 64, "cb-access-timestamp": str(NOW)}

    assert coinbase.handle(with_headers(asked(PERMISSIONS), headers)).status == 401


@pytest.mark.parametrize("kind", [KeyKind.REVOKED, KeyKind.EXPIRED])
def test_a_key_that_is_no_more_is_refused(keys: KeyRing, coinbase: CoinbaseAdvanced, kind: KeyKind) -> None:
    key = keys.issue("coinbase", kind, now_ms=NOW_MS)

    assert coinbase.handle(bearing(token(key, token_claims(key, PERMISSIONS)))).status == 401


def test_a_key_bound_to_other_addresses_is_refused(keys: KeyRing, coinbase: CoinbaseAdvanced) -> None:
    key = keys.issue("coinbase", KeyKind.READ_ONLY, now_ms=NOW_MS, addresses=("10.0.0.1",))

    assert coinbase.handle(bearing(token(key, token_claims(key, PERMISSIONS)))).status == 401


@pytest.mark.parametrize(
    ("kind", "granted"),
    [
        (KeyKind.READ_ONLY, {"can_view"}),
        (KeyKind.OLD, {"can_view"}),
        (KeyKind.UNBOUND_IP, {"can_view"}),
        (KeyKind.MAY_TRADE, {"can_view", "can_trade"}),
        (KeyKind.MAY_WITHDRAW, {"can_view", "can_transfer"}),
        (KeyKind.MAY_TRANSFER, {"can_view", "can_transfer"}),
        (KeyKind.UNKNOWN_FLAG, {"can_view", "can_stake"}),
    ],
)
def test_each_kind_of_key_shows_its_permissions(
    keys: KeyRing, coinbase: CoinbaseAdvanced, kind: KeyKind, granted: set[str]
) -> None:
    shown = permissions(coinbase, keys.issue("coinbase", kind, now_ms=NOW_MS))

    assert {name for name, value in shown.items() if value is True} == granted


def test_a_missing_flag_is_missing(keys: KeyRing, coinbase: CoinbaseAdvanced) -> None:
    shown = permissions(coinbase, keys.issue("coinbase", KeyKind.FLAG_MISSING, now_ms=NOW_MS))

    assert "can_view" not in shown


def test_the_signed_twin_of_a_public_route_gives_the_same(keys: KeyRing, coinbase: CoinbaseAdvanced) -> None:
    key = keys.issue("coinbase", KeyKind.READ_ONLY, now_ms=NOW_MS)
    path = "/api/v3/brokerage/products/BTC-USDT/candles"
    query = f"start={RUNNING - 600}&end={RUNNING}&granularity=ONE_MINUTE"

    signed = replace(bearing(token(key, token_claims(key, path)), path), query=query)

    assert coinbase.handle(signed) == coinbase.handle(asked(CANDLES, query))
    assert coinbase.handle(asked(path, query)).status == 401


def candles(exchange: CoinbaseAdvanced, query: str) -> list[dict[str, str]]:
    answer = exchange.handle(asked(CANDLES, f"granularity=ONE_MINUTE&{query}"))
    assert answer.status == 200, answer.body
    rows: list[dict[str, str]] = content(answer)["candles"]
    return rows


def test_candles_come_newest_first_and_minutes_without_trades_are_left_out(coinbase: CoinbaseAdvanced) -> None:
    first = RUNNING - 349 * 60
    traded = [
        second
        for second in range(RUNNING, first - 60, -60)
        if second == RUNNING or market.minute("coinbase", "BTC-USDT", second * 1000).trades
    ]

    rows = candles(coinbase, f"start={first}&end={RUNNING}")

    assert [int(row["start"]) for row in rows if int(row["start"]) != RUNNING] == [
        second for second in traded if second != RUNNING
    ]
    assert set(rows[0]) == {"start", "low", "high", "open", "close", "volume"}


def test_a_row_holds_the_markets_own_numbers(coinbase: CoinbaseAdvanced) -> None:
    open_ms = next(
        open_ms
        for open_ms in range(RUNNING * 1000 - 10 * MINUTE_MS, 0, -MINUTE_MS)
        if market.minute("coinbase", "BTC-USDT", open_ms).trades
    )

    (row,) = candles(coinbase, f"start={open_ms // 1000}&end={open_ms // 1000}")

    minute = market.minute("coinbase", "BTC-USDT", open_ms)
    numbers = {"low": minute.low, "high": minute.high, "open": minute.open, "close": minute.close}
    assert row["start"] == str(open_ms // 1000)
    assert {name: Decimal(row[name]) for name in numbers} == numbers
    assert Decimal(row["volume"]) == minute.volume


def test_more_than_350_candles_are_refused(coinbase: CoinbaseAdvanced) -> None:
    query = f"granularity=ONE_MINUTE&start={RUNNING - 350 * 60}&end={RUNNING}"

    answer = coinbase.handle(asked(CANDLES, query))

    assert answer.status == 400
    assert content(answer)["error"] == "INVALID_ARGUMENT"
    assert content(answer)["message"] == "number of candles requested should be less than 350"


def test_a_limit_keeps_the_newest_rows(coinbase: CoinbaseAdvanced) -> None:
    query = f"start={RUNNING - 6000}&end={RUNNING - 60}"

    assert candles(coinbase, f"{query}&limit=3") == candles(coinbase, query)[:3]


@pytest.mark.parametrize(
    "query",
    [
        "start=1&end=2",
        "granularity=ONE_WEEK&start=1&end=2",
        "granularity=ONE_MINUTE&end=2",
        "granularity=ONE_MINUTE&start=1",
        "granularity=ONE_MINUTE&start=yesterday&end=2",
        "granularity=ONE_MINUTE&start=3&end=2",
    ],
)
def test_a_bad_parameter_is_an_invalid_argument(coinbase: CoinbaseAdvanced, query: str) -> None:
    answer = coinbase.handle(asked(CANDLES, query))

    assert (answer.status, content(answer)["error"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("path", ["products/NONE-USD", "products/NONE-USD/candles", "product_book"])
def test_an_unknown_product_is_not_found(coinbase: CoinbaseAdvanced, path: str) -> None:
    answer = coinbase.handle(asked(f"/api/v3/brokerage/market/{path}"))

    assert (answer.status, content(answer)["error"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/", "/v2/prices", "/api/v3/brokerage/market/nothing"])
def test_an_unknown_route_is_not_found(coinbase: CoinbaseAdvanced, path: str) -> None:
    assert coinbase.handle(asked(path)).status == 404


def test_products_are_those_of_the_market(coinbase: CoinbaseAdvanced) -> None:
    shown = content(coinbase.handle(asked("/api/v3/brokerage/market/products")))
    one = content(coinbase.handle(asked("/api/v3/brokerage/market/products/BTC-USDT")))
    page = content(coinbase.handle(asked("/api/v3/brokerage/market/products", "limit=1&offset=1")))
    futures = content(coinbase.handle(asked("/api/v3/brokerage/market/products", "product_type=FUTURE")))

    listed = {f"{entry.base}-{entry.quote}" for entry in market.instruments("coinbase")}
    assert {product["product_id"] for product in shown["products"]} == listed
    assert shown["num_products"] == len(listed)
    assert one in shown["products"]
    assert page["products"] == shown["products"][1:2]
    assert futures == {"products": [], "num_products": 0}
    some = content(
        coinbase.handle(
            asked("/api/v3/brokerage/market/products", "product_ids=ETH-USDT&product_ids=BTC-USDT&product_ids=NONE-USD")
        )
    )
    assert {product["product_id"] for product in some["products"]} == {"BTC-USDT", "ETH-USDT"}


def test_ticker_book_and_clock_agree(coinbase: CoinbaseAdvanced) -> None:
    """The best bid is below the best ask, and the trades are newest first."""
    root = "/api/v3/brokerage/market"
    ticker = content(coinbase.handle(asked(f"{root}/products/BTC-USDT/ticker", "limit=30")))
    book = content(coinbase.handle(asked(f"{root}/product_book", "product_id=BTC-USDT&limit=3")))
    clock = content(coinbase.handle(asked("/api/v3/brokerage/time")))

    assert Decimal(ticker["best_bid"]) < Decimal(ticker["best_ask"])
    assert book["pricebook"]["bids"][0]["price"] == ticker["best_bid"]
    assert len(book["pricebook"]["asks"]) == 3
    times = [trade["time"] for trade in ticker["trades"]]
    assert len(times) == 30
    assert times == sorted(times, reverse=True)
    assert clock == {"iso": "2026-03-02T12:00:30.500Z", "epochSeconds": str(NOW), "epochMillis": str(NOW_MS)}


def test_a_trade_names_the_side_of_its_maker_and_its_time_to_the_microsecond(coinbase: CoinbaseAdvanced) -> None:
    """Who bought took what somebody had offered to sell."""
    found = newest_trades("coinbase", "BTC-USDT", NOW_MS, 40)

    trades = content(coinbase.handle(asked("/api/v3/brokerage/market/products/BTC-USDT/ticker", "limit=40")))["trades"]

    assert [trade["side"] for trade in trades] == ["SELL" if trade.taker_side == "buy" else "BUY" for trade in found]
    assert {trade["side"] for trade in trades} == {"BUY", "SELL"}
    for trade, made in zip(trades, found, strict=True):
        assert re.fullmatch(r"2026-03-02T\d\d:\d\d:\d\d\.\d{6}Z", trade["time"])
        assert datetime.fromisoformat(trade["time"]).timestamp() * 1000 // 1 == made.time_ms


def test_what_general_clients_ask_besides_is_answered(keys: KeyRing, coinbase: CoinbaseAdvanced) -> None:
    """The older wallet routes without a key; the fees with one."""
    key = keys.issue("coinbase", KeyKind.READ_ONLY, now_ms=NOW_MS)
    path = "/api/v3/brokerage/transaction_summary"

    fees = content(coinbase.handle(bearing(token(key, token_claims(key, path)), path)))
    clock = content(coinbase.handle(asked("/v2/time")))
    rates = content(coinbase.handle(asked("/v2/exchange-rates")))["data"]["rates"]

    assert Decimal(fees["fee_tier"]["taker_fee_rate"]) > 0
    assert coinbase.handle(asked(path)).status == 401
    assert clock == {"data": {"iso": "2026-03-02T12:00:30Z", "epoch": NOW}}
    assert 0 < Decimal(rates["BTC"]) < Decimal(rates["ETH"]) < 1
    for path in ("/v2/currencies", "/v2/currencies/crypto"):
        assert content(coinbase.handle(asked(path)))["data"]


def test_too_many_trades_are_an_internal_error(coinbase: CoinbaseAdvanced) -> None:
    answer = coinbase.handle(asked("/api/v3/brokerage/market/products/BTC-USDT/ticker", "limit=1001"))

    assert (answer.status, content(answer)["error"]) == (500, "INTERNAL")


def test_fifteen_requests_at_once_then_ten_a_second(coinbase: CoinbaseAdvanced) -> None:
    path = "/api/v3/brokerage/time"

    statuses = [coinbase.handle(asked(path)).status for _ in range(16)]

    assert statuses == [200] * 15 + [429]
    assert content(coinbase.handle(asked(path)))["errors"][0]["id"] == "rate_limit_exceeded"
    assert coinbase.handle(asked(path, now_ms=NOW_MS + 99)).status == 429
    assert coinbase.handle(asked(path, now_ms=NOW_MS + 100)).status == 200
    assert coinbase.handle(asked(path, now_ms=NOW_MS + 100)).status == 429
    assert coinbase.handle(asked(path, address="127.0.0.2")).status == 200


def test_limits_can_be_switched_off(keys: KeyRing) -> None:
    exchange = CoinbaseAdvanced(keys, limits=False)

    assert {exchange.handle(asked("/api/v3/brokerage/time")).status for _ in range(50)} == {200}


def test_only_get_is_answered(coinbase: CoinbaseAdvanced) -> None:
    assert coinbase.handle(replace(asked("/api/v3/brokerage/orders"), method="POST")).status == 405


@pytest.mark.parametrize(
    ("fault", "status"),
    [("rate_limited", 429), ("banned", 403), ("region_blocked", 403), ("maintenance", 503), ("unavailable", 503)],
)
def test_each_fault_has_a_status(coinbase: CoinbaseAdvanced, fault: str, status: int) -> None:
    assert coinbase.rate_answer(asked("/api/v3/brokerage/time"), fault).status == status
