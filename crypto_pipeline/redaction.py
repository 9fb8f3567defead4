"""
Values that cannot be shown, and text that is scrubbed of them.

`Secret` is the only way a secret value travels through this package. Each one that is made is
registered with the process's redactor, so that `scrub` can take it out of any text, in the
forms a value takes on its way into a log: as it is, base64, hex, URL, JSON. `sanitized` does the
same for whole structures, by the names of their keys as well as by value.
"""

from __future__ import annotations

import base64
import dataclasses
import hmac
import html
import json
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NoReturn
from urllib.parse import quote, quote_plus

MASK = "***REDACTED***"

_MIN_REGISTERED_LENGTH = 6
# Shorter values would blank out ordinary words; no exchange issues a key this short.

_LONG = 16
# Forms this long are looked for by sample; nearly all are.

_STRIDE = _LONG - _MIN_REGISTERED_LENGTH + 1
# Any stretch of `_LONG` characters holds one of the samples that begin at the multiples of this.

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


class Secret:
    """
    A text that is never shown.

    Printing, formatting and `repr` give a mask; pickling, writing into JSON and hashing raise;
    comparison takes constant time. `reveal` is the only way to the value, and is called only
    where a request is signed or a store is logged in to.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            msg = "A secret must be made from text."  # type: ignore[unreachable]  # for callers without a type checker
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

    def __getstate__(self) -> NoReturn:
        # Serialisers of another make ask for the state directly.
        self.__reduce_ex__(0)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "_value" and not hasattr(self, "_value"):
            object.__setattr__(self, name, value)
            return
        msg = "A Secret cannot be changed."
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> NoReturn:
        msg = "A Secret cannot be changed."
        raise AttributeError(msg)


def _bytes_of(value: str) -> bytes:
    """Return UTF-8, also for the bytes of an environment variable that are none."""
    return value.encode("utf-8", "surrogatepass")


def _lower_escapes(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), text)


def _url(safe: str) -> Callable[[str], str]:
    return lambda value: quote(_bytes_of(value), safe=safe)


_QUOTED_BY_REPR = str.maketrans({"\\": r"\\", "'": r"\'"})
_JSON_OF_GO = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})
_HTML_BY_NUMBER = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})

_WRITINGS: Final[tuple[Callable[[str], str], ...]] = (
    str,
    lambda value: json.dumps(value)[1:-1],
    lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    lambda value: json.dumps(value, ensure_ascii=False)[1:-1].translate(_JSON_OF_GO),
    lambda value: json.dumps(value)[1:-1].replace("/", r"\/"),
    lambda value: repr(value)[1:-1],
    lambda value: repr(_bytes_of(value))[2:-1],
    lambda value: value.translate(_QUOTED_BY_REPR),  # in a text that holds both kinds of quotes
    html.escape,
    lambda value: value.translate(_HTML_BY_NUMBER),
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
    core = value.strip()
    raw = _bytes_of(core)
    once = {write(core) for write in _WRITINGS}
    forms = {raw.hex(), raw.hex().upper()} | {write(form) for form in once for write in _WRITINGS}
    for lead in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * lead + raw).decode().rstrip("=")
            # The first characters mix with what stands before, the last with what stands after.
            inner = text[(lead * 8 + 5) // 6 : (lead + len(raw)) * 8 // 6]
            forms |= {inner, quote(inner, safe=""), _lower_escapes(quote(inner, safe=""))}
    # What stands in the mask itself would be masked again, and again.
    return frozenset(form for form in forms if len(form) >= _MIN_REGISTERED_LENGTH and form not in MASK)


_ARMOUR = re.compile(r"-----[A-Z0-9 ]+-----")


def _lines_of(value: str) -> list[str]:
    """Return the lines of a value that has several: a PEM key leaks by the line as well as whole."""
    body = _ARMOUR.sub(" ", value)
    # A key that was put into one line has its breaks written out, or made into spaces.
    lines = re.split(r"\\[nr]|[\r\n]" if body == value else r"\\[nr]|\s", body)
    return [line for line in lines if len(line.strip()) >= _MIN_REGISTERED_LENGTH and line != value]


@dataclass(frozen=True, slots=True)
class _Known:
    """
    The forms of all registered values, never changed once made.

    Fields:
        values: what was registered.
        forms: every form of every value.
        short: the forms that are too short to be sampled.
        samples: stretches of the others; a text in which none stands holds none of them.
    """

    values: frozenset[str] = frozenset()
    forms: frozenset[str] = frozenset()
    short: frozenset[str] = frozenset()
    samples: frozenset[str] = frozenset()

    def with_value(self, value: str) -> _Known:
        """Return these and the forms of one more value."""
        new = encoded_forms(value).union(*map(encoded_forms, _lines_of(value)))
        long = [form for form in new if len(form) >= _LONG]
        samples = {form[at : at + _MIN_REGISTERED_LENGTH] for form in long for at in range(_STRIDE)}
        short = self.short | new.difference(long)
        return _Known(self.values | {value}, self.forms | new, short, self.samples | samples)

    def may_stand_in(self, text: str) -> bool:
        """Tell quickly, and never wrongly with "no", whether a form stands in `text`."""
        last = len(text) - _MIN_REGISTERED_LENGTH + 1
        sampled = [text[at : at + _MIN_REGISTERED_LENGTH] for at in range(0, last, _STRIDE)]
        return not self.samples.isdisjoint(sampled) or any(form in text for form in self.short)


class Redactor:
    """Takes registered values out of text, wherever they overlap, so that none leaves a tail of another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known = _Known()

    def register(self, value: str) -> None:
        """Add a value and its encoded forms; values under six characters are not registered."""
        if len(value.strip()) < _MIN_REGISTERED_LENGTH or value in self._known.values:
            return
        with self._lock:
            # A new object, so that `scrub` in another thread goes on with the old one.
            self._known = self._known.with_value(value)

    def renew_lock(self) -> None:
        """For a forked child: a thread that held the lock is not there to let go of it."""
        self._lock = threading.Lock()

    def scrub(self, text: str) -> str:
        """Return `text` with every registered value, in any form, replaced by a mask."""
        known = self._known
        if not known.may_stand_in(text):
            return text
        spans = sorted(span for form in known.forms if form in text for span in _spans(form, text))
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
os.register_at_fork(after_in_child=REDACTOR.renew_lock)


def scrub(text: str) -> str:
    """Return `text` without any secret value this process has seen."""
    return REDACTOR.scrub(text)


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
