"""
The only way out.

Every HTTP request this package makes to an exchange passes through `GuardedTransport`, which lets it leave only
for a place that is on the list, and only over TLS that verifies (plain HTTP on loopback). Do not build another
`httpx.AsyncClient` elsewhere; `test_architecture` fails if you do. What an answer means is not decided here.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import certifi
import httpx
from isal import igzip_lib, isal_zlib

from crypto_pipeline.errors import EgressDeniedError, ExchangeError, ExchangeUnavailableError, MalformedAnswerError
from crypto_pipeline.transport.egress import EgressTable

MAX_BODY_BYTES = 32 * 1024 * 1024
"""No answer we ask for is near this long; an endless one would fill the memory."""
_GZIP = 16 + 15
"""Gzip, with the widest window (zlib.h, `inflateInit2`)."""
_WHOLE_ANSWER = 3
"""An answer may take this many times the timeout of a single read or write."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    One answer.

    Fields:
        status: the HTTP status.
        headers: names in any case.
        body: unpacked.
        seconds: how long it took from sending to the last byte.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    seconds: float = 0.0


class GuardedTransport(httpx.AsyncBaseTransport):
    """A transport that asks the table about every request before it touches the network."""

    def __init__(self, table: EgressTable, inner: httpx.AsyncBaseTransport) -> None:
        self._table = table
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """
        Send a request that is on the list.

        Raises:
            EgressDeniedError: it is not, or is made to go elsewhere than its URL says.
        """
        self._table.check(request.method, request.url)
        # A connection to a listed host must not carry a request for another one behind the same front.
        is_same_host = request.headers.get("host") == request.url.netloc.decode("ascii")
        # httpcore's extensions `target` and `sni_hostname` replace the path and the host that were checked.
        if not is_same_host or not request.extensions.keys() <= {"timeout"}:
            msg = f"A request to {request.url.host} was made to go elsewhere than its address says, so it was not sent."
            raise EgressDeniedError(msg)
        response = await self._inner.handle_async_request(request)
        # httpx would build the request that a redirect asks for, even where it does not follow it.
        response.headers.pop("location", None)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def open_client(
    table: EgressTable, *, timeout_seconds: float = 10, connections: int = 16, ca_file: Path | None = None
) -> httpx.AsyncClient:
    """
    Return a client that reaches nothing but what is in the table.

    It ignores proxies and certificates named by the environment, follows no redirect, keeps no cookie and writes
    no URL to a log.

    Args:
        table: the places.
        timeout_seconds: for connecting, and for each read and write.
        connections: how many are open at most.
        ca_file: an authority trusted besides the public ones.
    """
    _silence_logs()
    inner = httpx.AsyncHTTPTransport(
        verify=_tls_context(ca_file),
        trust_env=False,
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
    )
    return httpx.AsyncClient(
        transport=GuardedTransport(table, inner),
        timeout=httpx.Timeout(timeout_seconds, pool=None),
        headers={"accept": "application/json", "accept-encoding": "gzip", "user-agent": "crypto-pipeline"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        trust_env=False,
    )


async def send(
    client: httpx.AsyncClient, request: httpx.Request, *, exchange: str, max_body_bytes: int = MAX_BODY_BYTES
) -> Answer:
    """
    Send one request and return the whole answer, whatever its status.

    No error that comes out names the URL or keeps the request.

    Args:
        client: from `open_client`.
        request: built by that client.
        exchange: its name for people, such as `Binance`.
        max_body_bytes: the longest body that is read, packed and unpacked.

    Raises:
        EgressDeniedError: the place is not on the list, or its certificate does not verify.
        ExchangeUnavailableError: no answer, or not all of it.
        MalformedAnswerError: a redirect, or a body that is too long or cannot be unpacked.
    """
    seconds = client.timeout.read or 0.0
    begun = time.monotonic()
    try:
        async with asyncio.timeout(seconds * _WHOLE_ANSWER):
            response = await client.send(request, stream=True)
            try:
                packed = await _read_body(response, exchange, max_body_bytes)
            finally:
                await response.aclose()
    except (TimeoutError, httpx.TimeoutException):
        msg = f"{exchange} did not answer in time (limit {seconds:g} s). Check the network, then run again."
        raise ExchangeUnavailableError(msg) from None
    except httpx.RequestError as error:
        raise _translated(error, exchange, request.url.host) from None
    if 300 <= response.status_code < 400:
        msg = f"{exchange} answered with a redirect (HTTP {response.status_code}); redirects are not followed."
        raise MalformedAnswerError(msg, status=response.status_code)
    body = _unpacked(packed, response.headers.get("content-encoding", ""), exchange, max_body_bytes)
    return Answer(response.status_code, response.headers, body, time.monotonic() - begun)


async def _read_body(response: httpx.Response, exchange: str, max_body_bytes: int) -> bytes:
    parts, length = [], 0
    async for part in response.aiter_raw():
        parts.append(part)
        length += len(part)
        if length > max_body_bytes:
            raise _too_long(exchange, max_body_bytes)
    return b"".join(parts)


def _unpacked(packed: bytes, encoding: str, exchange: str, max_body_bytes: int) -> bytes:
    """Unpack a body without ever holding more than the limit: a small one may unpack to gigabytes."""
    if encoding in {"", "identity"} or not packed:
        return packed
    if encoding.lower() not in {"gzip", "x-gzip"}:
        msg = f"{exchange} packed its answer in a way that was not asked for."
        raise MalformedAnswerError(msg)
    decoder = isal_zlib.decompressobj(wbits=_GZIP)
    try:
        body = decoder.decompress(packed, max_body_bytes + 1)
    except igzip_lib.IsalError:  # type: ignore[misc]  # the stub takes the class for an instance
        msg = f"{exchange} sent a packed answer that cannot be unpacked."
        raise MalformedAnswerError(msg) from None
    if len(body) > max_body_bytes:
        raise _too_long(exchange, max_body_bytes)
    if not decoder.eof:
        msg = f"{exchange} sent only a part of its packed answer. Run again."
        raise ExchangeUnavailableError(msg)
    if decoder.unused_data:
        # Legal gzip, but no server packs one answer into two parts, and reading only the first would lose rows.
        msg = f"{exchange} sent something after the end of its packed answer."
        raise MalformedAnswerError(msg)
    return body


def _too_long(exchange: str, max_body_bytes: int) -> MalformedAnswerError:
    return MalformedAnswerError(f"{exchange} sent an answer of more than {max_body_bytes / 1024 / 1024:g} MB.")


def _translated(error: httpx.RequestError, exchange: str, host: str) -> ExchangeError | EgressDeniedError:
    """Return our error for one of httpx's, without its text: that may quote the URL."""
    # A connection that was open and broke is the network's affair, whatever the TLS library says of the rest.
    tls = _tls_failure(error) if isinstance(error, httpx.ConnectError) else None
    if isinstance(tls, ssl.SSLCertVerificationError):
        return EgressDeniedError(
            f"The certificate of {host} does not verify ({tls.verify_message}), so nothing was sent to {exchange}. "
            "Check this machine's clock, and whether something between here and there intercepts TLS."
        )
    if tls is not None:
        return EgressDeniedError(
            f"{host} does not speak TLS 1.2 or newer, so nothing was sent to {exchange}. "
            "Check whether something between here and there intercepts TLS."
        )
    if isinstance(error, httpx.ConnectError):
        return ExchangeUnavailableError(f"{exchange} cannot be reached at {host}. Check the network, then run again.")
    return ExchangeUnavailableError(f"{exchange} cut the connection before its answer was complete. Run again.")


def _tls_failure(error: BaseException | None) -> ssl.SSLError | None:
    """Return the failed handshake behind an error; one that was merely cut off does not count."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLSyscallError):
            return error
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """
    Return a context that verifies names and chains against the public authorities.

    NOTE: not `ssl.create_default_context`, which would let SSLKEYLOGFILE write down the session's keys.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=certifi.where())
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def _silence_logs() -> None:
    """Keep URLs, which carry signatures, out of every log: httpx writes each one at level INFO."""
    logging.getLogger("httpx").addFilter(_is_warning)  # adding the same filter again changes nothing
    logging.getLogger("httpcore").setLevel(logging.WARNING)
