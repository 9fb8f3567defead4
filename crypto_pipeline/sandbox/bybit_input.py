"""
How the simulated Bybit reads a request and writes its numbers.

Read the Bybit v5 manual, "Market" and "Error codes": a wrong parameter is 10001 with HTTP 200. What is answered to a
request that can be read is in `bybit_market.py` and `bybit_perpetual.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.bybit_private import refused
from crypto_pipeline.sandbox.interface import Request
from crypto_pipeline.sandbox.refusal import parse_whole

CATEGORIES = frozenset({"spot", "linear", "inverse", "option"})
LISTED_CATEGORIES = frozenset({"spot", "linear"})


def text(number: Decimal) -> str:
    """Return a number without zeros at its end."""
    return format(number.normalize(), "f")


def read_category(request: Request, parameters: Mapping[str, str]) -> str:
    """Return the kind of market that is asked for."""
    category = parameters.get("category") or "linear"
    if category not in CATEGORIES:
        raise refused(request, 10001, "params error: Category is invalid")
    return category


def listings(category: str) -> dict[str, market.Listing]:
    """Return what is listed, by Bybit's name."""
    if category not in LISTED_CATEGORIES:
        return {}
    return {listing.base + listing.quote: listing for listing in market.instruments("bybit")}


def read_listing(request: Request, parameters: Mapping[str, str]) -> market.Listing:
    """Return the listing that is asked for; Bybit's symbols are upper case and nothing else."""
    listing = listings(read_category(request, parameters)).get(parameters.get("symbol", ""))
    if listing is None:
        raise refused(request, 10001, "params error: Symbol Is Invalid")
    return listing


def read_whole(request: Request, parameters: Mapping[str, str], name: str, default: int) -> int:
    """Return a parameter that is a whole number."""
    value = parameters.get(name, "")
    number = parse_whole(value) if value else default
    if number is None:
        raise refused(request, 10001, f"params error: {name} is invalid")
    return number


def read_limit(request: Request, parameters: Mapping[str, str], default: int, most: int) -> int:
    """Return how many rows are wanted; more than there may be are cut."""
    limit = read_whole(request, parameters, "limit", default)
    if limit < 1:
        raise refused(request, 10001, "params error: limit is invalid")
    return min(limit, most)
