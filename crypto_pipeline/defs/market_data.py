"""
The market-data assets of one exchange: `instruments` and `candles_1m`.

Add a data set here when the market floor can ingest it. Keep rules out: what is fetched, checked
and stored is decided in `crypto_pipeline.market`; this module turns its results into what a
person sees.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from crypto_pipeline.access import Access
from crypto_pipeline.credentials import CredentialDescription
from crypto_pipeline.defs.chart import chart_markdown
from crypto_pipeline.defs.failures import reported_to_dagster
from crypto_pipeline.defs.partitions import UPDATE_TAG, months
from crypto_pipeline.exchanges import CLIENTS
from crypto_pipeline.lake import LocalLake
from crypto_pipeline.market import (
    InstrumentsResult,
    MonthResult,
    Progress,
    check_stored,
    ingest_instruments,
    ingest_month,
)
from crypto_pipeline.settings import Settings

COMPLETE, CONSISTENT = "candles_are_complete", "candles_are_consistent"
GAPS_SHOWN = 40

progress_logger = logging.getLogger("crypto_pipeline.progress")
"""Where progress is told while a step runs, one JSON object a message; the command line listens here.

Not Dagster's own log: an event a page would drown the run's history.
"""


def build_instruments(exchange: str, *, pool: str, retries: dg.RetryPolicy) -> dg.AssetsDefinition:
    """Return the asset `<exchange>/instruments`."""
    title = CLIENTS[exchange].title
    asset_name = f"{exchange}/instruments"

    @dg.asset(
        key=dg.AssetKey([exchange, "instruments"]),
        deps=[dg.AssetKey([exchange, "api_key"])],
        group_name=exchange,
        kinds={"parquet"},
        description=f"Every spot market {title} lists, as of the day of the run.",
        required_resource_keys={exchange, "lake"},
        pool=pool,
        tags={"exchange": exchange},
    )
    def instruments(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        access: Access = getattr(context.resources, exchange)
        with reported_to_dagster(context, retries):
            result = asyncio.run(_instruments(access, context.resources.lake, asset_name))
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": result.rows,
                "trading": result.trading,
                "quotes": ", ".join(result.quotes),
                "requests": result.usage.requests,
                "budget": result.usage.budget,
                "path": dg.MetadataValue.path(str(result.stored.path)),
                "sha256": result.stored.sha256,
            }
        )

    return instruments


async def _instruments(access: Access, lake: LocalLake, asset: str) -> InstrumentsResult:
    async with access.open(asset=asset) as client:
        return await ingest_instruments(client, lake, date=datetime.now(UTC).date().isoformat())


def build_candles(exchange: str, settings: Settings, *, pool: str, retries: dg.RetryPolicy) -> dg.AssetsDefinition:
    """Return the asset `<exchange>/candles_1m` with its two checks."""
    title = CLIENTS[exchange].title
    key = dg.AssetKey([exchange, "candles_1m"])

    @dg.asset(
        key=key,
        deps=[dg.AssetKey([exchange, "api_key"])],
        partitions_def=months(settings.first_month),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=exchange,
        kinds={"parquet"},
        description=(
            f"Closed 1-minute candles of {title}: {', '.join(settings.symbols)}. One Parquet file per symbol and "
            "month, with exact decimals. The running month is extended by what is missing."
        ),
        check_specs=[
            dg.AssetCheckSpec(
                COMPLETE, asset=key, description="Every minute is there, or the exchange has no row for it."
            ),
            dg.AssetCheckSpec(
                CONSISTENT,
                asset=key,
                description="Read back from disk: minutes rise, low ≤ open, close ≤ high, no volume below 0.",
            ),
        ],
        required_resource_keys={exchange, "lake"},
        pool=pool,
        tags={"exchange": exchange},
    )
    def candles_1m(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        access: Access = getattr(context.resources, exchange)
        lake: LocalLake = context.resources.lake
        with reported_to_dagster(context, retries):
            is_update = UPDATE_TAG in context.run.tags
            results, credential = asyncio.run(
                _candles(access, lake, settings, context.partition_keys, update_only=is_update)
            )
            for month in context.partition_keys:
                of_month = [result for result in results if result.month == month]
                context.add_asset_metadata(describe(of_month, credential), partition_key=month)
            yield dg.MaterializeResult(check_results=[_complete(exchange, results), _consistent(lake, results)])

    return candles_1m


async def _candles(
    access: Access, lake: LocalLake, settings: Settings, partition_keys: Sequence[str], *, update_only: bool
) -> tuple[list[MonthResult], CredentialDescription | None]:
    """Ingest every symbol of every month with one client, so that one budget holds for all."""
    async with access.open(asset=f"{access.issuer}/candles_1m") as client:
        results = [
            await ingest_month(
                client,
                lake,
                symbol=symbol,
                month=month,
                wide=settings.is_wide(access.issuer, symbol),
                update_only=update_only,
                progress=_tell,
            )
            for month in partition_keys
            for symbol in settings.symbols
        ]
        return results, client.credential


def _tell(progress: Progress) -> None:
    progress_logger.info(json.dumps(progress._asdict()))


def describe(results: Sequence[MonthResult], credential: CredentialDescription | None) -> dict[str, Any]:
    """Return what a person wants to see of one month: numbers, files, gaps and a chart per symbol."""
    charts = "\n\n".join(chart_markdown(f"{result.symbol} {result.month}", result.closes) for result in results)
    return {
        "dagster/row_count": sum(result.rows for result in results),
        "missing": sum(result.missing for result in results),
        "first_candle": _time(min((result.first for result in results if result.first), default=None)),
        "last_candle": _time(max((result.last for result in results if result.last), default=None)),
        "chart": dg.MetadataValue.md(charts),
        "symbols": dg.MetadataValue.table([_record(result) for result in results]),
        "gaps": dg.MetadataValue.json({result.symbol: _gaps(result) for result in results}),
        "files": dg.MetadataValue.json([str(result.stored.path) for result in results if result.stored]),
        "requests": sum(result.usage.requests for result in results),
        "weight": sum(result.usage.weight for result in results),
        "retries": sum(result.usage.retries for result in results),
        "budget": results[-1].usage.budget,
        "seconds": round(sum(result.seconds for result in results), 3),
        "credential": credential.name if credential else "none: public data without a key",
        "credential_version": credential.version if credential else "none",
    }


def _record(result: MonthResult) -> dg.TableRecord:
    stored = result.stored
    return dg.TableRecord(
        {
            "symbol": result.symbol,
            "rows": result.rows,
            "missing": result.missing,
            "month": "over" if result.complete_month else "running",
            "file": ("changed" if stored.changed else "as before") if stored else "none",
            "bytes": stored.bytes if stored else 0,
            "sha256": stored.sha256 if stored else "",
        }
    )


def _time(moment: datetime | None) -> str:
    return moment.isoformat(timespec="minutes") if moment else "none"


def _gaps(result: MonthResult) -> list[str]:
    """Return the first gaps in words; the whole list follows from the file."""
    shown = [
        f"{_time(datetime.fromtimestamp(gap.start_ms / 1000, UTC))} + {(gap.end_ms - gap.start_ms) // 60_000} min"
        for gap in result.gaps[:GAPS_SHOWN]
    ]
    return shown + ([f"and {len(result.gaps) - GAPS_SHOWN} more"] if len(result.gaps) > GAPS_SHOWN else [])


def _complete(exchange: str, results: Sequence[MonthResult]) -> dg.AssetCheckResult:
    missing = sum(result.missing for result in results)
    rows, expected = sum(result.rows for result in results), sum(result.expected for result in results)
    client = CLIENTS[exchange]
    said = f"{rows:,} rows and {missing:,} minutes without a row make {expected:,} minutes."
    if missing and client.omits_empty_minutes:
        said += f" {client.title} has no row for a minute in which nobody traded."
    elif missing:
        said += f" {client.title} has a row for every minute, so these are missing."
    return dg.AssetCheckResult(
        check_name=COMPLETE,
        passed=rows + missing == expected and (not missing or client.omits_empty_minutes),
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
        metadata={"rows": rows, "missing": missing, "expected": expected},
    )


def _consistent(lake: LocalLake, results: Sequence[MonthResult]) -> dg.AssetCheckResult:
    verdicts = [check_stored(lake, result) for result in results]
    problems = [problem for verdict in verdicts for problem in verdict.problems]
    return dg.AssetCheckResult(
        check_name=CONSISTENT,
        passed=not problems,
        description="; ".join(problems) or f"{len(verdicts)} files read back without a contradiction.",
        metadata={"files": len(verdicts), "problems": len(problems)},
    )
