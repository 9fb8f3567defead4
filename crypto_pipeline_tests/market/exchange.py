"""An exchange made of a table of candles, for tests of what is done with its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime

from crypto_pipeline.credentials import KeyReport
from crypto_pipeline.exchanges import Candle, CandlePage, Instrument, Usage
from crypto_pipeline.exchanges.pages import RowShape
from crypto_pipeline.market.months import MINUTE_MS, moment

Page = Callable[[list[Candle]], list[Candle]]


class _AsTold(CandlePage):
    """A page that is read row by row, and hands on what it was told, whatever was asked for."""

    def candles(self) -> list[Candle]:
        return self.parse(self.body)


class TableExchange:
    """
    Answers from a table, as exactly as the interface promises.

    Args:
        candles: the table.
        now_ms: its clock.
        spoil: may change an answer, or raise.
    """

    name = "table"
    candle_endpoint = "table.example/candles"
    instruments_endpoint = "table.example/instruments"
    page_minutes = 100

    def __init__(
        self,
        candles: Iterable[Candle],
        *,
        now_ms: int,
        spoil: Page = lambda page: page,
        instruments: Iterable[Instrument] = (),
    ) -> None:
        self.table = {candle.open_time_ms: candle for candle in candles}
        self.now_ms = now_ms
        self.spoil = spoil
        self.instruments = list(instruments)
        self.asked: list[tuple[int, int]] = []

    @property
    def usage(self) -> Usage:
        return Usage(len(self.asked), 0, 2 * len(self.asked), f"{len(self.asked)} pages")

    async def read_clock(self) -> datetime:
        return moment(self.now_ms)

    async def prove_key(self) -> KeyReport | None:
        return None

    async def read_instruments(self) -> list[Instrument]:
        self.asked.append((0, 0))
        return self.instruments

    async def read_candles(self, symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
        return (await self.read_page(symbol, start_ms, end_ms)).candles()

    async def read_page(self, symbol: str, start_ms: int, end_ms: int) -> CandlePage:
        assert symbol == "BTC-USDT"
        assert end_ms - start_ms <= self.page_minutes * MINUTE_MS
        self.asked.append((start_ms, end_ms))
        # Later pages answer first: nothing may depend on the order of answers.
        for _ in range(len(self.asked) % 3):
            await asyncio.sleep(0)
        found = self.spoil([self.table[time] for time in range(start_ms, end_ms, MINUTE_MS) if time in self.table])
        return _AsTold(b"", start_ms, end_ms, lambda _: found, RowShape((), b"[]"))

    async def close(self) -> None:
        return None
