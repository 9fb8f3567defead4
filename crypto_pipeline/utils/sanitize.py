"""The security handbook's names for keeping secrets out of logs and files; see `crypto_pipeline.redaction`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from crypto_pipeline.redaction import SENSITIVE_PATTERNS, sanitized

__all__ = ["SENSITIVE_PATTERNS", "sanitize_for_logging", "secure_file_permissions"]


def sanitize_for_logging(data: dict[str, Any]) -> dict[str, Any]:
    """
    Return a copy of `data` for the log, however deep it is nested.

    What stands under a sensitive name is masked; everything else is scrubbed of the values that
    this process knows to be secret.
    """
    return cast("dict[str, Any]", sanitized(data))


def secure_file_permissions(path: str | os.PathLike[str]) -> None:
    """Let nobody but its owner read or write the file."""
    Path(path).chmod(0o600)
