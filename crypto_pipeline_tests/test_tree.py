"""What may and may not stand in the repository: dependencies, lock files, documents, hosts and paths."""

from __future__ import annotations

import re
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-demo.lock", "requirements-test.lock", "requirements-dev.lock")
"""From the smallest set to the largest; each contains the one before it."""

LOCKED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)
HASHED = re.compile(r"--hash=sha256:[0-9a-f]{64}")

# Written with [.] and the like so that this file does not find itself.
PLACES = {
    "the host of a package registry": re.compile(
        r"py[p]i[.]org|python[h]osted[.]org|registry[.][n]pmjs|deb[.]de[b]ian[.]org|proxy[.]go[l]ang[.]org|crates[.]i[o]\b"
    ),
    "a path of one machine": re.compile(
        r"(?<![\w.])/(?:ro[o]t|ho[m]e/\w+|Us[e]rs/\w+|wo[r]k|opt/(?:whe[e]ls|py[p]i))/"
    ),
}


def files_of_the_tree() -> list[Path]:
    """Return every file that is in git or would be added to it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def texts_of_the_tree() -> dict[str, str]:
    """Return every text file by its name in the repository; bytes that are no text are left out."""
    texts = {}
    for path in files_of_the_tree():
        content = path.read_bytes()
        if b"\0" not in content:
            texts[str(path.relative_to(ROOT))] = content.decode(errors="replace")
    return texts


def locked(name: str) -> dict[str, set[str]]:
    """Return the versions a lock file pins, by package; more than one where they differ by Python."""
    pins: dict[str, set[str]] = {}
    for package, version in LOCKED.findall((ROOT / name).read_text()):
        pins.setdefault(canonicalize_name(package), set()).add(version)
    return pins


@pytest.mark.parametrize("what", PLACES)
def test_the_tree_names_no(what: str) -> None:
    """It must work on every machine and with every package index."""
    found = [
        f"{name}:{number}"
        for name, text in texts_of_the_tree().items()
        for number, line in enumerate(text.splitlines(), 1)
        if PLACES[what].search(line)
    ]

    assert found == []


def asked_for() -> list[str]:
    """Return every requirement of the project, its extras included, as it is written."""
    extras = PYPROJECT["project"]["optional-dependencies"].values()
    written = [*PYPROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    return [line for line in written if Requirement(line).name != PYPROJECT["project"]["name"]]


def test_every_dependency_states_its_reason() -> None:
    """A line that nobody can explain is a line that nobody can remove."""
    text = (ROOT / "pyproject.toml").read_text()

    unexplained = [line for line in asked_for() if not re.search(rf'"{re.escape(line)}",? +# \S', text)]

    assert unexplained == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_holds_pins_and_hashes_and_no_address(name: str) -> None:
    """It installs from whatever index a machine is set up with, and only what was locked."""
    text = (ROOT / name).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())

    assert "://" not in text
    assert "file:" not in text
    assert [entry.split()[0] for entry in entries if not (LOCKED.match(entry) and HASHED.search(entry))] == []


def test_each_lock_file_contains_the_one_before_it() -> None:
    """What is tested is what runs, version by version."""
    for smaller, larger in pairwise(LOCKS):
        assert {
            name: versions for name, versions in locked(smaller).items() if locked(larger).get(name) != versions
        } == {}


def test_the_lock_files_satisfy_what_the_project_asks_for() -> None:
    """A dependency that was added or raised without `make lock` would be missing in every new .venv."""
    pins = locked(LOCKS[-1])

    unmet = [
        line
        for line in asked_for()
        if not any(map(Requirement(line).specifier.contains, pins.get(canonicalize_name(Requirement(line).name), ())))
    ]

    assert unmet == []


def test_links_between_documents_lead_somewhere() -> None:
    """A file that was moved must not leave readers behind."""
    broken = [
        f"{name} -> {target}"
        for name, text in texts_of_the_tree().items()
        if name.endswith(".md")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
        if not re.match(r"\w+:", target) and not (ROOT / name).parent.joinpath(target).exists()
    ]

    assert broken == []
