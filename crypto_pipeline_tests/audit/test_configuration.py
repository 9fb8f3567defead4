"""A changed setting is recorded once, whoever starts first, and never forgotten by a crash."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.audit.configuration import note_configuration, user_name
from crypto_pipeline.errors import AuditError

SETTINGS = {"secrets": "vault", "keys": "('okx',)", "lake": "/data/lake"}

NOTER = """
import json, sys
from pathlib import Path
from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.audit.configuration import note_configuration

folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
note_configuration(JsonLinesAuditLog(folder / "audit.jsonl"), folder / "seen.json", settings, who=sys.argv[3])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where log and settings lie; it does not exist yet."""
    return tmp_path / "audit"


def note(folder: Path, settings: dict[str, str]) -> list[str]:
    """Note the settings in the folder."""
    return note_configuration(JsonLinesAuditLog(folder / "audit.jsonl"), folder / "seen.json", settings, who="test")


def recorded(folder: Path) -> list[tuple[object, ...]]:
    """Return `(what, old, new)` of each event."""
    log = folder / "audit.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    assert {event["event"] for event in events} <= {"configuration_change"}
    return [(event["what"], event.get("old"), event["new"]) for event in events]


def test_at_first_sight_every_setting_is_recorded(folder: Path) -> None:
    assert note(folder, SETTINGS) == ["keys", "lake", "secrets"]
    assert recorded(folder) == [("keys", None, "('okx',)"), ("lake", None, "/data/lake"), ("secrets", None, "vault")]


def test_what_did_not_change_is_not_recorded_again(folder: Path) -> None:
    note(folder, SETTINGS)

    assert note(folder, dict(reversed(SETTINGS.items()))) == []
    assert len(recorded(folder)) == 3


def test_a_change_is_recorded_with_old_and_new_and_who(folder: Path) -> None:
    note(folder, SETTINGS)

    assert note(folder, SETTINGS | {"secrets": "aws"}) == ["secrets"]
    assert recorded(folder)[3:] == [("secrets", "vault", "aws")]
    assert json.loads((folder / "audit.jsonl").read_text().splitlines()[-1])["who"] == "test"


def test_settings_that_come_and_go_are_changes(folder: Path) -> None:
    note(folder, {"old": "1", "same": "2"})

    assert note(folder, {"new": "3", "same": "2"}) == ["new", "old"]
    assert recorded(folder)[2:] == [("new", None, "3"), ("old", "1", "")]
    assert note(folder, {"new": "3", "same": "2"}) == []


def test_a_shorter_value_leaves_nothing_of_the_longer_one(folder: Path) -> None:
    note(folder, {"lake": "/a/very/long/path" * 20})

    note(folder, {"lake": "/x"})

    assert json.loads((folder / "seen.json").read_text()) == {"lake": "/x"}


@pytest.mark.parametrize(
    "content",
    [b"", b'{"secrets": "va', b"[1, 2]", b"null", b"\xff\xfe\x00", b"not json"],
    ids=["empty", "cut short", "a list", "null", "no text", "no JSON"],
)
def test_a_broken_memory_counts_as_never_seen(content: bytes, folder: Path) -> None:
    """A crash may leave it so; recording too much is the safe side."""
    folder.mkdir()
    (folder / "seen.json").write_bytes(content)

    assert note(folder, SETTINGS) == sorted(SETTINGS)
    assert note(folder, SETTINGS) == []


def test_a_change_that_cannot_be_recorded_is_not_forgotten(folder: Path) -> None:
    note(folder, SETTINGS)
    log = (folder / "audit.jsonl").rename(folder / "kept")
    (folder / "audit.jsonl").mkdir()
    with pytest.raises(AuditError, match="audit log"):
        note(folder, SETTINGS | {"secrets": "aws"})
    (folder / "audit.jsonl").rmdir()
    log.rename(folder / "audit.jsonl")

    assert note(folder, SETTINGS | {"secrets": "aws"}) == ["secrets"]
    assert recorded(folder)[3:] == [("secrets", "vault", "aws")]


@pytest.mark.parametrize(
    "put",
    [lambda path: path.symlink_to(path.with_name("elsewhere")), os.mkfifo, Path.mkdir],
    ids=["symlink", "fifo", "folder"],
)
@pytest.mark.timeout(20)
def test_what_is_not_a_file_in_its_place_is_refused(put: Callable[[Path], object], folder: Path) -> None:
    folder.mkdir()
    put(folder / "seen.json")

    with pytest.raises(AuditError, match=r"settings last seen \(.*seen\.json\) cannot be read or written"):
        note(folder, SETTINGS)
    assert recorded(folder) == []


def test_nobody_else_may_read_the_settings(folder: Path) -> None:
    note(folder, SETTINGS)

    assert stat.S_IMODE((folder / "seen.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_processes_that_start_together_record_a_change_once(folder: Path) -> None:
    """Every step of a run, and every run of a schedule, is a process of its own."""
    settings = {f"setting_{number:02d}": str(number) for number in range(30)}
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", NOTER, str(folder), json.dumps(settings), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for starter in starters:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"

    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("go\n")
        starter.stdin.flush()
    for starter in starters:
        starter.communicate()

    assert [starter.returncode for starter in starters] == [0, 0, 0]
    assert recorded(folder) == [(name, None, value) for name, value in settings.items()]


def failing(error: Exception) -> Callable[[], str]:
    """Return a question that fails like this."""

    def ask() -> str:
        raise error

    return ask


@pytest.mark.parametrize("error", [KeyError("no name"), OSError("no such user")])
def test_a_user_without_a_name_is_known_by_number(error: Exception) -> None:
    """As in a container that runs as a number; Python 3.13 says it by another error than 3.11."""
    assert user_name(failing(error)) == f"uid {os.getuid()}"


def test_a_user_with_a_name_is_known_by_it() -> None:
    assert user_name(lambda: "ada") == "ada"
