"""
How the code location is put together.

`build_defs` merges every module of this floor explicitly (docs/decisions/0009). Tests and special
deployments pass overrides instead of changing the environment.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from crypto_pipeline.defs.credentials import build_api_key
from crypto_pipeline.defs.jobs import build_jobs
from crypto_pipeline.defs.market_data import build_candles, build_instruments
from crypto_pipeline.defs.resources import (
    AuditFile,
    AwsSecrets,
    DotenvSecrets,
    EnvironmentSecrets,
    ExchangeAccess,
    FileSecrets,
    Lake,
    NoSecrets,
    VaultSecrets,
)
from crypto_pipeline.defs.schedules import build_schedules
from crypto_pipeline.defs.sensors import build_sensors
from crypto_pipeline.defs.snapshots import build_funding_rates, build_perpetual_looks, build_spot_looks
from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.exchanges import PERPETUAL_CLIENTS
from crypto_pipeline.settings import Settings

TOKEN_ISSUERS = ("huggingface",)
"""Issuers of keys without market data: their key is proved all the same."""


def build_defs(settings: Settings, **overrides: Any) -> dg.Definitions:
    """
    Return the whole code location for these settings.

    Args:
        settings: how this deployment is put together.
        overrides: resources by key (`secrets`, `audit`, `lake`, an exchange's name) that replace
            the ones made from the settings.

    Raises:
        ConfigurationError: an override names a resource that does not exist.
    """
    retries = dg.RetryPolicy(
        max_retries=settings.op_retries,
        delay=settings.op_retry_delay_seconds,
        backoff=dg.Backoff.EXPONENTIAL,
        jitter=dg.Jitter.PLUS_MINUS,
    )
    with warnings.catch_warnings():
        # Single-run backfills (docs/decisions/0010) are marked beta; the release is pinned (0009).
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = [
            asset
            for exchange in settings.exchanges
            for asset in (
                build_api_key(exchange, pool=pool_of(exchange), retries=retries),
                build_instruments(exchange, pool=pool_of(exchange), retries=retries),
                build_candles(exchange, settings, pool=pool_of(exchange), retries=retries),
                build_spot_looks(exchange, settings, pool=pool_of(exchange), retries=retries),
            )
        ]
        assets += [
            asset
            for exchange in with_perpetuals(settings)
            for asset in (
                build_funding_rates(exchange, settings, pool=pool_of(exchange), retries=retries),
                build_perpetual_looks(exchange, settings, pool=pool_of(exchange), retries=retries),
            )
        ]
    tokens = [build_api_key(issuer, pool=pool_of(issuer), retries=retries) for issuer in TOKEN_ISSUERS]
    return dg.Definitions(
        assets=[*assets, *tokens],
        jobs=build_jobs(
            settings.exchanges, (*settings.exchanges, *TOKEN_ISSUERS), perpetuals=with_perpetuals(settings)
        ),
        schedules=build_schedules(
            settings.exchanges, perpetuals=with_perpetuals(settings), running=settings.schedules_running
        ),
        sensors=build_sensors(settings.keys, running=settings.schedules_running),
        resources=build_resources(settings, overrides),
        # Measured: a step process costs seconds to start, a step here costs milliseconds.
        executor=dg.in_process_executor,
    )


def with_perpetuals(settings: Settings) -> Sequence[str]:
    """Return the exchanges whose perpetual contracts are read."""
    return [exchange for exchange in settings.exchanges if settings.perpetuals and exchange in PERPETUAL_CLIENTS]


def pool_of(issuer: str) -> str:
    """Return the pool that lets one step at a time speak to the issuer, over all runs."""
    return f"{issuer}_api"


def build_resources(settings: Settings, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resources by key, made from the settings unless overridden."""
    secrets = overrides.get("secrets") or secrets_resource(settings)
    audit = overrides.get("audit") or AuditFile(path=str(settings.audit_log), settings=dict(settings.as_text()))
    resources: dict[str, Any] = {
        "secrets": secrets,
        "audit": audit,
        "lake": Lake(root=str(settings.lake)),
    }
    for issuer in (*settings.exchanges, *TOKEN_ISSUERS):
        resources[issuer] = ExchangeAccess(
            issuer=issuer,
            use_key=issuer in settings.keys,
            base_url=settings.base_url(issuer),
            perpetuals_url=settings.perpetuals_url(issuer),
            rejected_keys=str(settings.rejected_keys),
            limits=str(settings.limits),
            secrets=secrets,
            audit=audit,
        )
    unknown = overrides.keys() - resources.keys()
    if unknown:
        msg = f"There is no resource {', '.join(sorted(unknown))}; there are {', '.join(resources)}."
        raise ConfigurationError(msg)
    return resources | dict(overrides)


def secrets_resource(settings: Settings) -> Any:
    """Return the resource of the one configured secret store."""
    if settings.secrets == "aws":
        return AwsSecrets(
            region=settings.aws_region,
            endpoint_url=settings.aws_endpoint_url,
            profile=settings.aws_profile,
            layout=settings.aws_layout,
            role_arn=settings.aws_role_arn,
            replica_regions=list(settings.aws_replica_regions),
            prefix=settings.secret_prefix,
            cache_seconds=settings.cache_seconds,
            stale_seconds=settings.stale_seconds,
        )
    if settings.secrets == "vault":
        return VaultSecrets(
            address=settings.vault_address,
            mount=settings.vault_mount,
            prefix=settings.secret_prefix,
            namespace=settings.vault_namespace,
            ca_file=_text(settings.vault_ca_file),
            auth=settings.vault_auth,
            auth_mount=settings.vault_auth_mount,
            role=settings.vault_role,
            jwt_file=_text(settings.vault_jwt_file),
            client_cert_file=_text(settings.vault_client_cert_file),
            client_key_file=_text(settings.vault_client_key_file),
            cache_seconds=settings.cache_seconds,
            stale_seconds=settings.stale_seconds,
        )
    if settings.secrets == "dotenv":
        return DotenvSecrets(path=str(settings.dotenv), environment=settings.environment)
    if settings.secrets == "files":
        return FileSecrets(folder=str(settings.secrets_folder))
    return EnvironmentSecrets() if settings.secrets == "environment" else NoSecrets()


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
