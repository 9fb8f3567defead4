"""
The simulated Binance spot: its routes, and what each weighs.

Read the spot document rest-api.md ("Data Sources") and errors.md. What the public routes answer is in
`binance_market.py` and `binance_quotes.py`; signed requests are judged in `binance_private.py`, limits kept in
`binance_host.py`. The futures hosts' listings share this address too, but are empty: general clients ask for them
before they ask for anything on the spot market. USD-M futures have an address of their own, `binance_perpetual.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from crypto_pipeline.sandbox import binance_market, binance_quotes
from crypto_pipeline.sandbox.binance_host import BinanceHost, Route, always, single_or_all
from crypto_pipeline.sandbox.binance_input import Parameters
from crypto_pipeline.sandbox.binance_market import WEIGHT_PER_MINUTE
from crypto_pipeline.sandbox.binance_private import api_restrictions, authenticate, coins
from crypto_pipeline.sandbox.interface import Answer, Request, json_answer
from crypto_pipeline.sandbox.keys import KeyRing
from crypto_pipeline.sandbox.refusal import parse_whole


class BinanceExchange(BinanceHost):
    """Binance as seen from outside; `limits=False` switches its rate limits off."""

    name = "binance"

    def __init__(self, keys: KeyRing, *, limits: bool = True) -> None:
        self._keys = keys
        signed = {
            "/sapi/v1/account/apiRestrictions": Route(self._restrictions, always(1), None),
            "/sapi/v1/capital/config/getall": Route(self._coins, always(10), None),
            "/sapi/v1/margin/allPairs": Route(self._no_pairs, always(1), None),
            "/sapi/v1/margin/isolated/allPairs": Route(self._no_pairs, always(1), None),
        }
        super().__init__({**_ROUTES, **signed}, WEIGHT_PER_MINUTE, limits=limits)

    def _restrictions(self, request: Request, _: Parameters) -> Answer:
        return json_answer(200, api_restrictions(authenticate(request, self._keys)))

    def _coins(self, request: Request, _: Parameters) -> Answer:
        authenticate(request, self._keys)
        return json_answer(200, coins())

    def _no_pairs(self, request: Request, _: Parameters) -> Answer:
        authenticate(request, self._keys)
        return json_answer(200, [])


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
_FUTURES = Route(_no_futures, always(1))
_ROUTES: Mapping[str, Route] = MappingProxyType(
    {
        "/api/v3/ping": Route(binance_market.ping, always(1)),
        "/api/v3/time": Route(binance_market.server_time, always(1)),
        "/api/v3/exchangeInfo": Route(
            binance_market.exchange_info, always(20), _CHOICE | {"permissions", "showPermissionSets"}
        ),
        "/api/v3/klines": Route(binance_market.klines, always(2), _CANDLES),
        "/api/v3/uiKlines": Route(binance_market.klines, always(2), _CANDLES),
        "/api/v3/avgPrice": Route(binance_quotes.average_price, always(2), frozenset({"symbol"})),
        "/api/v3/depth": Route(binance_quotes.depth, _depth_weight, frozenset({"symbol", "limit", "symbolStatus"})),
        "/api/v3/trades": Route(binance_quotes.trades, always(25), frozenset({"symbol", "limit"})),
        "/api/v3/historicalTrades": Route(
            binance_quotes.historical_trades, always(25), frozenset({"symbol", "limit", "fromId"})
        ),
        "/api/v3/aggTrades": Route(
            binance_quotes.aggregate_trades,
            always(4),
            frozenset({"symbol", "limit", "fromId", "startTime", "endTime"}),
        ),
        "/api/v3/ticker/24hr": Route(binance_quotes.day_ticker, _day_weight, _CHOICE | {"type"}),
        "/api/v3/ticker/price": Route(binance_quotes.price_ticker, single_or_all(2, 4), _CHOICE),
        "/api/v3/ticker/bookTicker": Route(binance_quotes.book_ticker, single_or_all(2, 4), _CHOICE),
        "/sapi/v1/system/status": Route(_status, always(1)),
        "/fapi/v1/exchangeInfo": _FUTURES,
        "/dapi/v1/exchangeInfo": _FUTURES,
        "/eapi/v1/exchangeInfo": _FUTURES,
    }
)
