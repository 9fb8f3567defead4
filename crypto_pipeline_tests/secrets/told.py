"""A store that says what it is told to, and time that passes when it is told to: for tests of the cache."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.redaction import Secret

BEGINNING = datetime(2026, 11, 1, tzinfo=UTC)


def planted(version: str) -> str:
    """Return the value of a version."""
    return f"planted-value-of-{version}"


class Time:
    """A clock that stands still until it is moved, and what was started in the background in the meantime."""

    def __init__(self) -> None:
        self.seconds = 1000.0  # a monotonic clock begins anywhere
        self.waiting: list[Callable[[], None]] = []

    def clock(self) -> float:
        """Return the seconds."""
        return self.seconds

    def wall(self) -> datetime:
        """Return the time for people."""
        return BEGINNING + timedelta(seconds=self.seconds)

    def pass_by(self, seconds: float) -> None:
        """Let time go by."""
        self.seconds += seconds

    def start(self, work: Callable[[], None]) -> None:
        """Keep work for the background until somebody lets it run."""
        self.waiting.append(work)

    def run_background(self) -> int:
        """Run what waits, and return how much that was."""
        works, self.waiting = self.waiting, []
        for work in works:
            work()
        return len(works)


class Told:
    """
    A source that gives the version it is told to, or fails as it is told to, and counts.

    Attributes:
        version: what it holds now.
        error: what it raises; None while it is well.
        reads: the issuers it was asked for.
        descriptions: the issuers it was asked to describe.
        gate: what each read waits for.
        entered: released by each read before it waits.
    """

    store = "told"

    def __init__(self, version: str = "1") -> None:
        self.version = version
        self.error: Exception | None = None
        self.reads: list[str] = []
        self.descriptions: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def name_of(self, issuer: str) -> str:
        """Return a name."""
        return f"place/{issuer}"

    def describe(self, issuer: str) -> CredentialDescription:
        """Describe what is held."""
        self.descriptions.append(issuer)
        if self.error:
            raise self.error
        return self.described(issuer)

    def described(self, issuer: str) -> CredentialDescription:
        """Return the description, uncounted."""
        return CredentialDescription(issuer, self.name_of(issuer), self.store, self.version, BEGINNING)

    def read(self, issuer: str) -> Credentials:
        """Return what is held at the moment of the question, once the gate is open."""
        self.reads.append(issuer)
        found = Credentials(self.described(issuer), {"token": Secret(planted(self.version))})
        self.entered.release()
        assert self.gate.wait(timeout=30)
        if self.error:
            raise self.error
        return found
