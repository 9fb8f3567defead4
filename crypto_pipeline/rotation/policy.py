"""
How old a secret may be: the security handbook's schedule, its judgement and its words.

Pure: ages come in as times, and the time comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

SECRET_MAX_AGE_DAYS: Final[Mapping[str, int]] = {
    "exchange_keys": 90,
    "hf_token": 180,
    "service_account": 90,
    "database": 30,
}
"""How many days a secret of each type may be in use."""

DEFAULT_MAX_AGE_DAYS: Final = 90
"""For a type that is not on the list."""

WARNING_DAYS: Final = 14
"""How many days before the end a secret becomes due."""

CLOCK_TOLERANCE: Final = timedelta(hours=1)
"""How far a store's clock may be ahead of ours. A secret made later than that has no age that could be trusted."""


class Freshness(Enum):
    """What the age of a secret means."""

    FRESH = "fresh"
    DUE = "due"
    OVERDUE = "overdue"
    UNKNOWN = "unknown"


def max_age_days_of(secret_type: str) -> int:
    """Return how many days a secret of this type may be in use."""
    return SECRET_MAX_AGE_DAYS.get(secret_type, DEFAULT_MAX_AGE_DAYS)


def judge(created_at: datetime | None, *, now: datetime, max_age_days: int) -> Freshness:
    """
    Return what the age means; a secret whose time is not known, or lies ahead, is never fresh.

    Args:
        created_at: when the secret was made (aware).
        now: the time (aware).
        max_age_days: the last full day on which the secret may be used.
    """
    if created_at is None or created_at - now > CLOCK_TOLERANCE:
        return Freshness.UNKNOWN
    age_days = (now - created_at).days
    if age_days > max_age_days:
        return Freshness.OVERDUE
    return Freshness.DUE if age_days > max_age_days - WARNING_DAYS else Freshness.FRESH


def age_warning(secret_name: str, created_at: datetime | None, *, now: datetime, max_age_days: int) -> str | None:
    """Return the security handbook's words for the age of a secret; None for a fresh one."""
    verdict = judge(created_at, now=now, max_age_days=max_age_days)
    if verdict is Freshness.FRESH:
        return None
    if created_at is None:
        return f"Secret '{secret_name}' has no known age. Keep it in a store that knows when it was stored."
    if verdict is Freshness.UNKNOWN:
        return f"Secret '{secret_name}' was made in the future. Correct the clock of this machine or of the store."
    age_days = (now - created_at).days
    if verdict is Freshness.OVERDUE:
        return f"Secret '{secret_name}' is {age_days} days old (max: {max_age_days})"
    return f"Secret '{secret_name}' will expire in {max_age_days - age_days} days"
