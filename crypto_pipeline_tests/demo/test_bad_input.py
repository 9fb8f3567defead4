"""What goes wrong outside gives a sentence and an exit code, and no half-written data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crypto_pipeline.demo.stack import Stack
from crypto_pipeline_tests.support.mounts import mounted
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.project import Finished, Project

PATH = "crypto-pipeline/binance"


@dataclass(frozen=True)
class Trouble:
    """One bad day: how it is brought about, and what the user is told."""

    name: str
    arrange: Callable[[Stack], dict[str, str]]
    code: int
    says: tuple[str, ...]
    exchange: str = "binance"


def sealed(stack: Stack) -> dict[str, str]:
    """Seal the store."""
    stack.vault.sys.seal()
    return {}


def denied(stack: Stack) -> dict[str, str]:
    """Give the pipeline a token that may read nothing."""
    token = stack.vault.auth.token.create(policies=["default"], ttl="1h")["auth"]["client_token"]
    return {"VAULT_TOKEN": token}


def missing(stack: Stack) -> dict[str, str]:
    """Take the secret away."""
    stack.vault.secrets.kv.v2.delete_metadata_and_all_versions(path=PATH)
    return {}


def without_a_field(stack: Stack) -> dict[str, str]:
    """Store only one half of the key."""
    stack.vault.secrets.kv.v2.create_or_update_secret(path=PATH, secret={"api_key": "k" * 64})
    return {}


def wrong_secret(stack: Stack) -> dict[str, str]:
    """Store a secret that does not belong to the key."""
    stored = stack.vault.secrets.kv.v2.read_secret_version(path=PATH, raise_on_deleted_version=True)["data"]["data"]
    stack.vault.secrets.kv.v2.create_or_update_secret(path=PATH, secret={**stored, "api_secret": "x" * 64})
    return {}


def fault(kind: str, exchange: str = "binance", **more: Any) -> Callable[[Stack], dict[str, str]]:
    """Let the exchange misbehave."""

    def arrange(stack: Stack) -> dict[str, str]:
        stack.sandbox.add_fault(exchange, kind, **more)
        return {}

    return arrange


def variables(**values: str) -> Callable[[Stack], dict[str, str]]:
    """Change the environment only."""
    return lambda _: {f"CRYPTO_PIPELINE_{name.upper()}": value for name, value in values.items()}


def nobody_listens(name: str) -> Callable[[Stack], dict[str, str]]:
    """Point a setting at a port where nobody listens."""
    return lambda _: {f"CRYPTO_PIPELINE_{name.upper()}": f"http://127.0.0.1:{free_port()}"}


TROUBLES = (
    Trouble("store down", nobody_listens("vault_address"), 3, ("cannot be reached",)),
    Trouble("store sealed", sealed, 3, ("sealed",)),
    Trouble("store denies", denied, 3, ("denied", PATH)),
    Trouble("secret missing", missing, 3, (PATH,)),
    Trouble("field missing", without_a_field, 3, ("api_secret",)),
    Trouble("secret wrong", wrong_secret, 4, ("Binance", PATH)),
    Trouble("exchange down", nobody_listens("binance_url"), 5, ("Binance",)),
    Trouble("connection cut", fault("cut"), 5, ("Binance",)),
    Trouble("body cut", fault("cut_body", path_prefix="/api/v3/klines"), 5, ("Binance",)),
    Trouble("server error", fault("status_5xx"), 5, ("Binance",)),
    Trouble("maintenance", fault("maintenance"), 5, ("Binance",)),
    Trouble("rate limited", fault("rate_limited", path_prefix="/api/v3/klines"), 5, ("Binance", "wait")),
    Trouble("banned", fault("banned", path_prefix="/api/v3/klines"), 5, ("Binance", "banned")),
    Trouble("bybit bans", fault("banned", "bybit", path_prefix="/v5/market/kline"), 5, ("Bybit", "banned"), "bybit"),
    Trouble("region block", fault("region_block"), 5, ("Binance", "region")),
    Trouble("clock wrong", fault("clock", amount=60), 5, ("clock", "60 s")),
    Trouble("not json", fault("malformed", path_prefix="/api/v3/klines"), 5, ("Binance",)),
    Trouble("unknown symbol", variables(symbols="XYZZY-USDT"), 5, ("Binance", "XYZZY-USDT")),
    Trouble("bad setting", variables(symbols="btcusdt"), 2, ("CRYPTO_PIPELINE_SYMBOLS",)),
)


HEAVY = {"connection cut", "body cut", "server error", "maintenance", "bybit bans", "not json"}
"""Told by the same lines as another trouble of the list; the clients' contract tests have them all."""


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(trouble, id=trouble.name, marks=[pytest.mark.soak] if trouble.name in HEAVY else [])
        for trouble in TROUBLES
    ],
)
def test_each_trouble_has_its_sentence_and_exit_code_and_leaves_no_data(
    trouble: Trouble, stack: Stack, project: Project, lake: Path
) -> None:
    """Nothing half-written, no traceback, and a person knows what to do."""
    environment: dict[str, Any] = trouble.arrange(stack)

    done = project.run("run", "--exchange", trouble.exchange, **environment)

    assert_told(done, trouble.code, trouble.says)
    assert candles_under(lake) == []


def test_a_full_disk_has_its_sentence_and_leaves_no_data(project: Project, tmp_path: Path) -> None:
    """The lake lies on a file system that is too small for a month."""
    with mounted(tmp_path / "small", "size=256k") as small:
        done = project.run("run", "--exchange", "binance", CRYPTO_PIPELINE_LAKE=str(small / "lake"))

        assert_told(done, 8, ("space",))
        assert candles_under(small) == []


def test_a_lake_that_cannot_be_written_has_its_sentence(project: Project, tmp_path: Path) -> None:
    """The lake lies on a read-only file system."""
    with mounted(tmp_path / "frozen", "ro") as frozen:
        done = project.run("run", "--exchange", "binance", CRYPTO_PIPELINE_LAKE=str(frozen / "lake"))

        assert_told(done, 8, (str(frozen),))


def test_an_audit_log_that_cannot_be_written_stops_everything(
    stack: Stack, project: Project, tmp_path: Path, lake: Path
) -> None:
    """No record, no secret: nothing is asked of any exchange."""
    with mounted(tmp_path / "frozen", "ro") as frozen:
        done = project.run("run", "--exchange", "binance", CRYPTO_PIPELINE_AUDIT_LOG=str(frozen / "audit.jsonl"))

    assert done.code == 9, done.said
    assert "audit log" in done.said.lower() or "settings last seen" in done.said.lower()
    assert candles_under(lake) == []
    assert [request for request in stack.sandbox.requests() if request["exchange"] == "binance"] == []


def assert_told(done: Finished, code: int, says: tuple[str, ...]) -> None:
    """Check exit code and sentence, and that no traceback was shown."""
    assert done.code == code, done.said
    for words in says:
        assert words.lower() in done.said.lower(), done.said
    assert "Traceback" not in done.out + done.err


def candles_under(root: Path) -> list[Path]:
    """Return the candle files and every file that was not finished."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return [path for path in files if path.suffix != ".parquet" or "candles" in str(path)]
