"""
How the simulated exchanges read a request and turn it down.

Only what does not differ between exchanges: the query's parameters, whether an address is on a key's list,
and the exception that carries a finished answer out of a deep check. Each exchange words its own refusals.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import parse_qsl

from crypto_pipeline.sandbox.interface import Answer


class RefusalError(Exception):
    """
    A request was turned down; `answer` is what the caller gets.

    It never leaves the sandbox (every `handle` turns it into its answer), so it is not in the tree of errors.py.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"refused with HTTP {answer.status}")
        self.answer = answer


def parse_parameters(query: str) -> dict[str, str]:
    """Return the parameters of a raw query; of one that is sent twice, the first counts."""
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters.setdefault(name, value)
    return parameters


def parse_whole(text: str) -> int | None:
    """Return a whole number that is not negative, written in ASCII digits; `None` for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def is_listed(address: str, allowed: Sequence[str]) -> bool:
    """Say whether an address may use a key that is bound to `allowed`; no entry at all means not bound."""
    if not allowed:
        return True
    try:
        caller = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(caller in ipaddress.ip_network(entry, strict=False) for entry in allowed)
