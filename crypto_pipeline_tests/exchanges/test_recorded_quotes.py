"""
Answers about trades, quotes, books and perpetual contracts, in the shapes of the exchanges' documents.

They become exact records. What has another shape is refused, whatever it is: nothing but `MalformedAnswerError` ever
comes out of a parser.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_pipeline.errors import MalformedAnswerError
from crypto_pipeline.exchanges import binance_quotes, coinbase_quotes, okx_quotes
from crypto_pipeline.exchanges.quotes import Book, FundingRate, Level, MarkPrice, OpenInterest, Quote, Side, Trade
from crypto_pipeline_tests.exchanges.recorded_quotes import (
    ANY,
    LARGE,
    MAY_BE_EMPTY,
    RECORDED,
    SIGNED,
    SMALL,
    WHOSE,
    D,
    Path,
    Recorded,
)


def enveloped(data: list[Any]) -> dict[str, Any]:
    """Return an answer of OKX."""
    return {"code": "0", "msg": "", "data": data}


OKX_TRADES = [
    {"instId": "BTC-USDT", "side": "sell", "sz": "0.00001", "source": "0", "px": "29963.2", "tradeId": "242720720",
     "ts": "1654161646974"},
    {"instId": "BTC-USDT", "side": "buy", "sz": "0.03", "source": "0", "px": "29964.1", "tradeId": "242720719",
     "ts": "1654161641568"},
]  # fmt: skip
OKX_TICKER = {
    "instType": "SPOT", "instId": "BTC-USDT", "last": "56956.1", "lastSz": "3", "askPx": "56959.1", "askSz": "10582",
    "bidPx": "56959", "bidSz": "4552", "open24h": "55926", "high24h": "57641.1", "low24h": "54570.1",
    "volCcy24h": "81137.755", "vol24h": "46258703", "ts": "1620289117764", "sodUtc0": "55926", "sodUtc8": "55926",
}  # fmt: skip
OKX_BOOK = {
    "asks": [["41006.8", "0.60038921", "0", "1"]],
    "bids": [["41006.3", "0.30178218", "0", "2"]],
    "ts": "1629966436396",
    "seqId": 3235851742,
}
OKX_RATES = [
    {"formulaType": "noRate", "fundingRate": "0.0000746604960499", "fundingTime": "1703059200000",
     "instId": "BTC-USDT-SWAP", "instType": "SWAP", "method": "next_period", "realizedRate": "0.0000746572360545"},
    {"formulaType": "noRate", "fundingRate": "0.000227985782722", "fundingTime": "1703030400000",
     "instId": "BTC-USDT-SWAP", "instType": "SWAP", "method": "next_period", "realizedRate": "-0.0002279755647389"},
]  # fmt: skip
OKX_OPEN = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "oi": "5000", "oiCcy": "555.55", "oiUsd": "50000",
    "ts": "1597026383085",
}  # fmt: skip
OKX_MARK = {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "markPx": "43355.5", "ts": "1597026383085"}
OKX_INDEX = {
    "instId": "BTC-USDT", "idxPx": "43350", "high24h": "43649.7", "sodUtc0": "43444.1", "open24h": "43640.8",
    "low24h": "43261.9", "sodUtc8": "43328.7", "ts": "1649419644492",
}  # fmt: skip
OKX_FUNDING = {
    "formulaType": "noRate", "fundingRate": "0.0000182221218054", "fundingTime": "1743609600000", "impactValue": "",
    "instId": "BTC-USDT-SWAP", "instType": "SWAP", "interestRate": "", "maxFundingRate": "0.00375",
    "method": "current_period", "minFundingRate": "-0.00375", "nextFundingRate": "", "nextFundingTime": "1743638400000",
    "premium": "0.0000910113652644", "settFundingRate": "0.0000145824401745", "settState": "settled",
    "ts": "1743588686291",
}  # fmt: skip
OKX_THREE = [enveloped([one]) for one in (OKX_MARK, OKX_INDEX, OKX_FUNDING)]
OKX_MARK_PRICE = MarkPrice("BTC-USDT", 1597026383085, D("43355.5"), D("43350"), D("0.0000182221218054"), 1743609600000)


def one_of_three(number: int) -> Callable[[bytes], MarkPrice]:
    """Return what reads one of the three answers about a mark price, the other two as they are."""

    def parse(body: bytes) -> MarkPrice:
        bodies = [json.dumps(answer).encode() for answer in OKX_THREE]
        bodies[number] = body
        mark, index, funding = bodies
        return okx_quotes.parse_mark_price(mark, index, funding, "BTC-USDT")

    return parse


COINBASE_TICKER = {
    "trades": [
        {"trade_id": "518078013", "product_id": "BTC-USD", "price": "28208.62", "size": "0.00659179",
         "time": "2023-04-04T23:05:34.492746Z", "side": "SELL", "bid": "", "ask": "", "exchange": "coinbase"},
        {"trade_id": "518078012", "product_id": "BTC-USD", "price": "28208.61", "size": "0.1",
         "time": "2023-04-04T23:05:34Z", "side": "BUY", "bid": "", "ask": "", "exchange": "coinbase"},
    ],
    "best_bid": "28208.61",
    "best_ask": "28208.62",
}  # fmt: skip
COINBASE_BOOK = {
    "pricebook": {
        "product_id": "BTC-USDT",
        "bids": [{"price": "30757.85", "size": "0.115"}],
        "asks": [{"price": "30759.07", "size": "0.04877659"}],
        "time": "2023-06-30T04:02:40.533606Z",
    },
    "last": "30758.46",
    "mid_market": "30758.46",
    "spread_bps": "0.396639",
    "spread_absolute": "1.22",
}

ANSWERS: dict[str, Recorded] = {
    **RECORDED,
    "trades of okx": Recorded(
        lambda body: okx_quotes.parse_trades(body, "BTC-USDT"),
        enveloped(OKX_TRADES),
        [
            Trade("242720719", 1654161641568, D("29964.1"), D("0.03"), Side.BUY),
            Trade("242720720", 1654161646974, D("29963.2"), D("0.00001"), Side.SELL),
        ],
        {("data", 0, "px"): ANY, ("data", 0, "sz"): ANY},
        (("data", 0, "ts"),),
        entries=("data",),
    ),
    "quote of okx": Recorded(
        lambda body: okx_quotes.parse_quote(body, "BTC-USDT"),
        enveloped([OKX_TICKER]),
        Quote("BTC-USDT", 1620289117764, D("56959"), D("4552"), D("56959.1"), D("10582")),
        {
            ("data", 0, "bidPx"): SMALL,
            ("data", 0, "bidSz"): ANY,
            ("data", 0, "askPx"): LARGE,
            ("data", 0, "askSz"): ANY,
        },
        (("data", 0, "ts"),),
        entries=("data",),
    ),
    "book of okx": Recorded(
        lambda body: okx_quotes.parse_book(body, "BTC-USDT", 5),
        enveloped([OKX_BOOK]),
        Book(
            "BTC-USDT",
            1629966436396,
            "3235851742",
            (Level(D("41006.3"), D("0.30178218")),),
            (Level(D("41006.8"), D("0.60038921")),),
        ),
        {
            ("data", 0, "bids", 0, 0): SMALL,
            ("data", 0, "bids", 0, 1): ANY,
            ("data", 0, "asks", 0, 0): LARGE,
            ("data", 0, "asks", 0, 1): ANY,
        },
        (("data", 0, "ts"),),
        entries=("data",),
        rows=(("data", 0, "bids"), ("data", 0, "asks")),
    ),
    "funding rates of okx": Recorded(
        lambda body: okx_quotes.parse_funding_rates(body, "BTC-USDT-SWAP"),
        enveloped(OKX_RATES),
        [
            FundingRate(1703030400000, D("-0.0002279755647389")),
            FundingRate(1703059200000, D("0.0000746572360545")),
        ],
        {("data", 0, "realizedRate"): SIGNED},
        (("data", 0, "fundingTime"),),
        entries=("data",),
    ),
    "open interest of okx": Recorded(
        lambda body: okx_quotes.parse_open_interest(body, "BTC-USDT"),
        enveloped([OKX_OPEN]),
        OpenInterest("BTC-USDT", 1597026383085, D("555.55")),
        {("data", 0, "oiCcy"): ANY},
        (("data", 0, "ts"),),
        entries=("data",),
    ),
    "mark price of okx": Recorded(
        one_of_three(0),
        OKX_THREE[0],
        OKX_MARK_PRICE,
        {("data", 0, "markPx"): ANY},
        (("data", 0, "ts"),),
        entries=("data",),
    ),
    "index price of okx": Recorded(
        one_of_three(1),
        OKX_THREE[1],
        OKX_MARK_PRICE,
        {("data", 0, "idxPx"): ANY},
        (),
        entries=("data",),
    ),
    "payment that comes of okx": Recorded(
        one_of_three(2),
        OKX_THREE[2],
        OKX_MARK_PRICE,
        {("data", 0, "fundingRate"): SIGNED},
        (("data", 0, "fundingTime"),),
        entries=("data",),
    ),
    "trades of coinbase": Recorded(
        coinbase_quotes.parse_trades,
        COINBASE_TICKER,
        [
            Trade("518078012", 1680649534000, D("28208.61"), D("0.1"), Side.SELL),
            Trade("518078013", 1680649534492, D("28208.62"), D("0.00659179"), Side.BUY),
        ],
        {("trades", 0, "price"): ANY, ("trades", 0, "size"): ANY},
        (("trades", 0, "time"),),
        entries=("trades",),
    ),
    "quote of coinbase": Recorded(
        lambda body: coinbase_quotes.parse_quote(body, "BTC-USDT"),
        COINBASE_BOOK,
        Quote("BTC-USDT", 1688097760533, D("30757.85"), D("0.115"), D("30759.07"), D("0.04877659")),
        {
            ("pricebook", "bids", 0, "price"): SMALL,
            ("pricebook", "bids", 0, "size"): ANY,
            ("pricebook", "asks", 0, "price"): LARGE,
            ("pricebook", "asks", 0, "size"): ANY,
        },
        (("pricebook", "time"),),
    ),
    "book of coinbase": Recorded(
        lambda body: coinbase_quotes.parse_book(body, "BTC-USDT", 5),
        COINBASE_BOOK,
        Book(
            "BTC-USDT",
            1688097760533,
            None,
            (Level(D("30757.85"), D("0.115")),),
            (Level(D("30759.07"), D("0.04877659")),),
        ),
        {
            ("pricebook", "bids", 0, "price"): SMALL,
            ("pricebook", "bids", 0, "size"): ANY,
            ("pricebook", "asks", 0, "price"): LARGE,
            ("pricebook", "asks", 0, "size"): ANY,
        },
        (("pricebook", "time"),),
        entries=("pricebook", "bids"),
        rows=(("pricebook", "bids"), ("pricebook", "asks")),
    ),
}

SMALL_NUMBERS = ["1e-8", "0.00000001", "0.000000000000000001", "1E-18", "0.100000000000000000", "00.10", ".5"]
LARGE_NUMBERS = ["1e15", "1000000000000000", "1E+20", "123456789012345678901234567890.123456789012345678", "9e59"]
NO_NUMBERS: list[object] = [
    "", " ", "abc", "1,5", "1_0", " 1", "+1", "--1", "1.2.3", ".", "e5", "1e", "0x10", "NaN", "sNaN", "Infinity",
    "-Infinity", "\uff11\uff12", "٣", "1e99999", "1e61", "1" * 81, None, True, False, [], {}, ["1"], 10**80,
]  # fmt: skip
NEGATIVE: list[object] = ["-1", "-0.00000001", -1, -0.5]
NO_TIMES: list[object] = ["", "abc", "-1", -1, 0, "0", None, True, [], {}, 1.5, "\uff11\uff15", "9" * 21, 10**25]
NO_MOMENTS: list[object] = [
    "2023-04-04T23:05:34", "2023-04-04 23:05:34Z", "2023-02-31T23:05:34Z", "2023-04-04T25:05:34Z",
    "2023-04-04T23:05:34+00:00", "20230404T230534Z", "2023-04-04T23:05:34.Z", "2023-04-04T23:05:34.1234567890Z",
    "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1680649534492",
]  # fmt: skip

EACH = pytest.mark.parametrize("name", ANSWERS)


def exchange_of(name: str) -> str:
    return name.rpartition(" ")[2]


def body(answer: Any) -> bytes:
    return json.dumps(answer).encode()


def place(answer: Any, path: Path) -> Any:
    """Return what stands at a path."""
    for step in path:
        answer = answer[step]
    return answer


def changed(name: str, path: Path, value: object) -> bytes:
    """Return the recorded answer with another value at one place, or another one altogether."""
    if not path:
        return body(value)
    answer = copy.deepcopy(ANSWERS[name].answer)
    place(answer, path[:-1])[path[-1]] = value
    return body(answer)


def edited(name: str, path: Path, edit: Callable[[Any], object]) -> bytes:
    """Return the recorded answer after `edit` of what stands at one place."""
    answer = copy.deepcopy(ANSWERS[name].answer)
    edit(place(answer, path))
    return body(answer)


def numbers_in(found: Any) -> Iterator[Decimal]:
    """Yield every decimal in a record, or in several."""
    if isinstance(found, Decimal):
        yield found
    elif isinstance(found, list | tuple):
        for one in found:
            yield from numbers_in(one)


def numbers_of(*sizes: str) -> list[Any]:
    return [
        pytest.param(name, path, id=f"{name}: {path[-1]} of {path[-3:-2]}")
        for name, recorded in ANSWERS.items()
        for path, size in recorded.numbers.items()
        if size in sizes
    ]


@EACH
def test_an_answer_as_the_documents_show_it_is_read(name: str) -> None:
    recorded = ANSWERS[name]

    assert recorded.parse(body(recorded.answer)) == recorded.expected


@pytest.mark.parametrize("text", SMALL_NUMBERS)
@pytest.mark.parametrize(("name", "path"), numbers_of(ANY, SMALL, SIGNED))
def test_a_small_number_stays_exactly_what_was_written(name: str, path: Path, text: str) -> None:
    found = ANSWERS[name].parse(changed(name, path, text))

    assert D(text).as_tuple() in [number.as_tuple() for number in numbers_in(found)]


@pytest.mark.parametrize("text", LARGE_NUMBERS)
@pytest.mark.parametrize(("name", "path"), numbers_of(ANY, LARGE, SIGNED))
def test_a_large_number_stays_exactly_what_was_written(name: str, path: Path, text: str) -> None:
    found = ANSWERS[name].parse(changed(name, path, text))

    assert D(text).as_tuple() in [number.as_tuple() for number in numbers_in(found)]


@pytest.mark.parametrize("text", [f"-{text}" for text in SMALL_NUMBERS + LARGE_NUMBERS])
@pytest.mark.parametrize(("name", "path"), numbers_of(SIGNED))
def test_a_number_below_zero_stays_exactly_what_was_written_where_one_may_be(name: str, path: Path, text: str) -> None:
    found = ANSWERS[name].parse(changed(name, path, text))

    assert D(text).as_tuple() in [number.as_tuple() for number in numbers_in(found)]


@pytest.mark.parametrize("value", NEGATIVE)
@pytest.mark.parametrize(("name", "path"), numbers_of(ANY, SMALL, LARGE))
def test_a_price_or_an_amount_below_zero_is_refused(name: str, path: Path, value: object) -> None:
    with pytest.raises(MalformedAnswerError, match="is not a number"):
        ANSWERS[name].parse(changed(name, path, value))


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: f"{value!r:.20}")
@pytest.mark.parametrize(("name", "path"), numbers_of(ANY, SMALL, LARGE, SIGNED))
def test_what_is_no_number_is_refused(name: str, path: Path, value: object) -> None:
    with pytest.raises(MalformedAnswerError, match="is not a number") as refused:
        ANSWERS[name].parse(changed(name, path, value))

    assert refused.value.exchange == exchange_of(name)


@pytest.mark.parametrize("value", NO_TIMES + NO_MOMENTS, ids=lambda value: f"{value!r:.30}")
@EACH
def test_what_is_no_time_is_refused(name: str, value: object) -> None:
    """Texts on the calendar where milliseconds are due, and the other way round, among them."""
    if exchange_of(name) != "coinbase" and value == "1680649534492":
        value = "1680649534492.5"

    for path in ANSWERS[name].times:
        with pytest.raises(MalformedAnswerError, match="time"):
            ANSWERS[name].parse(changed(name, path, value))


@pytest.mark.parametrize("odd", [None, "x", 5, [], True, [[]]])
@pytest.mark.parametrize("name", [name for name, recorded in ANSWERS.items() if recorded.entries is not None])
def test_an_entry_that_is_no_object_refuses_the_answer(name: str, odd: object) -> None:
    entries = ANSWERS[name].entries
    assert entries is not None

    with pytest.raises(MalformedAnswerError, match="is not an object"):
        ANSWERS[name].parse(changed(name, (*entries, 0), odd))


@pytest.mark.parametrize("odd", [None, "x", 5, {}, True])
@pytest.mark.parametrize("name", [name for name, recorded in ANSWERS.items() if recorded.entries is not None])
def test_a_list_that_is_none_is_refused(name: str, odd: object) -> None:
    entries = ANSWERS[name].entries
    assert entries is not None

    with pytest.raises(MalformedAnswerError, match="there is no"):
        ANSWERS[name].parse(changed(name, entries, odd))


# Trades...

TRADES = pytest.mark.parametrize("name", [name for name in ANSWERS if name.startswith("trades")])
IDS = {"okx": "tradeId", "coinbase": "trade_id", "binance": "id", "bybit": "execId"}


@TRADES
def test_no_trades_are_no_failure(name: str) -> None:
    entries = ANSWERS[name].entries
    assert entries is not None

    assert ANSWERS[name].parse(edited(name, entries, list.clear)) == []


@TRADES
def test_trades_in_any_order_come_oldest_first(name: str) -> None:
    entries = ANSWERS[name].entries
    assert entries is not None

    assert ANSWERS[name].parse(edited(name, entries, list.reverse)) == ANSWERS[name].expected


@TRADES
def test_trades_of_one_moment_stay_in_the_order_they_were_made_in(name: str) -> None:
    """Most exchanges send the newest first."""
    entries = ANSWERS[name].entries
    assert entries is not None
    field = "ts" if exchange_of(name) == "okx" else "time"

    def at_once(found: list[Any]) -> None:
        found[0][field] = found[1][field]

    found = ANSWERS[name].parse(edited(name, entries, at_once))

    assert [trade.trade_id for trade in found] == [trade.trade_id for trade in ANSWERS[name].expected]
    assert len({trade.time_ms for trade in found}) == 1


@TRADES
def test_a_trade_that_is_sent_twice_is_taken_once(name: str) -> None:
    entries = ANSWERS[name].entries
    assert entries is not None

    doubled = edited(name, entries, lambda found: found.insert(1, copy.deepcopy(found[0])))

    assert ANSWERS[name].parse(doubled) == ANSWERS[name].expected


@TRADES
def test_two_trades_of_one_name_that_differ_are_refused(name: str) -> None:
    entries = ANSWERS[name].entries
    assert entries is not None

    def contradict(found: list[Any]) -> None:
        field = IDS[exchange_of(name)]
        found[0][field] = found[1][field]

    with pytest.raises(MalformedAnswerError, match="two trades that should be the same one differ"):
        ANSWERS[name].parse(edited(name, entries, contradict))


@pytest.mark.parametrize("value", ["", "both", "Buy ", None, 1, True, [], {}, "UNKNOWN_ORDER_SIDE", "maker"])
@TRADES
def test_a_trade_must_say_who_took(name: str, value: object) -> None:
    entries = ANSWERS[name].entries
    assert entries is not None
    field = "side"
    if exchange_of(name) == "binance":
        field, value = "isBuyerMaker", "true" if value is True else value

    with pytest.raises(MalformedAnswerError, match="side of a trade"):
        ANSWERS[name].parse(changed(name, (*entries, 0, field), value))


@pytest.mark.parametrize("value", ["", " ", "a b", "x" * 65, None, True, 1.5, [], {}, "1\n"])
@TRADES
def test_a_trade_without_a_name_is_refused(name: str, value: object) -> None:
    entries = ANSWERS[name].entries
    assert entries is not None
    field = IDS[exchange_of(name)]

    with pytest.raises(MalformedAnswerError, match="the id of a trade is not a name"):
        ANSWERS[name].parse(changed(name, (*entries, 0, field), value))


@pytest.mark.parametrize("zero", ["0", "0.000", 0, "0e-8"])
@pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name in ANSWERS if name.startswith("trades") for path in ANSWERS[name].numbers]
)
def test_nothing_is_traded_for_nothing(name: str, path: Path, zero: object) -> None:
    with pytest.raises(MalformedAnswerError, match="is zero"):
        ANSWERS[name].parse(changed(name, path, zero))


# Quotes and books...


@pytest.mark.parametrize("ask", ["0.5", "0.49999999"])
@pytest.mark.parametrize("name", [name for name in ANSWERS if name.startswith(("quote", "book"))])
def test_a_bid_that_reaches_the_ask_is_refused(name: str, ask: str) -> None:
    recorded = ANSWERS[name]
    answer = copy.deepcopy(recorded.answer)
    for path, size in recorded.numbers.items():
        if size in (SMALL, LARGE):
            place(answer, path[:-1])[path[-1]] = "0.5" if size == SMALL else ask

    with pytest.raises(MalformedAnswerError, match="the best bid is not below the best ask"):
        recorded.parse(body(answer))


@pytest.mark.parametrize("zero", ["0", "0.000", 0, "0e-8"])
@pytest.mark.parametrize(
    ("name", "path"),
    [(name, path) for name in ANSWERS if name.startswith(("quote", "book")) for path in ANSWERS[name].numbers],
)
def test_nobody_stands_for_nothing(name: str, path: Path, zero: object) -> None:
    """A market that is halted may be told with a best bid and ask of zero."""
    with pytest.raises(MalformedAnswerError, match="is zero"):
        ANSWERS[name].parse(changed(name, path, zero))


BOOKS = pytest.mark.parametrize("name", [name for name in ANSWERS if name.startswith("book")])


def row(name: str, price: str, quantity: str = "1") -> object:
    """Return one price as the exchange sends it."""
    return {"price": price, "size": quantity} if exchange_of(name) == "coinbase" else [price, quantity, "0", "1"]


def with_sides(name: str, bids: list[str], asks: list[str]) -> bytes:
    answer = copy.deepcopy(ANSWERS[name].answer)
    for path, prices in zip(ANSWERS[name].rows, (bids, asks), strict=True):
        place(answer, path)[:] = [row(name, price) for price in prices]
    return body(answer)


@pytest.mark.parametrize(
    ("bids", "asks", "match"),
    [
        (["5", "6"], ["7"], "the bids do not fall"),
        (["6", "5", "5.0"], ["7"], "the bids do not fall"),
        (["6"], ["8", "7"], "the asks do not rise"),
        (["6"], ["7", "7.00", "8"], "the asks do not rise"),
        (["7"], ["7"], "is not below"),
        (["7.00000000000000000001"], ["7.0000000000000000000"], "is not below"),
    ],
)
@BOOKS
def test_a_book_out_of_order_is_refused(name: str, bids: list[str], asks: list[str], match: str) -> None:
    with pytest.raises(MalformedAnswerError, match=match):
        ANSWERS[name].parse(with_sides(name, bids, asks))


@pytest.mark.parametrize(("bids", "asks"), [([], []), (["6", "5"], []), ([], ["7", "8"])])
@BOOKS
def test_a_side_of_a_book_may_be_empty(name: str, bids: list[str], asks: list[str]) -> None:
    """As after a listing, before anybody sells."""
    found: Book = ANSWERS[name].parse(with_sides(name, bids, asks))

    assert [level.price for level in found.bids] == [D(price) for price in bids]
    assert [level.price for level in found.asks] == [D(price) for price in asks]


@BOOKS
def test_more_levels_than_were_asked_for_are_left_out(name: str) -> None:
    bids, asks = [str(price) for price in range(20, 10, -1)], [str(price) for price in range(21, 40)]

    found: Book = ANSWERS[name].parse(with_sides(name, bids, asks))

    assert [level.price for level in found.bids] == [20, 19, 18, 17, 16]
    assert [level.price for level in found.asks] == [21, 22, 23, 24, 25]


@pytest.mark.parametrize("side", ["bids", "asks"])
def test_a_quote_needs_both_sides(side: str) -> None:
    """Coinbase's comes from its book; elsewhere an empty price is no number."""
    with pytest.raises(MalformedAnswerError, match="a side of the book is empty"):
        ANSWERS["quote of coinbase"].parse(changed("quote of coinbase", ("pricebook", side), []))


@pytest.mark.parametrize("odd", [["1"], [], "12", None, {"price": "1"}])
def test_a_row_of_okxs_book_has_a_price_and_a_quantity(odd: object) -> None:
    with pytest.raises(MalformedAnswerError, match="a bid has not two columns"):
        ANSWERS["book of okx"].parse(changed("book of okx", ("data", 0, "bids", 0), odd))


@pytest.mark.parametrize("value", ["", None, -1, 1.5, "a", True])
def test_okx_numbers_every_state_of_a_book(value: object) -> None:
    with pytest.raises(MalformedAnswerError, match="seqId is not a whole number"):
        ANSWERS["book of okx"].parse(changed("book of okx", ("data", 0, "seqId"), value))


# Whose answer it is, and how many...

OF_ONE = [
    name
    for name, recorded in ANSWERS.items()
    if recorded.entries
    and recorded.entries[-1] in ("data", "list")
    and not name.startswith(("trades", "funding rates"))
]


@pytest.mark.parametrize("name", OF_ONE)
def test_two_answers_for_one_question_are_refused(name: str) -> None:
    entries = ANSWERS[name].entries
    assert entries is not None

    with pytest.raises(MalformedAnswerError, match="there is not one of"):
        ANSWERS[name].parse(edited(name, entries, lambda found: found.append(found[0])))
    with pytest.raises(MalformedAnswerError, match="there is not one of"):
        ANSWERS[name].parse(edited(name, entries, list.clear))


@pytest.mark.parametrize("value", ["ETH-USDT", "BTC-USD", "", None, 5])
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("trades of okx", ("data", 1)),
        ("quote of okx", ("data", 0)),
        ("funding rates of okx", ("data", 1)),
        ("open interest of okx", ("data", 0)),
        ("mark price of okx", ("data", 0)),
        ("index price of okx", ("data", 0)),
        ("payment that comes of okx", ("data", 0)),
    ],
)
def test_an_answer_about_something_else_is_refused(name: str, path: Path, value: object) -> None:
    with pytest.raises(MalformedAnswerError, match="it is not about BTC-USDT"):
        ANSWERS[name].parse(changed(name, (*path, "instId"), value))


@pytest.mark.parametrize("value", ["ETHUSDT", "btcusdt", "BTC-USDT", "", None, 5, [], {}])
@pytest.mark.parametrize(("name", "path", "wanted"), WHOSE)
def test_an_answer_about_another_market_is_refused(name: str, path: Path, wanted: str, value: object) -> None:
    with pytest.raises(MalformedAnswerError, match=f"it is not about {wanted}"):
        ANSWERS[name].parse(changed(name, path, value))


@pytest.mark.parametrize("value", ["inverse", "option", "", None, 5])
@pytest.mark.parametrize("name", [name for name in ANSWERS if exchange_of(name) == "bybit" and "book" not in name])
def test_bybits_answer_must_be_of_the_kind_that_was_asked_for(name: str, value: object) -> None:
    """The same names stand for spot markets and for contracts."""
    other = "linear" if name.startswith(("trades", "quote")) else "spot"

    for category in (value, other):
        with pytest.raises(MalformedAnswerError, match="another kind of market"):
            ANSWERS[name].parse(changed(name, ("result", "category"), category))


@pytest.mark.parametrize("value", ["", None])
@pytest.mark.parametrize(("name", "path", "field"), MAY_BE_EMPTY)
def test_a_field_that_the_exchange_may_leave_empty_is_none_then(
    name: str, path: Path, field: str, value: str | None
) -> None:
    """And None too where it is left out."""
    if field == "sequence":
        value = None
    empty = ANSWERS[name].parse(changed(name, path, value))
    absent = ANSWERS[name].parse(edited(name, path[:-1], lambda entry: entry.pop(path[-1])))

    for found in (empty, absent):
        record = found[0] if isinstance(found, list) else found
        assert getattr(record, field) is None


@pytest.mark.parametrize("value", [" ", "x", "1_0", True, [], {}, "NaN", "1e99999"], ids=lambda value: f"{value!r:.20}")
@pytest.mark.parametrize(("name", "path", "field"), MAY_BE_EMPTY)
def test_a_field_that_may_be_empty_may_not_be_nonsense(name: str, path: Path, field: str, value: object) -> None:
    with pytest.raises(MalformedAnswerError, match="is not a"):
        ANSWERS[name].parse(changed(name, path, value))


@pytest.mark.parametrize("value", ["", None, -1, 1.5, "a", True])
def test_binance_numbers_every_state_of_a_book(value: object) -> None:
    with pytest.raises(MalformedAnswerError, match="lastUpdateId is not a whole number"):
        ANSWERS["book of binance"].parse(changed("book of binance", ("lastUpdateId",), value))


def test_who_took_on_binance_is_who_did_not_make() -> None:
    """If the buyer was there before, the seller took."""
    turned = edited("trades of binance", (0,), lambda entry: entry.update(isBuyerMaker=False))

    assert [trade.taker_side for trade in binance_quotes.parse_trades(turned)] == [Side.BUY, Side.BUY]


@pytest.mark.parametrize("count", ["openInterest", "openInterestValue"])
def test_open_interest_of_both_sides_is_no_stand_in_for_that_of_one(count: str) -> None:
    """Halving it would be a guess at what Bybit means."""
    name, path = "open interest of bybit", ("result", "list", 0)

    def only_both(entry: dict[str, str]) -> None:
        del entry["singleOpenInterest"]
        entry[count] = "10"

    with pytest.raises(MalformedAnswerError, match="singleOpenInterest is not a number"):
        ANSWERS[name].parse(edited(name, path, only_both))


def test_a_product_of_coinbase_may_show_the_trades_of_another_one() -> None:
    """BTC-USDC is an alias of BTC-USD."""
    other = changed("trades of coinbase", ("trades", 0, "product_id"), "BTC-USDC")

    assert coinbase_quotes.parse_trades(other) == ANSWERS["trades of coinbase"].expected


@pytest.mark.parametrize("rate", ["0", "0.0", "-0", "0.000000000000000000"])
def test_a_funding_rate_may_be_nothing(rate: str) -> None:
    (first, second) = ANSWERS["funding rates of okx"].parse(
        changed("funding rates of okx", ("data", 0, "realizedRate"), rate)
    )

    assert second.rate == 0
    assert first.rate < 0


def test_a_funding_rate_that_is_sent_twice_is_taken_once_and_two_that_differ_are_refused() -> None:
    name = "funding rates of okx"

    doubled = ANSWERS[name].parse(edited(name, ("data",), lambda found: found.append(copy.deepcopy(found[0]))))

    assert doubled == ANSWERS[name].expected
    with pytest.raises(MalformedAnswerError, match="two funding rates that should be the same one differ"):
        ANSWERS[name].parse(changed(name, ("data", 0, "fundingTime"), "1703030400000"))


def test_the_time_of_a_trade_is_cut_to_milliseconds() -> None:
    """Finer digits are dropped, not rounded: rounded, it would be a trade of the next second."""
    late = changed("trades of coinbase", ("trades", 0, "time"), "2023-04-04T23:05:34.999999999Z")

    assert coinbase_quotes.parse_trades(late)[-1].time_ms == 1680649534999


# Whatever comes...

WRONG_SHAPES = [
    b"", b"null", b"5", b'"x"', b"[]", b"{}", b"[{}]", b"\xff\xfe", b"<html>", b"[" * 100_000,
    b'{"code":"51001","msg":"Instrument ID does not exist","data":[]}', b'{"code":"0","data":null}', b'{"data":[{}]}',
    b'{"trades":null}', b'{"trades":[[]]}', b'{"pricebook":[]}', b'{"pricebook":{"bids":[],"asks":[]}}',
    b'{"retCode":0,"result":null}', b'{"retCode":10001,"result":{}}', b'{"retCode":0,"result":{"list":{}}}',
    b'{"code":-1121,"msg":"Invalid symbol."}', b'{"symbol":"BTCUSDT"}', b'{"bids":[],"asks":[]}',
    b'{"error":"NOT_FOUND","message":"Product X not supported"}',
]  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["0", "1", "1.5", "-1", "1499040000000", "BTC-USDT", "1e400", "NaN", "buy", "SELL"])
)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param(name, shape, id=f"{name}: {shape!r:.40}")
        for name, recorded in ANSWERS.items()
        for shape in WRONG_SHAPES
        if not (recorded.entries == () and shape == b"[]")  # nothing to tell, said in the right way
    ],
)
def test_an_answer_of_another_shape_is_refused(name: str, shape: bytes) -> None:
    with pytest.raises(MalformedAnswerError) as refused:
        ANSWERS[name].parse(shape)

    assert refused.value.exchange == exchange_of(name)
    assert refused.value.__cause__ is None


@EACH
@given(data=st.data())
@settings(max_examples=60)
def test_a_recorded_answer_with_one_thing_changed_is_read_or_refused(name: str, data: st.DataObject) -> None:
    """And what is read has exact, finite numbers; only a rate may be below zero."""
    recorded = ANSWERS[name]
    answer = copy.deepcopy(recorded.answer)
    here, path = answer, []
    while isinstance(here, dict | list) and here:
        path.append(data.draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here)))))
        here = here[path[-1]]
        if len(path) > 1 and data.draw(st.booleans()):
            break
    place(answer, tuple(path[:-1]))[path[-1]] = data.draw(SCALARS | st.lists(SCALARS, max_size=2))

    try:
        found = recorded.parse(body(answer))
    except MalformedAnswerError:
        return

    numbers = list(numbers_in(found))
    assert all(number.is_finite() for number in numbers)
    has_rate = SIGNED in recorded.numbers.values() or name.startswith("mark price")
    assert has_rate or all(number >= 0 for number in numbers)


@EACH
def test_a_refusal_does_not_quote_the_answer(name: str) -> None:
    """An answer may hold what the request held."""
    path = next(iter(ANSWERS[name].numbers))

    with pytest.raises(MalformedAnswerError) as refused:
        ANSWERS[name].parse(changed(name, path, "planted-value-of-an-answer"))

    assert "planted" not in str(refused.value)
