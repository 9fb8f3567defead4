"""What a person sees of a run: numbers, files, gaps, a chart, and two checks."""

from __future__ import annotations

import base64
import io
import json
import logging
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import dagster as dg
import pyarrow.parquet as pq
import pytest
from PIL import Image

from crypto_pipeline.defs.build import build_defs
from crypto_pipeline.defs.chart import HEIGHT, WIDTH
from crypto_pipeline.defs.market_data import GAPS_SHOWN, describe, progress_logger
from crypto_pipeline.exchanges import CLIENTS, Usage
from crypto_pipeline.lake import LocalLake
from crypto_pipeline.market import Gap, MonthResult
from crypto_pipeline.market.ingest import candle_partition
from crypto_pipeline.sandbox.market import SYMBOLS
from crypto_pipeline_tests.support.deployment import (
    Deployment,
    StandingClock,
    checks_of,
    failure_of,
    materialized,
    metadata_of,
    run_job,
    steps_that,
)
from crypto_pipeline_tests.support.rows import END_MS, MONTH, START_MS

RUNNING = "2024-03"
"""The month in which the clock stands."""


def run(
    deployment: Deployment,
    exchange: str,
    month: str = RUNNING,
    *,
    through: str | None = None,
    update: bool = False,
    data_set: str = "candles_1m",
    **changes: object,
) -> dg.ExecuteInProcessResult:
    """Make one asset of an exchange, at the deployment's time."""
    defs = deployment.build_at_its_time(exchanges=(exchange,), **changes)
    partition = month if data_set == "candles_1m" else None
    job = f"{exchange}_market_data"
    return run_job(defs, job, partition, through=through, update=update, assets=(f"{exchange}/{data_set}",))


def candle_requests(deployment: Deployment, exchange: str) -> list[dict[str, str]]:
    """Return the query of every request for candles."""
    path = {"binance": "/api/v3/klines", "bybit": "/v5/market/kline"}[exchange]
    return [
        {name: values[0] for name, values in parse_qs(request["query"]).items()}
        for request in deployment.requests(path=path)
    ]


# The main job...


@pytest.mark.parametrize("exchange", CLIENTS)
def test_the_main_job_makes_all_three_assets_and_passes_all_three_checks(exchange: str, early: Deployment) -> None:
    early.give_key(exchange)

    result = run_job(early.build_at_its_time(exchanges=(exchange,)), f"{exchange}_market_data", RUNNING)

    assert result.success
    assert materialized(result) == {f"{exchange}/{name}" for name in ("api_key", "instruments", "candles_1m")}
    assert {name: check.passed for name, check in checks_of(result).items()} == {
        "key_is_read_only": True,
        "candles_are_complete": True,
        "candles_are_consistent": True,
    }
    shown = metadata_of(result, f"{exchange}/candles_1m", RUNNING)
    assert shown["credential"].startswith(f"{exchange.upper()}_")
    assert shown["credential_version"] == "environment"
    assert {event["run_id"] for event in early.events() if "run_id" in event} <= {result.run_id}


# Instruments...


@pytest.mark.parametrize("exchange", CLIENTS)
def test_the_list_of_markets_is_shown_by_its_numbers(exchange: str, early: Deployment) -> None:
    dates = {f"{datetime.now(UTC):%Y-%m-%d}"}

    result = run(early, exchange, data_set="instruments")

    dates.add(f"{datetime.now(UTC):%Y-%m-%d}")  # midnight may have passed
    shown = metadata_of(result, f"{exchange}/instruments")
    table = pq.ParquetFile(shown["path"]).read()
    assert shown["dagster/row_count"] == table.num_rows >= len(SYMBOLS)
    assert shown["trading"] == table["status"].to_pylist().count("trading")
    assert "USDT" in shown["quotes"]
    assert shown["requests"] == len([one for one in early.requests() if one["exchange"] == exchange])
    assert shown["budget"]
    assert len(shown["sha256"]) == 64
    assert any(f"/date={date}/" in shown["path"] for date in dates)


def test_a_list_that_cannot_be_had_fails_with_its_sentence(early: Deployment) -> None:
    early.sandbox.add_fault("okx", "malformed")

    result = run(early, "okx", data_set="instruments")

    assert "OKX" in str(failure_of(result).description)
    assert failure_of(result).metadata["error"].value == "MalformedAnswerError"
    assert list(early.lake.rglob("*.parquet")) == []


# Candles...


def test_a_month_is_shown_by_what_was_stored_and_what_it_cost(early: Deployment) -> None:
    result = run(early, "binance", symbols="BTC-USDT,ETH-USDT")

    shown = metadata_of(result, "binance/candles_1m", RUNNING)
    files = [f for symbol in ("BTC-USDT", "ETH-USDT") for f in early.lake.rglob(f"symbol={symbol}/**/data.parquet")]
    assert shown["dagster/row_count"] == 80
    assert shown["missing"] == 0
    assert (shown["first_candle"], shown["last_candle"]) == ("2024-03-01T00:00+00:00", "2024-03-01T00:39+00:00")
    assert shown["files"] == [str(path) for path in files]
    assert [pq.ParquetFile(path).read().num_rows for path in files] == [40, 40]
    assert shown["gaps"] == {"BTC-USDT": [], "ETH-USDT": []}
    assert shown["requests"] == len([one for one in early.requests() if one["exchange"] == "binance"])
    assert shown["weight"] >= shown["requests"]
    assert shown["retries"] == 0
    assert "per minute" in shown["budget"]
    assert shown["seconds"] > 0
    assert shown["credential"] == "none: public data without a key"
    assert shown["credential_version"] == "none"


def test_each_symbol_has_a_row_in_the_table_with_its_file(early: Deployment) -> None:
    result = run(early, "binance", symbols="BTC-USDT,ETH-USDT")

    records = metadata_of(result, "binance/candles_1m")["symbols"]
    assert [record["symbol"] for record in records] == ["BTC-USDT", "ETH-USDT"]
    assert {(record["rows"], record["missing"], record["month"], record["file"]) for record in records} == {
        (40, 0, "running", "changed")
    }
    assert [len(record["sha256"]) for record in records] == [64, 64]
    assert all(record["bytes"] > 0 for record in records)


def test_the_chart_is_markdown_with_a_picture_for_each_symbol(early: Deployment) -> None:
    result = run(early, "binance", symbols="BTC-USDT,ETH-USDT")

    text = metadata_of(result, "binance/candles_1m")["chart"]
    pictures = [part.partition(")")[0] for part in text.split("data:image/png;base64,")[1:]]
    assert [f"**{symbol} {RUNNING}**" in text for symbol in ("BTC-USDT", "ETH-USDT")] == [True, True]
    assert [Image.open(io.BytesIO(base64.b64decode(picture))).size for picture in pictures] == [(WIDTH, HEIGHT)] * 2


def test_the_running_month_is_continued_where_its_file_ends(early: Deployment, clock: StandingClock) -> None:
    """Only the last minutes, and what has come since, are asked for."""
    run(early, "binance")
    early.sandbox.clear_requests()
    clock.moment = "2024-03-01T02:10:05"

    result = run(early, "binance")

    (asked,) = candle_requests(early, "binance")
    assert datetime.fromtimestamp(int(asked["startTime"]) / 1000, UTC) == datetime(2024, 3, 1, 0, 35, tzinfo=UTC)
    assert metadata_of(result, "binance/candles_1m")["dagster/row_count"] == 130
    assert metadata_of(result, "binance/candles_1m")["last_candle"] == "2024-03-01T02:09+00:00"


def test_making_the_same_month_again_leaves_the_file_as_it_was(early: Deployment) -> None:
    first = metadata_of(run(early, "bybit"), "bybit/candles_1m")

    second = metadata_of(run(early, "bybit"), "bybit/candles_1m")

    (before,), (after,) = first["symbols"], second["symbols"]
    assert before["sha256"] == after["sha256"]
    assert (before["file"], after["file"]) == ("changed", "as before")


def test_a_month_that_is_over_is_made_anew_and_by_an_update_only_finished(
    early: Deployment, clock: StandingClock
) -> None:
    """On the 1st the schedule asks for the last minutes of the month before; a backfill asks for all of it."""
    symbol: dict[str, Any] = {"symbols": "PEPE-USDT", "wide_symbols": "bybit:PEPE-USDT"}
    clock.moment = "2023-06-30T23:30:05"
    run(early, "bybit", "2023-06", **symbol)
    clock.moment = "2023-07-01T00:03:05"
    asked = {}

    for update in (True, False):
        early.sandbox.clear_requests()
        result = run(early, "bybit", "2023-06", update=update, **symbol)
        asked[update] = candle_requests(early, "bybit")
        shown = metadata_of(result, "bybit/candles_1m", "2023-06")
        assert shown["dagster/row_count"] == 2 * 1440  # it was listed two days before the end
        assert shown["last_candle"] == "2023-06-30T23:59+00:00"
        assert shown["symbols"][0]["month"] == "over"

    (only,) = asked[True]
    assert datetime.fromtimestamp(int(only["start"]) / 1000, UTC) == datetime(2023, 6, 30, 23, 25, tzinfo=UTC)
    assert len(asked[False]) == 44  # pages of a thousand minutes


def test_a_range_of_months_is_one_run_with_an_entry_for_each_month(early: Deployment, clock: StandingClock) -> None:
    """And one client: the exchange's time is asked for once."""
    clock.moment = "2023-07-01T00:30:05"

    result = run(early, "bybit", "2023-06", through="2023-07", symbols="PEPE-USDT", wide_symbols="bybit:PEPE-USDT")

    assert result.success
    assert [event.partition for event in result.get_asset_materialization_events()] == ["2023-06", "2023-07"]
    june, july = (metadata_of(result, "bybit/candles_1m", month) for month in ("2023-06", "2023-07"))
    assert (june["dagster/row_count"], july["dagster/row_count"]) == (2 * 1440, 30)
    assert [june["symbols"][0]["month"], july["symbols"][0]["month"]] == ["over", "running"]
    assert "candles_wide" in june["files"][0]
    assert len(early.requests(path="/v5/market/time")) == 2  # the better of two answers is taken
    assert june["requests"] + july["requests"] == len(early.requests())


def test_a_month_before_a_symbol_was_listed_is_empty_and_says_so(early: Deployment) -> None:
    result = run(early, "bybit", "2023-05", symbols="PEPE-USDT", wide_symbols="bybit:PEPE-USDT")

    shown = metadata_of(result, "bybit/candles_1m", "2023-05")
    assert (shown["dagster/row_count"], shown["first_candle"], shown["last_candle"]) == (0, "none", "none")
    assert shown["files"] == []
    assert shown["chart"] == "**PEPE-USDT 2023-05**: no candles"
    assert [record["file"] for record in shown["symbols"]] == ["none"]
    assert checks_of(result)["candles_are_consistent"].passed


# The checks...


def test_minutes_without_a_trade_are_no_fault_where_the_exchange_has_no_row_for_them(
    early: Deployment, clock: StandingClock
) -> None:
    """Coinbase leaves them out; the check passes and says why."""
    clock.moment = "2024-03-01T08:00:05"

    result = run(early, "coinbase")

    shown, verdict = metadata_of(result, "coinbase/candles_1m"), checks_of(result)["candles_are_complete"]
    assert shown["missing"] > 0
    assert shown["dagster/row_count"] + shown["missing"] == 480
    assert sum(int(gap.split(" + ")[1].split()[0]) for gap in shown["gaps"]["BTC-USDT"]) == shown["missing"]
    assert verdict.passed
    assert str(verdict.description).endswith("Coinbase has no row for a minute in which nobody traded.")
    assert f"{shown['missing']} minutes without a row make 480 minutes." in str(verdict.description)
    assert {name: value.value for name, value in verdict.metadata.items()} == {
        "rows": shown["dagster/row_count"],
        "missing": shown["missing"],
        "expected": 480,
    }


def test_minutes_that_are_missing_elsewhere_are_a_warning_that_stops_nothing(
    early: Deployment, clock: StandingClock
) -> None:
    """Bybit has a row for every minute, here only since the symbol was listed."""
    clock.moment = "2023-06-29T12:00:05"

    result = run(early, "bybit", "2023-06", symbols="PEPE-USDT", wide_symbols="bybit:PEPE-USDT")

    shown, verdict = metadata_of(result, "bybit/candles_1m"), checks_of(result)["candles_are_complete"]
    assert result.success
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(verdict.description).endswith("Bybit has a row for every minute, so these are missing.")
    assert shown["missing"] == 28 * 1440
    assert shown["gaps"] == {"PEPE-USDT": ["2023-06-01T00:00+00:00 + 40320 min"]}


def test_a_complete_month_has_nothing_to_explain(early: Deployment) -> None:
    verdict = checks_of(run(early, "binance"))["candles_are_complete"]

    assert verdict.passed
    assert verdict.description == "40 rows and 0 minutes without a row make 40 minutes."


def test_what_was_stored_is_read_back_and_judged(early: Deployment) -> None:
    verdict = checks_of(run(early, "okx", symbols="BTC-USDT,ETH-USDT"))["candles_are_consistent"]

    assert verdict.passed
    assert verdict.description == "2 files read back without a contradiction."
    assert {name: value.value for name, value in verdict.metadata.items()} == {"files": 2, "problems": 0}


class ForgetfulLake(LocalLake):
    """A lake on a disk that does not keep what it said it would."""

    def write(self, *arguments: object, **more: object) -> object:  # type: ignore[override]  # passed on
        """Store the file, then lose it."""
        stored = super().write(*arguments, **more)  # type: ignore[arg-type]
        stored.path.unlink()
        return stored


def test_a_file_that_is_not_there_when_it_is_read_back_fails_the_check(early: Deployment) -> None:
    """What is on disk is judged, not what was in memory."""
    settings = early.settings(exchanges=("binance",))
    defs = build_defs(settings, binance=early.access("binance"), lake=ForgetfulLake(settings.lake))

    result = run_job(defs, "binance_market_data", RUNNING, assets=("binance/candles_1m",))

    verdict = checks_of(result)["candles_are_consistent"]
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert f"BTC-USDT {RUNNING}: its file is gone" in str(verdict.description)
    assert verdict.metadata["problems"].value == 1


# What goes wrong...


def test_a_number_that_does_not_fit_fails_with_the_setting_that_helps(early: Deployment) -> None:
    result = run(early, "okx", symbols="PEPE-USDT")

    assert "CRYPTO_PIPELINE_WIDE_SYMBOLS" in str(failure_of(result).description)
    assert failure_of(result).metadata["exit_code"].value == 7
    assert materialized(result) == set()


def test_an_exchange_that_fails_in_the_middle_leaves_no_file_and_no_check(early: Deployment) -> None:
    early.sandbox.add_fault("bybit", "malformed", path_prefix="/v5/market/kline")

    result = run(early, "bybit")

    assert steps_that(result, "STEP_FAILURE") == {"bybit__candles_1m"}
    assert checks_of(result) == {}
    assert [path for path in early.lake.rglob("*") if path.is_file()] == []


# While it runs...


def test_progress_is_told_to_its_logger_in_minutes_and_reaches_the_end(
    early: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    """The command line listens there; Dagster's own log stays short."""
    with caplog.at_level(logging.INFO, progress_logger.name):
        result = run(early, "binance")

    told = [json.loads(record.getMessage()) for record in caplog.records if record.name == progress_logger.name]
    assert {(one["symbol"], one["month"], one["total"]) for one in told} == {("BTC-USDT", RUNNING, 40)}
    assert [one["done"] for one in told] == [0, 40]
    assert '"done"' not in str(result.all_events)


def month_with(gaps: int) -> MonthResult:
    """Return a month with so many gaps of a minute."""
    found = tuple(Gap(START_MS + 120_000 * number, START_MS + 120_000 * number + 60_000) for number in range(gaps))
    return MonthResult(
        symbol="BTC-USDT",
        month=MONTH,
        partition=candle_partition("coinbase", "BTC-USDT", MONTH, wide=False),
        start_ms=START_MS,
        until_ms=END_MS,
        complete_month=True,
        rows=(END_MS - START_MS) // 60_000 - gaps,
        gaps=found,
        first=None,
        last=None,
        stored=None,
        usage=Usage(1, 0, 1, "1 request"),
        seconds=0.1,
        closes=(),
    )


@pytest.mark.parametrize(("gaps", "told"), [(GAPS_SHOWN, None), (GAPS_SHOWN + 1, "and 1 more"), (500, "and 460 more")])
def test_many_gaps_are_shown_by_the_first_and_by_their_number(gaps: int, told: str | None) -> None:
    """An event that is too long would be shown by no page."""
    shown = describe([month_with(gaps)], None)["gaps"].value["BTC-USDT"]

    assert shown[0] == f"{MONTH}-01T00:00+00:00 + 1 min"
    assert shown[GAPS_SHOWN:] == ([told] if told else [])
