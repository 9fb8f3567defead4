"""Binance spot (rest-api.md, errors.md, wallet document "Get API Key Permission")."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from crypto_pipeline.credentials import Credentials, KeyReport
from crypto_pipeline.errors import CryptoPipelineError, ExchangeError
from crypto_pipeline.exchanges import listing, rows, symbols
from crypto_pipeline.exchanges.answers import NO_CODE, code_of, decode, malformed, retry_after
from crypto_pipeline.exchanges.asking import Endpoint, Signed
from crypto_pipeline.exchanges.base import BaseClient
from crypto_pipeline.exchanges.interface import Candle, Instrument
from crypto_pipeline.exchanges.permissions import judge_binance
from crypto_pipeline.exchanges.signing import binance_query
from crypto_pipeline.transport import Answer, Budget, MinuteWindow

TITLE = "Binance"
TIME = Endpoint("/api/v3/time", 1)
INSTRUMENTS = Endpoint("/api/v3/exchangeInfo", 20)
CANDLES = Endpoint("/api/v3/klines", 2)
PERMISSIONS = Endpoint("/sapi/v1/account/apiRestrictions", 1)
RECV_WINDOW_MS = 5000
REJECTED = {
    "-2014": "its format is invalid",
    "-2015": "unknown or ended, or this address is not on its list, or it may not ask this",
    "-1022": "its signature does not match",
    "-1002": "not authorised",
}
UNAVAILABLE = frozenset({"-1000", "-1001", "-1004", "-1006", "-1007", "-1008", "-1016"})
TOO_MANY_REQUESTS = "-1003"
UNKNOWN_SYMBOL = "-1121"
STATUS = {"TRADING": "trading", "PRE_TRADING": "announced"}
NUMBERS = (
    "open", "high", "low", "close", "volume", "quote volume", "taker-buy volume", "taker-buy quote volume",
)  # fmt: skip
_BANNED_UNTIL = re.compile(rb"banned until (\d{13})\b")


class BinanceClient(BaseClient):
    """Binance spot."""

    name = "binance"
    title = TITLE
    host = "api.binance.com"
    paths = (TIME.path, INSTRUMENTS.path, CANDLES.path, PERMISSIONS.path)
    page_minutes: ClassVar[int] = 1000
    candle_endpoint = f"{host}{CANDLES.path}"
    instruments_endpoint = f"{host}{INSTRUMENTS.path}"
    time_endpoint = TIME
    permission_endpoint = PERMISSIONS

    def build_budget(self) -> Budget:
        """6000 weight per minute and address, told in every answer."""
        return MinuteWindow(6000, margin=120, clock=self.now, sleep=self._sleep)

    def sign(self, endpoint: Endpoint, query: str, credentials: Credentials, *, now: float) -> Signed:
        """Sign with HMAC or Ed25519; the key goes into a header."""
        del endpoint  # the path is not signed
        signed = binance_query(
            query, credentials["api_secret"], timestamp_ms=int(now * 1000), recv_window_ms=RECV_WINDOW_MS
        )
        return Signed(signed, {"X-MBX-APIKEY": credentials["api_key"].reveal()})

    def refusal(self, answer: Answer, path: str) -> CryptoPipelineError | None:
        """Translate status and code (errors.md)."""
        if answer.status == 200:
            return self.unless_json(answer, path)
        code = code_of(answer.body, "code")
        # First the address: during a ban, -2015 has been seen for keys that are in order.
        return self._refused_address(answer, path, code) or self._refused_request(answer, path, code)

    def _refused_address(self, answer: Answer, path: str, code: str) -> ExchangeError | None:
        if answer.status == 418:
            return self.banned(answer, path, seconds=self._ban_seconds(answer))
        if answer.status == 429 or code == TOO_MANY_REQUESTS:
            return self.rate_limited(answer, path, default_seconds=60)
        if answer.status == 451:
            return self.region_blocked(answer, path)
        # The documents say of 403 only that it is the firewall, which gives no code.
        return self.forbidden(answer, path) if answer.status == 403 and code == NO_CODE else None

    def _refused_request(self, answer: Answer, path: str, code: str) -> CryptoPipelineError:
        if code == "-1021":
            return self.clock_refused(path, code)
        if code in REJECTED:
            return self.rejected(REJECTED[code], code)
        if answer.status >= 500 or answer.status == 408 or code in UNAVAILABLE:
            return self.unavailable(answer, path, "an error on its side or maintenance", code)
        return self.refused(answer, path, code)

    def _ban_seconds(self, answer: Answer) -> float | None:
        """Return how long a ban lasts: from the header, else from the text."""
        told = retry_after(answer.headers)
        found = _BANNED_UNTIL.search(answer.body)
        if told is not None or found is None:
            return told
        return min(max(0.0, int(found[1]) / 1000 - self.now()), 1e7)

    def judge(self, body: Any) -> KeyReport:
        """See `permissions.judge_binance`."""
        return judge_binance(body)

    def parse_time(self, body: bytes) -> float:
        """Return `serverTime` in seconds."""
        return parse_server_time(body)

    async def read_instruments(self) -> list[Instrument]:
        """Return every spot market of exchangeInfo."""
        answer = await self.ask(INSTRUMENTS)
        return parse_instruments(answer.body)

    async def read_candles(self, symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
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
        return rows.within(parse_candles(answer.body), start_ms, end_ms)


def parse_server_time(body: bytes) -> float:
    """Return the server's time in seconds."""
    value = decode(body, TITLE, TIME.path)
    if not isinstance(value, dict):
        malformed(TITLE, "its time is not an object")
    return rows.time_ms(value.get("serverTime"), TITLE) / 1000


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
