"""The one way out, tried against real servers: TLS, redirects, packed and broken answers, and what the logs show."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import socket
import ssl
import threading
import time
import traceback
import zlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from crypto_pipeline.errors import (
    CryptoPipelineError,
    EgressDeniedError,
    ExchangeUnavailableError,
    MalformedAnswerError,
)
from crypto_pipeline.transport import Answer, EgressRule, EgressTable, open_client, send
from crypto_pipeline_tests.transport.servers import Authority, Heard, Speak, answer, saying, serving

PATH = "/v1/candles"
KEY = "planted-key-of-the-caller"
QUERY = "symbol=BTC&signature=9f3c8a77d0"


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    return asyncio.run(work)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority for this module; making keys takes time."""
    return Authority(tmp_path_factory.mktemp("authority"))


async def ask(
    port: int,
    *,
    scheme: str = "http",
    host: str = "localhost",
    path: str = f"{PATH}?{QUERY}",
    ca_file: Path | None = None,
    timeout_seconds: float = 5.0,
    most: int = 1 << 20,
    headers: dict[str, str] | None = None,
    extensions: dict[str, Any] | None = None,
) -> Answer:
    """Ask a server on this machine once, with a key in a header."""
    table = EgressTable([EgressRule(host, (PATH,), scheme=scheme, port=port)])
    client = open_client(table, timeout_seconds=timeout_seconds, connections=2, ca_file=ca_file)
    async with client:
        request = client.build_request(
            "GET", f"{scheme}://{host}:{port}{path}", headers={"x-key": KEY, **(headers or {})}, extensions=extensions
        )
        return await send(client, request, exchange="Binance", max_body_bytes=most)


def ask_one(speak: Speak, *, tls: ssl.SSLContext | None = None, heard: Heard | None = None, **how: Any) -> Answer:
    """Serve with `speak`, ask once and return the answer; `heard` gets what reached the server."""

    async def work() -> Answer:
        async with serving(speak, tls=tls) as server:
            try:
                return await ask(server.port, scheme="https" if tls else "http", **how)
            finally:
                if heard is not None:
                    heard.heads, heard.port = server.heads, server.port

    return run(work())


# TLS...


def test_a_certificate_that_verifies_lets_the_request_through(authority: Authority) -> None:
    heard = Heard()

    found = ask_one(saying(answer(b"[1]")), tls=authority.server("localhost"), ca_file=authority.file, heard=heard)

    assert (found.status, found.body) == (200, b"[1]")
    assert found.seconds > 0
    assert heard.heads[0].startswith(f"GET {PATH}?{QUERY} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(
    ("name", "days", "is_trusted", "why"),
    [
        pytest.param("localhost", 1, False, "unable to get local issuer certificate", id="an unknown authority"),
        pytest.param("api.other.test", 1, True, "Hostname mismatch", id="another name"),
        pytest.param("localhost", -1, True, "certificate has expired", id="ended"),
    ],
)
def test_a_certificate_that_does_not_verify_stops_everything(
    authority: Authority, name: str, days: int, *, is_trusted: bool, why: str
) -> None:
    """No byte of the request leaves, and the sentence says why and what to check."""
    heard = Heard()
    tls = authority.server(name, days=days)

    with pytest.raises(EgressDeniedError, match=why) as denied:
        ask_one(saying(answer()), tls=tls, ca_file=authority.file if is_trusted else None, heard=heard)

    assert heard.heads == []
    assert "localhost" in str(denied.value)
    assert "intercepts TLS" in str(denied.value)
    assert not denied.value.retryable


def test_certificates_named_by_the_environment_are_not_trusted(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who can set a variable must not be able to read the traffic."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(authority.file))
    monkeypatch.setenv("SSL_CERT_DIR", str(authority.file.parent))

    with pytest.raises(EgressDeniedError, match="does not verify"):
        ask_one(saying(answer()), tls=authority.server("localhost"))


def test_the_keys_of_a_session_are_not_written_down(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SSLKEYLOGFILE would let anybody who recorded the traffic read it."""
    log = tmp_path / "session-keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))

    ask_one(saying(answer()), tls=authority.server("localhost"), ca_file=authority.file)

    assert not log.exists()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_an_older_tls_is_refused(authority: Authority) -> None:
    """The server speaks TLS for itself here: asyncio would close before it says what it does not like."""
    tls = authority.server("localhost")
    tls.minimum_version = ssl.TLSVersion.TLSv1_1
    tls.maximum_version = ssl.TLSVersion.TLSv1_1
    tls.set_ciphers("DEFAULT:@SECLEVEL=0")
    shaken = []

    def shake_hands(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ssl.SSLError), tls.wrap_socket(connection, server_side=True):
            shaken.append("hands")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=shake_hands, args=[listener])
        server.start()
        with pytest.raises(EgressDeniedError, match=r"does not speak TLS 1\.2 or newer"):
            run(ask(listener.getsockname()[1], scheme="https", ca_file=authority.file))
        server.join(10)

    assert shaken == []


def test_a_handshake_that_is_cut_off_can_heal(authority: Authority) -> None:
    """It is the network's failure, not the certificate's."""

    async def work() -> Answer:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            return await ask(server.sockets[0].getsockname()[1], scheme="https", ca_file=authority.file)

    with pytest.raises(ExchangeUnavailableError) as failed:
        run(work())

    assert failed.value.retryable


def test_an_error_in_place_of_a_handshake_is_not_called_a_wrong_certificate(authority: Authority) -> None:
    """A plain HTTP server, or a captive portal, answers a handshake with text."""

    async def work() -> Answer:
        async def answer_anything(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer_anything, "127.0.0.1", 0)
        async with server:
            return await ask(server.sockets[0].getsockname()[1], scheme="https", ca_file=authority.file)

    with pytest.raises(EgressDeniedError, match="does not speak TLS"):
        run(work())


# Where it goes...


def test_a_place_that_is_not_listed_is_never_dialled() -> None:
    heard = Heard()

    with pytest.raises(EgressDeniedError):
        ask_one(saying(answer()), path="/v1/orders", heard=heard)

    assert heard.heads == []


@pytest.mark.parametrize(
    ("headers", "extensions"),
    [
        ({"host": "api.evil.test"}, None),
        ({"host": ""}, None),
        (None, {"sni_hostname": "api.evil.test"}),
        (None, {"target": b"/v1/orders"}),
        (None, {"trace": print}),
    ],
    ids=["a Host header", "an empty Host header", "a name for TLS", "a target", "anything else"],
)
def test_a_request_that_says_one_place_and_goes_to_another_is_not_sent(
    headers: dict[str, str] | None, extensions: dict[str, Any] | None
) -> None:
    """What was checked must be what is sent."""
    heard = Heard()

    with pytest.raises(EgressDeniedError, match="elsewhere"):
        ask_one(saying(answer()), headers=headers, extensions=extensions, heard=heard)

    assert heard.heads == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed(status: str) -> None:
    """The key in the header goes to nobody else."""

    async def work() -> list[bytes]:
        async with serving(saying(answer())) as other:
            wire = answer(b"", f"Location: http://localhost:{other.port}{PATH}", status=status)
            async with serving(saying(wire)) as server:
                with pytest.raises(MalformedAnswerError, match="redirects are not followed") as refused:
                    await ask(server.port)
                assert refused.value.status == int(status[:3])
            return other.heads

    assert asyncio.run(work()) == []


@pytest.mark.parametrize(
    "location", ["", "http://[", "//", "ftp://x", "http://localhost:99999/", "/\xff", "javascript:x"]
)
def test_a_redirect_to_nowhere_is_refused_the_same_way(location: str) -> None:
    with pytest.raises(MalformedAnswerError, match="redirects are not followed"):
        ask_one(saying(answer(b"", f"Location: {location}", status="302 Found")))


def test_proxies_named_by_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> tuple[Answer, list[bytes]]:
        async with serving(saying(answer(b"proxy"))) as proxy, serving(saying(answer(b"server"))) as server:
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            for name in ("NO_PROXY", "no_proxy"):
                monkeypatch.delenv(name, raising=False)
            return await ask(server.port), proxy.heads

    found, to_proxy = asyncio.run(work())

    assert found.body == b"server"
    assert to_proxy == []


def test_logins_of_a_netrc_file_are_not_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login somebody password planted-password")
    monkeypatch.setenv("NETRC", str(netrc))
    heard = Heard()

    ask_one(saying(answer()), heard=heard)

    assert b"authorization" not in heard.heads[0].lower()


def test_cookies_are_not_kept() -> None:
    """They would tie requests together, and could carry a session."""
    heard: list[bytes] = []

    async def work() -> None:
        wire = answer(b"{}", "Set-Cookie: session=abc; Path=/", "Set-Cookie: other=1; Domain=localhost")
        async with serving(saying(wire)) as server:
            table = EgressTable([EgressRule("localhost", (PATH,), scheme="http", port=server.port)])
            async with open_client(table) as client:
                for _ in range(2):
                    request = client.build_request("GET", f"http://localhost:{server.port}{PATH}")
                    await send(client, request, exchange="Binance")
                assert not client.cookies
            heard.extend(server.heads)

    asyncio.run(work())

    assert len(heard) == 2
    assert all(b"cookie" not in head.lower() for head in heard)


def test_a_request_says_no_more_about_us_than_it_must() -> None:
    heard = Heard()

    ask_one(saying(answer()), heard=heard)

    names = {line.split(":")[0].lower() for line in heard.heads[0].decode().splitlines()[1:] if line}
    assert names == {"host", "accept", "accept-encoding", "connection", "user-agent", "x-key"}
    assert b"user-agent: crypto-pipeline\r\n" in heard.heads[0].lower()


# Bodies...


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_a_packed_answer_is_unpacked(encoding: str) -> None:
    body = b'[["1", "2"]]' * 100

    found = ask_one(saying(answer(gzip.compress(body), f"Content-Encoding: {encoding}")))

    assert found.body == body


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_an_answer_that_is_not_packed_is_taken_as_it_is(encoding: str) -> None:
    assert ask_one(saying(answer(b"[]", f"Content-Encoding: {encoding}"))).body == b"[]"


def test_an_empty_answer_is_empty_whatever_its_packing() -> None:
    assert ask_one(saying(answer(b"", "Content-Encoding: gzip"))).body == b""


def test_a_small_answer_that_unpacks_to_gigabytes_is_refused() -> None:
    """A hundred kilobytes of zeros in zeros; only a megabyte of it is ever unpacked."""
    bomb = zlib.compressobj(1, wbits=31)
    wire = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(100)) + bomb.flush()

    with pytest.raises(MalformedAnswerError, match="more than 1 MB"):
        ask_one(saying(answer(wire, "Content-Encoding: gzip")))


@pytest.mark.parametrize("size", [(1 << 20) + 1, 3 << 20])
def test_a_long_answer_is_not_read_to_its_end(size: int) -> None:
    with pytest.raises(MalformedAnswerError, match="more than 1 MB"):
        ask_one(saying(answer(bytes(size))))


def test_the_longest_answer_is_taken() -> None:
    assert len(ask_one(saying(answer(bytes(1 << 20)))).body) == 1 << 20


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        pytest.param(b"not gzip at all", "gzip", "cannot be unpacked", id="not packed at all"),
        pytest.param(gzip.compress(b"{}")[:-9] + bytes(9), "gzip", "cannot be unpacked", id="a wrong sum"),
        pytest.param(gzip.compress(b"{}") + b"more", "gzip", "after the end", id="something behind it"),
        pytest.param(gzip.compress(b"[1]") + gzip.compress(b"[2]"), "gzip", "after the end", id="two in one"),
        pytest.param(zlib.compress(b"{}"), "deflate", "not asked for", id="packed otherwise"),
        pytest.param(gzip.compress(b"{}"), "br", "not asked for", id="said to be packed otherwise"),
        pytest.param(gzip.compress(gzip.compress(b"{}")), "gzip, gzip", "not asked for", id="packed twice"),
    ],
)
def test_an_answer_that_is_packed_wrongly_is_refused(body: bytes, encoding: str, why: str) -> None:
    with pytest.raises(MalformedAnswerError, match=why):
        ask_one(saying(answer(body, f"Content-Encoding: {encoding}")))


def test_a_packed_answer_that_lacks_its_end_can_heal() -> None:
    """A proxy closed early and made the length fit."""
    whole = gzip.compress(b"[[1, 2, 3]]" * 50)

    with pytest.raises(ExchangeUnavailableError, match="only a part"):
        ask_one(saying(answer(whole[: len(whole) // 2], "Content-Encoding: gzip")))


# Failures on the way...


async def _cut(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _cut_in_the_body(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(b"[1, 2", length=100))
    await writer.drain()
    writer.close()


@pytest.mark.parametrize(
    "speak",
    [_cut, _cut_in_the_body, saying(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), saying(b"HTTP/1.1 abc OK\r\n\r\n")],
    ids=["cut before the answer", "cut in its middle", "another protocol", "no status"],
)
def test_an_answer_that_does_not_come_whole_can_heal(speak: Speak) -> None:
    with pytest.raises(ExchangeUnavailableError, match="Binance cut the connection") as failed:
        ask_one(speak)

    assert failed.value.retryable


def test_an_exchange_that_is_not_there_can_heal() -> None:
    async def work() -> Answer:
        async with serving(saying(answer())) as server:
            port = server.port
        return await ask(port)

    with pytest.raises(ExchangeUnavailableError, match="cannot be reached at localhost"):
        run(work())


def test_silence_is_not_waited_for_without_end() -> None:
    async def nothing(_: bytes, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    with pytest.raises(ExchangeUnavailableError, match=r"did not answer in time \(limit 0\.1 s\)"):
        ask_one(nothing, timeout_seconds=0.1)


def test_an_answer_that_trickles_is_not_waited_for_without_end() -> None:
    """Each byte comes in time, but the whole never does."""

    async def trickle(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"", length=10_000))
        for __ in range(600):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    begun = time.monotonic()
    with pytest.raises(ExchangeUnavailableError, match="did not answer in time"):
        ask_one(trickle, timeout_seconds=0.2)

    assert time.monotonic() - begun < 5


def test_a_caller_who_gives_up_gets_out_as_such() -> None:
    """A cancelled task is not an exchange that failed."""

    async def nothing(_: bytes, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async def work() -> None:
        async with serving(nothing) as server:
            task = asyncio.ensure_future(ask(server.port))
            await server.came.wait()
            task.cancel()
            await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())


# What is shown...


FAILURES: dict[str, Speak] = {
    "cut": _cut,
    "cut in the middle": _cut_in_the_body,
    "redirect": saying(answer(b"", f"Location: http://localhost{PATH}?{QUERY}", status="302 Found")),
    "rubbish": saying(answer(f"{QUERY} {KEY}".encode(), "Content-Encoding: gzip")),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_an_error_shows_neither_query_nor_key(failure: str) -> None:
    """Not in its text, not in its traceback, not in what it holds."""
    with pytest.raises(CryptoPipelineError) as failed:
        ask_one(FAILURES[failure])

    shown = "".join(traceback.format_exception(failed.value)) + repr(failed.value.args)
    assert "9f3c8a77d0" not in shown
    assert KEY not in shown
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__ or failed.value.__context__ is None


def test_the_body_of_an_answer_is_not_shown_when_it_is_printed() -> None:
    found = ask_one(saying(answer(b"planted-body")))

    assert "planted-body" not in repr(found)


def test_no_log_shows_an_address(caplog: pytest.LogCaptureFixture) -> None:
    """Even with every logger at its most talkative."""
    caplog.set_level(logging.DEBUG)

    ask_one(saying(answer()))
    with pytest.raises(ExchangeUnavailableError):
        ask_one(_cut)

    text = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("asyncio"))
    assert QUERY not in text
    assert PATH not in text
    assert KEY not in text


def test_opening_many_clients_adds_one_filter() -> None:
    """Else each record would pass one more of them, for ever."""

    async def work() -> int:
        for _ in range(3):
            await open_client(EgressTable([])).aclose()
        return len(logging.getLogger("httpx").filters)

    assert asyncio.run(work()) == 1
