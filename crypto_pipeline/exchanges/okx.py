"""
OKX v5: spot markets and their linear perpetual contracts.

Read the v5 manual, "REST Authentication", "Get candlesticks", "Get account configuration" and "Error code". How
trades, quotes, books and contracts are read from its answers is in `okx_quotes.py`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from crypto_pipeline.credentials import Credentials, KeyReport
from crypto_pipeline.errors import CryptoPipelineError, ExchangeError
from crypto_pipeline.exchanges import listing, okx_quotes, quoting, rows, symbols
from crypto_pipeline.exchanges.answers import NO_CODE, code_of, malformed
from crypto_pipeline.exchanges.asking import Endpoint, Parameters, Signed
from crypto_pipeline.exchanges.base import BaseClient
from crypto_pipeline.exchanges.interface import Candle, Instrument
from crypto_pipeline.exchanges.okx_envelope import NO_DATA, TITLE, data_of
from crypto_pipeline.exchanges.pages import CandlePage, RowShape
from crypto_pipeline.exchanges.permissions import judge_okx
from crypto_pipeline.exchanges.quotes import Book, FundingRate, MarkPrice, OpenInterest, Quote, Trade
from crypto_pipeline.exchanges.signing import okx_signature, okx_timestamp
from crypto_pipeline.transport import Answer, Budget, SlidingWindow

TIME = Endpoint("/api/v5/public/time", counted_as="time")
INSTRUMENTS = Endpoint("/api/v5/public/instruments", counted_as="instruments")
RECENT = Endpoint("/api/v5/market/candles", counted_as="candles")
HISTORY = Endpoint("/api/v5/market/history-candles", counted_as="history-candles")
PERMISSIONS = Endpoint("/api/v5/account/config", counted_as="config")
RECENT_MS = 1_400 * 60_000
"""The newest 1,440 bars are answered at once by `candles`; a little less, because minutes pass."""

OTHER_ADDRESS = "50110"
REJECTED = {
    OTHER_ADDRESS: "this address is not on its list",
    "50105": "its passphrase is wrong", "50101": "it belongs to the other environment (demo or live)",
    "50111": "unknown key", "50119": "unknown key",
    "50113": "its signature does not match", "50114": "not authorised", "50120": "it may not ask this",
    "50030": "it may not ask this", "50035": "it must be bound to addresses first", "50100": "it is frozen",
    "50103": "its name is missing", "50104": "its passphrase is missing", "50106": "its signature is missing",
}  # fmt: skip
UNAVAILABLE = frozenset({"50001", "50004", "50013", "50026", "50046"})
REGION, ADDRESS = "50051", "50121"
UNKNOWN_SYMBOL = "51001"
NUMBERS = ("open", "high", "low", "close", "vol", "volCcyQuote")
STATUS = {"live": "trading", "preopen": "announced"}
ROW = RowShape(
    ("open_time", "open", "high", "low", "close", "volume", "", "quote_volume", "finished"),
    b'["","","","","","","","",""]',
)


class OkxClient(BaseClient):
    """OKX v5, spot and linear perpetual contracts."""

    name = "okx"
    title = TITLE
    host = "www.okx.com"
    paths = (
        TIME.path,
        INSTRUMENTS.path,
        RECENT.path,
        HISTORY.path,
        PERMISSIONS.path,
        *okx_quotes.SPOT_PATHS,
        *okx_quotes.PERPETUAL_PATHS,
    )
    page_minutes: ClassVar[int] = 300
    candle_endpoint = f"{host}{HISTORY.path}"
    instruments_endpoint = f"{host}{INSTRUMENTS.path}"
    funding_endpoint = f"{host}{okx_quotes.FUNDING_HISTORY.path}"
    deepest_book = okx_quotes.MOST_LEVELS
    time_endpoint = TIME
    permission_endpoint = PERMISSIONS

    def build_budget(self) -> Budget:
        """Each endpoint has its own limit in 2 s, per address, and some per contract too; for most it is 20."""
        own = {"candles": 40, "time": 10, "config": 5, **okx_quotes.LIMITS}
        return SlidingWindow(20, 2, allowed_for=own, clock=self._monotonic, sleep=self._sleep)

    def sign(self, endpoint: Endpoint, query: str, credentials: Credentials, *, now: float) -> Signed:
        """Sign time, method and path with query."""
        timestamp = okx_timestamp(now)
        path = endpoint.path + (f"?{query}" if query else "")
        headers = {
            "OK-ACCESS-KEY": credentials["api_key"].reveal(),
            "OK-ACCESS-SIGN": okx_signature(credentials["api_secret"], timestamp=timestamp, method="GET", path=path),
            "OK-ACCESS-TIMESTAMP": timestamp,
            "OK-ACCESS-PASSPHRASE": credentials["passphrase"].reveal(),
        }
        return Signed(query, headers)

    def refusal(self, answer: Answer, path: str) -> CryptoPipelineError | None:
        """Translate code and status; several refusals come with HTTP 200."""
        code = code_of(answer.body, "code")
        if code in {"0", NO_DATA} and answer.status == 200:
            return None
        return self._refused_address(answer, path, code) or self._refused_request(answer, path, code)

    def _refused_address(self, answer: Answer, path: str, code: str) -> ExchangeError | None:
        if code == "50011" or answer.status == 429:
            return self.rate_limited(answer, path, default_seconds=2)
        if code == REGION or answer.status == 451:
            return self.region_blocked(answer, path)
        is_blocked = code == ADDRESS or (answer.status == 403 and code == NO_CODE)
        return self.forbidden(answer, path) if is_blocked else None

    def _refused_request(self, answer: Answer, path: str, code: str) -> CryptoPipelineError:
        if code in UNAVAILABLE or answer.status >= 500:
            return self.unavailable(answer, path, "an error on its side or maintenance", code)
        if code in {"50102", "50112"}:
            return self.clock_refused(path, code)
        if code in REJECTED or answer.status == 401:
            return self.rejected(REJECTED.get(code, "not accepted"), code, only_here=code == OTHER_ADDRESS)
        return self.without_code(answer, path) if code == NO_CODE else self.refused(answer, path, code)

    def judge(self, body: Any) -> KeyReport:
        """See `permissions.judge_okx`."""
        return judge_okx(body)

    def parse_time(self, body: bytes) -> float:
        """Return the time in seconds."""
        return parse_server_time(body)

    async def read_instruments(self) -> list[Instrument]:
        """Return every spot instrument."""
        answer = await self.ask(INSTRUMENTS, {"instType": "SPOT"})
        return parse_instruments(answer.body)

    async def read_page(self, symbol: str, start_ms: int, end_ms: int) -> CandlePage:
        """Return one page; both cursors are exclusive, `after` is the later end."""
        symbols.split(symbol, self.name)
        self.check_page(start_ms, end_ms)
        parameters: dict[str, str | int] = {
            "instId": symbol,
            "bar": "1m",
            "after": end_ms,
            "before": max(start_ms - 1, 0),
            "limit": self.page_minutes,
        }
        # By the exchange's clock: `candles` answers what is too old for it with no rows, which looks like no trades.
        now = await self.read_clock()
        recent = start_ms >= now.timestamp() * 1000 - RECENT_MS
        with self.symbol_known(symbol, UNKNOWN_SYMBOL):
            answer = await self.ask(RECENT if recent else HISTORY, parameters)
        return CandlePage(answer.body, start_ms, end_ms, parse_candles, ROW)

    async def read_trades(self, symbol: str) -> list[Trade]:
        """Return the newest five hundred trades."""
        answer = await self._ask_spot(okx_quotes.TRADES, symbol, {"limit": okx_quotes.MOST_TRADES})
        return okx_quotes.parse_trades(answer.body, symbol)

    async def read_quote(self, symbol: str) -> Quote:
        """Return the best bid and ask."""
        answer = await self._ask_spot(okx_quotes.TICKER, symbol, {})
        return okx_quotes.parse_quote(answer.body, symbol)

    async def read_book(self, symbol: str, levels: int) -> Book:
        """Return the best levels."""
        quoting.check_depth(levels, self.deepest_book, self.title)
        answer = await self._ask_spot(okx_quotes.BOOKS, symbol, {"sz": levels})
        return okx_quotes.parse_book(answer.body, symbol, levels)

    async def _ask_spot(self, endpoint: Endpoint, symbol: str, parameters: Parameters) -> Answer:
        symbols.split(symbol, self.name)
        with self.symbol_known(symbol, UNKNOWN_SYMBOL):
            return await self.ask(endpoint, {"instId": symbol, **parameters})

    async def read_funding_rates(self, symbol: str, start_ms: int, end_ms: int) -> list[FundingRate]:
        """
        Return the rates that were paid in a range; OKX tells those of the last three months.

        From page to page back, to one that is empty or begins before the range: how many rows a full page has was
        changed more than once. The cursor `after` is exclusive, so no row comes twice.
        """
        quoting.check_range(start_ms, end_ms, self.title)
        found: list[FundingRate] = []
        before_ms = end_ms
        while before_ms > start_ms:
            parameters: Parameters = {"after": before_ms, "limit": okx_quotes.MOST_RATES}
            answer = await self._ask_contract(okx_quotes.FUNDING_HISTORY, symbol, parameters)
            page = okx_quotes.parse_funding_rates(answer.body, okx_quotes.contract_of(symbol))
            if not page:
                break
            # A cursor that is not kept would have no end.
            quoting.check_within(page, 0, before_ms, self.title)
            found, before_ms = page + found, page[0].time_ms
        return [rate for rate in found if rate.time_ms >= start_ms]

    async def read_open_interest(self, symbol: str) -> OpenInterest:
        """Return how much is open, in base currency."""
        answer = await self._ask_contract(okx_quotes.OPEN_INTEREST, symbol, {"instType": "SWAP"})
        return okx_quotes.parse_open_interest(answer.body, symbol)

    async def read_mark_price(self, symbol: str) -> MarkPrice:
        """Return mark and index price, and what is paid next: OKX tells each in another place."""
        mark = await self._ask_contract(okx_quotes.MARK_PRICE, symbol, {"instType": "SWAP"})
        index = await self.ask(okx_quotes.INDEX, {"instId": symbol})
        funding = await self._ask_contract(okx_quotes.FUNDING, symbol, {})
        return okx_quotes.parse_mark_price(mark.body, index.body, funding.body, symbol)

    async def _ask_contract(self, endpoint: Endpoint, symbol: str, parameters: Parameters) -> Answer:
        symbols.split(symbol, self.name)
        contract = okx_quotes.contract_of(symbol)
        with self.contract_known(symbol, UNKNOWN_SYMBOL):
            return await self.ask(okx_quotes.each(endpoint, contract), {"instId": contract, **parameters})


def parse_server_time(body: bytes) -> float:
    """Return the server's time in seconds."""
    found = data_of(body, TIME.path)
    if len(found) != 1 or not isinstance(found[0], dict):
        malformed(TITLE, "its time is not one object")
    return rows.time_ms(found[0].get("ts"), TITLE) / 1000


def parse_candles(body: bytes) -> list[Candle]:
    """
    Return the candles of a candles or history-candles answer, oldest first.

    Nine texts: time, open, high, low, close, vol, volCcy, volCcyQuote, confirm. For spot, `vol` is
    in base currency and `volCcyQuote` in quote currency; `confirm` is 1 when the bar is over.
    """
    return rows.parsed(rows.rows_of(data_of(body, HISTORY.path), TITLE, 9), _candle, TITLE)


def _candle(row: Any) -> Candle:
    confirm = row[8]
    if confirm not in ("0", "1"):
        malformed(TITLE, "a candle says neither that it is over nor that it is not")
    first, high, low, close, volume, quote_volume = rows.numbers((*row[1:6], row[7]), TITLE, NUMBERS)
    time_ms = rows.time_ms(row[0], TITLE)
    return Candle(time_ms, first, high, low, close, volume, quote_volume, finished=confirm == "1")


def parse_instruments(body: bytes) -> list[Instrument]:
    """Return the spot instruments of an instruments answer, sorted by canonical symbol."""
    return listing.parsed(data_of(body, INSTRUMENTS.path), _instrument, TITLE)


def _instrument(entry: listing.Entry) -> Instrument:
    native, base, quote = listing.names(entry, TITLE, "instId", "baseCcy", "quoteCcy")
    status = listing.word(entry, "state")
    return Instrument(
        symbol=f"{base}-{quote}",
        native=native,
        base=base,
        quote=quote,
        status=STATUS.get(status, "halted"),
        native_status=status,
        price_increment=listing.increment(entry, "tickSz", TITLE),
        quantity_increment=listing.increment(entry, "lotSz", TITLE),
        minimum_quantity=listing.increment(entry, "minSz", TITLE),
        listed_at=listing.moment(entry.get("listTime")),
    )
