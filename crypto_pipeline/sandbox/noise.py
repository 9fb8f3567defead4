"""
The chance behind the made-up market: random numbers, and lines between them, as whole numbers only.

Everything is made for a stretch of consecutive minutes at once, because that is many times quicker than minute by
minute. What the numbers mean (prices, turnovers, quiet minutes) belongs to `market.py`.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

STRETCH = 480
"""Minutes that are made at once."""

_MASK = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15
# One large number carries a stretch of 64-bit numbers in lanes of 128 bits: what is done to it is done to all of
# them, and a product of two 64-bit numbers stays within its lane.
_EVERY_LANE = sum(1 << 128 * lane for lane in range(STRETCH))
_LOW_HALVES = _EVERY_LANE * _MASK
_STEPS = sum((lane * _STEP & _MASK) << 128 * lane for lane in range(STRETCH))
_unpack_lanes = struct.Struct(f"<{2 * STRETCH}Q").unpack

_ONE = 1 << 44
_LN2 = 693_147  # millionths
_powers = array("Q", bytes(8 * _LN2))
"""What `_power` has worked out so far, 0 where it has not: 5.5 MB, and never more."""


@lru_cache(maxsize=256)
def seed(*names: str) -> int:
    """Return a number that belongs to the names, the same on every machine (FNV-1a)."""
    number = 0xCBF29CE484222325
    for byte in "/".join(names).encode():
        number = (number ^ byte) * 0x100000001B3 & _MASK
    return number


def mixed(start: int, index: int) -> int:
    """Return the random 64 bits at `index` (SplitMix64)."""
    number = (start + index * _STEP) & _MASK
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _MASK
    return number ^ number >> 31


def mixed_stretch(start: int, first: int) -> Sequence[int]:
    """Return `mixed` of the `STRETCH` indices from `first`."""
    lanes = ((start + first * _STEP & _MASK) * _EVERY_LANE + _STEPS) & _LOW_HALVES
    lanes = ((lanes ^ lanes >> 30) & _LOW_HALVES) * 0xBF58476D1CE4E5B9 & _LOW_HALVES
    lanes = ((lanes ^ lanes >> 27) & _LOW_HALVES) * 0x94D049BB133111EB & _LOW_HALVES
    lanes = (lanes ^ lanes >> 31) & _LOW_HALVES
    return _unpack_lanes(lanes.to_bytes(16 * STRETCH, "little"))[::2]


def wave(start: int, first: int, distance: int, height: int) -> list[int]:
    """Return a stretch of the line between random points that lie `distance` minutes apart, `height` high."""
    if distance == 1:
        return [((number & 0x1FFFF) - 0x10000) * height >> 16 for number in mixed_stretch(start, first)]
    index, way = divmod(first, distance)
    line: list[int] = []
    for left, right in pairwise(_points(start, index, (way + STRETCH - 1) // distance + 2)):
        rise, until = right - left, min(distance, way + STRETCH - len(line))
        line += [(left + rise * step // distance) * height >> 16 for step in range(way, until)]
        way = 0
    return line


def wave_at(start: int, number: int, distance: int, height: int) -> int:
    """Return one minute of the line; where few are wanted, that is quicker than a stretch."""
    index, way = divmod(number, distance)
    left, right = _points(start, index, 2)
    return (left + (right - left) * way // distance) * height >> 16


def _points(start: int, first: int, count: int) -> list[int]:
    """Return random points, each from -2**16 to 2**16."""
    # From some forty on it is quicker to make a whole stretch of them.
    numbers = mixed_stretch(start, first)[:count] if count > 40 else [mixed(start, first + at) for at in range(count)]
    return [(number & 0x1FFFF) - 0x10000 for number in numbers]


def exponential(millionths: int) -> int:
    """Return e to the power of `millionths` / 1e6, times 2**44."""
    doublings, rest = divmod(millionths, _LN2)
    power = _powers[rest] or _power(rest)
    return power << doublings if doublings >= 0 else power >> -doublings


def _power(millionths: int) -> int:
    term = step = millionths * _ONE // 1_000_000
    total = _ONE + step
    for divisor in range(2, 12):
        term = (term * step >> 44) // divisor
        total += term
    _powers[millionths] = total
    return total
