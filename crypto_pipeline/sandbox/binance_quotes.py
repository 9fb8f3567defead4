"""
The simulated Binance's tickers, trades and books.

Read the spot document rest-api.md, "Market Data endpoints". Candles and listings are in `binance_market.py`.
"""

from __future__ import annotations

from itertools import islice

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.bars import MINUTE_MS
from crypto_pipeline.sandbox.binance_input import (
    Parameters,
    illegal,
    name_of,
    read_limit,
    read_listing,
    read_listings,
    read_time,
    read_whole,
    text,
    units_per_ms,
)
from crypto_pipeline.sandbox.interface import Answer, Request, json_answer
from crypto_pipeline.sandbox.quotes import (
    DAY_MINUTES,
    TRADES_PER_MINUTE,
    Level,
    Trade,
    book,
    last_day,
    last_price,
    newest_trades,
    trades_before,
    trades_from,
)

MOST_TRADES = 1000
MOST_LEVELS = 5000


def price_ticker(request: Request, parameters: Parameters) -> Answer:
    """Answer with the last price of one symbol, or of several."""
    rows = [
        {"symbol": name_of(one), "price": text(last_price("binance", one.symbol, request.now_ms))}
        for one in read_listings(parameters)
    ]
    return json_answer(200, rows[0] if "symbol" in parameters else rows)


def book_ticker(request: Request, parameters: Parameters) -> Answer:
    """Answer with the best bid and ask of one symbol, or of several; it has no time."""
    rows = [{"symbol": name_of(one), **_best(request, one)} for one in read_listings(parameters)]
    return json_answer(200, rows[0] if "symbol" in parameters else rows)


def _best(request: Request, listing: market.Listing) -> dict[str, str]:
    (bid, *_), (ask, *_) = book("binance", listing.symbol, request.now_ms, 1)
    return {
        "bidPrice": text(bid.price),
        "bidQty": text(bid.size),
        "askPrice": text(ask.price),
        "askQty": text(ask.size),
    }


def average_price(request: Request, parameters: Parameters) -> Answer:
    """Answer with the mean price of the last five minutes, weighted by volume."""
    listing = read_listing(parameters)
    end_ms = request.now_ms - request.now_ms % MINUTE_MS
    five = market.aggregate("binance", listing.symbol, end_ms - 5 * MINUTE_MS, 5)
    price = five.quote_volume / five.volume
    return json_answer(200, {"mins": 5, "price": text(price), "closeTime": end_ms - 1})


def day_ticker(request: Request, parameters: Parameters) -> Answer:
    """Answer with the last 24 hours of one symbol, or of several."""
    shown = parameters.get("type", "FULL")
    if shown not in {"FULL", "MINI"}:
        raise illegal("type", "FULL, MINI")
    rows = [_day(request, one, in_full=shown == "FULL") for one in read_listings(parameters)]
    return json_answer(200, rows[0] if "symbol" in parameters else rows)


def _day(request: Request, listing: market.Listing, *, in_full: bool) -> dict[str, object]:
    day = last_day("binance", listing.symbol, request.now_ms)
    newest = newest_trades("binance", listing.symbol, request.now_ms, 1)[0]
    end_minute = request.now_ms // MINUTE_MS
    per_ms = units_per_ms(request)
    figures: dict[str, object] = {
        "symbol": name_of(listing),
        "openPrice": text(day.open),
        "highPrice": text(day.high),
        "lowPrice": text(day.low),
        "lastPrice": text(day.last),
        "volume": text(day.volume),
        "quoteVolume": text(day.quote_volume),
        "openTime": (end_minute - DAY_MINUTES) * MINUTE_MS * per_ms,
        "closeTime": request.now_ms * per_ms,
        "firstId": (end_minute - DAY_MINUTES) * TRADES_PER_MINUTE,
        "lastId": newest.trade_id,
        "count": day.trades,
    }
    if not in_full:
        return figures
    change = day.last - day.open
    return figures | {
        "priceChange": text(change),
        "priceChangePercent": f"{change * 100 / day.open:.3f}",
        "weightedAvgPrice": text(day.quote_volume / day.volume),
        "prevClosePrice": text(day.open),
        "lastQty": text(newest.size),
        **_best(request, listing),
    }


def depth(request: Request, parameters: Parameters) -> Answer:
    """Answer with the order book; it has no time."""
    listing = read_listing(parameters)
    bids, asks = book("binance", listing.symbol, request.now_ms, read_limit(parameters, 100, MOST_LEVELS))
    levels = {"bids": [_level(level) for level in bids], "asks": [_level(level) for level in asks]}
    return json_answer(200, {"lastUpdateId": request.now_ms, **levels})


def trades(request: Request, parameters: Parameters) -> Answer:
    """Answer with the newest trades, oldest first."""
    listing = read_listing(parameters)
    found = newest_trades("binance", listing.symbol, request.now_ms, read_limit(parameters, 500, MOST_TRADES))
    return json_answer(200, [_trade(trade, units_per_ms(request)) for trade in reversed(found)])


def historical_trades(request: Request, parameters: Parameters) -> Answer:
    """Answer with trades from `fromId` on, or the newest; needs no key any more."""
    if "fromId" not in parameters:
        return trades(request, parameters)
    listing = read_listing(parameters)
    first, limit = read_whole(parameters, "fromId", 0), read_limit(parameters, 500, MOST_TRADES)
    found = _from_id(request, listing.symbol, first, limit)
    return json_answer(200, [_trade(trade, units_per_ms(request)) for trade in found])


def aggregate_trades(request: Request, parameters: Parameters) -> Answer:
    """Answer with trades, oldest first: from an id or a time on, or the newest; each stands for itself here."""
    listing = read_listing(parameters)
    limit = read_limit(parameters, 500, MOST_TRADES)
    end = min(read_time(parameters, "endTime", request.now_ms), request.now_ms)
    if "fromId" in parameters:
        found = _from_id(request, listing.symbol, read_whole(parameters, "fromId", 0), limit)
    elif "startTime" in parameters:
        going_on = trades_from("binance", listing.symbol, read_time(parameters, "startTime", 0), end)
        found = list(islice(going_on, limit))
    else:
        found = list(islice(trades_before("binance", listing.symbol, end + 1), limit))[::-1]
    return json_answer(200, [_aggregate(trade, units_per_ms(request)) for trade in found])


def _from_id(request: Request, symbol: str, first: int, limit: int) -> list[Trade]:
    going_on = trades_from("binance", symbol, first // TRADES_PER_MINUTE * MINUTE_MS, request.now_ms)
    return list(islice((trade for trade in going_on if trade.trade_id >= first), limit))


def _trade(trade: Trade, per_ms: int) -> dict[str, object]:
    return {
        "id": trade.trade_id,
        "price": text(trade.price),
        "qty": text(trade.size),
        "quoteQty": text(trade.price * trade.size),
        "time": trade.time_ms * per_ms,
        "isBuyerMaker": trade.taker_side == "sell",
        "isBestMatch": True,
    }


def _aggregate(trade: Trade, per_ms: int) -> dict[str, object]:
    return {
        "a": trade.trade_id,
        "p": text(trade.price),
        "q": text(trade.size),
        "f": trade.trade_id,
        "l": trade.trade_id,
        "T": trade.time_ms * per_ms,
        "m": trade.taker_side == "sell",
        "M": True,
    }


def _level(level: Level) -> list[str]:
    return [text(level.price), text(level.size)]
