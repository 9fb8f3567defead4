"""OKX v5 spot (v5 manual "REST Authentication", "Get candlesticks history", "Get account configuration", "Error Code")."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from crypto_pipeline.credentials import Credentials, KeyReport
from crypto_pipeline.errors import CryptoPipelineError, MalformedAnswerError
from crypto_pipeline.exchanges import rows, symbols
from crypto_pipeline.exchanges.base import BaseClient, Endpoint, Signed, decode
from crypto_pipeline.exchanges.interface import Candle, Instrument
from crypto_pipeline.exchanges.permissions import judge_okx
from crypto_pipeline.exchanges.signing import okx_signature, okx_timestamp
from crypto_pipeline.transport import Answer, Budget, SlidingWindow

TITLE = "OKX"
TIME = Endpoint("/api/v5/public/time", counted_as="time")
INSTRUMENTS = Endpoint("/api/v5/public/instruments", counted_as="instruments")
RECENT = Endpoint("/api/v5/market/candles", counted_as="candles")
HISTORY = Endpoint("/api/v5/market/history-candles", counted_as="history-candles")
PERMISSIONS = Endpoint("/api/v5/account/config", 1, counted_as="config")
RECENT_MS = 1_400 * 60_000
"""The newest 1,440 bars are answered at once by `candles`; a little less, because minutes pass."""

REJECTED = {
    "50105": "its passphrase is wrong", "50101": "it belongs to the other environment (demo or live)",
    "50110": "this address is not on its list", "50111": "unknown key", "50119": "unknown key",
    "50113": "its signature does not match", "50114": "not authorised", "50120": "it may not ask this",
    "50030": "it may not ask this", "50035": "it must be bound to addresses first", "50100": "it is frozen",
    "50103": "its name is missing", "50104": "its passphrase is missing", "50106": "its signature is missing",
}  # fmt: skip
UNAVAILABLE = frozenset({"50001", "50004", "50026", "50046", "50013"})
STATUS = {"live": "trading", "preopen": "announced"}


class OkxClient(BaseClient):
    """OKX v5, spot."""

    name = "okx"
    title = TITLE
    host = "www.okx.com"
    paths = (TIME.path, INSTRUMENTS.path, RECENT.path, HISTORY.path, PERMISSIONS.path)
    page_minutes: ClassVar[int] = 300
    time_endpoint = TIME
    permission_endpoint = PERMISSIONS

    def build_budget(self) -> Budget:
        """20 requests in 2 s per endpoint and address; `candles` would allow 40, `config` and `time` fewer."""
        return SlidingWindow(20, 2, sleep=self._sleep)

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

    def refusal(self, answer: Answer, endpoint: Endpoint) -> CryptoPipelineError | None:
        """Translate code and status; several refusals come with HTTP 200."""
        code = _code(answer.body)
        if code == "0" and answer.status == 200:
            return None
        if code == "50011" or answer.status == 429:
            return self.rate_limited(answer, endpoint, default_seconds=2)
        if code in {"50051", "50121"}:
            return self.region_blocked(endpoint, answer.status)
        if code in UNAVAILABLE or answer.status >= 500:
            return self.unavailable(answer, endpoint, "an error on its side or maintenance", code)
        if code in {"50102", "50112"}:
            return self.clock_refused(endpoint, code)
        if code in REJECTED or answer.status == 401:
            return self.rejected(REJECTED.get(code, "not accepted"), code)
        if answer.status == 403:
            return self.banned(answer, endpoint, seconds=None)
        if code == "none":
            return MalformedAnswerError(
                f"{TITLE} answered {endpoint.path} in a shape that its documents do not give. Nothing was stored.",
                exchange=self.name, endpoint=endpoint.path, status=answer.status,
            )  # fmt: skip
        return self.refused(answer, endpoint, code)

    def judge(self, body: Any) -> KeyReport:
        """See `permissions.judge_okx`."""
        return judge_okx(body)

    def parse_time(self, body: bytes) -> float:
        """Return the time in seconds."""
        return parse_server_time(body)

    async def read_instruments(self) -> list[Instrument]:
        """Return every spot instrument."""
        answer = await self._get(INSTRUMENTS, {"instType": "SPOT"})
        return parse_instruments(answer.body)

    async def read_candles(self, symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
        """Return one page; both cursors are exclusive, `after` is the later end."""
        symbols.split(symbol, self.name)
        parameters: dict[str, str | int] = {
            "instId": symbol,
            "bar": "1m",
            "after": end_ms,
            "before": start_ms - 1,
            "limit": self.page_minutes,
        }
        recent = start_ms >= self._now() * 1000 - RECENT_MS
        with self.symbol_known(symbol, "51001"):
            answer = await self._get(RECENT if recent else HISTORY, parameters)
        return rows.within(parse_candles(answer.body), start_ms, end_ms)


def parse_server_time(body: bytes) -> float:
    """Return the server's time in seconds."""
    found = _data(body, TIME.path)
    if len(found) != 1 or not isinstance(found[0], dict):
        rows.malformed(TITLE, "its time is not one object")
    return rows.whole(found[0].get("ts"), TITLE, "ts") / 1000


def parse_candles(body: bytes) -> list[Candle]:
    """
    Return the candles of a candles or history-candles answer, oldest first.

    Nine texts: time, open, high, low, close, vol, volCcy, volCcyQuote, confirm. For spot, `vol` is
    in base currency and `volCcyQuote` in quote currency; `confirm` is 1 when the bar is over.
    """
    return rows.parsed(rows.rows_of(_data(body, HISTORY.path), TITLE, 9), _candle, TITLE)


def _candle(row: Any) -> Candle:
    if str(row[8]) not in {"0", "1"}:
        rows.malformed(TITLE, "a candle says neither that it is over nor that it is not")
    return Candle(
        open_time_ms=rows.time_ms(row[0], TITLE),
        open=rows.number(row[1], TITLE, "open"),
        high=rows.number(row[2], TITLE, "high"),
        low=rows.number(row[3], TITLE, "low"),
        close=rows.number(row[4], TITLE, "close"),
        volume=rows.number(row[5], TITLE, "vol"),
        quote_volume=rows.number(row[7], TITLE, "volCcyQuote"),
        finished=str(row[8]) == "1",
    )


def parse_instruments(body: bytes) -> list[Instrument]:
    """Return the spot instruments of an instruments answer, sorted by canonical symbol."""
    return sorted(_instrument(entry) for entry in _data(body, INSTRUMENTS.path) if isinstance(entry, dict))


def _instrument(entry: dict[str, Any]) -> Instrument:
    names = [entry.get(name) for name in ("instId", "baseCcy", "quoteCcy")]
    if not all(isinstance(name, str) and name for name in names):
        rows.malformed(TITLE, "an instrument has no name")
    native, base, quote = map(str, names)
    status = str(entry.get("state", ""))

    def of(name: str) -> Any:
        value = entry.get(name)
        return None if value in {None, ""} else rows.number(value, TITLE, name)

    listed = str(entry.get("listTime") or "0")
    return Instrument(
        symbol=f"{base}-{quote}",
        native=native,
        base=base,
        quote=quote,
        status=STATUS.get(status, "halted"),
        native_status=status,
        price_increment=of("tickSz"),
        quantity_increment=of("lotSz"),
        minimum_quantity=of("minSz"),
        listed_at=datetime.fromtimestamp(int(listed) / 1000, UTC) if listed.isdigit() and int(listed) else None,
    )


def _data(body: bytes, endpoint: str) -> list[Any]:
    value = decode(body, TITLE, endpoint)
    found = value.get("data") if isinstance(value, dict) else None
    if not isinstance(found, list):
        rows.malformed(TITLE, "there is no data")
    return found


def _code(body: bytes) -> str:
    try:
        value = decode(body, TITLE, "")
    except CryptoPipelineError:
        return "none"
    return str(value.get("code", "none")) if isinstance(value, dict) else "none"
