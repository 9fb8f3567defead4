"""
Which of the credentials in use are too old, as far as their store can tell.

The store is asked to `describe`, never to give a value. What it cannot tell is a finding like any
other: a credential of unknown age is not a fresh one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from crypto_pipeline.errors import ConfigurationError, EgressDeniedError, SecretError
from crypto_pipeline.redaction import scrub
from crypto_pipeline.rotation.policy import Freshness, age_warning, judge, max_age_days_of
from crypto_pipeline.secrets import SecretSource

SECRET_TYPES: Final[Mapping[str, str]] = {"huggingface": "hf_token"}
"""The type of an issuer's credential in the schedule, where it is not `exchange_keys`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What was found about one credential.

    Fields:
        issuer: whose credential.
        freshness: what its age means.
        warning: what to tell a person; empty for a fresh credential.
        name: its name in the store.
        version: the version that is current; empty where the store did not tell.
        created_at: when that version was stored, if the store told.
    """

    issuer: str
    freshness: Freshness
    warning: str
    name: str
    version: str = ""
    created_at: datetime | None = None


def take_inventory(source: SecretSource, issuers: Iterable[str], *, now: datetime) -> list[Finding]:
    """
    Return one finding per issuer, whatever the store answers.

    Raises:
        AuditError: the source records what it is asked, and could not.
    """
    return [_look_at(source, issuer, now) for issuer in issuers]


def _look_at(source: SecretSource, issuer: str, now: datetime) -> Finding:
    try:
        found = source.describe(issuer)
    except (ConfigurationError, EgressDeniedError, SecretError) as error:
        name = source.name_of(issuer)
        return Finding(issuer, Freshness.UNKNOWN, f"The age of secret '{name}' is not known. {scrub(str(error))}", name)
    days = max_age_days_of(SECRET_TYPES.get(issuer, "exchange_keys"))
    return Finding(
        issuer,
        judge(found.created_at, now=now, max_age_days=days),
        age_warning(found.name, found.created_at, now=now, max_age_days=days) or "",
        found.name,
        found.version,
        found.created_at,
    )
