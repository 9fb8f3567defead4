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
    SecretDeniedError,
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


class TestAStage:
    """A rotation reads the version that is not in use yet, or not any more."""

    @pytest.fixture
    def stages(self, aws: Aws, aws_separate: AwsStore) -> dict[Any, dict[str, str]]:
        """What is stored at each stage."""
        stored = {stage: new_parts("okx") for stage in ("AWSPREVIOUS", "AWSCURRENT", "AWSPENDING")}
        aws_separate.put("okx", stored["AWSPREVIOUS"])
        aws_separate.put("okx", stored["AWSCURRENT"])
        aws.client("secretsmanager").put_secret_value(
            SecretId=aws_separate.source.name_of("okx"),
            SecretString=json.dumps(stored["AWSPENDING"]),
            VersionStages=["AWSPENDING"],
        )
        return stored

    @pytest.mark.parametrize("stage", ["AWSPREVIOUS", "AWSCURRENT", "AWSPENDING"])
    def test_each_has_its_own_value_and_version(
        self, aws: Aws, aws_separate: AwsStore, stages: dict[Any, dict[str, str]], stage: Any
    ) -> None:
        source = AwsSource(
            build_client(REGION, aws.address), prefix=aws_separate.prefix, layout="separate", stage=stage
        )
        seen = aws.client("secretsmanager").get_secret_value(SecretId=source.name_of("okx"), VersionStage=stage)

        read, many, described = source.read("okx"), source.read_many(["okx", "bybit"])["okx"], source.describe("okx")

        assert {part: value.reveal() for part, value in read.parts.items()} == stages[stage]
        assert (read.description, many) == (described, read)
        assert described.version == seen["VersionId"]

    @pytest.mark.parametrize("ask", VERBS, ids=["describe", "read"])
    def test_one_that_is_not_there_is_named(
        self, aws: Aws, aws_separate: AwsStore, ask: Callable[[SecretSource, str], object]
    ) -> None:
        """Nothing was rotated yet; the current one is not taken in its place."""
        aws_separate.put("okx", new_parts("okx"))
        source = AwsSource(
            build_client(REGION, aws.address), prefix=aws_separate.prefix, layout="separate", stage="AWSPENDING"
        )

        with pytest.raises(SecretNotFoundError, match="no version of it with the label AWSPENDING"):
            ask(source, "okx")


class TestSeveralAtOnce:
    """As few calls as can be, and an outcome for each."""

    def test_a_combined_secret_is_read_once(self, aws_combined: AwsStore) -> None:
        for issuer in ("okx", "bybit"):
            aws_combined.put(issuer, new_parts(issuer))

        found = aws_combined.source.read_many(["okx", "bybit", "binance"])

        assert found["okx"] == aws_combined.source.read("okx")
        assert found["bybit"] == aws_combined.source.read("bybit")
        assert isinstance(found["binance"], SecretNotFoundError)
        assert aws_combined.source.calls == {"GetSecretValue": 3}

    def test_separate_ones_are_read_in_one_batch(self, aws: Aws, aws_separate: AwsStore) -> None:
        """Some are missing, deleted, malformed or binary; that is told of these, and the others are there."""
        for issuer in ("okx", "bybit", "coinbase"):
            aws_separate.put(issuer, new_parts(issuer))
        aws.put(aws_separate.source.name_of("coinbase"), PLANTED)
        aws.client("secretsmanager").create_secret(
            Name=aws_separate.source.name_of("huggingface"), SecretBinary=PLANTED.encode()
        )

        found = aws_separate.source.read_many(["okx", "bybit", "binance", "coinbase", "huggingface"])

        assert aws_separate.source.calls == {"BatchGetSecretValue": 1}
        assert {issuer: type(each).__name__ for issuer, each in found.items()} == {
            "okx": "Credentials",
            "bybit": "Credentials",
            "binance": "SecretNotFoundError",
            "coinbase": "MalformedSecretError",
            "huggingface": "MalformedSecretError",
        }
        assert found["okx"] == aws_separate.source.read("okx")

    def test_one_is_read_by_itself(self, aws_separate: AwsStore) -> None:
        """A batch needs two more rights."""
        aws_separate.put("okx", new_parts("okx"))

        found = aws_separate.source.read_many(["okx"])

        assert found == {"okx": aws_separate.source.read("okx")}
        assert "BatchGetSecretValue" not in aws_separate.source.calls

    @pytest.mark.parametrize(
        "refusal",
        [(400, {"__type": "AccessDeniedException"}), (400, {"__type": "ThrottlingException"})],
        ids=["no right", "limits"],
    )
    def test_where_there_is_no_batch_they_are_read_one_by_one(
        self, aws: Aws, aws_separate: AwsStore, refusal: Prepared
    ) -> None:
        """The right to it is one of its own, and so is its limit."""
        for issuer in ("okx", "bybit"):
            aws_separate.put(issuer, new_parts(issuer))
        client = build_client(REGION, aws.address)
        Answers(client, {"BatchGetSecretValue": refusal})
        source = AwsSource(client, prefix=aws_separate.prefix, layout="separate")

        found = source.read_many(["okx", "bybit"])

        assert found == {issuer: aws_separate.source.read(issuer) for issuer in ("okx", "bybit")}
        assert source.calls["GetSecretValue"] == 2

    def test_what_an_error_in_a_batch_means_is_what_it_means_alone(self, aws: Aws, aws_separate: AwsStore) -> None:
        """A denial is told at once; an outage and what the answer leaves out are asked for again, each by itself."""
        for issuer in ("okx", "bybit", "binance"):
            aws_separate.put(issuer, new_parts(issuer))
        names = {issuer: aws_separate.source.name_of(issuer) for issuer in ("okx", "bybit", "binance", "coinbase")}
        errors = [
            {"SecretId": names["okx"], "ErrorCode": "InternalServiceError", "Message": PLANTED},
            {"SecretId": names["bybit"], "ErrorCode": "AccessDeniedException", "Message": PLANTED},
            {"SecretId": "another", "ErrorCode": "AccessDeniedException", "Message": PLANTED},
            {"SecretId": names["coinbase"], "ErrorCode": "NobodyKnowsException", "Message": PLANTED},
        ]
        client = build_client(REGION, aws.address)
        Answers(client, {"BatchGetSecretValue": (200, {"SecretValues": [], "Errors": errors})})
        source = AwsSource(client, prefix=aws_separate.prefix, layout="separate")

        found = source.read_many(names)

        assert isinstance(found["bybit"], SecretDeniedError)
        assert_hides(found["bybit"], {"message": PLANTED})
        assert isinstance(found["coinbase"], SecretNotFoundError)
        assert {issuer: found[issuer] for issuer in ("okx", "binance")} == {
            issuer: aws_separate.source.read(issuer) for issuer in ("okx", "binance")
        }
        assert source.calls == {"BatchGetSecretValue": 1, "GetSecretValue": 3}


def test_calls_are_counted_with_those_that_were_sent_again(aws: Aws, aws_separate: AwsStore) -> None:
    """AWS counts them too, and takes money for each."""
    aws_separate.put("okx", new_parts("okx"))
    client = build_client(REGION, aws.address)
    Answers(client, {"DescribeSecret": (400, {"__type": "ThrottlingException"})})
    source = AwsSource(client, prefix=aws_separate.prefix, layout="separate")
    source.read("okx")
    with pytest.raises(SecretStoreUnavailableError):
        source.describe("okx")

    assert source.calls == {"GetSecretValue": 1, "DescribeSecret": 3}
