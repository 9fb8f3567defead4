"""
How a credential is laid out in a store, and how what a store gave becomes one.

Every store comes through here, so that a missing field has one sentence. No message tells what
stood in a field: not its text, not its length.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from crypto_pipeline.credentials import ISSUERS, IssuerFields
from crypto_pipeline.errors import ConfigurationError, MalformedSecretError, SecretNotFoundError
from crypto_pipeline.redaction import Secret

_OTHER_NAMES: Mapping[tuple[str, str], tuple[str, ...]] = {("huggingface", "token"): ("hf_token",)}
"""What else a part is called where all issuers share one place; `HF_TOKEN` is what their own tools read."""


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """
    What a store gave for one name.

    Fields:
        name: the name in the store.
        version: the store's version of it.
        created_at: when that version was stored, if the store knows.
        fields: its fields; every text in them is a `Secret`.
    """

    name: str
    version: str
    created_at: datetime | None
    fields: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Layout:
    """
    How the parts of a credential are named in one place.

    Fields:
        names: the names of an issuer's part, the first that is filled counts.
        is_shared: whether other issuers' parts lie in the same place, so that none of ours there
            means that there is no credential.
    """

    names: Callable[[str, str], tuple[str, ...]]
    is_shared: bool


def _shared_names(issuer: str, part: str) -> tuple[str, ...]:
    return (f"{issuer}_{part}", *_OTHER_NAMES.get((issuer, part), ()))


OWN = Layout(lambda _, part: (part,), is_shared=False)
"""A secret per issuer: `api_key`, `api_secret`."""

SHARED = Layout(_shared_names, is_shared=True)
"""One secret for all issuers: `binance_api_key`, `binance_api_secret`."""

VARIABLES = Layout(lambda issuer, part: tuple(map(str.upper, _shared_names(issuer, part))), is_shared=True)
"""Variables: `BINANCE_API_KEY`, `BINANCE_API_SECRET`."""


def parts_wanted(issuer: str) -> IssuerFields:
    """
    Return the parts of the issuer's credential.

    Raises:
        ConfigurationError: there is no such issuer.
    """
    if issuer not in ISSUERS:
        msg = f"There is no issuer of credentials {issuer!r}; known are {', '.join(ISSUERS)}."
        raise ConfigurationError(msg)
    return ISSUERS[issuer]


def covered(value: object) -> object:
    """Return `value` with every text in it as a `Secret`; the names of fields stay as they are."""
    match value:
        case str():
            return Secret(value)
        case Mapping():
            return {key: covered(item) for key, item in value.items()}
        case list():
            return [covered(item) for item in value]
        case _:
            return value


def uncovered(value: object) -> object:
    """Return `value` with every `Secret` in it as text: for sending it back to the store that it came from."""
    match value:
        case Secret():
            return value.reveal()
        case Mapping():
            return {key: uncovered(item) for key, item in value.items()}
        case list():
            return [uncovered(item) for item in value]
        case _:
            return value


def parse_fields(text: str, *, place: str) -> Mapping[str, object]:
    """
    Parse a JSON object and return its fields, every text in them as a `Secret`.

    Args:
        text: what the store holds.
        place: how a message calls the secret, such as `AWS secret 'crypto-pipeline/okx'`.

    Raises:
        MalformedSecretError: it is not a JSON object.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    # Raised out here: the parser's error holds the whole text, and would be kept as context.
    return fields_of(found, place=place)


def fields_of(found: object, *, place: str) -> Mapping[str, object]:
    """
    Return the fields of a secret that was parsed by somebody else.

    Raises:
        MalformedSecretError: it is not an object.
    """
    if not isinstance(found, Mapping):
        msg = f"{place} is not a JSON object. Store the credential's parts as its fields, each a text."
        raise MalformedSecretError(msg)
    return {str(key): covered(item) for key, item in found.items()}


def parts_of(issuer: str, fields: Mapping[str, object], *, layout: Layout, place: str) -> dict[str, Secret]:
    """
    Return the parts of the issuer's credential.

    An empty text counts as a missing one.

    Raises:
        SecretNotFoundError: nothing of this issuer lies in a place that issuers share.
        MalformedSecretError: a part is missing or is not text; names it.
    """
    wanted = parts_wanted(issuer)
    filled = {part: _first_filled(fields, layout.names(issuer, part)) for part in wanted.names}
    odd = [name for name, value in filled.values() if value is not None and not isinstance(value, Secret)]
    if odd:
        msg = f"{place} holds something other than text in {_listed(odd)}. Store it as a JSON string."
        raise MalformedSecretError(msg)
    _check_whole(
        issuer,
        [name for part, (name, value) in filled.items() if value is None and part in wanted.required],
        layout,
        place,
    )
    return {part: value for part, (_, value) in filled.items() if isinstance(value, Secret)}


def placed_parts(
    issuer: str, parts: Mapping[str, Secret], there: Collection[str], *, layout: Layout
) -> Mapping[str, Secret | None]:
    """
    Return what is to stand in each field of the issuer; None in one that has to go.

    A part that has several names gets into each of them that is there: whoever reads the other one must not
    go on with an old key.

    Args:
        issuer: whose credential.
        parts: all of its parts.
        there: the fields of the secret as it is.
        layout: how parts are named.
    """
    placed: dict[str, Secret | None] = {}
    for part in parts_wanted(issuer).names:
        names = layout.names(issuer, part)
        used = [name for name in names if name in there] or ([names[0]] if part in parts else [])
        placed |= dict.fromkeys(used, parts.get(part))
    return placed


def check_parts(issuer: str, there: Collection[str], *, layout: Layout, place: str) -> None:
    """
    Do nothing if all parts of the issuer's credential are there, as far as names tell; see `parts_of`.

    Args:
        issuer: whose credential.
        there: the names that hold something.
        layout: how parts are named.
        place: how a message calls the place.

    Raises:
        SecretNotFoundError: nothing of this issuer lies in a place that issuers share.
        MalformedSecretError: a part is missing; names it.
    """
    names = [layout.names(issuer, part) for part in parts_wanted(issuer).required]
    _check_whole(issuer, [first for first, *others in names if not {first, *others} & set(there)], layout, place)


def _check_whole(issuer: str, missing: list[str], layout: Layout, place: str) -> None:
    if missing and layout.is_shared and len(missing) == len(parts_wanted(issuer).required):
        msg = f"{place} holds no key of {issuer}. Put {_listed(missing)} there, or take {issuer} off the list of keys."
        raise SecretNotFoundError(msg)
    if missing:
        msg = f"{place} has nothing in {_listed(missing)}. Store the whole credential again, with all of its parts."
        raise MalformedSecretError(msg)


def _first_filled(fields: Mapping[str, object], names: tuple[str, ...]) -> tuple[str, object]:
    """Return the first name that holds something, and what it holds; else the first name and None."""
    return next(((name, fields[name]) for name in names if not _is_empty(fields.get(name))), (names[0], None))


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, Secret) and not value.reveal().strip())


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
