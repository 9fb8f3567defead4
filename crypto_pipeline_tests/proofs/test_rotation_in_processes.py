"""A key that is rotated under several processes: no request of any of them fails, and each asks the store once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from crypto_pipeline_tests.proofs.puller import MINUTE_MS
from crypto_pipeline_tests.proofs.scene import VaultScene
from crypto_pipeline_tests.support.project import ROOT

ROTATIONS = 3


@contextmanager
def pulling(scene: VaultScene, number: int, *, at_once: int) -> Iterator[subprocess.Popen[str]]:
    """Start a process that pulls with the stored key, and wait until it is at it."""
    now_ms = scene.sandbox.now_ms() // MINUTE_MS * MINUTE_MS
    what = {
        "audit_log": str(scene.folder / f"audit-{number}.jsonl"),
        "vault": scene.store.vault.address,
        "token": scene.token(),
        "exchange": scene.sandbox.urls["coinbase"],
        "start_ms": now_ms - 5000 * MINUTE_MS,
        "at_once": at_once,
    }
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "crypto_pipeline_tests.proofs.puller"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()
        try:
            yield process
        finally:
            process.kill()


def rotated_under(
    scene: VaultScene, processes: int, *, seconds: float, overlap_seconds: float, at_once: int = 1
) -> list[dict[str, Any]]:
    """Let so many processes pull, rotate their key three times meanwhile, and return what each of them tells."""
    with ExitStack() as stack:
        running = [stack.enter_context(pulling(scene, number, at_once=at_once)) for number in range(processes)]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for _ in range(ROTATIONS):
            time.sleep(seconds / (ROTATIONS + 1) - overlap_seconds)
            old = scene.keys["coinbase"]
            scene.issue("coinbase")
            time.sleep(overlap_seconds)
            scene.sandbox.keys.revoke("coinbase", old.api_key)
        time.sleep(seconds / (ROTATIONS + 1))
        return [json.loads(process.communicate(timeout=60)[0]) for process in running]


def rate(told: Sequence[dict[str, Any]]) -> float:
    """Return how many requests a second were answered, all processes together."""
    return float(sum(one["answered"] / one["seconds"] for one in told))


def figures(told: Sequence[dict[str, Any]]) -> str:
    """Return the figures of all processes on one line."""
    failed = sum(len(one["failures"]) for one in told)
    return (
        f"{len(told)} processes, {rate(told):.0f} answers/s together, {failed} failed requests; for each process "
        f"{[one['reads'] for one in told]} readings of the store and {[one['rejections'] for one in told]} rejections"
    )


@pytest.mark.parametrize("overlap_seconds", [0.3, 0.0], ids=["with an overlap", "without one"])
def test_two_processes_lose_no_request_in_three_rotations(overlap_seconds: float, scene: VaultScene) -> None:
    """One request at a time in each, so that a process is rejected once in a rotation at most."""
    told = rotated_under(scene, 2, seconds=4, overlap_seconds=overlap_seconds)

    assert [one["failures"] for one in told] == [[], []]
    assert min(one["answered"] for one in told) > ROTATIONS
    assert [one["reads"] for one in told] == [1 + ROTATIONS] * 2
    assert max(one["rejections"] for one in told) <= ROTATIONS


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("processes", "at_once"), [(1, 1), (2, 1), (1, 16)])
@pytest.mark.parametrize("overlap_seconds", [5.0, 0.0], ids=["with an overlap", "without one"])
def test_no_process_loses_a_request_in_a_minute_of_load(
    overlap_seconds: float, processes: int, at_once: int, scene: VaultScene, capsys: pytest.CaptureFixture[str]
) -> None:
    """The heavy version; prints its figures. All requests that are under way when a key ends are rejected."""
    told = rotated_under(scene, processes, seconds=60, overlap_seconds=overlap_seconds, at_once=at_once)

    with capsys.disabled():
        sys.stdout.write(f"\n{at_once} at once, overlap {overlap_seconds:.0f} s: {figures(told)}\n")
    assert [one["failures"] for one in told] == [[]] * processes
    assert [one["reads"] for one in told] == [1 + ROTATIONS] * processes
    assert max(one["rejections"] for one in told) <= ROTATIONS * at_once
    if (processes, at_once) == (1, 1):
        assert rate(told) >= 200, "the load was not reached: this needs a machine with nothing else to do"
