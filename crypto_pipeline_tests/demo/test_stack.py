"""The servers of the demo hold the keys, give out what may read them, and are gone afterwards."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import hvac
import pytest

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.demo.stack import Stack, parts_of, running_stack
from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.redaction import MASK, scrub
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline.settings import Settings
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.odd_server import odd_server


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty_environment(monkeypatch, tmp_path)


def listens(address: str) -> bool:
    """Tell whether somebody takes connections there."""
    url = urlsplit(address)
    with socket.socket() as probe:
        return probe.connect_ex((str(url.hostname), int(url.port or 0))) == 0


def addresses(stack: Stack) -> set[str]:
    """Return where all servers listen."""
    return {stack.vault_address, *stack.sandbox.urls.values()}


def use(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Read the settings with these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings.from_environment()


def test_its_variables_lead_to_a_key_of_every_issuer(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a deployment with Vault would be configured, and as the pipeline reads it."""
    settings = use(stack.environment, monkeypatch)

    source = settings.build_source()

    assert source is not None
    assert set(settings.keys) == set(ISSUERS)
    for issuer in ISSUERS:
        (issued,) = stack.sandbox.keys.all(issuer)
        read = source.read(issuer)
        assert {part: read[part].reveal() for part in read.parts} == parts_of(issued)
        assert settings.base_url(issuer) == stack.sandbox.urls[issuer]


def test_the_token_may_read_the_keys_and_nothing_else(stack: Stack) -> None:
    client = hvac.Client(url=stack.vault_address, token=stack.environment["VAULT_TOKEN"])
    client.session.trust_env = False

    assert client.secrets.kv.v2.read_secret_version(path="crypto-pipeline/okx", raise_on_deleted_version=True)
    with pytest.raises(hvac.exceptions.Forbidden):
        client.secrets.kv.v2.create_or_update_secret(path="crypto-pipeline/okx", secret={})
    with pytest.raises(hvac.exceptions.Forbidden):
        client.secrets.kv.v2.read_secret_version(path="somebody/else", raise_on_deleted_version=True)
    with pytest.raises(hvac.exceptions.Forbidden):
        client.sys.list_policies()
    client.adapter.close()


def test_the_token_is_shown_by_no_text_of_this_process(stack: Stack) -> None:
    token = stack.environment["VAULT_TOKEN"]

    assert scrub(f"the token {token} was used") == f"the token {MASK} was used"
    assert token not in repr(stack)
    assert str(stack.vault.token) not in repr(stack)


def test_everything_listens_on_this_machine_alone_and_ends_with_the_context(tmp_path: Path) -> None:
    with running_stack(tmp_path) as stack:
        everywhere = addresses(stack)
        during = [listens(address) for address in everywhere]

    assert {urlsplit(address).hostname for address in everywhere} == {"127.0.0.1"}
    assert during == [True] * len(everywhere)
    assert [address for address in everywhere if listens(address)] == []


def test_servers_end_when_what_is_done_with_them_fails(tmp_path: Path) -> None:
    seen: list[Stack] = []

    def work() -> None:
        with running_stack(tmp_path) as stack:
            seen.append(stack)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()

    assert [address for address in addresses(seen[0]) if listens(address)] == []


def test_keys_of_another_kind_are_made_where_they_are_asked_for(tmp_path: Path) -> None:
    with running_stack(tmp_path, kinds={"okx": KeyKind.MAY_TRADE}) as stack:
        kinds = {issuer: [key.kind for key in stack.sandbox.keys.all(issuer)] for issuer in ISSUERS}

    assert kinds == {issuer: [KeyKind.MAY_TRADE if issuer == "okx" else KeyKind.READ_ONLY] for issuer in ISSUERS}


def test_nothing_of_it_passes_through_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root token and all keys would be read there."""
    with odd_server(502, b"{}") as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.address)

        with running_stack(tmp_path) as stack:
            assert stack.vault.is_authenticated()

    assert proxy.requests == []


def test_nothing_is_written_to_disk_by_starting_it(tmp_path: Path) -> None:
    """Keys and token exist in memory only; the folder is for lake and audit log."""
    with running_stack(tmp_path / "data"):
        pass

    assert list(tmp_path.iterdir()) == []


# The program...


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds all programs there are."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.usefixtures("programs")
def test_without_openbao_it_is_said_what_to_install(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"`bao` \(OpenBao\) is not installed. Run `make demo`"),
        running_stack(tmp_path),
    ):
        pass


def test_an_openbao_that_does_not_start_is_told_at_once(programs: Path, tmp_path: Path) -> None:
    """A process that has ended will not answer, however long one waits."""
    program = programs / "bao"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)

    with pytest.raises(ConfigurationError, match="OpenBao did not start"), running_stack(tmp_path):
        pass
