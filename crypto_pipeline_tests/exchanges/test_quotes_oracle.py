"""
The clients' numbers against those of ccxt, which nobody here wrote: same sandbox, same moment, same market.

Unmodified ccxt with nothing but its addresses changed. It makes floats of the numbers; as floats they must be equal.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import ccxt
import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.exchanges import CLIENTS, PERPETUAL_CLIENTS, BaseClient
from crypto_pipeline.exchanges.quotes import Side
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline_tests.exchanges.support import NOW, VirtualTime

HOST = re.compile(r"^https?://[^/]+")
DAY_MS = 86_400_000
NOW_MS = int(NOW * 1000)
SPOT = ["binance", "okx", "coinbase", "bybit"]
PERPETUALS = ["binance", "okx", "bybit"]
HANDS_ON_THE_MAKERS_SIDE = {"coinbase"}
"""Where ccxt shows the side as the exchange names it, which is not the taker's."""
OTHERS: Mapping[str, str] = {"binance": "binanceusdm"}
"""ccxt's name of a client for perpetual contracts, where it is not that of the exchange."""
PLACES: Mapping[str, str] = {"binance": "binance_perpetual"}
"""The sandbox's name of the host of perpetual contracts, where it is not that of the exchange."""

SIDES_COUNTED: Mapping[str, int] = {"bybit": 2}
"""Where ccxt shows how much is open on both sides of all positions together."""

Ours = Callable[[type[BaseClient], str, Callable[[Any], Awaitable[Any]]], Any]
Theirs = Callable[[str, str], Any]


@pytest.fixture
def ours(sandbox: Sandbox, audit: JsonLinesAuditLog, time: VirtualTime) -> Ours:
    """Return a function that asks a client of ours."""

    def ask(client: type[BaseClient], place: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def asking() -> Any:
            url = sandbox.urls[place]
            async with client(None, audit=audit, base_url=url, clock=time, monotonic=time, sleep=time.sleep) as opened:
                return await work(opened)

        return asyncio.run(asking())

    return ask


@pytest.fixture
def theirs(sandbox: Sandbox) -> Iterator[Theirs]:
    """Build ccxt clients that speak to the sandbox, and close them."""
    clients: list[Any] = []

    def build(name: str, place: str) -> Any:
        client = getattr(ccxt, name)()
        client.urls["api"] = moved(client.urls["api"], sandbox.urls[place])
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


def spot_of(ours: Ours, exchange: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
    return ours(CLIENTS[exchange], exchange, work)


def perpetual_of(ours: Ours, exchange: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
    return ours(PERPETUAL_CLIENTS[exchange], PLACES.get(exchange, exchange), work)


def other_perpetual(theirs: Theirs, exchange: str) -> Any:
    return theirs(OTHERS.get(exchange, exchange), PLACES.get(exchange, exchange))


@pytest.mark.parametrize("exchange", SPOT)
def test_trades_are_those_that_ccxt_reads(ours: Ours, theirs: Theirs, exchange: str) -> None:
    found = spot_of(ours, exchange, lambda client: client.read_trades("BTC-USDT"))

    other = theirs(exchange, exchange).fetch_trades("BTC/USDT", limit=len(found))

    assert [(one["id"], one["timestamp"], one["price"], one["amount"]) for one in other] == [
        (one.trade_id, one.time_ms, float(one.price), float(one.quantity)) for one in found
    ]
    agree = {one["side"] == str(taken.taker_side) for one, taken in zip(other, found, strict=True)}
    assert agree == {exchange not in HANDS_ON_THE_MAKERS_SIDE}
    assert {one.taker_side for one in found} == set(Side)


@pytest.mark.parametrize("exchange", SPOT)
def test_a_book_is_the_one_that_ccxt_reads(ours: Ours, theirs: Theirs, exchange: str) -> None:
    found = spot_of(ours, exchange, lambda client: client.read_book("ETH-USDT", 20))

    other = theirs(exchange, exchange).fetch_order_book("ETH/USDT", limit=20)

    assert [level[:2] for level in other["bids"]] == [[float(price), float(size)] for price, size in found.bids]
    assert [level[:2] for level in other["asks"]] == [[float(price), float(size)] for price, size in found.asks]
    assert other["timestamp"] == found.time_ms


@pytest.mark.parametrize("exchange", SPOT)
def test_a_quote_is_that_of_ccxts_ticker(ours: Ours, theirs: Theirs, exchange: str) -> None:
    """Its amounts too, where the exchange's ticker has them; Coinbase's has none."""
    found = spot_of(ours, exchange, lambda client: client.read_quote("SOL-USDT"))

    other = theirs(exchange, exchange).fetch_ticker("SOL/USDT")

    assert (other["bid"], other["ask"]) == (float(found.bid), float(found.ask))
    if exchange != "coinbase":
        assert (other["bidVolume"], other["askVolume"]) == (float(found.bid_quantity), float(found.ask_quantity))


@pytest.mark.parametrize("exchange", PERPETUALS)
def test_funding_rates_are_those_that_ccxt_reads(ours: Ours, theirs: Theirs, exchange: str) -> None:
    start_ms = NOW_MS - 20 * DAY_MS
    found = perpetual_of(ours, exchange, lambda client: client.read_funding_rates("BTC-USDT", start_ms, NOW_MS))

    other = other_perpetual(theirs, exchange).fetch_funding_rate_history("BTC/USDT:USDT", since=start_ms, limit=100)

    assert [(one["timestamp"], one["fundingRate"]) for one in other] == [
        (one.time_ms, float(one.rate)) for one in found
    ]
    assert len(found) == 60


@pytest.mark.parametrize("exchange", PERPETUALS)
def test_open_interest_is_what_ccxt_reads(ours: Ours, theirs: Theirs, time: VirtualTime, exchange: str) -> None:
    """
    Ccxt's amount counts contracts at OKX; what one stands for is in its markets.

    At a full hour, because at Bybit it reads the last point of a history.
    """
    time.seconds = NOW // 3600 * 3600
    found = perpetual_of(ours, exchange, lambda client: client.read_open_interest("BTC-USDT"))

    client = other_perpetual(theirs, exchange)
    other = client.fetch_open_interest("BTC/USDT:USDT")

    size = client.market("BTC/USDT:USDT")["contractSize"] if exchange == "okx" else 1 / SIDES_COUNTED.get(exchange, 1)
    assert other["openInterestAmount"] * size == pytest.approx(float(found.quantity), rel=1e-12)


@pytest.mark.parametrize("exchange", PERPETUALS)
def test_what_is_paid_next_is_what_ccxt_reads(ours: Ours, theirs: Theirs, exchange: str) -> None:
    found = perpetual_of(ours, exchange, lambda client: client.read_mark_price("BTC-USDT"))

    other = other_perpetual(theirs, exchange).fetch_funding_rate("BTC/USDT:USDT")

    assert (other["fundingRate"], other["fundingTimestamp"]) == (float(found.funding_rate), found.next_funding_ms)


@pytest.mark.parametrize("exchange", PERPETUALS)
def test_a_mark_price_is_the_one_that_ccxt_reads(ours: Ours, theirs: Theirs, exchange: str) -> None:
    """At Bybit it tells it with the funding rate only."""
    found = perpetual_of(ours, exchange, lambda client: client.read_mark_price("ETH-USDT"))

    client = other_perpetual(theirs, exchange)
    ask = client.fetch_funding_rate if exchange == "bybit" else client.fetch_mark_price
    other = ask("ETH/USDT:USDT")

    assert other["markPrice"] == float(found.mark_price)


@pytest.mark.parametrize("exchange", ["binance", "bybit"])
def test_an_index_price_is_the_one_that_ccxt_reads(ours: Ours, theirs: Theirs, exchange: str) -> None:
    """At OKX it tells none."""
    found = perpetual_of(ours, exchange, lambda client: client.read_mark_price("DOGE-USDT"))

    other = other_perpetual(theirs, exchange).fetch_funding_rate("DOGE/USDT:USDT")

    assert (other["indexPrice"], other["timestamp"]) == (float(found.index_price), found.time_ms)


def test_a_quote_is_that_of_ccxts_bids_and_asks(ours: Ours, theirs: Theirs) -> None:
    """Where Binance tells nothing but these."""
    found = spot_of(ours, "binance", lambda client: client.read_quote("PEPE-USDT"))

    other = theirs("binance", "binance").fetch_bids_asks(["PEPE/USDT"])["PEPE/USDT"]

    assert (other["bid"], other["bidVolume"]) == (float(found.bid), float(found.bid_quantity))
    assert (other["ask"], other["askVolume"]) == (float(found.ask), float(found.ask_quantity))
