"""What every command about stored secrets begins with: the settings, the store, and the record in its own name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from crypto_pipeline.audit import AuditLog, JsonLinesAuditLog
from crypto_pipeline.audit.configuration import user_name
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.secrets import SecretSource
from crypto_pipeline.settings import PREFIX, Settings


@dataclass(frozen=True, slots=True)
class Opened:
    """
    A store, and on whose behalf it is asked.

    Fields:
        settings: the deployment.
        source: the store.
        audit: the record; each event tells the command and who ran it.
        accessor: how the record names the command.
    """

    settings: Settings
    source: SecretSource
    audit: AuditLog
    accessor: str

    @property
    def folder(self) -> str:
        """What stands before the last part of the names of all secrets; empty where nothing does."""
        return re.sub(r"[^/:]+$", "", self.source.name_of(next(iter(ISSUERS))))


def open_store(command: str) -> Opened:
    """
    Open the configured store; nothing is asked yet.

    Args:
        command: what the record calls it, such as `secrets_list`.

    Raises:
        ConfigurationError: no store is configured, or it cannot be opened.
    """
    settings = Settings.from_environment()
    source = settings.build_source()
    if source is None:
        msg = f"No store of secrets is configured. Set {PREFIX}SECRETS to the one that is meant."
        raise ConfigurationError(msg)
    audit = JsonLinesAuditLog(settings.audit_log).bound(asset=command, user=user_name())
    return Opened(settings, source, audit, f"crypto_pipeline/{command}")
