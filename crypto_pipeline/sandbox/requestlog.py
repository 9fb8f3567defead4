"""What the sandbox remembers of each request: who asked for what, and with which key."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections import deque
from typing import Any

from crypto_pipeline.sandbox.interface import Request

KEY_HEADERS = ("x-mbx-apikey", "ok-access-key", "x-bapi-api-key", "cb-access-key")
_SIGNATURE = re.compile(r"(^|&)signature=[^&]*")


MOST_ENTRIES = 100_000


class RequestLog:
    """The latest requests, in order; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[dict[str, Any]] = deque(maxlen=MOST_ENTRIES)

    def add(self, exchange: str, request: Request, key: str | None, status: int | None) -> None:
        """Remember one request; its signature is left out."""
        entry = {
            "exchange": exchange,
            "method": request.method,
            "path": request.path,
            "query": _SIGNATURE.sub(r"\1signature=left-out", request.query),
            "key": key,
            "status": status,
            "time_ms": request.now_ms,
        }
        with self._lock:
            self._entries.append(entry)

    def all(self) -> list[dict[str, Any]]:
        """Return the latest requests."""
        with self._lock:
            return list(self._entries)

    def clear(self) -> None:
        """Forget them."""
        with self._lock:
            self._entries.clear()


def key_presented(request: Request) -> str | None:
    """Return the name of the key a request shows, whether it is valid or not; None if it shows none."""
    for header in KEY_HEADERS:
        if header in request.headers:
            return request.headers[header]
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer":
        return None
    parts = token.split(".")
    if len(parts) != 3:
        return "bearer token"  # a Hugging Face token is itself the secret
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return str(claims["sub"])
    except (ValueError, KeyError, TypeError):
        return "unreadable token"
