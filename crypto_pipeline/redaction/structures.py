"""Whole structures, made fit for a log: masked by the names of their keys as well as by value."""

from __future__ import annotations

import dataclasses
import re
from collections import deque
from collections.abc import Mapping
from typing import Final

from crypto_pipeline.redaction.forms import MASK
from crypto_pipeline.redaction.redactor import scrub
from crypto_pipeline.redaction.secret import Secret

_DEEPEST = 40
# Structures that go deeper are masked; they are built by mistake (a list that holds itself) or to hide something.

SENSITIVE_PATTERNS: Final = (
    r"api[_-]?key",
    r"api[_-]?secret",
    r"password",
    r"token",
    r"passphrase",
    r"passwd|(^|[_-])pwd",
    r"secret",
    r"private[_-]?key",
    r"credential",
    r"authorization|bearer|cookie|jwt",
    r"signature|(^|[_-])sign$",
    r"access[_-]?(key|sign)",
)
"""Names of keys, as regular expressions, whose values are never logged; matched anywhere, in any case.

The first five are the security handbook's.
"""

_SENSITIVE = re.compile("|".join(SENSITIVE_PATTERNS), re.IGNORECASE)


def sanitized(value: object) -> object:
    """
    Return a copy of `value` for the log: masked under sensitive names, scrubbed everywhere else.

    Names are the keys of mappings, the fields of records (named tuples, dataclasses, pydantic
    models) and the first of a pair, as in a list of headers. Records become dicts, sets lists.
    An object that would show a secret when printed is replaced by its scrubbed text.
    """
    return _sanitized(value, 0)


def _sanitized(value: object, depth: int) -> object:
    if depth > _DEEPEST or isinstance(value, Secret):
        return MASK
    fields = _fields_of(value)
    if fields is not None:
        return {_sanitized_leaf(key): _sanitized_under(key, item, depth) for key, item in fields.items()}
    match value:
        case (str() as name, item) if isinstance(value, tuple):
            return scrub(name), _sanitized_under(name, item, depth)
        case list() | tuple() | set() | frozenset() | deque():
            items = [_sanitized(item, depth + 1) for item in value]
            return tuple(items) if isinstance(value, tuple) else items
        case _:
            return _sanitized_leaf(value)


def _sanitized_leaf(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return scrub(bytes(value).decode(errors="replace"))
    return scrub(value) if isinstance(value, str) else _unless_it_shows(value)


def _unless_it_shows(value: object) -> object:
    """Return `value` itself, or its scrubbed text if printing it would show a secret."""
    shown = f"{value!s} {value!r}"
    return value if scrub(shown) == shown else scrub(str(value))


def _sanitized_under(name: object, item: object, depth: int) -> object:
    return MASK if _SENSITIVE.search(str(name)) else _sanitized(item, depth + 1)


def _fields_of(value: object) -> Mapping[object, object] | None:
    """Return what `value` holds by name; None where it holds nothing by name."""
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = tuple(field.name for field in dataclasses.fields(value))
    elif isinstance(value, tuple):
        names = getattr(value, "_fields", ())
    else:
        names = tuple(getattr(type(value), "model_fields", ()))
    return {name: getattr(value, name, None) for name in names} or None
