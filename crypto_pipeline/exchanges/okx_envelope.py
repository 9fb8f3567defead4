"""The envelope that every answer of OKX v5 comes in (v5 manual, "Error code")."""

from __future__ import annotations

from typing import Any

from crypto_pipeline.exchanges.answers import decode, malformed

TITLE = "OKX"
NO_DATA = "52000"


def data_of(body: bytes, endpoint: str) -> list[Any]:
    """
    Return the data of an answer.

    Raises:
        MalformedAnswerError: there is none, or the code says that it is a refusal.
    """
    value = decode(body, TITLE, endpoint)
    envelope = value if isinstance(value, dict) else {}
    found = envelope.get("data")
    if envelope.get("code") not in ("0", NO_DATA) or not isinstance(found, list):
        malformed(TITLE, "there is no data")
    return found
