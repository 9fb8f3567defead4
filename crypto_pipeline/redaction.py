"""
Values that cannot be shown, and text that is scrubbed of them.

`Secret` is the only way a secret value travels through this package. Each one that is made is
registered with the process's redactor, so that `scrub` can take it out of any text, in the
forms a value takes on its way into a log: as it is, base64, hex, URL, JSON.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import threading
from typing import NoReturn
from urllib.parse import quote, quote_plus

MASK = "***REDACTED***"

_MIN_REGISTERED_LENGTH = 6
# Shorter values would blank out ordinary words; no exchange issues a key this short.


class Secret:
    """
    A text that is never shown.

    Printing, formatting and `repr` give a mask; pickling, copying into JSON and hashing raise;
    comparison takes constant time. `reveal` is the only way to the value, and is called only
    where a request is signed or a store is logged in to.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            msg = "A secret must be made from text."
            raise TypeError(msg)
        self._value = value
        REDACTOR.register(value)

    def reveal(self) -> str:
        """Return the value."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash in a dict or a cache key would tell values apart

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return MASK

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        msg = "A Secret cannot be pickled: it would be written in the clear. Pass its name and read it again."
        raise TypeError(msg)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "_value" and not hasattr(self, "_value"):
            object.__setattr__(self, name, value)
            return
        msg = "A Secret cannot be changed."
        raise AttributeError(msg)


def encoded_forms(value: str) -> frozenset[str]:
    """
    Return the forms in which `value` may stand in a text.

    Base64 is given in its three alignments, with the characters that depend on neighbours cut
    off, so that `base64(user:secret)` is found too.
    """
    raw = value.encode()
    forms = {value, value.strip(), raw.hex(), raw.hex().upper(), quote(value, safe=""), quote_plus(value)}
    forms |= {quote(value), re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), quote(value, safe=""))}
    forms |= {json.dumps(value)[1:-1], json.dumps(json.dumps(value)[1:-1])[1:-1], repr(value)[1:-1]}
    for lead in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * lead + raw).decode().rstrip("=")
            # The first characters mix with what stands before, the last with what stands after.
            forms.add(text[(lead * 8 + 5) // 6 : (lead + len(raw)) * 8 // 6])
    return frozenset(form for form in forms if len(form) >= _MIN_REGISTERED_LENGTH)


class Redactor:
    """Takes registered values out of text, the longest first so that a prefix never leaves a tail."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, value: str) -> None:
        """Add a value and its encoded forms; values under six characters are not registered."""
        if len(value) < _MIN_REGISTERED_LENGTH:
            return
        forms = set(encoded_forms(value))
        if "\n" in value:  # a PEM key leaks by the line as well as whole
            forms |= {line for line in value.splitlines() if len(line) >= 20 and "-----" not in line}
        with self._lock:
            if forms <= self._forms:
                return
            self._forms |= forms
            ordered = sorted(self._forms, key=lambda form: (-len(form), form))
            self._pattern = re.compile("|".join(map(re.escape, ordered)))

    def scrub(self, text: str) -> str:
        """Return `text` with every registered value, in any form, replaced by a mask."""
        pattern = self._pattern
        return text if pattern is None else pattern.sub(MASK, text)


REDACTOR = Redactor()


def scrub(text: str) -> str:
    """Return `text` without any secret value this process has seen."""
    return REDACTOR.scrub(text)
