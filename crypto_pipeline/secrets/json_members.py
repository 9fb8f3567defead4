"""
The members of a JSON object, each as it is written.

A secret that is shared with others is changed in its own fields only: what stands in theirs goes back as
it came, be it a number that would lose its zeros on the way through a parser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_SPACE = re.compile(r"[ \t\n\r]*")


def members_of(text: str) -> dict[str, str] | None:
    """Return the members of a JSON object by name, in their order; None if `text` is none."""
    try:
        is_object = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return None
    return _walked(text) if is_object else None


def object_of(members: Mapping[str, str]) -> str:
    """Return the JSON object that has these members."""
    return "{" + ", ".join(f"{json.dumps(name)}: {written}" for name, written in members.items()) + "}"


def _walked(text: str) -> dict[str, str]:
    """Return the members of a text that is known to be an object; of several with one name the last one counts."""
    decode = json.JSONDecoder().raw_decode
    members: dict[str, str] = {}
    at = _after_space(text, text.index("{") + 1)
    while text[at] != "}":
        name, at = decode(text, at)
        start = _after_space(text, text.index(":", at) + 1)
        _, end = decode(text, start)
        members[name] = text[start:end]
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)
    return members


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at  # pragma: no branch - the pattern matches nothing as well
