"""The forms in which a value may stand in a text: as it is, base64, hex, URL, JSON, HTML. Pure."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, quote_plus

MASK = "***REDACTED***"

SHORTEST = 6
# Shorter values would blank out ordinary words; no exchange issues a key this short.


def bytes_of(value: str) -> bytes:
    """Return UTF-8, also for the bytes of an environment variable that are none."""
    return value.encode("utf-8", "surrogatepass")


def _lower_escapes(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), text)


def _url(safe: str) -> Callable[[str], str]:
    return lambda value: quote(bytes_of(value), safe=safe)


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
    lambda value: repr(bytes_of(value))[2:-1],
    lambda value: value.translate(_QUOTED_BY_REPR),  # in a text that holds both kinds of quotes
    html.escape,
    lambda value: value.translate(_HTML_BY_NUMBER),
    _url(""),
    _url("/"),
    _url("!$&'()*+,;=:/?[]@"),  # what httpx leaves as it is in a query
    lambda value: quote_plus(bytes_of(value)),
    lambda value: _lower_escapes(quote(bytes_of(value), safe="")),
    lambda value: _lower_escapes(quote_plus(bytes_of(value))),
)
"""How text is written inside other text; each is also looked for inside each other, such as a URL in JSON."""

_WRITTEN_ONE_WAY: Final = re.compile(r"[A-Za-z0-9_.-]*")
"""What each writing leaves as it is, which nearly all keys are; to try them all would take most of the time."""


def _written(texts: set[str]) -> set[str]:
    """Return the texts in each way of writing them."""
    return {
        written
        for text in texts
        for written in ((text,) if _WRITTEN_ONE_WAY.fullmatch(text) else (write(text) for write in _WRITINGS))
    }


def _escaped(base64_text: str) -> tuple[str, str]:
    quoted = quote(base64_text, safe="")
    return quoted, _lower_escapes(quoted)


def encoded_forms(value: str) -> frozenset[str]:
    """
    Return the forms in which `value` may stand in a text.

    White space around it does not count. Base64 is given in its three alignments, with the
    characters that depend on neighbours cut off, so that `base64(user:secret)` is found too.
    """
    core = value.strip()
    raw = bytes_of(core)
    forms = {raw.hex(), raw.hex().upper(), *_written(_written({core}))}
    for lead in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * lead + raw).decode().rstrip("=")
            # The first characters mix with what stands before, the last with what stands after.
            inner = text[(lead * 8 + 5) // 6 : (lead + len(raw)) * 8 // 6]
            forms |= {inner} if _WRITTEN_ONE_WAY.fullmatch(inner) else {inner, *_escaped(inner)}
    # What stands in the mask itself would be masked again, and again.
    return frozenset(form for form in forms if len(form) >= SHORTEST and form not in MASK)


_ARMOUR = re.compile(r"-----[A-Z0-9 ]+-----")


def lines_of(value: str) -> list[str]:
    """Return the lines of a value that has several: a PEM key leaks by the line as well as whole."""
    body = _ARMOUR.sub(" ", value)
    # A key that was put into one line has its breaks written out, or made into spaces.
    lines = re.split(r"\\[nr]|[\r\n]" if body == value else r"\\[nr]|\s", body)
    return [line for line in lines if len(line.strip()) >= SHORTEST and line != value]
