"""OKX v5 spot (v5 manual "REST Authentication", "Get candlesticks", "Get account configuration", "Error code")."""

from __future__ import annotations

from typing import Any, ClassVar

from crypto_pipeline.credentials import Credentials, KeyReport
from crypto_pipeline.errors import CryptoPipelineError, ExchangeError
from crypto_pipeline.exchanges import listing, rows, symbols
from crypto_pipeline.exchanges.answers import NO_CODE, code_of, decode, malformed
from crypto_pipeline.exchanges.asking import Endpoint, Signed
from crypto_pipeline.exchanges.base import BaseClient
from crypto_pipeline.exchanges.interface import Candle, Instrument
from crypto_pipeline.exchanges.permissions import judge_okx
from crypto_pipeline.exchanges.signing import okx_signature, okx_timestamp
from crypto_pipeline.transport import Answer, Budget, SlidingWindow

TITLE = "OKX"
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
UNKNOWN_SYMBOL, NO_DATA = "51001", "52000"
NUMBERS = ("open", "high", "low", "close", "vol", "volCcyQuote")
STATUS = {"live": "trading", "preopen": "announced"}


class OkxClient(BaseClient):
    """OKX v5, spot."""

    name = "okx"
    title = TITLE
    host = "www.okx.com"
    paths = (TIME.path, INSTRUMENTS.path, RECENT.path, HISTORY.path, PERMISSIONS.path)
    page_minutes: ClassVar[int] = 300
    candle_endpoint = f"{host}{HISTORY.path}"
    instruments_endpoint = f"{host}{INSTRUMENTS.path}"
    time_endpoint = TIME
    permission_endpoint = PERMISSIONS

    def build_budget(self) -> Budget:
        """Each endpoint has its own limit in 2 s, per address; for most it is 20."""
        own = {"candles": 40, "time": 10, "config": 5}
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

    async def read_candles(self, symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
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
        return rows.within(parse_candles(answer.body), start_ms, end_ms)


def parse_server_time(body: bytes) -> float:
    """Return the server's time in seconds."""
    found = _data(body, TIME.path)
    if len(found) != 1 or not isinstance(found[0], dict):
        malformed(TITLE, "its time is not one object")
    return rows.time_ms(found[0].get("ts"), TITLE) / 1000


def parse_candles(body: bytes) -> list[Candle]:
    """
    Return the candles of a candles or history-candles answer, oldest first.

    Nine texts: time, open, high, low, close, vol, volCcy, volCcyQuote, confirm. For spot, `vol` is
    in base currency and `volCcyQuote` in quote currency; `confirm` is 1 when the bar is over.
    """
    return rows.parsed(rows.rows_of(_data(body, HISTORY.path), TITLE, 9), _candle, TITLE)


def _candle(row: Any) -> Candle:
    confirm = row[8]
    if confirm not in ("0", "1"):
        malformed(TITLE, "a candle says neither that it is over nor that it is not")
    first, high, low, close, volume, quote_volume = rows.numbers((*row[1:6], row[7]), TITLE, NUMBERS)
    time_ms = rows.time_ms(row[0], TITLE)
    return Candle(time_ms, first, high, low, close, volume, quote_volume, finished=confirm == "1")


def parse_instruments(body: bytes) -> list[Instrument]:
    """Return the spot instruments of an instruments answer, sorted by canonical symbol."""
    return listing.parsed(_data(body, INSTRUMENTS.path), _instrument, TITLE)


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


def _data(body: bytes, endpoint: str) -> list[Any]:
    value = decode(body, TITLE, endpoint)
    envelope = value if isinstance(value, dict) else {}
    found = envelope.get("data")
    if envelope.get("code") not in ("0", NO_DATA) or not isinstance(found, list):
        malformed(TITLE, "there is no data")
    return found
