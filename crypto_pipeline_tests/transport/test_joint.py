"""Two counts at once: neither is ever overrun, and neither holds up what only the other counts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from crypto_pipeline.transport import JointBudget, MinuteWindow, SlidingWindow
from crypto_pipeline_tests.transport.test_budget import (
    Latency,
    MinuteCounter,
    RollingCounter,
    ask,
    jittery,
    keep_asking,
    steady,
)
from crypto_pipeline_tests.transport.virtual_time import now, run

FUNDING = "funding"


class TwofoldCounter:
    """An exchange that counts all in the minute, and some in a rolling window too."""

    def __init__(self) -> None:
        self.minute, self.rolling = MinuteCounter(), RollingCounter(300)

    def arrive(self, weight: int, key: str) -> Mapping[str, str]:
        if key == FUNDING:
            self.rolling.arrive(1, key)
        return self.minute.arrive(weight, key)


def budget(weight: int = 120, funding: int = 50) -> JointBudget:
    whole = MinuteWindow(weight, margin=0, clock=now)
    return JointBudget(whole, {FUNDING: SlidingWindow(funding, 300, clock=now)})


@pytest.mark.parametrize("latency", [steady(0.05), jittery(0.01, 4.0)], ids=["a short way", "an uneven way"])
def test_neither_count_is_overrun_and_both_are_nearly_used_up(latency: Latency) -> None:
    exchange = TwofoldCounter()

    async def work() -> None:
        joint = budget()
        async with asyncio.TaskGroup() as group:
            for key in (FUNDING, ""):
                group.create_task(keep_asking(joint, exchange.arrive, latency, until=1800, key=key))

    run(work())

    assert exchange.rolling.most == {FUNDING: 50}
    assert max(exchange.minute.used.values()) <= 120
    assert exchange.rolling.total >= 50 * 1800 // 300 - 50
    assert sum(exchange.minute.used.values()) > 0.9 * 120 * 30


def test_the_further_count_holds_up_only_its_own() -> None:
    """Five minutes for the one, nothing for the other."""
    exchange = TwofoldCounter()

    async def work() -> tuple[float, float]:
        joint = budget(weight=6000, funding=2)
        await asyncio.gather(*(ask(joint, exchange.arrive, steady(0.0), key=FUNDING) for _ in range(2)))
        held_up = asyncio.ensure_future(ask(joint, exchange.arrive, steady(0.0), key=FUNDING))
        await ask(joint, exchange.arrive, steady(0.0))
        other = now()
        await held_up
        return other, now()

    other, own = run(work())

    assert other < 1
    assert 300 <= own < 301


def test_what_the_whole_refuses_leaves_nothing_behind_in_the_further_count() -> None:
    """A right that was given and is not used any more ends with its window, like any other."""

    async def work() -> float:
        joint = budget(weight=10, funding=1)
        with pytest.raises(ValueError, match="would wait for ever"):
            await joint.acquire(11, FUNDING)
        await joint.acquire(1, FUNDING)
        return now()

    assert 300 <= run(work()) < 301


def test_whoever_gives_up_while_the_whole_is_used_up_leaves_nothing_behind() -> None:
    async def work() -> float:
        joint = budget(weight=1, funding=1)
        await joint.acquire()
        waiting = asyncio.ensure_future(joint.acquire(1, FUNDING))
        await asyncio.sleep(0.5)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await joint.acquire(1, FUNDING)
        return now()

    # Were the right still held, this would wait for ever.
    assert 300 <= run(work()) < 361


def test_what_an_answer_tells_of_others_counts() -> None:
    async def work() -> float:
        joint = budget(weight=100)
        await asyncio.sleep(2)
        ticket = await joint.acquire(1, FUNDING)
        joint.release(ticket, {"x-mbx-used-weight-1m": "100"})
        await joint.acquire()
        return now()

    assert run(work()) >= 60


def test_a_block_holds_for_everybody() -> None:
    async def work() -> float:
        joint = budget()
        joint.block(30)
        await joint.acquire(1, FUNDING)
        return now()

    assert run(work()) >= 30


def test_who_is_shut_out_is_so_by_both_counts() -> None:
    async def work() -> tuple[float, float]:
        joint = budget()
        before = joint.shut_seconds()
        joint.shut(120)
        return before, joint.shut_seconds()

    assert run(work()) == (0, 120)


def test_both_counts_are_shared_by_all_who_name_the_same_file(tmp_path: Path) -> None:
    """As by two processes: each count under a name of its own, so that neither takes from the other."""
    file = tmp_path / "limits"

    async def work() -> tuple[float, float]:
        one, other = budget(weight=3, funding=2), budget(weight=3, funding=2)
        for joint in (one, other):
            joint.share(file, "binance")
        await one.acquire(1, FUNDING)
        await other.acquire(1, FUNDING)
        await one.acquire()
        await other.acquire()
        minute = now()
        await one.acquire(1, FUNDING)
        return minute, now()

    minute, window = run(work())

    assert 60 <= minute < 62
    assert 300 <= window < 365


def test_both_counts_are_told() -> None:
    async def work() -> tuple[int, str]:
        joint = budget()
        await joint.acquire(7, FUNDING)
        return joint.used, joint.describe()

    used, told = run(work())

    assert used == 7
    assert told == "weight 7 used, at most 120 per minute; funding: 1 requests, at most 50 per 300 s"
