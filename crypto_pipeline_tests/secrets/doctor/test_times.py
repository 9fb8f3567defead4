"""What times mean together, as a table."""

from __future__ import annotations

import pytest

from crypto_pipeline.secrets.doctor.symptom import Severity
from crypto_pipeline.secrets.doctor.times import PATIENCE, Patience, cache_symptoms, tick_symptom

# cache_seconds, stale_seconds, what is seen
CACHES: tuple[tuple[float, float, list[str]], ...] = (
    (300, 900, []),
    (300, 420, []),
    (300, 419, ["outage-not-bridged"]),
    (300, 300, ["outage-not-bridged"]),
    (300, 6 * 3_600, []),
    (300, 6 * 3_600 + 1, ["stale-for-long"]),
    (3_600, 7_200, []),
    (3_601, 7_200, ["cached-for-long"]),
    (30, 900, []),
    (29, 900, ["cached-for-moments"]),
    (10, 100_000, ["stale-for-long", "cached-for-moments"]),
)


@pytest.mark.parametrize(("cache", "stale", "codes"), CACHES)
def test_the_times_of_the_cache_are_judged_together(cache: float, stale: float, codes: list[str]) -> None:
    found = list(cache_symptoms(cache, stale))

    assert [each.code for each in found] == codes
    assert all(each.remedy.endswith(".") for each in found)


def test_the_time_that_is_advised_for_an_outage_bridges_one() -> None:
    (found,) = cache_symptoms(300, 310)
    (command,) = found.commands

    assert list(cache_symptoms(300, float(command.rpartition("=")[2]))) == []


# store, questions, regions, seconds that Dagster waits, whether that is enough
TICKS = (
    ("vault", 1, 1, 60, True),
    ("vault", 1, 1, 13, False),
    ("aws", 1, 1, 60, True),
    ("aws", 5, 1, 60, False),
    ("aws", 2, 1, 60, True),
    ("aws", 2, 2, 60, False),
    ("aws", 5, 3, 361, True),
)


@pytest.mark.parametrize(("store", "questions", "regions", "limit", "is_enough"), TICKS)
def test_a_tick_must_outlast_a_store_that_hangs(
    store: str, questions: int, regions: int, limit: float, is_enough: bool
) -> None:
    found = tick_symptom(store, questions=questions, regions=regions, limit=limit)

    assert found.severity is (Severity.OK if is_enough else Severity.WARNING)


def test_the_time_that_is_advised_for_a_tick_is_enough() -> None:
    (command,) = tick_symptom("aws", questions=5, regions=2).commands

    limit = float(command.rpartition("=")[2])
    assert tick_symptom("aws", questions=5, regions=2, limit=limit).severity is Severity.OK


def test_a_question_takes_as_long_as_all_of_its_attempts() -> None:
    assert Patience(3, 5, attempts=3).seconds == 24
    assert {store: patience.seconds for store, patience in PATIENCE.items()} == {"vault": 13, "aws": 24}
