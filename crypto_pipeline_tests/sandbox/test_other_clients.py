"""
The sandbox judged by clients that nobody here wrote.

Unmodified ccxt and pybit, with nothing but their addresses changed, fetch candles and ask what their key may do;
with a wrong secret they refuse with the exchange's own class of error.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import ccxt
import pytest
from pybit.exceptions import FailedRequestError, InvalidRequestError
from pybit.unified_trading import HTTP

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.keys import KeyKind, SimulatedKey
from crypto_pipeline.sandbox.server import Sandbox, running_sandbox

MINUTE_MS = 60_000
OTHER_HMAC_SECRET = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
Connect = Callable[..., Any]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A whole sandbox at the exchanges' real limits."""
    with running_sandbox() as running:
        yield running


@pytest.fixture
def connect(sandbox: Sandbox) -> Iterator[Connect]:
    """Build ccxt clients that speak to the sandbox, and close them."""
    clients: list[Any] = []

    def build(name: str, host: str, **options: object) -> Any:
        client = getattr(ccxt, name)(options)
        client.urls["api"] = dict.fromkeys(client.urls["api"], sandbox.urls[host])
        clients.append(client)
        return client

    yield build
    for client in clients:
        client.session.close()


@pytest.fixture
def pybit(sandbox: Sandbox) -> Iterator[Callable[..., Any]]:
    """Build pybit clients that speak to the sandbox, and close them."""
    clients: list[Any] = []

    def build(**options: object) -> Any:
        client = HTTP(**options)
        client.endpoint = sandbox.urls["bybit"]
        clients.append(client)
        return client

    yield build
    for client in clients:
        client.client.close()


def issue(sandbox: Sandbox, exchange: str, kind: KeyKind = KeyKind.READ_ONLY, **parts: Any) -> SimulatedKey:
    return sandbox.keys.issue(exchange, kind, now_ms=sandbox.now_ms(), **parts)


def parts_of(key: SimulatedKey) -> dict[str, str]:
    """Return a key in ccxt's own words."""
    parts = {"apiKey": key.api_key, "secret": key.api_secret}
    return parts | {"password": key.passphrase} if key.passphrase else parts


def market_rows(exchange: str, first_ms: int, minutes: int) -> list[list[float]]:
    """Return what ccxt should make of the market: rows of six floats, oldest first."""
    found = [market.minute(exchange, "BTC-USDT", first_ms + index * MINUTE_MS) for index in range(minutes)]
    return [
        [row.open_time_ms, *(float(value) for value in (row.open, row.high, row.low, row.close, row.volume))]
        for row in found
        if row.trades or exchange != "coinbase"
    ]


@pytest.mark.parametrize(
    ("name", "host", "exchange"),
    [
        ("coinbase", "coinbase", "coinbase"),
        ("coinbaseexchange", "coinbase_exchange", "coinbase"),
        ("okx", "okx", "okx"),
        ("bybit", "bybit", "bybit"),
    ],
)
@pytest.mark.parametrize("days_ago", [0.1, 200])
def test_ccxt_fetches_the_markets_own_candles(
    connect: Connect, name: str, host: str, exchange: str, days_ago: float
) -> None:
    """Recent ones and old ones: OKX serves the two from different routes."""
    now_ms = int(time.time() * 1000)
    first_ms = now_ms - now_ms % MINUTE_MS - int(days_ago * 1440) * MINUTE_MS
    client = connect(name, host)

    rows = client.fetch_ohlcv("BTC/USDT", "1m", since=first_ms, limit=100)

    wanted = market_rows(exchange, first_ms, 101)
    assert rows == wanted[: len(rows)]
    assert len(rows) >= 95


def test_ccxt_reads_the_permissions_of_a_coinbase_key(connect: Connect, sandbox: Sandbox) -> None:
    client = connect("coinbase", "coinbase", **parts_of(issue(sandbox, "coinbase")))

    shown = client.v3PrivateGetBrokerageKeyPermissions()

    assert (shown["can_view"], shown["can_trade"], shown["can_transfer"]) == (True, False, False)


def test_ccxt_reads_the_permissions_of_an_ed25519_coinbase_key(connect: Connect, sandbox: Sandbox) -> None:
    """It knows these keys by their secret: 64 bytes in base64."""
    secret = base64.b64encode(bytes(range(64))).decode()
    key = issue(sandbox, "coinbase", algorithm="eddsa", api_key="2d1a0a0e-key", api_secret=secret)
    client = connect("coinbase", "coinbase", **parts_of(key))

    assert client.v3PrivateGetBrokerageKeyPermissions()["can_view"] is True


def test_ccxt_reads_accounts_with_a_coinbase_exchange_key(connect: Connect, sandbox: Sandbox) -> None:
    client = connect("coinbaseexchange", "coinbase_exchange", **parts_of(issue(sandbox, "coinbase_exchange")))

    assert "BTC" in {account["currency"] for account in client.privateGetAccounts()}


def test_ccxt_reads_the_permissions_of_an_okx_key(connect: Connect, sandbox: Sandbox) -> None:
    client = connect("okx", "okx", **parts_of(issue(sandbox, "okx", KeyKind.MAY_WITHDRAW)))

    (config,) = client.privateGetAccountConfig()["data"]

    assert (config["perm"], config["ip"]) == ("read_only,withdraw,trade", "127.0.0.1")


def test_ccxt_reads_the_permissions_of_a_bybit_key(connect: Connect, sandbox: Sandbox) -> None:
    client = connect("bybit", "bybit", **parts_of(issue(sandbox, "bybit")))

    information = client.privateGetV5UserQueryApi()["result"]

    assert (information["readOnly"], information["ips"]) == (1, ["127.0.0.1"])


@pytest.mark.parametrize(
    ("name", "host", "call"),
    [
        ("coinbase", "coinbase", "v3PrivateGetBrokerageKeyPermissions"),
        ("coinbaseexchange", "coinbase_exchange", "privateGetAccounts"),
        ("okx", "okx", "privateGetAccountConfig"),
        ("bybit", "bybit", "privateGetV5UserQueryApi"),
    ],
)
def test_ccxt_with_a_wrong_secret_is_refused_as_unauthenticated(
    connect: Connect, sandbox: Sandbox, name: str, host: str, call: str
) -> None:
    key = issue(sandbox, host)
    other = issue(sandbox, host).api_secret if host.startswith("coinbase") else OTHER_HMAC_SECRET
    client = connect(name, host, **parts_of(key) | {"secret": other})

    with pytest.raises(ccxt.AuthenticationError):
        getattr(client, call)()


def test_ccxt_names_a_wrong_passphrase_and_a_wrong_clock(connect: Connect, sandbox: Sandbox) -> None:
    """On OKX each has an error of its own."""
    key = issue(sandbox, "okx")
    wrong_passphrase = connect("okx", "okx", **parts_of(key) | {"password": "wrong"})
    late = connect("okx", "okx", **parts_of(key))
    late.nonce = lambda: late.milliseconds() - 31_000

    with pytest.raises(ccxt.AuthenticationError, match="50105"):
        wrong_passphrase.privateGetAccountConfig()
    with pytest.raises(ccxt.InvalidNonce, match="50102"):
        late.privateGetAccountConfig()


def test_ccxt_knows_an_unlisted_symbol_and_a_range_too_long(connect: Connect) -> None:
    okx = connect("okx", "okx")
    coinbase = connect("coinbase", "coinbase")

    with pytest.raises(ccxt.BadSymbol):
        okx.publicGetMarketCandles({"instId": "NONE-USDT"})
    with pytest.raises(ccxt.BadRequest, match="less than 350"):
        coinbase.v3PublicGetBrokerageMarketProductsProductIdCandles(
            {"product_id": "BTC-USDT", "start": "0", "end": "21000", "granularity": "ONE_MINUTE"}
        )


def test_ccxt_reads_ticker_order_book_and_trades(connect: Connect) -> None:
    for name in ("coinbase", "coinbaseexchange", "okx", "bybit"):
        host = {"coinbaseexchange": "coinbase_exchange"}.get(name, name)
        client = connect(name, host)

        ticker = client.fetch_ticker("BTC/USDT")
        book = client.fetch_order_book("BTC/USDT")
        trades = client.fetch_trades("BTC/USDT", limit=10)

        assert book["bids"][0][0] < book["asks"][0][0]
        assert ticker["last"] > 0
        assert trades


def test_pybit_fetches_candles_in_bybits_own_form(pybit: Callable[..., Any]) -> None:
    now_ms = int(time.time() * 1000)
    end = now_ms - now_ms % MINUTE_MS - MINUTE_MS
    start = end - 999 * MINUTE_MS

    answer = pybit().get_kline(category="spot", symbol="BTCUSDT", interval="1", start=start, end=end, limit=1000)

    rows = answer["result"]["list"]
    assert [int(row[0]) for row in rows] == list(range(end, start - MINUTE_MS, -MINUTE_MS))
    minute = market.minute("bybit", "BTC-USDT", start)
    assert [Decimal(value) for value in rows[-1][4:]] == [minute.close, minute.volume, minute.quote_volume]


def test_pybit_reads_what_its_key_may_do(pybit: Callable[..., Any], sandbox: Sandbox) -> None:
    key = issue(sandbox, "bybit", KeyKind.UNKNOWN_FLAG)

    information = pybit(api_key=key.api_key, api_secret=key.api_secret).get_api_key_information()["result"]

    assert information["readOnly"] == 1
    assert information["permissions"]["Custody"] == ["CustodyTransfer"]


@pytest.mark.parametrize(("kind", "code"), [(KeyKind.EXPIRED, 33004), (KeyKind.REVOKED, 10003)])
def test_pybit_is_told_why_a_key_is_refused(
    pybit: Callable[..., Any], sandbox: Sandbox, kind: KeyKind, code: int
) -> None:
    key = issue(sandbox, "bybit", kind)

    with pytest.raises(InvalidRequestError) as refused:
        pybit(api_key=key.api_key, api_secret=key.api_secret).get_api_key_information()

    assert refused.value.status_code == code


def test_pybit_with_a_wrong_secret_is_shown_what_was_signed(pybit: Callable[..., Any], sandbox: Sandbox) -> None:
    key = issue(sandbox, "bybit")

    with pytest.raises(InvalidRequestError, match="origin_string") as refused:
        pybit(api_key=key.api_key, api_secret=OTHER_HMAC_SECRET).get_api_key_information()

    assert refused.value.status_code == 10004
    assert key.api_key in str(refused.value)


def test_pybit_is_told_of_a_blocked_region(pybit: Callable[..., Any], sandbox: Sandbox) -> None:
    sandbox.add_fault("bybit", "region_block", path_prefix="/v5/market/tickers", times=1)

    with pytest.raises(FailedRequestError) as refused:
        pybit().get_tickers(category="spot")

    assert refused.value.status_code == 403
