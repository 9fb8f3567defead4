"""Stores with planted secrets in them, and an environment that leads to them and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto_pipeline_tests.commands.stocked import Place, Stocked, StockedAws, StockedVault
from crypto_pipeline_tests.support.aws import Aws
from crypto_pipeline_tests.support.vault import Vault


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Place:
    """What the test has of its own."""
    return Place(tmp_path, monkeypatch, capsys)


@pytest.fixture
def on_vault(vault: Vault, place: Place) -> StockedVault:
    return StockedVault(vault, place)


@pytest.fixture
def on_aws(aws: Aws, place: Place) -> StockedAws:
    return StockedAws(aws, place)


@pytest.fixture(params=["on_vault", "on_aws"])
def stocked(request: pytest.FixtureRequest) -> StockedVault | StockedAws:
    """Both kinds of server."""
    found: StockedVault | StockedAws = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def elsewhere(place: Place) -> Stocked:
    """Credentials in variables."""
    return Stocked(place, {"CRYPTO_PIPELINE_SECRETS": "environment"})
