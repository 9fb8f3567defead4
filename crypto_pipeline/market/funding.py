"""One month of the funding rates of a perpetual contract, in the lake."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from crypto_pipeline.errors import InconsistentDataError
from crypto_pipeline.exchanges.quotes import FundingRate, Perpetuals
from crypto_pipeline.lake import FUNDING_RATES, LocalLake, Partition, Provenance, Stored, build_table
from crypto_pipeline.market.months import moment, month_bounds


@dataclass(frozen=True, slots=True)
class FundingResult:
    """
    What became of one month of one contract.

    Fields:
        symbol: canonical.
        rows: how many rates the file has.
        first, last: their times.
        stored: the file; None if the exchange tells no rate of the month.
        is_kept: whether what is stored was kept, because the exchange tells less by now.
    """

    symbol: str
    rows: int
    first: datetime | None
    last: datetime | None
    stored: Stored | None
    is_kept: bool = False


async def ingest_funding(
    client: Perpetuals, lake: LocalLake, *, exchange: str, symbol: str, month: str, now: datetime
) -> FundingResult:
    """
    Bring one month of funding rates into the lake.

    Exchanges tell the rates of some months only (OKX of three), so a file is never replaced by one with fewer rows.

    Raises:
        ExchangeError: they could not be had; the file is as it was.
        InconsistentDataError: they contradict themselves or what is stored.
        StorageError: the lake could not be written.
    """
    partition = funding_partition(exchange, symbol, month)
    lake.prepare(partition)
    start_ms, end_ms = month_bounds(month)
    until_ms = min(end_ms, int(now.timestamp() * 1000) + 1)
    found = await client.read_funding_rates(symbol, start_ms, until_ms) if until_ms > start_ms else []
    _check(found, start_ms, until_ms, whose=f"{exchange} {symbol} {month}")
    columns: dict[str, list[Any]] = {
        "time": [rate.time_ms for rate in found],
        "rate": [rate.rate for rate in found],
        "mark_price": [rate.mark_price for rate in found],
    }
    fresh = build_table(FUNDING_RATES, columns, whose=f"{exchange} {symbol}")
    before = lake.read(partition)
    if before is not None and before.num_rows > fresh.num_rows:
        times = before["time"].to_pylist()
        return FundingResult(symbol, before.num_rows, times[0], times[-1], None, is_kept=True)
    stored = None
    if found:
        until = moment(until_ms).isoformat(timespec="minutes")
        source = Provenance(exchange, client.funding_endpoint, moment(start_ms).isoformat(timespec="minutes"), until)
        stored = lake.write(partition, fresh, source)
    first, last = (moment(found[0].time_ms), moment(found[-1].time_ms)) if found else (None, None)
    return FundingResult(symbol, len(found), first, last, stored)


def funding_partition(exchange: str, symbol: str, month: str) -> Partition:
    """Return the place of one month of one contract's funding rates."""
    keys = (("exchange", exchange), ("market", "perpetual"), ("symbol", symbol), ("month", month))
    return Partition(FUNDING_RATES, keys)


def _check(found: list[FundingRate], start_ms: int, until_ms: int, *, whose: str) -> None:
    times = [rate.time_ms for rate in found]
    wrong = next((time for time in times if not start_ms <= time < until_ms), None)
    if wrong is None:
        wrong = next((right for left, right in pairwise(times) if right <= left), None)
    if wrong is not None:
        msg = (
            f"The funding rates of {whose} contradict themselves at {moment(wrong):%Y-%m-%d %H:%M:%S} UTC. Nothing was "
            "stored; run again, and if it stays so, ask the exchange."
        )
        raise InconsistentDataError(msg)
