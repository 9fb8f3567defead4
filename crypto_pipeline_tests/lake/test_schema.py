"""Columns hold exactly what the exchange said, or refuse."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_pipeline.errors import ValueTooWideError
from crypto_pipeline.exchanges import Candle, Instrument
from crypto_pipeline.lake import CANDLES, CANDLES_WIDE, INSTRUMENTS, DataSet, build_table
from crypto_pipeline_tests.support.rows import candle

WHOSE = "okx PEPE-USDT"


def table_of(data_set: DataSet, *rows: Candle) -> pa.Table:
    columns = dict(zip(("open_time", *Candle._fields[1:]), zip(*rows, strict=True), strict=True))
    return build_table(data_set, columns, whose=WHOSE)


def decimals(before: int, after: int) -> st.SearchStrategy[Decimal]:
    """Return numbers as exchanges write them: with up to so many digits before and after the point."""
    return st.builds(
        lambda whole, part: Decimal(f"{whole}.{part}" if part else str(whole)),
        st.integers(0, 10**before - 1),
        st.text("0123456789", max_size=after),
    )


@given(price=decimals(10, 8), value=decimals(20, 12))
def test_every_number_that_fits_a_column_comes_back_as_it_was_sent(price: Decimal, value: Decimal) -> None:
    table = table_of(CANDLES, candle(0, close=price, quote_volume=value))

    assert table["close"].to_pylist() == [price]
    assert table["quote_volume"].to_pylist() == [value]


@given(number=decimals(20, 18))
@pytest.mark.parametrize("column", ["open", "volume", "quote_volume", "taker_buy_volume"])
def test_the_wide_data_set_takes_twenty_digits_and_eighteen_decimals(column: str, number: Decimal) -> None:
    table = table_of(CANDLES_WIDE, candle(0, **{column: number}))

    assert table[column].to_pylist() == [number]


@pytest.mark.parametrize(
    ("column", "number"),
    [
        ("close", "0.000000001"),
        ("close", "12345678901"),
        ("volume", "1E+10"),
        ("volume", "0.123456789"),
        ("quote_volume", "0.0000000000001"),
        ("quote_volume", "1E+26"),
    ],
)
def test_a_number_that_does_not_fit_names_symbol_column_number_and_remedy(column: str, number: str) -> None:
    """The row before it fits, so that the number named is the one at fault."""
    with pytest.raises(ValueTooWideError) as refused:
        table_of(CANDLES, candle(0), candle(1, **{column: Decimal(number)}))

    said = str(refused.value)
    assert WHOSE in said
    assert f"The {column} {Decimal(number):f} " in said
    assert "CRYPTO_PIPELINE_WIDE_SYMBOLS" in said


def test_a_number_too_wide_for_the_wide_data_set_has_no_further_remedy() -> None:
    with pytest.raises(ValueTooWideError, match="no wider column"):
        table_of(CANDLES_WIDE, candle(0, close=Decimal(1).scaleb(-19)))


@pytest.mark.parametrize("number", ["1.5000000000000000000", "0E-20", "2E+3", "0"])
def test_the_way_a_number_is_written_does_not_matter(number: str) -> None:
    """Zeros at the end are not decimals that do not fit."""
    assert table_of(CANDLES, candle(0, close=Decimal(number)))["close"].to_pylist() == [Decimal(number)]


def test_what_an_exchange_does_not_say_is_null() -> None:
    silent = candle(0, quote_volume=None, trades=None, taker_buy_volume=None, taker_buy_quote_volume=None)

    table = table_of(CANDLES, silent)

    for column in ("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume"):
        assert table[column].to_pylist() == [None]


@pytest.mark.parametrize("data_set", [CANDLES, CANDLES_WIDE, INSTRUMENTS], ids=lambda one: one.name)
def test_every_column_says_what_it_means(data_set: DataSet) -> None:
    assert [field.name for field in data_set.schema if not (field.metadata or {}).get(b"description")] == []


def test_the_columns_are_those_of_the_records() -> None:
    """A field that a client learns to read must not be lost on the way to the file."""
    assert CANDLES.schema.names == ["open_time", *(name for name in Candle._fields[1:] if name != "finished")]
    assert INSTRUMENTS.schema.names == list(Instrument._fields)
