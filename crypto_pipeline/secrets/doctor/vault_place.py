"""
Where in a Vault or OpenBao the secrets lie: mount, namespace, and whether there is such a place.

Part of the doctor (`vault`). Nothing is guessed after a refusal: the server says the same to who may
not know and where there is nothing, and only a right to something that is missing tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crypto_pipeline.secrets.doctor.symptom import BrokenError, Symptom, fine, problem
from crypto_pipeline.secrets.doctor.vault_probe import VaultProbe

MOST_NAMESPACES: Final = 10
"""How many other namespaces are looked into."""

NOBODYS: Final = "nobody-uses-this-name"
"""A name that no deployment has: whoever may read this may read everything."""


@dataclass(frozen=True, slots=True)
class VaultPlace:
    """
    The secrets of this deployment.

    Fields:
        probe: the server, with a login.
        mount: the mount of the KV version 2 engine.
        prefix: the path under which all secrets are named.
        issuers: whose credentials are in use.
    """

    probe: VaultProbe
    mount: str
    prefix: str
    issuers: Sequence[str]

    @property
    def any_issuer(self) -> str:
        """The name that stands for all of them."""
        return next(iter(self.issuers), NOBODYS)

    def path(self, door: str, issuer: str) -> str:
        """Return the path of an issuer's secret behind one door of the engine, such as `data`."""
        return f"{self.mount}/{door}/{self.prefix}/{issuer}"

    def lines(self, issuer: str, doors: Sequence[str]) -> list[str]:
        """Return the lines of a policy that let an issuer's secret be read behind these doors."""
        return [policy_line(self.path(door, issuer), "read") for door in doors]

    def look(self) -> Symptom:
        """
        Return that the mount is a good one.

        Raises:
            BrokenError: it is not, or is not there.
        """
        reply = self.probe.ask(f"sys/internal/ui/mounts/{self.mount}")
        if reply.status != 200:
            raise BrokenError(self._not_told())
        kind, options = reply.data.get("type"), reply.data.get("options")
        version = str(options.get("version") or 1) if isinstance(options, Mapping) else "1"
        if kind != "kv":
            seen = f"At '{self.mount}' is no KV engine but '{kind}'."
            remedy = "Name the mount that holds the secrets in CRYPTO_PIPELINE_VAULT_MOUNT."
            raise BrokenError(problem("mount", "mount-other-engine", seen, remedy, "bao secrets list"))
        if version != "2":
            raise BrokenError(
                problem(
                    "mount",
                    "mount-kv-1",
                    f"At '{self.mount}' is a KV engine of version {version}, not 2: it keeps no versions and no times.",
                    "Name a mount of version 2 in CRYPTO_PIPELINE_VAULT_MOUNT, or upgrade this one, for good and for "
                    "all who use it.",
                    f"bao kv enable-versioning {self.mount}",
                )
            )
        inside = f" in namespace '{self.probe.namespace}'" if self.probe.namespace else ""
        return fine("mount", f"At '{self.mount}'{inside} is a KV engine of version 2.")

    def check_elsewhere(self, path: str, what: str) -> None:
        """
        Do nothing if no other namespace has what is missing in this one.

        Args:
            path: what to ask for there.
            what: what is missing, for the message.

        Raises:
            BrokenError: another one has it.
        """
        other = self._elsewhere(path)
        if other is None:
            return
        here = f"In namespace '{self.probe.namespace}'" if self.probe.namespace else "Without a namespace"
        there = f"in namespace '{other}' it has" if other else "outside of it, it has"
        command = f"export CRYPTO_PIPELINE_VAULT_NAMESPACE={other}"
        raise BrokenError(
            problem(
                "namespace",
                "namespace-other",
                f"{here} this login has {what}; {there}.",
                "Correct the namespace.",
                command if other else "unset CRYPTO_PIPELINE_VAULT_NAMESPACE VAULT_NAMESPACE",
            )
        )

    def _elsewhere(self, path: str) -> str | None:
        """Return another namespace in which this login is answered; empty for none at all, None if there is none."""
        here = self.probe.namespace.strip("/")
        below = self.probe.ask("sys/internal/ui/namespaces").data.get("keys")
        inner = [f"{here}/{each}".strip("/") for each in below] if isinstance(below, list) else []
        for other in [*inner[:MOST_NAMESPACES], *([""] if here else [])]:
            if self.probe.ask(path, namespace=other).status == 200:
                return other
        return None

    def _not_told(self) -> Symptom:
        self.check_elsewhere(f"sys/internal/ui/mounts/{self.mount}", f"no right at '{self.mount}'")
        asked = self.probe.ask(self.path("metadata", self.any_issuer))
        if "no handler for route" in asked.answer.complaint:
            return problem(
                "mount",
                "mount-missing",
                f"There is no mount '{self.mount}'.",
                "Correct CRYPTO_PIPELINE_VAULT_MOUNT, or enable the engine.",
                "bao secrets list",
                f"bao secrets enable -path={self.mount} -version=2 kv",
            )
        return problem(
            "mount",
            "mount-not-told",
            f"This login has no right at all below '{self.mount}', or there is no such mount; the server does not say "
            "which.",
            "Check CRYPTO_PIPELINE_VAULT_MOUNT, then add to the policy of the login:",
            *(line for issuer in self.issuers for line in self.lines(issuer, ("data", "metadata"))),
        )


def policy_line(path: str, right: str) -> str:
    """Return the line of a policy that gives a right to a path."""
    return f'path "{path}" {{ capabilities = ["{right}"] }}'
