"""
The `api_key` assets: what the configured key of each issuer may do.

Add an issuer to `crypto_pipeline.exchanges.ISSUER_PROBES`, not here. Keep values out: the asset
shows what a key may do, never the key.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from crypto_pipeline.access import Access
from crypto_pipeline.credentials import CredentialDescription, KeyReport
from crypto_pipeline.defs.failures import failure, reported_to_dagster
from crypto_pipeline.errors import KeyRefusedError
from crypto_pipeline.exchanges import ISSUER_PROBES
from crypto_pipeline.redaction import scrub

CHECK = "key_is_read_only"


def build_api_key(issuer: str, *, pool: str, retries: dg.RetryPolicy) -> dg.AssetsDefinition:
    """Return the asset `<issuer>/api_key` with its blocking check `key_is_read_only`."""
    key = dg.AssetKey([issuer, "api_key"])
    title = ISSUER_PROBES[issuer].title

    @dg.asset(
        key=key,
        group_name=issuer,
        kinds={"secret"},
        description=f"What the configured {title} key may do, asked of {title} itself; never the key.",
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=key,
                blocking=True,
                description=f"{title} itself says that the key can do nothing but read.",
            )
        ],
        required_resource_keys={issuer},
        pool=pool,
        tags={"exchange": issuer},
    )
    def api_key(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
        access: Access = getattr(context.resources, issuer)
        with reported_to_dagster(context, retries):
            if not access.has_key:
                yield _without_key(title)
                return
            try:
                description, report = asyncio.run(_prove(access, f"{issuer}/api_key"))
            except KeyRefusedError as error:
                # The verdict is recorded before the run fails, so that the check shows it.
                yield dg.AssetCheckResult(passed=False, check_name=CHECK, asset_key=key, description=scrub(str(error)))
                raise failure(error) from None
            yield _with_key(title, description, report)

    return api_key


async def _prove(access: Access, asset: str) -> tuple[CredentialDescription, KeyReport]:
    async with access.open(asset=asset) as client:
        report = await client.prove_key()
    description = client.credential
    if report is None or description is None:  # pragma: no cover - open() was given a source
        msg = "a client that was given a key must report on it"
        raise AssertionError(msg)
    return description, report


def _without_key(title: str) -> dg.MaterializeResult[None]:
    said = f"No key is configured for {title}: only public data is read, without a key."
    return dg.MaterializeResult(
        metadata={"verdict": "no key configured", "what_it_means": said},
        check_results=[dg.AssetCheckResult(passed=True, check_name=CHECK, description=said)],
    )


def _with_key(title: str, description: CredentialDescription, report: KeyReport) -> dg.MaterializeResult[None]:
    bound = {
        True: "bound to addresses",
        False: "not bound: it works from everywhere",
        None: f"{title} does not say",
    }
    metadata: dict[str, Any] = {
        "verdict": "read-only",
        "may": ", ".join(report.may),
        "ip_binding": ", ".join(report.addresses) or bound[report.ip_bound],
        "credential": description.name,
        "credential_version": description.version,
        "store": description.store,
        "read": description.rung or "from the store itself",
    }
    if description.fetched_at:
        metadata["read_at"] = dg.MetadataValue.timestamp(description.fetched_at)
    since = report.created_at or description.created_at
    metadata["age"] = f"{(datetime.now(UTC) - since).days} days" if since else "nobody tells"
    if description.created_at:
        metadata["stored_at"] = dg.MetadataValue.timestamp(description.created_at)
    if report.created_at:
        metadata["made_at"] = dg.MetadataValue.timestamp(report.created_at)
    if report.expires_at:
        metadata["expires_at"] = dg.MetadataValue.timestamp(report.expires_at)
    if report.label:
        metadata["label"] = report.label
    said = f"{title} says the key may {', '.join(report.may)} and nothing else."
    return dg.MaterializeResult(
        metadata=metadata,
        check_results=[dg.AssetCheckResult(passed=True, check_name=CHECK, description=said)],
    )
