"""
Coinbase Advanced Trade (Advanced Trade REST documents; Exchange "Get product candles" for its array form).

Market data is public; a proved key signs it all the same, because signed answers do not come out
of the one-second cache of the public ones.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any, ClassVar

from crypto_pipeline.credentials import Credentials, KeyReport
from crypto_pipeline.errors import CryptoPipelineError, KeyRefusedError, RejectedKeyError, UnprovenKeyError
from crypto_pipeline.exchanges import rows, symbols
from crypto_pipeline.exchanges.base import BaseClient, Endpoint, Signed, decode
from crypto_pipeline.exchanges.interface import Candle, Instrument
from crypto_pipeline.exchanges.permissions import judge_coinbase
from crypto_pipeline.exchanges.signing import coinbase_token, load_private_key
from crypto_pipeline.transport import Answer, Budget, TokenBucket

TITLE = "Coinbase"
ROOT = "/api/v3/brokerage"
TIME = Endpoint(f"{ROOT}/time")
PERMISSIONS = Endpoint(f"{ROOT}/key_permissions")
PUBLIC_PRODUCTS = f"{ROOT}/market/products"
SIGNED_PRODUCTS = f"{ROOT}/products"
STATUS = {"online": "trading", "new": "announced"}


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
    )
    page_minutes: ClassVar[int] = 300
    omits_empty_minutes = True
    time_endpoint = TIME
    permission_endpoint = PERMISSIONS

    def build_budget(self) -> Budget:
        """Ten requests a second per address; the burst of fifteen is not used up."""
        return TokenBucket(10, 10, sleep=self._sleep)

    def check_form(self, credentials: Credentials) -> None:
        """Refuse keys of the older Exchange API: no endpoint tells what they may do."""
        if credentials.get("passphrase") is not None:
            self._refuse(self._unproven_form("it has a passphrase, so it is a key of the older Exchange API"))
            return
        try:
            load_private_key(credentials["api_secret"])
        except ValueError:
            self._refuse(self._unproven_form("its secret is not a private key of the Advanced Trade API"))

    def _unproven_form(self, why: str) -> KeyRefusedError:
        return UnprovenKeyError(
            f"Coinbase cannot be asked what {self._named()} may do: {why}. It is not used and nothing was fetched "
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

    def refusal(self, answer: Answer, endpoint: Endpoint) -> CryptoPipelineError | None:
        """Translate the status; bodies are JSON or plain text and add little."""
        status = answer.status
        if status == 200:
            return None
        if status == 401:
            return self.rejected("unknown key, wrong signature, ended, or this address is not on its list", "401")
        if status == 429:
            return self.rate_limited(answer, endpoint, default_seconds=1)
        if status == 451 or (status == 403 and b"region" in answer.body.lower()):
            return self.region_blocked(endpoint, status)
        if status == 403:
            return self._forbidden(answer, endpoint)
        if status >= 500:
            return self.unavailable(answer, endpoint, "an error on its side or maintenance")
        return self.refused(answer, endpoint, str(status))

    def _forbidden(self, answer: Answer, endpoint: Endpoint) -> CryptoPipelineError:
        if b"PERMISSION_DENIED" in answer.body and self.credential is not None:
            return self.rejected("it lacks the `view` permission", "403")
        return self.banned(answer, endpoint, seconds=None)

    async def _ask_once(self, endpoint: Endpoint, query: str, credentials: Credentials | None) -> Answer:
        """Ask once more after a 401 to a proved key: valid tokens are refused now and then."""
        try:
            return await super()._ask_once(endpoint, query, credentials)
        except RejectedKeyError:
            if credentials is None or not isinstance(self._verdict, KeyReport):
                raise
            return await super()._ask_once(endpoint, query, credentials)

    def judge(self, body: Any) -> KeyReport:
        """See `permissions.judge_coinbase`."""
        return judge_coinbase(body)

    def parse_time(self, body: bytes) -> float:
        """Return the time in seconds."""
        return parse_server_time(body)

    async def read_instruments(self) -> list[Instrument]:
        """Return every spot product."""
        answer = await self._get(self._products(), {"product_type": "SPOT"}, credentials=self._credentials)
        return parse_instruments(answer.body)

    async def read_candles(self, symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
        """Return one page; both ends are seconds and inclusive, and 300 minutes are the most."""
        symbols.split(symbol, self.name)
        parameters: dict[str, str | int] = {
            "start": start_ms // 1000,
            "end": end_ms // 1000 - 60,
            "granularity": "ONE_MINUTE",
            "limit": self.page_minutes,
        }
        with self.symbol_known(symbol, "404"):
            answer = await self._get(self._products(f"/{symbol}/candles"), parameters, credentials=self._credentials)
        return rows.within(parse_candles(answer.body), start_ms, end_ms)

    def _products(self, rest: str = "") -> Endpoint:
        return Endpoint(f"{SIGNED_PRODUCTS if self._credentials else PUBLIC_PRODUCTS}{rest}")


def parse_server_time(body: bytes) -> float:
    """Return the server's time in seconds."""
    value = decode(body, TITLE, TIME.path)
    if not isinstance(value, dict):
        rows.malformed(TITLE, "its time is not an object")
    return rows.whole(value.get("epochMillis"), TITLE, "epochMillis") / 1000


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
        rows.malformed(TITLE, "there is no list of candles")
    return rows.parsed(found, _from_object, TITLE)


def _from_array(row: Any) -> Candle:
    return Candle(
        open_time_ms=rows.time_ms(row[0], TITLE, unit_ms=1000),
        open=rows.number(row[3], TITLE, "open"),
        high=rows.number(row[2], TITLE, "high"),
        low=rows.number(row[1], TITLE, "low"),
        close=rows.number(row[4], TITLE, "close"),
        volume=rows.number(row[5], TITLE, "volume"),
    )


def _from_object(row: Any) -> Candle:
    if not isinstance(row, dict):
        rows.malformed(TITLE, "a candle is not an object")
    return Candle(
        open_time_ms=rows.time_ms(row.get("start"), TITLE, unit_ms=1000),
        open=rows.number(row.get("open"), TITLE, "open"),
        high=rows.number(row.get("high"), TITLE, "high"),
        low=rows.number(row.get("low"), TITLE, "low"),
        close=rows.number(row.get("close"), TITLE, "close"),
        volume=rows.number(row.get("volume"), TITLE, "volume"),
    )


def parse_instruments(body: bytes) -> list[Instrument]:
    """Return the spot products of a products answer, sorted by canonical symbol."""
    value = decode(body, TITLE, PUBLIC_PRODUCTS)
    found = value.get("products") if isinstance(value, dict) else None
    if not isinstance(found, list):
        rows.malformed(TITLE, "there is no list of products")
    spot = [entry for entry in found if isinstance(entry, dict) and entry.get("product_type", "SPOT") == "SPOT"]
    return sorted(_instrument(entry) for entry in spot)


def _instrument(entry: dict[str, Any]) -> Instrument:
    names = [entry.get(name) for name in ("product_id", "base_currency_id", "quote_currency_id")]
    if not all(isinstance(name, str) and name for name in names):
        rows.malformed(TITLE, "a product has no name")
    native, base, quote = map(str, names)
    status = str(entry.get("status", ""))

    def of(name: str) -> Any:
        value = entry.get(name)
        return None if value in {None, ""} else rows.number(value, TITLE, name)

    halted = entry.get("trading_disabled") is True or entry.get("is_disabled") is True
    return Instrument(
        symbol=f"{base}-{quote}",
        native=native,
        base=base,
        quote=quote,
        status="halted" if halted else STATUS.get(status, "halted"),
        native_status=status,
        price_increment=of("price_increment") or of("quote_increment"),
        quantity_increment=of("base_increment"),
        minimum_quantity=of("base_min_size"),
        minimum_notional=of("quote_min_size"),
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
