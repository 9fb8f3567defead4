"""The policy of the cache refuses times that contradict each other."""

from __future__ import annotations

from math import inf, nan

import pytest

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.secrets.staleness import LONGEST_ERROR_SECONDS, CachePolicy


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ({"ttl_seconds": nan}, "finite"),
        ({"bound_seconds": inf}, "finite"),
        ({"error_seconds": -1}, "negative"),
        ({"revalidate_seconds": -0.1}, "negative"),
        ({"ttl_seconds": 0}, "fresh for some time"),
        ({"describe_seconds": 0}, "fresh for some time"),
        ({"ttl_seconds": 300, "bound_seconds": 299}, "bound below"),
        ({"error_seconds": LONGEST_ERROR_SECONDS + 1}, "repeat an error"),
        ({"jitter": 1}, "jitter below 1"),
    ],
)
def test_times_that_contradict_each_other_are_refused(times: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        CachePolicy(**times)


@pytest.mark.parametrize(
    "times",
    [
        {},
        {"ttl_seconds": 300, "bound_seconds": 300},
        {"revalidate_seconds": 0, "error_seconds": 0, "jitter": 0},
        {"error_seconds": LONGEST_ERROR_SECONDS},
    ],
)
def test_times_on_the_edge_are_accepted(times: dict[str, float]) -> None:
    policy = CachePolicy(**times)

    assert policy.bound_seconds >= policy.ttl_seconds


@pytest.mark.parametrize(("bound", "kept"), [(60, 300), (900, 900)])
def test_descriptions_are_fresh_for_a_whole_sweep(bound: float, kept: float) -> None:
    """Never shortened by chance, and never closed before the next sweep is due."""
    policy = CachePolicy(ttl_seconds=60, bound_seconds=bound, describe_seconds=300).for_descriptions()

    assert (policy.ttl_seconds, policy.jitter, policy.bound_seconds) == (300, 0, kept)
