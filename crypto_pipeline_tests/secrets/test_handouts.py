"""What a run is handed is recorded once, counted after that, and told in the end."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from crypto_pipeline.audit import AuditEvent
from crypto_pipeline.credentials import CredentialDescription
from crypto_pipeline.errors import AuditError
from crypto_pipeline.secrets.handouts import HandOuts, ToldOnce
from crypto_pipeline.secrets.staleness import Rung

WHO = "crypto_pipeline/okx/candles_1m"
AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
FOUND = CredentialDescription("okx", "crypto-pipeline/okx", "vault", "7", AT, AT, Rung.FRESH.value)


class Kept:
    """A record that keeps its events in memory."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        """Keep an event."""
        self.events.append(event)

    def bound(self, **context: str | None) -> Kept:  # noqa: ARG002 - the interface's
        """Return the same record."""
        return self


@pytest.fixture
def log() -> Kept:
    """A record."""
    return Kept()


@pytest.fixture
def handed() -> HandOuts:
    """Nothing was handed out yet."""
    return HandOuts()


def standing_on(rung: Rung, **changes: object) -> CredentialDescription:
    """Return the same credential, handed out from this rung."""
    return dataclasses.replace(FOUND, rung=rung.value, **changes)  # type: ignore[arg-type]


def refuse() -> None:
    """Be a record that cannot be written."""
    msg = "no room"
    raise AuditError(msg)


def test_the_first_time_is_recorded_and_all_are_counted(handed: HandOuts, log: Kept) -> None:
    recorded: list[str] = []

    for number in range(20):
        handed.hand_out(FOUND, WHO, log, lambda number=number: recorded.append(str(number)))  # type: ignore[misc]
    handed.add_requests({FOUND: 31}, WHO)
    handed.close()

    (told,) = log.events
    assert recorded == ["0"]
    assert told.event == "secret_access"
    assert dict(told.fields) == {
        "secret_name": "crypto-pipeline/okx",
        "accessor": WHO,
        "action": "use",
        "success": True,
        "credential_version": "7",
        "store": "vault",
        "handed_out": 20,
        "signed_requests": 31,
    }


@pytest.mark.parametrize(
    ("found", "who"),
    [
        (dataclasses.replace(FOUND, version="8"), WHO),
        (FOUND, "crypto_pipeline/okx/api_key"),
        (dataclasses.replace(FOUND, name="crypto-pipeline/bybit"), WHO),
        (dataclasses.replace(FOUND, store="aws"), WHO),
    ],
    ids=["version", "asset", "name", "store"],
)
def test_what_differs_in_one_point_is_another_one(
    found: CredentialDescription, who: str, handed: HandOuts, log: Kept
) -> None:
    recorded: list[CredentialDescription] = []

    for each, whose in ((FOUND, WHO), (found, who)):
        handed.hand_out(each, whose, log, lambda each=each: recorded.append(each))  # type: ignore[misc]
    handed.close()

    assert recorded == [FOUND, found]
    assert [event.fields["handed_out"] for event in log.events] == [1, 1]


def test_an_outage_makes_it_news_once(handed: HandOuts, log: Kept) -> None:
    """A reviewer must see which runs went on without the store's word; that a cache refreshed itself is no news."""
    recorded: list[str] = []
    steps = (Rung.FRESH, Rung.STALE_REVALIDATING, Rung.STALE_IF_ERROR, Rung.STALE_IF_ERROR, Rung.FRESH)

    for rung in steps:
        handed.hand_out(standing_on(rung), WHO, log, lambda rung=rung: recorded.append(rung.value))  # type: ignore[misc]
    handed.close()

    assert recorded == ["fresh", "stale_if_error"]
    assert [event.fields["handed_out"] for event in log.events] == [5]


def test_what_cannot_be_recorded_is_not_counted_and_is_tried_again(handed: HandOuts, log: Kept) -> None:
    recorded: list[str] = []

    with pytest.raises(AuditError):
        handed.hand_out(FOUND, WHO, log, refuse)
    handed.hand_out(FOUND, WHO, log, lambda: recorded.append("second"))
    handed.close()

    assert recorded == ["second"]
    assert [event.fields["handed_out"] for event in log.events] == [1]


def test_an_outage_that_cannot_be_recorded_hands_out_nothing(handed: HandOuts, log: Kept) -> None:
    handed.hand_out(FOUND, WHO, log, lambda: None)

    for _ in range(2):
        with pytest.raises(AuditError):
            handed.hand_out(standing_on(Rung.STALE_IF_ERROR), WHO, log, refuse)


def test_threads_that_come_together_are_handed_it_after_one_record(handed: HandOuts, log: Kept) -> None:
    """Nobody is given it before the record is there."""
    together, recorded, given = threading.Barrier(8), threading.Event(), []

    def take() -> None:
        together.wait()
        handed.hand_out(FOUND, WHO, log, recorded.set)
        given.append(recorded.is_set())

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handed.close()

    assert given == [True] * 8
    assert [event.fields["handed_out"] for event in log.events] == [8]


def test_told_once_is_told(handed: HandOuts, log: Kept) -> None:
    """What comes after begins anew, with a record of its own."""
    recorded: list[int] = []
    handed.hand_out(FOUND, WHO, log, lambda: recorded.append(1))
    handed.close()

    handed.close()
    handed.hand_out(FOUND, WHO, log, lambda: recorded.append(2))

    assert len(log.events) == 1
    assert recorded == [1, 2]


def test_requests_with_what_was_not_handed_out_here_are_not_counted(handed: HandOuts, log: Kept) -> None:
    handed.add_requests({FOUND: 3}, WHO)
    handed.close()

    assert log.events == []


class TestToldOnce:
    """A description that a cache repeats is on the record once."""

    @pytest.mark.parametrize(
        ("second", "times"),
        [
            (FOUND, 1),
            (dataclasses.replace(FOUND, fetched_at=AT + timedelta(minutes=5)), 2),
            (standing_on(Rung.STALE_IF_ERROR), 2),
        ],
        ids=["the same", "asked again", "unconfirmed"],
    )
    def test_only_another_answer_is_news(self, second: CredentialDescription, times: int) -> None:
        told, recorded = ToldOnce(), []

        for found in (FOUND, second):
            told.tell(found, WHO, lambda: recorded.append(1))

        assert len(recorded) == times

    def test_each_who_asks_is_on_the_record(self) -> None:
        told, recorded = ToldOnce(), []

        for who in (WHO, "somebody else", WHO):
            told.tell(FOUND, who, lambda: recorded.append(1))

        assert len(recorded) == 2

    def test_an_answer_that_no_cache_gave_is_always_news(self) -> None:
        told, recorded = ToldOnce(), []

        for _ in range(2):
            told.tell(dataclasses.replace(FOUND, fetched_at=None), WHO, lambda: recorded.append(1))

        assert len(recorded) == 2

    def test_what_could_not_be_recorded_is_still_news(self) -> None:
        told, recorded = ToldOnce(), []
        ways: list[Callable[[], None]] = [refuse, lambda: recorded.append(1)]

        with pytest.raises(AuditError):
            told.tell(FOUND, WHO, ways[0])
        told.tell(FOUND, WHO, ways[1])

        assert recorded == [1]
