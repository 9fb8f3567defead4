"""The client of AWS Secrets Manager: the role that is assumed, and what AWS is told of who asks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from crypto_pipeline.errors import ConfigurationError, SecretDeniedError
from crypto_pipeline.secrets import AwsSource, build_client, open_aws
from crypto_pipeline_tests.secrets.stores import AwsStore, new_parts
from crypto_pipeline_tests.support.aws import LOGIN, REGION, Aws
from crypto_pipeline_tests.support.odd_server import odd_server

ROLE = "arn:aws:iam::123456789012:role/reader"
RUN = "0d6ab8a2-6f0f-4b51-94f1-7a06a6f9a6f4"


@pytest.fixture(autouse=True)
def _login(monkeypatch: pytest.MonkeyPatch) -> None:
    """A login in the environment."""
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def sts(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place to assume roles at."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.address)


def sent_by(client: Any) -> list[dict[str, str]]:
    """Return the headers of each request from now on, as they are sent."""
    headers: list[dict[str, str]] = []

    def note(request: Any, **_: object) -> None:
        headers.append(
            {name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()}
        )

    client.meta.events.register("before-send.secrets-manager", note)
    return headers


@pytest.mark.usefixtures("sts")
def test_a_role_is_assumed_and_its_login_is_used(aws: Aws, aws_separate: AwsStore) -> None:
    """Not the one that it was assumed with; once for many reads."""
    aws_separate.put("okx", new_parts("okx"))
    client = build_client(REGION, aws.address, role_arn=ROLE, run_id=RUN)
    sent = sent_by(client)
    source = AwsSource(client, prefix=aws_separate.prefix, layout="separate")

    found = [source.read("okx"), source.read("okx")]

    assert found == [aws_separate.source.read("okx")] * 2
    tokens = {headers["X-Amz-Security-Token"] for headers in sent}
    assert len(tokens) == 1
    assert not [headers for headers in sent if LOGIN["AWS_ACCESS_KEY_ID"] in headers["Authorization"]]


@pytest.mark.parametrize(("run_id", "session"), [(RUN, f"crypto-pipeline-{RUN}"), (None, "crypto-pipeline")])
def test_the_session_of_the_role_names_the_run(run_id: str | None, session: str, monkeypatch: Any) -> None:
    """CloudTrail shows it with each read."""
    body = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
    with odd_server(403, body, headers={"Content-Type": "text/xml"}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.address)
        source = AwsSource(build_client(REGION, server.address, role_arn=ROLE, run_id=run_id))

        with pytest.raises(SecretDeniedError, match=r"AWS denied AssumeRole.*Check the role and who may assume it"):
            source.read("okx")

    assert f"RoleSessionName={session}&" in server.bodies[0] + "&"


def test_who_asks_stands_in_the_user_agent(aws: Aws, aws_separate: AwsStore) -> None:
    """So CloudTrail tells the run even without a role."""
    aws_separate.put("okx", new_parts("okx"))
    client = build_client(REGION, aws.address, run_id=RUN)
    sent = sent_by(client)

    AwsSource(client, prefix=aws_separate.prefix, layout="separate").read("okx")

    assert "app/crypto-pipeline" in sent[0]["User-Agent"]
    assert sent[0]["User-Agent"].endswith(f"dagster-run/{RUN}")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"role_arn": "reader"}, "The role to assume in AWS is malformed"),
        ({"role_arn": f"{ROLE} x"}, "The role to assume in AWS is malformed"),
        ({"run_id": "a run\r\nX-Other: header"}, "The id of the run is malformed"),
        ({"run_id": "x" * 49}, "The id of the run is malformed"),
    ],
)
def test_a_role_or_a_run_that_is_none_is_refused(arguments: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        build_client(REGION, **arguments)


def test_a_role_needs_a_login_to_assume_it_with(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LOGIN:
        monkeypatch.delenv(name)

    with pytest.raises(ConfigurationError, match="There is no login for AWS"):
        build_client(REGION, role_arn=ROLE)


def test_a_role_is_not_assumed_in_the_clear_on_another_machine(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its login would come back on the same way."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://sts.example.org")
    source = AwsSource(build_client(REGION, aws.address, role_arn=ROLE))

    with pytest.raises(ConfigurationError, match="The endpoint of AWS STS must be an https address"):
        source.read("okx")


@pytest.mark.usefixtures("sts")
def test_a_source_is_opened_with_all_that_belongs_to_it(
    aws: Aws, aws_separate: AwsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent before the first read."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", aws.address)
    aws.put(aws_separate.source.name_of("okx"), json.dumps(new_parts("okx")))
    opened: Callable[[], AwsSource] = lambda: open_aws(  # noqa: E731
        REGION,
        prefix=aws_separate.prefix,
        layout="separate",
        replica_regions=["us-east-1"],
        role_arn=ROLE,
        run_id=RUN,
    )

    source = opened()

    assert source.calls == {}
    assert source.read("okx") == aws_separate.source.read("okx")
