"""AWS Secrets Manager: labels, deletion, formats, and the client."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import boto3
import pytest
from botocore.config import Config

from crypto_pipeline.errors import (
    ConfigurationError,
    MalformedSecretError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.secrets import AwsSource, SecretSource, build_client
from crypto_pipeline_tests.secrets.stores import AwsStore, new_parts
from crypto_pipeline_tests.support.aws import LOGIN, REGION, Answers, Aws, Prepared
from crypto_pipeline_tests.support.hiding import assert_hides
from crypto_pipeline_tests.support.ports import free_port

PLANTED = "planted-0b5f77c2e1"
VERBS: tuple[Callable[[SecretSource, str], object], ...] = (
    lambda source, issuer: source.describe(issuer),
    lambda source, issuer: source.read(issuer),
)


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    """A login in the environment."""
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)


def epoch(moment: datetime) -> float:
    """Return the time as the service writes it."""
    return moment.timestamp()


def test_a_version_that_is_only_pending_is_not_used(aws: Aws, aws_separate: AwsStore) -> None:
    """A rotation that is under way must not be read before it is done."""
    parts = new_parts("bybit")
    aws_separate.put("bybit", parts)
    current = aws_separate.truth("bybit")
    aws.client("secretsmanager").put_secret_value(
        SecretId=aws_separate.source.name_of("bybit"),
        SecretString=json.dumps(new_parts("bybit")),
        VersionStages=["AWSPENDING"],
    )

    read, described = aws_separate.source.read("bybit"), aws_separate.source.describe("bybit")

    assert read["api_secret"].reveal() == parts["api_secret"]
    assert (described.version, described.created_at) == (read.description.version, read.description.created_at)
    assert (described.version, described.created_at) == current


def test_the_age_is_the_current_versions_and_not_that_of_the_last_change(aws: Aws, login: None) -> None:
    """`LastChangedDate` moves when somebody edits a description; the list of versions may have pages."""
    made = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
    older, newer = epoch(datetime(2025, 1, 1, tzinfo=UTC)), epoch(datetime(2026, 11, 1, tzinfo=UTC))
    current = {"VersionId": "v2", "VersionStages": ["AWSCURRENT"], "CreatedDate": epoch(made)}
    previous = {"VersionId": "v1", "VersionStages": ["AWSPREVIOUS"], "CreatedDate": older}
    client = build_client(REGION, aws.address)
    pages = Answers(
        client,
        {
            "DescribeSecret": (200, {"ARN": "x", "CreatedDate": older, "LastChangedDate": newer}),
            "ListSecretVersionIds": [
                (200, {"Versions": [previous], "NextToken": "more"}),
                (200, {"Versions": [current]}),
            ],
        },
    )

    found = AwsSource(client).describe("binance")

    assert (found.version, found.created_at) == ("v2", made)
    assert pages.asked == ["DescribeSecret", "ListSecretVersionIds", "ListSecretVersionIds"]


@pytest.mark.parametrize(
    "pages",
    [
        [(200, {"Versions": []})],
        [(200, {"Versions": [{"VersionId": "v1", "VersionStages": ["AWSPENDING"], "CreatedDate": 1}]})],
        [(200, {"Versions": [], "NextToken": "for ever"})],
    ],
    ids=["none", "only pending", "pages without end"],
)
def test_a_secret_without_a_current_version_is_not_found(aws: Aws, login: None, pages: list[Prepared]) -> None:
    """It was created, and nobody has stored a value yet."""
    client = build_client(REGION, aws.address)
    Answers(client, {"DescribeSecret": (200, {"ARN": "x"}), "ListSecretVersionIds": pages})

    with pytest.raises(SecretNotFoundError, match="'crypto-pipeline/exchange-keys' has no current version"):
        AwsSource(client).describe("binance")


@pytest.mark.parametrize("ask", VERBS, ids=["describe", "read"])
def test_a_secret_that_waits_for_its_deletion_is_not_found(
    aws: Aws, aws_separate: AwsStore, ask: Callable[[SecretSource, str], object]
) -> None:
    """The message says that it can be restored."""
    aws_separate.put("okx", new_parts("okx"))
    aws.client("secretsmanager").delete_secret(SecretId=aws_separate.source.name_of("okx"), RecoveryWindowInDays=7)

    with pytest.raises(SecretNotFoundError, match=r"is marked for deletion\. Restore it"):
        ask(aws_separate.source, "okx")


def test_a_secret_that_was_deleted_is_not_found(aws: Aws, aws_separate: AwsStore) -> None:
    """As one that never was."""
    aws_separate.put("okx", new_parts("okx"))
    name = aws_separate.source.name_of("okx")
    aws.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)

    with pytest.raises(SecretNotFoundError, match=f"has no secret '{name}'"):
        aws_separate.source.read("okx")


def test_a_binary_secret_is_malformed(aws: Aws, aws_separate: AwsStore) -> None:
    """Its bytes are not shown."""
    aws.client("secretsmanager").create_secret(Name=aws_separate.source.name_of("okx"), SecretBinary=PLANTED.encode())

    with pytest.raises(MalformedSecretError, match="is binary") as caught:
        aws_separate.source.read("okx")

    assert_hides(caught.value, {"bytes": PLANTED})


def test_a_secret_that_is_no_json_is_malformed(aws: Aws, aws_separate: AwsStore) -> None:
    """A key that was pasted as it is."""
    aws.put(aws_separate.source.name_of("okx"), PLANTED)

    with pytest.raises(MalformedSecretError, match=f"'{aws_separate.source.name_of('okx')}' is not a JSON") as caught:
        aws_separate.source.read("okx")

    assert_hides(caught.value, {"text": PLANTED})


@pytest.mark.parametrize("body", [b"<html>proxy</html>", b"{}", b'{"ARN": "x", "CreatedDate": 1}'])
def test_an_answer_that_is_not_the_services_is_an_outage(aws: Aws, login: None, body: bytes) -> None:
    """Something else answers there."""
    client = build_client(REGION, aws.address)
    Answers(client, {"GetSecretValue": (200, body)})

    with pytest.raises(SecretStoreUnavailableError, match="is not AWS Secrets Manager"):
        AwsSource(client).read("binance")


def test_a_read_is_one_call(aws: Aws, aws_separate: AwsStore) -> None:
    """And a description never asks for the value."""
    aws_separate.put("okx", new_parts("okx"))
    client = build_client(REGION, aws.address)
    source, answers = AwsSource(client, prefix=aws_separate.prefix, layout="separate"), Answers(client, {})

    source.read("okx")
    source.describe("okx")

    assert answers.asked == ["GetSecretValue", "DescribeSecret", "ListSecretVersionIds"]


@pytest.mark.parametrize(
    ("layout", "name"), [("combined", "team/keys/exchange-keys"), ("separate", "team/keys/okx")], ids=lambda v: v
)
def test_the_name_follows_prefix_and_layout(
    aws: Aws, login: None, layout: Literal["combined", "separate"], name: str
) -> None:
    """Slashes around the prefix do not count."""
    source = AwsSource(build_client(REGION, aws.address), prefix="/team/keys/", layout=layout)

    assert source.name_of("okx") == name


def test_no_value_is_logged_even_at_debug(aws: Aws, aws_separate: AwsStore, caplog: pytest.LogCaptureFixture) -> None:
    """The library would write whole answers; also if somebody else made the client."""
    parts = new_parts("okx")
    aws_separate.put("okx", parts)
    for name in ("botocore", "urllib3", "boto3"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    client = boto3.client("secretsmanager", region_name=REGION, endpoint_url=aws.address)
    source = AwsSource(client, prefix=aws_separate.prefix, layout="separate")
    caplog.set_level(logging.DEBUG)

    source.read("okx")

    assert not [value for value in parts.values() if value in caplog.text]


def test_a_client_in_the_clear_to_another_machine_is_refused(login: None) -> None:
    """The answer would hold the values."""
    client = build_client(REGION, "http://secrets.example.org")

    with pytest.raises(ConfigurationError, match="The endpoint of AWS Secrets Manager must be an https address"):
        AwsSource(client)


def test_no_proxy_is_asked_for_what_is_on_this_machine(
    aws: Aws, aws_separate: AwsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the clear it would see the values."""
    parts = new_parts("okx")
    aws_separate.put("okx", parts)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    source = AwsSource(build_client(REGION, aws.address), prefix=aws_separate.prefix, layout="separate")

    assert source.read("okx")["api_key"].reveal() == parts["api_key"]


def test_the_endpoint_may_come_from_the_environment(aws: Aws, login: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A VPC endpoint is named there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", aws.address)

    assert build_client(REGION).meta.endpoint_url == aws.address


@pytest.mark.parametrize(
    ("argument", "variables", "region"),
    [
        ("eu-north-1", {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-north-1"),
        (None, {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-2"),
        (None, {"AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
        (None, {}, "us-east-1"),
    ],
    ids=["argument", "AWS_REGION", "AWS_DEFAULT_REGION", "default"],
)
def test_the_region_is_the_first_that_is_named(
    argument: str | None, variables: dict[str, str], region: str, login: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`AWS_REGION` is what containers of AWS set, and what the library does not read."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    client = build_client(argument, default_region="us-east-1")

    assert client.meta.region_name == region


def test_an_outage_is_told_in_seconds() -> None:
    """A sensor's tick is a minute, the library's own patience two."""
    config: Any = build_client(REGION, "http://127.0.0.1:1").meta.config

    assert (config.connect_timeout, config.read_timeout) == (3, 5)
    assert config.retries == {"mode": "standard", "total_max_attempts": 3}


def test_a_service_that_is_slow_down_to_a_stop_is_an_outage(login: None) -> None:
    """Nothing answers in time, though something listens."""
    config = Config(read_timeout=0.2, retries={"total_max_attempts": 1}, proxies={})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = boto3.client("secretsmanager", region_name=REGION, endpoint_url=address, config=config)
        began = time.monotonic()

        with pytest.raises(SecretStoreUnavailableError, match="cannot be reached at http://127"):
            AwsSource(client).read("okx")

        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        ((None, None, None), {}, "NoRegionError.*CRYPTO_PIPELINE_AWS_REGION"),
        ((REGION, None, "nobody"), {}, "ProfileNotFound.*AWS_PROFILE"),
        ((REGION, "nonsense", None), {}, "ValueError.*Check region, endpoint"),
        (("not a region!", None, None), {}, "InvalidRegionError"),
        ((REGION, None, None), {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE77"}, "PartialCredentialsError"),
    ],
    ids=["no region", "no such profile", "endpoint", "region", "half a login"],
)
def test_a_client_that_cannot_be_made_is_a_setting_to_correct(
    arguments: tuple[str | None, ...], variables: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is asked."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=says) as caught:
        build_client(*arguments)

    assert_hides(caught.value, {"key": "AKIAEXAMPLEEXAMPLE77"})


def test_a_machine_without_a_login_is_told_to_get_one(aws: Aws) -> None:
    """The chain found nothing."""
    with pytest.raises(ConfigurationError, match="There is no login for AWS"):
        AwsSource(build_client(REGION, aws.address)).read("binance")
