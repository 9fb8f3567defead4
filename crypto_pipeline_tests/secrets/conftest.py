"""The stores, and an environment that leads to none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto_pipeline_tests.secrets.stores import (
    AwsStore,
    DotenvStore,
    EnvironmentStore,
    FileStore,
    RemoteStore,
    Store,
    VaultStore,
    VolumeStore,
)
from crypto_pipeline_tests.support.aws import Aws
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.vault import Vault

REMOTE = ("aws_combined", "aws_separate", "vault_token", "vault_approle")
ALL = (*REMOTE, "environment", "dotenv", "files", "volume")


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty_environment(monkeypatch, tmp_path)


@pytest.fixture
def aws_combined(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> AwsStore:
    """One secret for all issuers."""
    return AwsStore(aws, monkeypatch, "combined")


@pytest.fixture
def aws_separate(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> AwsStore:
    """A secret for each issuer."""
    return AwsStore(aws, monkeypatch, "separate")


@pytest.fixture
def vault_token(vault: Vault) -> VaultStore:
    """Vault with a token."""
    return VaultStore(vault)


@pytest.fixture
def vault_approle(vault: Vault) -> VaultStore:
    """Vault as a role."""
    return VaultStore(vault, as_role=True)


@pytest.fixture
def environment() -> EnvironmentStore:
    """Variables of the test's own."""
    return EnvironmentStore()


@pytest.fixture
def dotenv(tmp_path: Path) -> DotenvStore:
    """A file of the test's own."""
    return DotenvStore(tmp_path / ".env.local")


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    """A folder as Docker mounts it."""
    return FileStore(tmp_path / "secrets")


@pytest.fixture
def volume(tmp_path: Path) -> VolumeStore:
    """A volume as Kubernetes mounts it."""
    return VolumeStore(tmp_path / "volume")


@pytest.fixture(params=ALL)
def store(request: pytest.FixtureRequest) -> Store:
    """Every kind of store."""
    found: Store = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=REMOTE)
def remote(request: pytest.FixtureRequest) -> RemoteStore:
    """Every kind of store that is a server."""
    found: RemoteStore = request.getfixturevalue(request.param)
    return found
