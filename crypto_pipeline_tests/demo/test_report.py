"""What the terminal shows of runs, wide and narrow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from crypto_pipeline.demo.report import WIDTH_WITH_FILES, Bars, open_console, show_table, table_of
from crypto_pipeline.demo.runs import Outcome

ROOT = Path("/srv/project")
WIDE, NARROW = WIDTH_WITH_FILES, 80


class Terminal:
    """A terminal of this many columns, and what it shows."""

    def __init__(self, columns: int) -> None:
        self.console = Console(file=io.StringIO(), width=columns, highlight=False)

    @property
    def text(self) -> str:
        """Everything that was printed."""
        assert isinstance(self.console.file, io.StringIO)
        return self.console.file.getvalue()

    def cells(self, first: str) -> list[str]:
        """Return the cells of the row that begins with this one."""
        (row,) = [line for line in self.text.splitlines() if line.startswith(f"│ {first} ")]
        return [cell.strip() for cell in row.strip("│").split("│")]


def month(name: str = "2026-10", **changes: Any) -> dict[str, Any]:
    """Return what a worker tells of one month."""
    files = [f"{ROOT}/var/lake/candles/month={name}/data.parquet"]
    told = {"month": name, "dagster/row_count": 44_640, "missing": 0, "requests": 45, "seconds": 1.5, "files": files}
    return told | changes


def outcome(exchange: str = "binance", **changes: Any) -> Outcome:
    """Return how a good run of one month ended."""
    whole: dict[str, Any] = {"exit_code": 0, "seconds": 2.345, "verdict": "read-only", "months": (month(),), **changes}
    return Outcome(exchange, **whole)


def test_a_row_tells_key_rows_gaps_requests_seconds_and_file() -> None:
    terminal = Terminal(WIDE)

    show_table(terminal.console, [outcome()], root=ROOT)

    assert terminal.cells("binance") == [
        "binance", "read-only", "44,640", "0", "45", "2.3", "var/lake/candles/month=2026-10/data.parquet",
    ]  # fmt: skip


def test_a_range_of_months_is_summed_and_each_file_has_its_line() -> None:
    terminal = Terminal(WIDE)
    months = (month("2026-09", missing=7), month("2026-10", missing=3))

    show_table(terminal.console, [outcome(months=months)], root=ROOT)

    assert terminal.cells("binance")[2:5] == ["89,280", "10", "90"]
    assert [f"month={name}/data.parquet" in terminal.text for name in ("2026-09", "2026-10")] == [True, True]


def test_on_a_narrow_terminal_the_files_follow_below_the_table_each_on_one_line() -> None:
    """A path that is cut in two can be neither read nor copied."""
    terminal = Terminal(NARROW)
    long = (
        f"{ROOT}/var/lake/candles/exchange=binance/market=spot/interval=1m/symbol=BTC-USDT/month=2026-10/data.parquet"
    )

    show_table(terminal.console, [outcome(months=(month(files=[long]),)), outcome("okx")], root=ROOT)

    *table, first, second = terminal.text.splitlines()
    assert max(map(len, table)) <= NARROW
    assert "parquet" not in "\n".join(table)
    assert first == long.removeprefix(f"{ROOT}/")
    assert second == "var/lake/candles/month=2026-10/data.parquet"


def test_a_file_outside_of_the_project_is_shown_whole() -> None:
    terminal = Terminal(NARROW)

    show_table(terminal.console, [outcome(months=(month(files=["/mnt/lake/data.parquet"]),))], root=ROOT)

    assert terminal.text.splitlines()[-1] == "/mnt/lake/data.parquet"


@pytest.mark.parametrize("columns", [WIDE, NARROW])
def test_a_folder_with_brackets_in_its_name_is_shown_as_it_is(columns: int) -> None:
    """Rich takes such words for colours otherwise."""
    terminal = Terminal(columns)

    show_table(terminal.console, [outcome(months=(month(files=["/mnt/[red]lake[/red]/data.parquet"]),))], root=ROOT)

    assert "/mnt/[red]lake[/red]/data.parquet" in terminal.text


def test_a_failed_run_says_so_where_the_verdict_stands() -> None:
    terminal = Terminal(WIDE)

    show_table(terminal.console, [outcome(exit_code=4, failure="it failed", months=())], root=ROOT)

    assert terminal.cells("binance") == ["binance", "failed", "0", "0", "0", "2.3", "none"]


def test_exchanges_stand_in_the_order_in_which_they_were_run() -> None:
    table = table_of([outcome("okx"), outcome("binance")], root=ROOT, with_files=False)

    assert list(table.columns[0].cells) == ["okx", "binance"]


# Bars...


def told(done: int, total: int = 44_640) -> dict[str, Any]:
    """Return what a worker tells while it works."""
    return {"symbol": "BTC-USDT", "month": "2026-10", "done": done, "total": total}


def test_each_exchange_has_a_bar_that_says_how_far_it_is() -> None:
    terminal = Terminal(120)

    with Bars(terminal.console, ["binance", "okx"]) as bars:
        bars.update("binance", told(1_000))
        bars.update("binance", told(12_345))

    lines = terminal.text.splitlines()
    assert [line.split()[0] for line in lines if line.strip()] == ["binance", "okx"]
    assert "BTC-USDT 2026-10  12,345 of 44,640 minutes" in lines[0]
    assert "starting" in lines[1]


def test_the_bars_are_left_as_they_stand_when_something_fails() -> None:
    terminal = Terminal(120)

    def work() -> None:
        with Bars(terminal.console, ["okx"]) as bars:
            bars.update("okx", told(5))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()

    assert "5 of 44,640 minutes" in terminal.text


# The terminal itself...


def test_what_is_no_terminal_gets_lines_as_long_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log file has no width, and paths in it should be whole."""
    monkeypatch.delenv("COLUMNS", raising=False)

    assert open_console().width == WIDTH_WITH_FILES


def test_a_width_that_was_asked_for_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "77")

    assert open_console().width == 77


def test_a_real_terminal_has_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich asks it, or takes what the environment says of it."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")

    console = open_console()

    assert console.is_terminal
    assert console.width == Console().width
