"""Vault and OpenBao, KV version 2: versions, deletion, mounts, paths."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import hvac
import pytest

from crypto_pipeline.errors import (
    ConfigurationError,
    MalformedSecretError,
    SecretDeniedError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import SecretSource, TokenAuth, VaultSource, open_vault
from crypto_pipeline_tests.secrets.stores import VaultStore, new_parts
from crypto_pipeline_tests.support.odd_server import odd_server
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.vault import NO_RIGHTS, Vault

VERBS: tuple[Callable[[SecretSource, str], object], ...] = (
    lambda source, issuer: source.describe(issuer),
    lambda source, issuer: source.read(issuer),
)
each_verb = pytest.mark.parametrize("ask", VERBS, ids=["describe", "read"])


@pytest.fixture
def mount(vault: Vault) -> str:
    """The name of a mount that nobody has made yet."""
    return f"mount-{secrets.token_hex(4)}"


def source_at(address: str, **more: Any) -> VaultSource:
    """Return a source with a token that no server knows."""
    return VaultSource(address, auth=TokenAuth(Secret("planted-token-55e0")), **more)


def test_the_age_is_the_current_versions_and_not_that_of_the_last_change(vault: Vault, vault_token: VaultStore) -> None:
    """`updated_time` moves when somebody edits the metadata."""
    vault_token.put("okx", new_parts("okx"))
    before = vault_token.source.describe("okx")
    path = vault_token.source.name_of("okx")
    kv = vault.root.secrets.kv.v2
    kv.update_metadata(path=path, custom_metadata={"owner": "somebody"}, mount_point="secret")
    data = kv.read_secret_metadata(path=path, mount_point="secret")["data"]

    after = vault_token.source.describe("okx")

    assert after == before == vault_token.source.read("okx").description
    assert data["updated_time"] != data["versions"]["1"]["created_time"]


def delete(vault: Vault, path: str) -> None:
    """Delete the current version; it can be undeleted."""
    vault.root.secrets.kv.v2.delete_latest_version_of_secret(path=path, mount_point="secret")


def destroy(vault: Vault, path: str) -> None:
    """Destroy the current version."""
    vault.root.secrets.kv.v2.destroy_secret_versions(path=path, versions=[2], mount_point="secret")


@each_verb
@pytest.mark.parametrize("remove", [delete, destroy])
def test_a_deleted_version_is_not_found(
    vault: Vault,
    vault_token: VaultStore,
    remove: Callable[[Vault, str], None],
    ask: Callable[[SecretSource, str], object],
) -> None:
    """The version before it is not taken in its place; the message says that it was deleted."""
    vault_token.put("okx", new_parts("okx"))
    vault_token.put("okx", new_parts("okx"))
    path = vault_token.source.name_of("okx")
    remove(vault, path)

    with pytest.raises(SecretNotFoundError, match=f"Version 2 of Vault secret '{path}', the current one, was deleted"):
        ask(vault_token.source, "okx")


def test_a_secret_whose_metadata_are_there_without_a_version_is_not_found(
    vault: Vault, vault_token: VaultStore
) -> None:
    """Somebody wrote down whose it will be, and stored nothing yet."""
    path = vault_token.source.name_of("okx")
    vault.root.secrets.kv.v2.update_metadata(path=path, custom_metadata={"owner": "me"}, mount_point="secret")

    with pytest.raises(SecretNotFoundError, match=f"Vault has no secret '{path}'"):
        vault_token.source.describe("okx")


def test_a_version_that_will_be_deleted_later_is_still_there(vault: Vault, vault_token: VaultStore) -> None:
    """Its time of deletion is set when it is stored, and lies ahead."""
    path = vault_token.source.name_of("okx")
    vault.root.secrets.kv.v2.update_metadata(path=path, delete_version_after="2h", mount_point="secret")
    vault_token.put("okx", new_parts("okx"))
    later = VaultSource(
        vault.address,
        auth=TokenAuth(Secret(vault.token(vault_token.policy("metadata")))),
        prefix=vault_token.prefix,
        clock=lambda: datetime.now(UTC) + timedelta(hours=3),
    )

    assert vault_token.source.describe("okx") == vault_token.source.read("okx").description
    with pytest.raises(SecretNotFoundError, match="was deleted"):
        later.describe("okx")


@each_verb
def test_a_mount_of_version_1_is_named(vault: Vault, mount: str, ask: Callable[[SecretSource, str], object]) -> None:
    """It would answer "no such secret" or "denied", and send people to look in the wrong place."""
    vault.root.sys.enable_secrets_engine("kv", path=mount, options={"version": "1"})
    token = vault.token(f'path "{mount}/crypto-pipeline/*" {{ capabilities = ["read"] }}')
    policy_for_version_1 = VaultSource(vault.address, auth=TokenAuth(Secret(token)), mount=mount)
    everything = VaultSource(vault.address, auth=TokenAuth(Secret(vault.root.token)), mount=mount)

    for source in (policy_for_version_1, everything):
        with pytest.raises(ConfigurationError, match=f"Mount '{mount}' of Vault is KV version 1, not KV version 2"):
            ask(source, "okx")


def test_a_mount_of_another_engine_is_named(vault: Vault, mount: str) -> None:
    """A typo leads to the wrong one."""
    vault.root.sys.enable_secrets_engine("transit", path=mount)
    source = VaultSource(vault.address, auth=TokenAuth(Secret(vault.root.token)), mount=mount)

    with pytest.raises(ConfigurationError, match=f"Mount '{mount}' of Vault is another engine"):
        source.read("okx")


def test_a_mount_that_does_not_exist_is_named(vault: Vault, mount: str) -> None:
    """As far as the server tells: a login with few rights only hears "denied"."""
    everything = VaultSource(vault.address, auth=TokenAuth(Secret(vault.root.token)), mount=mount)
    little = VaultSource(vault.address, auth=TokenAuth(Secret(vault.token(NO_RIGHTS))), mount=mount)

    with pytest.raises(ConfigurationError, match=f"Vault has no mount '{mount}'"):
        everything.read("okx")
    with pytest.raises(SecretDeniedError, match=f"denied '{mount}/data/crypto-pipeline/okx'"):
        little.read("okx")


@each_verb
@pytest.mark.parametrize(("asked", "probe"), [(403, 403), (404, 403), (404, 404)])
def test_a_mount_of_which_nobody_tells_is_not_guessed_at(
    asked: int, probe: int, ask: Callable[[SecretSource, str], object]
) -> None:
    """The answer that there was is told, and no other path is tried."""
    paths = dict.fromkeys(("/v1/secret/data/crypto-pipeline/okx", "/v1/secret/metadata/crypto-pipeline/okx"), asked)
    paths |= {"/v1/sys/internal/ui/mounts/secret": probe, "/v1/auth/token/lookup-self": 200}
    with (
        odd_server(paths, b'{"errors": [], "data": null}') as server,
        pytest.raises(SecretDeniedError if asked == 403 else SecretNotFoundError),
    ):
        ask(source_at(server.address), "okx")

    assert {path for path, _ in server.requests} <= paths.keys()


@pytest.mark.parametrize("probe", [200, 429, 500, 503])
def test_a_server_that_is_not_well_when_it_is_asked_for_the_mount_does_not_say_that_there_is_no_secret(
    probe: int,
) -> None:
    """Its "not found" may be that of the wrong engine."""
    paths = {"/v1/secret/data/crypto-pipeline/okx": 404, "/v1/sys/internal/ui/mounts/secret": probe}
    with odd_server(paths, b'{"errors": []}') as server, pytest.raises(SecretStoreUnavailableError):
        source_at(server.address).read("okx")


def test_a_namespace_is_used_and_a_wrong_one_is_named(vault: Vault, mount: str) -> None:
    """The same path in another namespace is another secret."""
    vault.root.adapter.post(f"/v1/sys/namespaces/{mount}")
    inside = hvac.Client(vault.address, token=vault.root.token, namespace=mount)
    inside.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    parts = new_parts("okx")
    inside.secrets.kv.v2.create_or_update_secret(path="crypto-pipeline/okx", secret=parts)
    inside.adapter.close()
    root = TokenAuth(Secret(vault.root.token))

    found = VaultSource(vault.address, auth=root, namespace=mount).read("okx")

    assert found["api_key"].reveal() == parts["api_key"]
    with pytest.raises(
        SecretNotFoundError, match=f"'crypto-pipeline/bybit' under mount 'secret' in namespace '{mount}'"
    ):
        VaultSource(vault.address, auth=root, namespace=mount).read("bybit")
    with pytest.raises(ConfigurationError, match="Vault has no namespace 'nobodys'"):
        VaultSource(vault.address, auth=root, namespace="nobodys").read("okx")


def test_the_message_of_a_missing_secret_is_the_whole_story(vault_token: VaultStore) -> None:
    """What is missing, where, and what to do."""
    path = vault_token.source.name_of("okx")

    with pytest.raises(SecretNotFoundError) as caught:
        vault_token.source.read("okx")

    assert str(caught.value) == (
        f"Vault has no secret '{path}' under mount 'secret'. Create it, or correct mount and prefix."
    )


@pytest.mark.parametrize(
    "path", ["", "a//b", "../sys/seal", "a/../../sys", "a/./b", "/a", "a/"], ids=lambda path: path or "empty"
)
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    """The token may be allowed more than reading secrets; nothing is sent."""
    with pytest.raises(ConfigurationError, match="A path in Vault"):
        source_at(f"http://127.0.0.1:{free_port()}").fetch(path)


@pytest.mark.parametrize("more", [{"mount": ""}, {"mount": "a/../sys"}, {"namespace": "a b"}, {"namespace": "a\nb"}])
def test_a_mount_or_namespace_that_is_none_is_refused(more: dict[str, str]) -> None:
    """When the source is made."""
    with pytest.raises(ConfigurationError):
        source_at("https://vault.example.org", **more)


def test_a_path_with_odd_letters_is_one_path(vault: Vault) -> None:
    """A question mark must not become a query."""
    path = f"crypto-pipeline-{secrets.token_hex(4)}/what?list=true#ü %2F"
    vault.put(path, {"note": "planted-note-31c0"})
    source = VaultSource(vault.address, auth=TokenAuth(Secret(vault.root.token)))

    assert source.fetch(path).fields == {"note": Secret("planted-note-31c0")}


@pytest.mark.parametrize(
    "body",
    [
        b"<html>login please</html>",
        b"[]",
        b"{}",
        b'{"data": null}',
        b'{"data": {"data": {}, "metadata": {"version": 1}}}',
        b'{"data": {"data": {}, "metadata": {"version": 1, "created_time": "yesterday"}}}',
        b'{"data": {"current_version": 1, "versions": ["1"]}}',
        b'{"data": {"current_version": 1, "versions": {"1": {"created_time": "2026-01-01T00:00:00Z"}}}}',
        b'{"data": {"current_version": 1, "versions": {"1": {"created_time": 7}}}}',
    ],
    ids=lambda body: body.decode()[:60],
)
@each_verb
def test_an_answer_that_is_not_vaults_is_an_outage(ask: Callable[[SecretSource, str], object], body: bytes) -> None:
    """Something else answers there; it must not look like a missing secret."""
    with odd_server(200, body) as server, pytest.raises(SecretStoreUnavailableError, match="is not Vault"):
        ask(source_at(server.address), "okx")


@each_verb
@pytest.mark.parametrize("body", [b"<html>no such page</html>", b"", b'{"detail": "Not Found"}'])
def test_any_other_servers_not_found_is_an_outage(ask: Callable[[SecretSource, str], object], body: bytes) -> None:
    """A wrong address must not look like a missing secret."""
    with odd_server(404, body) as server, pytest.raises(SecretStoreUnavailableError, match="is not Vault"):
        ask(source_at(server.address), "okx")


def test_a_secret_that_holds_no_object_is_malformed() -> None:
    """No server of today stores one."""
    body = b'{"data": {"data": "text", "metadata": {"version": 1, "created_time": "2026-01-01T00:00:00Z"}}}'
    says = "Vault secret 'crypto-pipeline/okx' is not a JSON object"
    with odd_server(200, body) as server, pytest.raises(MalformedSecretError, match=says):
        source_at(server.address).read("okx")


def test_a_source_that_is_opened_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither with a token nor as a role: Dagster opens sources that are never used."""
    for name in ("VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID"):
        monkeypatch.setenv(name, "planted-login-31c0")
    with odd_server(200) as server:
        open_vault(server.address, auth="token")
        open_vault(server.address, auth="approle").name_of("okx")

        assert server.requests == []


@pytest.mark.parametrize("auth", ["token", "approle"])
def test_it_opens_with_the_login_of_the_environment(
    vault: Vault, vault_token: VaultStore, auth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line break after a token, as files of tokens have one, does not count."""
    parts = new_parts("okx")
    vault_token.put("okx", parts)
    policy = vault_token.policy("data")
    role_id, secret_id = vault.app_role(policy)
    variables = {"VAULT_TOKEN": vault.token(policy), "VAULT_ROLE_ID": role_id, "VAULT_SECRET_ID": secret_id}
    wanted = {"token": ("VAULT_TOKEN",), "approle": ("VAULT_ROLE_ID", "VAULT_SECRET_ID")}[auth]
    for name in wanted:
        monkeypatch.setenv(name, f"{variables[name]}\n")

    source = open_vault(
        vault.address, prefix=f"/{vault_token.prefix}/", auth="approle" if auth == "approle" else "token"
    )

    assert source.read("okx")["api_secret"].reveal() == parts["api_secret"]
