"""
What the simulated Bybit v5 tells of perpetual contracts besides candles: funding, open interest, mark and index price.

Read the Bybit v5 manual, "Get Tickers", "Get Funding Rate History" and "Get Open Interest".
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from types import MappingProxyType

from crypto_pipeline.sandbox import market, perpetuals
from crypto_pipeline.sandbox.bars import listed_ms
from crypto_pipeline.sandbox.bybit_input import read_category, read_limit, read_listing, read_whole, text
from crypto_pipeline.sandbox.bybit_private import envelope, refused
from crypto_pipeline.sandbox.interface import Answer, Request

EXCHANGE = "bybit"
MINUTE_MS = 60_000
CONTRACTS = frozenset({"linear", "inverse"})
MOST_ROWS = 200
INTERVALS_MINUTES: Mapping[str, int] = MappingProxyType(
    {"5min": 5, "15min": 15, "30min": 30, "1h": 60, "4h": 240, "1d": 1440}
)


def ticker_of_perpetual(symbol: str, now_ms: int) -> dict[str, str]:
    """Return what the ticker of a perpetual has that a spot ticker has not; open interest is told twice."""
    mark = perpetuals.mark_price(EXCHANGE, symbol, now_ms)
    single = perpetuals.open_interest(EXCHANGE, symbol, now_ms)
    interval_ms = perpetuals.interval_ms(EXCHANGE, symbol)
    hour_ago_ms = (now_ms // MINUTE_MS - 60) * MINUTE_MS
    return {
        "indexPrice": text(perpetuals.index_price(EXCHANGE, symbol, now_ms)),
        "markPrice": text(mark),
        "prevPrice1h": text(market.minute(EXCHANGE, symbol, hour_ago_ms).open),
        "openInterest": text(single * 2),
        "openInterestValue": text(single * 2 * mark),
        "singleOpenInterest": text(single),
        "singleOpenInterestValue": text(single * mark),
        "fundingRate": text(perpetuals.expected_rate(EXCHANGE, symbol, now_ms)),
        "nextFundingTime": str(perpetuals.next_payment_ms(EXCHANGE, symbol, now_ms)),
        "fundingIntervalHour": str(interval_ms // perpetuals.HOUR_MS),
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "basisRate": "",
        "basis": "",
        "predictedDeliveryPrice": "",
    }


def funding_history(request: Request, parameters: Mapping[str, str]) -> Answer:
    """
    Answer with rates that were paid, newest first; both ends are inclusive.

    Of too long a range the newest are given; a start without an end is refused.
    """
    listing = _contract(request, parameters)
    if parameters.get("startTime") and not parameters.get("endTime"):
        raise refused(request, 10001, "params error: startTime must come with endTime")
    first, last = _range(request, parameters)
    moments = perpetuals.payments(EXCHANGE, listing.symbol, first, last)
    rows = [
        {
            "symbol": parameters["symbol"],
            "fundingRate": text(perpetuals.paid_rate(EXCHANGE, listing.symbol, moment)),
            "fundingRateTimestamp": str(moment),
        }
        for moment in islice(reversed(moments), read_limit(request, parameters, MOST_ROWS, MOST_ROWS))
    ]
    return envelope(request, 0, "OK", {"category": read_category(request, parameters), "list": rows})


def open_interest(request: Request, parameters: Mapping[str, str]) -> Answer:
    """Answer with how much was open at the ends of intervals, newest first and page after page; no value is told."""
    listing = _contract(request, parameters)
    minutes = INTERVALS_MINUTES.get(parameters.get("intervalTime", ""))
    if minutes is None:
        raise refused(request, 10001, "params error: intervalTime is invalid")
    first, last = _range(request, parameters)
    limit = read_limit(request, parameters, 50, MOST_ROWS)
    # A day must have passed, for what is open is made up from what was traded.
    begin = max(first, listed_ms(EXCHANGE, listing.symbol) + 1440 * MINUTE_MS)
    every = minutes * MINUTE_MS
    moments = range(-(-begin // every) * every, last + 1, every)[::-1]
    skipped = read_whole(request, parameters, "cursor", 0)
    rows = [_open_at(listing, moment) for moment in moments[skipped : skipped + limit]]
    cursor = str(skipped + limit) if skipped + limit < len(moments) else ""
    found = {"symbol": parameters["symbol"], "category": read_category(request, parameters), "list": rows}
    return envelope(request, 0, "OK", {**found, "nextPageCursor": cursor})


def _open_at(listing: market.Listing, moment: int) -> dict[str, str]:
    single = perpetuals.open_interest(EXCHANGE, listing.symbol, moment)
    return {
        "openInterest": f"{single * 2:.8f}",
        "singleOpenInterest": text(single),
        "timestamp": str(moment),
    }


def _contract(request: Request, parameters: Mapping[str, str]) -> market.Listing:
    if parameters.get("category") not in CONTRACTS:
        raise refused(request, 10001, "params error: Category is invalid")
    return read_listing(request, parameters)


def _range(request: Request, parameters: Mapping[str, str]) -> tuple[int, int]:
    first = read_whole(request, parameters, "startTime", 0)
    last = read_whole(request, parameters, "endTime", request.now_ms)
    if last < first:
        raise refused(request, 10001, "params error: startTime must not be after endTime")
    return first, min(last, request.now_ms)
