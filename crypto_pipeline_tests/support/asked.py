"""What a Vault-compatible server was asked, as its own audit file tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Asked:
    """
    The requests from now on.

    Args:
        audit: the server's audit file.
    """

    def __init__(self, audit: Path) -> None:
        self._audit = audit
        self._from = audit.stat().st_size

    def requests(self) -> list[tuple[str, str]]:
        """Return operation and path of each request, without those of the test's own root token."""
        return [(line["request"]["operation"], line["request"]["path"]) for line in self._lines("request")]

    def paths(self) -> list[str]:
        """Return the path of each request."""
        return [path for _, path in self.requests()]

    def errors(self) -> list[str]:
        """Return what the server refused."""
        return [line["error"] for line in self._lines("response") if line.get("error")]

    def header(self, name: str) -> list[str]:
        """Return the values of a header, once for each request that has it."""
        return [
            value
            for line in self._lines("request")
            for key, values in (line["request"].get("headers") or {}).items()
            if key.lower() == name.lower()
            for value in values
        ]

    def _lines(self, kind: str) -> list[dict[str, Any]]:
        with self._audit.open("rb") as file:
            file.seek(self._from)
            lines = [json.loads(line) for line in file.read().splitlines()]
        return [line for line in lines if line["type"] == kind and not _is_roots(line)]


def _is_roots(line: dict[str, Any]) -> bool:
    return "root" in (line.get("auth") or {}).get("policies", [])
