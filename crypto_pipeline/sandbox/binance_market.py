"""
The simulated Binance's candles, its clock and what it lists.

Read the spot document rest-api.md, "Market Data endpoints". Tickers, trades and books are in
`binance_quotes.py`, routes and weights in `binance.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.bars import MINUTE_MS, MONDAY_MINUTES, WEEK_MINUTES, Bar, Chart, listed_ms
from crypto_pipeline.sandbox.binance_input import (
    Parameters,
    missing,
    name_of,
    read_limit,
    read_listing,
    read_listings,
    read_time,
    refused,
    text,
    units_per_ms,
)
from crypto_pipeline.sandbox.interface import Answer, Request, json_answer

WEIGHT_PER_MINUTE = 6000
MOST_ROWS = 1000
BARS: Mapping[str, Bar] = MappingProxyType(
    {f"{count}m": Bar(minutes=count) for count in (1, 3, 5, 15, 30)}
    | {f"{count}h": Bar(minutes=count * 60) for count in (1, 2, 4, 6, 8, 12)}
    | {f"{count}d": Bar(minutes=count * 1440) for count in (1, 3)}
    | {"1w": Bar(WEEK_MINUTES, offset_minutes=MONDAY_MINUTES), "1M": Bar(months=1)}
)
"""Without `1s`: the made-up market has no seconds."""
ZONE_FORM = re.compile(r"([+-]?)(\d{1,2})(?::(\d{2}))?")
PLACES = 10**8
"""Every price and volume is written with eight decimals."""
ROW_FORM = '[%d,"%d.%08d","%d.%08d","%d.%08d","%d.%08d","%d.%08d",%d,"%d.%08d",%d,"%d.%08d","%d.%08d","0"]'


def ping(_: Request, __: Parameters) -> Answer:
    """Answer that somebody is there."""
    return json_answer(200, {})


def server_time(request: Request, _: Parameters) -> Answer:
    """Answer with the clock."""
    return json_answer(200, {"serverTime": request.now_ms * units_per_ms(request)})


def klines(request: Request, parameters: Parameters) -> Answer:
    """
    Answer with candles, always oldest first; both ends are inclusive.

    With a start, the oldest `limit` from there; without, the newest up to the end.
    """
    listing = read_listing(parameters)
    bar = _bar(parameters)
    limit = read_limit(parameters, 500, MOST_ROWS)
    end = min(read_time(parameters, "endTime", request.now_ms), request.now_ms)
    chart = Chart("binance", listing.symbol, bar, request.now_ms)
    if "startTime" not in parameters:
        rows = chart.newest(limit, 0, end)
    else:
        rows = _oldest(chart, limit, read_time(parameters, "startTime", 0), end)
    rows.reverse()
    page = ",".join(_texts(rows, market.decimals("binance", listing.symbol), bar, units_per_ms(request)))
    return Answer(200, f"[{page}]".encode(), {"content-type": "application/json;charset=UTF-8"})


def _oldest(chart: Chart, count: int, start_ms: int, end_ms: int) -> list[market.Row]:
    """Return the `count` oldest candles that open from `start_ms` to `end_ms`, newest first."""
    if start_ms > end_ms:
        return []
    first = chart.bar.opening(max(start_ms, listed_ms(chart.exchange, chart.symbol)))
    if first < start_ms:
        first = chart.bar.shift(first, 1)
    return chart.newest(count, first, min(end_ms, chart.bar.shift(first, count - 1)))


def _texts(rows: list[market.Row], decimals: market.Decimals, bar: Bar, per_ms: int) -> list[str]:
    """
    Return the twelve columns of each candle (rest-api.md, "Kline/Candlestick data") as JSON.

    In one step for the whole row: a page is a thousand of them.
    """
    price, volume, quote = 10 ** (8 - decimals.price), 10 ** (8 - decimals.volume), 10 ** (8 - decimals.quote_volume)
    length_ms = bar.minutes * MINUTE_MS
    return [
        ROW_FORM
        % (
            row[0] * per_ms,
            *divmod(row[1] * price, PLACES),
            *divmod(row[2] * price, PLACES),
            *divmod(row[3] * price, PLACES),
            *divmod(row[4] * price, PLACES),
            *divmod(row[5] * volume, PLACES),
            (row[0] + length_ms if length_ms else bar.shift(row[0], 1)) * per_ms - 1,
            *divmod(row[6] * quote, PLACES),
            row[7],
            *divmod(row[8] * volume, PLACES),
            *divmod(row[9] * quote, PLACES),
        )
        for row in rows
    ]


def rules(request: Request, weight_per_minute: int) -> dict[str, object]:
    """Return what every exchangeInfo begins with."""
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight_per_minute},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000},
        {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000},
    ]
    now = request.now_ms * units_per_ms(request)
    return {"timezone": "UTC", "serverTime": now, "rateLimits": limits, "exchangeFilters": []}


def exchange_info(request: Request, parameters: Parameters) -> Answer:
    """Answer with what is listed."""
    symbols = [_described(listing) for listing in read_listings(parameters)]
    return json_answer(200, {**rules(request, WEIGHT_PER_MINUTE), "symbols": symbols})


def _described(listing: market.Listing) -> dict[str, object]:
    tick, lot = text(listing.tick), text(listing.lot)
    return {
        "symbol": name_of(listing),
        "status": "TRADING" if listing.status == "trading" else "HALT",
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000000000.00000000", "stepSize": lot},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def _bar(parameters: Parameters) -> Bar:
    """Return the candle's length, with its beginning in the time zone asked for."""
    if "interval" not in parameters:
        raise missing("interval")
    bar = BARS.get(parameters["interval"])
    if bar is None:
        raise refused(400, -1120, "Invalid interval.")
    zone = ZONE_FORM.fullmatch(parameters.get("timeZone", "0"))
    east = (int(zone[2]) * 60 + int(zone[3] or 0)) * (-1 if zone[1] == "-" else 1) if zone else 10**6
    if not -12 * 60 <= east <= 14 * 60:
        raise refused(400, -1130, "Data sent for parameter 'timeZone' is not valid.")
    offset = bar.offset_minutes - east
    return replace(bar, offset_minutes=offset % bar.minutes if bar.minutes else offset)
