"""How questions are put: what is tried again and when, what is held back and recorded; against scripted servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.errors import (
    AuditError,
    BannedError,
    EgressDeniedError,
    ExchangeError,
    ExchangeUnavailableError,
    RateLimitedError,
    RejectedKeyError,
    RequestRefusedError,
    UnprovenKeyError,
)
from crypto_pipeline.exchanges import CLIENTS, BaseClient
from crypto_pipeline.exchanges.asking import LONGEST_WAIT_SECONDS, Endpoint
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing, SimulatedKey
from crypto_pipeline.transport import SlidingWindow, Ticket
from crypto_pipeline.transport.budget import NO_HEADERS
from crypto_pipeline_tests.exchanges.support import NOW, VirtualTime, credentials_of, events_of, secrets_of
from crypto_pipeline_tests.transport.servers import Heard, answer, serving

TIME = {
    "/api/v3/time": json.dumps({"serverTime": int(NOW * 1000)}).encode(),
    "/api/v3/brokerage/time": json.dumps({"epochMillis": str(int(NOW * 1000))}).encode(),
}
CAN_VIEW = b'{"can_view":true,"can_trade":false,"can_transfer":false}'
Script = dict[str, list[bytes]]


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Heard]:
    """Serve each path's answers one after the other, the last one for ever; clocks are always right."""
    turn: defaultdict[str, int] = defaultdict(int)

    async def speak(head: bytes, writer: asyncio.StreamWriter) -> None:
        path = head.split(b" ")[1].decode().partition("?")[0]
        said = script.get(path, [answer(TIME[path])] if path in TIME else [answer(status="404 Not Found")])
        writer.write(said[min(turn[path], len(said) - 1)])
        turn[path] += 1

    async with serving(speak) as server:
        yield server


def visit(
    exchange: str,
    script: Script,
    audit: JsonLinesAuditLog,
    time: VirtualTime,
    work: Callable[[BaseClient, Heard], Awaitable[Any]],
    key: SimulatedKey | None = None,
    **options: Any,
) -> Any:
    """Open a client of an exchange that answers by a script, and do some work with it."""

    async def visiting() -> Any:
        async with scripted(script) as server:
            client = CLIENTS[exchange](
                credentials_of(key) if key else None,
                audit=audit,
                base_url=f"http://127.0.0.1:{server.port}",
                clock=time,
                monotonic=time,
                sleep=time.sleep,
                **options,
            )
            async with client:
                return await work(client, server)

    return asyncio.run(visiting())


@pytest.fixture
def coinbase_key() -> SimulatedKey:
    return KeyRing().issue("coinbase", KeyKind.READ_ONLY, now_ms=int(NOW * 1000))


@pytest.fixture
def binance_key() -> SimulatedKey:
    return KeyRing().issue("binance", KeyKind.READ_ONLY, now_ms=int(NOW * 1000))


async def candles(client: BaseClient, _: Heard) -> Any:
    return await client.read_candles("BTC-USDT", 60_000, 120_000)


def requested(server: Heard, path: str) -> list[bytes]:
    """Return the heads of the requests for a path."""
    return [head for head in server.heads if head.split(b" ")[1].startswith(path.encode())]


BUSY = answer(b"{}", status="503 Service Unavailable")
KLINES = "/api/v3/klines"


# Trying again...


def test_waits_grow_and_differ(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    """Callers that failed together must not come back together."""
    waits: list[list[float]] = []
    for _ in range(12):
        time.slept.clear()
        with pytest.raises(ExchangeUnavailableError):
            visit("binance", {KLINES: [BUSY]}, audit, time, candles)
        waits.append(list(time.slept))

    assert {len(one) for one in waits} == {4}
    assert all(0.1 <= wait <= 0.5 * 2**attempt for one in waits for attempt, wait in enumerate(one, 1))
    assert len({one[0] for one in waits}) == 12
    assert max(one[3] for one in waits) > 1


def test_a_wait_that_the_exchange_names_is_at_least_kept(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    busy = answer(b"{}", "Retry-After: 20", status="503 Service Unavailable")

    found = visit("binance", {KLINES: [busy, busy, answer(b"[]")]}, audit, time, candles)

    assert found == []
    assert len([wait for wait in time.slept if wait >= 20]) == 2


def test_one_request_waits_no_longer_than_that(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    """Longer waits are for the run's own retry, which is told how long."""
    slow = answer(b"{}", "Retry-After: 40", status="429 Too Many Requests")

    with pytest.raises(RateLimitedError) as failed:
        visit("binance", {KLINES: [slow]}, audit, time, candles)

    assert failed.value.retry_after_seconds == 40
    assert time.seconds - NOW <= LONGEST_WAIT_SECONDS


def test_a_wait_that_is_too_long_holds_back_everybody_until_it_is_over(
    audit: JsonLinesAuditLog, time: VirtualTime
) -> None:
    """Nobody hangs for an hour, and nobody runs into the same wall; afterwards it is asked again."""
    slow = answer(b"{}", "Retry-After: 3600", status="429 Too Many Requests")

    async def work(client: BaseClient, server: Heard) -> int:
        for _ in range(3):
            with pytest.raises(RateLimitedError):
                await candles(client, server)
        with pytest.raises(RateLimitedError):
            await client.read_instruments()
        assert len(server.heads) == 1
        time.seconds += 3600
        assert await candles(client, server) == []
        return len(server.heads)

    assert visit("binance", {KLINES: [slow, answer(b"[]")]}, audit, time, work) == 2
    assert time.slept == []


def test_after_a_ban_nothing_is_sent_until_it_is_over(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    banned = answer(b'{"code":-1003,"msg":"banned"}', "Retry-After: 120", status="418 I'm a teapot")

    async def work(client: BaseClient, server: Heard) -> int:
        together = await asyncio.gather(*(candles(client, server) for _ in range(3)), return_exceptions=True)
        with pytest.raises(BannedError):
            await client.read_clock()
        assert {type(one) for one in together} == {BannedError}
        asked = len(server.heads)
        time.seconds += 119
        with pytest.raises(BannedError):
            await candles(client, server)
        assert len(server.heads) == asked
        time.seconds += 2
        assert await candles(client, server) == []
        return asked

    asked = visit("binance", {KLINES: [banned, answer(b"[]")]}, audit, time, work, connections=1)

    assert asked == 1


def test_an_address_that_is_refused_without_a_reason_is_not_tested_by_this_client_again(
    audit: JsonLinesAuditLog, time: VirtualTime
) -> None:
    forbidden = answer(b"<html>", status="403 Forbidden")

    async def work(client: BaseClient, server: Heard) -> int:
        for _ in range(2):
            with pytest.raises(BannedError):
                await candles(client, server)
            time.seconds += 1e6
        return len(server.heads)

    assert visit("binance", {KLINES: [forbidden]}, audit, time, work) == 1


def test_callers_that_waited_for_the_budget_are_stopped_by_a_ban_too(
    audit: JsonLinesAuditLog, time: VirtualTime
) -> None:
    """They were in the queue before it; their turn comes after it."""
    banned = answer(b"403, access too frequent", status="403 Forbidden")
    one_at_a_time = SlidingWindow(1, 1, clock=time, sleep=time.sleep)

    async def work(client: BaseClient, server: Heard) -> int:
        together = await asyncio.gather(*(candles(client, server) for _ in range(8)), return_exceptions=True)
        assert {type(one) for one in together} == {BannedError}
        moment = time.seconds
        with pytest.raises(BannedError):
            await candles(client, server)
        assert time.seconds == moment  # nobody queues for what is shut
        return len(server.heads)

    # The others wait for the budget while the first one's answer comes in.
    script = {"/v5/market/kline": [banned, answer(b'{"retCode":0,"result":{"list":[]}}')]}
    assert visit("bybit", script, audit, time, work, budget=one_at_a_time) == 1


def test_a_ban_that_another_process_was_told_of_is_kept_by_this_one(
    audit: JsonLinesAuditLog, time: VirtualTime, tmp_path: Path
) -> None:
    """It asks nothing until the ban is over: each question would make it longer."""
    limits = tmp_path / "limits.sqlite"
    banned = answer(b'{"code":-1003,"msg":"banned"}', "Retry-After: 120", status="418 I'm a teapot")

    async def work(client: BaseClient, server: Heard) -> int:
        with pytest.raises(BannedError):
            await candles(client, server)
        address = f"http://127.0.0.1:{server.port}"
        other = CLIENTS["binance"](
            None, audit=audit, base_url=address, clock=time, monotonic=time, sleep=time.sleep, limits=limits
        )
        async with other:
            with pytest.raises(BannedError, match=r"banned this address until .* as another request of this host"):
                await candles(other, server)
            asked = len(server.heads)
            time.seconds += 121
            assert await candles(other, server) == []
        return asked

    assert visit("binance", {KLINES: [banned, answer(b"[]")]}, audit, time, work, limits=limits) == 1


def test_limits_are_counted_by_the_address_that_is_asked(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    """What a sandbox is asked must not slow down what an exchange is asked."""
    budget, path = CountingBudget(), Path("limits.sqlite")

    async def work(client: BaseClient, server: Heard) -> str:
        del client
        return f"http://127.0.0.1:{server.port}"

    url = visit("binance", {}, audit, time, work, budget=budget, limits=path)

    assert budget.shared == [(path, url)]


def test_a_refused_request_is_not_sent_again(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    refused = answer(b'{"code":-1120,"msg":"Invalid interval."}', status="400 Bad Request")

    async def work(client: BaseClient, server: Heard) -> int:
        with pytest.raises(RequestRefusedError, match="code -1120"):
            await candles(client, server)
        return len(server.heads)

    assert visit("binance", {KLINES: [refused]}, audit, time, work) == 1


def test_a_rejection_without_a_key_is_not_called_a_wrong_key(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    """Binance says -2015 during some bans; whoever has no key must not look for one."""
    odd = answer(b'{"code":-2015,"msg":"Invalid API-key"}', status="400 Bad Request")

    with pytest.raises(RequestRefusedError, match="Binance refused the request"):
        visit("binance", {KLINES: [odd]}, audit, time, candles)


def test_a_request_that_waits_for_a_connection_does_not_run_into_its_time_limit(audit: JsonLinesAuditLog) -> None:
    """Each answer takes 0.08 s and there is one connection: the last one waits longer than a request may take."""
    running, most = 0, 0

    async def work() -> list[Any]:
        async def speak(_: bytes, writer: asyncio.StreamWriter) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.08)
            running -= 1
            writer.write(answer(b"[]"))

        async with serving(speak) as server:
            base_url = f"http://127.0.0.1:{server.port}"
            client = CLIENTS["binance"](
                None, audit=audit, base_url=base_url, connections=1, timeout_seconds=0.6, attempts=1
            )
            async with client:
                return await asyncio.gather(*(candles(client, server) for _ in range(26)))

    assert asyncio.run(work()) == [[]] * 26
    assert most == 1


class CountingBudget:
    """A budget that lets everything pass and counts what is given and taken back."""

    def __init__(self) -> None:
        self.given: list[Ticket] = []
        self.back: list[Ticket] = []
        self.headers: list[str] = []
        self.blocked: list[float] = []
        self.shut_for: list[float] = []
        self.shared: list[tuple[Path, str]] = []

    used = 0

    async def acquire(self, weight: int = 1, key: str = "") -> Ticket:
        del weight, key
        self.given.append(Ticket(0.0))
        return self.given[-1]

    def release(self, ticket: Ticket, headers: Mapping[str, str] = NO_HEADERS) -> None:
        self.back.append(ticket)
        self.headers.append(headers.get("x-mbx-used-weight-1m", ""))

    def block(self, seconds: float) -> None:
        self.blocked.append(seconds)

    def shut(self, seconds: float) -> None:
        self.shut_for.append(seconds)

    def shut_seconds(self) -> float:
        return 0.0

    def share(self, path: Path, name: str) -> None:
        self.shared.append((path, name))

    def describe(self) -> str:
        return "counted"


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer(b"[]"), id="an answer"),
        pytest.param(BUSY, id="a failure"),
        pytest.param(answer(b"{}", status="400 Bad Request"), id="a refusal"),
        pytest.param(b"", id="nothing"),
        pytest.param(answer(b"", "Location: /", status="302 Found"), id="a redirect"),
    ],
)
def test_every_ticket_is_given_back(audit: JsonLinesAuditLog, time: VirtualTime, said: bytes) -> None:
    """A window counts from the answer, so one that is kept would fill a place for ever."""
    budget = CountingBudget()

    async def work(client: BaseClient, server: Heard) -> None:
        with contextlib.suppress(ExchangeError):
            await candles(client, server)

    visit("binance", {KLINES: [said]}, audit, time, work, budget=budget, timeout_seconds=0.1)

    assert budget.given
    assert budget.back == budget.given


def test_the_ticket_of_a_request_that_could_not_be_signed_is_given_back(
    audit: JsonLinesAuditLog, time: VirtualTime, binance_key: SimulatedKey
) -> None:
    budget = CountingBudget()
    binance_key.api_key = "a\nb"

    async def work(client: BaseClient, _: Heard) -> None:
        with pytest.raises(RejectedKeyError):
            await client.prove_key()

    visit("binance", {}, audit, time, work, binance_key, budget=budget)

    assert len(budget.given) == 3
    assert budget.back == budget.given


def test_the_budget_is_told_the_headers_of_an_answer(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    budget = CountingBudget()

    visit("binance", {KLINES: [answer(b"[]", "X-MBX-USED-WEIGHT-1M: 4711")]}, audit, time, candles, budget=budget)

    assert budget.headers == ["4711"]


def test_a_short_wait_blocks_the_budget_for_all(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    budget = CountingBudget()
    slow = answer(b"{}", "Retry-After: 5", status="429 Too Many Requests")

    visit("binance", {KLINES: [slow, answer(b"[]")]}, audit, time, candles, budget=budget)

    assert budget.blocked == [5]


# What is recorded...


def test_a_call_that_was_given_up_is_on_record_as_such(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    """It has gone out; what became of it nobody knows."""

    async def work() -> None:
        async def nothing(_: bytes, __: asyncio.StreamWriter) -> None:
            await asyncio.sleep(60)

        async with serving(nothing) as server:
            client = CLIENTS["binance"](
                None, audit=audit, base_url=f"http://127.0.0.1:{server.port}", clock=time, monotonic=time
            )
            async with client:
                task = asyncio.ensure_future(candles(client, server))
                await server.came.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(work())

    (event,) = events_of(audit.path)
    assert (event["event"], event["success"], event["error"]) == ("api_call", False, "CancelledError")


def test_an_answer_whose_call_cannot_be_recorded_is_not_used(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    """And nothing more is asked."""
    audit.path.mkdir(parents=True)

    async def work(client: BaseClient, server: Heard) -> int:
        with pytest.raises(AuditError):
            await candles(client, server)
        return len(server.heads)

    assert visit("binance", {KLINES: [answer(b"[]")]}, audit, time, work) == 1


def test_an_error_knows_exchange_endpoint_and_status(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    """Also one that comes from the network, which knows none of them."""

    async def work(client: BaseClient, server: Heard) -> ExchangeUnavailableError:
        del server
        with pytest.raises(ExchangeUnavailableError) as failed:
            await client.ask(Endpoint(KLINES))
        return failed.value

    cut = visit("binance", {KLINES: [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n["]}, audit, time, work, attempts=1,
                timeout_seconds=0.1)  # fmt: skip
    busy = visit("binance", {KLINES: [BUSY]}, audit, time, work, attempts=1)

    assert (cut.exchange, cut.endpoint, cut.status) == ("binance", KLINES, None)
    assert (busy.exchange, busy.endpoint, busy.status) == ("binance", KLINES, 503)


def test_a_path_that_is_not_the_clients_own_is_not_asked(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    async def work(client: BaseClient, server: Heard) -> int:
        with pytest.raises(EgressDeniedError, match="not on the list"):
            await client.ask(Endpoint("/api/v3/order"))
        return len(server.heads)

    assert visit("binance", {}, audit, time, work) == 0
    assert [event["error"] for event in events_of(audit.path)] == ["EgressDeniedError"]


# The key...

PERMISSIONS = "/sapi/v1/account/apiRestrictions"
SWITCHES = (
    b'"enableReading":true,"enableInternalTransfer":false,"permitsUniversalTransfer":false,'
    b'"enableSpotAndMarginTrading":false,"enableMargin":false,"enableFutures":false,"enableVanillaOptions":false'
)


def test_an_answer_that_says_two_things_proves_nothing(
    audit: JsonLinesAuditLog, time: VirtualTime, binance_key: SimulatedKey
) -> None:
    """Readers of JSON differ in which of two equal names counts."""
    both = b'{"enableWithdrawals":true,' + SWITCHES + b',"enableWithdrawals":false}'

    async def work(client: BaseClient, _: Heard) -> None:
        with pytest.raises(UnprovenKeyError, match="not JSON"):
            await client.prove_key()

    visit("binance", {PERMISSIONS: [answer(both)]}, audit, time, work, binance_key)
    once = b'{"enableWithdrawals":false,' + SWITCHES + b"}"
    report = visit("binance", {PERMISSIONS: [answer(once)]}, audit, time, lambda c, _: c.prove_key(), binance_key)
    assert report.is_read_only


@pytest.mark.parametrize("status", ["404 Not Found", "400 Bad Request", "410 Gone"])
def test_an_endpoint_that_is_gone_proves_nothing(
    audit: JsonLinesAuditLog, time: VirtualTime, binance_key: SimulatedKey, status: str
) -> None:
    """Nobody can be asked any more, so the key is not used."""

    async def work(client: BaseClient, server: Heard) -> int:
        for _ in range(2):
            with pytest.raises(UnprovenKeyError, match="nobody says what key"):
                await client.prove_key()
        return len(requested(server, PERMISSIONS))

    script = {PERMISSIONS: [answer(b"{}", status=status)]}

    assert visit("binance", script, audit, time, work, binance_key) == 1
    assert [event["event"] for event in events_of(audit.path)].count("key_refused") == 1


PRODUCTS = "/api/v3/brokerage/products/BTC-USDT/candles"
PROVED: Script = {"/api/v3/brokerage/key_permissions": [answer(CAN_VIEW)]}
DENIED = answer(b"Unauthorized\n", status="401 Unauthorized")
NO_CANDLES = answer(b'{"candles":[]}')


def test_coinbase_is_asked_once_more_with_a_fresh_token_after_a_401_to_a_proved_key(
    audit: JsonLinesAuditLog, time: VirtualTime, coinbase_key: SimulatedKey
) -> None:
    """It refuses valid tokens now and then."""

    async def work(client: BaseClient, server: Heard) -> list[bytes]:
        assert await candles(client, server) == []
        assert client.usage.retries == 1
        return requested(server, PRODUCTS)

    heads = visit("coinbase", PROVED | {PRODUCTS: [DENIED, NO_CANDLES]}, audit, time, work, coinbase_key)

    tokens = {line for head in heads for line in head.split(b"\r\n") if line.lower().startswith(b"authorization")}
    assert len(heads) == len(tokens) == 2
    assert [event["success"] for event in events_of(audit.path) if event["event"] == "api_call"][-2:] == [False, True]


def test_a_second_401_ends_the_use_of_the_key(
    audit: JsonLinesAuditLog, time: VirtualTime, coinbase_key: SimulatedKey
) -> None:
    """It was revoked; other pages that are still to come must not show it again."""

    async def work(client: BaseClient, server: Heard) -> int:
        for _ in range(3):
            with pytest.raises(RejectedKeyError, match="rotate it") as refused:
                await candles(client, server)
            assert not any(secret in str(refused.value) for secret in secrets_of(coinbase_key))
        with pytest.raises(RejectedKeyError):
            await client.prove_key()
        return len(requested(server, PRODUCTS))

    assert visit("coinbase", PROVED | {PRODUCTS: [DENIED]}, audit, time, work, coinbase_key) == 2
    assert [event["event"] for event in events_of(audit.path)].count("failed_auth") == 2


def test_coinbases_question_for_permissions_itself_is_not_asked_again(
    audit: JsonLinesAuditLog, time: VirtualTime, coinbase_key: SimulatedKey
) -> None:
    """What is not proved has no second try."""

    async def work(client: BaseClient, server: Heard) -> int:
        with pytest.raises(RejectedKeyError):
            await client.prove_key()
        return len(requested(server, "/api/v3/brokerage/key_permissions"))

    script = {"/api/v3/brokerage/key_permissions": [DENIED, answer(CAN_VIEW)]}

    assert visit("coinbase", script, audit, time, work, coinbase_key) == 1


def test_coinbases_public_answers_are_asked_for_without_its_cache(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    """They may be a second old, which matters for the candle that closed a moment ago."""
    public = "/api/v3/brokerage/market/products/BTC-USDT/candles"

    async def work(client: BaseClient, server: Heard) -> bytes:
        assert await candles(client, server) == []
        return requested(server, public)[0]

    head = visit("coinbase", {public: [NO_CANDLES]}, audit, time, work)

    assert b"cache-control: no-cache\r\n" in head.lower()
    assert b"authorization" not in head.lower()


def test_a_401_without_a_key_is_not_called_a_wrong_key(audit: JsonLinesAuditLog, time: VirtualTime) -> None:
    """Coinbase throttles with it at times."""
    public = "/api/v3/brokerage/market/products/BTC-USDT/candles"

    with pytest.raises(RequestRefusedError, match="HTTP 401"):
        visit("coinbase", {public: [DENIED]}, audit, time, candles)


def test_nothing_can_be_signed_before_the_key_is_proved(
    audit: JsonLinesAuditLog, time: VirtualTime, coinbase_key: SimulatedKey
) -> None:
    """Not even by code that forgets to ask first: the last step before the signature looks again."""

    async def work(client: BaseClient, server: Heard) -> int:
        with pytest.raises(UnprovenKeyError, match="before it was proved"):
            await client.ask(Endpoint(PRODUCTS), credentials=credentials_of(coinbase_key))
        return len(server.heads)

    assert visit("coinbase", PROVED | {PRODUCTS: [NO_CANDLES]}, audit, time, work, coinbase_key) == 0


@pytest.mark.parametrize("exchange", ["binance", "okx", "bybit"])
def test_public_data_is_asked_for_without_the_key(audit: JsonLinesAuditLog, time: VirtualTime, exchange: str) -> None:
    """A key that is not sent cannot be logged on the way."""
    key = KeyRing().issue(exchange, KeyKind.READ_ONLY, now_ms=int(NOW * 1000))
    bodies = {
        KLINES: b"[]",
        "/api/v5/public/time": b'{"code":"0","data":[{"ts":"%d"}]}' % int(NOW * 1000),
        "/api/v5/market/history-candles": b'{"code":"0","data":[]}',
        "/v5/market/kline": b'{"retCode":0,"result":{"list":[]}}',
    }

    async def work(client: BaseClient, server: Heard) -> bytes:
        assert await candles(client, server) == []
        return b"".join(server.heads)

    heads = visit(exchange, {path: [answer(body)] for path, body in bodies.items()}, audit, time, work, key)

    assert not any(secret.encode() in heads for secret in secrets_of(key))
