"""
Runs whose process died without a word, such as by kill -9 or a power cut.

Dagster would show such a run as started for ever, and its steps would keep their place in the pool
of their exchange, so that every later run waits. Dagster's daemon looks after runs it launched
itself; those that the command line started are looked after here, by the next one.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus

WORKER_TAG = "crypto_pipeline/worker"
"""On each run that the command line started: which process on which host executes it."""

_GOING_ON = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def this_process() -> str:
    """Return host, process number and time of start, which together no other process has."""
    return f"{socket.gethostname()} {os.getpid()} {_started(os.getpid())}"


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark every run of a process of this host that is gone as failed, free its pools, and return the run ids."""
    dead = [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=_GOING_ON))
        if (worker := run.tags.get(WORKER_TAG)) and _is_dead(worker)
    ]
    for run in dead:
        instance.report_run_failed(run, "The process of this run died before its end.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]


def _is_dead(worker: str) -> bool:
    host, _, process = worker.partition(" ")
    number, _, started = process.partition(" ")
    return host == socket.gethostname() and number.isdigit() and _started(int(number)) != started


def _started(number: int) -> str:
    """Return when a process was started, in the kernel's ticks; empty if there is none."""
    try:
        # The command's name stands in parentheses and may hold anything; what follows is plain.
        after_name = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if after_name[0] == "Z" else after_name[19]
