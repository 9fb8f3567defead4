"""
The table of roles, said in the words of a store: policies for Vault or OpenBao, and for AWS IAM.

Pure: the same arguments give the same text. What may be done stands in `roles`; here only how a store
calls it. The tests load what comes out into real servers and try every right there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.secrets.roles import ROLES, May, Role, checked_folder, folder_of, role_named

ANY: Final = "*"

_VAULT_RIGHTS: Final[tuple[tuple[str, May, tuple[str, ...]], ...]] = (
    ("data", May.READ, ("read",)),
    ("data", May.STORE, ("create", "update")),
    ("data", May.WITHDRAW, ("delete",)),
    ("metadata", May.DESCRIBE, ("read",)),
    ("metadata", May.STORE, ("create", "update")),
    ("metadata", May.LIST, ("list",)),
    ("detailed-metadata", May.LIST, ("list",)),  # OpenBao's: names and times of all with one question
    ("delete", May.WITHDRAW, ("update",)),
    ("undelete", May.WITHDRAW, ("update",)),
    ("destroy", May.WITHDRAW, ("update",)),
)
"""The doors of a KV engine of version 2 (`<mount>/<door>/<folder>/…`) and which right opens them how far."""

_VAULT_DOORS: Final = (*dict.fromkeys(door for door, _, _ in _VAULT_RIGHTS), "subkeys")

_AWS_RIGHTS: Final[tuple[tuple[May, tuple[str, ...]], ...]] = (
    (May.READ, ("GetSecretValue",)),
    (May.DESCRIBE, ("DescribeSecret", "ListSecretVersionIds")),
    (May.STORE, ("CreateSecret", "PutSecretValue", "TagResource")),
    # AWS deletes no version: one that has lost its labels is out of use.
    (May.STORE | May.WITHDRAW, ("UpdateSecretVersionStage",)),
)
"""Actions on single secrets, and the rights of which any one includes them."""

_AWS_NAMES: Final = "ListSecrets"
"""Knows no folder: who may list, lists the whole account."""

_REGION = re.compile(r"\*|[a-z]{2}(-[a-z]+)+-\d")
_ACCOUNT = re.compile(r"\*|\d{12}", re.ASCII)


def render_vault(role: str | None = None, *, mount: str, prefix: str) -> str:
    """
    Return the policy of a role for Vault or OpenBao, as HCL; of all roles one after the other if none is named.

    All of them, loaded as one policy by mistake, allow nothing: in each folder there is a role that is refused.

    Raises:
        ConfigurationError: an argument is not usable.
    """
    return "\n".join(vault_policy(each, mount=mount, prefix=prefix) for each in _chosen(role))


def render_aws(role: str | None = None, *, prefix: str, region: str = ANY, account: str = ANY) -> str:
    """
    Return the IAM policy of a role, as JSON; of all roles, by name, if none is named.

    Raises:
        ConfigurationError: an argument is not usable.
    """
    found = {each.name: aws_policy(each, prefix=prefix, region=region, account=account) for each in _chosen(role)}
    return json.dumps(found if role is None else found[role], indent=2) + "\n"


def vault_policy(role: Role, *, mount: str, prefix: str) -> str:
    """
    Return the role's policy, as HCL.

    A refusal stands at each door by itself: `<mount>/+/…` would be shorter, and would give way to any pattern
    without `+`.

    Args:
        role: whose.
        mount: the mount of the KV version 2 engine.
        prefix: the folder of production.

    Raises:
        ConfigurationError: mount or prefix would not be read as a name.
    """
    place = checked_folder(mount, what="mount")
    lines = [f"# {role.name}: {role.about}"]
    for environment, may in role.rights.items():
        folder = folder_of(environment, prefix)
        for door in _VAULT_DOORS:
            if capabilities := _capabilities(door, may):
                listed = ", ".join(f'"{each}"' for each in capabilities)
                lines.append(f'path "{place}/{door}/{folder}/*" {{ capabilities = [{listed}] }}')
    return "\n".join(lines) + "\n"


def aws_policy(role: Role, *, prefix: str, region: str = ANY, account: str = ANY) -> Mapping[str, Any]:
    """
    Return the role's IAM policy.

    The `*` behind the folder takes in the hyphen and six characters that AWS adds to each name. They are not
    asked for: a name that does not exist has none, and would be told as denied instead of missing.

    Args:
        role: whose.
        prefix: the folder of production.
        region: the region of the secrets.
        account: the account that holds them.

    Raises:
        ConfigurationError: an argument is not usable.
    """
    _check(region, _REGION, "region", "eu-west-1")
    _check(account, _ACCOUNT, "account", "123456789012")
    service = f"arn:{_partition(region)}:secretsmanager"
    statements = []
    for environment, may in role.rights.items():
        secrets = f"secret:{folder_of(environment, prefix)}/*"
        if not may:
            # In every region and account: a refusal must not end where an address does.
            statements.append(_statement("Deny", f"no {environment.value}", (ANY,), f"{service}:*:*:{secrets}"))
        elif actions := _actions(may):
            here = f"{service}:{region}:{account}:{secrets}"
            statements.append(_statement("Allow", environment.value, actions, here))
    if any(May.LIST in may for may in role.rights.values()):
        statements.append(_statement("Allow", "names", (_AWS_NAMES,), ANY))
    without_tls = {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    statements.append(_statement("Deny", "nothing without tls", (ANY,), ANY) | without_tls)
    return {"Version": "2012-10-17", "Statement": statements}


def _chosen(role: str | None) -> Iterable[Role]:
    return ROLES.values() if role is None else (role_named(role),)


def _capabilities(door: str, may: May) -> Sequence[str]:
    if not may:
        return ("deny",)
    return [
        each for place, right, capabilities in _VAULT_RIGHTS if place == door and right in may for each in capabilities
    ]


def _actions(may: May) -> Sequence[str]:
    return [action for rights, actions in _AWS_RIGHTS if may & rights for action in actions]


def _check(value: str, pattern: re.Pattern[str], what: str, example: str) -> None:
    if not pattern.fullmatch(value):
        msg = f"{value!r} is not the {what} of an AWS secret. Give one such as {example}, or leave it out for any."
        raise ConfigurationError(msg)


def _partition(region: str) -> str:
    """Return the part of AWS in which the region lies: they share no names."""
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rsplit("-", 2)[0], "aws")


def _statement(effect: str, sid: str, actions: Iterable[str], resource: str) -> dict[str, Any]:
    return {
        "Sid": sid.title().replace(" ", ""),
        "Effect": effect,
        "Action": [f"secretsmanager:{action}" for action in actions],
        "Resource": resource,
    }
