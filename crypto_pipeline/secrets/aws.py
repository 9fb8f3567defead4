"""
AWS Secrets Manager.

The login is the AWS chain's own (role, profile, environment). What its errors mean stands in
`aws_errors`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.errors import MalformedSecretError
from crypto_pipeline.secrets import aws_errors
from crypto_pipeline.secrets.address import check_address
from crypto_pipeline.secrets.layout import OWN, SHARED, StoredSecret, parse_fields, parts_of, parts_wanted

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CONNECT_TIMEOUT_SECONDS: Final = 3
READ_TIMEOUT_SECONDS: Final = 5
ATTEMPTS: Final = 3
"""The library's own 60 s + 60 s would outlast a sensor's tick; with these an outage is told in some 20 s."""

_MOST_PAGES = 20
"""A secret keeps at most some hundred versions, a page holds a hundred."""


def build_client(
    region: str | None = None,
    endpoint_url: str | None = None,
    profile: str | None = None,
    *,
    default_region: str | None = None,
) -> SecretsManagerClient:
    """
    Return a client with short timeouts and few retries.

    Args:
        region: the region; else `AWS_REGION` (containers of AWS set it, the library does not read
            it), else the AWS chain's own.
        endpoint_url: another endpoint; else `AWS_ENDPOINT_URL_SECRETS_MANAGER`, `AWS_ENDPOINT_URL`.
        profile: a profile of the AWS configuration.
        default_region: the region where nobody names one.

    Raises:
        ConfigurationError: no region, no such profile, or a malformed endpoint.
    """
    # A third of a second that only users of AWS should pay for.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    _silence_logs()

    def build(**more: Any) -> SecretsManagerClient:
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            **more,
        )
        return session.client("secretsmanager", endpoint_url=endpoint_url, config=config, region_name=where)

    try:
        session = boto3.Session(profile_name=profile, region_name=region or os.environ.get("AWS_REGION"))
        where = session.region_name or default_region
        client = build()
        # Nothing in the clear may take the way through a proxy that the environment names.
        return client if client.meta.endpoint_url.startswith("https:") else build(proxies={})
    except (BotoCoreError, ValueError) as error:
        failure = aws_errors.unusable(error)
    raise failure


def _silence_logs() -> None:
    """Keep values out of every log: at level DEBUG the library writes whole answers and tokens."""
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.INFO)


class AwsSource:
    """
    Credentials in AWS Secrets Manager, as JSON.

    With the layout `combined`, one secret `<prefix>/exchange-keys` holds all of them
    (`binance_api_key`, …); with `separate` (better: one policy per issuer) there is a secret
    `<prefix>/<issuer>` each.

    A description tells of the secret only. Whether a combined secret holds a certain issuer's key
    cannot be known without reading it, so `describe` of an issuer that is not in it succeeds and
    `read` does not.

    Args:
        client: from `build_client`, or another one for Secrets Manager.
        prefix: the path under which all secrets are named.
        layout: see above.

    Raises:
        ConfigurationError: the client's endpoint is plain http and not on this machine.
    """

    store: Final = "aws"

    def __init__(
        self,
        client: SecretsManagerClient,
        *,
        prefix: str = "crypto-pipeline",
        layout: Literal["combined", "separate"] = "combined",
    ) -> None:
        self._where = client.meta.endpoint_url
        check_address(self._where, what="The endpoint of AWS Secrets Manager")
        _silence_logs()  # the client may be somebody else's
        self._client = client
        self._prefix = prefix.strip("/")
        self._is_combined = layout == "combined"

    def name_of(self, issuer: str) -> str:
        """Return the name of the secret that holds the issuer's credential."""
        parts_wanted(issuer)
        return f"{self._prefix}/{'exchange-keys' if self._is_combined else issuer}"

    def describe(self, issuer: str) -> CredentialDescription:
        """
        Return name, version and time of the secret; `GetSecretValue` is not called.

        Raises:
            SecretError: the secret is not there, or AWS did not answer.
        """
        name = self.name_of(issuer)
        # The list of versions goes on answering for a secret that is marked for deletion.
        if self._ask("describe_secret", name).get("DeletedDate"):
            raise aws_errors.deleted(name)
        version, created_at = self._current_version(name)
        return CredentialDescription(issuer, name, self.store, version, created_at)

    def read(self, issuer: str) -> Credentials:
        """
        Return the issuer's credential, as it is labelled current.

        Raises:
            SecretError: it is not there, not readable, or AWS did not answer.
        """
        stored = self.fetch(self.name_of(issuer))
        layout = SHARED if self._is_combined else OWN
        parts = parts_of(issuer, stored.fields, layout=layout, place=_place(stored.name))
        return Credentials(
            CredentialDescription(issuer, stored.name, self.store, stored.version, stored.created_at), parts
        )

    def fetch(self, name: str) -> StoredSecret:
        """
        Return one secret, whatever it holds, as long as that is a JSON object.

        Raises:
            SecretError: it is not there, not readable, or AWS did not answer.
        """
        answer = self._ask("get_secret_value", name)
        version, created_at = self._version_in(answer)
        text = answer.get("SecretString")
        if text is None:
            msg = f"{_place(name)} is binary. Store it as text: a JSON object with the credential's parts."
            raise MalformedSecretError(msg)
        fields = parse_fields(text, place=_place(name))
        return StoredSecret(name, version, created_at, fields)

    def _current_version(self, name: str) -> tuple[str, datetime]:
        """Return the version that is labelled current, and when it was made (not: when anything was changed)."""
        token: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            # The library has no paginator for this operation.
            page = self._ask("list_secret_version_ids", name, **token)
            for version in page["Versions"]:
                if "AWSCURRENT" in version.get("VersionStages", ()):
                    return self._version_in(version)
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}
        raise aws_errors.without_value(name)

    def _version_in(self, answer: Mapping[str, Any]) -> tuple[str, datetime]:
        """Return the id of a version and when it was made."""
        version, created_at = answer.get("VersionId"), answer.get("CreatedDate")
        if not isinstance(version, str) or not isinstance(created_at, datetime):
            raise aws_errors.not_aws(self._where)
        return version, created_at.astimezone(UTC)

    def _ask(self, operation: str, name: str, **more: str) -> Mapping[str, Any]:
        """Return the answer to one call, which is whole: it has what every answer to it has."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - see build_client
        from botocore.parsers import ResponseParserError  # noqa: PLC0415

        try:
            answer: Mapping[str, Any] = getattr(self._client, operation)(SecretId=name, **more)
        except ClientError as error:
            failure = aws_errors.refused(error, name)
        except (BotoCoreError, ResponseParserError) as error:
            failure = aws_errors.unreachable(error, name, self._where)
        else:
            # The library takes an answer that was cut for an empty one, and that would look like "no such version".
            if ("Versions" if operation == "list_secret_version_ids" else "ARN") in answer:
                return answer
            failure = aws_errors.not_aws(self._where)
        # Raised out here, so that the library's error, which keeps the signed request, is not kept as context.
        raise failure


def _place(name: str) -> str:
    return f"AWS secret '{name}'"
