"""The simulated Coinbase Exchange, asked directly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.coinbase_exchange import CoinbaseExchange
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing
from crypto_pipeline_tests.sandbox.asking import NOW_MS, asked, content, signed_coinbase_exchange, with_headers

NOW = NOW_MS // 1000
RUNNING = NOW - NOW % 60


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing()


@pytest.fixture
def exchange(keys: KeyRing) -> CoinbaseExchange:
    return CoinbaseExchange(keys)


def rows(exchange: CoinbaseExchange, query: str, product: str = "BTC-USDT") -> list[list[Decimal]]:
    """Return candle rows with the very digits that were sent."""
    answer = exchange.handle(asked(f"/products/{product}/candles", query))
    assert answer.status == 200, answer.body
    found: list[list[Decimal]] = json.loads(answer.body, parse_float=Decimal, parse_int=Decimal)
    return found


def traded(first: int, last: int) -> list[int]:
    """Return the minutes in which somebody traded, newest first."""
    seconds = range(last, first - 60, -60)
    return [second for second in seconds if market.minute("coinbase", "BTC-USDT", second * 1000).trades]


def test_a_signature_from_elsewhere_is_accepted(keys: KeyRing, exchange: CoinbaseExchange) -> None:
    """The header values were computed by ccxt 4.5.90 for a key published in coinbase-pro-node's tests."""
    sent_ms = 1_700_000_000_000
    keys.issue(
        "coinbase_exchange",
        KeyKind.READ_ONLY,
        now_ms=sent_ms,
        api_key="163c69bf6c849427616c7e04ee99df52",
        api_secret="kv+3DPw2yHWQWkDsmpN4uXWtgtuBrFFLu7zRk9gipjdrFpUjwZ0mK6KzGAPFpxOjDLdna20xozy+9fqRU5zJZQ==",
        passphrase="wvp2pxkmx5",
    )
    headers = {
        "cb-access-key": "163c69bf6c849427616c7e04ee99df52",
        "cb-access-sign": "1sf1SHZiZs8j39jcOvrfegNtWp16jz0DZnPjblg+ChI=",
        "cb-access-timestamp": "1700000000",
        "cb-access-passphrase": "wvp2pxkmx5",
    }

    answer = exchange.handle(with_headers(asked("/accounts", now_ms=sent_ms), headers))

    assert answer.status == 200
    assert "BTC" in {account["currency"] for account in content(answer)}


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"cb-access-key": ""}, 401, "CB-ACCESS-KEY header is required"),
        ({"cb-access-sign": ""}, 400, "CB-ACCESS-SIGN header is required"),
        ({"cb-access-timestamp": ""}, 400, "CB-ACCESS-TIMESTAMP header is required"),
        ({"cb-access-passphrase": ""}, 400, "CB-ACCESS-PASSPHRASE header is required"),
        ({"cb-access-key": "unknown"}, 401, "Invalid API Key"),
        ({"cb-access-timestamp": "noon"}, 400, "invalid timestamp"),
        ({"cb-access-sign": "d3Jvbmc="}, 400, "invalid signature"),
        ({"cb-access-passphrase": "wrong"}, 400, "Invalid Passphrase"),
    ],
)
def test_each_fault_of_a_signed_request_has_its_text(
    keys: KeyRing, exchange: CoinbaseExchange, headers: Mapping[str, str], status: int, message: str
) -> None:
    key = keys.issue("coinbase_exchange", KeyKind.READ_ONLY, now_ms=NOW_MS)

    answer = exchange.handle(with_headers(signed_coinbase_exchange(key), headers))

    assert (answer.status, content(answer)) == (status, {"message": message})


@pytest.mark.parametrize(
    ("sent", "status"),
    [(f"{NOW + 30}.5", 200), (f"{NOW - 29}.5", 200), (f"{NOW + 30}.501", 400), (f"{NOW - 30}.499", 400)],
)
def test_a_clock_may_be_thirty_seconds_off_and_no_more(
    keys: KeyRing, exchange: CoinbaseExchange, sent: str, status: int
) -> None:
    """Seconds may have decimals."""
    key = keys.issue("coinbase_exchange", KeyKind.READ_ONLY, now_ms=NOW_MS)

    answer = exchange.handle(signed_coinbase_exchange(key, sent=sent))

    assert answer.status == status
    if status == 400:
        assert content(answer) == {"message": "request timestamp expired"}


@pytest.mark.parametrize("addresses", [("10.0.0.1",), ("10.0.0.0/8", "192.168.0.1")])
def test_a_key_bound_to_other_addresses_is_refused(
    keys: KeyRing, exchange: CoinbaseExchange, addresses: tuple[str, ...]
) -> None:
    key = keys.issue("coinbase_exchange", KeyKind.READ_ONLY, now_ms=NOW_MS, addresses=addresses)

    assert exchange.handle(signed_coinbase_exchange(key)).status == 401


def test_a_secret_that_is_no_base64_is_refused(keys: KeyRing, exchange: CoinbaseExchange) -> None:
    key = keys.issue("coinbase_exchange", KeyKind.READ_ONLY, now_ms=NOW_MS)
    signed = signed_coinbase_exchange(key)
    key.api_secret = "not base64"

    assert exchange.handle(signed).status == 401


def test_nothing_tells_what_a_key_may_do(exchange: CoinbaseExchange) -> None:
    assert exchange.handle(asked("/users/self/verify")).status == 404
    assert exchange.handle(asked("/api/v3/brokerage/key_permissions")).status == 404


def test_rows_are_numbers_low_high_open_close_newest_first(exchange: CoinbaseExchange) -> None:
    first, last = RUNNING - 300 * 60, RUNNING - 60
    found = rows(exchange, f"granularity=60&start={first}&end={last}")

    assert [int(row[0]) for row in found] == traded(first, last)
    minute = market.minute("coinbase", "BTC-USDT", int(found[0][0]) * 1000)
    assert found[0][1:] == [minute.low, minute.high, minute.open, minute.close, minute.volume]


def test_every_digit_of_a_very_cheap_coin_is_sent(exchange: CoinbaseExchange) -> None:
    cheap = min(
        market.instruments("coinbase"), key=lambda entry: market.minute("coinbase", entry.symbol, RUNNING * 1000).close
    )
    query = f"granularity=60&start={RUNNING - 12000}&end={RUNNING - 60}"
    for row in rows(exchange, query, f"{cheap.base}-{cheap.quote}"):
        minute = market.minute("coinbase", cheap.symbol, int(row[0]) * 1000)

        assert row[1:] == [minute.low, minute.high, minute.open, minute.close, minute.volume]


def test_times_may_be_iso_8601(exchange: CoinbaseExchange) -> None:
    iso = "granularity=60&start=2026-03-02T11:00:00Z&end=2026-03-02T11:30:00.000Z"
    naive = "granularity=60&start=2026-03-02T11:00:00&end=2026-03-02T11:30:00"
    seconds = f"granularity=60&start={RUNNING - 3600}&end={RUNNING - 1800}"

    assert rows(exchange, iso) == rows(exchange, seconds) == rows(exchange, naive)


def test_the_interval_that_holds_start_is_given_too(exchange: CoinbaseExchange) -> None:
    last = traded(RUNNING - 6000, RUNNING - 60)[0]

    found = rows(exchange, f"granularity=60&start={last + 30}&end={last + 40}")

    assert [int(row[0]) for row in found] == [last]


def test_300_intervals_are_given_and_one_more_is_refused(exchange: CoinbaseExchange) -> None:
    """Both ends count, so 300 intervals may bring 301 rows."""
    start = RUNNING - 400 * 3600

    allowed = rows(exchange, f"granularity=3600&start={start}&end={start + 300 * 3600}")
    answer = exchange.handle(
        asked("/products/BTC-USDT/candles", f"granularity=3600&start={start}&end={start + 300 * 3600 + 1}")
    )

    assert len(allowed) == 301
    assert answer.status == 400
    assert content(answer)["message"].endswith("Count of aggregations requested exceeds 300")


@pytest.mark.parametrize("query", ["granularity=300", f"granularity=300&start={RUNNING - 600}"])
def test_without_a_whole_range_the_newest_350_are_given(exchange: CoinbaseExchange, query: str) -> None:
    found = rows(exchange, query)

    assert len(found) >= 340
    assert int(found[-1][0]) >= NOW - 350 * 300


@pytest.mark.parametrize(
    "query",
    [
        "granularity=7",
        "granularity=day",
        "granularity=60&start=then&end=now",
        f"granularity=60&start={NOW}&end={NOW - 1}",
    ],
)
def test_a_bad_parameter_is_refused(exchange: CoinbaseExchange, query: str) -> None:
    assert exchange.handle(asked("/products/BTC-USDT/candles", query)).status == 400


@pytest.mark.parametrize("path", ["/products/NONE-USD", "/products/BTC-USDT/nothing", "/nothing", "/"])
def test_what_is_unknown_is_not_found(exchange: CoinbaseExchange, path: str) -> None:
    answer = exchange.handle(asked(path))

    assert (answer.status, content(answer)) == (404, {"message": "NotFound"})


def test_products_and_currencies_are_those_of_the_market(exchange: CoinbaseExchange) -> None:
    products = content(exchange.handle(asked("/products")))
    currencies = content(exchange.handle(asked("/currencies")))

    listings = market.instruments("coinbase")
    assert {product["id"] for product in products} == {f"{entry.base}-{entry.quote}" for entry in listings}
    assert {entry.base for entry in listings} <= {currency["id"] for currency in currencies}
    assert content(exchange.handle(asked("/products/BTC-USDT"))) in products


def trades(exchange: CoinbaseExchange, query: str) -> tuple[list[dict[str, Any]], Mapping[str, str]]:
    answer = exchange.handle(asked("/products/BTC-USDT/trades", query))
    return content(answer), answer.headers


def test_trades_page_backwards_by_their_cursor(exchange: CoinbaseExchange) -> None:
    page, headers = trades(exchange, "limit=25")
    older, _ = trades(exchange, f"limit=25&after={headers['cb-after']}")

    both, _ = trades(exchange, "limit=50")
    assert page + older == both
    assert headers["cb-before"] == str(page[0]["trade_id"])
    assert trades(exchange, "after=1")[0] == []
    assert trades(exchange, f"limit=25&before={page[4]['trade_id']}")[0] == page[:4]


def test_ticker_book_and_clock_agree(exchange: CoinbaseExchange) -> None:
    ticker = content(exchange.handle(asked("/products/BTC-USDT/ticker")))
    book = content(exchange.handle(asked("/products/BTC-USDT/book", "level=2")))
    clock = content(exchange.handle(asked("/time")))

    assert Decimal(ticker["bid"]) < Decimal(ticker["ask"])
    assert book["bids"][0][0] == ticker["bid"]
    assert len(book["asks"]) == 50
    assert clock == {"iso": "2026-03-02T12:00:30.500Z", "epoch": NOW_MS / 1000}
    assert exchange.handle(asked("/products/BTC-USDT/book", "level=9")).status == 400


def test_the_full_book_names_its_orders(exchange: CoinbaseExchange) -> None:
    full = content(exchange.handle(asked("/products/BTC-USDT/book", "level=3")))
    short = content(exchange.handle(asked("/products/BTC-USDT/book", "level=2")))

    orders = [order for _, _, order in full["bids"] + full["asks"]]
    assert len(set(orders)) == len(orders) == 1000
    assert all(len(order) == 36 for order in orders)
    assert [row[:2] for row in full["bids"][:50]] == [row[:2] for row in short["bids"]]


def test_the_figures_of_a_day_are_told(exchange: CoinbaseExchange) -> None:
    stats = content(exchange.handle(asked("/products/BTC-USDT/stats")))
    lines = content(exchange.handle(asked("/products/spark-lines")))

    assert Decimal(stats["low"]) <= Decimal(stats["last"]) <= Decimal(stats["high"])
    assert set(lines) == {f"{entry.base}-{entry.quote}" for entry in market.instruments("coinbase")}
    hours = [row[0] for row in lines["BTC-USDT"]]
    assert hours == [NOW - NOW % 3600 - back * 3600 for back in range(24)]


@pytest.mark.parametrize("kind", [KeyKind.EXPIRED, KeyKind.REVOKED])
def test_a_key_that_is_no_more_is_refused(keys: KeyRing, exchange: CoinbaseExchange, kind: KeyKind) -> None:
    key = keys.issue("coinbase_exchange", kind, now_ms=NOW_MS)

    answer = exchange.handle(signed_coinbase_exchange(key))

    assert (answer.status, content(answer)) == (401, {"message": "Invalid API Key"})


def test_fifteen_requests_at_once_then_ten_a_second(exchange: CoinbaseExchange) -> None:
    statuses = [exchange.handle(asked("/time")).status for _ in range(16)]

    assert statuses == [200] * 15 + [429]
    assert content(exchange.handle(asked("/time"))) == {"message": "Public rate limit exceeded"}
    assert exchange.handle(asked("/time", now_ms=NOW_MS + 100)).status == 200


def test_a_profile_has_a_bucket_of_its_own(keys: KeyRing, exchange: CoinbaseExchange) -> None:
    key = keys.issue("coinbase_exchange", KeyKind.READ_ONLY, now_ms=NOW_MS)

    answers = [exchange.handle(signed_coinbase_exchange(key)) for _ in range(31)]

    assert [answer.status for answer in answers] == [200] * 30 + [429]
    assert content(answers[-1]) == {"message": "Private rate limit exceeded"}


def test_limits_can_be_switched_off(keys: KeyRing) -> None:
    exchange = CoinbaseExchange(keys, limits=False)

    assert {exchange.handle(asked("/time")).status for _ in range(50)} == {200}


def test_only_get_is_answered(exchange: CoinbaseExchange) -> None:
    assert exchange.handle(replace(asked("/orders"), method="POST")).status == 405


@pytest.mark.parametrize(
    ("fault", "status"),
    [("rate_limited", 429), ("banned", 403), ("region_blocked", 403), ("maintenance", 503), ("unavailable", 503)],
)
def test_each_fault_has_a_status(exchange: CoinbaseExchange, fault: str, status: int) -> None:
    assert exchange.rate_answer(asked("/time"), fault).status == status
