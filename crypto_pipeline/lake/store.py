"""
Files of the lake: written beside their place, flushed, renamed over it; private to this user.

A reader sees the old file or the new one, whatever happens to the writer. The bytes depend on the
data and its provenance alone, so making the same data again changes nothing. Only one process at a
time writes into a folder; what a dead one left behind is removed by the next.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from crypto_pipeline import __version__
from crypto_pipeline.errors import CorruptFileError, StorageError, StorageFullError
from crypto_pipeline.lake.schema import SCHEMA_VERSION, DataSet

FILE_NAME: Final = "data.parquet"
FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
PROVENANCE_KEY: Final = b"crypto_pipeline"

_UNFINISHED_PREFIX, _UNFINISHED_SUFFIX = ".data.", ".unfinished"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_ONE_ROW_GROUP = 1 << 20


@dataclass(frozen=True, slots=True)
class Partition:
    """
    The place of one file: a data set, and Hive-style keys in the order of the folders.

    `Partition(CANDLES, (("exchange", "okx"), …, ("month", "2026-10")))` lies in
    `candles/exchange=okx/…/month=2026-10/data.parquet`.
    """

    data_set: DataSet
    keys: tuple[tuple[str, str], ...]

    @property
    def folder(self) -> Path:
        """The folder, relative to the lake."""
        return Path(self.data_set.name, *(f"{name}={value}" for name, value in self.keys))


@dataclass(frozen=True, slots=True)
class Provenance:
    """
    Where the rows of a file come from; stands in its footer. Never holds a key or the time of writing.

    Fields:
        exchange: whose data.
        endpoint: host and path that was asked.
        fetched_from: the first moment that was asked for, ISO 8601.
        fetched_until: the moment up to which everything was asked for, ISO 8601.
        package_version: of this package.
        schema_version: of the data set's columns.
    """

    exchange: str
    endpoint: str
    fetched_from: str
    fetched_until: str
    package_version: str = __version__
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Stored:
    """
    A file as it lies in the lake.

    Fields:
        path: where.
        rows: how many.
        bytes: its size.
        sha256: its hash, hex.
        changed: whether this write changed it.
    """

    path: Path
    rows: int
    bytes: int
    sha256: str
    changed: bool


class LocalLake:
    """
    Parquet files under one folder.

    Args:
        root: the folder; made when the first file is, without access for others.

    Every method raises `StorageError` if the file system refuses, `StorageFullError` if it is full.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path_of(self, partition: Partition) -> Path:
        """Return where the partition's file lies or would lie."""
        return self.root / partition.folder / FILE_NAME

    def prepare(self, partition: Partition) -> None:
        """
        Make sure that the partition can be written, before anything is fetched for it.

        Removes what killed runs left in all folders beside it, such as the other months of a symbol.
        """
        folder = self.root / partition.folder
        with _translated("write to", folder):
            _make_folders(folder)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            for neighbour in sorted(folder.parent.iterdir()):
                if any(_unfinished_in(neighbour)):
                    with _locked(neighbour):
                        _remove_unfinished(neighbour)

    def write(self, partition: Partition, table: pa.Table, provenance: Provenance) -> Stored:
        """
        Put the table in the partition's place, as a whole or not at all.

        Raises:
            StorageFullError: there is no space left; the old file, if any, is untouched.
            StorageError: the file system refuses.
        """
        folder, target = self.root / partition.folder, self.path_of(partition)
        with _translated("write to", folder):
            _make_folders(folder)
            with _locked(folder):
                _remove_unfinished(folder)
                draft = folder / f"{_UNFINISHED_PREFIX}{os.getpid()}{_UNFINISHED_SUFFIX}"
                try:
                    _write_file(draft, partition.data_set, table, provenance)
                    digest = _digest(draft)
                    changed = not target.exists() or _digest(target) != digest
                    if changed:
                        draft.replace(target)
                        _flush_folder(folder)
                finally:
                    draft.unlink(missing_ok=True)
                return Stored(target, table.num_rows, target.stat().st_size, digest, changed)

    def read(self, partition: Partition) -> pa.Table | None:
        """
        Return the stored table; None if there is no file.

        Raises:
            CorruptFileError: the file cannot be read back, or is not of the data set's schema.
        """
        path = self.path_of(partition)
        with _translated("read", path):
            try:
                # Not memory-mapped and not as a data set: its columns alone, without those of the path.
                table = pq.ParquetFile(path).read()
            except FileNotFoundError:
                return None
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise _corrupt(path, "it is not a whole Parquet file") from error
        if not table.schema.equals(partition.data_set.schema):
            raise _corrupt(path, f"its columns are not those of {partition.data_set.name}")
        return table

    def provenance(self, partition: Partition) -> Provenance | None:
        """
        Return where the stored rows come from; None if there is no file.

        Raises:
            CorruptFileError: the file has no readable footer.
        """
        path = self.path_of(partition)
        with _translated("read", path):
            try:
                footer: Mapping[bytes, bytes] = pq.read_metadata(path).metadata or {}
                return Provenance(**json.loads(footer[PROVENANCE_KEY]))
            except FileNotFoundError:
                return None
            except (pa.ArrowInvalid, KeyError, ValueError, TypeError) as error:
                raise _corrupt(path, "its footer does not say where its rows come from") from error


def _corrupt(path: Path, why: str) -> CorruptFileError:
    msg = f"The file {path} cannot be used: {why}. Move it away and make its partition again."
    return CorruptFileError(msg)


@contextmanager
def _translated(verb: str, place: Path) -> Iterator[None]:
    """Turn what the file system says into our errors."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            msg = f"There is no space left to {verb} {place}; nothing of it was stored. Make room, then run again."
            raise StorageFullError(msg) from error
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        msg = f"The lake cannot {verb} {place} ({why}). Correct CRYPTO_PIPELINE_LAKE or the folder's permissions."
        raise StorageError(msg) from error


def _make_folders(folder: Path) -> None:
    """Make the folder and those above it, each without access for others (`mkdir` would do so for the last only)."""
    missing = [folder]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        each.mkdir(mode=FOLDER_MODE, exist_ok=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder alone, over all processes; the lock of a process that dies is free again."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _unfinished_in(folder: Path) -> Iterator[Path]:
    with suppress(NotADirectoryError):
        yield from (path for path in folder.iterdir() if _is_unfinished(path.name))


def _is_unfinished(name: str) -> bool:
    return name.startswith(_UNFINISHED_PREFIX) and name.endswith(_UNFINISHED_SUFFIX)


def _remove_unfinished(folder: Path) -> None:
    for path in list(_unfinished_in(folder)):
        path.unlink(missing_ok=True)


def _write_file(path: Path, data_set: DataSet, table: pa.Table, provenance: Provenance) -> None:
    footer = {**(table.schema.metadata or {}), PROVENANCE_KEY: json.dumps(asdict(provenance), sort_keys=True).encode()}
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    with os.fdopen(handle, "wb") as file:
        pq.write_table(
            table.replace_schema_metadata(footer),
            file,
            version="2.6",
            compression="zstd",
            compression_level=3,
            use_dictionary=False,
            column_encoding=dict(data_set.encodings),
            store_decimal_as_integer=True,
            row_group_size=_ONE_ROW_GROUP,
        )
        file.flush()
        os.fsync(file.fileno())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
