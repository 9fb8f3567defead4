"""
What refusals of HashiCorp Vault and OpenBao mean, in this package's words.

Nothing of an answer is repeated but its status: what the server says in words may name paths and
policies, and a proxy's page may quote the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from crypto_pipeline.errors import (
    ConfigurationError,
    CryptoPipelineError,
    EgressDeniedError,
    SecretDeniedError,
    SecretStoreSealedError,
    SecretStoreUnavailableError,
)

if TYPE_CHECKING:
    import requests

_HEALS: Final = frozenset({408, 412, 425, 429, 472, 473})
"""Statuses below 500 that say "not now": limits, standby and lagging servers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of Vault: its status, and its body if that is a JSON object, else an empty one."""

    status: int
    body: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, response: requests.Response) -> Answer:
        """Return what the HTTP library got."""
        try:
            found = response.json()
        except (ValueError, RecursionError):
            found = None
        return cls(response.status_code, found if isinstance(found, Mapping) else {})

    @property
    def complaint(self) -> str:
        """What the server complains about, in lower case; for decisions, never for messages."""
        errors = self.body.get("errors")
        return " ".join(map(str, errors)).lower() if isinstance(errors, list) else ""

    def part(self, name: str) -> Mapping[str, Any]:
        """Return one part of the body, such as `data` or `auth`; an empty one if it is no object."""
        found = self.body.get(name)
        return found if isinstance(found, Mapping) else {}


def parse_time(text: str) -> datetime:
    """Return a time as the server writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def denied(path: str, *, has_ended: bool, right: str = "read") -> SecretDeniedError:
    """
    Return the error for a path that this login may not use.

    Args:
        path: as a policy names it.
        has_ended: whether the login itself is none (any more).
        right: what a policy calls what was asked for.
    """
    if not has_ended:
        return SecretDeniedError(f"Vault denied '{path}'. The policy of this login must allow {right} on it.")
    return SecretDeniedError(
        f"Vault denied '{path}': VAULT_TOKEN is wrong, expired or revoked, or may do nothing at all. "
        f"Issue a new token; its policy must allow {right} on this path."
    )


def wrapped_otherwise() -> SecretDeniedError:
    """Return the error for a wrapping that was not made around the secret id of a role."""
    return SecretDeniedError(
        "VAULT_WRAPPED_SECRET_ID does not hold the secret id of a role, so it was not opened. Somebody may have put it "
        "there in place of the right one: find out, then issue a new one."
    )


def wrapping_is_gone() -> SecretDeniedError:
    """Return the error for a wrapping that cannot be opened any more."""
    return SecretDeniedError(
        "VAULT_WRAPPED_SECRET_ID cannot be opened: it was opened before, or has ended. If it was not this deployment "
        "that opened it, somebody else has the secret id: revoke that. Then issue a new one, for each process its own."
    )


def refused(answer: Answer, path: str, where: str) -> CryptoPipelineError:
    """
    Return the error for an answer that is neither 200, 403 nor 404.

    Args:
        answer: the answer.
        path: what was asked for.
        where: the server.
    """
    status = answer.status
    if status == 503 and "sealed" in answer.complaint:
        return SecretStoreSealedError(f"Vault at {where} is sealed. Unseal it, then run again.")
    if status == 429:
        return SecretStoreUnavailableError(f"Vault at {where} is limiting requests (HTTP 429). Run again later.")
    if 300 <= status < 400:
        msg = f"Vault at {where} answered with a redirect; none is followed. Set the address of the active server."
        return SecretStoreUnavailableError(msg)
    if status >= 500 or status in _HEALS:
        return SecretStoreUnavailableError(f"Vault at {where} failed on its side (HTTP {status}). Run again later.")
    if status == 200:
        return not_vault(where)
    return ConfigurationError(f"Vault refused the request for '{path}' (HTTP {status}). Check address and namespace.")


def not_vault(where: str) -> SecretStoreUnavailableError:
    """Return the error for an answer that is not in the shape of Vault's."""
    return SecretStoreUnavailableError(f"What answers at {where} is not Vault. Check its address.")


def unreachable(error: requests.exceptions.RequestException, where: str) -> CryptoPipelineError:
    """Return what an error on the way to the server means."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return EgressDeniedError(
            f"The certificate of Vault at {where} does not verify, so nothing was sent. "
            "Set VAULT_CACERT to the authority that signed it."
        )
    return SecretStoreUnavailableError(
        f"Vault cannot be reached at {where}, or cut its answer. Check the server and its address."
    )
