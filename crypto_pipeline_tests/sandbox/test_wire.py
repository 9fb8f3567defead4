"""HTTP on a socket, spoken to the sandbox byte by byte."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from http.client import HTTPResponse

import pytest

from crypto_pipeline.sandbox.server import Sandbox, running_sandbox
from crypto_pipeline.sandbox.wire import COMPRESS_FROM, MAX_BODY
from crypto_pipeline_tests.sandbox.asking import NOW_MS

TIMEOUT_SECONDS = 20
PAGE = "/api/v3/klines?symbol=BTCUSDT&interval=1m"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox(clock=lambda: NOW_MS / 1000, limits=False) as running:
        yield running


class Line:
    """One connection to one exchange."""

    def __init__(self, sandbox: Sandbox, exchange: str = "binance") -> None:
        host, port = sandbox.urls[exchange].removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS)

    def send(self, text: str) -> None:
        """Send text as it is."""
        self.socket.sendall(text.encode("latin-1"))

    def ask(self, target: str, *, method: str = "GET", headers: str = "") -> None:
        """Send one request."""
        self.send(f"{method} {target} HTTP/1.1\r\nHost: sandbox\r\n{headers}\r\n")

    def answer(self, method: str = "GET") -> tuple[HTTPResponse, bytes]:
        """Read one answer to its end."""
        response = HTTPResponse(self.socket, method=method)
        response.begin()
        return response, response.read()

    def is_closed(self) -> bool:
        """Say whether the other side has closed; waits until it does or sends."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def line(sandbox: Sandbox) -> Iterator[Line]:
    opened = Line(sandbox)
    yield opened
    opened.socket.close()


def test_a_connection_is_kept_for_the_next_request(line: Line) -> None:
    line.ask("/api/v3/ping")
    first, body = line.answer()
    line.ask("/api/v3/time")
    _, other = line.answer()

    assert (first.status, body) == (200, b"{}")
    assert json.loads(other) == {"serverTime": NOW_MS}


def test_two_requests_sent_at_once_are_answered_in_order(line: Line) -> None:
    line.send(
        "GET /api/v3/ping HTTP/1.1\r\nHost: sandbox\r\n\r\n"
        "GET /api/v3/time HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n\r\n"
    )

    with line.socket.makefile("rb") as stream:
        first, second = stream.read().split(b"HTTP/1.1 200")[1:]

    assert first.endswith(b"\r\n\r\n{}")
    assert second.endswith(b'\r\n\r\n{"serverTime":%d}' % NOW_MS)


def test_a_caller_may_ask_to_close(line: Line) -> None:
    line.ask("/api/v3/ping", headers="Connection: close\r\n")

    response, _ = line.answer()

    assert response.status == 200
    assert line.is_closed()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_but_get_is_answered(line: Line, method: str) -> None:
    line.ask("/api/v3/ping", method=method, headers="Content-Length: 2\r\n")
    line.send("{}")

    response, body = line.answer()

    assert response.status == 405
    assert json.loads(body)["code"] == -1000


def test_a_head_is_refused_without_a_body_and_the_connection_lives_on(line: Line) -> None:
    line.ask("/api/v3/ping", method="HEAD")
    response, body = line.answer("HEAD")
    line.ask("/api/v3/ping")
    again, _ = line.answer()

    assert (response.status, body) == (405, b"")
    assert int(response.headers["content-length"]) > 0
    assert again.status == 200


def test_the_target_arrives_as_it_was_sent(sandbox: Sandbox, line: Line) -> None:
    """A signature covers these very bytes."""
    sandbox.clear_requests()
    line.ask("/api/v3/%6blines?b=%2C&a=1&&a=%zz")
    line.answer()

    (entry,) = sandbox.requests()
    assert (entry["path"], entry["query"]) == ("/api/v3/%6blines", "b=%2C&a=1&&a=%zz")


def test_an_answer_tells_the_time_and_its_length(line: Line) -> None:
    line.ask("/api/v3/ping")

    response, body = line.answer()

    assert response.headers["date"] == "Mon, 02 Mar 2026 12:00:30 GMT"
    assert response.headers["content-length"] == str(len(body))
    assert response.headers["content-encoding"] is None


def test_a_long_answer_is_packed_for_those_who_can_unpack_it(line: Line) -> None:
    """The same one each time, to the byte."""
    line.ask(PAGE)
    _, plain = line.answer()
    line.ask(PAGE, headers="Accept-Encoding: gzip, deflate\r\n")
    response, packed = line.answer()
    line.ask(PAGE, headers="Accept-Encoding: gzip\r\n")
    _, again = line.answer()
    line.ask("/api/v3/ping", headers="Accept-Encoding: gzip\r\n")
    short, _ = line.answer()

    assert response.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) / 2
    assert len(plain) > COMPRESS_FROM
    assert packed == again
    assert short.headers["content-encoding"] is None


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("nonsense\r\n\r\n", 400),
        ("GET /api/v3/ping HTTP/1.1\r\n\r\n", 400),
        ("GET /api/v3/ping HTTP/1.1\r\nHost: sandbox\r\nContent-Length: many\r\n\r\n", 400),
        (f"GET /api/v3/ping?{'a' * 100_000} HTTP/1.1\r\nHost: sandbox\r\n\r\n", 431),
        (f"GET /api/v3/ping HTTP/1.1\r\nHost: sandbox\r\nX-Long: {'a' * 100_000}\r\n\r\n", 431),
    ],
    ids=["no HTTP", "no host", "no length", "a target too long", "a header too long"],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(line: Line, sent: str, status: int) -> None:
    line.send(sent)

    response, _ = line.answer()

    assert response.status == status
    assert response.headers["connection"] == "close"
    line.socket.shutdown(socket.SHUT_WR)
    assert line.is_closed()


def test_a_body_too_long_is_refused(line: Line) -> None:
    length = MAX_BODY + 70_000
    line.ask("/api/v3/ping", method="POST", headers=f"Content-Length: {length}\r\n")
    line.send("a" * length)

    response, body = line.answer()

    assert (response.status, body) == (413, b"Request Entity Too Large\n")


def test_who_stays_after_a_refusal_is_cut_off(line: Line) -> None:
    """What still arrives is thrown away for two seconds at most."""
    line.send("nonsense\r\n\r\n")
    line.answer()

    assert line.is_closed()


def test_a_caller_that_leaves_in_the_middle_harms_nobody(sandbox: Sandbox) -> None:
    for text in ("", "GET /api/v3/ti", "POST /api/v3/ping HTTP/1.1\r\nHost: sandbox\r\nContent-Length: 9\r\n\r\nabc"):
        leaving = Line(sandbox)
        leaving.send(text)
        leaving.socket.close()

    staying = Line(sandbox)
    staying.ask("/api/v3/ping")
    assert staying.answer()[0].status == 200
    staying.socket.close()
