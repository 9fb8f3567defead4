"""What is around every answer of Bybit v5 (document "Integration Guidance"); what is in it, is read elsewhere."""

from __future__ import annotations

from typing import Any

from crypto_pipeline.exchanges.answers import decode, malformed

TITLE = "Bybit"


def result(body: bytes, endpoint: str) -> dict[str, Any]:
    """
    Return what an answer gives.

    Raises:
        MalformedAnswerError: it gives nothing.
    """
    return timed_result(body, endpoint)[0]


def timed_result(body: bytes, endpoint: str) -> tuple[dict[str, Any], Any]:
    """Return what an answer gives, and the unread time it was made at, which some results lack."""
    value = decode(body, TITLE, endpoint)
    envelope = value if isinstance(value, dict) else {}
    found = envelope.get("result")
    if envelope.get("retCode") != 0 or not isinstance(found, dict):
        malformed(TITLE, "there is no result")
    return found, envelope.get("time")


def message(body: bytes) -> str:
    """Return retMsg, to look for a word in it; it is never shown."""
    value = decode(body, TITLE, "")
    found = value.get("retMsg") if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
