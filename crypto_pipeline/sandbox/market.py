"""The made-up market: a pure function of (exchange, symbol, minute)."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple


class Minute(NamedTuple):
    """
    One minute of one symbol at one exchange.

    Prices and volumes are exact decimals at the exchange's own increments, printed by `str` or
    `format(x, "f")` without exponent. `trades` is 0 when nobody traded: then all prices equal the
    previous close and all volumes are 0 (and Coinbase has no row at all).
    """

    open_time_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trades: int
    taker_buy_volume: Decimal
    taker_buy_quote_volume: Decimal
