"""
HTTP/1.1 on a socket, as far as simulated exchanges need it.

The protocol is h11's; what is here is what a web framework does not give: the target exactly as it was sent, and a
connection that can be cut before or in the middle of an answer.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate

import h11

from crypto_pipeline.sandbox.interface import Answer, Request

MAX_BODY = 1 << 20
COMPRESS_FROM = 1024


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
        except (ConnectionError, h11.RemoteProtocolError, asyncio.IncompleteReadError):
            pass  # the caller went away or does not speak HTTP
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
        head, body = await self._read()
        if head is None:
            return False
        request = _request(head, body, self._address, clock_ms())
        reply = respond(request)
        if reply.delay_seconds:
            await asyncio.sleep(reply.delay_seconds)
        if reply.answer is None:
            self._writer.transport.abort()
            return False
        await self._send(
            reply.answer, cut=reply.cut_body, may_compress="gzip" in request.headers.get("accept-encoding", "")
        )
        if reply.cut_body:
            self._writer.transport.abort()
            return False
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def _read(self) -> tuple[h11.Request | None, bytes]:
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
                    raise ConnectionError
            elif isinstance(event, h11.EndOfMessage):
                return head, body
            else:  # the caller closed the connection
                return None, b""

    async def _send(self, answer: Answer, *, cut: bool, may_compress: bool) -> None:
        body, headers = answer.body, {"date": formatdate(usegmt=True), **answer.headers}
        if may_compress and len(body) >= COMPRESS_FROM:
            # Level 1 and no time stamp: quick, and the same bytes every time.
            body, headers = gzip.compress(body, 1, mtime=0), {**headers, "content-encoding": "gzip"}
        headers["content-length"] = str(len(body))
        names = [(name.encode(), value.encode()) for name, value in headers.items()]
        sent = self._http.send(h11.Response(status_code=answer.status, headers=names)) or b""
        self._writer.write(sent)
        part = body[: len(body) // 2] if cut else body
        self._writer.write(self._http.send(h11.Data(data=part)) or b"")
        if not cut:
            self._writer.write(self._http.send(h11.EndOfMessage()) or b"")
        await self._writer.drain()


def _request(head: h11.Request, body: bytes, address: str, now_ms: int) -> Request:
    path, _, query = head.target.decode("latin-1").partition("?")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    return Request(head.method.decode(), path, query, headers, body, address, now_ms)
