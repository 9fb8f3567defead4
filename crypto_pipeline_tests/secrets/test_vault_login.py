"""The ways of logging in to Vault, and how long a login lasts."""

from __future__ import annotations

import json
import secrets
from math import inf
from pathlib import Path
from typing import Any

import pytest

from crypto_pipeline.errors import ConfigurationError, SecretDeniedError, SecretStoreUnavailableError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import VaultSource
from crypto_pipeline.secrets.vault_login import (
    FOREVER,
    KUBERNETES_TOKEN_FILE,
    AppRoleAuth,
    CertificateAuth,
    JwtAuth,
    Lease,
    TokenAuth,
    VaultAuth,
    auth_of,
)
from crypto_pipeline.secrets.vault_session import RUN_HEADER
from crypto_pipeline_tests.secrets.stores import VaultStore, new_parts
from crypto_pipeline_tests.support.asked import Asked
from crypto_pipeline_tests.support.hiding import assert_hides
from crypto_pipeline_tests.support.identities import Issuer, client_certificate
from crypto_pipeline_tests.support.odd_server import odd_server
from crypto_pipeline_tests.support.sealable import running_sealable
from crypto_pipeline_tests.support.vault import Vault, ca_file, running_vault

LEASES: dict[str, tuple[dict[str, Any], dict[str, Any], Lease | None]] = {
    "a login is renewed after two thirds": (
        {"lease_duration": 300, "renewable": True, "num_uses": 0},
        {},
        Lease(full_seconds=300, ends_at=1300, act_at=1200, is_renewable=True),
    ),
    "and up to a tenth earlier": (
        {"lease_duration": 300, "renewable": True},
        {"chance": 1.0},
        Lease(full_seconds=300, ends_at=1300, act_at=1170, is_renewable=True),
    ),
    "one that cannot be renewed is made anew then": (
        {"lease_duration": 300, "renewable": False},
        {},
        Lease(full_seconds=300, ends_at=1300, act_at=1200, is_renewable=False),
    ),
    "one with a number of uses keeps them": (
        {"lease_duration": 300, "renewable": True, "num_uses": 5},
        {},
        Lease(full_seconds=300, ends_at=1300, act_at=1200, is_renewable=False),
    ),
    "a renewal that gave all it should is not the last": (
        {"lease_duration": 300, "renewable": True},
        {"full_seconds": 300},
        Lease(full_seconds=300, ends_at=1300, act_at=1200, is_renewable=True),
    ),
    "one that was cut short was the last": (
        {"lease_duration": 150, "renewable": True},
        {"full_seconds": 300},
        Lease(full_seconds=300, ends_at=1150, act_at=1100, is_renewable=False),
    ),
    "a token that is in the middle of its life is renewed in time": (
        {"ttl": 200, "creation_ttl": 300, "renewable": True},
        {},
        Lease(full_seconds=300, ends_at=1200, act_at=1100, is_renewable=True),
    ),
    "one that is near its end at once": (
        {"ttl": 50, "creation_ttl": 300, "renewable": True},
        {},
        Lease(full_seconds=300, ends_at=1050, act_at=950, is_renewable=True),
    ),
    "a root token never ends": ({"ttl": 0, "creation_ttl": 0}, {}, FOREVER),
    "nothing is told": ({}, {}, None),
    "nonsense is told": ({"lease_duration": "soon"}, {}, None),
    "more nonsense is told": ({"ttl": 200, "creation_ttl": "long"}, {}, None),
}


@pytest.mark.parametrize("case", LEASES)
def test_a_lease_is_acted_on_in_time(case: str) -> None:
    told, more, expected = LEASES[case]

    found = Lease.granted(told, **({"now": 1000.0, "chance": 0.0} | more))

    assert found == expected


@pytest.mark.parametrize(("now", "act_at"), [(1200, 1233.33), (1298.5, 1299.5), (1299.5, 1300)])
def test_what_could_not_be_done_is_tried_more_often_towards_the_end(now: float, act_at: float) -> None:
    """And not all the time."""
    lease = Lease(full_seconds=300, ends_at=1300, act_at=1200, is_renewable=True)

    assert lease.postponed(now).act_at == pytest.approx(act_at, abs=0.01)
    assert FOREVER.act_at == inf


class TestTheWayIsChosenByItsName:
    """With what the environment and the settings hold for it."""

    @pytest.fixture(autouse=True)
    def _logins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID"):
            monkeypatch.setenv(name, f"planted-{name}")

    def test_token(self) -> None:
        assert auth_of("token") == TokenAuth(Secret("planted-VAULT_TOKEN"))

    def test_approle(self) -> None:
        expected = AppRoleAuth(Secret("planted-VAULT_ROLE_ID"), Secret("planted-VAULT_SECRET_ID"), mount="team/approle")

        assert auth_of("approle", mount="team/approle") == expected

    def test_approle_with_a_wrapped_secret_id(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It counts only where there is no other."""
        monkeypatch.setenv("VAULT_WRAPPED_SECRET_ID", "planted-wrapping")
        plain = auth_of("approle")
        monkeypatch.delenv("VAULT_SECRET_ID")

        assert isinstance(plain, AppRoleAuth)
        assert not plain.is_wrapped
        assert auth_of("approle") == AppRoleAuth(
            Secret("planted-VAULT_ROLE_ID"), Secret("planted-wrapping"), is_wrapped=True
        )

    def test_jwt(self) -> None:
        assert auth_of("jwt", role="reader", jwt_file="token") == JwtAuth("reader", Path("token"), "jwt")

    def test_kubernetes(self) -> None:
        """The token of the pod, unless another one is named."""
        assert auth_of("kubernetes", role="reader") == JwtAuth("reader", KUBERNETES_TOKEN_FILE, "kubernetes")
        assert auth_of("kubernetes", role="reader", jwt_file="t", mount="k8s") == JwtAuth("reader", Path("t"), "k8s")

    def test_a_certificate(self) -> None:
        assert auth_of("cert") == CertificateAuth()
        assert auth_of("cert", role="reader").fields() == {"name": "reader"}  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ({"name": "jwt", "role": "reader"}, "CRYPTO_PIPELINE_VAULT_JWT_FILE"),
            ({"name": "jwt", "jwt_file": "token"}, "CRYPTO_PIPELINE_VAULT_ROLE"),
            ({"name": "kubernetes"}, "CRYPTO_PIPELINE_VAULT_ROLE"),
            ({"name": "cert", "mount": "../sys"}, "CRYPTO_PIPELINE_VAULT_AUTH_MOUNT"),
            ({"name": "approle", "mount": "a b"}, "CRYPTO_PIPELINE_VAULT_AUTH_MOUNT"),
            ({"name": "jwt", "role": "reader", "jwt_file": "token", "mount": "/"}, "CRYPTO_PIPELINE_VAULT_AUTH_MOUNT"),
        ],
        ids=lambda value: str(value)[:60],
    )
    def test_what_is_missing_or_wrong_is_named(self, arguments: dict[str, Any], says: str) -> None:
        with pytest.raises(ConfigurationError, match=says):
            auth_of(**arguments)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"", "it holds no token"),
        (b"planted two lines\nof text", "it holds no token"),
        (b"planted-\xff\xfe", "it is not text"),
    ],
    ids=["missing", "empty", "text", "bytes"],
)
def test_a_file_without_a_token_is_named_and_not_shown(tmp_path: Path, content: bytes | None, says: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigurationError, match=rf"{file} cannot be used .*{says}") as caught:
        JwtAuth("reader", file).fields()

    assert_hides(caught.value, {"token": "planted"})


def test_the_token_in_a_file_is_read_anew_at_each_login(tmp_path: Path) -> None:
    """Kubernetes replaces it before it ends."""
    file = tmp_path / "token"
    auth = JwtAuth("reader", file)
    file.write_text("planted.first.token\n")
    first = auth.fields()
    file.write_text("planted.second.token\n")

    assert (first["jwt"], auth.fields()["jwt"]) == ("planted.first.token", "planted.second.token")


# Logging in, at a real server...


def refuses(auth: VaultAuth, vault: Vault, says: str, **secrets: str) -> None:
    """Check that a login is refused with these words, which hold none of the secrets."""
    with pytest.raises(SecretDeniedError, match=says) as caught:
        VaultSource(vault.address, auth=auth).read("okx")

    assert_hides(caught.value, secrets)


class TestAWrappedSecretId:
    """It travels in a wrapping that can be opened once, so that a thief is noticed."""

    @staticmethod
    def wrapped(vault: Vault, path: str, ttl: str = "5m") -> str:
        """Return the token around what a request gives."""
        answer = vault.root.adapter.post(f"/v1/{path}", wrap_ttl=ttl)
        token: str = answer["wrap_info"]["token"]
        return token

    @pytest.fixture
    def role(self, vault: Vault, vault_token: VaultStore) -> tuple[str, str]:
        """The id of a role, and the path of its secret ids."""
        vault_token.put("okx", new_parts("okx"))
        role_id, _ = vault.app_role(vault_token.policy("data"), ttl="1h")
        names = vault.root.auth.approle.list_roles()["data"]["keys"]
        read = vault.root.auth.approle.read_role_id
        return role_id, next(
            f"auth/approle/role/{each}/secret-id" for each in names if read(each)["data"]["role_id"] == role_id
        )

    def test_it_is_opened_once_and_then_good_for_many_logins(
        self, vault: Vault, vault_token: VaultStore, role: tuple[str, str]
    ) -> None:
        token = self.wrapped(vault, role[1])
        auth = AppRoleAuth(Secret(role[0]), Secret(token), is_wrapped=True)
        source = VaultSource(vault.address, auth=auth, prefix=vault_token.prefix)
        before = source.read("okx")
        vault.root.adapter.put("/v1/sys/leases/revoke-prefix/auth/approle/login")

        assert source.read("okx") == before

    def test_one_that_was_opened_before_is_told(self, vault: Vault, role: tuple[str, str]) -> None:
        """By whom, only people can say."""
        token = self.wrapped(vault, role[1])
        vault.root.sys.unwrap(token)

        auth = AppRoleAuth(Secret(role[0]), Secret(token), is_wrapped=True)
        refuses(auth, vault, "cannot be opened: it was opened before, or has ended", token=token)

    def test_one_around_something_else_is_not_opened(self, vault: Vault, role: tuple[str, str]) -> None:
        """Somebody took the right one and left this."""
        token: str = vault.root.adapter.post("/v1/sys/wrapping/wrap", json={"secret_id": "x"}, wrap_ttl="5m")[
            "wrap_info"
        ]["token"]

        auth = AppRoleAuth(Secret(role[0]), Secret(token), is_wrapped=True)
        refuses(auth, vault, "does not hold the secret id of a role, so it was not opened", token=token)
        assert vault.root.sys.unwrap(token)["data"] == {"secret_id": "x"}

    def test_an_outage_is_told_as_such(self) -> None:
        """Neither question to the server tells that the wrapping is gone."""
        auth = AppRoleAuth(Secret("planted-role"), Secret("planted-wrapping"), is_wrapped=True)
        lookup = json.dumps({"data": {"creation_path": "auth/approle/role/x/secret-id"}}).encode()
        for statuses, body in (
            ({"/v1/sys/wrapping/lookup": 500}, b"{}"),
            ({"/v1/sys/wrapping/lookup": 200, "/v1/sys/wrapping/unwrap": 503}, lookup),
            ({"/v1/sys/wrapping/lookup": 200, "/v1/sys/wrapping/unwrap": 200}, lookup),
        ):
            with odd_server(statuses, body) as server, pytest.raises(SecretStoreUnavailableError):
                VaultSource(server.address, auth=auth).read("okx")


class TestASignedToken:
    """Somebody else says who we are: a CI system, or Kubernetes."""

    @pytest.fixture
    def issuer(self, vault: Vault, vault_token: VaultStore) -> tuple[Issuer, str]:
        """Somebody whom the server trusts, and where it has that login."""
        issuer, mount = Issuer(), f"jwt-{secrets.token_hex(4)}"
        vault_token.put("okx", new_parts("okx"))
        vault.root.sys.enable_auth_method("jwt", path=mount)
        vault.root.adapter.post(
            f"/v1/auth/{mount}/config",
            json={"jwt_validation_pubkeys": [issuer.public_key], "jwt_supported_algs": ["ES256"]},
        )
        vault.root.sys.create_or_update_policy(mount, vault_token.policy("data"))
        role = {
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"],
            "bound_subject": "ci:main", "token_policies": [mount], "token_ttl": "1h",
        }  # fmt: skip
        vault.root.adapter.post(f"/v1/auth/{mount}/role/reader", json=role)
        return issuer, mount

    def test_it_logs_in_again_with_the_token_of_the_day(
        self, vault: Vault, vault_token: VaultStore, issuer: tuple[Issuer, str], tmp_path: Path
    ) -> None:
        """The one it began with has ended."""
        file = tmp_path / "token"
        file.write_text(f"{issuer[0].token('ci:main')}\n")
        auth = JwtAuth("reader", file, issuer[1])
        source = VaultSource(vault.address, auth=auth, prefix=vault_token.prefix)
        before = source.read("okx")
        vault.root.adapter.put(f"/v1/sys/leases/revoke-prefix/auth/{issuer[1]}/login")
        file.write_text(f"{issuer[0].token('ci:main')}\n")

        assert source.read("okx") == before

    @pytest.mark.parametrize(
        "claims", [{"subject": "ci:another-branch"}, {"seconds": -400}, {"aud": "others"}], ids=lambda c: next(iter(c))
    )
    def test_a_token_of_somebody_else_or_of_yesterday_is_refused(
        self, vault: Vault, issuer: tuple[Issuer, str], tmp_path: Path, claims: dict[str, Any]
    ) -> None:
        file = tmp_path / "token"
        wanted: dict[str, Any] = {"subject": "ci:main"} | claims
        token = issuer[0].token(**wanted)
        file.write_text(token)

        says = rf"denied the login at 'auth/{issuer[1]}'. Check that role 'reader' exists there .*{file}"
        refuses(JwtAuth("reader", file, issuer[1]), vault, says, token=token)

    def test_a_pod_logs_in_with_its_own_token(self, vault: Vault, vault_token: VaultStore, tmp_path: Path) -> None:
        """The server asks the cluster whose it is."""
        parts, mount = new_parts("okx"), f"k8s-{secrets.token_hex(4)}"
        vault_token.put("okx", parts)
        pod = "system:serviceaccount:pipelines:crypto-pipeline"
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "status": {
                "authenticated": True,
                "user": {"username": pod, "uid": "7", "groups": []},
                "audiences": ["vault"],
            },
        }
        file = tmp_path / "token"
        claims: dict[str, Any] = {
            "kubernetes.io/serviceaccount/namespace": "pipelines",
            "kubernetes.io/serviceaccount/service-account.name": "crypto-pipeline",
            "kubernetes.io/serviceaccount/service-account.uid": "7",
        }
        file.write_text(Issuer().token(pod, iss="kubernetes/serviceaccount", aud=["vault"], **claims))
        with odd_server(201, json.dumps(review).encode()) as cluster:
            vault.root.sys.enable_auth_method("kubernetes", path=mount)
            vault.root.adapter.post(
                f"/v1/auth/{mount}/config",
                json={
                    "kubernetes_host": cluster.address,
                    "kubernetes_ca_cert": Path(client_certificate(tmp_path, "cluster")[0]).read_text(),
                    "disable_local_ca_jwt": True,
                },
            )
            vault.root.sys.create_or_update_policy(mount, vault_token.policy("data"))
            vault.root.adapter.post(
                f"/v1/auth/{mount}/role/reader",
                json={
                    "bound_service_account_names": "crypto-pipeline",
                    "bound_service_account_namespaces": "pipelines",
                    "token_policies": [mount],
                },
            )
            auth = auth_of("kubernetes", role="reader", jwt_file=file, mount=mount)

            found = VaultSource(vault.address, auth=auth, prefix=vault_token.prefix).read("okx")

        assert found["api_key"].reveal() == parts["api_key"]
        assert [path for path, _ in cluster.requests] == ["/apis/authentication.k8s.io/v1/tokenreviews"]


def test_a_client_certificate_is_shown_and_logs_in(tmp_path: Path) -> None:
    """The connection itself says who we are; without the certificate the server knows nobody."""
    certificates = tmp_path / "server"
    certificates.mkdir()
    certificate = client_certificate(tmp_path, "pipeline")
    with running_vault(certificates=certificates) as vault:
        store, parts = VaultStore(vault), new_parts("okx")
        store.put("okx", parts)
        vault.root.sys.enable_auth_method("cert")
        vault.root.sys.create_or_update_policy("reader", store.policy("data"))
        trusted = {"certificate": Path(certificate[0]).read_text(), "token_policies": ["reader"]}
        vault.root.adapter.post("/v1/auth/cert/certs/pipeline", json=trusted)
        common: Any = {"auth": CertificateAuth("pipeline"), "prefix": store.prefix, "ca_file": ca_file(certificates)}

        found = VaultSource(vault.address, client_certificate=certificate, **common).read("okx")

        assert found["api_key"].reveal() == parts["api_key"]
        with pytest.raises(SecretDeniedError, match=r"denied the login at 'auth/cert'.*VAULT_CLIENT_CERT"):
            VaultSource(vault.address, **common).read("okx")


@pytest.mark.parametrize("broken", ["certificate", "key", "another key"])
def test_a_client_certificate_that_cannot_be_used_is_told_when_the_source_is_made(tmp_path: Path, broken: str) -> None:
    certificate, key = client_certificate(tmp_path, "pipeline")
    _, another = client_certificate(tmp_path, "another")
    files = {
        "certificate": (str(tmp_path / "missing.pem"), key),
        "key": (certificate, certificate),
        "another key": (certificate, another),
    }[broken]

    with pytest.raises(ConfigurationError, match=r"client certificate for Vault, .* cannot be used .*VAULT_CLIENT_KEY"):
        VaultSource("https://vault.example.org", auth=TokenAuth(Secret("planted")), client_certificate=files)


def test_the_run_stands_in_the_servers_own_audit(tmp_path: Path) -> None:
    """Whose read this was is answered there, without our record; the login is said to be the run's too."""
    run_id = "0d6ab8a2-6f0f-4b51-94f1-7a06a6f9a6f4"
    with running_sealable(tmp_path) as sealable:
        vault = sealable.vault
        store = VaultStore(vault)
        store.put("okx", new_parts("okx"))
        vault.root.adapter.put(f"/v1/sys/config/auditing/request-headers/{RUN_HEADER}", json={"hmac": False})
        role_id, secret_id = vault.app_role(store.policy("data"))
        auth = AppRoleAuth(Secret(role_id), Secret(secret_id))
        asked = Asked(sealable.audit)

        VaultSource(vault.address, auth=auth, prefix=store.prefix, run_id=run_id).read("okx")

    assert asked.paths() == ["auth/approle/login", f"secret/data/{store.prefix}/okx"]
    assert asked.header(RUN_HEADER) == [run_id] * 2


@pytest.mark.parametrize("run_id", ["a run", "a\r\nX-Other: header", ""])
def test_a_run_that_cannot_stand_in_a_header_is_refused(run_id: str) -> None:
    with pytest.raises(ConfigurationError, match="The id of the run must be printable"):
        VaultSource("https://vault.example.org", auth=TokenAuth(Secret("planted")), run_id=run_id)
