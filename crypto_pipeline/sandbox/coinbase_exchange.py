"""
The simulated Coinbase Exchange (api.exchange.coinbase.com): its public routes and one private one.

Read "Exchange REST API - Authentication", "Rate limits" and "Get product candles". No route tells what a key may
do: that is the real exchange's gap, not the sandbox's. The newer Advanced Trade API is in `coinbase.py`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from types import MappingProxyType
from urllib.parse import unquote

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.bars import MINUTE_MS, Bar, Chart
from crypto_pipeline.sandbox.interface import Answer, Request, json_answer
from crypto_pipeline.sandbox.keys import KeyRing, SimulatedKey
from crypto_pipeline.sandbox.quotes import TRADES_PER_MINUTE, Level, book, last_day, newest_trades, trades_before
from crypto_pipeline.sandbox.rates import TokenBucket
from crypto_pipeline.sandbox.refusal import RefusalError, is_listed, parse_parameters, parse_whole
from crypto_pipeline.sandbox.text import trimmed

GRANULARITIES = frozenset({60, 300, 900, 3600, 21600, 86400})
MOST_INTERVALS = 300
"""A range may span so many intervals; both ends count, so it may bring one row more."""
ROWS_WITHOUT_RANGE = 350
MOST_TRADES = 1000
CLOCK_WINDOW_SECONDS = Decimal(30)
PRIVATE_HEADERS = ("CB-ACCESS-SIGN", "CB-ACCESS-TIMESTAMP", "CB-ACCESS-PASSPHRASE")
SECONDS_FORM = re.compile(r"\d{1,12}(\.\d{1,9})?")


def refused(status: int, message: str) -> RefusalError:
    """Return a refusal in the form of Coinbase Exchange."""
    return RefusalError(json_answer(status, {"message": message}))


class CoinbaseExchange:
    """The simulated api.exchange.coinbase.com; `limits=False` switches its rate limits off."""

    name = "coinbase_exchange"

    def __init__(self, keys: KeyRing, *, limits: bool = True) -> None:
        self._keys = keys
        self._limits = limits
        self._address_bucket = TokenBucket(10, 15)
        self._profile_bucket = TokenBucket(15, 30)

    def handle(self, request: Request) -> Answer:
        """Answer one request."""
        try:
            return self._answer(request)
        except RefusalError as refusal:
            return refusal.answer

    def rate_answer(self, request: Request, fault: str) -> Answer:  # noqa: ARG002 (part of the interface)
        """Answer with Coinbase's form of a fault; only `rate_limited` is documented."""
        status, message = {
            "rate_limited": (429, "Public rate limit exceeded"),
            "banned": (403, "Forbidden"),
            "region_blocked": (403, "Forbidden"),
            "maintenance": (503, "Service under maintenance"),
            "unavailable": (503, "Service unavailable"),
        }[fault]
        return json_answer(status, {"message": message})

    def _answer(self, request: Request) -> Answer:
        if request.method != "GET":
            raise refused(405, "Method Not Allowed")
        route = [unquote(part) for part in request.path.strip("/").split("/")]
        if route == ["accounts"]:
            key = _authenticated(request, self._keys)
            self._take(self._profile_bucket, key.api_key, request, "Private")
            return _accounts()
        self._take(self._address_bucket, request.client_address, request, "Public")
        return _public(request, route)

    def _take(self, bucket: TokenBucket, caller: str, request: Request, kind: str) -> None:
        if self._limits and not bucket.take(caller, request.now_ms):
            raise refused(429, f"{kind} rate limit exceeded")


def _authenticated(request: Request, keys: KeyRing) -> SimulatedKey:
    """Return the key that signed a request; most faults are 400 here, only those of the key itself are 401."""
    if not request.headers.get("cb-access-key"):
        raise refused(401, "CB-ACCESS-KEY header is required")
    for header in PRIVATE_HEADERS:
        if not request.headers.get(header.lower()):
            raise refused(400, f"{header} header is required")
    key = keys.find("coinbase_exchange", request.headers["cb-access-key"])
    if key is None or key.is_over(request.now_ms) or not is_listed(request.client_address, key.addresses):
        raise refused(401, "Invalid API Key")
    _check_time(request)
    if not hmac.compare_digest(_signature(request, key), request.headers["cb-access-sign"].encode()):
        raise refused(400, "invalid signature")
    if not hmac.compare_digest((key.passphrase or "").encode(), request.headers["cb-access-passphrase"].encode()):
        raise refused(400, "Invalid Passphrase")
    return key


def _check_time(request: Request) -> None:
    sent = request.headers["cb-access-timestamp"]
    if not SECONDS_FORM.fullmatch(sent):
        raise refused(400, "invalid timestamp")
    if abs(Decimal(sent) - Decimal(request.now_ms) / 1000) > CLOCK_WINDOW_SECONDS:
        raise refused(400, "request timestamp expired")


def _signature(request: Request, key: SimulatedKey) -> bytes:
    try:
        secret = base64.b64decode(key.api_secret, validate=True)
    except binascii.Error:
        raise refused(401, "Invalid API Key") from None
    target = f"{request.path}?{request.query}" if request.query else request.path
    signed = f"{request.headers['cb-access-timestamp']}{request.method}{target}".encode() + request.body
    return base64.b64encode(hmac.digest(secret, signed, "sha256"))


def _accounts() -> Answer:
    codes = sorted({code for listing in market.instruments("coinbase") for code in (listing.base, listing.quote)})
    amounts = dict.fromkeys(("balance", "hold", "available"), "0.0000000000000000")
    return json_answer(200, [{"currency": code, **amounts, "trading_enabled": True} for code in codes])


def _public(request: Request, route: list[str]) -> Answer:
    match route:
        case ["time"]:
            return _time(request)
        case ["currencies"]:
            return _currencies()
        case ["products"]:
            return json_answer(200, [_described(listing) for listing in market.instruments("coinbase")])
        case ["products", "spark-lines"]:
            return _spark_lines(request)
        case ["products", product, *rest]:
            return _product(request, _listing(product), "/".join(rest))
    raise refused(404, "NotFound")


def _product(request: Request, listing: market.Listing, subject: str) -> Answer:
    if not subject:
        return json_answer(200, _described(listing))
    replies = {"candles": _candles, "ticker": _ticker, "trades": _trades, "book": _book, "stats": _stats}
    if subject not in replies:
        raise refused(404, "NotFound")
    return replies[subject](request, listing, parse_parameters(request.query))


def _text(number: Decimal) -> str:
    return format(number.normalize(), "f")


def _iso(time_ms: int, fraction: str = "") -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def _listing(product: str) -> market.Listing:
    for listing in market.instruments("coinbase"):
        if f"{listing.base}-{listing.quote}" == product:
            return listing
    raise refused(404, "NotFound")


def _time(request: Request) -> Answer:
    fraction = f".{request.now_ms % 1000:03d}"
    return json_answer(200, {"iso": _iso(request.now_ms, fraction), "epoch": request.now_ms / 1000})


def _currencies() -> Answer:
    codes = sorted({code for listing in market.instruments("coinbase") for code in (listing.base, listing.quote)})
    usual = {"min_size": "0.00000001", "max_precision": "0.00000001", "status": "online", "message": ""}
    return json_answer(200, [{"id": code, "name": code, **usual, "details": {"type": "crypto"}} for code in codes])


def _described(listing: market.Listing) -> dict[str, object]:
    return {
        "id": f"{listing.base}-{listing.quote}",
        "base_currency": listing.base,
        "quote_currency": listing.quote,
        "quote_increment": _text(listing.tick),
        "base_increment": _text(listing.lot),
        "display_name": f"{listing.base}/{listing.quote}",
        "min_market_funds": "1",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "status": "online",
        "status_message": "",
        "trading_disabled": False,
        "fx_stablecoin": False,
        "max_slippage_percentage": "0.02000000",
        "auction_mode": False,
        "high_bid_limit_percentage": "",
    }


def _moment(text: str) -> int | None:
    """Return milliseconds of a time given in ISO 8601 or unix seconds; `None` if it is neither."""
    if SECONDS_FORM.fullmatch(text):
        return int(Decimal(text) * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) * 1000


def _candles(request: Request, listing: market.Listing, parameters: Mapping[str, str]) -> Answer:
    """Answer with rows of JSON numbers, newest first; an interval without trades has no row."""
    seconds = parse_whole(parameters.get("granularity", "60"))
    if seconds not in GRANULARITIES:
        raise refused(400, "Unsupported granularity")
    bar = Bar(seconds // 60)
    first_ms, last_ms = _range(parameters, bar, request.now_ms)
    # The interval that holds `start` is given too, although it began earlier.
    chart = Chart("coinbase", listing.symbol, bar, request.now_ms)
    found = chart.newest(ROWS_WITHOUT_RANGE, bar.opening(first_ms), last_ms)
    rows = _texts([row for row in found if row.trades], market.decimals("coinbase", listing.symbol))
    return Answer(200, f"[{rows}]".encode(), {"content-type": "application/json; charset=utf-8"})


def _range(parameters: Mapping[str, str], bar: Bar, now_ms: int) -> tuple[int, int]:
    """Return the first and last moment asked for; one of the two alone is ignored."""
    start, end = parameters.get("start", ""), parameters.get("end", "")
    if not start or not end:
        return bar.shift(bar.opening(now_ms), 1 - ROWS_WITHOUT_RANGE), now_ms
    first_ms, last_ms = _moment(start), _moment(end)
    if first_ms is None or last_ms is None:
        raise refused(400, "invalid start or end")
    if last_ms < first_ms:
        raise refused(400, "start must be before end")
    if last_ms - first_ms > MOST_INTERVALS * bar.minutes * 60_000:
        raise refused(
            400,
            "granularity too small for the requested time range. Count of aggregations requested exceeds 300",
        )
    return first_ms, last_ms


def _texts(rows: list[market.Row], decimals: market.Decimals) -> str:
    """Return rows of JSON numbers with the very digits of the decimals: by way of a float some would be lost."""
    price, volume = trimmed(decimals.price), trimmed(decimals.volume)
    return ",".join(
        f"[{row[0] // 1000},{price(row[3])},{price(row[2])},{price(row[1])},{price(row[4])},{volume(row[5])}]"
        for row in rows
    )


def _ticker(request: Request, listing: market.Listing, _: Mapping[str, str]) -> Answer:
    trade = newest_trades("coinbase", listing.symbol, request.now_ms, 1)[0]
    bids, asks = book("coinbase", listing.symbol, request.now_ms, 1)
    ticker = {
        "ask": _text(asks[0].price),
        "bid": _text(bids[0].price),
        "volume": _text(last_day("coinbase", listing.symbol, request.now_ms).volume),
        "trade_id": trade.trade_id,
        "price": _text(trade.price),
        "size": _text(trade.size),
        "time": _iso(trade.time_ms, f".{trade.time_ms % 1000:03d}000"),
        "rfq_volume": "0",
    }
    return json_answer(200, ticker)


def _stats(request: Request, listing: market.Listing, _: Mapping[str, str]) -> Answer:
    day = last_day("coinbase", listing.symbol, request.now_ms)
    figures = {"open": day.open, "high": day.high, "low": day.low, "last": day.last, "volume": day.volume}
    return json_answer(200, {name: _text(figure) for name, figure in figures.items()})


def _spark_lines(request: Request) -> Answer:
    """Answer with the hours of the last day of every product, newest first; nothing documents it, but clients ask."""
    lines = []
    for listing in market.instruments("coinbase"):
        chart = Chart("coinbase", listing.symbol, Bar(60), request.now_ms)
        price = trimmed(market.decimals("coinbase", listing.symbol).price)
        hours = chart.newest(24, 0, request.now_ms)
        # Without the volume of a candle's row.
        points = (
            f"[{row[0] // 1000},{price(row[3])},{price(row[2])},{price(row[1])},{price(row[4])}]" for row in hours
        )
        lines.append(f'"{listing.base}-{listing.quote}":[{",".join(points)}]')
    return Answer(200, f"{{{','.join(lines)}}}".encode(), {"content-type": "application/json; charset=utf-8"})


def _trades(request: Request, listing: market.Listing, parameters: Mapping[str, str]) -> Answer:
    """
    Answer with trades, newest first; `side` is the maker's.

    `after` is the cursor to older ones; `before` leaves out what is not newer, and gives the newest page, not the
    next one.
    """
    limit = min(parse_whole(parameters.get("limit", "")) or MOST_TRADES, MOST_TRADES)
    after = parse_whole(parameters.get("after", ""))
    before_ms = request.now_ms + 1
    if after is not None:
        before_ms = min(before_ms, (after // TRADES_PER_MINUTE + 1) * MINUTE_MS)
    going_back = trades_before("coinbase", listing.symbol, before_ms)
    page = islice((trade for trade in going_back if after is None or trade.trade_id < after), limit)
    newer_than = parse_whole(parameters.get("before", "")) or 0
    found = [trade for trade in page if trade.trade_id > newer_than]
    rows = [
        {
            "trade_id": trade.trade_id,
            "side": "sell" if trade.taker_side == "buy" else "buy",
            "size": _text(trade.size),
            "price": _text(trade.price),
            "time": _iso(trade.time_ms, f".{trade.time_ms % 1000:03d}000"),
        }
        for trade in found
    ]
    cursors = {"cb-before": str(found[0].trade_id), "cb-after": str(found[-1].trade_id)} if found else {}
    return json_answer(200, rows, cursors)


def _book(request: Request, listing: market.Listing, parameters: Mapping[str, str]) -> Answer:
    depth, show = BOOKS.get(parameters.get("level", "1"), (0, _level))
    if not depth:
        raise refused(400, "Invalid level")
    bids, asks = book("coinbase", listing.symbol, request.now_ms, depth)
    sides = {"bids": [show(level) for level in bids], "asks": [show(level) for level in asks]}
    rest = {"sequence": request.now_ms // 10, "auction_mode": False, "auction": None, "time": _iso(request.now_ms)}
    return json_answer(200, sides | rest)


def _level(level: Level) -> list[object]:
    return [_text(level.price), _text(level.size), level.orders]


def _order(level: Level) -> list[object]:
    """Return a price as one order, which the full book does."""
    return [_text(level.price), _text(level.size), str(uuid.uuid5(uuid.NAMESPACE_OID, str(level.price)))]


BOOKS: Mapping[str, tuple[int, Callable[[Level], list[object]]]] = MappingProxyType(
    {"1": (1, _level), "2": (50, _level), "3": (500, _order)}
)
"""How deep the book of each level is, and what it shows of a price."""
