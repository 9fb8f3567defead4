"""
How data is cut in time: candles by calendar month, the running month included.

Dates only: one asset per exchange and data set, so that a range of months is one run
(docs/decisions/0010).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import dagster as dg

MONTH_FORMAT = "%Y-%m"

UPDATE_TAG = "crypto_pipeline/update"
"""On a run that only continues files where they end; without it a month that is over is made anew."""


def months(first_month: str) -> dg.MonthlyPartitionsDefinition:
    """Return the monthly partitions from `first_month` (`2020-01`) up to and including the running one."""
    return dg.MonthlyPartitionsDefinition(start_date=first_month, fmt=MONTH_FORMAT, timezone="UTC", end_offset=1)


def months_to_update(now: datetime) -> Sequence[str]:
    """
    Return the months that an update at `now` has to touch, oldest first.

    On the first day of a month the month before still lacks its last minutes.
    """
    return sorted({(now - timedelta(days=1)).strftime(MONTH_FORMAT), now.strftime(MONTH_FORMAT)})
