"""
Values that cannot be shown, and text that is scrubbed of them.

`Secret` is the only way a secret value travels through this package. Each one that is made is
registered with the process's redactor, so that `scrub` can take it out of any text, in the
forms a value takes on its way into a log: as it is, base64, hex, URL, JSON. `sanitized` does the
same for whole structures, by the names of their keys as well as by value.
"""

from __future__ import annotations

import base64
import hmac
import html
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Final, NoReturn
from urllib.parse import quote, quote_plus

MASK = "***REDACTED***"

_MIN_REGISTERED_LENGTH = 6
# Shorter values would blank out ordinary words; no exchange issues a key this short.

SENSITIVE_PATTERNS: Final = [
    r"api[_-]?key",
    r"api[_-]?secret",
    r"secret",
    r"password|passwd",
    r"token",
    r"passphrase",
    r"private[_-]?key",
    r"credential",
    r"authorization|cookie",
    r"signature",
    r"access[_-]?(key|sign)",
]
"""Names of keys, as regular expressions, whose values are never logged; matched anywhere, in any case."""

_SENSITIVE = re.compile("|".join(SENSITIVE_PATTERNS), re.IGNORECASE)


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
        return hmac.compare_digest(_bytes_of(self._value), _bytes_of(other._value))

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


def _bytes_of(value: str) -> bytes:
    """Return UTF-8, also for the bytes of an environment variable that are none."""
    return value.encode("utf-8", "surrogatepass")


def _lower_escapes(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), text)


def _url(safe: str) -> Callable[[str], str]:
    return lambda value: quote(_bytes_of(value), safe=safe)


_WRITINGS: Final[tuple[Callable[[str], str], ...]] = (
    str,
    lambda value: json.dumps(value)[1:-1],
    lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    lambda value: repr(value)[1:-1],
    lambda value: html.escape(value),
    _url(""),
    _url("/"),
    _url("!$&'()*+,;=:/?[]@"),  # what httpx leaves as it is in a query
    lambda value: quote_plus(_bytes_of(value)),
    lambda value: _lower_escapes(quote(_bytes_of(value), safe="")),
    lambda value: _lower_escapes(quote_plus(_bytes_of(value))),
)
"""How text is written inside other text; each is also looked for inside each other, such as a URL in JSON."""


def encoded_forms(value: str) -> frozenset[str]:
    """
    Return the forms in which `value` may stand in a text.

    White space around it does not count. Base64 is given in its three alignments, with the
    characters that depend on neighbours cut off, so that `base64(user:secret)` is found too.
    """
    core = value.strip() if len(value.strip()) >= _MIN_REGISTERED_LENGTH else value
    raw = _bytes_of(core)
    once = {write(core) for write in _WRITINGS}
    forms = {raw.hex(), raw.hex().upper()} | {write(form) for form in once for write in _WRITINGS}
    for lead in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * lead + raw).decode().rstrip("=")
            # The first characters mix with what stands before, the last with what stands after.
            forms.add(text[(lead * 8 + 5) // 6 : (lead + len(raw)) * 8 // 6])
    return frozenset(form for form in forms if len(form) >= _MIN_REGISTERED_LENGTH)


class Redactor:
    """Takes registered values out of text, wherever they overlap, so that none leaves a tail of another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: frozenset[str] = frozenset()

    def register(self, value: str) -> None:
        """Add a value and its encoded forms; values under six characters are not registered."""
        if len(value) < _MIN_REGISTERED_LENGTH:
            return
        forms = encoded_forms(value)
        # A PEM key leaks by the line as well as whole; in one line it has its breaks written out.
        lines = value.replace("\\n", "\n").splitlines()
        if len(lines) > 1:
            wanted = [line for line in lines if len(line) >= _MIN_REGISTERED_LENGTH and "-----" not in line]
            forms = forms.union(*map(encoded_forms, wanted))
        with self._lock:
            # A new set, so that `scrub` in another thread goes on with the old one.
            self._forms |= forms

    def scrub(self, text: str) -> str:
        """Return `text` with every registered value, in any form, replaced by a mask."""
        # A plain search per form is far quicker than one regular expression of them all.
        spans = sorted(span for form in self._forms if form in text for span in _spans(form, text))
        kept, end = [], 0
        for start, stop in _merged(spans):
            kept.append(text[end:start])
            end = stop
        return MASK.join([*kept, text[end:]])


def _spans(form: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield where `form` stands in `text`, overlapping places included."""
    start = text.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = text.find(form, start + 1)


def _merged(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join spans (in order) that overlap."""
    ends = list(accumulate((stop for _, stop in spans), max))
    first = 0
    for index, end in enumerate(ends):
        if index + 1 == len(spans) or spans[index + 1][0] >= end:
            yield spans[first][0], end
            first = index + 1


REDACTOR = Redactor()


def scrub(text: str) -> str:
    """Return `text` without any secret value this process has seen."""
    return REDACTOR.scrub(text)


def sanitized(value: object) -> object:
    """Return a copy of `value` for the log: masked under sensitive keys, scrubbed everywhere else."""
    match value:
        case str():
            return scrub(value)
        case bytes():
            return scrub(value.decode(errors="replace"))
        case Mapping():
            return {_scrubbed_key(key): _sanitized_under(key, item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            items = [sanitized(item) for item in value]
            return tuple(items) if isinstance(value, tuple) else items
        case Secret():
            return MASK
        case _:
            return value


def _scrubbed_key(key: object) -> object:
    return scrub(key) if isinstance(key, str) else key


def _sanitized_under(key: object, item: object) -> object:
    return MASK if _SENSITIVE.search(str(key)) else sanitized(item)
