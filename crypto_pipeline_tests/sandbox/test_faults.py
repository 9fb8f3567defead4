"""Faults that a test can switch on."""

from __future__ import annotations

import math

import pytest

from crypto_pipeline.sandbox.faults import KINDS, Fault, Faults, answer_with
from crypto_pipeline.sandbox.interface import Answer, Request
from crypto_pipeline_tests.sandbox.asking import asked


class Echo:
    """An exchange that says what it was asked for."""

    name = "echo"

    def handle(self, request: Request) -> Answer:
        return Answer(200, request.path.encode(), {"content-type": "text/plain"})

    def rate_answer(self, request: Request, fault: str) -> Answer:
        return Answer(503, f"{fault} {request.path}".encode(), {"content-type": "text/plain"})


def test_a_fault_meets_its_exchange_and_paths_only() -> None:
    faults = Faults()
    faults.add(Fault("okx", "cut", path_prefix="/api/v5/market"))

    assert len(faults.take("okx", "/api/v5/market/candles")) == 1
    assert faults.take("okx", "/api/v5/public/time") == []
    assert faults.take("bybit", "/api/v5/market/candles") == []


def test_a_fault_may_be_counted() -> None:
    """Others go on until they are cleared."""
    faults = Faults()
    faults.add(Fault("okx", "cut", times=2))
    faults.add(Fault("okx", "latency", amount=1))

    met = [[fault.kind for fault in faults.take("okx", "/")] for _ in range(3)]
    faults.clear()

    assert met == [["cut", "latency"], ["cut", "latency"], ["latency"]]
    assert faults.take("okx", "/") == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("okx", "earthquake"), "no fault 'earthquake'"),
        (Fault("okx", "latency", amount=-1), "not below zero"),
        (Fault("okx", "clock", amount=math.nan), "number of seconds"),
        (Fault("okx", "latency", amount=math.inf), "number of seconds"),
        (Fault("okx", "cut", times=0), "at least one request"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(fault: Fault, said: str) -> None:
    faults = Faults()

    with pytest.raises(ValueError, match=said):
        faults.add(fault)

    assert faults.take("okx", "/") == []


def test_a_clock_may_be_set_back() -> None:
    faults = Faults()

    faults.add(Fault("okx", "clock", amount=-60))

    assert [fault.amount for fault in faults.take("okx", "/")] == [-60]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("status_5xx", b"unavailable /a"),
        ("maintenance", b"maintenance /a"),
        ("region_block", b"region_blocked /a"),
        ("rate_limited", b"rate_limited /a"),
        ("banned", b"banned /a"),
    ],
)
def test_some_faults_are_answered_in_the_exchanges_own_form(kind: str, said: bytes) -> None:
    reply = answer_with([Fault("echo", kind)], Echo(), asked("/a"))

    assert reply.answer is not None
    assert reply.answer.body == said


def test_the_others_are_faults_of_the_way() -> None:
    def reply(kind: str) -> tuple[int | None, bool]:
        found = answer_with([Fault("echo", kind)], Echo(), asked("/a"))
        return (found.answer.status if found.answer else None), found.cut_body

    assert reply("cut") == (None, False)
    assert reply("cut_body") == (200, True)
    assert reply("redirect") == (302, False)
    assert reply("malformed") == (200, False)
    assert reply("latency") == reply("clock") == (200, False)


def test_delays_add_up_and_go_with_other_faults() -> None:
    met = [Fault("echo", "latency", amount=1.5), Fault("echo", "latency", amount=0.5), Fault("echo", "cut")]

    reply = answer_with(met, Echo(), asked("/a"))

    assert (reply.answer, reply.delay_seconds) == (None, 2.0)


def test_a_page_in_place_of_an_answer_is_no_json() -> None:
    reply = answer_with([Fault("echo", "malformed")], Echo(), asked("/a"))

    assert reply.answer is not None
    assert reply.answer.body.startswith(b"<html>")
    assert reply.answer.headers["content-type"] == "text/html"


def test_without_a_fault_the_exchange_answers() -> None:
    reply = answer_with([], Echo(), asked("/a"))

    assert reply.answer == Answer(200, b"/a", {"content-type": "text/plain"})
    assert (reply.delay_seconds, reply.cut_body) == (0, False)


def test_every_kind_does_something() -> None:
    for kind in KINDS - {"clock"}:
        plain = answer_with([], Echo(), asked("/a"))

        assert answer_with([Fault("echo", kind, amount=1)], Echo(), asked("/a")) != plain
