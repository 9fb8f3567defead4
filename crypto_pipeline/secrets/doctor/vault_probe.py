"""
Single questions to a Vault or OpenBao that may be anything but well.

Where `vault_session` turns a refusal into an error, the doctor wants the answer itself, with what its
header tells. Nothing is repeated, no redirect is followed, and each question is on the record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets.address import check_address
from crypto_pipeline.secrets.doctor.symptom import (
    CONNECT_SECONDS,
    READ_SECONDS,
    BrokenError,
    Record,
    Symptom,
    header_time,
    problem,
    problem_of,
)
from crypto_pipeline.secrets.vault_errors import Answer
from crypto_pipeline.secrets.vault_login import is_header_value
from crypto_pipeline.secrets.vault_session import check_files

if TYPE_CHECKING:
    import requests

HEALTH: Final = "sys/health"
"""Where a server tells how it is; known to every Vault, and open to everybody."""

_NOT_NOW: Final = frozenset({412, 429, 472, 473})
"""What a standby or a lagging server, and a limit of requests, answer to a question."""

_CERTIFICATE_FAULTS: Final = (
    ("certificate has expired", "it has expired"),
    ("not yet valid", "it is not valid yet, or this machine's clock is behind"),
    ("mismatch", "it was made for another name"),
    ("self-signed", "nobody this machine trusts has signed it"),
    ("self signed", "nobody this machine trusts has signed it"),
    ("local issuer", "nobody this machine trusts has signed it"),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """
    One answer.

    Fields:
        answer: status and body.
        sent_at: the server's time, if the header tells it.
    """

    answer: Answer
    sent_at: datetime | None

    @property
    def status(self) -> int:
        """The status."""
        return self.answer.status

    @property
    def data(self) -> Mapping[str, Any]:
        """What the answer is about."""
        return self.answer.part("data")


class VaultProbe:
    """
    A server, and the way there.

    Args:
        address: the server; https, or http on this machine.
        record: where each question is recorded.
        namespace: the namespace, where the server has them.
        ca_file: the authority that signed the server's certificate, if it is not a public one.
        certificate: the files of a client certificate and its key, where the server wants one.
        timeouts: how long to wait for a connection, and for each part of an answer.

    Raises:
        BrokenError: the address, the namespace or a file is not usable.
    """

    def __init__(
        self,
        address: str,
        record: Record,
        *,
        namespace: str | None = None,
        ca_file: str | Path | None = None,
        certificate: tuple[str, str] | None = None,
        timeouts: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
    ) -> None:
        _check(address, namespace, ca_file, certificate)
        import hvac  # noqa: PLC0415 - see VaultSession

        self.address = address.rstrip("/")
        self.namespace = namespace or ""
        self.token: Secret | None = None
        self._record = record
        self._adapter = hvac.adapters.RawAdapter(
            base_uri=self.address,
            cert=certificate,
            verify=str(ca_file) if ca_file else True,
            timeout=timeouts,
            allow_redirects=False,
            ignore_exceptions=True,
        )
        self._adapter.session.trust_env = False

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        fields: Mapping[str, object] | None = None,
        namespace: str | None = None,
    ) -> Reply:
        """
        Ask one question with the login there is, and return its answer.

        Args:
            path: the path, without the version of the interface.
            method: such as `GET`, `POST` or `LIST`.
            fields: what to send along.
            namespace: another namespace than the configured one; empty for none.

        Raises:
            BrokenError: there is no answer, or the server does not answer questions at this time.
            AuditError: the question could not be recorded.
        """
        headers = {"X-Vault-Token": self.token.reveal()} if self.token else {}
        where = self.namespace if namespace is None else namespace
        if where:
            headers["X-Vault-Namespace"] = where
        response = self._sent(method, path, headers, fields)
        reply = Reply(Answer.of(response), header_time(response.headers.get("Date", "")))
        self._record.asked(path, error=None if reply.status < 400 else f"HTTP {reply.status}")
        if not (path == HEALTH and is_health(reply)):  # whose status tells how the server is, not how the question went
            self._check_well(reply, response)
        return reply

    def close(self) -> None:
        """Let go of the connection."""
        self._adapter.close()

    def _sent(
        self, method: str, path: str, headers: Mapping[str, str], fields: Mapping[str, object] | None
    ) -> requests.Response:
        import requests  # noqa: PLC0415 - see VaultSession

        try:
            response: requests.Response = self._adapter.request(
                method, f"/v1/{path}", headers=dict(headers), json=fields
            )
        except requests.exceptions.RequestException as error:
            broken = unreachable(error, self.address)
        else:
            return response
        # Raised out here: the library's error keeps the request, whose headers hold the token.
        self._record.asked(path, error=broken.symptom.code)
        raise broken

    def _check_well(self, reply: Reply, response: requests.Response) -> None:
        """
        Do nothing if the server is one that answers questions.

        Raises:
            BrokenError: it is not, at this time.
        """
        where, status = self.address, reply.status
        if 300 <= status < 400:
            target = host_of(response.headers.get("Location", ""))
            raise BrokenError(
                problem(
                    "server",
                    "redirect",
                    f"{where} answers with a redirect to {target or 'another address'}, and none is followed: "
                    "it would carry the login along.",
                    "Set the address of the active server, or one behind which the servers forward requests.",
                    f"export CRYPTO_PIPELINE_VAULT_ADDRESS={where.partition('://')[0]}://{target}"
                    if target
                    else "bao status",
                )
            )
        if "namespace not found" in reply.answer.complaint:
            raise BrokenError(
                problem(
                    "namespace",
                    "namespace-missing",
                    f"Vault has no namespace '{self.namespace}'.",
                    "Correct VAULT_NAMESPACE.",
                    "bao namespace list",
                )
            )
        if status in _NOT_NOW:
            said = "limits requests" if status == 429 else "is not ready to answer"
            raise BrokenError(
                problem("server", "limited", f"Vault at {where} {said} (HTTP {status}).", "Wait, then run again.")
            )
        if status == 503 and "sealed" in reply.answer.complaint:
            raise BrokenError(sealed(where))
        if status >= 500:
            raise BrokenError(
                problem(
                    "server",
                    "failing",
                    f"Vault at {where} fails on its side (HTTP {status}).",
                    "Look at the server's log and its storage.",
                    "bao status",
                )
            )


def is_health(reply: Reply) -> bool:
    """Tell whether the answer is one about a server's health."""
    return {"initialized", "sealed"} <= reply.answer.body.keys()


def not_vault(where: str) -> BrokenError:
    """Return that something else answers than Vault."""
    return BrokenError(
        problem(
            "server",
            "not-vault",
            f"What answers at {where} is not Vault or OpenBao.",
            "Check scheme, host and port of the address (VAULT_ADDR).",
            f"bao status -address={where}",
        )
    )


def sealed(where: str) -> Symptom:
    """Return that a server is sealed."""
    return problem(
        "server",
        "sealed",
        f"Vault at {where} is sealed: it answers, and gives nothing.",
        "Unseal it.",
        "bao operator unseal",
    )


def _check(
    address: str, namespace: str | None, ca_file: str | Path | None, certificate: tuple[str, str] | None
) -> None:
    try:
        check_address(address, what="The address of Vault")
    except ConfigurationError as error:
        code = "plain-http" if address.lower().startswith("http://") else "address"
        raise BrokenError(problem_of("server", code, error)) from None
    if namespace and not is_header_value(namespace):
        seen = "The namespace of Vault must be printable, without spaces."
        raise BrokenError(problem("namespace", "namespace-malformed", seen, "Correct VAULT_NAMESPACE."))
    if ca_file is None and certificate is None:
        return
    try:
        check_files(ca_file, certificate)
    except ConfigurationError as error:
        raise BrokenError(problem_of("server", "certificate-files", error)) from None


def unreachable(error: requests.exceptions.RequestException, where: str) -> BrokenError:
    """Return what an error on the way to the server means; its text names the address at most."""
    import requests  # noqa: PLC0415 - see VaultSession

    said = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        why = next((meaning for sign, meaning in _CERTIFICATE_FAULTS if sign in said), "it does not verify")
        seen = f"The certificate of Vault at {where} is not accepted: {why}. Nothing was sent."
        return BrokenError(
            problem("server", "tls", seen, "Set VAULT_CACERT to the file of the authority that signed it.")
        )
    if "SSL" in said:
        seen = f"What listens at {where} does not speak TLS, or not in a way that is accepted."
        return BrokenError(problem("server", "tls", seen, "Check scheme and port of the address."))
    if isinstance(error, requests.exceptions.Timeout):
        why = "it does not answer in time"
    elif re.search(r"NameResolution|Name or service|getaddrinfo|nodename", said):
        why = "its name does not resolve"
    elif "refused" in said:
        why = "nobody listens there"
    else:
        why = "the connection was cut"
    return BrokenError(
        problem(
            "server",
            "unreachable",
            f"Vault cannot be reached at {where}: {why}.",
            "Start the server, or correct the address (VAULT_ADDR) and the network on the way there.",
            f"bao status -address={where}",
        )
    )


def host_of(location: str) -> str:
    """Return host and port of an address, and nothing else of it; empty if there are none."""
    try:
        url = urlsplit(location)
        host, port = url.hostname or "", url.port
    except ValueError:
        return ""
    if not re.fullmatch(r"[A-Za-z0-9.:-]+", host):
        return ""
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}" if port else shown
