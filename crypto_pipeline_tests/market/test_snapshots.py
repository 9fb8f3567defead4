"""Each look adds its rows to the file of the day, and loses none that are there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from crypto_pipeline.errors import CorruptFileError, ExchangeUnavailableError
from crypto_pipeline.exchanges.quotes import Book, FundingRate, Level, MarkPrice, OpenInterest, Quote, Side, Trade
from crypto_pipeline.lake import BOOKS, MARK_PRICES, OPEN_INTEREST, QUOTES, TRADES, DataSet, LocalLake
from crypto_pipeline.market.snapshots import (
    Look,
    Place,
    day_partition,
    look_at_book,
    look_at_mark_price,
    look_at_open_interest,
    look_at_quote,
    look_at_trades,
)

AT = datetime(2026, 11, 24, 12, 30, 0, 250_000, tzinfo=UTC)
AT_MS = int(AT.timestamp() * 1000)
MIDNIGHT_MS = int(datetime(2026, 11, 24, tzinfo=UTC).timestamp() * 1000)
SPOT = Place("table", "api.example.com", "spot", "BTC-USDT")
CONTRACT = Place("table", "api.example.com", "perpetual", "BTC-USDT")
FINEST = Decimal("0.000000000000000001")


def trade(number: int, time_ms: int = AT_MS, side: Side = Side.BUY) -> Trade:
    """Return a trade that is told from others by its number."""
    return Trade(f"t{number}", time_ms, Decimal(number), FINEST, side)


class Market:
    """A market that shows what it is told to."""

    deepest_book = 3
    funding_endpoint = "api.example.com/funding"

    def __init__(self) -> None:
        self.trades: list[Trade] = []
        self.asked_levels: list[int] = []
        self.is_down = False

    async def read_trades(self, symbol: str) -> list[Trade]:
        """Return the trades."""
        assert symbol == "BTC-USDT"
        if self.is_down:
            msg = "down"
            raise ExchangeUnavailableError(msg)
        return self.trades

    async def read_quote(self, symbol: str) -> Quote:
        """Return a quote without a time."""
        return Quote(symbol, None, Decimal("1.5"), Decimal(2), Decimal("1.6"), FINEST)

    async def read_book(self, symbol: str, levels: int) -> Book:
        """Return two bids and one ask."""
        self.asked_levels.append(levels)
        bids = (Level(Decimal("1.5"), Decimal(1)), Level(Decimal("1.4"), Decimal(2)))
        return Book(symbol, AT_MS - 5, "77", bids, (Level(Decimal("1.6"), FINEST),))

    async def read_open_interest(self, symbol: str) -> OpenInterest:
        """Return what is open, without a value."""
        return OpenInterest(symbol, AT_MS, Decimal("12.5"))

    async def read_mark_price(self, symbol: str) -> MarkPrice:
        """Return everything there is to tell, with a rate below 0."""
        return MarkPrice(symbol, AT_MS, Decimal("1.55"), Decimal("1.54"), Decimal("-0.0001"), AT_MS + 60_000)

    async def read_funding_rates(self, symbol: str, start_ms: int, end_ms: int) -> list[FundingRate]:  # noqa: ARG002
        """Return nothing."""
        return []


@pytest.fixture
def lake(tmp_path: Path) -> LocalLake:
    """A lake of the test's own."""
    return LocalLake(tmp_path / "lake")


@pytest.fixture
def market() -> Market:
    """A market of the test's own."""
    return Market()


def rows(lake: LocalLake, data_set: DataSet, place: Place, day: str = "2026-11-24") -> list[dict[str, object]]:
    """Return what is stored of a day."""
    table = lake.read(day_partition(data_set, place, day))
    return [] if table is None else table.to_pylist()


def look(market: Market, lake: LocalLake, at: datetime = AT) -> Look:
    """Look at the trades."""
    return asyncio.run(look_at_trades(market, lake, SPOT, at=at))


def test_trades_are_kept_exactly_and_once(market: Market, lake: LocalLake) -> None:
    market.trades = [trade(1), trade(2, side=Side.SELL)]
    look(market, lake)
    market.trades = [trade(2, side=Side.SELL), trade(3, AT_MS + 1)]

    second = look(market, lake)

    assert [
        (row["trade_id"], row["price"], row["quantity"], row["taker_side"]) for row in rows(lake, TRADES, SPOT)
    ] == [
        ("t1", 1, FINEST, "buy"),
        ("t2", 2, FINEST, "sell"),
        ("t3", 3, FINEST, "buy"),
    ]
    assert (second.rows, second.is_continuous) == (1, True)
    assert [stored.rows for stored in second.stored] == [3]


def test_trades_that_do_not_reach_back_to_those_before_are_told(market: Market, lake: LocalLake) -> None:
    """What was between is lost; nobody must think that it is there."""
    market.trades = [trade(1)]
    first = look(market, lake)
    market.trades = [trade(9, AT_MS + 60_000)]

    second = look(market, lake)

    assert (first.is_continuous, second.is_continuous) == (None, False)
    assert second.rows == 1


def test_trades_go_into_the_day_they_were_made_on(market: Market, lake: LocalLake) -> None:
    market.trades = [trade(1, MIDNIGHT_MS - 1), trade(2, MIDNIGHT_MS)]

    first = look(market, lake)
    again = look(market, lake)

    assert [row["trade_id"] for row in rows(lake, TRADES, SPOT, "2026-11-23")] == ["t1"]
    assert [row["trade_id"] for row in rows(lake, TRADES, SPOT, "2026-11-24")] == ["t2"]
    assert (first.rows, len(first.stored), again.rows, again.is_continuous) == (2, 2, 0, True)
    assert [stored.changed for stored in again.stored] == [False, False]


def test_the_first_trades_of_a_day_must_join_those_of_the_day_before(market: Market, lake: LocalLake) -> None:
    market.trades = [trade(1, MIDNIGHT_MS - 60_000)]
    look(market, lake)
    market.trades = [trade(5, MIDNIGHT_MS + 1)]

    assert look(market, lake).is_continuous is False


def test_no_trade_is_no_file(market: Market, lake: LocalLake) -> None:
    found = look(market, lake)

    assert (found.rows, found.stored, found.is_continuous) == (0, (), None)


def test_a_late_trade_is_sorted_in(market: Market, lake: LocalLake) -> None:
    market.trades = [trade(1, AT_MS), trade(3, AT_MS + 2)]
    look(market, lake)
    market.trades = [trade(2, AT_MS + 1), trade(3, AT_MS + 2)]

    look(market, lake)

    assert [row["trade_id"] for row in rows(lake, TRADES, SPOT)] == ["t1", "t2", "t3"]


def test_a_look_that_fails_loses_nothing(market: Market, lake: LocalLake) -> None:
    market.trades = [trade(1)]
    look(market, lake)
    market.is_down = True

    with pytest.raises(ExchangeUnavailableError):
        look(market, lake)

    assert [row["trade_id"] for row in rows(lake, TRADES, SPOT)] == ["t1"]


def test_a_file_that_cannot_be_read_is_told_and_not_replaced(market: Market, lake: LocalLake) -> None:
    """It holds what nobody can fetch again."""
    market.trades = [trade(1)]
    (stored,) = look(market, lake).stored
    stored.path.write_bytes(b"broken")

    with pytest.raises(CorruptFileError):
        look(market, lake)

    assert stored.path.read_bytes() == b"broken"


Looking = Callable[[Market, LocalLake, datetime], Awaitable[Look]]
LOOKS: list[tuple[DataSet, Place, Looking, list[dict[str, object]]]] = [
    (
        QUOTES,
        SPOT,
        lambda market, lake, at: look_at_quote(market, lake, SPOT, at=at),
        [{"time": None, "bid": Decimal("1.5"), "bid_quantity": 2, "ask": Decimal("1.6"), "ask_quantity": FINEST}],
    ),
    (
        BOOKS,
        SPOT,
        lambda market, lake, at: look_at_book(market, lake, SPOT, levels=50, at=at),
        [
            {"side": "ask", "level": 0, "price": Decimal("1.6"), "quantity": FINEST, "sequence": "77"},
            {"side": "bid", "level": 0, "price": Decimal("1.5"), "quantity": 1, "sequence": "77"},
            {"side": "bid", "level": 1, "price": Decimal("1.4"), "quantity": 2, "sequence": "77"},
        ],
    ),
    (
        OPEN_INTEREST,
        CONTRACT,
        lambda market, lake, at: look_at_open_interest(market, lake, CONTRACT, at=at),
        [{"quantity": Decimal("12.5"), "value": None}],
    ),
    (
        MARK_PRICES,
        CONTRACT,
        lambda market, lake, at: look_at_mark_price(market, lake, CONTRACT, at=at),
        [{"mark_price": Decimal("1.55"), "index_price": Decimal("1.54"), "funding_rate": Decimal("-0.0001")}],
    ),
]


@pytest.mark.parametrize(("data_set", "place", "looking", "seen"), LOOKS, ids=[each[0].name for each in LOOKS])
def test_each_look_is_added_to_those_before(
    data_set: DataSet, place: Place, looking: Looking, seen: list[dict[str, object]], market: Market, lake: LocalLake
) -> None:
    """With the moment of each, exactly as it was told; in the file of its day."""
    moments = [AT, AT + timedelta(minutes=15), AT + timedelta(days=1)]

    found = [asyncio.run(_awaited(looking(market, lake, at))) for at in moments]

    stored = rows(lake, data_set, place)
    assert [look.rows for look in found] == [len(seen)] * 3
    assert [{name: row[name] for name in seen[0]} for row in stored] == seen * 2
    assert sorted({row["taken_at"] for row in stored}, key=str) == moments[:2]
    assert len(rows(lake, data_set, place, "2026-11-25")) == len(seen)
    provenance = lake.provenance(day_partition(data_set, place, "2026-11-24"))
    assert provenance is not None
    assert (provenance.fetched_from, provenance.fetched_until) == (
        "2026-11-24T12:30:00.250+00:00",
        "2026-11-24T12:45:00.250+00:00",
    )


async def _awaited(work: Awaitable[Look]) -> Look:
    return await work


def test_no_more_levels_are_asked_for_than_the_exchange_gives(market: Market, lake: LocalLake) -> None:
    for levels in (2, 50):
        asyncio.run(look_at_book(market, lake, SPOT, levels=levels, at=AT))

    assert market.asked_levels == [2, 3]
