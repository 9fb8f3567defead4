"""The stores that this package writes to, each seen from the other side as well, so that one contract holds for all."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

import hvac
import pytest

from crypto_pipeline.audit import AuditEvent, JsonLinesAuditLog
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import AuditError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import AwsSource, TokenAuth, VaultSource
from crypto_pipeline.secrets.writing import SecretWriter, Stored, store_credential
from crypto_pipeline_tests.secrets.stores import AwsStore, RemoteStore, VaultStore
from crypto_pipeline_tests.support.aws import Aws
from crypto_pipeline_tests.support.vault import Vault

WHO = "crypto_pipeline/secrets_put"
READ_AND_WRITE = '"create", "read", "update"'


class Watched:
    """A record that keeps its events in memory, and fails from a certain one on."""

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.events: list[AuditEvent] = []
        self.contexts: list[Mapping[str, str | None]] = []
        self._fails_at = fails_at

    def record(self, event: AuditEvent) -> None:
        """Keep an event."""
        if self._fails_at is not None and len(self.events) >= self._fails_at:
            msg = "no room"
            raise AuditError(msg)
        self.events.append(event)

    def bound(self, **context: str | None) -> Watched:
        """Return the same record, and note the context."""
        self.contexts.append(context)
        return self

    @property
    def story(self) -> list[tuple[str, object, object]]:
        """What happened: kind, action, success."""
        return [(each.event, each.fields.get("action"), each.fields.get("success")) for each in self.events]


def stored(
    writer: SecretWriter, issuer: str, parts: Mapping[str, str], audit: Watched | JsonLinesAuditLog | None = None
) -> Stored:
    """Store these parts."""
    covered = {part: Secret(value) for part, value in parts.items()}
    return store_credential(writer, issuer, covered, audit=audit or Watched(), accessor=WHO)


class WritableStore(ABC):
    """A store, the source that may write to it, and another program that reads and writes there too."""

    store: RemoteStore
    source: AwsSource | VaultSource

    @property
    def writer(self) -> SecretWriter:
        """A new writer."""
        return self.source.writer()

    def field(self, issuer: str, part: str) -> str:
        """Return what a part is called in this store."""
        return self.store.field(issuer, part)

    def fields_of(self, issuer: str, parts: Mapping[str, object]) -> dict[str, object]:
        """Return parts by the names of their fields."""
        return {self.field(issuer, part): value for part, value in parts.items()}

    def parts(self, issuer: str, version: str | None = None) -> dict[str, object]:
        """Return the parts of the issuer that another program finds, in the current version or in another one."""
        found = self.fields(issuer, version)
        names = {part: self.field(issuer, part) for part in ISSUERS[issuer].names}
        return {part: found[name] for part, name in names.items() if name in found}

    @abstractmethod
    def put(self, issuer: str, fields: Mapping[str, object]) -> None:
        """Store a secret with these fields and no others, as another program does."""

    @abstractmethod
    def fields(self, issuer: str, version: str | None = None) -> dict[str, Any]:
        """Return the fields of the secret that another program finds."""

    @abstractmethod
    def current(self, issuer: str) -> str:
        """Return the version that is current; empty if there is none."""

    @abstractmethod
    def count(self, issuer: str) -> int:
        """Return how many versions have ever been stored."""

    @abstractmethod
    def without_right_to_write(self) -> AbstractContextManager[AwsSource | VaultSource]:
        """Give a source whose login may read and describe everything and write nothing."""

    @abstractmethod
    def at(self, address: str) -> AwsSource | VaultSource:
        """Return a source that may write and asks at another address."""

    @abstractmethod
    def address(self) -> str:
        """Return where the server is."""

    @abstractmethod
    def writing(self, issuer: str) -> str:
        """Return what a meddler calls the request after which a new version is current."""


class VaultWritable(WritableStore):
    """Vault; a login that may read and write under one prefix."""

    source: VaultSource

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.store: VaultStore = VaultStore(vault)
        self.prefix = self.store.prefix
        self._login = TokenAuth(Secret(vault.token(self.policy())))
        self.source = self.at(vault.address)

    def policy(self) -> str:
        """Return a policy that lets secrets be read and written."""
        data = f'path "secret/data/{self.prefix}/*" {{ capabilities = [{READ_AND_WRITE}] }}'
        return f"{data}\n{self.store.policy('metadata')}"

    def put(self, issuer: str, fields: Mapping[str, object]) -> None:
        """Store the next version."""
        self.vault.put(f"{self.prefix}/{issuer}", dict(fields))

    def fields(self, issuer: str, version: str | None = None) -> dict[str, Any]:
        """Read a version as root."""
        found: dict[str, Any] = self.vault.root.secrets.kv.v2.read_secret_version(
            path=f"{self.prefix}/{issuer}", version=version, raise_on_deleted_version=True
        )["data"]["data"]
        return found

    def current(self, issuer: str) -> str:
        """Ask for the metadata as root."""
        return str(self._metadata(issuer).get("current_version") or "")

    def count(self, issuer: str) -> int:
        """Count what the metadata list."""
        return len(self._metadata(issuer).get("versions", ()))

    def _metadata(self, issuer: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.vault.root.secrets.kv.v2.read_secret_metadata(path=f"{self.prefix}/{issuer}")[
                "data"
            ]
        except hvac.exceptions.InvalidPath:
            return {}
        return found

    @contextmanager
    def without_right_to_write(self) -> Iterator[VaultSource]:
        """Yield a source with a policy for reading."""
        yield self.store.source

    def at(self, address: str) -> VaultSource:
        """Return a source of the same login."""
        return VaultSource(address, auth=self._login, prefix=self.prefix)

    def address(self) -> str:
        """Return the server's."""
        return self.vault.address

    def writing(self, issuer: str) -> str:
        """Return the one request that stores."""
        return f"POST /v1/secret/data/{self.prefix}/{issuer}"


class AwsWritable(WritableStore):
    """AWS; both layouts."""

    source: AwsSource

    def __init__(
        self, aws: Aws, monkeypatch: pytest.MonkeyPatch, layout: Literal["combined", "separate"] = "separate"
    ) -> None:
        self.aws = aws
        self.store: AwsStore = AwsStore(aws, monkeypatch, layout)
        self.prefix = self.store.prefix
        self.source = self.store.source
        self.client = aws.client("secretsmanager")

    def put(self, issuer: str, fields: Mapping[str, object]) -> None:
        """Store a version, which is current at once."""
        self.aws.put(self.source.name_of(issuer), json.dumps(fields))

    def fields(self, issuer: str, version: str | None = None) -> dict[str, Any]:
        """Read a version."""
        found: dict[str, Any] = json.loads(self.text(issuer, version))
        return found

    def text(self, issuer: str, version: str | None = None) -> str:
        """Read a version as it is kept."""
        wanted = {"VersionId": version} if version else {"VersionStage": "AWSCURRENT"}
        text: str = self.client.get_secret_value(SecretId=self.source.name_of(issuer), **wanted)["SecretString"]
        return text

    def stages(self, issuer: str) -> dict[str, list[str]]:
        """Return the labels of each version."""
        try:
            found = self.client.describe_secret(SecretId=self.source.name_of(issuer))
        except self.client.exceptions.ResourceNotFoundException:
            return {}
        stages: dict[str, list[str]] = found.get("VersionIdsToStages", {})
        return stages

    def current(self, issuer: str) -> str:
        """Return the version with the label AWSCURRENT."""
        return next((version for version, labels in self.stages(issuer).items() if "AWSCURRENT" in labels), "")

    def count(self, issuer: str) -> int:
        """Count the versions, those without a label too."""
        return len(self.stages(issuer))

    @contextmanager
    def without_right_to_write(self) -> Iterator[AwsSource]:
        """Yield a source of a user who may read only, on a server that checks."""
        allowed = ("DescribeSecret", "GetSecretValue", "ListSecrets", "ListSecretVersionIds")
        login = self.aws.user(self.prefix, allowed=tuple(f"secretsmanager:{each}" for each in allowed))
        with self.aws.enforcing():
            yield self.store.opened(self.aws.address, login)

    def at(self, address: str) -> AwsSource:
        """Return a source that asks there."""
        return self.store.opened(address)

    def address(self) -> str:
        """Return the server's."""
        return self.aws.address

    def writing(self, issuer: str) -> str:
        """Return the last of the requests that store: a new secret needs one, a new version several."""
        return "UpdateSecretVersionStage" if self.current(issuer) else "CreateSecret"
