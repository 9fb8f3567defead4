"""`crypto-pipeline access render`: what it prints is taken by the stores as it is."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Sequence

import pytest

from crypto_pipeline.cli import main
from crypto_pipeline.secrets.policies import render_aws, render_vault
from crypto_pipeline.secrets.roles import ROLES
from crypto_pipeline.secrets.vault import DEFAULT_MOUNT, DEFAULT_PREFIX
from crypto_pipeline_tests.support.aws import Aws
from crypto_pipeline_tests.support.vault import Vault

each_role = pytest.mark.parametrize("role", ROLES)
each_store = pytest.mark.parametrize("store", ["vault", "aws"])


def rendered(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    """Run `access render` with these words; return its exit code and what it said."""
    with pytest.raises(SystemExit) as ended:
        main(["access", "render", *words])
    return ended.value.code, *capsys.readouterr()


@each_role
def test_openbao_takes_what_is_printed(role: str, vault: Vault, capsys: pytest.CaptureFixture[str]) -> None:
    """The server parses it, and keeps it as it is."""
    code, out, err = rendered(capsys, "vault", "--role", role)
    name = f"{role}-{secrets.token_hex(4)}"

    vault.root.sys.create_or_update_policy(name, out)

    assert (code, err) == (0, "")
    assert vault.root.sys.read_policy(name)["data"]["rules"] == out
    assert out == render_vault(role, mount=DEFAULT_MOUNT, prefix=DEFAULT_PREFIX)


@each_role
def test_iam_takes_what_is_printed(role: str, aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = rendered(capsys, "aws", "--role", role)

    made = aws.client("iam").create_policy(PolicyName=f"{role}-{secrets.token_hex(4)}", PolicyDocument=out)["Policy"]

    kept = aws.client("iam").get_policy_version(PolicyArn=made["Arn"], VersionId=made["DefaultVersionId"])
    assert (code, err) == (0, "")
    assert kept["PolicyVersion"]["Document"] == json.loads(out)
    assert out == render_aws(role, prefix=DEFAULT_PREFIX)


def test_all_roles_are_printed_where_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert rendered(capsys, "vault") == (0, render_vault(mount=DEFAULT_MOUNT, prefix=DEFAULT_PREFIX), "")
    assert rendered(capsys, "aws") == (0, render_aws(prefix=DEFAULT_PREFIX), "")


def test_mount_prefix_region_and_account_are_those_that_were_given(capsys: pytest.CaptureFixture[str]) -> None:
    vault = rendered(capsys, "vault", "--role", "ci", "--mount", "kv", "--prefix", "team/market")
    place = ("--prefix", "team/market", "--region", "eu-west-1", "--account", "123456789012")
    aws = rendered(capsys, "aws", "--role", "ci", *place)

    assert vault[1] == render_vault("ci", mount="kv", prefix="team/market")
    assert '"kv/data/team/market/*"' in vault[1]
    assert '"arn:aws:secretsmanager:eu-west-1:123456789012:secret:team/market/*"' in aws[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("vault", "--role", "root"), "There is no role 'root'; known are developer, reviewer, devops, ci, pipeline."),
        (("aws", "--role", "root"), "There is no role 'root'; known are developer, reviewer, devops, ci, pipeline."),
        (("vault", "--role", ""), "There is no role ''"),
        (("vault", "--prefix", "*"), "The prefix '*' cannot stand in a policy"),
        (("vault", "--mount", 'a"'), "The mount 'a\"' cannot stand in a policy"),
        (("aws", "--region", "Ireland"), "'Ireland' is not the region of an AWS secret. Give one such as eu-west-1"),
        (("aws", "--account", "12"), "'12' is not the account of an AWS secret. Give one such as 123456789012"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_rendered_is_one_sentence_and_exits_2(
    words: Sequence[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = rendered(capsys, *words)

    assert (code, out) == (2, "")
    assert err.startswith(says)
    assert err.count("\n") == 1


@each_store
def test_what_is_printed_is_the_same_in_every_process(store: str) -> None:
    """A policy that changes its order would be a change to review."""
    words = [sys.executable, "-W", "ignore", "-m", "crypto_pipeline", "access", "render", store]

    printed = {
        subprocess.run(
            words, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True, timeout=60
        ).stdout
        for seed in ("1", "2")
    }

    assert len(printed) == 1
