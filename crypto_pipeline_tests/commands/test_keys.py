"""`keys check` shows a row per key, a sentence per problem, and ends with the code of the first."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from crypto_pipeline.commands.keys import show_keys
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.exchanges import ISSUER_PROBES
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline.sandbox.server import running_sandbox
from crypto_pipeline_tests.support.deployment import Deployment
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.search import hits


class Checked:
    """What `keys check` printed with the variables of a deployment, and its exit code."""

    def __init__(self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
        variables = {
            "CRYPTO_PIPELINE_SECRETS": "environment",
            "CRYPTO_PIPELINE_KEYS": ",".join(deployment.with_key),
            "CRYPTO_PIPELINE_AUDIT_LOG": str(deployment.audit_file),
            **{f"CRYPTO_PIPELINE_{issuer.upper()}_URL": deployment.sandbox.urls[issuer] for issuer in ISSUERS},
            **deployment.variables,
            **more,
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        shown = io.StringIO()
        console = Console(file=shown, width=200)
        self.code = asyncio.run(show_keys(console, now=datetime.now(UTC)))
        self.text = shown.getvalue()

    def row(self, issuer: str) -> list[str]:
        """Return the cells of an issuer's row, the first one left out."""
        (line,) = [line for line in self.text.splitlines() if line.startswith(f"│ {issuer} ")]
        return [cell.strip() for cell in line.strip("│").split("│")][1:]

    @property
    def sentences(self) -> list[str]:
        """What stands below the table."""
        return self.text[self.text.rindex("┘") + 1 :].strip().splitlines()


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Deployment]:
    """A sandbox, and an environment that leads to nothing else."""
    empty_environment(monkeypatch, tmp_path)
    with running_sandbox() as sandbox:
        yield Deployment(sandbox, tmp_path)


def test_good_keys_have_a_row_each_and_nothing_below(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which they are configured."""
    for issuer in ISSUER_PROBES:
        deployment.give_key(issuer)

    checked = Checked(deployment, monkeypatch)

    assert checked.code == 0
    assert checked.sentences == []
    for issuer in ISSUER_PROBES:
        verdict, may, _, _, version = checked.row(issuer)
        assert (verdict, version) == ("read-only", "environment")
        assert may
    assert checked.row("binance")[1:] == ["enableReading", "bound", "5 days ago", "environment"]
    assert checked.row("coinbase")[2:4] == ["not told", "not told"]
    assert checked.row("bybit")[2] == "127.0.0.1"


@pytest.mark.parametrize(
    ("issuer", "kind", "column", "says"),
    [
        ("binance", KeyKind.UNBOUND_IP, 2, "not bound"),
        ("bybit", KeyKind.UNBOUND_IP, 2, "not bound"),
        ("binance", KeyKind.OLD, 3, "100 days ago"),
        ("huggingface", KeyKind.OLD, 3, "100 days ago"),
    ],
)
def test_a_key_that_should_be_better_is_accepted_and_shown_as_it_is(
    issuer: str, kind: KeyKind, column: int, says: str, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.give_key(issuer, kind)

    checked = Checked(deployment, monkeypatch)

    assert checked.code == 0
    assert checked.row(issuer)[0] == "read-only"
    assert checked.row(issuer)[column] == says


@pytest.mark.parametrize("kind", [KeyKind.MAY_TRADE, KeyKind.FLAG_MISSING, KeyKind.REVOKED, KeyKind.EXPIRED])
@pytest.mark.parametrize("issuer", ISSUER_PROBES)
def test_a_refused_key_has_its_sentence_and_the_code_4(
    issuer: str, kind: KeyKind, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.give_key(issuer, kind)

    checked = Checked(deployment, monkeypatch)

    (*sentence,) = checked.sentences
    assert checked.code == 4
    assert checked.row(issuer) == ["refused", "", "", "", ""]
    assert ISSUER_PROBES[issuer].title in " ".join(sentence)
    assert len(deployment.requests(key=True)) == 1


def test_a_refused_key_does_not_keep_the_others_from_being_asked_about(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.give_key("okx", KeyKind.MAY_WITHDRAW)
    deployment.give_key("binance")

    checked = Checked(deployment, monkeypatch)

    assert checked.code == 4
    assert (checked.row("okx")[0], checked.row("binance")[0]) == ("refused", "read-only")


# what is wrong with Bybit and with OKX, the exit code
PROBLEMS = (
    ("denied", "refused", 5),
    ("refused", "denied", 4),
    ("missing", "refused", 3),
    ("good", "missing", 3),
    ("good", "denied", 5),
)


@pytest.mark.parametrize(("bybit", "okx", "code"), PROBLEMS)
def test_the_exit_code_is_that_of_the_first_problem(
    bybit: str, okx: str, code: int, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each problem has a sentence."""
    wrong = {"bybit": bybit, "okx": okx}
    for issuer, what in wrong.items():
        deployment.give_key(issuer, KeyKind.MAY_TRADE if what == "refused" else KeyKind.READ_ONLY)
        if what == "denied":
            deployment.sandbox.add_fault(issuer, "region_block")
        if what == "missing":
            deployment.variables = {
                name: value for name, value in deployment.variables.items() if not name.startswith(issuer.upper())
            }

    checked = Checked(deployment, monkeypatch)

    shown = {"denied": "not asked", "missing": "not asked", "refused": "refused", "good": "read-only"}
    assert checked.code == code
    assert {issuer: checked.row(issuer)[0] for issuer in wrong} == {
        issuer: shown[what] for issuer, what in wrong.items()
    }
    assert len(checked.sentences) >= sum(what != "good" for what in wrong.values())


def test_without_a_key_it_is_said_and_nobody_is_asked(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = Checked(deployment, monkeypatch, CRYPTO_PIPELINE_SECRETS="none")

    assert checked.code == 0
    assert checked.text.startswith("No key is configured (CRYPTO_PIPELINE_KEYS is empty)")
    assert deployment.requests() == []
    assert not deployment.audit_file.exists()


def test_a_store_that_cannot_be_opened_ends_the_command(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to show for any key."""
    deployment.with_key.append("okx")

    with pytest.raises(ConfigurationError, match="VAULT_TOKEN"):
        Checked(deployment, monkeypatch, CRYPTO_PIPELINE_SECRETS="vault")


def test_every_look_at_a_key_is_on_record(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment.give_key("binance")
    deployment.give_key("okx", KeyKind.MAY_TRADE)

    Checked(deployment, monkeypatch)

    accesses = deployment.events("secret_access")
    assert {(event["accessor"], event["asset"]) for event in accesses} == {("crypto_pipeline/keys_check", "keys_check")}
    assert [(event["secret_name"], event["action"], event.get("signed_requests")) for event in accesses] == [
        ("BINANCE_API_KEY", "read", None),
        ("BINANCE_API_KEY", "use", 1),
        ("OKX_API_KEY", "read", None),
        ("OKX_API_KEY", "use", 1),
    ]
    assert [event["event"] for event in deployment.events() if event["event"].startswith("key_")] == [
        "key_accepted",
        "key_refused",
    ]


def test_no_part_of_a_key_is_shown(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is accepted or refused."""
    for issuer, kind in zip(ISSUER_PROBES, (*KeyKind,), strict=False):
        deployment.give_key(issuer, kind)

    checked = Checked(deployment, monkeypatch)

    assert hits(deployment.variables, iter([("the table", checked.text.encode())])) == []
