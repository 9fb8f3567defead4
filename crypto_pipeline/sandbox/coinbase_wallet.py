"""
The older wallet API on Coinbase's host: the few public routes that general clients read before anything else.

Read "Coinbase App - Track APIs". Candles and permissions are on the newer one: `coinbase.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.interface import Answer, Request, json_answer
from crypto_pipeline.sandbox.quotes import last_price


def wallet_answer(request: Request) -> Answer:
    """Answer one request to `/v2/...`."""
    listings = market.instruments("coinbase")
    bases = sorted({listing.base for listing in listings})
    data: dict[str, object] = {
        "/v2/time": _time(request),
        "/v2/currencies": [{"id": "USD", "name": "US Dollar", "min_size": "0.01"}],
        "/v2/currencies/crypto": [
            {"asset_id": code.lower(), "code": code, "name": code, "type": "crypto"} for code in bases
        ],
    }
    if request.path == "/v2/exchange-rates":
        return json_answer(200, {"data": {"currency": "USD", "rates": _rates(request, listings)}})
    if request.path in data:
        return json_answer(200, {"data": data[request.path]})
    return json_answer(404, {"errors": [{"id": "not_found", "message": "Not found"}]})


def _time(request: Request) -> dict[str, object]:
    seconds = request.now_ms // 1000
    return {"iso": datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "epoch": seconds}


def _rates(request: Request, listings: list[market.Listing]) -> dict[str, str]:
    """Return how many coins a dollar buys; a USDT is a dollar here."""
    prices = {listing.base: last_price("coinbase", listing.symbol, request.now_ms) for listing in listings}
    return {"USD": "1", "USDT": "1"} | {base: f"{1 / price:.16f}" for base, price in prices.items()}
