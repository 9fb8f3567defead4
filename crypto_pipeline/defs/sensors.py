"""
The sensors: what is noticed without being asked.

Add a sensor when a state of the world, and not the clock, is what somebody must be told of. Keep values
out: a sensor describes, and never reads a secret. Keep calls out: a tick costs what the cache of its
process costs, and the store is asked once in the time for which a description is fresh.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from crypto_pipeline.defs.failures import reported_to_daemon
from crypto_pipeline.rotation import Finding, Freshness, take_inventory
from crypto_pipeline.secrets import AuditedSource

ROTATION_DUE = "rotation_due"
MINIMUM_INTERVAL_SECONDS = 300


def build_sensors(keys: Sequence[str], *, running: bool) -> list[dg.SensorDefinition]:
    """
    Return the sensors.

    Args:
        keys: the issuers whose key is in use.
        running: whether a new instance starts with them switched on.
    """
    status = dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED
    return [_rotation_due(keys, status)]


def _rotation_due(keys: Sequence[str], status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.sensor(
        name=ROTATION_DUE,
        minimum_interval_seconds=MINIMUM_INTERVAL_SECONDS,
        description="Observe the age of each key in use, as its store tells it, whenever what it means has changed.",
        default_status=status,
    )
    def rotation_due(
        context: dg.SensorEvaluationContext, secrets: dg.ResourceParam[Any], audit: dg.ResourceParam[Any]
    ) -> dg.SensorResult | dg.SkipReason:
        if not keys:
            return dg.SkipReason("No key is configured, so none can be too old.")
        with reported_to_daemon():
            asked = AuditedSource(secrets, audit, accessor=f"crypto_pipeline/{ROTATION_DUE}")
            now = datetime.now(UTC)
            findings = take_inventory(asked, keys, now=now)
        told = {found.issuer: f"{found.freshness.value} {found.version}" for found in findings}
        before = _seen(context.cursor)
        return dg.SensorResult(
            asset_events=[
                _observation(found, now) for found in findings if told[found.issuer] != before.get(found.issuer)
            ],
            skip_reason=_summary(findings),
            cursor=json.dumps(told, sort_keys=True),
        )

    return rotation_due


def _seen(cursor: str | None) -> Mapping[str, object]:
    """Return what was told last; a cursor that somebody set by hand counts as none."""
    try:
        seen = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return seen if isinstance(seen, dict) else {}


def _observation(found: Finding, now: datetime) -> dg.AssetObservation:
    """Return what was found, as an event in the history of the key's asset."""
    metadata: dict[str, Any] = {
        "freshness": found.freshness.value,
        "credential": found.name,
        "credential_version": found.version or "nobody tells",
    }
    if found.created_at is not None:
        metadata["stored_at"] = dg.MetadataValue.timestamp(found.created_at)
        metadata["age_days"] = (now - found.created_at).days
    said = found.warning or f"Secret '{found.name}' is fresh."
    return dg.AssetObservation(asset_key=[found.issuer, "api_key"], description=said, metadata=metadata)


def _summary(findings: Sequence[Finding]) -> str:
    """Return one sentence for the list of ticks."""
    warnings = [found.warning for found in findings if found.freshness is not Freshness.FRESH]
    return " ".join(warnings) or f"All {len(findings)} keys in use are fresh."
