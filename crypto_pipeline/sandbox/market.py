"""
The made-up market: a pure function of (exchange, symbol, minute).

All arithmetic is on integers, so that the bytes are the same on every machine: any range, no storage. A price is
`start * exp(noise)`, the noise a sum of lines between random points at several distances, so that years, days and
minutes all move. Every exchange sees the same path, a few basis points apart.

Where it must be quick, the market is read as `Row`s of whole numbers (`rows`, `summed`); `minute` and `aggregate`
give the same as exact decimals.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from crypto_pipeline.sandbox.noise import STRETCH, exponential, mixed, mixed_stretch, seed, wave, wave_at

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


class Row(NamedTuple):
    """
    A minute, or a longer candle, in whole numbers.

    Prices count the exchange's ticks and volumes its lots; the two quote volumes count ticks times lots.
    """

    open_time_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote_volume: int
    trades: int
    taker_buy_volume: int
    taker_buy_quote_volume: int


class Decimals(NamedTuple):
    """How many decimals the whole numbers of a `Row` have."""

    price: int
    volume: int

    @property
    def quote_volume(self) -> int:
        """Return the decimals of a quote volume: a price times a volume."""
        return self.price + self.volume


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


def instruments(exchange: str) -> list[Listing]:
    """Return every market of the exchange, sorted by symbol."""
    return [listing(exchange, symbol) for symbol in sorted(_COINS)]


@lru_cache(maxsize=64)
def listing(exchange: str, symbol: str) -> Listing:
    """
    Return one market of the exchange.

    Raises:
        KeyError: the symbol is not listed.
    """
    coin = _COINS[symbol]
    base, _, quote = symbol.partition("-")
    lot = Decimal(1).scaleb(-coin.lot_decimals)
    # Each exchange listed it some days after the first one.
    days = 0 if exchange == "binance" else 20 + mixed(seed(exchange, symbol), 7) % 60
    listed = int(datetime.fromisoformat(coin.listed).replace(tzinfo=UTC).timestamp() * 1000) + days * 86_400_000
    return Listing(symbol, base, quote, Decimal(1).scaleb(-decimals(exchange, symbol).price), lot, lot, listed)


@lru_cache(maxsize=64)
def decimals(exchange: str, symbol: str) -> Decimals:
    """Return the decimals of the market's rows."""
    coin = _COINS[symbol]
    return Decimals(_FINER_PRICES.get((exchange, symbol), coin.tick_decimals), coin.lot_decimals)


def minute(exchange: str, symbol: str, open_time_ms: int) -> Minute:
    """
    Return the minute that opens at `open_time_ms`.

    Raises:
        KeyError: the symbol is not listed.
        ValueError: the time is not the opening of a minute, or lies before the listing.
    """
    (row,) = rows(exchange, symbol, open_time_ms, 1)
    return exact(row, decimals(exchange, symbol))


def aggregate(exchange: str, symbol: str, open_time_ms: int, minutes: int) -> Minute:
    """Return the `minutes` from `open_time_ms` as one candle."""
    return exact(summed(exchange, symbol, open_time_ms, minutes), decimals(exchange, symbol))


def price_before(exchange: str, symbol: str, open_time_ms: int) -> Decimal:
    """Return the last price before a minute; quick, because it makes no other minutes."""
    ticks = _close_before(exchange, symbol, open_time_ms // MINUTE_MS)
    return ticks * Decimal(1).scaleb(-decimals(exchange, symbol).price)


def exact(row: Row, places: Decimals) -> Minute:
    """Return a row as exact decimals."""
    price, volume, quote = (Decimal(1).scaleb(-count) for count in (*places, places.quote_volume))
    return Minute(
        open_time_ms=row.open_time_ms,
        open=row.open * price,
        high=row.high * price,
        low=row.low * price,
        close=row.close * price,
        volume=row.volume * volume,
        quote_volume=row.quote_volume * quote,
        trades=row.trades,
        taker_buy_volume=row.taker_buy_volume * volume,
        taker_buy_quote_volume=row.taker_buy_quote_volume * quote,
    )


def rows(exchange: str, symbol: str, open_time_ms: int, count: int) -> list[Row]:
    """
    Return the `count` minutes from `open_time_ms`, oldest first.

    Raises:
        KeyError: the symbol is not listed.
        ValueError: the time is not the opening of a minute, or lies before the listing.
    """
    first, rest = divmod(open_time_ms, MINUTE_MS)
    if rest or open_time_ms < listing(exchange, symbol).listed_ms:
        msg = f"{symbol} has no minute that opens at {open_time_ms}."
        raise ValueError(msg)
    if count < 1:
        return []
    index, skipped = divmod(first, STRETCH)
    if skipped + count <= STRETCH:
        return _stretch(exchange, symbol, index)[skipped : skipped + count]
    last = (first + count - 1) // STRETCH
    stretches = [_stretch(exchange, symbol, index) for index in range(index, last + 1)]
    return list(chain.from_iterable(stretches))[skipped : skipped + count]


def summed(exchange: str, symbol: str, open_time_ms: int, minutes: int) -> Row:
    """
    Return the `minutes` from `open_time_ms` as one candle.

    Raises:
        KeyError: the symbol is not listed.
        ValueError: the time is not the opening of a minute, or lies before the listing, or there is no minute.
    """
    if minutes < 1:
        msg = "A candle has at least one minute."
        raise ValueError(msg)
    first = open_time_ms // MINUTE_MS
    end = first + minutes
    begin_whole, end_whole = -(-first // STRETCH), end // STRETCH
    if begin_whole >= end_whole:
        return _sum_of(rows(exchange, symbol, open_time_ms, minutes))
    before, after = begin_whole * STRETCH - first, end - end_whole * STRETCH
    # Whole stretches are remembered as one row each: a long candle is made of them.
    parts = rows(exchange, symbol, open_time_ms, before)
    parts += [_stretch_sum(exchange, symbol, index) for index in range(begin_whole, end_whole)]
    parts += rows(exchange, symbol, end_whole * STRETCH * MINUTE_MS, after)
    return _sum_of(parts)


def joined(earlier: Row, later: Row) -> Row:
    """Return two candles that follow each other as one."""
    return _sum_of([earlier, later])


def _sum_of(found: list[Row]) -> Row:
    _, _, highs, lows, _, *sums = zip(*found, strict=True)
    return Row(found[0].open_time_ms, found[0].open, max(highs), min(lows), found[-1].close, *map(sum, sums))


@lru_cache(maxsize=16_384)
def _stretch_sum(exchange: str, symbol: str, index: int) -> Row:
    return _sum_of(_stretch(exchange, symbol, index))


@lru_cache(maxsize=128)
def _stretch(exchange: str, symbol: str, index: int) -> list[Row]:
    """Return the rows of one stretch of minutes."""
    first = index * STRETCH
    numbers = range(first, first + STRETCH)
    chances = mixed_stretch(seed(exchange, symbol), first)
    closes = _closes(exchange, symbol, index)
    usual_turnover, places = _COINS[symbol].turnover, decimals(exchange, symbol)
    unit = 10**places.quote_volume
    opened = _close_before(exchange, symbol, first)
    found = []
    for number, is_quiet, closed, chance in zip(
        numbers, _quiet_stretch(exchange, symbol, first), closes, chances, strict=True
    ):
        if is_quiet:
            found.append(Row(number * MINUTE_MS, opened, opened, opened, opened, 0, 0, 0, 0, 0))
            continue
        lower, upper = (opened, closed) if opened < closed else (closed, opened)
        wick = opened * (chance & 255) // 600_000 or 1
        low = lower - wick * (chance >> 11 & 7) // 7
        # Turnover: busier when the price moves, and by chance, from a tenth to three times the usual.
        turnover = usual_turnover * (100 + (chance >> 14 & 2047)) // 700 * (1 + (upper - lower) * 900 // opened)
        middle = (opened + closed) // 2 or 1
        lots = turnover * unit // middle or 1
        bought = lots * (chance >> 33 & 255) // 255
        found.append(
            Row(
                number * MINUTE_MS,
                opened,
                upper + wick * (chance >> 8 & 7) // 7,
                low if low > 0 else 1,
                closed,
                lots,
                lots * middle,
                1 + turnover // (350 + (chance >> 25 & 255)),
                bought,
                bought * middle,
            )
        )
        opened = closed
    return found


@lru_cache(maxsize=256)
def _closes(exchange: str, symbol: str, index: int) -> list[int]:
    """Return the prices at the ends of a stretch of minutes in ticks, as if there was a trade in each."""
    own = wave(seed(exchange, symbol), index * STRETCH, *_BETWEEN_EXCHANGES)
    start, unit = _scale(exchange, symbol)
    common = _common_noise(symbol, index)
    return [(start * exponential(one + other) >> 44) // unit or 1 for one, other in zip(common, own, strict=True)]


def _scale(exchange: str, symbol: str) -> tuple[int, int]:
    """Return what a price starts from, and how much of that a tick is."""
    return _COINS[symbol].start, 10 ** (12 - decimals(exchange, symbol).price)


@lru_cache(maxsize=512)
def _common_noise(symbol: str, index: int) -> list[int]:
    """Return what moves a symbol at every exchange, in millionths of the logarithm, for a stretch of minutes."""
    start, first = seed(symbol), index * STRETCH
    waves = [wave(start + octave, first, *shape) for octave, shape in enumerate(_OCTAVES)]
    return [sum(heights) for heights in zip(*waves, strict=True)]


def _close_before(exchange: str, symbol: str, number: int) -> int:
    """Return the last price before a minute in ticks: that of the last minute with a trade."""
    permille, start = _quiet_permille(exchange, symbol), seed(exchange, symbol, "quiet")
    number -= 1
    while mixed(start, number) % 1000 < permille:
        number -= 1
    own = wave_at(seed(exchange, symbol), number, *_BETWEEN_EXCHANGES)
    common = sum(wave_at(seed(symbol) + octave, number, *shape) for octave, shape in enumerate(_OCTAVES))
    start, unit = _scale(exchange, symbol)
    return (start * exponential(common + own) >> 44) // unit or 1


def _quiet_stretch(exchange: str, symbol: str, first: int) -> list[bool]:
    """Return for a stretch of minutes whether each passes without a trade."""
    permille = _quiet_permille(exchange, symbol)
    if not permille:
        return [False] * STRETCH
    return [number % 1000 < permille for number in mixed_stretch(seed(exchange, symbol, "quiet"), first)]


def _quiet_permille(exchange: str, symbol: str) -> int:
    return _QUIET_PERMILLE.get(exchange, 0) * (1 if symbol in {"BTC-USDT", "ETH-USDT"} else 5)
