"""
The sandbox judged by clients that nobody here wrote.

Unmodified ccxt and pybit, with nothing but their addresses changed, fetch candles and ask what their key may do;
with a wrong secret they refuse with the exchange's own class of error.
"""

from __future__ import annotations

import base64
import re
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
HOST = re.compile(r"^https?://[^/]+")
Connect = Callable[..., Any]

CLIENTS = [
    ("binance", "binance", "binance"),
    ("coinbase", "coinbase", "coinbase"),
    ("coinbaseexchange", "coinbase_exchange", "coinbase"),
    ("okx", "okx", "okx"),
    ("bybit", "bybit", "bybit"),
]
"""ccxt's name of a client, the host it asks, and whose market is there."""
EVERY_CLIENT = pytest.mark.parametrize(("name", "host", "exchange"), CLIENTS, ids=[name for name, *_ in CLIENTS])
PERMISSION_CALLS = [
    ("binance", "binance", "sapiGetAccountApiRestrictions"),
    ("coinbase", "coinbase", "v3PrivateGetBrokerageKeyPermissions"),
    ("coinbaseexchange", "coinbase_exchange", "privateGetAccounts"),
    ("okx", "okx", "privateGetAccountConfig"),
    ("bybit", "bybit", "privateGetV5UserQueryApi"),
]


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
        client.urls["api"] = moved(client.urls["api"], sandbox.urls[host])
        clients.append(client)
        return client

    yield build
    for client in clients:
        client.session.close()


def moved(urls: Any, base: str) -> Any:
    """Return ccxt's addresses on another host, each with its own path."""
    if isinstance(urls, dict):
        return {name: moved(url, base) for name, url in urls.items()}
    return HOST.sub(base, urls)


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


@EVERY_CLIENT
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


@pytest.mark.parametrize(("name", "host", "call"), PERMISSION_CALLS, ids=[name for name, *_ in PERMISSION_CALLS])
def test_ccxt_with_a_wrong_secret_is_refused_as_unauthenticated(
    connect: Connect, sandbox: Sandbox, name: str, host: str, call: str
) -> None:
    key = issue(sandbox, host)
    other = issue(sandbox, host).api_secret if host.startswith("coinbase") else OTHER_HMAC_SECRET
    client = connect(name, host, **parts_of(key) | {"secret": other})

    with pytest.raises(ccxt.AuthenticationError):
        getattr(client, call)()


@pytest.mark.parametrize(
    ("name", "host", "call", "said"),
    [
        ("okx", "okx", "privateGetAccountConfig", "50105"),
        ("coinbaseexchange", "coinbase_exchange", "privateGetAccounts", "Invalid Passphrase"),
    ],
)
def test_ccxt_names_a_wrong_passphrase(
    connect: Connect, sandbox: Sandbox, name: str, host: str, call: str, said: str
) -> None:
    client = connect(name, host, **parts_of(issue(sandbox, host)) | {"password": "wrong"})

    with pytest.raises(ccxt.AuthenticationError, match=said):
        getattr(client, call)()


@pytest.mark.parametrize(
    ("name", "host", "call", "skew", "said"),
    [
        ("binance", "binance", "sapiGetAccountApiRestrictions", -15_000, "-1021"),
        ("binance", "binance", "sapiGetAccountApiRestrictions", 2_000, "-1021"),
        ("bybit", "bybit", "privateGetV5UserQueryApi", -15_000, "10002"),
        ("bybit", "bybit", "privateGetV5UserQueryApi", 2_000, "10002"),
        ("okx", "okx", "privateGetAccountConfig", 31_000, "50102"),
    ],
)
def test_ccxt_names_a_clock_that_is_wrong(
    connect: Connect, sandbox: Sandbox, name: str, host: str, call: str, skew: int, said: str
) -> None:
    """Either way; on Binance and Bybit a second ahead is too much."""
    client = connect(name, host, **parts_of(issue(sandbox, host)))
    true_time = client.nonce
    client.nonce = lambda: true_time() + skew

    with pytest.raises(ccxt.InvalidNonce, match=said):
        getattr(client, call)()


@pytest.mark.parametrize("kind", [KeyKind.EXPIRED, KeyKind.REVOKED])
@pytest.mark.parametrize(("name", "host", "call"), PERMISSION_CALLS, ids=[name for name, *_ in PERMISSION_CALLS])
def test_ccxt_is_refused_with_a_key_that_is_no_more(
    connect: Connect, sandbox: Sandbox, name: str, host: str, call: str, kind: KeyKind
) -> None:
    """In each exchange's own words; ccxt has no class of its own for all of them."""
    client = connect(name, host, **parts_of(issue(sandbox, host, kind)))

    with pytest.raises(ccxt.ExchangeError, match=r"-2015|Unauthorized|Invalid API Key|50119|50111|10003|33004"):
        getattr(client, call)()


def test_ccxt_reads_the_permissions_of_a_binance_key(connect: Connect, sandbox: Sandbox) -> None:
    client = connect("binance", "binance", **parts_of(issue(sandbox, "binance", KeyKind.MAY_TRADE)))

    shown = client.sapiGetAccountApiRestrictions()

    assert (shown["ipRestrict"], shown["enableReading"], shown["enableSpotAndMarginTrading"]) == (True, True, True)
    assert (shown["enableWithdrawals"], shown["enableMargin"]) == (False, False)


def test_ccxt_reads_the_permissions_of_an_ed25519_binance_key(connect: Connect, sandbox: Sandbox) -> None:
    """It knows these keys by their PEM."""
    key = issue(sandbox, "binance", algorithm="ed25519")
    client = connect("binance", "binance", **parts_of(key))

    assert client.sapiGetAccountApiRestrictions()["enableReading"] is True


@EVERY_CLIENT
@pytest.mark.parametrize("has_key", [False, True], ids=["without a key", "with a key"])
def test_ccxt_loads_the_markets_without_any_option(
    connect: Connect, sandbox: Sandbox, name: str, host: str, exchange: str, *, has_key: bool
) -> None:
    """With a key it reads coins and fees first; without, other kinds of market that list nothing here."""
    client = connect(name, host, **(parts_of(issue(sandbox, host)) if has_key else {}))

    markets = client.load_markets()

    spot = {symbol: found for symbol, found in markets.items() if found["spot"]}
    listed = {entry.symbol: entry for entry in market.instruments(exchange)}
    assert set(spot) == {symbol.replace("-", "/") for symbol in listed}
    for symbol, found in spot.items():
        entry = listed[symbol.replace("/", "-")]
        assert found["precision"] == {
            **found["precision"], "price": float(entry.tick), "amount": float(entry.lot),
        }  # fmt: skip
        assert found["active"] is not False


@EVERY_CLIENT
@pytest.mark.parametrize("has_key", [False, True], ids=["without a key", "with a key"])
def test_ccxt_needs_nothing_but_a_symbol(
    connect: Connect, sandbox: Sandbox, name: str, host: str, exchange: str, *, has_key: bool
) -> None:
    """The plainest call there is; the newest row is the running minute."""
    client = connect(name, host, **(parts_of(issue(sandbox, host)) if has_key else {}))

    rows = client.fetch_ohlcv("BTC/USDT")

    times = [row[0] for row in rows]
    finished = [row for row in rows if row[0] < times[-1]]
    assert times == sorted(times)
    assert len(rows) >= 90
    assert abs(sandbox.now_ms() - times[-1]) < 5 * MINUTE_MS
    assert finished[-20:] == market_rows(
        exchange, finished[-20][0], (finished[-1][0] - finished[-20][0]) // MINUTE_MS + 1
    )


@EVERY_CLIENT
@pytest.mark.parametrize(("timeframe", "minutes"), [("5m", 5), ("1h", 60), ("1d", 1440)])
def test_ccxt_fetches_longer_candles_that_are_made_of_minutes(
    connect: Connect, name: str, host: str, exchange: str, timeframe: str, minutes: int
) -> None:
    """Days are those of UTC, at OKX too."""
    now_ms = int(time.time() * 1000)
    first_ms = now_ms - now_ms % (minutes * MINUTE_MS) - 3 * minutes * MINUTE_MS
    client = connect(name, host)

    rows = client.fetch_ohlcv("ETH/USDT", timeframe, since=first_ms, limit=2)

    for row in rows[:2]:
        whole = market.aggregate(exchange, "ETH-USDT", row[0], minutes)
        assert row[1:] == [float(value) for value in (whole.open, whole.high, whole.low, whole.close, whole.volume)]
    assert [row[0] for row in rows[:2]] == [first_ms, first_ms + minutes * MINUTE_MS]


def test_ccxt_pages_through_days_of_minutes(connect: Connect) -> None:
    """Its own way of paging; on Binance four full pages."""
    client = connect("binance", "binance")
    first_ms = client.milliseconds() // MINUTE_MS * MINUTE_MS - 4000 * MINUTE_MS

    rows = client.fetch_ohlcv(
        "BTC/USDT", "1m", since=first_ms, limit=4000, params={"paginate": True, "paginationCalls": 4}
    )

    begin = rows[0][0]
    assert first_ms <= begin <= first_ms + MINUTE_MS
    assert rows[:50] == market_rows("binance", begin, 50)
    assert [row[0] for row in rows] == list(range(begin, begin + len(rows) * MINUTE_MS, MINUTE_MS))
    assert len(rows) >= 3990


@EVERY_CLIENT
def test_ccxt_knows_an_unlisted_symbol(connect: Connect, name: str, host: str, exchange: str) -> None:
    """Before it asks; and the exchange says so too if it is asked all the same."""
    client = connect(name, host)

    with pytest.raises(ccxt.BadSymbol):
        client.fetch_ohlcv("NONE/USDT")


def test_exchanges_answer_for_an_unlisted_symbol_in_their_own_way(connect: Connect) -> None:
    binance, okx, bybit = (connect(name, name) for name in ("binance", "okx", "bybit"))

    with pytest.raises(ccxt.BadSymbol, match="-1121"):
        binance.publicGetKlines({"symbol": "NONEUSDT", "interval": "1m"})
    with pytest.raises(ccxt.BadSymbol, match="51001"):
        okx.publicGetMarketCandles({"instId": "NONE-USDT"})
    with pytest.raises(ccxt.BadRequest, match="10001"):
        bybit.publicGetV5MarketKline({"category": "spot", "symbol": "NONEUSDT", "interval": "1"})


def test_ccxt_knows_a_range_too_long(connect: Connect) -> None:
    coinbase = connect("coinbase", "coinbase")
    exchange = connect("coinbaseexchange", "coinbase_exchange")

    with pytest.raises(ccxt.BadRequest, match="less than 350"):
        coinbase.v3PublicGetBrokerageMarketProductsProductIdCandles(
            {"product_id": "BTC-USDT", "start": "0", "end": "21000", "granularity": "ONE_MINUTE"}
        )
    with pytest.raises(ccxt.ExchangeError, match="exceeds 300"):
        exchange.publicGetProductsIdCandles({"id": "BTC-USDT", "start": "0", "end": "18060", "granularity": "60"})


@EVERY_CLIENT
def test_ccxt_reads_ticker_order_book_and_trades(connect: Connect, name: str, host: str, exchange: str) -> None:
    client = connect(name, host)

    ticker = client.fetch_ticker("BTC/USDT")
    tickers = client.fetch_tickers(["BTC/USDT", "ETH/USDT"])
    book = client.fetch_order_book("BTC/USDT")
    trades = client.fetch_trades("BTC/USDT", limit=10)

    assert book["bids"][0][0] < book["asks"][0][0]
    assert ticker["last"] > 0
    assert set(tickers) == {"BTC/USDT", "ETH/USDT"}
    times = [trade["timestamp"] for trade in trades]
    assert times == sorted(times)
    assert len(trades) == 10


@EVERY_CLIENT
def test_ccxt_reads_the_clock(connect: Connect, name: str, host: str, exchange: str) -> None:
    client = connect(name, host)

    assert abs(client.fetch_time() - client.milliseconds()) < 2000


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("rate_limited", ccxt.DDoSProtection),
        ("banned", ccxt.DDoSProtection),
        ("region_block", ccxt.ExchangeNotAvailable),
    ],
)
def test_ccxt_understands_binances_faults(
    connect: Connect, sandbox: Sandbox, kind: str, wanted: type[Exception]
) -> None:
    client = connect("binance", "binance")
    sandbox.add_fault("binance", kind, path_prefix="/api/v3/avgPrice", times=1)

    with pytest.raises(wanted):
        client.publicGetAvgPrice({"symbol": "BTCUSDT"})


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
