"""Documents say what is true today: their tables and outputs are compared with the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from crypto_pipeline import errors
from crypto_pipeline.cli import cli
from crypto_pipeline.settings import PREFIX, Settings
from crypto_pipeline_tests.support.project import ROOT

README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def settings_table() -> str:
    """Return the table of settings as it stands in docs/operations.md."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default_factory else shown(field.default)
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def shown(default: object) -> str:
    """Return a default as one writes it in the environment."""
    if default is None or default == ():
        return ""
    text = ",".join(default) if isinstance(default, tuple) else str(default)
    return f"`{text}`"


def test_the_table_of_settings_is_that_of_the_code() -> None:
    assert settings_table() in OPERATIONS


def test_the_table_of_exit_codes_is_that_of_the_error_tree() -> None:
    """Every class just below the root, by its code."""
    told = {int(code): name for code, name in re.findall(r"^\| (\d+) \| .* \(`(\w+)`\) \|$", OPERATIONS, re.MULTILINE)}

    own = errors.CryptoPipelineError.__subclasses__()
    assert told == {kind.exit_code: kind.__name__ for kind in own}


def commands(group: click.Group, *names: str) -> Iterator[str]:
    """Yield every command as one types it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield " ".join(("crypto-pipeline", *names, name))


@pytest.mark.parametrize("command", sorted(commands(cli)))
def test_every_command_is_in_the_documents(command: str) -> None:
    assert command in README + OPERATIONS


def test_every_document_is_linked_from_the_readme_or_from_one_that_is() -> None:
    """A page that nobody finds is a page that nobody keeps true."""
    seen, wanted = set(), [ROOT / "README.md"]
    while wanted:
        page = wanted.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", page.read_text()):
            found = (page.parent / target).resolve()
            wanted.append(found / "README.md" if found.is_dir() else found)

    assert sorted(set(documents()) - seen) == []


def documents() -> Iterator[Path]:
    yield from ROOT.glob("*.md")
    yield from (ROOT / "docs").rglob("*.md")
