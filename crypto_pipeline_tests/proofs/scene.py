"""Exchanges and an OpenBao that holds their keys: what most proofs play in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.demo.stack import parts_of
from crypto_pipeline.exchanges import CLIENTS
from crypto_pipeline.sandbox.keys import KeyKind, SimulatedKey
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline.settings import PREFIX
from crypto_pipeline_tests.support.asked import Asked
from crypto_pipeline_tests.support.sealable import Sealable

MAY_READ = """
path "secret/data/crypto-pipeline/*" { capabilities = ["read"] }
path "secret/metadata/crypto-pipeline/*" { capabilities = ["read"] }
"""
MAY_NOTHING = 'path "secret/*" { capabilities = ["deny"] }'


class VaultScene:
    """
    What a proof plays in.

    Args:
        sandbox: the exchanges.
        store: the server that holds their keys.
        folder: for lake, audit log and whatever else a run writes.
    """

    def __init__(self, sandbox: Sandbox, store: Sealable, folder: Path) -> None:
        self.sandbox = sandbox
        self.store = store
        self.folder = folder
        self.audit_log = folder / "audit" / "audit.jsonl"
        self.keys: dict[str, SimulatedKey] = {}
        for issuer in CLIENTS:
            self.issue(issuer)

    def issue(self, issuer: str) -> None:
        """Make a new read-only key, and store it; the old one stays good."""
        key = self.sandbox.keys.issue(issuer, KeyKind.READ_ONLY, now_ms=self.sandbox.now_ms())
        self.store.vault.put(f"crypto-pipeline/{issuer}", parts_of(key))
        self.keys[issuer] = key

    def values(self) -> dict[str, str]:
        """Return every value that stands in the store, by a name that is none."""
        return {f"{issuer} {part}": value for issuer, key in self.keys.items() for part, value in parts_of(key).items()}

    def token(self, **options: object) -> str:
        """Return a token that may read the keys."""
        return self.store.vault.token(MAY_READ, **options)  # type: ignore[arg-type]  # options of the server

    def variables(self, **more: str) -> dict[str, str]:
        """Return the variables of a deployment that reads the keys with a token; `more` without their prefix."""
        urls = {f"{PREFIX}{issuer.upper()}_URL": self.sandbox.urls[issuer] for issuer in ISSUERS}
        return {
            **urls,
            f"{PREFIX}SECRETS": "vault",
            f"{PREFIX}KEYS": ",".join(CLIENTS),
            f"{PREFIX}VAULT_ADDRESS": self.store.vault.address,
            f"{PREFIX}LAKE": str(self.folder / "lake"),
            f"{PREFIX}AUDIT_LOG": str(self.audit_log),
            "VAULT_TOKEN": self.token(),
            **{f"{PREFIX}{name.upper()}": value for name, value in more.items()},
        }

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return the same as arguments of `Settings.from_environment`."""
        return {
            "secrets": "vault",
            "keys": tuple(CLIENTS),
            "vault_address": self.store.vault.address,
            "lake": self.folder / "lake",
            "audit_log": self.audit_log,
            "op_retries": 0,
            **{f"{issuer}_url": self.sandbox.urls[issuer] for issuer in ISSUERS},
            **changes,
        }

    def asked(self) -> Asked:
        """Return what the store is asked from now on."""
        return Asked(self.store.audit)

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Return our own audit events of this kind."""
        return read_events(self.audit_log, kind)


def reads_of(asked: Asked) -> Mapping[str, int]:
    """Return how often each exchange's key was read, as the store itself recorded it."""
    before = "secret/data/crypto-pipeline/"
    return Counter(
        path.removeprefix(before)
        for operation, path in asked.requests()
        if operation == "read" and path.startswith(before)
    )


def read_events(audit_log: Path, kind: str = "") -> list[dict[str, Any]]:
    """Return the events of an audit log of ours."""
    events = [json.loads(line) for line in audit_log.read_text().splitlines()]
    return [event for event in events if kind in {"", event["event"]}]
