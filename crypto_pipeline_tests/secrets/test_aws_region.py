"""Regions that hold copies of the secrets: asked when the first one is down, and never taken for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from crypto_pipeline.errors import (
    ConfigurationError,
    SecretDeniedError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.secrets import AwsSource, SecretSource, build_client
from crypto_pipeline_tests.secrets.stores import AwsStore, new_parts
from crypto_pipeline_tests.secrets.told import Time
from crypto_pipeline_tests.support.aws import LOGIN, REGION, Answers, Aws, Prepared

MADE = datetime(2026, 11, 1, 8, tzinfo=UTC)
DOWN: Prepared = (503, {"__type": "ServiceUnavailable"})
OPERATIONS = ("GetSecretValue", "DescribeSecret", "ListSecretVersionIds")
ALL_DOWN: dict[str, Prepared] = dict.fromkeys(OPERATIONS, DOWN)
VERBS: tuple[Callable[[SecretSource, str], str], ...] = (
    lambda source, issuer: source.describe(issuer).version,
    lambda source, issuer: source.read(issuer).description.version,
)
each_verb = pytest.mark.parametrize("ask", VERBS, ids=["describe", "read"])
Ask = Callable[[SecretSource, str], str]


class Region:
    """One region: it answers as the server does, unless it is told what to say."""

    def __init__(self, aws: Aws, name: str) -> None:
        config = Config(retries={"total_max_attempts": 1}, proxies={})
        self.client: Any = boto3.client("secretsmanager", region_name=name, endpoint_url=aws.address, config=config)
        self._says: dict[str, Prepared] = {}
        self._answers = Answers(self.client, self._says)

    @property
    def asked(self) -> list[str]:
        """What it was asked."""
        return self._answers.asked

    def says(self, answers: dict[str, Prepared]) -> None:
        """Let it say this from now on."""
        self._says.clear()
        self._says.update(answers)

    def holds(self, version: str, *, made: datetime = MADE) -> None:
        """Let it hold this version."""
        told = {"ARN": "x", "VersionId": version, "CreatedDate": made.timestamp()}
        value = {**told, "SecretString": json.dumps(new_parts("okx"))}
        listed = {"Versions": [{**told, "VersionStages": ["AWSCURRENT"]}]}
        self.says(
            {
                "GetSecretValue": (200, value),
                "DescribeSecret": (200, {"ARN": "x"}),
                "ListSecretVersionIds": (200, listed),
            }
        )


@pytest.fixture
def regions(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> list[Region]:
    """The region itself, and two with copies."""
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    return [Region(aws, name) for name in (REGION, "us-east-1", "eu-central-1")]


def source_of(regions: list[Region], time: Time | None = None, **more: Any) -> AwsSource:
    """Return a source that asks these regions."""
    first, *others = (region.client for region in regions)
    return AwsSource(first, layout="separate", replicas=others, clock=(time or Time()).clock, **more)


@each_verb
def test_a_copy_is_read_while_the_region_is_down(
    aws: Aws, aws_separate: AwsStore, regions: list[Region], ask: Ask
) -> None:
    """A real one, made by the service; its version is the one that was seen before."""
    aws_separate.put("okx", new_parts("okx"))
    aws.client("secretsmanager").replicate_secret_to_regions(
        SecretId=aws_separate.source.name_of("okx"), AddReplicaRegions=[{"Region": "us-east-1"}]
    )
    source = source_of(regions, prefix=aws_separate.prefix)
    before = source.read("okx")
    regions[0].says(ALL_DOWN)

    version = ask(source, "okx")

    assert version == before.description.version
    assert source.read("okx").parts == before.parts
    assert regions[2].asked == []


@each_verb
def test_a_copy_that_cannot_be_compared_says_where_it_is_from(regions: list[Region], ask: Ask) -> None:
    """Nobody here has seen what the region held last."""
    regions[0].says(ALL_DOWN)
    regions[1].holds("v2")

    assert ask(source_of(regions), "okx") == "v2 (replica us-east-1)"


@each_verb
def test_a_copy_that_is_behind_says_so(regions: list[Region], ask: Ask) -> None:
    """After a rotation it may hold a key that was revoked; the one that is least behind is taken."""
    source = source_of(regions)
    regions[0].holds("v3", made=MADE)
    ask(source, "okx")
    regions[0].says(ALL_DOWN)
    regions[1].holds("v1", made=MADE - timedelta(days=2))
    regions[2].holds("v2", made=MADE - timedelta(days=1))

    assert ask(source, "okx") == "v2 (replica eu-central-1, behind v3)"


@each_verb
def test_a_copy_that_is_not_behind_is_preferred(regions: list[Region], ask: Ask) -> None:
    source = source_of(regions)
    regions[0].holds("v3", made=MADE)
    ask(source, "okx")
    regions[0].says(ALL_DOWN)
    regions[1].holds("v2", made=MADE - timedelta(days=1))
    regions[2].holds("v3", made=MADE)

    assert ask(source, "okx") == "v3"


@each_verb
def test_a_copy_that_is_ahead_of_what_was_seen_says_where_it_is_from(regions: list[Region], ask: Ask) -> None:
    """It was rotated since, and the region went down before it was asked again."""
    source = source_of(regions)
    regions[0].holds("v3", made=MADE)
    ask(source, "okx")
    regions[0].says(ALL_DOWN)
    regions[1].holds("v4", made=MADE + timedelta(days=1))

    assert ask(source, "okx") == "v4 (replica us-east-1)"


@each_verb
@pytest.mark.parametrize(
    ("code", "kind"),
    [("AccessDeniedException", SecretDeniedError), ("ResourceNotFoundException", SecretNotFoundError)],
)
def test_what_the_region_says_is_not_asked_for_elsewhere(
    regions: list[Region], ask: Ask, code: str, kind: type[Exception]
) -> None:
    """A secret that was taken away must not live on in its copies."""
    regions[0].says(dict.fromkeys(OPERATIONS, (400, {"__type": code})))
    regions[1].holds("v1")

    with pytest.raises(kind):
        ask(source_of(regions), "okx")

    assert regions[1].asked == []


@each_verb
def test_where_no_copy_answers_the_region_is_what_is_told_of(regions: list[Region], ask: Ask) -> None:
    """That a copy is not there proves nothing: it may not have arrived."""
    regions[0].says(ALL_DOWN)
    regions[1].says(ALL_DOWN)
    regions[2].says(dict.fromkeys(OPERATIONS, (400, {"__type": "ResourceNotFoundException"})))

    with pytest.raises(SecretStoreUnavailableError, match="failed on its side") as caught:
        ask(source_of(regions), "okx")

    assert caught.value.retryable


def test_a_region_that_is_down_is_not_asked_all_the_time(regions: list[Region]) -> None:
    """Each question takes as long as its time-out; later it is asked again, and preferred."""
    time = Time()
    source = source_of(regions, time)
    regions[0].says(ALL_DOWN)
    regions[1].holds("v1")
    for _ in range(5):
        source.read("okx")
    asked_while_down = len(regions[0].asked)
    regions[0].holds("v2", made=MADE + timedelta(days=1))
    time.pass_by(31)

    assert asked_while_down == 1
    assert source.read("okx").description.version == "v2"
    assert source.calls == {"GetSecretValue": 7}


def test_a_region_that_is_down_is_asked_when_no_copy_answers_any_more(regions: list[Region]) -> None:
    """It may be well again."""
    source = source_of(regions)
    regions[0].says(ALL_DOWN)
    regions[1].holds("v1")
    source.read("okx")
    regions[0].holds("v1")
    regions[1].says(ALL_DOWN)
    regions[2].says(ALL_DOWN)

    assert source.read("okx").description.version == "v1"


def test_several_at_once_come_from_a_copy_too(regions: list[Region]) -> None:
    """One by one: a batch is asked of the region itself."""
    regions[0].says({**ALL_DOWN, "BatchGetSecretValue": DOWN})
    regions[1].holds("v1")

    found = source_of(regions).read_many(["okx", "bybit"])

    assert found["okx"].description.version == "v1 (replica us-east-1)"  # type: ignore[union-attr]


def test_what_a_batch_told_is_remembered_for_the_comparison(aws: Aws, aws_separate: AwsStore, regions: Any) -> None:
    for issuer in ("okx", "bybit"):
        aws_separate.put(issuer, new_parts(issuer))
    source = source_of(regions, prefix=aws_separate.prefix)
    version = source.read_many(["okx", "bybit"])["okx"].description.version  # type: ignore[union-attr]
    regions[0].says(ALL_DOWN)
    regions[1].holds("v0", made=MADE - timedelta(days=1))

    assert source.read("okx").description.version == f"v0 (replica us-east-1, behind {version})"


def test_a_login_that_stands_in_a_file_that_is_gone_is_told(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a pod whose token is not mounted."""
    for name, value in {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "gone"),
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/reader",
    }.items():
        monkeypatch.setenv(name, value)
    source = AwsSource(build_client(REGION, aws.address), prefix="crypto-pipeline")

    with pytest.raises(ConfigurationError, match=r"cannot be read \(No such file or directory\)\. Correct AWS_WEB"):
        source.read("okx")
