"""
What all clients are: an exchange that is asked in one way, with a key only after the exchange itself vouches for it.

A client file adds what is special about its exchange: how it signs, what its refusals mean, what its rows say. It
never sends anything itself.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from crypto_pipeline.credentials import Credentials, KeyReport
from crypto_pipeline.errors import (
    ClockSkewError,
    MalformedAnswerError,
    RejectedKeyError,
    RequestRefusedError,
    UnprovenKeyError,
)
from crypto_pipeline.exchanges.answers import decode
from crypto_pipeline.exchanges.asking import NO_PARAMETERS, Asker, Endpoint, Parameters
from crypto_pipeline.exchanges.gate import KeyGate
from crypto_pipeline.exchanges.interface import Candle, Instrument
from crypto_pipeline.exchanges.pages import CandlePage
from crypto_pipeline.exchanges.refusals import name_key
from crypto_pipeline.transport import Answer

MAX_SKEW_SECONDS = 30.0
"""Beyond this no correction is made: a clock so wrong makes the audit log and the candles' ends wrong too."""


class BaseClient(Asker, ABC):
    """One exchange, read only; made like an `Asker`, whose `audit` gets the verdict on the key too."""

    page_minutes: ClassVar[int] = 1
    candle_endpoint: ClassVar[str] = ""
    instruments_endpoint: ClassVar[str] = ""
    """Host and path that data comes from, for the provenance of a stored file."""

    omits_empty_minutes: ClassVar[bool] = False
    """Whether the exchange has no row for a minute without a trade."""

    refuses_good_keys: ClassVar[bool] = False
    """Whether a proved key that the exchange refuses is tried once more, where the store has no other version of it."""

    time_endpoint: ClassVar[Endpoint | None] = None
    permission_endpoint: ClassVar[Endpoint]

    def _take(self, credentials: Credentials | None) -> None:
        super()._take(credentials)
        self._gate = None
        if self.credential is not None:
            # Each version of a key has to be proved for itself.
            self._gate = KeyGate(self.credential, issuer=self.name, title=self.title, audit=self._audit, now=self.now)

    async def __aenter__(self) -> Self:
        """Return the client; nothing is sent yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.close()

    # What each exchange adds...

    @abstractmethod
    def judge(self, body: Any) -> KeyReport:
        """Return what the permission endpoint's answer says; see `permissions`."""

    @abstractmethod
    def parse_time(self, body: bytes) -> float:
        """Return the exchange's time in seconds from the answer of its time endpoint."""

    @abstractmethod
    async def read_instruments(self) -> list[Instrument]:
        """Return every spot market, sorted by canonical symbol."""

    @abstractmethod
    async def read_page(self, symbol: str, start_ms: int, end_ms: int) -> CandlePage:
        """Return one page of 1-minute candles; see `ExchangeClient.read_page`."""

    async def read_candles(self, symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
        """Return one page of 1-minute candles as records; see `ExchangeClient.read_candles`."""
        return (await self.read_page(symbol, start_ms, end_ms)).candles()

    def check_form(self, credentials: Credentials) -> None:
        """Refuse a key whose very form says that it cannot be proved; most exchanges have none."""

    def check_page(self, start_ms: int, end_ms: int) -> None:
        """
        Do nothing if the range fits into one page.

        Raises:
            ValueError: it does not; most exchanges would cut it without a word.
        """
        if not 0 < end_ms - start_ms <= self.page_minutes * 60_000:
            msg = f"{self.title} is asked for 1 to {self.page_minutes} minutes at once, not {start_ms} to {end_ms}."
            raise ValueError(msg)

    # The clock...

    async def read_clock(self) -> datetime:
        """
        Return the exchange's time, asking for it once.

        Raises:
            ClockSkewError: ours is more than 30 s off.
        """
        if self._offset_seconds is None:
            self._offset_seconds = await self._measure_offset()
        if abs(self._offset_seconds) > MAX_SKEW_SECONDS:
            side = "behind" if self._offset_seconds > 0 else "ahead of"
            msg = (
                f"This machine's clock is {abs(self._offset_seconds):.0f} s {side} {self.title}'s. "
                "Set it (NTP), then run again; nothing was fetched."
            )
            raise ClockSkewError(msg, exchange=self.name)
        return datetime.fromtimestamp(self.now(), UTC)

    async def _measure_offset(self) -> float:
        if self.time_endpoint is None:
            return 0.0
        quickest, offset = math.inf, 0.0
        # The quicker of two round trips: the first also opens the connection.
        for _ in range(2):
            answer = await self.ask(self.time_endpoint)
            middle = self._clock() - answer.seconds / 2
            if answer.seconds < quickest:
                quickest, offset = answer.seconds, self.parse_time(answer.body) - middle
        return offset

    # The key...

    async def prove_key(self) -> KeyReport | None:
        """
        Ask the issuer what the key may do, once, and let nothing but a read-only key pass.

        Raises:
            ExcessPermissionsError: the key may do more than read.
            UnprovenKeyError: the answer does not prove what the key may do.
            RejectedKeyError: the key is not accepted, or has ended, and there is no other version of it.
            ExchangeError: the issuer could not be asked; nothing is proved.
        """
        while True:
            tried = self._credentials
            try:
                return await self._prove()
            except RejectedKeyError:
                # Ends: each turn needs a version that the store did not have before.
                if not await self._renewed(tried):
                    raise

    async def _prove(self) -> KeyReport | None:
        gate, credentials = self._gate, self._credentials
        if gate is None or credentials is None:
            return None
        return await gate.prove(lambda: self._ask_permissions(credentials))

    async def _renewed(self, rejected: Credentials | None) -> bool:
        """Take another version of a rejected key, if there is one; whoever comes second finds it taken."""
        async with self._renewing:
            if self._credentials is rejected and rejected is not None and self._renew is not None:
                found = await self._renew(rejected.description)
                if found is not None and found.description.version != rejected.description.version:
                    self._take(found)
            return self._credentials is not rejected

    async def _replaced(self, rejected: Credentials | None) -> bool:
        """Tell whether somebody else has taken another version, or is about to."""
        async with self._renewing:
            return self._credentials is not rejected

    async def _ask_permissions(self, credentials: Credentials) -> KeyReport:
        self.check_form(credentials)
        await self.read_clock()
        path = self.permission_endpoint.path
        try:
            answer = await self.ask(self.permission_endpoint, credentials=credentials)
            return self.judge(decode(answer.body, self.title, path, unique_names=True))
        except (MalformedAnswerError, RequestRefusedError) as error:
            msg = (
                f"{error} So nobody says what {self.key_name} may do: it is not used and nothing was fetched with it. "
                "Remove the key to read public data only."
            )
            raise UnprovenKeyError(msg) from None

    def check_key_use(self, endpoint: Endpoint, credentials: Credentials) -> None:
        """
        Do nothing if the key is proved, or the question is what it may do.

        Raises:
            RejectedKeyError: another version of the key is in use by now.
            UnprovenKeyError: whoever asks has forgotten to prove the key; see `ask_with_key`.
        """
        if credentials.description != self.credential:
            msg = f"{name_key(credentials.description)} of {self.title} was replaced in the meantime."
            raise RejectedKeyError(msg)
        if endpoint.path != self.permission_endpoint.path and not (self._gate and self._gate.is_open):
            msg = f"{self.title} was about to be asked with {self.key_name} before it was proved, so it was not."
            raise UnprovenKeyError(msg)

    async def ask_with_key(self, endpoint: Endpoint, parameters: Parameters = NO_PARAMETERS) -> Answer:
        """
        Ask a question with the key, once it is proved; without one if there is none.

        Raises:
            KeyRefusedError: the key may not be used, or is not accepted any more.
            ExchangeError: the exchange did not give what was asked.
        """
        doubted: Credentials | None = None
        while True:
            await self.prove_key()
            credentials = self._credentials
            try:
                return await self.ask(endpoint, parameters, credentials=credentials)
            except RejectedKeyError as error:
                if credentials is not doubted:
                    if await self._renewed(credentials):
                        continue
                    if self.refuses_good_keys:
                        doubted = credentials
                        self._retries += 1
                        continue
                elif await self._replaced(credentials):
                    continue
                if self._gate is not None:
                    self._gate.shut(error)
                raise
