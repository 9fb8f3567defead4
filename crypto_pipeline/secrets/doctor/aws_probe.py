"""
Single questions to AWS, whose refusals are answers too.

Where `aws_region` turns a refusal into an error, the doctor wants its code, and what the header tells. No
question is repeated, and each is on the record. Of a message nothing is shown.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import aws_errors
from crypto_pipeline.secrets.address import check_address
from crypto_pipeline.secrets.aws_client import check_role, configured, silence_logs
from crypto_pipeline.secrets.doctor.symptom import (
    BrokenError,
    Record,
    Symptom,
    clock_symptom,
    header_time,
    problem,
    problem_of,
)

if TYPE_CHECKING:
    import boto3

SECRETS_MANAGER: Final = "secretsmanager"
SERVICES: Final[Mapping[str, str]] = {SECRETS_MANAGER: "AWS Secrets Manager", "sts": "AWS STS"}

_PARTS: Final[Mapping[str, str]] = {
    "AssumeRole": "Credentials",
    "DescribeSecret": "ARN",
    "GetCallerIdentity": "Arn",
    "GetSecretValue": "ARN",
    "ListSecretVersionIds": "Versions",
    "ListSecrets": "SecretList",
}
"""What every answer has. The library takes an answer that was cut for an empty one."""

_NAMED: Final = re.compile(r"[A-Za-z.]{1,64}")
_IN_XML: Final = re.compile(r"<Code>([A-Za-z.]{1,64})</Code>")
"""Where the error of one protocol comes as an answer of another, as from a proxy, or from moto."""


@dataclass(frozen=True, slots=True)
class AwsReply:
    """
    One answer.

    Fields:
        operation: what was asked; or what was refused, which may be a step of the login on the way there.
        asked_at: this machine's time, between question and answer.
        body: the answer; empty if it was refused.
        code: why it was refused; empty if it was not.
        sent_at: the server's time, if the header tells it.
    """

    operation: str
    asked_at: datetime
    body: Mapping[str, Any] = field(repr=False, default_factory=dict)
    code: str = ""
    sent_at: datetime | None = None

    @property
    def clock(self) -> Symptom:
        """What the two times tell of this machine's clock."""
        return clock_symptom(self.sent_at, self.asked_at, who="AWS")

    @property
    def is_denied(self) -> bool:
        """Whether a policy says no."""
        return self.code.startswith("AccessDenied")

    @property
    def is_missing(self) -> bool:
        """Whether there is no such thing."""
        return self.code == "ResourceNotFoundException"


class AwsConnections:
    """
    Clients of AWS with one login; made when they are first wanted, as `build_client` makes them but without retries.

    Args:
        region: the region; else the AWS chain's own.
        endpoint_url: another endpoint for Secrets Manager in that region.
        profile: a profile of the AWS configuration.
        role_arn: the role that is to be assumed.
        clock: the time, aware.
    """

    def __init__(
        self,
        region: str | None = None,
        endpoint_url: str | None = None,
        profile: str | None = None,
        *,
        role_arn: str | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.role_arn = role_arn
        self.clock = clock
        self._wanted_region = region or os.environ.get("AWS_REGION")
        self._endpoint_url = endpoint_url
        self._profile = profile
        self._session: boto3.Session | None = None
        self._clients: dict[tuple[str, str | None], Any] = {}

    @property
    def session(self) -> boto3.Session:
        """
        The login, as the library finds it.

        Raises:
            BrokenError: the configuration of the library is not usable.
        """
        if self._session is None:
            import boto3  # noqa: PLC0415 - see aws_client.build_client
            from botocore.exceptions import BotoCoreError  # noqa: PLC0415

            silence_logs()
            try:
                check_role(self.role_arn)
                self._session = boto3.Session(profile_name=self._profile, region_name=self._wanted_region)
            except ConfigurationError as error:
                raise BrokenError(problem_of("login", "role-malformed", error)) from None
            except BotoCoreError as error:
                raise BrokenError(problem_of("login", "profile", aws_errors.unusable(error))) from None
        return self._session

    @property
    def region(self) -> str:
        """
        The region of the secrets.

        Raises:
            BrokenError: nobody names one.
        """
        found = self.session.region_name
        if not found:
            seen, remedy = "No region is set, so it is not known where to ask.", "Set the region of the secrets."
            command = "export CRYPTO_PIPELINE_AWS_REGION=eu-west-1"
            raise BrokenError(problem("server", "region-missing", seen, remedy, command))
        return str(found)

    @property
    def is_known_region(self) -> bool:
        """Whether the library knows the region."""
        partitions = self.session.get_available_partitions()
        return any(self.region in self.session.get_available_regions(SECRETS_MANAGER, each) for each in partitions)

    def login(self) -> str:
        """
        Return how the library came by the login.

        Raises:
            BrokenError: there is none.
        """
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - see session

        try:
            found = self.session.get_credentials()
        except BotoCoreError as error:
            raise BrokenError(problem_of("login", "login-missing", aws_errors.unusable(error))) from None
        except OSError as error:
            seen = f"The program that the profile names for the login cannot be run ({error.strerror})."
            remedy = "Correct `credential_process` of the profile."
            raise BrokenError(problem("login", "login-program", seen, remedy)) from None
        if found is None:
            raise BrokenError(
                problem(
                    "login",
                    "login-missing",
                    "There is no login for AWS: no role of this machine, no profile, no variables.",
                    "Give this machine a role, or set a profile.",
                    "export CRYPTO_PIPELINE_AWS_PROFILE=… && aws sso login --profile …",
                )
            )
        return str(found.method)

    def use(self, credentials: Mapping[str, Any]) -> None:
        """Log in with what an assumed role gave, from now on."""
        import boto3  # noqa: PLC0415 - see session

        self._session = boto3.Session(
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=Secret(credentials["SecretAccessKey"]).reveal(),
            aws_session_token=Secret(credentials["SessionToken"]).reveal(),
            region_name=self.region,
        )

    def client(self, service: str, region: str | None = None) -> Any:
        """
        Return a client.

        Args:
            service: `secretsmanager` or `sts`.
            region: another region than that of the secrets; it has an endpoint of its own.

        Raises:
            BrokenError: the endpoint is not usable.
        """
        if (service, region) not in self._clients:
            self._clients[service, region] = self._made(service, region)
        return self._clients[service, region]

    def _made(self, service: str, region: str | None) -> Any:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - see session

        endpoint_url = self._endpoint_url if service == SECRETS_MANAGER and region is None else None
        make = partial(self.session.client, service, region_name=region or self.region, endpoint_url=endpoint_url)
        try:
            found = configured(make, attempts=1)
            check_address(found.meta.endpoint_url, what=f"The endpoint of {SERVICES[service]}")
        except ConfigurationError as error:
            raise BrokenError(problem_of("server", "plain-http", error)) from None
        except (BotoCoreError, ValueError) as error:
            raise BrokenError(problem_of("server", "endpoint", aws_errors.unusable(error))) from None
        return found


class AwsProbe:
    """
    One service of AWS in one region.

    Args:
        connections: the login.
        service: `secretsmanager` or `sts`.
        record: where each question is recorded.
        region: another region than that of the secrets.

    Raises:
        BrokenError: the endpoint is not usable.
    """

    def __init__(self, connections: AwsConnections, service: str, record: Record, *, region: str | None = None) -> None:
        self._client = connections.client(service, region)
        self._clock = connections.clock
        self._record = record
        self._title = SERVICES[service]
        self.region = region or connections.region
        self.where = str(self._client.meta.endpoint_url)

    def ask(self, operation: str, name: str = "", **parameters: Any) -> AwsReply:
        """
        Ask one question, and return its answer, a refusal too.

        Args:
            operation: such as `DescribeSecret`.
            name: the secret, for the record.
            parameters: the call's own.

        Raises:
            BrokenError: there is no answer, or the service answers no questions at this time.
            AuditError: the question could not be recorded.
        """
        from botocore import xform_name  # noqa: PLC0415 - see AwsConnections.session
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
        from botocore.parsers import ResponseParserError  # noqa: PLC0415

        symptom: Symptom | None = None
        reply = AwsReply(operation, self._clock())
        try:
            answer = getattr(self._client, xform_name(operation))(**parameters)
        except ClientError as error:
            reply = _refusal(error, reply)
            symptom = self._not_about_the_question(reply, error)
        except (BotoCoreError, ResponseParserError) as error:
            symptom = self._no_answer(error)
        except OSError as error:  # the library's own are none of these
            seen = f"A file that the login is to come from cannot be read: {error.filename} ({error.strerror})."
            symptom = problem("login", "login-file", seen, "Mount it, or correct its path.")
        else:
            reply = replace(reply, body=answer, sent_at=_time_in(answer))
            symptom = None if _PARTS[operation] in answer else self._not_aws()
        error_code = reply.code or (symptom.code if symptom else None)
        self._record.asked(f"{operation} {name}".strip(), error=error_code)
        if symptom:
            # Raised out here: the library's error keeps the signed request.
            raise BrokenError(symptom)
        return replace(reply, asked_at=reply.asked_at + (self._clock() - reply.asked_at) / 2)

    def _not_about_the_question(self, reply: AwsReply, error: Any) -> Symptom | None:
        """Return what is the matter if a refusal has nothing to do with what was asked."""
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if aws_errors.THROTTLED.search(reply.code) or status == 429:
            seen = f"{self._title} at {self.where} limits requests ({reply.code})."
            return problem("server", "limited", seen, "Wait, then run again.")
        if status >= 500:
            seen = f"{self._title} at {self.where} fails on its side ({reply.code})."
            return problem("server", "failing", seen, "Look at AWS's health page for this region, or wait.")
        return self._not_aws() if reply.code == f"HTTP {status}" else None

    def _no_answer(self, error: Exception) -> Symptom:
        """Return what an error on the way to AWS means."""
        from botocore import exceptions  # noqa: PLC0415 - see AwsConnections.session

        where, title = self.where, self._title
        if isinstance(error, exceptions.SSLError):
            seen = f"The certificate of {title} at {where} does not verify, so nothing was sent."
            return problem("server", "tls", seen, "Set AWS_CA_BUNDLE to the file of the authority that signed it.")
        if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError):
            timed_out = isinstance(error, exceptions.ConnectTimeoutError | exceptions.ReadTimeoutError)
            why = "it does not answer in time" if timed_out else "nobody listens there, or its name does not resolve"
            seen = f"{title} cannot be reached at {where}: {why}."
            remedy = "Check region and endpoint, and the network on the way there (a VPC endpoint, a proxy)."
            return problem("server", "unreachable", seen, remedy)
        if type(error).__name__ in {"ResponseParserError", "IncompleteReadError"}:
            return self._not_aws()
        if isinstance(error, exceptions.SSOError | exceptions.TokenRetrievalError):
            seen, remedy = "The session of the single sign-on has ended, or was never begun.", "Sign on again."
            return problem("login", "login-ended", seen, remedy, "aws sso login")
        return problem_of("login", "login-unusable", aws_errors.unusable(error))

    def _not_aws(self) -> Symptom:
        seen = f"What answers at {self.where} is not {self._title}, or its answer was cut."
        return problem("server", "not-aws", seen, "Check region and endpoint of the secrets.")


def aws_command(operation: str, region: str, name: str, *more: str) -> str:
    """Return the command that does something with one secret."""
    return shlex.join(["aws", SECRETS_MANAGER, operation, "--region", region, "--secret-id", name, *more])


def _refusal(error: Any, reply: AwsReply) -> AwsReply:
    """Return a refusal as an answer; its code is `HTTP 400` and the like where AWS gave none."""
    told = error.response.get("Error", {})
    code = str(told.get("Code", ""))
    if not _NAMED.fullmatch(code):
        inner = _IN_XML.search(str(told.get("Message", "")))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = inner.group(1) if inner else f"HTTP {status}"
    return replace(reply, operation=str(error.operation_name), code=code, sent_at=_time_in(error.response))


def _time_in(answer: Mapping[str, Any]) -> datetime | None:
    return header_time(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))
