"""How old a secret may be, to the day, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_pipeline.rotation import SECRET_MAX_AGE_DAYS, Freshness, age_warning, judge, max_age_days_of

NOW = datetime(2026, 11, 24, 20, 25, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def test_the_schedule_is_the_handbooks() -> None:
    assert SECRET_MAX_AGE_DAYS == {"exchange_keys": 90, "hf_token": 180, "service_account": 90, "database": 30}


@pytest.mark.parametrize(("secret_type", "days"), [*SECRET_MAX_AGE_DAYS.items(), ("invented", 90), ("", 90)])
def test_a_type_that_is_not_on_the_schedule_has_ninety_days(secret_type: str, days: int) -> None:
    assert max_age_days_of(secret_type) == days


@pytest.mark.parametrize(
    ("age", "verdict", "says"),
    [
        (timedelta(0), Freshness.FRESH, None),
        (77 * DAY - SECOND, Freshness.FRESH, None),
        (77 * DAY, Freshness.DUE, "Secret 'x' will expire in 13 days"),
        (85 * DAY, Freshness.DUE, "Secret 'x' will expire in 5 days"),
        (90 * DAY, Freshness.DUE, "Secret 'x' will expire in 0 days"),
        (91 * DAY - SECOND, Freshness.DUE, "Secret 'x' will expire in 0 days"),
        (91 * DAY, Freshness.OVERDUE, "Secret 'x' is 91 days old (max: 90)"),
        (95 * DAY, Freshness.OVERDUE, "Secret 'x' is 95 days old (max: 90)"),
        (4000 * DAY, Freshness.OVERDUE, "Secret 'x' is 4000 days old (max: 90)"),
    ],
    ids=str,
)
def test_each_day_of_ninety_has_its_verdict_and_words(age: timedelta, verdict: Freshness, says: str | None) -> None:
    """A day that has not ended is not counted, as in the handbook."""
    assert judge(NOW - age, now=NOW, max_age_days=90) is verdict
    assert age_warning("x", NOW - age, now=NOW, max_age_days=90) == says


@pytest.mark.parametrize(
    ("days", "age", "verdict"),
    [
        (30, 16, Freshness.FRESH),
        (30, 17, Freshness.DUE),
        (30, 31, Freshness.OVERDUE),
        (180, 166, Freshness.FRESH),
        (180, 167, Freshness.DUE),
        (180, 181, Freshness.OVERDUE),
        (7, 0, Freshness.DUE),
        (7, 8, Freshness.OVERDUE),
    ],
)
def test_other_ages_have_the_same_fourteen_days_of_warning(days: int, age: int, verdict: Freshness) -> None:
    assert judge(NOW - age * DAY, now=NOW, max_age_days=days) is verdict


def test_a_secret_of_unknown_age_is_not_fresh() -> None:
    assert judge(None, now=NOW, max_age_days=90) is Freshness.UNKNOWN
    assert age_warning("x", None, now=NOW, max_age_days=90) == (
        "Secret 'x' has no known age. Keep it in a store that knows when it was stored."
    )


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [
        (SECOND, Freshness.FRESH),
        (timedelta(hours=1), Freshness.FRESH),
        (timedelta(hours=1) + SECOND, Freshness.UNKNOWN),
        (1000 * DAY, Freshness.UNKNOWN),
    ],
    ids=str,
)
def test_a_secret_from_the_future_is_not_fresh(ahead: timedelta, verdict: Freshness) -> None:
    """It would be fresh for years; two clocks may differ by minutes."""
    assert judge(NOW + ahead, now=NOW, max_age_days=90) is verdict
    said = age_warning("x", NOW + ahead, now=NOW, max_age_days=90)
    assert said == (
        "Secret 'x' was made in the future. Correct the clock of this machine or of the store."
        if verdict is Freshness.UNKNOWN
        else None
    )


def test_zones_make_no_difference() -> None:
    made = (NOW - 91 * DAY).astimezone(timezone(timedelta(hours=-11)))

    assert judge(made, now=NOW, max_age_days=90) is Freshness.OVERDUE


@settings(deadline=None, max_examples=200, database=None)
@given(st.timedeltas(-DAY * 400, DAY * 4000), st.timedeltas(timedelta(0), DAY * 400), st.integers(1, 400))
def test_a_secret_never_becomes_fresher(age: timedelta, later: timedelta, days: int) -> None:
    """And whatever is not fresh has words."""
    order = [Freshness.FRESH, Freshness.DUE, Freshness.OVERDUE]
    first = judge(NOW - age, now=NOW, max_age_days=days)
    second = judge(NOW - age, now=NOW + later, max_age_days=days)

    if first is not Freshness.UNKNOWN:
        assert order.index(second) >= order.index(first)
    said = age_warning("x", NOW - age, now=NOW, max_age_days=days)
    assert (said is None) is (first is Freshness.FRESH)
