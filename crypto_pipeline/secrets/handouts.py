"""
What is handed out again and again, recorded once and counted after that.

A run that has been given a credential may open twenty clients with it; that is one fact for the
record, and a number. So the first time is recorded before the value is given, every further one costs
no write, and the number is told at the end. Only an outage makes it news again: a value that the store
cannot confirm is used on its last word.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from crypto_pipeline.audit import AuditLog, secret_used
from crypto_pipeline.credentials import CredentialDescription
from crypto_pipeline.secrets.staleness import Rung


@dataclass(frozen=True, slots=True)
class HandOut:
    """
    One version of one credential, in the hands of one asset.

    Fields:
        accessor: who has it, as the record names it.
        store: the kind of store it came from.
        name: its name in the store.
        version: the store's version of it.
    """

    accessor: str
    store: str
    name: str
    version: str

    @classmethod
    def of(cls, found: CredentialDescription, accessor: str) -> HandOut:
        """Return who was handed what."""
        return cls(accessor, found.store, found.name, found.version)


@dataclass(slots=True)
class _Count:
    """How often it was handed out, how many requests were signed, and where that is to be told."""

    audit: AuditLog
    handed_out: int = 0
    signed_requests: int = 0
    is_unconfirmed_told: bool = False


class HandOuts:
    """
    What one run (or one command) was handed so far. Safe for threads.

    The counts are in memory: a process that is killed has recorded that it was handed the credential,
    and not how often.
    """

    def __init__(self) -> None:
        self._counts: dict[HandOut, _Count] = {}
        self._lock = threading.Lock()

    def hand_out(
        self, found: CredentialDescription, accessor: str, audit: AuditLog, record: Callable[[], None]
    ) -> None:
        """
        Count that it is handed out; the first time, and the first time without the store's word, record it before.

        Args:
            found: what is handed out.
            accessor: to whom.
            audit: where the count is told in the end.
            record: records it; if it raises, nothing is counted and nothing may be handed out.
        """
        key, is_unconfirmed = HandOut.of(found, accessor), found.rung == Rung.STALE_IF_ERROR
        with self._lock:  # nobody else may have it for granted while it is being recorded
            count = self._counts.get(key)
            if count is None or (is_unconfirmed and not count.is_unconfirmed_told):
                record()
                count = self._counts.setdefault(key, _Count(audit))
                count.is_unconfirmed_told |= is_unconfirmed
            count.handed_out += 1

    def add_requests(self, signed: Mapping[CredentialDescription, int], accessor: str) -> None:
        """Add requests that were signed with what was handed out."""
        with self._lock:
            for found, number in signed.items():
                if (count := self._counts.get(HandOut.of(found, accessor))) is not None:
                    count.signed_requests += number

    def close(self) -> None:
        """
        Record how often each was used, and begin anew.

        Raises:
            AuditError: it could not be recorded.
        """
        with self._lock:
            counts, self._counts = self._counts, {}
        for key, count in counts.items():
            count.audit.record(
                secret_used(
                    key.name,
                    key.accessor,
                    version=key.version,
                    store=key.store,
                    handed_out=count.handed_out,
                    signed_requests=count.signed_requests,
                )
            )


class ToldOnce:
    """Which of the descriptions that a cache repeats are on the record already. Safe for threads."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[datetime | None, bool]] = {}
        self._lock = threading.Lock()

    def tell(self, found: CredentialDescription, accessor: str, record: Callable[[], None]) -> None:
        """Call `record` unless this accessor was told the same answer of the store before."""
        key, answer = (accessor, found.issuer), (found.fetched_at, found.rung == Rung.STALE_IF_ERROR)
        with self._lock:
            if found.fetched_at is None or self._last.get(key) != answer:
                record()
                self._last[key] = answer
