"""What the commands say and with which code they end; the runs themselves are in the tests beside this one."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from crypto_pipeline.demo.runs import Outcome
from crypto_pipeline.demo.show import last_full_months, show_demo, show_live, show_outcomes, show_run
from crypto_pipeline.errors import ConfigurationError, ExchangeUnavailableError
from crypto_pipeline.exchanges import CLIENTS
from crypto_pipeline.sandbox.server import Sandbox, running_sandbox
from crypto_pipeline.settings import PREFIX
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.project import make_project

NOW = datetime.now(UTC)
RUNNING = f"{NOW:%Y-%m}"
NEXT = f"{NOW.year + NOW.month // 12}-{NOW.month % 12 + 1:02}"


class Screen:
    """A terminal, and what it shows."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        self.console = Console(file=self._file, width=200)

    @property
    def said(self) -> str:
        """Everything that was printed, on one line."""
        return " ".join(self._file.getvalue().split())


@pytest.fixture
def screen() -> Screen:
    """A terminal of this test's own."""
    return Screen()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder, as the working folder, in an environment that leads nowhere."""
    empty_environment(monkeypatch, tmp_path)
    home = make_project(tmp_path / "project", {}).home
    monkeypatch.chdir(home)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    monkeypatch.setenv(f"{PREFIX}OP_RETRIES", "0")
    return home


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Exchanges that the settings lead to."""
    with running_sandbox() as running:
        for exchange in CLIENTS:
            monkeypatch.setenv(f"{PREFIX}{exchange.upper()}_URL", running.urls[exchange])
        yield running


# Months...


@pytest.mark.parametrize(
    ("now", "count", "expected"),
    [
        (datetime(2026, 11, 24, tzinfo=UTC), 1, ("2026-10", "2026-10")),
        (datetime(2026, 11, 1, 0, 0, tzinfo=UTC), 1, ("2026-10", "2026-10")),
        (datetime(2026, 10, 31, 23, 59, tzinfo=UTC), 1, ("2026-09", "2026-09")),
        (datetime(2026, 1, 31, tzinfo=UTC), 1, ("2025-12", "2025-12")),
        (datetime(2026, 3, 31, tzinfo=UTC), 2, ("2026-01", "2026-02")),
        (datetime(2026, 3, 5, tzinfo=UTC), 13, ("2025-02", "2026-02")),
        (datetime(2024, 3, 30, tzinfo=UTC), 120, ("2014-03", "2024-02")),
    ],
)
def test_full_months_are_those_that_are_over(now: datetime, count: int, expected: tuple[str, str]) -> None:
    assert last_full_months(now, count) == expected


@pytest.mark.parametrize(
    ("first", "last", "says"),
    [
        ("2026-13", None, "'2026-13' is not a month such as"),
        ("october", None, "'october' is not a month"),
        ("2026-10-01", None, "'2026-10-01' is not a month"),
        ("2019-12", None, "2019-12 is not between the first month (2020-01, CRYPTO_PIPELINE_FIRST_MONTH)"),
        (NEXT, None, f"{NEXT} is not between"),
        ("2026-01", NEXT, f"{NEXT} is not between"),
        ("2025-10", "2025-9", "2025-09 is before 2025-10. Name the earlier month first."),
        ("2025-10", "2024-11", "2024-11 is before 2025-10"),
    ],
)
def test_a_month_that_cannot_be_run_is_told_before_anything_is_started(
    first: str, last: str | None, says: str, screen: Screen, home: Path
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        show_run(screen.console, exchanges=["okx"], first=first, last=last)

    assert says in str(raised.value)
    assert screen.said == ""
    assert not (home / "var").exists()


def test_the_first_month_is_a_setting(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}FIRST_MONTH", "2025-06")

    with pytest.raises(ConfigurationError, match=r"2025-05 is not between the first month \(2025-06"):
        show_run(screen.console, exchanges=["okx"], first="2025-05", last=RUNNING)


# Exchanges...


def test_an_exchange_that_is_not_configured_is_told_with_those_that_are(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}EXCHANGES", "okx,bybit")

    with pytest.raises(ConfigurationError, match="kraken, binance is not among the configured exchanges: okx, bybit"):
        show_run(screen.console, exchanges=["okx", "kraken", "binance"], first=None, last=None)


def test_without_any_exchange_there_is_nothing_to_run(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}EXCHANGES", "")

    with pytest.raises(ConfigurationError, match="CRYPTO_PIPELINE_EXCHANGES is empty"):
        show_run(screen.console, exchanges=[], first=None, last=None)


# Runs...


def test_a_run_says_what_it_does_shows_the_table_and_names_each_file(
    screen: Screen, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """A month in which the symbol was listed two days before its end; an exchange that is named twice is run once."""
    monkeypatch.setenv(f"{PREFIX}SYMBOLS", "PEPE-USDT")
    monkeypatch.setenv(f"{PREFIX}WIDE_SYMBOLS", "bybit:PEPE-USDT")

    code = show_run(screen.console, exchanges=["bybit", "bybit"], first="2023-6", last=None)

    assert code == 0, screen.said
    assert "Running the main job for 2023-06 on bybit …" in screen.said
    assert "│ bybit │ no key configured │ 2,880 │ 40,320 │" in screen.said
    (file,) = home.rglob("candles_wide/**/data.parquet")
    assert str(file.relative_to(home)) in screen.said
    assert "s in all." in screen.said
    assert len({request["path"] for request in sandbox.requests()}) > 1


FAILED = (
    Outcome("binance", 0, 1.0, verdict="read-only", trace="a warning"),
    Outcome("okx", 4, 2.0, failure="OKX refused [red]the[/red] key.", trace="Traceback of okx [/]"),
    Outcome("bybit", 5, 3.0, failure="Bybit is down.", trace="Traceback of bybit"),
)


@pytest.mark.parametrize("debug", [False, True])
def test_each_failure_has_its_sentence_and_only_when_asked_its_traceback(debug: bool, screen: Screen) -> None:
    """What they hold is shown as it is; the code is that of the first."""
    code = show_outcomes(screen.console, FAILED, seconds=3.25, debug=debug)

    assert code == 4
    assert "okx: OKX refused [red]the[/red] key." in screen.said
    assert "bybit: Bybit is down." in screen.said
    assert ["Traceback of okx [/]" in screen.said, "Traceback of bybit" in screen.said] == [debug, debug]
    assert "a warning" not in screen.said
    assert "3.2 s in all." in screen.said


def test_where_nothing_failed_the_code_is_0(screen: Screen) -> None:
    assert show_outcomes(screen.console, FAILED[:1], seconds=1, debug=True) == 0
    assert "a warning" not in screen.said


# The demo...


@pytest.mark.parametrize("show", [show_demo, show_live])
@pytest.mark.parametrize(
    ("symbols", "months", "says"),
    [
        ("btcusdt", 1, "CRYPTO_PIPELINE_SYMBOLS: Value error, entry 1 is not a canonical symbol"),
        ("", 1, "CRYPTO_PIPELINE_SYMBOLS"),
        ("BTC-USDT", 1_000, "is not between the first month (2020-01"),
    ],
    ids=["misspelt symbol", "no symbol", "too many months"],
)
def test_a_demo_that_cannot_be_run_is_told_before_anything_is_started(
    show: Any, symbols: str, months: int, says: str, screen: Screen, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        show(screen.console, symbols=symbols, months=months, data=tmp_path / "data")

    assert says in str(raised.value)
    assert screen.said == ""


def test_the_demo_needs_a_project_folder_and_says_so_before_it_starts_servers(
    screen: Screen, home: Path, tmp_path: Path
) -> None:
    (home / "dagster.yaml").unlink()

    with pytest.raises(ConfigurationError, match=r"There is no dagster\.yaml"):
        show_demo(screen.console, symbols="BTC-USDT", months=1, data=tmp_path / "data")

    assert screen.said == ""


def test_live_says_of_each_exchange_why_it_cannot_be_reached(screen: Screen, sandbox: Sandbox, tmp_path: Path) -> None:
    for exchange in CLIENTS:
        sandbox.add_fault(exchange, "region_block")

    with pytest.raises(ExchangeUnavailableError, match="No exchange can be reached from this machine"):
        show_live(screen.console, symbols="BTC-USDT", months=1, data=tmp_path)

    assert [client.title for client in CLIENTS.values() if client.title not in screen.said] == []
    assert screen.said.count("region") >= len(CLIENTS)


@pytest.mark.timeout(60)
def test_live_does_not_wait_for_ever_for_an_exchange_that_says_nothing(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A firewall that swallows packets gives no answer at all."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for exchange in CLIENTS:
            monkeypatch.setenv(f"{PREFIX}{exchange.upper()}_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")

        with pytest.raises(ExchangeUnavailableError):
            show_live(screen.console, symbols="BTC-USDT", months=1, data=tmp_path)

    assert screen.said.count("did not answer within") == len(CLIENTS)


def test_live_runs_on_the_exchanges_that_answer_without_any_key_and_ends_with_a_code_for_the_others(
    screen: Screen, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Keys that are configured for something else are not touched."""
    monkeypatch.setenv(f"{PREFIX}SECRETS", "environment")
    monkeypatch.setenv(f"{PREFIX}KEYS", "binance")
    for exchange in ("okx", "coinbase", "bybit"):
        sandbox.add_fault(exchange, "region_block")

    code = show_live(screen.console, symbols="BTC-USDT", months=1, data=tmp_path)

    first, _ = last_full_months(datetime.now(UTC), 1)
    assert code == 5, screen.said
    assert f"Running the main job for {first} on binance …" in screen.said
    assert "│ binance │ no key configured │" in screen.said
    assert [request for request in sandbox.requests() if request["key"]] == []
