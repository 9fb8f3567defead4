"""
The simulated Binance spot API: its routes, its weights and its public market data.

Read the spot documents rest-api.md ("Market Data endpoints", "LIMITS") and errors.md. Signed requests are judged in
`binance_private.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.bars import Bar, Chart, listed_ms
from crypto_pipeline.sandbox.binance_private import api_restrictions, authenticate
from crypto_pipeline.sandbox.interface import Answer, Request, json_answer
from crypto_pipeline.sandbox.keys import KeyRing
from crypto_pipeline.sandbox.refusal import RefusalError, parse_parameters, parse_whole

MINUTE_MS = 60_000
WEIGHT_PER_MINUTE = 6000
FIRST_BAN_MS = 2 * MINUTE_MS
LONGEST_BAN_MS = 3 * 86_400_000
WEEK_BAR = Bar(minutes=10_080, offset_minutes=5_760)
BARS: Mapping[str, Bar] = {
    **{f"{count}m": Bar(minutes=count) for count in (1, 3, 5, 15, 30)},
    **{f"{count}h": Bar(minutes=count * 60) for count in (1, 2, 4, 6, 8, 12)},
    **{f"{count}d": Bar(minutes=count * 1440) for count in (1, 3)},
    "1w": WEEK_BAR,
    "1M": Bar(months=1),
}

Reply = Callable[[Request, Mapping[str, str]], Answer]


class BinanceExchange:
    """Binance spot as seen from outside."""

    name = "binance"

    def __init__(self, keys: KeyRing, *, limits: bool = True) -> None:
        self._keys = keys
        self._limits = limits
        self._weights: dict[str, tuple[int, int]] = {}
        self._bans: dict[str, tuple[int, int]] = {}

    def handle(self, request: Request) -> Answer:
        """Answer one request."""
        try:
            return self._answer(request)
        except RefusalError as refusal:
            return refusal.answer

    def rate_answer(self, request: Request, fault: str) -> Answer:
        """Answer with Binance's form of a fault."""
        if fault == "rate_limited":
            return _too_much_weight(3)
        if fault == "banned":
            return _banned(request.now_ms, FIRST_BAN_MS)
        if fault == "region_blocked":
            said = "Service unavailable from a restricted location according to 'b. Eligibility' in our terms."
            return json_answer(451, {"code": 0, "msg": said})
        code = -1016 if fault == "maintenance" else -1000
        return json_answer(503, {"code": code, "msg": "This service is no longer available."})

    def _answer(self, request: Request) -> Answer:
        if request.path == "/sapi/v1/account/apiRestrictions":
            reply: Reply = self._restrictions
            weight = 1
        else:
            found = _ROUTES.get(request.path)
            if found is None:
                return Answer(404, b"<html><body>404 Not Found</body></html>", {"content-type": "text/html"})
            reply, weigh = found
            weight = weigh(parse_parameters(request.query))
        used = self._spend(request, weight)
        if request.method != "GET":
            raise refused(405, -1000, "Request method is not supported.")
        answer = reply(request, parse_parameters(request.query))
        headers = {"x-mbx-used-weight": str(used), "x-mbx-used-weight-1m": str(used)}
        return Answer(answer.status, answer.body, {**answer.headers, **headers})

    def _spend(self, request: Request, weight: int) -> int:
        """Count the weight in the address's clock minute; over the limit is a 429, going on is a ban."""
        if not self._limits:
            return weight
        address, now_ms = request.client_address, request.now_ms
        until_ms, length_ms = self._bans.get(address, (0, 0))
        if now_ms < until_ms:
            raise RefusalError(_banned(now_ms, until_ms - now_ms))
        minute = now_ms // MINUTE_MS
        then, used = self._weights.get(address, (minute, 0))
        used = weight if then != minute else used + weight
        self._weights[address] = (minute, used)
        if used <= WEIGHT_PER_MINUTE:
            return used
        # The documents say only that going on after 429s leads to a ban; here that is a tenth of the limit.
        if used > WEIGHT_PER_MINUTE * 11 // 10:
            longer = min(LONGEST_BAN_MS, (length_ms * 2) or FIRST_BAN_MS)
            self._bans[address] = (now_ms + longer, longer)
            raise RefusalError(_banned(now_ms, longer))
        raise RefusalError(_too_much_weight((MINUTE_MS - now_ms % MINUTE_MS) // 1000 + 1))

    def _restrictions(self, request: Request, _: Mapping[str, str]) -> Answer:
        return json_answer(200, api_restrictions(authenticate(request, self._keys)))


def refused(status: int, code: int, message: str) -> RefusalError:
    """Return the exception that answers with Binance's error body."""
    return RefusalError(json_answer(status, {"code": code, "msg": message}))


def _too_much_weight(wait_seconds: int) -> Answer:
    said = f"Too much request weight used; current limit is {WEIGHT_PER_MINUTE} request weight per 1 MINUTE."
    return json_answer(429, {"code": -1003, "msg": said}, {"retry-after": str(wait_seconds)})


def _banned(now_ms: int, length_ms: int) -> Answer:
    said = f"Way too much request weight used; IP banned until {now_ms + length_ms}."
    return json_answer(418, {"code": -1003, "msg": said}, {"retry-after": str(length_ms // 1000 + 1)})


def _text(number: Decimal) -> str:
    return f"{number:.8f}"


def _listing(parameters: Mapping[str, str]) -> market.Listing:
    symbol = parameters.get("symbol", "")
    if not symbol:
        raise refused(400, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
    if not (symbol.isascii() and symbol.replace("-", "").isalnum() and len(symbol) <= 20):
        raise refused(400, -1100, "Illegal characters found in parameter 'symbol'.")
    for listing in market.instruments("binance"):
        if listing.base + listing.quote == symbol:
            return listing
    raise refused(400, -1121, "Invalid symbol.")


def _whole(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name)
    if text is None:
        return default
    number = parse_whole(text)
    if number is None:
        raise refused(400, -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return number


def _klines(request: Request, parameters: Mapping[str, str]) -> Answer:
    listing = _listing(parameters)
    bar = BARS.get(parameters.get("interval", ""))
    if bar is None:
        raise refused(400, -1120, "Invalid interval.")
    limit = min(_whole(parameters, "limit", 500), 1000)
    start = _whole(parameters, "startTime", -1)
    end = min(_whole(parameters, "endTime", request.now_ms), request.now_ms)
    chart = Chart("binance", listing.symbol, bar, request.now_ms)
    if start < 0:
        rows = list(reversed(chart.newest(limit, 0, end)))
    else:
        first = max(bar.opening(max(start, listed_ms("binance", listing.symbol))), 0)
        first = first if first >= start else bar.shift(first, 1)
        last = min(end, bar.shift(first, limit - 1))
        rows = list(reversed(chart.newest(limit, first, last))) if first <= end else []
    return json_answer(200, [_row(row, bar) for row in rows])


def _row(row: market.Minute, bar: Bar) -> list[object]:
    """Return the twelve columns of rest-api.md, "Kline/Candlestick data"."""
    return [
        row.open_time_ms, _text(row.open), _text(row.high), _text(row.low), _text(row.close), _text(row.volume),
        bar.shift(row.open_time_ms, 1) - 1, _text(row.quote_volume), row.trades, _text(row.taker_buy_volume),
        _text(row.taker_buy_quote_volume), "0",
    ]  # fmt: skip


def _exchange_info(request: Request, parameters: Mapping[str, str]) -> Answer:
    listings = [_listing(parameters)] if "symbol" in parameters else market.instruments("binance")
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": WEIGHT_PER_MINUTE},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
        {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000},
    ]
    return json_answer(
        200,
        {
            "timezone": "UTC",
            "serverTime": request.now_ms,
            "rateLimits": limits,
            "exchangeFilters": [],
            "symbols": [_described(listing) for listing in listings],
        },
    )


def _described(listing: market.Listing) -> dict[str, object]:
    tick, lot = _text(listing.tick), _text(listing.lot)
    return {
        "symbol": listing.base + listing.quote,
        "status": "TRADING" if listing.status == "trading" else "HALT",
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000000000.00000000", "stepSize": lot},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def _time(request: Request, _: Mapping[str, str]) -> Answer:
    return json_answer(200, {"serverTime": request.now_ms})


def _ping(_: Request, __: Mapping[str, str]) -> Answer:
    return json_answer(200, {})


def _last(request: Request, listing: market.Listing) -> market.Minute:
    return Chart("binance", listing.symbol, BARS["1m"], request.now_ms).newest(1, 0, request.now_ms)[0]


def _price(request: Request, parameters: Mapping[str, str]) -> Answer:
    wanted = [_listing(parameters)] if "symbol" in parameters else market.instruments("binance")
    rows = [{"symbol": one.base + one.quote, "price": _text(_last(request, one).close)} for one in wanted]
    return json_answer(200, rows[0] if "symbol" in parameters else rows)


def _book_ticker(request: Request, parameters: Mapping[str, str]) -> Answer:
    wanted = [_listing(parameters)] if "symbol" in parameters else market.instruments("binance")
    rows = []
    for one in wanted:
        price = _last(request, one).close
        bid, ask = _text(price - one.tick), _text(price + one.tick)
        amount = _text(one.lot * 700)
        rows.append(
            {"symbol": one.base + one.quote, "bidPrice": bid, "bidQty": amount, "askPrice": ask, "askQty": amount}
        )
    return json_answer(200, rows[0] if "symbol" in parameters else rows)


def _depth(request: Request, parameters: Mapping[str, str]) -> Answer:
    listing = _listing(parameters)
    price = _last(request, listing).close
    levels = range(1, min(_whole(parameters, "limit", 100), 5000) + 1)
    amounts = {level: _text(listing.lot * (500 + 37 * level % 211)) for level in levels}
    return json_answer(
        200,
        {
            "lastUpdateId": request.now_ms,
            "bids": [[_text(price - listing.tick * level), amounts[level]] for level in levels if price > level],
            "asks": [[_text(price + listing.tick * level), amounts[level]] for level in levels],
        },
    )


def _single_or_all(one: int, many: int) -> Callable[[Mapping[str, str]], int]:
    return lambda parameters: one if "symbol" in parameters else many


def _depth_weight(parameters: Mapping[str, str]) -> int:
    limit = parse_whole(parameters.get("limit", "100")) or 100
    return next(weight for most, weight in ((100, 5), (500, 25), (1000, 50), (10**18, 250)) if limit <= most)


_ROUTES: Mapping[str, tuple[Reply, Callable[[Mapping[str, str]], int]]] = {
    "/api/v3/klines": (_klines, lambda _: 2),
    "/api/v3/uiKlines": (_klines, lambda _: 2),
    "/api/v3/exchangeInfo": (_exchange_info, lambda _: 20),
    "/api/v3/time": (_time, lambda _: 1),
    "/api/v3/ping": (_ping, lambda _: 1),
    "/api/v3/ticker/price": (_price, _single_or_all(2, 4)),
    "/api/v3/ticker/bookTicker": (_book_ticker, _single_or_all(2, 4)),
    "/api/v3/depth": (_depth, _depth_weight),
}
