"""
Finds a planted secret in whatever a run wrote.

Written without a look at `crypto_pipeline.redaction`: a form that the product forgets must not be
forgotten here too.
"""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import urllib.parse
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow.parquet as pq

SQLITE_MAGIC = b"SQLite format 3\0"


def forms(secret: str) -> dict[str, bytes]:
    """Return every form in which `secret` is searched for, by the form's name."""
    raw = secret.encode()
    found = {
        "plain": raw,
        "reversed": raw[::-1],
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "url": urllib.parse.quote(secret, safe="").encode(),
        "json": json.dumps(secret)[1:-1].encode(),
        "json twice": json.dumps(json.dumps(secret))[3:-3].encode(),
    }
    for lead in range(3):
        # Characters that mix with a neighbour are left out on both sides.
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            text = encode(b"\0" * lead + raw + b"\0" * 3)
            start = -(-lead * 8 // 6)
            stop = (lead + len(raw)) * 8 // 6
            found[f"{name} at {lead}"] = text[start:stop]
    if "\n" in secret:  # the body of a PEM key, line by line
        body = [line for line in secret.splitlines() if line and "-----" not in line]
        found |= {f"line {number}": line.encode() for number, line in enumerate(body)}
    return found


def hits(secrets: Mapping[str, str], haystacks: Iterator[tuple[str, bytes]]) -> list[str]:
    """Return `secret (form) in place` for every find; no value stands in the result."""
    wanted = [(name, form, needle) for name, value in secrets.items() for form, needle in forms(value).items()]
    return [
        f"{name} ({form}) in {place}"
        for place, text in haystacks
        for name, form, needle in wanted
        if len(needle) >= 6 and needle in text
    ]


def everything_under(root: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file under `root`, and what is packed inside of databases, gzip and Parquet."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            yield str(path), content
            yield from _unpacked(path, content)


def _unpacked(path: Path, content: bytes) -> Iterator[tuple[str, bytes]]:
    if content.startswith(SQLITE_MAGIC):
        yield from _cells(path)
    elif path.suffix == ".parquet":
        yield f"{path} as text", str(pq.read_table(path).slice(0, 5000).to_pylist()).encode()
        yield f"{path} footer", str(pq.read_metadata(path).metadata).encode()
    elif content.startswith(b"\x1f\x8b"):
        yield f"{path} unzipped", gzip.decompress(content)


def _cells(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every text and blob of a database, inflated where it is compressed."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for row in database.execute(f'select * from "{table}"'):  # noqa: S608 - names from the file itself
                for cell in row:
                    if isinstance(cell, bytes):
                        yield f"{path}:{table}", cell
                        yield from _inflated(f"{path}:{table} inflated", cell)
                    elif isinstance(cell, str):
                        yield f"{path}:{table}", cell.encode()


def _inflated(place: str, blob: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        yield place, zlib.decompress(blob)
    except zlib.error:
        return
