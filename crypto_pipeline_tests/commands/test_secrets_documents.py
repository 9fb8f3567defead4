"""The documents show what the commands show: the same secrets, at the same moment, give the same picture."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.config import Config
from moto.backends import get_backend

from crypto_pipeline.audit import AuditEvent, JsonLinesAuditLog, secret_access, secret_used
from crypto_pipeline.commands.secrets_describe import show_secret
from crypto_pipeline.commands.secrets_list import show_list
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline_tests.commands.stocked import Place, Stocked, StockedVault, terminal
from crypto_pipeline_tests.support.aws import LOGIN, Aws
from crypto_pipeline_tests.support.project import ROOT, Project
from crypto_pipeline_tests.support.terminal import running_on_terminal
from crypto_pipeline_tests.support.vault import Vault

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
NOW = datetime(2026, 11, 25, 0, 51, 7, tzinfo=UTC)
REGION = "eu-central-1"
"""No other test stores anything there, so that the folder can have its usual name."""

OLD, CURRENT = "660f446f-a873-4f15-b9e5-753aae4c1e0a", "f31432d0-6dc7-4085-9aa1-6169cf4ede16"
STORED = (
    ("okx", OLD, 96),
    ("okx", CURRENT, 12),
    ("binance", "123c15d1-85ee-423d-a011-75d1c75f4a0f", 81),
    ("bybit", "6f885554-896a-482e-bb5a-5b9c5e5dfe33", 93),
    ("huggingface", "7e8523be-0eb2-41e6-9dec-e30ec6998558", 41),
)
"""Issuer, version, and how many days ago it was stored."""


def documented(name: str) -> str:
    """Return the picture of that name in docs/operations.md, each space of it as one."""
    (found,) = re.findall(
        rf"<!-- {name}: begin -->\n```\n\$ [^\n]*\n(.*?)```\n<!-- {name}: end -->", OPERATIONS, re.DOTALL
    )
    return " ".join(str(found).split())


@pytest.fixture
def stocked(aws: Aws, place: Place) -> Iterator[Stocked]:
    """What the documents speak of."""
    client = boto3.client(
        "secretsmanager", region_name=REGION, endpoint_url=aws.address, config=Config(proxies={}),
        aws_access_key_id=LOGIN["AWS_ACCESS_KEY_ID"], aws_secret_access_key=LOGIN["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    kept = get_backend("secretsmanager")["123456789012"][REGION].secrets
    for issuer, version, days in STORED:
        name = f"crypto-pipeline/{issuer}"
        text = json.dumps({part: f"planted-{issuer}-{part}-{days}" for part in ISSUERS[issuer].names})
        if name in kept:
            client.put_secret_value(SecretId=name, SecretString=text, ClientRequestToken=version)
        else:
            client.create_secret(Name=name, SecretString=text, ClientRequestToken=version)
        kept[name].versions[version]["createdate"] = int((NOW - timedelta(days=days, hours=3)).timestamp())
    client.tag_resource(
        SecretId="crypto-pipeline/okx",
        Tags=[{"Key": "owner", "Value": "research"}, {"Key": "ticket", "Value": "SEC-1412"}],
    )
    yield Stocked(
        place,
        {
            "CRYPTO_PIPELINE_SECRETS": "aws", "CRYPTO_PIPELINE_AWS_LAYOUT": "separate", "AWS_REGION": REGION,
            "CRYPTO_PIPELINE_AWS_ENDPOINT_URL": aws.address, "CRYPTO_PIPELINE_KEYS": "okx,binance,bybit,coinbase",
            **LOGIN,
        },
    )  # fmt: skip
    for issuer in {issuer for issuer, _, _ in STORED}:
        client.delete_secret(SecretId=f"crypto-pipeline/{issuer}", ForceDeleteWithoutRecovery=True)


def test_the_listing_is_the_one_in_the_documents(stocked: Stocked) -> None:
    with terminal(80) as (console, shown):
        code = show_list(console, now=NOW, as_json=False)

    assert code == 3
    assert " ".join(shown.getvalue().split()) == documented("secrets list")
    assert max(map(len, shown.getvalue().splitlines())) <= 80


def test_the_description_is_the_one_in_the_documents(stocked: Stocked) -> None:
    """But for the place of the log, and the day on which the server of these tests was asked."""
    for event, hours, asset in what_happened():
        at = NOW - timedelta(hours=hours)
        JsonLinesAuditLog(stocked.audit, clock=lambda at=at: at).bound(asset=asset).record(event)  # type: ignore[misc]

    with terminal(80) as (console, shown):
        show_secret(console, "okx", now=NOW, as_json=False)

    text = " ".join(shown.getvalue().replace(f"{datetime.now(UTC):%Y-%m-%d}", "2026-11-25").split())
    log = "/srv/pipeline/var/audit/audit.jsonl"
    assert re.sub(r"as \S+(?: \S+)*? says:", f"as {log} says:", text) == documented("secrets describe")


def what_happened() -> Iterator[tuple[AuditEvent, float, str]]:
    """Yield what is on the record: the event, how many hours ago, on whose behalf."""
    rows = (
        ("okx/api_key", OLD, 90 * 24, 13 * 24, 5),
        ("okx/api_key", CURRENT, 11 * 24, 5, 42),
        ("okx/candles_1m", CURRENT, 11 * 24, 4, 11),
    )
    name = "crypto-pipeline/okx"
    for asset, version, first, last, count in rows:
        who, signed = f"crypto_pipeline/{asset}", 640 if asset == "okx/candles_1m" else 0
        for number in range(count):
            hours = first - (first - last) * number / (count - 1)
            yield secret_access(name, who, version=version, store="aws"), hours, asset
            used = secret_used(name, who, version=version, store="aws", handed_out=2, signed_requests=signed)
            yield used, hours, asset
    refused = secret_access(name, who, success=False, store="aws", error="SecretDeniedError")
    yield refused, 48, "okx/candles_1m"


def test_what_a_put_shows_is_in_the_documents(vault: Vault, place: Place) -> None:
    """Without the name of the test's own folder."""
    stocked = StockedVault(vault, place)
    stocked.stock("okx", "okx", "okx")
    stocked.set(CRYPTO_PIPELINE_KEYS="okx")
    parts = stocked.plant("okx")
    project = Project(place.folder, {**stocked.variables, "CRYPTO_PIPELINE_KEYS": "okx"})
    command = project.command("secrets", "put", "okx")

    with running_on_terminal(command, project.surroundings(), width=80, cwd=str(project.home)) as typing:
        for prompt in ("api_key", "api_secret", "passphrase", "passphrase, again"):
            typing.wait_for(f"okx {prompt}: ")
            typing.type(f"{parts[prompt.partition(',')[0]]}\n")
        code = typing.end()

    shown = typing.shown.replace(stocked.prefix, "crypto-pipeline")
    assert code == 0
    assert " ".join(shown.split()) == documented("secrets put")
