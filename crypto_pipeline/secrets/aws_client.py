"""
The client of AWS Secrets Manager: login, times, and what AWS is told of who asks.

The login is the AWS chain's own (role, profile, environment), and from there a role that is
assumed, where one is named.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.secrets import aws_errors
from crypto_pipeline.secrets.address import check_address

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_secretsmanager import SecretsManagerClient

CONNECT_TIMEOUT_SECONDS: Final = 3
READ_TIMEOUT_SECONDS: Final = 5
ATTEMPTS: Final = 3
"""The library's own 60 s + 60 s would outlast a sensor's tick; with these an outage is told in some 20 s."""

APPLICATION: Final = "crypto-pipeline"
"""How CloudTrail names us, in the user agent and in the session of an assumed role."""

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_RUN = re.compile(r"[\w.-]{1,48}", re.ASCII)


def build_client(
    region: str | None = None,
    endpoint_url: str | None = None,
    profile: str | None = None,
    *,
    default_region: str | None = None,
    role_arn: str | None = None,
    run_id: str | None = None,
) -> SecretsManagerClient:
    """
    Return a client with short timeouts and few retries.

    Args:
        region: the region; else `AWS_REGION` (containers of AWS set it, the library does not read
            it), else the AWS chain's own.
        endpoint_url: another endpoint; else `AWS_ENDPOINT_URL_SECRETS_MANAGER`, `AWS_ENDPOINT_URL`.
        profile: a profile of the AWS configuration.
        default_region: the region where nobody names one.
        role_arn: a role to assume with the login that the chain gives; renewed before it ends.
        run_id: the run on whose behalf AWS is asked; part of the user agent and of the role's session.

    Raises:
        ConfigurationError: no region, no such profile, or a malformed endpoint, role or run.
    """
    # A third of a second that only users of AWS should pay for.
    import boto3  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    silence_logs()
    check_role(role_arn)
    _check("id of the run", run_id, _RUN)
    try:
        session = boto3.Session(profile_name=profile, region_name=region or os.environ.get("AWS_REGION"))
        where = session.region_name or default_region
        if role_arn is not None:
            session = _as_role(session, role_arn, where, run_id)
        client: SecretsManagerClient = configured(
            partial(session.client, "secretsmanager", endpoint_url=endpoint_url, region_name=where), run_id
        )
    except (BotoCoreError, ValueError) as error:
        failure = aws_errors.unusable(error)
    else:
        return client
    raise failure


def silence_logs() -> None:
    """Keep values out of every log: at level DEBUG the library writes whole answers and tokens."""
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.INFO)


def check_role(role_arn: str | None) -> None:
    """
    Do nothing if this is the name of a role, or none.

    Raises:
        ConfigurationError: it is something else.
    """
    _check("role to assume in AWS", role_arn, _ROLE)


def configured(client: Callable[..., Any], run_id: str | None = None, *, attempts: int = ATTEMPTS) -> Any:
    """
    Return a client with short timeouts, and nothing in the clear through a proxy.

    Args:
        client: makes it from a configuration.
        run_id: the run on whose behalf AWS is asked.
        attempts: how often a call is sent at most.
    """
    from botocore.config import Config  # noqa: PLC0415 - see build_client

    config = Config(  # type: ignore[call-arg]  # the stubs are older than `user_agent_appid`
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": attempts},
        user_agent_appid=APPLICATION,
        user_agent_extra=f"dagster-run/{run_id}" if run_id else None,
    )
    found = client(config=config)
    if found.meta.endpoint_url.startswith("https:"):
        return found
    # Nothing in the clear may take the way through a proxy that the environment names.
    return client(config=config.merge(Config(proxies={})))


def _as_role(session: boto3.Session, role_arn: str, region: str | None, run_id: str | None) -> boto3.Session:
    """Return a session whose login is the role, assumed when it is first needed and again before it ends."""
    import boto3  # noqa: PLC0415 - see build_client
    import botocore.session  # noqa: PLC0415
    from botocore.credentials import (  # noqa: PLC0415
        AssumeRoleCredentialFetcher,
        CredentialProvider,
        DeferredRefreshableCredentials,
    )

    login = session.get_credentials()
    if login is None:
        raise aws_errors.no_login()

    def sts_client(service: str, **login: Any) -> Any:
        found = configured(partial(session.client, service, region_name=region, **login), run_id)
        check_address(found.meta.endpoint_url, what="The endpoint of AWS STS")
        return found

    name = f"{APPLICATION}-{run_id}" if run_id else APPLICATION
    fetcher = AssumeRoleCredentialFetcher(sts_client, login, role_arn, extra_args={"RoleSessionName": name})

    class AssumedRole(CredentialProvider):
        """Stands before all other logins of the chain."""

        METHOD = "assumed-role-of-crypto-pipeline"

        def load(self) -> DeferredRefreshableCredentials:
            return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")

    inner = botocore.session.Session()
    inner.get_component("credential_provider").insert_before("env", AssumedRole())
    return boto3.Session(botocore_session=inner, region_name=region)


def _check(what: str, text: str | None, shape: re.Pattern[str]) -> None:
    if text is not None and not shape.fullmatch(text):
        msg = f"The {what} is malformed. Correct it, or leave it out."
        raise ConfigurationError(msg)
