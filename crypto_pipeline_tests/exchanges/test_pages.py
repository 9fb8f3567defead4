"""A page that is read as columns gives the numbers that the exchange sent, or is left to the parser of rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_pipeline.errors import MalformedAnswerError
from crypto_pipeline.exchanges import Candle, binance, bybit, coinbase, okx
from crypto_pipeline.exchanges.pages import FINISHED, TIME, CandlePage, RowShape, read_together
from crypto_pipeline.lake import CANDLES, CANDLES_WIDE

MINUTE_MS = 60_000
BEGIN_MS = 1_759_276_800_000
FOR_EVER_MS = 10**14
fuzzed = settings(deadline=None, max_examples=100, database=None)


def _binance(rows: list[list[str]]) -> bytes:
    return json.dumps(
        [
            [int(t), o, h, low, c, v, int(t) + 59_999, q, int(n), bv, bq, "0"]
            for t, o, h, low, c, v, q, n, bv, bq in rows
        ],
        separators=(",", ":"),
    ).encode()


def _okx(rows: list[list[str]]) -> bytes:
    data = [[t, o, h, low, c, v, v, q, "1"] for t, o, h, low, c, v, q, *_ in reversed(rows)]
    return json.dumps({"code": "0", "msg": "", "data": data}, separators=(",", ":")).encode()


def _bybit(rows: list[list[str]]) -> bytes:
    found = [[t, o, h, low, c, v, q] for t, o, h, low, c, v, q, *_ in reversed(rows)]
    answer = {
        "retCode": 0,
        "retMsg": "OK",
        "result": {"category": "spot", "symbol": "BTCUSDT", "list": found},
        "retExtInfo": {},
        "time": 1759276800123,
    }
    return json.dumps(answer, separators=(",", ":")).encode()


def _coinbase(rows: list[list[str]]) -> bytes:
    found = [
        {"start": str(int(t) // 1000), "low": low, "high": h, "open": o, "close": c, "volume": v}
        for t, o, h, low, c, v, *_ in reversed(rows)
    ]
    return json.dumps({"candles": found}, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Exchange:
    """How one exchange writes candles, and how its client reads them."""

    write: Callable[[list[list[str]]], bytes]
    parse: Callable[[bytes], list[Candle]]
    shape: RowShape

    def page(self, body: bytes, start_ms: int = 1, end_ms: int = FOR_EVER_MS) -> CandlePage:
        """Return the answer as a page."""
        return CandlePage(body, start_ms, end_ms, self.parse, self.shape)


EXCHANGES: Mapping[str, Exchange] = {
    "binance": Exchange(_binance, binance.parse_candles, binance.ROW),
    "okx": Exchange(_okx, okx.parse_candles, okx.ROW),
    "bybit": Exchange(_bybit, bybit.parse_candles, bybit.ROW),
    "coinbase": Exchange(_coinbase, coinbase.parse_candles, coinbase.ROW),
}
each_exchange = pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)


def row(number: int = 0, **changes: str) -> list[str]:
    """Return the cells of one candle: time, open, high, low, close, volume, value, trades, taker's volume and value."""
    names = ("time", "open", "high", "low", "close", "volume", "value", "trades", "taker_volume", "taker_value")
    usual = (str(BEGIN_MS + number * MINUTE_MS), "2.5", "3", "1.25", "2", "10.125", "20.5", "7", "5", "10.25")
    return list((dict(zip(names, usual, strict=True)) | changes).values())


def records(table: pa.Table) -> list[Candle]:
    """Return the columns as the records that they stand for."""
    columns = {name: table[name].to_pylist() for name in table.column_names}
    times = [int(time.timestamp() * 1000) for time in columns.pop(TIME)]
    flags = [None if flag is None else bool(flag) for flag in columns.pop(FINISHED)]
    cells = zip(times, *columns.values(), flags, strict=True)
    return [Candle(*each) for each in cells]


DIGITS = st.text("0123456789", min_size=1, max_size=9)
NUMBERS = st.one_of(
    st.builds(lambda whole, part: f"{int(whole)}.{part}", DIGITS, st.text("0123456789", min_size=1, max_size=8)),
    DIGITS,
    st.sampled_from(["0.00000001", "1e-8", "0", "0.0", "000.10", "9999999999.99999999", "10000000000", ".5", "5."]),
    st.sampled_from(["1000000000000000", "0.000000000000000001", "12345678901234567890.123456789012345678"]),
)
ROWS = st.lists(st.tuples(*[NUMBERS] * 8), min_size=1, max_size=4).map(
    lambda cells: [
        [str(BEGIN_MS + place * MINUTE_MS), *numbers[:6], "12", *numbers[6:]] for place, numbers in enumerate(cells)
    ]
)


@each_exchange
@fuzzed
@given(rows=ROWS, wide=st.booleans())
def test_columns_hold_exactly_what_the_rows_hold(exchange: Exchange, rows: list[list[str]], wide: bool) -> None:
    """Whatever the numbers: equal as decimals, or not read as columns at all."""
    page = exchange.page(exchange.write(rows))

    table = page.columns((CANDLES_WIDE if wide else CANDLES).schema)

    assert table is None or records(table) == page.candles()


@each_exchange
def test_a_usual_page_is_read_as_columns(exchange: Exchange) -> None:
    """Else the quick way would be no way."""
    page = exchange.page(exchange.write([row(number) for number in range(300)]))

    for data_set in (CANDLES, CANDLES_WIDE):
        table = page.columns(data_set.schema)

        assert table is not None
        assert records(table) == page.candles()
        assert table.drop_columns([FINISHED]).schema.equals(data_set.schema)


@each_exchange
@pytest.mark.parametrize("count", [1, 2])
def test_a_page_of_few_rows_is_a_page(exchange: Exchange, count: int) -> None:
    page = exchange.page(exchange.write([row(number) for number in range(count)]))

    table = page.columns(CANDLES.schema)

    assert table is not None
    assert records(table) == page.candles()


@each_exchange
def test_a_page_with_rows_that_were_not_asked_for_is_left_to_the_parser_of_rows(exchange: Exchange) -> None:
    """It leaves them out."""
    body = exchange.write([row(number) for number in range(5)])
    page = exchange.page(body, BEGIN_MS + MINUTE_MS, BEGIN_MS + 3 * MINUTE_MS)

    assert page.columns(CANDLES.schema) is None
    assert [candle.open_time_ms for candle in page.candles()] == [BEGIN_MS + MINUTE_MS, BEGIN_MS + 2 * MINUTE_MS]


def _pages(exchange: Exchange, *counts: int) -> list[CandlePage]:
    """Return pages that follow each other, with so many rows each."""
    begin, found = 0, []
    for count in counts:
        body = exchange.write([row(begin + number) for number in range(count)])
        found.append(exchange.page(body, *(BEGIN_MS + minute * MINUTE_MS for minute in (begin, begin + count))))
        begin += count
    return found


@each_exchange
@pytest.mark.parametrize("counts", [(3,), (1, 1), (5, 1, 4), (1, 2, 3, 4)])
def test_pages_that_are_read_together_follow_each_other(exchange: Exchange, counts: tuple[int, ...]) -> None:
    """Also where an exchange tells the newest row first."""
    found = _pages(exchange, *counts)

    table = read_together(found, CANDLES.schema)

    assert table is not None
    assert records(table) == [candle for page in found for candle in page.candles()]


@each_exchange
def test_one_odd_page_among_others_leaves_all_to_be_read_alone(exchange: Exchange) -> None:
    first, second = _pages(exchange, 2, 2)
    odd = exchange.page(exchange.write([row(2, open="1e-8"), row(3)]))

    assert read_together([first, odd], CANDLES.schema) is None
    assert read_together([first, first], CANDLES.schema) is None
    assert read_together([second, first], CANDLES.schema) is None
    assert read_together([], CANDLES.schema) is None


def _swapped(rows: list[list[str]]) -> list[list[str]]:
    return [rows[1], rows[0], *rows[2:]]


LEFT_TO_ROWS: Mapping[str, Callable[[list[list[str]]], list[list[str]]]] = {
    "no rows": lambda _: [],
    "a row twice": lambda rows: [rows[0], *rows],
    "rows in no order": _swapped,
    "an exponent": lambda rows: [row(open="1e-8"), *rows[1:]],
    "an empty cell": lambda rows: [row(open=""), *rows[1:]],
    "two points": lambda rows: [row(open="1.2.3"), *rows[1:]],
    "a point alone": lambda rows: [row(open="."), *rows[1:]],
    "a sign": lambda rows: [row(open="-1"), *rows[1:]],
    "white space": lambda rows: [row(open=" 1"), *rows[1:]],
    "another script": lambda rows: [row(open="\u0661"), *rows[1:]],
    "not a number": lambda rows: [row(open="NaN"), *rows[1:]],
    "too large for the column": lambda rows: [row(open="10000000000"), *rows[1:]],
    "too fine for the column": lambda rows: [row(open="0.123456789"), *rows[1:]],
    "a time of no year": lambda rows: [row(time="999999999999999999"), *rows[1:]],
    "a time before all": lambda rows: [row(time="0"), *rows[1:]],
}


@each_exchange
@pytest.mark.parametrize("spoil", LEFT_TO_ROWS.values(), ids=LEFT_TO_ROWS)
def test_what_differs_from_a_usual_page_is_left_to_the_parser_of_rows(
    exchange: Exchange, spoil: Callable[[list[list[str]]], list[list[str]]]
) -> None:
    body = exchange.write(spoil([row(number) for number in range(3)]))

    assert exchange.page(body).columns(CANDLES.schema) is None


@each_exchange
@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body[:-1],
        lambda body: body[: len(body) // 2],
        lambda body: body + b"]",
        lambda body: body.replace(b',"', b', "'),
        lambda body: b"[" + body,
        lambda _: b"",
        lambda _: b"[]",
        lambda _: b"<html>[[1]]</html>",
    ],
    ids=["cut", "half", "longer", "a space", "an opening more", "empty", "an empty list", "a page for people"],
)
def test_a_damaged_page_is_not_read_as_columns(exchange: Exchange, damage: Callable[[bytes], bytes]) -> None:
    body = damage(exchange.write([row(number) for number in range(3)]))

    assert exchange.page(body).columns(CANDLES.schema) is None


def _without(body: bytes, name: str) -> bytes:
    answer: dict[str, Any] = json.loads(body)
    del answer[name]
    return json.dumps(answer, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("exchange", "body"),
    [
        ("okx", lambda body: body.replace(b'"code":"0"', b'"code":"1"')),
        ("okx", lambda body: _without(body, "code")),
        ("bybit", lambda body: body.replace(b'"category":"spot"', b'"category":"inverse"')),
        ("bybit", lambda body: body.replace(b'"retCode":0', b'"retCode":7')),
        ("coinbase", lambda body: body.replace(b'"candles"', b'"sandals"')),
    ],
)
def test_what_stands_around_the_rows_is_read_by_the_parser_too(exchange: str, body: Callable[[bytes], bytes]) -> None:
    """An error must not be overlooked because good rows came with it."""
    member = EXCHANGES[exchange]
    page = member.page(body(member.write([row()])))

    table = page.columns(CANDLES.schema)

    with pytest.raises(MalformedAnswerError):
        page.candles()
    assert table is None


@pytest.mark.parametrize(("flag", "read"), [("0", [0]), ("1", [1]), ("2", None)])
def test_okx_says_whether_a_candle_is_finished(flag: str, read: list[int] | None) -> None:
    member = EXCHANGES["okx"]
    body = member.write([row()]).replace(b'"1"]', f'"{flag}"]'.encode())

    table = member.page(body).columns(CANDLES.schema)

    assert (None if table is None else table[FINISHED].to_pylist()) == read


def test_binance_times_in_microseconds_are_left_to_the_parser_of_rows() -> None:
    member = EXCHANGES["binance"]
    page = member.page(member.write([row(time=f"{BEGIN_MS}000")]))

    assert page.columns(CANDLES.schema) is None
    assert [candle.open_time_ms for candle in page.candles()] == [BEGIN_MS]


def test_the_numbers_of_a_column_are_decimals_of_its_type() -> None:
    page = EXCHANGES["binance"].page(_binance([row(open="0.00000001", value="12345678901234567890.123456789012")]))

    table = page.columns(CANDLES.schema)

    assert table is not None
    assert table["open"].to_pylist() == [Decimal("0.00000001")]
    assert table["quote_volume"].to_pylist() == [Decimal("12345678901234567890.123456789012")]
