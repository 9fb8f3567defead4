"""Candles are cut by calendar month."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from crypto_pipeline.defs.partitions import months, months_to_update


def test_the_running_month_is_a_partition() -> None:
    """It is brought up to date every hour, so it must exist before it is over."""
    keys = months("2026-09").get_partition_keys(current_time=datetime(2026, 11, 24, 12, tzinfo=UTC))

    assert list(keys) == ["2026-09", "2026-10", "2026-11"]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 11, 24, 12, 3, tzinfo=UTC), ["2026-11"]),
        (datetime(2026, 11, 1, 0, 3, tzinfo=UTC), ["2026-10", "2026-11"]),
        (datetime(2027, 1, 1, 23, 3, tzinfo=UTC), ["2026-12", "2027-01"]),
        (datetime(2026, 11, 2, 0, 3, tzinfo=UTC), ["2026-11"]),
    ],
)
def test_on_the_first_day_the_month_before_is_finished_too(now: datetime, expected: list[str]) -> None:
    """Its last minutes are only there after midnight."""
    assert months_to_update(now) == expected
