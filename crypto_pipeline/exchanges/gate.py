"""
The gate that no key passes unless its issuer said that it can do nothing but read.

Here: that the question is asked once, that the verdict is on record before it counts, and what is said of a key that
is refused. How an issuer is asked is the clients' affair; what its answer means stands in `permissions`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from crypto_pipeline.audit import AuditLog, key_verdict
from crypto_pipeline.credentials import CredentialDescription, KeyReport
from crypto_pipeline.errors import ExcessPermissionsError, KeyRefusedError, RejectedKeyError, UnprovenKeyError
from crypto_pipeline.exchanges.permissions import words_for
from crypto_pipeline.exchanges.refusals import name_key


class KeyGate:
    """
    One key, and the verdict on it.

    Args:
        description: what may be told of the key.
        issuer: its issuer's name; `title` is the same for people.
        audit: the verdict goes there first.
        now: the issuer's time in seconds.
    """

    def __init__(
        self, description: CredentialDescription, *, issuer: str, title: str, audit: AuditLog, now: Callable[[], float]
    ) -> None:
        self._description = description
        self._issuer = issuer
        self._title = title
        self._audit = audit
        self._now = now
        self._asking = asyncio.Lock()
        self._verdict: KeyReport | KeyRefusedError | None = None

    @property
    def is_open(self) -> bool:
        """Whether the key is proved to be read-only."""
        return isinstance(self._verdict, KeyReport)

    async def prove(self, ask: Callable[[], Awaitable[KeyReport]]) -> KeyReport:
        """
        Return the report of a key that may pass; `ask` is called unless there is a verdict already.

        An `ask` that fails for another reason than the key leaves the question open.

        Raises:
            KeyRefusedError: the key may not pass.
        """
        async with self._asking:
            if self._verdict is None:
                self._verdict = await self._decide(ask)
            verdict = self._verdict
        if isinstance(verdict, KeyRefusedError):
            # One error for all who ask, without the traces of those who asked before.
            raise verdict.with_traceback(None)
        return verdict

    def shut(self, error: KeyRefusedError) -> None:
        """Let the key pass no more: the issuer has just refused it."""
        self._verdict = error

    async def _decide(self, ask: Callable[[], Awaitable[KeyReport]]) -> KeyReport | KeyRefusedError:
        """Return the verdict; it is on record before it is returned, so that none counts unrecorded."""
        may: Sequence[str] = ()
        try:
            report = await ask()
            may = report.may
            self._check(report)
        except KeyRefusedError as error:
            self._record(accepted=False, may=may, reason=type(error).__name__)
            return error
        self._record(accepted=True, may=may, reason=None)
        return report

    def _check(self, report: KeyReport) -> None:
        key = name_key(self._description)
        if report.excess:
            msg = (
                f"{self._title} says {key} {words_for(report)}; only keys that can do nothing but read are used, so "
                "nothing was fetched with it. Make a key with reading only, store it, and delete this one."
            )
            raise ExcessPermissionsError(msg)
        if not report.is_read_only:
            why = report.unproven or "it lists nothing"
            msg = (
                f"{self._title} does not say what {key} may do ({why}), so it is not used and nothing was fetched "
                "with it. Make a new key with reading only and store it."
            )
            raise UnprovenKeyError(msg)
        if report.expires_at is not None and report.expires_at.timestamp() <= self._now():
            msg = (
                f"{self._title} says {key} expired on {report.expires_at:%Y-%m-%d}. "
                "Make a new key with reading only, store it, and delete this one."
            )
            raise RejectedKeyError(msg)

    def _record(self, *, accepted: bool, may: Sequence[str], reason: str | None) -> None:
        self._audit.record(
            key_verdict(
                self._issuer,
                accepted=accepted,
                may=",".join(may),
                reason=reason,
                credential_version=self._description.version,
            )
        )
