"""The words of the group `secrets`."""

from __future__ import annotations

import click
import pytest

from crypto_pipeline.cli import main
from crypto_pipeline.cli_secrets import secrets


@pytest.mark.parametrize("name", ["list", "describe", "put"])
def test_each_command_has_its_help_and_explains_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In a sentence each, and without a look at any store."""
    with pytest.raises(SystemExit) as ended:
        main(["secrets", name, "--help"])

    out, err = capsys.readouterr()
    command = secrets.commands[name]
    assert (ended.value.code, err) == (0, "")
    assert out.startswith("Usage: ")
    assert f" secrets {name} " in out.splitlines()[0]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["describe"], "Missing argument 'NAME'"),
        (["put"], "Missing argument 'ISSUER'"),
        (["list", "stray"], "unexpected extra argument"),
        (["list", "--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
    ],
    ids=str,
)
def test_a_misspelt_command_line_is_explained_and_exits_2(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["secrets", *words])

    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert says in err
