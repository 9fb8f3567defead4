"""A key that is not proved read-only is refused, and nothing is fetched with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto_pipeline.demo.stack import running_stack
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline_tests.support.project import make_project

TITLES = {"binance": "Binance", "coinbase": "Coinbase", "okx": "OKX", "bybit": "Bybit"}
CASES = (
    ("binance", KeyKind.MAY_TRADE, "trade"),
    ("binance", KeyKind.MAY_WITHDRAW, "withdraw"),
    ("binance", KeyKind.MAY_TRANSFER, "transfer"),
    ("binance", KeyKind.UNKNOWN_FLAG, "may"),
    ("binance", KeyKind.FLAG_MISSING, "enableReading"),
    ("binance", KeyKind.REVOKED, "reject"),
    ("coinbase", KeyKind.MAY_TRADE, "trade"),
    ("coinbase", KeyKind.FLAG_MISSING, "can_view"),
    ("okx", KeyKind.MAY_WITHDRAW, "withdraw"),
    ("okx", KeyKind.UNKNOWN_FLAG, "stake"),
    ("bybit", KeyKind.MAY_TRADE, "write"),
    ("bybit", KeyKind.EXPIRED, "expired"),
)


LIGHT = {
    ("binance", KeyKind.UNKNOWN_FLAG), ("coinbase", KeyKind.FLAG_MISSING), ("okx", KeyKind.MAY_WITHDRAW),
    ("bybit", KeyKind.MAY_TRADE),
}  # fmt: skip
"""One whole run of each exchange in the suite, the others in the heavy part; `test_access` has all kinds of all."""


@pytest.mark.parametrize(
    ("exchange", "kind", "word"),
    [pytest.param(*case, marks=[] if case[:2] in LIGHT else [pytest.mark.soak]) for case in CASES],
)
def test_a_bad_key_fails_the_run_and_only_its_permissions_are_asked(
    exchange: str, kind: KeyKind, word: str, tmp_path: Path
) -> None:
    """The request log of the exchange shows one call with the key: the one that asks what it may do."""
    with running_stack(tmp_path / "data", kinds={exchange: kind}) as stack:
        project = make_project(tmp_path / "project", stack.environment)

        done = project.run("run", "--exchange", exchange)

        log = [request for request in stack.sandbox.requests() if request["exchange"] == exchange]
    assert done.code == 4, done.said
    assert TITLES[exchange] in done.said
    assert word in done.said
    assert f"crypto-pipeline/{exchange}" in done.said
    assert len([request for request in log if request["key"]]) == 1
    assert not list((tmp_path / "data" / "lake").rglob("*"))
