"""
One run of one exchange's main job, in a process of its own.

`python -m crypto_pipeline.demo.worker EXCHANGE FIRST_MONTH LAST_MONTH` executes the job on the
instance that DAGSTER_HOME names and tells its parent what happens, one JSON object a line on the
standard output. The run is an ordinary Dagster run: the UI shows it with all others.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from typing import Any

import dagster as dg
from dagster._core.execution.plan.objects import StepFailureData

from crypto_pipeline.definitions import defs
from crypto_pipeline.defs.jobs import market_data_job_name
from crypto_pipeline.demo.dead_runs import WORKER_TAG, end_dead_runs, this_process
from crypto_pipeline.redaction import scrub

QUIET: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def build_job(name: str) -> dg.JobDefinition:
    """Return a job of the code location; Dagster calls this again where it rebuilds the run."""
    return defs.resolve_job_def(name)


class _Lines(logging.Handler):
    """Passes progress on to the parent."""

    def emit(self, record: logging.LogRecord) -> None:
        tell("progress", **json.loads(record.getMessage()))


def tell(kind: str, **fields: object) -> None:
    """Write one line to the parent."""
    sys.stdout.write(json.dumps({"kind": kind, **fields}) + "\n")
    sys.stdout.flush()


def main(exchange: str, first_month: str, last_month: str) -> int:
    """Execute the run, tell its outcome, and return the exit code of what failed, or 0."""
    progress = logging.getLogger("crypto_pipeline.progress")
    progress.setLevel(logging.INFO)
    progress.propagate = False
    progress.addHandler(_Lines())
    job = dg.build_reconstructable_job(
        __spec__.name, "build_job", reconstructable_args=(market_data_job_name(exchange),)
    )
    tags = {
        "dagster/asset_partition_range_start": first_month,
        "dagster/asset_partition_range_end": last_month,
        WORKER_TAG: this_process(),
    }
    with dg.DagsterInstance.get() as instance:
        end_dead_runs(instance)
        result = dg.execute_job(job, instance=instance, tags=tags, run_config=QUIET)
        outcome = read_outcome(result.all_events)
    tell("outcome", exchange=exchange, run_id=result.run_id, success=result.success, **outcome)
    return 0 if result.success else int(outcome.get("exit_code", 1))


def read_outcome(events: Iterable[dg.DagsterEvent]) -> dict[str, Any]:
    """Return what a person wants to know of a run: the key's verdict, the files, and what failed."""
    outcome: dict[str, Any] = {}
    for event in events:
        if event.is_step_materialization:
            materialization = event.step_materialization_data.materialization
            metadata = {name: value.value for name, value in materialization.metadata.items()}
            if materialization.asset_key.path[-1] == "api_key":
                outcome["verdict"] = metadata["verdict"]
            elif materialization.asset_key.path[-1] == "candles_1m":
                outcome.setdefault("months", []).append(_month(event.partition, metadata))
        elif event.is_step_failure:
            outcome |= _failure(event.step_failure_data)
    return outcome


def _failure(data: StepFailureData) -> dict[str, Any]:
    """Return the sentence and exit code of one of our errors, or the traceback of a fault, scrubbed where it arose."""
    failed = data.user_failure_data
    if failed and "exit_code" in failed.metadata:
        return {"failure": failed.description, "exit_code": failed.metadata["exit_code"].value}
    return {"trace": scrub(data.error.to_string()) if data.error else ""}


def _month(partition: str | None, metadata: dict[str, Any]) -> dict[str, Any]:
    wanted = ("dagster/row_count", "missing", "requests", "seconds", "files")
    return {"month": partition, **{name: metadata[name] for name in wanted}}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
