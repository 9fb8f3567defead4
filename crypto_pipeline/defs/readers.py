"""
Who uses whose key, and when, as the code location itself tells.

Nothing is listed here by hand: a schedule or an asset that is added elsewhere appears by itself. What follows from
it for the store is computed in `crypto_pipeline.secrets.plan`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

# Not public, and no other way to know what Dagster makes of a cron string; the release is pinned (decision 0009).
from dagster._utils.schedules import schedule_execution_time_iterator

from crypto_pipeline.access import Access
from crypto_pipeline.defs.resources import ExchangeAccess
from crypto_pipeline.secrets.plan import DAY_SECONDS, Deployment, Job, Step, Timer

STORE: Final = "secrets"
"""The resource that is the store itself: whoever takes it may ask for every key in use."""

_SENSOR_SECONDS: Final = 30
"""Dagster's own, for a sensor that names no interval."""

_DAYS: Final = 28
"""How many days a schedule is followed for; four weeks, so that a weekly one counts as it should."""


def collect_readers(defs: dg.Definitions) -> Deployment:
    """Return what a code location does with keys, and how often; nothing is asked or set up."""
    repository = defs.get_repository_def()
    keys = _issuers_by_resource(defs.resources or {})
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    return Deployment(
        jobs=tuple(_job(job, keys) for job in jobs),
        timers=(
            *(_schedule(each, keys) for each in repository.schedule_defs),
            *(_sensor(each, keys) for each in repository.sensor_defs),
        ),
    )


def _issuers_by_resource(resources: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return whose keys each resource leads to."""
    found = {name: _issuers_of(resource) for name, resource in resources.items()}
    found[STORE] = tuple(dict.fromkeys(itertools.chain(*found.values())))
    return found


def _issuers_of(resource: Any) -> tuple[str, ...]:
    if isinstance(resource, ExchangeAccess):
        return (resource.issuer,) if resource.use_key else ()
    return (resource.issuer,) if isinstance(resource, Access) and resource.has_key else ()


def _used(required: Iterable[str], keys: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({issuer for name in required for issuer in keys.get(name, ())}))


def _job(job: dg.JobDefinition, keys: Mapping[str, tuple[str, ...]]) -> Job:
    makes: dict[str, str] = {}
    for assets in job.asset_layer.asset_graph.assets_defs:
        if assets.is_executable:
            makes[assets.node_def.name] = ", ".join(sorted(key.to_user_string() for key in assets.keys))
    steps = [
        Step(makes.get(node.name, node.name), _used(op.required_resource_keys, keys))
        for node in job.nodes_in_topological_order
        for op in node.definition.iterate_op_defs()
    ]
    in_process = job.executor_def.name == dg.in_process_executor.name
    return Job(job.name, tuple(steps), in_one_process=in_process)


def _schedule(schedule: dg.ScheduleDefinition, keys: Mapping[str, tuple[str, ...]]) -> Timer:
    crons = schedule.cron_schedule
    return Timer(
        schedule.name,
        crons if isinstance(crons, str) else ", ".join(crons),
        _runs_per_day(crons, schedule.execution_timezone),
        job=schedule.job_name,
        describes=_used(schedule.required_resource_keys, keys),
        is_on=schedule.default_status is dg.DefaultScheduleStatus.RUNNING,
    )


def _runs_per_day(crons: str | Sequence[str], timezone: str | None) -> float:
    """Return how often a schedule fires in a day, on average over four weeks."""
    start = datetime(2026, 2, 1, tzinfo=UTC).timestamp()
    fired = schedule_execution_time_iterator(start, crons, timezone or "UTC")
    end = start + _DAYS * DAY_SECONDS
    return sum(1 for _ in itertools.takewhile(lambda moment: moment.timestamp() < end, fired)) / _DAYS


def _sensor(sensor: dg.SensorDefinition, keys: Mapping[str, tuple[str, ...]]) -> Timer:
    seconds = sensor.minimum_interval_seconds or _SENSOR_SECONDS
    return Timer(
        sensor.name,
        f"every {seconds} s",
        DAY_SECONDS / seconds,
        describes=_used(sensor.required_resource_keys, keys),
        is_on=sensor.default_status is dg.DefaultSensorStatus.RUNNING,
    )
