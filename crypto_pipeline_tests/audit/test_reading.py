"""What the record says of one secret, whatever else stands in the file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog, api_call, secret_access, secret_used, secret_write_intended
from crypto_pipeline.audit.reading import LONGEST_LINE, Reader, Writing, record_of
from crypto_pipeline.errors import AuditError

NAME = "crypto-pipeline/okx"
KEY = "crypto_pipeline/okx/api_key"
BEGINNING = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Ticking:
    """A clock that is an hour later each time."""

    def __init__(self) -> None:
        self._hours = 0

    def __call__(self) -> datetime:
        self._hours += 1
        return at(self._hours)


def at(hours: int) -> datetime:
    """Return the time of an event, by its number."""
    return BEGINNING + timedelta(hours=hours)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the record is kept."""
    return tmp_path / "audit.jsonl"


@pytest.fixture
def log(path: Path) -> JsonLinesAuditLog:
    """A record of the test's own."""
    return JsonLinesAuditLog(path, clock=Ticking())


def test_readers_are_told_apart_and_whoever_had_it_last_stands_first(log: JsonLinesAuditLog, path: Path) -> None:
    candles = "crypto_pipeline/okx/candles"
    key, other = log.bound(asset="okx/api_key"), log.bound(asset="okx/candles")
    key.record(secret_access(NAME, KEY, version="3", store="vault"))
    other.record(secret_access(NAME, candles, version="3", store="vault"))
    other.record(secret_access(NAME, candles, success=False, store="vault", error="SecretDeniedError"))
    key.record(secret_access(NAME, KEY, "refresh", version="4", store="vault"))
    key.record(secret_used(NAME, KEY, version="4", store="vault", handed_out=12, signed_requests=340))
    key.record(secret_used(NAME, KEY, version="3", store="vault", handed_out=1, signed_requests=2))

    found = record_of(path, NAME, store="vault")

    assert [each.accessor for each in found.readers] == [KEY, candles]
    one, two = found.readers
    assert one == Reader(KEY, "okx/api_key", at(1), at(6), 2, 13, 342, versions=["3", "4"])
    assert (two.reads, dict(two.failures), two.first_at, two.last_at) == (1, {"SecretDeniedError": 1}, at(2), at(3))
    assert found.unread_lines == 0


@pytest.mark.parametrize(
    "event",
    [
        secret_access("crypto-pipeline/bybit", KEY, version="1", store="vault"),
        secret_access(NAME, KEY, version="1", store="aws"),
        secret_access(NAME, KEY, "describe", version="1", store="vault"),
        secret_access("crypto-pipeline/*", "crypto_pipeline/secrets_list", "list", version="", store="vault"),
        api_call("okx", "/api", True),
        secret_access(NAME, "crypto_pipeline/secrets_put", version="", store="vault"),
    ],
    ids=["another secret", "another store", "a description", "a listing", "a call", "an empty place"],
)
def test_whoever_had_no_value_of_it_is_no_reader(log: JsonLinesAuditLog, path: Path, event: object) -> None:
    log.record(event)  # type: ignore[arg-type]  # an event of the table

    found = record_of(path, NAME, store="vault")

    assert found.readers == []
    assert found.unread_lines == 0


def test_who_stored_which_version_is_told(log: JsonLinesAuditLog, path: Path) -> None:
    log = log.bound(user="ada")
    put = "crypto_pipeline/secrets_put"
    log.record(secret_write_intended(NAME, put, store="vault", replaces="3", version="4"))
    log.bound(intended_version="4").record(secret_access(NAME, put, "write", version="4", store="vault"))

    found = record_of(path, NAME, store="vault")

    assert found.stored == {"4": Writing("4", put, "ada", at(2))}
    assert found.unfinished == {}


def test_a_write_of_which_nothing_more_is_known_stays_open(log: JsonLinesAuditLog, path: Path) -> None:
    """The process died; one that failed and said so is not open."""
    log = log.bound(user="ada")
    put = "crypto_pipeline/secrets_put"
    log.record(secret_write_intended(NAME, put, store="vault", replaces="3", version="4"))
    log.record(secret_write_intended(NAME, put, store="vault", replaces="3", version="5"))
    failed = secret_access(NAME, put, "write", success=False, store="vault", error="SecretChangedError")
    log.bound(intended_version="5").record(failed)

    found = record_of(path, NAME, store="vault")

    assert found.unfinished == {"4": Writing("4", put, "ada", at(1))}
    assert found.stored == {}


BROKEN = [
    b"",
    b"not JSON",
    b'{"event": "secret_access"',
    b"\xff\xfe\x00",
    b"[]",
    b"7",
    b'"text"',
    b'{"event": "secret_access"}',
    b'{"timestamp": "2026-11-01T12:00:00+00:00"}',
    b'{"event": 7, "timestamp": "2026-11-01T12:00:00+00:00"}',
    b'{"event": "secret_access", "timestamp": "yesterday"}',
    b'{"event": "secret_access", "timestamp": 7}',
    b'{"event": "secret_access", "timestamp": "2026-11-01T12:00:00"}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("line", BROKEN, ids=lambda line: repr(line)[:40])
def test_a_line_that_is_no_event_is_counted_and_hides_no_other(log: JsonLinesAuditLog, path: Path, line: bytes) -> None:
    event = secret_access(NAME, KEY, version="3", store="vault")
    log.record(event)
    with path.open("ab") as file:
        file.write(line + b"\n")
    log.record(event)

    found = record_of(path, NAME, store="vault")

    assert found.readers[0].reads == 2
    assert found.unread_lines == (1 if line else 0)


def test_a_line_without_end_is_not_taken_into_memory(log: JsonLinesAuditLog, path: Path) -> None:
    """Somebody put another file in its place, or wrote into it."""
    event = secret_access(NAME, KEY, version="3", store="vault")
    with path.open("wb") as file:
        file.write(b"x" * (3 * LONGEST_LINE + 5) + b"\n")
    log.record(event)

    found = record_of(path, NAME, store="vault")

    assert (found.readers[0].reads, found.unread_lines) == (1, 1)


def test_a_line_that_is_still_being_written_is_nobodys_fault(log: JsonLinesAuditLog, path: Path) -> None:
    log.record(secret_access(NAME, KEY, version="3", store="vault"))
    with path.open("ab") as file:
        file.write(b'{"event": "secret_acc')

    found = record_of(path, NAME, store="vault")

    assert (found.readers[0].reads, found.unread_lines) == (1, 0)


def test_an_endless_line_at_the_end_is_counted(path: Path) -> None:
    path.write_bytes(b"x" * LONGEST_LINE)

    assert record_of(path, NAME, store="vault").unread_lines == 1


def odd_events() -> Iterator[Mapping[str, object]]:
    """Yield events of this secret, as another program might write them."""
    head: dict[str, object] = {"timestamp": "2026-11-01T12:00:00+02:00", "secret_name": NAME, "store": "vault"}
    yield head | {"event": "secret_access", "action": "read"}
    yield head | {"event": "secret_access", "action": "use", "handed_out": "many", "signed_requests": None}
    yield head | {"event": "secret_access", "action": "read", "success": "yes", "credential_version": 7}
    yield head | {"event": "secret_access", "action": "read", "success": True, "credential_version": ["a"]}
    yield head | {"event": "secret_access", "action": "write"}
    yield head | {"event": "secret_write_intended"}
    yield head | {"event": "something else", "action": "read"}


def test_fields_of_another_kind_are_taken_as_well_as_they_go(path: Path) -> None:
    path.write_text("".join(f"{json.dumps(event)}\n" for event in odd_events()))

    found = record_of(path, NAME, store="vault")

    (reader,) = found.readers
    assert (reader.accessor, reader.reads, reader.failures.total()) == ("", 1, 2)
    assert reader.versions == ["7", "['a']"]
    assert reader.first_at == datetime(2026, 11, 1, 10, tzinfo=UTC)
    assert list(found.unfinished) == [""]


def test_a_record_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """To say "nobody" would be a lie."""
    with pytest.raises(AuditError, match="cannot be read"):
        record_of(tmp_path / "none" / "audit.jsonl", NAME, store="vault")
