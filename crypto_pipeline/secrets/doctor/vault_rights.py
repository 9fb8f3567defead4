"""
What a login at Vault or OpenBao may do: less than the pipeline needs, or more.

Part of the doctor (`vault`). Rights are asked for, not tried, so that nothing has to be read to know
that it could be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from crypto_pipeline.secrets.doctor.symptom import Symptom, fine, note, policy_command, problem, warning
from crypto_pipeline.secrets.doctor.vault_place import NOBODYS, VaultPlace, policy_line
from crypto_pipeline.secrets.roles import DEVELOPMENT_SUFFIX

_NEEDED: Final = ("data", "metadata")
_WRITING: Final = ("create", "update", "patch", "delete", "sudo")
_TAKING_AWAY: Final = ("delete", "undelete", "destroy")
"""Doors of the engine behind which every `update` changes what can be read."""

_POLICIES: Final = f"sys/policies/acl/{NOBODYS}"


class VaultRights:
    """
    The rights of a login, as the server tells them.

    Args:
        place: the secrets in use.
    """

    def __init__(self, place: VaultPlace) -> None:
        self._place = place
        self._told: Mapping[str, Any] | None = None

    def look(self) -> Iterator[Symptom]:
        """Ask for them, and yield what is too little and what is too much."""
        paths = [self._place.path(door, issuer) for issuer in self._place.issuers for door in (*_NEEDED, *_TAKING_AWAY)]
        paths += [*self.listing_paths(), *self._paths_of_others(), self._place.path("data", NOBODYS), _POLICIES]
        reply = self._place.probe.ask("sys/capabilities-self", method="POST", fields={"paths": paths})
        if reply.status != 200:
            yield note(
                "rights",
                "rights-not-told",
                "What this login may do it is not allowed to see, so whether it may read values is not known.",
                "Allow it to.",
                policy_line("sys/capabilities-self", "update"),
            )
            return
        self._told = reply.data
        yield from self._missing()
        if "root" not in self._rights_at(self._place.path("data", NOBODYS)):
            yield from self._excess()

    def may(self, path: str, right: str) -> bool:
        """Tell whether the login has a right; where it was not told, that it may have."""
        found = self._rights_at(path)
        return self._told is None or ("deny" not in found and bool({right, "root"} & found))

    def listing_paths(self) -> Mapping[str, tuple[str, str]]:
        """Return the questions for all secrets at once, best first: by path, the right they need, and the method."""
        detailed = f"{self._place.mount}/detailed-metadata/{self._place.prefix}"
        return {detailed: ("scan", "SCAN"), f"{detailed}/": ("list", "LIST")}

    def _rights_at(self, path: str) -> set[str]:
        found = (self._told or {}).get(path)
        return {str(each) for each in found} if isinstance(found, list) else set()

    def _missing(self) -> Iterator[Symptom]:
        lacking = {
            issuer: doors
            for issuer in self._place.issuers
            if (doors := [door for door in _NEEDED if not self.may(self._place.path(door, issuer), "read")])
        }
        if lacking:
            paths = [self._place.path(door, issuer) for issuer, doors in lacking.items() for door in doors]
            yield problem(
                "rights",
                "rights-missing",
                f"This login may not read {', '.join(map(repr, paths))}.",
                "Add to its policy:",
                *(line for issuer, doors in lacking.items() for line in self._place.lines(issuer, doors)),
            )
        elif self._place.issuers:
            yield fine("rights", "This login may read and describe each secret that is in use.")

    def _excess(self) -> Iterator[Symptom]:
        found = [*self._writes(), *(f"read '{path}'" for path in self._paths_of_others() if self.may(path, "read"))]
        if self.may(_POLICIES, "update"):
            found.append("change policies")
        if not found:
            return
        command = policy_command("vault", self._place.prefix, "--mount", self._place.mount)
        yield warning(
            "rights",
            "rights-excess",
            f"This login may do more than the pipeline needs: {'; '.join(found)}.",
            "Give it this policy, and no other.",
            f"{command} | bao policy write crypto-pipeline -",
        )

    def _writes(self) -> Iterator[str]:
        """Yield how the login may change the secrets in use, those that are alike told once."""
        alike: dict[tuple[str, str], list[str]] = {}
        for issuer in self._place.issuers:
            for door in (*_NEEDED, *_TAKING_AWAY):
                path = self._place.path(door, issuer)
                if rights := ", ".join(each for each in _WRITING if self.may(path, each)):
                    alike.setdefault((door, rights), []).append(path)
        for (_, rights), (path, *more) in alike.items():
            yield f"{rights} '{path}'" + (f" and {len(more)} like it" if more else "")

    def _paths_of_others(self) -> list[str]:
        """Return paths outside of our folder whose values this login need not see."""
        place = self._place
        folder = place.prefix.removesuffix(DEVELOPMENT_SUFFIX)
        other = folder if folder != place.prefix else f"{place.prefix}{DEVELOPMENT_SUFFIX}"
        return [f"{place.mount}/data/{other}/{place.any_issuer}", f"{place.mount}/data/{NOBODYS}"]
