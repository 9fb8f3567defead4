"""A key that is rotated under a running backfill costs no request, and one read of the store."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto_pipeline.access import Access
from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.demo.stack import parts_of
from crypto_pipeline.errors import CryptoPipelineError
from crypto_pipeline.exchanges import BaseClient
from crypto_pipeline.redaction import Secret
from crypto_pipeline.sandbox.keys import KeyKind, SimulatedKey
from crypto_pipeline.sandbox.server import Sandbox, running_sandbox
from crypto_pipeline.secrets import CachedSource, CachePolicy, SecretSource, TokenAuth, VaultSource
from crypto_pipeline.transport import TokenBucket
from crypto_pipeline_tests.support.vault import Vault

WORKERS = 16
ROTATIONS = 3
MINUTE_MS = 60_000


class Counted:
    """A store in front of another one that counts how often a value is read."""

    def __init__(self, source: SecretSource) -> None:
        self._source = source
        self.store = source.store
        self.reads = 0

    def name_of(self, issuer: str) -> str:
        return self._source.name_of(issuer)

    def describe(self, issuer: str) -> CredentialDescription:
        return self._source.describe(issuer)

    def read(self, issuer: str) -> Credentials:
        self.reads += 1
        return self._source.read(issuer)


class Load:
    """Workers that pull signed candles, and an operator who rotates their key meanwhile."""

    def __init__(self, sandbox: Sandbox, vault: Vault, folder: Path, *, prefix: str) -> None:
        self.sandbox = sandbox
        self.answered = 0
        self.failures: list[str] = []
        self._vault = vault
        self._path = f"{prefix}/coinbase"
        self._start_ms = sandbox.now_ms() // MINUTE_MS * MINUTE_MS - 5000 * MINUTE_MS
        self._key = self._issue()
        self._store = Counted(VaultSource(vault.address, prefix=prefix, auth=TokenAuth(Secret(str(vault.root.token)))))
        self._access = Access(
            "coinbase",
            CachedSource(self._store, policy=CachePolicy()),
            JsonLinesAuditLog(folder / "audit.jsonl"),
            sandbox.urls["coinbase"],
            budget=TokenBucket(100_000, 100_000),
        )

    @property
    def reads(self) -> int:
        """How often a value was read from the store."""
        return self._store.reads

    @property
    def rejections(self) -> int:
        """How often the exchange said no."""
        return sum(one["status"] == 401 for one in self.sandbox.requests())

    async def run(self, *, seconds: float, overlap_seconds: float) -> None:
        """Pull for so long; the old key is revoked so long after the new one was stored."""
        async with self._access.open(asset="load") as client:
            deadline = time.monotonic() + seconds
            pulling = [self._pull(client, number, deadline) for number in range(WORKERS)]
            await asyncio.gather(self._rotate(seconds / (ROTATIONS + 1), overlap_seconds), *pulling)

    def _issue(self) -> SimulatedKey:
        now_ms = self.sandbox.now_ms()
        key = self.sandbox.keys.issue("coinbase", KeyKind.READ_ONLY, now_ms=now_ms, algorithm="eddsa")
        self._vault.put(self._path, parts_of(key))
        return key

    async def _pull(self, client: BaseClient, number: int, deadline: float) -> None:
        while time.monotonic() < deadline:
            first_ms = self._start_ms + (self.answered + number) % 4000 * MINUTE_MS
            try:
                await client.read_candles("BTC-USDT", first_ms, first_ms + MINUTE_MS)
                self.answered += 1
            except CryptoPipelineError as error:
                self.failures.append(str(error))
                return

    async def _rotate(self, every_seconds: float, overlap_seconds: float) -> None:
        for _ in range(ROTATIONS):
            await asyncio.sleep(every_seconds - overlap_seconds)
            old, self._key = self._key, await asyncio.to_thread(self._issue)
            await asyncio.sleep(overlap_seconds)
            self.sandbox.keys.revoke("coinbase", old.api_key)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Exchanges without limits: it is the keys that are looked at."""
    with running_sandbox(limits=False) as running:
        yield running


@pytest.mark.parametrize("overlap_seconds", [0.2, 0.0], ids=["with an overlap", "without one"])
def test_no_request_fails_while_the_key_is_rotated_three_times(
    overlap_seconds: float, sandbox: Sandbox, vault: Vault, tmp_path: Path
) -> None:
    """The small version: four seconds."""
    load = Load(sandbox, vault, tmp_path, prefix=f"load-{overlap_seconds}")

    asyncio.run(load.run(seconds=4.0, overlap_seconds=overlap_seconds))

    assert load.failures == []
    assert load.answered > WORKERS * ROTATIONS
    assert load.reads == 1 + ROTATIONS


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("overlap_seconds", [5.0, 0.0], ids=["with an overlap", "without one"])
def test_no_request_fails_in_a_minute_of_load(
    overlap_seconds: float, sandbox: Sandbox, vault: Vault, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The heavy version; prints its rate."""
    load = Load(sandbox, vault, tmp_path, prefix=f"soak-{overlap_seconds}")

    asyncio.run(load.run(seconds=60.0, overlap_seconds=overlap_seconds))

    with capsys.disabled():
        sys.stdout.write(f"\n{load.answered / 60:.0f} answers/s, {load.rejections} rejections, {load.reads} reads\n")
    assert load.failures == []
    assert load.reads == 1 + ROTATIONS
