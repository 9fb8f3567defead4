"""
The made-up perpetual contracts: what is paid, what is open, what they are reckoned with.

Derived from the made-up spot market, so that it fits: a mark price lies some basis points beside the last price, and
the index is the mean of all exchanges. Pure functions of exchange, symbol and time; how an exchange shows it, and how
far back, is in its own file.
"""

from __future__ import annotations

from decimal import Decimal

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.bars import listed_ms
from crypto_pipeline.sandbox.noise import mixed, seed
from crypto_pipeline.sandbox.quotes import last_day, last_price

HOUR_MS = 3_600_000
EXCHANGES = ("binance", "bybit", "coinbase", "okx")

_HOURS = {("okx", "PEPE-USDT"): 1}
"""How often funding is paid where it is not every eight hours: exchanges do so for what moves much."""
_RATE_DECIMALS = {"okx": 16}
_CONTRACTS = {"BTC-USDT": "0.01", "ETH-USDT": "0.1", "SOL-USDT": "1", "DOGE-USDT": "1000", "PEPE-USDT": "10000000"}


def contract_size(symbol: str) -> Decimal:
    """Return how much of the base currency one contract stands for, where contracts are counted."""
    return Decimal(_CONTRACTS[symbol])


def interval_ms(exchange: str, symbol: str) -> int:
    """Return how long it is from one payment to the next."""
    return _HOURS.get((exchange, symbol), 8) * HOUR_MS


def next_payment_ms(exchange: str, symbol: str, now_ms: int) -> int:
    """Return when is paid next, after this moment."""
    every = interval_ms(exchange, symbol)
    return (now_ms // every + 1) * every


def payments(exchange: str, symbol: str, first_ms: int, last_ms: int) -> range:
    """Return when was paid from the first moment to the last, both of them included; never before the listing."""
    every = interval_ms(exchange, symbol)
    first_ms = max(first_ms, listed_ms(exchange, symbol))
    return range(-(-first_ms // every) * every, last_ms + 1, every)


def paid_rate(exchange: str, symbol: str, payment_ms: int) -> Decimal:
    """Return the rate that is paid at one moment, from -0.02 to 0.03 percent: about two in five are below zero."""
    digits = _RATE_DECIMALS.get(exchange, 8)
    chance = mixed(seed(exchange, symbol, "funding"), payment_ms // HOUR_MS) % 10**digits
    return Decimal(chance * 5 // 10_000 - 2 * 10 ** (digits - 4)).scaleb(-digits)


def expected_rate(exchange: str, symbol: str, now_ms: int) -> Decimal:
    """Return what is thought to be paid next: the rate before at first, the one that will be in the end."""
    every, then_ms = interval_ms(exchange, symbol), next_payment_ms(exchange, symbol, now_ms)
    before, then = (paid_rate(exchange, symbol, moment) for moment in (then_ms - every, then_ms))
    guess = then + (before - then) * (then_ms - now_ms) / every
    return guess.quantize(then)


def mark_price(exchange: str, symbol: str, now_ms: int) -> Decimal:
    """Return the mark price: at most 3 basis points and a tick beside the last spot price of this exchange."""
    return _beside(exchange, symbol, last_price(exchange, symbol, now_ms), now_ms)


def mark_price_of_payment(exchange: str, symbol: str, payment_ms: int) -> Decimal:
    """Return the mark price of a payment; quicker than `mark_price`, because a page has a thousand of them."""
    return _beside(exchange, symbol, market.price_before(exchange, symbol, payment_ms), payment_ms)


def _beside(exchange: str, symbol: str, last: Decimal, now_ms: int) -> Decimal:
    tick = market.listing(exchange, symbol).tick
    basis = mixed(seed(exchange, symbol, "basis"), now_ms // 1000) % 61 - 30
    return max(tick, (last + last * basis / 100_000).quantize(tick))


def index_price(exchange: str, symbol: str, now_ms: int) -> Decimal:
    """Return the mean of the last spot prices at every exchange that lists the symbol by then."""
    found = [last_price(other, symbol, now_ms) for other in EXCHANGES if listed_ms(other, symbol) <= now_ms]
    return (sum(found, Decimal(0)) / len(found)).quantize(market.listing(exchange, symbol).tick)


def open_interest(exchange: str, symbol: str, now_ms: int) -> Decimal:
    """Return how much is open in base currency, in whole contracts: what is traded in three days like the last one."""
    size = contract_size(symbol)
    return last_day(exchange, symbol, now_ms).volume * 3 // size * size
