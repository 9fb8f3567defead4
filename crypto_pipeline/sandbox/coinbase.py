"""
The simulated Coinbase Advanced Trade: its public routes, their signed twins and the key's permissions.

Read "Advanced Trade API - Public market data", "Get API key permissions" and "Rate limiting". Tokens are judged in
`coinbase_token.py`. The older host api.exchange.coinbase.com is another API with other keys: `coinbase_exchange.py`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.bars import Bar, Chart
from crypto_pipeline.sandbox.coinbase_token import authenticate
from crypto_pipeline.sandbox.coinbase_wallet import wallet_answer
from crypto_pipeline.sandbox.interface import Answer, Request, json_answer
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing, SimulatedKey
from crypto_pipeline.sandbox.quotes import Level, Trade, book, last_day, last_price, newest_trades
from crypto_pipeline.sandbox.rates import TokenBucket
from crypto_pipeline.sandbox.refusal import RefusalError, parse_parameters, parse_whole
from crypto_pipeline.sandbox.text import trimmed

ROOT = "/api/v3/brokerage"
MOST_CANDLES = 350
MOST_TRADES = 1000
BARS: Mapping[str, Bar] = MappingProxyType(
    {
        "ONE_MINUTE": Bar(1),
        "FIVE_MINUTE": Bar(5),
        "FIFTEEN_MINUTE": Bar(15),
        "THIRTY_MINUTE": Bar(30),
        "ONE_HOUR": Bar(60),
        "TWO_HOUR": Bar(120),
        "FOUR_HOUR": Bar(240),
        "SIX_HOUR": Bar(360),
        "ONE_DAY": Bar(1440),
    }
)

PERMISSIONS: Mapping[KeyKind, Mapping[str, bool]] = MappingProxyType(
    {
        KeyKind.MAY_TRADE: {"can_trade": True},
        # Sending coins out and moving them between portfolios is one permission here.
        KeyKind.MAY_WITHDRAW: {"can_transfer": True},
        KeyKind.MAY_TRANSFER: {"can_transfer": True},
        KeyKind.UNKNOWN_FLAG: {"can_stake": True},
    }
)
"""What each kind of key may do besides viewing."""

TRANSACTIONS: Mapping[str, object] = MappingProxyType(
    {
        "total_volume": 0,
        "total_fees": 0,
        "fee_tier": {
            "pricing_tier": "Advanced 1",
            "usd_from": "0",
            "usd_to": "1000",
            "taker_fee_rate": "0.012",
            "maker_fee_rate": "0.006",
        },
        "margin_rate": None,
        "goods_and_services_tax": None,
        "advanced_trade_only_volume": 0,
        "advanced_trade_only_fees": 0,
        "coinbase_pro_volume": 0,
        "coinbase_pro_fees": 0,
    }
)
"""What a key has traded, which is nothing; general clients read its fees before anything else."""

TOO_MANY = {"errors": [{"id": "rate_limit_exceeded", "message": "Too many requests"}]}


def refused(status: int, error: str, message: str) -> RefusalError:
    """Return a refusal in the form of Coinbase Advanced."""
    return RefusalError(json_answer(status, {"error": error, "error_details": message, "message": message}))


class CoinbaseAdvanced:
    """The simulated api.coinbase.com; `limits=False` switches its rate limits off."""

    name = "coinbase"

    def __init__(self, keys: KeyRing, *, limits: bool = True) -> None:
        self._keys = keys
        self._limits = limits
        # The current pages give no figure per second; these are the ones of the older pages.
        self._address_bucket = TokenBucket(10, 15)
        self._key_bucket = TokenBucket(30, 30)

    def handle(self, request: Request) -> Answer:
        """Answer one request."""
        try:
            return self._answer(request)
        except RefusalError as refusal:
            return refusal.answer

    def rate_answer(self, request: Request, fault: str) -> Answer:  # noqa: ARG002 (part of the interface)
        """Answer with Coinbase's form of a fault; only `rate_limited` is documented."""
        if fault == "rate_limited":
            return json_answer(429, TOO_MANY)
        status = 403 if fault in {"banned", "region_blocked"} else 503
        text = b"Forbidden\n" if status == 403 else b"Service Unavailable\n"
        return Answer(status, text, {"content-type": "text/plain; charset=utf-8"})

    def _answer(self, request: Request) -> Answer:
        if request.method != "GET":
            raise refused(405, "METHOD_NOT_ALLOWED", "Method Not Allowed")
        if request.path.startswith("/v2/"):
            self._take(self._address_bucket, request.client_address, request)
            return wallet_answer(request)
        if not request.path.startswith(ROOT + "/"):
            raise refused(404, "NOT_FOUND", "Not Found")
        route = [unquote(part) for part in request.path.removeprefix(ROOT + "/").split("/")]
        if route == ["time"] or route[0] == "market":
            self._take(self._address_bucket, request.client_address, request)
            return _time(request) if route == ["time"] else _public(request, route[1:])
        key = authenticate(request, self._keys)
        self._take(self._key_bucket, key.api_key, request)
        if route == ["key_permissions"]:
            return _key_permissions(key)
        return json_answer(200, dict(TRANSACTIONS)) if route == ["transaction_summary"] else _public(request, route)

    def _take(self, bucket: TokenBucket, caller: str, request: Request) -> None:
        if self._limits and not bucket.take(caller, request.now_ms):
            raise RefusalError(json_answer(429, TOO_MANY))


def _key_permissions(key: SimulatedKey) -> Answer:
    permissions: dict[str, object] = {
        "can_view": True,
        "can_trade": False,
        "can_transfer": False,
        **PERMISSIONS.get(key.kind, {}),
        "portfolio_uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, key.api_key)),
        "portfolio_type": "DEFAULT",
    }
    if key.kind is KeyKind.FLAG_MISSING:
        del permissions["can_view"]
    return json_answer(200, permissions)


def _public(request: Request, route: list[str]) -> Answer:
    """Answer what is the same with and without a key."""
    parameters = parse_parameters(request.query)
    match route:
        case ["products"]:
            return _products(request, parameters)
        case ["products", product]:
            return json_answer(200, _described(request, _listing(product)))
        case ["products", product, "candles"]:
            return _candles(request, _listing(product), parameters)
        case ["products", product, "ticker"]:
            return _ticker(request, _listing(product), parameters)
        case ["product_book"]:
            return _product_book(request, _listing(parameters.get("product_id", "")), parameters)
    raise refused(404, "NOT_FOUND", "Not Found")


def _text(number: Decimal) -> str:
    return format(number.normalize(), "f")


def _iso(time_ms: int, microseconds: str = "") -> str:
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}{microseconds}Z"


def _time(request: Request) -> Answer:
    now_ms = request.now_ms
    moments = {"iso": _iso(now_ms), "epochSeconds": str(now_ms // 1000), "epochMillis": str(now_ms)}
    return json_answer(200, moments)


def _name(listing: market.Listing) -> str:
    return f"{listing.base}-{listing.quote}"


def _listing(product: str) -> market.Listing:
    for listing in market.instruments("coinbase"):
        if _name(listing) == product:
            return listing
    raise refused(404, "NOT_FOUND", f"Product {product} not supported")


def _whole(parameters: Mapping[str, str], name: str, default: int | None = None) -> int:
    """Return a parameter that is a whole number; without `default` it must be there."""
    value = parameters.get(name, "")
    number = parse_whole(value) if value else default
    if number is None:
        raise refused(400, "INVALID_ARGUMENT", f"{name} is invalid")
    return number


def _products(request: Request, parameters: Mapping[str, str]) -> Answer:
    kinds = {"SPOT", ""}
    listings = market.instruments("coinbase") if parameters.get("product_type", "") in kinds else []
    # The one parameter that is sent several times.
    named = {value for name, value in parse_qsl(request.query) if name == "product_ids"}
    listings = [listing for listing in listings if not named or _name(listing) in named]
    begin = _whole(parameters, "offset", 0)
    limit = _whole(parameters, "limit", 0) or len(listings)
    products = [_described(request, listing) for listing in listings[begin : begin + limit]]
    return json_answer(200, {"products": products, "num_products": len(products)})


def _described(request: Request, listing: market.Listing) -> dict[str, object]:
    day = last_day("coinbase", listing.symbol, request.now_ms)
    change = ((day.last - day.open) * 100 / day.open).quantize(Decimal("0.00000001"))
    return {
        "product_id": _name(listing),
        "price": _text(day.last),
        "price_percentage_change_24h": _text(change),
        "volume_24h": _text(day.volume),
        "volume_percentage_change_24h": "0",
        "base_increment": _text(listing.lot),
        "quote_increment": _text(listing.tick),
        "quote_min_size": "1",
        "quote_max_size": "10000000",
        "base_min_size": _text(listing.minimum),
        "base_max_size": "9999999999",
        "base_name": listing.base,
        "quote_name": listing.quote,
        "watched": False,
        "is_disabled": False,
        "new": False,
        "status": "online",
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": False,
        "auction_mode": False,
        "product_type": "SPOT",
        "quote_currency_id": listing.quote,
        "base_currency_id": listing.base,
        "fcm_trading_session_details": None,
        "mid_market_price": "",
        "alias": "",
        "alias_to": [],
        "base_display_symbol": listing.base,
        "quote_display_symbol": listing.quote,
        "view_only": False,
        "price_increment": _text(listing.tick),
        "display_name": _name(listing),
        "product_venue": "CBE",
        "approximate_quote_24h_volume": _text(day.quote_volume),
    }


def _candles(request: Request, listing: market.Listing, parameters: Mapping[str, str]) -> Answer:
    """Answer with candles, newest first; a bar without trades has none."""
    bar = BARS.get(parameters.get("granularity", ""))
    if bar is None:
        raise refused(400, "INVALID_ARGUMENT", "granularity is invalid")
    start, end = _whole(parameters, "start"), _whole(parameters, "end")
    if end < start:
        raise refused(400, "INVALID_ARGUMENT", "start must be before end")
    # Both ends count. Where exactly the real host stops is disputed: ask for 300 at most.
    if (end - start) // (bar.minutes * 60) + 1 > MOST_CANDLES:
        raise refused(400, "INVALID_ARGUMENT", "number of candles requested should be less than 350")
    limit = min(_whole(parameters, "limit", MOST_CANDLES) or MOST_CANDLES, MOST_CANDLES)
    found = Chart("coinbase", listing.symbol, bar, request.now_ms).newest(MOST_CANDLES, start * 1000, end * 1000)
    traded = [row for row in found if row.trades]
    rows = _texts(traded[:limit], market.decimals("coinbase", listing.symbol))
    # Put together as text: all that the rows hold is digits.
    return Answer(200, f'{{"candles":[{rows}]}}'.encode(), {"content-type": "application/json;charset=UTF-8"})


def _texts(rows: list[market.Row], decimals: market.Decimals) -> str:
    """Return each candle as JSON; all values are strings."""
    price, volume = trimmed(decimals.price), trimmed(decimals.volume)
    return ",".join(
        f'{{"start":"{row[0] // 1000}","low":"{price(row[3])}","high":"{price(row[2])}","open":"{price(row[1])}",'
        f'"close":"{price(row[4])}","volume":"{volume(row[5])}"}}'
        for row in rows
    )


def _ticker(request: Request, listing: market.Listing, parameters: Mapping[str, str]) -> Answer:
    limit = _whole(parameters, "limit", 100)
    if limit > MOST_TRADES:
        raise refused(500, "INTERNAL", "Internal error")
    trades = newest_trades("coinbase", listing.symbol, request.now_ms, limit)
    bids, asks = book("coinbase", listing.symbol, request.now_ms, 1)
    rows = [_trade(listing, trade) for trade in trades]
    best = {"best_bid": _text(bids[0].price), "best_ask": _text(asks[0].price)}
    return json_answer(200, {"trades": rows} | best)


def _trade(listing: market.Listing, trade: Trade) -> dict[str, str]:
    # The documents do not say whose side this is. A probe found it to be the maker's, as on the exchange itself.
    side = "SELL" if trade.taker_side == "buy" else "BUY"
    return {
        "trade_id": str(trade.trade_id),
        "product_id": _name(listing),
        "price": _text(trade.price),
        "size": _text(trade.size),
        "time": _iso(trade.time_ms, f"{trade.trade_id % 1000:03d}"),
        "side": side,
        "bid": "",
        "ask": "",
        "exchange": "coinbase",
    }


def _product_book(request: Request, listing: market.Listing, parameters: Mapping[str, str]) -> Answer:
    depth = min(_whole(parameters, "limit", 1000) or 1000, 1000)
    bids, asks = book("coinbase", listing.symbol, request.now_ms, depth)
    spread = asks[0].price - bids[0].price
    middle = (asks[0].price + bids[0].price) / 2
    pricebook = {
        "product_id": _name(listing),
        "bids": [_level(level) for level in bids],
        "asks": [_level(level) for level in asks],
        "time": _iso(request.now_ms, "999"),
    }
    summary = {
        "last": _text(last_price("coinbase", listing.symbol, request.now_ms)),
        "mid_market": _text(middle),
        "spread_bps": _text((spread * 10_000 / middle).quantize(Decimal("0.001"))),
        "spread_absolute": _text(spread),
    }
    return json_answer(200, {"pricebook": pricebook} | summary)


def _level(level: Level) -> dict[str, str]:
    return {"price": _text(level.price), "size": _text(level.size)}
