"""A store with secrets in it that were planted, the environment that leads there, and commands run in it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from crypto_pipeline.cli import main
from crypto_pipeline.secrets.policies import vault_policy
from crypto_pipeline.secrets.roles import ROLES
from crypto_pipeline_tests.secrets.stores import new_parts, new_prefix
from crypto_pipeline_tests.support.aws import LOGIN, REGION, Aws
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.search import everything_under, hits
from crypto_pipeline_tests.support.vault import Vault


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it said."""

    code: object
    out: str
    err: str

    @property
    def said(self) -> str:
        """What it said on the standard error, on one line."""
        return " ".join(self.err.split())

    @property
    def told(self) -> Any:
        """What it said for programs."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Place:
    """What a test has of its own: a folder, the environment, and what is printed."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]


class Stocked:
    """
    A deployment: a store of the test's own, and commands run in this process.

    Args:
        place: the test's own.
        variables: the environment that leads to the store.
        prefix: what its names begin with.
    """

    def __init__(self, place: Place, variables: Mapping[str, str], prefix: str = "") -> None:
        self.folder = place.folder
        self.audit = place.folder / "audit" / "audit.jsonl"
        self.prefix = prefix
        self.planted: dict[str, str] = {}
        self.variables = {"CRYPTO_PIPELINE_AUDIT_LOG": str(self.audit), **variables}
        self._monkeypatch = place.monkeypatch
        self._capsys = place.capsys
        empty_environment(self._monkeypatch, self.folder)
        self._monkeypatch.chdir(self.folder)
        self.set(**self.variables)

    def set(self, **variables: str) -> None:
        """Set variables of the environment."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def plant(self, issuer: str) -> dict[str, str]:
        """Return a new credential, which must never be seen anywhere."""
        parts = new_parts(issuer)
        self.planted |= {f"{issuer} {part} {len(self.planted)}": value for part, value in parts.items()}
        return parts

    def run(self, *words: str, stdin: str | bytes = "") -> Ended:
        """Run `crypto-pipeline words`, with this on its standard input."""
        content = stdin.encode() if isinstance(stdin, str) else stdin
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        with pytest.raises(SystemExit) as ended:
            main(words)
        return Ended(ended.value.code, *self._capsys.readouterr())

    def put(self, issuer: str, parts: Mapping[str, str], *words: str) -> Ended:
        """Run `secrets put` with these parts on its standard input."""
        return self.run("secrets", "put", issuer, *words, stdin=json.dumps(parts))

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Return what is on the record."""
        lines = self.audit.read_text().splitlines() if self.audit.exists() else []
        return [event for line in lines if kind in {"", (event := json.loads(line))["event"]}]

    def assert_hidden(self, *ended: Ended | str) -> None:
        """Check that nothing that was planted was said, nor stands in any file of ours."""
        said = "\n".join(each if isinstance(each, str) else f"{each.out}\n{each.err}" for each in ended)
        assert hits(self.planted, iter([("what was said", said.encode(errors="surrogateescape"))])) == []
        assert hits(self.planted, everything_under(self.folder)) == []


class StockedVault(Stocked):
    """
    A path of a Vault, and the login of a role.

    Args:
        vault: the server.
        place: the test's own.
        role: as whom the commands log in.
        address: where they ask, if not the server itself.
    """

    def __init__(self, vault: Vault, place: Place, *, role: str = "devops", address: str | None = None) -> None:
        prefix = new_prefix()
        policy = vault_policy(ROLES[role], mount="secret", prefix=prefix)
        variables = {
            "CRYPTO_PIPELINE_SECRETS": "vault",
            "CRYPTO_PIPELINE_SECRET_PREFIX": prefix,
            "VAULT_ADDR": address or vault.address,
            "VAULT_TOKEN": vault.token(policy),
        }
        super().__init__(place, variables, prefix)
        self.vault = vault
        self.kv = vault.root.secrets.kv.v2
        self.planted["token"] = variables["VAULT_TOKEN"]

    def stock(self, *issuers: str) -> None:
        """Store a credential for each of these, as another program does."""
        for issuer in issuers:
            self.vault.put(f"{self.prefix}/{issuer}", self.plant(issuer))

    def stored_at(self, issuer: str) -> tuple[str, datetime]:
        """Return the current version and its time, as root sees them."""
        data = self.kv.read_secret_metadata(path=f"{self.prefix}/{issuer}")["data"]
        version = str(data["current_version"])
        return version, datetime.fromisoformat(data["versions"][version]["created_time"]).astimezone(UTC)

    def fields(self, issuer: str) -> dict[str, Any]:
        """Return what is current, as root reads it."""
        found: dict[str, Any] = self.kv.read_secret_version(
            path=f"{self.prefix}/{issuer}", raise_on_deleted_version=True
        )["data"]["data"]
        return found


class StockedAws(Stocked):
    """
    Names in an AWS.

    Args:
        aws: the server.
        place: the test's own.
        address: where the commands ask, if not the server itself.
        layout: see the settings.
    """

    def __init__(self, aws: Aws, place: Place, *, address: str | None = None, layout: str = "separate") -> None:
        prefix = new_prefix()
        variables = {
            "CRYPTO_PIPELINE_SECRETS": "aws",
            "CRYPTO_PIPELINE_SECRET_PREFIX": prefix,
            "CRYPTO_PIPELINE_AWS_LAYOUT": layout,
            "CRYPTO_PIPELINE_AWS_ENDPOINT_URL": address or aws.address,
            "AWS_REGION": REGION,
            **LOGIN,
        }
        super().__init__(place, variables, prefix)
        self.aws = aws
        self.client = aws.client("secretsmanager")
        self.planted["login"] = LOGIN["AWS_SECRET_ACCESS_KEY"]

    def stock(self, *issuers: str) -> None:
        """Store a credential for each of these, as another program does."""
        for issuer in issuers:
            self.aws.put(f"{self.prefix}/{issuer}", json.dumps(self.plant(issuer)))

    def stored_at(self, issuer: str) -> tuple[str, datetime]:
        """Return the current version and its time."""
        found = self.client.get_secret_value(SecretId=f"{self.prefix}/{issuer}", VersionStage="AWSCURRENT")
        return found["VersionId"], found["CreatedDate"].astimezone(UTC)


@contextmanager
def terminal(width: int) -> Iterator[tuple[Console, io.StringIO]]:
    """Give a terminal of this width, without colours, and what it shows."""
    shown = io.StringIO()
    yield Console(file=shown, width=width, force_terminal=True, color_system=None, legacy_windows=False), shown


def row(text: str, first: str) -> list[str]:
    """Return the cells of the row of a table that begins with this."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"│ {first} ")]
    return [cell.strip() for cell in line.strip("│").split("│")]
