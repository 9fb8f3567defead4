"""What every inspection keeps to: words, clocks, and an end in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from crypto_pipeline.errors import AuditError, ConfigurationError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets.doctor.symptom import (
    Severity,
    Symptom,
    clock_symptom,
    fine,
    header_time,
    problem_of,
    spoken,
    within,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (40, "40 s"),
        (119, "119 s"),
        (120, "2 min"),
        (3_600, "60 min"),
        (7_199, "2 h"),
        (7_200, "2 h"),
        (86_400, "24 h"),
        (172_800, "2 days"),
        (864_000, "10 days"),
    ],
)
def test_a_time_is_told_as_one_says_it(seconds: float, said: str) -> None:
    assert spoken(seconds) == said


@pytest.mark.parametrize(
    ("ahead", "severity"),
    [
        (0, Severity.OK),
        (4.9, Severity.OK),
        (-4.9, Severity.OK),
        (5, Severity.WARNING),
        (-59, Severity.WARNING),
        (60, Severity.PROBLEM),
        (-3_600, Severity.PROBLEM),
    ],
)
def test_a_clock_is_judged_by_how_far_it_is_off(ahead: float, severity: Severity) -> None:
    found = clock_symptom(NOW, NOW + timedelta(seconds=ahead), who="the server")

    assert found.severity is severity
    if severity is not Severity.OK:
        assert ("ahead of" if ahead > 0 else "behind") in found.seen


def test_a_clock_that_was_not_told_is_not_judged() -> None:
    assert clock_symptom(None, NOW, who="the server").severity is Severity.NOTE


@pytest.mark.parametrize(("text", "time"), [("Tue, 24 Nov 2026 12:00:00 GMT", NOW), ("", None), ("yesterday", None)])
def test_a_header_that_tells_no_time_is_none(text: str, time: datetime | None) -> None:
    assert header_time(text) == time


def test_an_error_is_split_into_what_was_seen_and_what_to_do() -> None:
    found = problem_of("login", "some-code", ConfigurationError("It is wrong. Set it right. Then run again."))

    assert (found.seen, found.remedy) == ("It is wrong.", "Set it right. Then run again.")


def test_an_error_that_holds_a_secret_is_scrubbed() -> None:
    secret = Secret("planted-value-b1d0")

    found = problem_of("login", "some-code", ConfigurationError(f"It is {secret.reveal()}."))

    assert secret.reveal() not in repr(found)
    assert found.remedy == ""


def test_symptoms_come_as_they_are_seen() -> None:
    """The second is not waited for before the first is told."""
    told = threading.Event()

    def symptoms() -> Iterator[Symptom]:
        yield fine("a", "First.")
        assert told.wait(timeout=20)
        yield fine("b", "Second.")

    found = []
    for symptom in within(30, symptoms()):
        found.append(symptom.seen)
        told.set()

    assert found == ["First.", "Second."]


def test_an_inspection_that_hangs_ends_with_a_problem_that_says_so() -> None:
    """What was seen before is told; the thread that hangs keeps nobody."""
    released = threading.Event()

    def symptoms() -> Iterator[Symptom]:
        yield fine("server", "It answers.")
        released.wait(timeout=60)

    started = time.monotonic()
    found = list(within(0.3, symptoms()))
    released.set()

    assert time.monotonic() - started < 10
    assert [each.code for each in found] == ["ok", "too-slow"]
    assert found[1].severity is Severity.PROBLEM


@pytest.mark.parametrize("error", [AuditError("It could not be recorded."), KeyboardInterrupt()])
def test_what_goes_wrong_in_an_inspection_is_raised(error: BaseException) -> None:
    def symptoms() -> Iterator[Symptom]:
        yield fine("server", "It answers.")
        raise error

    found = within(30, symptoms())

    assert next(found).seen == "It answers."
    with pytest.raises(type(error)):
        next(found)
