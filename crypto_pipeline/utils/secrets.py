"""
The security handbook's names for AWS Secrets Manager; see `crypto_pipeline.secrets`.

They give out plain texts, because that is what the handbook prints. Code of this package takes a
`SecretSource`. Nothing is cached: a rotated key is seen by the next call.
"""

from __future__ import annotations

import logging
import os
from functools import cached_property
from typing import Any

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.errors import CryptoPipelineError
from crypto_pipeline.secrets import AwsSource, build_client
from crypto_pipeline.secrets.plain import export, fetch_plain, under_prefix
from crypto_pipeline.settings import Settings

EXCHANGE_KEYS = "crypto-pipeline/exchange-keys"
DEFAULT_REGION = "us-east-1"

logger = logging.getLogger(__name__)


class SecretsManager:
    """
    AWS Secrets Manager, with every read on the record.

    Args:
        region: the region; else the settings', `AWS_REGION`, the AWS chain's, `us-east-1`.
    """

    def __init__(self, region: str | None = None) -> None:
        self._region = region

    def get_secret(self, secret_name: str) -> dict[str, Any]:
        """
        Return the fields of a secret, in plain text.

        Raises:
            RuntimeError: it was not given, or the read could not be recorded; says why.
        """
        try:
            log = JsonLinesAuditLog(Settings.from_environment().audit_log)
            return fetch_plain(self._source, secret_name, audit=log, accessor=__name__)
        except CryptoPipelineError as error:
            msg = f"Failed to fetch secret {secret_name}: {error}"
            raise RuntimeError(msg) from error

    def get_exchange_credentials(self, exchange: str) -> dict[str, Any]:
        """
        Return the exchange's part of `crypto-pipeline/exchange-keys`, in plain text.

        Raises:
            RuntimeError: see `get_secret`.
        """
        return under_prefix(self.get_secret(EXCHANGE_KEYS), f"{exchange}_")

    @cached_property
    def _source(self) -> AwsSource:
        settings = Settings.from_environment()
        region = self._region or settings.aws_region
        client = build_client(region, settings.aws_endpoint_url, settings.aws_profile, default_region=DEFAULT_REGION)
        return AwsSource(client)


def load_secrets_to_env() -> None:
    """
    Put `crypto-pipeline/exchange-keys` into the environment if `USE_AWS_SECRETS` is `true`.

    A variable that is set stays as it is. Every child process inherits what is put there: a
    `SecretSource` keeps keys out of the environment.

    Raises:
        RuntimeError: the secret was not given; nothing was set.
    """
    if os.environ.get("USE_AWS_SECRETS", "").strip().lower() != "true":
        return
    fields = SecretsManager().get_secret(EXCHANGE_KEYS)
    try:
        names = export(fields, os.environ, name=EXCHANGE_KEYS)
    except CryptoPipelineError as error:
        msg = f"Failed to fetch secret {EXCHANGE_KEYS}: {error}"
        raise RuntimeError(msg) from error
    logger.warning(
        "%d secrets stand in the environment of this process now, and in that of every process it starts: %s.",
        len(names),
        ", ".join(names),
    )
