"""Faults of a Vault, of a login at it and of what is in it, planted for real: each with what must be seen."""

from __future__ import annotations

import json
import secrets as random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hvac
import pytest

from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets.doctor.symptom import Severity
from crypto_pipeline.secrets.doctor.vault import VaultDoctor
from crypto_pipeline.secrets.policies import render_vault
from crypto_pipeline.secrets.vault_login import AppRoleAuth, CertificateAuth, JwtAuth, TokenAuth, VaultAuth, auth_of
from crypto_pipeline_tests.secrets.doctor.seen import record_in
from crypto_pipeline_tests.secrets.stores import new_parts, new_prefix
from crypto_pipeline_tests.support.identities import Issuer
from crypto_pipeline_tests.support.odd_server import odd_server
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.sealable import _CONFIGURATION, running_sealable
from crypto_pipeline_tests.support.vault import Vault, bao_program, ca_file, running_vault

HEALTHY = {"initialized": True, "sealed": False, "standby": False, "version": "2.7.2"}
HEALTH = "/v1/sys/health"
LOOKUP = "/v1/auth/token/lookup-self"
SHORT = (0.3, 0.3)


@dataclass
class Ward:
    """
    Where a fault is planted.

    Fields:
        vault: a server that all tests share.
        folder: a folder of the test's own.
        prefix: a path of the test's own.
        planted: every secret in it, by a name that is none.
    """

    vault: Vault
    folder: Path
    prefix: str = field(default_factory=new_prefix)
    planted: dict[str, str] = field(default_factory=dict)

    def store(self, issuer: str = "okx", *, mount: str = "secret") -> str:
        """Store a credential, and return its path."""
        parts = new_parts(issuer)
        self.planted |= {f"{issuer} {part}": value for part, value in parts.items()}
        self.vault.put(f"{self.prefix}/{issuer}", parts, mount=mount)
        return f"{self.prefix}/{issuer}"

    def policy(self, role: str = "pipeline", *, mount: str = "secret") -> str:
        """Return the policy of a role."""
        return render_vault(role, mount=mount, prefix=self.prefix)

    def token(self, policy: str | None = None, **options: Any) -> TokenAuth:
        """Return a token that lasts, with this policy."""
        usual = {"period": "72h"} if not options.keys() & {"ttl", "renewable", "explicit_max_ttl"} else {}
        token = self.vault.token(self.policy() if policy is None else policy, **{**usual, **options})
        self.planted["token"] = token
        return TokenAuth(Secret(token))

    def role(self, policy: str | None = None, **options: Any) -> AppRoleAuth:
        """Return a role with this policy."""
        role_id, secret_id = self.vault.app_role(self.policy() if policy is None else policy, **options)
        self.planted |= {"secret id": secret_id}
        return AppRoleAuth(Secret(role_id), Secret(secret_id))

    def doctor(
        self,
        auth: VaultAuth | Callable[[], VaultAuth] | None = None,
        *,
        address: str | None = None,
        issuers: tuple[str, ...] = ("okx",),
        **more: Any,
    ) -> VaultDoctor:
        """Return the doctor of this place."""
        login = self.token() if auth is None else auth
        return VaultDoctor(
            address or self.vault.address,
            issuers,
            record_in(self.folder),
            auth=login if callable(login) else lambda: login,
            **{"prefix": self.prefix, **more},
        )


Planting = Callable[[Ward], AbstractContextManager[VaultDoctor]]
FAULTS: dict[str, tuple[Planting, str, Severity]] = {}


def fault(
    code: str, severity: Severity = Severity.PROBLEM
) -> Callable[[Callable[[Ward], Iterator[VaultDoctor]]], Planting]:
    """Put a way of planting a fault into the table, with what must be seen."""

    def put(plant: Callable[[Ward], Iterator[VaultDoctor]]) -> Planting:
        planting = contextmanager(plant)
        FAULTS[plant.__name__] = (planting, code, severity)
        return planting

    return put


# The server...


@fault("unreachable")
def nobody_listens(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(address=f"http://127.0.0.1:{free_port()}")


@fault("unreachable")
def somebody_listens_and_says_nothing(ward: Ward) -> Iterator[VaultDoctor]:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield ward.doctor(address=f"http://127.0.0.1:{silent.getsockname()[1]}", timeouts=SHORT)


@fault("unreachable")
def the_server_hangs_up(ward: Ward) -> Iterator[VaultDoctor]:
    with odd_server(0) as server:
        yield ward.doctor(address=server.address)


@fault("not-vault")
def another_web_server_answers(ward: Ward) -> Iterator[VaultDoctor]:
    with odd_server(200, b"<html>planted-page</html>", headers={"Content-Type": "text/html"}) as server:
        yield ward.doctor(address=server.address)


@fault("not-vault")
def another_web_server_knows_no_such_page(ward: Ward) -> Iterator[VaultDoctor]:
    with odd_server(404, b"<html>planted-page</html>") as server:
        yield ward.doctor(address=server.address)


@fault("not-vault")
def http_is_spoken_to_a_server_of_https(ward: Ward) -> Iterator[VaultDoctor]:
    with running_vault(certificates=ward.folder) as tls:
        yield ward.doctor(address=tls.address.replace("https", "http"))


@fault("tls")
def https_is_spoken_to_a_server_of_http(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(address=ward.vault.address.replace("http", "https"))


@fault("tls")
def the_certificate_is_signed_by_nobody_known(ward: Ward) -> Iterator[VaultDoctor]:
    with running_vault(certificates=ward.folder) as tls:
        yield ward.doctor(address=tls.address)


@fault("certificate-files")
def the_file_of_the_authority_is_missing(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(address="https://127.0.0.1:1", ca_file=ward.folder / "missing.pem")


@fault("plain-http")
def http_would_leave_this_machine(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(address="http://vault.example.org:8200")


@fault("address")
def the_address_holds_a_password(ward: Ward) -> Iterator[VaultDoctor]:
    ward.planted["password"] = "planted-password-19fe"
    yield ward.doctor(address="https://me:planted-password-19fe@127.0.0.1:8200")


@fault("redirect")
def a_standby_redirects(ward: Ward) -> Iterator[VaultDoctor]:
    ward.planted["query"] = "planted-query-77aa"
    to = {"Location": "https://active.example.org:8200/v1/auth/token/lookup-self?x=planted-query-77aa"}
    with odd_server({HEALTH: 200, LOOKUP: 307}, json.dumps(HEALTHY).encode(), headers=to) as server:
        yield ward.doctor(address=server.address)


@fault("redirect")
def a_load_balancer_redirects_to_nowhere(ward: Ward) -> Iterator[VaultDoctor]:
    with odd_server(302, headers={"Location": "\x1b[2Jhttps://[broken"}) as server:
        yield ward.doctor(address=server.address)


@fault("sealed")
def the_server_is_sealed(ward: Ward) -> Iterator[VaultDoctor]:
    with running_sealable(ward.folder) as sealable:
        sealable.seal()
        yield ward.doctor(address=sealable.vault.address)


@fault("sealed")
def the_server_is_sealed_in_the_middle(ward: Ward) -> Iterator[VaultDoctor]:
    body = json.dumps({**HEALTHY, "errors": ["Vault is sealed"]}).encode()
    with odd_server({HEALTH: 200, LOOKUP: 503}, body) as server:
        yield ward.doctor(address=server.address)


@fault("failing")
def the_server_fails_in_the_middle(ward: Ward) -> Iterator[VaultDoctor]:
    with odd_server({HEALTH: 200, LOOKUP: 500}, json.dumps(HEALTHY).encode()) as server:
        yield ward.doctor(address=server.address)


@fault("failing")
def something_in_front_of_the_server_fails(ward: Ward) -> Iterator[VaultDoctor]:
    with odd_server(502, b"<html>planted-page</html>") as server:
        yield ward.doctor(address=server.address)


@fault("limited")
def the_server_limits_requests(ward: Ward) -> Iterator[VaultDoctor]:
    with odd_server({HEALTH: 200, LOOKUP: 429}, json.dumps(HEALTHY).encode()) as server:
        yield ward.doctor(address=server.address)


@fault("limited")
def the_server_lags_behind(ward: Ward) -> Iterator[VaultDoctor]:
    with odd_server({HEALTH: 200, LOOKUP: 412}, json.dumps(HEALTHY).encode()) as server:
        yield ward.doctor(address=server.address)


@fault("not-vault")
def the_login_is_looked_up_at_something_else(ward: Ward) -> Iterator[VaultDoctor]:
    with odd_server({HEALTH: 200}, json.dumps(HEALTHY).encode()) as server:
        yield ward.doctor(address=server.address)


@fault("not-initialised")
def nobody_has_initialised_the_server(ward: Ward) -> Iterator[VaultDoctor]:
    with uninitialised(ward.folder) as address:
        yield ward.doctor(address=address)


@fault("clock-skew", Severity.WARNING)
def the_clock_is_seconds_off(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(clock=lambda: datetime.now(UTC) + timedelta(seconds=30))


@fault("clock-skew")
def the_clock_is_minutes_off(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(clock=lambda: datetime.now(UTC) - timedelta(minutes=10))


# The login...


@fault("login-missing")
def there_is_no_token(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(lambda: auth_of("token"))


@fault("login-ended")
def the_token_is_wrong(ward: Ward) -> Iterator[VaultDoctor]:
    ward.planted["token"] = "hvs.planted-token-0d1f"
    yield ward.doctor(TokenAuth(Secret("hvs.planted-token-0d1f")))


@fault("login-ended")
def the_token_was_revoked(ward: Ward) -> Iterator[VaultDoctor]:
    auth = ward.token()
    ward.vault.root.auth.token.revoke(auth.token.reveal())
    yield ward.doctor(auth)


@fault("login-ended")
def the_token_has_expired(ward: Ward) -> Iterator[VaultDoctor]:
    auth = ward.token(ttl="1s", explicit_max_ttl="1s")
    deadline = time.monotonic() + 20
    while is_good(ward.vault, auth.token.reveal()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield ward.doctor(auth)


@fault("login-ends-soon", Severity.WARNING)
def the_token_ends_soon_and_cannot_be_renewed(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(ward.token(ttl="2h", renewable=False))


@fault("login-ends-soon", Severity.WARNING)
def the_token_can_be_renewed_for_hours_only(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(ward.token(ttl="1h", explicit_max_ttl="3h"))


@fault("root", Severity.WARNING)
def the_token_is_that_of_the_root(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(TokenAuth(Secret(ward.vault.root.token)))


@fault("login-uses-limited", Severity.WARNING)
def the_token_is_good_for_some_requests(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(ward.token(num_uses=50))


@fault("login-uses-limited", Severity.WARNING)
def what_the_role_gives_is_good_for_some_requests(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(ward.role(token_num_uses=50))


@fault("login-silent", Severity.NOTE)
def the_token_may_not_look_at_itself(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    rights = 'path "sys/capabilities-self" { capabilities = ["update"] }'
    yield ward.doctor(ward.token(f"{ward.policy()}\n{rights}", no_default_policy=True))


@fault("rights-not-told", Severity.NOTE)
def the_token_may_not_see_its_rights(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    itself = 'path "auth/token/lookup-self" { capabilities = ["read"] }'
    yield ward.doctor(ward.token(f"{ward.policy()}\n{itself}", no_default_policy=True))


@fault("login-role-or-secret-id")
def the_role_id_is_wrong(ward: Ward) -> Iterator[VaultDoctor]:
    auth = ward.role()
    yield ward.doctor(AppRoleAuth(Secret("planted-role-id-3c1d"), auth.secret_id))


@fault("login-role-or-secret-id")
def the_secret_id_is_wrong(ward: Ward) -> Iterator[VaultDoctor]:
    auth = ward.role()
    ward.planted["secret id"] = "planted-secret-id-92ee"
    yield ward.doctor(AppRoleAuth(auth.role_id, Secret("planted-secret-id-92ee")))


@fault("login-role-or-secret-id")
def the_secret_id_was_used_up(ward: Ward) -> Iterator[VaultDoctor]:
    auth = ward.role(logins=1)
    ward.vault.root.auth.approle.login(auth.role_id.reveal(), auth.secret_id.reveal(), use_token=False)
    yield ward.doctor(auth)


@fault("secret-id-used-up")
def the_last_use_of_the_secret_id_is_this_one(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(ward.role(f"{ward.policy()}\n{MAY_LOOK_UP}", logins=1))


@fault("secret-id-ends-soon", Severity.WARNING)
def the_secret_id_is_good_for_few_logins(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(ward.role(f"{ward.policy()}\n{MAY_LOOK_UP}", logins=3))


@fault("secret-id-ends-soon", Severity.WARNING)
def the_secret_id_ends_today(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(ward.role(f"{ward.policy()}\n{MAY_LOOK_UP}", secret_id_ttl="2h"))


@fault("secret-id-not-told", Severity.NOTE)
def the_role_may_not_look_up_its_secret_id(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(ward.role())


@fault("wrapped", Severity.NOTE)
def the_secret_id_is_wrapped(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(wrapped(ward))


@fault("wrapping-gone")
def the_wrapping_was_opened_before(ward: Ward) -> Iterator[VaultDoctor]:
    auth = wrapped(ward)
    ward.vault.root.sys.unwrap(token=auth.secret_id.reveal())
    yield ward.doctor(auth)


@fault("wrapped-otherwise")
def something_else_is_in_the_wrapping(ward: Ward) -> Iterator[VaultDoctor]:
    made = ward.vault.root.adapter.post("/v1/sys/wrapping/wrap", json={"a": "b"}, headers={"X-Vault-Wrap-TTL": "60s"})
    ward.planted["wrapping"] = made["wrap_info"]["token"]
    yield ward.doctor(AppRoleAuth(Secret("role"), Secret(made["wrap_info"]["token"]), is_wrapped=True))


@fault("login-no-such-way")
def the_server_has_no_such_way_of_logging_in(ward: Ward) -> Iterator[VaultDoctor]:
    auth = ward.role()
    yield ward.doctor(AppRoleAuth(auth.role_id, auth.secret_id, mount="nowhere"))


@fault("login-jwt-ended")
def the_signed_token_has_ended(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(signed(ward, seconds=-600))


@fault("login-jwt-early")
def the_signed_token_is_not_valid_yet(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(signed(ward, nbf=9_999_999_999))


@fault("login-jwt-signer")
def the_token_is_signed_by_somebody_else(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(signed(ward, signer=Issuer()))


@fault("login-jwt-claims")
def the_token_is_somebody_elses(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(signed(ward, subject="somebody-else"))


@fault("login-no-role")
def there_is_no_such_role(ward: Ward) -> Iterator[VaultDoctor]:
    auth = signed(ward)
    yield ward.doctor(JwtAuth("nobody", auth.token_file, auth.mount))


@fault("login-file")
def the_file_with_the_signed_token_is_missing(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(JwtAuth("reader", ward.folder / "missing"))


@fault("login-certificate")
def there_is_no_client_certificate(ward: Ward) -> Iterator[VaultDoctor]:
    with running_vault(certificates=ward.folder) as tls:
        tls.root.sys.enable_auth_method("cert")
        yield ward.doctor(CertificateAuth(), address=tls.address, ca_file=ca_file(ward.folder))


@fault("login-refused")
def the_server_does_not_say_why(ward: Ward) -> Iterator[VaultDoctor]:
    paths = {HEALTH: 200, "/v1/auth/approle/login": 400}
    with odd_server(paths, json.dumps({**HEALTHY, "errors": ["planted-words"]}).encode()) as server:
        yield ward.doctor(ward.role(), address=server.address)


@fault("not-vault")
def the_login_is_answered_by_something_else(ward: Ward) -> Iterator[VaultDoctor]:
    with odd_server({HEALTH: 200, "/v1/auth/approle/login": 200}, json.dumps(HEALTHY).encode()) as server:
        yield ward.doctor(ward.role(), address=server.address)


# The place...


@fault("namespace-missing")
def there_is_no_such_namespace(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(namespace="nowhere")


@fault("namespace-malformed")
def the_namespace_has_a_space(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(namespace="no where")


@fault("namespace-other")
def the_secrets_are_outside_of_the_namespace(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(namespace=new_namespace(ward)[0])


@fault("namespace-other")
def the_secrets_are_in_a_namespace(ward: Ward) -> Iterator[VaultDoctor]:
    _, inside = new_namespace(ward)
    yield ward.doctor(token_in(ward, inside))


@fault("namespace-other")
def the_secret_is_in_another_namespace(ward: Ward) -> Iterator[VaultDoctor]:
    """This login has a right to the mount in both."""
    namespace, _ = new_namespace(ward)
    both = f"{ward.policy()}\n" + ward.policy().replace('path "', f'path "{namespace}/')
    ward.store("bybit")
    yield ward.doctor(ward.token(both))


@fault("mount-malformed")
def the_prefix_leads_to_another_place(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(prefix="../sys")


@fault("mount-missing")
def there_is_no_such_mount(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(ward.token(ward.policy(mount="nowhere")), mount="nowhere")


@fault("mount-not-told")
def there_is_no_such_mount_and_no_right_to_it(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(mount="nowhere")


@fault("mount-not-told")
def the_login_has_no_right_at_the_mount(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor(ward.token('path "nothing/at/all" { capabilities = ["read"] }'))


@fault("mount-kv-1")
def the_mount_is_of_version_1(ward: Ward) -> Iterator[VaultDoctor]:
    ward.vault.root.sys.enable_secrets_engine("kv", path=ward.prefix, options={"version": "1"})
    yield ward.doctor(ward.token(ward.policy(mount=ward.prefix)), mount=ward.prefix)


@fault("mount-other-engine")
def another_engine_is_mounted_there(ward: Ward) -> Iterator[VaultDoctor]:
    ward.vault.root.sys.enable_secrets_engine("transit", path=ward.prefix)
    yield ward.doctor(ward.token(ward.policy(mount=ward.prefix)), mount=ward.prefix)


# The rights...


@fault("rights-missing")
def the_login_may_describe_and_not_read(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(ward.token(f'path "secret/metadata/{ward.prefix}/*" {{ capabilities = ["read"] }}'))


@fault("rights-missing")
def the_login_may_read_and_not_describe(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(ward.token(f'path "secret/data/{ward.prefix}/*" {{ capabilities = ["read"] }}'))


@fault("secret-denied")
def the_login_may_not_describe_and_not_know_it(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    policy = f'path "secret/data/{ward.prefix}/*" {{ capabilities = ["read"] }}'
    yield ward.doctor(ward.token(policy, no_default_policy=True))


@fault("rights-excess", Severity.WARNING)
def the_login_may_write(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(ward.token(f'path "secret/+/{ward.prefix}/*" {{ capabilities = ["read", "update"] }}'))


@fault("rights-excess", Severity.WARNING)
def the_login_may_read_everything(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(ward.token('path "secret/*" { capabilities = ["read"] }'))


@fault("rights-excess", Severity.WARNING)
def the_login_may_read_what_development_uses(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    dev = f'path "secret/data/{ward.prefix}-dev/*" {{ capabilities = ["read"] }}'
    own = [line for line in ward.policy().splitlines() if "-dev" not in line]
    yield ward.doctor(ward.token("\n".join([*own, dev])))


@fault("rights-excess", Severity.WARNING)
def the_login_may_change_policies(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor(ward.token(f'{ward.policy()}\npath "sys/policies/*" {{ capabilities = ["update"] }}'))


# The secrets...


@fault("secret-missing")
def nothing_was_ever_stored(ward: Ward) -> Iterator[VaultDoctor]:
    yield ward.doctor()


@fault("secret-missing")
def nothing_was_stored_in_another_namespace_either(ward: Ward) -> Iterator[VaultDoctor]:
    namespace, inside = new_namespace(ward)
    inside.secrets.kv.v2.delete_metadata_and_all_versions(path=f"{ward.prefix}/okx", mount_point="secret")
    there = ward.policy().replace('path "', f'path "{namespace}/')
    yield ward.doctor(ward.token(f"{ward.policy()}\n{there}"))


@fault("secret-missing")
def some_are_missing(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store("bybit")
    yield ward.doctor(issuers=("okx", "bybit", "coinbase"))


@fault("secret-deleted")
def the_current_version_was_deleted(ward: Ward) -> Iterator[VaultDoctor]:
    ward.vault.root.secrets.kv.v2.delete_latest_version_of_secret(path=ward.store(), mount_point="secret")
    yield ward.doctor()


@fault("secret-destroyed")
def the_only_version_was_destroyed(ward: Ward) -> Iterator[VaultDoctor]:
    ward.vault.root.secrets.kv.v2.destroy_secret_versions(path=ward.store(), versions=[1], mount_point="secret")
    yield ward.doctor()


@fault("secret-destroyed")
def the_current_version_of_two_was_destroyed(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    ward.vault.root.secrets.kv.v2.destroy_secret_versions(path=ward.store(), versions=[2], mount_point="secret")
    yield ward.doctor()


@fault("secret-empty")
def there_is_a_name_and_no_version(ward: Ward) -> Iterator[VaultDoctor]:
    kv = ward.vault.root.secrets.kv.v2
    kv.update_metadata(path=f"{ward.prefix}/okx", max_versions=3, mount_point="secret")
    yield ward.doctor()


@fault("secret-ends", Severity.WARNING)
def the_version_will_be_deleted_by_itself(ward: Ward) -> Iterator[VaultDoctor]:
    kv = ward.vault.root.secrets.kv.v2
    kv.update_metadata(path=f"{ward.prefix}/okx", delete_version_after="48h", mount_point="secret")
    ward.store()
    yield ward.doctor()


@fault("no-list", Severity.NOTE)
def the_login_may_not_list(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    yield ward.doctor()


@fault("secrets-unused", Severity.NOTE)
def there_is_more_than_is_used(ward: Ward) -> Iterator[VaultDoctor]:
    ward.store()
    ward.store("bybit")
    scan = f'path "secret/detailed-metadata/{ward.prefix}" {{ capabilities = ["scan"] }}'
    yield ward.doctor(ward.token(f"{ward.policy()}\n{scan}"))


MAY_LOOK_UP = 'path "auth/approle/role/+/secret-id/lookup" { capabilities = ["update"] }'


def is_good(vault: Vault, token: str) -> bool:
    """Tell whether a token is accepted."""
    client = hvac.Client(url=vault.address, token=token)
    client.session.trust_env = False
    return bool(client.is_authenticated())


def wrapped(ward: Ward) -> AppRoleAuth:
    """Return a role whose secret id is wrapped."""
    auth = ward.role()
    approle = ward.vault.root.auth.approle
    names = approle.list_roles()["data"]["keys"]
    name = next(each for each in names if approle.read_role_id(each)["data"]["role_id"] == auth.role_id.reveal())
    made = approle.generate_secret_id(name, wrap_ttl="120s")["wrap_info"]["token"]
    ward.planted["wrapping"] = made
    return AppRoleAuth(auth.role_id, Secret(made), is_wrapped=True)


def signed(ward: Ward, subject: str = "pipeline", *, signer: Issuer | None = None, **claims: Any) -> JwtAuth:
    """Return a login with a signed token, at a server that trusts an issuer of the test's own."""
    issuer, mount = Issuer(), f"jwt-{random.token_hex(4)}"
    root = ward.vault.root
    root.sys.enable_auth_method("jwt", path=mount)
    root.adapter.post(f"/v1/auth/{mount}/config", json={"jwt_validation_pubkeys": [issuer.public_key]})
    root.sys.create_or_update_policy(mount, ward.policy())
    role = {"role_type": "jwt", "bound_subject": "pipeline", "bound_audiences": ["vault"], "user_claim": "sub"}
    root.adapter.post(f"/v1/auth/{mount}/role/reader", json={**role, "token_policies": [mount]})
    file = ward.folder / "token"
    file.write_text((signer or issuer).token(subject, **claims))
    ward.planted["signed token"] = file.read_text()
    return JwtAuth("reader", file, mount)


def new_namespace(ward: Ward) -> tuple[str, hvac.Client]:
    """Make a namespace with an engine and the credential in it; return its name and a client that is in it."""
    name = f"team-{random.token_hex(4)}"
    ward.vault.root.adapter.post(f"/v1/sys/namespaces/{name}")
    inside = hvac.Client(url=ward.vault.address, token=ward.vault.root.token, namespace=name)
    inside.session.trust_env = False
    inside.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    parts = new_parts("okx")
    ward.planted |= {f"in {name} {part}": value for part, value in parts.items()}
    inside.secrets.kv.v2.create_or_update_secret(path=f"{ward.prefix}/okx", secret=parts, mount_point="secret")
    return name, inside


def token_in(ward: Ward, inside: hvac.Client) -> TokenAuth:
    """Return a token of a namespace, with the pipeline's policy there."""
    inside.sys.create_or_update_policy("pipeline", ward.policy())
    token = inside.auth.token.create(policies=["pipeline"], period="72h")["auth"]["client_token"]
    ward.planted["token"] = token
    return TokenAuth(Secret(token))


@contextmanager
def uninitialised(folder: Path) -> Iterator[str]:
    """Start a server that nobody has initialised, and yield its address."""
    host = f"127.0.0.1:{free_port()}"
    configuration = folder / "new.hcl"
    configuration.write_text(_CONFIGURATION.format(host=host, audit=folder / "new-audit.jsonl"))
    server = subprocess.Popen(
        [bao_program(), "server", f"-config={configuration}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    client = hvac.Client(url=f"http://{host}", token="")
    client.session.trust_env = False
    deadline = time.monotonic() + 30
    try:
        while True:
            try:
                assert not client.sys.is_initialized()
            except (OSError, hvac.exceptions.VaultError):
                if time.monotonic() > deadline:
                    pytest.fail("OpenBao did not start")
                time.sleep(0.05)
            else:
                break
        yield f"http://{host}"
    finally:
        client.adapter.close()
        server.terminate()
        server.wait(timeout=20)
