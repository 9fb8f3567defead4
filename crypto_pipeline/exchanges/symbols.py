"""Canonical symbols (`BTC-USDT`) and what each exchange calls them."""

from __future__ import annotations

import re

from crypto_pipeline.errors import UnknownSymbolError

_CANONICAL = re.compile(r"[A-Z0-9]{1,20}-[A-Z0-9]{1,20}")


def split(symbol: str, exchange: str) -> tuple[str, str]:
    """
    Return base and quote of a canonical symbol.

    Raises:
        UnknownSymbolError: it is not one.
    """
    if not _CANONICAL.fullmatch(symbol):
        msg = f"{symbol!r} is not a canonical symbol such as BTC-USDT."
        raise UnknownSymbolError(msg, exchange=exchange)
    base, _, quote = symbol.partition("-")
    return base, quote


def unknown(symbol: str, *, exchange: str, title: str) -> UnknownSymbolError:
    """Return the error for a symbol that the exchange does not list."""
    msg = f"{title} does not list {symbol}. Correct CRYPTO_PIPELINE_SYMBOLS; the asset {exchange}/instruments has all."
    return UnknownSymbolError(msg, exchange=exchange)


def without_contract(symbol: str, *, exchange: str, title: str) -> UnknownSymbolError:
    """Return the error for a symbol that the exchange has no linear perpetual contract for."""
    msg = (
        f"{title} has no perpetual contract for {symbol}. Leave it out of the symbols whose perpetual contracts are "
        "read; some are traded under another name, a thousand coins at a time."
    )
    return UnknownSymbolError(msg, exchange=exchange)
