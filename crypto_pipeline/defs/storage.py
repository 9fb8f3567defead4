"""
Dagster's own storage, kept private, and made by one process at a time.

`dagster.yaml` names the class here, so that every process that opens the instance (web server,
daemon, code server, run) creates its files for this user only. Stock Dagster leaves them readable
by everyone on the host, and processes that start together on an empty folder fail, because each
finds half of what another one is making (dagster-io/dagster#27390).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
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
        folder = Path(config_value["base_dir"])
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            return cls.from_local(inst_data=inst_data, **config_value)
        finally:
            os.close(handle)
