"""The gate by itself: when it asks, what it remembers, and what it says of a key that may not pass."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from crypto_pipeline.audit import AuditEvent, JsonLinesAuditLog
from crypto_pipeline.credentials import KeyReport
from crypto_pipeline.errors import (
    AuditError,
    ExchangeUnavailableError,
    KeyRefusedError,
    RejectedKeyError,
    UnprovenKeyError,
)
from crypto_pipeline.exchanges import CoinbaseClient
from crypto_pipeline.exchanges.gate import KeyGate
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline_tests.exchanges.support import NOW, VirtualTime, credentials_of, described, events_of

READ_ONLY = KeyReport("bybit", may=("read",))
MOMENT = datetime.fromtimestamp(NOW, UTC)


@pytest.fixture
def gate(audit: JsonLinesAuditLog) -> KeyGate:
    return KeyGate(described("bybit"), issuer="bybit", title="Bybit", audit=audit, now=lambda: NOW)


def answering(*answers: KeyReport | Exception) -> Callable[[], Awaitable[KeyReport]]:
    """Return a question that is answered so, one after the other; once more than that fails the test."""
    left = list(answers)

    async def ask() -> KeyReport:
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return ask


def test_a_verdict_is_asked_for_once(gate: KeyGate) -> None:
    ask = answering(READ_ONLY)

    async def many() -> list[KeyReport]:
        return await asyncio.gather(*(gate.prove(ask) for _ in range(5)))

    assert not gate.is_open
    assert asyncio.run(many()) == [READ_ONLY] * 5
    assert gate.is_open


def test_a_question_that_found_no_answer_is_asked_again(gate: KeyGate, audit: JsonLinesAuditLog) -> None:
    """An exchange that is down says nothing of the key."""
    ask = answering(ExchangeUnavailableError("down"), READ_ONLY)

    with pytest.raises(ExchangeUnavailableError):
        asyncio.run(gate.prove(ask))
    assert events_of(audit.path) == []
    assert asyncio.run(gate.prove(ask)) == READ_ONLY


class FullDisk:
    """A log that takes nothing until there is room."""

    def __init__(self) -> None:
        self.has_room = False
        self.events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        if not self.has_room:
            msg = "no space left"
            raise AuditError(msg)
        self.events.append(event)

    def bound(self, **_: str | None) -> FullDisk:
        return self


@pytest.mark.parametrize("answer", [READ_ONLY, RejectedKeyError("no")], ids=["accepted", "refused"])
def test_a_verdict_that_cannot_be_recorded_does_not_count(answer: KeyReport | Exception) -> None:
    """It is asked for again; neither a use nor a refusal goes unrecorded."""
    log = FullDisk()
    gate = KeyGate(described("bybit"), issuer="bybit", title="Bybit", audit=log, now=lambda: NOW)
    ask = answering(answer, READ_ONLY)

    with pytest.raises(AuditError):
        asyncio.run(gate.prove(ask))
    assert not gate.is_open
    log.has_room = True

    assert asyncio.run(gate.prove(ask)) == READ_ONLY
    assert [event.event for event in log.events] == ["key_accepted"]
    assert log.events[0].durable


def test_a_gate_that_was_shut_stays_so(gate: KeyGate) -> None:
    """The issuer has just refused a key that it had vouched for."""
    ask = answering(READ_ONLY)
    asyncio.run(gate.prove(ask))

    gate.shut(RejectedKeyError("revoked"))

    assert not gate.is_open
    with pytest.raises(RejectedKeyError, match="revoked"):
        asyncio.run(gate.prove(ask))


def test_an_error_that_is_raised_again_and_again_does_not_grow(gate: KeyGate) -> None:
    """Its trace would otherwise hold on to every caller before."""
    ask = answering(RejectedKeyError("no"))
    depths = []
    for _ in range(4):
        with pytest.raises(RejectedKeyError) as refused:
            asyncio.run(gate.prove(ask))
        depths.append(len(refused.traceback))

    assert len(set(depths[1:])) == 1


@pytest.mark.parametrize(
    ("ends", "is_over"),
    [(timedelta(seconds=-1), True), (timedelta(), True), (timedelta(seconds=1), False), (None, False)],
)
def test_a_key_that_has_ended_by_the_issuers_clock_may_not_pass(
    gate: KeyGate, ends: timedelta | None, *, is_over: bool
) -> None:
    report = KeyReport("bybit", may=("read",), expires_at=None if ends is None else MOMENT + ends)

    if is_over:
        with pytest.raises(RejectedKeyError, match="expired on 2026-03-02"):
            asyncio.run(gate.prove(answering(report)))
    else:
        assert asyncio.run(gate.prove(answering(report))) == report


def test_a_key_that_may_nothing_at_all_is_not_proved(gate: KeyGate) -> None:
    with pytest.raises(UnprovenKeyError, match="it lists nothing"):
        asyncio.run(gate.prove(answering(KeyReport("bybit", may=()))))


def test_an_unbound_bybit_key_that_ran_out_is_refused_by_its_own_date(
    sandbox: Sandbox, audit: JsonLinesAuditLog, time: VirtualTime
) -> None:
    """Bybit still answers it here, but says that it has ended."""
    from crypto_pipeline.exchanges import BybitClient

    made_ms = int(NOW * 1000) - 91 * 86_400_000
    key = sandbox.keys.issue("bybit", KeyKind.UNBOUND_IP, now_ms=sandbox.now_ms(), created_ms=made_ms)

    async def prove() -> None:
        async with BybitClient(
            credentials_of(key), audit=audit, base_url=sandbox.urls["bybit"], clock=time, monotonic=time
        ) as client:
            await client.prove_key()

    with pytest.raises(RejectedKeyError, match=r"Bybit says key 'crypto-pipeline/bybit' .* expired on 2026-03-01"):
        asyncio.run(prove())


def test_a_key_of_the_older_coinbase_api_is_refused_before_anything_is_asked(
    sandbox: Sandbox, audit: JsonLinesAuditLog, time: VirtualTime
) -> None:
    """Nobody can be asked what it may do, not even whether it is valid."""
    key = sandbox.keys.issue("coinbase_exchange", KeyKind.READ_ONLY, now_ms=sandbox.now_ms())

    async def prove_and_fetch() -> list[BaseException]:
        credentials = credentials_of(key)
        async with CoinbaseClient(
            credentials, audit=audit, base_url=sandbox.urls["coinbase"], clock=time, monotonic=time
        ) as client:
            found = await asyncio.gather(client.prove_key(), client.read_instruments(), return_exceptions=True)
        return [one for one in found if isinstance(one, BaseException)]

    refusals = asyncio.run(prove_and_fetch())

    assert [type(one) for one in refusals] == [UnprovenKeyError] * 2
    assert all(isinstance(one, KeyRefusedError) for one in refusals)
    assert "it has a passphrase, so it is a key of the older Exchange API" in str(refusals[0])
    assert "CDP" in str(refusals[0])
    assert sandbox.requests() == []
    assert [event["event"] for event in events_of(audit.path)] == ["key_refused"]
