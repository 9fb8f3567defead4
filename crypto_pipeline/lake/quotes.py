"""
The data sets besides candles and instruments: trades, quotes, books, and what belongs to perpetual contracts.

All numbers have the wide columns: these files are small, and no symbol has to be declared.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from crypto_pipeline.lake.schema import MOMENT, WIDE, DataSet, described

_TAKEN_AT = described("taken_at", MOMENT, "When it was asked for, by the exchange's clock.")
_TOLD_AT = described("time", MOMENT, "The exchange's own time of it; or null.", nullable=True)

TRADES: Final = DataSet(
    "trades",
    pa.schema(
        [
            described("time", MOMENT, "When it was made."),
            described("trade_id", pa.string(), "The exchange's own number of it."),
            described("price", WIDE, "In quote currency."),
            described("quantity", WIDE, "In base currency."),
            described("taker_side", pa.string(), "`buy` if the taker bought, else `sell`."),
        ]
    ),
    {"time": "DELTA_BINARY_PACKED"},
)
"""Public trades of one day, by time; each once."""

QUOTES: Final = DataSet(
    "quotes",
    pa.schema(
        [
            _TAKEN_AT,
            _TOLD_AT,
            described("bid", WIDE, "Best price that is bid, in quote currency."),
            described("bid_quantity", WIDE, "How much is bid at it, in base currency."),
            described("ask", WIDE, "Best price that is asked, in quote currency."),
            described("ask_quantity", WIDE, "How much is offered at it, in base currency."),
        ]
    ),
    {"taken_at": "DELTA_BINARY_PACKED"},
)
"""Best bid and ask, as they were each time somebody looked; one file a day."""

BOOKS: Final = DataSet(
    "books",
    pa.schema(
        [
            _TAKEN_AT,
            _TOLD_AT,
            described("sequence", pa.string(), "The exchange's own number of this state; or null.", nullable=True),
            described("side", pa.string(), "`bid` or `ask`."),
            described("level", pa.int32(), "0 is the best price of its side."),
            described("price", WIDE, "In quote currency."),
            described("quantity", WIDE, "How much stands there, in base currency."),
        ]
    ),
    {"taken_at": "DELTA_BINARY_PACKED", "level": "DELTA_BINARY_PACKED"},
)
"""Order books, a row for each level, as they were each time somebody looked; one file a day."""

FUNDING_RATES: Final = DataSet(
    "funding_rates",
    pa.schema(
        [
            described("time", MOMENT, "When it was paid."),
            described("rate", WIDE, "As a part of the position's value; positive: longs paid shorts."),
            described("mark_price", WIDE, "The price it was reckoned with; or null.", nullable=True),
        ]
    ),
    {"time": "DELTA_BINARY_PACKED"},
)
"""What holders of a perpetual contract paid each other; one file a month."""

OPEN_INTEREST: Final = DataSet(
    "open_interest",
    pa.schema(
        [
            _TAKEN_AT,
            _TOLD_AT,
            described("quantity", WIDE, "One side of all open positions, in base currency."),
            described("value", WIDE, "The same in quote currency; or null.", nullable=True),
        ]
    ),
    {"taken_at": "DELTA_BINARY_PACKED"},
)
"""How much was open each time somebody looked; one file a day."""

MARK_PRICES: Final = DataSet(
    "mark_prices",
    pa.schema(
        [
            _TAKEN_AT,
            _TOLD_AT,
            described("mark_price", WIDE, "What positions are reckoned with, in quote currency."),
            described("index_price", WIDE, "The spot markets behind it; or null.", nullable=True),
            described("funding_rate", WIDE, "What will be paid next, as far as it was known; or null.", nullable=True),
            described("next_funding_at", MOMENT, "When it will be paid; or null.", nullable=True),
        ]
    ),
    {"taken_at": "DELTA_BINARY_PACKED"},
)
"""Mark and index prices each time somebody looked; one file a day."""
