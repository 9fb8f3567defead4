"""What tests of clients share: a time that passes only when somebody sleeps, and keys in the clients' own form."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.redaction import Secret
from crypto_pipeline.sandbox.keys import SimulatedKey

NOW = 1_772_452_830.5
"""2026-03-02 12:00:30.500 UTC, in the middle of a minute."""
MINUTE_MS = 60_000


class VirtualTime:
    """A clock for client and sandbox that moves only while somebody sleeps; no test waits for it."""

    def __init__(self, seconds: float = NOW) -> None:
        self.seconds = seconds
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


def described(issuer: str, *, version: str = "v7") -> CredentialDescription:
    """Return the description of a stored key."""
    return CredentialDescription(issuer, f"crypto-pipeline/{issuer}", "vault", version)


def credentials(issuer: str, **parts: str) -> Credentials:
    """Return a credential with these parts."""
    return Credentials(described(issuer), {name: Secret(value) for name, value in parts.items()})


def credentials_of(key: SimulatedKey, **other: str) -> Credentials:
    """Return a sandbox key as a credential; `other` parts replace its own."""
    if key.exchange == "huggingface":
        return credentials(key.exchange, **({"token": key.api_secret} | other))
    parts = {"api_key": key.api_key, "api_secret": key.api_secret}
    if key.passphrase:
        parts["passphrase"] = key.passphrase
    return credentials(key.exchange, **(parts | other))


def secrets_of(key: SimulatedKey) -> list[str]:
    """Return every text of a key that must not be seen anywhere; a PEM key line by line."""
    whole = [key.api_secret, *key.api_secret.replace("\\n", "\n").split("\n"), key.passphrase or ""]
    found = whole if key.exchange == "huggingface" else [*whole, key.api_key]
    return [text for text in found if len(text) > 5 and "-----" not in text]


def events_of(log: Path) -> list[dict[str, Any]]:
    """Return what stands in an audit log."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
