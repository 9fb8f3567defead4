"""An environment in which nothing of the machine or of another test leads to a secret store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_LEADS_SOMEWHERE = ("AWS_", "VAULT_", "BAO_", "CRYPTO_PIPELINE_", "REQUESTS_", "CURL_", "HF_", "HUGGINGFACE_")
_LEADS_ELSEWHERE = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "USE_AWS_SECRETS")


def empty_environment(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Take away what names a store, a login or a proxy; let programs find an empty home."""
    for name in list(os.environ):
        if name.upper().startswith(_LEADS_SOMEWHERE) or name.upper() in _LEADS_ELSEWHERE:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
