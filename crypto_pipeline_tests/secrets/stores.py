"""Every kind of store, filled and asked in one way, so that one contract can be held against all."""

from __future__ import annotations

import json
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import (
    AppRoleAuth,
    AwsSource,
    DotenvSource,
    EnvironmentSource,
    FileSource,
    SecretSource,
    TokenAuth,
    VaultSource,
    build_client,
)
from crypto_pipeline_tests.support.aws import LOGIN, REGION, Aws
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.vault import Vault

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def new_parts(issuer: str) -> dict[str, str]:
    """Return a credential of the issuer that nobody has seen."""
    return {part: f"planted-{secrets.token_hex(12)}" for part in ISSUERS[issuer].required}


def new_prefix() -> str:
    """Return a path that no other test uses."""
    return f"crypto-pipeline-{secrets.token_hex(4)}"


class Store(ABC):
    """One store, and the source that reads it."""

    source: SecretSource

    @abstractmethod
    def put(self, issuer: str, parts: Mapping[str, object]) -> None:
        """Store these parts as the issuer's credential, and nothing else of the issuer."""

    @abstractmethod
    def truth(self, issuer: str) -> tuple[str, datetime | None]:
        """Return version and time of what is current, as another program sees it."""

    def field(self, issuer: str, part: str) -> str:
        """Return what a part is called in this store."""
        return f"{issuer}_{part}"


class RemoteStore(Store):
    """A store that is a server: it can refuse, and be down."""

    @abstractmethod
    def blind(self) -> AbstractContextManager[SecretSource]:
        """Give a source whose login may describe everything and read nothing."""

    @abstractmethod
    def down(self) -> SecretSource:
        """Return a source whose server does not listen."""


class AwsStore(RemoteStore):
    """AWS Secrets Manager; both layouts."""

    source: AwsSource

    def __init__(
        self, aws: Aws, monkeypatch: pytest.MonkeyPatch, layout: Literal["combined", "separate"] = "separate"
    ) -> None:
        self._aws = aws
        self._monkeypatch = monkeypatch
        self._layout: Literal["combined", "separate"] = layout
        self._fields: dict[str, object] = {}
        self.prefix = new_prefix()
        self.source = self.opened(aws.address, LOGIN)

    def put(self, issuer: str, parts: Mapping[str, object]) -> None:
        """Store a new version of the secret."""
        fields: Mapping[str, object] = parts
        if self._layout == "combined":
            others = {name: value for name, value in self._fields.items() if not name.startswith(f"{issuer}_")}
            fields = self._fields = others | {self.field(issuer, part): value for part, value in parts.items()}
        self._aws.put(self.source.name_of(issuer), json.dumps(fields))

    def truth(self, issuer: str) -> tuple[str, datetime | None]:
        """Ask for the version that is labelled current."""
        found = self._aws.client("secretsmanager").get_secret_value(SecretId=self.source.name_of(issuer))
        return found["VersionId"], found["CreatedDate"].astimezone(UTC)

    def field(self, issuer: str, part: str) -> str:
        """Return the part's name, with the issuer where issuers share a secret."""
        return super().field(issuer, part) if self._layout == "combined" else part

    @contextmanager
    def blind(self) -> Iterator[SecretSource]:
        """Yield a source of a user without `GetSecretValue`, on a server that checks."""
        allowed = tuple(f"secretsmanager:{each}" for each in ("DescribeSecret", "ListSecrets", "ListSecretVersionIds"))
        login = self._aws.user(self.prefix, allowed=allowed)
        with self._aws.enforcing():
            yield self.opened(self._aws.address, login)

    def down(self) -> SecretSource:
        """Return a source that asks a port where nobody listens."""
        return self.opened(f"http://127.0.0.1:{free_port()}", LOGIN)

    def opened(self, address: str, login: Mapping[str, str] = LOGIN) -> AwsSource:
        """Return a source that asks there, with this login."""
        for name, value in login.items():
            self._monkeypatch.setenv(name, value)
        return AwsSource(_client(address, login["AWS_ACCESS_KEY_ID"]), prefix=self.prefix, layout=self._layout)


@cache
def _client(address: str, access_key_id: str) -> SecretsManagerClient:
    """Return a client with the login of the environment; to make one takes long."""
    return build_client(REGION, address)


class VaultStore(RemoteStore):
    """Vault; with a token or as a role."""

    source: VaultSource

    def __init__(self, vault: Vault, *, as_role: bool = False) -> None:
        self._vault = vault
        self._as_role = as_role
        self.prefix = new_prefix()
        self.source = self.opened(self.policy("data", "metadata"))

    def put(self, issuer: str, parts: Mapping[str, object]) -> None:
        """Store a new version of the secret."""
        self._vault.put(f"{self.prefix}/{issuer}", dict(parts))

    def truth(self, issuer: str) -> tuple[str, datetime | None]:
        """Ask for the metadata with a login that may do everything."""
        path = f"{self.prefix}/{issuer}"
        data = self._vault.root.secrets.kv.v2.read_secret_metadata(path=path)["data"]
        version = str(data["current_version"])
        return version, datetime.fromisoformat(data["versions"][version]["created_time"])

    def field(self, issuer: str, part: str) -> str:  # noqa: ARG002 - same names for all
        """Return the part's name: each issuer has a secret of its own."""
        return part

    @contextmanager
    def blind(self) -> Iterator[SecretSource]:
        """Yield a source whose policy allows metadata only."""
        yield self.opened(self.policy("metadata"))

    def down(self) -> SecretSource:
        """Return a source that asks a port where nobody listens."""
        return self.opened(self.policy("data", "metadata"), address=f"http://127.0.0.1:{free_port()}")

    def policy(self, *kinds: str) -> str:
        """Return a policy that lets these kinds of paths be read under the prefix."""
        return "\n".join(f'path "secret/{kind}/{self.prefix}/*" {{ capabilities = ["read"] }}' for kind in kinds)

    def opened(self, policy: str, *, address: str | None = None) -> VaultSource:
        """Return a source with a new login that has this policy."""
        auth: TokenAuth | AppRoleAuth
        if self._as_role:
            role_id, secret_id = self._vault.app_role(policy)
            auth = AppRoleAuth(Secret(role_id), Secret(secret_id))
        else:
            auth = TokenAuth(Secret(self._vault.token(policy)))
        return VaultSource(address or self._vault.address, auth=auth, prefix=self.prefix)


class EnvironmentStore(Store):
    """Environment variables."""

    def __init__(self) -> None:
        self._variables: dict[str, str] = {}
        self.source = EnvironmentSource(self._variables)

    def put(self, issuer: str, parts: Mapping[str, object]) -> None:
        """Set the variables."""
        for part in ISSUERS[issuer].names:
            self._variables.pop(self.field(issuer, part), None)
        self._variables.update({self.field(issuer, part): str(value) for part, value in parts.items()})

    def truth(self, issuer: str) -> tuple[str, datetime | None]:  # noqa: ARG002 - same for all
        """Return what is always said: an environment has no versions."""
        return "environment", None

    def field(self, issuer: str, part: str) -> str:
        """Return the variable."""
        return super().field(issuer, part).upper()


class DotenvStore(Store):
    """A file of variables."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._variables: dict[str, str] = {}
        self.source = DotenvSource(path, environment="development")
        self._write()

    def put(self, issuer: str, parts: Mapping[str, object]) -> None:
        """Write the file anew."""
        for part in ISSUERS[issuer].names:
            self._variables.pop(self.field(issuer, part), None)
        self._variables |= {self.field(issuer, part): str(value) for part, value in parts.items()}
        self._write()

    def truth(self, issuer: str) -> tuple[str, datetime | None]:  # noqa: ARG002 - same for all
        """Return when the file was changed."""
        changed = datetime.fromtimestamp(self.path.stat().st_mtime_ns // 1000 / 1_000_000, UTC)
        return changed.isoformat(timespec="microseconds"), None

    def field(self, issuer: str, part: str) -> str:
        """Return the variable."""
        return super().field(issuer, part).upper()

    def _write(self) -> None:
        lines = [f"{name}='{_escaped(value)}'\n" for name, value in self._variables.items()]
        self.path.touch(mode=0o600)
        before = self.path.stat().st_mtime_ns
        while True:  # a clock of milliseconds may not have moved since the last change
            self.path.write_text("".join(lines))
            if self.path.stat().st_mtime_ns != before:
                return


class FileStore(Store):
    """
    A folder of files, as Docker mounts them.

    Args:
        folder: the folder.
        name: how a file is called, from issuer and part.
    """

    def __init__(self, folder: Path, name: str = "{issuer}_{part}") -> None:
        self.folder = folder
        self._name = name
        folder.mkdir(mode=0o755)
        self.source = FileSource(folder)

    def put(self, issuer: str, parts: Mapping[str, object]) -> None:
        """Replace the files of the issuer."""
        self._clear(self.folder, issuer)
        self._write(self.folder, issuer, parts)

    def truth(self, issuer: str) -> tuple[str, datetime | None]:
        """Return the version: nobody else gives one to files."""
        return self.source.describe(issuer).version, None

    def _write(self, folder: Path, issuer: str, parts: Mapping[str, object]) -> None:
        for part, value in parts.items():
            file = folder / self._name.format(issuer=issuer, part=part)
            file.parent.mkdir(exist_ok=True, mode=0o755)
            new = file.with_name(f"{file.name}.new")
            new.write_bytes(str(value).encode())
            new.chmod(0o444)
            new.replace(file)

    def _clear(self, folder: Path, issuer: str) -> None:
        for part in ISSUERS[issuer].names:
            (folder / self._name.format(issuer=issuer, part=part)).unlink(missing_ok=True)


class VolumeStore(FileStore):
    """A volume of Kubernetes: all files at once are replaced by moving one link."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "{issuer}/{part}")
        folder.chmod(0o1777)
        self._parts: dict[str, Mapping[str, object]] = {}

    def put(self, issuer: str, parts: Mapping[str, object]) -> None:
        """Write a new state beside the old one, and move the link."""
        self._parts[issuer] = parts
        state = self.folder / f"..2026_11_24_{secrets.token_hex(4)}"
        state.mkdir(mode=0o755)
        for each, kept in self._parts.items():
            self._write(state, each, kept)
        link, new, old = self.folder / "..data", self.folder / "..data_tmp", self._state()
        new.symlink_to(state.name)
        new.replace(link)
        for each in self._parts:
            if not (self.folder / each).is_symlink():
                (self.folder / each).symlink_to(f"..data/{each}")
        if old:
            shutil.rmtree(self.folder / old)

    def truth(self, issuer: str) -> tuple[str, datetime | None]:  # noqa: ARG002 - same for all
        """Return the name of the state that the link leads to."""
        return self._state().removeprefix(".."), None

    def _state(self) -> str:
        link = self.folder / "..data"
        return link.readlink().name if link.is_symlink() else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
