"""The four market-data clients, each against its sandbox; what they have in common stands in `contract.py`."""

from __future__ import annotations

from typing import ClassVar

from crypto_pipeline.errors import BannedError, RejectedKeyError
from crypto_pipeline.exchanges import CLIENTS
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline_tests.exchanges.contract import FIELDS, ClientContract

PRICES = ("open", "high", "low", "close", "volume")


class TestBinance(ClientContract):
    exchange = "binance"
    title = "Binance"
    candles_paths = ("/api/v3/klines",)
    permissions_path = "/sapi/v1/account/apiRestrictions"
    time_path = "/api/v3/time"
    told = FIELDS
    excess: ClassVar = {
        KeyKind.MAY_TRADE: "may trade (enableSpotAndMarginTrading)",
        KeyKind.MAY_WITHDRAW: "may withdraw (enableWithdrawals)",
        KeyKind.MAY_TRANSFER: "may transfer (permitsUniversalTransfer)",
        KeyKind.UNKNOWN_FLAG: "may do more than read (enableStaking)",
    }
    missing = "enableReading"
    tells_age = True
    tells_binding = True


class TestCoinbase(ClientContract):
    exchange = "coinbase"
    title = "Coinbase"
    candles_paths = ("/api/v3/brokerage/products/", "/api/v3/brokerage/market/products/")
    permissions_path = "/api/v3/brokerage/key_permissions"
    time_path = "/api/v3/brokerage/time"
    told = PRICES
    excess: ClassVar = {
        KeyKind.MAY_TRADE: "may trade (can_trade)",
        KeyKind.MAY_WITHDRAW: "may transfer (can_transfer)",
        KeyKind.MAY_TRANSFER: "may transfer (can_transfer)",
        KeyKind.UNKNOWN_FLAG: "may do more than read (can_stake)",
    }
    missing = "can_view"
    tells_age = False
    tells_binding = False
    shows_key_in_header = False
    # It refuses an address with a bare 403, and a token with a bare 401, whatever is wrong.
    region_error = BannedError
    clock_error = RejectedKeyError


class TestOkx(ClientContract):
    exchange = "okx"
    title = "OKX"
    candles_paths = ("/api/v5/market/",)
    permissions_path = "/api/v5/account/config"
    time_path = "/api/v5/public/time"
    told = (*PRICES, "quote_volume")
    flags_unfinished = True
    excess: ClassVar = {
        KeyKind.MAY_TRADE: "may trade (trade)",
        KeyKind.MAY_WITHDRAW: "may trade and withdraw (trade, withdraw)",
        KeyKind.MAY_TRANSFER: "may trade (trade)",
        KeyKind.UNKNOWN_FLAG: "may do more than read (stake)",
    }
    missing = "perm"
    tells_age = False
    tells_binding = True


class TestBybit(ClientContract):
    exchange = "bybit"
    title = "Bybit"
    candles_paths = ("/v5/market/kline",)
    permissions_path = "/v5/user/query-api"
    time_path = "/v5/market/time"
    told = (*PRICES, "quote_volume")
    excess: ClassVar = {
        KeyKind.MAY_TRADE: "may trade and write (",
        KeyKind.MAY_WITHDRAW: "may trade, transfer, withdraw and write (",
        KeyKind.MAY_TRANSFER: "may trade, transfer and write (",
        KeyKind.UNKNOWN_FLAG: "may transfer (Custody.CustodyTransfer)",
    }
    missing = "readOnly"
    tells_age = True
    tells_binding = True


def test_every_client_keeps_the_contract() -> None:
    """A new exchange has to appear above."""
    members = [
        member for member in globals().values() if isinstance(member, type) and issubclass(member, ClientContract)
    ]

    assert {member.exchange for member in members if member is not ClientContract} == set(CLIENTS)
