"""
The interface every exchange client implements, and the records it gives.

A client speaks to one exchange. It signs, sends through `crypto_pipeline.transport`, translates
answers into the records below and refusals into the error tree. It stores nothing and knows no
secret store: it is given `Credentials`, or none.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, Protocol

from crypto_pipeline.credentials import KeyReport

if TYPE_CHECKING:
    from crypto_pipeline.exchanges.pages import CandlePage


class Candle(NamedTuple):
    """
    One bar exactly as the exchange gave it.

    Prices are in the quote currency; `volume` and `taker_buy_volume` in the base currency,
    `quote_volume` and `taker_buy_quote_volume` in the quote currency. None where the exchange
    does not say. `finished` is the exchange's own flag (OKX `confirm`), None where it has none.
    """

    open_time_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal | None = None
    trades: int | None = None
    taker_buy_volume: Decimal | None = None
    taker_buy_quote_volume: Decimal | None = None
    finished: bool | None = None


class Instrument(NamedTuple):
    """
    One spot market of an exchange.

    `symbol` is canonical (`BTC-USDT`), `native` is the exchange's own spelling (`BTCUSDT`).
    `status` is `trading`, `halted` or `announced`; the exchange's own word is in `native_status`.
    """

    symbol: str
    native: str
    base: str
    quote: str
    status: str
    native_status: str
    price_increment: Decimal | None = None
    quantity_increment: Decimal | None = None
    minimum_quantity: Decimal | None = None
    minimum_notional: Decimal | None = None
    listed_at: datetime | None = None


class Usage(NamedTuple):
    """What a client has used of the exchange's patience since it was opened."""

    requests: int
    retries: int
    weight: int
    budget: str
    """How the exchange counts, in words: `weight 90 of 6000 per minute`."""


class ExchangeClient(Protocol):
    """
    One exchange, read only.

    Every verb but `close` may raise the members of `ExchangeError`; those that use the key may
    raise the members of `KeyRefusedError`. A client that was given a key uses it for nothing
    before the exchange itself has said that the key is read-only.
    """

    @property
    def name(self) -> str:
        """The exchange's name, such as `binance`."""
        ...

    @property
    def page_minutes(self) -> int:
        """The widest range, in minutes, that one `read_page` may ask for."""
        ...

    @property
    def candle_endpoint(self) -> str:
        """Host and path that candles come from, for the provenance of a stored file; never an address in use."""
        ...

    @property
    def instruments_endpoint(self) -> str:
        """Host and path that instruments come from, as above."""
        ...

    @property
    def usage(self) -> Usage:
        """Requests, retries and budget used so far."""
        ...

    async def read_clock(self) -> datetime:
        """Return the exchange's time (aware, UTC); raises `ClockSkewError` if ours is far from it."""
        ...

    async def prove_key(self) -> KeyReport | None:
        """
        Ask the exchange what the key may do and return its report; None if there is no key.

        The answer is kept: the exchange is asked once per client.

        Raises:
            ExcessPermissionsError: the key may do more than read.
            UnprovenKeyError: the answer does not prove what the key may do.
            RejectedKeyError: the exchange does not accept the key.
        """
        ...

    async def read_instruments(self) -> list[Instrument]:
        """Return every spot market the exchange lists, sorted by canonical symbol."""
        ...

    async def read_candles(self, symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
        """Return what `read_page` gives, as records."""
        ...

    async def read_page(self, symbol: str, start_ms: int, end_ms: int) -> CandlePage:
        """
        Return the 1-minute candles of a canonical symbol with `start_ms <= open time < end_ms`, oldest first.

        Unfinished candles are included as the exchange sends them; minutes the exchange has no row
        for are absent.

        Raises:
            ValueError: the range is empty, or longer than `page_minutes`.
            UnknownSymbolError: the exchange does not list the symbol.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
