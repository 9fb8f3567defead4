"""
What every market-data client does, whatever its exchange.

A member gives the class attributes and passes every test here against the real sandbox, over sockets; see
`test_contract.py`. Time is virtual: what a client would wait for is written down in `time.slept` instead.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.credentials import Credentials
from crypto_pipeline.errors import (
    AuditError,
    BannedError,
    ClockSkewError,
    CryptoPipelineError,
    ExcessPermissionsError,
    ExchangeUnavailableError,
    KeyRefusedError,
    MalformedAnswerError,
    RateLimitedError,
    RegionBlockedError,
    RejectedKeyError,
    UnknownSymbolError,
    UnprovenKeyError,
)
from crypto_pipeline.exchanges import CLIENTS, BaseClient, Candle
from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.keys import KeyKind, SimulatedKey
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline_tests.exchanges.support import (
    MINUTE_MS,
    NOW,
    VirtualTime,
    credentials_of,
    events_of,
    secrets_of,
)

T = TypeVar("T")
Work = Callable[[BaseClient], Awaitable[T]]
Visit = Callable[..., Any]

OPENED_MS = int(NOW) * 1000 // MINUTE_MS * MINUTE_MS
"""When the minute opened that is running at the beginning of each test."""
OLD_MS = OPENED_MS - 40 * 1440 * MINUTE_MS
ATTEMPTS = 3
FIELDS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "taker_buy_quote_volume",
)


async def prove(client: BaseClient) -> Any:
    """Ask what the key may do."""
    return await client.prove_key()


async def fetch(client: BaseClient) -> list[Candle]:
    """Read ten old minutes."""
    return await client.read_candles("BTC-USDT", OLD_MS, OLD_MS + 10 * MINUTE_MS)


class ClientContract:
    """Subclass with the attributes below; they say how this exchange differs from the others."""

    exchange: ClassVar[str]
    title: ClassVar[str]
    candles_paths: ClassVar[tuple[str, ...]]
    """How the path of candles begins; it may differ with and without a key."""
    permissions_path: ClassVar[str]
    time_path: ClassVar[str]
    told: ClassVar[tuple[str, ...]]
    """Which fields of a candle the exchange tells; the others are None."""
    flags_unfinished: ClassVar[bool] = False
    excess: ClassVar[Mapping[KeyKind, str]]
    """What is said of a key of each kind that may do more than read."""
    missing: ClassVar[str]
    """The field that a key of kind `FLAG_MISSING` lacks."""
    tells_age: ClassVar[bool]
    tells_binding: ClassVar[bool]
    shows_key_in_header: ClassVar[bool] = True
    region_error: ClassVar[type[CryptoPipelineError]] = RegionBlockedError
    clock_error: ClassVar[type[CryptoPipelineError]] = ClockSkewError

    # Helpers and fixtures...

    @pytest.fixture
    def visit(self, sandbox: Sandbox, audit: JsonLinesAuditLog, time: VirtualTime) -> Visit:
        """Return a function that opens a client, does some work with it and closes it."""

        def visit(work: Work[T], key: SimulatedKey | Credentials | None = None, **options: Any) -> T:
            credentials = credentials_of(key) if isinstance(key, SimulatedKey) else key

            async def visiting() -> T:
                client = CLIENTS[self.exchange](
                    credentials,
                    audit=audit,
                    base_url=sandbox.urls[self.exchange],
                    clock=time,
                    monotonic=time,
                    sleep=time.sleep,
                    **({"attempts": ATTEMPTS} | options),
                )
                async with client:
                    return await work(client)

            return asyncio.run(visiting())

        return visit

    @pytest.fixture
    def key(self, sandbox: Sandbox) -> SimulatedKey:
        """Return a key that may only read."""
        return self.issue(sandbox, KeyKind.READ_ONLY)

    def issue(self, sandbox: Sandbox, kind: KeyKind, **parts: Any) -> SimulatedKey:
        """Return a new key of the sandbox."""
        return sandbox.keys.issue(self.exchange, kind, now_ms=sandbox.now_ms(), **parts)

    def expected(self, start_ms: int, minutes: int, symbol: str = "BTC-USDT") -> list[Candle]:
        """Return what the made-up market holds, as this exchange tells it."""
        found = [market.minute(self.exchange, symbol, start_ms + index * MINUTE_MS) for index in range(minutes)]
        finished = True if self.flags_unfinished else None
        return [
            Candle(
                open_time_ms=row.open_time_ms,
                finished=finished,
                **{field: getattr(row, field) for field in FIELDS if field in self.told},
            )
            for row in found
            if row.trades or not CLIENTS[self.exchange].omits_empty_minutes
        ]

    @staticmethod
    def paths(sandbox: Sandbox) -> list[str]:
        """Return the path of every request so far."""
        return [request["path"] for request in sandbox.requests()]

    def candle_requests(self, sandbox: Sandbox) -> list[dict[str, Any]]:
        return [request for request in sandbox.requests() if request["path"].startswith(self.candles_paths)]

    def break_candles(self, sandbox: Sandbox, fault: str, **how: Any) -> None:
        """Let requests for candles fail."""
        for path in self.candles_paths:
            sandbox.add_fault(self.exchange, fault, path_prefix=path, **how)

    # Candles...

    def test_a_page_is_the_market_minute_by_minute(self, visit: Visit) -> None:
        """As many minutes as one request may bring, each number exact and each field in its place."""
        minutes = CLIENTS[self.exchange].page_minutes

        found = visit(lambda client: client.read_candles("BTC-USDT", OLD_MS, OLD_MS + minutes * MINUTE_MS))

        assert found == self.expected(OLD_MS, minutes)
        assert all(isinstance(candle.open, Decimal) for candle in found)

    @pytest.mark.parametrize("symbol", ["DOGE-USDT", "PEPE-USDT"])
    def test_quiet_minutes_are_told_as_the_exchange_tells_them(self, visit: Visit, symbol: str) -> None:
        """Either as a row without trades or not at all; prices of eight and more decimals stay exact."""
        minutes = CLIENTS[self.exchange].page_minutes

        async def two_pages(client: BaseClient) -> list[Candle]:
            first = await client.read_candles(symbol, OLD_MS, OLD_MS + minutes * MINUTE_MS)
            return first + await client.read_candles(
                symbol, OLD_MS + minutes * MINUTE_MS, OLD_MS + 2 * minutes * MINUTE_MS
            )

        found = visit(two_pages)

        assert found == self.expected(OLD_MS, 2 * minutes, symbol)
        assert (len(found) < 2 * minutes) == CLIENTS[self.exchange].omits_empty_minutes

    @pytest.mark.parametrize(
        ("start_ms", "end_ms", "first", "count"),
        [
            pytest.param(0, MINUTE_MS, 0, 1, id="one minute"),
            pytest.param(0, 1, 0, 1, id="the opening alone"),
            pytest.param(0, MINUTE_MS + 1, 0, 2, id="an end just after an opening"),
            pytest.param(1, MINUTE_MS + 1, 1, 1, id="between two openings"),
            pytest.param(1, MINUTE_MS, 1, 0, id="no opening at all"),
            pytest.param(30_000, 5 * MINUTE_MS + 30_000, 1, 5, id="from the middle of a minute"),
        ],
    )
    def test_a_range_has_its_start_and_not_its_end(
        self, visit: Visit, start_ms: int, end_ms: int, first: int, count: int
    ) -> None:
        """Each exchange has its own idea of ends; the caller has one."""
        found = visit(lambda client: client.read_candles("BTC-USDT", OLD_MS + start_ms, OLD_MS + end_ms))

        assert found == self.expected(OLD_MS + first * MINUTE_MS, count)

    def test_the_running_candle_is_there_as_it_stands(self, visit: Visit) -> None:
        """The caller decides by the exchange's clock what is over; a flag of the exchange is handed on."""
        start_ms = OPENED_MS - 9 * MINUTE_MS

        found = visit(lambda client: client.read_candles("BTC-USDT", start_ms, OPENED_MS + MINUTE_MS))

        over, running = found[:-1], found[-1]
        assert over == self.expected(start_ms, 9)
        assert running.open_time_ms == OPENED_MS
        assert running.finished is (False if self.flags_unfinished else None)
        assert running.volume < market.minute(self.exchange, "BTC-USDT", OPENED_MS).volume

    @pytest.mark.parametrize("hours", [1, 22, 23, 24, 25, 24 * 300])
    def test_recent_and_old_minutes_are_read_alike(self, visit: Visit, hours: int) -> None:
        """OKX keeps them in two places, and says nothing when asked in the wrong one."""
        start_ms = OPENED_MS - hours * 60 * MINUTE_MS

        found = visit(lambda client: client.read_candles("BTC-USDT", start_ms, start_ms + 50 * MINUTE_MS))

        assert found == self.expected(start_ms, 50)

    @pytest.mark.parametrize("days", [1, 400_000 // 1440], ids=["tomorrow", "next year"])
    def test_the_future_is_empty(self, visit: Visit, days: int) -> None:
        start_ms = OPENED_MS + days * 1440 * MINUTE_MS

        assert visit(lambda client: client.read_candles("BTC-USDT", start_ms, start_ms + 10 * MINUTE_MS)) == []

    def test_the_time_before_a_listing_is_empty(self, visit: Visit) -> None:
        """It begins in the very minute of the listing."""
        listed_ms = next(one.listed_ms for one in market.instruments(self.exchange) if one.symbol == "PEPE-USDT")

        found = visit(
            lambda client: client.read_candles("PEPE-USDT", listed_ms - 60 * MINUTE_MS, listed_ms + 20 * MINUTE_MS)
        )

        assert found == self.expected(listed_ms, 20, "PEPE-USDT")

    @pytest.mark.parametrize("minutes", [0, -5, 1])
    def test_a_range_that_is_no_page_is_not_asked_for(self, visit: Visit, sandbox: Sandbox, minutes: int) -> None:
        """Most exchanges would cut a longer one without a word: a hole that nobody sees."""
        end_ms = OLD_MS + (minutes if minutes < 1 else CLIENTS[self.exchange].page_minutes + minutes) * MINUTE_MS

        with pytest.raises(ValueError, match=f"1 to {CLIENTS[self.exchange].page_minutes} minutes"):
            visit(lambda client: client.read_candles("BTC-USDT", OLD_MS, end_ms))

        assert self.candle_requests(sandbox) == []

    def test_a_symbol_that_is_not_listed_is_named(self, visit: Visit, sandbox: Sandbox) -> None:
        with pytest.raises(UnknownSymbolError, match=f"{self.title} does not list NONE-USDT") as unknown:
            visit(lambda client: client.read_candles("NONE-USDT", OLD_MS, OLD_MS + MINUTE_MS))

        assert unknown.value.exchange == self.exchange
        assert "CRYPTO_PIPELINE_SYMBOLS" in str(unknown.value)
        assert not unknown.value.retryable
        assert len(self.candle_requests(sandbox)) == 1

    @pytest.mark.parametrize(
        "symbol", ["BTCUSDT", "btc-usdt", "BTC/USDT", "BTC-USDT?limit=1", "../BTC-USDT", "", "BTC-"]
    )
    def test_what_is_no_symbol_is_never_asked_for(self, visit: Visit, sandbox: Sandbox, symbol: str) -> None:
        with pytest.raises(UnknownSymbolError, match="not a canonical symbol"):
            visit(lambda client: client.read_candles(symbol, OLD_MS, OLD_MS + MINUTE_MS))

        assert sandbox.requests() == []

    # Instruments and clock...

    def test_every_market_is_told(self, visit: Visit) -> None:
        found = visit(lambda client: client.read_instruments())

        listed = market.instruments(self.exchange)
        assert [(one.symbol, one.base, one.quote) for one in found] == [(m.symbol, m.base, m.quote) for m in listed]
        assert [(one.price_increment, one.quantity_increment, one.minimum_quantity) for one in found] == [
            (m.tick, m.lot, m.minimum) for m in listed
        ]
        assert {one.status for one in found} == {"trading"}
        assert all(one.native_status for one in found)
        assert {one.native.replace("-", "") for one in found} == {m.base + m.quote for m in listed}

    def test_the_exchanges_clock_is_told(self, visit: Visit, sandbox: Sandbox) -> None:
        """And asked for once; two answers of it, because the first one opens the connection."""
        sandbox.add_fault(self.exchange, "clock", amount=12)

        async def twice(client: BaseClient) -> tuple[datetime, datetime]:
            return await client.read_clock(), await client.read_clock()

        first, second = visit(twice)

        assert abs(first - datetime.fromtimestamp(NOW + 12, UTC)) < timedelta(seconds=2)
        assert first == second
        assert self.paths(sandbox) == [self.time_path] * 2

    @pytest.mark.parametrize(("ahead", "words"), [(60, "60 s behind"), (-45, "45 s ahead of")])
    def test_a_clock_that_is_far_off_stops_everything_with_the_key(
        self, visit: Visit, sandbox: Sandbox, key: SimulatedKey, ahead: int, words: str
    ) -> None:
        """The audit log and the ends of candles would be wrong too; the key is not shown before that is known."""
        sandbox.add_fault(self.exchange, "clock", amount=ahead)

        with pytest.raises(ClockSkewError, match=f"This machine's clock is {words} {self.title}'s") as skewed:
            visit(prove, key)

        assert "NTP" in str(skewed.value)
        assert not skewed.value.retryable
        assert self.paths(sandbox) == [self.time_path] * 2

    @pytest.mark.parametrize("ahead", [-20, -3, 3, 20])
    def test_a_clock_that_is_a_little_off_is_corrected(
        self, visit: Visit, sandbox: Sandbox, key: SimulatedKey, ahead: int
    ) -> None:
        """Signatures carry the exchange's time, not ours."""
        sandbox.add_fault(self.exchange, "clock", amount=ahead)

        assert visit(prove, key).is_read_only

    def test_a_signature_that_the_exchange_finds_too_old_is_not_sent_again(
        self, visit: Visit, sandbox: Sandbox, key: SimulatedKey, audit: JsonLinesAuditLog
    ) -> None:
        """Its two clocks differ: that of the time endpoint and that of the signed one."""
        sandbox.add_fault(self.exchange, "clock", amount=200, path_prefix=self.permissions_path)

        with pytest.raises(self.clock_error, match=self.title):
            visit(prove, key)

        assert self.paths(sandbox).count(self.permissions_path) == 1
        assert [event["error_type"] for event in events_of(audit.path) if event["event"] == "failed_auth"] == [
            self.clock_error.__name__
        ]

    # Keys...

    def with_key(self, sandbox: Sandbox, key: SimulatedKey) -> list[dict[str, Any]]:
        """Return the requests that showed a key; the sandbox writes down its name."""
        assert {request["key"] for request in sandbox.requests()} <= {None, key.api_key}
        return [request for request in sandbox.requests() if request["key"] is not None]

    @pytest.mark.parametrize("kind", [KeyKind.READ_ONLY, KeyKind.OLD, KeyKind.UNBOUND_IP])
    def test_a_key_that_may_only_read_is_accepted_with_what_is_known_of_it(
        self, visit: Visit, sandbox: Sandbox, audit: JsonLinesAuditLog, kind: KeyKind
    ) -> None:
        """Age and binding are reported, not judged here."""
        key = self.issue(sandbox, kind)

        report = visit(prove, key)

        made = datetime.fromtimestamp(key.created_ms // 1000, UTC)
        assert report.is_read_only
        assert report.issuer == self.exchange
        assert (report.created_at and report.created_at.replace(microsecond=0)) == (made if self.tells_age else None)
        assert report.ip_bound is ((kind is not KeyKind.UNBOUND_IP) if self.tells_binding else None)
        (accepted,) = [event for event in events_of(audit.path) if event["event"] == "key_accepted"]
        assert accepted["may"] == ",".join(report.may)
        assert accepted["credential_version"] == "v7"
        assert len(self.with_key(sandbox, key)) == 1

    def test_the_question_is_asked_once_however_many_want_to_know(
        self, visit: Visit, sandbox: Sandbox, key: SimulatedKey
    ) -> None:
        async def many(client: BaseClient) -> list[Any]:
            return [*await asyncio.gather(*(client.prove_key() for _ in range(8))), await client.prove_key()]

        reports = visit(many, key)

        assert len(set(map(id, reports))) == 1
        assert len(self.with_key(sandbox, key)) == 1

    def test_without_a_key_there_is_nothing_to_prove(self, visit: Visit, sandbox: Sandbox) -> None:
        assert visit(prove) is None
        assert sandbox.requests() == []

    def refused(
        self, visit: Visit, sandbox: Sandbox, key: SimulatedKey, error: type[KeyRefusedError]
    ) -> KeyRefusedError:
        """Return the refusal of a key, after checking what holds for every refusal."""

        async def three_times(client: BaseClient) -> list[Any]:
            return list(await asyncio.gather(*(client.prove_key() for _ in range(3)), return_exceptions=True))

        found = visit(three_times, key)

        assert [type(one) for one in found] == [error] * 3
        assert [request["path"] for request in self.with_key(sandbox, key)] == [self.permissions_path]
        text = str(found[0])
        assert text.startswith(self.title)
        assert f"'crypto-pipeline/{self.exchange}' (version v7)" in text
        assert not any(secret in text for secret in secrets_of(key))
        refusal: KeyRefusedError = found[0]
        assert not refusal.retryable
        return refusal

    @pytest.mark.parametrize(
        "kind", [KeyKind.MAY_TRADE, KeyKind.MAY_WITHDRAW, KeyKind.MAY_TRANSFER, KeyKind.UNKNOWN_FLAG]
    )
    def test_a_key_that_may_do_more_is_refused_and_nothing_is_fetched_with_it(
        self, visit: Visit, sandbox: Sandbox, audit: JsonLinesAuditLog, kind: KeyKind
    ) -> None:
        """The sentence names the exchange, what the key may do and what to do about it."""
        key = self.issue(sandbox, kind)

        refusal = self.refused(visit, sandbox, key, ExcessPermissionsError)

        assert self.excess[kind] in str(refusal)
        assert "nothing was fetched with it" in str(refusal)
        assert "Make a key with reading only, store it, and delete this one." in str(refusal)
        (event,) = [event for event in events_of(audit.path) if event["event"] == "key_refused"]
        assert event["reason"] == "ExcessPermissionsError"
        assert event["may"]

    def test_a_key_of_which_nothing_is_proved_is_refused(self, visit: Visit, sandbox: Sandbox) -> None:
        key = self.issue(sandbox, KeyKind.FLAG_MISSING)

        refusal = self.refused(visit, sandbox, key, UnprovenKeyError)

        assert f"{self.missing} is missing from its answer" in str(refusal)
        assert "Make a new key with reading only and store it." in str(refusal)

    @pytest.mark.parametrize("kind", [KeyKind.EXPIRED, KeyKind.REVOKED])
    def test_a_key_that_has_ended_is_rejected_and_not_tried_again(
        self, visit: Visit, sandbox: Sandbox, audit: JsonLinesAuditLog, kind: KeyKind
    ) -> None:
        """Asking again with it would get the address banned for everybody behind it."""
        key = self.issue(sandbox, kind)

        refusal = self.refused(visit, sandbox, key, RejectedKeyError)

        assert "rotate it" in str(refusal)
        events = [event["event"] for event in events_of(audit.path)]
        assert events.count("failed_auth") == 1
        assert events.count("key_refused") == 1

    def test_a_key_that_is_bound_to_other_addresses_is_rejected(self, visit: Visit, sandbox: Sandbox) -> None:
        key = self.issue(sandbox, KeyKind.READ_ONLY, addresses=("203.0.113.7",))

        assert "address" in str(self.refused(visit, sandbox, key, RejectedKeyError))

    def test_a_wrong_secret_is_rejected_and_not_shown(
        self,
        visit: Visit,
        sandbox: Sandbox,
        audit: JsonLinesAuditLog,
        key: SimulatedKey,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Bybit's answer quotes the key's name and what was signed."""
        caplog.set_level(logging.DEBUG)
        wrong = self.issue(sandbox, KeyKind.READ_ONLY).api_secret

        with pytest.raises(RejectedKeyError, match=f"{self.title} rejected key") as refused:
            visit(prove, credentials_of(key, api_secret=wrong))

        shown = str(refused.value) + audit.path.read_text() + caplog.text
        assert not any(secret in shown for secret in [*secrets_of(key), wrong])
        assert len(self.with_key(sandbox, key)) == 1

    @pytest.mark.parametrize("api_key", ["abc\ndef", "abc\r\nX-Evil: 1", "schlüssel", " abc", "abc\0", "abc\u2028"])
    def test_a_key_that_cannot_stand_in_a_header_is_never_sent_in_one(
        self, visit: Visit, sandbox: Sandbox, key: SimulatedKey, api_key: str
    ) -> None:
        """A line break, from a file with one line too many, would make two headers of one."""
        with pytest.raises(RejectedKeyError, match="not in the form" if self.shows_key_in_header else "401") as refused:
            visit(prove, credentials_of(key, api_key=api_key))

        assert api_key.strip() not in str(refused.value)
        # Inside a token every text is safe; the exchange itself does not know such a key.
        assert self.paths(sandbox).count(self.permissions_path) == (0 if self.shows_key_in_header else 1)

    def test_a_secret_in_another_form_is_never_sent(self, visit: Visit, sandbox: Sandbox, key: SimulatedKey) -> None:
        """A PEM key that lost its lines."""
        broken = "-----BEGIN PRIVATE KEY-----planted-rubbish-----END PRIVATE KEY-----"
        if self.exchange in {"okx", "bybit"}:
            broken = "planted-\ud800-rubbish"

        with pytest.raises(KeyRefusedError) as refused:
            visit(prove, credentials_of(key, api_secret=broken))

        assert "planted" not in str(refused.value)
        assert self.permissions_path not in self.paths(sandbox)

    @pytest.mark.parametrize("fault", ["status_5xx", "cut", "cut_body", "maintenance"])
    def test_an_issuer_that_cannot_be_asked_proves_nothing_and_may_be_asked_again(
        self, visit: Visit, sandbox: Sandbox, key: SimulatedKey, audit: JsonLinesAuditLog, fault: str
    ) -> None:
        """Neither accepted nor refused: the run fails in a way that can heal."""
        sandbox.add_fault(self.exchange, fault, path_prefix=self.permissions_path, times=ATTEMPTS)

        async def twice(client: BaseClient) -> Any:
            with pytest.raises(ExchangeUnavailableError) as failed:
                await client.prove_key()
            assert failed.value.retryable
            assert {event["event"] for event in events_of(audit.path)} == {"api_call"}
            return await client.prove_key()

        assert visit(twice, key).is_read_only

    @pytest.mark.parametrize("fault", ["malformed", "redirect"])
    def test_an_answer_that_is_none_proves_nothing_and_refuses(
        self, visit: Visit, sandbox: Sandbox, key: SimulatedKey, fault: str
    ) -> None:
        sandbox.add_fault(self.exchange, fault, path_prefix=self.permissions_path, times=1)

        refusal = self.refused(visit, sandbox, key, UnprovenKeyError)

        assert "nobody says what" in str(refusal)
        assert "Remove the key" in str(refusal)

    def test_a_verdict_that_cannot_be_recorded_does_not_count(
        self, visit: Visit, key: SimulatedKey, audit: JsonLinesAuditLog
    ) -> None:
        """The log is taken away after the last call of the proof, as if the disk were full then."""
        log = audit.path

        async def without_log(client: BaseClient) -> Any:
            await client.read_clock()
            log.unlink()
            log.mkdir()
            with pytest.raises(AuditError):
                await client.prove_key()
            log.rmdir()
            return await client.prove_key()

        assert visit(without_log, key).is_read_only
        assert [event["event"] for event in events_of(log)] == ["api_call", "key_accepted"]

    # Faults...

    FAULTS: ClassVar[Mapping[str, tuple[type[CryptoPipelineError], int]]] = {
        "latency": (ExchangeUnavailableError, ATTEMPTS),
        "status_5xx": (ExchangeUnavailableError, ATTEMPTS),
        "cut": (ExchangeUnavailableError, ATTEMPTS),
        "cut_body": (ExchangeUnavailableError, ATTEMPTS),
        "maintenance": (ExchangeUnavailableError, ATTEMPTS),
        "rate_limited": (RateLimitedError, ATTEMPTS),
        "malformed": (MalformedAnswerError, 1),
        "redirect": (MalformedAnswerError, 1),
        "banned": (BannedError, 1),
        "region_block": (RegionBlockedError, 1),
    }
    """What each fault becomes, and how often it is tried."""

    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("has_key", [False, True], ids=["without a key", "with a key"])
    def test_a_fault_becomes_its_error_after_as_many_tries_as_can_help(
        self, visit: Visit, sandbox: Sandbox, audit: JsonLinesAuditLog, key: SimulatedKey, fault: str, *, has_key: bool
    ) -> None:
        """With the exchange's name, one event for each try, and no secret in either."""
        error, tries = self.FAULTS[fault]
        error = self.region_error if fault == "region_block" else error
        amount = 2.0 if fault == "latency" else 0.0
        self.break_candles(sandbox, fault, amount=amount)

        with pytest.raises(error) as failed:
            visit(fetch, key if has_key else None, timeout_seconds=0.5 if fault == "latency" else 10.0)

        assert type(failed.value) is error
        assert failed.value.retryable is (tries > 1)
        assert self.title in str(failed.value)
        assert not re.search(r"https?://|\?|signature", str(failed.value))
        assert not any(secret in str(failed.value) + audit.path.read_text() for secret in secrets_of(key))
        assert len(self.candle_requests(sandbox)) == tries
        events = [event for event in events_of(audit.path) if event.get("endpoint", "").startswith(self.candles_paths)]
        calls = [event for event in events if event["event"] == "api_call"]
        assert [(call["success"], call["error"]) for call in calls] == [(False, error.__name__)] * tries
        is_hit = fault in {"rate_limited", "banned"} or error is BannedError
        assert len([event for event in events if event["event"] == "rate_limit_hit"]) == (tries if is_hit else 0)

    @pytest.mark.parametrize("fault", ["status_5xx", "cut", "cut_body", "maintenance", "rate_limited"])
    def test_two_faults_and_then_an_answer_is_an_answer(
        self, visit: Visit, sandbox: Sandbox, audit: JsonLinesAuditLog, time: VirtualTime, fault: str
    ) -> None:
        self.break_candles(sandbox, fault, times=2)

        async def fetch_and_count(client: BaseClient) -> tuple[list[Candle], int, int]:
            found = await fetch(client)
            return found, client.usage.requests, client.usage.retries

        found, requests, retries = visit(fetch_and_count)

        assert found == self.expected(OLD_MS, 10)
        assert retries == 2
        assert requests == len(sandbox.requests())
        assert len(time.slept) >= 2
        calls = [event for event in events_of(audit.path) if event["endpoint"].startswith(self.candles_paths)]
        assert [call["success"] for call in calls if call["event"] == "api_call"] == [False, False, True]

    def test_a_wait_that_was_asked_for_is_kept_by_everybody(
        self, visit: Visit, sandbox: Sandbox, time: VirtualTime
    ) -> None:
        """One was told; the others hold back too."""
        self.break_candles(sandbox, "rate_limited", times=1)

        async def told_and_another(client: BaseClient) -> float:
            await client.read_clock()
            told = asyncio.ensure_future(fetch(client))
            await told
            return time.seconds - NOW

        waited = visit(told_and_another)

        assert waited >= 1
        first, second = self.candle_requests(sandbox)
        assert second["time_ms"] - first["time_ms"] >= 1000

    def test_a_ban_is_not_tested(self, visit: Visit, sandbox: Sandbox) -> None:
        """Asking again makes it longer, so that nothing more is asked, not even something else."""
        self.break_candles(sandbox, "banned", times=1)

        async def go_on(client: BaseClient) -> list[object]:
            await client.read_clock()
            first = await asyncio.gather(fetch(client), return_exceptions=True)
            more = await asyncio.gather(fetch(client), client.read_instruments(), return_exceptions=True)
            return [*first, *more]

        found = visit(go_on)

        assert [type(one) for one in found] == [BannedError] * 3
        assert len(sandbox.requests()) == 3

    def test_fifty_pages_stay_within_the_limits(self, visit: Visit, sandbox: Sandbox) -> None:
        """
        The sandbox counts as the exchange does; nobody is ever told to slow down.

        One connection: with several, a request would be on its way while virtual minutes pass. Budgets with many
        callers are tried in `transport/test_budget.py`.
        """

        async def many(client: BaseClient) -> list[list[Candle]]:
            pages = (OLD_MS + index * 10 * MINUTE_MS for index in range(50))
            return await asyncio.gather(
                *(client.read_candles("BTC-USDT", start_ms, start_ms + 10 * MINUTE_MS) for start_ms in pages)
            )

        found = visit(many, connections=1)

        assert [candle for page in found for candle in page] == self.expected(OLD_MS, 500)
        assert {request["status"] for request in sandbox.requests()} == {200}

    def test_every_call_is_on_record_with_what_it_was_for(
        self, visit: Visit, sandbox: Sandbox, audit: JsonLinesAuditLog, key: SimulatedKey
    ) -> None:
        """As many events as requests, in their order, each saying whether the key went along; never a query."""

        async def everything(client: BaseClient) -> None:
            await client.prove_key()
            await client.read_instruments()
            await fetch(client)

        visit(everything, key)

        calls = [event for event in events_of(audit.path) if event["event"] == "api_call"]
        requests = sandbox.requests()
        assert [(call["endpoint"], call["status"]) for call in calls] == [
            (one["path"], one["status"]) for one in requests
        ]
        assert [call["signed"] for call in calls] == [one["key"] is not None for one in requests]
        assert {call["credential_version"] for call in calls} == {"v7"}
        assert {call["exchange"] for call in calls} == {self.exchange}
        assert "?" not in "".join(call["endpoint"] for call in calls)
        assert not any(secret in audit.path.read_text() for secret in secrets_of(key))
