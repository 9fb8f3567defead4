"""Each right of each role is tried for real: on OpenBao, and on an AWS-shaped server as far as that knows policies."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import hvac
import pytest
from botocore.exceptions import ClientError

from crypto_pipeline.errors import ConfigurationError, SecretDeniedError, SecretNotFoundError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import AppRoleAuth, VaultSource, build_client
from crypto_pipeline.secrets.policies import aws_policy, render_vault, vault_policy
from crypto_pipeline.secrets.roles import ROLES, Environment, May, Role, folder_of, role_named
from crypto_pipeline_tests.secrets.matrix import MATRIX, NAMES, NOBODY, SUFFIXES, each_environment, each_role, may
from crypto_pipeline_tests.secrets.stores import new_parts, new_prefix
from crypto_pipeline_tests.support.aws import REGION, Aws
from crypto_pipeline_tests.support.iam import matches, seen_by_moto
from crypto_pipeline_tests.support.vault import NO_RIGHTS, Vault

# Vault and OpenBao...


@dataclass(frozen=True, slots=True)
class Verb:
    """One kind of request: the right that it needs, its method, and its path for a mount, folder and secret."""

    right: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None


VERBS = {
    "read the value": Verb("read", "GET", "{mount}/data/{folder}/{name}"),
    "read an old value": Verb("read", "GET", "{mount}/data/{folder}/{name}?version=1"),
    "describe": Verb("describe", "GET", "{mount}/metadata/{folder}/{name}"),
    "list": Verb("list", "LIST", "{mount}/metadata/{folder}/"),
    "list without a slash": Verb("list", "LIST", "{mount}/metadata/{folder}"),
    "list with times": Verb("list", "LIST", "{mount}/detailed-metadata/{folder}/"),
    "make a new secret": Verb("store", "POST", "{mount}/data/{folder}/{name}-new", {"data": {"token": "new"}}),
    "store a new version": Verb("store", "POST", "{mount}/data/{folder}/{name}", {"data": {"token": "new"}}),
    "tag": Verb("store", "POST", "{mount}/metadata/{folder}/{name}", {"custom_metadata": {"owner": "somebody"}}),
    "tag a new secret": Verb("store", "POST", "{mount}/metadata/{folder}/{name}-tagged", {"max_versions": 5}),
    "delete the current version": Verb("withdraw", "DELETE", "{mount}/data/{folder}/{name}"),
    "delete a version": Verb("withdraw", "POST", "{mount}/delete/{folder}/{name}", {"versions": [1]}),
    "undelete a version": Verb("withdraw", "POST", "{mount}/undelete/{folder}/{name}", {"versions": [1]}),
    "destroy a version": Verb("withdraw", "POST", "{mount}/destroy/{folder}/{name}", {"versions": [1]}),
    "remove with its history": Verb(NOBODY, "DELETE", "{mount}/metadata/{folder}/{name}"),
    "read the names of fields": Verb(NOBODY, "GET", "{mount}/subkeys/{folder}/{name}"),
    "scan": Verb(NOBODY, "SCAN", "{mount}/metadata/{folder}/"),
    "list the mount": Verb(NOBODY, "LIST", "{mount}/metadata/"),
    "read a secret named as the folder": Verb(NOBODY, "GET", "{mount}/data/{folder}"),
    "configure the mount": Verb(NOBODY, "POST", "{mount}/config", {"max_versions": 9}),
    "see how the mount is configured": Verb(NOBODY, "GET", "{mount}/config"),
    "read a policy": Verb(NOBODY, "GET", "sys/policies/acl/default"),
    "write a policy": Verb(NOBODY, "POST", "sys/policies/acl/{name}", {"policy": NO_RIGHTS}),
    "mount an engine": Verb(NOBODY, "POST", "sys/mounts/{name}", {"type": "kv"}),
    "make a login": Verb(NOBODY, "POST", "auth/approle/role/{name}", {"token_policies": ["root"]}),
    "make a token of its own": Verb(NOBODY, "POST", "auth/token/create", {"policies": ["default"]}),
}


class Roles:
    """A login for each role on a real server, and secrets to try it on."""

    def __init__(self, vault: Vault, *, prefix: str = "crypto-pipeline") -> None:
        self._vault = vault
        self.prefix = prefix
        self.mount = new_prefix()
        vault.root.sys.enable_secrets_engine("kv", path=self.mount, options={"version": "2"})
        self._wait_for_the_mount()
        self.login_with(NO_RIGHTS)  # so that there is a place for logins

    def _wait_for_the_mount(self) -> None:
        """A new engine refuses what it is asked until it is ready, which takes a moment."""
        deadline = time.monotonic() + 20
        while True:
            try:
                return self._vault.put("first", {}, mount=self.mount)
            except hvac.exceptions.InvalidRequest:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    @cache  # noqa: B019 - one for all tests of the module
    def login(self, *roles: str) -> hvac.Client:
        """Return a client that logged in, with AppRole, as one that has these roles."""
        policies = (vault_policy(role_named(role), mount=self.mount, prefix=self.prefix) for role in roles)
        return self.login_with("\n".join(policies))

    def login_with(self, policy: str) -> hvac.Client:
        """Return a client that logged in, with AppRole, with this policy."""
        role_id, secret_id = self._vault.app_role(policy)
        client = hvac.Client(url=self._vault.address, timeout=10)
        client.session.trust_env = False
        client.auth.approle.login(role_id, secret_id)
        return client

    def new_secret(self, folder: str) -> str:
        """Return the name of a secret with two versions that nobody has touched."""
        name = f"issuer-{secrets.token_hex(4)}"
        for version in ("old", "current"):
            self._vault.put(f"{folder}/{name}", {"token": version}, mount=self.mount)
        self._vault.put(folder, {"token": "in the place of the folder"}, mount=self.mount)
        return name

    def answers(self, client: hvac.Client, folder: str, verb: Verb) -> bool:
        """Send the request for a fresh secret; tell whether it was done, and fail if it was neither done nor denied."""
        place = {"mount": self.mount, "folder": folder, "name": self.new_secret(folder)}
        try:
            client.adapter.request(verb.method, f"/v1/{verb.path.format_map(place)}", json=verb.body)
        except hvac.exceptions.Forbidden:
            return False
        return True


@pytest.fixture(scope="module")
def roles(vault: Vault) -> Roles:
    """The server, with a mount of its own."""
    return Roles(vault)


@each_environment
@each_role
def test_a_role_may_do_on_openbao_what_the_matrix_says_and_nothing_else(
    role: str, environment: str, roles: Roles
) -> None:
    """Each verb on each path, as one that logged in with the role's policy."""
    folder = roles.prefix + SUFFIXES[environment]
    client = roles.login(role)

    done = {name: roles.answers(client, folder, verb) for name, verb in VERBS.items()}

    assert done == {name: may(role, environment, verb.right) for name, verb in VERBS.items()}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_each_verb_is_one_that_the_server_knows(verb: Verb, roles: Roles, vault: Vault) -> None:
    """Otherwise a refusal above would be no news: everything is tried by one that may do everything."""
    assert roles.answers(vault.root, roles.prefix, verb)


@each_environment
@pytest.mark.parametrize("refused", [name for name in NAMES if name != "devops"])
def test_a_role_that_is_refused_somewhere_stays_so_whatever_else_the_login_has(
    refused: str, environment: str, roles: Roles
) -> None:
    """A reviewer who is given a second policy by mistake reads nothing with it."""
    folder = roles.prefix + SUFFIXES[environment]
    client = roles.login("devops", refused)

    done = {name: roles.answers(client, folder, verb) for name, verb in VERBS.items()}

    expected = environment != "elsewhere" and bool(MATRIX.get((refused, environment)))
    assert done == {name: expected and may("devops", environment, verb.right) for name, verb in VERBS.items()}


@pytest.mark.parametrize("refused", ["reviewer", "developer"])
def test_a_refusal_closes_every_door_of_the_folder_to_a_login_with_the_whole_mount(refused: str, roles: Roles) -> None:
    """Also those that no role opens."""
    everything = f'path "{roles.mount}/*" {{ capabilities = ["create", "read", "update", "delete", "list", "scan"] }}\n'
    policy = vault_policy(ROLES[refused], mount=roles.mount, prefix=roles.prefix)
    alone, both = roles.login_with(everything), roles.login_with(policy + everything)
    inside = {name: verb for name, verb in VERBS.items() if "/{folder}/" in verb.path}

    assert [name for name, verb in inside.items() if roles.answers(both, roles.prefix, verb)] == []
    assert [name for name, verb in inside.items() if not roles.answers(alone, roles.prefix, verb)] == []


@pytest.mark.parametrize("right", May, ids=lambda right: right.name)
def test_each_right_opens_by_itself_what_it_says(right: May, roles: Roles) -> None:
    """No role has a value without its description today; the rights are apart all the same."""
    role = Role("one-right", "", {Environment.PRODUCTION: right})
    client = roles.login_with(vault_policy(role, mount=roles.mount, prefix=roles.prefix))

    done = {name: roles.answers(client, roles.prefix, verb) for name, verb in VERBS.items()}

    assert done == {name: verb.right == str(right.name).lower() for name, verb in VERBS.items()}


@each_environment
def test_all_policies_loaded_as_one_allow_nothing(environment: str, roles: Roles) -> None:
    """What the command prints for all roles is made to be read; who loads it by mistake opens no door."""
    client = roles.login_with(render_vault(mount=roles.mount, prefix=roles.prefix))
    folder = roles.prefix + SUFFIXES[environment]

    assert [name for name, verb in VERBS.items() if roles.answers(client, folder, verb)] == []


def test_the_pipelines_policy_is_enough_for_the_pipeline(roles: Roles, vault: Vault) -> None:
    """Its source describes and reads, and tells what is missing from what is denied."""
    role_id, secret_id = vault.app_role(vault_policy(ROLES["pipeline"], mount=roles.mount, prefix=roles.prefix))
    vault.put(f"{roles.prefix}/okx", parts := new_parts("okx"), mount=roles.mount)
    auth = AppRoleAuth(Secret(role_id), Secret(secret_id))
    source = VaultSource(vault.address, mount=roles.mount, prefix=roles.prefix, auth=auth)

    described, read = source.describe("okx"), source.read("okx")

    assert described == read.description
    assert {name: part.reveal() for name, part in read.parts.items()} == parts
    with pytest.raises(SecretNotFoundError):
        source.read("bybit")
    with pytest.raises(SecretDeniedError):
        source.fetch(f"{roles.prefix}-dev/okx")


def test_a_deeper_prefix_is_served_alike(vault: Vault) -> None:
    deep = Roles(vault, prefix="team/market")
    client = deep.login("developer")

    done = {
        folder: deep.answers(client, folder, VERBS["read the value"])
        for folder in ("team/market-dev", "team/market-dev/deeper", "team/market", "team", "market-dev")
    }

    assert [folder for folder, is_read in done.items() if is_read] == ["team/market-dev", "team/market-dev/deeper"]


def test_a_refusal_in_vault_gives_way_to_a_more_exact_path(roles: Roles) -> None:
    """The server's rule, which docs/operations.md tells: give a login one role."""
    name = roles.new_secret(roles.prefix)
    reviewer = vault_policy(ROLES["reviewer"], mount=roles.mount, prefix=roles.prefix)
    exact = f'path "{roles.mount}/data/{roles.prefix}/{name}" {{ capabilities = ["read"] }}\n'
    client = roles.login_with(reviewer + exact)

    found = client.read(f"{roles.mount}/data/{roles.prefix}/{name}")

    assert found["data"]["data"] == {"token": "current"}


# AWS...

Ask = Callable[[Any, str, str], object]

ACTIONS: Mapping[str, tuple[str, Ask]] = {
    "GetSecretValue": ("read", lambda client, name, _: client.get_secret_value(SecretId=name)),
    "DescribeSecret": ("describe", lambda client, name, _: client.describe_secret(SecretId=name)),
    "ListSecretVersionIds": ("describe", lambda client, name, _: client.list_secret_version_ids(SecretId=name)),
    "ListSecrets": ("list", lambda client, _, __: client.list_secrets()),
    "CreateSecret": ("store", lambda client, name, _: client.create_secret(Name=f"{name}-new", SecretString="{}")),
    "PutSecretValue": ("store", lambda client, name, _: client.put_secret_value(SecretId=name, SecretString="{}")),
    "UpdateSecretVersionStage": (
        "store",
        lambda client, name, version: client.update_secret_version_stage(
            SecretId=name, VersionStage="KEPT", MoveToVersionId=version
        ),
    ),
    "TagResource": (
        "store",
        lambda client, name, _: client.tag_resource(SecretId=name, Tags=[{"Key": "owner", "Value": "somebody"}]),
    ),
    "UpdateSecret": (NOBODY, lambda client, name, _: client.update_secret(SecretId=name, Description="")),
    "UntagResource": (NOBODY, lambda client, name, _: client.untag_resource(SecretId=name, TagKeys=["owner"])),
    "BatchGetSecretValue": (NOBODY, lambda client, name, _: client.batch_get_secret_value(SecretIdList=[name])),
    "GetResourcePolicy": (NOBODY, lambda client, name, _: client.get_resource_policy(SecretId=name)),
    "PutResourcePolicy": (
        NOBODY,
        lambda client, name, _: client.put_resource_policy(SecretId=name, ResourcePolicy="{}"),
    ),
    "DeleteSecret": (NOBODY, lambda client, name, _: client.delete_secret(SecretId=name)),
}
"""The actions that can be tried on the server, and the right that each needs."""


@pytest.mark.parametrize("environment", ["production", "development"])
@each_role
def test_a_role_can_do_on_a_server_what_its_policy_names(
    role: str, environment: str, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server checks logins and actions; of resources and conditions it is given what remains for the secret."""
    prefix = new_prefix()
    name = f"{prefix}{SUFFIXES[environment]}/okx"
    version = aws.put(name, "{}")
    address = aws.client("secretsmanager").describe_secret(SecretId=name)["ARN"]
    policy = aws_policy(ROLES[role], prefix=prefix)
    login(aws, monkeypatch, f"{prefix}-{role}", seen_by_moto(policy, address))
    client = build_client(REGION, aws.address)

    with aws.enforcing():
        done = {action: is_done(partial(ask, client, name, version)) for action, (_, ask) in ACTIONS.items()}

    assert done == {action: may(role, environment, right) for action, (right, _) in ACTIONS.items()}
    assert matches(f"arn:*:secret:{name}-??????", address)


def login(aws: Aws, monkeypatch: pytest.MonkeyPatch, name: str, policy: Mapping[str, Any]) -> None:
    """Log in as a new user with this policy and no other."""
    iam = aws.client("iam")
    iam.create_user(UserName=name)
    if policy["Statement"]:
        iam.put_user_policy(UserName=name, PolicyName="role", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])


def is_done(ask: Callable[[], object]) -> bool:
    """Tell whether a call was done; fail if it was neither done nor denied."""
    try:
        ask()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
            raise
        return False
    return True


# The table...


def test_the_roles_are_those_of_the_matrix() -> None:
    assert tuple(ROLES) == NAMES
    assert all(set(role.rights) == set(Environment) for role in ROLES.values())


def test_development_lies_beside_production() -> None:
    assert folder_of(Environment.PRODUCTION, "/team/crypto/") == "team/crypto"
    assert folder_of(Environment.DEVELOPMENT, "/team/crypto/") == "team/crypto-dev"


def test_a_role_that_is_none_is_told_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigurationError, match=r"no role 'root'; known are developer, reviewer, devops, ci, pipeline"
    ):
        role_named("root")
