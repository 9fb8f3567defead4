"""A file is the old one or the new one, private, the same bytes each time, and readable by others."""

from __future__ import annotations

import errno
import json
import multiprocessing
import multiprocessing.synchronize
import os
import random
import signal
import stat
import subprocess
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crypto_pipeline.errors import CorruptFileError, StorageError, StorageFullError
from crypto_pipeline.exchanges import Candle
from crypto_pipeline.lake import CANDLES, INSTRUMENTS, LocalLake, Partition, Provenance, build_table
from crypto_pipeline.market.ingest import candle_partition
from crypto_pipeline_tests.support.mounts import mounted
from crypto_pipeline_tests.support.rows import MONTH, candle, candles

PLACE = candle_partition("okx", "BTC-USDT", MONTH, wide=False)
SOURCE = Provenance("okx", "www.okx.com/api/v5/market/history-candles", "2026-10-01", "2026-11-01")


def table_of(rows: Sequence[Candle]) -> pa.Table:
    columns = dict(zip(("open_time", *Candle._fields[1:]), zip(*rows, strict=True), strict=True))
    return build_table(CANDLES, columns, whose="okx BTC-USDT")


@pytest.fixture
def lake(tmp_path: Path) -> LocalLake:
    return LocalLake(tmp_path / "deep" / "lake")


def test_what_was_written_is_read_back(lake: LocalLake) -> None:
    table = table_of(list(candles(0, 1, 2)))

    stored = lake.write(PLACE, table, SOURCE)

    assert lake.read(PLACE) == table
    assert lake.provenance(PLACE) == SOURCE
    assert (stored.path, stored.rows, stored.changed) == (lake.path_of(PLACE), 3, True)
    assert stored.bytes == stored.path.stat().st_size


def test_the_folders_tell_exchange_market_interval_symbol_and_month(lake: LocalLake) -> None:
    found = lake.path_of(PLACE).relative_to(lake.root)

    assert str(found) == "candles/exchange=okx/market=spot/interval=1m/symbol=BTC-USDT/month=2026-10/data.parquet"


def test_nothing_there_is_none(lake: LocalLake) -> None:
    assert lake.read(PLACE) is None
    assert lake.provenance(PLACE) is None
    assert not lake.root.exists()


def test_files_and_folders_are_for_this_user_alone(lake: LocalLake, tmp_path: Path) -> None:
    """Whatever the umask of the process is."""
    before = os.umask(0)
    try:
        stored = lake.write(PLACE, table_of([candle(0)]), SOURCE)
    finally:
        os.umask(before)

    assert stat.S_IMODE(stored.path.stat().st_mode) == 0o600
    made = [folder for folder in stored.path.parents if folder.is_relative_to(tmp_path / "deep")]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in made} == {0o700}


def test_the_same_data_gives_the_same_bytes_and_leaves_the_file_alone(lake: LocalLake, tmp_path: Path) -> None:
    table = table_of(list(candles(*range(500))))
    first = lake.write(PLACE, table, SOURCE)
    inode = first.path.stat().st_ino

    again = lake.write(PLACE, table, SOURCE)
    elsewhere = LocalLake(tmp_path / "other").write(PLACE, table, SOURCE)

    assert (again.changed, again.sha256) == (False, first.sha256)
    assert first.path.stat().st_ino == inode
    assert elsewhere.path.read_bytes() == first.path.read_bytes()


def test_bytes_do_not_depend_on_how_the_table_was_put_together(lake: LocalLake) -> None:
    """A month that was continued is the same file as one that was fetched at once."""
    whole = table_of(list(candles(*range(10))))
    parts = pa.concat_tables([whole.slice(0, 4), whole.slice(4)]).combine_chunks()

    assert lake.write(PLACE, parts, SOURCE).sha256 == lake.write(PLACE, whole, SOURCE).sha256


def test_other_data_replaces_the_file(lake: LocalLake) -> None:
    lake.write(PLACE, table_of([candle(0)]), SOURCE)

    stored = lake.write(PLACE, table_of([candle(0), candle(1)]), SOURCE)

    assert stored.changed
    table = lake.read(PLACE)
    assert table is not None
    assert table.num_rows == 2
    assert [path.name for path in stored.path.parent.iterdir()] == ["data.parquet"]


def test_the_footer_says_where_the_rows_come_from_and_what_columns_mean(lake: LocalLake) -> None:
    stored = lake.write(PLACE, table_of([candle(0)]), SOURCE)

    footer = json.loads(pq.read_metadata(stored.path).metadata[b"crypto_pipeline"])
    schema = pq.read_schema(stored.path)

    assert footer["endpoint"] == SOURCE.endpoint
    assert (footer["fetched_from"], footer["fetched_until"]) == ("2026-10-01", "2026-11-01")
    assert footer["schema_version"] == 1
    assert b"base currency" in schema.field("volume").metadata[b"description"]


def test_duckdb_and_polars_read_the_exact_numbers_without_our_code(lake: LocalLake) -> None:
    """Both find exchange, symbol and month in the folders' names."""
    lake.write(PLACE, table_of(list(candles(0, 1, 2))), SOURCE)
    everything = f"{lake.root}/candles/**/*.parquet"

    relation = duckdb.sql(
        f"select exchange, symbol, month, sum(quote_volume), max(close) from "  # noqa: S608 - our own path
        f"read_parquet('{everything}', hive_partitioning = true) group by all"
    )
    by_polars = pl.scan_parquet(everything, hive_partitioning=True).collect()

    total = Decimal("90000.123456789") * 3
    assert relation is not None
    assert relation.fetchall() == [("okx", "BTC-USDT", MONTH, total, Decimal("60002.01"))]
    assert by_polars["quote_volume"].sum() == total
    assert by_polars["volume"].to_list() == [Decimal("1.50000001")] * 3
    assert by_polars["symbol"].unique().to_list() == ["BTC-USDT"]


@pytest.mark.parametrize(
    "content",
    [b"", b"PAR1", b"PAR1 and then nothing", bytes(range(256))],
    ids=["empty", "magic only", "cut off", "something else"],
)
def test_a_file_that_is_no_parquet_is_named(lake: LocalLake, content: bytes) -> None:
    path = lake.path_of(PLACE)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    for read in (lake.read, lake.provenance):
        with pytest.raises(CorruptFileError, match=r"data\.parquet.*Move it away"):
            read(PLACE)


@pytest.mark.parametrize("footer", [None, {b"crypto_pipeline": b"{}"}, {b"crypto_pipeline": b"no json"}])
def test_a_file_that_others_wrote_has_no_provenance(lake: LocalLake, footer: dict[bytes, bytes] | None) -> None:
    path = lake.path_of(PLACE)
    path.parent.mkdir(parents=True)
    pq.write_table(table_of([candle(0)]).replace_schema_metadata(footer), path)

    with pytest.raises(CorruptFileError, match="where its rows come from"):
        lake.provenance(PLACE)


def test_a_file_with_other_columns_is_refused(lake: LocalLake) -> None:
    path = lake.path_of(PLACE)
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"open_time": [1]}), path)

    with pytest.raises(CorruptFileError, match="columns"):
        lake.read(PLACE)


def leave_unfinished(folder: Path) -> Path:
    """Leave what a writer leaves that was killed in the middle."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".data.4711.unfinished"
    path.write_bytes(b"PAR1 half of it")
    return path


def test_what_a_killed_writer_left_is_removed_by_the_next_one(lake: LocalLake) -> None:
    left = leave_unfinished(lake.path_of(PLACE).parent)

    lake.write(PLACE, table_of([candle(0)]), SOURCE)

    assert not left.exists()


def test_what_a_killed_writer_left_in_another_month_is_removed_before_anything_is_fetched(lake: LocalLake) -> None:
    """The next run may be for another month."""
    other = leave_unfinished(lake.path_of(candle_partition("okx", "BTC-USDT", "2026-09", wide=False)).parent)
    (lake.path_of(PLACE).parent.parent).joinpath("a file of someone").write_text("kept")

    lake.prepare(PLACE)

    assert not other.exists()
    assert (lake.path_of(PLACE).parent.parent / "a file of someone").exists()


def write_for_ever(root: Path, started: multiprocessing.synchronize.Event) -> None:
    """Write two versions of a month in turns, until killed."""
    versions = [table_of(list(candles(*range(count)))) for count in (4000, 5000)]
    lake = LocalLake(root)
    lake.write(PLACE, versions[0], SOURCE)
    started.set()
    while True:
        for table in versions:
            lake.write(PLACE, table, SOURCE)


def kill_writers(lake: LocalLake, kills: int) -> None:
    """Kill a writer at many moments; look at the file each time."""
    context = multiprocessing.get_context("spawn")
    for number in range(kills):
        started = context.Event()
        writer = context.Process(target=write_for_ever, args=(lake.root, started))
        writer.start()
        assert started.wait(60)
        time.sleep(number % 10 / 250)  # the moment itself is what is tested
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()

        table = lake.read(PLACE)
        assert table is not None
        assert table.num_rows in {4000, 5000}
    lake.prepare(PLACE)
    assert [path.name for path in lake.path_of(PLACE).parent.iterdir()] == ["data.parquet"]


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(lake: LocalLake) -> None:
    """The small version."""
    kill_writers(lake, 3)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_writer_killed_two_hundred_times_leaves_a_whole_file(lake: LocalLake) -> None:
    """The heavy version."""
    kill_writers(lake, 200)


def write_many(root: Path, count: int, times: int) -> None:
    table = table_of(list(candles(*range(count))))
    for _ in range(times):
        LocalLake(root).write(PLACE, table, SOURCE)


def test_processes_that_write_the_same_partition_wait_for_each_other(lake: LocalLake) -> None:
    """None removes the unfinished file of one that lives."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(lake.root, count, 20)) for count in (10, 20, 30)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    table = lake.read(PLACE)
    assert table is not None
    assert table.num_rows in {10, 20, 30}


def uneven(number: int) -> Candle:
    """Return a candle whose volume does not shrink when packed."""
    return candle(number, volume=Decimal(random.Random(number).randrange(10**8, 10**15)).scaleb(-8))


def test_a_full_disk_keeps_the_old_file_and_leaves_nothing_unfinished(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=64k") as small:
        lake = LocalLake(small / "lake")
        old = lake.write(PLACE, table_of([candle(0)]), SOURCE)

        with pytest.raises(StorageFullError, match="no space left") as refused:
            lake.write(PLACE, table_of([uneven(number) for number in range(40_000)]), SOURCE)

        assert refused.value.retryable
        assert [path.name for path in old.path.parent.iterdir()] == ["data.parquet"]
        assert lake.read(PLACE) == table_of([candle(0)])


def test_a_lake_that_cannot_be_written_is_found_before_anything_is_fetched(tmp_path: Path) -> None:
    with mounted(tmp_path / "frozen", "ro") as frozen:
        with pytest.raises(StorageError, match="CRYPTO_PIPELINE_LAKE") as refused:
            LocalLake(frozen / "lake").prepare(PLACE)

        assert os.strerror(errno.EROFS) in str(refused.value)


def test_a_folder_that_became_read_only_is_found_before_anything_is_fetched(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=1m") as small:
        lake = LocalLake(small / "lake")
        lake.prepare(PLACE)
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)

        with pytest.raises(StorageError, match="cannot write"):
            lake.prepare(PLACE)


def test_a_file_in_the_place_of_the_lake_is_named(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("not a folder")

    with pytest.raises(StorageError, match="lake"):
        LocalLake(tmp_path / "lake").write(PLACE, table_of([candle(0)]), SOURCE)


def test_text_columns_are_kept_too(lake: LocalLake) -> None:
    place = Partition(INSTRUMENTS, (("exchange", "okx"), ("market", "spot"), ("date", "2026-11-24")))
    columns: dict[str, list[str | None]] = {name: [None] for name in INSTRUMENTS.schema.names}
    columns |= {name: ["é-USDT"] for name in ("symbol", "native", "base", "quote", "status", "native_status")}
    table = build_table(INSTRUMENTS, columns, whose="okx")

    lake.write(place, table, SOURCE)

    assert lake.read(place) == table
