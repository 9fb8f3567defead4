"""Opens a Dagster instance, as each process of a deployment does; imports little, for processes that start anew."""

from __future__ import annotations

import os
import warnings
from multiprocessing.synchronize import Barrier

import dagster as dg


def open_instance_at_once(home: str, barrier: Barrier) -> None:
    """Wait for the others, then open the instance in this folder and use it."""
    warnings.simplefilter("ignore")
    os.chdir(home)
    barrier.wait(timeout=60)
    with dg.DagsterInstance.from_config(home) as instance:
        assert instance.get_runs_count() == 0
        assert list(instance.all_asset_keys()) == []
