"""
The simulated OKX's linear perpetual contracts: what is paid, what is open, what they are reckoned with.

Read the OKX v5 manual, "Public data". They have no candles, trades or books of their own here: nobody asks for those.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from crypto_pipeline.sandbox import market, perpetuals
from crypto_pipeline.sandbox.interface import Answer, Request
from crypto_pipeline.sandbox.okx_input import (
    KINDS,
    Parameters,
    data,
    read_kind,
    read_limit,
    read_required,
    read_symbol,
    read_whole,
    text,
    unknown_instrument,
)
from crypto_pipeline.sandbox.quotes import last_day

ENDING = "-SWAP"
MOST_RATES = 400
TOLD_MS = 92 * 24 * perpetuals.HOUR_MS
"""Three months: older funding rates are not told."""
DERIVATIVES = KINDS - {"SPOT", "MARGIN"}
DOLLARS_PER_TETHER = Decimal("0.9993")
HIGHEST_RATE = Decimal("0.00375")


def described(listing: market.Listing) -> dict[str, object]:
    """Return one contract as an instrument; fields that only other kinds have are empty, as on the real host."""
    empty = ("alias", "baseCcy", "quoteCcy", "expTime", "optType", "stk")
    size = text(perpetuals.contract_size(listing.symbol))
    return dict.fromkeys(empty, "") | {
        "instType": "SWAP",
        "instId": listing.symbol + ENDING,
        "uly": listing.symbol,
        "instFamily": listing.symbol,
        "settleCcy": listing.quote,
        "ctVal": size,
        "ctMult": "1",
        "ctValCcy": listing.base,
        "ctType": "linear",
        "category": "1",
        "lever": "50",
        "state": "live",
        "listTime": str(listing.listed_ms),
        "tickSz": text(listing.tick),
        "lotSz": "1",
        "minSz": "1",
        "maxLmtSz": "100000000",
        "maxMktSz": "1000000",
        "ruleType": "normal",
        "upcChg": [],
    }


def _symbol_of(contract: str) -> str:
    """Return the spot market behind a contract."""
    symbol = contract.removesuffix(ENDING)
    if symbol == contract or not any(listing.symbol == symbol for listing in market.instruments("okx")):
        raise unknown_instrument()
    return symbol


def _each(
    request: Request, parameters: Parameters, show: Callable[[str, int], dict[str, str]], kinds: frozenset[str]
) -> Answer:
    """Answer for one contract, or for all of the kind; other kinds than perpetuals exist and list nothing."""
    kind = read_kind(parameters, kinds)
    if kind != "SWAP":
        return data([])
    named = parameters.get("instId")
    symbols = [_symbol_of(named)] if named else [listing.symbol for listing in market.instruments("okx")]
    common = {"instType": "SWAP", "ts": str(request.now_ms)}
    return data([{**common, "instId": symbol + ENDING, **show(symbol, request.now_ms)} for symbol in symbols])


def open_interest(request: Request, parameters: Parameters) -> Answer:
    """Answer with how much is open: in contracts, in base currency, in dollars."""
    return _each(request, parameters, _open_interest, DERIVATIVES)


def _open_interest(symbol: str, now_ms: int) -> dict[str, str]:
    quantity = perpetuals.open_interest("okx", symbol, now_ms)
    dollars = quantity * perpetuals.mark_price("okx", symbol, now_ms) * DOLLARS_PER_TETHER
    return {
        "oi": text(quantity / perpetuals.contract_size(symbol)),
        "oiCcy": text(quantity),
        "oiUsd": text(dollars.quantize(Decimal("0.0001"))),
    }


def mark_price(request: Request, parameters: Parameters) -> Answer:
    """
    Answer with mark prices; MARGIN has some too on the real host, but no contract.

    The manual says that the type is required; general clients leave it out and are answered.
    """
    usual = {"instType": "SWAP"} if parameters.get("instId") else {}
    return _each(request, {**usual, **parameters}, _mark_price, KINDS - {"SPOT"})


def _mark_price(symbol: str, now_ms: int) -> dict[str, str]:
    return {"markPx": text(perpetuals.mark_price("okx", symbol, now_ms))}


def index_tickers(request: Request, parameters: Parameters) -> Answer:
    """Answer with one index, or with all in a currency; an index is named like the spot market."""
    if parameters.get("instId") or not parameters.get("quoteCcy"):
        symbols = [read_symbol(parameters)]
    else:
        symbols = [one.symbol for one in market.instruments("okx") if one.quote == parameters["quoteCcy"]]
    return data([_index(symbol, request.now_ms) for symbol in symbols])


def _index(symbol: str, now_ms: int) -> dict[str, str]:
    price, day = perpetuals.index_price("okx", symbol, now_ms), last_day("okx", symbol, now_ms)
    midnight = text(market.minute("okx", symbol, now_ms - now_ms % (24 * perpetuals.HOUR_MS)).open)
    return {
        "instId": symbol,
        "idxPx": text(price),
        "high24h": text(max(day.high, price)),
        "low24h": text(min(day.low, price)),
        "open24h": text(day.open),
        "sodUtc0": midnight,
        "sodUtc8": midnight,
        "ts": str(now_ms),
    }


def funding_rate(request: Request, parameters: Parameters) -> Answer:
    """Answer with what is expected to be paid next, for one contract or for `ANY`."""
    wanted = read_required(parameters, "instId")
    symbols = [one.symbol for one in market.instruments("okx")] if wanted == "ANY" else [_symbol_of(wanted)]
    return data([_funding_rate(symbol, request.now_ms) for symbol in symbols])


def _funding_rate(symbol: str, now_ms: int) -> dict[str, str]:
    every, next_ms = perpetuals.interval_ms("okx", symbol), perpetuals.next_payment_ms("okx", symbol, now_ms)
    expected = perpetuals.expected_rate("okx", symbol, now_ms)
    return {
        "formulaType": "withRate",
        "fundingRate": text(expected),
        "fundingTime": str(next_ms),
        "impactValue": "10000",
        "instId": symbol + ENDING,
        "instType": "SWAP",
        "interestRate": "0.0001",
        "maxFundingRate": text(HIGHEST_RATE),
        "method": "current_period",
        "minFundingRate": text(-HIGHEST_RATE),
        "nextFundingRate": "",
        "nextFundingTime": str(next_ms + every),
        "premium": text(expected / 2),
        "settFundingRate": text(perpetuals.paid_rate("okx", symbol, next_ms - every)),
        "settState": "settled",
        "ts": str(now_ms),
    }


def funding_rate_history(request: Request, parameters: Parameters) -> Answer:
    """Answer with what was paid, newest first; both cursors are exclusive, `before` alone gives the newest rows."""
    symbol = _symbol_of(read_required(parameters, "instId"))
    limit = read_limit(parameters, "limit", MOST_RATES, MOST_RATES)
    first = max(read_whole(parameters, "before", -1) + 1, request.now_ms - TOLD_MS)
    last = min(read_whole(parameters, "after", request.now_ms + 1) - 1, request.now_ms)
    moments = perpetuals.payments("okx", symbol, first, last)[::-1][:limit]
    return data([_paid(symbol, moment) for moment in moments])


def _paid(symbol: str, moment_ms: int) -> dict[str, str]:
    """Return one payment: what was expected until just before, and what was really paid."""
    return {
        "formulaType": "withRate",
        "fundingRate": text(perpetuals.expected_rate("okx", symbol, moment_ms - 60_000)),
        "fundingTime": str(moment_ms),
        "instId": symbol + ENDING,
        "instType": "SWAP",
        "method": "current_period",
        "realizedRate": text(perpetuals.paid_rate("okx", symbol, moment_ms)),
    }
