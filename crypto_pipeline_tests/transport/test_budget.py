"""Budgets against simulated exchanges that count in their own way: never over the limit, and little left unused."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping

import pytest

from crypto_pipeline.transport import Budget, MinuteWindow, SlidingWindow, TokenBucket
from crypto_pipeline_tests.transport.virtual_time import now, run

HEADER = "x-mbx-used-weight-1m"
Latency = Callable[[], float]
Arrive = Callable[[int, str], Mapping[str, str]]


async def ask(budget: Budget, arrive: Arrive, latency: Latency, *, weight: int = 1, key: str = "") -> None:
    """Send one request: it takes its time to get there, and its answer to come back."""
    ticket = await budget.acquire(weight, key)
    await asyncio.sleep(latency())
    headers = arrive(weight, key)
    await asyncio.sleep(latency())
    budget.release(ticket, headers)


async def keep_asking(
    budget: Budget,
    arrive: Arrive,
    latency: Latency,
    *,
    until: float,
    callers: int = 16,
    weights: tuple[int, ...] = (1,),
    key: str = "",
) -> None:
    """Let many callers ask without a pause."""

    async def caller(number: int) -> None:
        while now() < until:
            await ask(budget, arrive, latency, weight=weights[number % len(weights)], key=key)

    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(caller(number))


class RollingCounter:
    """An exchange that counts what arrived in the last `seconds`, per key."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.total = 0
        self.most: Counter[str] = Counter()
        self._arrived: dict[str, deque[float]] = {}

    def arrive(self, weight: int, key: str) -> Mapping[str, str]:
        arrived = self._arrived.setdefault(key, deque())
        while arrived and arrived[0] <= now() - self.seconds:
            arrived.popleft()
        arrived.extend([now()] * weight)
        self.total += weight
        self.most[key] = max(self.most[key], len(arrived))
        return {}


class BucketCounter:
    """An exchange with a token bucket; `lowest` is how empty it was."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self.tokens, self.filled_at, self.lowest, self.total = burst, 0.0, burst, 0

    def arrive(self, weight: int, _: str) -> Mapping[str, str]:
        self.tokens = min(self.burst, self.tokens + (now() - self.filled_at) * self.rate) - weight
        self.filled_at = now()
        self.lowest = min(self.lowest, self.tokens)
        self.total += weight
        return {}


class MinuteCounter:
    """An exchange that counts weight per minute of its own clock, which is `ahead` of ours."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.ahead = ahead
        self.used: Counter[int] = Counter()
        self.met: Counter[str] = Counter()
        """How much was used at most when a request of each caller arrived."""

    def arrive(self, weight: int, caller: str) -> Mapping[str, str]:
        minute = int((now() + self.ahead) // 60)
        self.used[minute] += weight
        self.met[caller] = max(self.met[caller], self.used[minute])
        return {HEADER: str(self.used[minute])}


def steady(seconds: float) -> Latency:
    return lambda: seconds


def jittery(least: float, most: float, seed: int = 7) -> Latency:
    """Return a latency that is mostly short and now and then long, so that requests overtake each other."""
    chance = random.Random(seed)
    return lambda: least + (most - least) * chance.random() ** 4


@pytest.mark.parametrize(
    "latency",
    [steady(0.0), steady(0.05), jittery(0.01, 0.4), jittery(0.01, 5.0)],
    ids=["no way at all", "a short way", "a way of changing length", "a way that is longer than the window"],
)
def test_a_sliding_window_is_never_overrun(latency: Latency) -> None:
    """However long and uneven the way: what arrives in any two seconds is within the limit."""
    exchange = RollingCounter(2)

    async def work() -> None:
        budget = SlidingWindow(20, 2, clock=now)
        await keep_asking(budget, exchange.arrive, latency, until=120, callers=40)

    run(work())

    assert exchange.most[""] <= 20
    assert exchange.total > 200


def test_a_sliding_window_is_nearly_used_up() -> None:
    """Safety must not cost the speed: with a usual way, over nine tenths of the limit are used."""
    exchange = RollingCounter(2)

    async def work() -> None:
        await keep_asking(SlidingWindow(20, 2, clock=now), exchange.arrive, steady(0.05), until=600)

    run(work())

    assert exchange.most[""] == 20
    assert exchange.total > 0.9 * 20 / 2 * 600


def test_each_key_has_its_own_window_and_limit() -> None:
    """One endpoint that is used up holds up no other."""
    exchange = RollingCounter(2)

    async def work() -> None:
        budget = SlidingWindow(20, 2, allowed_for={"candles": 40, "config": 5}, clock=now)
        async with asyncio.TaskGroup() as group:
            for key in ("candles", "config", "other"):
                group.create_task(keep_asking(budget, exchange.arrive, steady(0.02), until=60, callers=50, key=key))

    run(work())

    assert exchange.most == {"candles": 40, "config": 5, "other": 20}


def test_a_request_that_was_never_answered_still_counts() -> None:
    """Whether it arrived nobody knows."""
    exchange = RollingCounter(2)

    async def work() -> float:
        budget = SlidingWindow(5, 2, clock=now)
        for _ in range(5):
            ticket = await budget.acquire()
            exchange.arrive(1, "")
            budget.release(ticket)
        await budget.acquire()
        return now()

    waited = run(work())

    assert 2 <= waited < 2.1


def test_a_request_that_is_on_its_way_counts_until_it_is_answered() -> None:
    """It may arrive at the other end only now, long after it was sent."""

    async def work() -> float:
        budget = SlidingWindow(1, 2, clock=now)
        first = await budget.acquire()
        asyncio.get_running_loop().call_later(30, budget.release, first)
        await budget.acquire()
        return now()

    waited = run(work())

    assert 32 <= waited < 34.1


def test_a_weight_takes_as_many_places() -> None:
    exchange = RollingCounter(2)

    async def work() -> None:
        budget = SlidingWindow(20, 2, clock=now)
        await keep_asking(budget, exchange.arrive, steady(0.02), until=60, weights=(1, 3, 7))

    run(work())

    assert exchange.most[""] <= 20
    assert exchange.total > 400


@pytest.mark.parametrize(
    "latency", [steady(0.0), steady(0.3), jittery(0.02, 0.5)], ids=["no way at all", "a long way", "a changing way"]
)
def test_a_token_bucket_is_never_emptied(latency: Latency) -> None:
    """Our burst is smaller than the exchange's, so that requests may bunch on their way."""
    exchange = BucketCounter(10, 15)

    async def work() -> None:
        budget = TokenBucket(10, 10, clock=now)
        await keep_asking(budget, exchange.arrive, latency, until=300, callers=30)

    run(work())

    assert exchange.lowest >= 0
    assert exchange.total > 0.97 * 10 * 300


def test_a_token_bucket_fills_up_to_its_burst_and_no_further() -> None:
    async def work() -> list[float]:
        budget = TokenBucket(2, 4, clock=now)
        await asyncio.sleep(1000)
        sent = []
        for _ in range(6):
            await budget.acquire()
            sent.append(now() - 1000)
        return sent

    assert run(work()) == pytest.approx([0, 0, 0, 0, 0.5, 1.0])


def test_a_clock_that_is_set_back_neither_fills_nor_empties_a_bucket() -> None:
    times = iter([100.0, 100.0, 50.0, 50.0, 50.0, 50.0])

    async def work() -> None:
        budget = TokenBucket(1, 2, clock=lambda: next(times), sleep=_never)
        await budget.acquire()

    run(work())


@pytest.mark.parametrize("ahead", [-0.9, -0.3, 0.0, 0.3, 0.9])
@pytest.mark.parametrize("begin", [0.0, 46.0, 59.0], ids=["at the turn", "late in a minute", "just before the turn"])
def test_a_minute_is_never_overspent_though_the_clocks_differ(ahead: float, begin: float) -> None:
    """The exchange's minute begins up to a second before or after ours; a request then counts for both."""
    exchange = MinuteCounter(ahead)

    async def work() -> None:
        budget = MinuteWindow(6000, margin=120, clock=now)
        await asyncio.sleep(begin)
        await keep_asking(budget, exchange.arrive, jittery(0.004, 0.09), until=60 * 3 - 5, weights=(4,), callers=16)

    run(work())

    assert max(exchange.used.values()) <= 6000
    assert sum(exchange.used.values()) > 0.95 * 6000 * 2


def test_a_slow_and_even_use_of_a_minute_is_not_slowed_down_at_its_turn() -> None:
    """Counting the turn of the minute twice must cost next to nothing."""
    exchange = MinuteCounter(0.5)

    async def work() -> None:
        budget = MinuteWindow(600, margin=12, clock=now)

        async def caller() -> None:
            while now() < 595:
                await ask(budget, exchange.arrive, steady(0.05), weight=2)
                await asyncio.sleep(0.12)

        await asyncio.gather(*(caller() for _ in range(1)))

    run(work())

    assert max(exchange.used.values()) <= 600
    assert sum(exchange.used.values()) > 0.9 * 2 / 0.22 * 595


def test_a_neighbour_on_the_same_address_is_seen_in_the_header() -> None:
    """Two programs behind one address share one limit; the exchange tells the sum."""
    exchange = MinuteCounter()

    async def neighbour() -> None:
        while now() < 295:
            exchange.arrive(20, "neighbour")
            await asyncio.sleep(0.5)

    async def work() -> None:
        budget = MinuteWindow(6000, margin=120, clock=now)
        async with asyncio.TaskGroup() as group:
            group.create_task(neighbour())
            group.create_task(keep_asking(budget, exchange.arrive, jittery(0.01, 0.2), until=295, weights=(2,)))

    run(work())

    assert 5800 < exchange.met[""] <= 6000
    assert exchange.met["neighbour"] > 6000  # what he spends after we have stopped is his affair


def test_a_neighbour_who_stops_is_forgotten_with_the_next_minute() -> None:
    async def work() -> float:
        budget = MinuteWindow(100, margin=0, clock=now)
        await asyncio.sleep(10)
        budget.release(await budget.acquire(2), {HEADER: "100"})
        await budget.acquire(2)
        return now()

    assert run(work()) == pytest.approx(61)


def test_a_header_of_the_minute_before_that_comes_late_says_nothing() -> None:
    """Its large figure would cost the whole new minute."""

    async def work() -> float:
        budget = MinuteWindow(6000, margin=120, clock=now)
        await asyncio.sleep(59.5)
        late = await budget.acquire(2)
        await asyncio.sleep(2.0)
        budget.release(late, {HEADER: "5990"})
        await budget.acquire(2)
        return now()

    assert run(work()) == pytest.approx(61.5)


@pytest.mark.parametrize("text", ["", "many", "-5", "1.5", "²", "9" * 5000])
def test_a_header_that_is_no_count_is_passed_over(text: str) -> None:
    async def work() -> float:
        budget = MinuteWindow(100, margin=0, clock=now)
        await asyncio.sleep(10)
        budget.release(await budget.acquire(2), {HEADER: text})
        await budget.acquire(2)
        return now()

    assert run(work()) == pytest.approx(10)


@pytest.mark.parametrize(
    "build",
    [
        lambda: SlidingWindow(5, 1, clock=now),
        lambda: TokenBucket(5, 5, clock=now),
        lambda: MinuteWindow(10, margin=5, clock=now),
    ],
    ids=["sliding window", "token bucket", "minute window"],
)
class TestEveryBudget:
    def test_a_block_holds_for_everybody(self, build: Callable[[], Budget]) -> None:
        """One caller was told to wait; the others must not run into the same wall."""

        async def work() -> list[float]:
            budget, sent = build(), []
            budget.block(10)
            budget.block(3)  # a shorter one does not lift a longer one

            async def caller() -> None:
                await budget.acquire()
                sent.append(now())

            await asyncio.gather(*(caller() for _ in range(3)))
            return sent

        assert all(10 <= moment < 11 for moment in run(work()))

    def test_who_comes_first_goes_first(self, build: Callable[[], Budget]) -> None:
        async def work() -> list[int]:
            budget, order = build(), []

            async def caller(number: int) -> None:
                ticket = await budget.acquire(1 + number % 3)
                order.append(number)
                budget.release(ticket)

            await asyncio.gather(*(caller(number) for number in range(12)))
            return order

        assert run(work()) == list(range(12))

    def test_a_caller_who_gives_up_holds_up_nobody(self, build: Callable[[], Budget]) -> None:
        async def work() -> int:
            budget = build()
            budget.block(5)
            impatient = asyncio.ensure_future(budget.acquire())
            await asyncio.sleep(1)
            impatient.cancel()
            await asyncio.gather(impatient, return_exceptions=True)
            await budget.acquire()
            return budget.used

        assert run(work()) == 1

    def test_a_weight_over_the_limit_is_refused_instead_of_waiting_for_ever(self, build: Callable[[], Budget]) -> None:
        async def work() -> None:
            await build().acquire(6)

        with pytest.raises(ValueError, match="over a limit of 5"):
            run(work())

    def test_what_was_used_is_told_in_words(self, build: Callable[[], Budget]) -> None:
        async def work() -> tuple[int, str]:
            budget = build()
            await budget.acquire(3)
            return budget.used, budget.describe()

        used, words = run(work())

        assert used == 3
        assert "3" in words
        assert "at most" in words


def test_limits_that_differ_by_endpoint_are_told() -> None:
    async def work() -> str:
        return SlidingWindow(20, 2, allowed_for={"candles": 40, "config": 5}, clock=now).describe()

    assert run(work()) == "0 requests, at most 20 per 2 s (candles 40; config 5)"


def test_what_an_endpoint_is_asked_about_may_be_counted_apart() -> None:
    """The first word of a key says how many; each key has its own window."""

    async def work() -> list[float]:
        budget = SlidingWindow(20, 2, allowed_for={"funding": 2}, clock=now)
        given = []
        for key in (
            "funding BTC",
            "funding BTC",
            "funding ETH",
            "funding BTC",
            "ticker BTC",
            "ticker BTC",
            "ticker BTC",
        ):
            ticket = await budget.acquire(1, key)
            budget.release(ticket)
            given.append(ticket.sent_at)
        return given

    given = run(work())

    assert given[:3] == [0, 0, 0]
    assert given[3] == pytest.approx(2, abs=0.1)
    assert given[4:] == [given[3]] * 3


async def _never(_: float) -> None:
    pytest.fail("nobody has to wait here")
