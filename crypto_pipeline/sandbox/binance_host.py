"""
What every simulated host of Binance does with a request: its route, its weight, and what happens to who asks too much.

Read the spot document rest-api.md ("LIMITS") and "General Info" of USD-M futures. Which routes there are belongs to
the file of each host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from crypto_pipeline.sandbox.binance_input import Parameters, refused
from crypto_pipeline.sandbox.interface import Answer, Request, json_answer
from crypto_pipeline.sandbox.refusal import RefusalError, parse_parameters

MINUTE_MS = 60_000
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


class BinanceHost:
    """
    One host as seen from outside.

    Args:
        routes: by path.
        weight_per_minute: what an address may use of it.
        limits: whether that is enforced.
    """

    def __init__(self, routes: Mapping[str, Route], weight_per_minute: int, *, limits: bool = True) -> None:
        self._routes = routes
        self._weight_per_minute = weight_per_minute
        # The documents say only that going on after 429s leads to a ban; here that is a tenth of the limit.
        self._ban_from = weight_per_minute * 11 // 10
        self._limits = limits
        self._weights: dict[str, tuple[int, int]] = {}
        self._bans: dict[str, tuple[int, int]] = {}

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
            return self._too_much_weight(3)
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
        if used > self._ban_from:
            longer = min(LONGEST_BAN_MS, (length_ms * 2) or FIRST_BAN_MS)
            self._bans[address] = (now_ms + longer, longer)
            raise RefusalError(_with_usage(_banned(now_ms, longer), used))
        if used > self._weight_per_minute:
            left_ms = MINUTE_MS - now_ms % MINUTE_MS
            raise RefusalError(_with_usage(self._too_much_weight(left_ms // 1000 + 1), used))
        return used

    def _too_much_weight(self, wait_seconds: int) -> Answer:
        said = (
            f"Too much request weight used; current limit is {self._weight_per_minute} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API."
        )
        return too_many(said, wait_seconds)


def always(weight: int) -> Callable[[Parameters], int]:
    """Return what a route costs whose weight is the same for all parameters."""
    return lambda _: weight


def single_or_all(one: int, many: int) -> Callable[[Parameters], int]:
    """Return what a route costs by whether one symbol is asked for."""
    return lambda parameters: one if "symbol" in parameters else many


def too_many(said: str, wait_seconds: int) -> Answer:
    """Return the answer to who asks too often."""
    return json_answer(429, {"code": -1003, "msg": said}, {"retry-after": str(wait_seconds)})


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


def _banned(now_ms: int, length_ms: int) -> Answer:
    said = (
        f"Way too much request weight used; IP banned until {now_ms + length_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
    return json_answer(418, {"code": -1003, "msg": said}, {"retry-after": str(length_ms // 1000 + 1)})
