"""Bybit v5 spot (v5 documents "Integration Guidance", "Get Kline", "Get API Key Information", "Error Codes")."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from crypto_pipeline.credentials import Credentials, KeyReport
from crypto_pipeline.errors import CryptoPipelineError, MalformedAnswerError
from crypto_pipeline.exchanges import rows, symbols
from crypto_pipeline.exchanges.base import BaseClient, Endpoint, Signed, decode
from crypto_pipeline.exchanges.interface import Candle, Instrument
from crypto_pipeline.exchanges.permissions import judge_bybit
from crypto_pipeline.exchanges.signing import bybit_signature
from crypto_pipeline.transport import Answer, Budget, SlidingWindow

TITLE = "Bybit"
TIME = Endpoint("/v5/market/time")
INSTRUMENTS = Endpoint("/v5/market/instruments-info")
CANDLES = Endpoint("/v5/market/kline")
PERMISSIONS = Endpoint("/v5/user/query-api")
RECV_WINDOW_MS = 5000
BAN_SECONDS = 600
REJECTED = {
    "10003": "unknown key", "10004": "its signature does not match", "10005": "it may not ask this",
    "10007": "authentication failed", "10008": "its account is banned", "10010": "this address is not on its list",
    "33004": "it has expired", "-2015": "it has expired", "10027": "its account is banned",
}  # fmt: skip
UNKNOWN_SYMBOL = "10001, symbol"
STATUS = {"Trading": "trading", "PreLaunch": "announced"}


class BybitClient(BaseClient):
    """Bybit v5, spot."""

    name = "bybit"
    title = TITLE
    host = "api.bybit.com"
    paths = (TIME.path, INSTRUMENTS.path, CANDLES.path, PERMISSIONS.path)
    page_minutes: ClassVar[int] = 1000
    time_endpoint = TIME
    permission_endpoint = PERMISSIONS

    def build_budget(self) -> Budget:
        """600 requests in 5 s per address; a tenth is left to others, because a breach costs ten minutes."""
        return SlidingWindow(540, 5, sleep=self._sleep)

    def sign(self, endpoint: Endpoint, query: str, credentials: Credentials, *, now: float) -> Signed:
        """Sign time, key, window and query."""
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

    def refusal(self, answer: Answer, endpoint: Endpoint) -> CryptoPipelineError | None:
        """Translate status and retCode; most failures come with HTTP 200, and message texts may quote the key."""
        if answer.status == 403:
            too_often = b"access too frequent" in answer.body.lower()
            seconds = float(BAN_SECONDS)
            return (
                self.banned(answer, endpoint, seconds=seconds)
                if too_often
                else self.region_blocked(endpoint, answer.status)
            )
        code = _code(answer.body)
        if code == "0" and answer.status == 200:
            return None
        if code == "10006" or answer.status == 429:
            return self.rate_limited(answer, endpoint, default_seconds=2)
        if code in {"10000", "10016", "10019"} or answer.status >= 500:
            return self.unavailable(answer, endpoint, "an error on its side or maintenance", code)
        if code in {"10009", "10024"}:
            return self.region_blocked(endpoint, answer.status)
        if code == "10002":
            return self.clock_refused(endpoint, code)
        if code in REJECTED or answer.status == 401:
            return self.rejected(REJECTED.get(code, "not accepted"), code)
        if code == "none":
            return MalformedAnswerError(
                f"{TITLE} answered {endpoint.path} in a shape that its documents do not give. Nothing was stored.",
                exchange=self.name, endpoint=endpoint.path, status=answer.status,
            )  # fmt: skip
        # 10001 means any wrong parameter; only its text tells which.
        is_symbol = code == "10001" and b"symbol" in answer.body.lower()
        return self.refused(answer, endpoint, UNKNOWN_SYMBOL if is_symbol else code)

    def judge(self, body: Any) -> KeyReport:
        """See `permissions.judge_bybit`."""
        return judge_bybit(body)

    def parse_time(self, body: bytes) -> float:
        """Return the time in seconds."""
        return parse_server_time(body)

    async def read_instruments(self) -> list[Instrument]:
        """Return every spot market; spot does not page."""
        answer = await self._get(INSTRUMENTS, {"category": "spot"})
        return parse_instruments(answer.body)

    async def read_candles(self, symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
        """Return one page; both ends are inclusive, and the newest rows win if there are too many."""
        base, quote = symbols.split(symbol, self.name)
        parameters: dict[str, str | int] = {
            "category": "spot",
            "symbol": base + quote,
            "interval": "1",
            "start": start_ms,
            "end": end_ms - 1,
            "limit": self.page_minutes,
        }
        with self.symbol_known(symbol, UNKNOWN_SYMBOL):
            answer = await self._get(CANDLES, parameters)
        return rows.within(parse_candles(answer.body), start_ms, end_ms)


def parse_server_time(body: bytes) -> float:
    """Return the server's time in seconds."""
    return rows.whole(_result(body, TIME.path).get("timeNano"), TITLE, "timeNano") / 1e9


def parse_candles(body: bytes) -> list[Candle]:
    """
    Return the candles of a kline answer, oldest first.

    Seven columns: start, open, high, low, close, volume (base), turnover (quote). Inverse contracts
    have them the other way round and are refused.
    """
    result = _result(body, CANDLES.path)
    if result.get("category") == "inverse":
        rows.malformed(TITLE, "its volumes are those of an inverse contract")
    return rows.parsed(rows.rows_of(result.get("list"), TITLE, 7), _candle, TITLE)


def _candle(row: Any) -> Candle:
    return Candle(
        open_time_ms=rows.time_ms(row[0], TITLE),
        open=rows.number(row[1], TITLE, "open"),
        high=rows.number(row[2], TITLE, "high"),
        low=rows.number(row[3], TITLE, "low"),
        close=rows.number(row[4], TITLE, "close"),
        volume=rows.number(row[5], TITLE, "volume"),
        quote_volume=rows.number(row[6], TITLE, "turnover"),
    )


def parse_instruments(body: bytes) -> list[Instrument]:
    """Return the spot markets of an instruments-info answer, sorted by canonical symbol."""
    found = _result(body, INSTRUMENTS.path).get("list")
    if not isinstance(found, list):
        rows.malformed(TITLE, "there is no list of instruments")
    return sorted(_instrument(entry) for entry in found if isinstance(entry, dict))


def _instrument(entry: dict[str, Any]) -> Instrument:
    names = [entry.get(name) for name in ("symbol", "baseCoin", "quoteCoin")]
    if not all(isinstance(name, str) and name for name in names):
        rows.malformed(TITLE, "an instrument has no name")
    native, base, quote = map(str, names)
    status = str(entry.get("status", ""))

    def of(group: str, name: str) -> Any:
        fields = entry.get(group)
        value = fields.get(name) if isinstance(fields, dict) else None
        return None if value in {None, ""} else rows.number(value, TITLE, name)

    launched = str(entry.get("launchTime") or "0")
    return Instrument(
        symbol=f"{base}-{quote}",
        native=native,
        base=base,
        quote=quote,
        status=STATUS.get(status, "halted"),
        native_status=status,
        price_increment=of("priceFilter", "tickSize"),
        quantity_increment=of("lotSizeFilter", "basePrecision"),
        minimum_quantity=of("lotSizeFilter", "minOrderQty"),
        minimum_notional=of("lotSizeFilter", "minOrderAmt"),
        listed_at=datetime.fromtimestamp(int(launched) / 1000, UTC) if launched.isdigit() and int(launched) else None,
    )


def _result(body: bytes, endpoint: str) -> dict[str, Any]:
    value = decode(body, TITLE, endpoint)
    result = value.get("result") if isinstance(value, dict) else None
    if not isinstance(result, dict):
        rows.malformed(TITLE, "there is no result")
    return result


def _code(body: bytes) -> str:
    try:
        value = decode(body, TITLE, "")
    except CryptoPipelineError:
        return "none"
    return str(value.get("retCode", "none")) if isinstance(value, dict) else "none"
