"""
How the body and the headers of an answer are read before anybody looks at what they mean.

Rows of candles are read in `rows.py`, entries of instruments in `listing.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

from crypto_pipeline.errors import MalformedAnswerError

LONGEST_CODE = 20
NO_CODE = "none"


def malformed(exchange: str, what: str) -> NoReturn:
    """Refuse an answer; what it holds is never quoted."""
    msg = (
        f"{exchange} answered in a shape that its documents do not give: {what}. Nothing was stored; "
        "look for a change in its API."
    )
    raise MalformedAnswerError(msg, exchange=name_of(exchange))


def name_of(title: str) -> str:
    """Return the name of an issuer from its title: `huggingface` for `Hugging Face`, `binance` for all its hosts."""
    return title.removesuffix(" USD-M").replace(" ", "").lower()


def decode(body: bytes, exchange: str, endpoint: str, *, unique_names: bool = False) -> Any:
    """
    Return JSON with every number exact: fractions as `Decimal`, never as float.

    Args:
        body: the answer.
        exchange: its title, for the error.
        endpoint: the path, for the error.
        unique_names: refuse an object that gives a name twice: it says two things, and readers differ in which counts.

    Raises:
        MalformedAnswerError: the body is not JSON, or holds NaN or infinity.
    """
    hook = _unique if unique_names else None
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=hook)
    except (ValueError, ArithmeticError, RecursionError):
        # The cause quotes the body. Decimal's errors are arithmetic ones.
        msg = f"{exchange} answered {endpoint} with something that is not JSON. Nothing was stored."
        raise MalformedAnswerError(msg, exchange=name_of(exchange), endpoint=endpoint) from None


def code_of(body: bytes, field: str) -> str:
    """Return the exchange's code in an answer; a body of another shape (a firewall's page) has none."""
    try:
        value = decode(body, "", "")
    except MalformedAnswerError:
        return NO_CODE
    code = value.get(field) if isinstance(value, dict) else None
    # The code stands in messages: it must not be a way to bring text into them.
    if type(code) is int and abs(code) < 10**LONGEST_CODE:
        return str(code)
    is_plain = isinstance(code, str) and code.isascii() and code.removeprefix("-").isalnum()
    return code if isinstance(code, str) and is_plain and len(code) <= LONGEST_CODE else NO_CODE


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header, if it is a sane number."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 10**7 else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = "a name stands twice"
        raise ValueError(msg)
    return found


def _no_constant(text: str) -> NoReturn:
    msg = f"{text} is not a number"
    raise ValueError(msg)
