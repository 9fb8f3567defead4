"""What the errors of AWS mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from crypto_pipeline.errors import (
    ConfigurationError,
    CryptoPipelineError,
    EgressDeniedError,
    SecretDeniedError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.secrets import AwsSource, SecretSource, build_client
from crypto_pipeline.secrets.aws_region import AwsRegion
from crypto_pipeline_tests.support.aws import LOGIN, REGION, Answers, Aws
from crypto_pipeline_tests.support.hiding import assert_hides
from crypto_pipeline_tests.support.odd_server import odd_server
from crypto_pipeline_tests.support.vault import running_vault

PLANTED = "planted-9e1d0c55aa"
SESSION = "session-7b1e55f00d"

CASES: tuple[tuple[int, str, type[CryptoPipelineError], str], ...] = (
    (400, "ResourceNotFoundException", SecretNotFoundError, "has no secret"),
    (400, "InvalidRequestException", SecretNotFoundError, "no current version"),
    (400, "AccessDeniedException", SecretDeniedError, "must allow secretsmanager:GetSecretValue"),
    (403, "403", SecretDeniedError, "must allow secretsmanager:GetSecretValue"),
    (401, "", SecretDeniedError, "HTTP 401"),
    (400, "UnrecognizedClientException", SecretDeniedError, "does not accept the login"),
    (403, "InvalidClientTokenId", SecretDeniedError, "does not accept the login"),
    (400, "ExpiredTokenException", SecretDeniedError, "Renew the login"),
    (400, "InvalidSignatureException", SecretDeniedError, "check the clock"),
    (400, "MissingAuthenticationTokenException", SecretDeniedError, "does not accept the login"),
    (400, "DecryptionFailure", SecretDeniedError, "kms:Decrypt"),
    (400, "ThrottlingException", SecretStoreUnavailableError, "limiting requests"),
    (400, "LimitExceededException", SecretStoreUnavailableError, "limiting requests"),
    (429, "TooManyRequestsException", SecretStoreUnavailableError, "limiting requests"),
    (500, "InternalServiceError", SecretStoreUnavailableError, "failed on its side"),
    (503, "ServiceUnavailable", SecretStoreUnavailableError, "failed on its side"),
    (502, "", SecretStoreUnavailableError, "HTTP 502"),
    (307, "", SecretStoreUnavailableError, "failed on its side"),
    (400, "InvalidParameterException", ConfigurationError, "Check prefix"),
    (404, "UnknownOperationException", ConfigurationError, "Check prefix"),
    (400, f"{PLANTED} <script>", ConfigurationError, "HTTP 400"),
)


@pytest.fixture
def client(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client that tries once."""
    for name, value in {**LOGIN, "AWS_SESSION_TOKEN": SESSION}.items():
        monkeypatch.setenv(name, value)
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    return boto3.client("secretsmanager", region_name=REGION, endpoint_url=aws.address, config=config)


@pytest.mark.parametrize(("status", "code", "kind", "says"), CASES, ids=lambda value: str(value)[:30])
def test_each_error_has_its_kind_and_its_remedy(
    client: Any, status: int, code: str, kind: type[CryptoPipelineError], says: str
) -> None:
    """The service's own words, and what hangs on the library's error, are left behind."""
    Answers(client, {"GetSecretValue": (status, {"__type": code, "message": f"arn of {PLANTED}"})})

    with pytest.raises(kind, match=says) as caught:
        AwsSource(client).read("okx")

    assert type(caught.value) is kind
    assert "crypto-pipeline/exchange-keys" in str(caught.value)
    assert_hides(caught.value, {"message": PLANTED, "login": LOGIN["AWS_SECRET_ACCESS_KEY"], "session": SESSION})


@pytest.mark.parametrize(
    "message",
    [
        "You can't perform this operation on the secret because it was marked for deletion.",
        "You tried to perform the operation on a secret that's currently marked deleted.",
    ],
)
def test_both_wordings_of_a_deleted_secret_are_understood(client: Any, message: str) -> None:
    """The service's, and that of the server in these tests."""
    Answers(client, {"GetSecretValue": (400, {"__type": "InvalidRequestException", "message": message})})

    with pytest.raises(SecretNotFoundError, match=r"marked for deletion\. Restore it"):
        AwsSource(client).read("okx")


@pytest.mark.parametrize("operation", ["DescribeSecret", "ListSecretVersionIds"])
def test_a_denial_names_the_action_that_is_missing(client: Any, operation: str) -> None:
    """A description needs two rights, and neither is the right to read."""
    described = {"DescribeSecret": (200, {"ARN": "x"})}
    Answers(client, described | {operation: (400, {"__type": "AccessDeniedException"})})

    with pytest.raises(SecretDeniedError, match=f"must allow secretsmanager:{operation} on it"):
        AwsSource(client).describe("okx")


def test_a_refused_step_of_the_login_is_not_taken_for_the_read(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that may not be assumed is another policy than the secret's."""
    config = tmp_path / "config"
    config.write_text(
        "[profile reader]\nrole_arn = arn:aws:iam::123456789012:role/reader\ncredential_source = Environment\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    body = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    with odd_server(403, body, headers={"Content-Type": "text/xml"}) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.address)

        with pytest.raises(SecretDeniedError, match=r"AWS denied AssumeRole.*, a step of the login\."):
            AwsSource(build_client(REGION, aws.address, "reader")).read("okx")


def test_a_throttled_read_is_tried_again_and_then_told(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Throttling comes with HTTP 400, and still heals."""
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    client = build_client(REGION, aws.address)
    answers = Answers(client, {"GetSecretValue": (400, {"__type": "ThrottlingException"})})

    with pytest.raises(SecretStoreUnavailableError) as caught:
        AwsSource(client).read("okx")

    assert caught.value.retryable
    assert answers.asked == ["GetSecretValue"] * 3


VERBS: tuple[Callable[[SecretSource, str], object], ...] = (
    lambda source, issuer: source.describe(issuer),
    lambda source, issuer: source.read(issuer),
)


@pytest.mark.parametrize("ask", VERBS, ids=["describe", "read"])
def test_an_answer_that_is_cut_is_an_outage(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[SecretSource, str], object]
) -> None:
    """The library hands it on as an empty one; it must not look like a secret without a version."""
    for name, value in {**LOGIN, "AWS_SESSION_TOKEN": SESSION}.items():
        monkeypatch.setenv(name, value)
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    with odd_server(200, b'{"Name": "x', length=5000) as server:
        client = boto3.client("secretsmanager", region_name=REGION, endpoint_url=server.address, config=config)

        with pytest.raises(SecretStoreUnavailableError, match="its answer was cut") as caught:
            ask(AwsSource(client), "okx")

    assert_hides(caught.value, {"login": LOGIN["AWS_SECRET_ACCESS_KEY"], "session": SESSION})


def test_a_certificate_that_does_not_verify_is_no_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something stands between here and there; trying again would not help."""
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    with running_vault(certificates=tmp_path) as server:
        source = AwsSource(build_client(REGION, server.address))

        with pytest.raises(EgressDeniedError, match=r"certificate of https://127.*does not verify") as caught:
            source.read("okx")

    assert not caught.value.retryable


WRITES: tuple[tuple[int, str, str, type[CryptoPipelineError], str], ...] = (
    (400, "InvalidRequestException", "Operation not permitted on a replica", ConfigurationError, "AWS refused Put"),
    (400, "InvalidRequestException", "it was marked for deletion", SecretNotFoundError, "marked for deletion"),
    (400, "ResourceNotFoundException", "", SecretNotFoundError, "has no secret"),
    (400, "ResourceExistsException", "", ConfigurationError, "AWS refused Put"),
    (400, "AccessDeniedException", "", SecretDeniedError, "must allow secretsmanager:PutSecretValue on it"),
    (400, "EncryptionFailure", "", ConfigurationError, "AWS refused Put"),
)


@pytest.mark.parametrize(("status", "code", "message", "kind", "says"), WRITES, ids=lambda value: str(value)[:30])
def test_a_write_that_is_refused_is_not_taken_for_a_secret_without_a_value(
    client: Any, status: int, code: str, message: str, kind: type[CryptoPipelineError], says: str
) -> None:
    """One code means one thing to a read and another to a write; what was sent is left behind."""
    Answers(client, {"PutSecretValue": (status, {"__type": code, "message": message})})

    with pytest.raises(kind, match=says) as caught:
        AwsRegion(client).ask("PutSecretValue", "crypto-pipeline/okx", SecretId="x", SecretString=PLANTED)

    assert type(caught.value) is kind
    assert_hides(caught.value, {"value": PLANTED, "login": LOGIN["AWS_SECRET_ACCESS_KEY"], "session": SESSION})
