"""
The assets of what is to be had only while it is there, and of perpetual contracts.

`<exchange>/trades`, `quotes` and `books` come of one look at the spot markets, `<exchange>/open_interest` and
`mark_prices` of one look at the contracts, `<exchange>/funding_rates` month by month. What an exchange does not
have has no asset. Keep rules out: what is asked and stored is decided in `crypto_pipeline.market`.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from crypto_pipeline.access import Access
from crypto_pipeline.defs.failures import reported_to_dagster
from crypto_pipeline.defs.partitions import months
from crypto_pipeline.exchanges import CLIENTS, PERPETUAL_CLIENTS, BaseClient
from crypto_pipeline.exchanges.quotes import Perpetuals, SpotQuotes
from crypto_pipeline.lake import LocalLake
from crypto_pipeline.market.funding import FundingResult, ingest_funding
from crypto_pipeline.market.snapshots import (
    Look,
    Place,
    look_at_book,
    look_at_mark_price,
    look_at_open_interest,
    look_at_quote,
    look_at_trades,
)
from crypto_pipeline.settings import Settings

SPOT = {
    "trades": "the last public trades, each once",
    "quotes": "the best bid and ask",
    "books": "the order book",
}
PERPETUAL = {
    "open_interest": "how much is open in the linear perpetual contracts",
    "mark_prices": "mark and index price of the linear perpetual contracts, and the funding rate to come",
}

Looks = Mapping[str, Sequence[Look]]


def build_spot_looks(exchange: str, settings: Settings, *, pool: str, retries: dg.RetryPolicy) -> dg.AssetsDefinition:
    """Return the assets `<exchange>/trades`, `<exchange>/quotes` and `<exchange>/books`, made together."""

    async def look(access: Access, lake: LocalLake) -> Looks:
        async with access.open(asset=f"{exchange}/quotes") as client:
            return await _spot_looks(client, lake, settings)

    return _looking(exchange, "spot", SPOT, settings.symbols, look, pool=pool, retries=retries)


def build_perpetual_looks(
    exchange: str, settings: Settings, *, pool: str, retries: dg.RetryPolicy
) -> dg.AssetsDefinition:
    """Return the assets `<exchange>/open_interest` and `<exchange>/mark_prices`, made together."""

    async def look(access: Access, lake: LocalLake) -> Looks:
        async with access.open_perpetuals(asset=f"{exchange}/open_interest") as client:
            return await _perpetual_looks(client, lake, settings)

    return _looking(exchange, "perpetual", PERPETUAL, settings.perpetuals, look, pool=pool, retries=retries)


def build_funding_rates(
    exchange: str, settings: Settings, *, pool: str, retries: dg.RetryPolicy
) -> dg.AssetsDefinition:
    """Return the asset `<exchange>/funding_rates`."""
    title = PERPETUAL_CLIENTS[exchange].title

    @dg.asset(
        key=dg.AssetKey([exchange, "funding_rates"]),
        partitions_def=months(settings.first_month),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=exchange,
        kinds={"parquet"},
        description=(
            f"What holders of {title}'s linear perpetual contracts paid each other: {', '.join(settings.perpetuals)}. "
            "One Parquet file per contract and month, never replaced by one that tells less."
        ),
        required_resource_keys={exchange, "lake"},
        pool=pool,
        tags={"exchange": exchange},
    )
    def funding_rates(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        access: Access = getattr(context.resources, exchange)
        with reported_to_dagster(context, retries):
            keys = context.partition_keys
            found = asyncio.run(_funding(access, exchange, context.resources.lake, settings.perpetuals, keys))
            for month in keys:
                context.add_asset_metadata(_funding_metadata(found[month]), partition_key=month)
            yield dg.MaterializeResult()

    return funding_rates


def _looking(
    exchange: str,
    market: str,
    about: Mapping[str, str],
    symbols: Sequence[str],
    look: Any,
    *,
    pool: str,
    retries: dg.RetryPolicy,
) -> dg.AssetsDefinition:
    title = (CLIENTS if market == "spot" else PERPETUAL_CLIENTS)[exchange].title

    @dg.multi_asset(
        name=f"{exchange}_{market}_looks",
        specs=[
            dg.AssetSpec(
                dg.AssetKey([exchange, name]),
                deps=[dg.AssetKey([exchange, "api_key"])] if market == "spot" else [],
                group_name=exchange,
                kinds={"parquet"},
                description=f"{title}: {said}, of this moment. {', '.join(symbols)}; one Parquet file a day.",
                tags={"exchange": exchange},
            )
            for name, said in about.items()
        ],
        required_resource_keys={exchange, "lake"},
        pool=pool,
    )
    def looks(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        access: Access = getattr(context.resources, exchange)
        with reported_to_dagster(context, retries):
            found: Looks = asyncio.run(look(access, context.resources.lake))
            for name, added in found.items():
                yield dg.MaterializeResult(asset_key=dg.AssetKey([exchange, name]), metadata=_metadata(added))

    return looks


async def _spot_looks(client: BaseClient, lake: LocalLake, settings: Settings) -> Looks:
    spot = _as_spot(client)
    found: dict[str, list[Look]] = {name: [] for name in SPOT}
    for symbol in settings.symbols:
        place, at = Place(client.name, client.host, "spot", symbol), await client.read_clock()
        found["quotes"].append(await look_at_quote(spot, lake, place, at=at))
        found["books"].append(await look_at_book(spot, lake, place, levels=settings.book_levels, at=at))
        found["trades"].append(await look_at_trades(spot, lake, place, at=at))
    return found


async def _perpetual_looks(client: BaseClient, lake: LocalLake, settings: Settings) -> Looks:
    contracts = _as_perpetuals(client)
    found: dict[str, list[Look]] = {name: [] for name in PERPETUAL}
    for symbol in settings.perpetuals:
        place, at = Place(client.name, client.host, "perpetual", symbol), await client.read_clock()
        found["open_interest"].append(await look_at_open_interest(contracts, lake, place, at=at))
        found["mark_prices"].append(await look_at_mark_price(contracts, lake, place, at=at))
    return found


async def _funding(
    access: Access, exchange: str, lake: LocalLake, symbols: Sequence[str], keys: Sequence[str]
) -> Mapping[str, list[FundingResult]]:
    async with access.open_perpetuals(asset=f"{exchange}/funding_rates") as client:
        now, contracts = await client.read_clock(), _as_perpetuals(client)
        return {
            month: [
                await ingest_funding(contracts, lake, exchange=exchange, symbol=symbol, month=month, now=now)
                for symbol in symbols
            ]
            for month in keys
        }


def _as_spot(client: BaseClient) -> SpotQuotes:
    if not isinstance(client, SpotQuotes):  # pragma: no cover - every client with market data is one
        msg = f"{client.title} has no spot quotes"
        raise TypeError(msg)
    return client


def _as_perpetuals(client: BaseClient) -> Perpetuals:
    if not isinstance(client, Perpetuals):  # pragma: no cover - every member of PERPETUAL_CLIENTS is one
        msg = f"{client.title} has no perpetual contracts"
        raise TypeError(msg)
    return client


def _metadata(looks: Sequence[Look]) -> dict[str, Any]:
    """Return what a person wants to see of one look: new rows, all rows of the day, and whether trades join on."""
    joins = [look.is_continuous for look in looks if look.is_continuous is not None]
    told: dict[str, Any] = {
        "dagster/row_count": sum(stored.rows for look in looks for stored in look.stored),
        "new_rows": sum(look.rows for look in looks),
        "files": dg.MetadataValue.json([str(stored.path) for look in looks for stored in look.stored]),
        "symbols": ", ".join(look.symbol for look in looks),
    }
    return told | ({"joins_what_was_there": all(joins)} if joins else {})


def _funding_metadata(results: Sequence[FundingResult]) -> dict[str, Any]:
    return {
        "dagster/row_count": sum(result.rows for result in results),
        "contracts": dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "symbol": result.symbol,
                        "rows": result.rows,
                        "first": _time(result.first),
                        "last": _time(result.last),
                        "file": _file(result),
                    }
                )
                for result in results
            ]
            or [dg.TableRecord({"symbol": "none"})]
        ),
    }


def _file(result: FundingResult) -> str:
    if result.is_kept:
        return "kept: the exchange tells less by now"
    if result.stored is None:
        return "none"
    return "changed" if result.stored.changed else "as before"


def _time(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(timespec="minutes") if at else "none"
