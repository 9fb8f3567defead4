"""Exchanges, a store that records what it is asked, and an environment that leads nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto_pipeline.sandbox.server import Sandbox, running_sandbox
from crypto_pipeline.secrets import clear_shared_caches
from crypto_pipeline_tests.proofs.scene import VaultScene
from crypto_pipeline_tests.support.deployment import dagsters_own_warnings
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.sealable import running_sealable


@pytest.fixture(autouse=True)
def _dagsters_own_warnings() -> Iterator[None]:
    with dagsters_own_warnings():
        yield


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty_environment(monkeypatch, tmp_path)


@pytest.fixture(autouse=True)
def _no_secret_of_another_test() -> Iterator[None]:
    clear_shared_caches()
    yield
    clear_shared_caches()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Exchanges without limits: it is the keys that are looked at."""
    with running_sandbox(limits=False) as running:
        yield running


@pytest.fixture
def scene(sandbox: Sandbox, tmp_path: Path) -> Iterator[VaultScene]:
    """The exchanges, and an OpenBao of the test's own with a read-only key for each of them in it."""
    with running_sealable(tmp_path) as store:
        yield VaultScene(sandbox, store, tmp_path)
