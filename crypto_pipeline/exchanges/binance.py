"""Binance spot (rest-api.md, errors.md, wallet document "Get API Key Permission")."""

from __future__ import annotations

from typing import Any, ClassVar

from crypto_pipeline.exchanges import binance_host, binance_quotes, listing, quoting, rows, symbols
from crypto_pipeline.exchanges.answers import decode
from crypto_pipeline.exchanges.asking import Endpoint, Parameters
from crypto_pipeline.exchanges.binance_host import UNKNOWN_SYMBOL, BinanceHost
from crypto_pipeline.exchanges.binance_quotes import BOOK, BOOK_WEIGHTS, QUOTE, TITLE, TRADES
from crypto_pipeline.exchanges.interface import Candle, Instrument
from crypto_pipeline.exchanges.pages import CandlePage, RowShape
from crypto_pipeline.exchanges.quotes import Book, Quote, Trade
from crypto_pipeline.transport import Answer, Budget, MinuteWindow

TIME = Endpoint("/api/v3/time", 1)
INSTRUMENTS = Endpoint("/api/v3/exchangeInfo", 20)
CANDLES = Endpoint("/api/v3/klines", 2)
PERMISSIONS = Endpoint("/sapi/v1/account/apiRestrictions", 1)
STATUS = {"TRADING": "trading", "PRE_TRADING": "announced"}
NUMBERS = (
    "open", "high", "low", "close", "volume", "quote volume", "taker-buy volume", "taker-buy quote volume",
)  # fmt: skip
ROW = RowShape(
    (
        "open_time", "open", "high", "low", "close", "volume", "", "quote_volume", "trades",
        "taker_buy_volume", "taker_buy_quote_volume", "",
    ),
    b'[,"","","","","",,"",,"","",""]',
)  # fmt: skip


class BinanceClient(BinanceHost):
    """Binance spot."""

    name = "binance"
    title = TITLE
    host = "api.binance.com"
    paths = (TIME.path, INSTRUMENTS.path, CANDLES.path, TRADES.path, QUOTE.path, BOOK, PERMISSIONS.path)
    page_minutes: ClassVar[int] = 1000
    deepest_book = 5000
    recent_trades: ClassVar[int] = 1000
    """How many trades one answer tells at most."""
    candle_endpoint = f"{host}{CANDLES.path}"
    instruments_endpoint = f"{host}{INSTRUMENTS.path}"
    time_endpoint = TIME
    permission_endpoint = PERMISSIONS

    def build_budget(self) -> Budget:
        """6000 weight per minute and address, told in every answer."""
        return MinuteWindow(6000, margin=120, clock=self.now, sleep=self._sleep)

    def parse_time(self, body: bytes) -> float:
        """Return `serverTime` in seconds."""
        return parse_server_time(body)

    async def read_instruments(self) -> list[Instrument]:
        """Return every spot market of exchangeInfo."""
        answer = await self.ask(INSTRUMENTS)
        return parse_instruments(answer.body)

    async def read_page(self, symbol: str, start_ms: int, end_ms: int) -> CandlePage:
        """Return one page; both ends of Binance's range are inclusive."""
        base, quote = symbols.split(symbol, self.name)
        self.check_page(start_ms, end_ms)
        parameters: dict[str, str | int] = {
            "symbol": base + quote,
            "interval": "1m",
            "startTime": start_ms,
            "endTime": end_ms - 1,
            "limit": self.page_minutes,
        }
        with self.symbol_known(symbol, UNKNOWN_SYMBOL):
            answer = await self.ask(CANDLES, parameters)
        return CandlePage(answer.body, start_ms, end_ms, parse_candles, ROW)

    async def read_trades(self, symbol: str) -> list[Trade]:
        """
        Return the newest thousand trades.

        One by one, with the ids of the trades themselves: `aggTrades` costs a sixth of it, but joins what one order
        took at one price, under other ids.
        """
        answer = await self._ask_market(TRADES, symbol, {"limit": self.recent_trades})
        return binance_quotes.parse_trades(answer.body)

    async def read_quote(self, symbol: str) -> Quote:
        """Return the best bid and ask; Binance does not say of what time."""
        answer = await self._ask_market(QUOTE, symbol, {})
        return binance_quotes.parse_quote(answer.body, symbol)

    async def read_book(self, symbol: str, levels: int) -> Book:
        """Return the best levels; the more, the more it costs."""
        quoting.check_depth(levels, self.deepest_book, self.title)
        weight = next(weight for most, weight in BOOK_WEIGHTS if levels <= most)
        answer = await self._ask_market(Endpoint(BOOK, weight), symbol, {"limit": levels})
        return binance_quotes.parse_book(answer.body, symbol, levels)

    async def _ask_market(self, endpoint: Endpoint, symbol: str, parameters: Parameters) -> Answer:
        base, quote = symbols.split(symbol, self.name)
        with self.symbol_known(symbol, UNKNOWN_SYMBOL):
            return await self.ask(endpoint, {"symbol": base + quote, **parameters})


def parse_server_time(body: bytes) -> float:
    """Return the server's time in seconds."""
    return binance_host.parse_server_time(body, TITLE, TIME.path)


def parse_candles(body: bytes) -> list[Candle]:
    """
    Return the candles of a klines answer, oldest first.

    Twelve columns: open time, open, high, low, close, base volume, close time, quote volume,
    trades, taker-buy base, taker-buy quote, unused. Spot dumps and `X-MBX-TIME-UNIT: MICROSECOND`
    answers carry microseconds.
    """
    return rows.parsed(rows.rows_of(decode(body, TITLE, CANDLES.path), TITLE, 11), _candle, TITLE)


def _candle(row: Any) -> Candle:
    first, high, low, close, volume, quote_volume, taker_volume, taker_quote_volume = rows.numbers(
        (*row[1:6], row[7], row[9], row[10]), TITLE, NUMBERS
    )
    opened = rows.whole(row[0], TITLE, "a time")
    time_ms = rows.time_ms(opened // 1000 if opened >= rows.LATEST_MS else opened, TITLE)
    trades = rows.whole(row[8], TITLE, "number of trades")
    return Candle(time_ms, first, high, low, close, volume, quote_volume, trades, taker_volume, taker_quote_volume)


def parse_instruments(body: bytes) -> list[Instrument]:
    """Return the spot markets of an exchangeInfo answer, sorted by canonical symbol."""
    value = decode(body, TITLE, INSTRUMENTS.path)
    found = listing.entries(value.get("symbols") if isinstance(value, dict) else None, TITLE)
    return listing.parsed([entry for entry in found if _is_spot(entry)], _instrument, TITLE)


def _is_spot(entry: listing.Entry) -> bool:
    return entry.get("isSpotTradingAllowed") is not False


def _instrument(entry: listing.Entry) -> Instrument:
    native, base, quote = listing.names(entry, TITLE, "symbol", "baseAsset", "quoteAsset")
    status = listing.word(entry, "status")

    def of(kind: str, name: str) -> Any:
        filters = entry.get("filters")
        found = filters if isinstance(filters, list) else []
        one = next((each for each in found if isinstance(each, dict) and each.get("filterType") == kind), None)
        return listing.increment(one, name, TITLE)

    return Instrument(
        symbol=f"{base}-{quote}",
        native=native,
        base=base,
        quote=quote,
        status=STATUS.get(status, "halted"),
        native_status=status,
        price_increment=of("PRICE_FILTER", "tickSize"),
        quantity_increment=of("LOT_SIZE", "stepSize"),
        minimum_quantity=of("LOT_SIZE", "minQty"),
        minimum_notional=of("NOTIONAL", "minNotional"),
    )
