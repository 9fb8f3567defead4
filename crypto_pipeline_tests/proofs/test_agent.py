"""Many processes share one reading of each secret through OpenBao's agent, set up as the document says."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hvac
import pytest
import requests

from crypto_pipeline.errors import SecretNotFoundError
from crypto_pipeline.exchanges import CLIENTS
from crypto_pipeline.secrets import FileSource
from crypto_pipeline_tests.proofs.agent import running_agent
from crypto_pipeline_tests.proofs.scene import MAY_NOTHING, MAY_READ, VaultScene, reads_of
from crypto_pipeline_tests.proofs.waiting import until
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.project import ROOT, Project, make_project
from crypto_pipeline_tests.support.search import everything_under, hits
from crypto_pipeline_tests.support.vault import bao_program

MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory is what is wanted
PROXY = """
vault {{
  address = "{address}"
}}
auto_auth {{
  method "approle" {{
    config = {{
      role_id_file_path                   = "{folder}/role-id"
      secret_id_file_path                 = "{folder}/secret-id"
      remove_secret_id_file_after_reading = false
    }}
  }}
}}
api_proxy {{
  use_auto_auth_token = true
}}
cache {{
  cache_static_secrets = true
}}
listener "tcp" {{
  address     = "127.0.0.1:{port}"
  tls_disable = true
}}
"""
ONCE = dict.fromkeys(CLIENTS, 1)


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory that is not there yet."""
    base = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else tmp_path))
    yield base / "keys"
    shutil.rmtree(base)


@pytest.fixture
def role(scene: VaultScene) -> tuple[str, str]:
    """The agent's login."""
    return scene.store.vault.app_role(MAY_READ)


def run_in_processes(project: Project, shape: str) -> None:
    """Run the job of this shape, four step processes at a time."""
    done = subprocess.run(
        [sys.executable, "-m", "crypto_pipeline_tests.proofs.location", shape, "4"],
        cwd=project.home,
        env=project.surroundings(PYTHONPATH=str(ROOT)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def through_the_agent(scene: VaultScene, keys: Path) -> Project:
    """Return a project whose store is the agent's folder, without any login to the store itself."""
    variables = scene.variables(secrets="files", secrets_folder=str(keys))
    del variables["VAULT_TOKEN"]
    return make_project(scene.folder / "project", variables)


def handed_out(scene: VaultScene) -> Mapping[tuple[str, str], int]:
    """Return how many steps were handed which secret, by store, as our own record tells."""
    return Counter(
        (one["store"], one["secret_name"].rpartition(":")[2])
        for one in scene.events("secret_access")
        if one["action"] == "read" and one["success"]
    )


@pytest.mark.timeout(280)
def test_four_processes_cost_the_store_one_reading_of_each_secret(
    scene: VaultScene, role: tuple[str, str], keys: Path
) -> None:
    """Each of them needs all four keys; the server's own audit file counts."""
    asked = scene.asked()

    with running_agent(scene, role, keys):
        run_in_processes(through_the_agent(scene, keys), "four")

    assert reads_of(asked) == ONCE
    assert handed_out(scene) == {("files", f"{issuer}_api_key"): 4 for issuer in CLIENTS}
    assert not keys.exists()
    assert hits(scene.values(), everything_under(scene.folder / "project")) == []


def test_a_rotated_key_reaches_the_folder_in_the_next_interval(
    scene: VaultScene, role: tuple[str, str], keys: Path
) -> None:
    """Whole, and as another version."""
    with running_agent(scene, role, keys, interval="1s") as agent:
        before = FileSource(keys).read("okx")
        was = agent.version_of("okx_passphrase")
        scene.issue("okx")
        arrived = until(lambda: agent.version_of("okx_passphrase") != was)
        after = FileSource(keys).read("okx")

    assert arrived
    assert after.description.version != before.description.version
    assert {part: value.reveal() for part, value in after.parts.items()} == {
        name.removeprefix("okx "): value for name, value in scene.values().items() if name.startswith("okx ")
    }


def deny(scene: VaultScene) -> None:
    """Take the right to read away."""
    (name,) = [name for name in scene.store.vault.root.sys.list_policies()["data"]["policies"] if "role-" in name]
    scene.store.vault.root.sys.create_or_update_policy(name, MAY_NOTHING)


def delete(scene: VaultScene) -> None:
    """Delete one of the keys."""
    scene.store.vault.root.secrets.kv.v2.delete_latest_version_of_secret("crypto-pipeline/okx")


def seal(scene: VaultScene) -> None:
    """Seal the store."""
    scene.store.seal()


@pytest.mark.parametrize("happens", [deny, delete, seal])
def test_what_the_store_gives_no_more_is_gone_when_the_agent_has_tried_enough(
    happens: Callable[[VaultScene], None], scene: VaultScene, role: tuple[str, str], keys: Path
) -> None:
    """The folder goes with the agent; with the document's times that is within five to eleven minutes."""
    with running_agent(scene, role, keys, interval="1s", retries=1) as agent:
        happens(scene)
        is_gone = until(lambda: not keys.exists(), seconds=60)
        ended = agent.process.wait(timeout=10)

    assert (is_gone, ended) == (True, 0)
    with pytest.raises(SecretNotFoundError, match="There is no folder"):
        FileSource(keys).read("okx")


def kill_agent(process: subprocess.Popen[bytes]) -> None:
    """Kill the agent alone; nobody asks it."""
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)


def stop_shell(process: subprocess.Popen[bytes]) -> None:
    """Stop what started the agent, as a container's runtime does."""
    process.terminate()


def stop_all(process: subprocess.Popen[bytes]) -> None:
    """Stop the whole group, as a terminal does."""
    os.killpg(process.pid, signal.SIGTERM)


@pytest.mark.parametrize("end", [kill_agent, stop_shell, stop_all])
def test_an_agent_that_is_gone_leaves_no_key_behind(
    end: Callable[[subprocess.Popen[bytes]], None], scene: VaultScene, role: tuple[str, str], keys: Path
) -> None:
    """However it ended."""
    with running_agent(scene, role, keys) as agent:
        end(agent.process)
        is_gone = until(lambda: not keys.exists())
        ended = agent.process.wait(timeout=10)

    assert (is_gone, ended) == (True, 0)


def test_the_agents_own_cache_would_not_do(scene: VaultScene, role: tuple[str, str]) -> None:
    """It shares logins, and passes every read of a key on; an option that would change it is taken without a word."""
    port = free_port()
    for name, text in zip(("role-id", "secret-id"), role, strict=True):
        (scene.folder / name).write_text(text)
    configuration = scene.folder / "proxy.hcl"
    configuration.write_text(PROXY.format(address=scene.store.vault.address, folder=scene.folder, port=port))
    asked = scene.asked()
    with subprocess.Popen(
        [bao_program(), "proxy", f"-config={configuration}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as proxy:
        client = hvac.Client(url=f"http://127.0.0.1:{port}", token="")
        client.session.trust_env = False

        def is_read() -> bool:
            try:
                client.secrets.kv.v2.read_secret_version("crypto-pipeline/okx", raise_on_deleted_version=True)
            except (requests.exceptions.RequestException, hvac.exceptions.VaultError):
                return False
            return True

        try:
            assert until(is_read)
            before = reads_of(asked)["okx"]
            assert all(is_read() for _ in range(3))
            logins = [client.auth.approle.login(*role, use_token=False)["auth"]["client_token"] for _ in range(3)]
        finally:
            client.adapter.close()
            proxy.terminate()

    assert reads_of(asked)["okx"] == before + 3
    assert len(set(logins)) == 1


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_processes_cost_the_store_a_reading_each_and_through_the_agent_one_in_each_interval(
    scene: VaultScene, role: tuple[str, str], keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The heavy version: twelve step processes, with the agent and without; prints the counts."""
    direct = scene.asked()
    run_in_processes(make_project(scene.folder / "direct", scene.variables()), "twelve")
    without = dict(reads_of(direct))
    seconds, interval = 0.0, 3.0

    with running_agent(scene, role, keys, interval=f"{interval:.0f}s"):
        asked, started = scene.asked(), time.monotonic()
        run_in_processes(through_the_agent(scene, keys), "twelve")
        seconds = time.monotonic() - started
        shared = dict(reads_of(asked))

    with capsys.disabled():
        sys.stdout.write(f"\nwithout: {without}; through the agent, {seconds:.0f} s: {shared}\n")
    # It reads a little earlier than the interval says, by chance: after 85 to 95 of a hundred.
    most: dict[str, Any] = dict.fromkeys(CLIENTS, 1 + seconds / (0.85 * interval))
    assert without == dict.fromkeys(CLIENTS, 3)
    assert {issuer: number for issuer, number in shared.items() if number > most[issuer]} == {}
