"""What everybody who may look sees of running processes: environment, command line, open files, shared memory."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

LARGEST = 64 * 1024 * 1024
"""Nothing of ours is as large; what is, belongs to a library."""


def family_of(parent: int) -> list[int]:
    """Return a process, its children, and theirs, as far as they are alive."""
    try:
        threads = list(Path(f"/proc/{parent}/task").iterdir())
        children = {int(child) for thread in threads for child in (thread / "children").read_text().split()}
    except OSError:
        return []
    return [parent, *(process for child in children for process in family_of(child))]


def command_of(process: int) -> str:
    """Return the command line; empty if the process is gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def seen_of(process: int) -> Iterator[tuple[str, bytes]]:
    """Yield what can be seen of a process, by place; root sees all of it."""
    for name in ("environ", "cmdline"):
        try:
            yield f"{name} of {command_of(process)[:80]}", Path(f"/proc/{process}/{name}").read_bytes()
        except OSError:
            continue
    yield from _open_files(process)
    yield from _shared_memory(process)


def _open_files(process: int) -> Iterator[tuple[str, bytes]]:
    """Yield the plain files that it has open, those that have no name any more too."""
    try:
        numbers = list(Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return
    for number in numbers:
        try:
            found = number.stat()
            if stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST:
                yield f"{number.readlink()}, open in {command_of(process)[:80]}", number.read_bytes()
        except OSError:
            continue


def _shared_memory(process: int) -> Iterator[tuple[str, bytes]]:
    """Yield what it shares with other processes: mapped files, and memory without a name."""
    try:
        lines = Path(f"/proc/{process}/maps").read_text().splitlines()
        memory = os.open(f"/proc/{process}/mem", os.O_RDONLY)
    except OSError:
        return
    try:
        for line in lines:
            reach, access, *_ = line.split()
            first, last = (int(number, 16) for number in reach.split("-"))
            if access.startswith("r") and access.endswith("s") and last - first <= LARGEST:
                try:
                    yield f"shared by {command_of(process)[:80]}: {line}", os.pread(memory, last - first, first)
                except OSError:
                    continue
    finally:
        os.close(memory)


def holds_one(process: int, values: Iterable[bytes]) -> bool:
    """Tell whether one of the values stands in the memory that a process shares with nobody."""
    wanted = re.compile(b"|".join(map(re.escape, values)))
    try:
        lines = Path(f"/proc/{process}/maps").read_text().splitlines()
        with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
            for line in lines:
                reach, access, *_ = line.split()
                first, last = (int(number, 16) for number in reach.split("-"))
                if access.startswith("rw") and last - first <= LARGEST:
                    memory.seek(first)
                    if wanted.search(memory.read(last - first)):
                        return True
    except OSError:
        pass
    return False
