"""
The security handbook's names for the age of secrets; see `crypto_pipeline.rotation`.

The health check knows what the store knows: when the current version was stored. That a key is older
than its place in the store only its issuer can tell (`crypto-pipeline keys check`).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.errors import AuditError, ConfigurationError
from crypto_pipeline.redaction import scrub
from crypto_pipeline.rotation import SECRET_MAX_AGE_DAYS, age_warning, max_age_days_of, take_inventory
from crypto_pipeline.secrets import AuditedSource
from crypto_pipeline.settings import PREFIX, Settings

__all__ = ["SECRET_MAX_AGE_DAYS", "check_secret_age", "rotation_health_check"]

logger = logging.getLogger(__name__)


def check_secret_age(secret_name: str, created_at: datetime, secret_type: str = "exchange_keys") -> str | None:  # noqa: S107 - a type
    """
    Return a warning if the secret is too old, or will be within 14 days; None if it is fresh.

    A time without a zone is taken as UTC; a type that is not in `SECRET_MAX_AGE_DAYS` has 90 days.
    """
    aware = created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC)
    return age_warning(secret_name, aware, now=datetime.now(UTC), max_age_days=max_age_days_of(secret_type))


def rotation_health_check() -> bool:
    """
    Ask the configured store about every key in use, and log a warning for each that is not fresh.

    True only if the store told that all of them are; what cannot be told counts as unhealthy.
    """
    try:
        warnings = _warnings()
    except (AuditError, ConfigurationError) as error:
        warnings = [f"The age of the keys is not known. {scrub(str(error))}"]
    for warning in warnings:
        logger.warning("%s", warning)
    return not warnings


def _warnings() -> list[str]:
    settings = Settings.from_environment()
    source = settings.build_source() if settings.keys else None
    if source is None:
        logger.info("No key is configured (%sKEYS is empty), so none can be too old.", PREFIX)
        return []
    asked = AuditedSource(source, JsonLinesAuditLog(settings.audit_log), accessor=__name__)
    return [found.warning for found in take_inventory(asked, settings.keys, now=datetime.now(UTC)) if found.warning]
