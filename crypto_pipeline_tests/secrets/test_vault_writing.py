"""New versions in Vault: check-and-set on a real server, who may, and answers that are none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crypto_pipeline.errors import (
    ConfigurationError,
    SecretChangedError,
    SecretDeniedError,
    SecretStoreSealedError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import TokenAuth, VaultSource
from crypto_pipeline.secrets.policies import vault_policy
from crypto_pipeline.secrets.roles import ROLES
from crypto_pipeline.secrets.writing import Stored
from crypto_pipeline_tests.secrets.matrix import SUFFIXES, each_role, may
from crypto_pipeline_tests.secrets.stores import VaultStore, new_parts, new_prefix
from crypto_pipeline_tests.secrets.writable import VaultWritable, stored
from crypto_pipeline_tests.support.hiding import assert_hides
from crypto_pipeline_tests.support.odd_server import odd_server
from crypto_pipeline_tests.support.sealable import Sealable, running_sealable
from crypto_pipeline_tests.support.vault import Vault


@pytest.fixture
def writable(vault: Vault) -> VaultWritable:
    """A path that nobody else uses."""
    return VaultWritable(vault)


def kv(vault: Vault) -> Any:
    """Return the engine, as root sees it."""
    return vault.root.secrets.kv.v2


def test_of_many_at_once_each_is_either_the_next_version_or_refused(writable: VaultWritable) -> None:
    """The server decides; nobody's version takes another one's place unseen."""
    writable.put("okx", new_parts("okx"))
    together, parts = threading.Barrier(8), [new_parts("okx") for _ in range(8)]
    writers = [writable.at(writable.address()).writer() for _ in parts]

    def attempt(number: int) -> Stored | None:
        together.wait(timeout=30)
        try:
            return stored(writers[number], "okx", parts[number])
        except SecretChangedError:
            return None

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(attempt, range(8)))

    done = {outcome.version: number for number, outcome in enumerate(outcomes) if outcome is not None}
    assert done
    assert writable.count("okx") == 1 + len(done)
    assert {version: parts[number] for version, number in done.items()} == {
        version: writable.parts("okx", version) for version in done
    }


def test_a_version_that_was_deleted_is_followed_by_the_next_number(writable: VaultWritable) -> None:
    """The deleted one stays deleted, and can still be had back."""
    writable.put("okx", old := new_parts("okx"))
    path = f"{writable.prefix}/okx"
    kv(writable.vault).delete_latest_version_of_secret(path=path, mount_point="secret")

    outcome = stored(writable.writer, "okx", new_parts("okx"))

    assert (outcome.replaced, outcome.version) == ("1", "2")
    assert outcome.remark == "Version 1 is deleted, and stays so."
    kv(writable.vault).undelete_secret_versions(path=path, versions=[1], mount_point="secret")
    assert writable.parts("okx", "1") == old


def test_metadata_without_a_version_are_a_place_for_the_first_one(writable: VaultWritable) -> None:
    kv(writable.vault).update_metadata(
        path=f"{writable.prefix}/okx", custom_metadata={"owner": "research"}, mount_point="secret"
    )

    outcome = stored(writable.writer, "okx", new_parts("okx"))

    assert (outcome.replaced, outcome.version, outcome.remark) == ("", "1", "")
    assert writable.source.history(f"{writable.prefix}/okx").secret.labels == {"owner": "research"}


def test_a_server_that_wants_check_and_set_gets_it(writable: VaultWritable) -> None:
    path = f"{writable.prefix}/okx"
    kv(writable.vault).update_metadata(path=path, cas_required=True, mount_point="secret")

    versions = [stored(writable.writer, "okx", new_parts("okx")).version for _ in range(2)]

    assert versions == ["1", "2"]


@pytest.mark.parametrize("environment", SUFFIXES)
@each_role
def test_a_role_may_store_what_the_matrix_says(role: str, environment: str, vault: Vault) -> None:
    """With exactly the policy that is rendered for it, and no other right."""
    prefix = new_prefix()
    folder = f"{prefix}{SUFFIXES[environment]}"
    old, new = new_parts("okx"), new_parts("okx")
    vault.put(f"{folder}/okx", old)
    token = Secret(vault.token(vault_policy(ROLES[role], mount="secret", prefix=prefix), no_default_policy=True))
    source = VaultSource(vault.address, auth=TokenAuth(token), prefix=folder)

    try:
        first, second = stored(source.writer(), "okx", new), stored(source.writer(), "bybit", new_parts("bybit"))
        done = (first.version, second.version) == ("2", "1")
    except SecretDeniedError as error:
        assert_hides(error, new)
        done = False

    found = kv(vault).read_secret_version(path=f"{folder}/okx", raise_on_deleted_version=True)["data"]["data"]
    assert done is may(role, environment, "store")
    assert found == (new if done else old)


def test_who_may_write_and_not_read_is_told_so(vault: Vault) -> None:
    """What is there cannot be kept by somebody who may not see it."""
    store = VaultStore(vault)
    only_writing = f'path "secret/data/{store.prefix}/*" {{ capabilities = ["create", "update"] }}'
    store.put("okx", old := new_parts("okx"))

    with pytest.raises(SecretDeniedError, match="must allow read"):
        stored(store.opened(only_writing).writer(), "okx", new_parts("okx"))

    assert {name: value.reveal() for name, value in store.source.read("okx").parts.items()} == old


def test_who_may_change_and_not_make_is_told_so(vault: Vault) -> None:
    store = VaultStore(vault)
    policy = f'path "secret/data/{store.prefix}/*" {{ capabilities = ["read", "update"] }}\n{store.policy("metadata")}'

    with pytest.raises(SecretDeniedError, match="must allow create and update on it") as caught:
        stored(store.opened(policy).writer(), "okx", new_parts("okx"))

    assert f"secret/data/{store.prefix}/okx" in str(caught.value)


def test_a_mount_that_is_none_is_named(vault: Vault) -> None:
    source = VaultSource(vault.address, auth=TokenAuth(Secret(vault.root.token)), mount="none-of-that-name")

    with pytest.raises(ConfigurationError, match="no mount 'none-of-that-name'"):
        stored(source.writer(), "okx", new_parts("okx"))


@pytest.fixture(scope="module")
def sealable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealable]:
    """A Vault that can be sealed."""
    with running_sealable(tmp_path_factory.mktemp("sealable")) as running:
        yield running


def test_a_sealed_store_stores_nothing(sealable: Sealable) -> None:
    """And says so; unsealed, it stores."""
    writable = VaultWritable(sealable.vault)
    writable.put("okx", new_parts("okx"))
    parts = new_parts("okx")
    sealable.seal()
    try:
        with pytest.raises(SecretStoreSealedError, match="is sealed") as caught:
            stored(writable.writer, "okx", parts)
    finally:
        sealable.unseal()

    assert_hides(caught.value, parts)
    assert writable.count("okx") == 1
    assert stored(writable.writer, "okx", parts).version == "2"


def test_a_store_that_is_sealed_in_between_stores_nothing(sealable: Sealable) -> None:
    """After the look, before the write."""
    writable = VaultWritable(sealable.vault)
    writable.put("okx", new_parts("okx"))
    writer = writable.writer
    seen = writer.look("okx")
    sealable.seal()
    try:
        with pytest.raises(SecretStoreSealedError):
            writer.write("okx", {"api_key": Secret("planted-2f9e11")}, seen)
    finally:
        sealable.unseal()

    assert writable.count("okx") == 1


def test_an_answer_to_a_write_that_is_none_of_vaults_is_looked_into(writable: VaultWritable) -> None:
    """Something in front of the server answers "fine" to everything, and stores nothing."""
    said = {"data": {"data": {"token": "x"}, "metadata": {"version": 3, "created_time": "2026-01-01T00:00:00Z"}}}
    with odd_server(200, json.dumps(said).encode()) as server:
        source = VaultSource(server.address, auth=TokenAuth(Secret("planted-token")))

        with pytest.raises(SecretStoreUnavailableError, match="is not Vault"):
            stored(source.writer(), "huggingface", new_parts("huggingface"))


def test_a_version_that_is_no_number_is_none_of_vaults() -> None:
    """There is no next one."""
    said = {"data": {"data": {"token": "x"}, "metadata": {"version": "v3", "created_time": "2026-01-01T00:00:00Z"}}}
    with odd_server(200, json.dumps(said).encode()) as server:
        source = VaultSource(server.address, auth=TokenAuth(Secret("planted-token")))

        with pytest.raises(SecretStoreUnavailableError, match="is not Vault"):
            stored(source.writer(), "huggingface", new_parts("huggingface"))


@pytest.mark.parametrize("data", [{}, {"current_version": "many"}])
def test_metadata_that_are_none_of_vaults_are_no_empty_place(data: dict[str, Any]) -> None:
    """To take them for one would be to guess."""
    paths = {"/v1/secret/metadata/crypto-pipeline/okx": 200, "/v1/sys/internal/ui/mounts/secret": 403}
    with odd_server(paths, json.dumps({"data": data, "errors": []}).encode()) as server:
        source = VaultSource(server.address, auth=TokenAuth(Secret("planted-token")))

        with pytest.raises(SecretStoreUnavailableError, match="is not Vault"):
            stored(source.writer(), "okx", new_parts("okx"))
