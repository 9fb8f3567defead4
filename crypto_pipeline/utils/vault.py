"""
The security handbook's names for HashiCorp Vault and OpenBao; see `crypto_pipeline.secrets`.

They give out plain texts, because that is what the handbook prints. Code of this package takes a
`SecretSource`.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.secrets import VaultSource, open_vault
from crypto_pipeline.secrets.plain import fetch_plain
from crypto_pipeline.settings import Settings


class VaultClient:
    """
    Vault with the token of the environment, and every read on the record.

    `VAULT_ADDR` and `VAULT_TOKEN` are read at the first use; mount, namespace and certificate
    authority are the settings'.
    """

    def get_secret(self, path: str) -> dict[str, Any]:
        """
        Return the fields of a secret under the KV version 2 mount, in plain text.

        Raises:
            SecretError: Vault did not give it.
            AuditError: the read could not be recorded.
            ConfigurationError: address, token or mount is not usable.
        """
        log = JsonLinesAuditLog(Settings.from_environment().audit_log)
        return fetch_plain(self._source, path, audit=log, accessor=__name__)

    def get_exchange_credentials(self, exchange: str) -> dict[str, Any]:
        """
        Return the fields of `crypto-pipeline/<exchange>`, in plain text.

        Raises:
            SecretError: see `get_secret`, and there for the others.
        """
        return self.get_secret(f"crypto-pipeline/{exchange}")

    @cached_property
    def _source(self) -> VaultSource:
        settings = Settings.from_environment()
        return open_vault(
            os.environ.get("VAULT_ADDR") or settings.vault_address,
            mount=settings.vault_mount,
            namespace=settings.vault_namespace,
            ca_file=str(settings.vault_ca_file) if settings.vault_ca_file else None,
        )
