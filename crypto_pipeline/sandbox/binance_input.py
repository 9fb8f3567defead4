"""
How the simulated Binance reads a request and words its refusals.

Read rest-api.md ("General API Information") and errors.md. What is answered to a request that can be read is in
`binance_market.py`, `binance_quotes.py` and `binance_private.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.interface import Request, json_answer
from crypto_pipeline.sandbox.refusal import RefusalError, parse_whole

FIRST_MICROSECONDS = 10**14
"""A time as large as this is in microseconds: both units are taken everywhere."""
SYMBOL_FORM = re.compile(r"[A-Z0-9\-_.]{1,20}")

Parameters = Mapping[str, str]


def refused(status: int, code: int, message: str) -> RefusalError:
    """Return the exception that answers with Binance's error body."""
    return RefusalError(json_answer(status, {"code": code, "msg": message}))


def missing(name: str) -> RefusalError:
    """Return the refusal of a request without a parameter that it needs."""
    return refused(400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str, legal: str) -> RefusalError:
    """Return the refusal of a parameter that is not in its form."""
    return refused(400, -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def parse_time_ms(text: str) -> int | None:
    """Return a time in milliseconds, given in those or in microseconds; `None` for anything else."""
    moment = parse_whole(text)
    return moment if moment is None or moment < FIRST_MICROSECONDS else moment // 1000


def text(number: Decimal) -> str:
    """Return a number with eight decimals."""
    return f"{number:.8f}"


def name_of(listing: market.Listing) -> str:
    """Return Binance's name of a symbol."""
    return listing.base + listing.quote


def read_listing(parameters: Parameters) -> market.Listing:
    """Return the symbol that is asked for."""
    if "symbol" not in parameters:
        raise missing("symbol")
    return _listed(parameters["symbol"], "symbol")


def read_listings(parameters: Parameters) -> list[market.Listing]:
    """Return the one symbol that is asked for, or those of a JSON array, or all."""
    if "symbol" in parameters and "symbols" in parameters:
        raise refused(400, -1128, "Combination of optional parameters invalid.")
    if "symbol" in parameters:
        return [read_listing(parameters)]
    if "symbols" not in parameters:
        return market.instruments("binance")
    try:
        named = json.loads(parameters["symbols"])
    except ValueError:
        named = None
    if not isinstance(named, list) or not named:
        raise illegal("symbols", '^\\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}\\]$')
    return [_listed(str(name), "symbols") for name in named]


def _listed(symbol: str, parameter: str) -> market.Listing:
    if not SYMBOL_FORM.fullmatch(symbol):
        raise illegal(parameter, "^[A-Z0-9-_.]{1,20}$")
    for listing in market.instruments("binance"):
        if name_of(listing) == symbol:
            return listing
    raise refused(400, -1121, "Invalid symbol.")


def read_whole(parameters: Parameters, name: str, default: int) -> int:
    """Return a parameter that is a whole number."""
    text = parameters.get(name)
    number = default if text is None else parse_whole(text)
    if number is None:
        raise illegal(name, "^[0-9]{1,20}$")
    return number


def read_limit(parameters: Parameters, default: int, most: int) -> int:
    """Return how many rows are wanted; more than there may be are cut."""
    limit = read_whole(parameters, "limit", default)
    if limit < 1:
        raise refused(400, -1130, "Data sent for parameter 'limit' is not valid.")
    return min(limit, most)


def read_time(parameters: Parameters, name: str, default_ms: int) -> int:
    """Return a parameter that is a time, in milliseconds."""
    text = parameters.get(name)
    moment = default_ms if text is None else parse_time_ms(text)
    if moment is None:
        raise illegal(name, "^[0-9]{1,20}$")
    return moment


def units_per_ms(request: Request) -> int:
    """Return 1000 for a caller that wants times in microseconds, 1 for any other."""
    unit = request.headers.get("x-mbx-time-unit", "MILLISECOND").upper()
    if unit not in {"MILLISECOND", "MICROSECOND"}:
        raise refused(400, -1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
    return 1000 if unit == "MICROSECOND" else 1
