"""
The schedules: how often what is done.

Add a schedule when something must happen without being asked. Keep work out: a schedule only
requests runs, with a run key that makes a repeated tick harmless.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

from collections.abc import Sequence

import dagster as dg

from crypto_pipeline.defs.jobs import CREDENTIALS_JOB, funding_job_name, looks_job_name, market_data_job_name
from crypto_pipeline.defs.partitions import UPDATE_TAG, months_to_update


def build_schedules(
    exchanges: Sequence[str], *, perpetuals: Sequence[str] = (), running: bool
) -> list[dg.ScheduleDefinition]:
    """
    Return the schedules of each exchange, and the daily check of all keys.

    Args:
        exchanges: those with market data.
        perpetuals: those whose perpetual contracts are read.
        running: whether a new instance starts with them switched on.
    """
    status = dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED
    hourly = [_hourly(exchange, minute=3 + index, status=status) for index, exchange in enumerate(exchanges)]
    daily = dg.ScheduleDefinition(
        name="daily_key_check",
        job_name=CREDENTIALS_JOB,
        cron_schedule="15 6 * * *",
        execution_timezone="UTC",
        description="Ask every issuer once a day what the configured key may do.",
        default_status=status,
    )
    looks = [_looks(exchange, minute=index, status=status) for index, exchange in enumerate(exchanges)]
    funding = [_funding(exchange, minute=33 + index, status=status) for index, exchange in enumerate(perpetuals)]
    return [*hourly, *looks, *funding, daily]


def _looks(exchange: str, *, minute: int, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=f"{exchange}_quarter_hourly",
        job_name=looks_job_name(exchange),
        cron_schedule=f"{minute}-59/15 * * * *",
        execution_timezone="UTC",
        description=f"Look at the markets of {exchange} as they are now.",
        default_status=status,
    )


def _funding(exchange: str, *, minute: int, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{exchange}_funding_hourly",
        job_name=funding_job_name(exchange),
        cron_schedule=f"{minute} * * * *",
        execution_timezone="UTC",
        description=f"Bring the funding rates of {exchange} up to date.",
        default_status=status,
    )
    def hourly(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        now = context.scheduled_execution_time
        return [
            dg.RunRequest(run_key=f"{exchange}@funding@{month}@{now:%Y-%m-%dT%H:%M}", partition_key=month)
            for month in months_to_update(now)
        ]

    return hourly


def _hourly(exchange: str, *, minute: int, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    # A few minutes past the hour, each exchange its own: the last minutes are settled, and the
    # runs do not start together.
    @dg.schedule(
        name=f"{exchange}_hourly",
        job_name=market_data_job_name(exchange),
        cron_schedule=f"{minute} * * * *",
        execution_timezone="UTC",
        description=f"Bring the running month of {exchange} up to date; on the 1st, also the month before.",
        default_status=status,
    )
    def hourly(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        now = context.scheduled_execution_time
        return [
            dg.RunRequest(
                run_key=f"{exchange}@{month}@{now:%Y-%m-%dT%H:%M}", partition_key=month, tags={UPDATE_TAG: "true"}
            )
            for month in months_to_update(now)
        ]

    return hourly
