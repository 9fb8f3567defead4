"""
The sandbox: every simulated exchange on its own loopback port, and a control port for tests, in one process.

`running_sandbox` runs it in a thread for demo and tests; `serve` runs it in the foreground for the command line.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.sandbox.binance import BinanceExchange
from crypto_pipeline.sandbox.binance_perpetual import BinancePerpetualExchange
from crypto_pipeline.sandbox.bybit import BybitExchange
from crypto_pipeline.sandbox.coinbase import CoinbaseAdvanced
from crypto_pipeline.sandbox.coinbase_exchange import CoinbaseExchange
from crypto_pipeline.sandbox.control import control_answer
from crypto_pipeline.sandbox.faults import Fault, Faults, answer_with
from crypto_pipeline.sandbox.huggingface import HuggingFaceHub
from crypto_pipeline.sandbox.interface import Request, SimulatedExchange
from crypto_pipeline.sandbox.keys import KeyRing
from crypto_pipeline.sandbox.okx import OkxExchange
from crypto_pipeline.sandbox.requestlog import RequestLog, key_presented
from crypto_pipeline.sandbox.wire import Reply, connection_handler

HOST = "127.0.0.1"
CONTROL = "control"
NAMES = ("binance", "coinbase", "coinbase_exchange", "okx", "bybit", "huggingface", "binance_perpetual")
START_SECONDS = 20
STOP_SECONDS = 20


class Sandbox:
    """
    The simulated exchanges with their keys, faults and request log.

    Args:
        ports: the port of each exchange by name (and of `control`); 0 or absent takes a free one.
        clock: the time in seconds since the epoch.
        limits: whether rate limits are enforced.
    """

    def __init__(
        self,
        ports: Mapping[str, int] | None = None,
        *,
        clock: Callable[[], float] = time.time,
        limits: bool = True,
    ) -> None:
        self.keys = KeyRing()
        self.urls: dict[str, str] = {}
        self.log = RequestLog()
        self.faults = Faults()
        self._ports = dict(ports or {})
        self._clock = clock
        members: list[SimulatedExchange] = [
            BinanceExchange(self.keys, limits=limits),
            CoinbaseAdvanced(self.keys, limits=limits),
            CoinbaseExchange(self.keys, limits=limits),
            OkxExchange(self.keys, limits=limits),
            BybitExchange(self.keys, limits=limits),
            HuggingFaceHub(self.keys),
            BinancePerpetualExchange(limits=limits),
        ]
        self._exchanges = {member.name: member for member in members}

    @property
    def control_url(self) -> str:
        """The address of the control endpoint."""
        return self.urls[CONTROL]

    def requests(self) -> list[dict[str, Any]]:
        """Return every request so far: exchange, method, path, query, key, status, time_ms."""
        return self.log.all()

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self.log.clear()

    def add_fault(
        self, exchange: str, kind: str, *, amount: float = 0.0, path_prefix: str = "", times: int | None = None
    ) -> None:
        """
        Let an exchange misbehave; see `Fault`.

        Raises:
            ValueError: there is no such exchange or kind.
        """
        if exchange not in self._exchanges:
            msg = f"There is no exchange {exchange!r}; there are {', '.join(self._exchanges)}."
            raise ValueError(msg)
        self.faults.add(Fault(exchange, kind, amount, path_prefix, times))

    def clear_faults(self) -> None:
        """Let every exchange behave again."""
        self.faults.clear()

    def now_ms(self) -> int:
        """Return the sandbox's time."""
        return int(self._clock() * 1000)

    async def start(self) -> list[asyncio.Server]:
        """
        Listen on every port and fill `urls`.

        Raises:
            ConfigurationError: a port is in use.
        """
        servers: list[asyncio.Server] = []
        responders = {name: self._responder(name) for name in self._exchanges} | {CONTROL: self._control}
        try:
            for name, respond in responders.items():
                servers.append(await self._listen(name, respond))
        except ConfigurationError:
            await _close(servers)
            raise
        return servers

    async def _listen(self, name: str, respond: Callable[[Request], Reply]) -> asyncio.Server:
        port = self._ports.get(name, 0)
        try:
            server = await asyncio.start_server(connection_handler(respond, self.now_ms), HOST, port, backlog=256)
        except (OSError, OverflowError) as error:
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "there is no such port"
            msg = (
                f"The sandbox cannot listen on port {port} for {name}: {why.lower()}. "
                "Stop what uses it, or choose another first port; 0 takes free ones."
            )
            raise ConfigurationError(msg) from error
        self.urls[name] = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        return server

    def _responder(self, name: str) -> Callable[[Request], Reply]:
        exchange = self._exchanges[name]

        def respond(request: Request) -> Reply:
            met = self.faults.take(name, request.path)
            shift_ms = int(sum(fault.amount for fault in met if fault.kind == "clock") * 1000)
            shifted = replace(request, now_ms=request.now_ms + shift_ms)
            reply = answer_with(met, exchange, shifted)
            self.log.add(name, request, key_presented(request), reply.answer.status if reply.answer else None)
            return reply

        return respond

    def _control(self, request: Request) -> Reply:
        return Reply(control_answer(self, request))


@contextmanager
def running_sandbox(
    ports: Mapping[str, int] | None = None, *, clock: Callable[[], float] = time.time, limits: bool = True
) -> Iterator[Sandbox]:
    """
    Run a sandbox in a thread of its own and stop it at the end.

    Raises:
        ConfigurationError: a port is in use.
    """
    sandbox = Sandbox(ports, clock=clock, limits=limits)
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def work() -> None:
        stop = asyncio.Event()
        await _serve_until(stop, sandbox, lambda _: started.set_result((asyncio.get_running_loop(), stop)))

    def run() -> None:
        try:
            asyncio.run(work())
        except ConfigurationError as error:
            started.set_exception(error)

    thread = threading.Thread(target=run, name="sandbox", daemon=True)
    thread.start()
    loop, stop = started.result(START_SECONDS)
    try:
        yield sandbox
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(STOP_SECONDS)


def serve(first_port: int, announce: Callable[[Mapping[str, str]], None]) -> None:
    """
    Serve the sandbox until SIGINT or SIGTERM.

    Args:
        first_port: the first of eight ports in a row; 0 takes free ones.
        announce: is told the addresses, by name, once everything listens.

    Raises:
        ConfigurationError: a port is in use.
    """
    names = [*NAMES, CONTROL]
    ports = {name: first_port + offset for offset, name in enumerate(names)} if first_port else {}

    async def work() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await _serve_until(stop, Sandbox(ports), announce)

    asyncio.run(work())


async def _serve_until(stop: asyncio.Event, sandbox: Sandbox, announce: Callable[[Mapping[str, str]], None]) -> None:
    servers = await sandbox.start()
    announce(sandbox.urls)
    await stop.wait()
    await _close(servers)


async def _close(servers: list[asyncio.Server]) -> None:
    """Stop listening and end the connections that are open."""
    for server in servers:
        server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
