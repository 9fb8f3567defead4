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
    hourly = [
        _hourly(
            f"{exchange}_hourly",
            market_data_job_name(exchange),
            key=exchange,
            minute=3 + index,
            description=f"Bring the running month of {exchange} up to date; on the 1st, also the month before.",
            status=status,
        )
        for index, exchange in enumerate(exchanges)
    ]
    daily = dg.ScheduleDefinition(
        name="daily_key_check",
        job_name=CREDENTIALS_JOB,
        cron_schedule="15 6 * * *",
        execution_timezone="UTC",
        description="Ask every issuer once a day what the configured key may do.",
        default_status=status,
    )
    looks = [_looks(exchange, minute=index, status=status) for index, exchange in enumerate(exchanges)]
    funding = [
        _hourly(
            f"{exchange}_funding_hourly",
            funding_job_name(exchange),
            key=f"{exchange}@funding",
            minute=33 + index,
            description=f"Bring the funding rates of {exchange} up to date.",
            status=status,
        )
        for index, exchange in enumerate(perpetuals)
    ]
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


def _hourly(
    name: str, job_name: str, *, key: str, minute: int, description: str, status: dg.DefaultScheduleStatus
) -> dg.ScheduleDefinition:
    """Return the schedule of a job that is cut by months: each hour, for the months that an update has to touch."""

    # A few minutes past the hour, each exchange its own: the last minutes are settled, and the
    # runs do not start together.
    @dg.schedule(
        name=name,
        job_name=job_name,
        cron_schedule=f"{minute} * * * *",
        execution_timezone="UTC",
        description=description,
        default_status=status,
    )
    def hourly(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        now = context.scheduled_execution_time
        return [
            dg.RunRequest(run_key=f"{key}@{month}@{now:%Y-%m-%dT%H:%M}", partition_key=month, tags={UPDATE_TAG: "true"})
            for month in months_to_update(now)
        ]

    return hourly
