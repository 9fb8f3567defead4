"""A server on loopback that answers everything in one way: what a broken store, or something in front of it, says."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class OddServer:
    """
    A running server.

    Fields:
        address: where it listens.
        requests: what was asked: path and headers.
        bodies: what came with it.
    """

    address: str
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)


@contextmanager
def odd_server(
    status: int | Mapping[str, int],
    body: bytes = b"",
    *,
    headers: Mapping[str, str] | None = None,
    length: int | None = None,
) -> Iterator[OddServer]:
    """
    Answer every request with this status and body.

    Args:
        status: the status, 0 to hang up; or one for each path, and 404 for all others.
        body: the body; JSON unless the headers say otherwise.
        headers: more headers.
        length: the length the answer claims, if not the body's own.
    """
    asked: list[tuple[str, Mapping[str, str]]] = []
    bodies: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        """Answers, and takes notes."""

        def do_GET(self) -> None:
            asked.append((self.path, dict(self.headers.items())))
            bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
            found = status.get(self.path, 404) if isinstance(status, Mapping) else status
            if not found:
                return
            self.send_response(found)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_LIST = do_SCAN = do_GET  # noqa: N815 - the names the server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the server's own name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield OddServer(f"http://127.0.0.1:{server.server_address[1]}", asked, bodies)
        finally:
            server.shutdown()
            thread.join()
