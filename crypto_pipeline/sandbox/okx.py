"""
The simulated OKX v5: its routes, its limits and its public market data.

Read the OKX v5 manual, "Order book trading - Market data" and "Public data". Signed requests are judged in
`okx_private.py`; perpetual contracts are in `okx_perpetuals.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from crypto_pipeline.sandbox import market, okx_perpetuals
from crypto_pipeline.sandbox.bars import MONDAY_MINUTES, WEEK_MINUTES, Bar, Chart
from crypto_pipeline.sandbox.interface import Answer, Request
from crypto_pipeline.sandbox.keys import KeyRing
from crypto_pipeline.sandbox.okx_input import (
    data,
    read_kind,
    read_limit,
    read_symbol,
    read_whole,
    text,
    unknown_instrument,
    wrong,
)
from crypto_pipeline.sandbox.okx_private import account_config, authenticate, currencies, refused
from crypto_pipeline.sandbox.quotes import Level, book, last_day, newest_trades
from crypto_pipeline.sandbox.rates import RollingWindow
from crypto_pipeline.sandbox.refusal import RefusalError, parse_parameters
from crypto_pipeline.sandbox.text import trimmed

NEWEST_BARS = 1440
"""`market/candles` knows only so many bars; older ones are in `market/history-candles`."""
MOST_CANDLES = 300
SHANGHAI_MINUTES = -8 * 60
"""Bars of six hours and more open at UTC+8, unless their name ends in `utc`."""
JSON = {"content-type": "application/json;charset=UTF-8"}
HOUR = 60
DAY = 24 * HOUR

BARS: Mapping[str, Bar] = MappingProxyType(
    {f"{minutes}m": Bar(minutes) for minutes in (1, 3, 5, 15, 30)}
    | {f"{hours}H": Bar(hours * HOUR) for hours in (1, 2, 4)}
    | {f"{hours}H": Bar(hours * HOUR, offset_minutes=SHANGHAI_MINUTES) for hours in (6, 12)}
    | {f"{hours}Hutc": Bar(hours * HOUR) for hours in (6, 12)}
    | {f"{days}D": Bar(days * DAY, offset_minutes=SHANGHAI_MINUTES) for days in (1, 2, 3)}
    | {f"{days}Dutc": Bar(days * DAY) for days in (1, 2, 3)}
    | {"1W": Bar(WEEK_MINUTES, offset_minutes=MONDAY_MINUTES + SHANGHAI_MINUTES)}
    | {"1Wutc": Bar(WEEK_MINUTES, offset_minutes=MONDAY_MINUTES)}
    | {f"{months}M": Bar(months=months, offset_minutes=SHANGHAI_MINUTES) for months in (1, 3)}
    | {f"{months}Mutc": Bar(months=months) for months in (1, 3)}
)

FAULTS: Mapping[str, tuple[int, str, str]] = MappingProxyType(
    {
        "rate_limited": (429, "50011", "Too Many Requests"),
        "banned": (200, "50121", "You can't access our services through this IP address."),
        "maintenance": (200, "50046", "The system is under maintenance. Please try again later."),
        "region_blocked": (200, "50051", "Due to local laws and regulations, this service is not available here."),
        "unavailable": (503, "50001", "Service temporarily unavailable. Try again later"),
    }
)


@dataclass(frozen=True, slots=True)
class Route:
    """
    One path of the API.

    Fields:
        window: how often it may be asked.
        counted_by: the parameter that, beside the caller, has a window of its own; or none.
        reply: what answers it.
    """

    window: RollingWindow
    reply: Callable[[Request, Mapping[str, str]], Answer]
    counted_by: str = ""


class OkxExchange:
    """The simulated OKX; `limits=False` switches its rate limits off."""

    name = "okx"

    def __init__(self, keys: KeyRing, *, limits: bool = True) -> None:
        self._keys = keys
        self._limits = limits
        self._signed = {
            "/api/v5/account/config": (RollingWindow(5, 2000), account_config),
            "/api/v5/asset/currencies": (RollingWindow(6, 1000), currencies),
        }
        self._routes = {
            "/api/v5/public/time": Route(RollingWindow(10, 2000), _time),
            "/api/v5/public/instruments": Route(RollingWindow(20, 2000), _instruments, counted_by="instType"),
            "/api/v5/market/candles": Route(RollingWindow(40, 2000), _recent_candles),
            "/api/v5/market/history-candles": Route(RollingWindow(20, 2000), _history_candles),
            "/api/v5/market/ticker": Route(RollingWindow(20, 2000), _ticker),
            "/api/v5/market/tickers": Route(RollingWindow(20, 2000), _tickers),
            "/api/v5/market/books": Route(RollingWindow(40, 2000), _books),
            "/api/v5/market/trades": Route(RollingWindow(100, 2000), _trades),
            "/api/v5/market/index-tickers": Route(RollingWindow(20, 2000), okx_perpetuals.index_tickers),
            "/api/v5/system/status": Route(RollingWindow(1, 5000), _status),
        } | {
            f"/api/v5/public/{name}": Route(RollingWindow(allowed, 2000), reply, counted_by="instId")
            for name, allowed, reply in (
                ("funding-rate", 10, okx_perpetuals.funding_rate),
                ("funding-rate-history", 10, okx_perpetuals.funding_rate_history),
                ("open-interest", 20, okx_perpetuals.open_interest),
                ("mark-price", 10, okx_perpetuals.mark_price),
            )
        }

    def handle(self, request: Request) -> Answer:
        """Answer one request."""
        try:
            return self._answer(request)
        except RefusalError as refusal:
            return refusal.answer

    def rate_answer(self, request: Request, fault: str) -> Answer:  # noqa: ARG002 (part of the interface)
        """Answer with OKX's form of a fault; its envelope says so even where the HTTP status is 200."""
        return refused(*FAULTS[fault]).answer

    def _answer(self, request: Request) -> Answer:
        if request.method != "GET":
            raise refused(405, "50115", "Invalid request method")
        if request.path in self._signed:
            return self._signed_answer(request)
        route = self._routes.get(request.path)
        if route is None:
            raise refused(404, "404", "The requested path does not exist.")
        parameters = parse_parameters(request.query)
        caller = f"{request.client_address} {parameters.get(route.counted_by, '')}"
        if self._limits and not route.window.take(caller, request.now_ms):
            raise refused(*FAULTS["rate_limited"])
        return route.reply(request, parameters)

    def _signed_answer(self, request: Request) -> Answer:
        window, reply = self._signed[request.path]
        key = authenticate(request, self._keys)
        # The manual lists 50011 with HTTP 429 and with HTTP 200, without saying when: here, a private route
        # answers 200 and a public one 429, so that a client must know both.
        if self._limits and not window.take(key.api_key, request.now_ms):
            raise refused(200, "50011", "Too Many Requests")
        return reply(key)


def _time(request: Request, _: Mapping[str, str]) -> Answer:
    return data([{"ts": str(request.now_ms)}])


def _status(_: Request, __: Mapping[str, str]) -> Answer:
    return data([])


def _instruments(_: Request, parameters: Mapping[str, str]) -> Answer:
    describe = {"SPOT": _described, "SWAP": okx_perpetuals.described}.get(read_kind(parameters))
    found = [describe(entry) for entry in market.instruments("okx")] if describe else []
    chosen = [entry for entry in found if parameters.get("instId") in {None, "", entry["instId"]}]
    if found and not chosen:
        raise unknown_instrument()
    return data(chosen)


def _described(listing: market.Listing) -> dict[str, object]:
    """Return one spot instrument; fields that only derivatives have are empty, as on the real host."""
    empty = ("alias", "ctMult", "ctType", "ctVal", "ctValCcy", "expTime", "instFamily", "lever", "optType")
    return dict.fromkeys((*empty, "settleCcy", "stk", "uly"), "") | {
        "instType": "SPOT",
        "instId": listing.symbol,
        "baseCcy": listing.base,
        "quoteCcy": listing.quote,
        "category": "1",
        "state": "live",
        "listTime": str(listing.listed_ms),
        "tickSz": text(listing.tick),
        "lotSz": text(listing.lot),
        "minSz": text(listing.minimum),
        "maxLmtSz": "9999999999",
        "maxMktSz": "1000000",
        "ruleType": "normal",
        "upcChg": [],
    }


def _recent_candles(request: Request, parameters: Mapping[str, str]) -> Answer:
    return _candle_rows(request, parameters, newest_bars=NEWEST_BARS)


def _history_candles(request: Request, parameters: Mapping[str, str]) -> Answer:
    return _candle_rows(request, parameters, newest_bars=None)


def _candle_rows(request: Request, parameters: Mapping[str, str], newest_bars: int | None) -> Answer:
    """Answer with candles; both cursors are exclusive, and `before` alone gives the newest rows, not the next."""
    symbol = read_symbol(parameters)
    bar = BARS.get(parameters.get("bar") or "1m")
    if bar is None:
        raise wrong("bar")
    limit = read_limit(parameters, "limit", 100, MOST_CANDLES)
    first = read_whole(parameters, "before", -1) + 1
    last = read_whole(parameters, "after", request.now_ms + 1) - 1
    if newest_bars is not None:
        oldest = bar.shift(bar.opening(request.now_ms), 1 - newest_bars)
        first = max(first, oldest)
    found = Chart("okx", symbol, bar, request.now_ms).newest(limit, first, last)
    # A bar is finished if the next one could have begun: only the first row can be unfinished.
    is_running = bool(found) and bar.shift(found[0].open_time_ms, 1) > request.now_ms
    rows = ",".join(_texts(found, market.decimals("okx", symbol), is_running=is_running))
    # Put together as text: all that the rows hold is digits.
    return Answer(200, f'{{"code":"0","msg":"","data":[{rows}]}}'.encode(), JSON)


def _texts(rows: list[market.Row], decimals: market.Decimals, *, is_running: bool) -> Iterator[str]:
    """Return the nine columns of each candle as JSON; all of them are strings, and the last says `1` if it is over."""
    price, volume, quote = trimmed(decimals.price), trimmed(decimals.volume), trimmed(decimals.quote_volume)
    confirm = "0" if is_running else "1"
    for row in rows:
        turnover = quote(row[6])
        # For spot, `vol` counts the base currency, `volCcy` and `volCcyQuote` the quote currency.
        yield (
            f'["{row[0]}","{price(row[1])}","{price(row[2])}","{price(row[3])}","{price(row[4])}",'
            f'"{volume(row[5])}","{turnover}","{turnover}","{confirm}"]'
        )
        confirm = "1"


def _ticker(request: Request, parameters: Mapping[str, str]) -> Answer:
    return data([_ticker_of(request, read_symbol(parameters))])


def _tickers(request: Request, parameters: Mapping[str, str]) -> Answer:
    if read_kind(parameters) != "SPOT":
        return data([])
    return data([_ticker_of(request, listing.symbol) for listing in market.instruments("okx")])


def _ticker_of(request: Request, symbol: str) -> dict[str, str]:
    day = last_day("okx", symbol, request.now_ms)
    bids, asks = book("okx", symbol, request.now_ms, 1)
    return {
        "instType": "SPOT",
        "instId": symbol,
        "last": text(day.last),
        "lastSz": text(newest_trades("okx", symbol, request.now_ms, 1)[0].size),
        "askPx": text(asks[0].price),
        "askSz": text(asks[0].size),
        "bidPx": text(bids[0].price),
        "bidSz": text(bids[0].size),
        "open24h": text(day.open),
        "high24h": text(day.high),
        "low24h": text(day.low),
        "volCcy24h": text(day.quote_volume),
        "vol24h": text(day.volume),
        "sodUtc0": _day_began_at(symbol, "1Dutc", request.now_ms),
        "sodUtc8": _day_began_at(symbol, "1D", request.now_ms),
        "ts": str(request.now_ms),
    }


def _day_began_at(symbol: str, bar: str, now_ms: int) -> str:
    return text(market.minute("okx", symbol, BARS[bar].opening(now_ms)).open)


def _books(request: Request, parameters: Mapping[str, str]) -> Answer:
    symbol = read_symbol(parameters)
    depth = read_limit(parameters, "sz", 1, 400)
    bids, asks = book("okx", symbol, request.now_ms, depth)
    levels = {"asks": [_level(level) for level in asks], "bids": [_level(level) for level in bids]}
    return data([levels | {"ts": str(request.now_ms), "seqId": request.now_ms // 1000}])


def _level(level: Level) -> list[str]:
    return [text(level.price), text(level.size), "0", str(level.orders)]


def _trades(request: Request, parameters: Mapping[str, str]) -> Answer:
    symbol = read_symbol(parameters)
    limit = read_limit(parameters, "limit", 100, 500)
    rows: list[object] = [
        {
            "instId": symbol,
            "side": trade.taker_side,
            "sz": text(trade.size),
            "source": "0",
            "px": text(trade.price),
            "tradeId": str(trade.trade_id),
            "ts": str(trade.time_ms),
        }
        for trade in newest_trades("okx", symbol, request.now_ms, limit)
    ]
    return data(rows)
