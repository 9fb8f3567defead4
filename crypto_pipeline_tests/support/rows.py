"""Candles of a made-up minute, for tests that need rows and no exchange."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from crypto_pipeline.exchanges import Candle
from crypto_pipeline.market.months import MINUTE_MS, month_bounds

MONTH = "2026-10"
START_MS, END_MS = month_bounds(MONTH)


def candle(number: int, **changes: Any) -> Candle:
    """Return the candle of minute `number` of the month."""
    close = Decimal("60000.01") + number % 7
    whole = Candle(
        open_time_ms=START_MS + number * MINUTE_MS,
        open=Decimal("60000.01"),
        high=close + 10,
        low=Decimal("59000"),
        close=close,
        volume=Decimal("1.50000001"),
        quote_volume=Decimal("90000.123456789"),
        trades=12 + number % 5,
        taker_buy_volume=Decimal("0.5"),
        taker_buy_quote_volume=Decimal("30000.1"),
    )
    return whole._replace(**changes)


def candles(*numbers: int) -> Iterator[Candle]:
    """Yield the candles of some minutes of the month."""
    return map(candle, numbers)
