"""
What every client does that reads trades, quotes and books, or perpetual contracts, whatever its exchange.

A member gives the class attributes and passes every test here against the real sandbox, over sockets; see
`test_quotes.py`. Time is virtual, so what a client read can be compared with what the sandbox holds at that moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.errors import ExchangeUnavailableError, MalformedAnswerError, UnknownSymbolError
from crypto_pipeline.exchanges import CLIENTS, PERPETUAL_CLIENTS, BaseClient
from crypto_pipeline.exchanges.quotes import (
    Book,
    FundingRate,
    Level,
    MarkPrice,
    OpenInterest,
    Perpetuals,
    Quote,
    Side,
    SpotQuotes,
    Trade,
)
from crypto_pipeline.sandbox import market, perpetuals, quotes
from crypto_pipeline.sandbox.bars import listed_ms
from crypto_pipeline.sandbox.keys import KeyKind, SimulatedKey
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline.transport.egress import rules_for
from crypto_pipeline_tests.exchanges.support import MINUTE_MS, NOW, VirtualTime, credentials_of, events_of

T = TypeVar("T")
Visit = Callable[..., Any]
Ask = Callable[[Any, str], Awaitable[Any]]

HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
NOW_MS = int(NOW * 1000)
OPENED_MS = NOW_MS // MINUTE_MS * MINUTE_MS
EVEN_MS = NOW_MS // DAY_MS * DAY_MS
"""A moment at which every contract paid: the beginning of the day."""
ATTEMPTS = 3
NO_SYMBOLS = ["BTCUSDT", "btc-usdt", "BTC/USDT", "BTC-USDT?limit=1", "../BTC-USDT", "", "BTC-", "BTC-USDT-SWAP"]

SPOT_VERBS: dict[str, Ask] = {
    "trades": lambda client, symbol: client.read_trades(symbol),
    "quote": lambda client, symbol: client.read_quote(symbol),
    "book": lambda client, symbol: client.read_book(symbol, 5),
}
PERPETUAL_VERBS: dict[str, Ask] = {
    "funding rates": lambda client, symbol: client.read_funding_rates(symbol, NOW_MS - DAY_MS, NOW_MS),
    "open interest": lambda client, symbol: client.read_open_interest(symbol),
    "mark price": lambda client, symbol: client.read_mark_price(symbol),
}


class Visits:
    """What the two contracts share: how a client is opened, and what the sandbox saw of it."""

    exchange: ClassVar[str]
    title: ClassVar[str]
    place: ClassVar[str] = ""
    """The sandbox's name of the host that is asked, where it is not that of the exchange."""

    @property
    def client(self) -> type[BaseClient]:
        """Return the class that is visited."""
        raise NotImplementedError

    @property
    def host(self) -> str:
        return self.place or self.exchange

    @pytest.fixture
    def visit(self, sandbox: Sandbox, audit: JsonLinesAuditLog, time: VirtualTime) -> Visit:
        """Return a function that opens a client, does some work with it and closes it."""

        def visit(work: Callable[[Any], Awaitable[T]], key: SimulatedKey | None = None, **options: Any) -> T:
            async def visiting() -> T:
                client = self.client(
                    credentials_of(key) if key else None,
                    audit=audit,
                    base_url=sandbox.urls[self.host],
                    clock=time,
                    monotonic=time,
                    sleep=time.sleep,
                    **({"attempts": ATTEMPTS} | options),
                )
                async with client:
                    return await work(client)

            return asyncio.run(visiting())

        return visit

    def reads_as_told(self, visit: Visit, sandbox: Sandbox, ask: Ask) -> None:
        """A failure that heals is asked again; one that stays, and an answer of another shape, are named."""
        told = visit(lambda client: ask(client, "BTC-USDT"))

        sandbox.add_fault(self.host, "status_5xx", times=ATTEMPTS - 1)
        assert visit(lambda client: ask(client, "BTC-USDT")) is not None

        sandbox.add_fault(self.host, "status_5xx")
        with pytest.raises(ExchangeUnavailableError, match=self.title):
            visit(lambda client: ask(client, "BTC-USDT"))

        sandbox.clear_faults()
        sandbox.add_fault(self.host, "malformed")
        with pytest.raises(MalformedAnswerError, match=self.title) as malformed:
            visit(lambda client: ask(client, "BTC-USDT"))

        assert type(told) is not str
        assert malformed.value.exchange == self.exchange

    def is_named(self, visit: Visit, sandbox: Sandbox, ask: Ask) -> None:
        """A symbol that is not there is asked for once, and the error says which one."""
        with pytest.raises(UnknownSymbolError, match=rf"{self.title} .*NONE-USDT") as unknown:
            visit(lambda client: ask(client, "NONE-USDT"))

        assert unknown.value.exchange == self.exchange
        assert not unknown.value.retryable
        assert len(sandbox.requests()) == 1

    def is_never_over_a_limit(self, visit: Visit, sandbox: Sandbox, ask: Ask) -> None:
        """
        Many that ask at once wait for their turn; the exchange refuses none.

        One connection: with several, a request would be on its way while virtual seconds pass.
        """
        symbols = [market.SYMBOLS[turn % 2] for turn in range(130)]

        async def all_at_once(client: Any) -> None:
            await asyncio.gather(*[ask(client, symbol) for symbol in symbols])

        visit(all_at_once, connections=1)

        assert len(sandbox.requests()) >= len(symbols)
        assert {request["status"] for request in sandbox.requests()} == {200}


class SpotQuotesContract(Visits):
    """Subclass with the attributes below; they say how this exchange differs from the others."""

    newest: ClassVar[int]
    """How many trades the exchange gives at once."""
    tells_quote_time: ClassVar[bool]
    tells_book_time: ClassVar[bool]
    tells_sequence: ClassVar[bool]
    signs: ClassVar[bool] = False
    """Whether a key, once proved, signs these questions too."""

    @property
    def client(self) -> type[BaseClient]:
        return CLIENTS[self.exchange]

    @property
    def deepest(self) -> int:
        depth: int = self.client.deepest_book  # type: ignore[attr-defined] # every member has it, see below
        return depth

    def trades_now(self, sandbox: Sandbox, symbol: str = "BTC-USDT") -> list[Trade]:
        """Return what the made-up market holds, as this exchange tells it."""
        found = quotes.newest_trades(self.exchange, symbol, sandbox.now_ms(), self.newest)
        return [
            Trade(str(trade.trade_id), trade.time_ms, trade.price, trade.size, Side(trade.taker_side))
            for trade in reversed(found)
        ]

    def book_now(self, sandbox: Sandbox, symbol: str, levels: int) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        sides = quotes.book(self.exchange, symbol, sandbox.now_ms(), levels)
        bids, asks = (tuple(Level(level.price, level.size) for level in side) for side in sides)
        return bids, asks

    def test_the_client_is_one_that_reads_spot_markets(self, audit: JsonLinesAuditLog) -> None:
        client = self.client(None, audit=audit)

        assert isinstance(client, SpotQuotes)
        assert client.deepest_book >= 100

    # Trades...

    @pytest.mark.parametrize("symbol", ["BTC-USDT", "PEPE-USDT"])
    def test_trades_are_the_newest_oldest_first(self, visit: Visit, sandbox: Sandbox, symbol: str) -> None:
        """Each number exact, each field in its place; who took is the taker, whatever side the exchange names."""
        found = visit(lambda client: client.read_trades(symbol))

        assert found == self.trades_now(sandbox, symbol)
        assert len(found) == self.newest
        assert {trade.taker_side for trade in found} == {Side.BUY, Side.SELL}
        assert [trade.time_ms for trade in found] == sorted(trade.time_ms for trade in found)
        assert all(isinstance(trade.price, Decimal) for trade in found)

    @pytest.mark.parametrize("passed_ms", [1, 30_500, 59_999])
    def test_trades_lie_within_the_candles_of_their_minutes(
        self, visit: Visit, time: VirtualTime, passed_ms: int
    ) -> None:
        """The running one among them, whose range grows with each trade."""
        time.seconds = (OPENED_MS + passed_ms) / 1000

        async def both(client: Any) -> Any:
            start_ms = OPENED_MS - 60 * MINUTE_MS
            return await client.read_candles("ETH-USDT", start_ms, OPENED_MS + MINUTE_MS), await client.read_trades(
                "ETH-USDT"
            )

        candles, trades = visit(both)

        minutes = {candle.open_time_ms: candle for candle in candles}
        in_them = [trade for trade in trades if trade.time_ms // MINUTE_MS * MINUTE_MS in minutes]
        assert trades[-1].time_ms // MINUTE_MS * MINUTE_MS in (OPENED_MS, OPENED_MS - MINUTE_MS)
        assert len(in_them) >= min(self.newest, 60)
        for trade in in_them:
            candle = minutes[trade.time_ms // MINUTE_MS * MINUTE_MS]
            assert candle.low <= trade.price <= candle.high

    def test_a_trade_is_the_same_one_whenever_it_is_read(self, visit: Visit, time: VirtualTime) -> None:
        first = {trade.trade_id: trade for trade in visit(lambda client: client.read_trades("BTC-USDT"))}
        time.seconds += 60
        second = {trade.trade_id: trade for trade in visit(lambda client: client.read_trades("BTC-USDT"))}

        both = first.keys() & second.keys()
        assert len(both) >= self.newest // 2
        assert all(first[name] == second[name] for name in both)
        assert max(trade.time_ms for trade in second.values()) > max(trade.time_ms for trade in first.values())

    # Quotes and books...

    @pytest.mark.parametrize("symbol", ["BTC-USDT", "DOGE-USDT", "PEPE-USDT"])
    def test_a_quote_is_the_best_bid_and_ask(self, visit: Visit, sandbox: Sandbox, symbol: str) -> None:
        found = visit(lambda client: client.read_quote(symbol))

        (bid,), (ask,) = self.book_now(sandbox, symbol, 1)
        assert found == Quote(symbol, sandbox.now_ms() if self.tells_quote_time else None, *bid, *ask)
        assert found.bid <= quotes.last_price(self.exchange, symbol, sandbox.now_ms()) <= found.ask

    @pytest.mark.parametrize("symbol", ["BTC-USDT", "PEPE-USDT"])
    @pytest.mark.parametrize("levels", [1, 2, 7, 0], ids=["one", "two", "seven", "the deepest"])
    def test_a_book_has_the_best_levels_best_first(
        self, visit: Visit, sandbox: Sandbox, levels: int, symbol: str
    ) -> None:
        """As many as were asked for, on each side; exchanges that know a few depths only are cut to it."""
        levels = levels or self.deepest

        found: Book = visit(lambda client: client.read_book(symbol, levels))

        bids, asks = self.book_now(sandbox, symbol, levels)
        assert (found.symbol, found.bids, found.asks) == (symbol, bids, asks)
        assert found.time_ms == (sandbox.now_ms() if self.tells_book_time else None)
        assert (found.sequence is not None) == self.tells_sequence
        assert found.sequence is None or found.sequence.isalnum()

    def test_a_quote_is_the_top_of_the_book(self, visit: Visit) -> None:
        async def both(client: Any) -> tuple[Quote, Book]:
            return await client.read_quote("SOL-USDT"), await client.read_book("SOL-USDT", 3)

        quote, book = visit(both)

        assert (quote.bid, quote.bid_quantity) == book.bids[0]
        assert (quote.ask, quote.ask_quantity) == book.asks[0]

    @pytest.mark.parametrize("beyond", [0, -1, None])
    def test_a_depth_that_cannot_be_is_not_asked_for(self, visit: Visit, sandbox: Sandbox, beyond: int | None) -> None:
        levels = self.deepest + 1 if beyond is None else beyond

        with pytest.raises(ValueError, match=f"{self.title} is asked for 1 to {self.deepest} levels"):
            visit(lambda client: client.read_book("BTC-USDT", levels))

        assert sandbox.requests() == []

    # All three...

    @pytest.mark.parametrize("verb", SPOT_VERBS)
    def test_a_symbol_that_is_not_listed_is_named(self, visit: Visit, sandbox: Sandbox, verb: str) -> None:
        self.is_named(visit, sandbox, SPOT_VERBS[verb])

    @pytest.mark.parametrize("symbol", NO_SYMBOLS)
    @pytest.mark.parametrize("verb", SPOT_VERBS)
    def test_what_is_no_symbol_is_never_asked_for(self, visit: Visit, sandbox: Sandbox, verb: str, symbol: str) -> None:
        with pytest.raises(UnknownSymbolError, match="not a canonical symbol"):
            visit(lambda client: SPOT_VERBS[verb](client, symbol))

        assert sandbox.requests() == []

    @pytest.mark.parametrize("verb", SPOT_VERBS)
    def test_spot_questions_fail_by_name(self, visit: Visit, sandbox: Sandbox, verb: str) -> None:
        """A failure that heals is asked again; one that stays, and an answer of another shape, are named."""
        self.reads_as_told(visit, sandbox, SPOT_VERBS[verb])

    @pytest.mark.parametrize("verb", SPOT_VERBS)
    def test_spot_questions_keep_the_limits(self, visit: Visit, sandbox: Sandbox, verb: str) -> None:
        self.is_never_over_a_limit(visit, sandbox, SPOT_VERBS[verb])

    @pytest.mark.parametrize("verb", SPOT_VERBS)
    def test_a_key_changes_nothing_and_is_shown_only_where_it_helps(
        self, visit: Visit, sandbox: Sandbox, audit: JsonLinesAuditLog, verb: str
    ) -> None:
        """All calls are on the record, and none names a symbol's query."""
        key = sandbox.keys.issue(self.exchange, KeyKind.READ_ONLY, now_ms=sandbox.now_ms())

        without = visit(lambda client: SPOT_VERBS[verb](client, "BTC-USDT"))
        sandbox.clear_requests()
        audit.path.unlink()
        with_key = visit(lambda client: SPOT_VERBS[verb](client, "BTC-USDT"), key)

        asked = sandbox.requests()
        assert with_key == without
        assert (asked[-1]["key"] == key.api_key) == self.signs
        calls = [event for event in events_of(audit.path) if event["event"] == "api_call"]
        assert [call["endpoint"] for call in calls] == [request["path"] for request in asked]


class PerpetualsContract(Visits):
    """Subclass with the attributes below; they say how this exchange differs from the others."""

    told_days: ClassVar[int | None] = None
    """For how many days funding rates are told; None for all."""
    many: ClassVar[tuple[str, int]]
    """A symbol, and a number of days that brings more funding rates than one page."""
    tells_funding_mark: ClassVar[bool] = False
    """Whether a funding rate comes with the mark price it was reckoned with."""
    tells_value: ClassVar[bool] = False
    """Whether open interest is told in quote currency too."""

    @property
    def client(self) -> type[BaseClient]:
        return PERPETUAL_CLIENTS[self.exchange]

    def late_ms(self, symbol: str, payment_ms: int) -> int:
        """Return how much later than it was due a payment is dated; most exchanges are exact."""
        del symbol, payment_ms
        return 0

    def paid(self, symbol: str, start_ms: int, end_ms: int) -> list[FundingRate]:
        """Return what the made-up market holds, as this exchange tells it."""
        if self.told_days is not None:
            start_ms = max(start_ms, NOW_MS - self.told_days * DAY_MS)
        moments = perpetuals.payments(self.exchange, symbol, start_ms, min(end_ms - 1, NOW_MS))
        return [
            FundingRate(
                moment,
                perpetuals.paid_rate(self.exchange, symbol, moment),
                perpetuals.mark_price(self.exchange, symbol, moment) if self.tells_funding_mark else None,
            )
            for moment in moments
        ]

    def test_the_client_is_one_that_reads_perpetual_contracts(self, audit: JsonLinesAuditLog) -> None:
        """And asks where it says that it does."""
        client = self.client(None, audit=audit)
        address, table = rules_for(self.client.host, self.client.paths)

        assert isinstance(client, Perpetuals)
        assert client.name == self.exchange
        assert client.funding_endpoint.startswith(self.client.host + "/")
        table.check("GET", f"{address}{client.funding_endpoint.removeprefix(self.client.host)}")

    # Funding rates...

    @pytest.mark.parametrize("symbol", ["BTC-USDT", "PEPE-USDT"])
    def test_funding_rates_are_those_that_were_paid_oldest_first(self, visit: Visit, symbol: str) -> None:
        """Each number exact, of either sign."""
        start_ms = NOW_MS - 10 * DAY_MS

        found = visit(lambda client: client.read_funding_rates(symbol, start_ms, NOW_MS))

        assert found == self.paid(symbol, start_ms, NOW_MS)
        assert len(found) >= 30
        assert min(one.rate for one in found) < 0 < max(one.rate for one in found)

    @pytest.mark.parametrize(
        ("start_ms", "end_ms", "count"),
        [
            pytest.param(0, 1, 1, id="the moment alone"),
            pytest.param(0, 8 * HOUR_MS, 1, id="from one moment to the next"),
            pytest.param(1, 8 * HOUR_MS, 0, id="between two moments"),
            pytest.param(-1, 8 * HOUR_MS + 1, 2, id="around two moments"),
            pytest.param(-8 * HOUR_MS, 0, 1, id="up to a moment"),
        ],
    )
    def test_a_range_has_its_start_and_not_its_end(self, visit: Visit, start_ms: int, end_ms: int, count: int) -> None:
        """Each exchange has its own idea of ends; the caller has one. Three payments in a row are dated alike here."""
        midnights = (EVEN_MS - days * DAY_MS for days in range(5, 90))
        lateness = {
            midnight: {self.late_ms("BTC-USDT", midnight + hours * HOUR_MS) for hours in (-8, 0, 8)}
            for midnight in midnights
        }
        day_ms = next(midnight + late.pop() for midnight, late in lateness.items() if len(late) == 1)

        found = visit(lambda client: client.read_funding_rates("BTC-USDT", day_ms + start_ms, day_ms + end_ms))

        assert found == self.paid("BTC-USDT", day_ms + start_ms, day_ms + end_ms)
        assert len(found) == count

    def test_a_long_range_takes_as_many_pages_as_it_has(self, visit: Visit, sandbox: Sandbox) -> None:
        """None twice, none left out where two pages meet."""
        symbol, days = self.many
        start_ms = NOW_MS - days * DAY_MS

        found = visit(lambda client: client.read_funding_rates(symbol, start_ms, NOW_MS))

        assert found == self.paid(symbol, start_ms, NOW_MS)
        assert len(sandbox.requests()) > 1

    def test_a_range_that_began_long_ago_brings_what_is_still_told(self, visit: Visit) -> None:
        start_ms = NOW_MS - 200 * DAY_MS

        found = visit(lambda client: client.read_funding_rates("ETH-USDT", start_ms, NOW_MS))

        assert found == self.paid("ETH-USDT", start_ms, NOW_MS)
        assert len(found) > 200

    def test_a_range_that_ends_before_what_is_told_is_empty(self, visit: Visit) -> None:
        """There the contract did not exist yet."""
        listed = listed_ms(self.exchange, "PEPE-USDT")

        found = visit(lambda client: client.read_funding_rates("PEPE-USDT", listed - 9 * DAY_MS, listed))

        assert found == []

    def test_what_was_not_paid_yet_is_not_told(self, visit: Visit) -> None:
        """The rate that is expected next is no rate that was paid."""
        found = visit(lambda client: client.read_funding_rates("BTC-USDT", NOW_MS, NOW_MS + 9 * DAY_MS))

        assert found == []

    @pytest.mark.parametrize("length", [0, -1, -DAY_MS])
    def test_a_range_without_a_moment_is_not_asked_for(self, visit: Visit, sandbox: Sandbox, length: int) -> None:
        with pytest.raises(ValueError, match=f"{self.title} is asked for a range that ends after its start"):
            visit(lambda client: client.read_funding_rates("BTC-USDT", NOW_MS, NOW_MS + length))

        assert sandbox.requests() == []

    # What is open, and what it is reckoned with...

    @pytest.mark.parametrize("symbol", ["BTC-USDT", "DOGE-USDT", "PEPE-USDT"])
    def test_open_interest_counts_the_base_currency(self, visit: Visit, sandbox: Sandbox, symbol: str) -> None:
        """Whatever the exchange counts in; the value is told where the exchange tells it, never worked out."""
        found: OpenInterest = visit(lambda client: client.read_open_interest(symbol))

        assert (found.symbol, found.quantity) == (
            symbol,
            perpetuals.open_interest(self.exchange, symbol, sandbox.now_ms()),
        )
        assert found.quantity > 0
        assert (found.value is not None) == self.tells_value
        assert found.time_ms is None or abs(found.time_ms - sandbox.now_ms()) <= 5 * MINUTE_MS

    @pytest.mark.parametrize("symbol", ["BTC-USDT", "PEPE-USDT"])
    def test_a_mark_price_comes_with_its_index_and_what_is_paid_next(
        self, visit: Visit, sandbox: Sandbox, symbol: str
    ) -> None:
        """The payment that comes next, not the one after it."""
        found: MarkPrice = visit(lambda client: client.read_mark_price(symbol))

        now_ms = sandbox.now_ms()
        assert found == MarkPrice(
            symbol,
            found.time_ms,
            perpetuals.mark_price(self.exchange, symbol, now_ms),
            perpetuals.index_price(self.exchange, symbol, now_ms),
            perpetuals.expected_rate(self.exchange, symbol, now_ms),
            perpetuals.next_payment_ms(self.exchange, symbol, now_ms),
        )
        assert found.time_ms is None or abs(found.time_ms - now_ms) < 5000
        spot = quotes.last_price(self.exchange, symbol, now_ms)
        assert abs(found.mark_price / spot - 1) < Decimal("0.01")

    # All three...

    @pytest.mark.parametrize("verb", PERPETUAL_VERBS)
    def test_a_symbol_without_a_contract_is_named(self, visit: Visit, sandbox: Sandbox, verb: str) -> None:
        self.is_named(visit, sandbox, PERPETUAL_VERBS[verb])

    @pytest.mark.parametrize("symbol", NO_SYMBOLS)
    @pytest.mark.parametrize("verb", PERPETUAL_VERBS)
    def test_what_is_no_symbol_is_never_asked_for(self, visit: Visit, sandbox: Sandbox, verb: str, symbol: str) -> None:
        with pytest.raises(UnknownSymbolError, match="not a canonical symbol"):
            visit(lambda client: PERPETUAL_VERBS[verb](client, symbol))

        assert sandbox.requests() == []

    @pytest.mark.parametrize("verb", PERPETUAL_VERBS)
    def test_questions_of_contracts_fail_by_name(self, visit: Visit, sandbox: Sandbox, verb: str) -> None:
        """A failure that heals is asked again; one that stays, and an answer of another shape, are named."""
        self.reads_as_told(visit, sandbox, PERPETUAL_VERBS[verb])

    @pytest.mark.parametrize("verb", PERPETUAL_VERBS)
    def test_questions_of_contracts_keep_the_limits(self, visit: Visit, sandbox: Sandbox, verb: str) -> None:
        self.is_never_over_a_limit(visit, sandbox, PERPETUAL_VERBS[verb])

    @pytest.mark.parametrize("verb", PERPETUAL_VERBS)
    def test_no_key_is_shown(self, visit: Visit, sandbox: Sandbox, verb: str) -> None:
        """All of this is public."""
        key = sandbox.keys.issue(self.exchange, KeyKind.READ_ONLY, now_ms=sandbox.now_ms())

        visit(lambda client: PERPETUAL_VERBS[verb](client, "BTC-USDT"), key)

        assert {request["key"] for request in sandbox.requests()} == {None}
