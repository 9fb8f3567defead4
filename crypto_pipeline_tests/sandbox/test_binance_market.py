"""The simulated Binance's candles, clock and listings."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.binance import BinanceExchange
from crypto_pipeline.sandbox.interface import Answer
from crypto_pipeline.sandbox.keys import KeyRing
from crypto_pipeline_tests.sandbox.asking import MINUTE_MS, NOW_MS, asked, content, with_headers

RUNNING_MS = NOW_MS - NOW_MS % MINUTE_MS
DAY_MS = 86_400_000
LISTED_MS = market.listing("binance", "BTC-USDT").listed_ms


@pytest.fixture
def binance() -> BinanceExchange:
    return BinanceExchange(KeyRing())


def refusal(answer: Answer) -> tuple[int, int]:
    return answer.status, content(answer)["code"]


def shown(exchange: BinanceExchange, path: str, query: str = "") -> Any:
    answer = exchange.handle(asked(f"/api/v3/{path}", query))
    assert answer.status == 200, answer.body
    return content(answer)


def candles(exchange: BinanceExchange, query: str = "", interval: str = "1m") -> list[list[Any]]:
    rows: list[list[Any]] = shown(exchange, "klines", f"symbol=BTCUSDT&interval={interval}&{query}".rstrip("&"))
    return rows


def candle_times(exchange: BinanceExchange, query: str = "", interval: str = "1m") -> list[int]:
    return [row[0] for row in candles(exchange, query, interval)]


def test_candles_come_oldest_first_and_end_with_the_running_one(binance: BinanceExchange) -> None:
    """Nothing marks it but its end, which lies ahead."""
    rows = candles(binance)

    assert [row[0] for row in rows] == [RUNNING_MS - back * MINUTE_MS for back in range(499, -1, -1)]
    assert [row[6] >= NOW_MS for row in rows] == [False] * 499 + [True]


def test_a_row_holds_the_markets_own_numbers(binance: BinanceExchange) -> None:
    """Twelve columns of three types; prices and volumes have eight decimals."""
    open_ms = RUNNING_MS - 5 * MINUTE_MS

    (row,) = candles(binance, f"startTime={open_ms}&endTime={open_ms}")

    minute = market.minute("binance", "BTC-USDT", open_ms)
    assert len(row) == 12
    assert (row[0], row[6], row[8], row[11]) == (open_ms, open_ms + MINUTE_MS - 1, minute.trades, "0")
    assert [Decimal(row[column]) for column in (1, 2, 3, 4, 5, 7, 9, 10)] == [
        minute.open,
        minute.high,
        minute.low,
        minute.close,
        minute.volume,
        minute.quote_volume,
        minute.taker_buy_volume,
        minute.taker_buy_quote_volume,
    ]
    assert {len(row[column].partition(".")[2]) for column in (1, 2, 3, 4, 5, 7, 9, 10)} == {8}


@pytest.mark.parametrize("symbol", market.SYMBOLS)
def test_every_symbol_keeps_its_digits(binance: BinanceExchange, symbol: str) -> None:
    """The cheapest costs less than a hundred thousandth."""
    open_ms = RUNNING_MS - MINUTE_MS
    query = f"symbol={symbol.replace('-', '')}&interval=1m&startTime={open_ms}&limit=1"

    ((_, *prices, _volume, _, quote, _, _, _, _),) = shown(binance, "klines", query)

    minute = market.minute("binance", symbol, open_ms)
    assert [Decimal(price) for price in prices] == [minute.open, minute.high, minute.low, minute.close]
    assert Decimal(quote) == minute.quote_volume


def test_a_start_gives_the_oldest_rows_from_there_however_long_the_range(binance: BinanceExchange) -> None:
    start = RUNNING_MS - 5000 * MINUTE_MS

    times = candle_times(binance, f"startTime={start}&endTime={RUNNING_MS}&limit=3")

    assert times == [start, start + MINUTE_MS, start + 2 * MINUTE_MS]
    assert candle_times(binance, f"startTime={start - 1}&limit=3") == times
    assert candle_times(binance, f"startTime={start + 1}&limit=1") == [start + MINUTE_MS]


def test_both_ends_are_inclusive(binance: BinanceExchange) -> None:
    start = RUNNING_MS - 10 * MINUTE_MS

    assert candle_times(binance, f"startTime={start}&endTime={start + MINUTE_MS}") == [start, start + MINUTE_MS]
    assert candle_times(binance, f"startTime={start}&endTime={start + MINUTE_MS - 1}") == [start]
    assert candle_times(binance, f"startTime={start + MINUTE_MS}&endTime={start}") == []
    assert candle_times(binance, f"startTime={RUNNING_MS + MINUTE_MS}") == []


def test_an_end_alone_gives_the_newest_rows_up_to_it(binance: BinanceExchange) -> None:
    end = RUNNING_MS - 10 * MINUTE_MS

    assert candle_times(binance, f"endTime={end}&limit=2") == [end - MINUTE_MS, end]
    assert candle_times(binance, f"endTime={NOW_MS + DAY_MS}&limit=1") == [RUNNING_MS]


def test_more_than_a_thousand_rows_are_cut_to_a_thousand(binance: BinanceExchange) -> None:
    assert len(candle_times(binance, "limit=5000")) == 1000


def test_a_year_of_minutes_can_be_paged(binance: BinanceExchange) -> None:
    """Sampled: the pages at its start, middle and end follow each other without a gap."""
    year = range(RUNNING_MS - 365 * DAY_MS, RUNNING_MS, 1000 * MINUTE_MS)

    for start in (year[0], year[len(year) // 2], year[-2]):
        times = candle_times(binance, f"startTime={start}&limit=1000")

        assert times == list(range(start, start + 1000 * MINUTE_MS, MINUTE_MS))


def test_nothing_is_known_before_the_listing(binance: BinanceExchange) -> None:
    assert candle_times(binance, "startTime=0&limit=2") == [LISTED_MS, LISTED_MS + MINUTE_MS]
    assert candle_times(binance, f"endTime={LISTED_MS - 1}") == []


@pytest.mark.parametrize(
    ("interval", "zone", "opened"),
    [
        ("1d", "0", "2026-03-02T00:00"),
        ("1w", "0", "2026-03-02T00:00"),
        ("1M", "0", "2026-03-01T00:00"),
        ("1d", "8", "2026-03-01T16:00"),
        ("1d", "-5:30", "2026-03-02T05:30"),
        ("1d", "14:00", "2026-03-02T10:00"),
        ("1M", "8", "2026-02-28T16:00"),
    ],
)
def test_long_bars_open_at_midnight_of_the_zone(
    binance: BinanceExchange, interval: str, zone: str, opened: str
) -> None:
    """2026-03-02 was a Monday; a month is `M`, a minute is `m`."""
    ((time_ms, *_, close_ms, _, _, _, _, _),) = candles(binance, f"limit=1&timeZone={zone}", interval)

    assert datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="minutes") == f"{opened}+00:00"
    assert close_ms > NOW_MS


def test_a_zone_changes_no_minute(binance: BinanceExchange) -> None:
    assert candles(binance, "limit=3&timeZone=5:45") == candles(binance, "limit=3")


def test_times_may_be_wanted_and_given_in_microseconds(binance: BinanceExchange) -> None:
    start = RUNNING_MS - 5 * MINUTE_MS
    query = f"symbol=BTCUSDT&interval=1m&startTime={start}000&limit=1"

    def wanted(path: str, query: str = "") -> Any:
        return content(
            binance.handle(with_headers(asked(f"/api/v3/{path}", query), {"x-mbx-time-unit": "MICROSECOND"}))
        )

    ((open_us, *_, close_us, _, _, _, _, _),) = wanted("klines", query)
    assert (open_us, close_us) == (start * 1000, (start + MINUTE_MS) * 1000 - 1)
    assert wanted("time") == {"serverTime": NOW_MS * 1000}
    assert wanted("trades", "symbol=BTCUSDT&limit=1")[0]["time"] > NOW_MS * 900
    other = with_headers(asked("/api/v3/time"), {"x-mbx-time-unit": "SECOND"})
    assert refusal(binance.handle(other)) == (400, -1194)


def test_symbols_are_those_of_the_market(binance: BinanceExchange) -> None:
    info = shown(binance, "exchangeInfo")

    listed = market.instruments("binance")
    filters = {entry["symbol"]: {one["filterType"]: one for one in entry["filters"]} for entry in info["symbols"]}
    steps = {
        name: (Decimal(found["PRICE_FILTER"]["tickSize"]), Decimal(found["LOT_SIZE"]["stepSize"]))
        for name, found in filters.items()
    }
    assert steps == {entry.base + entry.quote: (entry.tick, entry.lot) for entry in listed}
    assert {entry["status"] for entry in info["symbols"]} == {"TRADING"}
    assert info["rateLimits"][0] == {
        "rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000,
    }  # fmt: skip
    assert [one["symbol"] for one in shown(binance, "exchangeInfo", "symbol=ETHUSDT")["symbols"]] == ["ETHUSDT"]


def test_the_clock_is_told(binance: BinanceExchange) -> None:
    assert shown(binance, "time") == {"serverTime": NOW_MS}
    assert shown(binance, "ping") == {}
