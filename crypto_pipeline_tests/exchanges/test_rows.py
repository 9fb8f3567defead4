"""Numbers of either sign, as texts and as JSON numbers; those that are never below zero are in `test_recorded.py`."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_pipeline.errors import MalformedAnswerError
from crypto_pipeline.exchanges import rows

LONG = "0.1234567890123456789012345678901234567890123456789"


@pytest.mark.parametrize("value", ["-0.03750000", "0.00010000", "0", "-0", "-1e-8", "1E+15", f"-{LONG}", LONG])
def test_a_text_of_either_sign_stays_exactly_what_was_written(value: str) -> None:
    assert rows.signed(value, "Binance", "a rate").as_tuple() == Decimal(value).as_tuple()


@pytest.mark.parametrize("value", [-3, 0, 7, -(10**40), Decimal("-0.5"), Decimal(f"-{LONG}"), Decimal(LONG)])
def test_a_number_of_either_sign_stays_what_it_is(value: int | Decimal) -> None:
    """Python's signs would round it to 28 digits."""
    assert rows.signed(value, "Binance", "a rate").as_tuple() == Decimal(value).as_tuple()


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=18))
def test_whatever_is_written_is_read(value: Decimal) -> None:
    assert rows.signed(format(value, "f"), "Binance", "a rate") == value


@pytest.mark.parametrize(
    "value",
    [
        "", "-", "--1", "+1", "- 1", "-.", "-x", "-NaN", "-Infinity", "\u22121", "-1e61", None, True, [], {}, 1.5,
        Decimal("NaN"), Decimal("-NaN"), Decimal("sNaN"), Decimal("-sNaN"), Decimal("-Infinity"), Decimal("-1e99"),
    ],
    ids=lambda value: f"{value!r:.20}",
)  # fmt: skip
def test_what_is_no_number_of_either_sign_is_refused(value: object) -> None:
    with pytest.raises(MalformedAnswerError, match="a rate is not a number") as refused:
        rows.signed(value, "Binance USD-M", "a rate")

    assert refused.value.exchange == "binance"
