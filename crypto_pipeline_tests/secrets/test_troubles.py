"""The table of docs/operations.md that says what each store does when something is wrong, held against the stores."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from crypto_pipeline.errors import CryptoPipelineError, SecretStoreUnavailableError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import AwsSource, SecretSource, TokenAuth, VaultSource
from crypto_pipeline_tests.secrets.stores import (
    AwsStore,
    DotenvStore,
    EnvironmentStore,
    FileStore,
    RemoteStore,
    Store,
    VaultStore,
    new_parts,
)
from crypto_pipeline_tests.support.aws import REGION, Answers, Aws
from crypto_pipeline_tests.support.odd_server import odd_server
from crypto_pipeline_tests.support.project import ROOT
from crypto_pipeline_tests.support.sealable import Sealable, running_sealable

KINDS = {
    "aws": "aws_separate",
    "vault": "vault_token",
    "environment": "environment",
    "dotenv": "dotenv",
    "files": "files",
}
Asking = Iterator[SecretSource]


def told() -> dict[tuple[str, str], str]:
    """Return what the documents say, by trouble and store: the name of an error, or an empty text."""
    text = (ROOT / "docs" / "operations.md").read_text()
    table = text.partition("<!-- troubles: begin -->")[2].partition("<!-- troubles: end -->")[0]
    head, _, *rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.strip().splitlines()]
    stores = [name.strip("`") for name in head[1:]]
    return {
        (row[0], store): (re.match(r"`(\w+)`", cell) or ["", ""])[1]
        for row in rows
        for store, cell in zip(stores, row[1:], strict=True)
    }


TOLD = told()
WITH_ERRORS = sorted(key for key, error in TOLD.items() if error)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    """The store of this name."""
    found: Store = request.getfixturevalue(KINDS[request.param])
    return found


@contextmanager
def missing(store: Store, _: Path) -> Asking:
    """Nothing was ever stored."""
    yield store.source


@contextmanager
def denied(store: Store, folder: Path) -> Asking:
    """This login may not read it."""
    store.put("okx", new_parts("okx"))
    if isinstance(store, RemoteStore):
        with store.blind() as source:
            yield source
        return
    for path in (folder, *folder.parents):
        if path.stat().st_uid == 0 and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    file = store.path if isinstance(store, DotenvStore) else folder / "secrets" / "okx_api_key"
    file.chmod(0o600)
    os.seteuid(65_534)
    try:
        yield store.source
    finally:
        os.seteuid(0)


@contextmanager
def deleted(store: Store, _: Path) -> Asking:
    """It was there, and somebody took it away."""
    store.put("okx", new_parts("okx"))
    name = store.source.name_of("okx")
    if isinstance(store, AwsStore):
        store._aws.client("secretsmanager").delete_secret(SecretId=name, RecoveryWindowInDays=7)
    elif isinstance(store, VaultStore):
        store._vault.root.secrets.kv.v2.delete_latest_version_of_secret(path=name, mount_point="secret")
    else:
        store.put("okx", {})
    yield store.source


@contextmanager
def malformed(store: Store, _: Path) -> Asking:
    """A part is missing."""
    parts = new_parts("okx")
    del parts["passphrase"]
    store.put("okx", parts)
    yield store.source


@contextmanager
def answering(store: Store, code: str, status: int, body: bytes) -> Asking:
    """The server answers everything in this way."""
    if isinstance(store, AwsStore):
        client = aws_client(store._aws.address)
        Answers(client, {"GetSecretValue": (status if code == "" else 400, {"__type": code or "InternalServiceError"})})
        yield AwsSource(client, prefix=store.prefix, layout="separate")
        return
    with odd_server(status, body) as server:
        yield VaultSource(server.address, auth=TokenAuth(Secret("planted-token-55e0")))


@contextmanager
def throttled(store: Store, _: Path) -> Asking:
    """The server limits requests."""
    with answering(store, "ThrottlingException", 429, b'{"errors": ["limited"]}') as source:
        yield source


@contextmanager
def broken(store: Store, _: Path) -> Asking:
    """The server fails on its side."""
    with answering(store, "", 500, b'{"errors": ["broken"]}') as source:
        yield source


@contextmanager
def slow(store: Store, _: Path) -> Asking:
    """Something listens and says nothing, for longer than anybody waits."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        if isinstance(store, AwsStore):
            yield AwsSource(aws_client(address, read_timeout=0.2), prefix=store.prefix, layout="separate")
        else:
            yield VaultSource(address, auth=TokenAuth(Secret("planted-token-55e0")))


@contextmanager
def down(store: Store, _: Path) -> Asking:
    """Nobody listens."""
    assert isinstance(store, RemoteStore)
    yield store.down()


@contextmanager
def sealed(_: Store, folder: Path) -> Asking:
    """Nobody has unsealed it."""
    with sealed_vault(folder) as running:
        yield running[1]


@contextmanager
def unsafe(store: Store, folder: Path) -> Asking:
    """Others may change the file."""
    store.put("okx", new_parts("okx"))
    file = store.path if isinstance(store, DotenvStore) else folder / "secrets" / "okx_api_key"
    file.chmod(0o666)
    yield store.source


MADE: Mapping[str, Callable[[Any, Path], Any]] = {
    each.__name__: each for each in (missing, denied, deleted, malformed, throttled, broken, slow, down, sealed, unsafe)
}


def aws_client(address: str, **more: Any) -> Any:
    """Return a client that tries once."""
    config = Config(retries={"total_max_attempts": 1}, proxies={}, **more)
    return boto3.client("secretsmanager", region_name=REGION, endpoint_url=address, config=config)


@contextmanager
def sealed_vault(folder: Path) -> Iterator[tuple[Sealable, VaultSource]]:
    """Start a server with a secret in it, and seal it."""
    with running_sealable(folder) as sealable:
        kept = VaultStore(sealable.vault)
        kept.put("okx", new_parts("okx"))
        sealable.seal()
        yield sealable, kept.source


def test_the_table_tells_of_every_trouble_and_every_store() -> None:
    """And of no other."""
    assert {trouble for trouble, _ in TOLD} == {*MADE, "recovered"}
    assert {store for _, store in TOLD} == set(KINDS)
    assert len(WITH_ERRORS) > 25


@pytest.mark.parametrize(("trouble", "store"), WITH_ERRORS, indirect=["store"])
def test_a_store_does_what_the_table_says(trouble: str, store: Store, tmp_path: Path) -> None:
    """Made to happen at a real server, or in a real file, and read."""
    if trouble == "denied" and not isinstance(store, RemoteStore) and os.geteuid() != 0:
        why = "only root can become somebody who may not read a file: run as root, or in a container"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)

    with MADE[trouble](store, tmp_path) as source, pytest.raises(CryptoPipelineError) as caught:
        source.read("okx")

    assert type(caught.value).__name__ == TOLD[trouble, source.store]


def test_a_vault_that_is_unsealed_is_read_at_once(tmp_path: Path) -> None:
    """With the login that it had; the same source was refused a moment ago."""
    with sealed_vault(tmp_path) as (sealable, source):
        with pytest.raises(SecretStoreUnavailableError):
            source.read("okx")
        sealable.unseal()

        assert source.read("okx").issuer == "okx"


def test_an_aws_that_is_well_again_is_read_at_once(aws: Aws, aws_separate: AwsStore) -> None:
    """Errors are remembered by nobody here."""
    aws_separate.put("okx", new_parts("okx"))
    client, answers = aws_client(aws.address), {"GetSecretValue": (503, {"__type": "ServiceUnavailable"})}
    Answers(client, answers)
    source = AwsSource(client, prefix=aws_separate.prefix, layout="separate")
    with pytest.raises(SecretStoreUnavailableError):
        source.read("okx")
    answers.clear()

    assert source.read("okx") == aws_separate.source.read("okx")


@pytest.mark.parametrize("kind", ["environment", "dotenv", "files"])
def test_a_local_store_that_is_mended_is_read_at_once(kind: str, request: pytest.FixtureRequest) -> None:
    store: EnvironmentStore | DotenvStore | FileStore = request.getfixturevalue(kind)
    with pytest.raises(CryptoPipelineError):
        store.source.read("okx")
    store.put("okx", new_parts("okx"))

    assert store.source.read("okx").issuer == "okx"
