"""
What the code may and may not be made of, where no linter says it.

`lint-imports` holds the floors and ruff the style; here stand the rules of this house that need a
look at the source or a process of their own. What may stand in the tree is in `test_tree.py`.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "crypto_pipeline"
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST_MODULE = 400

WAYS_OUT = {
    "aiohttp": {"ClientSession", "request"},
    "asyncio": {"open_connection"},
    "http.client": {"HTTPConnection", "HTTPSConnection"},
    "httpx": {"AsyncClient", "Client", "delete", "get", "head", "patch", "post", "put", "request", "stream"},
    "requests": {"Session", "delete", "get", "head", "patch", "post", "put", "request", "session"},
    "socket": {"create_connection"},
    "urllib.request": {"build_opener", "urlopen"},
    "urllib3": {"PoolManager", "ProxyManager", "request"},
}
"""Calls that open a connection; each module of the standard library or of a package we install."""

MAY_OPEN_CONNECTIONS = {"transport", "sandbox"}
"""The one way out, and the exchanges of our own making, which are outside."""

SWITCHES_OF_VERIFICATION = {"verify", "check_hostname", "ssl", "verify_ssl", "use_ssl"}
NAMES_OF_NO_VERIFICATION = {"CERT_NONE", "CERT_OPTIONAL", "_create_unverified_context"}

LOAD_WITHOUT_SOCKETS = """
import os
import sys

FORBIDDEN = ("socket.", "subprocess.Popen", "os.system", "os.fork", "os.posix_spawn")
SECRET_FILES = (".env", ".env.local", "credentials", ".vault-token")


def refuse(event, arguments):
    if event.startswith(FORBIDDEN):
        raise RuntimeError(f"loading used {event}")
    if event == "open" and os.path.basename(str(arguments[0])) in SECRET_FILES:
        raise RuntimeError(f"loading read {arguments[0]}")


sys.addaudithook(refuse)

import dagster as dg

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.definitions import defs
from crypto_pipeline.defs.build import build_defs
from crypto_pipeline.settings import Settings

dg.Definitions.validate_loadable(defs)
for store in ("aws", "vault", "environment", "dotenv"):
    settings = Settings.from_environment(secrets=store, keys=tuple(ISSUERS), environment="development")
    dg.Definitions.validate_loadable(build_defs(settings))
"""
"""Loads the code location as it is and with every store, in a process that may neither connect nor read a secret."""


def floor_of(module: Path) -> str:
    """Return the first name under the package: `transport` for `transport/client.py`."""
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def place(module: Path, node: ast.AST) -> str:
    """Return where `node` stands, as an editor jumps to it."""
    return f"{module.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def nodes_of(module: Path) -> Iterator[ast.AST]:
    """Yield every node of the module's syntax tree."""
    return ast.walk(ast.parse(module.read_text(), module.name))


def imported_names(module: Path) -> dict[str, str]:
    """Return what each imported name stands for: `{"AsyncClient": "httpx.AsyncClient", "httpx": "httpx"}`."""
    names: dict[str, str] = {}
    for node in nodes_of(module):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def opens_connection(call: ast.Call, names: dict[str, str]) -> bool:
    """Tell whether the call is one of `WAYS_OUT`, however it was imported."""
    written = ast.unparse(call.func)
    first = next((name for name in sorted(names, key=len, reverse=True) if f"{written}.".startswith(f"{name}.")), "")
    meant = names[first] + written.removeprefix(first) if first else written
    module, _, verb = meant.rpartition(".")
    return verb in WAYS_OUT.get(module, ())


def connections_of(module: Path) -> list[ast.Call]:
    """Return the calls of the module that open a connection."""
    names = imported_names(module)
    return [node for node in nodes_of(module) if isinstance(node, ast.Call) and opens_connection(node, names)]


def test_connections_are_opened_by_transport_alone() -> None:
    """A second HTTP client would pass by the allow-list, the TLS rules, the budget and the record."""
    found = [
        f"{place(module, call)} calls {ast.unparse(call.func)}"
        for module in MODULES
        if floor_of(module) not in MAY_OPEN_CONNECTIONS
        for call in connections_of(module)
    ]

    assert found == []


def switches_off(node: ast.AST) -> bool:
    """Tell whether the node switches the verification of certificates off."""
    if isinstance(node, ast.keyword):
        return node.arg in SWITCHES_OF_VERIFICATION and is_false(node.value)
    if isinstance(node, ast.Assign):
        targets = {target.attr for target in node.targets if isinstance(target, ast.Attribute)}
        return bool(targets & SWITCHES_OF_VERIFICATION) and is_false(node.value)
    named = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return named in NAMES_OF_NO_VERIFICATION


def is_false(node: ast.AST) -> bool:
    """Tell whether the node is the constant False."""
    return isinstance(node, ast.Constant) and node.value is False


def test_certificates_are_always_verified() -> None:
    """There is no switch for it, not even for development: the sandbox speaks plain HTTP on loopback."""
    found = [place(module, node) for module in MODULES for node in nodes_of(module) if switches_off(node)]

    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import httpx\nhttpx.AsyncClient()",
        "from httpx import Client as Door\nDoor()",
        "import urllib.request\nurllib.request.urlopen(x)",
        "import requests as r\nr.get(x)",
    ],
)
def test_a_connection_is_recognised_however_it_is_written(line: str, tmp_path: Path) -> None:
    """The rule above must not pass because the scan is blind."""
    module = tmp_path / "sample.py"
    module.write_text(line)

    assert connections_of(module)


@pytest.mark.parametrize(
    "line",
    [
        "Client(verify=False)",
        "context.check_hostname = False",
        "context.verify_mode = ssl.CERT_NONE",
        "make = ssl._create_unverified_context",
    ],
)
def test_switched_off_verification_is_recognised(line: str) -> None:
    """The rule above must not pass because the scan is blind."""
    assert any(switches_off(node) for node in ast.walk(ast.parse(line)))


def test_every_module_says_what_belongs_in_it() -> None:
    """Ruff wants a docstring of each module but lets an empty `__init__.py` pass."""
    assert [
        str(module.relative_to(ROOT)) for module in MODULES if not ast.get_docstring(ast.parse(module.read_text()))
    ] == []


def test_no_module_has_grown_into_two() -> None:
    """A longer module holds a second thought that wants a name of its own."""
    lengths = {str(module.relative_to(ROOT)): len(module.read_text().splitlines()) for module in MODULES}

    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_loading_the_code_location_opens_no_socket_and_reads_no_secret(tmp_path: Path) -> None:
    """Dagster loads it in every process and on every reload, with whatever store is configured."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE", "LANG"))}

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD_WITHOUT_SOCKETS],
        cwd=tmp_path,
        env={**kept, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
