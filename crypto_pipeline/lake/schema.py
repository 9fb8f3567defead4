"""
What columns each data set has: names, types, units, and how they are encoded on disk.

Numbers are decimals, because an exchange sends decimals: nothing is rounded, and what does not fit
its column is an error. Times are UTC in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from crypto_pipeline.errors import ValueTooWideError

SCHEMA_VERSION: Final = 1

NARROW: Final = pa.decimal128(18, 8)
"""Up to ten digits before the point and eight after it; stored as 64-bit integers."""

VALUE: Final = pa.decimal128(38, 12)
"""For a price times a quantity, which has the decimals of both: on OKX nine and more even for bitcoin."""

WIDE: Final = pa.decimal128(38, 18)
"""Up to twenty digits before the point and eighteen after it."""

MOMENT: Final = pa.timestamp("ms", tz="UTC")

# How 64-bit integers shrink best (docs/decisions/0011). Wider decimals stay plain: one of the common
# readers (Polars) cannot read them in any other encoding.
_STEPS, _SPLIT = "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"


@dataclass(frozen=True, slots=True)
class DataSet:
    """
    One kind of data and the form of its files.

    Fields:
        name: the folder's name.
        schema: columns, types and, as metadata of each field, its meaning.
        encodings: Parquet encodings of the columns that are not stored plainly.
        wide_variant: the data set for values that do not fit this one; None if there is none.
    """

    name: str
    schema: pa.Schema
    encodings: Mapping[str, str]
    wide_variant: str | None = None


def described(name: str, kind: pa.DataType, meaning: str, *, nullable: bool = False) -> pa.Field:
    """Return a column with its meaning, which stands in the files too."""
    return pa.field(name, kind, nullable=nullable, metadata={"description": meaning})


def _candles(price: pa.DataType, quantity: pa.DataType, value: pa.DataType) -> pa.Schema:
    base, quote = "in base currency", "in quote currency"
    return pa.schema(
        [
            described("open_time", MOMENT, "When the minute began; the candle covers 60 s from here."),
            described("open", price, f"First price, {quote}."),
            described("high", price, f"Highest price, {quote}."),
            described("low", price, f"Lowest price, {quote}."),
            described("close", price, f"Last price, {quote}."),
            described("volume", quantity, f"Traded quantity {base}."),
            described("quote_volume", value, f"Traded value {quote}; or null.", nullable=True),
            described("trades", pa.int64(), "Number of trades; or null.", nullable=True),
            described("taker_buy_volume", quantity, f"What takers bought of volume, {base}, or null.", nullable=True),
            described(
                "taker_buy_quote_volume", value, f"What takers bought of quote_volume, {quote}; or null.",
                nullable=True,
            ),
        ]
    )  # fmt: skip


_PRICES = ("open", "high", "low", "close")

CANDLES: Final = DataSet(
    "candles",
    _candles(NARROW, NARROW, VALUE),
    {
        **dict.fromkeys(("open_time", *_PRICES, "trades"), _STEPS),
        **dict.fromkeys(("volume", "taker_buy_volume"), _SPLIT),
    },
    wide_variant="candles_wide",
)
"""Closed candles whose prices and quantities fit `NARROW`."""

CANDLES_WIDE: Final = DataSet(
    "candles_wide", _candles(WIDE, WIDE, WIDE), dict.fromkeys(("open_time", "trades"), _STEPS)
)
"""Closed candles of symbols declared wide (`CRYPTO_PIPELINE_WIDE_SYMBOLS`)."""

INSTRUMENTS: Final = DataSet(
    "instruments",
    pa.schema(
        [
            described("symbol", pa.string(), "Canonical, such as BTC-USDT."),
            described("native", pa.string(), "As the exchange writes it."),
            described("base", pa.string(), "What is traded."),
            described("quote", pa.string(), "What it is paid in."),
            described("status", pa.string(), "trading, halted or announced."),
            described("native_status", pa.string(), "The exchange's own word for it."),
            described("price_increment", WIDE, "Smallest step of a price; or null.", nullable=True),
            described("quantity_increment", WIDE, "Smallest step of a quantity; or null.", nullable=True),
            described("minimum_quantity", WIDE, "Smallest order in base currency; or null.", nullable=True),
            described("minimum_notional", WIDE, "Smallest order in quote currency; or null.", nullable=True),
            described("listed_at", MOMENT, "When trading began, where the exchange says.", nullable=True),
        ]
    ),
    {},
)
"""Spot markets of one exchange as of one day."""


def build_table(data_set: DataSet, columns: Mapping[str, Sequence[Any]], *, whose: str) -> pa.Table:
    """
    Return the columns as a table of the data set, every number exact.

    Args:
        data_set: whose schema.
        columns: by name, each as long as the others.
        whose: what the values belong to, such as `okx PEPE-USDT`; stands in the error.

    Raises:
        ValueTooWideError: a number does not fit its column; names column, number and remedy.
    """
    arrays = [_array(data_set, field, columns[field.name], whose) for field in data_set.schema]
    return pa.Table.from_arrays(arrays, schema=data_set.schema)


def _array(data_set: DataSet, field: pa.Field, values: Sequence[Any], whose: str) -> pa.Array:
    try:
        return pa.array(values, field.type)
    except (pa.ArrowInvalid, OverflowError):
        value = next((value for value in values if not _fits(value, field.type)), None)
        if value is None:  # pragma: no cover - then it is a fault of the caller, not of a number
            raise
    kind = field.type
    fits = f"{kind.precision - kind.scale} digits before and {kind.scale} after the point"
    remedy = (
        f"Declare the symbol wide: add it to CRYPTO_PIPELINE_WIDE_SYMBOLS (data set {data_set.wide_variant})."
        if data_set.wide_variant
        else "There is no wider column; leave the symbol out."
    )
    said = f"The {field.name} {value:f} of {whose} does not fit its column ({fits})"
    msg = f"{said}; nothing was rounded or stored. {remedy}"
    raise ValueTooWideError(msg)


def _fits(value: Decimal | None, kind: pa.DataType) -> bool:
    try:
        pa.scalar(value, kind)
    except (pa.ArrowInvalid, OverflowError):
        return False
    return True
