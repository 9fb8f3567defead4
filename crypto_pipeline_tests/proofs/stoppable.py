"""Stores that can be stopped, started again, and told to give nothing more: an OpenBao, and an AWS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hvac
import pytest
import requests
from moto.server import ThreadedMotoServer

from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import AwsSource, SecretSource, TokenAuth, VaultSource, build_client
from crypto_pipeline_tests.proofs.scene import MAY_NOTHING, MAY_READ
from crypto_pipeline_tests.support.aws import REGION, Aws
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.vault import SECONDS_TO_START, Vault, bao_program

_ON_DISK = """
storage "raft" {{
  path = "{folder}"
  node_id = "alone"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "{host}"
  tls_disable = true
}}
api_addr = "http://{host}"
cluster_addr = "http://{cluster}"
"""


class Stoppable(ABC):
    """
    A store with the key of one issuer in it.

    Args:
        folder: for its data and configuration.
        monkeypatch: sets the variables of a login.
    """

    @abstractmethod
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None: ...

    @abstractmethod
    def put(self, issuer: str, parts: Mapping[str, str]) -> None:
        """Store a version of the issuer's key."""

    @abstractmethod
    def source(self) -> SecretSource:
        """Return the way to it, with a login of its own."""

    @abstractmethod
    def stop(self) -> None:
        """Let it answer nobody."""

    @abstractmethod
    def start(self) -> None:
        """Let it answer again, with all it had."""

    @abstractmethod
    def deny(self) -> None:
        """Take the right to read from that login."""

    @abstractmethod
    def delete(self, issuer: str) -> None:
        """Delete the issuer's key."""

    @abstractmethod
    def end(self) -> None:
        """End it for good."""


class KillableVault(Stoppable):
    """An OpenBao that keeps its data on disk, and is stopped by kill -9."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG002 - see above
        (folder / "vault").mkdir()
        host = f"127.0.0.1:{free_port()}"
        self._address = f"http://{host}"
        self._configuration = folder / "vault.hcl"
        self._configuration.write_text(
            _ON_DISK.format(host=host, cluster=f"127.0.0.1:{free_port()}", folder=folder / "vault")
        )
        self._root = hvac.Client(url=self._address, token="")
        self._root.session.trust_env = False
        self._process = self._started()
        made = self._asked(lambda: self._root.sys.initialize(secret_shares=1, secret_threshold=1))
        self._key, self._root.token = made["keys"][0], made["root_token"]
        self._root.sys.submit_unseal_key(self._key)
        self._asked(lambda: self._root.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"}))
        self._asked(lambda: self._root.secrets.kv.v2.read_configuration(mount_point="secret"))
        self._vault = Vault(self._address, self._root)

    def put(self, issuer: str, parts: Mapping[str, str]) -> None:
        self._vault.put(f"crypto-pipeline/{issuer}", dict(parts))

    def source(self) -> SecretSource:
        return VaultSource(self._address, auth=TokenAuth(Secret(self._vault.token(MAY_READ))))

    def stop(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def start(self) -> None:
        self._process = self._started()
        self._asked(lambda: self._root.sys.submit_unseal_key(self._key))
        self._asked(self._root.auth.token.lookup_self)  # the rest of it wakes up a little later

    def deny(self) -> None:
        (name,) = [name for name in self._root.sys.list_policies()["data"]["policies"] if name.startswith("policy-")]
        self._root.sys.create_or_update_policy(name, MAY_NOTHING)

    def delete(self, issuer: str) -> None:
        self._root.secrets.kv.v2.delete_latest_version_of_secret(f"crypto-pipeline/{issuer}")

    def end(self) -> None:
        self.stop()
        self._root.adapter.close()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [bao_program(), "server", f"-config={self._configuration}"],
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(self._configuration.parent)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _asked(self, ask: Any) -> Any:
        """Ask until it listens."""
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                return ask()
            except (requests.exceptions.RequestException, hvac.exceptions.VaultError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


class SealableVault(KillableVault):
    """The same, stopped by sealing it: it answers, and gives nothing."""

    def stop(self) -> None:
        self._root.sys.seal()

    def start(self) -> None:
        self._root.sys.submit_unseal_key(self._key)
        self._asked(self._root.auth.token.lookup_self)

    def end(self) -> None:
        super().stop()
        self._root.adapter.close()


class StoppableAws(Stoppable):
    """An AWS that is stopped by closing its port; its data are this process's."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG002 - see above
        self._monkeypatch = monkeypatch
        self._prefix = f"test-{uuid.uuid4()}"
        self._port = free_port()
        self._server = self._listening()
        self._aws = Aws(f"http://127.0.0.1:{self._port}")
        self._user = f"user-{uuid.uuid4()}"
        self._login = self._aws.user(self._user, allowed=("secretsmanager:GetSecretValue",))
        self._checks_logins = ExitStack()

    def put(self, issuer: str, parts: Mapping[str, str]) -> None:
        self._aws.put(f"{self._prefix}/{issuer}", json.dumps(parts))

    def source(self) -> SecretSource:
        for name, value in self._login.items():
            self._monkeypatch.setenv(name, value)
        return AwsSource(build_client(REGION, self._aws.address), prefix=self._prefix, layout="separate")

    def stop(self) -> None:
        self._server.stop()
        assert self._server._server is not None
        self._server._server.server_close()
        self._is_stopped = True

    def start(self) -> None:
        self._server = self._listening()

    def deny(self) -> None:
        self._aws.client("iam").delete_user_policy(UserName=self._user, PolicyName="allowed")
        self._checks_logins.enter_context(self._aws.enforcing())

    def delete(self, issuer: str) -> None:
        self._aws.client("secretsmanager").delete_secret(
            SecretId=f"{self._prefix}/{issuer}", ForceDeleteWithoutRecovery=True
        )

    def end(self) -> None:
        if self._is_stopped:
            self.start()
        self._checks_logins.close()
        self.stop()

    def _listening(self) -> ThreadedMotoServer:
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        server.start()
        self._is_stopped = False
        return server
