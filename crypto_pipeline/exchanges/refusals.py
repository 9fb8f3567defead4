"""
What all exchanges' refusals have in common: one sentence for each, that says what to do.

What an answer of one exchange means is decided in that exchange's file; none of these holds a body, a query or a key.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import ClassVar

from crypto_pipeline.credentials import CredentialDescription
from crypto_pipeline.errors import (
    BannedError,
    ClockSkewError,
    ExchangeError,
    ExchangeUnavailableError,
    MalformedAnswerError,
    RateLimitedError,
    RegionBlockedError,
    RejectedKeyError,
    RequestRefusedError,
)
from crypto_pipeline.exchanges import symbols
from crypto_pipeline.exchanges.answers import retry_after
from crypto_pipeline.transport import Answer


class Refusals:
    """The errors of one exchange."""

    name: ClassVar[str]
    title: ClassVar[str]

    @property
    @abstractmethod
    def credential(self) -> CredentialDescription | None:
        """What may be told of the key; None if there is none."""

    @abstractmethod
    def now(self) -> float:
        """Return the exchange's time in seconds."""

    @property
    def key_name(self) -> str:
        """How messages name the key."""
        return name_key(self.credential)

    def rejected(self, why: str, code: str, *, only_here: bool = False) -> RejectedKeyError:
        """
        Return the error for a key that the exchange does not accept.

        Args:
            why: the reason in words.
            code: the exchange's own.
            only_here: whether the exchange says that it is not the key, but this machine's address.
        """
        remedy = (
            "The key itself is not said to be wrong: add the address at the exchange, or run from one that is listed."
            if only_here
            else "Retrying will not help: check the key's address list and whether it still exists, then rotate it."
        )
        error = RejectedKeyError(f"{self.title} rejected {self.key_name}: {why} (code {code}). {remedy}")
        error.is_dead = not only_here
        return error

    def unavailable(self, answer: Answer, endpoint: str, why: str, code: str | None = None) -> ExchangeError:
        """Return the error for a failure on the exchange's side."""
        said = f"{self.title} failed at {endpoint}: {why} (HTTP {answer.status})."
        return ExchangeUnavailableError(
            f"{said} It was asked again without success; see its status page, then run again.",
            exchange=self.name, endpoint=endpoint, status=answer.status, code=code,
            retry_after_seconds=retry_after(answer.headers),
        )  # fmt: skip

    def rate_limited(self, answer: Answer, endpoint: str, *, default_seconds: float) -> ExchangeError:
        """Return the error for "slow down", with the wait the exchange asked for."""
        seconds = retry_after(answer.headers)
        wait = default_seconds if seconds is None else seconds
        return RateLimitedError(
            f"{self.title} asked us to wait {wait:.0f} s: its rate limit is used up, perhaps by others on this "
            "address. Run again after that.",
            exchange=self.name, endpoint=endpoint, status=answer.status, retry_after_seconds=wait,
        )  # fmt: skip

    def banned(self, answer: Answer, endpoint: str, *, seconds: float | None) -> ExchangeError:
        """Return the error for a ban; it is never retried here, because asking makes it longer."""
        until = datetime.fromtimestamp(self.now() + seconds, UTC) if seconds is not None else None
        end = f" until {until:%Y-%m-%d %H:%M:%S} UTC" if until else ""
        error = BannedError(
            f"{self.title} banned this address{end}. Stop every program that asks {self.title} from here and run "
            "again after that; asking earlier makes the ban longer.",
            exchange=self.name, endpoint=endpoint, status=answer.status, retry_after_seconds=seconds,
        )  # fmt: skip
        error.until = until
        return error

    def forbidden(self, answer: Answer, endpoint: str) -> ExchangeError:
        """Return the error for an address that is refused without a reason; counts as a ban, to be careful."""
        return BannedError(
            f"{self.title} refused this machine's address (HTTP {answer.status}) and does not say why: it asked too "
            "often, or it is in a region that is not served. Stop every program that asks from here, run again "
            "later; if that does not help, run it elsewhere.",
            exchange=self.name, endpoint=endpoint, status=answer.status,
        )  # fmt: skip

    def clock_refused(self, endpoint: str, code: str) -> ClockSkewError:
        """Return the error for a signature that was too old or too new."""
        msg = (
            f"{self.title} says that this machine's clock is too far from its own (code {code}). "
            "Set it (NTP), then run again."
        )
        return ClockSkewError(msg, exchange=self.name, endpoint=endpoint, code=code)

    def region_blocked(self, answer: Answer, endpoint: str) -> ExchangeError:
        """Return the error for an address in a country that is not served."""
        msg = (
            f"{self.title} does not serve the region this machine's address is in (HTTP {answer.status}). "
            "Run it elsewhere, or leave this exchange out (CRYPTO_PIPELINE_EXCHANGES)."
        )
        return RegionBlockedError(msg, exchange=self.name, endpoint=endpoint, status=answer.status)

    def refused(self, answer: Answer, endpoint: str, code: str) -> ExchangeError:
        """Return the error for a request that the exchange does not understand."""
        msg = (
            f"{self.title} refused the request to {endpoint} (HTTP {answer.status}, code {code}). "
            "This is a fault of crypto-pipeline or a change at the exchange; nothing was stored."
        )
        return RequestRefusedError(msg, exchange=self.name, endpoint=endpoint, status=answer.status, code=code)

    def without_code(self, answer: Answer, endpoint: str) -> ExchangeError:
        """Return the error for an answer that should be an envelope with a code, and is not."""
        if answer.status != 200:
            return self.refused(answer, endpoint, str(answer.status))
        msg = f"{self.title} answered {endpoint} in a shape that its documents do not give. Nothing was stored."
        return MalformedAnswerError(msg, exchange=self.name, endpoint=endpoint, status=answer.status)

    def unless_json(self, answer: Answer, endpoint: str) -> ExchangeError | None:
        """Return the error for a page in place of data, such as a firewall's; None for what begins like JSON."""
        return None if answer.body.lstrip()[:1] in {b"{", b"["} else self.without_code(answer, endpoint)

    @contextmanager
    def symbol_known(self, symbol: str, *codes: str) -> Iterator[None]:
        """Turn a refusal with one of the codes into the sentence about the symbol that was asked for."""
        try:
            yield
        except RequestRefusedError as error:
            if error.code in codes:
                raise symbols.unknown(symbol, exchange=self.name, title=self.title) from None
            raise

    @contextmanager
    def contract_known(self, symbol: str, *codes: str) -> Iterator[None]:
        """Turn a refusal with one of the codes into the sentence about the perpetual contract that was asked for."""
        try:
            yield
        except RequestRefusedError as error:
            if error.code in codes:
                raise symbols.without_contract(symbol, exchange=self.name, title=self.title) from None
            raise


def name_key(description: CredentialDescription | None) -> str:
    """Return how messages name a key: its place in the store and its version, never its value."""
    return f"key '{description.name}' (version {description.version})" if description else "a key"
