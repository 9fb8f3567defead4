"""
A process that pulls signed candles as fast as it can, until it is told to stop; run by `test_rotation_in_processes`.

Reads what it has to do as one line of JSON from its standard input, says `ready` when its key is proved,
stops at the end of the input, and tells what happened as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from crypto_pipeline.access import Access
from crypto_pipeline.audit import AuditEvent, AuditLog, JsonLinesAuditLog
from crypto_pipeline.errors import CryptoPipelineError
from crypto_pipeline.exchanges import BaseClient
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import CachedSource, CachePolicy, SecretSource, TokenAuth, VaultSource
from crypto_pipeline.transport import TokenBucket

MINUTE_MS = 60_000


class Counted:
    """A record that also counts how often the exchange rejected the key."""

    def __init__(self, log: AuditLog, rejections: list[str]) -> None:
        self.rejections = rejections
        self._log = log

    def record(self, event: AuditEvent) -> None:
        """Count, and record."""
        if event.event == "api_call" and event.fields["status"] == 401:
            self.rejections.append(str(event.fields["endpoint"]))
        self._log.record(event)

    def bound(self, **context: str | None) -> Counted:
        """Return the same for a part of the events; all are counted together."""
        return Counted(self._log.bound(**context), self.rejections)


class CountedReads:
    """A store in front of another one that counts how often a value is read."""

    def __init__(self, source: SecretSource) -> None:
        self._source = source
        self.store = source.store
        self.name_of = source.name_of
        self.describe = source.describe
        self.reads = 0

    def read(self, issuer: str) -> Any:
        """Count, and read."""
        self.reads += 1
        return self._source.read(issuer)


class Puller:
    """One client, and what came of its requests."""

    def __init__(self, what: dict[str, Any]) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._what = what
        self._log = Counted(JsonLinesAuditLog(Path(what["audit_log"])), [])
        self._store = CountedReads(VaultSource(what["vault"], auth=TokenAuth(Secret(what["token"]))))
        self._access = Access(
            "coinbase",
            CachedSource(self._store, policy=CachePolicy()),
            self._log,
            what["exchange"],
            budget=TokenBucket(100_000, 100_000),
        )
        self._stop = threading.Event()

    async def run(self) -> None:
        """Pull until there is no more input."""
        async with self._access.open(asset="load") as client:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            threading.Thread(target=self._wait_for_end, daemon=True).start()
            started = time.monotonic()
            await asyncio.gather(*(self._pull(client, number) for number in range(self._what["at_once"])))
        self.told = {
            "answered": self.answered,
            "seconds": time.monotonic() - started,
            "failures": self.failures,
            "rejections": len(self._log.rejections),
            "reads": self._store.reads,
        }

    async def _pull(self, client: BaseClient, number: int) -> None:
        start_ms = self._what["start_ms"]
        while not self._stop.is_set():
            first_ms = start_ms + (self.answered + number) % 4000 * MINUTE_MS
            try:
                await client.read_candles("BTC-USDT", first_ms, first_ms + MINUTE_MS)
            except CryptoPipelineError as error:
                self.failures.append(str(error))
                return
            self.answered += 1

    def _wait_for_end(self) -> None:
        sys.stdin.read()
        self._stop.set()


if __name__ == "__main__":
    puller = Puller(json.loads(sys.stdin.readline()))
    asyncio.run(puller.run())
    sys.stdout.write(json.dumps(puller.told) + "\n")
