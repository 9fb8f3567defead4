"""
The simulated Bybit v5's public market data.

Read the Bybit v5 manual, "Market". Spot and linear perpetuals are listed, both on the same made-up market; inverse
contracts and options exist and list nothing. What only perpetuals have is in `bybit_perpetual.py`, routes and limits
are in `bybit.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from crypto_pipeline.sandbox import market, perpetuals
from crypto_pipeline.sandbox.bars import MINUTE_MS, MONDAY_MINUTES, WEEK_MINUTES, Bar, Chart
from crypto_pipeline.sandbox.bybit_input import (
    listings,
    read_category,
    read_limit,
    read_listing,
    read_whole,
    text,
)
from crypto_pipeline.sandbox.bybit_perpetual import ticker_of_perpetual
from crypto_pipeline.sandbox.bybit_private import envelope, refused
from crypto_pipeline.sandbox.interface import Answer, Request
from crypto_pipeline.sandbox.quotes import Level, book, last_day, newest_trades
from crypto_pipeline.sandbox.text import trimmed

BARS: Mapping[str, Bar] = MappingProxyType(
    {str(minutes): Bar(minutes) for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)}
    | {"D": Bar(24 * 60), "W": Bar(WEEK_MINUTES, offset_minutes=MONDAY_MINUTES), "M": Bar(months=1)}
)


def server_time(request: Request, _: Mapping[str, str]) -> Answer:
    """Answer with the clock."""
    nanoseconds = request.now_ms * 1_000_000
    return envelope(request, 0, "OK", {"timeSecond": str(request.now_ms // 1000), "timeNano": str(nanoseconds)})


def kline(request: Request, parameters: Mapping[str, str]) -> Answer:
    """
    Answer with candles, newest first; both ends are inclusive.

    `start` also brings the candle it falls in. With an `end`, or with neither, the newest `limit` candles are
    given; with `start` alone the ones from there on.
    """
    listing = read_listing(request, parameters)
    bar = BARS.get(parameters.get("interval", ""))
    if bar is None:
        raise refused(request, 10001, "Invalid period!")
    rows = _texts(_wanted(request, parameters, listing.symbol, bar), market.decimals("bybit", listing.symbol))
    # Put together as text: a page is a thousand rows, and all they hold is digits.
    result = f'{{"category":"{read_category(request, parameters)}","symbol":"{parameters["symbol"]}","list":[{rows}]}}'
    content = f'{{"retCode":0,"retMsg":"OK","result":{result},"retExtInfo":{{}},"time":{request.now_ms}}}'
    return Answer(200, content.encode(), {"content-type": "application/json;charset=UTF-8"})


def _wanted(request: Request, parameters: Mapping[str, str], symbol: str, bar: Bar) -> list[market.Row]:
    limit = read_limit(request, parameters, 200, 1000)
    start = read_whole(request, parameters, "start", 0)
    end = read_whole(request, parameters, "end", request.now_ms)
    if parameters.get("end") and end < start:
        raise refused(request, 10001, "params error: start must not be after end")
    if start > request.now_ms:
        return []
    first = bar.opening(start)
    if start and not parameters.get("end"):
        end = bar.shift(first, limit - 1)
    return Chart("bybit", symbol, bar, request.now_ms).newest(limit, first, end)


def _texts(rows: list[market.Row], decimals: market.Decimals) -> str:
    """Return the seven columns of each candle as JSON; all of them are strings."""
    price, volume, turnover = trimmed(decimals.price), trimmed(decimals.volume), trimmed(decimals.quote_volume)
    return ",".join(
        f'["{row[0]}","{price(row[1])}","{price(row[2])}","{price(row[3])}","{price(row[4])}",'
        f'"{volume(row[5])}","{turnover(row[6])}"]'
        for row in rows
    )


def instruments_info(request: Request, parameters: Mapping[str, str]) -> Answer:
    """Answer with what is listed; linear pages by cursor, spot never does."""
    category = read_category(request, parameters)
    listed = listings(category) if parameters.get("status") in {None, "", "Trading"} else {}
    chosen = {parameters["symbol"]: read_listing(request, parameters)} if parameters.get("symbol") else listed
    begin = read_whole(request, parameters, "cursor", 0)
    end = begin + read_limit(request, parameters, 500, 1000)
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
    tick, lot, least = text(listing.tick), text(listing.lot), text(listing.minimum)
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
        "fundingInterval": perpetuals.interval_ms("bybit", listing.symbol) // MINUTE_MS,
        "settleCoin": listing.quote,
        "isPreListing": False,
    }


def tickers(request: Request, parameters: Mapping[str, str]) -> Answer:
    """Answer with the last 24 hours of one symbol, or of all."""
    category = read_category(request, parameters)
    chosen = listings(category)
    if parameters.get("symbol"):
        chosen = {parameters["symbol"]: read_listing(request, parameters)}
    rows = [_ticker(request, category, name, listing.symbol) for name, listing in chosen.items()]
    return envelope(request, 0, "OK", {"category": category, "list": rows})


def _ticker(request: Request, category: str, name: str, symbol: str) -> dict[str, str]:
    """Return one ticker; it has no time of its own, the envelope's counts."""
    day = last_day("bybit", symbol, request.now_ms)
    bids, asks = book("bybit", symbol, request.now_ms, 1)
    change = ((day.last - day.open) / day.open).quantize(Decimal("0.0001"))
    ticker = {
        "symbol": name,
        "bid1Price": text(bids[0].price),
        "bid1Size": text(bids[0].size),
        "ask1Price": text(asks[0].price),
        "ask1Size": text(asks[0].size),
        "lastPrice": text(day.last),
        "prevPrice24h": text(day.open),
        "price24hPcnt": text(change),
        "highPrice24h": text(day.high),
        "lowPrice24h": text(day.low),
        "turnover24h": text(day.quote_volume),
        "volume24h": text(day.volume),
    }
    if category == "spot":
        return ticker | {"usdIndexPrice": ""}
    return ticker | ticker_of_perpetual(symbol, request.now_ms)


def orderbook(request: Request, parameters: Mapping[str, str]) -> Answer:
    """Answer with bids and asks, best first."""
    listing = read_listing(request, parameters)
    usual = 1 if parameters.get("category") == "spot" else 25
    bids, asks = book("bybit", listing.symbol, request.now_ms, read_limit(request, parameters, usual, 1000))
    now_ms = request.now_ms
    levels = {"s": parameters["symbol"], "b": _levels(bids), "a": _levels(asks)}
    return envelope(request, 0, "OK", levels | {"ts": now_ms, "u": now_ms // 1000, "seq": now_ms // 100, "cts": now_ms})


def _levels(levels: list[Level]) -> list[list[str]]:
    return [[text(level.price), text(level.size)] for level in levels]


def recent_trade(request: Request, parameters: Mapping[str, str]) -> Answer:
    """Answer with the newest trades, newest first; there is no way further back."""
    listing = read_listing(request, parameters)
    usual, most = (60, 60) if parameters.get("category") == "spot" else (500, 1000)
    trades = newest_trades("bybit", listing.symbol, request.now_ms, read_limit(request, parameters, usual, most))
    rows = [
        {
            "execId": str(trade.trade_id),
            "symbol": parameters["symbol"],
            "price": text(trade.price),
            "size": text(trade.size),
            "side": trade.taker_side.capitalize(),
            "time": str(trade.time_ms),
            "isBlockTrade": False,
            "isRPITrade": False,
            "seq": str(trade.trade_id),
        }
        for trade in trades
    ]
    return envelope(request, 0, "OK", {"category": read_category(request, parameters), "list": rows})


def system_status(request: Request, _: Mapping[str, str]) -> Answer:
    """Answer that no maintenance is planned."""
    return envelope(request, 0, "", {"list": []})
