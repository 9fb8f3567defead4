"""What contradicts itself is found, and named by its minute."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_pipeline.exchanges import Candle
from crypto_pipeline.lake import CANDLES, CANDLES_WIDE, build_table
from crypto_pipeline.market.checks import Gap, find_gaps, find_problems
from crypto_pipeline.market.months import MINUTE_MS
from crypto_pipeline_tests.support.rows import END_MS, START_MS, candle, candles

BELOW_ZERO = Decimal("-0.00000001")


def table_of(rows: Sequence[Candle], *, wide: bool = False) -> pa.Table:
    columns = dict(zip(("open_time", *Candle._fields[1:]), zip(*rows, strict=True), strict=True))
    return build_table(CANDLES_WIDE if wide else CANDLES, columns, whose="")


@pytest.mark.parametrize("wide", [False, True])
def test_good_candles_have_no_problem(wide: bool) -> None:
    silent = candle(9, quote_volume=None, trades=None, taker_buy_volume=None, taker_buy_quote_volume=None)
    flat = candle(
        10,
        **dict.fromkeys(("open", "high", "low", "close"), Decimal(5)),
        volume=Decimal(0),
        taker_buy_volume=Decimal(0),
    )

    assert find_problems(table_of([*candles(0, 1, 3), silent, flat], wide=wide), START_MS, END_MS) == ()


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"low": Decimal(60_001)}, "low is above open"),
        ({"open": Decimal(60_500)}, "open is above high"),
        ({"close": Decimal(60_500)}, "close is above high"),
        ({"close": Decimal(58_000)}, "low is above close"),
        ({"volume": BELOW_ZERO, "taker_buy_volume": None}, "volume is below 0"),
        ({"quote_volume": BELOW_ZERO, "taker_buy_quote_volume": None}, "quote_volume is below 0"),
        ({"trades": -1}, "trades is below 0"),
        ({"taker_buy_volume": Decimal(2)}, "taker_buy_volume is above volume"),
        ({"taker_buy_quote_volume": Decimal(90_001)}, "taker_buy_quote_volume is above quote_volume"),
        ({"low": Decimal(0)}, "low is not above 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_candle_that_contradicts_itself_is_named_by_its_minute(
    changes: dict[str, object], said: str, wide: bool
) -> None:
    problems = find_problems(table_of([candle(0), candle(7, **changes), candle(8)], wide=wide), START_MS, END_MS)

    assert any(problem.startswith(said) and "2026-10-01 00:07:00 UTC" in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([candle(0), candle(1), candle(1)], "00:01:00 UTC stands twice"),
        ([candle(2), candle(1)], "00:01:00 UTC stands twice or does not follow"),
        ([candle(-1), candle(0)], "23:59:00 UTC is outside"),
        ([candle(44_640)], "2026-11-01 00:00:00 UTC is outside"),
        ([candle(0), candle(1, open_time_ms=START_MS + 90_000)], "00:01:30 UTC does not begin with a minute"),
    ],
    ids=["twice", "backwards", "too early", "too late", "off the grid"],
)
def test_minutes_that_do_not_rise_on_the_grid_are_named(rows: list[Candle], said: str) -> None:
    problems = find_problems(table_of(rows), START_MS, END_MS)

    assert any(said in problem for problem in problems), problems


@given(st.sets(st.integers(0, 99)))
def test_rows_and_gaps_make_up_the_whole_range(present: set[int]) -> None:
    times = [number * MINUTE_MS for number in sorted(present)]

    gaps = find_gaps(times, 0, 100 * MINUTE_MS)

    missing = {minute // MINUTE_MS for gap in gaps for minute in range(gap.start_ms, gap.end_ms, MINUTE_MS)}
    assert missing == set(range(100)) - present
    assert sum(gap.minutes for gap in gaps) == 100 - len(present)


def test_minutes_that_are_missing_in_a_row_are_one_gap() -> None:
    times = [0, 4 * MINUTE_MS]

    assert find_gaps(times, 0, 6 * MINUTE_MS) == (Gap(MINUTE_MS, 4 * MINUTE_MS), Gap(5 * MINUTE_MS, 6 * MINUTE_MS))
