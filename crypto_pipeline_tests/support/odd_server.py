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
    """

    address: str
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)


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
        status: the status; or one for each path, and 404 for all others.
        body: the body; JSON unless the headers say otherwise.
        headers: more headers.
        length: the length the answer claims, if not the body's own.
    """
    asked: list[tuple[str, Mapping[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        """Answers, and takes notes."""

        def do_GET(self) -> None:
            asked.append((self.path, dict(self.headers.items())))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status.get(self.path, 404) if isinstance(status, Mapping) else status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name the server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the server's own name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield OddServer(f"http://127.0.0.1:{server.server_address[1]}", asked)
        finally:
            server.shutdown()
            thread.join()
