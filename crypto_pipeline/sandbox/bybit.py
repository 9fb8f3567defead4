"""
The simulated Bybit v5: its routes, its limits and its public market data.

Read the Bybit v5 manual, "Market" and "Rate limit rules". Spot and linear perpetuals are listed, both on the same
made-up market. Signed requests are judged in `bybit_private.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.bars import MONDAY_MINUTES, WEEK_MINUTES, Bar, Chart
from crypto_pipeline.sandbox.bybit_private import authenticate, envelope, key_information, refused
from crypto_pipeline.sandbox.interface import Answer, Request
from crypto_pipeline.sandbox.keys import KeyRing
from crypto_pipeline.sandbox.quotes import Level, book, last_day, newest_trades
from crypto_pipeline.sandbox.rates import RollingWindow
from crypto_pipeline.sandbox.refusal import RefusalError, parse_parameters, parse_whole

BAN_MS = 10 * 60 * 1000
"""How long an address is shut out that asked more than 600 times in 5 seconds."""
CATEGORIES = frozenset({"spot", "linear", "inverse", "option"})
LISTED_CATEGORIES = frozenset({"spot", "linear"})
FUNDING_INTERVAL_MINUTES = 480

BARS: Mapping[str, Bar] = MappingProxyType(
    {str(minutes): Bar(minutes) for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)}
    | {"D": Bar(24 * 60), "W": Bar(WEEK_MINUTES, offset_minutes=MONDAY_MINUTES), "M": Bar(months=1)}
)

TOO_FREQUENT = Answer(403, b"403, access too frequent", {"content-type": "text/plain"})
REGION_BLOCKED = Answer(
    403,
    b"<HTML><HEAD><TITLE>ERROR: The request could not be satisfied</TITLE></HEAD><BODY><H1>403 ERROR</H1>"
    b"The distribution is configured to block access from your country.</BODY></HTML>",
    {"content-type": "text/html"},
)
EMPTY_BODY = Answer(403, b"403 Forbidden", {"content-type": "text/plain"})


class BybitExchange:
    """The simulated Bybit; `limits=False` switches its rate limits off."""

    name = "bybit"

    def __init__(self, keys: KeyRing, *, limits: bool = True) -> None:
        self._keys = keys
        self._limits = limits
        self._address_window = RollingWindow(600, 5000)
        self._user_window = RollingWindow(10, 1000)
        self._banned_until_ms: dict[str, int] = {}
        self._routes: Mapping[str, Callable[[Request, Mapping[str, str]], Answer]] = {
            "/v5/market/time": _time,
            "/v5/market/kline": _kline,
            "/v5/market/instruments-info": _instruments_info,
            "/v5/market/tickers": _tickers,
            "/v5/market/orderbook": _orderbook,
            "/v5/market/recent-trade": _recent_trade,
        }

    def handle(self, request: Request) -> Answer:
        """Answer one request."""
        try:
            return self._answer(request)
        except RefusalError as refusal:
            return refusal.answer

    def rate_answer(self, request: Request, fault: str) -> Answer:
        """Answer with Bybit's form of a fault."""
        if fault == "banned":
            return TOO_FREQUENT
        if fault == "region_blocked":
            return REGION_BLOCKED
        code, message, status = {
            "rate_limited": (10006, "Too many visits. Exceeded the API Rate Limit.", 200),
            "maintenance": (10016, "System maintenance. Please try again later.", 503),
            "unavailable": (10016, "Internal server error.", 503),
        }[fault]
        headers = _limit_headers(10, 0, request.now_ms + 1000) if fault == "rate_limited" else {}
        return envelope(request, code, message, {}, status=status, headers=headers)

    def _answer(self, request: Request) -> Answer:
        if not self._may_ask(request):
            return TOO_FREQUENT
        if request.method != "GET":
            raise refused(request, 10017, "Route not found.", status=404)
        if request.body:
            return EMPTY_BODY
        if request.path == "/v5/user/query-api":
            return self._query_api(request)
        route = self._routes.get(request.path)
        if route is None:
            raise refused(request, 10017, "Route not found.", status=404)
        return route(request, parse_parameters(request.query))

    def _may_ask(self, request: Request) -> bool:
        address, now_ms = request.client_address, request.now_ms
        if not self._limits:
            return True
        if now_ms < self._banned_until_ms.get(address, 0):
            return False
        if self._address_window.take(address, now_ms):
            return True
        self._banned_until_ms[address] = now_ms + BAN_MS
        return False

    def _query_api(self, request: Request) -> Answer:
        key = authenticate(request, self._keys)
        window, now_ms = self._user_window, request.now_ms
        within = not self._limits or window.take(key.api_key, now_ms)
        headers = _limit_headers(
            window.allowed, window.remaining(key.api_key, now_ms), window.free_again_ms(key.api_key, now_ms)
        )
        if not within:
            return envelope(request, 10006, "Too many visits. Exceeded the API Rate Limit.", {}, headers=headers)
        return envelope(request, 0, "", key_information(request, key), headers=headers)


def _limit_headers(limit: int, remaining: int, reset_ms: int) -> dict[str, str]:
    return {
        "X-Bapi-Limit": str(limit),
        "X-Bapi-Limit-Status": str(remaining),
        "X-Bapi-Limit-Reset-Timestamp": str(reset_ms),
    }


def _text(number: Decimal) -> str:
    return format(number.normalize(), "f")


def _time(request: Request, _: Mapping[str, str]) -> Answer:
    nanoseconds = request.now_ms * 1_000_000
    return envelope(request, 0, "OK", {"timeSecond": str(request.now_ms // 1000), "timeNano": str(nanoseconds)})


def _category(request: Request, parameters: Mapping[str, str]) -> str:
    category = parameters.get("category") or "linear"
    if category not in CATEGORIES:
        raise refused(request, 10001, "params error: Category is invalid")
    return category


def _listings(category: str) -> dict[str, market.Listing]:
    if category not in LISTED_CATEGORIES:
        return {}
    return {listing.base + listing.quote: listing for listing in market.instruments("bybit")}


def _listing(request: Request, parameters: Mapping[str, str]) -> market.Listing:
    """Return the listing that is asked for; Bybit's symbols are upper case and nothing else."""
    listing = _listings(_category(request, parameters)).get(parameters.get("symbol", ""))
    if listing is None:
        raise refused(request, 10001, "params error: Symbol Is Invalid")
    return listing


def _whole(request: Request, parameters: Mapping[str, str], name: str, default: int) -> int:
    value = parameters.get(name, "")
    number = parse_whole(value) if value else default
    if number is None:
        raise refused(request, 10001, f"params error: {name} is invalid")
    return number


def _limit(request: Request, parameters: Mapping[str, str], default: int, most: int) -> int:
    limit = _whole(request, parameters, "limit", default)
    if limit < 1:
        raise refused(request, 10001, "params error: limit is invalid")
    return min(limit, most)


def _kline(request: Request, parameters: Mapping[str, str]) -> Answer:
    """
    Answer with candles, newest first; both ends are inclusive.

    `start` also brings the candle it falls in. With an `end`, or with neither, the newest `limit` candles are
    given; with `start` alone the ones from there on.
    """
    listing = _listing(request, parameters)
    bar = BARS.get(parameters.get("interval", ""))
    if bar is None:
        raise refused(request, 10001, "Invalid period!")
    found = _wanted(request, parameters, listing.symbol, bar)
    rows = [_row(minute) for minute in found]
    result = {"category": _category(request, parameters), "symbol": parameters["symbol"], "list": rows}
    return envelope(request, 0, "OK", result)


def _wanted(request: Request, parameters: Mapping[str, str], symbol: str, bar: Bar) -> list[market.Minute]:
    limit = _limit(request, parameters, 200, 1000)
    start = _whole(request, parameters, "start", 0)
    end = _whole(request, parameters, "end", request.now_ms)
    if parameters.get("end") and end < start:
        raise refused(request, 10001, "params error: start must not be after end")
    if start > request.now_ms:
        return []
    first = bar.opening(start)
    if start and not parameters.get("end"):
        end = bar.shift(first, limit - 1)
    return Chart("bybit", symbol, bar, request.now_ms).newest(limit, first, end)


def _row(minute: market.Minute) -> list[str]:
    numbers = (minute.open, minute.high, minute.low, minute.close, minute.volume, minute.quote_volume)
    return [str(minute.open_time_ms), *(_text(number) for number in numbers)]


def _instruments_info(request: Request, parameters: Mapping[str, str]) -> Answer:
    """Answer with what is listed; linear pages by cursor, spot never does."""
    category = _category(request, parameters)
    listings = _listings(category) if parameters.get("status") in {None, "", "Trading"} else {}
    chosen = {parameters["symbol"]: _listing(request, parameters)} if parameters.get("symbol") else listings
    begin = _whole(request, parameters, "cursor", 0)
    end = begin + _limit(request, parameters, 500, 1000)
    entries = list(chosen.items())
    cursor = ""
    if category != "spot":
        cursor = str(end) if end < len(entries) else ""
        entries = entries[begin:end]
    described = [_described(category, name, listing) for name, listing in entries]
    return envelope(request, 0, "OK", {"category": category, "list": described, "nextPageCursor": cursor})


def _described(category: str, name: str, listing: market.Listing) -> dict[str, object]:
    common: dict[str, object] = {
        "symbol": name,
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "status": "Trading",
    }
    tick, lot, least = _text(listing.tick), _text(listing.lot), _text(listing.minimum)
    if category == "spot":
        return common | {
            "innovation": "0",
            "marginTrading": "none",
            "stTag": "0",
            "lotSizeFilter": {
                "basePrecision": lot,
                "quotePrecision": "0.00000001",
                "minOrderQty": least,
                "maxOrderQty": "9999999999",
                "minOrderAmt": "5",
                "maxOrderAmt": "8000000",
            },
            "priceFilter": {"tickSize": tick},
            "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        }
    return common | {
        "contractType": "LinearPerpetual",
        "launchTime": str(listing.listed_ms),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(-int(listing.tick.normalize().as_tuple().exponent)),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "25.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": "9999999", "tickSize": tick},
        "lotSizeFilter": {"maxOrderQty": "9999999999", "minOrderQty": least, "qtyStep": lot},
        "unifiedMarginTrade": True,
        "fundingInterval": FUNDING_INTERVAL_MINUTES,
        "settleCoin": listing.quote,
        "isPreListing": False,
    }


def _tickers(request: Request, parameters: Mapping[str, str]) -> Answer:
    category = _category(request, parameters)
    chosen = _listings(category)
    if parameters.get("symbol"):
        chosen = {parameters["symbol"]: _listing(request, parameters)}
    rows = [_ticker(request, name, listing.symbol) for name, listing in chosen.items()]
    return envelope(request, 0, "OK", {"category": category, "list": rows})


def _ticker(request: Request, name: str, symbol: str) -> dict[str, str]:
    """Return one ticker; it has no time of its own, the envelope's counts."""
    day = last_day("bybit", symbol, request.now_ms)
    bids, asks = book("bybit", symbol, request.now_ms, 1)
    change = ((day.last - day.open) / day.open).quantize(Decimal("0.0001"))
    return {
        "symbol": name,
        "bid1Price": _text(bids[0].price),
        "bid1Size": _text(bids[0].size),
        "ask1Price": _text(asks[0].price),
        "ask1Size": _text(asks[0].size),
        "lastPrice": _text(day.last),
        "prevPrice24h": _text(day.open),
        "price24hPcnt": _text(change),
        "highPrice24h": _text(day.high),
        "lowPrice24h": _text(day.low),
        "turnover24h": _text(day.quote_volume),
        "volume24h": _text(day.volume),
    }


def _orderbook(request: Request, parameters: Mapping[str, str]) -> Answer:
    listing = _listing(request, parameters)
    usual = 1 if parameters.get("category") == "spot" else 25
    bids, asks = book("bybit", listing.symbol, request.now_ms, _limit(request, parameters, usual, 1000))
    now_ms = request.now_ms
    levels = {"s": parameters["symbol"], "b": _levels(bids), "a": _levels(asks)}
    return envelope(request, 0, "OK", levels | {"ts": now_ms, "u": now_ms // 1000, "seq": now_ms // 100, "cts": now_ms})


def _levels(levels: list[Level]) -> list[list[str]]:
    return [[_text(level.price), _text(level.size)] for level in levels]


def _recent_trade(request: Request, parameters: Mapping[str, str]) -> Answer:
    listing = _listing(request, parameters)
    usual, most = (60, 60) if parameters.get("category") == "spot" else (500, 1000)
    trades = newest_trades("bybit", listing.symbol, request.now_ms, _limit(request, parameters, usual, most))
    rows = [
        {
            "execId": str(trade.trade_id),
            "symbol": parameters["symbol"],
            "price": _text(trade.price),
            "size": _text(trade.size),
            "side": trade.taker_side.capitalize(),
            "time": str(trade.time_ms),
            "isBlockTrade": False,
            "isRPITrade": False,
            "seq": str(trade.trade_id),
        }
        for trade in trades
    ]
    return envelope(request, 0, "OK", {"category": _category(request, parameters), "list": rows})
