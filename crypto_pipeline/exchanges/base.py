"""
What all clients share: one guarded door, one way to retry, one gate for keys.

A client file adds what is special about its exchange: how it signs, what its refusals mean, what
its rows say. It never sends anything itself.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar, Self
from urllib.parse import urlencode

from crypto_pipeline.audit import AuditLog, api_call, failed_auth, key_verdict, rate_limit_hit
from crypto_pipeline.credentials import CredentialDescription, Credentials, KeyReport
from crypto_pipeline.errors import (
    BannedError,
    ClockSkewError,
    CryptoPipelineError,
    ExcessPermissionsError,
    ExchangeError,
    ExchangeUnavailableError,
    KeyRefusedError,
    MalformedAnswerError,
    RateLimitedError,
    RegionBlockedError,
    RejectedKeyError,
    RequestRefusedError,
    UnprovenKeyError,
)
from crypto_pipeline.exchanges import symbols
from crypto_pipeline.exchanges.interface import Candle, Instrument, Usage
from crypto_pipeline.exchanges.permissions import words_for
from crypto_pipeline.transport import Answer, Budget, open_client, send
from crypto_pipeline.transport.egress import rules_for

MAX_SKEW_SECONDS = 30.0
"""Beyond this no correction is made: a clock so wrong makes the audit log and the candles' ends wrong too."""

LONGEST_WAIT_SECONDS = 90.0
"""How long one request waits in all before it gives up; longer waits are for the run's own retry."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One path of an exchange.

    Fields:
        path: as in its documents.
        weight: what a call costs of the budget.
        counted_as: what is counted apart in the budget (OKX counts per endpoint).
    """

    path: str
    weight: int = 1
    counted_as: str = ""


@dataclass(frozen=True, slots=True)
class Signed:
    """A request ready to be sent: the raw query and the headers, the key's among them."""

    query: str
    headers: Mapping[str, str]


class BaseClient(ABC):
    """
    One exchange, read only.

    Args:
        credentials: the key, or None to read public data only.
        audit: every call and verdict goes there.
        base_url: a sandbox on loopback instead of the exchange.
        clock: wall clock in seconds.
        sleep: how to wait.
        attempts: how often a request is tried when its failure can heal.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    host: ClassVar[str]
    paths: ClassVar[tuple[str, ...]]
    page_minutes: ClassVar[int] = 1
    omits_empty_minutes: ClassVar[bool] = False
    """Whether the exchange has no row for a minute without a trade."""

    time_endpoint: ClassVar[Endpoint | None] = None
    permission_endpoint: ClassVar[Endpoint]

    def __init__(
        self,
        credentials: Credentials | None,
        *,
        audit: AuditLog,
        base_url: str | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        budget: Budget | None = None,
        attempts: int = 5,
        timeout_seconds: float = 10.0,
        connections: int = 16,
    ) -> None:
        self._credentials = credentials
        version = credentials.description.version if credentials else None
        self._audit = audit.bound(credential_version=version)
        self._clock = clock
        self._sleep = sleep
        self._attempts = attempts
        self._base_url, table = rules_for(self.host, self.paths, base_url=base_url)
        self._http = open_client(table, timeout_seconds=timeout_seconds, connections=connections)
        self._budget = budget or self.build_budget()
        self._offset_seconds: float | None = None
        self._verdict: KeyReport | KeyRefusedError | None = None
        self._proving = asyncio.Lock()
        self._requests = 0
        self._retries = 0

    async def __aenter__(self) -> Self:
        """Return the client; nothing is sent yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.close()

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

    # What each exchange adds...

    @abstractmethod
    def build_budget(self) -> Budget:
        """Return a budget that keeps this exchange's limits."""

    @abstractmethod
    def sign(self, endpoint: Endpoint, query: str, credentials: Credentials, *, now: float) -> Signed:
        """Return the request with the key's signature; `now` is the exchange's time in seconds."""

    @abstractmethod
    def refusal(self, answer: Answer, endpoint: Endpoint) -> CryptoPipelineError | None:
        """Return what the exchange's answer means as an error; None if it gave what was asked."""

    @abstractmethod
    def judge(self, body: Any) -> KeyReport:
        """Return what the permission endpoint's answer says; see `permissions`."""

    @abstractmethod
    async def read_instruments(self) -> list[Instrument]:
        """Return every spot market, sorted by canonical symbol."""

    @abstractmethod
    async def read_candles(self, symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
        """Return one page of 1-minute candles; see `ExchangeClient.read_candles`."""

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
        return datetime.fromtimestamp(self._now(), UTC)

    @abstractmethod
    def parse_time(self, body: bytes) -> float:
        """Return the exchange's time in seconds from the answer of its time endpoint."""

    def _now(self) -> float:
        """Return the exchange's time as far as it is known."""
        return self._clock() + (self._offset_seconds or 0.0)

    async def _measure_offset(self) -> float:
        if self.time_endpoint is None:
            return 0.0
        best, offset = math.inf, 0.0
        # The quicker of two round trips: the first also opens the connection.
        for _ in range(2):
            before = self._clock()
            answer = await self._get(self.time_endpoint)
            after = self._clock()
            if after - before < best:
                best, offset = after - before, self.parse_time(answer.body) - (before + after) / 2
        return offset

    # The key...

    async def prove_key(self) -> KeyReport | None:
        """
        Ask the issuer what the key may do, once, and let nothing but a read-only key pass.

        Raises:
            ExcessPermissionsError: the key may do more than read.
            UnprovenKeyError: the answer does not prove what the key may do.
            RejectedKeyError: the key is not accepted, or has ended.
        """
        if self._credentials is None:
            return None
        async with self._proving:
            if self._verdict is None:
                await self._ask_and_judge(self._credentials)
        if isinstance(self._verdict, KeyRefusedError):
            raise self._verdict
        return self._verdict

    async def _ask_and_judge(self, credentials: Credentials) -> None:
        self.check_form(credentials)
        await self.read_clock()
        try:
            answer = await self._get(self.permission_endpoint, credentials=credentials)
            report = self.judge(decode(answer.body, self.title, self.permission_endpoint.path))
            self._check(report)
        except MalformedAnswerError as error:
            self._refuse(UnprovenKeyError(f"{error} {self._named()} is not used, because nobody says what it may do."))
        except KeyRefusedError as error:
            self._refuse(error)
        else:
            self._verdict = report
            self._record_verdict(accepted=True, may=report.may, reason=None)

    def check_form(self, credentials: Credentials) -> None:
        """Refuse a key whose very form says that it cannot be proved; most exchanges have none."""

    def _refuse(self, error: KeyRefusedError) -> None:
        self._verdict = error
        self._record_verdict(accepted=False, may=(), reason=type(error).__name__)

    def _record_verdict(self, *, accepted: bool, may: Sequence[str], reason: str | None) -> None:
        version = self.credential.version if self.credential else None
        self._audit.record(
            key_verdict(self.name, accepted=accepted, may=",".join(may), reason=reason, credential_version=version)
        )

    def _check(self, report: KeyReport) -> None:
        if report.excess:
            msg = (
                f"{self.title} says {self._named()} {words_for(report)}; only keys that can do nothing but read are "
                "used, so nothing was fetched with it. Make a key with reading only, store it, and delete this one."
            )
            raise ExcessPermissionsError(msg)
        if not report.is_read_only:
            msg = (
                f"{self.title} does not say what {self._named()} may do ({report.unproven}), so it is not used and "
                "nothing was fetched with it. Make a new key with reading only and store it."
            )
            raise UnprovenKeyError(msg)
        if report.expires_at is not None and report.expires_at.timestamp() <= self._now():
            msg = (
                f"{self.title} says {self._named()} expired on {report.expires_at:%Y-%m-%d}. "
                "Make a new key with reading only, store it, and delete this one."
            )
            raise RejectedKeyError(msg)

    def _named(self) -> str:
        if self.credential is None:  # pragma: no cover - only a client with a key speaks of it
            return "the key"
        return f"key '{self.credential.name}' (version {self.credential.version})"

    def rejected(self, why: str, code: str) -> RejectedKeyError:
        """Return the error for a key that the exchange does not accept."""
        said = f"{self.title} rejected {self._named()}: {why} (code {code})."
        return RejectedKeyError(
            f"{said} Retrying will not help: check the key's address list and whether it still exists, then rotate it."
        )

    # The one way to ask...

    async def _get(
        self,
        endpoint: Endpoint,
        parameters: Mapping[str, str | int] | None = None,
        *,
        credentials: Credentials | None = None,
    ) -> Answer:
        """
        Ask one question, again where its failure can heal.

        Budget, signature and sending are done anew for each attempt. A question with the key is
        asked only after `prove_key`, which itself asks only the permission endpoint.
        """
        if credentials is not None and endpoint is not self.permission_endpoint:
            await self.prove_key()
        query = urlencode(parameters or {})
        waited = 0.0
        for attempt in range(1, self._attempts + 1):
            try:
                return await self._ask_once(endpoint, query, credentials)
            except ExchangeError as error:
                wait = self._wait_before_retry(error, attempt)
                if wait is None or waited + wait > LONGEST_WAIT_SECONDS:
                    raise
                waited += wait
                self._retries += 1
                await self._sleep(wait)
        msg = "the loop above returns or raises"  # pragma: no cover
        raise AssertionError(msg)  # pragma: no cover

    def _wait_before_retry(self, error: ExchangeError, attempt: int) -> float | None:
        """Return the seconds to wait, or None where another attempt cannot help."""
        if not error.retryable or attempt >= self._attempts:
            return None
        # Full jitter: callers that failed together do not come back together.
        backoff = random.uniform(0.1, min(10.0, 0.5 * 2**attempt))  # noqa: S311 - not for secrets
        return max(backoff, error.retry_after_seconds or 0.0)

    async def _ask_once(self, endpoint: Endpoint, query: str, credentials: Credentials | None) -> Answer:
        await self._budget.acquire(endpoint.weight, endpoint.counted_as)
        signed = Signed(query, {}) if credentials is None else self._signed(endpoint, query, credentials)
        url = f"{self._base_url}{endpoint.path}" + (f"?{signed.query}" if signed.query else "")
        request = self._http.build_request("GET", url, headers=dict(signed.headers))
        self._requests += 1
        status: int | None = None
        error: CryptoPipelineError | None = None
        try:
            answer = await send(self._http, request, exchange=self.title)
            status = answer.status
            self._budget.observe(answer.headers)
            error = self.refusal(answer, endpoint)
        except CryptoPipelineError as failed:
            error = failed
            raise
        finally:
            self._record_call(endpoint, error, status, signed=credentials is not None)
        if error is not None:
            raise error
        return answer

    def _signed(self, endpoint: Endpoint, query: str, credentials: Credentials) -> Signed:
        try:
            return self.sign(endpoint, query, credentials, now=self._now())
        except (ValueError, TypeError):
            # The cause may quote the key.
            msg = (
                f"{self._named()} cannot sign for {self.title}: its secret is not in the form {self.title} issues. "
                "Store the key again exactly as it was shown when it was made."
            )
            raise RejectedKeyError(msg) from None

    def _record_call(
        self, endpoint: Endpoint, error: CryptoPipelineError | None, status: int | None, *, signed: bool
    ) -> None:
        kind = type(error).__name__ if error else None
        self._audit.record(api_call(self.name, endpoint.path, error is None, kind, status=status, signed=signed))
        if isinstance(error, RateLimitedError | BannedError):
            seconds = error.retry_after_seconds
            self._audit.record(rate_limit_hit(self.name, endpoint.path, status, seconds))
            self._budget.block(seconds or 1.0)
        elif isinstance(error, RejectedKeyError | ClockSkewError) and signed:
            self._audit.record(failed_auth(self.name, type(error).__name__, endpoint.path))

    # Refusals that all exchanges share...

    @contextmanager
    def symbol_known(self, symbol: str, code: str) -> Iterator[None]:
        """Turn a refusal with `code` into the sentence about the symbol that was asked for."""
        try:
            yield
        except RequestRefusedError as error:
            if error.code == code:
                raise symbols.unknown(symbol, exchange=self.name, title=self.title) from None
            raise

    def unavailable(self, answer: Answer, endpoint: Endpoint, why: str, code: str | None = None) -> ExchangeError:
        """Return the error for a failure on the exchange's side."""
        said = f"{self.title} failed at {endpoint.path}: {why} (HTTP {answer.status})."
        return ExchangeUnavailableError(
            f"{said} It was asked again without success; see its status page, then run again.",
            exchange=self.name, endpoint=endpoint.path, status=answer.status, code=code,
            retry_after_seconds=retry_after(answer.headers),
        )  # fmt: skip

    def rate_limited(self, answer: Answer, endpoint: Endpoint, *, default_seconds: float) -> ExchangeError:
        """Return the error for "slow down", with the wait the exchange asked for."""
        seconds = retry_after(answer.headers)
        wait = default_seconds if seconds is None else seconds
        return RateLimitedError(
            f"{self.title} asked us to wait {wait:.0f} s: its rate limit is used up, perhaps by others on this address.",
            exchange=self.name, endpoint=endpoint.path, status=answer.status, retry_after_seconds=wait,
        )  # fmt: skip

    def banned(self, answer: Answer, endpoint: Endpoint, *, seconds: float | None) -> ExchangeError:
        """Return the error for a ban; it is never retried here, because asking makes it longer."""
        until = datetime.fromtimestamp(self._now() + seconds, UTC) if seconds is not None else None
        end = f" until {until:%Y-%m-%d %H:%M:%S} UTC" if until else ""
        error = BannedError(
            f"{self.title} banned this address{end}. Stop every program that asks {self.title} from here and run "
            "again after that; asking earlier makes the ban longer.",
            exchange=self.name, endpoint=endpoint.path, status=answer.status, retry_after_seconds=seconds,
        )  # fmt: skip
        error.until = until
        return error

    def clock_refused(self, endpoint: Endpoint, code: str) -> ClockSkewError:
        """Return the error for a signature that was too old or too new."""
        msg = (
            f"{self.title} says that this machine's clock is too far from its own (code {code}). "
            "Set it (NTP), then run again."
        )
        return ClockSkewError(msg, exchange=self.name, endpoint=endpoint.path, code=code)

    def region_blocked(self, endpoint: Endpoint, status: int) -> ExchangeError:
        """Return the error for an address in a country that is not served."""
        msg = (
            f"{self.title} does not serve the region this machine's address is in (HTTP {status}). "
            "Run it elsewhere, or leave this exchange out (CRYPTO_PIPELINE_EXCHANGES)."
        )
        return RegionBlockedError(msg, exchange=self.name, endpoint=endpoint.path, status=status)

    def refused(self, answer: Answer, endpoint: Endpoint, code: str) -> ExchangeError:
        """Return the error for a request that the exchange does not understand."""
        msg = (
            f"{self.title} refused the request to {endpoint.path} (HTTP {answer.status}, code {code}). "
            "This is a fault of crypto-pipeline or a change at the exchange; nothing was stored."
        )
        return RequestRefusedError(msg, exchange=self.name, endpoint=endpoint.path, status=answer.status, code=code)


def decode(body: bytes, exchange: str, endpoint: str) -> Any:
    """
    Return JSON with every number exact: fractions as `Decimal`, never as float.

    Raises:
        MalformedAnswerError: the body is not JSON, or holds NaN or infinity.
    """
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        # The cause quotes the body.
        msg = f"{exchange} answered {endpoint} with something that is not JSON. Nothing was stored."
        raise MalformedAnswerError(msg, exchange=exchange.lower(), endpoint=endpoint) from None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header, if it is a sane number."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 10**7 else None


def _no_constant(text: str) -> Any:
    msg = f"{text} is not a number"
    raise ValueError(msg)
