"""
New versions in HashiCorp Vault or OpenBao, KV version 2.

The server compares and sets: each write names the version that it replaces, and is refused if that is
not the current one any more. Old versions stay, as many as the engine keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from crypto_pipeline.errors import ConfigurationError, SecretNotFoundError, SecretStoreUnavailableError
from crypto_pipeline.secrets.layout import OWN, Layout, StoredSecret, uncovered
from crypto_pipeline.secrets.vault_errors import Answer, not_vault
from crypto_pipeline.secrets.writing import Placed, Seen, settle


class Asking(Protocol):
    """How the server is asked, and what its refusals mean."""

    def __call__(self, kind: str, path: str, call: Callable[[Any], Any], *, right: str = "read") -> Answer:
        """Return the answer to one request about a path."""
        ...


class VaultWriter:
    """
    Stores versions; see `SecretWriter`.

    Args:
        mount: the mount of the KV version 2 engine.
        where: the server, for messages.
        name_of: the path of an issuer's credential.
        fetch: reads a secret, whatever is in it.
        ask: sends one request.
    """

    store: Final = "vault"
    layout: Layout = OWN

    def __init__(
        self,
        *,
        mount: str,
        where: str,
        name_of: Callable[[str], str],
        fetch: Callable[[str], StoredSecret],
        ask: Asking,
    ) -> None:
        self._mount = mount
        self._where = where
        self._name_of = name_of
        self._fetch = fetch
        self._ask = ask

    def name_of(self, issuer: str) -> str:
        """Return the path of the issuer's credential under the mount."""
        return self._name_of(issuer)

    def look(self, issuer: str) -> Seen:
        """
        Return what stands at the issuer's path; of a version that was deleted, its number only.

        Raises:
            SecretError: this login may not read it, or the server did not answer.
        """
        path = self._name_of(issuer)
        try:
            found = self._fetch(path)
        except SecretNotFoundError:
            version = self._last_version(path)
            remark = f"Version {version} is deleted, and stays so." if version else ""
            return Seen(path, str(version or ""), str(version + 1), exists=version > 0, remark=remark)
        if not found.version.isdecimal():
            raise not_vault(self._where)
        return Seen(
            path, found.version, str(int(found.version) + 1), exists=True, created_at=found.created_at,
            fields=found.fields,
        )  # fmt: skip

    def write(self, issuer: str, placed: Placed, seen: Seen) -> None:
        """
        Store the next version, if the one that was seen is still the last.

        Raises:
            SecretChangedError: it is not.
            SecretError: this login may not, or the server did not answer.
            ConfigurationError: the server does not take it.
        """
        fields: Mapping[str, object] = {**seen.fields, **placed}
        secret = {name: uncovered(value) for name, value in fields.items() if placed.get(name, value) is not None}
        failure: ConfigurationError | SecretStoreUnavailableError
        try:
            answer = self._ask(
                "data",
                seen.name,
                lambda client: client.secrets.kv.v2.create_or_update_secret(
                    path=seen.name, secret=secret, cas=int(seen.version or 0), mount_point=self._mount
                ),
                right="create and update",
            )
            if str(answer.part("data").get("version")) == seen.next_version:
                return
            failure = not_vault(self._where)
        except (ConfigurationError, SecretStoreUnavailableError) as error:
            failure = error
        settle(lambda: self.look(issuer), placed, seen, failure)

    def _last_version(self, path: str) -> int:
        """Return the number of the last version, deleted or not; 0 where there has never been one."""
        try:
            answer = self._ask(
                "metadata",
                path,
                lambda client: client.secrets.kv.v2.read_secret_metadata(path=path, mount_point=self._mount),
            )
        except SecretNotFoundError:
            return 0
        version = answer.part("data").get("current_version")
        if not isinstance(version, int):
            raise not_vault(self._where)
        return version
