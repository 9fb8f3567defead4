"""Runs while their store is down: they go on with what was read, marked, up to the bound, and not a second longer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from crypto_pipeline.defs.build import build_defs
from crypto_pipeline.demo.stack import parts_of
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline.secrets import CachedSource, CachePolicy, Rung
from crypto_pipeline.settings import Settings
from crypto_pipeline_tests.proofs.scene import read_events
from crypto_pipeline_tests.proofs.stoppable import KillableVault, SealableVault, Stoppable, StoppableAws
from crypto_pipeline_tests.secrets.told import Time
from crypto_pipeline_tests.support.deployment import failure_of, metadata_of, run_job

ISSUER = "okx"
ASSET = f"{ISSUER}/api_key"
MINUTE = 60.0

FIFTEEN_MINUTES = CachePolicy(ttl_seconds=5 * MINUTE, revalidate_seconds=MINUTE, bound_seconds=15 * MINUTE, jitter=0)
"""The deployment's own times, without chance."""

FIVE_MINUTES = CachePolicy(ttl_seconds=MINUTE, revalidate_seconds=MINUTE / 2, bound_seconds=5 * MINUTE, jitter=0)


class Runs:
    """
    Real runs that prove a key, from a real store, in a time that passes when it is told to.

    Args:
        store: where the key is.
        sandbox: the exchange.
        folder: for lake and audit log.
        policy: how long what was read is used.
    """

    def __init__(self, store: Stoppable, sandbox: Sandbox, folder: Path, policy: CachePolicy) -> None:
        self.store = store
        self._time = Time()
        self._audit_log = folder / "audit.jsonl"
        key = sandbox.keys.issue(ISSUER, KeyKind.READ_ONLY, now_ms=sandbox.now_ms())
        store.put(ISSUER, parts_of(key))
        cached = CachedSource(
            store.source(),
            policy=policy,
            clock=self._time.clock,
            wall=self._time.wall,
            start=lambda work: work(),
        )
        settings = Settings.from_environment(
            secrets="vault",
            keys=(ISSUER,),
            exchanges=(ISSUER,),
            lake=folder / "lake",
            audit_log=self._audit_log,
            op_retries=0,
            okx_url=sandbox.urls[ISSUER],
        )
        self._defs = build_defs(settings, secrets=cached)

    def at(self, seconds: float) -> str:
        """Let the time be so many seconds after the beginning, run, and tell what came of it; see `_told`."""
        self._time.seconds = Time().seconds + seconds
        before = len(self.recorded())
        return self._told(run_job(self._defs, "key_check", assets=(ASSET,)), before)

    def recorded(self) -> list[dict[str, Any]]:
        """Return what our own record says of readings."""
        if not self._audit_log.exists():
            return []
        return [one for one in read_events(self._audit_log, "secret_access") if one["action"] == "read"]

    def _told(self, result: dg.ExecuteInProcessResult, before: int) -> str:
        """Return the rung on which the key stood, as record and metadata say alike, or the error of the run."""
        (event,) = self.recorded()[before:]
        if not result.success:
            error = failure_of(result).metadata["error"].value
            assert (event["success"], event["error"]) == (False, error)
            return str(error)
        rung = metadata_of(result, ASSET)["read"]
        assert (event["success"], event["rung"]) == (True, rung)
        return str(rung)


@pytest.fixture(
    params=[KillableVault, SealableVault, StoppableAws], ids=["killed vault", "sealed vault", "stopped aws"]
)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stoppable]:
    """Every kind of store that can be down."""
    running: Stoppable = request.param(tmp_path, monkeypatch)
    yield running
    running.end()


@pytest.fixture
def error(store: Stoppable) -> str:
    """What a store that is down is called."""
    return "SecretStoreSealedError" if isinstance(store, SealableVault) else "SecretStoreUnavailableError"


def test_runs_go_on_through_an_outage_of_ten_minutes_below_a_bound_of_fifteen(
    store: Stoppable, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Marked as soon as the store was asked in vain, and fresh again as soon as it is back."""
    runs = Runs(store, sandbox, tmp_path, FIFTEEN_MINUTES)
    first = runs.at(0)

    store.stop()
    during = {minute: runs.at(minute * MINUTE) for minute in (1, 4.9, 5, 5.5, 6, 7, 8, 9, 9.9)}
    store.start()
    after = [runs.at(seconds) for seconds in (10 * MINUTE, 10 * MINUTE + 3)]

    stale = dict.fromkeys((5.5, 6, 7, 8, 9, 9.9), Rung.STALE_IF_ERROR.value)
    assert first == Rung.FRESH
    assert during == {1: Rung.FRESH, 4.9: Rung.FRESH, 5: Rung.STALE_REVALIDATING} | stale
    assert after[-1] == Rung.FRESH


def test_runs_stop_when_the_bound_is_reached_and_go_on_when_the_store_is_back(
    store: Stoppable, error: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """With a bound of five minutes: in the last second they run, then they do not."""
    runs = Runs(store, sandbox, tmp_path, FIVE_MINUTES)
    first = runs.at(0)

    store.stop()
    below = {seconds: runs.at(seconds) for seconds in (100, 200, 299.9)}
    above = {seconds: runs.at(seconds) for seconds in (300, 301, 420, 600)}
    store.start()
    after = runs.at(603)

    assert first == Rung.FRESH
    assert below == {100: Rung.STALE_IF_ERROR, 200: Rung.STALE_IF_ERROR, 299.9: Rung.STALE_IF_ERROR}
    assert above == dict.fromkeys((300, 301, 420, 600), error)
    assert after == Rung.FRESH


def deny(store: Stoppable) -> str:
    """Take the right to read away, and return what that is called."""
    store.deny()
    return "SecretDeniedError"


def delete(store: Stoppable) -> str:
    """Delete the key, and return what that is called."""
    store.delete(ISSUER)
    return "SecretNotFoundError"


@pytest.mark.parametrize("withdraw", [deny, delete])
def test_a_key_that_was_withdrawn_is_gone_after_one_refresh_whatever_happens_to_the_store_then(
    withdraw: Callable[[Stoppable], str], store: Stoppable, error: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """An outage right after must not bring it back."""
    runs = Runs(store, sandbox, tmp_path, FIFTEEN_MINUTES)
    before = [runs.at(0)]
    refused = withdraw(store)

    before += [runs.at(299), runs.at(300)]
    next_one = runs.at(300)
    store.stop()
    later = [runs.at(seconds) for seconds in (303, 400, 899)]

    assert before == [Rung.FRESH, Rung.FRESH, Rung.STALE_REVALIDATING]
    assert next_one == refused
    assert later == [error] * 3
