"""One month of one symbol: whole, or not at all; continued where it ends."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from crypto_pipeline.errors import (
    ConfigurationError,
    ExchangeUnavailableError,
    InconsistentDataError,
    MalformedAnswerError,
    ValueTooWideError,
)
from crypto_pipeline.exchanges import Candle, ExchangeClient
from crypto_pipeline.lake import LocalLake
from crypto_pipeline.market import Gap, MonthResult, Progress, check_stored, ingest_month
from crypto_pipeline.market.ingest import ASKED_AGAIN_MS
from crypto_pipeline.market.months import MINUTE_MS, moment
from crypto_pipeline_tests.market.exchange import TableExchange
from crypto_pipeline_tests.support.rows import END_MS, MONTH, START_MS, candle, candles

MINUTES = 44_640
AFTER = END_MS + 3_600_000


@pytest.fixture
def lake(tmp_path: Path) -> LocalLake:
    return LocalLake(tmp_path / "lake")


def run(client: ExchangeClient, lake: LocalLake, **more: Any) -> MonthResult:
    return asyncio.run(ingest_month(client, lake, symbol="BTC-USDT", month=MONTH, **more))


def at(minute: int, *, second: int = 30) -> int:
    """Return a moment within a minute of the month."""
    return START_MS + minute * MINUTE_MS + second * 1000


def stored_closes(lake: LocalLake, result: MonthResult) -> list[Decimal]:
    table = lake.read(result.partition)
    assert table is not None
    closes: list[Decimal] = table["close"].to_pylist()
    return closes


def test_a_month_that_is_over_is_stored_whole(lake: LocalLake) -> None:
    rows = list(candles(*range(MINUTES)))
    client: ExchangeClient = TableExchange(rows, now_ms=AFTER)

    result = run(client, lake)

    assert (result.rows, result.missing, result.expected, result.gaps) == (MINUTES, 0, MINUTES, ())
    assert result.complete_month
    assert (result.first, result.last) == (moment(START_MS), moment(END_MS - MINUTE_MS))
    assert stored_closes(lake, result) == [row.close for row in rows]
    assert (result.usage.requests, result.usage.weight) == (447, 894)
    assert check_stored(lake, result).problems == ()
    assert 400 <= len(result.closes) <= 960


def test_a_month_made_again_is_fetched_anew_and_has_the_same_bytes(lake: LocalLake) -> None:
    client = TableExchange(candles(*range(MINUTES)), now_ms=AFTER)
    first = run(client, lake)
    asked = len(client.asked)

    again = run(client, lake)

    assert first.stored is not None
    assert again.stored is not None
    assert (again.stored.sha256, again.stored.changed) == (first.stored.sha256, False)
    assert len(client.asked) == 2 * asked


def test_minutes_without_a_row_are_counted_and_named_and_not_invented(lake: LocalLake) -> None:
    present = set(range(MINUTES)) - {0, 5, 6, 7, MINUTES - 1}
    client = TableExchange(candles(*sorted(present)), now_ms=AFTER)

    result = run(client, lake)

    assert (result.rows, result.missing) == (MINUTES - 5, 5)
    assert result.gaps == (
        Gap(START_MS, START_MS + MINUTE_MS),
        Gap(START_MS + 5 * MINUTE_MS, START_MS + 8 * MINUTE_MS),
        Gap(END_MS - MINUTE_MS, END_MS),
    )


def test_the_running_minute_is_never_stored(lake: LocalLake) -> None:
    """Even if the exchange gives it without a flag."""
    client = TableExchange(candles(*range(300)), now_ms=at(250, second=59))

    result = run(client, lake)

    assert (result.rows, result.expected, result.complete_month) == (250, 250, False)
    assert result.last == moment(START_MS + 249 * MINUTE_MS)


def test_a_running_month_is_continued_and_only_what_is_missing_is_fetched(lake: LocalLake) -> None:
    """The last minutes are asked for again: an exchange may still add to them."""
    client = TableExchange(candles(*range(2000)), now_ms=at(1000))
    run(client, lake)
    client.asked.clear()
    client.now_ms = at(1100)

    result = run(client, lake)

    assert client.asked[0] == (START_MS + 1000 * MINUTE_MS - ASKED_AGAIN_MS, START_MS + 1095 * MINUTE_MS)
    assert len(client.asked) == 2
    assert (result.rows, result.missing) == (1100, 0)


def test_a_row_that_came_late_is_found_by_the_next_update(lake: LocalLake) -> None:
    client = TableExchange(candles(*range(999)), now_ms=at(1000))
    assert run(client, lake).missing == 1
    client.table[START_MS + 999 * MINUTE_MS] = candle(999)
    client.now_ms = at(1001)
    client.table[START_MS + 1000 * MINUTE_MS] = candle(1000)

    assert run(client, lake).missing == 0


def test_a_month_that_was_continued_has_the_bytes_of_one_that_was_fetched_at_once(tmp_path: Path) -> None:
    """Whatever the steps were, the file of a closed month is the same."""
    rows = [row for row in candles(*range(MINUTES)) if row.open_time_ms % 1_440_000]
    steps, whole = LocalLake(tmp_path / "steps"), LocalLake(tmp_path / "whole")
    client = TableExchange(rows, now_ms=at(10))
    for minute in (10, 11, 500, 20_000, 44_639):
        client.now_ms = at(minute)
        run(client, steps)
    client.now_ms = AFTER

    continued, at_once = run(client, steps, update_only=True), run(client, whole)

    assert continued.stored is not None
    assert at_once.stored is not None
    assert continued.stored.sha256 == at_once.stored.sha256
    assert continued.complete_month


def test_an_update_of_a_closed_month_asks_for_its_end_only(lake: LocalLake) -> None:
    client = TableExchange(candles(*range(MINUTES)), now_ms=AFTER)
    run(client, lake)
    client.asked.clear()

    result = run(client, lake, update_only=True)

    assert client.asked == [(END_MS - ASKED_AGAIN_MS, END_MS)]
    assert result.rows == MINUTES
    assert result.stored is not None
    assert not result.stored.changed


def test_an_update_replaces_a_file_that_cannot_be_read(lake: LocalLake) -> None:
    client = TableExchange(candles(*range(300)), now_ms=at(300))
    result = run(client, lake)
    lake.path_of(result.partition).write_bytes(b"PAR1 and then nothing")

    assert run(client, lake).rows == 300


def test_a_page_that_fails_fails_the_month_and_keeps_the_file(lake: LocalLake) -> None:
    client = TableExchange(candles(*range(1000)), now_ms=at(1000))
    before = run(client, lake)
    client.now_ms = at(2000)

    def fail_late(page: list[Candle]) -> list[Candle]:
        if len(client.asked) >= 15:
            msg = "cut off"
            raise ExchangeUnavailableError(msg)
        return page

    client.spoil = fail_late
    with pytest.raises(ExchangeUnavailableError, match="cut off"):
        run(client, lake)

    assert before.stored is not None
    assert lake.path_of(before.partition).stat().st_size == before.stored.bytes
    assert [path.name for path in lake.path_of(before.partition).parent.iterdir()] == ["data.parquet"]


def test_a_page_that_fails_stops_the_pages_that_wait(lake: LocalLake) -> None:
    """A month has 447 pages here; after the first refusal there is no use in asking for the rest."""

    def fail(_: list[Candle]) -> list[Candle]:
        msg = "not JSON"
        raise MalformedAnswerError(msg)

    client = TableExchange((), now_ms=AFTER, spoil=fail)

    with pytest.raises(MalformedAnswerError):
        run(client, lake)

    assert len(client.asked) < 40


@pytest.mark.parametrize(
    "changes",
    [{"low": Decimal(70_000)}, {"volume": Decimal(-1)}, {"trades": -1}],
    ids=["low above open", "volume below 0", "trades below 0"],
)
def test_candles_that_contradict_themselves_are_not_stored(lake: LocalLake, changes: dict[str, Any]) -> None:
    client = TableExchange([*candles(0, 1), candle(2, **changes)], now_ms=at(3))

    with pytest.raises(InconsistentDataError, match=r"table BTC-USDT 2026-10.*2026-10-01 00:02"):
        run(client, lake)

    assert not list(lake.root.rglob("*.parquet"))


def test_a_candle_that_comes_twice_is_not_stored(lake: LocalLake) -> None:
    client = TableExchange(candles(0, 1), now_ms=at(2), spoil=lambda page: [*page, page[-1]])

    with pytest.raises(InconsistentDataError, match="stands twice"):
        run(client, lake)


def test_the_last_minutes_that_are_flagged_unfinished_are_left_for_the_next_update(lake: LocalLake) -> None:
    """The exchange's word counts for more than its clock."""
    rows = [*candles(*range(998)), candle(998, finished=False), candle(999, finished=False)]
    client = TableExchange(rows, now_ms=at(1000))

    result = run(client, lake)

    assert (result.rows, result.expected) == (998, 998)


def test_a_minute_long_over_that_is_flagged_unfinished_is_a_contradiction(lake: LocalLake) -> None:
    client = TableExchange([candle(0, finished=False), *candles(*range(1, 100))], now_ms=at(100))

    with pytest.raises(InconsistentDataError, match="2026-10-01 00:00"):
        run(client, lake)


def test_a_number_that_does_not_fit_names_the_symbol_and_the_wide_variant_takes_it(lake: LocalLake) -> None:
    client = TableExchange([candle(0, close=Decimal("59999.1234567890123"))], now_ms=at(1))

    with pytest.raises(ValueTooWideError, match=r"table BTC-USDT.*CRYPTO_PIPELINE_WIDE_SYMBOLS"):
        run(client, lake)
    result = run(client, lake, wide=True)

    assert stored_closes(lake, result) == [Decimal("59999.1234567890123")]
    assert "candles_wide/" in str(lake.path_of(result.partition))


def test_a_month_before_the_listing_has_no_file(lake: LocalLake) -> None:
    result = run(TableExchange((), now_ms=AFTER), lake)

    assert (result.stored, result.rows, result.missing, result.first) == (None, 0, MINUTES, None)
    assert check_stored(lake, result).problems == ()
    assert not list(lake.root.rglob("*.parquet"))


def test_stored_candles_are_kept_when_the_exchange_no_longer_has_them(lake: LocalLake) -> None:
    client = TableExchange(candles(*range(MINUTES)), now_ms=AFTER)
    run(client, lake)
    client.table.clear()

    with pytest.raises(InconsistentDataError, match="no longer has"):
        run(client, lake)

    assert len(list(lake.root.rglob("*.parquet"))) == 1


def test_a_month_that_has_not_begun_asks_for_nothing(lake: LocalLake) -> None:
    client = TableExchange((), now_ms=START_MS - 1)

    result = run(client, lake)

    assert (result.expected, result.stored, client.asked) == (0, None, [])


def test_what_is_no_month_is_refused_before_anything_is_asked(lake: LocalLake) -> None:
    client = TableExchange((), now_ms=AFTER)

    with pytest.raises(ConfigurationError, match="not a month"):
        asyncio.run(ingest_month(client, lake, symbol="BTC-USDT", month="2026-13"))


def test_progress_rises_to_the_whole(lake: LocalLake) -> None:
    told: list[Progress] = []

    run(TableExchange(candles(*range(MINUTES)), now_ms=AFTER), lake, progress=told.append)

    assert told[0] == Progress("BTC-USDT", MONTH, 0, MINUTES)
    assert told[-1].done == MINUTES
    assert [one.done for one in told] == sorted(one.done for one in told)


def test_the_footer_names_endpoint_and_range_and_nothing_of_the_run(lake: LocalLake) -> None:
    result = run(TableExchange(candles(*range(300)), now_ms=at(250)), lake)

    footer = json.loads(pq.read_metadata(lake.path_of(result.partition)).metadata[b"crypto_pipeline"])

    assert footer["exchange"] == "table"
    assert footer["endpoint"] == "table.example/candles"
    assert footer["fetched_from"] == "2026-10-01T00:00+00:00"
    assert footer["fetched_until"] == "2026-10-01T04:10+00:00"


def test_the_check_of_the_stored_file_notices_what_became_of_it(lake: LocalLake) -> None:
    client = TableExchange(candles(*range(100)), now_ms=at(100))
    result = run(client, lake)
    path = lake.path_of(result.partition)
    table = lake.read(result.partition)
    assert table is not None
    footer = pq.read_metadata(path).metadata

    pq.write_table(table.slice(0, 50).replace_schema_metadata(footer), path)
    shortened = check_stored(lake, result).problems
    path.write_bytes(b"PAR1")
    broken = check_stored(lake, result).problems
    path.unlink()
    gone = check_stored(lake, result).problems

    assert "50 rows were read back, 100 were stored" in shortened[0]
    assert "Parquet" in broken[0]
    assert "gone" in gone[0]
