"""
The jobs: what can be run as a whole.

Add a job when a person or a schedule starts something new. One job per exchange, so that a
refused key or an exchange that is down never stops the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

CREDENTIALS_JOB = "key_check"


def market_data_job_name(exchange: str) -> str:
    """Return the name of the exchange's main job."""
    return f"{exchange}_market_data"


def looks_job_name(exchange: str) -> str:
    """Return the name of the job that looks at the exchange's markets as they are now."""
    return f"{exchange}_looks"


def funding_job_name(exchange: str) -> str:
    """Return the name of the job that brings the exchange's funding rates up to date."""
    return f"{exchange}_funding"


def build_jobs(
    exchanges: Sequence[str], issuers: Sequence[str], *, perpetuals: Sequence[str] = ()
) -> list[dg.UnresolvedAssetJobDefinition]:
    """
    Return the jobs of each exchange, and the check of the keys of all issuers.

    Args:
        exchanges: those with market data.
        issuers: those whose keys can be asked about.
        perpetuals: the exchanges whose perpetual contracts are read.
    """
    keys = dg.define_asset_job(
        CREDENTIALS_JOB,
        selection=_assets(issuers, ("api_key",)),
        description="Ask every issuer what the configured key may do.",
    )
    return [
        *(_main(exchange) for exchange in exchanges),
        *(_looks(exchange, has_perpetuals=exchange in perpetuals) for exchange in exchanges),
        *(_funding(exchange) for exchange in perpetuals),
        keys,
    ]


def _main(exchange: str) -> dg.UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        market_data_job_name(exchange),
        selection=_assets([exchange], ("api_key", "instruments", "candles_1m")),
        description=f"The main job: prove the key of {exchange}, then bring its instruments and candles up to date.",
        tags={"exchange": exchange},
    )


def _looks(exchange: str, *, has_perpetuals: bool) -> dg.UnresolvedAssetJobDefinition:
    names = ("trades", "quotes", "books", *(("open_interest", "mark_prices") if has_perpetuals else ()))
    return dg.define_asset_job(
        looks_job_name(exchange),
        selection=_assets([exchange], names),
        description=f"Look at the markets of {exchange} as they are now, and keep what is seen.",
        tags={"exchange": exchange},
    )


def _funding(exchange: str) -> dg.UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        funding_job_name(exchange),
        selection=_assets([exchange], ("funding_rates",)),
        description=f"Bring the funding rates of {exchange}'s perpetual contracts up to date.",
        tags={"exchange": exchange},
    )


def _assets(issuers: Sequence[str], names: Sequence[str]) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*(dg.AssetKey([issuer, name]) for issuer in issuers for name in names))
