"""
What a candle costs on its way from the wire to an exact Parquet file, beside ccxt, a plain script and the floor.

A server in a process of its own replays pages in Binance's shape, packed, as fast as they are asked for. Each
variant runs in a fresh process per round, in another order each time: CPU seconds of that process alone,
instructions where the kernel counts them, wall time and peak memory. `--months 12 --symbols 4` is a year of four.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import importlib
import importlib.metadata
import importlib.util
import json
import random
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from crypto_pipeline.lake import CANDLES, LocalLake, Partition, Provenance
from crypto_pipeline.market.ingest import candle_partition, ingest_month
from crypto_pipeline.market.months import MINUTE_MS, month_bounds, pages

ROUNDS = 1
PAGE = 1_000
SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "DOGE-USDT")
MONTHS = tuple(f"2025-{month:02d}" for month in range(1, 13))
NAMES = tuple(field.name for field in CANDLES.schema)
FLOATS = ("open_time", "open", "high", "low", "close", "volume")


# The server...


def page(start_ms: int, count: int) -> bytes:
    """Return klines as Binance writes them; the same for the same minute."""
    chance, rows, price = random.Random(start_ms), [], 60_000.0  # noqa: S311 - not for secrets
    for number in range(count):
        opened = start_ms + number * MINUTE_MS
        close = price * (1 + chance.uniform(-1e-4, 1e-4))
        volume = chance.uniform(0.1, 50)
        high, low = max(price, close) * 1.0001, min(price, close) * 0.9999
        cells = (price, high, low, close, volume)
        told = ",".join(f'"{cell:.8f}"' for cell in cells)
        rows.append(
            f'[{opened},{told},{opened + MINUTE_MS - 1},"{volume * price:.8f}",{chance.randint(1, 900)},'
            f'"{volume / 2:.8f}","{volume * price / 2:.8f}","0"]'
        )
        price = close
    return f"[{','.join(rows)}]".encode()


HEADERS = "".join(
    f"{name}: {value}\r\n"
    for name, value in {
        "content-type": "application/json;charset=UTF-8",
        "server": "nginx",
        "x-mbx-uuid": "5f2c1f1e-7a39-4b52-9f0e-0c2b3a1d4e5f",
        "x-mbx-used-weight": "2",
        "x-mbx-used-weight-1m": "2",
        "strict-transport-security": "max-age=31536000; includeSubdomains",
        "x-frame-options": "SAMEORIGIN",
        "x-content-type-options": "nosniff",
        "access-control-allow-origin": "*",
        "cache-control": "no-cache, no-store, must-revalidate",
        "via": "1.1 0123456789abcdef.cloudfront.net (CloudFront)",
        "x-amz-cf-pop": "FRA56-P1",
    }.items()
)


MARKETS = json.dumps(
    {
        "timezone": "UTC",
        "serverTime": 1_735_689_600_000,
        "rateLimits": [],
        "symbols": [
            {
                "symbol": symbol.replace("-", ""),
                "status": "TRADING",
                "baseAsset": symbol.partition("-")[0],
                "quoteAsset": symbol.partition("-")[2],
                "isSpotTradingAllowed": True,
                "isMarginTradingAllowed": False,
                "filters": [],
                "permissions": [],
                "permissionSets": [["SPOT"]],
            }
            for symbol in SYMBOLS
        ],
    }
).encode()


class Replay:
    """Answers from pages that were packed when they were first asked for."""

    def __init__(self) -> None:
        self._packed: dict[tuple[int, int], bytes] = {}

    def answer(self, head: bytes) -> bytes:
        """Return the answer to a request's head."""
        begin = re.search(rb"startTime=(\d+)", head)
        if begin is None:
            body = MARKETS if b"exchangeInfo" in head else b'{"serverTime":%d}' % (time.time() * 1000)
            return b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n%b" % (HEADERS.encode(), len(body), body)
        end, limit = re.search(rb"endTime=(\d+)", head), re.search(rb"limit=(\d+)", head)
        start_ms, most = int(begin[1]), int(limit[1]) if limit else 500
        count = min(most, (int(end[1]) - start_ms) // MINUTE_MS + 1) if end else most
        key = (start_ms, count)
        if key not in self._packed:
            self._packed[key] = gzip.compress(page(*key), 6)
        body = self._packed[key]
        head = f"HTTP/1.1 200 OK\r\n{HEADERS}content-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        return head + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on one connection until it is closed."""
        try:
            while True:
                writer.write(self.answer(await reader.readuntil(b"\r\n\r\n")))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def serve() -> None:
    """Serve on a free port, and print it."""
    server = await asyncio.start_server(Replay().serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# The variants; each takes the port, the symbols, the months and a folder, and returns the rows it has stored...

Work = Callable[[int, list[str], list[str], Path], int]


def ours(port: int, symbols: list[str], months: list[str], folder: Path) -> int:
    """Everything that a run does but Dagster: budget, record, checks, exact columns."""
    from crypto_pipeline.audit import JsonLinesAuditLog  # noqa: PLC0415 - each variant pays for its own imports
    from crypto_pipeline.exchanges import BinanceClient  # noqa: PLC0415

    async def run() -> int:
        client = BinanceClient(
            None, audit=JsonLinesAuditLog(folder / "audit.jsonl"), base_url=f"http://127.0.0.1:{port}"
        )
        async with client:
            lake = LocalLake(folder / "lake")
            return sum([(await ingest_month(client, lake, symbol=s, month=m)).rows for s in symbols for m in months])

    return asyncio.run(run())


def with_ccxt(port: int, symbols: list[str], months: list[str], folder: Path) -> int:
    """The usual loop: `fetch_ohlcv` page by page, six floats a row, Parquet with the defaults."""
    import ccxt.async_support as ccxt  # noqa: PLC0415

    async def run() -> int:
        exchange = ccxt.binance({"enableRateLimit": False, "options": {"fetchMarkets": {"types": ["spot"]}}})
        exchange.has["fetchCurrencies"] = False
        address = f"http://127.0.0.1:{port}/api/v3"
        exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], address)
        rows = 0
        try:
            await exchange.load_markets()
            for symbol in symbols:
                for month in months:
                    since, end_ms = month_bounds(month)
                    found: list[list[Any]] = []
                    while since < end_ms:
                        until = min(end_ms, since + PAGE * MINUTE_MS)
                        bounds = {"until": until - 1}
                        found += await exchange.fetch_ohlcv(symbol.replace("-", "/"), "1m", since, PAGE, bounds)
                        since = until
                    columns = dict(zip(FLOATS, zip(*found, strict=True), strict=True))
                    pq.write_table(pa.table(columns), folder / f"{symbol}-{month}.parquet")
                    rows += len(found)
        finally:
            await exchange.close()
        return rows

    return asyncio.run(run())


def plain(port: int, symbols: list[str], months: list[str], folder: Path) -> int:
    """What people write: httpx, json, pandas."""
    import httpx  # noqa: PLC0415
    import pandas  # noqa: PLC0415

    names = ["open_time", "open", "high", "low", "close", "volume", "close_time", "value", "trades", "tb", "tq", "x"]
    rows = 0
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for symbol in symbols:
            for month in months:
                found: list[list[Any]] = []
                for start_ms, end_ms in pages(*month_bounds(month), PAGE):
                    query = {"symbol": symbol, "interval": "1m", "startTime": start_ms, "endTime": end_ms - 1}
                    found += client.get("/api/v3/klines", params={**query, "limit": PAGE}).json()
                frame = pandas.DataFrame(found, columns=names)
                frame = frame.astype({name: "float64" for name in names if name not in {"open_time", "close_time"}})
                frame.to_parquet(folder / f"{symbol}-{month}.parquet")
                rows += len(frame)
    return rows


def floor(port: int, symbols: list[str], months: list[str], folder: Path) -> int:
    """One socket, the quickest way known here to unpack and to read, the same writer; nothing is checked."""
    from isal import isal_zlib  # noqa: PLC0415
    from pyarrow import csv  # noqa: PLC0415

    lake, rows = LocalLake(folder / "lake"), 0
    cells = [*NAMES[:6], "close_time", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume", "x"]
    options = csv.ConvertOptions(
        column_types=dict.fromkeys(cells, pa.int64()), include_columns=list(NAMES), check_utf8=False
    )

    def read(body: bytes) -> pa.Table:
        text = body[2:-2].replace(b"],[", b"\n").translate(None, b'".')
        return csv.read_csv(
            pa.BufferReader(text),
            read_options=csv.ReadOptions(use_threads=False, column_names=cells, block_size=len(text) + 1),
            parse_options=csv.ParseOptions(quote_char=False),
            convert_options=options,
        )

    with socket.create_connection(("127.0.0.1", port)) as wire:
        received = wire.makefile("rb")
        for symbol in symbols:
            for month in months:
                parts = []
                for start_ms, end_ms in pages(*month_bounds(month), PAGE):
                    query = f"symbol={symbol}&interval=1m&startTime={start_ms}&endTime={end_ms - 1}&limit={PAGE}"
                    wire.sendall(f"GET /api/v3/klines?{query} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
                    length = 0
                    while (line := received.readline()) != b"\r\n":
                        if line.startswith(b"content-length:"):
                            length = int(line[15:])
                    parts.append(read(isal_zlib.decompress(received.read(length), wbits=31)))
                table = pa.concat_tables(parts).combine_chunks()
                columns = [_scaled(table[each.name].chunk(0), each.type) for each in CANDLES.schema]
                provenance = Provenance("binance", "api.binance.com/api/v3/klines", month, month)
                partition: Partition = candle_partition("binance", symbol, month, wide=False)
                lake.write(partition, pa.table(columns, schema=CANDLES.schema), provenance)
                rows += table.num_rows
    return rows


def _scaled(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return whole numbers of hundred-millionths as decimals."""
    if not pa.types.is_decimal(kind):
        return values.cast(kind)
    wide = values.cast(pa.decimal128(19, 0))
    exact = pa.Array.from_buffers(pa.decimal128(38, 8), len(wide), wide.buffers())
    return exact.cast(kind)


VARIANTS: dict[str, Work] = {"ours": ours, "ccxt": with_ccxt, "httpx + json + pandas": plain, "floor": floor}
NEEDS = {"ccxt": "ccxt", "httpx + json + pandas": "pandas"}
IMPORTS = {
    "ours": ("crypto_pipeline.exchanges",),
    "ccxt": ("ccxt.async_support",),
    "httpx + json + pandas": ("httpx", "pandas"),
    "floor": ("isal.isal_zlib", "pyarrow.csv"),
}
"""What is loaded before the clock runs."""


# The rounds...


def run(name: str, port: int, symbols: int, months: int) -> None:
    """Run one variant in this process, and print what it took."""
    with tempfile.TemporaryDirectory() as folder:
        for module in IMPORTS[name]:
            importlib.import_module(module)
        started, spent = time.perf_counter(), time.process_time()
        rows = VARIANTS[name](port, list(SYMBOLS[:symbols]), list(MONTHS[:months]), Path(folder))
        seconds, cpu = time.perf_counter() - started, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": rows, "cpu": cpu, "wall": seconds, "rss": peak}))


@contextmanager
def running_server() -> Iterator[int]:
    """Run the server in a process of its own."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.candles", "--serve"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    try:
        yield int(server.stdout.readline() if server.stdout else "")
    finally:
        server.terminate()
        server.wait(timeout=20)


def measured(name: str, port: int, symbols: int, months: int, *, counts: bool) -> dict[str, float]:
    """Return what a fresh process took for one variant."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.candles", "--run", name, "--port", str(port)]
    command += ["--symbols", str(symbols), "--months", str(months)]
    perf = ["perf", "stat", "-x", ",", "-e", "instructions"] if counts else []
    done = subprocess.run([*perf, *command], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if counts:
        told["instructions"] = float(done.stderr.splitlines()[-1].split(",")[0])
    return told


def can_count() -> bool:
    """Tell whether the kernel counts instructions for us."""
    if shutil.which("perf") is None:
        return False
    tried = subprocess.run(["perf", "stat", "-x", ",", "-e", "instructions", "true"], capture_output=True, check=False)
    return tried.returncode == 0 and tried.stderr[:1].isdigit()


def compare(symbols: int, months: int) -> None:
    """Print the figures of all variants side by side."""
    counts = can_count()
    there = [name for name in VARIANTS if name not in NEEDS or importlib.util.find_spec(NEEDS[name])]
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in there}
    with running_server() as port:
        measured("floor", port, symbols, months, counts=False)  # packs all pages
        for _ in range(ROUNDS):
            for name in random.sample(there, len(there)):
                taken[name].append(measured(name, port, symbols, months, counts=counts))
    rows = int(taken["floor"][0]["rows"])
    print(f"medians of {ROUNDS}; {rows:,} rows, {symbols} symbols, {months} months; gzip, loopback")
    packages = ("httpx", "pyarrow", "isal", "ccxt", "pandas")
    print(", ".join(f"{name} {_version(name)}" for name in packages))
    print(f"{'':<24}{'CPU s/M rows':>14}{'x the floor':>13}{'ours is':>12}{'Ginstr/M':>10}{'rows/s':>10}{'MB':>6}")
    for name in there:
        _line(name, taken, rows, counts=counts)
    for name in VARIANTS.keys() - set(there):
        print(f"{name:<24}not installed: pip install {NEEDS[name]}")


def _line(name: str, taken: dict[str, list[dict[str, float]]], rows: int, *, counts: bool) -> None:
    def median(of: str) -> float:
        return statistics.median(each[of] for each in taken[name])

    def ratio(other: str) -> float:
        pairs = zip(taken[name], taken[other], strict=True)
        return statistics.median(one["cpu"] / another["cpu"] for one, another in pairs)

    instructions = f"{median('instructions') / rows / 1000:10.2f}" if counts else f"{'-':>10}"
    print(
        f"{name:<24}{median('cpu') / rows * 1e6:14.2f}{ratio('floor'):12.2f}x{ratio('ours'):11.1f}x{instructions}"
        f"{rows / median('wall'):10,.0f}{median('rss'):6.0f}"
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def main() -> None:
    """Print all of it, or be the server or one variant of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=1, choices=range(1, len(SYMBOLS) + 1))
    parser.add_argument("--months", type=int, default=3, choices=range(1, len(MONTHS) + 1))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--run", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.serve:
        asyncio.run(serve())
    elif told.run:
        run(told.run, told.port, told.symbols, told.months)
    else:
        compare(told.symbols, told.months)


if __name__ == "__main__":
    main()
