"""
Calls to AWS Secrets Manager: sent, counted, whole, and to another region where one is down.

What is asked for is decided in `aws`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from crypto_pipeline.errors import SecretError, SecretStoreUnavailableError
from crypto_pipeline.secrets import aws_errors
from crypto_pipeline.secrets.address import check_address

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

T = TypeVar("T")

Known = tuple[str, datetime]
"""A version, and when it was made."""

REPLICA_SECONDS: Final = 30.0
"""How long a region that was down is not asked while a replica answers: each question to it takes some 20 s."""

_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "BatchGetSecretValue": ("SecretValues", "Errors"),
    "CreateSecret": ("VersionId",),
    "DescribeSecret": ("ARN",),
    "GetSecretValue": ("ARN",),
    "ListSecretVersionIds": ("Versions",),
    "ListSecrets": ("SecretList",),
    "PutSecretValue": ("VersionId",),
    "UpdateSecretVersionStage": ("ARN",),
}
"""What every answer has one of. The library takes an answer that was cut for an empty one."""


class AwsRegion:
    """
    Secrets Manager in one region.

    Args:
        client: the client.

    Raises:
        ConfigurationError: its endpoint is plain http and not on this machine.
    """

    def __init__(self, client: SecretsManagerClient) -> None:
        self._client = client
        self.where = client.meta.endpoint_url
        check_address(self.where, what="The endpoint of AWS Secrets Manager")
        self.name = client.meta.region_name
        self._calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def calls(self) -> Counter[str]:
        """How often each operation was sent, repetitions included as far as the library tells."""
        with self._lock:
            return self._calls.copy()

    def ask(self, operation: str, name: str, **parameters: Any) -> Mapping[str, Any]:
        """
        Return the answer to one call, which is whole: it has what every answer to it has.

        Args:
            operation: such as `GetSecretValue`.
            name: the secret, or the prefix of several, for messages.
            parameters: the call's own.

        Raises:
            SecretError: AWS refused, or did not answer.
        """
        from botocore import xform_name  # noqa: PLC0415 - see aws_client.build_client
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
        from botocore.parsers import ResponseParserError  # noqa: PLC0415

        answer: Mapping[str, Any] = {}
        try:
            answer = getattr(self._client, xform_name(operation))(**parameters)
        except ClientError as error:
            failure = aws_errors.refused(error, name)
            answer = error.response
        except (BotoCoreError, ResponseParserError) as error:
            failure = aws_errors.unreachable(error, name, self.where)
        except OSError as error:  # what goes over the network is one of the library's own errors
            failure = aws_errors.no_login_file(error)
        else:
            failure = aws_errors.not_aws(self.where)
            if any(part in answer for part in _PARTS[operation]):
                return answer
        finally:
            self._count(operation, answer)
        # Raised out here, so that the library's error, which keeps the signed request, is not kept as context.
        raise failure

    def _count(self, operation: str, answer: Mapping[str, Any]) -> None:
        with self._lock:
            self._calls[operation] += 1 + answer.get("ResponseMetadata", {}).get("RetryAttempts", 0)


class AwsRegions:
    """
    A region, and those that hold copies of its secrets.

    A copy is asked for only while the region is unavailable. What the region said last is
    remembered, so that a copy that is behind does not pass for it.

    Args:
        first: the region where secrets are stored.
        replicas: the others, in the order in which they are asked.
        clock: seconds that only ever rise.
    """

    def __init__(self, first: AwsRegion, replicas: Sequence[AwsRegion], *, clock: Callable[[], float]) -> None:
        self.first = first
        self._replicas = replicas
        self._clock = clock
        self._down_until = float("-inf")
        self._seen: dict[str, Known] = {}

    @property
    def calls(self) -> Mapping[str, int]:
        """How often each operation was sent, in all regions together."""
        return sum((region.calls for region in (self.first, *self._replicas)), Counter())

    def saw(self, name: str, version: Known) -> None:
        """Remember the version that the region itself told last."""
        self._seen[name] = version

    def ask(self, name: str, ask: Callable[[AwsRegion, str], T], version_in: Callable[[T], Known]) -> tuple[T, str]:
        """
        Return an answer, and its version as people are told of it.

        Args:
            name: the secret.
            ask: the question to one region.
            version_in: the version that an answer is of.

        Raises:
            SecretError: what the region itself said, if no replica has an answer.
        """
        if self._clock() < self._down_until and (found := self._from_a_replica(name, ask, version_in)) is not None:
            return found
        try:
            answer = ask(self.first, name)
        except SecretStoreUnavailableError:
            self._down_until = self._clock() + REPLICA_SECONDS
            if (found := self._from_a_replica(name, ask, version_in)) is None:
                raise
            return found
        self._down_until = float("-inf")
        self.saw(name, version_in(answer))
        return answer, version_in(answer)[0]

    def _from_a_replica(
        self, name: str, ask: Callable[[AwsRegion, str], T], version_in: Callable[[T], Known]
    ) -> tuple[T, str] | None:
        """Return the first answer that is not behind, else the newest; None if there is none."""
        behind: list[tuple[datetime, T, str]] = []
        seen = self._seen.get(name)
        for region in self._replicas:
            try:
                answer = ask(region, name)
            except SecretError:
                continue  # that it is not there may mean that it has not arrived there yet
            version, created_at = version_in(answer)
            if seen is None or (version != seen[0] and created_at >= seen[1]):
                return answer, f"{version} (replica {region.name})"
            if version == seen[0]:
                return answer, version
            behind.append((created_at, answer, f"{version} (replica {region.name}, behind {seen[0]})"))
        if not behind:
            return None
        _, answer, version = max(behind, key=lambda each: each[0])
        return answer, version
