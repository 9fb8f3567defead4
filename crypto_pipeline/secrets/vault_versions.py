"""The versions of one secret, as the metadata of HashiCorp Vault and OpenBao tell them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from crypto_pipeline.secrets.history import StoredVersion
from crypto_pipeline.secrets.vault_errors import parse_time


def versions_in(told: Mapping[str, Any], is_gone: Callable[[Mapping[str, Any]], bool]) -> tuple[StoredVersion, ...]:
    """
    Return the versions, the newest first.

    Args:
        told: the metadata of a secret.
        is_gone: tells whether a version is deleted by now.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: these are not Vault's metadata.
    """
    current = str(told["current_version"])
    return tuple(
        StoredVersion(
            version=number,
            is_current=number == current,
            created_at=parse_time(each["created_time"]),
            deleted_at=parse_time(each["deletion_time"]) if each["deletion_time"] else None,
            is_gone=is_gone(each),
            is_destroyed=bool(each["destroyed"]),
        )
        for number, each in sorted(told["versions"].items(), key=lambda item: int(item[0]), reverse=True)
    )
