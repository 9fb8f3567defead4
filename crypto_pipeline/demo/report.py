"""What the terminal shows of runs: a bar per exchange while they work, one table at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from crypto_pipeline.demo.runs import Outcome


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


def table_of(outcomes: Sequence[Outcome], *, root: Path) -> Table:
    """Return one row per exchange: verdict on the key, rows, gaps, requests, seconds, files."""
    table = Table(title=None, header_style="bold", expand=False)
    for name, justify in (
        ("exchange", "left"), ("key", "left"), ("rows", "right"), ("gaps (min)", "right"),
        ("requests", "right"), ("seconds", "right"), ("file", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]  # literal by the table above
    for outcome in outcomes:
        months = outcome.months
        files = [name for month in months for name in month["files"]]
        table.add_row(
            outcome.exchange,
            outcome.verdict if not outcome.failure else "[red]failed[/red]",
            f"{sum(month['dagster/row_count'] for month in months):,}",
            f"{sum(month['missing'] for month in months):,}",
            f"{sum(month['requests'] for month in months):,}",
            f"{outcome.seconds:.1f}",
            "\n".join(_short(name, root) for name in files) or "none",
        )
    return table


def _short(path: str, root: Path) -> str:
    found = Path(path)
    return str(found.relative_to(root)) if found.is_relative_to(root) else path
