"""
How the parts of answers about trades, quotes, books and perpetual contracts become records.

Shared by the client files; which field is what, and how an answer is wrapped, is each exchange's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeVar

from crypto_pipeline.exchanges import rows
from crypto_pipeline.exchanges.answers import malformed
from crypto_pipeline.exchanges.quotes import Book, FundingRate, Level, Quote, Side, Trade

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)

Entry = Mapping[str, Any]
Timed = TypeVar("Timed", Trade, FundingRate)


def entry(value: Any, exchange: str, what: str) -> Entry:
    """Return an object."""
    if not isinstance(value, dict):
        malformed(exchange, f"{what} is not an object")
    return value


def entries(value: Any, exchange: str, what: str) -> list[Entry]:
    """Return a list of objects; `what` names one of them."""
    if not isinstance(value, list):
        malformed(exchange, f"there is no list where each is {what}")
    return [entry(one, exchange, what) for one in value]


def only(value: Any, exchange: str, what: str) -> Entry:
    """Return the object of a list that holds one and nothing else."""
    found = entries(value, exchange, what)
    if len(found) != 1:
        malformed(exchange, f"there is not one of {what}")
    return found[0]


def name(value: Any, exchange: str, what: str) -> str:
    """Return what something is called by, such as a trade or a state of the book: a short text, or a whole number."""
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        malformed(exchange, f"{what} is not a name")
    return text


def check_name(value: Any, wanted: str, exchange: str) -> None:
    """Refuse an answer about something else than what was asked for."""
    if value != wanted:
        malformed(exchange, f"it is not about {wanted}")


def positive(value: Any, exchange: str, what: str) -> Decimal:
    """Return an exact, finite number above zero."""
    found = rows.number(value, exchange, what)
    if not found:
        malformed(exchange, f"{what} is zero")
    return found


def optional(value: Any, read: Callable[[Any, str, str], Decimal], exchange: str, what: str) -> Decimal | None:
    """Return a number as `read` reads it; None where the exchange has left the field empty."""
    return None if value is None or value == "" else read(value, exchange, what)


def optional_time(value: Any, exchange: str) -> int | None:
    """Return a time in milliseconds; None where the exchange tells none."""
    is_none = value is None or (type(value) in {int, str} and value in {"", "0", 0})
    return None if is_none else rows.time_ms(value, exchange)


def side(value: Any, exchange: str, sides: Mapping[Any, Side]) -> Side:
    """Return who took, from the exchange's own word for it."""
    found = sides.get(value) if isinstance(value, str | bool) else None
    if found is None:
        malformed(exchange, "the side of a trade is neither of the two")
    return found


def oldest_first(found: Sequence[Timed], exchange: str, *, key: Callable[[Timed], object], what: str) -> list[Timed]:
    """
    Return the records by time; one that is sent twice is taken once, two that differ are refused.

    Args:
        found: the records; those of one moment stay in this order.
        exchange: its title, for the error.
        key: what makes two records the same one.
        what: what they are, for the error.
    """
    once: dict[object, Timed] = {}
    for record in found:
        if once.setdefault(key(record), record) != record:
            malformed(exchange, f"{what} that should be the same one differ")
    return sorted(once.values(), key=_time)


def _time(record: Trade | FundingRate) -> int:
    return record.time_ms


def trades_oldest_first(found: Sequence[Trade], exchange: str) -> list[Trade]:
    """Return trades by time, each once."""
    return oldest_first(found, exchange, key=lambda trade: trade.trade_id, what="two trades")


def rates_oldest_first(found: Sequence[FundingRate], exchange: str) -> list[FundingRate]:
    """Return funding rates by time, each once."""
    return oldest_first(found, exchange, key=_time, what="two funding rates")


def check_within(rates: Sequence[FundingRate], start_ms: int, end_ms: int, exchange: str) -> None:
    """Refuse funding rates of other times than were asked for: pages that do not keep to their range never end."""
    if any(not start_ms <= rate.time_ms < end_ms for rate in rates):
        malformed(exchange, "a funding rate lies outside of the range that was asked for")


def quote(symbol: str, time_ms: int | None, bid: tuple[Any, Any], ask: tuple[Any, Any], exchange: str) -> Quote:
    """
    Return the best bid and ask; each is price and quantity as they were sent.

    Raises:
        MalformedAnswerError: one is not there, or they cross: no exchange lets two orders stand that match.
    """
    best_bid, best_ask = level(bid, exchange, "the best bid"), level(ask, exchange, "the best ask")
    if best_bid.price >= best_ask.price:
        malformed(exchange, "the best bid is not below the best ask")
    return Quote(symbol, time_ms, *best_bid, *best_ask)


def level(value: Sequence[Any], exchange: str, what: str) -> Level:
    """Return one price and what stands there, as they were sent; more columns may follow, and neither is zero."""
    price, quantity = rows.numbers(value[:2], exchange, (f"the price of {what}", f"the quantity of {what}"))
    if not price or not quantity:
        malformed(exchange, f"{what} is zero, as where nobody stands in a market that is halted")
    return Level(price, quantity)


def levels(value: Any, exchange: str, what: str) -> list[Level]:
    """Return one side of a book from a list of lists; `what` names one of them."""
    if not isinstance(value, list):
        malformed(exchange, f"there is no list where each is {what}")
    if not all(isinstance(one, list) and len(one) >= 2 for one in value):
        malformed(exchange, f"{what} has not two columns")
    return [level(one, exchange, what) for one in value]


def book(
    symbol: str,
    *,
    time_ms: int | None,
    sequence: str | None,
    bids: Sequence[Level],
    asks: Sequence[Level],
    depth: int,
    exchange: str,
) -> Book:
    """
    Return a book of at most `depth` levels on each side.

    Raises:
        MalformedAnswerError: a side does not come best first, names a price twice, or the two cross.
    """
    if any(better.price <= worse.price for better, worse in pairwise(bids)):
        malformed(exchange, "the bids do not fall")
    if any(better.price >= worse.price for better, worse in pairwise(asks)):
        malformed(exchange, "the asks do not rise")
    if bids and asks and bids[0].price >= asks[0].price:
        malformed(exchange, "the best bid is not below the best ask")
    return Book(symbol, time_ms, sequence, tuple(bids[:depth]), tuple(asks[:depth]))


def check_depth(levels_wanted: int, deepest: int, title: str) -> None:
    """
    Do nothing if a book may be asked for that many levels.

    Raises:
        ValueError: it may not; most exchanges would cut the number without a word.
    """
    if not 1 <= levels_wanted <= deepest:
        msg = f"{title} is asked for 1 to {deepest} levels of a book, not {levels_wanted}."
        raise ValueError(msg)


def check_range(start_ms: int, end_ms: int, title: str) -> None:
    """
    Do nothing if there is a moment in the half-open range.

    Raises:
        ValueError: there is none.
    """
    if end_ms <= start_ms:
        msg = f"{title} is asked for a range that ends after its start, not {start_ms} to {end_ms}."
        raise ValueError(msg)
