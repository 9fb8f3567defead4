"""A version that was rejected is not tried again, by any process, until there is another one."""

from __future__ import annotations

import multiprocessing
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crypto_pipeline.credentials import CredentialDescription
from crypto_pipeline.errors import AuditError
from crypto_pipeline.secrets.rejected import RejectedVersions

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STORED = datetime(2026, 10, 1, tzinfo=UTC)
KEY = CredentialDescription("okx", "crypto-pipeline/okx", "vault", "3", STORED)


@pytest.fixture
def memory(tmp_path: Path) -> RejectedVersions:
    return RejectedVersions(tmp_path / "state" / "rejected-keys.json", clock=lambda: NOW)


def test_nothing_is_known_and_no_file_made_before_the_first_rejection(memory: RejectedVersions) -> None:
    assert memory.rejected_at(KEY) is None
    memory.remove(KEY)
    assert not memory.path.exists()


def test_a_rejected_version_is_remembered_with_its_time(memory: RejectedVersions) -> None:
    memory.add(KEY)

    assert RejectedVersions(memory.path).rejected_at(KEY) == "2026-11-24T12:00:00+00:00"


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, version="4"),
        replace(KEY, created_at=datetime(2026, 11, 24, tzinfo=UTC)),
        replace(KEY, name="crypto-pipeline-dev/okx"),
        replace(KEY, store="aws"),
        replace(KEY, issuer="bybit"),
    ],
    ids=["next version", "the same number in a new store", "another place", "another store", "another issuer"],
)
def test_another_key_is_not_taken_for_the_rejected_one(memory: RejectedVersions, other: CredentialDescription) -> None:
    memory.add(KEY)

    assert memory.rejected_at(other) is None


def test_a_key_that_is_accepted_again_is_forgotten(memory: RejectedVersions) -> None:
    """Its owner has mended the list of addresses."""
    memory.add(KEY)

    memory.remove(KEY)

    assert memory.rejected_at(KEY) is None


def test_a_store_that_tells_no_version_is_not_remembered(memory: RejectedVersions) -> None:
    """A new key in the environment looks like the old one; it must not be refused for that."""
    memory.add(replace(KEY, store="environment", version="environment", created_at=None))

    assert not memory.path.exists()


@pytest.mark.parametrize("content", ["", "no json", "[1]", '{"okx vault crypto-pipeline/okx": 1}'])
def test_a_file_that_cannot_be_understood_knows_nothing(memory: RejectedVersions, content: str) -> None:
    memory.path.parent.mkdir()
    memory.path.write_text(content)

    assert memory.rejected_at(KEY) is None
    memory.add(KEY)
    assert memory.rejected_at(KEY)


def test_the_file_is_for_this_user_alone_and_a_folder_in_its_place_is_named(memory: RejectedVersions) -> None:
    memory.add(KEY)

    assert stat.S_IMODE(memory.path.stat().st_mode) == 0o600
    memory.path.unlink()
    memory.path.mkdir()
    with pytest.raises(AuditError, match=r"rejected-keys\.json"):
        memory.rejected_at(KEY)


def add_many(path: Path, first: int) -> None:
    for number in range(first, first + 50):
        RejectedVersions(path).add(replace(KEY, name=f"place/{number}"))


def test_processes_that_write_at_the_same_time_lose_nothing(memory: RejectedVersions) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=add_many, args=(memory.path, first)) for first in (0, 50, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert all(memory.rejected_at(replace(KEY, name=f"place/{number}")) for number in range(150))
