"""Fixtures of the client tests: a sandbox in virtual time, and an audit log that can be read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.sandbox.server import Sandbox, running_sandbox
from crypto_pipeline_tests.exchanges.support import VirtualTime

# The machine may be busy: how long one example takes says nothing here.
settings.register_profile("exchanges", deadline=None, database=None)
settings.load_profile("exchanges")


@pytest.fixture
def time() -> VirtualTime:
    """Return the time of client and sandbox."""
    return VirtualTime()


@pytest.fixture
def sandbox(time: VirtualTime) -> Iterator[Sandbox]:
    """Run a whole sandbox at the exchanges' real limits."""
    with running_sandbox(clock=time) as running:
        yield running


@pytest.fixture
def audit(tmp_path: Path) -> JsonLinesAuditLog:
    """Return an audit log of this test's own."""
    return JsonLinesAuditLog(tmp_path / "audit" / "events.jsonl")
