"""
HTTP/1.1 on a socket, as far as simulated exchanges need it.

The protocol is h11's; what is here is what a web framework does not give: the target exactly as it was sent, and a
connection that can be cut before or in the middle of an answer.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

import h11

from crypto_pipeline.sandbox.interface import Answer, Request

MAX_BODY = 1 << 20
COMPRESS_FROM = 1024
LINGER_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Reply:
    """
    An answer and what becomes of the connection.

    Fields:
        answer: None cuts the connection without one.
        delay_seconds: how long the caller waits for it.
        cut_body: whether the connection is cut in the middle of the body.
    """

    answer: Answer | None
    delay_seconds: float = 0.0
    cut_body: bool = False


Respond = Callable[[Request], Reply]


def connection_handler(
    respond: Respond, clock_ms: Callable[[], int]
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Return a handler for `asyncio.start_server` that answers each request with `respond`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        connection = _Connection(reader, writer, peer[0] if peer else "")
        try:
            while await connection.serve_one(respond, clock_ms):
                pass
        except (ConnectionError, asyncio.CancelledError):
            # The caller went away, or the sandbox stops. Nobody waits for this task, and Python 3.11 would print
            # a cancellation that comes out of it.
            pass
        finally:
            writer.close()

    return handle


class _Connection:
    """One connection, one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        self._reader = reader
        self._writer = writer
        self._address = address
        self._http = h11.Connection(h11.SERVER)

    async def serve_one(self, respond: Respond, clock_ms: Callable[[], int]) -> bool:
        """Answer one request and say whether another may follow."""
        try:
            head, body = await self._read()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint, clock_ms())
            return False
        if head is None:
            return False
        request = _request(head, body, self._address, clock_ms())
        reply = respond(request)
        if reply.delay_seconds:
            await asyncio.sleep(reply.delay_seconds)
        if reply.answer is None:
            self._writer.transport.abort()
            return False
        await self._send(reply.answer, request, cut=reply.cut_body)
        if reply.cut_body:
            self._writer.transport.abort()
            return False
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def _read(self) -> tuple[h11.Request | None, bytes]:
        """
        Return the next request, or none if the caller closed the connection.

        Raises:
            h11.RemoteProtocolError: what arrives is no HTTP, or too long.
        """
        head, body = None, b""
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(65_536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
                if len(body) > MAX_BODY:
                    raise h11.RemoteProtocolError("the body is too long", error_status_hint=413)
            elif isinstance(event, h11.EndOfMessage):
                return head, body
            else:
                return None, b""

    async def _refuse(self, status: int, now_ms: int) -> None:
        """Tell a caller that does not keep to HTTP so, and how."""
        body = f"{HTTPStatus(status).phrase}\n".encode()
        headers = {
            "date": formatdate(now_ms / 1000, usegmt=True),
            "content-type": "text/plain",
            "content-length": str(len(body)),
            "connection": "close",
        }
        await self._write(status, headers, body)
        # What still arrives is read and thrown away: closing over it would reset the connection, and the caller
        # would not see the answer.
        self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while await self._reader.read(65_536):
                    pass

    async def _send(self, answer: Answer, request: Request, *, cut: bool) -> None:
        body = answer.body
        headers = {"date": formatdate(request.now_ms / 1000, usegmt=True), **answer.headers}
        if "gzip" in request.headers.get("accept-encoding", "") and len(body) >= COMPRESS_FROM:
            # Level 1 and no time stamp: quick, and the same bytes every time.
            body, headers = gzip.compress(body, 1, mtime=0), {**headers, "content-encoding": "gzip"}
        headers["content-length"] = str(len(body))
        if request.method == "HEAD":
            body = b""
        await self._write(answer.status, headers, body, cut=cut)

    async def _write(self, status: int, headers: Mapping[str, str], body: bytes, *, cut: bool = False) -> None:
        """Send an answer, or its head and the first half of its body."""
        names = [(name.encode(), value.encode()) for name, value in headers.items()]
        reason = HTTPStatus(status).phrase.encode()
        parts = [self._http.send(h11.Response(status_code=status, headers=names, reason=reason))]
        parts.append(self._http.send(h11.Data(data=body[: len(body) // 2] if cut else body)))
        if not cut:
            parts.append(self._http.send(h11.EndOfMessage()))
        self._writer.write(b"".join(part for part in parts if part))
        await self._writer.drain()


def _request(head: h11.Request, body: bytes, address: str, now_ms: int) -> Request:
    path, _, query = head.target.decode("latin-1").partition("?")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    return Request(head.method.decode(), path, query, headers, body, address, now_ms)
