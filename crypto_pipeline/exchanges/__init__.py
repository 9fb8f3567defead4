"""
Clients that read from one exchange each: a family behind one interface.

A new exchange is one new file and one line in the registries here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.exchanges import binance, bybit, coinbase, okx
from crypto_pipeline.exchanges.base import BaseClient
from crypto_pipeline.exchanges.binance import BinanceClient
from crypto_pipeline.exchanges.binance_perpetual import BinancePerpetualClient
from crypto_pipeline.exchanges.bybit import BybitClient
from crypto_pipeline.exchanges.coinbase import CoinbaseClient
from crypto_pipeline.exchanges.huggingface import HuggingFaceClient
from crypto_pipeline.exchanges.interface import Candle, ExchangeClient, Instrument, Usage
from crypto_pipeline.exchanges.okx import OkxClient
from crypto_pipeline.exchanges.pages import CandlePage

CLIENTS: Mapping[str, type[BaseClient]] = {
    client.name: client for client in (BinanceClient, CoinbaseClient, OkxClient, BybitClient)
}
"""Exchanges with market data."""

PERPETUAL_CLIENTS: Mapping[str, type[BaseClient]] = {
    "binance": BinancePerpetualClient,
    "bybit": BybitClient,
    "okx": OkxClient,
}
"""Exchanges with linear perpetual contracts, each a member of `Perpetuals`; Binance has them at another host."""

ISSUER_PROBES: Mapping[str, type[BaseClient]] = {**CLIENTS, HuggingFaceClient.name: HuggingFaceClient}
"""Everyone whose keys can be asked about."""

CANDLE_PARSERS: Mapping[str, Callable[[bytes], list[Candle]]] = {
    "binance": binance.parse_candles,
    "coinbase": coinbase.parse_candles,
    "okx": okx.parse_candles,
    "bybit": bybit.parse_candles,
}


def parse_candles(exchange: str, body: bytes) -> list[Candle]:
    """
    Return the candles of a recorded answer, oldest first.

    Raises:
        ConfigurationError: there is no such exchange.
        MalformedAnswerError: the answer is not in the shape of the exchange's documents.
    """
    if exchange not in CANDLE_PARSERS:
        msg = f"There is no exchange {exchange!r}; there are {', '.join(CANDLE_PARSERS)}."
        raise ConfigurationError(msg)
    return CANDLE_PARSERS[exchange](body)


__all__ = [
    "CLIENTS",
    "ISSUER_PROBES",
    "PERPETUAL_CLIENTS",
    "BaseClient",
    "BinanceClient",
    "BinancePerpetualClient",
    "BybitClient",
    "Candle",
    "CandlePage",
    "CoinbaseClient",
    "ExchangeClient",
    "HuggingFaceClient",
    "Instrument",
    "OkxClient",
    "Usage",
    "parse_candles",
]
