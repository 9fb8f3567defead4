"""One day's list of an exchange's spot markets, in the lake."""

from __future__ import annotations

from dataclasses import dataclass

from crypto_pipeline.errors import InconsistentDataError
from crypto_pipeline.exchanges import ExchangeClient, Instrument, Usage
from crypto_pipeline.lake import INSTRUMENTS, LocalLake, Partition, Provenance, Stored, build_table
from crypto_pipeline.market.ingest import usage_since


@dataclass(frozen=True, slots=True)
class InstrumentsResult:
    """
    What became of one day's list.

    Fields:
        rows: markets in the list; trading: those that trade.
        quotes: currencies that are paid with, sorted.
        stored: the file.
        usage: what it used of the exchange's patience.
    """

    rows: int
    trading: int
    quotes: tuple[str, ...]
    stored: Stored
    usage: Usage


async def ingest_instruments(client: ExchangeClient, lake: LocalLake, *, date: str) -> InstrumentsResult:
    """
    Bring the list of markets of today (`date`, such as `2026-11-24`) into the lake.

    Raises:
        ExchangeError: the list could not be had.
        InconsistentDataError: the exchange lists nothing.
        StorageError: the lake could not be written.
    """
    used = client.usage
    partition = Partition(INSTRUMENTS, (("exchange", client.name), ("market", "spot"), ("date", date)))
    lake.prepare(partition)
    found = await client.read_instruments()
    if not found:
        msg = f"{client.name} lists no market at all; nothing was stored. Run again later."
        raise InconsistentDataError(msg)
    columns = dict(zip(Instrument._fields, zip(*found, strict=True), strict=True))
    table = build_table(INSTRUMENTS, columns, whose=client.name)
    stored = lake.write(partition, table, Provenance(client.name, client.instruments_endpoint, date, date))
    return InstrumentsResult(
        rows=len(found),
        trading=sum(one.status == "trading" for one in found),
        quotes=tuple(sorted({one.quote for one in found})),
        stored=stored,
        usage=usage_since(used, client.usage),
    )
