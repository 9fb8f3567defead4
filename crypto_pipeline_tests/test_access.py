"""A client is only ever opened with a key that its issuer says can do nothing but read, and on the record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto_pipeline.access import Access
from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import (
    AuditError,
    ClockSkewError,
    KeyRefusedError,
    RegionBlockedError,
    SecretNotFoundError,
)
from crypto_pipeline.exchanges import CLIENTS, ISSUER_PROBES, BaseClient
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline.sandbox.server import running_sandbox
from crypto_pipeline.secrets import EnvironmentSource
from crypto_pipeline_tests.support.deployment import Deployment
from crypto_pipeline_tests.support.environment import empty_environment

ASSET = "somebody/something"
REFUSED = (KeyKind.MAY_TRADE, KeyKind.UNKNOWN_FLAG, KeyKind.FLAG_MISSING, KeyKind.EXPIRED, KeyKind.REVOKED)
every_issuer = pytest.mark.parametrize("issuer", ISSUERS)


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Deployment]:
    """A sandbox, and the ways to it."""
    empty_environment(monkeypatch, tmp_path)
    with running_sandbox() as sandbox:
        yield Deployment(sandbox, tmp_path)


def opened(access: Access) -> BaseClient:
    """Open a client and close it again."""

    async def open_and_close() -> BaseClient:
        async with access.open(asset=ASSET) as client:
            return client

    return asyncio.run(open_and_close())


@every_issuer
def test_opening_a_client_proves_its_key_before_anybody_can_use_it(issuer: str, deployment: Deployment) -> None:
    """One signed question, to the endpoint that tells what the key may do."""
    key = deployment.give_key(issuer)

    client = opened(deployment.access(issuer))

    shown = "bearer token" if issuer == "huggingface" else key.api_key
    assert [(request["path"], request["key"]) for request in deployment.requests(key=True)] == [
        (ISSUER_PROBES[issuer].permission_endpoint.path, shown)
    ]
    assert client.credential is not None
    assert client.credential.version == "environment"


@every_issuer
@pytest.mark.parametrize("kind", REFUSED)
def test_a_refused_key_never_reaches_the_caller_and_nothing_else_is_asked(
    issuer: str, kind: KeyKind, deployment: Deployment
) -> None:
    """The exchange was asked for its time, and once with the key for what it may do."""
    deployment.give_key(issuer, kind)
    probe = ISSUER_PROBES[issuer]

    with pytest.raises(KeyRefusedError, match=f"{issuer.upper()}_"):
        opened(deployment.access(issuer))

    time_path = probe.time_endpoint.path if probe.time_endpoint else None
    asked = [request["path"] for request in deployment.requests()]
    assert [path for path in asked if path != time_path] == [probe.permission_endpoint.path]
    assert [event["credential_version"] for event in deployment.events("key_refused")] == ["environment"]


@pytest.mark.parametrize("issuer", CLIENTS)
def test_without_a_key_no_secret_is_read_and_nothing_is_asked(issuer: str, deployment: Deployment) -> None:
    """Opening costs nothing, and leaves no trace of a credential."""
    access = deployment.access(issuer)

    client = opened(access)

    assert not access.has_key
    assert client.credential is None
    assert deployment.requests() == []
    assert deployment.events() == []


def test_what_a_client_without_a_key_asks_carries_none(deployment: Deployment) -> None:
    async def ask() -> None:
        async with deployment.access("binance").open(asset=ASSET) as client:
            await client.read_instruments()

    asyncio.run(ask())

    assert deployment.requests(key=False) == deployment.requests() != []
    assert {event["signed"] for event in deployment.events("api_call")} == {False}
    assert deployment.events("secret_access") == []


@every_issuer
def test_the_record_says_who_read_what_for_which_asset(issuer: str, deployment: Deployment) -> None:
    """The read comes first; everything that is done with the key names its version."""
    deployment.give_key(issuer)
    access = deployment.access(issuer)

    opened(access)

    first, *others = deployment.events()
    assert access.has_key
    assert {
        name: first[name] for name in ("event", "action", "success", "accessor", "asset", "credential_version")
    } == {
        "event": "secret_access",
        "action": "read",
        "success": True,
        "accessor": f"crypto_pipeline/{ASSET}",
        "asset": ASSET,
        "credential_version": "environment",
    }
    assert others[-1]["event"] == "key_accepted"
    assert {(event["asset"], event["credential_version"]) for event in others} == {(ASSET, "environment")}


def test_describing_a_credential_asks_nobody_and_is_on_record(deployment: Deployment) -> None:
    key = deployment.give_key("okx")

    described = deployment.access("okx").describe(asset=ASSET)

    assert described is not None
    assert (described.issuer, described.name, described.store) == ("okx", "OKX_API_KEY", "environment")
    assert key.api_secret not in str(described)
    assert deployment.requests() == []
    assert [(event["action"], event["accessor"], event["asset"]) for event in deployment.events()] == [
        ("describe", f"crypto_pipeline/{ASSET}", ASSET)
    ]


def test_without_a_key_there_is_nothing_to_describe(deployment: Deployment) -> None:
    assert deployment.access("okx").describe(asset=ASSET) is None
    assert deployment.events() == []


def test_a_read_that_cannot_be_recorded_asks_nobody(deployment: Deployment) -> None:
    """A folder stands where the record should be."""
    deployment.give_key("binance")
    deployment.audit_file.mkdir()

    with pytest.raises(AuditError):
        opened(deployment.access("binance"))

    assert deployment.requests() == []


def test_a_credential_that_is_not_there_is_a_failed_read_on_record(deployment: Deployment) -> None:
    access = Access("bybit", EnvironmentSource({}), JsonLinesAuditLog(deployment.audit_file))

    with pytest.raises(SecretNotFoundError):
        opened(access)

    assert [(event["success"], event["error"], event["asset"]) for event in deployment.events()] == [
        (False, "SecretNotFoundError", ASSET)
    ]


def test_an_exchange_that_cannot_be_asked_about_a_key_is_asked_nothing_else(deployment: Deployment) -> None:
    """What is not proved is not used, whoever is to blame."""
    deployment.give_key("bybit")
    deployment.sandbox.add_fault("bybit", "region_block", path_prefix="/v5/user/")

    with pytest.raises(RegionBlockedError):
        opened(deployment.access("bybit"))

    assert {request["path"] for request in deployment.requests()} == {"/v5/market/time", "/v5/user/query-api"}
    assert deployment.events("key_accepted") == deployment.events("key_refused") == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_client_is_closed_when_its_caller_is_done_or_has_failed(fails: bool, deployment: Deployment) -> None:
    """A connection that stays open would be found by nobody."""

    async def use() -> None:
        seen: list[BaseClient] = []
        try:
            async with deployment.access("okx").open(asset=ASSET) as client:
                seen.append(client)
                _ = 1 / (not fails)
        except ZeroDivisionError:
            assert fails
        with pytest.raises(RuntimeError, match="closed"):
            await seen[0].read_instruments()

    asyncio.run(use())

    assert deployment.requests() == []


def test_the_clock_of_an_access_is_its_clients(deployment: Deployment) -> None:
    """A clock an hour off is noticed by the client that was opened with it."""
    source = JsonLinesAuditLog(deployment.audit_file)
    access = Access("okx", None, source, deployment.sandbox.urls["okx"], clock=lambda: deployment.clock() + 3600)

    async def read_clock() -> None:
        async with access.open(asset=ASSET) as client:
            await client.read_clock()

    with pytest.raises(ClockSkewError, match="3600 s ahead"):
        asyncio.run(read_clock())
