"""What only OKX does: funding rates page by page, and limits that are counted for each contract."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.errors import MalformedAnswerError
from crypto_pipeline.exchanges import OkxClient
from crypto_pipeline.sandbox import perpetuals
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline_tests.exchanges.support import NOW, VirtualTime
from crypto_pipeline_tests.support.odd_server import odd_server

NOW_MS = int(NOW * 1000)
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

Visit = Callable[[str, Callable[[OkxClient], Awaitable[Any]]], Any]


@pytest.fixture
def visit(audit: JsonLinesAuditLog, time: VirtualTime) -> Visit:
    """Return a function that opens a client at an address, does some work with it and closes it."""

    def visit(url: str, work: Callable[[OkxClient], Awaitable[Any]]) -> Any:
        async def visiting() -> Any:
            # One connection: with several, a request would be on its way while virtual seconds pass.
            async with OkxClient(
                None, audit=audit, base_url=url, clock=time, monotonic=time, sleep=time.sleep, connections=1
            ) as client:
                return await work(client)

        return asyncio.run(visiting())

    return visit


def paid(*moments_ms: int) -> bytes:
    """Return a page of funding rates, newest first."""
    rows = [
        {"instId": "BTC-USDT-SWAP", "fundingTime": str(moment_ms), "fundingRate": "0.0002", "realizedRate": "0.0001"}
        for moment_ms in moments_ms
    ]
    return json.dumps({"code": "0", "msg": "", "data": rows}).encode()


@pytest.mark.parametrize(
    ("symbol", "days", "requests"),
    [
        pytest.param("BTC-USDT", 20, 1, id="a page that begins before the range"),
        pytest.param("PEPE-USDT", 80, 5, id="pages of 400 hours"),
        pytest.param("PEPE-USDT", 200, 7, id="all that is told, and a page that is empty"),
    ],
)
def test_pages_are_read_back_to_the_start_of_the_range_or_of_what_is_told(
    visit: Visit, sandbox: Sandbox, symbol: str, days: int, requests: int
) -> None:
    start_ms = NOW_MS - days * DAY_MS

    found = visit(sandbox.urls["okx"], lambda client: client.read_funding_rates(symbol, start_ms, NOW_MS))

    assert found[-1].time_ms == NOW_MS - NOW_MS % perpetuals.interval_ms("okx", symbol)
    assert len(sandbox.requests()) == requests


def test_no_page_is_asked_for_before_a_row_at_the_very_start(visit: Visit) -> None:
    """What is older is not wanted, and the cursor leaves out the row itself."""
    with odd_server(200, paid(NOW_MS - HOUR_MS, NOW_MS - 9 * HOUR_MS)) as server:
        found = visit(
            server.address, lambda client: client.read_funding_rates("BTC-USDT", NOW_MS - 9 * HOUR_MS, NOW_MS)
        )

    assert [rate.time_ms for rate in found] == [NOW_MS - 9 * HOUR_MS, NOW_MS - HOUR_MS]
    assert len(server.requests) == 1


def test_an_exchange_that_does_not_keep_its_cursor_is_found_out(visit: Visit) -> None:
    """The same page again and again would never end."""
    with (
        odd_server(200, paid(NOW_MS - HOUR_MS, NOW_MS - 9 * HOUR_MS)) as server,
        pytest.raises(MalformedAnswerError, match="outside of the range") as refused,
    ):
        visit(server.address, lambda client: client.read_funding_rates("BTC-USDT", NOW_MS - DAY_MS, NOW_MS))

    assert refused.value.exchange == "okx"
    assert len(server.requests) == 2


def test_a_rate_that_is_not_paid_yet_is_no_part_of_a_history(visit: Visit) -> None:
    with odd_server(200, paid(NOW_MS + HOUR_MS)) as server, pytest.raises(MalformedAnswerError, match="outside"):
        visit(server.address, lambda client: client.read_funding_rates("BTC-USDT", NOW_MS - DAY_MS, NOW_MS))


def test_the_code_for_no_data_is_no_failure(visit: Visit) -> None:
    with odd_server(200, b'{"code":"52000","msg":"No data","data":[]}') as server:
        found = visit(server.address, lambda client: client.read_funding_rates("BTC-USDT", NOW_MS - DAY_MS, NOW_MS))

    assert found == []


def test_each_contract_has_a_limit_of_its_own(visit: Visit, sandbox: Sandbox, time: VirtualTime) -> None:
    """Ten questions in two seconds about one contract, and as many about every other one at the same time."""

    async def ask(client: OkxClient, times: int) -> float:
        before = time()
        for symbol in ("BTC-USDT", "ETH-USDT", "SOL-USDT"):
            await asyncio.gather(*(client.read_funding_rates(symbol, NOW_MS - DAY_MS, NOW_MS) for _ in range(times)))
        return time() - before

    async def twice(client: OkxClient) -> tuple[float, float]:
        return await ask(client, 10), await ask(client, 1)

    at_once, afterwards = visit(sandbox.urls["okx"], twice)

    assert at_once == 0
    assert afterwards == pytest.approx(2, abs=0.1)
    assert {request["status"] for request in sandbox.requests()} == {200}
