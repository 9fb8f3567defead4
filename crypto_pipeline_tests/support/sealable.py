"""
A Vault-compatible server (OpenBao) that can be sealed, unsealed and asked what it was asked.

The server of `vault` keeps its unseal key to itself; this one is initialised by hand, and records
every request in an audit file.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import hvac
import pytest
import requests

from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.vault import SECONDS_TO_START, Vault, bao_program

_CONFIGURATION = """
storage "inmem" {{}}
listener "tcp" {{
  address = "{host}"
  tls_disable = true
}}
api_addr = "http://{host}"
audit "file" "to-file" {{
  options {{ file_path = "{audit}" }}
}}
"""


@dataclass(frozen=True, slots=True)
class Sealable:
    """
    A running server.

    Fields:
        vault: the server, as other tests use it.
        audit: the file in which it records what it is asked.
        unseal_key: opens it.
    """

    vault: Vault
    audit: Path
    unseal_key: str = field(repr=False)

    def seal(self) -> None:
        """Close it: it answers, and gives nothing."""
        self.vault.root.sys.seal()

    def unseal(self) -> None:
        """Open it."""
        self.vault.root.sys.submit_unseal_key(self.unseal_key)

    def asked_for(self, path: str) -> list[str]:
        """Return the operations it was asked to do at this path, or below it, in their order."""
        lines = [json.loads(line) for line in self.audit.read_text().splitlines()]
        return [
            line["request"]["operation"]
            for line in lines
            if line["type"] == "request" and f"{line['request']['path']}/".startswith(f"{path}/")
        ]


@contextmanager
def running_sealable(folder: Path) -> Iterator[Sealable]:
    """
    Start a server, unsealed, with an engine at `secret`, and end it.

    Args:
        folder: where its configuration and its audit file are kept.
    """
    program, host, audit = bao_program(), f"127.0.0.1:{free_port()}", folder / "vault-audit.jsonl"
    configuration = folder / "vault.hcl"
    configuration.write_text(_CONFIGURATION.format(host=host, audit=audit))
    server = subprocess.Popen(
        [program, "server", f"-config={configuration}"],
        env={"PATH": os.environ.get("PATH", ""), "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    root = hvac.Client(url=f"http://{host}", token="")
    root.session.trust_env = False
    try:
        key = _initialised(root, server)
        yield Sealable(Vault(root.url, root), audit, key)
    finally:
        root.adapter.close()
        server.terminate()
        server.wait(timeout=20)


def _initialised(root: hvac.Client, server: subprocess.Popen[bytes]) -> str:
    """Initialise the server as soon as it listens, mount the engine, and return the unseal key."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and server.poll() is None:
        try:
            made = root.sys.initialize(secret_shares=1, secret_threshold=1)
        except (requests.exceptions.RequestException, hvac.exceptions.VaultError):
            time.sleep(0.05)
            continue
        key: str = made["keys"][0]
        root.token = made["root_token"]
        root.sys.submit_unseal_key(key)
        root.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        _wait_for_engine(root, deadline)
        return key
    pytest.fail(f"OpenBao did not start within {SECONDS_TO_START:.0f} s")


def _wait_for_engine(root: hvac.Client, deadline: float) -> None:
    """Wait until the new engine takes requests: for a moment it says that it is being upgraded."""
    while time.monotonic() < deadline:
        try:
            root.secrets.kv.v2.read_configuration(mount_point="secret")
        except hvac.exceptions.VaultError:
            time.sleep(0.02)
        else:
            return
