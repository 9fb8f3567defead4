"""The audit log keeps every line whole, or says that it cannot."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from crypto_pipeline.audit import (
    AUDIT_LOGGER,
    AuditEvent,
    JsonLinesAuditLog,
    api_call,
    failed_auth,
    key_verdict,
    rate_limit_hit,
    secret_access,
)
from crypto_pipeline.errors import AuditError
from crypto_pipeline.redaction import MASK, Secret
from crypto_pipeline_tests.support.mounts import mounted

NOW = datetime(2026, 11, 24, 20, 25, tzinfo=UTC)

WRITER = """
import sys
from itertools import count, islice
from pathlib import Path

from crypto_pipeline.audit import JsonLinesAuditLog, api_call, secret_access

path, name, events, length = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
log = JsonLinesAuditLog(path).bound(run_id=name)
print("ready", flush=True)
sys.stdin.readline()
for number in islice(count(), events or None):
    if number % 10:
        log.record(api_call(name, f"/{number}", False, "x" * length))
    else:
        log.record(secret_access(f"/{number}", name))
    print(number, flush=True)
"""
"""Records so many events (0: until it is killed), and tells of each one that was accepted."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log of a test lies; its folder does not exist yet."""
    return tmp_path / "audit" / "audit.jsonl"


@pytest.fixture
def log(path: Path) -> JsonLinesAuditLog:
    """A log whose clock stands still."""
    return JsonLinesAuditLog(path, clock=lambda: NOW)


def lines_of(path: Path) -> list[dict[str, object]]:
    """Return the events in the file; each line must be whole."""
    text = path.read_text()
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_an_event_is_one_line_of_json(log: JsonLinesAuditLog, path: Path) -> None:
    log.record(api_call("okx", "/api/v5/market/candles", False, "two\nlines, a \u2028 and a \0"))
    log.record(secret_access("crypto-pipeline/okx", "test"))

    first, second = lines_of(path)
    assert path.read_bytes().count(b"\n") == 2
    assert first == {
        "event": "api_call",
        "timestamp": "2026-11-24T20:25:00.000000+00:00",
        "schema": 1,
        "exchange": "okx",
        "endpoint": "/api/v5/market/candles",
        "success": False,
        "error": "two\nlines, a \u2028 and a \0",
        "signed": False,
    }
    assert second["secret_name"] == "crypto-pipeline/okx"


def test_the_time_is_utc_unless_a_clock_is_given(path: Path) -> None:
    before = datetime.now(UTC)

    JsonLinesAuditLog(path).record(api_call("okx", "/", True))

    (event,) = lines_of(path)
    assert before <= datetime.fromisoformat(str(event["timestamp"])) <= datetime.now(UTC)


def test_a_bound_log_adds_its_context_to_each_event(log: JsonLinesAuditLog, path: Path) -> None:
    bound = log.bound(run_id="run-1").bound(asset="okx/api_key", nothing=None)

    bound.record(api_call("okx", "/", True))
    log.record(api_call("okx", "/", True))

    first, second = lines_of(path)
    assert (first["run_id"], first["asset"]) == ("run-1", "okx/api_key")
    assert "nothing" not in first
    assert "run_id" not in second


def test_nobody_else_may_read_the_log_or_its_folder(log: JsonLinesAuditLog, path: Path) -> None:
    """Whatever the process's umask is."""
    before = os.umask(0)
    try:
        log.record(api_call("okx", "/", True))
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("write", [str, quote, json.dumps, lambda value: value.encode().hex()])
def test_a_secret_does_not_reach_the_log_in_any_form(
    write: Callable[[str], str], log: JsonLinesAuditLog, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is taken out before the line becomes JSON, which could cut an escape in two."""
    secret = Secret('planted "secret" \\ value/1')
    caplog.set_level(logging.INFO, AUDIT_LOGGER)

    log.bound(asset=write(secret.reveal())).record(api_call("okx", "/", False, f"wrong {write(secret.reveal())} key"))

    (event,) = lines_of(path)
    assert MASK in str(event["error"])
    assert MASK in str(event["asset"])
    for form in (
        secret.reveal(),
        quote(secret.reveal()),
        json.dumps(secret.reveal())[1:-1],
        secret.reveal().encode().hex(),
    ):
        assert form not in path.read_text()
        assert form not in caplog.text


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (secret_access("name", "test"), logging.INFO),
        (api_call("okx", "/", True), logging.INFO),
        (key_verdict("okx", accepted=True, may="read", reason=None, credential_version="1"), logging.INFO),
        (key_verdict("okx", accepted=False, may="trade", reason="trade", credential_version="1"), logging.WARNING),
        (failed_auth("okx", "RejectedKeyError", "/"), logging.WARNING),
        (rate_limit_hit("okx", "/", 429, 1.0), logging.WARNING),
    ],
    ids=lambda value: value.event if isinstance(value, AuditEvent) else logging.getLevelName(value),
)
def test_the_logger_gets_the_same_line_at_the_handbooks_level(
    event: AuditEvent, level: int, log: JsonLinesAuditLog, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, AUDIT_LOGGER)

    log.record(event)

    assert caplog.record_tuples == [(AUDIT_LOGGER, level, path.read_text().rstrip("\n"))]


def test_a_percent_sign_in_an_event_is_no_format(log: JsonLinesAuditLog, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, AUDIT_LOGGER)

    log.record(api_call("okx", "/%s/%d", False, "100 %"))

    assert "/%s/%d" in caplog.messages[0]


# What stands in the way...


@pytest.mark.parametrize(
    "put",
    [
        lambda path: path.symlink_to(path.with_name("elsewhere")),
        lambda path: path.symlink_to("/dev/full"),
        os.mkfifo,
        Path.mkdir,
    ],
    ids=["symlink", "symlink to a device", "fifo", "folder"],
)
@pytest.mark.timeout(20)
def test_what_is_not_a_file_is_refused(put: Callable[[Path], object], log: JsonLinesAuditLog, path: Path) -> None:
    """A symlink would let somebody choose where the record goes; a pipe would swallow it."""
    path.parent.mkdir()
    put(path)

    with pytest.raises(AuditError, match=r"cannot be written \(.+\), so nothing was done\. Make room, or correct"):
        log.record(secret_access("name", "test"))
    assert not path.with_name("elsewhere").exists()


def test_a_symlink_to_the_log_of_another_is_not_followed(log: JsonLinesAuditLog, path: Path) -> None:
    path.parent.mkdir()
    other = path.with_name("other")
    other.write_text("untouched")
    path.symlink_to(other)

    with pytest.raises(AuditError):
        log.record(api_call("okx", "/", True))
    assert other.read_text() == "untouched"


def test_a_folder_that_cannot_be_made_is_told(path: Path) -> None:
    path.parent.write_text("a file where the folder should be")

    with pytest.raises(AuditError, match=str(path)):
        JsonLinesAuditLog(path).record(api_call("okx", "/", True))


def test_a_read_only_file_system_is_told_and_the_logger_gets_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What stands on the logger must stand in the file."""
    caplog.set_level(logging.INFO, AUDIT_LOGGER)

    with (
        mounted(tmp_path / "frozen", "ro") as frozen,
        pytest.raises(AuditError, match="Read-only file system"),
    ):
        JsonLinesAuditLog(frozen / "audit.jsonl").record(api_call("okx", "/", True))

    assert caplog.record_tuples == []


@pytest.mark.parametrize("length", [10, 700, 5_000])
@pytest.mark.parametrize("durable", [True, False])
def test_a_full_disk_leaves_whole_lines_only(length: int, durable: bool, tmp_path: Path) -> None:
    """A disk fills up with a short write that is no error; the half line is taken back."""
    with mounted(tmp_path / "small", "size=32k") as small:
        ballast = small / "ballast"
        ballast.write_bytes(b"x" * 8192)
        path = small / "audit.jsonl"

        accepted = write_until_refused(JsonLinesAuditLog(path), length, durable=durable)

        assert len(lines_of(path)) == accepted > 0
        ballast.unlink()
        JsonLinesAuditLog(path).record(api_call("okx", "/after", True))
        assert lines_of(path)[-1]["endpoint"] == "/after"
        assert len(lines_of(path)) == accepted + 1


def write_until_refused(log: JsonLinesAuditLog, length: int, *, durable: bool) -> int:
    """Record events of that length until the log refuses one; return how many it took."""
    for number in range(1000):
        try:
            log.record(AuditEvent("test", {"note": "x" * length}, durable=durable))
        except AuditError as error:
            assert "No space left on device" in str(error)  # noqa: PT017 - the loop ends with it
            return number
    pytest.fail("a file system of 32 kB took a thousand events")


LIMITED = """
import resource, sys
from pathlib import Path
from crypto_pipeline.audit import JsonLinesAuditLog, api_call
from crypto_pipeline.errors import AuditError

log = JsonLinesAuditLog(Path(sys.argv[1]))
log.record(api_call("okx", "/first", True))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    log.record(api_call("okx", "/second", False, "x" * 2000))
except AuditError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.record(api_call("okx", "/third", True))
"""


def test_a_line_that_fits_in_part_only_is_taken_back(path: Path) -> None:
    """The same as a full disk, for those who may not mount one: the kernel writes up to the limit, then refuses."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY

    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True)

    assert "File too large" in done.stdout
    assert [event["endpoint"] for event in lines_of(path)] == ["/first", "/third"]


@pytest.mark.parametrize("torn", [b'{"event": "api_ca', b"{", b'{"event": "api_call"}'])
def test_a_line_that_a_crash_cut_short_does_not_swallow_the_next(
    torn: bytes, log: JsonLinesAuditLog, path: Path
) -> None:
    log.record(api_call("okx", "/first", True))
    with path.open("ab") as file:
        file.write(torn)

    log.record(api_call("okx", "/second", True))

    first, half, second = path.read_bytes().splitlines()
    assert json.loads(first)["endpoint"] == "/first"
    assert half == torn
    assert json.loads(second)["endpoint"] == "/second"


def test_a_log_that_was_deleted_or_moved_away_begins_anew(log: JsonLinesAuditLog, path: Path) -> None:
    """Nothing is written into a file that nobody can find any more."""
    log.record(api_call("okx", "/first", True))
    moved = path.rename(path.with_name("audit.jsonl.1"))
    log.record(api_call("okx", "/second", True))
    path.unlink()
    log.record(api_call("okx", "/third", True))

    assert [event["endpoint"] for event in lines_of(moved)] == ["/first"]
    assert [event["endpoint"] for event in lines_of(path)] == ["/third"]


def test_a_log_that_another_holds_is_not_waited_for_without_end(path: Path) -> None:
    """A stopped process, or a person with `flock`, would stall every run in silence."""
    log = JsonLinesAuditLog(path, patience_seconds=0.05).bound(run_id="x")
    log.record(api_call("okx", "/first", True))
    command = ["flock", str(path), "sh", "-c", "echo held; read end"]

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AuditError, match=r"another process holds it for 0\.05 s already"):
            log.record(api_call("okx", "/second", True))
        holder.communicate("end\n")
    log.record(api_call("okx", "/third", True))

    assert [event["endpoint"] for event in lines_of(path)] == ["/first", "/third"]


# Many at once...


def start_writer(path: Path, name: str, *, events: int, length: int = 40) -> subprocess.Popen[str]:
    """Start a process that records events as soon as it reads a line."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(events), str(length)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    return writer


def go(writer: subprocess.Popen[str]) -> None:
    """Let the process begin."""
    assert writer.stdin is not None
    writer.stdin.write("go\n")
    writer.stdin.flush()


def ended(writer: subprocess.Popen[str]) -> int:
    """Wait for the process and return its exit code."""
    writer.communicate()
    return writer.returncode


def accepted_by(writer: subprocess.Popen[str]) -> Iterator[int]:
    """Yield the numbers of the events that the process was told are recorded."""
    assert writer.stdout is not None
    for line in writer.stdout:
        if line.endswith("\n"):
            yield int(line)


def test_four_processes_lose_and_tear_no_line(path: Path) -> None:
    names = ("a", "b", "c", "d")
    writers = [start_writer(path, name, events=200) for name in names]

    for writer in writers:
        go(writer)
    codes = [ended(writer) for writer in writers]

    events = lines_of(path)
    assert codes == [0, 0, 0, 0]
    for name in names:
        mine = [str(event.get("endpoint") or event["secret_name"]) for event in events if event["run_id"] == name]
        assert mine == [f"/{number}" for number in range(200)]
    assert len(events) == 800


def test_threads_of_one_process_lose_and_tear_no_line(log: JsonLinesAuditLog, path: Path) -> None:
    def write(name: str) -> None:
        bound = log.bound(run_id=name)
        for number in range(50):
            bound.record(api_call("okx", f"/{number}", True))

    threads = [threading.Thread(target=write, args=(str(name),)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(lines_of(path)) == 200


@pytest.mark.parametrize("length", [40, 500_000], ids=["short lines", "lines of 500 kB"])
def test_a_writer_killed_at_any_moment_loses_nothing_it_was_told_is_recorded(length: int, path: Path) -> None:
    """One half line per kill may stand there; it spoils no other, and the lock dies with its holder."""
    told: dict[str, list[int]] = {}
    for name in ("a", "b", "c"):
        with start_writer(path, name, events=0, length=length) as writer:
            go(writer)
            numbers = accepted_by(writer)
            told[name] = [next(numbers) for _ in range(12)]
            os.kill(writer.pid, signal.SIGKILL)
            told[name] += list(numbers)

    JsonLinesAuditLog(path, patience_seconds=1).record(api_call("okx", "/last", True))

    whole, torn = [], 0
    for line in path.read_bytes().splitlines():
        try:
            whole.append(json.loads(line))
        except ValueError:
            torn += 1
    assert torn <= len(told)
    assert whole[-1]["endpoint"] == "/last"
    for name, numbers_told in told.items():
        mine = [str(event.get("endpoint") or event["secret_name"]) for event in whole if event.get("run_id") == name]
        assert mine[: len(numbers_told)] == [f"/{number}" for number in numbers_told]
        assert len(mine) - len(numbers_told) in (0, 1)  # recorded, and killed before it was told
