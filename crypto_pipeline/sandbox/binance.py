"""
The simulated Binance: its routes, what each weighs, and what happens to who asks too much.

Read the spot documents rest-api.md ("LIMITS", "Data Sources") and errors.md. What the public routes answer is in
`binance_market.py`; signed requests are judged in `binance_private.py`. The futures hosts share this address, but
list nothing: general clients ask them before they ask for anything on the spot market.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from crypto_pipeline.sandbox import binance_market, binance_quotes
from crypto_pipeline.sandbox.binance_input import Parameters, refused
from crypto_pipeline.sandbox.binance_market import WEIGHT_PER_MINUTE
from crypto_pipeline.sandbox.binance_private import api_restrictions, authenticate, coins
from crypto_pipeline.sandbox.interface import Answer, Request, json_answer
from crypto_pipeline.sandbox.keys import KeyRing
from crypto_pipeline.sandbox.refusal import RefusalError, parse_parameters, parse_whole

MINUTE_MS = 60_000
BAN_FROM_WEIGHT = WEIGHT_PER_MINUTE * 11 // 10
"""The documents say only that going on after 429s leads to a ban; here that is a tenth of the limit."""
FIRST_BAN_MS = 2 * MINUTE_MS
LONGEST_BAN_MS = 3 * 86_400_000
NOT_FOUND = Answer(404, b"<html><body>404 Not Found</body></html>", {"content-type": "text/html"})
RESTRICTED = "Service unavailable from a restricted location according to 'b. Eligibility' in our terms."


@dataclass(frozen=True, slots=True)
class Route:
    """
    One path of the API.

    Fields:
        reply: what answers it.
        weight: what a request costs, by its parameters.
        known: the parameters it reads, any other is refused; none for a signed route, which reads all it signs.
    """

    reply: Callable[[Request, Parameters], Answer]
    weight: Callable[[Parameters], int]
    known: frozenset[str] | None = frozenset()


class BinanceExchange:
    """Binance as seen from outside; `limits=False` switches its rate limits off."""

    name = "binance"

    def __init__(self, keys: KeyRing, *, limits: bool = True) -> None:
        self._keys = keys
        self._limits = limits
        self._weights: dict[str, tuple[int, int]] = {}
        self._bans: dict[str, tuple[int, int]] = {}
        self._routes = {
            **_ROUTES,
            "/sapi/v1/account/apiRestrictions": Route(self._restrictions, _always(1), None),
            "/sapi/v1/capital/config/getall": Route(self._coins, _always(10), None),
            "/sapi/v1/margin/allPairs": Route(self._no_pairs, _always(1), None),
            "/sapi/v1/margin/isolated/allPairs": Route(self._no_pairs, _always(1), None),
        }

    def handle(self, request: Request) -> Answer:
        """Answer one request."""
        route = self._routes.get(request.path)
        parameters = parse_parameters(request.query)
        try:
            used = self._spend(request, route.weight(parameters) if route else 1)
        except RefusalError as refusal:
            return refusal.answer
        try:
            answer = _answer(request, route, parameters)
        except RefusalError as refusal:
            answer = refusal.answer
        return _with_usage(answer, used)

    def rate_answer(self, request: Request, fault: str) -> Answer:
        """Answer with Binance's form of a fault."""
        if fault == "rate_limited":
            return _too_much_weight(3)
        if fault == "banned":
            return _banned(request.now_ms, FIRST_BAN_MS)
        if fault == "region_blocked":
            return json_answer(451, {"code": 0, "msg": RESTRICTED})
        if fault == "maintenance":
            return json_answer(503, {"code": -1016, "msg": "This service is no longer available."})
        said = "Server is currently overloaded with other requests. Please try again in a few minutes."
        return json_answer(503, {"code": -1008, "msg": said})

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
        if used > BAN_FROM_WEIGHT:
            longer = min(LONGEST_BAN_MS, (length_ms * 2) or FIRST_BAN_MS)
            self._bans[address] = (now_ms + longer, longer)
            raise RefusalError(_with_usage(_banned(now_ms, longer), used))
        if used > WEIGHT_PER_MINUTE:
            left_ms = MINUTE_MS - now_ms % MINUTE_MS
            raise RefusalError(_with_usage(_too_much_weight(left_ms // 1000 + 1), used))
        return used

    def _restrictions(self, request: Request, _: Parameters) -> Answer:
        return json_answer(200, api_restrictions(authenticate(request, self._keys)))

    def _coins(self, request: Request, _: Parameters) -> Answer:
        authenticate(request, self._keys)
        return json_answer(200, coins())

    def _no_pairs(self, request: Request, _: Parameters) -> Answer:
        authenticate(request, self._keys)
        return json_answer(200, [])


def _answer(request: Request, route: Route | None, parameters: Parameters) -> Answer:
    if route is None:
        return NOT_FOUND
    if request.method != "GET":
        raise refused(405, -1000, f"Request method '{request.method}' not supported.")
    if route.known is not None:
        _check_names(parameters, route.known)
    return route.reply(request, parameters)


def _check_names(parameters: Parameters, known: frozenset[str]) -> None:
    """Refuse a parameter that the route does not read, and one without a value."""
    read = len(known & parameters.keys())
    if read < len(parameters):
        said = f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(parameters)}'."
        raise refused(400, -1104, said)
    for name, value in parameters.items():
        if not value:
            raise refused(400, -1105, f"Parameter '{name}' was empty.")


def _with_usage(answer: Answer, used: int) -> Answer:
    headers = {"x-mbx-used-weight": str(used), "x-mbx-used-weight-1m": str(used)}
    return replace(answer, headers={**answer.headers, **headers})


def _too_much_weight(wait_seconds: int) -> Answer:
    said = (
        f"Too much request weight used; current limit is {WEIGHT_PER_MINUTE} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    return json_answer(429, {"code": -1003, "msg": said}, {"retry-after": str(wait_seconds)})


def _banned(now_ms: int, length_ms: int) -> Answer:
    said = (
        f"Way too much request weight used; IP banned until {now_ms + length_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
    return json_answer(418, {"code": -1003, "msg": said}, {"retry-after": str(length_ms // 1000 + 1)})


def _always(weight: int) -> Callable[[Parameters], int]:
    return lambda _: weight


def _single_or_all(one: int, many: int) -> Callable[[Parameters], int]:
    return lambda parameters: one if "symbol" in parameters else many


def _day_weight(parameters: Parameters) -> int:
    """Return 2 for up to 20 symbols, 40 for up to 100, 80 for more or all."""
    if "symbol" in parameters:
        return 2
    named = parameters["symbols"].count(",") + 1 if "symbols" in parameters else 101
    return 2 if named <= 20 else 40 if named <= 100 else 80


def _depth_weight(parameters: Parameters) -> int:
    limit = parse_whole(parameters.get("limit", "100")) or 100
    return next(weight for most, weight in ((100, 5), (500, 25), (1000, 50), (10**18, 250)) if limit <= most)


def _status(_: Request, __: Parameters) -> Answer:
    return json_answer(200, {"status": 0, "msg": "normal"})


def _no_futures(request: Request, _: Parameters) -> Answer:
    """Answer for the futures hosts: they are there, and list nothing."""
    return json_answer(200, {**binance_market.rules(request, 2400), "assets": [], "symbols": [], "optionSymbols": []})


_CANDLES = frozenset({"symbol", "interval", "startTime", "endTime", "timeZone", "limit"})
_CHOICE = frozenset({"symbol", "symbols", "symbolStatus"})
_FUTURES = Route(_no_futures, _always(1))
_ROUTES: Mapping[str, Route] = MappingProxyType(
    {
        "/api/v3/ping": Route(binance_market.ping, _always(1)),
        "/api/v3/time": Route(binance_market.server_time, _always(1)),
        "/api/v3/exchangeInfo": Route(
            binance_market.exchange_info, _always(20), _CHOICE | {"permissions", "showPermissionSets"}
        ),
        "/api/v3/klines": Route(binance_market.klines, _always(2), _CANDLES),
        "/api/v3/uiKlines": Route(binance_market.klines, _always(2), _CANDLES),
        "/api/v3/avgPrice": Route(binance_quotes.average_price, _always(2), frozenset({"symbol"})),
        "/api/v3/depth": Route(binance_quotes.depth, _depth_weight, frozenset({"symbol", "limit", "symbolStatus"})),
        "/api/v3/trades": Route(binance_quotes.trades, _always(25), frozenset({"symbol", "limit"})),
        "/api/v3/historicalTrades": Route(
            binance_quotes.historical_trades, _always(25), frozenset({"symbol", "limit", "fromId"})
        ),
        "/api/v3/aggTrades": Route(
            binance_quotes.aggregate_trades,
            _always(4),
            frozenset({"symbol", "limit", "fromId", "startTime", "endTime"}),
        ),
        "/api/v3/ticker/24hr": Route(binance_quotes.day_ticker, _day_weight, _CHOICE | {"type"}),
        "/api/v3/ticker/price": Route(binance_quotes.price_ticker, _single_or_all(2, 4), _CHOICE),
        "/api/v3/ticker/bookTicker": Route(binance_quotes.book_ticker, _single_or_all(2, 4), _CHOICE),
        "/sapi/v1/system/status": Route(_status, _always(1)),
        "/fapi/v1/exchangeInfo": _FUTURES,
        "/dapi/v1/exchangeInfo": _FUTURES,
        "/eapi/v1/exchangeInfo": _FUTURES,
    }
)
