"""
The staleness ladder: how long an answer of a store stands in for asking it again.

Every answer goes down four rungs. *Fresh*: handed out as it is. *Stale, being revalidated*: handed
out once more while the store is asked again in the background. *Stale, if there is an error*: the
store is down, and its last answer is handed out, marked, up to a stated age. *Closed*: that age is
passed, and the store's error is all there is. Rules only; `ladder` keeps to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Final

from crypto_pipeline.errors import ConfigurationError

LONGEST_ERROR_SECONDS: Final = 10.0
"""A store that has healed must not look broken for longer."""


class Rung(StrEnum):
    """How an answer was handed out; the fourth rung, closed, hands out nothing."""

    FRESH = "fresh"
    STALE_REVALIDATING = "stale_revalidating"
    STALE_IF_ERROR = "stale_if_error"


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """
    How far down the ladder an answer may go. All times count from the moment the store was asked.

    Fields:
        ttl_seconds: how long an answer is fresh.
        revalidate_seconds: for how long after that it is handed out while the store is asked in the
            background, and how long a failure to reach the store is taken for news. Later than
            that, whoever reads waits for the store.
        bound_seconds: the age from which an answer is never handed out, whatever the store does.
        error_seconds: how long an error is repeated instead of asking again.
        jitter: the most that a single answer's time of being fresh is shortened by, as a part of
            it, so that processes that started together do not ask together.
        describe_seconds: how long a description is fresh. It is not shortened: sensors may count
            on one question in this time.

    Raises:
        ConfigurationError: the times contradict each other.
    """

    ttl_seconds: float = 300.0
    revalidate_seconds: float = 60.0
    bound_seconds: float = 900.0
    error_seconds: float = 2.0
    jitter: float = 0.1
    describe_seconds: float = 300.0

    def __post_init__(self) -> None:
        rules = {
            "must be finite numbers": all(map(isfinite, self._numbers())),
            "must not be negative": min(self._numbers()) >= 0,
            "must let a value be fresh for some time": self.ttl_seconds > 0 and self.describe_seconds > 0,
            "must not have a bound below the time of being fresh": self.bound_seconds >= self.ttl_seconds,
            f"must not repeat an error for more than {LONGEST_ERROR_SECONDS:.0f} s": (
                self.error_seconds <= LONGEST_ERROR_SECONDS
            ),
            "must have a jitter below 1": self.jitter < 1,
        }
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            msg = f"The times of the cache of secrets {broken[0]}. Correct them; see docs/decisions/0013."
            raise ConfigurationError(msg)

    def _numbers(self) -> tuple[float, ...]:
        times = (self.ttl_seconds, self.revalidate_seconds, self.bound_seconds, self.error_seconds)
        return (*times, self.jitter, self.describe_seconds)

    def for_descriptions(self) -> CachePolicy:
        """Return the policy under which descriptions are kept."""
        return CachePolicy(
            ttl_seconds=self.describe_seconds,
            revalidate_seconds=self.describe_seconds,
            bound_seconds=max(self.bound_seconds, self.describe_seconds),
            error_seconds=self.error_seconds,
            jitter=0.0,
            describe_seconds=self.describe_seconds,
        )
