"""What only Binance USD-M does: a host without keys, funding rates page by page, and two limits at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.errors import (
    BannedError,
    EgressDeniedError,
    ExchangeError,
    MalformedAnswerError,
    RequestRefusedError,
    UnknownSymbolError,
    UnprovenKeyError,
)
from crypto_pipeline.exchanges import BinanceClient, BinancePerpetualClient
from crypto_pipeline.exchanges.quotes import SpotQuotes
from crypto_pipeline.sandbox import perpetuals
from crypto_pipeline.sandbox.binance_perpetual import told_ms
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline.transport.egress import rules_for
from crypto_pipeline_tests.exchanges.support import MINUTE_MS, NOW, VirtualTime, credentials, events_of
from crypto_pipeline_tests.transport.servers import Heard, answer, serving

NOW_MS = int(NOW * 1000)
DAY_MS = 1440 * MINUTE_MS
FUNDING, PREMIUM = "/fapi/v1/fundingRate", "/fapi/v1/premiumIndex"
UNKNOWN = answer(b'{"code":-1121,"msg":"Invalid symbol."}', status="400 Bad Request")

Work = Callable[[BinancePerpetualClient], Awaitable[Any]]
Visit = Callable[[Work], Any]
Script = dict[str, list[bytes]]


def opened(url: str, audit: JsonLinesAuditLog, time: VirtualTime) -> BinancePerpetualClient:
    return BinancePerpetualClient(None, audit=audit, base_url=url, clock=time, monotonic=time, sleep=time.sleep)


@pytest.fixture
def visit(sandbox: Sandbox, audit: JsonLinesAuditLog, time: VirtualTime) -> Visit:
    """Return a function that opens a client at the sandbox, does some work with it and closes it."""

    def visit(work: Work) -> Any:
        async def visiting() -> Any:
            async with opened(sandbox.urls["binance_perpetual"], audit, time) as client:
                return await work(client)

        return asyncio.run(visiting())

    return visit


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Heard]:
    """Serve each path's answers one after the other, the last one for ever."""
    turns = dict.fromkeys(script, 0)

    async def speak(head: bytes, writer: asyncio.StreamWriter) -> None:
        path = head.split(b" ")[1].decode().partition("?")[0]
        said = script[path]
        writer.write(said[min(turns[path], len(said) - 1)])
        turns[path] += 1

    async with serving(speak) as server:
        yield server


def told(script: Script, audit: JsonLinesAuditLog, time: VirtualTime, work: Work) -> tuple[Any, list[str]]:
    """Return what comes of some work with a client whose exchange answers by a script, and what was asked for."""

    async def visiting() -> tuple[Any, list[str]]:
        async with scripted(script) as server, opened(f"http://127.0.0.1:{server.port}", audit, time) as client:
            try:
                found: Any = await work(client)
            except ExchangeError as error:
                found = error
            return found, [head.split(b" ")[1].decode() for head in server.heads]

    return asyncio.run(visiting())


def paid(*moments_ms: int) -> bytes:
    """Return a page of funding rates."""
    rows = [
        {"symbol": "BTCUSDT", "fundingTime": moment_ms, "fundingRate": "0.00010000", "markPrice": "9.00000000"}
        for moment_ms in moments_ms
    ]
    return answer(json.dumps(rows).encode())


def paths(sandbox: Sandbox) -> list[str]:
    return [request["path"] for request in sandbox.requests()]


# The host...


def test_a_key_is_refused_before_anything_is_asked(audit: JsonLinesAuditLog) -> None:
    """Its name and version are told; its value is not."""
    key = credentials("binance", api_key="planted-key", api_secret="planted-secret")

    with pytest.raises(UnprovenKeyError, match="'crypto-pipeline/binance'") as refused:
        BinancePerpetualClient(key, audit=audit)

    assert "version v7" in str(refused.value)
    assert "planted" not in str(refused.value)
    assert events_of(audit.path) == []


@pytest.mark.parametrize(
    "path", ["/fapi/v1/order", "/fapi/v2/account", "/api/v3/time", "/sapi/v1/account/apiRestrictions"]
)
def test_nothing_else_can_be_asked_of_the_host(path: str) -> None:
    address, table = rules_for(BinancePerpetualClient.host, BinancePerpetualClient.paths)

    with pytest.raises(EgressDeniedError):
        table.check("GET", f"{address}{path}")
    with pytest.raises(EgressDeniedError):
        table.check("POST", f"{address}{FUNDING}")


def test_the_host_has_no_spot_markets(visit: Visit, sandbox: Sandbox) -> None:
    """Whoever takes it for a client of spot markets finds none."""

    async def look(client: BinancePerpetualClient) -> list[Any]:
        assert not isinstance(client, SpotQuotes)
        return await client.read_instruments()

    assert visit(look) == []
    with pytest.raises(UnknownSymbolError, match="Binance USD-M does not list BTC-USDT"):
        visit(lambda client: client.read_candles("BTC-USDT", NOW_MS - MINUTE_MS, NOW_MS))
    assert sandbox.requests() == []


def test_the_hosts_clock_is_its_own(visit: Visit, sandbox: Sandbox) -> None:
    sandbox.add_fault("binance_perpetual", "clock", amount=7)

    found = visit(lambda client: client.read_clock())

    assert found.timestamp() == pytest.approx(NOW + 7, abs=1)
    assert paths(sandbox) == ["/fapi/v1/time"] * 2


def test_a_fault_is_told_of_the_right_host(visit: Visit, sandbox: Sandbox) -> None:
    """The two hosts of Binance count and ban apart."""
    sandbox.add_fault("binance_perpetual", "banned", times=1)

    with pytest.raises(BannedError, match="Binance USD-M banned this address until") as banned:
        visit(lambda client: client.read_mark_price("BTC-USDT"))

    assert banned.value.exchange == "binance"
    assert banned.value.endpoint == PREMIUM


# Funding...


@pytest.mark.parametrize(
    ("days", "requests"),
    [
        pytest.param(30, 2, id="a page, and nothing after it"),
        pytest.param(700, 4, id="pages of a thousand, and nothing after them"),
    ],
)
def test_pages_are_read_from_the_start_until_there_is_nothing_more(
    visit: Visit, sandbox: Sandbox, days: int, requests: int
) -> None:
    """Each begins just after the last rate of the one before, and asks for as many as there may be."""
    start_ms = NOW_MS - days * DAY_MS

    found = visit(lambda client: client.read_funding_rates("BTC-USDT", start_ms, NOW_MS))

    due = [told_ms("BTC-USDT", moment) for moment in perpetuals.payments("binance", "BTC-USDT", start_ms, NOW_MS)]
    assert [rate.time_ms for rate in found] == due
    queries = [request["query"] for request in sandbox.requests()]
    assert len(queries) == requests
    assert all(query.endswith(f"&endTime={NOW_MS - 1}&limit=1000") for query in queries)
    assert f"startTime={start_ms}&" in queries[0]
    assert f"startTime={found[-1].time_ms + 1}&" in queries[-1]


def test_nothing_more_is_asked_for_when_the_last_moment_is_told(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    found, asked = told(
        {FUNDING: [paid(1000, 1999)]}, audit, time, lambda client: client.read_funding_rates("BTC-USDT", 1000, 2000)
    )

    assert [rate.time_ms for rate in found] == [1000, 1999]
    assert len(asked) == 1


def test_a_page_that_is_shorter_than_asked_for_is_not_taken_for_the_last(
    audit: JsonLinesAuditLog, time: VirtualTime
) -> None:
    """Were the exchange to give fewer rows at once one day, nothing would be lost."""
    script = {FUNDING: [paid(1000), paid(2000, 3000), answer(b"[]")]}

    found, asked = told(script, audit, time, lambda client: client.read_funding_rates("BTC-USDT", 1, 9000))

    assert [rate.time_ms for rate in found] == [1000, 2000, 3000]
    assert len(asked) == 3


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param([paid(999)], id="before the range"),
        pytest.param([paid(2000)], id="at its end"),
        pytest.param([paid(1000, 1500), paid(1000, 1500)], id="the same page again"),
    ],
)
def test_rates_from_outside_of_the_range_are_refused(
    audit: JsonLinesAuditLog, time: VirtualTime, pages: list[bytes]
) -> None:
    """An exchange that does not heed the range may leave out what is in it, or never come to an end."""
    found, asked = told({FUNDING: pages}, audit, time, lambda client: client.read_funding_rates("BTC-USDT", 1000, 2000))

    assert isinstance(found, MalformedAnswerError)
    assert "outside of the range" in str(found)
    assert found.exchange == "binance"
    assert len(asked) == len(pages)


def test_where_nothing_was_paid_it_is_asked_whether_there_is_a_contract(visit: Visit, sandbox: Sandbox) -> None:
    """It is not documented whether an unknown symbol is refused where funding is asked for."""
    found = visit(lambda client: client.read_funding_rates("BTC-USDT", NOW_MS, NOW_MS + 1000))

    assert found == []
    assert paths(sandbox) == [FUNDING, PREMIUM]


def test_an_unknown_contract_is_named_also_where_the_answer_is_only_empty(
    audit: JsonLinesAuditLog, time: VirtualTime
) -> None:
    script = {FUNDING: [answer(b"[]")], PREMIUM: [UNKNOWN]}

    found, _ = told(script, audit, time, lambda client: client.read_funding_rates("BTC-USDT", 1000, 2000))

    assert isinstance(found, UnknownSymbolError)
    assert "no perpetual contract for BTC-USDT" in str(found)


def test_a_contract_that_is_not_traded_is_named(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    """After a delisting, for example."""
    closed = b'{"code":-4108,"msg":"Symbol is on delivering or delivered or settling or closed or pre-trading."}'
    script = {"/fapi/v1/openInterest": [answer(closed, status="400 Bad Request")]}

    found, _ = told(script, audit, time, lambda client: client.read_open_interest("BTC-USDT"))

    assert isinstance(found, UnknownSymbolError)


def test_another_refusal_stays_what_it_is(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    """A parameter that we got wrong is our fault, not the symbol's."""
    script = {PREMIUM: [answer(b'{"code":-1104,"msg":"Too many parameters."}', status="400 Bad Request")]}

    found, _ = told(script, audit, time, lambda client: client.read_mark_price("BTC-USDT"))

    assert isinstance(found, RequestRefusedError)
    assert found.code == "-1104"


# Limits...


def test_a_question_for_funding_counts_twice_and_no_other_one(visit: Visit) -> None:
    """What 500 of them in five minutes come to, is tried in `transport/test_joint.py`."""

    async def ask(client: BinancePerpetualClient) -> list[str]:
        await client.read_mark_price("BTC-USDT")
        await client.read_open_interest("BTC-USDT")
        other = client.usage.budget
        await client.read_funding_rates("BTC-USDT", NOW_MS - DAY_MS, NOW_MS)
        return [other, client.usage.budget]

    assert visit(ask) == [
        "weight 2 used, at most 2400 per minute; funding: 0 requests, at most 500 per 300 s",
        "weight 4 used, at most 2400 per minute; funding: 2 requests, at most 500 per 300 s",
    ]


def test_what_others_use_of_the_minute_counts(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    """As far as the host's answers tell it: with hardly anything left, the next minute is waited for."""
    premium = {
        "symbol": "BTCUSDT", "markPrice": "1", "indexPrice": "1", "lastFundingRate": "0", "nextFundingTime": 0,
        "time": NOW_MS,
    }  # fmt: skip
    used = answer(json.dumps(premium).encode(), "X-MBX-USED-WEIGHT-1M: 2352")

    async def twice(client: BinancePerpetualClient) -> tuple[float, float]:
        begun = time()
        await client.read_mark_price("BTC-USDT")
        first = time()
        await client.read_mark_price("BTC-USDT")
        return first - begun, time() - begun

    (first, second), _ = told({PREMIUM: [used]}, audit, time, twice)

    assert first == 0
    assert 29 < second < 31


def test_both_limits_are_told(audit: JsonLinesAuditLog) -> None:
    told_of = BinancePerpetualClient(None, audit=audit).usage.budget

    assert told_of == "weight 0 used, at most 2400 per minute; funding: 0 requests, at most 500 per 300 s"


def test_the_hosts_of_binance_share_no_limit(audit: JsonLinesAuditLog) -> None:
    assert BinanceClient.host != BinancePerpetualClient.host
    assert "6000" in BinanceClient(None, audit=audit).usage.budget
