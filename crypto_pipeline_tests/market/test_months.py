"""The calendar of the lake."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.market.months import MINUTE_MS, last_closed_ms, moment, month_bounds, pages


@pytest.mark.parametrize(
    ("month", "begin", "end", "minutes"),
    [
        ("2026-10", "2026-10-01T00:00:00+00:00", "2026-11-01T00:00:00+00:00", 44_640),
        ("2026-12", "2026-12-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00", 44_640),
        ("2024-02", "2024-02-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00", 41_760),
        ("2026-03", "2026-03-01T00:00:00+00:00", "2026-04-01T00:00:00+00:00", 44_640),
    ],
    ids=["long", "turn of the year", "leap", "clocks change elsewhere"],
)
def test_a_month_runs_from_midnight_to_midnight_utc(month: str, begin: str, end: str, minutes: int) -> None:
    start_ms, end_ms = month_bounds(month)

    assert (moment(start_ms).isoformat(), moment(end_ms).isoformat()) == (begin, end)
    assert (end_ms - start_ms) // MINUTE_MS == minutes


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "October", "", "2026-10-01", "26-10"])
def test_what_is_no_month_is_refused(month: str) -> None:
    with pytest.raises(ConfigurationError, match="such as 2026-10"):
        month_bounds(month)


@pytest.mark.parametrize(
    ("now", "closed"),
    [
        (datetime(2026, 11, 24, 12, 0, 59, 999_000, UTC), datetime(2026, 11, 24, 12, 0, tzinfo=UTC)),
        (datetime(2026, 11, 24, 12, 1, tzinfo=UTC), datetime(2026, 11, 24, 12, 1, tzinfo=UTC)),
        (
            datetime(2026, 11, 24, 12, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            datetime(2026, 11, 24, 6, 31, tzinfo=UTC),
        ),
    ],
)
def test_the_running_minute_is_not_over(now: datetime, closed: datetime) -> None:
    assert moment(last_closed_ms(now)) == closed


@given(st.integers(0, 3000), st.integers(1, 1000))
def test_pages_cover_the_range_once_and_in_order(minutes: int, page_minutes: int) -> None:
    cut = list(pages(0, minutes * MINUTE_MS, page_minutes))

    assert [edge for page in cut for edge in range(*page, MINUTE_MS)] == list(range(0, minutes * MINUTE_MS, MINUTE_MS))
    assert all(0 < end - begin <= page_minutes * MINUTE_MS for begin, end in cut)
