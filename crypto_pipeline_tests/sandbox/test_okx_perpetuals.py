"""The simulated OKX's perpetual contracts, asked directly."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from crypto_pipeline.sandbox import market, perpetuals
from crypto_pipeline.sandbox.keys import KeyRing
from crypto_pipeline.sandbox.okx import OkxExchange
from crypto_pipeline_tests.sandbox.asking import NOW_MS, asked, content

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LAST_MS = NOW_MS // (8 * HOUR_MS) * 8 * HOUR_MS
"""When was paid last."""
CONTRACTS = [f"{listing.symbol}-SWAP" for listing in market.instruments("okx")]


@pytest.fixture
def okx() -> OkxExchange:
    return OkxExchange(KeyRing())


def data(okx: OkxExchange, path: str, query: str) -> list[dict[str, Any]]:
    answer = okx.handle(asked(f"/api/v5/{path}", query))
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = content(answer)["data"]
    return found


def payments(okx: OkxExchange, query: str) -> list[int]:
    rows = data(okx, "public/funding-rate-history", f"instId=BTC-USDT-SWAP&{query}")
    return [int(row["fundingTime"]) for row in rows]


def test_contracts_are_listed_beside_the_spot_markets(okx: OkxExchange) -> None:
    found = data(okx, "public/instruments", "instType=SWAP")

    assert [entry["instId"] for entry in found] == CONTRACTS
    for entry, listing in zip(found, market.instruments("okx"), strict=True):
        assert (entry["ctType"], entry["settleCcy"], entry["ctValCcy"]) == ("linear", listing.quote, listing.base)
        assert Decimal(entry["ctVal"]) == perpetuals.contract_size(listing.symbol)
        assert (entry["baseCcy"], entry["quoteCcy"], entry["uly"]) == ("", "", listing.symbol)
    assert data(okx, "public/instruments", "instType=SWAP&instId=BTC-USDT-SWAP") == [found[0]]


def test_funding_rates_come_newest_first_with_what_was_expected_and_what_was_paid(okx: OkxExchange) -> None:
    rows = data(okx, "public/funding-rate-history", "instId=BTC-USDT-SWAP&limit=20")

    assert [int(row["fundingTime"]) for row in rows] == [LAST_MS - back * 8 * HOUR_MS for back in range(20)]
    for row in rows:
        assert set(row) == {
            "formulaType", "fundingRate", "fundingTime", "instId", "instType", "method", "realizedRate",
        }  # fmt: skip
        assert Decimal(row["realizedRate"]) == perpetuals.paid_rate("okx", "BTC-USDT", int(row["fundingTime"]))
        assert row["realizedRate"] != row["fundingRate"]
    assert min(Decimal(row["realizedRate"]) for row in rows) < 0


def test_both_cursors_are_exclusive(okx: OkxExchange) -> None:
    first, last = LAST_MS - 10 * DAY_MS, LAST_MS - 9 * DAY_MS

    assert payments(okx, f"before={first}&after={last}") == [last - back * 8 * HOUR_MS for back in (1, 2)]
    assert payments(okx, f"after={last}&limit=1") == [last - 8 * HOUR_MS]


def test_before_alone_gives_the_newest_rows_not_the_next_ones(okx: OkxExchange) -> None:
    assert payments(okx, f"before={LAST_MS - 30 * DAY_MS}&limit=2") == [LAST_MS, LAST_MS - 8 * HOUR_MS]


def test_three_months_are_told_and_no_more(okx: OkxExchange) -> None:
    times = payments(okx, "")

    assert len(times) == 276
    assert NOW_MS - 92 * DAY_MS <= times[-1] < NOW_MS - 92 * DAY_MS + 8 * HOUR_MS
    assert payments(okx, f"after={times[-1]}") == []


def test_more_than_400_rows_are_cut_to_400(okx: OkxExchange) -> None:
    """PEPE pays every hour."""
    for query in ("", "&limit=400", "&limit=1000"):
        rows = data(okx, "public/funding-rate-history", f"instId=PEPE-USDT-SWAP{query}")

        assert len(rows) == 400
        assert int(rows[0]["fundingTime"]) - int(rows[-1]["fundingTime"]) == 399 * HOUR_MS


def test_the_coming_payment_is_told_with_the_one_after_it(okx: OkxExchange) -> None:
    (row,) = data(okx, "public/funding-rate", "instId=BTC-USDT-SWAP")

    assert Decimal(row["fundingRate"]) == perpetuals.expected_rate("okx", "BTC-USDT", NOW_MS)
    assert (int(row["fundingTime"]), int(row["nextFundingTime"])) == (LAST_MS + 8 * HOUR_MS, LAST_MS + 16 * HOUR_MS)
    assert Decimal(row["settFundingRate"]) == perpetuals.paid_rate("okx", "BTC-USDT", LAST_MS)
    assert row["nextFundingRate"] == ""
    assert [one["instId"] for one in data(okx, "public/funding-rate", "instId=ANY")] == CONTRACTS


def test_open_interest_is_told_in_contracts_coins_and_dollars(okx: OkxExchange) -> None:
    (row,) = data(okx, "public/open-interest", "instType=SWAP&instId=ETH-USDT-SWAP")

    coins = Decimal(row["oiCcy"])
    assert coins == perpetuals.open_interest("okx", "ETH-USDT", NOW_MS)
    assert Decimal(row["oi"]) * perpetuals.contract_size("ETH-USDT") == coins
    assert Decimal("0.99") < Decimal(row["oiUsd"]) / coins / perpetuals.mark_price("okx", "ETH-USDT", NOW_MS) < 1
    assert row["ts"] == str(NOW_MS)
    assert [one["instId"] for one in data(okx, "public/open-interest", "instType=SWAP")] == CONTRACTS


@pytest.mark.parametrize("query", ["instType=SWAP&instId=PEPE-USDT-SWAP", "instId=PEPE-USDT-SWAP"])
def test_a_mark_price_is_told_with_all_its_digits(okx: OkxExchange, query: str) -> None:
    (row,) = data(okx, "public/mark-price", query)

    assert Decimal(row["markPx"]) == perpetuals.mark_price("okx", "PEPE-USDT", NOW_MS)
    assert "E" not in row["markPx"]
    assert [one["instId"] for one in data(okx, "public/mark-price", "instType=SWAP")] == CONTRACTS


def test_an_index_is_named_like_its_spot_market(okx: OkxExchange) -> None:
    (row,) = data(okx, "market/index-tickers", "instId=BTC-USDT")

    assert Decimal(row["idxPx"]) == perpetuals.index_price("okx", "BTC-USDT", NOW_MS)
    assert Decimal(row["low24h"]) <= Decimal(row["idxPx"]) <= Decimal(row["high24h"])
    assert len(data(okx, "market/index-tickers", "quoteCcy=USDT")) == len(CONTRACTS)
    assert data(okx, "market/index-tickers", "quoteCcy=BTC") == []


@pytest.mark.parametrize("kind", ["FUTURES", "OPTION", "EVENTS"])
def test_other_derivatives_exist_and_list_nothing(okx: OkxExchange, kind: str) -> None:
    assert data(okx, "public/open-interest", f"instType={kind}") == []
    assert data(okx, "public/mark-price", f"instType={kind}") == []


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("public/funding-rate", "", 400, "50014"),
        ("public/funding-rate", "instId=BTC-USDT", 200, "51001"),
        ("public/funding-rate", "instId=NONE-USDT-SWAP", 200, "51001"),
        ("public/funding-rate-history", "", 400, "50014"),
        ("public/funding-rate-history", "instId=BTC-USDT", 200, "51001"),
        ("public/funding-rate-history", "instId=BTC-USDT-SWAP&limit=0", 400, "51000"),
        ("public/funding-rate-history", "instId=BTC-USDT-SWAP&limit=many", 400, "51000"),
        ("public/funding-rate-history", "instId=BTC-USDT-SWAP&after=yesterday", 400, "51000"),
        ("public/funding-rate-history", "instId=BTC-USDT-SWAP&before=-1", 400, "51000"),
        ("public/open-interest", "", 400, "50014"),
        ("public/open-interest", "instType=SPOT", 400, "51000"),
        ("public/open-interest", "instType=SWAP&instId=NONE-USDT-SWAP", 200, "51001"),
        ("public/mark-price", "", 400, "50014"),
        ("public/mark-price", "instType=SPOT", 400, "51000"),
        ("public/mark-price", "instType=SWAP&instId=btc-usdt-swap", 200, "51001"),
        ("market/index-tickers", "", 400, "50014"),
        ("market/index-tickers", "instId=NONE-USDT", 200, "51001"),
        ("market/ticker", "instId=BTC-USDT-SWAP", 200, "51001"),
    ],
)
def test_each_bad_request_has_its_code(okx: OkxExchange, path: str, query: str, status: int, code: str) -> None:
    answer = okx.handle(asked(f"/api/v5/{path}", query))

    assert (answer.status, content(answer)["code"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("public/funding-rate", 10),
        ("public/funding-rate-history", 10),
        ("public/open-interest", 20),
        ("public/mark-price", 10),
    ],
)
def test_each_contract_is_counted_apart(okx: OkxExchange, path: str, allowed: int) -> None:
    query = "instType=SWAP&instId=BTC-USDT-SWAP"

    statuses = [okx.handle(asked(f"/api/v5/{path}", query)).status for _ in range(allowed + 1)]

    assert statuses == [200] * allowed + [429]
    assert okx.handle(asked(f"/api/v5/{path}", query.replace("BTC", "ETH"))).status == 200
    assert okx.handle(asked(f"/api/v5/{path}", query, now_ms=NOW_MS + 2000)).status == 200
