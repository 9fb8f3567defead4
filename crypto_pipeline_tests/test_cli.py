"""The command line: one sentence and an exit code for what goes wrong, a traceback only when asked."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

from crypto_pipeline import __version__
from crypto_pipeline.cli import cli, main
from crypto_pipeline.errors import ConfigurationError, SecretDeniedError
from crypto_pipeline.exchanges import CLIENTS
from crypto_pipeline.redaction import MASK, Secret
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.project import Project, make_project

COMMANDS = {"demo", "run", "dev", "sandbox", "secrets", "keys", "access"}


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty_environment(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


class Ended:
    """How a command line ended, and what it said."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *words: str, commands: click.Group | None = None) -> None:
        with pytest.raises(SystemExit) as ended:
            main(words, commands=commands)
        self.code = ended.value.code
        self.out, self.err = capsys.readouterr()


Run = Callable[..., Ended]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line to its end, in this process."""
    return lambda *words, commands=None: Ended(capsys, *words, commands=commands)


def doing(action: Callable[[], object]) -> click.Group:
    """Return commands of a test's own: `do` does it."""

    @click.group()
    def commands() -> None:
        """Commands of a test."""

    @commands.command("do")
    def do_it() -> object:
        return action()

    return commands


def raising(error: BaseException) -> click.Group:
    """Return commands of a test's own: `do` raises it."""

    def fail() -> None:
        raise error

    return doing(fail)


# Help...


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_lists_every_command_with_a_sentence(word: str, run: Run) -> None:
    done = run(word)

    assert (done.code, done.err) == (0, "")
    assert set(cli.commands) == COMMANDS
    for name, command in cli.commands.items():
        assert command.help
        assert f"  {name} " in done.out
    assert "--debug" in done.out


@pytest.mark.parametrize(
    "words",
    [
        ["demo"],
        ["run"],
        ["dev"],
        ["sandbox"],
        ["keys"],
        ["keys", "check"],
        ["access"],
        ["access", "render"],
        ["access", "render", "vault"],
        ["access", "render", "aws"],
    ],
    ids=" ".join,
)
def test_each_command_has_its_help_and_explains_its_options(words: list[str], run: Run) -> None:
    done = run(*words, "--help")

    assert (done.code, done.err) == (0, "")
    assert "Usage:" in done.out
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_the_version_is_told(run: Run) -> None:
    done = run("--version")

    assert (done.code, done.err) == (0, "")
    assert __version__ in done.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nonsense"], "nonsense"),
        (["keys", "nonsense"], "nonsense"),
        (["--nonsense"], "nonsense"),
        (["demo", "--months", "0"], "--months"),
        (["demo", "--months", "many"], "--months"),
        (["dev", "--port", "x"], "--port"),
        (["run", "stray"], "stray"),
        ([], "Usage:"),
    ],
    ids=str,
)
def test_a_misspelt_command_line_is_explained_and_exits_2(words: list[str], says: str, run: Run) -> None:
    done = run(*words)

    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert "Traceback" not in done.err


# What goes wrong...


def test_our_error_is_one_sentence_and_its_exit_code(run: Run) -> None:
    done = run("do", commands=raising(SecretDeniedError("Vault denied 'x'. Allow it.")))

    assert (done.code, done.out, done.err) == (3, "", "Vault denied 'x'. Allow it.\n")


@pytest.mark.parametrize("words", [("--debug", "do"), ("do", "--debug")], ids=" ".join)
def test_debug_shows_the_traceback_with_the_same_exit_code(words: tuple[str, ...], run: Run) -> None:
    """Wherever it stands."""
    done = run(*words, commands=raising(SecretDeniedError("Vault denied 'x'. Allow it.")))

    assert (done.code, done.out) == (3, "")
    assert "Traceback (most recent call last)" in done.err
    assert "SecretDeniedError: Vault denied 'x'. Allow it." in done.err


def test_what_is_not_ours_exits_70_without_details(run: Run) -> None:
    """Nobody looked at the text of a foreign error before it is shown."""
    done = run("do", commands=raising(KeyError("details-that-may-be-anything")))

    assert (done.code, done.out) == (70, "")
    assert done.err == "KeyError: this is a fault of crypto-pipeline, not of yours. Run again with --debug.\n"


def test_debug_shows_what_is_not_ours(run: Run) -> None:
    done = run("do", "--debug", commands=raising(KeyError("details")))

    assert done.code == 70
    assert "KeyError: 'details'" in done.err


@pytest.mark.parametrize("words", [("do",), ("do", "--debug")], ids=" ".join)
@pytest.mark.parametrize("kind", [ConfigurationError, RuntimeError])
def test_no_secret_is_shown_in_either_way(kind: type[Exception], words: tuple[str, ...], run: Run) -> None:
    """Not in a traceback, and not in the cause of an error."""
    secret = Secret("planted-in-an-error")

    def fail() -> None:
        try:
            raise ValueError(secret.reveal())
        except ValueError as error:
            raise kind(f"It failed with {secret.reveal()}.") from error

    done = run(*words, commands=doing(fail))

    assert "planted" not in done.out + done.err
    assert (MASK in done.err) is (kind is ConfigurationError or "--debug" in words)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), EOFError(), click.Abort()], ids=repr)
def test_a_stopped_command_says_so_and_exits_130(error: BaseException, run: Run) -> None:
    done = run("do", commands=raising(error))

    assert (done.code, done.out) == (130, "")
    assert done.err.strip() == "Stopped."


def test_a_command_may_choose_its_exit_code(run: Run) -> None:
    assert run("do", commands=doing(lambda: sys.exit(5))).code == 5
    assert run("do", commands=doing(lambda: 4)).code == 4
    assert run("do", commands=doing(lambda: "done")).code == 0
    assert run("do", commands=doing(lambda: None)).code == 0


def test_what_ends_a_loop_ends_the_command_the_same_way(run: Run) -> None:
    """`keys check` runs in one."""

    async def fail() -> None:
        raise SecretDeniedError("denied. Allow it.")

    done = run("do", commands=doing(lambda: asyncio.run(fail())))

    assert (done.code, done.err) == (3, "denied. Allow it.\n")


# As a program...


def program(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m crypto_pipeline` with these words."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "crypto_pipeline", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_package_runs_as_a_program() -> None:
    done = program("--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert __version__ in done.stdout


def test_no_key_is_no_trouble(run: Run) -> None:
    done = run("keys", "check")

    assert (done.code, done.err) == (0, "")
    assert "No key is configured" in done.out


@pytest.mark.parametrize("words", [("keys", "check"), ("run",)], ids=" ".join)
def test_a_malformed_setting_ends_each_command_the_same_way(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYPTO_PIPELINE_KEYS", "okx,vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zv")

    done = program(*words)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("The settings are not usable: CRYPTO_PIPELINE_KEYS: ")
    assert done.stderr.count("\n") == 1
    assert "vmPUZE6" not in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "--exchange", "kraken"), "kraken is not among the configured exchanges"),
        (("run", "--month", "2026-13"), "'2026-13' is not a month"),
        (("run", "--month", "1999-01"), "1999-01 is not between the first month"),
        (("run", "--month", "2999-01"), "2999-01 is not between the first month"),
        (("run",), "There is no dagster.yaml"),
        (("demo",), "There is no dagster.yaml"),
        (("dev",), "There is no dagster.yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_a_command_cannot_work_with_is_told_in_one_sentence(words: tuple[str, ...], says: str, run: Run) -> None:
    done = run(*words)

    assert done.code == 2
    assert says in done.err
    assert done.err.count("\n") == 1


# Commands that serve until they are stopped...


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project folder without any setting."""
    return make_project(tmp_path / "project", {})


@contextmanager
def serving(project: Project, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command that serves, and kill it with all it started if the test does not end it."""
    started = subprocess.Popen(
        project.command(*words),
        cwd=project.home,
        env=project.surroundings(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with started:
        try:
            yield started
        finally:
            if started.poll() is None:
                for process in [*family_of(started.pid), started.pid]:
                    os.kill(process, signal.SIGKILL)


def family_of(parent: int) -> list[int]:
    """Return the children of a process, and theirs."""
    listed = Path(f"/proc/{parent}/task/{parent}/children")
    children = [int(child) for child in listed.read_text().split()] if listed.exists() else []
    return [*children, *(process for child in children for process in family_of(child))]


def is_alive(process: int) -> bool:
    """Tell whether a process still runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(true: Callable[[], bool], *, seconds: float) -> None:
    """Look again and again until it is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Tell whether a server on loopback answers there."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_says_where_it_serves_and_ends_when_it_is_told(number: int, project: Project) -> None:
    with serving(project, "sandbox") as started:
        assert started.stdout is not None
        urls = {}
        for line in started.stdout:
            if line.startswith("Stop with"):
                break
            name, url = line.split()
            urls[name] = url
        answered = answers(f"{urls['binance']}/api/v3/time")
        started.send_signal(number)
        rest = started.stdout.read()

    assert set(CLIENTS) < set(urls)
    assert answered
    assert (started.returncode, rest) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)])
@pytest.mark.timeout(280)
def test_dev_shows_the_ui_and_ends_with_everything_it_started(number: int, project: Project) -> None:
    """A server that is left behind holds the port, and an OpenBao that is left behind holds keys."""
    port = free_port()
    with serving(project, "dev", "--port", str(port)) as started:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/server_info"), seconds=120)
        family = family_of(started.pid)
        started.send_signal(number)
        said, _ = started.communicate(timeout=120)

    assert f"http://127.0.0.1:{port}" in said
    assert started.returncode == 0, said[-2000:]
    assert len(family) >= 3  # OpenBao, `dagster dev`, and what that starts
    wait_for(lambda: not any(map(is_alive, family)), seconds=30)
    assert not answers(f"http://127.0.0.1:{port}/server_info")
