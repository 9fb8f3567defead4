"""A client is only ever opened with a key that its issuer says can do nothing but read, and on the record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto_pipeline.access import Access
from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.credentials import ISSUERS, CredentialDescription, Credentials
from crypto_pipeline.demo.stack import parts_of
from crypto_pipeline.errors import (
    AuditError,
    ClockSkewError,
    ExcessPermissionsError,
    KeyRefusedError,
    RegionBlockedError,
    RejectedKeyError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
    UnknownSymbolError,
)
from crypto_pipeline.exchanges import CLIENTS, ISSUER_PROBES, BaseClient, OkxClient
from crypto_pipeline.redaction import Secret
from crypto_pipeline.sandbox.keys import KeyKind, SimulatedKey
from crypto_pipeline.sandbox.server import running_sandbox
from crypto_pipeline.secrets import CachedSource, CachePolicy, EnvironmentSource, RejectedVersions
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


def test_opening_it_again_and_again_is_one_read_and_a_number(deployment: Deployment) -> None:
    """A run with twenty clients was handed one credential; how often, and for how many requests, is told in the end."""
    deployment.give_key("okx")
    access = deployment.access("okx")

    for _ in range(3):
        opened(access)
    access.record_use()

    read, use = deployment.events("secret_access")
    asked = deployment.requests(key=True)
    assert (read["action"], use["action"], use["accessor"], use["asset"]) == (
        "read",
        "use",
        f"crypto_pipeline/{ASSET}",
        ASSET,
    )
    assert (use["handed_out"], use["signed_requests"]) == (3, len(asked)) == (3, 3)


def test_requests_with_a_key_that_was_replaced_on_the_way_are_told_apart(deployment: Deployment) -> None:
    access = rotating(deployment, KeyKind.REVOKED, KeyKind.READ_ONLY)

    opened(access)
    access.record_use()

    assert [
        (event["credential_version"], event["handed_out"], event["signed_requests"])
        for event in deployment.events("secret_access")
        if event["action"] == "use"
    ] == [("v1", 1, 1), ("v2", 1, 1)]


def test_what_was_never_handed_out_is_not_told(deployment: Deployment) -> None:
    access = deployment.access("okx")

    opened(access)
    access.record_use()

    assert deployment.events("secret_access") == []


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


# Perpetual contracts...


def test_contracts_are_asked_about_without_the_key_that_is_configured(deployment: Deployment) -> None:
    """All of it is public, and the host of Binance's contracts cannot say what a key may do."""
    deployment.give_key("okx")

    async def ask() -> object:
        async with deployment.access("okx").open_perpetuals(asset=ASSET) as client:
            assert client.credential is None
            return await client.read_mark_price("BTC-USDT") if isinstance(client, OkxClient) else None

    assert asyncio.run(ask()) is not None
    assert deployment.requests(key=True) == []
    assert deployment.events("secret_access") == []


def test_an_exchange_without_contracts_says_so_and_is_not_asked(deployment: Deployment) -> None:
    async def ask() -> None:
        async with deployment.access("coinbase").open_perpetuals(asset=ASSET):
            pytest.fail("there is nothing to open")

    with pytest.raises(UnknownSymbolError, match="coinbase has no linear perpetual contracts"):
        asyncio.run(ask())

    assert deployment.requests() == []


# Another version of a rejected key...


class Rotating:
    """A store whose key is another one at each reading, until it is down."""

    store = "rotating"

    def __init__(self, *keys: SimulatedKey) -> None:
        self.versions = iter(enumerate(keys, 1))

    def name_of(self, issuer: str) -> str:
        """Return its one name."""
        return f"team/{issuer}"

    def describe(self, issuer: str) -> CredentialDescription:
        """Return the description of the next version."""
        return self.read(issuer).description

    def read(self, issuer: str) -> Credentials:
        """Return the next version."""
        number, key = next(self.versions, (0, None))
        if key is None:
            msg = "The store is down."
            raise SecretStoreUnavailableError(msg)
        described = CredentialDescription(issuer, self.name_of(issuer), self.store, f"v{number}")
        return Credentials(described, {name: Secret(value) for name, value in parts_of(key).items()})


def rotating(deployment: Deployment, *kinds: KeyKind) -> Access:
    """Return the way to OKX, with a key of each kind in turn."""
    keys = [deployment.sandbox.keys.issue("okx", kind, now_ms=deployment.sandbox.now_ms()) for kind in kinds]
    return replace(deployment.access("okx"), source=Rotating(*keys))


def test_a_key_that_was_replaced_meanwhile_is_read_again_on_the_record_and_proved(deployment: Deployment) -> None:
    """The exchange rejects the old one; the new one is asked about before it is used."""
    client = opened(rotating(deployment, KeyKind.REVOKED, KeyKind.READ_ONLY))

    assert client.credential is not None
    assert client.credential.version == "v2"
    assert [
        (event["action"], event["credential_version"], event["accessor"])
        for event in deployment.events("secret_access")
    ] == [("read", "v1", f"crypto_pipeline/{ASSET}"), ("refresh", "v2", f"crypto_pipeline/{ASSET}")]
    assert [event["credential_version"] for event in deployment.events("key_accepted")] == ["v2"]


def test_another_version_that_may_do_more_is_refused_like_any_other(deployment: Deployment) -> None:
    with pytest.raises(ExcessPermissionsError, match="version v2"):
        opened(rotating(deployment, KeyKind.REVOKED, KeyKind.MAY_TRADE))


def test_a_store_that_is_down_leaves_the_rejection_as_it_is(deployment: Deployment) -> None:
    """That is what has to be told; that the store was asked in vain is on record."""
    with pytest.raises(RejectedKeyError, match="version v1"):
        opened(rotating(deployment, KeyKind.REVOKED))

    assert [(event["action"], event["success"]) for event in deployment.events("secret_access")] == [
        ("read", True),
        ("refresh", False),
    ]


def test_a_key_that_may_do_too_much_is_not_read_again(deployment: Deployment) -> None:
    """The exchange accepted it; another version is not what it needs."""
    with pytest.raises(ExcessPermissionsError):
        opened(rotating(deployment, KeyKind.MAY_TRADE, KeyKind.READ_ONLY))

    assert [event["action"] for event in deployment.events("secret_access")] == ["read"]


def test_the_clock_of_an_access_is_its_clients(deployment: Deployment) -> None:
    """A clock an hour off is noticed by the client that was opened with it."""
    source = JsonLinesAuditLog(deployment.audit_file)
    access = Access("okx", None, source, deployment.sandbox.urls["okx"], clock=lambda: deployment.clock() + 3600)

    async def read_clock() -> None:
        async with access.open(asset=ASSET) as client:
            await client.read_clock()

    with pytest.raises(ClockSkewError, match="3600 s ahead"):
        asyncio.run(read_clock())


# Keys that were rejected before...


class Shelf:
    """A store of one issuer's versions; counts how often it is asked."""

    store = "vault"

    def __init__(self, *keys: SimulatedKey) -> None:
        self.keys = list(keys)
        self.reads = 0

    def name_of(self, issuer: str) -> str:
        return f"crypto-pipeline/{issuer}"

    def describe(self, issuer: str) -> CredentialDescription:
        return CredentialDescription(issuer, self.name_of(issuer), self.store, str(len(self.keys)))

    def read(self, issuer: str) -> Credentials:
        self.reads += 1
        parts = {name: Secret(value) for name, value in parts_of(self.keys[-1]).items()}
        return Credentials(self.describe(issuer), parts)


def remembering(deployment: Deployment, shelf: Shelf, tmp_path: Path) -> Access:
    """Return an access as another process of the same host would make it."""
    memory = RejectedVersions(tmp_path / "rejected-keys.json")
    return replace(deployment.access("bybit"), source=shelf, rejected=memory)


def issued(deployment: Deployment, kind: KeyKind = KeyKind.READ_ONLY, **more: Any) -> SimulatedKey:
    return deployment.sandbox.keys.issue("bybit", kind, now_ms=deployment.sandbox.now_ms(), **more)


def test_a_rejected_version_is_not_shown_to_the_exchange_by_any_other_process(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Each further question with a dead key brings the address closer to a ban."""
    shelf = Shelf(issued(deployment, KeyKind.REVOKED))
    with pytest.raises(RejectedKeyError, match="unknown key"):
        opened(remembering(deployment, shelf, tmp_path))
    asked = len(deployment.requests())

    with pytest.raises(RejectedKeyError, match=r"was rejected at .* no other version.*keys check"):
        opened(remembering(deployment, shelf, tmp_path))

    assert len(deployment.requests()) == asked


def test_the_next_version_is_used_at_once(deployment: Deployment, tmp_path: Path) -> None:
    shelf = Shelf(issued(deployment, KeyKind.REVOKED))
    with pytest.raises(RejectedKeyError):
        opened(remembering(deployment, shelf, tmp_path))
    shelf.keys.append(issued(deployment))

    client = opened(remembering(deployment, shelf, tmp_path))

    assert client.credential is not None
    assert client.credential.version == "2"


def test_a_version_that_is_behind_a_cache_is_passed_over_for_the_one_in_the_store(
    deployment: Deployment, tmp_path: Path
) -> None:
    shelf = Shelf(issued(deployment, KeyKind.REVOKED))
    with pytest.raises(RejectedKeyError):
        opened(remembering(deployment, shelf, tmp_path))
    cached = CachedSource(shelf, policy=CachePolicy())
    cached.read("bybit")
    shelf.keys.append(issued(deployment))

    client = opened(replace(remembering(deployment, shelf, tmp_path), source=cached))

    assert client.credential is not None
    assert client.credential.version == "2"


def test_a_key_that_works_only_elsewhere_is_tried_again(deployment: Deployment, tmp_path: Path) -> None:
    """The exchange says that it is the address: once the list is mended, the same key works."""
    key = issued(deployment, addresses=("203.0.113.7",))
    shelf = Shelf(key)
    with pytest.raises(RejectedKeyError, match=r"address is not on its list.*add the address"):
        opened(remembering(deployment, shelf, tmp_path))
    key.addresses = ("127.0.0.1",)

    client = opened(remembering(deployment, shelf, tmp_path))

    assert client.credential is not None


def test_a_store_that_is_down_does_not_hide_why_a_key_was_rejected(deployment: Deployment, tmp_path: Path) -> None:
    class Down(Shelf):
        def read(self, issuer: str) -> Credentials:
            if self.reads:
                msg = "the store is down"
                raise SecretStoreUnavailableError(msg)
            return super().read(issuer)

    shelf = Down(issued(deployment, KeyKind.REVOKED))

    with pytest.raises(RejectedKeyError, match="unknown key"):
        opened(remembering(deployment, shelf, tmp_path))
