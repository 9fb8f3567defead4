"""Numbers are written with the digits of their exact decimals."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from crypto_pipeline.sandbox.text import trimmed


@given(units=st.integers(0, 10**24), decimals=st.integers(0, 14))
def test_a_number_is_written_like_its_decimal_without_zeros_at_its_end(units: int, decimals: int) -> None:
    exact = Decimal(units).scaleb(-decimals)

    assert trimmed(decimals)(units) == format(exact.normalize(), "f")


def test_no_point_is_left_over() -> None:
    write = trimmed(2)

    assert [write(units) for units in (0, 1, 10, 100, 150, 12_345)] == ["0", "0.01", "0.1", "1", "1.5", "123.45"]
