"""
A session with HashiCorp Vault or OpenBao: login, sending, and what a refusal means.

What lies where in the store is not known here; see `vault`.
"""

from __future__ import annotations

import os
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from crypto_pipeline.errors import (
    ConfigurationError,
    CryptoPipelineError,
    EgressDeniedError,
    SecretDeniedError,
    SecretStoreSealedError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets.address import check_address

if TYPE_CHECKING:
    import hvac
    import requests

CONNECT_TIMEOUT_SECONDS: Final = 3.0
READ_TIMEOUT_SECONDS: Final = 10.0

_HEADER_VALUE = re.compile(r"[!-~]+")
"""What may stand in a header; the HTTP library quotes everything else in its error."""

_HEALS: Final = frozenset({408, 412, 425, 429, 472, 473})
"""Statuses below 500 that say "not now": limits, standby and lagging servers."""


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """Log in with a token that somebody issued; it is not renewed."""

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
    """Log in as a role when the first secret is read, and again when that login has ended."""

    role_id: Secret
    secret_id: Secret

    @classmethod
    def from_environment(cls) -> Self:
        """
        Read `VAULT_ROLE_ID` and `VAULT_SECRET_ID`.

        Raises:
            ConfigurationError: one of them is not set, or is malformed.
        """
        return cls(_variable("VAULT_ROLE_ID"), _variable("VAULT_SECRET_ID"))


VaultAuth = TokenAuth | AppRoleAuth


def _variable(name: str) -> Secret:
    value = Secret(os.environ.get(name, "").strip())
    if not value:
        msg = (
            f"{name} is not set, so there is no login for Vault. Set it, or choose another CRYPTO_PIPELINE_VAULT_AUTH."
        )
        raise ConfigurationError(msg)
    if not _HEADER_VALUE.fullmatch(value.reveal()):
        msg = f"{name} holds characters that no login of Vault has. Set it again, without quotes or line breaks."
        raise ConfigurationError(msg)
    return value


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of Vault: its status, and its body if that is a JSON object, else an empty one."""

    status: int
    body: Mapping[str, Any] = field(repr=False)

    @property
    def complaint(self) -> str:
        """What the server complains about, in lower case; for decisions, never for messages."""
        errors = self.body.get("errors")
        return " ".join(map(str, errors)).lower() if isinstance(errors, list) else ""


def _parse_object(response: requests.Response) -> Mapping[str, Any]:
    try:
        found = response.json()
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _check_authority(ca_file: str | Path) -> None:
    """Read the file once: in the middle of a run, the HTTP library takes a wrong one for an outage."""
    try:
        ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        msg = (
            f"The file of Vault's certificate authority, {ca_file}, cannot be used ({error.strerror}). "
            "Set VAULT_CACERT to a PEM file of certificates."
        )
        raise ConfigurationError(msg) from None


class VaultSession:
    """
    One login at one server, made when it is first needed.

    Proxies, certificates and passwords that the environment names for other programs are not
    used, and redirects are not followed: both would carry the token to somebody else.

    Args:
        address: the server; https, or http on this machine.
        auth: how to log in.
        namespace: the namespace, where the server has them.
        ca_file: the authority that signed the server's certificate, if it is not a public one.

    Raises:
        ConfigurationError: the address, the namespace or the file is not usable.
    """

    def __init__(
        self, address: str, auth: VaultAuth, *, namespace: str | None = None, ca_file: str | Path | None = None
    ) -> None:
        check_address(address, what="The address of Vault")
        if namespace is not None and not _HEADER_VALUE.fullmatch(namespace):
            msg = "The namespace of Vault must be printable, without spaces. Correct it, or leave it out."
            raise ConfigurationError(msg)
        if ca_file is not None:
            _check_authority(ca_file)
        self._address = address.rstrip("/")
        self._auth = auth
        self._namespace = namespace
        self._ca_file = ca_file
        self._client: hvac.Client | None = None
        self._lock = threading.Lock()

    def ask(self, call: Callable[[hvac.Client], requests.Response], *, path: str) -> Answer:
        """
        Send one request and return its answer: found (200) or not found (404).

        A login that has ended is made anew, once, if it can be.

        Args:
            call: what to do with the client.
            path: the path that is asked for, as a policy names it.

        Raises:
            SecretDeniedError: this login may not, or is none.
            SecretStoreSealedError: the server is sealed.
            SecretStoreUnavailableError: it cannot be reached, limits requests or failed.
            EgressDeniedError: its certificate does not verify.
            ConfigurationError: it refuses the request as such.
        """
        client = self._opened()
        token = client.token
        answer = self.send(call)
        if answer.status == 403:
            login = self._looked_at(client, token)
            if login == "renewed":
                answer = self.send(call)
            if answer.status == 403:
                raise self._denied(path, has_ended=login == "ended")
        if answer.status not in {200, 404}:
            raise self._refusal(answer, path)
        return answer

    def send(self, call: Callable[[hvac.Client], requests.Response]) -> Answer:
        """
        Send one request and return its answer, whatever it is.

        Raises:
            SecretStoreUnavailableError: the server cannot be reached.
            EgressDeniedError: its certificate does not verify.
        """
        return self._sent(self._opened(), call)

    def _opened(self) -> hvac.Client:
        """Return the client, logged in."""
        with self._lock:
            if self._client is None:
                client = self._build()
                auth = self._auth
                token = auth.token if isinstance(auth, TokenAuth) else self._logged_in(client, auth)
                client.token = token.reveal()
                self._client = client
            return self._client

    def _build(self) -> hvac.Client:
        # A quarter of a second that only users of Vault should pay for.
        import hvac  # noqa: PLC0415

        client = hvac.Client(
            url=self._address,
            token="",  # none yet; left out, the library would look for one in the user's home
            verify=str(self._ca_file) if self._ca_file else True,
            timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
            allow_redirects=False,
            namespace=self._namespace,
            # Answers as they are: the library's errors lose the status and keep the body.
            adapter=hvac.adapters.RawAdapter,
            ignore_exceptions=True,
        )
        client.session.trust_env = False
        return client

    def _logged_in(self, client: hvac.Client, role: AppRoleAuth) -> Secret:
        """Return a new token for the role."""
        client.token = ""
        answer = self._sent(
            client,
            lambda client: client.auth.approle.login(role.role_id.reveal(), role.secret_id.reveal(), use_token=False),
        )
        if answer.status in {400, 401, 403}:
            msg = (
                "Vault denied the login at 'auth/approle'. Check VAULT_ROLE_ID, and issue a new VAULT_SECRET_ID: "
                "the one in use is wrong, expired or used up, or the server has no AppRole login."
            )
            raise SecretDeniedError(msg)
        login = answer.body.get("auth")
        token = login.get("client_token") if isinstance(login, Mapping) else None
        if answer.status != 200 or not isinstance(token, str):
            raise self._refusal(answer, "auth/approle/login")
        return Secret(token)

    def _looked_at(self, client: hvac.Client, token: str) -> Literal["good", "renewed", "ended"]:
        """
        Tell whether the login behind a refusal is good; log in again if it has ended and that can be done.

        The server gives the same status for "not for you" and "your login has ended".
        """
        with self._lock:
            # Another thread may have been here first; a secret id may be good for a few logins only.
            if client.token != token:
                return "renewed"
            found = self._sent(client, lambda client: client.auth.token.lookup_self())
            if found.status == 200:
                return "good"
            if found.status != 403:
                raise self._refusal(found, "auth/token/lookup-self")
            if isinstance(self._auth, TokenAuth):
                return "ended"
            client.token = self._logged_in(client, self._auth).reveal()
            return "renewed"

    def _sent(self, client: hvac.Client, call: Callable[[hvac.Client], requests.Response]) -> Answer:
        import requests  # noqa: PLC0415 - comes with hvac, see _build

        try:
            response = call(client)
        except requests.exceptions.RequestException as error:
            failure = self._unreachable(error)
        else:
            return Answer(response.status_code, _parse_object(response))
        # Raised out here: the library's error keeps the request, whose headers hold the token.
        raise failure

    # What a refusal means...

    def _denied(self, path: str, *, has_ended: bool) -> SecretDeniedError:
        if not has_ended:
            return SecretDeniedError(f"Vault denied '{path}'. The policy of this login must allow read on it.")
        return SecretDeniedError(
            f"Vault denied '{path}': VAULT_TOKEN is wrong, expired or revoked, or may do nothing at all. "
            "Issue a new token; its policy must allow read on this path."
        )

    def _refusal(self, answer: Answer, path: str) -> CryptoPipelineError:
        """Return the error for an answer that is neither 200, 403 nor 404."""
        status, where = answer.status, self._address
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
            return self.not_vault()
        return ConfigurationError(
            f"Vault refused the request for '{path}' (HTTP {status}). Check address and namespace."
        )

    def not_vault(self) -> SecretStoreUnavailableError:
        """Return the error for an answer that is not in the shape of Vault's."""
        return SecretStoreUnavailableError(f"What answers at {self._address} is not Vault. Check its address.")

    def _unreachable(self, error: requests.exceptions.RequestException) -> CryptoPipelineError:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return EgressDeniedError(
                f"The certificate of Vault at {self._address} does not verify, so nothing was sent. "
                "Set VAULT_CACERT to the authority that signed it."
            )
        return SecretStoreUnavailableError(
            f"Vault cannot be reached at {self._address}, or cut its answer. Check the server and its address."
        )
