"""
What a person gives to be stored: taken in as secrets, and judged before any store is asked.

Nothing that was given is repeated, not even a name of a field that does not look like one: a value may
have been put in its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets.layout import OWN, SHARED, VARIABLES, parts_wanted

MOST_BYTES: Final = 65_536
"""As much as AWS takes for a secret."""

SHORTEST: Final = 6
"""No issuer gives shorter ones, and none could be kept out of a log: it would blank out ordinary words."""

_NAMES: Final = frozenset(
    name
    for issuer, fields in ISSUERS.items()
    for part in fields.names
    for layout in (OWN, SHARED, VARIABLES)
    for name in layout.names(issuer, part)
) | {"key", "name", "secret", "apiKey", "apiSecret", "secretKey", "privateKey", "private_key", "password", "note"}
"""Names of fields that may be repeated, for they are in use. Any other may be a value in the wrong place."""

_PLACEHOLDER = re.compile(
    r"""
      (.)\1*                                                     # xxxxxxxx, ********
    | <[a-z][a-z _-]*> | \$\{?(?-i:[A-Z_]+)\}? | \{\{.*\}\} | \[[a-z _-]+\]  # <your key>, ${KEY}, {{ key }}, [key]
    | (hf_)? (change|replace|fill|insert|enter|paste|add) [-_ ]? (me|this|here|your|my) ([-_ ].*)?
    | (hf_)? (your|my|an?|some|example|sample|dummy|fake|test|demo)? [-_ ]? (own|real|new)? [-_ ]?
      (api|access|private|secret)? [-_ ]? (key|secret|token|passphrase|password|value|credential)s?
      ([-_ ](goes[-_ ])?here)?
    | hf_ (x+|\.+)
    | .* (placeholder|change[-_ ]?me|replace[-_ ]?me|redacted) .*
    | to-?do | tbd | fixme | none | null | nil | undefined | n/a | example | dummy | test(ing)?
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
"""Narrow on purpose: there is no way around it for a real passphrase that looks like one of these."""

Given = Secret | str
"""What stands in a field: a text is a `Secret` at once, unless it is a placeholder, which would mask words of ours."""


def parse_given(issuer: str, text: str) -> dict[str, Secret]:
    """
    Return a credential out of a text: a JSON object of its fields or, where there is one field only, the field itself.

    A line break at the end of such a field is not part of it: editors and `echo` put it there.

    Raises:
        ConfigurationError: it is no usable credential of the issuer; names fields, never what is in them.
    """
    names = parts_wanted(issuer).names
    if not text.strip():
        msg = f"Nothing came in on the standard input. Pipe a JSON object with {_listed(names)}."
        raise ConfigurationError(msg)
    if len(names) == 1 and not text.lstrip().startswith("{"):
        return check_given(issuer, {names[0]: taken(_without_last_break(text))})
    fields, doubled = _parsed(text)
    if fields is None:
        msg = f"What came in on the standard input is not a JSON object. Pipe one with {_listed(names)}."
        raise ConfigurationError(msg)
    if doubled:
        raise _unusable(issuer, [f"{_told(name)} is there twice" for name in doubled])
    return check_given(issuer, fields)


def check_given(issuer: str, fields: Mapping[str, object]) -> dict[str, Secret]:
    """
    Return the parts of the issuer's credential.

    Args:
        issuer: whose credential.
        fields: what was given, each text as `taken` gives it.

    Raises:
        ConfigurationError: something is missing, unknown, or does not look like a credential; names it.
    """
    wanted = parts_wanted(issuer)
    strange = dict.fromkeys(_told(name) for name in fields if name not in wanted.names)
    problems = [f"{told} is no field of it" for told in strange]
    parts: dict[str, Secret] = {}
    for name in wanted.names:
        value = fields.get(name)
        if value is None:
            problems += [f"{name} is missing"] if name in wanted.required else []
        elif not isinstance(value, Given):
            problems.append(f"{name} is not text: put it in quotes")
        elif fault := fault_of(value):
            problems.append(f"{name} {fault}")
        elif isinstance(value, Secret):  # pragma: no branch - a text that is none has a fault
            parts[name] = value
    if not problems and len(parts) > 1 and any(parts[one] == parts[other] for one, other in _pairs(parts)):
        problems.append("two of its fields hold the same")
    if problems:
        raise _unusable(issuer, problems)
    return parts


def taken(text: str) -> Given:
    """Return a text as a secret; a placeholder stays text."""
    return text if _PLACEHOLDER.fullmatch(text) else Secret(text)


def fault_of(value: Given) -> str:
    """Return what is wrong with one value, as the end of a sentence that begins with its name; empty if nothing is."""
    if not isinstance(value, Secret):
        return "looks like a placeholder"
    text = value.reveal()
    return next((said for is_so, said in _FAULTS if is_so(text)), "")


def is_first_line_of_pem(value: Given) -> bool:
    """Tell whether a private key of several lines was cut after its first one, as a prompt does."""
    text = value.reveal() if isinstance(value, Secret) else value
    return "-----BEGIN" in text and "-----END" not in text


def _is_odd(text: str) -> bool:
    """Tell whether a text has characters that no key has; the line breaks of a PEM key are none of them."""
    lines = text.splitlines() if text.startswith("-----BEGIN ") else [text]
    return not all(line.isprintable() for line in lines)


def _has_space_around(text: str) -> bool:
    # A PEM key ends with a line break.
    return text != text.strip() and not (text.startswith("-----BEGIN ") and text.rstrip().endswith("-----"))


_FAULTS: Final[tuple[tuple[Callable[[str], bool], str], ...]] = (
    (lambda text: not text.strip(), "is empty"),
    (lambda text: "-----BEGIN" in text and "-----END" not in text, "is cut off: it is a private key without its end"),
    (_has_space_around, "has white space around it"),
    (_is_odd, "holds line breaks, or characters that cannot be seen"),
    (lambda text: len(text) < SHORTEST, f"is shorter than {SHORTEST} characters"),
    (lambda text: len(text.encode(errors="surrogatepass")) > MOST_BYTES, f"is longer than {MOST_BYTES} bytes"),
)
"""What makes a value unusable, the first that is so counts."""


def _parsed(text: str) -> tuple[dict[str, object] | None, list[str]]:
    """Return the fields, their texts as `taken` gives them, and the names that are there twice; None if no object."""
    doubled: list[str] = []

    def noted(pairs: list[tuple[str, Any]]) -> dict[str, object]:
        names = [name for name, _ in pairs]
        doubled.extend(dict.fromkeys(name for name in names if names.count(name) > 1))
        return {name: _all_taken(value) for name, value in pairs}

    try:
        found = json.loads(text, object_pairs_hook=noted)
    except (ValueError, RecursionError):
        return None, []  # nothing of the parser's error is kept: it holds the whole text
    return (found, doubled) if isinstance(found, dict) else (None, [])


def _all_taken(value: object) -> object:
    """Return what stands in one field, which may be a list of lists; objects in it were taken in before."""
    if isinstance(value, list):
        return [_all_taken(item) for item in value]
    return taken(value) if isinstance(value, str) else value


def _without_last_break(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def _pairs(parts: Mapping[str, Secret]) -> list[tuple[str, str]]:
    names = list(parts)
    return [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]


def _told(name: str) -> str:
    return f"'{name}'" if name in _NAMES else "a field whose name is not repeated here"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _unusable(issuer: str, problems: list[str]) -> ConfigurationError:
    return ConfigurationError(
        f"Nothing was stored, because this is no credential of {issuer}: {'; '.join(problems)}. "
        f"Its fields are {_listed(parts_wanted(issuer).names)}."
    )
