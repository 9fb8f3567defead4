"""
The simulated Bybit v5: its routes and its limits.

Read the Bybit v5 manual, "Rate limit rules". What the public routes answer is in `bybit_market.py` and
`bybit_perpetual.py`; signed requests are judged in `bybit_private.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from crypto_pipeline.sandbox import bybit_market, bybit_perpetual
from crypto_pipeline.sandbox.bybit_private import authenticate, coin_information, envelope, key_information, refused
from crypto_pipeline.sandbox.interface import Answer, Request
from crypto_pipeline.sandbox.keys import KeyRing, SimulatedKey
from crypto_pipeline.sandbox.rates import RollingWindow
from crypto_pipeline.sandbox.refusal import RefusalError, parse_parameters

BAN_MS = 10 * 60 * 1000
"""How long an address is shut out that asked more than 600 times in 5 seconds."""

TOO_FREQUENT = Answer(403, b"403, access too frequent", {"content-type": "text/plain"})
REGION_BLOCKED = Answer(
    403,
    b"<HTML><HEAD><TITLE>ERROR: The request could not be satisfied</TITLE></HEAD><BODY><H1>403 ERROR</H1>"
    b"The distribution is configured to block access from your country.</BODY></HTML>",
    {"content-type": "text/html"},
)
TOO_MANY = "Too many visits. Exceeded the API Rate Limit."
EMPTY_BODY = Answer(403, b"403 Forbidden", {"content-type": "text/plain"})


ROUTES: Mapping[str, Callable[[Request, Mapping[str, str]], Answer]] = MappingProxyType(
    {
        "/v5/market/time": bybit_market.server_time,
        "/v5/market/kline": bybit_market.kline,
        "/v5/market/instruments-info": bybit_market.instruments_info,
        "/v5/market/tickers": bybit_market.tickers,
        "/v5/market/orderbook": bybit_market.orderbook,
        "/v5/market/recent-trade": bybit_market.recent_trade,
        "/v5/market/funding/history": bybit_perpetual.funding_history,
        "/v5/market/open-interest": bybit_perpetual.open_interest,
        "/v5/system/status": bybit_market.system_status,
    }
)


@dataclass(frozen=True, slots=True)
class SignedRoute:
    """A route that asks for a key: how often each key may ask, and the result."""

    window: RollingWindow
    result: Callable[[Request, SimulatedKey], object]


class BybitExchange:
    """The simulated Bybit; `limits=False` switches its rate limits off."""

    name = "bybit"

    def __init__(self, keys: KeyRing, *, limits: bool = True) -> None:
        self._keys = keys
        self._limits = limits
        self._address_window = RollingWindow(600, 5000)
        self._banned_until_ms: dict[str, int] = {}
        self._signed = {
            "/v5/user/query-api": SignedRoute(RollingWindow(10, 1000), key_information),
            "/v5/asset/coin/query-info": SignedRoute(RollingWindow(5, 1000), coin_information),
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
            "rate_limited": (10006, TOO_MANY, 200),
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
        if request.path in self._signed:
            return self._signed_answer(request, self._signed[request.path])
        route = ROUTES.get(request.path)
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

    def _signed_answer(self, request: Request, route: SignedRoute) -> Answer:
        key = authenticate(request, self._keys)
        window, now_ms = route.window, request.now_ms
        within = not self._limits or window.take(key.api_key, now_ms)
        headers = _limit_headers(
            window.allowed, window.remaining(key.api_key, now_ms), window.free_again_ms(key.api_key, now_ms)
        )
        if not within:
            return envelope(request, 10006, TOO_MANY, {}, headers=headers)
        return envelope(request, 0, "", route.result(request, key), headers=headers)


def _limit_headers(limit: int, remaining: int, reset_ms: int) -> dict[str, str]:
    return {
        "X-Bapi-Limit": str(limit),
        "X-Bapi-Limit-Status": str(remaining),
        "X-Bapi-Limit-Reset-Timestamp": str(reset_ms),
    }
