"""
What exchanges tell besides candles and instruments: records, and the interfaces of the clients that read them.

Every number is exactly what the exchange sent. Times are the exchange's own, in milliseconds; None where it
tells none, and then the moment of the answer is known to whoever asked. What an exchange does not give has no
stand-in: the field is None, or the client does not have the method (see docs/operations.md).
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable


class Side(StrEnum):
    """Who took: `BUY` if the taker bought."""

    BUY = "buy"
    SELL = "sell"


class Trade(NamedTuple):
    """
    One trade.

    `trade_id` is the exchange's own, as text: on some it is no number. `price` is in the quote currency,
    `quantity` in the base currency.
    """

    trade_id: str
    time_ms: int
    price: Decimal
    quantity: Decimal
    taker_side: Side


class Quote(NamedTuple):
    """The best bid and ask of one market. Prices are in the quote currency, quantities in the base currency."""

    symbol: str
    time_ms: int | None
    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal


class Level(NamedTuple):
    """One price of an order book, and how much stands there in base currency."""

    price: Decimal
    quantity: Decimal


class Book(NamedTuple):
    """
    The best levels of an order book, best first on both sides.

    `sequence` is the exchange's own number of this state, as text; None where it gives none.
    """

    symbol: str
    time_ms: int | None
    sequence: str | None
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class FundingRate(NamedTuple):
    """
    What the holders of a perpetual contract paid each other at one moment, as a part of the position's value.

    Positive: longs paid shorts. `mark_price` is the price it was reckoned with, where the exchange tells it.
    """

    time_ms: int
    rate: Decimal
    mark_price: Decimal | None = None


class OpenInterest(NamedTuple):
    """
    How much is open in a perpetual contract: one side of all positions.

    `quantity` is in base currency, `value` in quote currency where the exchange tells it.
    """

    symbol: str
    time_ms: int | None
    quantity: Decimal
    value: Decimal | None = None


class MarkPrice(NamedTuple):
    """
    What a perpetual contract is reckoned with: mark price, and the index of spot markets behind it.

    `funding_rate` is the one that will be paid at `next_funding_ms`, as far as it is known now.
    """

    symbol: str
    time_ms: int | None
    mark_price: Decimal
    index_price: Decimal | None = None
    funding_rate: Decimal | None = None
    next_funding_ms: int | None = None


@runtime_checkable
class SpotQuotes(Protocol):
    """
    A client that reads the present state of spot markets. Every verb may raise the members of `ExchangeError`.

    `symbol` is canonical (`BTC-USDT`); one that is not listed raises `UnknownSymbolError`.
    """

    deepest_book: int
    """The most levels that one `read_book` may ask for."""

    async def read_trades(self, symbol: str) -> list[Trade]:
        """Return the most recent trades that the exchange gives without a key, oldest first."""
        ...

    async def read_quote(self, symbol: str) -> Quote:
        """Return the best bid and ask."""
        ...

    async def read_book(self, symbol: str, levels: int) -> Book:
        """
        Return the best levels of the order book: `levels` on each side, or fewer if there are not so many.

        Raises:
            ValueError: `levels` is not from 1 to `deepest_book`.
        """
        ...


@runtime_checkable
class Perpetuals(Protocol):
    """
    A client that reads linear perpetual contracts: settled in the quote currency.

    `symbol` is the canonical symbol of the pair behind it (`BTC-USDT`); one without such a contract raises
    `UnknownSymbolError`. Every verb may raise the members of `ExchangeError`.
    """

    funding_endpoint: str
    """Host and path that funding rates come from, for the provenance of a stored file."""

    async def read_funding_rates(self, symbol: str, start_ms: int, end_ms: int) -> list[FundingRate]:
        """
        Return all funding rates with `start_ms <= time < end_ms` that the exchange still tells, oldest first.

        Asks for as many pages as that takes.

        Raises:
            ValueError: the range is empty.
        """
        ...

    async def read_open_interest(self, symbol: str) -> OpenInterest:
        """Return how much is open now."""
        ...

    async def read_mark_price(self, symbol: str) -> MarkPrice:
        """Return mark and index price now."""
        ...
