"""
What AWS would say to a request under an IAM policy: its published rules of evaluation, for the elements we use.

The server of the tests knows neither resources nor conditions; `seen_by_moto` is what remains of a policy for
one secret, so that it can try the actions for real.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Statement = Mapping[str, Any]

OVER_TLS = {"aws:SecureTransport": "true"}
IN_THE_CLEAR = {"aws:SecureTransport": "false"}


def allows(policies: Sequence[Mapping[str, Any]], action: str, resource: str, surroundings: Mapping[str, str]) -> bool:
    """Tell whether the request is allowed: a statement allows it, and none denies it."""
    concerned = {
        statement["Effect"]
        for policy in policies
        for statement in policy["Statement"]
        if concerns(statement, action, resource, surroundings)
    }
    return concerned == {"Allow"}


def concerns(statement: Statement, action: str, resource: str, surroundings: Mapping[str, str]) -> bool:
    """Tell whether a statement has a say in the request."""
    assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}, "an element that is not known here"
    return (
        # Actions are compared whatever their case, resources are not.
        any(matches(pattern.lower(), action.lower()) for pattern in statement["Action"])
        and matches(statement["Resource"], resource)
        and holds(statement.get("Condition", {}), surroundings)
    )


def matches(pattern: str, text: str) -> bool:
    """Tell whether a pattern matches: `*` is any number of characters, `?` is one."""
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def holds(condition: Mapping[str, Mapping[str, str]], surroundings: Mapping[str, str]) -> bool:
    """Tell whether a condition holds; a key that the request does not have is not equal to anything."""
    assert set(condition) <= {"Bool"}, "an operator that is not known here"
    return all(surroundings.get(key) == value for key, value in condition.get("Bool", {}).items())


def seen_by_moto(policy: Mapping[str, Any], resource: str) -> dict[str, Any]:
    """Return what of a policy concerns a resource over TLS, for a server that takes no other resource than `*`."""
    statements = [
        {"Effect": statement["Effect"], "Action": statement["Action"], "Resource": "*"}
        for statement in policy["Statement"]
        if matches(statement["Resource"], resource) and holds(statement.get("Condition", {}), OVER_TLS)
    ]
    return {"Version": policy["Version"], "Statement": statements}
