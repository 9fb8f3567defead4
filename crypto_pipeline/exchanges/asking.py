"""
The one way to ask an exchange: paced, signed anew for each attempt, retried where that can heal, and recorded.

Here: how one question is put. Whether a key may be used for it is decided above, in `base`; what an answer means is
decided by each exchange's `refusal`.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import urlencode

from crypto_pipeline.audit import AuditLog, api_call, failed_auth, rate_limit_hit
from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.errors import (
    BannedError,
    ClockSkewError,
    CryptoPipelineError,
    ExchangeError,
    RateLimitedError,
    RejectedKeyError,
)
from crypto_pipeline.exchanges.interface import Usage
from crypto_pipeline.exchanges.refusals import Refusals
from crypto_pipeline.transport import Answer, Budget, open_client, send
from crypto_pipeline.transport.egress import rules_for

LONGEST_WAIT_SECONDS = 90.0
"""How long one request waits in all before it gives up; longer waits are for the run's own retry."""

Renew = Callable[[CredentialDescription], Awaitable[Credentials | None]]
"""Is told which key was rejected, and returns another version of it if there is one."""

Parameters = Mapping[str, str | int]
NO_PARAMETERS: Parameters = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One path of an exchange.

    Fields:
        path: as in its documents.
        weight: what a call costs of the budget.
        counted_as: what is counted apart in the budget (OKX counts per endpoint, and some of them per instrument,
            which follows after a space).
    """

    path: str
    weight: int = 1
    counted_as: str = ""


@dataclass(frozen=True, slots=True)
class Signed:
    """A request ready to be sent: the raw query and the headers, the key's among them."""

    query: str
    headers: Mapping[str, str]


class Asker(Refusals, ABC):
    """
    One exchange that can be asked questions.

    Args:
        credentials: the key, or None to read public data only.
        audit: every call goes there.
        base_url: a sandbox on loopback instead of the exchange.
        clock: wall clock in seconds.
        monotonic: a clock in seconds that never jumps, for budgets and bans.
        sleep: how to wait.
        budget: instead of the exchange's own, such as one that is shared.
        limits: the file in which all processes of this host count together; None counts alone.
        attempts: how often a request is tried when its failure can heal.
        renew: where another version of the key comes from when this one is rejected; None gives up at once.
        timeout_seconds: for connecting, and for each read and write.
        connections: how many requests are on their way at once at most.
    """

    host: ClassVar[str]
    paths: ClassVar[tuple[str, ...]]
    public_headers: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """What requests without the key carry besides the usual."""

    def __init__(
        self,
        credentials: Credentials | None,
        *,
        audit: AuditLog,
        base_url: str | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        budget: Budget | None = None,
        limits: Path | None = None,
        attempts: int = 5,
        renew: Renew | None = None,
        timeout_seconds: float = 10.0,
        connections: int = 16,
    ) -> None:
        self._record = audit
        self._renew, self._renewing = renew, asyncio.Lock()
        self._take(credentials)
        self._clock, self._monotonic, self._sleep = clock, monotonic, sleep
        self._offset_seconds: float | None = None
        self._attempts = attempts
        self._base_url, table = rules_for(self.host, self.paths, base_url=base_url)
        self._http = open_client(table, timeout_seconds=timeout_seconds, connections=connections)
        # Whoever has a slot has a connection too: a signature does not grow old in a queue.
        self._slots = asyncio.Semaphore(connections)
        self._budget = budget or self.build_budget()
        if limits is not None:
            # By the address that is asked: what a sandbox allows is no limit of the exchange's.
            self._budget.share(limits, self._base_url)
        self._shut: tuple[ExchangeError, float] | None = None
        self._requests = 0
        self._retries = 0
        self.signed_requests: Counter[CredentialDescription] = Counter()
        """How many requests went out signed with which key."""

    def _take(self, credentials: Credentials | None) -> None:
        """Use this key from now on; the record tells its version."""
        self._credentials = credentials
        self._audit = self._record.bound(credential_version=credentials.description.version if credentials else None)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @property
    def credential(self) -> CredentialDescription | None:
        """What may be told of the key; None if there is none."""
        return self._credentials.description if self._credentials else None

    @property
    def usage(self) -> Usage:
        """Requests, retries and budget used so far."""
        return Usage(self._requests, self._retries, self._budget.used, self._budget.describe())

    def now(self) -> float:
        """Return the exchange's time in seconds, as far as it is known."""
        return self._clock() + (self._offset_seconds or 0.0)

    @abstractmethod
    def build_budget(self) -> Budget:
        """Return a budget that keeps this exchange's limits."""

    @abstractmethod
    def sign(self, endpoint: Endpoint, query: str, credentials: Credentials, *, now: float) -> Signed:
        """Return the request with the key's signature; `now` is the exchange's time in seconds."""

    @abstractmethod
    def refusal(self, answer: Answer, path: str) -> CryptoPipelineError | None:
        """Return what the exchange's answer means as an error; None if it gave what was asked."""

    @abstractmethod
    def check_key_use(self, endpoint: Endpoint, credentials: Credentials) -> None:
        """Raise `KeyRefusedError` if the key may not be used for this question; asked before each signature."""

    async def ask(
        self, endpoint: Endpoint, parameters: Parameters = NO_PARAMETERS, *, credentials: Credentials | None = None
    ) -> Answer:
        """
        Ask one question, again where its failure can heal.

        Budget, signature and sending are done anew for each attempt.

        Raises:
            ExchangeError: the exchange did not give what was asked.
            KeyRefusedError: the key may not be used for this, or the exchange does not accept it.
            AuditError: the call could not be recorded.
        """
        query = urlencode(parameters)
        waited, attempt = 0.0, 1
        while True:
            try:
                return await self._ask_once(endpoint, query, credentials)
            except ExchangeError as error:
                wait = self._wait_before_retry(error, attempt)
                if wait is None or waited + wait > LONGEST_WAIT_SECONDS:
                    raise
                waited, attempt = waited + wait, attempt + 1
                self._retries += 1
                await self._sleep(wait)

    def _wait_before_retry(self, error: ExchangeError, attempt: int) -> float | None:
        """Return the seconds to wait, or None where another attempt cannot help."""
        if not error.retryable or attempt >= self._attempts:
            return None
        # Full jitter: callers that failed together do not come back together.
        backoff = random.uniform(0.1, min(10.0, 0.5 * 2**attempt))  # noqa: S311 - not for secrets
        return max(backoff, error.retry_after_seconds or 0.0)

    async def _ask_once(self, endpoint: Endpoint, query: str, credentials: Credentials | None) -> Answer:
        async with self._slots:
            self._check_open()
            ticket = await self._budget.acquire(endpoint.weight, endpoint.counted_as)
            headers: Mapping[str, str] = {}
            try:
                self._check_open()  # somebody else may have been shut out while this one waited
                self._check_others()
                answer = await self._exchange(endpoint, query, credentials)
                headers = answer.headers
            finally:
                self._budget.release(ticket, headers)
        return answer

    async def _exchange(self, endpoint: Endpoint, query: str, credentials: Credentials | None) -> Answer:
        """Send one request and return what was asked for; whatever becomes of it is recorded."""
        public = Signed(query, self.public_headers)
        signed = public if credentials is None else self._signed(endpoint, query, credentials)
        url = f"{self._base_url}{endpoint.path}" + (f"?{signed.query}" if signed.query else "")
        request = self._http.build_request("GET", url, headers=dict(signed.headers))
        self._requests += 1
        if credentials is not None:
            self.signed_requests[credentials.description] += 1
        answer: Answer | None = None
        try:
            answer = await send(self._http, request, exchange=self.title)
            self._raise_refusal(answer, endpoint, credentials)
        except BaseException as error:  # a call that was cancelled has gone out all the same
            if isinstance(error, ExchangeError):
                error.exchange, error.endpoint = self.name, endpoint.path
            status = answer.status if answer else getattr(error, "status", None)
            self._record_call(endpoint, error, status, signed=credentials is not None)
            raise
        self._record_call(endpoint, None, answer.status, signed=credentials is not None)
        return answer

    def _signed(self, endpoint: Endpoint, query: str, credentials: Credentials) -> Signed:
        self.check_key_use(endpoint, credentials)
        try:
            signed = self.sign(endpoint, query, credentials, now=self.now())
            if all(map(_is_header, signed.headers.values())):
                return signed
        except (ValueError, TypeError, KeyError):
            pass  # the cause may quote the key
        msg = (
            f"{self.title} cannot be asked with {self.key_name}: it is not in the form that {self.title} issues. "
            "Store the key again exactly as it was shown when it was made."
        )
        raise RejectedKeyError(msg)

    def _raise_refusal(self, answer: Answer, endpoint: Endpoint, credentials: Credentials | None) -> None:
        error = self.refusal(answer, endpoint.path)
        if isinstance(error, RejectedKeyError) and credentials is None:
            # A key that was not sent cannot be what is wrong.
            raise self.refused(answer, endpoint.path, str(answer.status))
        if error is not None:
            raise error

    def _check_open(self) -> None:
        """Refuse to ask an exchange that has shut us out for longer than one request waits."""
        if self._shut is not None and self._monotonic() < self._shut[1]:
            raise self._shut[0].with_traceback(None)

    def _check_others(self) -> None:
        """Refuse to ask an exchange that has shut out another process of this host."""
        seconds = self._budget.shut_seconds()
        if seconds > 0:
            until = datetime.fromtimestamp(self._clock() + seconds, UTC)
            msg = (
                f"{self.title} banned this address until {until:%Y-%m-%d %H:%M:%S} UTC, as another request of this "
                "host was told; it was not asked again, which would make the ban longer. Wait until then."
            )
            raise BannedError(msg, exchange=self.name, retry_after_seconds=seconds)

    def _record_call(
        self, endpoint: Endpoint, error: BaseException | None, status: int | None, *, signed: bool
    ) -> None:
        kind = type(error).__name__ if error else None
        self._audit.record(api_call(self.name, endpoint.path, error is None, kind, status=status, signed=signed))
        if isinstance(error, RateLimitedError | BannedError):
            seconds = error.retry_after_seconds
            self._audit.record(rate_limit_hit(self.name, endpoint.path, status, seconds))
            self._hold_back(error, math.inf if seconds is None else seconds)
        elif isinstance(error, RejectedKeyError | ClockSkewError) and signed:
            self._audit.record(failed_auth(self.name, type(error).__name__, endpoint.path))

    def _hold_back(self, error: ExchangeError, seconds: float) -> None:
        """Let nobody else run into the same wall: wait for a short one, give up at a long one."""
        if error.retryable and seconds <= LONGEST_WAIT_SECONDS:
            self._budget.block(seconds)
        else:
            self._shut = error, self._monotonic() + seconds
            if math.isfinite(seconds):
                self._budget.shut(seconds)


def _is_header(value: str) -> bool:
    """Say whether a value may stand in a header; a line break in a key would make two of one."""
    return value.isascii() and value.isprintable() and value.strip() == value
