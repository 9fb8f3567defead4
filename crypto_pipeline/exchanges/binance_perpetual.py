"""
Binance USD-M futures: public data of perpetual contracts ("General Info", "Market Data Endpoints").

Another host than the spot markets', with limits of its own. It is read without a key and takes none: there is no way
to ask this host what a key may do.
"""

from __future__ import annotations

from typing import Any

from crypto_pipeline.credentials import Credentials
from crypto_pipeline.errors import UnprovenKeyError
from crypto_pipeline.exchanges import binance_host, quoting, rows, symbols
from crypto_pipeline.exchanges.answers import decode
from crypto_pipeline.exchanges.asking import NO_PARAMETERS, Endpoint, Parameters
from crypto_pipeline.exchanges.binance_host import UNKNOWN_SYMBOL, BinanceHost
from crypto_pipeline.exchanges.interface import Instrument
from crypto_pipeline.exchanges.pages import CandlePage
from crypto_pipeline.exchanges.quotes import FundingRate, MarkPrice, OpenInterest
from crypto_pipeline.exchanges.refusals import name_key
from crypto_pipeline.transport import Answer, Budget, JointBudget, MinuteWindow, SlidingWindow

TITLE = "Binance USD-M"
TIME = Endpoint("/fapi/v1/time", 1)
FUNDING = Endpoint("/fapi/v1/fundingRate", 1, counted_as="funding")
"""Its documents give no weight, only a count that it shares with fundingInfo; one more than none does no harm."""
OPEN_INTEREST = Endpoint("/fapi/v1/openInterest", 1)
MARK_PRICE = Endpoint("/fapi/v1/premiumIndex", 1)
NOT_TRADED = "-4108"
"""The symbol is being delivered, or closed, or not traded yet."""
FUNDING_ROWS = 1000


class BinancePerpetualClient(BinanceHost):
    """Binance USD-M, as far as it is public."""

    name = "binance"
    title = TITLE
    host = "fapi.binance.com"
    paths = (TIME.path, FUNDING.path, OPEN_INTEREST.path, MARK_PRICE.path)
    funding_endpoint = f"{host}{FUNDING.path}"
    time_endpoint = TIME

    def _take(self, credentials: Credentials | None) -> None:
        """
        Go on without a key.

        Raises:
            UnprovenKeyError: there is one.
        """
        if credentials is not None:
            msg = (
                f"{TITLE} is read without a key, so {name_key(credentials.description)} was not used: its host cannot "
                "say what a key may do. Open it without one."
            )
            raise UnprovenKeyError(msg)
        super()._take(None)

    def build_budget(self) -> Budget:
        """2400 weight per minute and address, told in every answer; and 500 questions for funding in five minutes."""
        weight = MinuteWindow(2400, margin=48, clock=self.now, sleep=self._sleep)
        funding = SlidingWindow(500, 300, clock=self._monotonic, sleep=self._sleep)
        return JointBudget(weight, {FUNDING.counted_as: funding})

    def parse_time(self, body: bytes) -> float:
        """Return `serverTime` in seconds."""
        return binance_host.parse_server_time(body, TITLE, TIME.path)

    async def read_instruments(self) -> list[Instrument]:
        """Return nothing: this host has no spot markets."""
        return []

    async def read_page(self, symbol: str, start_ms: int, end_ms: int) -> CandlePage:
        """Refuse: this host has no spot markets."""
        del start_ms, end_ms
        raise symbols.unknown(symbol, exchange=self.name, title=self.title)

    async def read_funding_rates(self, symbol: str, start_ms: int, end_ms: int) -> list[FundingRate]:
        """
        Return the rates of the range, page after page from its start; both ends of Binance's range are inclusive.

        Goes on until an answer is empty: a page that is shorter than asked for may be so for any reason.
        """
        quoting.check_range(start_ms, end_ms, self.title)
        found: list[FundingRate] = []
        next_ms = start_ms
        while next_ms < end_ms:
            range_ms = {"startTime": next_ms, "endTime": end_ms - 1, "limit": FUNDING_ROWS}
            page = parse_funding_rates((await self._ask_contract(FUNDING, symbol, range_ms)).body, symbol)
            quoting.check_within(page, next_ms, end_ms, TITLE)
            if not page:
                break
            found += page
            next_ms = page[-1].time_ms + 1
        if not found:
            # Nothing is also the answer for a contract that there is not.
            await self._ask_contract(MARK_PRICE, symbol)
        return found

    async def read_open_interest(self, symbol: str) -> OpenInterest:
        """Return how much is open; Binance counts one side, in base currency."""
        answer = await self._ask_contract(OPEN_INTEREST, symbol)
        return parse_open_interest(answer.body, symbol)

    async def read_mark_price(self, symbol: str) -> MarkPrice:
        """Return mark and index price, and the rate that is expected to be paid next."""
        answer = await self._ask_contract(MARK_PRICE, symbol)
        return parse_mark_price(answer.body, symbol)

    async def _ask_contract(self, endpoint: Endpoint, symbol: str, parameters: Parameters = NO_PARAMETERS) -> Answer:
        base, quote = symbols.split(symbol, self.name)
        with self.contract_known(symbol, UNKNOWN_SYMBOL, NOT_TRADED):
            return await self.ask(endpoint, {"symbol": base + quote, **parameters})


def parse_funding_rates(body: bytes, symbol: str) -> list[FundingRate]:
    """Return the rates of a fundingRate answer, oldest first; the mark price of old ones is an empty text."""
    found = quoting.entries(decode(body, TITLE, FUNDING.path), TITLE, "a funding rate")
    return quoting.rates_oldest_first([_funding_rate(entry, symbol) for entry in found], TITLE)


def _funding_rate(entry: quoting.Entry, symbol: str) -> FundingRate:
    quoting.check_name(entry.get("symbol"), _native(symbol), TITLE)
    return FundingRate(
        rows.time_ms(entry.get("fundingTime"), TITLE),
        rows.signed(entry.get("fundingRate"), TITLE, "fundingRate"),
        quoting.optional(entry.get("markPrice"), quoting.positive, TITLE, "markPrice"),
    )


def parse_open_interest(body: bytes, symbol: str) -> OpenInterest:
    """Return what an openInterest answer tells; it has no value in quote currency."""
    entry = _about(symbol, decode(body, TITLE, OPEN_INTEREST.path))
    return OpenInterest(
        symbol,
        rows.time_ms(entry.get("time"), TITLE),
        rows.number(entry.get("openInterest"), TITLE, "openInterest"),
    )


def parse_mark_price(body: bytes, symbol: str) -> MarkPrice:
    """Return what a premiumIndex answer tells; `lastFundingRate` is the latest estimate of the next one."""
    entry = _about(symbol, decode(body, TITLE, MARK_PRICE.path))
    return MarkPrice(
        symbol,
        rows.time_ms(entry.get("time"), TITLE),
        quoting.positive(entry.get("markPrice"), TITLE, "markPrice"),
        quoting.optional(entry.get("indexPrice"), quoting.positive, TITLE, "indexPrice"),
        quoting.optional(entry.get("lastFundingRate"), rows.signed, TITLE, "lastFundingRate"),
        quoting.optional_time(entry.get("nextFundingTime"), TITLE),
    )


def _about(symbol: str, value: Any) -> quoting.Entry:
    entry = quoting.entry(value, TITLE, "what it tells of a contract")
    quoting.check_name(entry.get("symbol"), _native(symbol), TITLE)
    return entry


def _native(symbol: str) -> str:
    return symbol.replace("-", "")
