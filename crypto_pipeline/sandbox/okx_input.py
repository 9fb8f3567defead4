"""
How the simulated OKX reads a public request, and the envelope of what it answers.

What is answered is in `okx.py` and `okx_perpetuals.py`; how refusals are worded is in `okx_private.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.interface import Answer, json_answer
from crypto_pipeline.sandbox.okx_private import refused
from crypto_pipeline.sandbox.refusal import RefusalError, parse_whole

KINDS = frozenset({"SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "EVENTS"})

Parameters = Mapping[str, str]


def data(rows: Sequence[object]) -> Answer:
    """Return an answer with these entries."""
    return json_answer(200, {"code": "0", "msg": "", "data": rows})


def text(number: Decimal) -> str:
    """Return a number without zeros at its end."""
    return format(number.normalize(), "f")


def unknown_instrument() -> RefusalError:
    """Return the refusal of an instrument that does not exist; its status is 200."""
    return refused(200, "51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")


def wrong(name: str) -> RefusalError:
    """Return the refusal of a parameter that has no such value."""
    return refused(400, "51000", f"Parameter {name} error")


def read_required(parameters: Parameters, name: str) -> str:
    """Return a parameter that must be there."""
    value = parameters.get(name, "")
    if not value:
        raise refused(400, "50014", f"Parameter {name} can not be empty")
    return value


def read_kind(parameters: Parameters, kinds: frozenset[str] = KINDS) -> str:
    """Return the type of instruments that is asked for."""
    kind = read_required(parameters, "instType")
    if kind not in kinds:
        raise wrong("instType")
    return kind


def read_symbol(parameters: Parameters) -> str:
    """Return the spot market that is asked for."""
    wanted = read_required(parameters, "instId")
    if not any(listing.symbol == wanted for listing in market.instruments("okx")):
        raise unknown_instrument()
    return wanted


def read_whole(parameters: Parameters, name: str, default: int) -> int:
    """Return a parameter that is a whole number."""
    value = parameters.get(name, "")
    number = parse_whole(value) if value else default
    if number is None:
        raise wrong(name)
    return number


def read_limit(parameters: Parameters, name: str, default: int, most: int) -> int:
    """Return how many rows are wanted; more than there may be are cut."""
    wanted = read_whole(parameters, name, default)
    if wanted < 1:
        raise wrong(name)
    return min(wanted, most)
