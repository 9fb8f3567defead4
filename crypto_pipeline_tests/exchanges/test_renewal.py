"""A key that is rejected is replaced by another version of it, proved anew, and nothing fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.credentials import CredentialDescription, Credentials, KeyReport
from crypto_pipeline.errors import ExcessPermissionsError, RejectedKeyError
from crypto_pipeline.exchanges import CLIENTS, BaseClient
from crypto_pipeline.exchanges.asking import Renew
from crypto_pipeline.sandbox.keys import KeyKind, SimulatedKey
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline_tests.exchanges.support import MINUTE_MS, NOW, VirtualTime, credentials_of, events_of

START_MS = int(NOW * 1000) // MINUTE_MS * MINUTE_MS - 600 * MINUTE_MS


Open = Callable[..., BaseClient]


class Store:
    """A store with versions of one key; counts how often it is read."""

    def __init__(self, *keys: SimulatedKey) -> None:
        self.versions = [versioned(key, f"v{number}") for number, key in enumerate(keys, 1)]
        self.reads = 0
        self.told: list[CredentialDescription] = []

    async def renew(self, rejected: CredentialDescription) -> Credentials | None:
        """Return the newest version."""
        self.reads += 1
        self.told.append(rejected)
        return self.versions[-1]


def versioned(key: SimulatedKey, version: str) -> Credentials:
    credential = credentials_of(key)
    return replace(credential, description=replace(credential.description, version=version))


def issue(sandbox: Sandbox, exchange: str, kind: KeyKind = KeyKind.READ_ONLY) -> SimulatedKey:
    return sandbox.keys.issue(exchange, kind, now_ms=sandbox.now_ms())


@pytest.fixture
def opened(sandbox: Sandbox, audit: JsonLinesAuditLog, time: VirtualTime) -> Open:
    """Build clients of the sandbox in its own time."""

    def build(exchange: str, credentials: Credentials, renew: Renew | None) -> BaseClient:
        return CLIENTS[exchange](
            credentials, audit=audit, base_url=sandbox.urls[exchange], clock=time, monotonic=time,
            sleep=time.sleep, renew=renew,
        )  # fmt: skip

    return build


@pytest.mark.parametrize("exchange", CLIENTS)
def test_a_key_that_was_replaced_before_its_first_use_is_read_again(
    exchange: str, sandbox: Sandbox, opened: Open
) -> None:
    """A cache may hold a version that its owner has revoked in the meantime."""
    store = Store(issue(sandbox, exchange, KeyKind.REVOKED), issue(sandbox, exchange))

    async def act() -> tuple[KeyReport | None, CredentialDescription | None]:
        async with opened(exchange, store.versions[0], store.renew) as client:
            return await client.prove_key(), client.credential

    report, credential = asyncio.run(act())

    assert credential == store.versions[1].description
    assert store.reads == 1
    assert report is not None
    assert report.is_read_only


def test_pages_under_way_go_on_with_the_new_key_and_the_store_is_read_once(
    sandbox: Sandbox,
    audit: JsonLinesAuditLog,
    opened: Open,
) -> None:
    """Twelve pages meet the revoked key at the same moment; each has its candles in the end."""
    old, new = issue(sandbox, "coinbase"), issue(sandbox, "coinbase")
    store = Store(old, new)

    async def act() -> list[int]:
        async with opened("coinbase", store.versions[0], store.renew) as client:
            await client.prove_key()
            sandbox.keys.revoke("coinbase", old.api_key)
            starts = [START_MS + number * 10 * MINUTE_MS for number in range(12)]
            pages = [client.read_candles("BTC-USDT", start, start + 10 * MINUTE_MS) for start in starts]
            return [len(page) for page in await asyncio.gather(*pages)]

    counts = asyncio.run(act())

    assert min(counts) >= 8
    assert store.reads == 1
    versions = {one["credential_version"] for one in events_of(audit.path) if one["event"] == "key_accepted"}
    assert versions == {"v1", "v2"}


def test_a_key_that_is_rejected_is_shown_once_more_only_where_the_store_has_no_other(
    sandbox: Sandbox, opened: Open
) -> None:
    """Coinbase refuses good keys now and then; a rotation must not cost a second rejection for that."""
    old, new = issue(sandbox, "coinbase"), issue(sandbox, "coinbase")
    store = Store(old, new)

    async def act() -> None:
        async with opened("coinbase", store.versions[0], store.renew) as client:
            await client.prove_key()
            sandbox.keys.revoke("coinbase", old.api_key)
            await client.read_candles("BTC-USDT", START_MS, START_MS + MINUTE_MS)

    asyncio.run(act())

    assert [one["status"] for one in sandbox.requests() if one["path"].endswith("/candles")] == [401, 200]


def test_a_page_that_is_rejected_twice_waits_for_the_version_that_another_page_is_about_to_find(
    sandbox: Sandbox, opened: Open
) -> None:
    """The first page asked the store a moment too early; the second has the answer on its way."""
    old, new = issue(sandbox, "coinbase"), issue(sandbox, "coinbase")
    store = Store(old, new)

    async def until_rejected(times: int) -> None:
        while sum(one["status"] == 401 for one in sandbox.requests()) < times:  # noqa: ASYNC110 - another thread's
            await asyncio.sleep(0.01)

    async def renew(rejected: CredentialDescription) -> Credentials | None:
        if not store.reads:
            await until_rejected(2)
            store.reads += 1
            return store.versions[0]  # not there yet
        await until_rejected(3)
        return await store.renew(rejected)

    async def act() -> list[int]:
        async with opened("coinbase", store.versions[0], renew) as client:
            await client.prove_key()
            sandbox.keys.revoke("coinbase", old.api_key)
            starts = (START_MS, START_MS + 10 * MINUTE_MS)
            pages = [client.read_candles("BTC-USDT", start, start + 10 * MINUTE_MS) for start in starts]
            return [len(page) for page in await asyncio.gather(*pages)]

    counts = asyncio.run(asyncio.wait_for(act(), 30))

    assert min(counts) >= 8
    assert store.reads == 2


def test_each_version_is_proved_for_itself(sandbox: Sandbox, opened: Open) -> None:
    """A rotation to a key that may trade must not go through because the old one was read-only."""
    old, new = issue(sandbox, "coinbase"), issue(sandbox, "coinbase", KeyKind.MAY_TRADE)
    store = Store(old, new)

    async def act() -> None:
        async with opened("coinbase", store.versions[0], store.renew) as client:
            await client.prove_key()
            sandbox.keys.revoke("coinbase", old.api_key)
            await client.read_candles("BTC-USDT", START_MS, START_MS + MINUTE_MS)

    with pytest.raises(ExcessPermissionsError, match="trade"):
        asyncio.run(act())

    log = [one for one in sandbox.requests() if one["key"] == new.api_key]
    assert [one["path"] for one in log] == ["/api/v3/brokerage/key_permissions"]


@pytest.mark.parametrize("renews", [True, False], ids=["the store has no other", "nobody to ask"])
def test_a_rejected_key_without_another_version_is_not_used_again(sandbox: Sandbox, renews: bool, opened: Open) -> None:
    old = issue(sandbox, "coinbase")
    store = Store(old)

    async def act() -> int:
        async with opened("coinbase", store.versions[0], store.renew if renews else None) as client:
            await client.prove_key()
            sandbox.keys.revoke("coinbase", old.api_key)
            with pytest.raises(RejectedKeyError):
                await client.read_candles("BTC-USDT", START_MS, START_MS + MINUTE_MS)
            asked = len(sandbox.requests())
            with pytest.raises(RejectedKeyError):
                await client.read_candles("BTC-USDT", START_MS, START_MS + MINUTE_MS)
            return len(sandbox.requests()) - asked

    assert asyncio.run(act()) == 0
    # Once for the call that was refused, once for the verdict that it left.
    assert store.reads == (2 if renews else 0)


def test_what_the_store_is_told_names_the_version_that_was_rejected(sandbox: Sandbox, opened: Open) -> None:
    store = Store(issue(sandbox, "bybit", KeyKind.REVOKED), issue(sandbox, "bybit"))

    async def act() -> None:
        async with opened("bybit", store.versions[0], store.renew) as client:
            await client.prove_key()

    asyncio.run(act())

    assert store.told == [store.versions[0].description]
