"""Every use of a source is on the record, before anything comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crypto_pipeline.audit import AuditEvent, JsonLinesAuditLog
from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.errors import AuditError, MalformedSecretError, SecretDeniedError, SecretNotFoundError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import (
    AuditedSource,
    CachedSource,
    CachePolicy,
    EnvironmentSource,
    HandOuts,
    SecretSource,
)
from crypto_pipeline_tests.secrets.stores import RemoteStore, Store, new_parts
from crypto_pipeline_tests.support.search import everything_under, hits

WHO = "crypto_pipeline/okx/api_key"
VERBS: tuple[Callable[[SecretSource, str], object], ...] = (
    lambda source, issuer: source.describe(issuer),
    lambda source, issuer: source.read(issuer),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the record is kept."""
    return tmp_path / "audit" / "audit.jsonl"


@pytest.fixture
def log(path: Path) -> JsonLinesAuditLog:
    """A record of the test's own."""
    return JsonLinesAuditLog(path)


def events(path: Path) -> list[dict[str, object]]:
    """Return what is on the record, without the time."""
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{name: value for name, value in event.items() if name not in {"timestamp", "schema"}} for event in found]


class Told:
    """A source that says what it is told to, and counts how often it was asked."""

    store = "told"

    def __init__(self, error: Exception | None = None) -> None:
        self.asked = 0
        self._error = error

    def name_of(self, issuer: str) -> str:
        """Return a name."""
        return f"place/{issuer}"

    def describe(self, issuer: str) -> CredentialDescription:
        """Describe version 7."""
        return self.read(issuer).description

    def read(self, issuer: str) -> Credentials:
        """Return a token of version 7, or fail."""
        self.asked += 1
        if self._error:
            raise self._error
        description = CredentialDescription(issuer, self.name_of(issuer), self.store, "7")
        return Credentials(description, {"token": Secret("planted-1c7f00ab99")})


class Watched:
    """A record that keeps its events in memory, and can fail."""

    def __init__(self, *, fails: bool = False) -> None:
        self.events: list[AuditEvent] = []
        self._fails = fails

    def record(self, event: AuditEvent) -> None:
        """Keep an event."""
        if self._fails:
            msg = "no room"
            raise AuditError(msg)
        self.events.append(event)

    def bound(self, **context: str | None) -> Watched:  # noqa: ARG002 - the interface's
        """Return the same record."""
        return self


def test_each_use_of_each_store_is_one_event(store: Store, log: JsonLinesAuditLog, path: Path) -> None:
    """With the version that was handed out, and no value."""
    parts = new_parts("okx")
    store.put("okx", parts)
    version, _ = store.truth("okx")
    source = AuditedSource(store.source, log, accessor=WHO)

    read = source.read("okx")
    described = source.describe("okx")

    event = {
        "event": "secret_access",
        "secret_name": store.source.name_of("okx"),
        "accessor": WHO,
        "success": True,
        "credential_version": version,
        "store": store.source.store,
        "error": None,
    }
    assert events(path) == [{**event, "action": "read"}, {**event, "action": "describe"}]
    assert described == read.description
    assert hits(parts, everything_under(path.parent)) == []


@pytest.mark.parametrize("action", ["read", "describe"])
def test_a_failure_is_on_the_record_with_its_kind(log: JsonLinesAuditLog, path: Path, action: str) -> None:
    """Someone who tries names leaves a trace."""
    source = AuditedSource(EnvironmentSource({}), log, accessor=WHO)

    with pytest.raises(SecretNotFoundError):
        getattr(source, action)("okx")

    assert events(path) == [
        {
            "event": "secret_access",
            "secret_name": "OKX_API_KEY",
            "accessor": WHO,
            "action": action,
            "success": False,
            "store": "environment",
            "error": "SecretNotFoundError",
        }
    ]


def test_a_denial_is_a_failed_login_too(remote: RemoteStore, log: JsonLinesAuditLog, path: Path) -> None:
    """The handbook wants those at level WARNING."""
    remote.put("binance", new_parts("binance"))
    with remote.blind() as blind:
        source = AuditedSource(blind, log, accessor=WHO)

        with pytest.raises(SecretDeniedError):
            source.read("binance")

    access, failed = events(path)
    name = remote.source.name_of("binance")
    assert (access["event"], access["success"], access["error"]) == ("secret_access", False, "SecretDeniedError")
    assert failed == {
        "event": "failed_auth",
        "exchange": remote.source.store,
        "error_type": "SecretDeniedError",
        "endpoint": name,
    }


@pytest.mark.parametrize("ask", VERBS, ids=["describe", "read"])
def test_what_cannot_be_recorded_is_not_handed_out(ask: Callable[[SecretSource, str], object], tmp_path: Path) -> None:
    """The store was asked, once, and its answer went nowhere."""
    (tmp_path / "file").touch()
    store, log = Told(), JsonLinesAuditLog(tmp_path / "file" / "audit.jsonl")

    with pytest.raises(AuditError):
        ask(AuditedSource(store, log, accessor=WHO), "okx")

    assert store.asked == 1


@pytest.mark.parametrize("error", [MalformedSecretError("odd"), SecretDeniedError("no"), ZeroDivisionError("a bug")])
def test_a_failure_that_cannot_be_recorded_stops_at_the_record(error: Exception) -> None:
    """The record comes first, also where there is nothing to hand out."""
    source = AuditedSource(Told(error), Watched(fails=True), accessor=WHO)

    with pytest.raises(AuditError):
        source.read("okx")


def test_a_fault_of_our_own_is_recorded_and_passed_on(log: JsonLinesAuditLog, path: Path) -> None:
    """A bug in a source must not be a way to read without a trace."""
    with pytest.raises(ZeroDivisionError):
        AuditedSource(Told(ZeroDivisionError()), log, accessor=WHO).read("okx")

    assert [event["error"] for event in events(path)] == ["ZeroDivisionError"]


def test_every_access_is_flushed_to_disk() -> None:
    """A crash right after the read must not take the record of it along."""
    log = Watched()
    source = AuditedSource(Told(), log, accessor=WHO)

    source.read("okx")
    source.describe("okx")
    with pytest.raises(SecretNotFoundError):
        AuditedSource(Told(SecretNotFoundError("no")), log, accessor=WHO).read("okx")

    assert [event.durable for event in log.events] == [True, True, True]


def test_it_is_a_source_like_the_one_behind_it() -> None:
    """So that nobody needs to know whether a source is audited."""
    source: SecretSource = AuditedSource(Told(), Watched(), accessor=WHO)

    assert (source.store, source.name_of("okx")) == ("told", "place/okx")


# What costs no question...


class TestOneRun:
    """With what the run was handed, a repeated read is counted, and nothing else is left out."""

    def test_a_repeated_read_is_no_event(self) -> None:
        handed, log = HandOuts(), Watched()
        source = AuditedSource(Told(), log, accessor=WHO, handed=handed)

        for _ in range(5):
            source.read("okx")
        handed.close()

        assert [(event.fields["action"], event.fields.get("handed_out")) for event in log.events] == [
            ("read", None),
            ("use", 5),
        ]

    def test_asking_anew_for_a_rejected_key_is_an_event_each_time_and_counts(self) -> None:
        handed, log = HandOuts(), Watched()
        source = AuditedSource(Told(), log, accessor=WHO, handed=handed)

        source.read("okx")
        for _ in range(2):
            source.refresh("okx", rejected="6")
        handed.close()

        assert [(event.fields["action"], event.fields.get("handed_out")) for event in log.events] == [
            ("read", None),
            ("refresh", None),
            ("refresh", None),
            ("use", 3),
        ]

    def test_a_failure_is_an_event_each_time(self) -> None:
        handed, log = HandOuts(), Watched()
        source = AuditedSource(Told(SecretNotFoundError("no")), log, accessor=WHO, handed=handed)

        for _ in range(2):
            with pytest.raises(SecretNotFoundError):
                source.read("okx")
        handed.close()

        assert [event.fields["success"] for event in log.events] == [False, False]

    def test_a_first_read_that_cannot_be_recorded_gives_nothing_and_the_next_is_a_first_one_again(self) -> None:
        handed = HandOuts()

        with pytest.raises(AuditError):
            AuditedSource(Told(), Watched(fails=True), accessor=WHO, handed=handed).read("okx")
        log = Watched()
        AuditedSource(Told(), log, accessor=WHO, handed=handed).read("okx")

        assert [event.fields["action"] for event in log.events] == ["read"]


def test_a_description_that_the_cache_repeats_is_no_event() -> None:
    """A sensor's tick costs no question, and so no line; another one who asks is one."""
    log, store = Watched(), Told()
    cached = CachedSource(store, policy=CachePolicy())

    for who in (WHO, WHO, "somebody else", WHO):
        AuditedSource(cached, log, accessor=who).describe("okx")

    assert store.asked == 1
    assert [event.fields["accessor"] for event in log.events] == [WHO, "somebody else"]


def test_a_description_that_the_cache_asked_for_anew_is_an_event() -> None:
    """Once; that it was repeated while the store was being asked is none."""
    now, minutes, log = [0.0], iter(range(60)), Watched()
    cached = CachedSource(
        Told(),
        policy=CachePolicy(),
        clock=lambda: now[0],
        wall=lambda: datetime(2026, 11, 24, 12, next(minutes), tzinfo=UTC),
        start=lambda ask: ask(),
    )
    source = AuditedSource(cached, log, accessor=WHO)

    rungs = [source.describe("okx").rung]
    now[0] = 301.0
    rungs += [source.describe("okx").rung for _ in range(3)]

    assert rungs == ["fresh", "stale_revalidating", "fresh", "fresh"]
    assert len(log.events) == 2
