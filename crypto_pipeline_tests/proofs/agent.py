"""OpenBao's agent as docs/operations.md sets it up, for the keys of a scene."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline_tests.proofs.scene import VaultScene
from crypto_pipeline_tests.proofs.waiting import until
from crypto_pipeline_tests.support.project import ROOT
from crypto_pipeline_tests.support.vault import bao_program

SECTION = (
    (ROOT / "docs" / "operations.md").read_text().partition("## Many processes: a local agent")[2].split("\n## ")[0]
)
KEYS_IN_DOCUMENT = "/run/crypto-pipeline/keys"
RETRIES_IN_DOCUMENT = "num_retries = 12"


def block(language: str) -> str:
    """Return the one code block of this language in the document's section."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    return str(found)


@dataclass(frozen=True, slots=True)
class Agent:
    """
    A running agent.

    Fields:
        process: the shell that started it and removes its folder in the end.
        keys: the folder in memory in which it keeps the keys.
    """

    process: subprocess.Popen[bytes]
    keys: Path

    def version_of(self, part: str) -> int:
        """Return a number that moves when a file is written anew; 0 if it is not there."""
        try:
            return (self.keys / part).stat().st_mtime_ns
        except FileNotFoundError:
            return 0


@contextmanager
def running_agent(
    scene: VaultScene, role: tuple[str, str], keys: Path, *, interval: str = "5m", retries: int = 12
) -> Iterator[Agent]:
    """
    Start an agent, wait for its files, and end it.

    Args:
        scene: the store and the keys that are in it.
        role: the role id and the secret id to log in with.
        keys: the folder for the keys.
        interval: in which a secret is read again.
        retries: how often a reading that failed is tried again.
    """
    configuration = scene.folder / "agent.hcl"
    configuration.write_text(_configuration(scene, role, keys, interval, retries))
    command = block("sh").replace(KEYS_IN_DOCUMENT, str(keys)).replace("=agent.hcl", f"={configuration}")
    with (scene.folder / "agent.out").open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-c", command.replace("bao agent", f"'{bao_program()}' agent")],
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(scene.folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    agent = Agent(process, keys)
    try:
        wanted = [f"{issuer}_{part}" for issuer in scene.keys for part in ISSUERS[issuer].required]
        assert until(lambda: all(agent.version_of(part) for part in wanted)), (scene.folder / "agent.out").read_text()
        yield agent
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _configuration(scene: VaultScene, role: tuple[str, str], keys: Path, interval: str, retries: int) -> str:
    """Return the document's configuration with this place's addresses, and all templates that it leaves out."""
    for name, text in zip(("role-id", "secret-id"), role, strict=True):
        (scene.folder / name).write_text(text)
    written = re.fullmatch(r"(.*?)(template \{\n.*?\n\}\n)# \.\.\. and so on.*", block("hcl"), re.DOTALL)
    assert written, "the document's configuration has one template, and says that there are more like it"
    head, template = written.groups()
    templates = [
        template.replace("okx", issuer).replace("api_key", part)
        for issuer in scene.keys
        for part in ISSUERS[issuer].required
    ]
    here = {
        "https://vault.internal:8200": scene.store.vault.address,
        "/etc/crypto-pipeline": str(scene.folder),
        KEYS_IN_DOCUMENT: str(keys),
        'render_interval = "5m"': f'render_interval = "{interval}"',
        RETRIES_IN_DOCUMENT: f"num_retries = {retries}",
    }
    text = head + "".join(templates)
    for in_document, by in here.items():
        assert in_document in text, f"the document's configuration does not say {in_document}"
        text = text.replace(in_document, by)
    return text
