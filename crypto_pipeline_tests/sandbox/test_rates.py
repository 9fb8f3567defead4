"""Counters of requests count on the time that the request carries."""

from __future__ import annotations

from crypto_pipeline.sandbox.rates import RollingWindow, TokenBucket


def test_a_rolling_window_gives_back_request_by_request() -> None:
    window = RollingWindow(2, 1000)

    taken = [window.take("a", now) for now in (0, 400, 999, 1000, 1399, 1400)]

    assert taken == [True, True, False, True, False, True]
    assert window.take("b", 1400)
    assert (window.remaining("a", 1400), window.free_again_ms("a", 1400)) == (0, 2000)
    assert window.free_again_ms("c", 1400) == 1400


def test_a_bucket_fills_lazily_and_never_overflows() -> None:
    """A clock that is set back takes nothing away."""
    bucket = TokenBucket(rate=10, burst=2)

    taken = [bucket.take("a", now) for now in (0, 0, 99, 100, 199, 100_000, 100_000, 100_000)]

    assert taken == [True, True, False, True, False, True, True, False]
    assert not bucket.take("a", 50_000)


def test_a_window_forgets_what_was_taken_under_a_clock_that_is_set_back() -> None:
    """A fault puts the clock ahead; when it is over, its requests must not count for hours."""
    window = RollingWindow(2, 1000)
    ahead = [window.take("a", now) for now in (60_000, 60_000, 60_000)]

    back = [window.take("a", now) for now in (100, 200, 300)]

    assert ahead == back == [True, True, False]
