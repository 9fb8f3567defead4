"""
HashiCorp Vault or OpenBao, KV version 2: a secret `<prefix>/<issuer>` for each issuer.

Login and sending are in `vault_session`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.errors import ConfigurationError, CryptoPipelineError, SecretDeniedError, SecretNotFoundError
from crypto_pipeline.secrets.history import History
from crypto_pipeline.secrets.layout import OWN, StoredSecret, fields_of, parts_of, parts_wanted
from crypto_pipeline.secrets.listing import ListedSecret
from crypto_pipeline.secrets.memory import keep_to_this_process
from crypto_pipeline.secrets.vault_errors import Answer, not_vault, parse_time, refused
from crypto_pipeline.secrets.vault_listing import MOST_IN_A_PAGE, VaultListing
from crypto_pipeline.secrets.vault_login import AuthName, VaultAuth, auth_of
from crypto_pipeline.secrets.vault_session import VaultSession
from crypto_pipeline.secrets.vault_versions import versions_in
from crypto_pipeline.secrets.vault_writing import VaultWriter

DEFAULT_MOUNT: Final = "secret"
DEFAULT_PREFIX: Final = "crypto-pipeline"


def open_vault(
    address: str,
    *,
    mount: str = DEFAULT_MOUNT,
    prefix: str = DEFAULT_PREFIX,
    namespace: str | None = None,
    ca_file: str | None = None,
    auth: AuthName = "token",
    auth_mount: str | None = None,
    role: str | None = None,
    jwt_file: str | Path | None = None,
    client_certificate: tuple[str, str] | None = None,
    run_id: str | None = None,
) -> VaultSource:
    """
    Return a source with the login of the environment; nothing is sent before the first read.

    Args:
        address: the server; https, or http on this machine.
        mount: the mount of the KV version 2 engine.
        prefix: the path under which all secrets are named.
        namespace: the namespace, where the server has them.
        ca_file: the authority that signed the server's certificate, if it is not a public one.
        auth: `token` reads `VAULT_TOKEN`, `approle` reads `VAULT_ROLE_ID` and `VAULT_SECRET_ID` (or
            `VAULT_WRAPPED_SECRET_ID`), `jwt` and `kubernetes` a file, `cert` is the client certificate.
        auth_mount: where the server has that way of logging in, if not under its name.
        role: the role to log in with, for `jwt`, `kubernetes` and `cert`.
        jwt_file: the file with the signed token, for `jwt` and `kubernetes`.
        client_certificate: the files of a client certificate and its key.
        run_id: the run on whose behalf it is asked, for the server's own audit.

    Raises:
        ConfigurationError: an argument or the login is not usable.
    """
    return VaultSource(
        address,
        mount=mount,
        prefix=prefix,
        auth=auth_of(auth, role=role, jwt_file=jwt_file, mount=auth_mount),
        namespace=namespace,
        ca_file=ca_file,
        client_certificate=client_certificate,
        run_id=run_id,
    )


class VaultSource:
    """
    Credentials in Vault or OpenBao.

    Args:
        address: the server; https, or http on this machine.
        auth: how to log in.
        mount: the mount of the KV version 2 engine.
        prefix: the path under which all secrets are named.
        namespace: the namespace, where the server has them.
        ca_file: the authority that signed the server's certificate, if it is not a public one.
        client_certificate: the files of a client certificate and its key, where the server wants one.
        run_id: the run on whose behalf it is asked, for the server's own audit.
        clock: the time, aware: a version may be set to be deleted later.
        seconds: seconds that only ever rise: a login is renewed in time.

    Raises:
        ConfigurationError: an argument is not usable.
    """

    store: Final = "vault"

    def __init__(
        self,
        address: str,
        *,
        auth: VaultAuth,
        mount: str = DEFAULT_MOUNT,
        prefix: str = DEFAULT_PREFIX,
        namespace: str | None = None,
        ca_file: str | Path | None = None,
        client_certificate: tuple[str, str] | None = None,
        run_id: str | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        keep_to_this_process()
        self._session = VaultSession(
            address,
            auth,
            namespace=namespace,
            ca_file=ca_file,
            certificate=client_certificate,
            run_id=run_id,
            clock=seconds,
        )
        self._mount = _checked(mount.strip("/"))
        self._prefix = prefix.strip("/")
        self._namespace = namespace
        self._clock = clock
        self._listing = VaultListing(
            self._session,
            mount=self._mount,
            prefix=self._prefix,
            store=self.store,
            describe=self.describe,
            is_gone=self._is_gone,
        )

    @property
    def folder(self) -> str:
        """What the paths of all secrets of ours begin with."""
        return f"{self._prefix}/"

    def name_of(self, issuer: str) -> str:
        """Return the path of the issuer's credential under the mount."""
        parts_wanted(issuer)
        return f"{self.folder}{issuer}"

    def describe(self, issuer: str) -> CredentialDescription:
        """
        Return path, version and time of the issuer's credential; only metadata are asked for.

        Raises:
            SecretError: the secret is not there, or Vault did not answer.
        """
        path = _checked(self.name_of(issuer))
        answer = self._metadata(path)
        try:
            data = answer.body["data"]
            version = str(data["current_version"])
            current = data["versions"].get(version)
            if current is None:
                raise self._missing(path)
            created_at, is_gone = parse_time(current["created_time"]), self._is_gone(current)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise not_vault(self._session.address) from None
        if is_gone:
            raise self._deleted(path, version)
        return CredentialDescription(issuer, path, self.store, version, created_at)

    def describe_all(self, *, page_size: int = MOST_IN_A_PAGE) -> list[ListedSecret]:
        """
        Return what the server tells of each secret under the prefix: one call to OpenBao, one for each issuer to Vault.

        Raises:
            SecretError: this login may describe nothing, or the server did not answer.
        """
        found = self._listing.all(page_size)
        if not found:
            self._check_mount()  # a mount of another kind has nothing to list either
        return found

    def history(self, name: str) -> History:
        """
        Return what the server tells of one secret and its versions, deleted ones too; only metadata are asked for.

        Raises:
            SecretError: the secret is not there, or Vault did not answer.
        """
        told = self._metadata(_checked(name)).part("data")
        secret = self._listing.listed(name.removeprefix(self.folder), told)
        try:
            return History(secret, versions_in(told, self._is_gone))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise not_vault(self._session.address) from None

    def writer(self) -> VaultWriter:
        """Return what stores new versions, with the same login."""
        return VaultWriter(
            mount=self._mount, where=self._session.address, name_of=self.name_of, fetch=self.fetch, ask=self._ask
        )

    def read(self, issuer: str) -> Credentials:
        """
        Return the issuer's credential, as it is current.

        Raises:
            SecretError: it is not there, not readable, or Vault did not answer.
        """
        stored = self.fetch(self.name_of(issuer))
        parts = parts_of(issuer, stored.fields, layout=OWN, place=_place(stored.name))
        return Credentials(
            CredentialDescription(issuer, stored.name, self.store, stored.version, stored.created_at), parts
        )

    def fetch(self, path: str) -> StoredSecret:
        """
        Return one secret, whatever its fields are.

        Raises:
            SecretError: it is not there, not readable, or Vault did not answer.
        """
        path = _checked(path)
        answer = self._ask(
            "data",
            path,
            lambda client: client.secrets.kv.v2.read_secret_version(
                path=path, mount_point=self._mount, raise_on_deleted_version=True
            ),
        )
        try:
            data = answer.body["data"]
            version, created_at = str(data["metadata"]["version"]), parse_time(data["metadata"]["created_time"])
            found = data["data"]
        except (KeyError, TypeError, ValueError):
            raise not_vault(self._session.address) from None
        return StoredSecret(path, version, created_at, fields_of(found, place=_place(path)))

    def _metadata(self, path: str) -> Answer:
        return self._ask(
            "metadata",
            path,
            lambda client: client.secrets.kv.v2.read_secret_metadata(path=path, mount_point=self._mount),
        )

    def _ask(self, kind: str, path: str, call: Callable[[Any], Any], *, right: str = "read") -> Answer:
        try:
            answer = self._session.ask(call, path=f"{self._mount}/{kind}/{path}", right=right)
        except SecretDeniedError:
            # A policy for a mount of version 1 lets nothing be read the way version 2 asks.
            if self._session.is_open:
                self._check_mount()
            raise
        if answer.status == 404:
            raise self._not_found(answer, path)
        return answer

    def _not_found(self, answer: Answer, path: str) -> CryptoPipelineError:
        if not answer.body.keys() & {"data", "errors"}:
            return not_vault(self._session.address)  # any web server has a page for "not found"
        if "no handler for route" in answer.complaint:
            return ConfigurationError(f"Vault has no mount '{self._mount}'. Correct CRYPTO_PIPELINE_VAULT_MOUNT.")
        if "namespace not found" in answer.complaint:
            return ConfigurationError(f"Vault has no namespace '{self._namespace}'. Correct VAULT_NAMESPACE.")
        data = answer.body.get("data")
        metadata = data.get("metadata") if isinstance(data, Mapping) else None
        if isinstance(metadata, Mapping):
            return self._deleted(path, str(metadata.get("version", "")))
        self._check_mount()
        return self._missing(path)

    def _missing(self, path: str) -> SecretNotFoundError:
        inside = f" in namespace '{self._namespace}'" if self._namespace else ""
        return SecretNotFoundError(
            f"Vault has no secret '{path}' under mount '{self._mount}'{inside}. Create it, or correct mount and prefix."
        )

    def _check_mount(self) -> None:
        """
        Say so if the mount is not KV version 2; do nothing if it is, or if this login may not know.

        Nothing is guessed: who is not told keeps the answer there was.

        Raises:
            ConfigurationError: it is something else.
            SecretStoreUnavailableError: the server is not well, so what it said before may be no answer.
        """
        path = f"sys/internal/ui/mounts/{self._mount}"
        answer = self._session.send(lambda client: client.adapter.get(f"/v1/{path}"))
        if answer.status in {403, 404}:
            return
        if answer.status != 200 or not answer.part("data"):
            raise refused(answer, path, self._session.address)
        kind, options = answer.part("data").get("type"), answer.part("data").get("options")
        version = options.get("version") if isinstance(options, Mapping) else None
        if (kind, version) != ("kv", "2"):
            found = f"KV version {version or 1}" if kind == "kv" else "another engine"
            msg = f"Mount '{self._mount}' of Vault is {found}, not KV version 2. Correct CRYPTO_PIPELINE_VAULT_MOUNT."
            raise ConfigurationError(msg)

    def _is_gone(self, version: Mapping[str, Any]) -> bool:
        """Tell whether a version is destroyed, or deleted by now."""
        ends = version["deletion_time"]
        return bool(version["destroyed"] or (ends and parse_time(ends) <= self._clock()))

    def _deleted(self, path: str, version: str) -> SecretNotFoundError:
        return SecretNotFoundError(
            f"Version {version} of Vault secret '{path}', the current one, was deleted. "
            "Undelete it, or store the credential again."
        )


def _checked(path: str) -> str:
    """Return `path`; refuse one that would lead to another place of the server."""
    if any(segment in {"", ".", ".."} for segment in path.split("/")):
        msg = (
            "A path in Vault must not be empty and must not hold '//', '.' or '..' as a part. Correct mount and prefix."
        )
        raise ConfigurationError(msg)
    return path


def _place(path: str) -> str:
    return f"Vault secret '{path}'"
