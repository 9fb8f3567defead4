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


def build_jobs(exchanges: Sequence[str], issuers: Sequence[str]) -> list[dg.UnresolvedAssetJobDefinition]:
    """Return the main job of each exchange, and the check of the keys of all issuers."""
    main = [
        dg.define_asset_job(
            market_data_job_name(exchange),
            selection=dg.AssetSelection.key_prefixes([exchange]),
            description=(
                f"The main job: prove the key of {exchange}, then bring its instruments and candles up to date."
            ),
            tags={"exchange": exchange},
        )
        for exchange in exchanges
    ]
    keys = dg.define_asset_job(
        CREDENTIALS_JOB,
        selection=dg.AssetSelection.assets(*(dg.AssetKey([issuer, "api_key"]) for issuer in issuers)),
        description="Ask every issuer what the configured key may do.",
    )
    return [*main, keys]
