"""
Who may do what with the stored secrets: one table.

The rows are those of the security handbook, and one for the pipeline itself. Every policy, and the
table in docs/operations.md, comes from here; how a store says it stands in `policies`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import Final

from crypto_pipeline.errors import ConfigurationError

DEVELOPMENT_SUFFIX: Final = "-dev"
"""What the folder of development is called more than that of production; a suffix, so that no pattern
that ends in `<prefix>/*` reaches into it."""

_FOLDER = re.compile(r"(?!\.{1,2}(/|$))[\w.@=-]+(/(?!\.{1,2}(/|$))[\w.@=-]+)*", re.ASCII)
"""Nothing that a policy reads as a wildcard, a variable or the end of a text."""


class Environment(Enum):
    """Where a secret is used; each environment has a folder of its own in the store."""

    PRODUCTION = "production"
    DEVELOPMENT = "development"


class May(Flag):
    """
    What can be done with the secrets of a folder.

    No role may remove a secret together with its history, nor change who may what: that is for
    whoever administers the store.
    """

    NOTHING = 0
    DESCRIBE = auto()
    """Ask for the versions and times of a secret whose name is known."""
    READ = auto()
    """Ask for its value."""
    LIST = auto()
    """Ask for the names of all."""
    STORE = auto()
    """Make new secrets, new versions and tags."""
    WITHDRAW = auto()
    """Take versions out of use, and take that back as long as the store can."""


_USE: Final = May.DESCRIBE | May.READ
_ALL: Final = _USE | May.LIST | May.STORE | May.WITHDRAW


@dataclass(frozen=True, slots=True)
class Role:
    """
    One kind of person or program.

    Fields:
        name: as it is given on the command line.
        about: which secrets it may use, in the words of the security handbook.
        rights: what it may do in each environment.
    """

    name: str
    about: str
    rights: Mapping[Environment, May]


def _role(name: str, about: str, *, production: May, development: May) -> Role:
    return Role(name, about, {Environment.PRODUCTION: production, Environment.DEVELOPMENT: development})


ROLES: Final[Mapping[str, Role]] = {
    role.name: role
    for role in (
        _role("developer", "development secrets only", production=May.NOTHING, development=_USE),
        _role("reviewer", "no secrets", production=May.NOTHING, development=May.NOTHING),
        _role("devops", "all secrets", production=_ALL, development=_ALL),
        _role("ci", "production secrets, read-only", production=_USE, development=May.NOTHING),
        # As much as `ci`, and still another login: the store's record tells them apart, and each can be locked alone.
        _role("pipeline", "production secrets, read-only", production=_USE, development=May.NOTHING),
    )
}
"""Every role. Where one has no right at all, it is refused by name, so that another policy of the same
login does not let it in."""


def role_named(name: str) -> Role:
    """
    Return a role.

    Raises:
        ConfigurationError: there is none of that name.
    """
    if name not in ROLES:
        msg = f"There is no role {name!r}; known are {', '.join(ROLES)}."
        raise ConfigurationError(msg)
    return ROLES[name]


def folder_of(environment: Environment, prefix: str) -> str:
    """
    Return the folder of the environment's secrets.

    Args:
        environment: where they are used.
        prefix: the setting `CRYPTO_PIPELINE_SECRET_PREFIX` of production.

    Raises:
        ConfigurationError: a policy would not read the prefix as a name.
    """
    checked = checked_folder(prefix, what="prefix")
    return checked if environment is Environment.PRODUCTION else f"{checked}{DEVELOPMENT_SUFFIX}"


def checked_folder(path: str, *, what: str) -> str:
    """
    Return the path without slashes around it.

    Raises:
        ConfigurationError: a policy would not read it as a name.
    """
    bare = path.strip("/")
    if not _FOLDER.fullmatch(bare):
        msg = (
            f"The {what} {path!r} cannot stand in a policy: names of letters, digits and _ . @ = - only, "
            "with single slashes between them. Correct it."
        )
        raise ConfigurationError(msg)
    return bare
