"""What is made for a stretch of minutes at once is the same as what is defined minute by minute."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_pipeline.sandbox.noise import STRETCH, exponential, mixed, mixed_stretch, seed, wave, wave_at

STARTS = st.integers(0, 2**64 - 1)
INDICES = st.integers(0, 10**9)


@pytest.mark.parametrize(
    ("index", "number"), [(1, 0x6E789E6AA1B965F4), (2, 0x06C45D188009454F), (3, 0xF88BB8A8724C81EC)]
)
def test_chance_is_splitmix64(index: int, number: int) -> None:
    """These are the numbers that the published algorithm gives for the seed 0 after its first."""
    assert mixed(0x9E3779B97F4A7C15, index) == number


def test_names_become_numbers_by_fnv_1a() -> None:
    """The numbers are from the algorithm's own test suite."""
    assert (seed(""), seed("a"), seed("foobar")) == (0xCBF29CE484222325, 0xAF63DC4C8601EC8C, 0x85944171F73967E8)
    assert seed("okx", "BTC-USDT") == seed("okx/BTC-USDT") != seed("BTC-USDT", "okx")


@given(start=STARTS, first=INDICES)
def test_a_stretch_of_chance_is_the_same_as_each_number_alone(start: int, first: int) -> None:
    assert list(mixed_stretch(start, first)) == [mixed(start, first + at) for at in range(STRETCH)]


@given(
    start=STARTS,
    first=INDICES,
    distance=st.sampled_from([1, 2, 4, 11, 12, 18, 90, 479, 480, 481, 525_600]),
    height=st.integers(1, 10**6),
)
def test_a_wave_goes_straight_from_point_to_point(start: int, first: int, distance: int, height: int) -> None:
    def point(index: int) -> int:
        return (mixed(start, index) & 0x1FFFF) - 0x10000

    def at(number: int) -> int:
        index, way = divmod(number, distance)
        left, right = point(index), point(index + 1)
        return (left + (right - left) * way // distance) * height >> 16

    assert wave(start, first, distance, height) == [at(first + step) for step in range(STRETCH)]
    assert wave_at(start, first, distance, height) == at(first)


@given(millionths=st.integers(-3_000_000, 3_000_000))
def test_the_exponential_is_one(millionths: int) -> None:
    """Asked twice, because the second answer is remembered."""
    first, second = exponential(millionths), exponential(millionths)

    assert first == second
    assert first / 2**44 == pytest.approx(math.exp(millionths / 1e6), rel=3e-6)
