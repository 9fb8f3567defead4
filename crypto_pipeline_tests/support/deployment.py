"""A deployment of one test's own: a sandbox, keys as variables, and the code location that reads from it."""

from __future__ import annotations

import atexit
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg

from crypto_pipeline.access import Access
from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.defs.build import build_defs
from crypto_pipeline.defs.partitions import UPDATE_TAG
from crypto_pipeline.demo.stack import parts_of
from crypto_pipeline.sandbox.keys import KeyKind, SimulatedKey
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline.secrets import EnvironmentSource
from crypto_pipeline.settings import Settings

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Dagster prints every event to the standard error otherwise."""


@contextmanager
def dagsters_own_warnings() -> Iterator[None]:
    """Let pass what Dagster's lines are warned of; what ours are warned of stays an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"dagster(_shared)?\.")
        yield


class StandingClock:
    """Shows the moment it was set to, such as `2024-03-01T00:40:05`, in UTC."""

    def __init__(self, moment: str) -> None:
        self.moment = moment

    def __call__(self) -> float:
        return datetime.fromisoformat(self.moment).replace(tzinfo=UTC).timestamp()


class Deployment:
    """
    What a test runs against.

    Args:
        sandbox: the exchanges.
        folder: where lake and audit log go.
        clock: the time of exchanges and clients.
    """

    def __init__(self, sandbox: Sandbox, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.lake = folder / "lake"
        self.audit_file = folder / "audit.jsonl"
        self.variables: dict[str, str] = {}
        self.with_key: list[str] = []

    def give_key(self, issuer: str, kind: KeyKind = KeyKind.READ_ONLY, **more: Any) -> SimulatedKey:
        """Issue a key and let the deployment use it."""
        key = self.sandbox.keys.issue(issuer, kind, now_ms=self.sandbox.now_ms(), **more)
        self.variables |= {f"{issuer}_{part}".upper(): value for part, value in parts_of(key).items()}
        self.with_key.append(issuer)
        return key

    def access(self, issuer: str) -> Access:
        """Return the way to one issuer, with its key if it was given one."""
        source = EnvironmentSource(self.variables) if issuer in self.with_key else None
        audit = JsonLinesAuditLog(self.audit_file)
        return Access(issuer, source, audit, self.sandbox.urls[issuer], clock=self.clock)

    def settings(self, **changes: Any) -> Settings:
        """Return settings that lead to the sandbox; nothing is retried."""
        usual = {
            "secrets": "environment",
            "keys": tuple(self.with_key),
            "lake": self.lake,
            "audit_log": self.audit_file,
            "op_retries": 0,
            **{f"{name}_url": self.sandbox.urls[name] for name in (*ISSUERS, "binance_perpetual")},
        }
        return Settings.from_environment(**{**usual, **changes})

    def build(self, **changes: Any) -> dg.Definitions:
        """Return the code location, its exchanges reached by way of the resources."""
        return build_defs(self.settings(**changes), secrets=EnvironmentSource(self.variables))

    def build_at_its_time(self, **changes: Any) -> dg.Definitions:
        """Return the code location, its exchanges reached at the deployment's own time."""
        settings = self.settings(**changes)
        return build_defs(settings, **{exchange: self.access(exchange) for exchange in settings.exchanges})

    def requests(self, *, key: bool | None = None, path: str = "") -> list[dict[str, Any]]:
        """Return what the exchanges were asked: with or without a key, at this path and below."""
        return [
            request
            for request in self.sandbox.requests()
            if request["path"].startswith(path) and key in {None, request["key"] is not None}
        ]

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Return the audit events of this kind."""
        if not self.audit_file.exists():
            return []
        events = [json.loads(line) for line in self.audit_file.read_text().splitlines()]
        return [event for event in events if kind in {"", event["event"]}]


@cache
def shared_instance() -> dg.DagsterInstance:
    """Return an instance in memory for all runs of this process; to make one costs half as much as a run."""
    instance = dg.DagsterInstance.ephemeral()
    atexit.register(instance.dispose)
    return instance


def run_job(
    defs: dg.Definitions,
    job: str,
    month: str | None = None,
    *,
    through: str | None = None,
    update: bool = False,
    assets: tuple[str, ...] = (),
    instance: dg.DagsterInstance | None = None,
) -> dg.ExecuteInProcessResult:
    """
    Run a job in this process.

    Args:
        defs: whose job.
        job: its name.
        month: the partition, or the first of a range up to `through`.
        through: the last partition.
        update: whether files are only continued where they end.
        assets: only these, such as `binance/candles_1m`.
        instance: where the run is kept, if not in the one that all tests share.
    """
    tags = {UPDATE_TAG: "true"} if update else {}
    if through and month:
        tags |= {"dagster/asset_partition_range_start": month, "dagster/asset_partition_range_end": through}
    return defs.resolve_job_def(job).execute_in_process(
        partition_key=None if through else month,
        tags=tags,
        run_config=QUIET,
        asset_selection=[dg.AssetKey(asset.split("/")) for asset in assets] or None,
        instance=instance or shared_instance(),
        raise_on_error=False,
    )


def metadata_of(result: dg.ExecuteInProcessResult, asset: str, partition: str | None = None) -> Mapping[str, Any]:
    """Return the metadata with which the run materialized an asset, tables as lists of rows."""
    (found,) = [
        event.step_materialization_data.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(asset.split("/")) and event.partition == (partition or event.partition)
    ]
    return {name: _plain(entry) for name, entry in found.metadata.items()}


def _plain(entry: dg.MetadataValue[Any]) -> Any:
    return [dict(record.data) for record in entry.records] if isinstance(entry, dg.TableMetadataValue) else entry.value


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    """Return the assets that were materialized."""
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """Return the outcome of each check that was made, by its name."""
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def failure_of(result: dg.ExecuteInProcessResult) -> dg.Failure:
    """Return with what the one step that failed did fail."""
    (failed,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failed.user_failure_data is not None
    return dg.Failure(failed.user_failure_data.description, failed.user_failure_data.metadata)


def steps_that(result: dg.ExecuteInProcessResult, event_type: str) -> set[str]:
    """Return the steps to which this happened, such as `STEP_SKIPPED`."""
    return {str(event.step_key) for event in result.all_events if event.event_type_value == event_type}
