"""What only Bybit does: funding rates page by page from the end, and names of its own for some contracts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.errors import MalformedAnswerError, UnknownSymbolError
from crypto_pipeline.exchanges import BybitClient
from crypto_pipeline.exchanges.bybit_quotes import contract_name, spot_name
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline_tests.exchanges.support import MINUTE_MS, NOW, VirtualTime
from crypto_pipeline_tests.support.odd_server import odd_server

NOW_MS = int(NOW * 1000)
DAY_MS = 1440 * MINUTE_MS
Visit = Callable[[str, Callable[[BybitClient], Awaitable[Any]]], Any]


@pytest.fixture
def visit(audit: JsonLinesAuditLog, time: VirtualTime) -> Visit:
    """Return a function that opens a client at an address, does some work with it and closes it."""

    def visit(url: str, work: Callable[[BybitClient], Awaitable[Any]]) -> Any:
        async def visiting() -> Any:
            client = BybitClient(None, audit=audit, base_url=url, clock=time, monotonic=time, sleep=time.sleep)
            async with client:
                return await work(client)

        return asyncio.run(visiting())

    return visit


def paid(*moments_ms: int) -> bytes:
    """Return a page of funding rates, newest first."""
    rows = [
        {"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingRateTimestamp": str(moment_ms)}
        for moment_ms in moments_ms
    ]
    result = {"category": "linear", "list": rows}
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": result, "time": NOW_MS}).encode()


@pytest.mark.parametrize(
    ("quote", "spot", "contract"),
    [("USDT", "BTCUSDT", "BTCUSDT"), ("USDC", "BTCUSDC", "BTCPERP"), ("USDE", "BTCUSDE", "BTCUSDE")],
)
def test_a_contract_that_is_settled_in_usdc_has_another_name(quote: str, spot: str, contract: str) -> None:
    assert (spot_name("BTC", quote), contract_name("BTC", quote)) == (spot, contract)


def test_the_sandbox_is_asked_for_a_contract_by_its_name(visit: Visit, sandbox: Sandbox) -> None:
    """It lists none in USDC."""
    with pytest.raises(UnknownSymbolError, match="Bybit has no perpetual contract for BTC-USDC"):
        visit(sandbox.urls["bybit"], lambda client: client.read_mark_price("BTC-USDC"))

    (request,) = sandbox.requests()
    assert (request["path"], request["query"]) == ("/v5/market/tickers", "category=linear&symbol=BTCPERP")


@pytest.mark.parametrize(
    ("days", "requests"),
    [
        pytest.param(30, 2, id="a page, and nothing before it"),
        pytest.param(200, 4, id="pages of two hundred, and nothing before them"),
    ],
)
def test_pages_are_read_from_the_end_until_there_is_nothing_more(
    visit: Visit, sandbox: Sandbox, days: int, requests: int
) -> None:
    """Each ends just before the first rate of the one after it."""
    start_ms = NOW_MS - days * DAY_MS

    found = visit(sandbox.urls["bybit"], lambda client: client.read_funding_rates("BTC-USDT", start_ms, NOW_MS))

    queries = [request["query"] for request in sandbox.requests()]
    assert len(queries) == requests
    assert all(f"&startTime={start_ms}&" in query and query.endswith("&limit=200") for query in queries)
    assert f"&endTime={NOW_MS - 1}&" in queries[0]
    assert f"&endTime={found[0].time_ms - 1}&" in queries[-1]


def test_nothing_more_is_asked_for_when_the_first_moment_is_told(visit: Visit) -> None:
    with odd_server(200, paid(1999, 1000)) as server:
        found = visit(server.address, lambda client: client.read_funding_rates("BTC-USDT", 1000, 2000))

    assert [rate.time_ms for rate in found] == [1000, 1999]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("moments", "requests"),
    [
        pytest.param((2000,), 1, id="at the end"),
        pytest.param((999,), 1, id="before the start"),
        pytest.param((1500,), 2, id="the same page again"),
    ],
)
def test_rates_from_outside_of_the_range_are_refused(visit: Visit, moments: tuple[int, ...], requests: int) -> None:
    """An exchange that does not heed the range may leave out what is in it, or never come to an end."""
    with odd_server(200, paid(*moments)) as server, pytest.raises(MalformedAnswerError, match="outside of the range"):
        visit(server.address, lambda client: client.read_funding_rates("BTC-USDT", 1000, 2000))

    assert len(server.requests) == requests


def test_open_interest_and_mark_price_come_from_the_ticker(visit: Visit, sandbox: Sandbox) -> None:
    """The history of open interest is up to five minutes old, and has no value."""

    async def both(client: BybitClient) -> tuple[int | None, int | None]:
        return (await client.read_open_interest("BTC-USDT")).time_ms, (await client.read_mark_price("BTC-USDT")).time_ms

    assert visit(sandbox.urls["bybit"], both) == (NOW_MS, NOW_MS)
    assert {request["path"] for request in sandbox.requests()} == {"/v5/market/tickers"}
