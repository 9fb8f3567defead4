"""What a person sees in Dagster's UI, looked at with Chromium."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from crypto_pipeline.demo.show import last_full_months
from crypto_pipeline.demo.stack import running_stack
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline_tests.support.browser import browser_page, chromium
from crypto_pipeline_tests.support.project import make_project
from crypto_pipeline_tests.support.web_server import web_server

PATIENCE_MS = 60_000
ASSET_PAGE = "{url}/assets/binance/candles_1m?view=partitions&partition={month}"


@pytest.mark.timeout(280)
def test_the_pages_show_the_graph_a_month_with_its_chart_and_a_refused_key(tmp_path: Path) -> None:
    """One browser visit: asset graph, candles with chart and checks, and why a key was refused."""
    chromium()
    month, _ = last_full_months(datetime.now(UTC), 1)
    pictures = Path(os.environ.get("SCREENSHOTS", tmp_path / "screenshots"))
    with running_stack(tmp_path / "data", kinds={"okx": KeyKind.MAY_WITHDRAW}) as stack:
        project = make_project(tmp_path / "project", stack.environment)
        done = project.run("run", "--exchange", "binance", "--exchange", "okx")
        assert done.code == 4, done.said
        with web_server(project) as url, browser_page() as page:
            look_at_the_graph(page, url, pictures)
            look_at_the_month(page, url, month, pictures)
            look_at_the_refused_key(page, url, pictures)


def look_at_the_graph(page: Page, url: str, pictures: Path) -> None:
    """Every exchange has its three assets."""
    page.goto(f"{url}/locations/crypto_pipeline/asset-groups/binance")
    for name in ("api_key", "instruments", "candles_1m"):
        expect(page.get_by_text(name).first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("2 / 2 Passed")).to_be_visible(timeout=PATIENCE_MS)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=pictures / "asset-graph.png")


def look_at_the_month(page: Page, url: str, month: str, pictures: Path) -> None:
    """The chart is a picture that the browser could draw."""
    page.goto(ASSET_PAGE.format(url=url, month=month))
    expect(page.get_by_text("44,640").or_(page.get_by_text("credential_version")).first).to_be_visible(
        timeout=PATIENCE_MS
    )
    page.get_by_text("[Show Markdown]").click(timeout=PATIENCE_MS)
    chart = page.locator("img[alt^='BTC-USDT']").first
    expect(chart).to_be_visible(timeout=PATIENCE_MS)
    assert chart.evaluate("image => image.naturalWidth") == 480
    page.screenshot(path=pictures / "candles.png")


def look_at_the_refused_key(page: Page, url: str, pictures: Path) -> None:
    """The check says what the key may do and what to do about it."""
    page.goto(f"{url}/assets/okx/api_key?view=checks")
    expect(page.get_by_text("withdraw").first).to_be_visible(timeout=PATIENCE_MS)
    page.screenshot(path=pictures / "refused-key.png")
