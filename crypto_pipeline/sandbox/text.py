"""
How the whole numbers of the market's rows are written: the digits of the exact decimal, without making one.

A page has ten thousand numbers, so this is where much of a simulated exchange's time goes.
"""

from __future__ import annotations

from collections.abc import Callable


def trimmed(decimals: int) -> Callable[[int], str]:
    """Return what writes a number of so many decimals without zeros at its end: 150 with 2 decimals is `1.5`."""
    if decimals == 0:
        return str
    unit = 10**decimals
    form = f"%d.%0{decimals}d"

    def write(units: int) -> str:
        if units % 10:
            text: str = form % divmod(units, unit)
            return text
        whole, part = divmod(units, unit)
        return f"{whole}.{part:0{decimals}d}".rstrip("0") if part else str(whole)

    return write
