"""
Answers about trades, quotes, books and perpetual contracts of Binance and Bybit, as their documents show them.

And what a recorded answer is; those of the other exchanges, and all tests, are in `test_recorded_quotes.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from crypto_pipeline.exchanges import binance_perpetual, binance_quotes, bybit_quotes
from crypto_pipeline.exchanges.quotes import Book, FundingRate, Level, MarkPrice, OpenInterest, Quote, Side, Trade

D = Decimal
Path = tuple[str | int, ...]
ANY, SMALL, LARGE, SIGNED = "any size", "small", "large", "either sign"


class Recorded(NamedTuple):
    """
    One answer, and what is in it.

    Fields:
        parse: reads its bytes.
        answer: what the exchange sent, decoded.
        expected: what has to come out.
        numbers: where its numbers stand, and which sizes make sense there: a bid must stay below the ask.
        times: where its times stand.
        entries: where a list of objects stands, or nothing.
        rows: where the sides of a book stand, or nothing.
    """

    parse: Callable[[bytes], Any]
    answer: Any
    expected: Any
    numbers: Mapping[Path, str]
    times: tuple[Path, ...]
    entries: Path | None = None
    rows: tuple[Path, ...] = ()


BINANCE_TRADES = [
    {"id": 28457, "price": "4.00000100", "qty": "12.00000000", "quoteQty": "48.000012", "time": 1499865549590,
     "isBuyerMaker": True, "isBestMatch": True},
    {"id": 28458, "price": "4.00000200", "qty": "0.50000000", "quoteQty": "2.000001", "time": 1499865549591,
     "isBuyerMaker": False, "isBestMatch": True},
]  # fmt: skip
BINANCE_TICKER = {
    "symbol": "LTCBTC",
    "bidPrice": "4.00000000",
    "bidQty": "431.00000000",
    "askPrice": "4.00000200",
    "askQty": "9.00000000",
}
BINANCE_BOOK = {
    "lastUpdateId": 1027024,
    "bids": [["4.00000000", "431.00000000"]],
    "asks": [["4.00000200", "12.00000000"]],
}
BINANCE_RATES = [
    {"symbol": "BTCUSDT", "fundingRate": "-0.03750000", "fundingTime": 1570608000000, "markPrice": "34287.54619963",
     "rateType": "Regular"},
    {"symbol": "BTCUSDT", "fundingRate": "0.00010000", "fundingTime": 1570636800006, "markPrice": ""},
]  # fmt: skip
BINANCE_OPEN = {"openInterest": "10659.509", "symbol": "BTCUSDT", "time": 1589437530011}
BINANCE_PREMIUM = {
    "symbol": "BTCUSDT", "markPrice": "11793.63104562", "indexPrice": "11781.80495970",
    "estimatedSettlePrice": "11781.16138815", "lastFundingRate": "0.00038246", "interestRate": "0.00010000",
    "nextFundingTime": 1597392000000, "time": 1597370495002,
}  # fmt: skip


def bybit(category: str, entries: list[Any]) -> dict[str, Any]:
    """Return an answer of Bybit with a list."""
    result = {"category": category, "list": entries}
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1672376496682}


BYBIT_TRADES = [
    {"execId": "2100000000007764263", "symbol": "BTCUSDT", "price": "16618.49", "size": "0.00012", "side": "Buy",
     "time": "1672052955758", "isBlockTrade": False, "isRPITrade": False, "seq": "5277055"},
    {"execId": "2100000000007764262", "symbol": "BTCUSDT", "price": "16618.50", "size": "1", "side": "Sell",
     "time": "1672052955757", "isBlockTrade": False, "isRPITrade": False, "seq": "5277054"},
]  # fmt: skip
BYBIT_SPOT_TICKER = {
    "symbol": "BTCUSDT", "bid1Price": "20517.96", "bid1Size": "2", "ask1Price": "20527.77", "ask1Size": "1.862172",
    "lastPrice": "20533.13", "prevPrice24h": "20393.48", "price24hPcnt": "0.0068", "highPrice24h": "21128.12",
    "lowPrice24h": "20318.89", "turnover24h": "243765620.65899866", "volume24h": "11801.27771",
    "usdIndexPrice": "20784.12009279",
}  # fmt: skip
BYBIT_LINEAR_TICKER = {
    "symbol": "BTCUSDT", "lastPrice": "16597.00", "indexPrice": "16598.54", "markPrice": "16596.00",
    "prevPrice24h": "16464.50", "price24hPcnt": "0.008047", "highPrice24h": "30912.50", "lowPrice24h": "15700.00",
    "prevPrice1h": "16595.50", "openInterest": "52664.642", "openInterestValue": "874022399.16",
    "singleOpenInterest": "26332.321", "singleOpenInterestValue": "437011199.58", "turnover24h": "2352.94950046",
    "volume24h": "49337318", "fundingRate": "-0.001034", "nextFundingTime": "1672387200000",
    "predictedDeliveryPrice": "", "basisRate": "", "deliveryFeeRate": "", "deliveryTime": "0", "ask1Size": "1",
    "bid1Price": "16596.00", "ask1Price": "16597.50", "bid1Size": "1",
}  # fmt: skip
BYBIT_BOOK = {
    "retCode": 0, "retMsg": "OK",
    "result": {
        "s": "BTCUSDT", "a": [["65557.7", "16.606555"]], "b": [["65485.47", "47.081829"]], "ts": 1716863719031,
        "u": 230704, "seq": 1432604333, "cts": 1716863718905,
    },
    "retExtInfo": {}, "time": 1716863719382,
}  # fmt: skip
BYBIT_RATES = [
    {"symbol": "ETHPERP", "fundingRate": "0.0001", "fundingRateTimestamp": "1672041600000"},
    {"symbol": "ETHPERP", "fundingRate": "-0.00006352", "fundingRateTimestamp": "1672012800000"},
]

RECORDED: dict[str, Recorded] = {
    "trades of binance": Recorded(
        binance_quotes.parse_trades,
        BINANCE_TRADES,
        [
            Trade("28457", 1499865549590, D("4.00000100"), D("12.00000000"), Side.SELL),
            Trade("28458", 1499865549591, D("4.00000200"), D("0.50000000"), Side.BUY),
        ],
        {(0, "price"): ANY, (0, "qty"): ANY},
        ((0, "time"),),
        entries=(),
    ),
    "quote of binance": Recorded(
        lambda body: binance_quotes.parse_quote(body, "LTC-BTC"),
        BINANCE_TICKER,
        Quote("LTC-BTC", None, D("4.00000000"), D("431.00000000"), D("4.00000200"), D("9.00000000")),
        {("bidPrice",): SMALL, ("bidQty",): ANY, ("askPrice",): LARGE, ("askQty",): ANY},
        (),
    ),
    "book of binance": Recorded(
        lambda body: binance_quotes.parse_book(body, "LTC-BTC", 5),
        BINANCE_BOOK,
        Book(
            "LTC-BTC",
            None,
            "1027024",
            (Level(D("4.00000000"), D("431.00000000")),),
            (Level(D("4.00000200"), D("12.00000000")),),
        ),
        {("bids", 0, 0): SMALL, ("bids", 0, 1): ANY, ("asks", 0, 0): LARGE, ("asks", 0, 1): ANY},
        (),
        rows=(("bids",), ("asks",)),
    ),
    "funding rates of binance": Recorded(
        lambda body: binance_perpetual.parse_funding_rates(body, "BTC-USDT"),
        BINANCE_RATES,
        [
            FundingRate(1570608000000, D("-0.03750000"), D("34287.54619963")),
            FundingRate(1570636800006, D("0.00010000")),
        ],
        {(0, "fundingRate"): SIGNED},
        ((0, "fundingTime"), (1, "fundingTime")),
        entries=(),
    ),
    "open interest of binance": Recorded(
        lambda body: binance_perpetual.parse_open_interest(body, "BTC-USDT"),
        BINANCE_OPEN,
        OpenInterest("BTC-USDT", 1589437530011, D("10659.509")),
        {("openInterest",): ANY},
        (("time",),),
    ),
    "mark price of binance": Recorded(
        lambda body: binance_perpetual.parse_mark_price(body, "BTC-USDT"),
        BINANCE_PREMIUM,
        MarkPrice("BTC-USDT", 1597370495002, D("11793.63104562"), D("11781.80495970"), D("0.00038246"), 1597392000000),
        {("markPrice",): ANY},
        (("time",),),
    ),
    "trades of bybit": Recorded(
        lambda body: bybit_quotes.parse_trades(body, "BTCUSDT"),
        bybit("spot", BYBIT_TRADES),
        [
            Trade("2100000000007764262", 1672052955757, D("16618.50"), D("1"), Side.SELL),
            Trade("2100000000007764263", 1672052955758, D("16618.49"), D("0.00012"), Side.BUY),
        ],
        {("result", "list", 0, "price"): ANY, ("result", "list", 0, "size"): ANY},
        (("result", "list", 0, "time"),),
        entries=("result", "list"),
    ),
    "quote of bybit": Recorded(
        lambda body: bybit_quotes.parse_quote(body, "BTC-USDT", "BTCUSDT"),
        bybit("spot", [BYBIT_SPOT_TICKER]),
        Quote("BTC-USDT", 1672376496682, D("20517.96"), D("2"), D("20527.77"), D("1.862172")),
        {
            ("result", "list", 0, "bid1Price"): SMALL,
            ("result", "list", 0, "bid1Size"): ANY,
            ("result", "list", 0, "ask1Price"): LARGE,
            ("result", "list", 0, "ask1Size"): ANY,
        },
        (("time",),),
        entries=("result", "list"),
    ),
    "book of bybit": Recorded(
        lambda body: bybit_quotes.parse_book(body, "BTC-USDT", "BTCUSDT", 5),
        BYBIT_BOOK,
        Book(
            "BTC-USDT",
            1716863719031,
            "1432604333",
            (Level(D("65485.47"), D("47.081829")),),
            (Level(D("65557.7"), D("16.606555")),),
        ),
        {
            ("result", "b", 0, 0): SMALL,
            ("result", "b", 0, 1): ANY,
            ("result", "a", 0, 0): LARGE,
            ("result", "a", 0, 1): ANY,
        },
        (("result", "ts"),),
        rows=(("result", "b"), ("result", "a")),
    ),
    "funding rates of bybit": Recorded(
        lambda body: bybit_quotes.parse_funding_rates(body, "ETHPERP"),
        bybit("linear", BYBIT_RATES),
        [FundingRate(1672012800000, D("-0.00006352")), FundingRate(1672041600000, D("0.0001"))],
        {("result", "list", 0, "fundingRate"): SIGNED},
        (("result", "list", 0, "fundingRateTimestamp"),),
        entries=("result", "list"),
    ),
    "open interest of bybit": Recorded(
        lambda body: bybit_quotes.parse_open_interest(body, "BTC-USDT", "BTCUSDT"),
        bybit("linear", [BYBIT_LINEAR_TICKER]),
        OpenInterest("BTC-USDT", 1672376496682, D("26332.321"), D("437011199.58")),
        {("result", "list", 0, "singleOpenInterest"): ANY},
        (("time",),),
        entries=("result", "list"),
    ),
    "mark price of bybit": Recorded(
        lambda body: bybit_quotes.parse_mark_price(body, "BTC-USDT", "BTCUSDT"),
        bybit("linear", [BYBIT_LINEAR_TICKER]),
        MarkPrice("BTC-USDT", 1672376496682, D("16596.00"), D("16598.54"), D("-0.001034"), 1672387200000),
        {("result", "list", 0, "markPrice"): ANY},
        (("time",),),
        entries=("result", "list"),
    ),
}

MAY_BE_EMPTY: list[tuple[str, Path, str]] = [
    ("funding rates of binance", (0, "markPrice"), "mark_price"),
    ("mark price of binance", ("indexPrice",), "index_price"),
    ("mark price of binance", ("lastFundingRate",), "funding_rate"),
    ("mark price of binance", ("nextFundingTime",), "next_funding_ms"),
    ("open interest of bybit", ("result", "list", 0, "singleOpenInterestValue"), "value"),
    ("mark price of bybit", ("result", "list", 0, "indexPrice"), "index_price"),
    ("mark price of bybit", ("result", "list", 0, "fundingRate"), "funding_rate"),
    ("mark price of bybit", ("result", "list", 0, "nextFundingTime"), "next_funding_ms"),
    ("book of bybit", ("result", "seq"), "sequence"),
]
"""Fields that the exchange leaves empty, or out, where it has nothing to tell: and what is None then."""

WHOSE: list[tuple[str, Path, str]] = [
    ("quote of binance", ("symbol",), "LTCBTC"),
    ("funding rates of binance", (1, "symbol"), "BTCUSDT"),
    ("open interest of binance", ("symbol",), "BTCUSDT"),
    ("mark price of binance", ("symbol",), "BTCUSDT"),
    ("trades of bybit", ("result", "list", 1, "symbol"), "BTCUSDT"),
    ("quote of bybit", ("result", "list", 0, "symbol"), "BTCUSDT"),
    ("book of bybit", ("result", "s"), "BTCUSDT"),
    ("funding rates of bybit", ("result", "list", 1, "symbol"), "ETHPERP"),
    ("open interest of bybit", ("result", "list", 0, "symbol"), "BTCUSDT"),
    ("mark price of bybit", ("result", "list", 0, "symbol"), "BTCUSDT"),
]
"""Where an answer says which market it is about, and which one it is."""
