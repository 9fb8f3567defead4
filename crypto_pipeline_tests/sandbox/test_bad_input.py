"""Whatever arrives, a simulated exchange answers: it never falls over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_pipeline.sandbox.binance import BinanceExchange
from crypto_pipeline.sandbox.binance_perpetual import BinancePerpetualExchange
from crypto_pipeline.sandbox.bybit import BybitExchange
from crypto_pipeline.sandbox.coinbase import CoinbaseAdvanced
from crypto_pipeline.sandbox.coinbase_exchange import CoinbaseExchange
from crypto_pipeline.sandbox.huggingface import HuggingFaceHub
from crypto_pipeline.sandbox.interface import SimulatedExchange
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing
from crypto_pipeline.sandbox.okx import OkxExchange
from crypto_pipeline_tests.sandbox.asking import NOW_MS, asked, with_headers

KEYS = KeyRing()
KNOWN = {
    name: KEYS.issue(name, KeyKind.READ_ONLY, now_ms=NOW_MS)
    for name in ("binance", "bybit", "okx", "coinbase_exchange")
}
EXCHANGES: tuple[SimulatedExchange, ...] = (
    BinanceExchange(KEYS, limits=False),
    BinancePerpetualExchange(limits=False),
    BybitExchange(KEYS, limits=False),
    CoinbaseAdvanced(KEYS, limits=False),
    CoinbaseExchange(KEYS, limits=False),
    HuggingFaceHub(KEYS),
    OkxExchange(KEYS, limits=False),
)
PATHS = (
    "/api/v3/klines",
    "/api/v3/depth",
    "/api/v3/aggTrades",
    "/api/v3/historicalTrades",
    "/api/v3/ticker/24hr",
    "/sapi/v1/account/apiRestrictions",
    "/fapi/v1/fundingRate",
    "/fapi/v1/premiumIndex",
    "/fapi/v1/openInterest",
    "/api/whoami-v2",
    "/v5/market/kline",
    "/v5/market/instruments-info",
    "/v5/market/orderbook",
    "/v5/market/tickers",
    "/v5/market/recent-trade",
    "/v5/market/funding/history",
    "/v5/market/open-interest",
    "/v5/user/query-api",
    "/api/v5/market/candles",
    "/api/v5/market/history-candles",
    "/api/v5/market/trades",
    "/api/v5/account/config",
    "/api/v3/brokerage/market/products/BTC-USDT/candles",
    "/api/v3/brokerage/market/products",
    "/api/v3/brokerage/key_permissions",
    "/products/BTC-USDT/candles",
    "/products/BTC-USDT/trades",
    "/accounts",
)
NAMES = [
    "startTime",
    "endTime",
    "timeZone",
    "fromId",
    "symbols",
    "timestamp",
    "recvWindow",
    "signature",
    "symbol",
    "instId",
    "instType",
    "category",
    "interval",
    "bar",
    "granularity",
    "start",
    "end",
    "limit",
    "after",
    "before",
    "cursor",
    "intervalTime",
    "sz",
    "product_id",
    "offset",
]
# No weeks and months: a page of them is millions of minutes to add up.
VALUES = st.one_of(
    st.sampled_from(
        [
            "BTCUSDT",
            "%5B%22BTCUSDT%22%5D",
            "BTC-USDT",
            "spot",
            "SPOT",
            "1",
            "1m",
            "7",
            "60",
            "15m",
            "ONE_MINUTE",
            "linear",
            "1h",
            "0",
            "9" * 18,
        ]
    ),
    st.sampled_from(["2026-03-02T12:00:00Z", "0001-01-01T00:00:00", "9999-12-31T23:59:59+14:00", "1e9", "NaN", "-1"]),
    st.text(max_size=6).map(lambda text: text.encode("utf-8", "replace").decode("latin-1")),
)
QUERIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6).map(
    lambda chosen: "&".join(f"{name}={value}" for name, value in chosen.items())
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "x-mbx-apikey",
            "x-mbx-time-unit",
            "x-bapi-api-key",
            "x-bapi-timestamp",
            "x-bapi-sign",
            "x-bapi-recv-window",
            "authorization",
            "ok-access-key",
            "ok-access-sign",
            "ok-access-timestamp",
            "ok-access-passphrase",
            "cb-access-key",
            "cb-access-sign",
            "cb-access-timestamp",
            "cb-access-passphrase",
        ]
    ),
    st.one_of(
        st.sampled_from([key.api_key for key in KNOWN.values()]),
        st.sampled_from(
            [str(NOW_MS), str(NOW_MS // 1000), "2026-03-02T12:00:30.500Z", "Bearer a.b.c", "Bearer e30.e30.e30"]
        ),
        st.text(max_size=8).map(lambda text: text.encode("utf-8", "replace").decode("latin-1")),
    ),
)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
@settings(deadline=None)  # the first use of a stretch of the market is slow, and the machine is shared
@given(path=st.one_of(st.sampled_from(PATHS), st.text(max_size=20)), query=QUERIES, headers=HEADERS)
def test_any_request_is_answered(exchange: SimulatedExchange, path: str, query: str, headers: dict[str, str]) -> None:
    answer = exchange.handle(with_headers(asked(path, query), headers))

    assert 200 <= answer.status <= 503
    assert answer.headers["content-type"]


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(exchange: SimulatedExchange, method: str) -> None:
    answer = exchange.handle(replace(asked("/api/v5/trade/order"), method=method))

    assert answer.status in {404, 405}
