"""
The simulated Binance USD-M futures: public data of perpetual contracts, at an address of its own.

Read the USD-M documents "General Info", "Exchange Information", "Mark Price", "Get Funding Rate History", "Get Funding
Rate Info" and "Open Interest". What is paid and open is made up in `perpetuals.py`.

Two things are not in the documents, but have been seen in real answers: `fundingTime` lies up to some milliseconds
after the hour, and `markPrice` is an empty text in rates from before it was kept. What the host says to an unknown
symbol where funding is asked for is not documented; here it is what it says elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice

from crypto_pipeline.sandbox import binance_market, market, perpetuals
from crypto_pipeline.sandbox.bars import listed_ms
from crypto_pipeline.sandbox.binance_host import BinanceHost, Route, always, single_or_all, too_many
from crypto_pipeline.sandbox.binance_input import (
    Parameters,
    name_of,
    read_limit,
    read_listing,
    read_time,
    text,
)
from crypto_pipeline.sandbox.interface import Answer, Request, json_answer
from crypto_pipeline.sandbox.noise import mixed, seed
from crypto_pipeline.sandbox.rates import RollingWindow
from crypto_pipeline.sandbox.refusal import RefusalError

WEIGHT_PER_MINUTE = 2400
FUNDING_REQUESTS, FUNDING_WINDOW_MS = 500, 300_000
MOST_RATES, USUAL_RATES, NEWEST_RATES = 1000, 100, 200
MARKS_KEPT_FROM_MS = int(datetime(2023, 11, 1, tzinfo=UTC).timestamp()) * 1000
LATEST_MS = 12
"""How much later than the hour a rate may be dated."""
NEVER_DELIVERED_MS = 4_133_404_800_000
EXCHANGE = "binance"


class BinancePerpetualExchange(BinanceHost):
    """USD-M futures as seen from outside; `limits=False` switches the rate limits off."""

    name = "binance_perpetual"

    def __init__(self, *, limits: bool = True) -> None:
        self._funding_window = RollingWindow(FUNDING_REQUESTS, FUNDING_WINDOW_MS)
        routes = {
            "/fapi/v1/ping": Route(binance_market.ping, always(1)),
            "/fapi/v1/time": Route(binance_market.server_time, always(1)),
            "/fapi/v1/exchangeInfo": Route(exchange_info, always(1)),
            "/fapi/v1/premiumIndex": Route(premium_index, single_or_all(1, 10), frozenset({"symbol"})),
            "/fapi/v1/openInterest": Route(open_interest, always(1), frozenset({"symbol"})),
            "/fapi/v1/fundingRate": Route(
                self._funding_rate, always(0), frozenset({"symbol", "startTime", "endTime", "limit"})
            ),
            "/fapi/v1/fundingInfo": Route(self._funding_info, always(0)),
        }
        super().__init__(routes, WEIGHT_PER_MINUTE, limits=limits)

    def _funding_rate(self, request: Request, parameters: Parameters) -> Answer:
        self._count_funding(request)
        return funding_rate(request, parameters)

    def _funding_info(self, request: Request, parameters: Parameters) -> Answer:
        self._count_funding(request)
        return funding_info(request, parameters)

    def _count_funding(self, request: Request) -> None:
        """Count what asks for funding, which has no weight."""
        address, now_ms, window = request.client_address, request.now_ms, self._funding_window
        if self._limits and not window.take(address, now_ms):
            said = (
                f"Too many requests; current limit of IP({address}) is {FUNDING_REQUESTS} requests per 5 MINUTE. "
                "Please use the websocket for live updates to avoid polling the API."
            )
            raise RefusalError(too_many(said, (window.free_again_ms(address, now_ms) - now_ms) // 1000 + 1))


def told_ms(symbol: str, payment_ms: int) -> int:
    """Return how a payment is dated: on the hour, or a little after it."""
    chance = mixed(seed(EXCHANGE, symbol, "late"), payment_ms // perpetuals.HOUR_MS)
    return payment_ms + (chance >> 2) % LATEST_MS * (chance % 3 > 0)


def mark_at(symbol: str, payment_ms: int) -> Decimal | None:
    """Return the mark price that a rate is told with; None where it was not kept."""
    if payment_ms < MARKS_KEPT_FROM_MS:
        return None
    return perpetuals.mark_price_of_payment(EXCHANGE, symbol, payment_ms)


def funding_rate(request: Request, parameters: Parameters) -> Answer:
    """
    Answer with rates that were paid, always oldest first; both ends are inclusive.

    With a start, the oldest `limit` from there; without, the newest up to the end. Without a symbol, of all.
    """
    listings = [read_listing(parameters)] if "symbol" in parameters else market.instruments(EXCHANGE)
    is_plain = not parameters.keys() & {"startTime", "endTime", "limit"}
    limit = read_limit(parameters, NEWEST_RATES if is_plain else USUAL_RATES, MOST_RATES)
    start = read_time(parameters, "startTime", 0)
    end = min(read_time(parameters, "endTime", request.now_ms), request.now_ms)
    paid = _oldest if "startTime" in parameters else _newest
    found = sorted((moment, name_of(one), one) for one in listings for moment in islice(paid(one, start, end), limit))
    chosen = found[:limit] if "startTime" in parameters else found[-limit:]
    return json_answer(200, [_rate(listing, payment_ms) for payment_ms, _, listing in chosen])


def _oldest(listing: market.Listing, start: int, end: int) -> Iterator[int]:
    """Go forward through the payments that are dated from one moment to another."""
    moments = perpetuals.payments(EXCHANGE, listing.symbol, max(0, start - LATEST_MS), end)
    return (moment for moment in moments if start <= told_ms(listing.symbol, moment) <= end)


def _newest(listing: market.Listing, start: int, end: int) -> Iterator[int]:
    """Go back through them."""
    moments = perpetuals.payments(EXCHANGE, listing.symbol, max(0, start - LATEST_MS), end)
    return (moment for moment in reversed(moments) if start <= told_ms(listing.symbol, moment) <= end)


def _rate(listing: market.Listing, payment_ms: int) -> dict[str, object]:
    mark = mark_at(listing.symbol, payment_ms)
    return {
        "symbol": name_of(listing),
        "fundingTime": told_ms(listing.symbol, payment_ms),
        "fundingRate": text(perpetuals.paid_rate(EXCHANGE, listing.symbol, payment_ms)),
        "markPrice": "" if mark is None else text(mark),
        "rateType": "Regular",
    }


def funding_info(_: Request, __: Parameters) -> Answer:
    """Answer with the bounds of the rates, and how often is paid."""
    rows = [
        {
            "symbol": name_of(one),
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": perpetuals.interval_ms(EXCHANGE, one.symbol) // perpetuals.HOUR_MS,
            "disclaimer": False,
        }
        for one in market.instruments(EXCHANGE)
    ]
    return json_answer(200, rows)


def premium_index(request: Request, parameters: Parameters) -> Answer:
    """Answer with what one contract is reckoned with, or all."""
    if "symbol" in parameters:
        return json_answer(200, _premium(request, read_listing(parameters)))
    return json_answer(200, [_premium(request, one) for one in market.instruments(EXCHANGE)])


def _premium(request: Request, listing: market.Listing) -> dict[str, object]:
    symbol, now_ms = listing.symbol, request.now_ms
    index = text(perpetuals.index_price(EXCHANGE, symbol, now_ms))
    return {
        "symbol": name_of(listing),
        "markPrice": text(perpetuals.mark_price(EXCHANGE, symbol, now_ms)),
        "indexPrice": index,
        "estimatedSettlePrice": index,
        "lastFundingRate": text(perpetuals.expected_rate(EXCHANGE, symbol, now_ms)),
        "interestRate": "0.00010000",
        "nextFundingTime": perpetuals.next_payment_ms(EXCHANGE, symbol, now_ms),
        "time": now_ms,
    }


def open_interest(request: Request, parameters: Parameters) -> Answer:
    """Answer with how much of one contract is open, in base currency."""
    listing = read_listing(parameters)
    places = market.decimals(EXCHANGE, listing.symbol).volume
    found = perpetuals.open_interest(EXCHANGE, listing.symbol, request.now_ms)
    return json_answer(200, {"symbol": name_of(listing), "openInterest": f"{found:.{places}f}", "time": request.now_ms})


def exchange_info(request: Request, _: Parameters) -> Answer:
    """Answer with what is listed."""
    symbols = [_described(listing) for listing in market.instruments(EXCHANGE)]
    assets = [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}]
    rules = binance_market.rules(request, WEIGHT_PER_MINUTE)
    return json_answer(200, {**rules, "futuresType": "U_MARGINED", "assets": assets, "symbols": symbols})


def _described(listing: market.Listing) -> dict[str, object]:
    tick, lot, name = format(listing.tick, "f"), format(listing.lot, "f"), name_of(listing)
    places = market.decimals(EXCHANGE, listing.symbol)
    return {
        "symbol": name,
        "pair": name,
        "contractType": "PERPETUAL",
        "deliveryDate": NEVER_DELIVERED_MS,
        "onboardDate": listed_ms(EXCHANGE, listing.symbol),
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        "marginAsset": listing.quote,
        "pricePrecision": places.price,
        "quantityPrecision": places.volume,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000000000", "stepSize": lot},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }
