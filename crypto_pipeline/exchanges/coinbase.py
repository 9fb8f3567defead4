"""
Coinbase Advanced Trade (Advanced Trade REST documents; Exchange "Get product candles" for its array form).

Market data is public; a proved key signs it all the same, because signed answers do not come out
of the one-second cache of the public ones.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, ClassVar

from crypto_pipeline.credentials import Credentials, KeyReport
from crypto_pipeline.errors import CryptoPipelineError, UnprovenKeyError
from crypto_pipeline.exchanges import coinbase_quotes, listing, quoting, rows, symbols
from crypto_pipeline.exchanges.answers import decode, malformed
from crypto_pipeline.exchanges.asking import Endpoint, Parameters, Signed
from crypto_pipeline.exchanges.base import BaseClient
from crypto_pipeline.exchanges.interface import Candle, Instrument
from crypto_pipeline.exchanges.pages import CandlePage, RowShape
from crypto_pipeline.exchanges.permissions import judge_coinbase
from crypto_pipeline.exchanges.quotes import Book, Quote, Trade
from crypto_pipeline.exchanges.signing import coinbase_token, load_private_key
from crypto_pipeline.transport import Answer, Budget, TokenBucket

TITLE = "Coinbase"
ROOT = "/api/v3/brokerage"
TIME = Endpoint(f"{ROOT}/time")
PERMISSIONS = Endpoint(f"{ROOT}/key_permissions")
PUBLIC_PRODUCTS = f"{ROOT}/market/products"
SIGNED_PRODUCTS = f"{ROOT}/products"
PUBLIC_BOOK = f"{ROOT}/market/product_book"
SIGNED_BOOK = f"{ROOT}/product_book"
STATUS = {"online": "trading", "new": "announced"}
UNKNOWN_SYMBOL = "product"
NUMBERS = ("open", "high", "low", "close", "volume")
_ELSEWHERE = (b"country", b"region", b"restricted")
ROW = RowShape(
    ("open_time", "low", "high", "open", "close", "volume"),
    b'{"start":"","low":"","high":"","open":"","close":"","volume":""}',
    labels=(b'"start":', b'"low":', b'"high":', b'"open":', b'"close":', b'"volume":'),
    unit_ms=1000,
)
"""Of Advanced Trade."""


class CoinbaseClient(BaseClient):
    """Coinbase Advanced Trade."""

    name = "coinbase"
    title = TITLE
    host = "api.coinbase.com"
    paths = (
        TIME.path,
        PERMISSIONS.path,
        PUBLIC_PRODUCTS,
        f"{PUBLIC_PRODUCTS}/",
        SIGNED_PRODUCTS,
        f"{SIGNED_PRODUCTS}/",
        PUBLIC_BOOK,
        SIGNED_BOOK,
    )
    page_minutes: ClassVar[int] = 300
    candle_endpoint = f"{host}{SIGNED_PRODUCTS}/{{product_id}}/candles"
    instruments_endpoint = f"{host}{SIGNED_PRODUCTS}"
    deepest_book = coinbase_quotes.MOST_LEVELS
    refuses_good_keys = True  # valid tokens, now and then
    omits_empty_minutes = True
    time_endpoint = TIME
    permission_endpoint = PERMISSIONS
    public_headers: ClassVar[Mapping[str, str]] = MappingProxyType({"Cache-Control": "no-cache"})
    """Public answers are otherwise up to a second old."""

    def build_budget(self) -> Budget:
        """Ten requests a second per address; the burst of fifteen is not used up."""
        return TokenBucket(10, 10, clock=self._monotonic, sleep=self._sleep)

    def check_form(self, credentials: Credentials) -> None:
        """Refuse keys of the older Exchange API: no endpoint tells what they may do."""
        if credentials.get("passphrase") is not None:
            raise self._unproven_form("it has a passphrase, so it is a key of the older Exchange API")
        try:
            load_private_key(credentials["api_secret"])
        except ValueError:
            error = self._unproven_form("its secret is not a private key of the Advanced Trade API")
            raise error from None

    def _unproven_form(self, why: str) -> UnprovenKeyError:
        return UnprovenKeyError(
            f"Coinbase cannot be asked what {self.key_name} may do: {why}. It is not used and nothing was fetched "
            "with it. Make an Advanced Trade key (CDP) with `view` only, and store its name and private key."
        )

    def sign(self, endpoint: Endpoint, query: str, credentials: Credentials, *, now: float) -> Signed:
        """Sign with a token that is good for this one path and two minutes."""
        token = coinbase_token(
            credentials["api_secret"],
            key_name=credentials["api_key"].reveal(),
            method="GET",
            host=self.host,
            path=endpoint.path,
            now=int(now),
            nonce=secrets.token_hex(16),
        )
        return Signed(query, {"Authorization": f"Bearer {token}"})

    def refusal(self, answer: Answer, path: str) -> CryptoPipelineError | None:
        """Translate the status; bodies are JSON or plain text and add little."""
        status = answer.status
        if status == 200:
            return self.unless_json(answer, path)
        if status in {401, 403, 451}:
            return self._refused_caller(answer, path)
        if status == 429:
            return self.rate_limited(answer, path, default_seconds=1)
        if status >= 500:
            return self.unavailable(answer, path, "an error on its side or maintenance")
        is_symbol = status in {400, 404} and UNKNOWN_SYMBOL.encode() in answer.body.lower()
        return self.refused(answer, path, UNKNOWN_SYMBOL if is_symbol else str(status))

    def _refused_caller(self, answer: Answer, path: str) -> CryptoPipelineError:
        said = answer.body.lower()
        if answer.status == 401 and b"timestamp" in said:
            return self.clock_refused(path, "401")
        if answer.status == 401:
            return self.rejected("unknown key, wrong signature, ended, or this address is not on its list", "401")
        if b"permission_denied" in said:
            return self.rejected("it lacks the `view` permission", "403")
        if answer.status == 451 or any(word in said for word in _ELSEWHERE):
            return self.region_blocked(answer, path)
        return self.forbidden(answer, path)

    def judge(self, body: Any) -> KeyReport:
        """See `permissions.judge_coinbase`."""
        return judge_coinbase(body)

    def parse_time(self, body: bytes) -> float:
        """Return the time in seconds."""
        return parse_server_time(body)

    async def read_instruments(self) -> list[Instrument]:
        """Return every spot product."""
        answer = await self.ask_with_key(self._products(), {"product_type": "SPOT"})
        return parse_instruments(answer.body)

    async def read_page(self, symbol: str, start_ms: int, end_ms: int) -> CandlePage:
        """Return one page; both ends are seconds and inclusive, and 300 minutes are the most."""
        symbols.split(symbol, self.name)
        self.check_page(start_ms, end_ms)
        parameters: dict[str, str | int] = {
            "start": start_ms // 1000,
            "end": (end_ms - 1) // 1000,
            "granularity": "ONE_MINUTE",
            "limit": self.page_minutes,
        }
        with self.symbol_known(symbol, UNKNOWN_SYMBOL):
            answer = await self.ask_with_key(self._products(f"/{symbol}/candles"), parameters)
        return CandlePage(answer.body, start_ms, end_ms, parse_candles, ROW)

    async def read_trades(self, symbol: str) -> list[Trade]:
        """Return the newest thousand trades."""
        symbols.split(symbol, self.name)
        answer = await self._ask_product(
            self._products(f"/{symbol}/ticker"), symbol, {"limit": coinbase_quotes.MOST_TRADES}
        )
        return coinbase_quotes.parse_trades(answer.body)

    async def read_quote(self, symbol: str) -> Quote:
        """Return the best bid and ask."""
        answer = await self._ask_book(symbol, 1)
        return coinbase_quotes.parse_quote(answer.body, symbol)

    async def read_book(self, symbol: str, levels: int) -> Book:
        """Return the best levels."""
        quoting.check_depth(levels, self.deepest_book, self.title)
        answer = await self._ask_book(symbol, levels)
        return coinbase_quotes.parse_book(answer.body, symbol, levels)

    async def _ask_book(self, symbol: str, levels: int) -> Answer:
        symbols.split(symbol, self.name)
        endpoint = Endpoint(SIGNED_BOOK if self._credentials else PUBLIC_BOOK)
        return await self._ask_product(endpoint, symbol, {"product_id": symbol, "limit": levels})

    async def _ask_product(self, endpoint: Endpoint, symbol: str, parameters: Parameters) -> Answer:
        with self.symbol_known(symbol, UNKNOWN_SYMBOL):
            return await self.ask_with_key(endpoint, parameters)

    def _products(self, rest: str = "") -> Endpoint:
        return Endpoint(f"{SIGNED_PRODUCTS if self._credentials else PUBLIC_PRODUCTS}{rest}")


def parse_server_time(body: bytes) -> float:
    """Return the server's time in seconds."""
    value = decode(body, TITLE, TIME.path)
    if not isinstance(value, dict):
        malformed(TITLE, "its time is not an object")
    return rows.time_ms(value.get("epochMillis"), TITLE) / 1000


def parse_candles(body: bytes) -> list[Candle]:
    """
    Return the candles of a candles answer, oldest first.

    Takes the object form of Advanced Trade and the array form of Exchange, whose columns are time,
    **low, high, open, close**, volume; both count seconds, and have no row for an empty minute.
    """
    value = decode(body, TITLE, "candles")
    if isinstance(value, list):
        return rows.parsed(rows.rows_of(value, TITLE, 6), _from_array, TITLE)
    found = value.get("candles") if isinstance(value, dict) else None
    if not isinstance(found, list):
        malformed(TITLE, "there is no list of candles")
    return rows.parsed(found, _from_object, TITLE)


def _from_array(row: Any) -> Candle:
    low, high, first, close, volume = rows.numbers(row[1:6], TITLE, ("low", "high", "open", "close", "volume"))
    return Candle(rows.time_ms(row[0], TITLE, unit_ms=1000), first, high, low, close, volume)


def _from_object(row: Any) -> Candle:
    if not isinstance(row, dict):
        malformed(TITLE, "a candle is not an object")
    first, high, low, close, volume = rows.numbers([row.get(name) for name in NUMBERS], TITLE, NUMBERS)
    return Candle(rows.time_ms(row.get("start"), TITLE, unit_ms=1000), first, high, low, close, volume)


def parse_instruments(body: bytes) -> list[Instrument]:
    """Return the spot products of a products answer, sorted by canonical symbol."""
    value = decode(body, TITLE, PUBLIC_PRODUCTS)
    found = listing.entries(value.get("products") if isinstance(value, dict) else None, TITLE)
    return listing.parsed([entry for entry in found if entry.get("product_type", "SPOT") == "SPOT"], _instrument, TITLE)


def _instrument(entry: listing.Entry) -> Instrument:
    native, base, quote = listing.names(entry, TITLE, "product_id", "base_currency_id", "quote_currency_id")
    status = listing.word(entry, "status")
    halted = entry.get("trading_disabled") is True or entry.get("is_disabled") is True
    finest = "quote_increment" if entry.get("price_increment") is None else "price_increment"
    return Instrument(
        symbol=f"{base}-{quote}",
        native=native,
        base=base,
        quote=quote,
        status="halted" if halted else STATUS.get(status, "halted"),
        native_status=status,
        price_increment=listing.increment(entry, finest, TITLE),
        quantity_increment=listing.increment(entry, "base_increment", TITLE),
        minimum_quantity=listing.increment(entry, "base_min_size", TITLE),
        minimum_notional=listing.increment(entry, "quote_min_size", TITLE),
        listed_at=_listed(entry.get("new_at")),
    )


def _listed(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
