"""A deployment of each test's own, in an environment that leads to no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto_pipeline.sandbox.server import running_sandbox
from crypto_pipeline.secrets import clear_shared_caches
from crypto_pipeline_tests.support.deployment import Deployment, StandingClock, dagsters_own_warnings
from crypto_pipeline_tests.support.environment import empty_environment


@pytest.fixture(autouse=True)
def _dagsters_own_warnings() -> Iterator[None]:
    with dagsters_own_warnings():
        yield


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty_environment(monkeypatch, tmp_path)


@pytest.fixture(autouse=True)
def _no_secret_of_another_test() -> Iterator[None]:
    yield
    clear_shared_caches()


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """Sandbox, keys and code location of one test."""
    with running_sandbox() as sandbox:
        yield Deployment(sandbox, tmp_path)


@pytest.fixture
def clock() -> StandingClock:
    """A clock that stands 40 minutes into a month, so that the running month is short."""
    return StandingClock("2024-03-01T00:40:05")


@pytest.fixture
def early(tmp_path: Path, clock: StandingClock) -> Iterator[Deployment]:
    """The same, at the time of `clock`; limits count by the clock, so there are none."""
    with running_sandbox(clock=clock, limits=False) as sandbox:
        yield Deployment(sandbox, tmp_path, clock=clock)
