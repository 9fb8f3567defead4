"""
What may be the matter with Vault or OpenBao, from the outside in.

Here the server and its clock, and the order of everything; the login, the mount, the rights and the secrets
have modules of their own. The server's own words are used to decide, never repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from crypto_pipeline.audit import AuditLog
from crypto_pipeline.credentials import CredentialDescription
from crypto_pipeline.secrets.doctor.symptom import (
    CONNECT_SECONDS,
    READ_SECONDS,
    BrokenError,
    Record,
    Symptom,
    clock_symptom,
    fine,
    note,
    problem,
)
from crypto_pipeline.secrets.doctor.vault_login import VaultLoginDoctor
from crypto_pipeline.secrets.doctor.vault_place import VaultPlace
from crypto_pipeline.secrets.doctor.vault_probe import HEALTH, Reply, VaultProbe, is_health, not_vault, sealed
from crypto_pipeline.secrets.doctor.vault_rights import VaultRights
from crypto_pipeline.secrets.doctor.vault_secrets import VaultSecretsDoctor
from crypto_pipeline.secrets.memory import keep_to_this_process
from crypto_pipeline.secrets.vault import DEFAULT_MOUNT, DEFAULT_PREFIX
from crypto_pipeline.secrets.vault_login import VaultAuth


class VaultDoctor:
    """
    Inspects a Vault or OpenBao, and what the pipeline wants of it.

    Args:
        address: the server; https, or http on this machine.
        issuers: whose credentials are in use.
        audit: the record.
        auth: gives the way of logging in; called once the server is seen to be well.
        mount: the mount of the KV version 2 engine.
        prefix: the path under which all secrets are named.
        namespace: the namespace, where the server has them.
        ca_file: the authority that signed the server's certificate, if it is not a public one.
        client_certificate: the files of a client certificate and its key, where the server wants one.
        timeouts: how long to wait for a connection, and for each part of an answer.
        clock: the time, aware.
    """

    store: Final = "vault"

    def __init__(
        self,
        address: str,
        issuers: Sequence[str],
        audit: AuditLog,
        *,
        auth: Callable[[], VaultAuth],
        mount: str = DEFAULT_MOUNT,
        prefix: str = DEFAULT_PREFIX,
        namespace: str | None = None,
        ca_file: str | Path | None = None,
        client_certificate: tuple[str, str] | None = None,
        timeouts: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        keep_to_this_process()  # it holds the login
        self.described: dict[str, CredentialDescription] = {}
        self.questions: int | None = None
        self._address = address
        self._issuers = issuers
        self._record = Record(audit, store=self.store)
        self._auth = auth
        self._mount = mount.strip("/")
        self._prefix = prefix.strip("/")
        self._namespace = namespace
        self._ca_file = ca_file
        self._certificate = client_certificate
        self._timeouts = timeouts
        self._clock = clock

    def symptoms(self) -> Iterator[Symptom]:
        """
        Look, and yield what is noticed as it is noticed.

        Raises:
            AuditError: what was asked could not be recorded.
        """
        try:
            self._check_place()
            probe = VaultProbe(
                self._address,
                self._record,
                namespace=self._namespace,
                ca_file=self._ca_file,
                certificate=self._certificate,
                timeouts=self._timeouts,
            )
        except BrokenError as broken:
            yield broken.symptom
            return
        login = VaultLoginDoctor(probe, self._auth, mount=self._mount, record=self._record)
        try:
            yield from self._server(probe)
            yield from login.symptoms()
            place = VaultPlace(probe, self._mount, self._prefix, self._issuers)
            yield place.look()
            rights = VaultRights(place)
            yield from rights.look()
            secrets = VaultSecretsDoctor(place, rights, clock=self._clock)
            self.described = secrets.described
            yield from secrets.symptoms()
            self.questions = secrets.questions
        except BrokenError as broken:
            yield broken.symptom
        finally:
            login.leave()
            probe.close()

    def _check_place(self) -> None:
        """
        Do nothing if mount and prefix lead to one place; a way back in them leads elsewhere.

        Raises:
            BrokenError: they do not.
        """
        if {"", ".", ".."} & set(f"{self._mount}/{self._prefix}".split("/")):
            seen = "Mount and prefix of the secrets must not be empty, nor hold '//', '.' or '..' as a part."
            remedy = "Correct CRYPTO_PIPELINE_VAULT_MOUNT and CRYPTO_PIPELINE_SECRET_PREFIX."
            raise BrokenError(problem("mount", "mount-malformed", seen, remedy))

    def _server(self, probe: VaultProbe) -> Iterator[Symptom]:
        before = self._clock()
        reply = probe.ask(HEALTH, namespace="")
        ours = before + (self._clock() - before) / 2
        if not is_health(reply):
            raise not_vault(probe.address)
        told, where = reply.answer.body, probe.address
        if told["initialized"] is not True:
            raise BrokenError(
                problem(
                    "server",
                    "not-initialised",
                    f"Vault at {where} was never initialised, so there is nothing in it.",
                    "Initialise it, and keep the keys it gives apart from each other.",
                    "bao operator init",
                )
            )
        if told["sealed"] is not False:
            raise BrokenError(sealed(where))
        yield fine("server", f"Vault or OpenBao {told.get('version', '')} answers at {where}, unsealed.")
        if told.get("standby") is True:
            yield note(
                "server",
                "standby",
                "This server is a standby: it hands questions on to the active one.",
                "Set an address that leads to whichever is active.",
            )
        yield clock_symptom(_time_of(reply), ours, who="the server")


def _time_of(reply: Reply) -> datetime | None:
    """Return the server's time, as its health tells it, else as the header does."""
    seconds = reply.answer.body.get("server_time_utc")
    if isinstance(seconds, int) and seconds > 0:
        # It is cut to whole seconds, so half of one is the best guess.
        return datetime.fromtimestamp(seconds + 0.5, UTC)
    return reply.sent_at
