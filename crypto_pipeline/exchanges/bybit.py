"""Bybit v5 (v5 documents "Integration Guidance", "Get Kline", "Get API Key Information", "Error Codes")."""

from __future__ import annotations

from typing import Any, ClassVar

from crypto_pipeline.credentials import Credentials, KeyReport
from crypto_pipeline.errors import CryptoPipelineError, ExchangeError
from crypto_pipeline.exchanges import bybit_quotes, listing, quoting, rows, symbols
from crypto_pipeline.exchanges.answers import NO_CODE, code_of, malformed
from crypto_pipeline.exchanges.asking import Endpoint, Parameters, Signed
from crypto_pipeline.exchanges.base import BaseClient
from crypto_pipeline.exchanges.bybit_envelope import TITLE, message, result
from crypto_pipeline.exchanges.bybit_quotes import BOOK, FUNDING, LINEAR, SPOT, TICKERS, TRADES
from crypto_pipeline.exchanges.interface import Candle, Instrument
from crypto_pipeline.exchanges.pages import CandlePage, RowShape
from crypto_pipeline.exchanges.permissions import judge_bybit
from crypto_pipeline.exchanges.quotes import Book, FundingRate, MarkPrice, OpenInterest, Quote, Trade
from crypto_pipeline.exchanges.signing import bybit_signature
from crypto_pipeline.transport import Answer, Budget, SlidingWindow

TIME = Endpoint("/v5/market/time")
INSTRUMENTS = Endpoint("/v5/market/instruments-info")
CANDLES = Endpoint("/v5/market/kline")
PERMISSIONS = Endpoint("/v5/user/query-api")
RECV_WINDOW_MS = 5000
BAN_SECONDS = 600.0
"""What the documents say to wait after "access too frequent"."""
OTHER_ADDRESS = "10010"
REJECTED = {
    OTHER_ADDRESS: "this address is not on its list",
    "10003": "unknown key", "10004": "its signature does not match", "10005": "it may not ask this",
    "10007": "authentication failed", "10008": "its account is banned",
    "10027": "its account is banned", "33004": "it has expired", "-2015": "it has expired",
}  # fmt: skip
UNAVAILABLE = frozenset({"10000", "10014", "10016", "-1"})
PARAMETER = "10001"
FUNDING_ROWS = 200
UNKNOWN_SYMBOL = "10001, symbol"
"""10001 means any wrong parameter; only its text tells which."""
STATUS = {"Trading": "trading", "PreLaunch": "announced"}
NUMBERS = ("open", "high", "low", "close", "volume", "turnover")
_ELSEWHERE = (b"country", b"region", b"restricted")
ROW = RowShape(("open_time", "open", "high", "low", "close", "volume", "quote_volume"), b'["","","","","","",""]')


class BybitClient(BaseClient):
    """Bybit v5: spot, and what is public of linear perpetual contracts."""

    name = "bybit"
    title = TITLE
    host = "api.bybit.com"
    paths = (
        TIME.path, INSTRUMENTS.path, CANDLES.path, TRADES.path, TICKERS.path, BOOK.path, FUNDING.path, PERMISSIONS.path,
    )  # fmt: skip
    page_minutes: ClassVar[int] = 1000
    deepest_book = 1000
    recent_trades: ClassVar[int] = 60
    """How many trades one answer tells at most."""
    candle_endpoint = f"{host}{CANDLES.path}"
    instruments_endpoint = f"{host}{INSTRUMENTS.path}"
    funding_endpoint = f"{host}{FUNDING.path}"
    time_endpoint = TIME
    permission_endpoint = PERMISSIONS

    def build_budget(self) -> Budget:
        """600 requests in 5 s per address; a tenth is left to others, because a breach costs ten minutes."""
        return SlidingWindow(540, 5, clock=self._monotonic, sleep=self._sleep)

    def sign(self, endpoint: Endpoint, query: str, credentials: Credentials, *, now: float) -> Signed:
        """Sign time, key, window and query."""
        del endpoint  # the path is not signed
        timestamp, key = int(now * 1000), credentials["api_key"].reveal()
        signature = bybit_signature(
            credentials["api_secret"], timestamp_ms=timestamp, api_key=key, recv_window_ms=RECV_WINDOW_MS, payload=query
        )
        headers = {
            "X-BAPI-API-KEY": key,
            "X-BAPI-TIMESTAMP": str(timestamp),
            "X-BAPI-SIGN": signature,
            "X-BAPI-RECV-WINDOW": str(RECV_WINDOW_MS),
        }
        return Signed(query, headers)

    def refusal(self, answer: Answer, path: str) -> CryptoPipelineError | None:
        """Translate status and retCode; most failures come with HTTP 200, and message texts may quote the key."""
        code = code_of(answer.body, "retCode")
        if code == "0" and answer.status == 200:
            return None
        return self._refused_address(answer, path, code) or self._refused_request(answer, path, code)

    def _refused_address(self, answer: Answer, path: str, code: str) -> ExchangeError | None:
        said = answer.body.lower()
        if b"access too frequent" in said or code == "10018":
            return self.banned(answer, path, seconds=BAN_SECONDS)
        if code == "10006" or answer.status == 429:
            return self.rate_limited(answer, path, default_seconds=2)
        # Of the three causes of a 403 the third, a GET with a body, is never sent here.
        if code == "10024" or (answer.status == 403 and any(word in said for word in _ELSEWHERE)):
            return self.region_blocked(answer, path)
        return self.forbidden(answer, path) if code == "10009" or answer.status == 403 else None

    def _refused_request(self, answer: Answer, path: str, code: str) -> CryptoPipelineError:
        if code in UNAVAILABLE or answer.status >= 500:
            return self.unavailable(answer, path, "an error on its side or maintenance", code)
        if code == "10002":
            return self.clock_refused(path, code)
        if code in REJECTED or answer.status == 401:
            return self.rejected(REJECTED.get(code, "not accepted"), code, only_here=code == OTHER_ADDRESS)
        if code == NO_CODE:
            return self.without_code(answer, path)
        is_symbol = code == PARAMETER and "symbol" in message(answer.body).lower()
        return self.refused(answer, path, UNKNOWN_SYMBOL if is_symbol else code)

    def judge(self, body: Any) -> KeyReport:
        """See `permissions.judge_bybit`."""
        return judge_bybit(body)

    def parse_time(self, body: bytes) -> float:
        """Return the time in seconds."""
        return parse_server_time(body)

    async def read_instruments(self) -> list[Instrument]:
        """Return every spot market; spot does not page."""
        answer = await self.ask(INSTRUMENTS, {"category": "spot"})
        return parse_instruments(answer.body)

    async def read_page(self, symbol: str, start_ms: int, end_ms: int) -> CandlePage:
        """Return one page; both ends are inclusive, and the newest rows win if there are too many."""
        base, quote = symbols.split(symbol, self.name)
        self.check_page(start_ms, end_ms)
        parameters: dict[str, str | int] = {
            "category": "spot",
            "symbol": base + quote,
            "interval": "1",
            "start": start_ms,
            "end": end_ms - 1,
            "limit": self.page_minutes,
        }
        with self.symbol_known(symbol, UNKNOWN_SYMBOL):
            answer = await self.ask(CANDLES, parameters)
        return CandlePage(answer.body, start_ms, end_ms, parse_candles, ROW)

    async def read_trades(self, symbol: str) -> list[Trade]:
        """Return the newest sixty trades; of spot there is no way further back."""
        native, answer = await self._ask_spot(TRADES, symbol, {"limit": self.recent_trades})
        return bybit_quotes.parse_trades(answer.body, native)

    async def read_quote(self, symbol: str) -> Quote:
        """Return the best bid and ask."""
        native, answer = await self._ask_spot(TICKERS, symbol, {})
        return bybit_quotes.parse_quote(answer.body, symbol, native)

    async def read_book(self, symbol: str, levels: int) -> Book:
        """Return the best levels."""
        quoting.check_depth(levels, self.deepest_book, self.title)
        native, answer = await self._ask_spot(BOOK, symbol, {"limit": levels})
        return bybit_quotes.parse_book(answer.body, symbol, native, levels)

    async def read_funding_rates(self, symbol: str, start_ms: int, end_ms: int) -> list[FundingRate]:
        """
        Return the rates of the range, page after page from its end; both ends of Bybit's range are inclusive.

        Goes on until an answer is empty: a page that is shorter than asked for may be so for any reason.
        """
        quoting.check_range(start_ms, end_ms, self.title)
        pages: list[list[FundingRate]] = []
        last_ms = end_ms - 1
        while last_ms >= start_ms:
            range_ms = {"startTime": start_ms, "endTime": last_ms, "limit": FUNDING_ROWS}
            native, answer = await self._ask_contract(FUNDING, symbol, range_ms)
            page = bybit_quotes.parse_funding_rates(answer.body, native)
            quoting.check_within(page, start_ms, last_ms + 1, TITLE)
            if not page:
                break
            pages.append(page)
            last_ms = page[0].time_ms - 1
        return [rate for page in reversed(pages) for rate in page]

    async def read_open_interest(self, symbol: str) -> OpenInterest:
        """
        Return how much is open.

        From the ticker: `open-interest` tells of every fifth minute, so its newest is old, and no value.
        """
        native, answer = await self._ask_contract(TICKERS, symbol, {})
        return bybit_quotes.parse_open_interest(answer.body, symbol, native)

    async def read_mark_price(self, symbol: str) -> MarkPrice:
        """Return mark and index price, and the rate that is expected to be paid next."""
        native, answer = await self._ask_contract(TICKERS, symbol, {})
        return bybit_quotes.parse_mark_price(answer.body, symbol, native)

    async def _ask_spot(self, endpoint: Endpoint, symbol: str, parameters: Parameters) -> tuple[str, Answer]:
        native = bybit_quotes.spot_name(*symbols.split(symbol, self.name))
        with self.symbol_known(symbol, UNKNOWN_SYMBOL):
            return native, await self.ask(endpoint, {"category": SPOT, "symbol": native, **parameters})

    async def _ask_contract(self, endpoint: Endpoint, symbol: str, parameters: Parameters) -> tuple[str, Answer]:
        native = bybit_quotes.contract_name(*symbols.split(symbol, self.name))
        with self.contract_known(symbol, UNKNOWN_SYMBOL):
            return native, await self.ask(endpoint, {"category": LINEAR, "symbol": native, **parameters})


def parse_server_time(body: bytes) -> float:
    """Return the server's time in seconds."""
    nanoseconds = rows.whole(result(body, TIME.path).get("timeNano"), TITLE, "timeNano")
    return rows.time_ms(nanoseconds // 1_000_000, TITLE) / 1000


def parse_candles(body: bytes) -> list[Candle]:
    """
    Return the candles of a kline answer, oldest first.

    Seven columns: start, open, high, low, close, volume (base), turnover (quote). Inverse contracts
    have them the other way round and are refused.
    """
    found = result(body, CANDLES.path)
    if found.get("category") == "inverse":
        malformed(TITLE, "its volumes are those of an inverse contract")
    return rows.parsed(rows.rows_of(found.get("list"), TITLE, 7), _candle, TITLE)


def _candle(row: Any) -> Candle:
    first, high, low, close, volume, turnover = rows.numbers(row[1:7], TITLE, NUMBERS)
    return Candle(rows.time_ms(row[0], TITLE), first, high, low, close, volume, turnover)


def parse_instruments(body: bytes) -> list[Instrument]:
    """Return the spot markets of an instruments-info answer, sorted by canonical symbol."""
    found = result(body, INSTRUMENTS.path)
    if found.get("nextPageCursor"):
        malformed(TITLE, "its spot markets come in pages")
    return listing.parsed(found.get("list"), _instrument, TITLE)


def _instrument(entry: listing.Entry) -> Instrument:
    native, base, quote = listing.names(entry, TITLE, "symbol", "baseCoin", "quoteCoin")
    status = listing.word(entry, "status")
    prices, lots = entry.get("priceFilter"), entry.get("lotSizeFilter")
    return Instrument(
        symbol=f"{base}-{quote}",
        native=native,
        base=base,
        quote=quote,
        status=STATUS.get(status, "halted"),
        native_status=status,
        price_increment=listing.increment(prices, "tickSize", TITLE),
        quantity_increment=listing.increment(lots, "basePrecision", TITLE),
        minimum_quantity=listing.increment(lots, "minOrderQty", TITLE),
        minimum_notional=listing.increment(lots, "minOrderAmt", TITLE),
        listed_at=listing.moment(entry.get("launchTime")),
    )
