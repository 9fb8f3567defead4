"""The demo, as a newcomer runs it: every minute of a month on four exchanges, twice with the same bytes."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from crypto_pipeline.demo.show import last_full_months
from crypto_pipeline.exchanges import CLIENTS
from crypto_pipeline.market.months import MINUTE_MS, month_bounds
from crypto_pipeline_tests.support.project import ROOT, Finished, make_project


def hashes(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of the lake."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def told(done: Finished, exchange: str) -> tuple[str, int, int]:
    """Return verdict, rows and gaps as the table shows them."""
    row = next(line for line in done.out.splitlines() if re.match(rf"│ {exchange} +│", line))
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    return cells[1], int(cells[2].replace(",", "")), int(cells[3].replace(",", ""))


@pytest.mark.timeout(280)
def test_the_demo_fetches_every_minute_of_a_month_and_prints_what_the_readme_shows(tmp_path: Path) -> None:
    """No account, no key of one's own, no setting."""
    project = make_project(tmp_path / "project", {})
    lake = project.home / "var" / "sandbox" / "lake"
    month, _ = last_full_months(datetime.now(UTC), 1)
    start_ms, end_ms = month_bounds(month)

    done = project.run("demo", COLUMNS="80", timeout_seconds=130)

    assert done.code == 0, done.said
    for exchange in CLIENTS:
        verdict, rows, gaps = told(done, exchange)
        (candles,) = (lake / "candles" / f"exchange={exchange}").rglob("data.parquet")
        assert verdict == "read-only"
        assert rows + gaps == (end_ms - start_ms) // MINUTE_MS
        assert gaps == 0 or exchange == "coinbase"
        assert pq.read_metadata(candles).num_rows == rows
    assert shape(done.out) == shape(readme_output())


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_demo_run_three_times_makes_the_same_bytes(tmp_path: Path) -> None:
    """The heavy version of what `market` and `lake` show for one month."""
    project = make_project(tmp_path / "project", {})
    lake = project.home / "var" / "sandbox" / "lake"

    made = []
    for _ in range(3):
        assert project.run("demo", timeout_seconds=130).code == 0
        made.append(hashes(lake))

    assert made[0] == made[1] == made[2]
    assert len(made[0]) == 2 * len(CLIENTS)


def readme_output() -> str:
    """Return what the README says that the demo prints."""
    text = (ROOT / "README.md").read_text()
    found = re.search(r"<!-- demo output: begin -->\n```\n(.*?)```\n<!-- demo output: end -->", text, re.DOTALL)
    assert found, "the README has lost its demo output"
    return found[1]


def shape(output: str) -> list[str]:
    """Return the lines without what differs from run to run: numbers, widths, the folder, how far bars got."""
    lines = (re.sub(r"\S*/var/", "…/var/", line) for line in output.strip().splitlines())
    masked = (re.sub(r"[\d.,:]*\d", "0", re.sub(r"[━─┏┓┡┩└┘┳┴╇ ]+", " ", line)).strip() for line in lines)
    return [line for line in masked if line]
