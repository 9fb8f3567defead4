"""
What may be the matter with the secrets in a Vault or OpenBao that lets us in.

Part of the doctor (`vault`). Of a secret only its metadata are asked for.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from crypto_pipeline.credentials import CredentialDescription
from crypto_pipeline.secrets.doctor.symptom import Symptom, fine, note, problem, warning
from crypto_pipeline.secrets.doctor.vault_place import VaultPlace, policy_line
from crypto_pipeline.secrets.doctor.vault_probe import Reply, not_vault
from crypto_pipeline.secrets.doctor.vault_rights import VaultRights
from crypto_pipeline.secrets.vault_errors import parse_time


class VaultSecretsDoctor:
    """
    Looks at each secret in use, and at what else is stored.

    Args:
        place: where they lie.
        rights: what the login may do there.
        clock: the time, aware.
    """

    def __init__(self, place: VaultPlace, rights: VaultRights, *, clock: Callable[[], datetime]) -> None:
        self.described: dict[str, CredentialDescription] = {}
        self.questions: int | None = None
        self._place = place
        self._rights = rights
        self._clock = clock

    def symptoms(self) -> Iterator[Symptom]:
        """
        Look, and yield what is noticed.

        Raises:
            BrokenError: there is nothing that could be looked at further.
        """
        place = self._place
        paths = {issuer: place.path("metadata", issuer) for issuer in place.issuers}
        replies = {issuer: place.probe.ask(path) for issuer, path in paths.items() if self._rights.may(path, "read")}
        missing = [issuer for issuer, reply in replies.items() if reply.status == 404]
        if missing:
            place.check_elsewhere(paths[missing[0]], f"no secret '{self._name(missing[0])}'")
            yield self._missing(missing)
        for issuer, reply in replies.items():
            if reply.status != 404:
                yield self._secret(issuer, reply)
        yield from self._others()

    def _missing(self, issuers: Sequence[str]) -> Symptom:
        listed = " and no ".join(f"'{self._name(issuer)}'" for issuer in issuers)
        return problem(
            "secrets" if len(issuers) > 1 else f"secret {issuers[0]}",
            "secret-missing",
            f"There is no {listed} under '{self._place.mount}'.",
            f"Store it, correct CRYPTO_PIPELINE_SECRET_PREFIX, or take {', '.join(issuers)} off CRYPTO_PIPELINE_KEYS.",
            *(f"crypto-pipeline secrets put {issuer}" for issuer in issuers),
        )

    def _secret(self, issuer: str, reply: Reply) -> Symptom:
        if reply.status == 403:
            seen = f"Vault denies '{self._place.path('metadata', issuer)}' to this login."
            lines = self._place.lines(issuer, ("metadata",))
            return problem(f"secret {issuer}", "secret-denied", seen, "Add to its policy:", *lines)
        try:
            return self._version(issuer, reply.data)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise not_vault(self._place.probe.address) from None

    def _version(self, issuer: str, data: Mapping[str, Any]) -> Symptom:
        about, name, mount = f"secret {issuer}", self._name(issuer), self._place.mount
        version = str(data["current_version"])
        current = data["versions"].get(version)
        if current is None:
            seen = f"The secret '{name}' has no version, so no value."
            return problem(about, "secret-empty", seen, "Store its value.", f"crypto-pipeline secrets put {issuer}")
        made_at, ends_at = parse_time(current["created_time"]), _end(current)
        if current["destroyed"]:
            seen = f"Version {version} of '{name}', the current one, was destroyed: its value is gone."
            remedy, command = "Store the credential again.", f"crypto-pipeline secrets put {issuer}"
            if live := [int(key) for key, each in data["versions"].items() if not each["destroyed"]]:
                remedy = f"Store the credential again, or take version {max(live)} if its key is still good."
                command = shlex.join(["bao", "kv", "rollback", f"-mount={mount}", f"-version={max(live)}", name])
            return problem(about, "secret-destroyed", seen, remedy, command)
        if ends_at is not None and ends_at <= self._clock():
            seen = f"Version {version} of '{name}', the current one, was deleted; its value can be had back."
            command = shlex.join(["bao", "kv", "undelete", f"-mount={mount}", f"-versions={version}", name])
            return problem(about, "secret-deleted", seen, "Undelete it, or store the credential again.", command)
        self.described[issuer] = CredentialDescription(issuer, name, "vault", version, made_at)
        if ends_at is not None:
            seen = f"Version {version} of '{name}' will be deleted by itself on {ends_at:%Y-%m-%d %H:%M} UTC."
            remedy = "Store a new one before; later ones live on if the secret is told so."
            command = shlex.join(["bao", "kv", "metadata", "put", f"-mount={mount}", "-delete-version-after=0s", name])
            return warning(about, "secret-ends", seen, remedy, command)
        return fine(about, f"'{name}' is there: version {version}, stored on {made_at:%Y-%m-%d}.")

    def _others(self) -> Iterator[Symptom]:
        """Yield which secrets nobody uses, and what a look at all of them costs."""
        place = self._place
        names = self._names()
        self.questions = len(place.issuers) if names is None else 1
        if names is None:
            yield note(
                "other secrets",
                "no-list",
                "This login may not have all secrets described at once: a look at all of them asks for each by itself, "
                "and what else is stored is not known.",
                "Well enough as it is; in OpenBao one question does for all, if the login may know all names:",
                policy_line(f"{place.mount}/detailed-metadata/{place.prefix}", "scan"),
            )
        elif unused := sorted(names - set(place.issuers)):
            listed = ", ".join(f"'{self._name(name)}'" for name in unused)
            remedy = "Withdraw at its issuer, and here, what nobody else uses."
            yield note("other secrets", "secrets-unused", f"Stored here, and used by no key: {listed}.", remedy)

    def _names(self) -> set[str] | None:
        """Return the names of all secrets under the prefix; None where they cannot be had."""
        for path, (right, method) in self._rights.listing_paths().items():
            if not self._rights.may(path, right):
                continue
            reply = self._place.probe.ask(path.rstrip("/"), method=method)
            keys = reply.data.get("keys")
            if reply.status == 200 and isinstance(keys, list):
                return {str(key) for key in keys if not str(key).endswith("/")}
            if reply.status == 404 and reply.answer.body.get("errors") == []:
                return set()
            # Otherwise it is a question that only OpenBao knows.
        return None

    def _name(self, issuer: str) -> str:
        return f"{self._place.prefix}/{issuer}"


def _end(version: Mapping[str, Any]) -> datetime | None:
    return parse_time(version["deletion_time"]) if version["deletion_time"] else None
