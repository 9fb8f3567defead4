"""A file of the record is opened by one at a time, and an accident with it is noticed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crypto_pipeline.audit.file import opened_alone


def wait_until(true: Callable[[], bool], *, seconds: float = 20) -> None:
    """Look again and again until it is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.002)


def opened_here(path: Path) -> int:
    """Return how often this process has the file open."""
    found = 0
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - descriptors come and go while we look
        try:
            found += os.readlink(f"/proc/self/fd/{name}") == str(path)  # noqa: PTH115
        except OSError:
            continue
    return found


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    path = tmp_path / "file"
    seen: list[bytes] = []

    def read_second() -> None:
        with opened_alone(path) as file:
            seen.append(os.pread(file, 100, 0))

    second = threading.Thread(target=read_second)
    with opened_alone(path) as file:
        second.start()
        wait_until(lambda: opened_here(path) == 2)
        os.write(file, b"written by the first")
    second.join()

    assert seen == [b"written by the first"]


def test_a_file_deleted_while_it_was_waited_for_is_an_error(tmp_path: Path) -> None:
    """A record written into it would be gone with it."""
    path = tmp_path / "file"
    caught: list[OSError] = []

    def open_second() -> None:
        try:
            with opened_alone(path) as file:
                os.write(file, b"lost")
        except OSError as error:
            caught.append(error)

    second = threading.Thread(target=open_second)
    with opened_alone(path):
        second.start()
        wait_until(lambda: opened_here(path) == 2)
        path.unlink()
    second.join()

    assert [error.strerror for error in caught] == ["it was deleted while it was being opened"]


def test_a_child_that_inherited_the_file_does_not_keep_it_locked(tmp_path: Path) -> None:
    """A process that forks while a record is written must not stall all others for as long as the child lives."""
    path = tmp_path / "file"
    with opened_alone(path) as file:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(file,), start_new_session=True
        )

    try:
        with opened_alone(path, patience_seconds=0):
            assert child.poll() is None
    finally:
        child.communicate(b"\n")


def test_the_file_is_closed_and_free_after_an_error_inside(tmp_path: Path) -> None:
    path = tmp_path / "file"

    with pytest.raises(ZeroDivisionError), opened_alone(path):
        _ = 1 / 0

    assert opened_here(path) == 0
    with opened_alone(path, patience_seconds=0) as file:
        assert fcntl.fcntl(file, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
