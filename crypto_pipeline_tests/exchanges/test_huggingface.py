"""The Hub's client: an issuer of tokens without market data, against its sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.errors import (
    BannedError,
    CryptoPipelineError,
    ExcessPermissionsError,
    ExchangeUnavailableError,
    RateLimitedError,
    RegionBlockedError,
    RejectedKeyError,
    UnknownSymbolError,
    UnprovenKeyError,
)
from crypto_pipeline.exchanges import HuggingFaceClient
from crypto_pipeline.sandbox.keys import KeyKind, SimulatedKey
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline_tests.exchanges.support import VirtualTime, credentials_of, events_of, secrets_of

Visit = Callable[..., Any]
Work = Callable[[HuggingFaceClient], Awaitable[Any]]


@pytest.fixture
def visit(sandbox: Sandbox, audit: JsonLinesAuditLog, time: VirtualTime) -> Visit:
    """Return a function that opens a client, with a token if one is given, and does some work with it."""

    def visit(work: Work, key: SimulatedKey | None = None) -> Any:
        async def visiting() -> Any:
            client = HuggingFaceClient(
                credentials_of(key) if key else None,
                audit=audit,
                base_url=sandbox.urls["huggingface"],
                clock=time,
                monotonic=time,
                sleep=time.sleep,
                attempts=3,
            )
            async with client:
                return await work(client)

        return asyncio.run(visiting())

    return visit


def issue(sandbox: Sandbox, kind: KeyKind = KeyKind.READ_ONLY) -> SimulatedKey:
    return sandbox.keys.issue("huggingface", kind, now_ms=sandbox.now_ms())


def prove(client: HuggingFaceClient) -> Awaitable[Any]:
    return client.prove_key()


@pytest.mark.parametrize("kind", [KeyKind.READ_ONLY, KeyKind.OLD, KeyKind.UNBOUND_IP])
def test_a_token_that_may_only_read_is_accepted(visit: Visit, sandbox: Sandbox, kind: KeyKind) -> None:
    report = visit(prove, issue(sandbox, kind))

    assert report.is_read_only
    assert report.may == ("read",)
    assert report.created_at is not None
    assert report.label
    assert len(sandbox.requests()) == 1


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        (KeyKind.MAY_TRADE, ExcessPermissionsError, "may write (write)"),
        (KeyKind.UNKNOWN_FLAG, ExcessPermissionsError, "may write (repo.write)"),
        (KeyKind.FLAG_MISSING, UnprovenKeyError, "role is missing"),
        (KeyKind.EXPIRED, RejectedKeyError, "unknown or ended"),
        (KeyKind.REVOKED, RejectedKeyError, "unknown or ended"),
    ],
)
def test_any_other_token_is_refused(
    visit: Visit, sandbox: Sandbox, audit: JsonLinesAuditLog, kind: KeyKind, error: type[CryptoPipelineError], text: str
) -> None:
    key = issue(sandbox, kind)

    with pytest.raises(error, match=r"^Hugging Face .*'crypto-pipeline/huggingface'") as refused:
        visit(prove, key)

    assert not any(secret in str(refused.value) + audit.path.read_text() for secret in secrets_of(key))
    assert text in str(refused.value)
    assert len(sandbox.requests()) == 1
    assert [event["event"] for event in events_of(audit.path)].count("key_refused") == 1


@pytest.mark.parametrize(
    ("fault", "error", "tries"),
    [
        ("status_5xx", ExchangeUnavailableError, 3),
        ("cut", ExchangeUnavailableError, 3),
        ("cut_body", ExchangeUnavailableError, 3),
        ("maintenance", ExchangeUnavailableError, 3),
        ("rate_limited", RateLimitedError, 3),
        ("banned", BannedError, 1),
        ("region_block", RegionBlockedError, 1),
        ("malformed", UnprovenKeyError, 1),
        ("redirect", UnprovenKeyError, 1),
    ],
)
def test_a_fault_becomes_its_error(
    visit: Visit, sandbox: Sandbox, fault: str, error: type[CryptoPipelineError], tries: int
) -> None:
    sandbox.add_fault("huggingface", fault)

    with pytest.raises(error, match="Hugging Face"):
        visit(prove, issue(sandbox))

    assert len(sandbox.requests()) == tries


def test_two_faults_and_then_an_answer_is_an_answer(visit: Visit, sandbox: Sandbox) -> None:
    sandbox.add_fault("huggingface", "status_5xx", times=2)

    assert visit(prove, issue(sandbox)).is_read_only
    assert len(sandbox.requests()) == 3


def test_the_hub_has_no_clock_and_is_not_asked_for_one(visit: Visit, sandbox: Sandbox) -> None:
    """Tokens carry no time, so ours may be wrong."""
    assert visit(lambda client: client.read_clock()) is not None
    assert sandbox.requests() == []


def test_the_hub_has_no_markets(visit: Visit, sandbox: Sandbox) -> None:
    assert visit(lambda client: client.read_instruments()) == []
    with pytest.raises(UnknownSymbolError, match="Hugging Face does not list BTC-USDT"):
        visit(lambda client: client.read_candles("BTC-USDT", 0, 60_000))
    assert sandbox.requests() == []


def test_without_a_token_nothing_is_asked(visit: Visit, sandbox: Sandbox) -> None:
    assert visit(prove) is None
    assert sandbox.requests() == []
