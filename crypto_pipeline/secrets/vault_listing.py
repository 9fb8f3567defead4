"""
All secrets of one path of Vault or OpenBao at once.

OpenBao tells everything in one answer; HashiCorp Vault has to be asked for each secret. Which of them
it is shows by asking: a server that does not know the question says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from crypto_pipeline.credentials import ISSUERS, CredentialDescription
from crypto_pipeline.errors import ConfigurationError, SecretDeniedError, SecretNotFoundError
from crypto_pipeline.secrets.listing import ListedSecret, listed
from crypto_pipeline.secrets.vault_errors import Answer, not_vault, parse_time
from crypto_pipeline.secrets.vault_session import VaultSession

MOST_IN_A_PAGE: Final = 500


class VaultListing:
    """
    The secrets below one path.

    OpenBao is asked with `SCAN`, or with `LIST` where a policy allows that only; what works is
    remembered. Where neither does, each issuer's metadata are read: Vault has no such question, and a
    policy may allow no list.

    Args:
        session: the server.
        mount: the mount of the KV version 2 engine.
        prefix: the path under which all secrets are named.
        store: the kind of store.
        describe: asks for one issuer.
        is_gone: tells whether a version is deleted by now.
    """

    def __init__(
        self,
        session: VaultSession,
        *,
        mount: str,
        prefix: str,
        store: str,
        describe: Callable[[str], CredentialDescription],
        is_gone: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        self._session = session
        self._path = f"{mount}/detailed-metadata/{prefix}"
        self._prefix = prefix
        self._store = store
        self._describe = describe
        self._is_gone = is_gone
        self._ways = ["SCAN", "LIST"]

    def all(self, page_size: int) -> list[ListedSecret]:
        """
        Return what is told of each secret.

        Raises:
            SecretError: the server did not tell, or this login may describe nothing.
        """
        while self._ways:
            found = self._pages(self._ways[0], page_size)
            if found is not None:
                return sorted((self.listed(name, told) for name, told in found.items()), key=lambda each: each.name)
            del self._ways[0]
        return self._one_by_one()

    def _pages(self, way: str, page_size: int) -> dict[str, Mapping[str, Any]] | None:
        """Return the metadata of each secret by its name; None if they cannot be had in this way."""
        found: dict[str, Mapping[str, Any]] = {}
        after = ""
        while True:
            answer = self._asked(way, {"limit": str(page_size), "after": after})
            if answer is None:
                return None
            keys, info = answer.part("data").get("keys", []), answer.part("data").get("key_info", {})
            if not isinstance(keys, list) or not isinstance(info, Mapping):
                raise not_vault(self._session.address)
            found |= {key: info[key] for key in keys if not key.endswith("/") and key in info}
            # `SCAN` gives everything whatever the size of a page, so a full one that tells nothing new is the end.
            if len(keys) != page_size or keys[-1] == after:
                return found
            after = keys[-1]

    def _asked(self, way: str, params: dict[str, str]) -> Answer | None:
        """Return one answer; None if the server does not know the question, or this login may not ask it."""
        url = f"/v1/{self._path}"
        try:
            answer = self._session.ask(lambda client: client.adapter.request(way, url, params=params), path=self._path)
        except (SecretDeniedError, ConfigurationError):
            if not self._session.is_open:
                raise
            return None
        if answer.status == 404:
            # "Nothing there" has an empty list of errors; anything else is another server's, or engine's, answer.
            return answer if answer.body.get("errors") == [] else None
        return answer

    def _one_by_one(self) -> list[ListedSecret]:
        """Return what is told of each issuer; what this login may not know is left out, unless that is everything."""
        found: list[CredentialDescription] = []
        denied: list[SecretDeniedError] = []
        for issuer in ISSUERS:
            try:
                found.append(self._describe(issuer))
            except SecretNotFoundError:
                continue
            except SecretDeniedError as error:
                denied.append(error)
        if len(denied) == len(ISSUERS):
            raise denied[0]
        return listed(found)

    def listed(self, name: str, told: Mapping[str, Any]) -> ListedSecret:
        """
        Return what metadata tell of one secret.

        Args:
            name: its path below the prefix.
            told: the metadata.

        Raises:
            SecretStoreUnavailableError: these are none of Vault's.
        """
        try:
            version = str(told["current_version"])
            current = told["versions"].get(version)
            created_at = parse_time(current["created_time"]) if current else None
            deleted = current is not None and self._is_gone(current)
            return ListedSecret(
                name=f"{self._prefix}/{name}",
                store=self._store,
                version=version if current else "",
                created_at=created_at,
                issuers=(name,) if name in ISSUERS else (),
                deleted_at=(parse_time(current["deletion_time"]) if current["deletion_time"] else created_at)
                if deleted
                else None,
                labels=dict(told.get("custom_metadata") or {}),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise not_vault(self._session.address) from None
