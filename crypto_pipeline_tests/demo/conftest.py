"""The servers of the demo, for tests that run the whole pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto_pipeline.demo.stack import Stack, running_stack
from crypto_pipeline_tests.support.project import Project, make_project


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Sandbox and OpenBao, with a read-only key per issuer in it; this test's own."""
    with running_stack(tmp_path / "data") as running:
        yield running


@pytest.fixture
def project(stack: Stack, tmp_path: Path) -> Project:
    """A project folder whose commands use the stack."""
    return make_project(tmp_path / "project", stack.environment)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Where the project's Parquet files go."""
    return tmp_path / "data" / "lake"
