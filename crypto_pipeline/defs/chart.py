"""A small price chart for the UI, as Markdown with an inline PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 480, 140
_SCALE = 2  # drawn twice as large and reduced: Pillow's lines are not anti-aliased
_MARGIN = 6
_LINE, _GRID, _BACK = (31, 119, 180), (225, 229, 235), (255, 255, 255)


def price_chart(closes: Sequence[float]) -> bytes:
    """Return a PNG of WIDTH x HEIGHT pixels with one line through `closes`, oldest on the left."""
    image = Image.new("RGB", (WIDTH * _SCALE, HEIGHT * _SCALE), _BACK)
    draw = ImageDraw.Draw(image)
    margin = _MARGIN * _SCALE
    width, height = image.width - 2 * margin, image.height - 2 * margin
    for quarter in range(5):
        level = margin + height * quarter / 4
        draw.line([(margin, level), (margin + width, level)], fill=_GRID, width=_SCALE)
    if len(closes) > 1:
        low, high = min(closes), max(closes)
        span = (high - low) or 1.0
        points = [
            (margin + width * index / (len(closes) - 1), margin + height * (1 - (close - low) / span))
            for index, close in enumerate(closes)
        ]
        draw.line(points, fill=_LINE, width=2 * _SCALE, joint="curve")
    buffer = io.BytesIO()
    image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).quantize(32).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def chart_markdown(title: str, closes: Sequence[float]) -> str:
    """Return Markdown that shows the chart with its title, lowest and highest close in words."""
    if not closes:
        return f"**{title}**: no candles"
    picture = base64.b64encode(price_chart(closes)).decode()
    return (
        f"**{title}** · low {min(closes):,.10g} · high {max(closes):,.10g}\n\n"
        f"![{title}](data:image/png;base64,{picture})"
    )
