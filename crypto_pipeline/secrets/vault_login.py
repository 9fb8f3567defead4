"""
The ways of logging in to HashiCorp Vault or OpenBao, and how long a login lasts.

Records and rules only: `vault_session` sends what is needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, Final, Literal, Self

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.redaction import Secret

AuthName = Literal["token", "approle", "jwt", "kubernetes", "cert"]

KUBERNETES_TOKEN_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where Kubernetes puts a pod's own token, and replaces it before it ends."""

_HEADER_VALUE = re.compile(r"[!-~]+")
"""What may stand in a header; the HTTP library quotes everything else in its error."""

_MOUNT = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")


def is_header_value(text: str) -> bool:
    """Tell whether a text may stand in a header."""
    return _HEADER_VALUE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """A token that somebody issued. It is renewed while it can be; nobody here can replace it."""

    token: Secret

    @classmethod
    def from_environment(cls) -> Self:
        """
        Read `VAULT_TOKEN`.

        Raises:
            ConfigurationError: it is not set, or is no token.
        """
        return cls(_variable("VAULT_TOKEN"))


@dataclass(frozen=True, slots=True)
class AppRoleAuth:
    """
    Log in as a role when the first secret is read, and again when that login ends.

    Fields:
        role_id: the role.
        secret_id: its password; or the token that it is wrapped in.
        is_wrapped: whether it is wrapped. It can be unwrapped once, so it serves one process.
        mount: where the server has this way of logging in.
    """

    role_id: Secret
    secret_id: Secret
    is_wrapped: bool = False
    mount: str = "approle"
    remedy = (
        "Check VAULT_ROLE_ID, and issue a new VAULT_SECRET_ID: the one in use is wrong, expired or used up, or the "
        "server has no AppRole login."
    )

    def __post_init__(self) -> None:
        _check_mount(self.mount)

    @classmethod
    def from_environment(cls, mount: str = "approle") -> Self:
        """
        Read `VAULT_ROLE_ID`, and `VAULT_SECRET_ID` or `VAULT_WRAPPED_SECRET_ID`.

        Raises:
            ConfigurationError: one of them is not set, or is malformed.
        """
        is_wrapped = not os.environ.get("VAULT_SECRET_ID") and bool(os.environ.get("VAULT_WRAPPED_SECRET_ID"))
        role_id = _variable("VAULT_ROLE_ID")
        secret_id = _variable("VAULT_WRAPPED_SECRET_ID" if is_wrapped else "VAULT_SECRET_ID")
        return cls(role_id, secret_id, is_wrapped, mount)

    def unwrapped(self, secret_id: Secret) -> Self:
        """Return the same role with the secret id that was in the wrapping."""
        return replace(self, secret_id=secret_id, is_wrapped=False)

    def fields(self) -> Mapping[str, str]:
        """Return what is sent to log in."""
        return {"role_id": self.role_id.reveal(), "secret_id": self.secret_id.reveal()}


@dataclass(frozen=True, slots=True)
class JwtAuth:
    """
    Log in with a token that somebody else signed: Kubernetes, a CI system, an identity provider.

    Fields:
        role: the role at the server.
        token_file: holds the token; read anew at each login, for it is replaced before it ends.
        mount: where the server has this way of logging in, such as `jwt` or `kubernetes`.
    """

    role: str
    token_file: Path
    mount: str = "jwt"

    def __post_init__(self) -> None:
        _check_mount(self.mount)
        if not self.role:
            msg = "No role is set to log in to Vault with. Set CRYPTO_PIPELINE_VAULT_ROLE."
            raise ConfigurationError(msg)

    @property
    def remedy(self) -> str:
        """What to do if the server refuses."""
        return (
            f"Check that role '{self.role}' exists there and accepts the token in {self.token_file} "
            "(its subject, audience and issuer), and that the token has not ended."
        )

    def fields(self) -> Mapping[str, str]:
        """
        Return what is sent to log in.

        Raises:
            ConfigurationError: the file holds no token.
        """
        try:
            token = Secret(self.token_file.read_text(encoding="ascii").strip())
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
        else:
            if token and is_header_value(token.reveal()):
                return {"role": self.role, "jwt": token.reveal()}
            why = "it holds no token"
        msg = f"{self.token_file} cannot be used to log in to Vault ({why}). Correct CRYPTO_PIPELINE_VAULT_JWT_FILE."
        raise ConfigurationError(msg)


@dataclass(frozen=True, slots=True)
class CertificateAuth:
    """Log in with the client certificate of the connection; an empty role leaves the choice to the server."""

    role: str = ""
    mount: str = "cert"
    remedy = "Check that the server knows the client certificate (VAULT_CLIENT_CERT), and that it has not ended."

    def __post_init__(self) -> None:
        _check_mount(self.mount)

    def fields(self) -> Mapping[str, str]:
        """Return what is sent to log in."""
        return {"name": self.role} if self.role else {}


LoginAuth = AppRoleAuth | JwtAuth | CertificateAuth
VaultAuth = TokenAuth | LoginAuth


def auth_of(
    name: AuthName, *, role: str | None = None, jwt_file: str | Path | None = None, mount: str | None = None
) -> VaultAuth:
    """
    Return a way of logging in, with what the environment holds for it.

    Args:
        name: which one.
        role: the role at the server; for `jwt`, `kubernetes` and `cert`.
        jwt_file: where the signed token is; for `jwt` and `kubernetes`.
        mount: where the server has it, if not under its name.

    Raises:
        ConfigurationError: something that it needs is missing or malformed.
    """
    where = mount or name
    match name:
        case "token":
            return TokenAuth.from_environment()
        case "approle":
            return AppRoleAuth.from_environment(where)
        case "cert":
            return CertificateAuth(role or "", where)
        case "kubernetes":
            return JwtAuth(role or "", Path(jwt_file or KUBERNETES_TOKEN_FILE), where)
        case "jwt":
            if jwt_file is None:
                msg = "No file is set that holds the token to log in to Vault with. Set CRYPTO_PIPELINE_VAULT_JWT_FILE."
                raise ConfigurationError(msg)
            return JwtAuth(role or "", Path(jwt_file), where)


def _check_mount(mount: str) -> None:
    if not _MOUNT.fullmatch(mount):
        msg = "The mount of Vault's login is not a path. Correct CRYPTO_PIPELINE_VAULT_AUTH_MOUNT."
        raise ConfigurationError(msg)


def _variable(name: str) -> Secret:
    value = Secret(os.environ.get(name, "").strip())
    if not value:
        msg = (
            f"{name} is not set, so there is no login for Vault. Set it, or choose another CRYPTO_PIPELINE_VAULT_AUTH."
        )
        raise ConfigurationError(msg)
    if not is_header_value(value.reveal()):
        msg = f"{name} holds characters that no login of Vault has. Set it again, without quotes or line breaks."
        raise ConfigurationError(msg)
    return value


@dataclass(frozen=True, slots=True)
class Lease:
    """
    How long a login lasts, on a clock that only ever rises.

    Fields:
        full_seconds: what a renewal is expected to give.
        ends_at: when the server ends it.
        act_at: when to renew it, or to log in again.
        is_renewable: whether it is renewed then.
    """

    full_seconds: float
    ends_at: float
    act_at: float
    is_renewable: bool

    @classmethod
    def granted(
        cls, told: Mapping[str, Any], *, now: float, chance: float, full_seconds: float | None = None
    ) -> Lease | None:
        """
        Return the lease that the server tells of; None if it tells of none.

        It is acted on after two thirds, or up to a tenth earlier, so that processes that started together
        do not come together. A renewal that gave less than it should was cut short by the login's longest
        life, so it was the last. A login of a limited number of uses is not renewed, for that is a use.

        Args:
            told: the answer to a login or a renewal (`lease_duration`), or to a question for it (`ttl`).
            now: the clock.
            chance: a number from 0 to below 1.
            full_seconds: what this login gave at first; None at a login.
        """
        seconds, full = told.get("lease_duration", told.get("ttl")), full_seconds or told.get("creation_ttl")
        if type(seconds) is not int or not (full is None or isinstance(full, (int, float))):
            return None
        if seconds <= 0:
            return FOREVER
        is_cut = full_seconds is not None and seconds < full_seconds
        whole = max(seconds, full or 0) if full_seconds is None else seconds
        remaining = whole * (1 / 3 + chance / 10)
        return cls(
            full_seconds=full_seconds or whole,
            ends_at=now + seconds,
            act_at=now + seconds - remaining,
            is_renewable=told.get("renewable") is True and not told.get("num_uses") and not is_cut,
        )

    def postponed(self, now: float) -> Lease:
        """Return the lease to be acted on a little later, because that could not be done now."""
        return replace(self, act_at=min(self.ends_at, now + max(1.0, (self.ends_at - now) / 3)))


FOREVER: Final = Lease(inf, inf, inf, is_renewable=False)
"""A login that does not end, or of which nobody knows when it does."""
