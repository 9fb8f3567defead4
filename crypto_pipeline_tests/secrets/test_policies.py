"""The text of the policies: what they say by the published rules, and what cannot be said in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.secrets.policies import aws_policy, render_aws, render_vault, vault_policy
from crypto_pipeline.secrets.roles import ROLES, Environment, May, Role
from crypto_pipeline_tests.secrets.matrix import MATRIX, NAMES, NOBODY, SUFFIXES, each_environment, each_role, may
from crypto_pipeline_tests.secrets.stores import new_prefix
from crypto_pipeline_tests.support.aws import REGION, Aws
from crypto_pipeline_tests.support.iam import IN_THE_CLEAR, OVER_TLS, allows
from crypto_pipeline_tests.support.project import ROOT

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()

# Vault and OpenBao...


@each_role
def test_a_policy_asks_for_no_more_than_every_vault_knows(role: str) -> None:
    """HashiCorp's refuses a policy with a word that only OpenBao has; `sudo` is for nobody."""
    lines = vault_policy(ROLES[role], mount="secret", prefix="crypto-pipeline").splitlines()[1:]

    words = {word for line in lines for word in json.loads(line.partition(" = ")[2].removesuffix(" }"))}

    assert words <= {"create", "read", "update", "delete", "list", "deny"}


# AWS...

RIGHTS = {
    "GetSecretValue": "read",
    "DescribeSecret": "describe",
    "ListSecretVersionIds": "describe",
    "CreateSecret": "store",
    "PutSecretValue": "store",
    "TagResource": "store",
    "UpdateSecretVersionStage": "store",
    "BatchGetSecretValue": NOBODY,
    "UpdateSecret": NOBODY,
    "UntagResource": NOBODY,
    "GetResourcePolicy": NOBODY,
    "PutResourcePolicy": NOBODY,
    "DeleteResourcePolicy": NOBODY,
    "ReplicateSecretToRegions": NOBODY,
    "RotateSecret": NOBODY,
    "CancelRotateSecret": NOBODY,
    "DeleteSecret": NOBODY,
    "RestoreSecret": NOBODY,
}
"""Every action on single secrets, and the right that it needs."""

ACCOUNT = "123456789012"


def arn(name: str, *, region: str = REGION, account: str = ACCOUNT, partition: str = "aws") -> str:
    """Return the address of a secret, with the characters that AWS adds."""
    return f"arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-a1B2c3"


def policy_of(role: str, **place: str) -> Mapping[str, Any]:
    """Return a role's policy for the default prefix."""
    return aws_policy(ROLES[role], **{"prefix": "crypto-pipeline", **place})


@each_environment
@each_role
def test_a_role_may_do_on_aws_what_the_matrix_says_and_nothing_else(role: str, environment: str) -> None:
    """By the published rules, with resources and conditions; the actions themselves are tried below."""
    secret = arn(f"crypto-pipeline{SUFFIXES[environment]}/okx")

    done = {action: allows([policy_of(role)], f"secretsmanager:{action}", secret, OVER_TLS) for action in RIGHTS}

    assert done == {action: may(role, environment, right) for action, right in RIGHTS.items()}


@pytest.mark.parametrize("right", May, ids=lambda right: right.name)
def test_each_right_allows_by_itself_what_it_says(right: May) -> None:
    """A version is withdrawn by moving its labels, so that action comes with two rights."""
    policy = aws_policy(Role("one-right", "", {Environment.PRODUCTION: right}), prefix="crypto-pipeline")
    secret = arn("crypto-pipeline/okx")
    meant = {action for action, needed in RIGHTS.items() if needed == str(right.name).lower()}

    done = {action for action in RIGHTS if allows([policy], f"secretsmanager:{action}", secret, OVER_TLS)}

    assert all(statement["Action"] for statement in policy["Statement"]), "a statement without an action is refused"
    assert done == meant | ({"UpdateSecretVersionStage"} if right is May.WITHDRAW else set())


@each_role
def test_only_who_may_list_somewhere_lists_the_account(role: str) -> None:
    assert allows([policy_of(role)], "secretsmanager:ListSecrets", "*", OVER_TLS) is (role == "devops")


@pytest.mark.parametrize("action", [*RIGHTS, "ListSecrets"])
@each_role
def test_nothing_is_allowed_in_the_clear(role: str, action: str) -> None:
    for name in ("crypto-pipeline/okx", "crypto-pipeline-dev/okx"):
        assert not allows([policy_of(role)], f"secretsmanager:{action}", arn(name), IN_THE_CLEAR)


@pytest.mark.parametrize("role", [name for name in NAMES if name != "devops"])
def test_a_refusal_on_aws_holds_beside_a_policy_that_allows_everything(role: str) -> None:
    """In every region and account, also where the policy allows in one only."""
    everything = {"Statement": [{"Effect": "Allow", "Action": ["*"], "Resource": "*"}]}
    both = [policy_of(role, region="eu-west-1", account=ACCOUNT), everything]

    for environment in ("production", "development"):
        secret = arn(f"crypto-pipeline{SUFFIXES[environment]}/okx", region="us-east-1", account="210987654321")
        read = allows(both, "secretsmanager:GetSecretValue", secret, OVER_TLS)
        assert read is bool(MATRIX.get((role, environment)))


@pytest.mark.parametrize(
    "name",
    [
        "crypto-pipeline",
        "crypto-pipelines/okx",
        "crypto-pipeline-dev",
        "crypto-pipeline2/okx",
        "other/crypto-pipeline/okx",
        "Crypto-Pipeline/okx",
    ],
)
@each_role
def test_a_name_that_only_looks_like_ours_is_not_ours(role: str, name: str) -> None:
    assert not allows([policy_of(role)], "secretsmanager:GetSecretValue", arn(name), OVER_TLS)


def test_a_secret_that_does_not_exist_is_missing_and_not_denied() -> None:
    """AWS adds its six characters to names that exist; for others it asks the policy about the name as it is."""
    bare = arn("crypto-pipeline/okx").removesuffix("-a1B2c3")

    assert allows([policy_of("pipeline")], "secretsmanager:GetSecretValue", bare, OVER_TLS)


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-west-1", "aws"), ("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn"), ("ap-southeast-2", "aws")],
)
def test_a_region_and_an_account_narrow_the_policy(region: str, partition: str) -> None:
    policy = policy_of("ci", region=region, account=ACCOUNT)
    here = arn("crypto-pipeline/okx", region=region, partition=partition)
    others = [
        arn("crypto-pipeline/okx", region="eu-north-1", partition=partition),
        arn("crypto-pipeline/okx", region=region, partition=partition, account="210987654321"),
    ]

    read = [allows([policy], "secretsmanager:GetSecretValue", secret, OVER_TLS) for secret in (here, *others)]

    assert read == [True, False, False]


@each_role
def test_the_policy_is_one_that_aws_takes(role: str, aws: Aws) -> None:
    """The server checks its grammar; the actions are ones that the service has, and it is short enough."""
    text = render_aws(role, prefix="crypto-pipeline")
    policy = json.loads(text)
    known = {f"secretsmanager:{name}" for name in aws.client("secretsmanager").meta.service_model.operation_names}

    aws.client("iam").create_policy(PolicyName=f"{role}-{new_prefix()}", PolicyDocument=text)

    sids = [statement["Sid"] for statement in policy["Statement"]]
    assert policy["Version"] == "2012-10-17"
    assert len(set(sids)) == len(sids)
    assert all(sid.isalnum() for sid in sids)
    assert {action for each in policy["Statement"] for action in each["Action"]} <= known | {"secretsmanager:*"}
    assert [
        each for each in policy["Statement"] if each["Effect"] == "Allow" and "secretsmanager:*" in each["Action"]
    ] == []
    assert len("".join(text.split())) <= 2048, "more than a user's own policy may be"


# What is printed...


def test_each_role_is_printed_as_it_is_alone() -> None:
    """For Vault one after the other, for AWS by name: an object of policies is none that AWS would take."""
    place = {"prefix": "crypto-pipeline"}

    together = render_vault(mount="secret", **place), json.loads(render_aws(**place))

    assert together[0] == "\n".join(render_vault(role, mount="secret", **place) for role in NAMES)
    assert together[1] == {role: json.loads(render_aws(role, **place)) for role in NAMES}
    assert "Statement" not in together[1]


@pytest.mark.parametrize(
    "text",
    [
        render_vault("pipeline", mount="secret", prefix="crypto-pipeline"),
        render_aws("pipeline", prefix="crypto-pipeline"),
    ],
    ids=["vault", "aws"],
)
def test_the_documents_print_the_policy_of_the_pipeline(text: str) -> None:
    assert f"\n{text}```\n" in OPERATIONS


def test_the_documents_table_of_roles_is_that_of_the_code() -> None:
    rows = [
        f"| `{role.name}` | {role.about} | {told(role.rights[Environment.PRODUCTION])} "
        f"| {told(role.rights[Environment.DEVELOPMENT])} |"
        for role in ROLES.values()
    ]

    head = "| role | secrets | in production | in development |\n|---|---|---|---|\n"
    assert head + "\n".join(rows) in OPERATIONS


def told(rights: May) -> str:
    """Return rights as the documents tell them."""
    return ", ".join(str(right.name).lower() for right in May if right in rights) or "refused"


# What cannot be rendered...


@pytest.mark.parametrize(
    "path",
    ["", "/", "*", "a*", "+/a", "a/+", "a//b", "..", "a/..", "./a", 'a"b', "a\nb", "{{identity}}", "$", "ä", "a b"],
)
def test_what_a_policy_would_not_read_as_a_name_is_refused(path: str) -> None:
    """A `*` in the middle of a prefix would open folders of others."""
    with pytest.raises(ConfigurationError, match="cannot stand in a policy"):
        render_aws("ci", prefix=path)
    with pytest.raises(ConfigurationError, match="prefix"):
        render_vault("ci", mount="secret", prefix=path)
    with pytest.raises(ConfigurationError, match="mount"):
        render_vault("ci", mount=path, prefix="crypto-pipeline")


@pytest.mark.parametrize(
    "place", [{"region": "europe"}, {"region": "eu-*"}, {"account": "12345678901"}, {"account": "1234567890*"}], ids=str
)
def test_a_region_or_account_that_is_none_is_refused(place: Mapping[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=rf"'{next(iter(place.values()))[:4]}.*leave it out"):
        policy_of("ci", **place)
