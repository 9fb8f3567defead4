"""A terminal, with a person in front of it who answers prompts."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fcntl import ioctl

SECONDS = 60.0
_LOOKS = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """
    A program on a terminal of its own.

    Args:
        program: the program, whose output goes to this terminal.
        master: our end of the terminal.
        slave: the program's end, which a shell would read from afterwards.
    """

    def __init__(self, program: subprocess.Popen[bytes], master: int, slave: int) -> None:
        self._program = program
        self._master = master
        self._slave = slave
        self._seen = b""

    @property
    def shown(self) -> str:
        """Everything that was shown so far, without colours."""
        return _LOOKS.sub("", self._seen.decode(errors="replace")).replace("\r\n", "\n")

    def wait_for(self, text: str, *, times: int = 1) -> None:
        """Read until a text was shown this often; fail if it is not."""
        deadline = time.monotonic() + SECONDS
        while self.shown.count(text) < times:
            has_ended = self._program.poll() is not None
            assert self._read() or not has_ended, f"the program ended, and showed: {self.shown}"
            assert time.monotonic() < deadline, f"{text!r} was not shown, but: {self.shown}"

    def type(self, text: str) -> None:
        """Type or paste something."""
        os.write(self._master, text.encode())

    def type_slowly(self, *lines: str) -> None:
        """Type line by line, as a paste comes over a slow connection: the next when somebody has taken the last."""
        for line in lines:
            self.type(line)
            deadline = time.monotonic() + SECONDS
            while select.select([self._slave], [], [], 0)[0]:
                assert time.monotonic() < deadline, "nobody takes in what is typed"
                time.sleep(0.005)

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        deadline = time.monotonic() + SECONDS
        while self._program.poll() is None:
            self._read()
            assert time.monotonic() < deadline, f"the program did not end, and showed: {self.shown}"
        while self._read():
            pass
        return self._program.returncode

    @property
    def shows_what_is_typed(self) -> bool:
        """Whether the terminal echoes."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def unread(self) -> bytes:
        """Return what was typed and read by nobody: the shell would get it."""
        return os.read(self._slave, 65_536) if select.select([self._slave], [], [], 0)[0] else b""

    def _read(self) -> bool:
        """Read what is there, or comes soon; tell whether there was something."""
        if not select.select([self._master], [], [], 0.05)[0]:
            return False
        self._seen += os.read(self._master, 65_536)
        return True


@contextmanager
def running_on_terminal(
    command: Sequence[str], environment: Mapping[str, str], *, width: int = 120, cwd: str | None = None
) -> Iterator[Terminal]:
    """Start a program on a new terminal, which stays open until the end, and end it."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    plain = {name: value for name, value in environment.items() if name not in {"COLUMNS", "LINES"}}
    program = subprocess.Popen(
        command,
        env={**plain, "TERM": "xterm-256color"},
        cwd=cwd,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        # It is the program's own, as /dev/tty too.
        preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0) and None,  # noqa: PLW1509
    )
    try:
        yield Terminal(program, master, slave)
    finally:
        with contextlib.suppress(ProcessLookupError):
            program.kill()
        program.wait(timeout=SECONDS)
        os.close(slave)
        os.close(master)
