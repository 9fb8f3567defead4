"""A tick asks for the runs that its moment needs, and asking twice changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg
import pytest

from crypto_pipeline.defs.build import build_defs
from crypto_pipeline.defs.partitions import UPDATE_TAG
from crypto_pipeline.exchanges import CLIENTS, PERPETUAL_CLIENTS
from crypto_pipeline.settings import Settings
from crypto_pipeline_tests.support.deployment import Deployment, StandingClock, metadata_of

# the moment, the months that are asked for
TICKS = (
    (datetime(2026, 11, 24, 12, 3, tzinfo=UTC), ["2026-11"]),
    (datetime(2026, 11, 1, 0, 3, tzinfo=UTC), ["2026-10", "2026-11"]),
    (datetime(2026, 11, 1, 23, 3, tzinfo=UTC), ["2026-10", "2026-11"]),
    (datetime(2026, 11, 2, 0, 3, tzinfo=UTC), ["2026-11"]),
    (datetime(2026, 1, 1, 0, 3, tzinfo=UTC), ["2025-12", "2026-01"]),
    (datetime(2024, 2, 29, 23, 3, tzinfo=UTC), ["2024-02"]),
)
every_exchange = pytest.mark.parametrize("exchange", CLIENTS)


@pytest.fixture
def defs() -> dg.Definitions:
    """The code location of an empty environment."""
    return build_defs(Settings.from_environment())


def requests_at(defs: dg.Definitions, schedule: str, moment: datetime) -> Sequence[dg.RunRequest]:
    """Return what a schedule asks for at a moment."""
    context = dg.build_schedule_context(scheduled_execution_time=moment, repository_def=defs.get_repository_def())
    return defs.resolve_schedule_def(schedule).evaluate_tick(context).run_requests or ()


@every_exchange
@pytest.mark.parametrize(("moment", "months"), TICKS, ids=[f"{moment:%Y-%m-%d %H}" for moment, _ in TICKS])
def test_every_hour_the_running_month_is_updated_and_on_the_first_the_one_before_it(
    exchange: str, moment: datetime, months: list[str], defs: dg.Definitions
) -> None:
    """One run per month, told to continue files and not to make a closed month anew."""
    requests = requests_at(defs, f"{exchange}_hourly", moment)

    assert [request.partition_key for request in requests] == months
    assert [request.tags[UPDATE_TAG] for request in requests] == ["true"] * len(months)
    assert {request.tags["dagster/partition"] for request in requests} == set(months)


@every_exchange
def test_the_same_tick_asks_for_the_same_runs_and_another_tick_for_others(exchange: str, defs: dg.Definitions) -> None:
    """Dagster starts no second run for a key; a tick that is evaluated again after a crash does no harm."""
    moment = datetime(2026, 11, 1, 0, 3, tzinfo=UTC)

    once, again = (requests_at(defs, f"{exchange}_hourly", moment) for _ in range(2))
    later = requests_at(defs, f"{exchange}_hourly", moment.replace(hour=1))

    keys = [request.run_key for request in once]
    assert keys == [request.run_key for request in again]
    assert len({*keys, *(request.run_key for request in later)}) == 4
    assert all(str(key).startswith(f"{exchange}@2026-1") for key in keys)


def test_two_exchanges_never_ask_with_the_same_key(defs: dg.Definitions) -> None:
    moment = datetime(2026, 11, 1, 0, 3, tzinfo=UTC)

    keys = [request.run_key for exchange in CLIENTS for request in requests_at(defs, f"{exchange}_hourly", moment)]

    assert len(set(keys)) == len(keys) == 2 * len(CLIENTS)


def test_each_exchange_has_a_minute_of_its_own_shortly_after_the_hour(defs: dg.Definitions) -> None:
    """The last minute is settled by then, and the runs do not start together."""
    crons = [str(defs.resolve_schedule_def(f"{exchange}_hourly").cron_schedule) for exchange in CLIENTS]

    minutes = [int(cron.split()[0]) for cron in crons]
    assert len(set(minutes)) == len(CLIENTS)
    assert all(2 <= minute <= 15 for minute in minutes)
    assert [cron.split()[1:] for cron in crons] == [["*"] * 4] * len(CLIENTS)


def test_the_keys_are_asked_about_once_a_day(defs: dg.Definitions) -> None:
    schedule = defs.resolve_schedule_def("daily_key_check")

    (request,) = requests_at(defs, "daily_key_check", datetime(2026, 11, 24, 6, 15, tzinfo=UTC))

    minute, hour, *rest = str(schedule.cron_schedule).split()
    assert (minute.isdigit(), hour.isdigit(), rest) == (True, True, ["*"] * 3)
    assert schedule.job_name == "key_check"
    assert request.partition_key is None


@pytest.mark.parametrize("running", [True, False])
def test_whether_schedules_run_in_a_new_instance_is_a_setting(running: bool) -> None:
    """And no schedule is left out of it."""
    defs = build_defs(Settings.from_environment(schedules_running=running, perpetuals="BTC-USDT"))
    names = [f"{exchange}_{often}" for exchange in CLIENTS for often in ("hourly", "quarter_hourly")]
    names += [f"{exchange}_funding_hourly" for exchange in PERPETUAL_CLIENTS]
    schedules = [defs.resolve_schedule_def(name) for name in (*names, "daily_key_check")]

    expected = dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED
    assert {schedule.default_status for schedule in schedules} == {expected}
    assert {schedule.execution_timezone for schedule in schedules} == {"UTC"}
    assert all(schedule.description for schedule in schedules)
    assert len(schedules) == len(list(defs.schedules or ()))


@pytest.mark.parametrize("exchange", PERPETUAL_CLIENTS)
@pytest.mark.parametrize(("moment", "months"), TICKS, ids=[f"{moment:%Y-%m-%d %H}" for moment, _ in TICKS])
def test_every_hour_the_funding_rates_of_the_same_months_are_asked_for(
    exchange: str, moment: datetime, months: list[str]
) -> None:
    defs = build_defs(Settings.from_environment(perpetuals="BTC-USDT"))

    requests = requests_at(defs, f"{exchange}_funding_hourly", moment)

    assert [request.partition_key for request in requests] == months


def test_a_run_as_the_schedule_asks_for_it_continues_the_file(early: Deployment, clock: StandingClock) -> None:
    """Tags, month and job of the request fit together."""
    defs = early.build_at_its_time(exchanges=("binance",))
    job = defs.resolve_job_def("binance_market_data")
    shown = []

    for moment in (datetime(2024, 3, 1, 1, 3, 5, tzinfo=UTC), datetime(2024, 3, 1, 2, 3, 5, tzinfo=UTC)):
        clock.moment = moment.replace(tzinfo=None).isoformat()
        early.sandbox.clear_requests()
        request = requests_at(defs, "binance_hourly", moment)[1]
        result = job.execute_in_process(
            partition_key=request.partition_key,
            tags=dict(request.tags),
            asset_selection=[dg.AssetKey(["binance", "candles_1m"])],
        )
        shown.append(metadata_of(result, "binance/candles_1m"))

    assert [one["dagster/row_count"] for one in shown] == [63, 123]
    assert "startTime=1709254680000" in early.requests(path="/api/v3/klines")[0]["query"]  # 00:58
