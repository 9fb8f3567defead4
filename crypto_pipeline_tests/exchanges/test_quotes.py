"""Trades, quotes, books and perpetual contracts, each client against its sandbox; see `contract_quotes.py`."""

from __future__ import annotations

from typing import ClassVar

import pytest

from crypto_pipeline.errors import UnprovenKeyError
from crypto_pipeline.exchanges import CLIENTS, PERPETUAL_CLIENTS
from crypto_pipeline.exchanges.quotes import FundingRate
from crypto_pipeline.sandbox import binance_perpetual, perpetuals
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline_tests.exchanges.contract_quotes import (
    DAY_MS,
    NOW_MS,
    PERPETUAL_VERBS,
    PerpetualsContract,
    SpotQuotesContract,
    Visit,
)
from crypto_pipeline_tests.exchanges.support import MINUTE_MS, secrets_of


class TestBinanceSpot(SpotQuotesContract):
    exchange = "binance"
    title = "Binance"
    newest = 1000
    tells_quote_time = False
    tells_book_time = False
    tells_sequence = True


class TestOkxSpot(SpotQuotesContract):
    exchange = "okx"
    title = "OKX"
    newest = 500
    tells_quote_time = True
    tells_book_time = True
    tells_sequence = True


class TestCoinbaseSpot(SpotQuotesContract):
    exchange = "coinbase"
    title = "Coinbase"
    newest = 1000
    tells_quote_time = True
    tells_book_time = True
    tells_sequence = False
    signs = True


class TestBybitSpot(SpotQuotesContract):
    exchange = "bybit"
    title = "Bybit"
    newest = 60
    tells_quote_time = True
    tells_book_time = True
    tells_sequence = True


class TestBinancePerpetuals(PerpetualsContract):
    exchange = "binance"
    title = "Binance USD-M"
    place = "binance_perpetual"
    many: ClassVar = ("BTC-USDT", 400)
    tells_funding_mark = True

    def late_ms(self, symbol: str, payment_ms: int) -> int:
        return binance_perpetual.told_ms(symbol, payment_ms) - payment_ms

    def paid(self, symbol: str, start_ms: int, end_ms: int) -> list[FundingRate]:
        """Return the payments, some of them dated late, and old ones without the mark price."""
        due = perpetuals.payments("binance", symbol, start_ms - MINUTE_MS, min(end_ms - 1, NOW_MS))
        told = [(binance_perpetual.told_ms(symbol, moment), moment) for moment in due]
        return [
            FundingRate(
                told_ms, perpetuals.paid_rate("binance", symbol, moment), binance_perpetual.mark_at(symbol, moment)
            )
            for told_ms, moment in told
            if start_ms <= told_ms < end_ms
        ]

    def test_rates_from_before_mark_prices_were_kept_have_none(self, visit: Visit) -> None:
        """The exchange sends an empty text with them."""
        kept_ms = binance_perpetual.MARKS_KEPT_FROM_MS
        start_ms, end_ms = kept_ms - 2 * DAY_MS, kept_ms + 2 * DAY_MS

        found = visit(lambda client: client.read_funding_rates("BTC-USDT", start_ms, end_ms))

        assert found == self.paid("BTC-USDT", start_ms, end_ms)
        assert [rate.mark_price is None for rate in found] == [True] * 6 + [False] * 6

    @pytest.mark.parametrize("verb", PERPETUAL_VERBS)
    def test_no_key_is_shown(self, visit: Visit, sandbox: Sandbox, verb: str) -> None:
        """Nor taken: nobody could say at this host what it may do."""
        key = sandbox.keys.issue("binance", KeyKind.READ_ONLY, now_ms=sandbox.now_ms())

        with pytest.raises(UnprovenKeyError, match="Binance USD-M is read without a key") as refused:
            visit(lambda client: PERPETUAL_VERBS[verb](client, "BTC-USDT"), key)

        assert not any(secret in str(refused.value) for secret in secrets_of(key))
        assert sandbox.requests() == []


class TestBybitPerpetuals(PerpetualsContract):
    exchange = "bybit"
    title = "Bybit"
    many: ClassVar = ("BTC-USDT", 200)
    tells_value = True


class TestOkxPerpetuals(PerpetualsContract):
    exchange = "okx"
    title = "OKX"
    told_days = 92
    many: ClassVar = ("PEPE-USDT", 80)


def members(contract: type) -> set[str]:
    """Return the exchanges whose clients pass a contract here."""
    found = [one for one in globals().values() if isinstance(one, type) and issubclass(one, contract)]
    return {one.exchange for one in found if one is not contract}  # type: ignore[attr-defined] # both contracts have it


def test_every_client_keeps_the_contracts() -> None:
    """A new exchange has to appear above."""
    assert members(SpotQuotesContract) == set(CLIENTS)
    assert members(PerpetualsContract) == set(PERPETUAL_CLIENTS)
