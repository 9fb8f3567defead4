"""
What may be the matter with AWS Secrets Manager, from the outside in.

Here the region, the login and the clock, and the order of everything; the secrets and their copies are looked
at by `aws_secrets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from crypto_pipeline.audit import AuditLog
from crypto_pipeline.credentials import CredentialDescription
from crypto_pipeline.secrets.aws_client import APPLICATION
from crypto_pipeline.secrets.doctor.aws_probe import AwsConnections, AwsProbe, AwsReply
from crypto_pipeline.secrets.doctor.aws_refusals import refused_login
from crypto_pipeline.secrets.doctor.aws_secrets import AwsSecretsDoctor
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
from crypto_pipeline.secrets.memory import keep_to_this_process


class AwsDoctor:
    """
    Inspects AWS Secrets Manager, and what the pipeline wants of it.

    Args:
        connections: the login, and where to ask.
        issuers: whose credentials are in use.
        audit: the record.
        prefix: the path under which all secrets are named.
        layout: one secret for all issuers, or one each.
        replica_regions: where the secrets are to be replicated to.
    """

    store: Final = "aws"

    def __init__(
        self,
        connections: AwsConnections,
        issuers: Sequence[str],
        audit: AuditLog,
        *,
        prefix: str = "crypto-pipeline",
        layout: Literal["combined", "separate"] = "combined",
        replica_regions: Sequence[str] = (),
    ) -> None:
        keep_to_this_process()  # it holds the login
        self.described: dict[str, CredentialDescription] = {}
        self.questions: int | None = None
        self._connections = connections
        self._issuers = issuers
        self._record = Record(audit, store=self.store)
        self._prefix = prefix.strip("/")
        self._layout = layout
        self._replica_regions = replica_regions

    def symptoms(self) -> Iterator[Symptom]:
        """
        Look, and yield what is noticed as it is noticed.

        Raises:
            AuditError: what was asked could not be recorded.
        """
        try:
            yield from self._login()
            inside = AwsSecretsDoctor(
                self._connections,
                self._record,
                self._issuers,
                prefix=self._prefix,
                is_combined=self._layout == "combined",
                replica_regions=self._replica_regions,
            )
            self.described = inside.described
            yield from inside.symptoms()
            self.questions = inside.questions
        except BrokenError as broken:
            yield self._explained(broken.symptom)

    def _login(self) -> Iterator[Symptom]:
        region, method = self._connections.region, self._connections.login()
        try:
            sts = AwsProbe(self._connections, "sts", self._record)
            reply = sts.ask("GetCallerIdentity")
        except BrokenError as broken:
            symptom = self._explained(broken.symptom)
            if self._connections.role_arn or symptom.code != "unreachable":
                raise
            # A network without a way out may have one to Secrets Manager only.
            seen = f"Who is logged in is not known: {symptom.seen}"
            yield note("login", "login-not-told", seen, "Nothing is wrong with that if no way leads there on purpose.")
            return
        if reply.code:
            self._record.refused("GetCallerIdentity", reply.code)
            raise BrokenError(refused_login(reply))
        yield from self._identity(str(reply.body["Arn"]), method, region)
        if self._connections.role_arn:
            yield self._assumed(sts, self._connections.role_arn, str(reply.body["Arn"]))
        yield reply.clock

    def _explained(self, symptom: Symptom) -> Symptom:
        """Return the symptom, or why nobody could be reached if that is the region."""
        if symptom.code != "unreachable" or self._connections.is_known_region:
            return symptom
        return problem(
            "region",
            "region-unknown",
            f"{symptom.seen.removesuffix('.')}, and the AWS library knows no region '{self._connections.region}'.",
            "Correct the region of the secrets.",
            "export CRYPTO_PIPELINE_AWS_REGION=eu-west-1",
        )

    def _identity(self, arn: str, method: str, region: str) -> Iterator[Symptom]:
        yield fine("login", f"Logged in as {arn} (found as: {method}), region {region}.")
        if arn.endswith(":root"):
            yield warning(
                "login",
                "root",
                "This is the account's root login: it may do everything, and no policy holds it back.",
                "Give the pipeline a role with the policy of the role `pipeline`, and take the root's keys away.",
                policy_command("aws", self._prefix, "--region", region),
            )

    def _assumed(self, sts: AwsProbe, role_arn: str, arn: str) -> Symptom:
        """Assume the role, and go on with it."""
        reply: AwsReply = sts.ask("AssumeRole", role_arn, RoleArn=role_arn, RoleSessionName=APPLICATION)
        if reply.code:
            self._record.refused("AssumeRole", reply.code)
            raise BrokenError(
                problem(
                    "login",
                    "role-refused",
                    f"{arn} may not assume the role {role_arn} ({reply.code}).",
                    "Allow it sts:AssumeRole on the role, and name it in the role's trust policy.",
                    f"aws sts assume-role --role-arn {role_arn} --role-session-name {APPLICATION}",
                )
            )
        self._connections.use(reply.body["Credentials"])
        return fine("login", f"Assumed the role {role_arn}.")
