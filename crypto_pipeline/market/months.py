"""The calendar of the lake: months and minutes in UTC, as milliseconds since the epoch."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from crypto_pipeline.errors import ConfigurationError

MINUTE_MS: Final = 60_000


def month_bounds(month: str) -> tuple[int, int]:
    """
    Return when a month such as `2026-10` begins and ends, the end not included.

    Raises:
        ConfigurationError: it is not a month.
    """
    try:
        begin = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        msg = f"{month!r} is not a month such as 2026-10."
        raise ConfigurationError(msg) from None
    after = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
    return _milliseconds(begin), _milliseconds(after)


def last_closed_ms(now: datetime) -> int:
    """Return the end of the last minute that is over at `now`."""
    now_ms = _milliseconds(now)
    return now_ms - now_ms % MINUTE_MS


def moment(milliseconds: int) -> datetime:
    """Return the moment, aware, UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def pages(start_ms: int, end_ms: int, page_minutes: int) -> Iterator[tuple[int, int]]:
    """Yield the range cut into half-open pages of at most `page_minutes`, oldest first."""
    step = page_minutes * MINUTE_MS
    for begin in range(start_ms, end_ms, step):
        yield begin, min(begin + step, end_ms)


def _milliseconds(when: datetime) -> int:
    return int(when.timestamp() * 1000)
