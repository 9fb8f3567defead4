"""
A session with HashiCorp Vault or OpenBao: login, renewal and sending.

What a refusal means is in `vault_errors`, the ways of logging in are in `vault_login`; what lies
where in the store is known to `vault`.
"""

from __future__ import annotations

import random
import re
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from crypto_pipeline.errors import ConfigurationError, SecretDeniedError, SecretError, SecretStoreUnavailableError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import vault_errors
from crypto_pipeline.secrets.address import check_address
from crypto_pipeline.secrets.vault_errors import Answer
from crypto_pipeline.secrets.vault_login import (
    FOREVER,
    AppRoleAuth,
    Lease,
    LoginAuth,
    TokenAuth,
    VaultAuth,
    is_header_value,
)

if TYPE_CHECKING:
    import hvac
    import requests

CONNECT_TIMEOUT_SECONDS: Final = 3.0
READ_TIMEOUT_SECONDS: Final = 10.0

RUN_HEADER: Final = "X-Dagster-Run-Id"
"""Tells the run; the server's audit shows it once `sys/config/auditing/request-headers/<name>` is set."""

WRAPPED_SECRET_ID = re.compile(r"(?:[^?#]+/)?auth/[^?#]+/role/[^/]+/secret-id")

Call = Callable[["hvac.Client"], "requests.Response"]


def check_files(ca_file: str | Path | None, certificate: tuple[str, str] | None) -> None:
    """Read the files once: in the middle of a run, the HTTP library takes a wrong one for an outage."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        msg = (
            f"The file of Vault's certificate authority, {ca_file}, cannot be used ({error.strerror}). "
            "Set VAULT_CACERT to a PEM file of certificates."
        )
        raise ConfigurationError(msg) from None
    if certificate is None:
        return
    try:
        # Without a password: asked for one on the terminal, a run would wait for ever.
        context.load_cert_chain(*certificate, password="")
    except OSError as error:
        msg = (
            f"The client certificate for Vault, {certificate[0]}, cannot be used with its key ({error.strerror}). "
            "Set VAULT_CLIENT_CERT and VAULT_CLIENT_KEY to PEM files that belong together."
        )
        raise ConfigurationError(msg) from None


class VaultSession:
    """
    One login at one server, made when it is first needed.

    After two thirds of its lease a login is renewed by the next request, before that is sent; once
    the server gives no more time, it is made anew. Nothing runs in the background, so a login that
    nobody uses ends. A token from the environment is asked for its lease before its second request:
    a process that reads once asks once.

    Proxies, certificates and passwords that the environment names for other programs are not
    used, and redirects are not followed: both would carry the token to somebody else.

    Args:
        address: the server; https, or http on this machine.
        auth: how to log in.
        namespace: the namespace, where the server has them.
        ca_file: the authority that signed the server's certificate, if it is not a public one.
        certificate: the files of a client certificate and its key, where the server wants one.
        run_id: the run on whose behalf it is asked; sent along, for the server's own audit.
        clock: seconds that only ever rise.
        chance: a number from 0 to below 1.

    Raises:
        ConfigurationError: the address, the namespace, the run or a file is not usable.
    """

    def __init__(
        self,
        address: str,
        auth: VaultAuth,
        *,
        namespace: str | None = None,
        ca_file: str | Path | None = None,
        certificate: tuple[str, str] | None = None,
        run_id: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        check_address(address, what="The address of Vault")
        for what, text in (("namespace of Vault", namespace), ("id of the run", run_id)):
            if text is not None and not is_header_value(text):
                msg = f"The {what} must be printable, without spaces. Correct it, or leave it out."
                raise ConfigurationError(msg)
        if ca_file is not None or certificate is not None:
            check_files(ca_file, certificate)
        self.address = address.rstrip("/")
        self._auth = auth
        self._namespace = namespace
        self._ca_file = ca_file
        self._certificate = certificate
        self._run_id = run_id
        self._clock = clock
        self._chance = chance
        self._client: hvac.Client | None = None
        self._lease: Lease | None = None
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether there was a login; a refused one is not tried again to find out more."""
        return self._client is not None

    def ask(self, call: Call, *, path: str, right: str = "read") -> Answer:
        """
        Send one request and return its answer: found (200) or not found (404).

        A login that has ended is made anew, once, if it can be.

        Args:
            call: what to do with the client.
            path: the path that is asked for, as a policy names it.
            right: what a policy calls what is asked.

        Raises:
            SecretDeniedError: this login may not, or is none.
            SecretStoreSealedError: the server is sealed.
            SecretStoreUnavailableError: it cannot be reached, limits requests or failed.
            EgressDeniedError: its certificate does not verify.
            ConfigurationError: it refuses the request as such.
        """
        client = self._opened()
        token = client.token
        answer = self._sent(client, call)
        if answer.status == 403:
            login = self._looked_at(client, token)
            if login == "renewed":
                answer = self._sent(client, call)
            if answer.status == 403:
                raise vault_errors.denied(path, has_ended=login == "ended", right=right)
        if answer.status not in {200, 404}:
            raise self._refusal(answer, path)
        return answer

    def send(self, call: Call) -> Answer:
        """
        Send one request and return its answer, whatever it is.

        Raises:
            SecretStoreUnavailableError: the server cannot be reached.
            EgressDeniedError: its certificate does not verify.
        """
        return self._sent(self._opened(), call)

    def _opened(self) -> hvac.Client:
        """Return the client, with a login that is expected to be good."""
        with self._lock:
            client = self._client
            if client is None:
                client = self._build()
                if isinstance(self._auth, TokenAuth):
                    client.token = self._auth.token.reveal()
                else:
                    client.token = self._logged_in(client, self._auth).reveal()
                self._client = client
            elif self._lease is None:
                self._lease = self._looked_up(client)
            if self._lease is not None and self._lease.act_at <= self._clock():
                self._lease = self._prolonged(client, self._lease)
            return client

    def _build(self) -> hvac.Client:
        # A quarter of a second that only users of Vault should pay for.
        import hvac  # noqa: PLC0415

        client = hvac.Client(
            url=self.address,
            token="",  # none yet; left out, the library would look for one in the user's home
            cert=self._certificate,
            verify=str(self._ca_file) if self._ca_file else True,
            timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
            allow_redirects=False,
            namespace=self._namespace,
            # Answers as they are: the library's errors lose the status and keep the body.
            adapter=hvac.adapters.RawAdapter,
            ignore_exceptions=True,
        )
        client.session.trust_env = False
        if self._run_id is not None:
            client.session.headers[RUN_HEADER] = self._run_id
        return client

    # The login...

    def _logged_in(self, client: hvac.Client, auth: LoginAuth) -> Secret:
        """Return a new token; the client has none."""
        if isinstance(auth, AppRoleAuth) and auth.is_wrapped:
            self._auth = auth = auth.unwrapped(self._unwrapped(client, auth.secret_id))
        path, fields = f"auth/{auth.mount}/login", auth.fields()
        answer = self._sent(client, lambda client: client.adapter.post(f"/v1/{path}", json=fields))
        if answer.status in {400, 401, 403}:
            raise SecretDeniedError(f"Vault denied the login at 'auth/{auth.mount}'. {auth.remedy}")
        login = answer.part("auth")
        token = login.get("client_token")
        if answer.status != 200 or not isinstance(token, str):
            raise self._refusal(answer, path)
        self._lease = Lease.granted(login, now=self._clock(), chance=self._chance()) or FOREVER
        return Secret(token)

    def _unwrapped(self, client: hvac.Client, wrapping: Secret) -> Secret:
        """
        Return the secret id that a token was wrapped around.

        Raises:
            SecretDeniedError: it was opened before, has ended, or holds something else.
        """
        token = wrapping.reveal()
        looked_up = self._sent(
            client, lambda client: client.adapter.post("/v1/sys/wrapping/lookup", json={"token": token})
        )
        made_at = looked_up.part("data").get("creation_path")
        if looked_up.status == 200 and not WRAPPED_SECRET_ID.fullmatch(str(made_at)):
            raise vault_errors.wrapped_otherwise()
        answer = looked_up
        if looked_up.status == 200:
            as_wrapping = {"X-Vault-Token": token}
            answer = self._sent(
                client, lambda client: client.adapter.post("/v1/sys/wrapping/unwrap", headers=as_wrapping)
            )
        if answer.status in {400, 403}:
            raise vault_errors.wrapping_is_gone()
        secret_id = answer.part("data").get("secret_id")
        if answer.status != 200 or not isinstance(secret_id, str):
            raise self._refusal(answer, "sys/wrapping/unwrap")
        return Secret(secret_id)

    def _logged_in_again(self, client: hvac.Client, auth: LoginAuth) -> None:
        """Put a new token in place of the one in use, which other threads go on using until then."""
        without_token = self._build()
        try:
            client.token = self._logged_in(without_token, auth).reveal()
        finally:
            without_token.adapter.close()

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
            self._logged_in_again(client, self._auth)
            return "renewed"

    # The lease...

    def _looked_up(self, client: hvac.Client) -> Lease:
        """Return how long a token from the environment lasts, if the server tells."""
        try:
            answer = self._sent(client, lambda client: client.auth.token.lookup_self())
        except SecretStoreUnavailableError:
            return FOREVER  # the request itself, which comes next, tells what there is to tell
        told = answer.part("data") if answer.status == 200 else {}
        return Lease.granted(told, now=self._clock(), chance=self._chance()) or FOREVER

    def _prolonged(self, client: hvac.Client, lease: Lease) -> Lease:
        """
        Return the lease after a renewal, or after a new login where there is nothing to renew.

        As long as the login is good, a failure to do so fails nothing else.

        Raises:
            SecretError: the login has ended, and there is no new one.
        """
        now = self._clock()
        if lease.is_renewable and now < lease.ends_at and (found := self._renewed(client, lease)) is not None:
            return found
        if isinstance(self._auth, TokenAuth):
            return FOREVER
        try:
            self._logged_in_again(client, self._auth)
        except (SecretError, ConfigurationError):
            if now >= lease.ends_at:
                raise
            return lease.postponed(now)
        return self._lease or FOREVER

    def _renewed(self, client: hvac.Client, lease: Lease) -> Lease | None:
        """Return the lease after a renewal, to be tried later if the server was not well; None if it refused."""
        try:
            answer = self._sent(client, lambda client: client.auth.token.renew_self())
        except SecretStoreUnavailableError:
            return lease.postponed(self._clock())
        if answer.status == 200:
            return Lease.granted(
                answer.part("auth"), now=self._clock(), chance=self._chance(), full_seconds=lease.full_seconds
            )
        return None if answer.status in {400, 403, 404} else lease.postponed(self._clock())

    def _sent(self, client: hvac.Client, call: Call) -> Answer:
        import requests  # noqa: PLC0415 - comes with hvac, see _build

        try:
            response = call(client)
        except requests.exceptions.RequestException as error:
            failure = vault_errors.unreachable(error, self.address)
        else:
            return Answer.of(response)
        # Raised out here: the library's error keeps the request, whose headers hold the token.
        raise failure

    def _refusal(self, answer: Answer, path: str) -> Exception:
        return vault_errors.refused(answer, path, self.address)
