"""What the terminal shows of runs: a bar per exchange while they work, one table at the end."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from crypto_pipeline.demo.runs import Outcome

WIDTH_WITH_FILES = 185
"""Columns that the table takes with the longest paths of the demo in it."""


def open_console() -> Console:
    """Return the terminal; what is no terminal, such as a file, gets lines as long as they are."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=WIDTH_WITH_FILES)


class Bars:
    """One progress bar per exchange; plain lines where the output is not a terminal."""

    def __init__(self, console: Console, exchanges: Sequence[str]) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=32),
            TextColumn("{task.fields[said]:<44}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {
            exchange: self._progress.add_task(exchange, total=None, said="starting") for exchange in exchanges
        }

    def __enter__(self) -> Self:
        """Show the bars."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bars as they stand."""
        self._progress.stop()

    def update(self, exchange: str, told: Mapping[str, Any]) -> None:
        """Move one bar to where the worker says it is."""
        done, total = told["done"], told["total"]
        said = f"{told['symbol']} {told['month']}  {done:,} of {total:,} minutes"
        self._progress.update(self._tasks[exchange], completed=done, total=total, said=said)


def show_table(console: Console, outcomes: Sequence[Outcome], *, root: Path) -> None:
    """Print one row per exchange; where the terminal is too narrow for the files, they follow below."""
    fits = console.width >= WIDTH_WITH_FILES
    console.print(table_of(outcomes, root=root, with_files=fits))
    if not fits:
        for name in (name for outcome in outcomes for name in _files(outcome, root)):
            console.print(name, highlight=False, markup=False, soft_wrap=True)


def table_of(outcomes: Sequence[Outcome], *, root: Path, with_files: bool) -> Table:
    """Return one row per exchange: verdict on the key, rows, gaps, requests, seconds, files."""
    table = Table(title=None, header_style="bold", expand=False)
    table.add_column("exchange")
    table.add_column("key")
    for name in ("rows", "gaps (min)", "requests", "seconds"):
        table.add_column(name, justify="right")
    if with_files:
        table.add_column("file", no_wrap=True)
    for outcome in outcomes:
        months = outcome.months
        cells = [
            outcome.exchange,
            outcome.verdict if not outcome.failure else "[red]failed[/red]",
            f"{sum(month['dagster/row_count'] for month in months):,}",
            f"{sum(month['missing'] for month in months):,}",
            f"{sum(month['requests'] for month in months):,}",
            f"{outcome.seconds:.1f}",
        ]
        table.add_row(*cells, *([escape("\n".join(_files(outcome, root))) or "none"] if with_files else []))
    return table


def _files(outcome: Outcome, root: Path) -> list[str]:
    return [_short(name, root) for month in outcome.months for name in month["files"]]


def _short(path: str, root: Path) -> str:
    found = Path(path)
    return str(found.relative_to(root)) if found.is_relative_to(root) else path
