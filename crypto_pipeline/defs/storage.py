"""
Dagster's own storage, kept private.

`dagster.yaml` names the class here, so that every process that opens the instance (web server,
daemon, code server, run) creates its files for this user only. Stock Dagster leaves them readable
by everyone on the host.
"""

from __future__ import annotations

import os
from typing import Any

from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

PRIVATE_UMASK = 0o077


class PrivateSqliteStorage(DagsterSqliteStorage):
    """SQLite storage whose files, and all others of the process, are made with mode 0600."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> PrivateSqliteStorage:
        """Build the storage from `dagster.yaml`; the parent would build itself, not this class."""
        # The whole process is meant: event logs, compute logs and SQLite's own -wal and -shm files
        # are opened later, by other components.
        os.umask(PRIVATE_UMASK)
        return cls.from_local(inst_data=inst_data, **config_value)
