"""Variables of this machine: the environment, and `.env.local` in development."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import (
    ConfigurationError,
    MalformedSecretError,
    SecretDeniedError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.secrets import DotenvSource, EnvironmentSource
from crypto_pipeline_tests.support.hiding import assert_hides

ROOT = Path(__file__).parents[2]
PLANTED = "planted-6a1d0be293"
NOBODY = 65_534


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A good file with one key."""
    found = tmp_path / ".env.local"
    found.touch(mode=0o600)
    found.write_text(f"BINANCE_API_KEY=planted-key-88a1\nBINANCE_API_SECRET={PLANTED}\n")
    return found


def opened(file: Path) -> DotenvSource:
    """Return a source of the file, in development."""
    return DotenvSource(file, environment="development")


def test_the_environment_of_the_process_is_read_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when the source is made: Dagster makes it long before."""
    source = EnvironmentSource()
    monkeypatch.setenv("BYBIT_API_KEY", "planted-key-88a1")
    monkeypatch.setenv("BYBIT_API_SECRET", PLANTED)

    found = source.read("bybit")

    assert found["api_secret"].reveal() == PLANTED
    assert (found.description.name, found.description.store) == ("BYBIT_API_KEY", "environment")


def test_the_message_names_the_variables_to_set() -> None:
    """All of them, and how to do without."""
    with pytest.raises(SecretNotFoundError) as caught:
        EnvironmentSource({}).read("okx")

    assert str(caught.value) == (
        "The environment holds no key of okx. Put 'OKX_API_KEY', 'OKX_API_SECRET', 'OKX_PASSPHRASE' there, "
        "or take okx off the list of keys."
    )


def test_half_a_key_is_not_taken_for_none() -> None:
    """A misspelt variable must not turn into "no key configured"."""
    with pytest.raises(MalformedSecretError, match="The environment has nothing in 'OKX_API_SECRET'"):
        EnvironmentSource({"OKX_API_KEY": PLANTED, "OKX_PASSPHRASE": PLANTED}).read("okx")


def test_the_token_of_hugging_face_has_two_names() -> None:
    """Ours, and the one their tools read."""
    assert EnvironmentSource({"HF_TOKEN": PLANTED}).read("huggingface")["token"].reveal() == PLANTED


def test_bytes_that_are_no_text_stay_what_they_are() -> None:
    """The environment is bytes; Python passes odd ones on in its own way."""
    variables = {"HF_TOKEN": "t\udcffken-of-odd-bytes"}

    assert EnvironmentSource(variables).read("huggingface")["token"].reveal() == variables["HF_TOKEN"]


@pytest.mark.parametrize("environment", ["production", "staging", "", "Development"])
def test_a_file_is_refused_outside_development(file: Path, environment: str) -> None:
    """When the source is made, so that no deployment starts with it."""
    with pytest.raises(ConfigurationError, match="this is not development"):
        DotenvSource(file, environment=environment)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602, 0o610, 0o666, 0o700 | 0o001])
def test_a_file_that_others_may_touch_is_refused(file: Path, mode: int) -> None:
    """Whoever may write it may plant a key; the message says what to do."""
    file.chmod(mode)

    with pytest.raises(ConfigurationError, match=rf"others than its owner may touch it \(mode {mode:04o}\)"):
        opened(file).read("binance")


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_its_owner_alone_is_read(file: Path, mode: int) -> None:
    """With or without the right to write."""
    file.chmod(mode)

    assert opened(file).read("binance")["api_secret"].reveal() == PLANTED


def test_a_link_is_refused(file: Path, tmp_path: Path) -> None:
    """It could be pointed elsewhere between two reads."""
    link = tmp_path / "link"
    link.symlink_to(file)

    with pytest.raises(ConfigurationError, match="is a link"):
        opened(link).read("binance")


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_not_a_file_is_refused(tmp_path: Path, kind: str) -> None:
    """And a pipe that nobody writes to makes nobody wait."""
    place = tmp_path / kind
    if kind == "folder":
        place.mkdir(mode=0o700)
    else:
        os.mkfifo(place, 0o600)

    with pytest.raises(ConfigurationError, match="it is not a plain file"):
        opened(place).read("binance")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away: run as root, or in a container")
def test_a_file_of_another_user_is_refused(file: Path) -> None:
    """That user can read it, and change it."""
    os.chown(file, NOBODY, NOBODY)

    with pytest.raises(ConfigurationError, match="it belongs to another user"):
        opened(file).read("binance")


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    """The message names it and the example to start from."""
    with pytest.raises(SecretNotFoundError, match=r"There is no file .*\.env\.local\. Make it from \.env\.example"):
        opened(tmp_path / ".env.local").read("binance")


def test_a_file_that_may_not_be_read_is_denied(file: Path) -> None:
    """As root, by being nobody for a moment."""
    file.chmod(0)
    file.parent.chmod(0o711)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        with pytest.raises(SecretDeniedError, match="was denied to this user"):
            opened(file).read("binance")
    finally:
        os.seteuid(user)


def test_a_place_that_cannot_be_looked_at_is_an_outage(file: Path) -> None:
    """A path through a file, in place of every other trouble of a disk."""
    with pytest.raises(SecretStoreUnavailableError, match="cannot be read"):
        opened(file / "below").read("binance")


def test_a_file_that_is_no_text_is_malformed_and_not_shown(file: Path) -> None:
    """The decoder's own error would hold the whole file."""
    file.write_bytes(f"BINANCE_API_SECRET={PLANTED}\n".encode() + b"\xff\xfe")

    with pytest.raises(MalformedSecretError, match="is not UTF-8 text") as caught:
        opened(file).read("binance")

    assert_hides(caught.value, {"secret": PLANTED})


@pytest.mark.parametrize("line", ["BINANCE_API_SECRET", "BINANCE_API_SECRET=", "BINANCE_API_SECRET=''", '"un', "= ="])
def test_a_line_without_a_value_counts_as_missing(file: Path, line: str) -> None:
    """So does one that cannot be understood."""
    file.write_text(f"BINANCE_API_KEY={PLANTED}\n{line}\n")

    with pytest.raises(MalformedSecretError, match="has nothing in 'BINANCE_API_SECRET'") as caught:
        opened(file).read("binance")

    assert_hides(caught.value, {"key": PLANTED})


def test_the_usual_ways_of_writing_a_variable_are_understood(file: Path) -> None:
    """With `export`, quotes, blanks and comments."""
    file.write_text(
        f"# keys\nexport OKX_API_KEY = 'planted-key-88a1'\nOKX_API_SECRET=\"{PLANTED}\" # note\nOKX_PASSPHRASE=p w\n"
    )

    found = opened(file).read("okx")

    assert {part: value.reveal() for part, value in found.parts.items()} == {
        "api_key": "planted-key-88a1",
        "api_secret": PLANTED,
        "passphrase": "p w",
    }


def test_nothing_gets_into_the_environment(file: Path) -> None:
    """Every child process would inherit it."""
    before = dict(os.environ)

    opened(file).read("binance")

    assert dict(os.environ) == before


def test_nothing_of_the_environment_gets_into_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One source of secrets per deployment: a variable does not stand in for a line."""
    monkeypatch.setenv("OKX_API_KEY", PLANTED)

    with pytest.raises(SecretNotFoundError, match="holds no key of okx"):
        opened(file).read("okx")


def test_the_description_names_the_file_and_no_age(file: Path) -> None:
    """When a file was changed says nothing about when the key was made."""
    found = opened(file).describe("binance")

    assert (found.name, found.store, found.created_at) == (".env.local:BINANCE_API_KEY", "dotenv", None)


@pytest.mark.parametrize("issuer", ISSUERS)
def test_the_example_file_names_every_variable_and_holds_no_key(issuer: str, tmp_path: Path) -> None:
    """Copied and not filled in, it means "no key"."""
    copy = tmp_path / ".env.local"
    shutil.copy(ROOT / ".env.example", copy)
    copy.chmod(0o600)

    with pytest.raises(SecretNotFoundError) as caught:
        opened(copy).read(issuer)

    wanted = [part.split("'")[1] for part in str(caught.value).split("Put ")[1].split(" there")[0].split(", ")]
    assert all(f"\n{variable}=\n" in f"{copy.read_text()}\n" for variable in wanted)
