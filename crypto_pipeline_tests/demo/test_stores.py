"""The main job with each kind of store behind it, as a deployment would configure it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from crypto_pipeline.demo.stack import Stack, parts_of
from crypto_pipeline_tests.support.aws import LOGIN, REGION, Aws
from crypto_pipeline_tests.support.project import Project

MONTH = "2026-10"


@pytest.fixture
def prefix() -> str:
    """Return a path in the shared AWS that is this test's own."""
    return f"test-{uuid.uuid4()}"


def aws_settings(aws: Aws, prefix: str, **more: str) -> dict[str, Any]:
    """Return the variables of a deployment that keeps its keys in AWS."""
    return {
        **LOGIN,
        "CRYPTO_PIPELINE_SECRETS": "aws",
        "CRYPTO_PIPELINE_AWS_REGION": REGION,
        "CRYPTO_PIPELINE_AWS_ENDPOINT_URL": aws.address,
        "CRYPTO_PIPELINE_SECRET_PREFIX": prefix,
        "CRYPTO_PIPELINE_KEYS": "bybit,okx",
        **more,
    }


def stored_parts(stack: Stack, issuer: str) -> dict[str, str]:
    """Return the parts of the key that the sandbox issued."""
    (key,) = stack.sandbox.keys.all(issuer)
    return parts_of(key)


def verdicts(audit_log: Path) -> list[tuple[str, str]]:
    """Return which secret was read from which store, as the record says."""
    events = [json.loads(line) for line in audit_log.read_text().splitlines()]
    return [(one["store"], one["secret_name"]) for one in events if one["event"] == "secret_access" and one["success"]]


@pytest.mark.parametrize("layout", ["combined", "separate"])
def test_keys_in_aws_are_read_and_proved(
    layout: str, aws: Aws, prefix: str, stack: Stack, project: Project, tmp_path: Path
) -> None:
    parts = {issuer: stored_parts(stack, issuer) for issuer in ("bybit", "okx")}
    if layout == "combined":
        fields = {f"{issuer}_{name}": value for issuer, found in parts.items() for name, value in found.items()}
        aws.put(f"{prefix}/exchange-keys", json.dumps(fields))
    else:
        for issuer, found in parts.items():
            aws.put(f"{prefix}/{issuer}", json.dumps(found))

    done = project.run("keys", "check", **aws_settings(aws, prefix, CRYPTO_PIPELINE_AWS_LAYOUT=layout))

    assert done.code == 0, done.said
    assert done.said.count("read-only") == 2
    name = f"{prefix}/exchange-keys" if layout == "combined" else f"{prefix}/bybit"
    assert ("aws", name) in verdicts(tmp_path / "data" / "audit" / "audit.jsonl")


def test_the_main_job_runs_with_keys_in_aws(
    aws: Aws, prefix: str, stack: Stack, project: Project, tmp_path: Path
) -> None:
    aws.put(f"{prefix}/exchange-keys", json.dumps({f"bybit_{k}": v for k, v in stored_parts(stack, "bybit").items()}))

    done = project.run("run", "--exchange", "bybit", "--month", MONTH, **aws_settings(aws, prefix))

    assert done.code == 0, done.said
    assert "44,640" in done.said


@pytest.mark.parametrize(
    ("content", "says"),
    [("not json at all", "JSON"), ('["a list"]', "JSON"), ('{"bybit_api_key": "k"}', "api_secret")],
    ids=["not JSON", "no object", "field missing"],
)
def test_a_secret_in_another_form_has_its_sentence_and_is_not_quoted(
    content: str, says: str, aws: Aws, prefix: str, project: Project
) -> None:
    aws.put(f"{prefix}/exchange-keys", content)

    done = project.run("keys", "check", **aws_settings(aws, prefix, CRYPTO_PIPELINE_KEYS="bybit"))

    assert done.code == 3, done.said
    assert says in done.said
    assert f"{prefix}/exchange-keys" in done.said
    assert content not in done.out + done.err


def test_a_login_that_is_missing_fails_the_run_with_its_sentence(project: Project) -> None:
    """Dagster makes the store before the first step; its error must be told all the same."""
    environment = {name: value for name, value in project.environment.items() if name != "VAULT_TOKEN"}

    done = Project(project.home, environment).run("run", "--exchange", "bybit", "--month", MONTH)

    assert done.code == 2, done.said
    assert "VAULT_TOKEN" in done.said
    assert "Traceback" not in done.said


def test_keys_in_the_environment_are_read_and_proved(stack: Stack, project: Project) -> None:
    variables: dict[str, Any] = {f"BYBIT_{name.upper()}": value for name, value in stored_parts(stack, "bybit").items()}

    done = project.run(
        "keys", "check", **variables, CRYPTO_PIPELINE_SECRETS="environment", CRYPTO_PIPELINE_KEYS="bybit"
    )

    assert done.code == 0, done.said
    assert "environment" in done.said
