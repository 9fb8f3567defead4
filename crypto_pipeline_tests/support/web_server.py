"""Dagster's web server on a project, as a process."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.project import Project


@contextmanager
def web_server(project: Project) -> Iterator[str]:
    """Serve the project's UI and yield its address once it answers."""
    port = free_port()
    with (project.home / "webserver.out").open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-w", "workspace.yaml"],
            cwd=project.home,
            env=project.surroundings(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, server)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=90)


def _wait_for(url: str, server: subprocess.Popen[bytes], *, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=2):  # noqa: S310 - loopback
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    msg = "the web server did not answer; see webserver.out"
    raise AssertionError(msg)
