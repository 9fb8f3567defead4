"""The sandbox as a server: its faults on the line, its ports, its beginning and end."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline.sandbox.server import NAMES, Sandbox, running_sandbox
from crypto_pipeline_tests.sandbox.asking import NOW_MS, signed_bybit

TIMEOUT_SECONDS = 20
PAGE = "/api/v3/klines?symbol=BTCUSDT&interval=1m"


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with running_sandbox(clock=lambda: NOW_MS / 1000, limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    """A sandbox without faults, whose log is empty."""
    running.clear_requests()
    yield running
    running.clear_faults()


def connection(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(url.removeprefix("http://"), timeout=TIMEOUT_SECONDS)


def fetched(url: str, path: str, *, method: str = "GET", body: object = None) -> tuple[int, bytes, dict[str, str]]:
    line = connection(url)
    try:
        line.request(method, path, None if body is None else json.dumps(body))
        response = line.getresponse()
        return response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
    finally:
        line.close()


def test_every_exchange_and_the_control_listen_on_ports_of_their_own(sandbox: Sandbox) -> None:
    assert set(sandbox.urls) == {*NAMES, "control"}
    assert len(set(sandbox.urls.values())) == 8
    assert all(url.startswith("http://127.0.0.1:") for url in sandbox.urls.values())
    status, body, _ = fetched(sandbox.control_url, "/health")
    assert (status, json.loads(body)) == (200, {"urls": sandbox.urls})


def test_a_latency_is_waited_for_and_holds_nobody_else_up(sandbox: Sandbox) -> None:
    sandbox.add_fault("binance", "latency", amount=0.5, path_prefix="/api/v3/time")
    started = time.monotonic()
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(fetched, sandbox.urls["binance"], "/api/v3/time")
        quick = fetched(sandbox.urls["binance"], "/api/v3/ping")
        quick_seconds = time.monotonic() - started
        status, _, _ = slow.result()

    assert (quick[0], status) == (200, 200)
    assert time.monotonic() - started >= 0.5 > quick_seconds


def test_a_cut_connection_has_no_answer(sandbox: Sandbox) -> None:
    """It is in the log without a status."""
    sandbox.add_fault("binance", "cut", times=1)

    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        fetched(sandbox.urls["binance"], "/api/v3/ping")

    assert fetched(sandbox.urls["binance"], "/api/v3/ping")[0] == 200
    assert [entry["status"] for entry in sandbox.requests()] == [None, 200]


def test_a_cut_body_ends_in_the_middle(sandbox: Sandbox) -> None:
    whole = fetched(sandbox.urls["binance"], PAGE)[1]
    sandbox.add_fault("binance", "cut_body", times=1)

    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)) as cut:
        fetched(sandbox.urls["binance"], PAGE)

    if isinstance(cut.value, http.client.IncompleteRead):
        assert cut.value.partial == whole[: len(cut.value.partial)]
        assert cut.value.expected is not None
        assert len(cut.value.partial) + cut.value.expected == len(whole)


@pytest.mark.parametrize("seconds", [90, -90])
def test_a_clock_fault_moves_the_exchanges_time(sandbox: Sandbox, seconds: int) -> None:
    """Candles and signatures are judged by that time; the other exchanges keep theirs."""
    sandbox.add_fault("bybit", "clock", amount=seconds)
    key = sandbox.keys.issue("bybit", KeyKind.READ_ONLY, now_ms=NOW_MS)
    request = signed_bybit(key)
    line = connection(sandbox.urls["bybit"])
    line.request(
        "GET", request.path, headers={name: value for name, value in request.headers.items() if name != "host"}
    )
    refused = json.loads(line.getresponse().read())
    line.close()

    told = json.loads(fetched(sandbox.urls["bybit"], "/v5/market/time")[1])
    other = json.loads(fetched(sandbox.urls["binance"], "/api/v3/time")[1])

    assert told["time"] == NOW_MS + seconds * 1000
    assert other == {"serverTime": NOW_MS}
    assert refused["retCode"] == 10002


def test_a_redirect_leads_nowhere(sandbox: Sandbox) -> None:
    sandbox.add_fault("okx", "redirect", times=1)

    status, body, headers = fetched(sandbox.urls["okx"], "/api/v5/public/time")

    assert (status, body) == (302, b"")
    assert headers["location"] == f"{sandbox.urls['okx']}/elsewhere"


def test_a_malformed_answer_is_a_page(sandbox: Sandbox) -> None:
    sandbox.add_fault("okx", "malformed", times=1)

    status, body, headers = fetched(sandbox.urls["okx"], "/api/v5/public/time")

    assert (status, headers["content-type"]) == (200, "text/html")
    assert body.startswith(b"<html>")


@pytest.mark.parametrize(
    ("exchange", "kind", "status"),
    [
        ("binance", "rate_limited", 429),
        ("binance", "banned", 418),
        ("binance", "region_block", 451),
        ("binance", "status_5xx", 503),
        ("bybit", "region_block", 403),
        ("okx", "maintenance", 200),
        ("coinbase", "rate_limited", 429),
        ("huggingface", "maintenance", 503),
    ],
)
def test_a_fault_has_its_exchanges_form(sandbox: Sandbox, exchange: str, kind: str, status: int) -> None:
    sandbox.add_fault(exchange, kind)

    assert fetched(sandbox.urls[exchange], "/")[0] == status


def test_an_unknown_exchange_has_no_faults(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="no exchange 'kraken'; there are binance"):
        sandbox.add_fault("kraken", "cut")


def test_the_log_names_who_asked_for_what(sandbox: Sandbox) -> None:
    key = sandbox.keys.issue("binance", KeyKind.READ_ONLY, now_ms=NOW_MS)
    line = connection(sandbox.urls["binance"])
    line.request("GET", "/api/v3/time?signature=abc", headers={"X-MBX-APIKEY": key.api_key})
    line.getresponse().read()
    line.close()

    assert sandbox.requests() == [
        {
            "exchange": "binance",
            "method": "GET",
            "path": "/api/v3/time",
            "query": "signature=left-out",
            "key": key.api_key,
            "status": 400,
            "time_ms": NOW_MS,
        }
    ]


def test_another_process_can_switch_faults_and_read_the_log(sandbox: Sandbox) -> None:
    def control(method: str, path: str, body: object = None) -> Any:
        return json.loads(fetched(sandbox.control_url, path, method=method, body=body)[1])

    control("POST", "/faults", {"exchange": "okx", "kind": "status_5xx"})
    failed = fetched(sandbox.urls["okx"], "/api/v5/public/time")[0]
    control("DELETE", "/faults")
    healed = fetched(sandbox.urls["okx"], "/api/v5/public/time")[0]

    assert (failed, healed) == (503, 200)
    assert [entry["status"] for entry in control("GET", "/requests")] == [503, 200]


def test_many_callers_at_once_are_all_answered(sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: fetched(sandbox.urls["bybit"], "/v5/market/time")[0], range(200)))

    assert found == [200] * 200
    assert len(sandbox.requests()) == 200


def test_it_stops_and_starts_again_on_the_same_ports() -> None:
    """Open connections do not hold it up."""
    with running_sandbox() as first:
        ports = {name: int(url.rsplit(":", 1)[1]) for name, url in first.urls.items()}
        held = connection(first.urls["okx"])
        held.request("GET", "/api/v5/public/time")
        held.getresponse().read()
        started = time.monotonic()
    stopped_after = time.monotonic() - started
    with pytest.raises(ConnectionError):
        fetched(first.urls["okx"], "/api/v5/public/time")

    with running_sandbox(ports) as second:
        assert second.urls == first.urls
        assert fetched(second.urls["okx"], "/api/v5/public/time")[0] == 200
    held.close()
    assert stopped_after < 5


def test_it_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())

    with running_sandbox():
        assert [thread.name for thread in set(threading.enumerate()) - before] == ["sandbox"]

    assert set(threading.enumerate()) <= before


def test_a_port_in_use_is_named_and_nothing_stays_open() -> None:
    """The exchanges that listened already are closed again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        free = first_of_free_ports(1)
        said = f"cannot listen on port {port} for okx: address already in use"

        with pytest.raises(ConfigurationError, match=said), running_sandbox({"okx": port, "binance": free}):
            pass  # pragma: no cover - it does not start

    with running_sandbox({"binance": free, "okx": port}) as sandbox:
        assert sandbox.urls["binance"].endswith(f":{free}")


def test_a_port_that_cannot_be_is_named() -> None:
    said = "port 70000 for bybit: there is no such port"

    with pytest.raises(ConfigurationError, match=said), running_sandbox({"bybit": 70_000}):
        pass  # pragma: no cover - it does not start


def first_of_free_ports(count: int) -> int:
    """Return the first of so many neighbouring ports that nobody listens on at this moment."""
    for first in range(20_000 + NOW_MS % 7, 60_000, 97):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


def served(*arguments: str) -> subprocess.Popen[str]:
    """Start the command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "crypto_pipeline", "sandbox", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test runner in the background ignores SIGINT, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,  # noqa: PLW1509
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_the_command_announces_its_addresses_and_ends_when_told(number: signal.Signals) -> None:
    """Quietly, although a connection is still open."""
    first = first_of_free_ports(7)
    process = served("--port", str(first))
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(8)]
        urls = dict(re.findall(r"^(\w+) +(http://\S+)$", "".join(lines), re.MULTILINE))
        line = connection(urls["bybit"])
        line.request("GET", "/v5/market/time")
        status = line.getresponse().status
        process.send_signal(number)
        _, errors = process.communicate(timeout=TIMEOUT_SECONDS)
        line.close()
    finally:
        process.kill()
        process.communicate()

    names = [*NAMES, "control"]
    assert urls == {name: f"http://127.0.0.1:{first + offset}" for offset, name in enumerate(names)}
    assert (status, process.returncode, errors) == (200, 0, "")


def test_the_command_says_so_if_a_port_is_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = served("--port", str(port))
        output, errors = process.communicate(timeout=TIMEOUT_SECONDS)

    assert process.returncode == ConfigurationError.exit_code
    assert f"port {port} for binance" in (output + errors).replace("\n", " ")
    assert "Traceback" not in output + errors
