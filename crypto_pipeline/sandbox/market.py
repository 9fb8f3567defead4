"""
The made-up market: a pure function of (exchange, symbol, minute).

All arithmetic is on integers, so that the bytes are the same on every machine: any range, no storage. A price is
`start * exp(noise)`, the noise a sum of lines between random points at several distances, so that years, days and
minutes all move. Every exchange sees the same path, a few basis points apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

MINUTE_MS = 60_000


class Minute(NamedTuple):
    """
    One minute of one symbol at one exchange.

    Prices and volumes are exact decimals at the exchange's own increments, printed by `str` or
    `format(x, "f")` without exponent. `trades` is 0 when nobody traded: then all prices equal the
    previous close and all volumes are 0 (and Coinbase has no row at all).
    """

    open_time_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trades: int
    taker_buy_volume: Decimal
    taker_buy_quote_volume: Decimal


@dataclass(frozen=True, slots=True)
class Listing:
    """
    One spot market of one exchange.

    Fields:
        symbol: canonical, such as `BTC-USDT`.
        tick: the price increment; lot: the quantity increment; minimum: the smallest order, in base currency.
        listed_ms: when trading began.
        status: `trading` or `halted`.
    """

    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    minimum: Decimal
    listed_ms: int
    status: str = "trading"


@dataclass(frozen=True, slots=True)
class _Coin:
    """What a symbol starts from: price in units of 1e-12, decimals of tick and lot, turnover a minute, listing day."""

    start: int
    tick_decimals: int
    lot_decimals: int
    turnover: int
    listed: str


_COINS = {
    "BTC-USDT": _Coin(58_000 * 10**12, 2, 5, 900_000, "2017-08-17"),
    "ETH-USDT": _Coin(2_600 * 10**12, 2, 4, 400_000, "2017-08-17"),
    "SOL-USDT": _Coin(145 * 10**12, 2, 3, 150_000, "2020-08-11"),
    "DOGE-USDT": _Coin(140_000_000_000, 5, 0, 90_000, "2019-07-05"),
    "PEPE-USDT": _Coin(9_500_000, 8, 0, 60_000, "2023-05-05"),
}
SYMBOLS = tuple(_COINS)

_FINER_PRICES = {("okx", "PEPE-USDT"): 12, ("bybit", "PEPE-USDT"): 10, ("okx", "BTC-USDT"): 1}
"""Decimals of the tick where an exchange quotes finer or coarser than the others."""

_QUIET_PERMILLE = {"coinbase": 12, "binance": 0, "okx": 1, "bybit": 1}
"""How many minutes of a thousand pass without a trade, in the liquid symbols; five times as many in the others."""

# Distances between random points in minutes, and how far they lie apart, in millionths of the logarithm.
_OCTAVES = ((525_600, 450_000), (87_660, 160_000), (14_400, 60_000), (2_880, 25_000), (480, 9_000), (90, 3_200),
            (18, 1_300), (4, 600), (1, 330))  # fmt: skip
_BETWEEN_EXCHANGES = (30, 260)
_MASK = 2**64 - 1
_ONE = 1 << 44
_LN2 = 693_147  # millionths


def instruments(exchange: str) -> list[Listing]:
    """Return every market of the exchange, sorted by symbol."""
    return [_listing(exchange, symbol) for symbol in sorted(_COINS)]


def minute(exchange: str, symbol: str, open_time_ms: int) -> Minute:
    """
    Return the minute that opens at `open_time_ms`.

    Raises:
        KeyError: the symbol is not listed.
        ValueError: the time is not the opening of a minute, or lies before the listing.
    """
    number, rest = divmod(open_time_ms, MINUTE_MS)
    listing = _listing(exchange, symbol)
    if rest or open_time_ms < listing.listed_ms:
        msg = f"{symbol} has no minute that opens at {open_time_ms}."
        raise ValueError(msg)
    chance = _mixed(_seed(exchange, symbol), number)
    opened = _close(exchange, symbol, number - 1)
    if _is_quiet(exchange, symbol, number):
        return _row(exchange, symbol, number, (opened,) * 4, 0, 0, 0)
    closed = _close(exchange, symbol, number)
    wick = max(1, opened * (chance & 255) // 600_000)
    high = max(opened, closed) + wick * (chance >> 8 & 7) // 7
    low = max(1, min(opened, closed) - wick * (chance >> 11 & 7) // 7)
    # Turnover: busier when the price moves, and by chance, from a tenth to three times the usual.
    turnover = (
        _COINS[symbol].turnover * (100 + (chance >> 14 & 2047)) // 700 * (1 + abs(closed - opened) * 900 // opened)
    )
    trades = 1 + turnover // (350 + (chance >> 25 & 255))
    return _row(exchange, symbol, number, (opened, high, low, closed), turnover, trades, chance >> 33 & 255)


def aggregate(exchange: str, symbol: str, open_time_ms: int, minutes: int) -> Minute:
    """Return the `minutes` from `open_time_ms` as one candle."""
    rows = [minute(exchange, symbol, open_time_ms + index * MINUTE_MS) for index in range(minutes)]
    return Minute(
        open_time_ms,
        rows[0].open,
        max(row.high for row in rows),
        min(row.low for row in rows),
        rows[-1].close,
        sum((row.volume for row in rows), start=rows[0].volume * 0),
        sum((row.quote_volume for row in rows), start=rows[0].quote_volume * 0),
        sum(row.trades for row in rows),
        sum((row.taker_buy_volume for row in rows), start=rows[0].taker_buy_volume * 0),
        sum((row.taker_buy_quote_volume for row in rows), start=rows[0].taker_buy_quote_volume * 0),
    )


@lru_cache(maxsize=64)
def _listing(exchange: str, symbol: str) -> Listing:
    coin = _COINS[symbol]
    base, _, quote = symbol.partition("-")
    lot = Decimal(1).scaleb(-coin.lot_decimals)
    # Each exchange listed it some days after the first one.
    days = 0 if exchange == "binance" else 20 + _mixed(_seed(exchange, symbol), 7) % 60
    listed = int(datetime.fromisoformat(coin.listed).replace(tzinfo=UTC).timestamp() * 1000) + days * 86_400_000
    return Listing(symbol, base, quote, Decimal(1).scaleb(-_tick_decimals(exchange, symbol)), lot, lot, listed)


@lru_cache(maxsize=64)
def _tick_decimals(exchange: str, symbol: str) -> int:
    return _FINER_PRICES.get((exchange, symbol), _COINS[symbol].tick_decimals)


@lru_cache(maxsize=64)
def _seed(*names: str) -> int:
    """Return a number that belongs to the names, the same on every machine (FNV-1a)."""
    number = 0xCBF29CE484222325
    for byte in "/".join(names).encode():
        number = (number ^ byte) * 0x100000001B3 & _MASK
    return number


def _mixed(seed: int, index: int) -> int:
    """Return the random 64 bits at `index` (SplitMix64)."""
    number = (seed + index * 0x9E3779B97F4A7C15) & _MASK
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _MASK
    return number ^ number >> 31


@lru_cache(maxsize=200_000)
def _point(seed: int, index: int) -> int:
    """Return the random point at `index`, from -2**16 to 2**16."""
    return (_mixed(seed, index) & 0x1FFFF) - 0x10000


def _wave(seed: int, number: int, distance: int, height: int) -> int:
    """Return the line between the two points around `number`, `height` high."""
    index, way = divmod(number, distance)
    left = _point(seed, index)
    value = left if way == 0 else left + (_point(seed, index + 1) - left) * way // distance
    return value * height >> 16


@lru_cache(maxsize=1 << 18)
def _raw_close(exchange: str, symbol: str, number: int) -> int:
    """Return the price at the end of a minute in ticks, as if there was a trade in it."""
    seed = _seed(symbol)
    noise = sum(_wave(seed + octave, number, *shape) for octave, shape in enumerate(_OCTAVES))
    noise += _wave(_seed(exchange, symbol), number, *_BETWEEN_EXCHANGES)
    price = _COINS[symbol].start * _exp(noise) >> 44
    return max(1, price // int(10 ** (12 - _tick_decimals(exchange, symbol))))


def _exp(millionths: int) -> int:
    """Return e to the power of `millionths` / 1e6, times 2**44."""
    doublings, rest = divmod(millionths, _LN2)
    step = rest * _ONE // 1_000_000
    total = term = _ONE
    for divisor in range(1, 12):
        term = (term * step >> 44) // divisor
        total += term
    return total << doublings if doublings >= 0 else total >> -doublings


def _is_quiet(exchange: str, symbol: str, number: int) -> bool:
    permille = _QUIET_PERMILLE.get(exchange, 0) * (1 if symbol in {"BTC-USDT", "ETH-USDT"} else 5)
    return _mixed(_seed(exchange, symbol, "quiet"), number) % 1000 < permille


def _close(exchange: str, symbol: str, number: int) -> int:
    """Return the last price of a minute in ticks: that of the last minute with a trade."""
    while _is_quiet(exchange, symbol, number):
        number -= 1
    return _raw_close(exchange, symbol, number)


def _row(
    exchange: str, symbol: str, number: int, prices: tuple[int, ...], turnover: int, trades: int, taker: int
) -> Minute:
    """Return the minute with its numbers at the exchange's increments."""
    tick, lot = _tick_decimals(exchange, symbol), _COINS[symbol].lot_decimals
    opened, high, low, closed = prices
    middle = (opened + closed) // 2 or 1
    lots = max(1, turnover * 10 ** (tick + lot) // middle) if trades else 0
    bought = lots * taker // 255
    return Minute(
        number * MINUTE_MS,
        _decimal(opened, tick),
        _decimal(high, tick),
        _decimal(low, tick),
        _decimal(closed, tick),
        _decimal(lots, lot),
        _decimal(lots * middle, tick + lot),
        trades,
        _decimal(bought, lot),
        _decimal(bought * middle, tick + lot),
    )


def _decimal(units: int, decimals: int) -> Decimal:
    return Decimal(units).scaleb(-decimals)
