"""One day's list of markets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from crypto_pipeline.errors import InconsistentDataError
from crypto_pipeline.exchanges import Instrument
from crypto_pipeline.lake import INSTRUMENTS, LocalLake, Partition
from crypto_pipeline.market import ingest_instruments
from crypto_pipeline_tests.market.exchange import TableExchange

BTC = Instrument("BTC-USDT", "BTCUSDT", "BTC", "USDT", "trading", "TRADING", Decimal("0.01"), Decimal("1E-8"))
EUR = Instrument(
    "ETH-EUR", "ETHEUR", "ETH", "EUR", "halted", "BREAK", listed_at=datetime(2020, 1, 2, 3, 4, 5, 6000, UTC)
)
PLACE = Partition(INSTRUMENTS, (("exchange", "table"), ("market", "spot"), ("date", "2026-11-24")))


def test_the_list_is_stored_exactly(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path / "lake")

    result = asyncio.run(
        ingest_instruments(TableExchange((), now_ms=1, instruments=[BTC, EUR]), lake, date="2026-11-24")
    )

    assert (result.rows, result.trading, result.quotes) == (2, 1, ("EUR", "USDT"))
    assert result.usage.requests == 1
    table = lake.read(PLACE)
    assert table is not None
    assert [Instrument(**row) for row in table.to_pylist()] == [BTC, EUR]


def test_an_empty_list_is_not_stored(tmp_path: Path) -> None:
    """It would make every market look delisted."""
    lake = LocalLake(tmp_path / "lake")

    with pytest.raises(InconsistentDataError, match="lists no market"):
        asyncio.run(ingest_instruments(TableExchange((), now_ms=1), lake, date="2026-11-24"))

    assert lake.read(PLACE) is None
