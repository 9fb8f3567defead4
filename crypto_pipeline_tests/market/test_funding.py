"""A month of funding rates is stored as the exchange tells it, and never replaced by less."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from crypto_pipeline.errors import InconsistentDataError
from crypto_pipeline.exchanges.quotes import FundingRate, MarkPrice, OpenInterest
from crypto_pipeline.lake import LocalLake
from crypto_pipeline.market.funding import FundingResult, funding_partition, ingest_funding

BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
END = datetime(2026, 11, 1, tzinfo=UTC)
LATER = datetime(2026, 11, 24, tzinfo=UTC)


def rates(count: int, *, first: int = 0) -> list[FundingRate]:
    """Return rates every eight hours, by turns above and below 0."""
    return [
        FundingRate(
            int((BEGIN + timedelta(hours=8 * number)).timestamp() * 1000),
            Decimal("0.000123456789012345") * (-1) ** number,
            Decimal("45000.1") if number % 2 else None,
        )
        for number in range(first, first + count)
    ]


class Contract:
    """An exchange that tells what it is told to, and what it was asked for."""

    funding_endpoint = "api.example.com/funding"

    def __init__(self, told: list[FundingRate]) -> None:
        self.told = told
        self.asked: list[tuple[datetime, datetime]] = []

    async def read_funding_rates(self, symbol: str, start_ms: int, end_ms: int) -> list[FundingRate]:
        """Return them all, whatever was asked for."""
        assert symbol == "BTC-USDT"
        start, end = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (start_ms, end_ms))
        self.asked.append((start, end))
        return self.told

    async def read_open_interest(self, symbol: str) -> OpenInterest:
        """Not asked for here."""
        raise NotImplementedError(symbol)

    async def read_mark_price(self, symbol: str) -> MarkPrice:
        """Not asked for here."""
        raise NotImplementedError(symbol)


@pytest.fixture
def lake(tmp_path: Path) -> LocalLake:
    """A lake of the test's own."""
    return LocalLake(tmp_path / "lake")


def ingest(lake: LocalLake, told: list[FundingRate], now: datetime = LATER) -> tuple[FundingResult, Contract]:
    """Bring October into the lake."""
    contract = Contract(told)
    work = ingest_funding(contract, lake, exchange="table", symbol="BTC-USDT", month="2026-10", now=now)
    return asyncio.run(work), contract


def stored(lake: LocalLake) -> list[tuple[object, ...]]:
    """Return the rows of October."""
    table = lake.read(funding_partition("table", "BTC-USDT", "2026-10"))
    return [] if table is None else [tuple(row.values()) for row in table.to_pylist()]


def test_a_month_is_stored_exactly(lake: LocalLake) -> None:
    told = rates(93)

    result, contract = ingest(lake, told)

    assert stored(lake) == [
        (datetime.fromtimestamp(rate.time_ms / 1000, UTC), rate.rate, rate.mark_price) for rate in told
    ]
    assert (result.rows, result.first, result.last) == (93, BEGIN, END - timedelta(hours=8))
    assert contract.asked == [(BEGIN, END)]


def test_the_same_again_changes_nothing(lake: LocalLake) -> None:
    first, _ = ingest(lake, rates(93))
    second, _ = ingest(lake, rates(93))

    assert first.stored is not None
    assert second.stored is not None
    assert (first.stored.changed, second.stored.changed) == (True, False)


def test_a_running_month_is_asked_for_up_to_now(lake: LocalLake) -> None:
    now = BEGIN + timedelta(days=2)

    result, contract = ingest(lake, rates(7), now)

    assert contract.asked == [(BEGIN, now + timedelta(milliseconds=1))]
    assert result.rows == 7


def test_what_the_exchange_no_longer_tells_is_kept(lake: LocalLake) -> None:
    """OKX forgets after three months."""
    ingest(lake, rates(93))

    less, _ = ingest(lake, rates(10, first=83))
    none, _ = ingest(lake, [])

    assert len(stored(lake)) == 93
    for result in (less, none):
        assert (result.is_kept, result.rows, result.stored) == (True, 93, None)
        assert (result.first, result.last) == (BEGIN, END - timedelta(hours=8))


def test_a_month_of_which_nothing_is_told_has_no_file(lake: LocalLake) -> None:
    result, _ = ingest(lake, [])

    assert (result.rows, result.first, result.stored, result.is_kept) == (0, None, None, False)
    assert stored(lake) == []


def test_a_month_to_come_is_not_asked_for(lake: LocalLake) -> None:
    result, contract = ingest(lake, rates(93), BEGIN - timedelta(days=3))

    assert contract.asked == []
    assert result.rows == 0


@pytest.mark.parametrize(
    "told",
    [rates(1, first=93), [*rates(2), *rates(1)], [*rates(1), *rates(1)]],
    ids=["of another month", "falling", "twice"],
)
def test_rates_that_contradict_themselves_are_not_stored(told: list[FundingRate], lake: LocalLake) -> None:
    with pytest.raises(InconsistentDataError, match="of table BTC-USDT 2026-10 contradict themselves at"):
        ingest(lake, told)

    assert stored(lake) == []
