"""The chart is a small, valid picture."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from crypto_pipeline.defs.chart import HEIGHT, WIDTH, chart_markdown, price_chart


@pytest.mark.parametrize("closes", [[], [5.0], [5.0, 5.0], [1.0, 3.0, 2.0], [float(n % 97) for n in range(300)]])
def test_a_chart_is_a_small_png_whatever_the_prices(closes: list[float]) -> None:
    """One price, a flat line and many prices all give a picture that fits into an event."""
    picture = price_chart(closes)

    assert Image.open(io.BytesIO(picture)).size == (WIDTH, HEIGHT)
    assert len(picture) < 12_000


def test_a_rising_price_is_drawn_from_the_lower_left_to_the_upper_right() -> None:
    """The line goes the way the price went."""
    image = Image.open(io.BytesIO(price_chart([1.0, 2.0]))).convert("RGB")

    dark = {
        (x, y)
        for x in range(WIDTH)
        for y in range(HEIGHT)
        if sum(image.getpixel((x, y))) < 450  # type: ignore[arg-type]  # an RGB pixel is three numbers
    }
    left, right = min(dark), max(dark)
    assert left[1] > right[1]


def test_the_markdown_names_lowest_and_highest_price_and_holds_the_picture() -> None:
    """What the picture cannot say is said in words."""
    text = chart_markdown("BTC-USDT 2026-10", [50_000.5, 40_000.25])

    assert "low 40,000.25" in text
    assert "high 50,000.5" in text
    data = text.partition("base64,")[2].rstrip(")")
    assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")


def test_no_candles_are_said_in_words() -> None:
    """An empty month has no picture."""
    assert chart_markdown("BTC-USDT 2026-10", []) == "**BTC-USDT 2026-10**: no candles"
