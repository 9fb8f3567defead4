"""No process of the stack shows a value of the store to who looks at it from outside, while runs hold and use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hvac
import pytest

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline_tests.proofs.processes import command_of, family_of, holds_one, seen_of
from crypto_pipeline_tests.proofs.scene import VaultScene
from crypto_pipeline_tests.proofs.waiting import until
from crypto_pipeline_tests.support.aws import LOGIN, REGION, Aws
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.project import ROOT, Project, make_project
from crypto_pipeline_tests.support.search import hits

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root of a Linux sees all that could be seen"
)

LAUNCH = """mutation($what: ExecutionParams!) { launchRun(executionParams: $what) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
WORKER = "spawn_main"
"""A step process of a run, and the worker that the code server starts for a run, begin with this function."""

STATUS = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"


class Watched:
    """
    Processes that are looked at again and again.

    Args:
        parent: the first of them; its children and theirs are found by themselves.
        secrets: what must not be seen.

    Attributes:
        commands: what was running, by process.
        seen: where a value was seen.
        holders: the workers in whose own memory a value stood: there it has to be.
    """

    def __init__(self, parent: int, secrets: Mapping[str, str]) -> None:
        self.commands: dict[int, str] = {}
        self.seen: set[str] = set()
        self.holders: set[int] = set()
        self._parent = parent
        self._secrets = secrets
        self._keys = [value.encode() for name, value in secrets.items() if name.endswith("api_key")]

    def look(self) -> None:
        """Look at all of them once."""
        for process in family_of(self._parent):
            self.commands[process] = command_of(process) or self.commands.get(process, "")
            self.seen.update(hits(self._secrets, seen_of(process)))
            is_new = self._keys and WORKER in self.commands[process] and process not in self.holders
            if is_new and holds_one(process, self._keys):
                self.holders.add(process)

    def look_until(self, is_over: Callable[[], bool], *, seconds: float) -> None:
        """Look several times a second until it is over."""

        def look_again() -> bool:
            self.look()
            return is_over()

        assert until(look_again, seconds=seconds, every=0.3), "it was not over in time"

    def running(self, words: str) -> list[int]:
        """Return the processes with these words in their command line."""
        return [process for process, command in self.commands.items() if words in command]


def started(project: Project, command: Iterable[str], **variables: str) -> subprocess.Popen[bytes]:
    """Start a command in a project."""
    return subprocess.Popen(
        list(command),
        cwd=project.home,
        env=project.surroundings(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextmanager
def ended_with_all(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """End a process, and what it started, whatever happens."""
    try:
        yield process
    finally:
        for each in reversed(family_of(process.pid)):
            os.kill(each, 9)
        process.wait(timeout=30)


@pytest.mark.timeout(280)
def test_step_processes_show_no_value_of_the_store_while_they_hold_and_use_them(scene: VaultScene) -> None:
    """Two of them, each with all four keys, and the run that started them."""
    project = make_project(scene.folder / "project", scene.variables())
    command = [sys.executable, "-m", "crypto_pipeline_tests.proofs.location", "two", "2"]

    with ended_with_all(started(project, command, PYTHONPATH=str(ROOT))) as run:
        watched = Watched(run.pid, scene.values())
        watched.look_until(lambda: run.poll() is not None, seconds=240)

    steps = watched.running(WORKER)
    assert run.returncode == 0
    assert len(steps) == 2
    assert watched.holders
    assert watched.seen == set()


def ask(port: int, query: str, **variables: object) -> Any:
    """Return the data of the answer to a GraphQL query."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    url, headers = f"http://127.0.0.1:{port}/graphql", {"content-type": "application/json"}
    request = urllib.request.Request(url, data=body, headers=headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return json.loads(answer.read())["data"]


def launched(port: int, job: str, partition: str) -> str:
    """Launch a run, as the UI does, and return its id."""
    where = {"repositoryLocationName": "crypto_pipeline", "repositoryName": "__repository__", "jobName": job}
    tags = [{"key": "dagster/partition", "value": partition}]
    what = {"selector": where, "mode": "default", "runConfigData": {}, "executionMetadata": {"tags": tags}}
    answer = ask(port, LAUNCH, what=what)["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    return str(answer["run"]["runId"])


def status(port: int, run: str) -> str:
    """Return how a run stands."""
    return str(ask(port, STATUS, run=run)["runOrError"]["status"])


def stored_in_dev(watched: Watched) -> dict[str, str]:
    """Return what is in the store of `crypto-pipeline dev`, asked with the login that it gives to the pipeline."""
    (server, *_) = watched.running("dagster dev")
    lines = Path(f"/proc/{server}/environ").read_text().split("\0")
    variables = dict(line.split("=", 1) for line in lines if "=" in line)
    client = hvac.Client(url=variables["CRYPTO_PIPELINE_VAULT_ADDRESS"], token=variables["VAULT_TOKEN"])
    try:
        return {
            f"{issuer} {part}": value
            for issuer in ISSUERS
            for part, value in client.secrets.kv.v2.read_secret_version(
                f"crypto-pipeline/{issuer}", raise_on_deleted_version=True
            )["data"]["data"].items()
        }
    finally:
        client.adapter.close()


@pytest.mark.soak
@pytest.mark.timeout(500)
def test_no_process_of_the_whole_stack_shows_a_value_of_the_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The heavy version: sandbox, OpenBao, web server, daemon, code server and run workers; prints what it saw."""
    project, port = make_project(tmp_path / "project", {}), free_port()

    def is_up() -> bool:
        try:
            return bool(ask(port, "{ version }")["version"])
        except OSError:
            return False

    with ended_with_all(started(project, project.command("dev", "--port", str(port)))) as stack:
        assert until(is_up, seconds=120)
        watched = Watched(stack.pid, {})
        watched.look()
        secrets = stored_in_dev(watched)
        watched = Watched(stack.pid, secrets)
        runs = [launched(port, f"{exchange}_market_data", "2026-10") for exchange in ("okx", "coinbase")]
        watched.look_until(lambda: {status(port, run) for run in runs} <= {"SUCCESS", "FAILURE"}, seconds=300)
        ended = {status(port, run) for run in runs}

    parts = (
        "bao server",
        "dagster dev",
        "dagster_webserver",
        "dagster._daemon",
        "code-server start",
        "api grpc",
        WORKER,
    )
    found = {part: len(watched.running(part)) for part in parts}
    with capsys.disabled():
        sys.stdout.write(f"\n{len(watched.commands)} processes: {found}; {len(watched.holders)} hold a key\n")
    assert all(found.values()), sorted(set(watched.commands.values()))
    assert ended == {"SUCCESS"}
    assert watched.holders
    assert watched.seen == set()


LOADS = """
import subprocess, sys
from crypto_pipeline.utils.secrets import load_secrets_to_env

load_secrets_to_env()
with subprocess.Popen(["sleep", "60"]) as child:
    print(child.pid, flush=True)
    sys.stdin.read()
    child.kill()
"""


def test_keys_that_are_loaded_into_the_environment_are_seen_in_every_child_and_a_warning_says_so(
    aws: Aws, tmp_path: Path
) -> None:
    """The one exception: the security handbook asks for it. It also shows that the search sees what there is."""
    value = "planted-in-the-environment-51c2"
    aws.put("crypto-pipeline/exchange-keys", json.dumps({"okx_api_key": value}))
    variables = {
        **LOGIN,
        "PATH": os.environ["PATH"],
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": aws.address,
        "CRYPTO_PIPELINE_AUDIT_LOG": str(tmp_path / "audit.jsonl"),
        "USE_AWS_SECRETS": "true",
    }

    with subprocess.Popen(
        [sys.executable, "-c", LOADS],
        env=variables,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        own, inherited = (hits({"key": value}, seen_of(each)) for each in (process.pid, child))
        _, said = process.communicate("", timeout=30)

    assert own == []  # it was put there later than at the start, which is all that can be seen of one's own
    assert [found for found in inherited if found.startswith("key (plain) in environ of ")]
    assert "1 secrets stand in the environment of this process now, and in that of every process it starts" in said
