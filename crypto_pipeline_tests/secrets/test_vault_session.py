"""A session with Vault: login, sending, and what a refusal means."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from crypto_pipeline.errors import (
    ConfigurationError,
    CryptoPipelineError,
    EgressDeniedError,
    SecretDeniedError,
    SecretStoreSealedError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import AppRoleAuth, SecretSource, TokenAuth, VaultSource
from crypto_pipeline_tests.secrets.stores import VaultStore, new_parts
from crypto_pipeline_tests.support.asked import Asked
from crypto_pipeline_tests.support.hiding import assert_hides
from crypto_pipeline_tests.support.odd_server import odd_server
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.sealable import Sealable, running_sealable
from crypto_pipeline_tests.support.vault import NO_RIGHTS, Vault, ca_file, running_vault

TOKEN = "hvs.planted-token-0d1f"
VERBS: tuple[Callable[[SecretSource, str], object], ...] = (
    lambda source, issuer: source.describe(issuer),
    lambda source, issuer: source.read(issuer),
)
each_verb = pytest.mark.parametrize("ask", VERBS, ids=["describe", "read"])


def with_token(address: str, token: str = TOKEN, **more: Any) -> VaultSource:
    """Return a source with this token."""
    return VaultSource(address, auth=TokenAuth(Secret(token)), **more)


def as_role(vault: Vault, store: VaultStore, **options: Any) -> VaultSource:
    """Return a source of a new role that may read what is in the store."""
    role_id, secret_id = vault.app_role(store.policy("data", "metadata"), **options)
    return VaultSource(vault.address, auth=AppRoleAuth(Secret(role_id), Secret(secret_id)), prefix=store.prefix)


def end_all_logins(vault: Vault) -> None:
    """Revoke every token that a role has logged in with."""
    vault.root.adapter.put("/v1/sys/leases/revoke-prefix/auth/approle/login")


def test_a_sealed_server_says_so() -> None:
    """It is up, and heals when somebody unseals it."""
    with running_vault() as vault:
        token = vault.token('path "secret/*" { capabilities = ["read"] }')
        role_id, secret_id = vault.app_role(NO_RIGHTS)
        vault.root.sys.seal()
        role = VaultSource(vault.address, auth=AppRoleAuth(Secret(role_id), Secret(secret_id)))

        for source in (with_token(vault.address, token), role):
            for ask in VERBS:
                with pytest.raises(SecretStoreSealedError, match=r"is sealed\. Unseal it") as caught:
                    ask(source, "okx")
                assert caught.value.retryable
                assert_hides(caught.value, {"token": token, "secret id": secret_id})


def test_a_server_that_limits_requests_says_so(vault: Vault) -> None:
    """A quota on a mount of its own."""
    mount = f"mount-{secrets.token_hex(4)}"
    vault.root.sys.enable_secrets_engine("kv", path=mount, options={"version": "2"})
    vault.put("crypto-pipeline/okx", new_parts("okx"), mount=mount)
    vault.root.adapter.post(
        f"/v1/sys/quotas/rate-limit/{mount}", json={"path": f"{mount}/", "rate": 1, "interval": "1h"}
    )
    source = with_token(vault.address, vault.root.token, mount=mount)
    source.read("okx")

    with pytest.raises(SecretStoreUnavailableError, match="limiting requests") as caught:
        source.read("okx")

    assert caught.value.retryable


CASES: tuple[tuple[int, bytes, type[CryptoPipelineError], str], ...] = (
    (500, b'{"errors": ["planted-detail"]}', SecretStoreUnavailableError, "failed on its side (HTTP 500)"),
    (502, b"<html>planted-detail</html>", SecretStoreUnavailableError, "failed on its side (HTTP 502)"),
    (503, b"<html>planted-detail</html>", SecretStoreUnavailableError, "failed on its side (HTTP 503)"),
    (503, b'{"errors": ["Vault is sealed"]}', SecretStoreSealedError, "is sealed"),
    (503, b'{"errors": "sealed"}', SecretStoreUnavailableError, "failed on its side (HTTP 503)"),
    (501, b'{"errors": ["planted-detail"]}', SecretStoreUnavailableError, "failed on its side (HTTP 501)"),
    (412, b'{"errors": ["planted-detail"]}', SecretStoreUnavailableError, "failed on its side (HTTP 412)"),
    (473, b"", SecretStoreUnavailableError, "failed on its side (HTTP 473)"),
    (429, b'{"errors": ["planted-detail"]}', SecretStoreUnavailableError, "limiting requests"),
    (400, b'{"errors": ["planted-detail"]}', ConfigurationError, "refused the request for 'secret/"),
    (405, b"", ConfigurationError, "refused the request for 'secret/"),
    (403, b"", SecretDeniedError, "denied 'secret/"),
)


@each_verb
@pytest.mark.parametrize(("status", "body", "kind", "says"), CASES)
def test_each_status_has_its_kind_and_its_remedy(
    status: int,
    body: bytes,
    kind: type[CryptoPipelineError],
    says: str,
    ask: Callable[[SecretSource, str], object],
) -> None:
    """What the server adds in words is left behind."""
    with odd_server(status, body) as server, pytest.raises(kind) as caught:
        ask(with_token(server.address), "okx")

    assert type(caught.value) is kind
    assert says in str(caught.value)
    assert_hides(caught.value, {"detail": "planted-detail", "token": TOKEN})


def test_a_redirect_is_not_followed() -> None:
    """The token would go along."""
    with odd_server(200) as elsewhere, odd_server(307, headers={"Location": elsewhere.address}) as server:
        with pytest.raises(SecretStoreUnavailableError, match="redirect; none is followed"):
            with_token(server.address).read("okx")

        assert elsewhere.requests == []


@each_verb
def test_an_answer_that_is_cut_is_an_outage(ask: Callable[[SecretSource, str], object]) -> None:
    """And the error keeps nothing of the request, which held the token."""
    says = "or cut its answer"
    with (
        odd_server(200, b'{"data": ', length=5000) as server,
        pytest.raises(SecretStoreUnavailableError, match=says) as caught,
    ):
        ask(with_token(server.address), "okx")

    assert_hides(caught.value, {"token": TOKEN})


def test_a_server_that_is_down_keeps_no_token_in_the_error() -> None:
    """The library's own error holds the request."""
    with pytest.raises(SecretStoreUnavailableError, match="cannot be reached") as caught:
        with_token(f"http://127.0.0.1:{free_port()}").read("okx")

    assert caught.value.__context__ is None
    assert_hides(caught.value, {"token": TOKEN})


def test_a_certificate_is_verified(tmp_path: Path) -> None:
    """With the authority that signed it, and with no other; nothing is sent before."""
    with running_vault(certificates=tmp_path) as vault:
        parts = new_parts("okx")
        vault.put("crypto-pipeline/okx", parts)

        found = with_token(vault.address, vault.root.token, ca_file=str(ca_file(tmp_path))).read("okx")

        assert found["api_key"].reveal() == parts["api_key"]
        with pytest.raises(EgressDeniedError, match="VAULT_CACERT") as caught:
            with_token(vault.address, vault.root.token).read("okx")
        assert not caught.value.retryable
        assert_hides(caught.value, {"token": vault.root.token})


def test_a_server_without_tls_is_not_spoken_to_over_tls(vault: Vault) -> None:
    """The other way round than above: no certificate at all."""
    with pytest.raises(SecretStoreUnavailableError, match="cannot be reached"):
        with_token(vault.address.replace("http:", "https:")).read("okx")


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "no certificate"])
def test_a_file_of_an_authority_must_hold_one(tmp_path: Path, content: str | None) -> None:
    """Told when the source is made, and not by a library in the middle of a run."""
    file = tmp_path / "authority.pem"
    if content:
        file.write_text(content)

    with pytest.raises(
        ConfigurationError, match=r"authority, .*authority\.pem, cannot be used \(.+\)\. Set VAULT_CACERT"
    ):
        with_token("https://vault.example.org", ca_file=str(file))


def test_an_address_in_the_clear_is_refused() -> None:
    """The token would be read on the way."""
    with pytest.raises(ConfigurationError, match="The address of Vault must be an https address"):
        with_token("http://vault.example.org:8200")


def test_nothing_that_the_environment_names_for_other_programs_is_used(
    vault_token: VaultStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither a proxy, which would see the token, nor passwords of `.netrc`."""
    parts = new_parts("okx")
    vault_token.put("okx", parts)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    netrc = tmp_path / ".netrc"
    netrc.touch(mode=0o600)
    netrc.write_text("machine 127.0.0.1 login somebody password planted-netrc\n")

    assert vault_token.source.read("okx")["api_key"].reveal() == parts["api_key"]
    with odd_server(404) as server, pytest.raises(CryptoPipelineError):
        with_token(server.address).read("okx")
    assert not [headers for _, headers in server.requests if "Authorization" in headers]


def test_a_token_in_the_home_is_not_used(tmp_path: Path) -> None:
    """The login is the one that is configured; a role logs in without any token."""
    (tmp_path / ".vault-token").write_text("planted-home-token")
    auth = AppRoleAuth(Secret("planted-role-2e7a"), Secret("planted-secret-id-90bd"))
    with odd_server(500) as server, pytest.raises(SecretStoreUnavailableError):
        VaultSource(server.address, auth=auth).read("okx")

    assert [path for path, _ in server.requests] == ["/v1/auth/approle/login"]
    assert "X-Vault-Token" not in server.requests[0][1]


def test_a_server_that_does_not_answer_is_an_outage() -> None:
    """It took the connection, and hung up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def take_and_hang_up() -> None:
            listening.accept()[0].close()

        hang_up = threading.Thread(target=take_and_hang_up)
        hang_up.start()

        with pytest.raises(SecretStoreUnavailableError, match="or cut its answer"):
            with_token(f"http://127.0.0.1:{listening.getsockname()[1]}").read("okx")

        hang_up.join()


def test_a_token_that_has_ended_is_told_from_a_policy_that_denies(vault: Vault, vault_token: VaultStore) -> None:
    """The server says "permission denied" to both."""
    token = vault.token(vault_token.policy("metadata"))
    source = with_token(vault.address, token, prefix=vault_token.prefix)
    with pytest.raises(SecretDeniedError) as by_policy:
        source.read("okx")
    vault.root.auth.token.revoke(token)

    with pytest.raises(SecretDeniedError) as by_end:
        source.read("okx")

    path = f"secret/data/{vault_token.prefix}/okx"
    assert str(by_policy.value) == f"Vault denied '{path}'. The policy of this login must allow read on it."
    assert f"denied '{path}': VAULT_TOKEN is wrong, expired or revoked" in str(by_end.value)
    assert_hides(by_end.value, {"token": token})


def test_an_outage_in_the_middle_is_not_taken_for_a_denial() -> None:
    """The server refused, and failed when it was asked why."""
    paths = {"/v1/secret/data/crypto-pipeline/okx": 403, "/v1/auth/token/lookup-self": 502}
    with odd_server(paths) as server, pytest.raises(SecretStoreUnavailableError, match="failed on its side"):
        with_token(server.address).read("okx")


class TestARole:
    """Logging in as a role."""

    def test_it_logs_in_once_for_many_reads(self, vault: Vault, vault_token: VaultStore) -> None:
        """Its secret id is good for one login."""
        vault_token.put("okx", new_parts("okx"))
        source = as_role(vault, vault_token, logins=1)

        assert source.read("okx").description == source.describe("okx") == source.read("okx").description

    def test_it_logs_in_again_when_the_login_has_ended(self, vault: Vault, vault_token: VaultStore) -> None:
        """A long run outlives its token."""
        vault_token.put("okx", new_parts("okx"))
        source = as_role(vault, vault_token)
        before = source.read("okx")
        end_all_logins(vault)

        assert source.read("okx") == before
        end_all_logins(vault)
        assert source.describe("okx") == before.description

    def test_it_is_told_when_it_cannot_log_in_again(self, vault: Vault, vault_token: VaultStore) -> None:
        """The secret id was good for one login, and that one has ended."""
        vault_token.put("okx", new_parts("okx"))
        source = as_role(vault, vault_token, logins=1)
        source.read("okx")
        end_all_logins(vault)

        with pytest.raises(SecretDeniedError, match=r"denied the login at 'auth/approle'.*issue a new VAULT_SECRET_ID"):
            source.read("okx")

    def test_a_denial_costs_no_login(self, vault: Vault, vault_token: VaultStore) -> None:
        """A policy that denies must not use up the secret id."""
        vault_token.put("okx", new_parts("okx"))
        source = as_role(vault, vault_token, logins=1)
        with pytest.raises(SecretDeniedError, match="must allow read"):
            source.fetch("somewhere/else")

        assert source.read("okx").issuer == "okx"

    def test_many_threads_log_in_again_once(self, vault: Vault, vault_token: VaultStore) -> None:
        """Each of them is refused, and one login is left for all."""
        vault_token.put("okx", new_parts("okx"))
        source = as_role(vault, vault_token, logins=2)
        before = source.read("okx")
        end_all_logins(vault)
        together = threading.Barrier(6)

        def read() -> object:
            together.wait()
            return source.read("okx")

        with ThreadPoolExecutor(6) as pool:
            found = [running.result() for running in [pool.submit(read) for _ in range(6)]]

        assert found == [before] * 6

    @pytest.mark.parametrize("wrong", ["role", "secret id"])
    def test_a_wrong_login_is_denied(self, vault: Vault, vault_token: VaultStore, wrong: str) -> None:
        """The server does not say which of the two it was."""
        role_id, secret_id = vault.app_role(vault_token.policy("data"))
        auth = AppRoleAuth(
            Secret("planted-no-role-1f" if wrong == "role" else role_id),
            Secret("planted-no-secret-id-1f" if wrong == "secret id" else secret_id),
        )

        with pytest.raises(SecretDeniedError, match="Check VAULT_ROLE_ID") as caught:
            VaultSource(vault.address, auth=auth).read("okx")

        assert_hides(caught.value, {"role id": role_id, "secret id": secret_id})

    def test_a_login_that_is_refused_is_sent_once(self) -> None:
        """Servers lock out who tries again and again, and nothing more can be found out without a login."""
        auth = AppRoleAuth(Secret("planted-role-2e7a"), Secret("planted-secret-id-90bd"))
        with odd_server(403) as server, pytest.raises(SecretDeniedError, match="denied the login"):
            VaultSource(server.address, auth=auth).read("okx")

        assert [path for path, _ in server.requests] == ["/v1/auth/approle/login"]

    def test_a_server_without_roles_denies_the_login(self, vault: Vault) -> None:
        """In a namespace where nobody set them up."""
        namespace = f"space-{secrets.token_hex(4)}"
        vault.root.adapter.post(f"/v1/sys/namespaces/{namespace}")
        auth = AppRoleAuth(Secret("planted-role-2e7a"), Secret("planted-secret-id-90bd"))

        with pytest.raises(SecretDeniedError, match="or the server has no AppRole login"):
            VaultSource(vault.address, auth=auth, namespace=namespace).read("okx")

    @pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"auth": null}', b'{"auth": {"client_token": 7}}'])
    def test_an_answer_without_a_token_is_an_outage(self, body: bytes) -> None:
        """Something else answers there."""
        auth = AppRoleAuth(Secret("planted-role-2e7a"), Secret("planted-secret-id-90bd"))
        with odd_server(200, body) as server, pytest.raises(SecretStoreUnavailableError, match="is not Vault"):
            VaultSource(server.address, auth=auth).read("okx")


class Ahead:
    """A clock that can be put forward; the server's own stays as it is."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Return the seconds."""
        return time.monotonic() + self.seconds


@pytest.fixture(scope="module")
def sealable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealable]:
    """A server that records what it is asked; one for all tests of this module."""
    with running_sealable(tmp_path_factory.mktemp("sealable")) as running:
        yield running


class TestTheLease:
    """A login is renewed in time, and made anew when there is no more time to be had."""

    @pytest.fixture
    def store(self, sealable: Sealable) -> VaultStore:
        """A store of the server that records, with a secret in it."""
        store = VaultStore(sealable.vault)
        store.put("okx", new_parts("okx"))
        return store

    @staticmethod
    def role(sealable: Sealable, store: VaultStore, clock: Ahead, **options: Any) -> VaultSource:
        """Return a source of a new role, whose clock can be put forward."""
        role_id, secret_id = sealable.vault.app_role(store.policy("data", "metadata"), **options)
        auth = AppRoleAuth(Secret(role_id), Secret(secret_id))
        return VaultSource(sealable.vault.address, auth=auth, prefix=store.prefix, seconds=clock)

    @staticmethod
    def token(sealable: Sealable, store: VaultStore, clock: Ahead, **options: Any) -> VaultSource:
        """Return a source with a new token, whose clock can be put forward."""
        token = sealable.vault.token(store.policy("data", "metadata"), **options)
        return VaultSource(sealable.vault.address, auth=TokenAuth(Secret(token)), prefix=store.prefix, seconds=clock)

    def test_a_role_is_renewed_after_two_thirds_of_it(self, sealable: Sealable, store: VaultStore) -> None:
        """By the request that comes then, and not before."""
        clock, read = Ahead(), f"secret/data/{store.prefix}/okx"
        source, asked = self.role(sealable, store, clock), Asked(sealable.audit)
        source.read("okx")
        clock.seconds += 2000
        source.read("okx")

        clock.seconds += 400
        source.read("okx")
        clock.seconds += 1900
        source.read("okx")

        logged_in, *then = asked.paths()
        assert logged_in == "auth/approle/login"
        assert then == [read, read, "auth/token/renew-self", read, read]

    def test_a_token_is_asked_for_its_lease_before_its_second_request(
        self, sealable: Sealable, store: VaultStore
    ) -> None:
        """Whoever reads once asks once; whoever stays renews."""
        clock, read = Ahead(), f"secret/data/{store.prefix}/okx"
        source, asked = self.token(sealable, store, clock), Asked(sealable.audit)
        source.read("okx")
        once = asked.paths()

        source.read("okx")
        source.read("okx")
        clock.seconds += 2400
        source.read("okx")

        assert once == [read]
        assert asked.paths()[1:] == ["auth/token/lookup-self", read, read, "auth/token/renew-self", read]

    def test_a_token_that_cannot_be_renewed_is_used_to_its_end(self, sealable: Sealable, store: VaultStore) -> None:
        """Nobody here can replace it."""
        clock = Ahead()
        source, asked = self.token(sealable, store, clock, renewable=False), Asked(sealable.audit)
        source.read("okx")

        clock.seconds += 2400
        source.read("okx")
        clock.seconds += 2400
        source.read("okx")

        assert "auth/token/renew-self" not in asked.paths()
        assert asked.paths().count("auth/token/lookup-self") == 1

    def test_a_token_that_may_not_ask_for_its_lease_is_used_as_it_is(
        self, sealable: Sealable, store: VaultStore
    ) -> None:
        """It has no default policy; the answer is not waited for again."""
        source = self.token(sealable, store, Ahead(), no_default_policy=True)
        asked = Asked(sealable.audit)

        for _ in range(3):
            source.read("okx")

        assert asked.paths().count("auth/token/lookup-self") == 1

    def test_a_role_that_may_not_renew_logs_in_again(self, sealable: Sealable, store: VaultStore) -> None:
        """It has no default policy."""
        clock = Ahead()
        source = self.role(sealable, store, clock, token_no_default_policy=True)
        asked = Asked(sealable.audit)
        source.read("okx")

        clock.seconds += 2400
        source.read("okx")

        assert asked.paths().count("auth/approle/login") == 2

    def test_a_login_that_is_over_is_not_renewed(self, sealable: Sealable, store: VaultStore) -> None:
        """That would be refused, and so would be the request after it."""
        clock, read = Ahead(), f"secret/data/{store.prefix}/okx"
        source, asked = self.role(sealable, store, clock), Asked(sealable.audit)
        source.read("okx")

        clock.seconds += 3700
        source.read("okx")

        assert asked.paths() == ["auth/approle/login", read, "auth/approle/login", read]

    def test_as_long_as_the_login_is_good_nothing_fails(self, sealable: Sealable, store: VaultStore) -> None:
        """It may not be renewed, and its secret id was good for one login; then it ends, and that is told."""
        clock = Ahead()
        source = self.role(sealable, store, clock, token_no_default_policy=True, logins=1)
        source.read("okx")

        clock.seconds += 2400
        source.read("okx")
        clock.seconds += 600
        source.read("okx")
        clock.seconds += 700

        with pytest.raises(SecretDeniedError, match="denied the login at 'auth/approle'"):
            source.read("okx")

    @pytest.mark.parametrize("status", [0, 429, 500], ids=["hangs up", "limits requests", "fails"])
    def test_a_renewal_that_could_not_be_sent_is_tried_again(self, status: int) -> None:
        """And the request it was to come before goes out all the same."""
        clock, renew = Ahead(), "/v1/auth/token/renew-self"
        paths = {"/v1/auth/approle/login": 200, "/v1/secret/data/crypto-pipeline/okx": 200, renew: status}
        body = {
            "auth": {"client_token": TOKEN, "lease_duration": 300, "renewable": True},
            "data": {
                "data": new_parts("okx"),
                "metadata": {"version": 1, "created_time": "2026-01-01T00:00:00Z"},
            },
        }
        auth = AppRoleAuth(Secret("planted-role-2e7a"), Secret("planted-secret-id-90bd"))
        with odd_server(paths, json.dumps(body).encode()) as server:
            source = VaultSource(server.address, auth=auth, seconds=clock)
            source.read("okx")
            clock.seconds += 201
            source.read("okx")
            source.read("okx")
            clock.seconds += 35

            source.read("okx")

        assert [path for path, _ in server.requests].count(renew) == 2

    def test_a_token_whose_lease_could_not_be_asked_for_is_used_as_it_is(self) -> None:
        """The server is not well; the request itself tells."""
        paths = {"/v1/secret/data/crypto-pipeline/okx": 200, "/v1/auth/token/lookup-self": 0}
        body = b'{"data": {"data": {}, "metadata": {"version": 1, "created_time": "2026-01-01T00:00:00Z"}}}'
        with odd_server(paths, body) as server:
            source = with_token(server.address)

            found = [source.fetch("crypto-pipeline/okx").version for _ in range(3)]

        assert found == ["1", "1", "1"]

    def test_a_login_that_is_made_anew_does_not_take_the_old_one_from_others(
        self, sealable: Sealable, store: VaultStore
    ) -> None:
        """Threads go on while one of them logs in: the server refuses none."""
        clock = Ahead()
        source = self.role(sealable, store, clock, token_no_default_policy=True)
        source.read("okx")
        asked = Asked(sealable.audit)
        stop = threading.Event()

        def read() -> int:
            count = 0
            while not stop.is_set():
                source.read("okx")
                count += 1
            return count

        with ThreadPoolExecutor(3) as pool:
            running = [pool.submit(read) for _ in range(3)]
            for _ in range(5):
                clock.seconds += 3000
                source.read("okx")
            stop.set()
            counts = [each.result() for each in running]

        assert min(counts) > 0
        assert asked.paths().count("auth/approle/login") == 5
        refused = [path for path in asked.paths() if path == "auth/token/lookup-self"]
        assert refused == []

    def test_a_run_that_outlives_its_logins_fails_nowhere(self, sealable: Sealable, store: VaultStore) -> None:
        """Two seconds a lease, five seconds a login, in real time: renewed, made anew, and never refused."""
        source = self.role(sealable, store, Ahead(), ttl="2s", max_ttl="5s")
        asked, read = Asked(sealable.audit), 0
        ends = time.monotonic() + 6.5

        while time.monotonic() < ends:
            read += source.read("okx").issuer == "okx"
            time.sleep(0.05)  # a run asks now and then

        assert read > 50
        # A busy machine may wake up too late for a renewal: then the server says so, and a new login follows.
        assert [error for error in asked.errors() if "past the max TTL" not in error] == []
        assert asked.paths().count("auth/approle/login") >= 2
        assert asked.paths().count("auth/token/renew-self") >= 3


@pytest.mark.parametrize(
    ("auth", "variables", "says"),
    [
        (TokenAuth, {}, "VAULT_TOKEN is not set"),
        (TokenAuth, {"VAULT_TOKEN": " \n"}, "VAULT_TOKEN is not set"),
        (TokenAuth, {"VAULT_TOKEN": "hvs.planted\nX-Other: planted"}, "VAULT_TOKEN holds characters"),
        (TokenAuth, {"VAULT_TOKEN": "hvs.plantedü"}, "VAULT_TOKEN holds characters"),
        (AppRoleAuth, {}, "VAULT_ROLE_ID is not set"),
        (AppRoleAuth, {"VAULT_ROLE_ID": "planted"}, "VAULT_SECRET_ID is not set"),
        (AppRoleAuth, {"VAULT_SECRET_ID": "planted"}, "VAULT_ROLE_ID is not set"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_login_that_is_not_in_the_environment_is_a_setting_to_correct(
    auth: type[TokenAuth] | type[AppRoleAuth],
    variables: dict[str, str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is named and not shown; a line break in a token would end up in an error of the HTTP library."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=says) as caught:
        auth.from_environment()

    assert_hides(caught.value, {"login": "planted"})


def test_a_login_does_not_show_when_printed() -> None:
    """Nor in the session that holds it."""
    role = AppRoleAuth(Secret("planted-role-id"), Secret("planted-secret-id"))

    assert "planted" not in f"{role} {TokenAuth(Secret(TOKEN))!r}"
    assert "planted" not in repr(vars(with_token("https://vault.example.org")._session))
