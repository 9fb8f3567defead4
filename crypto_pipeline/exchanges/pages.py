"""
One page of candles, as it came: to be read as records, or much quicker as columns.

Nearly all pages have one shape, character by character, but for their digits. Where the rest of a page is
exactly what it has to be, its digits are handed to Arrow as they are, and become exact decimals without a Python
object for each. A page that differs in anything (a space, an exponent, a number that does not fit, two rows for one
time) is not read here but row by row, by the parser that knows how to refuse. So both ways give the same numbers;
the quick one alone would take a whole number with zeros before it, which JSON does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from crypto_pipeline.errors import MalformedAnswerError
from crypto_pipeline.exchanges import rows
from crypto_pipeline.exchanges.interface import Candle

TIME, FINISHED = "open_time", "finished"
MOMENT: Final = pa.timestamp("ms", tz="UTC")

_DIGITS = b"0123456789."
_NO_COLUMN = ""


@dataclass(frozen=True, slots=True)
class RowShape:
    """
    What a row of an exchange's candles looks like without its digits and points.

    Fields:
        columns: what each cell is, in the order of the exchange; empty for one that is not kept.
        skeleton: the row without digits and points, such as `["","",""]`.
        labels: the names of the cells, where rows are objects; in the order of the cells.
        unit_ms: how many milliseconds the exchange's unit of time has.
    """

    columns: tuple[str, ...]
    skeleton: bytes
    labels: tuple[bytes, ...] = ()
    unit_ms: int = 1

    @property
    def boundary(self) -> bytes:
        """What stands between two rows."""
        return self.skeleton[-1:] + b"," + self.skeleton[:1]


@dataclass(frozen=True, slots=True)
class CandlePage:
    """
    The answer to one question for candles.

    Fields:
        body: what the exchange sent, unpacked.
        start_ms, end_ms: the half-open range that was asked for; what lies outside is left out.
        parse: reads the rows one by one, and refuses what is not in the exchange's shape.
        shape: what nearly all rows look like.
    """

    body: bytes = field(repr=False)
    start_ms: int
    end_ms: int
    parse: Callable[[bytes], list[Candle]]
    shape: RowShape

    def candles(self) -> list[Candle]:
        """
        Return the rows as records, oldest first.

        Raises:
            MalformedAnswerError: the answer is not in the shape of the exchange's documents.
        """
        return rows.within(self.parse(self.body), self.start_ms, self.end_ms)

    def taken_apart(self) -> bytes | None:
        """Return the rows as they came, if they are all of the shape and what stands around them is in order."""
        parts = _taken_apart(self.body, self.shape)
        if parts is None:
            return None
        inside, envelope = parts
        try:
            return None if self.parse(envelope) else inside
        except MalformedAnswerError:
            return None

    def columns(self, schema: pa.Schema) -> pa.Table | None:
        """Return the rows as columns; see `read_together`."""
        return read_together([self], schema)


def read_together(pages: Sequence[CandlePage], schema: pa.Schema) -> pa.Table | None:
    """
    Return the rows of pages that follow each other as columns, oldest first; None if they have to be read row by row.

    Args:
        pages: of one exchange, by time.
        schema: the fields of `Candle` by name and type, the first as `open_time`; what the exchange does not
            tell is null. A column `finished` (1, 0 or null) is added behind them.
    """
    insides = [page.taken_apart() for page in pages]
    whole = [inside for inside in insides if inside is not None]
    if not whole or len(whole) < len(insides):
        return None
    shape = pages[0].shape
    try:
        # All at once: to begin costs more than to read a page.
        read = _read(shape.boundary[1:2].join(whole), shape, schema)
    except pa.ArrowInvalid:
        return None
    counts = [inside.count(shape.boundary) + 1 for inside in whole]
    ordered = _oldest_first(read, counts, pages)
    return None if ordered is None else _completed(ordered, shape, schema)


def _taken_apart(body: bytes, shape: RowShape) -> tuple[bytes, bytes] | None:
    """Return the rows, and the answer without them; None if the rows are not all of the shape."""
    first, last = shape.skeleton[:1], shape.skeleton[-1:]
    begin, end = body.find(b"[" + first), body.rfind(last + b"]")
    if begin < 0 or end < begin:
        return None
    inside = body[begin + 1 : end + 1]
    bones, one = inside.translate(None, _DIGITS), shape.skeleton + b","
    if bones + b"," != one * ((len(bones) + 1) // len(one)):
        return None
    return inside, body[:begin] + b"[]" + body[end + 2 :]


def _read(inside: bytes, shape: RowShape, schema: pa.Schema) -> pa.Table:
    """Return the cells that are kept; times as the exchange counts them, in the order of the exchange."""
    text = inside.replace(shape.boundary, b"\n")
    for label in shape.labels:
        text = text.replace(label, b"")
    text = text.translate(None, b'"' + shape.skeleton[:1] + shape.skeleton[-1:])
    names = [name or f"unused {place}" for place, name in enumerate(shape.columns)]
    kinds = {each.name: each.type for each in _with_finished(schema)} | {TIME: pa.int64()}
    wanted = [name for name in shape.columns if name != _NO_COLUMN]
    read = csv.read_csv(
        pa.BufferReader(text),
        read_options=csv.ReadOptions(use_threads=False, column_names=names, block_size=len(text) + 1),
        parse_options=csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types={name: kinds[name] for name in wanted},
            include_columns=wanted,
            null_values=[],  # an empty cell is an error, and read row by row
            check_utf8=False,
        ),
    ).combine_chunks()
    read.validate(full=True)  # the reader lets pass what has more digits than its column
    return read


def _with_finished(schema: pa.Schema) -> pa.Schema:
    return schema.append(pa.field(FINISHED, pa.int8()))


def _oldest_first(table: pa.Table, counts: Sequence[int], pages: Sequence[CandlePage]) -> pa.Table | None:
    """Return the rows by time; None unless each page rises or falls, and holds what was asked for."""
    unit_ms = pages[0].shape.unit_ms
    if not _rises(table[TIME]):
        ends = list(accumulate(counts))
        backwards = [
            row for count, end in zip(counts, ends, strict=True) for row in range(end - 1, end - count - 1, -1)
        ]
        table = table.take(pa.array(backwards))
        if not _rises(table[TIME]):
            return None
    end = 0
    for count, page in zip(counts, pages, strict=True):
        first, last = table[TIME][end].as_py() * unit_ms, table[TIME][end + count - 1].as_py() * unit_ms
        end += count
        if not page.start_ms <= first <= last < page.end_ms:
            return None
    return table


def _rises(times: pa.ChunkedArray) -> bool:
    if len(times) == 1:
        return True
    return bool(pc.all(pc.less(times.slice(0, len(times) - 1), times.slice(1))).as_py())


def _completed(table: pa.Table, shape: RowShape, schema: pa.Schema) -> pa.Table | None:
    """Return the table with times as times, and nulls for what the exchange does not tell."""
    if FINISHED in table.column_names and not set(pc.unique(table[FINISHED]).to_pylist()) <= {0, 1}:
        return None
    times = table[TIME] if shape.unit_ms == 1 else pc.multiply(table[TIME], pa.scalar(shape.unit_ms))
    columns = {name: table[name] for name in table.column_names} | {TIME: times.cast(MOMENT)}
    wanted = _with_finished(schema)
    return pa.table(
        [columns[each.name] if each.name in columns else pa.nulls(table.num_rows, each.type) for each in wanted],
        schema=wanted,
    )
