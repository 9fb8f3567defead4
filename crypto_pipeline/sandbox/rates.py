"""
Counters of requests, as the exchanges keep them.

They count on the time the request carries and say yes or no; what is answered to a "no" is the exchange's affair.
"""

from __future__ import annotations

from collections import defaultdict, deque


class RollingWindow:
    """
    At most `allowed` requests in any `window_ms`, per caller.

    Whether OKX and Bybit count in a rolling or an aligned window is not documented; the rolling one is the
    stricter: who keeps to it keeps to the other.
    """

    def __init__(self, allowed: int, window_ms: int) -> None:
        self.allowed = allowed
        self.window_ms = window_ms
        self._taken: defaultdict[str, deque[int]] = defaultdict(deque)

    def take(self, caller: str, now_ms: int) -> bool:
        """Count one request of `caller` and say whether it is within the limit; a refused one is not counted."""
        taken = self._recent(caller, now_ms)
        if len(taken) >= self.allowed:
            return False
        taken.append(now_ms)
        return True

    def remaining(self, caller: str, now_ms: int) -> int:
        """Return how many requests `caller` may still send at once."""
        return self.allowed - len(self._recent(caller, now_ms))

    def free_again_ms(self, caller: str, now_ms: int) -> int:
        """Return when `caller` gets its oldest request back; `now_ms` if it has sent none."""
        taken = self._recent(caller, now_ms)
        return taken[0] + self.window_ms if taken else now_ms

    def _recent(self, caller: str, now_ms: int) -> deque[int]:
        taken = self._taken[caller]
        # What lies ahead of now was taken under a clock fault that is over.
        while taken and not now_ms - self.window_ms < taken[0] <= now_ms:
            taken.popleft()
        return taken


class TokenBucket:
    """A lazily filled bucket per caller: `rate` requests a second, `burst` at once."""

    def __init__(self, rate: int, burst: int) -> None:
        self.rate = rate
        self.full = burst * 1000
        self._buckets: dict[str, tuple[int, int]] = {}

    def take(self, caller: str, now_ms: int) -> bool:
        """Take one request from the bucket of `caller` and say whether there was one."""
        thousandths, then_ms = self._buckets.get(caller, (self.full, now_ms))
        # A clock fault may set the time back: nothing flows out of the bucket then.
        thousandths = min(self.full, thousandths + max(0, now_ms - then_ms) * self.rate)
        enough = thousandths >= 1000
        self._buckets[caller] = (thousandths - 1000 if enough else thousandths, now_ms)
        return enough
