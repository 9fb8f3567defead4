"""
What may be the matter with the secrets in an AWS Secrets Manager that lets us in.

Part of the doctor (`aws`). Whether a value could be read is asked with a label that no version has: AWS
says no to who may not, and that there is no such version to who may. So no value is ever given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Final

from crypto_pipeline.credentials import CredentialDescription
from crypto_pipeline.secrets.doctor.aws_copies import compare_copies
from crypto_pipeline.secrets.doctor.aws_probe import SECRETS_MANAGER, AwsConnections, AwsProbe, AwsReply, aws_command
from crypto_pipeline.secrets.doctor.aws_refusals import is_login_refusal, refused_login
from crypto_pipeline.secrets.doctor.symptom import (
    BrokenError,
    Record,
    Symptom,
    fine,
    note,
    policy_command,
    problem,
    warning,
)

NOBODYS_LABEL: Final = "crypto-pipeline-doctor-reads-nothing-"

_MOST_PAGES: Final = 20
_OTHER_LAYOUT: Final = {True: "separate", False: "combined"}


class AwsSecretsDoctor:
    """
    Looks at each secret in use, at its copies, and at what else is stored.

    Args:
        connections: the login.
        record: where each question is recorded.
        issuers: whose credentials are in use.
        prefix: the path under which all secrets are named.
        is_combined: whether one secret is for all issuers.
        replica_regions: where copies are to be.
    """

    def __init__(
        self,
        connections: AwsConnections,
        record: Record,
        issuers: Sequence[str],
        *,
        prefix: str,
        is_combined: bool,
        replica_regions: Sequence[str],
    ) -> None:
        self.described: dict[str, CredentialDescription] = {}
        self.questions: int | None = None
        self._connections = connections
        self._record = record
        self._probe = AwsProbe(connections, SECRETS_MANAGER, record)
        self._prefix = prefix
        self._is_combined = is_combined
        self._replica_regions = replica_regions
        self._names: dict[str, list[str]] = {}
        for issuer in issuers:
            self._names.setdefault(self._name(issuer, is_combined=is_combined), []).append(issuer)

    def symptoms(self) -> Iterator[Symptom]:
        """
        Look, and yield what is noticed.

        Raises:
            BrokenError: there is nothing that could be looked at further.
        """
        found = {name: self._asked("DescribeSecret", name) for name in self._names}
        missing = [name for name, reply in found.items() if reply.is_missing]
        is_empty = len(missing) == len(found)
        if is_empty:
            self._check_layout(missing)
        self._check_regions(missing)
        if missing:
            yield self._missing(missing, is_empty=is_empty)
        for name, reply in found.items():
            if not reply.is_missing:
                yield from self._secret(name, reply)
        versions = {name: current for name, reply in found.items() if (current := _current(reply.body))}
        yield from compare_copies(self._connections, self._record, self._replica_regions, versions)
        yield from self._others()

    # One secret...

    def _secret(self, name: str, reply: AwsReply) -> Iterator[Symptom]:
        about = self._about(name)
        told = reply.body
        if told.get("DeletedDate"):
            yield problem(
                about,
                "secret-deleted",
                f"'{name}' is marked for deletion, and gives nothing any more.",
                "Restore it before AWS deletes it.",
                aws_command("restore-secret", self._probe.region, name),
            )
            return
        if reply.code and not reply.is_denied:
            seen = f"AWS refuses DescribeSecret on '{name}' ({reply.code})."
            yield problem(about, "secret-refused", seen, "Check prefix, region and endpoint of the secrets.")
            return
        if not reply.code and not _current(told):
            seen, remedy = f"'{name}' has no version that is labelled AWSCURRENT, so no value.", "Store its value."
            yield problem(about, "secret-empty", seen, remedy, f"crypto-pipeline secrets put {self._names[name][0]}")
            return
        listed = self._asked("ListSecretVersionIds", name)
        tried = self._asked("GetSecretValue", name, VersionStage=f"{NOBODYS_LABEL}{token_hex(8)}")
        if denied := [each.operation for each in (reply, listed, tried) if each.is_denied]:
            yield self._denied(about, name, denied)
        made_at = _made_at(listed.body, _current(told))
        if made_at is not None:
            for issuer in self._names[name]:
                self.described[issuer] = CredentialDescription(issuer, name, "aws", _current(told), made_at)
            if not denied:
                seen = f"'{name}' is there: version {_current(told)}, stored on {made_at:%Y-%m-%d}."
                yield fine(about, seen)
        yield from self._oddities(about, name, told)

    def _denied(self, about: str, name: str, operations: Sequence[str]) -> Symptom:
        listed = ", ".join(f"secretsmanager:{operation}" for operation in operations)
        return problem(
            about,
            "rights-missing",
            f"AWS denies this login {listed} on '{name}'.",
            "Allow it in its policy; the whole of it is:",
            policy_command("aws", self._prefix, "--region", self._probe.region),
        )

    def _oddities(self, about: str, name: str, told: Mapping[str, Any]) -> Iterator[Symptom]:
        """Yield what does not keep the secret from being read."""
        region = self._probe.region
        rotates_at = told.get("NextRotationDate")
        if told.get("RotationEnabled") and rotates_at and rotates_at.astimezone(UTC) < self._connections.clock():
            yield warning(
                about,
                "rotation-overdue",
                f"AWS was to rotate '{name}' by {rotates_at:%Y-%m-%d}, and has not: its rotation fails.",
                "Look at the log of the rotation's function, then start it anew.",
                aws_command("rotate-secret", region, name),
            )
        pending = _version_with(told, "AWSPENDING")
        if pending and pending != _current(told):
            yield warning(
                about,
                "rotation-incomplete",
                f"A version of '{name}' is labelled AWSPENDING and not current: a rotation is under way, or was never "
                "completed.",
                "If none is under way, find out whether its key was made at the issuer, then take the label away.",
                aws_command(
                    "update-secret-version-stage",
                    region,
                    name,
                    "--version-stage",
                    "AWSPENDING",
                    "--remove-from-version-id",
                    pending,
                ),
            )
        key = told.get("KmsKeyId")
        if key and not str(key).endswith("alias/aws/secretsmanager"):
            yield note(
                about,
                "kms-not-told",
                f"'{name}' has a key of its own ({key}); whether this login may use it shows only when it is read.",
                "Allow it kms:Decrypt on that key.",
            )
        if (primary := told.get("PrimaryRegion")) and primary != region:
            seen = f"'{name}' in {region} is a copy; new versions are stored in {primary}."
            yield note(about, "secret-is-copy", seen, f"Ask {primary} first, if nothing speaks against it.")

    # What is not there...

    def _missing(self, names: Sequence[str], *, is_empty: bool) -> Symptom:
        issuers = [issuer for name in names for issuer in self._names[name]]
        listed = " and no ".join(f"'{name}'" for name in names)
        place = "region, prefix and layout" if is_empty else "CRYPTO_PIPELINE_SECRET_PREFIX"
        return problem(
            "secrets" if len(names) > 1 else self._about(names[0]),
            "secret-missing",
            f"There is no {listed} in {self._probe.region}.",
            f"Store it, correct {place}, or take {', '.join(issuers)} off CRYPTO_PIPELINE_KEYS.",
            *(f"crypto-pipeline secrets put {issuer}" for issuer in issuers),
        )

    def _check_layout(self, missing: Sequence[str]) -> None:
        """
        Do nothing if the secrets do not lie here in the other layout either.

        Raises:
            BrokenError: they do.
        """
        other = _OTHER_LAYOUT[self._is_combined]
        for issuer in (issuer for name in missing for issuer in self._names[name]):
            name = self._name(issuer, is_combined=not self._is_combined)
            if not self._asked("DescribeSecret", name).code:
                raise BrokenError(
                    problem(
                        "layout",
                        "layout-other",
                        f"There is no '{missing[0]}', but '{name}': the secrets lie here in the layout `{other}`.",
                        "Set that layout, or store the secrets in the one that is set.",
                        f"export CRYPTO_PIPELINE_AWS_LAYOUT={other}",
                    )
                )

    def _check_regions(self, missing: Sequence[str]) -> None:
        """
        Do nothing if what is missing here is in none of the other regions either.

        Raises:
            BrokenError: one of them has it.
        """
        for region in self._replica_regions if missing else ():
            probe = AwsProbe(self._connections, SECRETS_MANAGER, self._record, region=region)
            try:
                reply = probe.ask("DescribeSecret", missing[0], SecretId=missing[0])
            except BrokenError:
                continue  # told where the copies are compared
            if not reply.code:
                raise BrokenError(
                    problem(
                        "region",
                        "region-other",
                        f"'{missing[0]}' is not in {self._probe.region}, but in {region}.",
                        "Correct the region, or replicate the secret.",
                        f"export CRYPTO_PIPELINE_AWS_REGION={region}",
                    )
                )

    # All that is there...

    def _others(self) -> Iterator[Symptom]:
        """Yield which secrets nobody uses, and what a look at all of them costs."""
        names = self._listed()
        self.questions = 2 * sum(map(len, self._names.values())) if names is None else 1
        if names is None:
            yield note(
                "other secrets",
                "no-list",
                "This login may not list secrets: a look at all of them asks twice for each, and what else is stored "
                "is not known.",
                "Well enough as it is; secretsmanager:ListSecrets would show it the names of the whole account.",
            )
        elif unused := sorted(names - self._names.keys()):
            listed = ", ".join(f"'{name}'" for name in unused)
            remedy = "Withdraw at its issuer, and here, what nobody else uses."
            yield note("other secrets", "secrets-unused", f"Stored here, and used by no key: {listed}.", remedy)

    def _listed(self) -> set[str] | None:
        """Return the names of all secrets under the prefix; None if this login may not know."""
        found: set[str] = set()
        token: dict[str, str] = {}
        filters = [{"Key": "name", "Values": [f"{self._prefix}/"]}]
        for _ in range(_MOST_PAGES):
            reply = self._asked("ListSecrets", f"{self._prefix}/", Filters=filters, MaxResults=100, **token)
            if reply.code:
                return None
            found |= {each["Name"] for each in reply.body["SecretList"] if each["Name"].startswith(f"{self._prefix}/")}
            if not reply.body.get("NextToken"):
                break
            token = {"NextToken": reply.body["NextToken"]}
        return found

    def _asked(self, operation: str, name: str, **parameters: Any) -> AwsReply:
        """Ask about one secret, or with parameters of its own about all; a login that is none ends the inspection."""
        whose = {} if operation == "ListSecrets" else {"SecretId": name}
        reply = self._probe.ask(operation, name, **whose, **parameters)
        if is_login_refusal(reply, operation):
            self._record.refused(operation, reply.code)
            raise BrokenError(refused_login(reply))
        return reply

    def _name(self, issuer: str, *, is_combined: bool) -> str:
        return f"{self._prefix}/{'exchange-keys' if is_combined else issuer}"

    def _about(self, name: str) -> str:
        return f"secret {name}" if self._is_combined else f"secret {self._names[name][0]}"


def _version_with(told: Mapping[str, Any], stage: str) -> str:
    stages = told.get("VersionIdsToStages") or {}
    return next((str(version) for version, labels in stages.items() if stage in labels), "")


def _current(told: Mapping[str, Any]) -> str:
    return _version_with(told, "AWSCURRENT")


def _made_at(listed: Mapping[str, Any], version: str) -> datetime | None:
    """Return when a version was made, if that was told."""
    for each in listed.get("Versions", ()):
        if each.get("VersionId") == version and isinstance(made_at := each.get("CreatedDate"), datetime):
            return made_at.astimezone(UTC)
    return None
