"""Binance spot (rest-api.md, errors.md, wallet document "Get API Key Permission")."""

from __future__ import annotations

from typing import Any, ClassVar

from crypto_pipeline.credentials import Credentials, KeyReport
from crypto_pipeline.errors import CryptoPipelineError
from crypto_pipeline.exchanges import rows, symbols
from crypto_pipeline.exchanges.base import BaseClient, Endpoint, Signed, decode, retry_after
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
REJECTED = {"-2014": "its format is invalid", "-2015": "unknown key, address not on its list, or ended",
            "-1022": "its signature does not match", "-1002": "not authorised"}  # fmt: skip
STATUS = {"TRADING": "trading", "PRE_TRADING": "announced"}


class BinanceClient(BaseClient):
    """Binance spot."""

    name = "binance"
    title = TITLE
    host = "api.binance.com"
    paths = (TIME.path, INSTRUMENTS.path, CANDLES.path, PERMISSIONS.path)
    page_minutes: ClassVar[int] = 1000
    time_endpoint = TIME
    permission_endpoint = PERMISSIONS

    def build_budget(self) -> Budget:
        """6000 weight per minute and address, told in every answer."""
        return MinuteWindow(6000, margin=120, clock=self._now, sleep=self._sleep)

    def sign(self, endpoint: Endpoint, query: str, credentials: Credentials, *, now: float) -> Signed:
        """Sign with HMAC or Ed25519; the key goes into a header."""
        signed = binance_query(
            query, credentials["api_secret"], timestamp_ms=int(now * 1000), recv_window_ms=RECV_WINDOW_MS
        )
        return Signed(signed, {"X-MBX-APIKEY": credentials["api_key"].reveal()})

    def refusal(self, answer: Answer, endpoint: Endpoint) -> CryptoPipelineError | None:
        """Translate status and code (errors.md)."""
        if answer.status == 200:
            return None
        code = _code(answer.body)
        if answer.status == 418:
            return self.banned(answer, endpoint, seconds=retry_after(answer.headers))
        if answer.status == 429:
            return self.rate_limited(answer, endpoint, default_seconds=60)
        if answer.status == 451:
            return self.region_blocked(endpoint, answer.status)
        if answer.status >= 500 or answer.status == 408 or code in {"-1007", "-1008", "-1016"}:
            return self.unavailable(answer, endpoint, "an error on its side or maintenance", code)
        if code == "-1021":
            return self.clock_refused(endpoint, code)
        if code in REJECTED:
            return self.rejected(REJECTED[code], code)
        return self.refused(answer, endpoint, code)

    def judge(self, body: Any) -> KeyReport:
        """See `permissions.judge_binance`."""
        return judge_binance(body)

    def parse_time(self, body: bytes) -> float:
        """Return `serverTime` in seconds."""
        return parse_server_time(body)

    async def read_instruments(self) -> list[Instrument]:
        """Return every spot market of exchangeInfo."""
        answer = await self._get(INSTRUMENTS)
        return parse_instruments(answer.body)

    async def read_candles(self, symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
        """Return one page; both ends of Binance's range are inclusive."""
        base, quote = symbols.split(symbol, self.name)
        parameters: dict[str, str | int] = {
            "symbol": base + quote,
            "interval": "1m",
            "startTime": start_ms,
            "endTime": end_ms - 1,
            "limit": self.page_minutes,
        }
        with self.symbol_known(symbol, "-1121"):
            answer = await self._get(CANDLES, parameters)
        return rows.within(parse_candles(answer.body), start_ms, end_ms)


def parse_server_time(body: bytes) -> float:
    """Return the server's time in seconds."""
    value = decode(body, TITLE, TIME.path)
    if not isinstance(value, dict):
        rows.malformed(TITLE, "its time is not an object")
    return rows.whole(value.get("serverTime"), TITLE, "serverTime") / 1000


def parse_candles(body: bytes) -> list[Candle]:
    """
    Return the candles of a klines answer, oldest first.

    Twelve columns: open time, open, high, low, close, base volume, close time, quote volume,
    trades, taker-buy base, taker-buy quote, unused. Spot dumps and `X-MBX-TIME-UNIT: MICROSECOND`
    answers carry microseconds.
    """
    return rows.parsed(rows.rows_of(decode(body, TITLE, CANDLES.path), TITLE, 11), _candle, TITLE)


def _candle(row: Any) -> Candle:
    opened = rows.whole(row[0], TITLE, "a candle's time")
    return Candle(
        open_time_ms=rows.time_ms(opened // 1000 if opened >= rows.LATEST_MS else opened, TITLE),
        open=rows.number(row[1], TITLE, "open"),
        high=rows.number(row[2], TITLE, "high"),
        low=rows.number(row[3], TITLE, "low"),
        close=rows.number(row[4], TITLE, "close"),
        volume=rows.number(row[5], TITLE, "volume"),
        quote_volume=rows.number(row[7], TITLE, "quote volume"),
        trades=rows.whole(row[8], TITLE, "number of trades"),
        taker_buy_volume=rows.number(row[9], TITLE, "taker-buy volume"),
        taker_buy_quote_volume=rows.number(row[10], TITLE, "taker-buy quote volume"),
    )


def parse_instruments(body: bytes) -> list[Instrument]:
    """Return the spot markets of an exchangeInfo answer, sorted by canonical symbol."""
    value = decode(body, TITLE, INSTRUMENTS.path)
    found = value.get("symbols") if isinstance(value, dict) else None
    if not isinstance(found, list):
        rows.malformed(TITLE, "there is no list of symbols")
    return sorted(_instrument(entry) for entry in found if isinstance(entry, dict) and _is_spot(entry))


def _is_spot(entry: dict[str, Any]) -> bool:
    return entry.get("isSpotTradingAllowed") is not False


def _instrument(entry: dict[str, Any]) -> Instrument:
    filters = {one.get("filterType"): one for one in entry.get("filters", ()) if isinstance(one, dict)}
    status = str(entry.get("status", ""))
    names = [entry.get(name) for name in ("symbol", "baseAsset", "quoteAsset")]
    if not all(isinstance(name, str) and name for name in names):
        rows.malformed(TITLE, "a symbol has no name")
    native, base, quote = map(str, names)

    def of(kind: str, name: str) -> Any:
        value = filters.get(kind, {}).get(name)
        return None if value is None else rows.number(value, TITLE, name)

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


def _code(body: bytes) -> str:
    """Return the code of an error body; a body of another shape (a firewall's page) has none."""
    try:
        value = decode(body, TITLE, "")
    except CryptoPipelineError:
        return "none"
    return str(value.get("code", "none")) if isinstance(value, dict) else "none"
