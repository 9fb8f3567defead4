"""
What an inspection of a store says, and what every inspection keeps to.

No doctor reads a value. All it asks is on the record, and the whole inspection ends in a stated time, whatever the
server does.
"""

from __future__ import annotations

import queue
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final, Protocol

from crypto_pipeline.audit import AuditLog, failed_auth, secret_access
from crypto_pipeline.credentials import CredentialDescription
from crypto_pipeline.errors import CryptoPipelineError
from crypto_pipeline.redaction import scrub
from crypto_pipeline.secrets.roles import DEVELOPMENT_SUFFIX

CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 5.0
"""How long a doctor waits for one answer. It asks once: a store that is slow is a symptom too."""

LONGEST_SECONDS: Final = 45.0
"""How long a whole inspection may take."""

CLOCK_SECONDS: Final = 5.0
"""From here on a clock is worth a warning: exchanges refuse requests that were signed this far from their time."""

CLOCK_PROBLEM_SECONDS: Final = 60.0
"""From here on some exchange refuses every request; AWS does from five minutes on."""

ACCESSOR: Final = "crypto_pipeline/secrets_doctor"


class Severity(StrEnum):
    """What a symptom means for the pipeline."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong; it may be useful to know."""
    WARNING = "warning"
    """The pipeline works, and should not be left as it is."""
    PROBLEM = "problem"
    """Something does not work."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """
    One thing that an inspection noticed.

    Fields:
        about: what was looked at, such as `login` or `secret okx`; symptoms of the same thing follow each other.
        severity: what it means.
        code: which symptom it is, for programs; the words may change.
        seen: what was seen, in one sentence.
        remedy: what to do, in one sentence; empty where there is nothing to do.
        commands: lines to copy that do it, or help to.
    """

    about: str
    severity: Severity
    code: str
    seen: str
    remedy: str = ""
    commands: tuple[str, ...] = ()


def fine(about: str, seen: str) -> Symptom:
    """Return that all is well with something."""
    return Symptom(about, Severity.OK, "ok", seen)


def note(about: str, code: str, seen: str, remedy: str = "", *commands: str) -> Symptom:
    """Return what may be useful to know."""
    return Symptom(about, Severity.NOTE, code, seen, remedy, commands)


def warning(about: str, code: str, seen: str, remedy: str, *commands: str) -> Symptom:
    """Return what should not be left as it is."""
    return Symptom(about, Severity.WARNING, code, seen, remedy, commands)


def problem(about: str, code: str, seen: str, remedy: str, *commands: str) -> Symptom:
    """Return what does not work."""
    return Symptom(about, Severity.PROBLEM, code, seen, remedy, commands)


def problem_of(about: str, code: str, error: CryptoPipelineError) -> Symptom:
    """Return an error as a problem: its message says what failed, and then what to do."""
    seen, _, remedy = scrub(str(error)).partition(". ")
    return problem(about, code, f"{seen.removesuffix('.')}.", remedy)


class BrokenError(Exception):
    """
    Something is broken, and nothing behind it can be looked at.

    Control flow between a doctor's own functions; never leaves `symptoms`.
    """

    def __init__(self, symptom: Symptom) -> None:
        super().__init__(symptom.code)
        self.symptom = symptom


class Doctor(Protocol):
    """
    Somebody who inspects one kind of store.

    Attributes:
        described: what was learned of each issuer's secret that is there; complete after `symptoms`.
        questions: how many questions a look at all secrets in use costs; None where that was not seen.
    """

    described: dict[str, CredentialDescription]
    questions: int | None

    def symptoms(self) -> Iterator[Symptom]:
        """
        Look, and yield what is noticed as it is noticed.

        Raises:
            AuditError: what was asked could not be recorded.
        """
        ...


class Record:
    """
    The record of what is asked in an inspection.

    Args:
        audit: where it is kept.
        store: the kind of store.
    """

    def __init__(self, audit: AuditLog, *, store: str) -> None:
        self._audit = audit
        self._store = store

    def asked(self, what: str, *, error: str | None = None) -> None:
        """
        Record one question, and whether it was answered.

        Args:
            what: the path, or the operation and the secret.
            error: how it was refused, such as `HTTP 403`.

        Raises:
            AuditError: it could not be recorded.
        """
        self._audit.record(
            secret_access(what, ACCESSOR, "inspect", success=error is None, store=self._store, error=error)
        )

    def refused(self, what: str, kind: str) -> None:
        """Record that the store did not accept the login."""
        self._audit.record(failed_auth(self._store, kind, what))


def header_time(text: str) -> datetime | None:
    """Return the time that the header of an answer tells; None if it tells none."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None


def clock_symptom(theirs: datetime | None, ours: datetime, *, who: str) -> Symptom:
    """
    Return what the difference of two clocks means.

    Args:
        theirs: the other clock's time, if it was told.
        ours: this machine's, at the same moment.
        who: whose clock it is.
    """
    if theirs is None:
        return note("clock", "clock-not-told", f"The time is not told by {who}, so this machine's was not compared.")
    seconds = (ours - theirs).total_seconds()
    off = f"This machine's clock is {spoken(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'} that of {who}"
    if abs(seconds) < CLOCK_SECONDS:
        return fine("clock", f"This machine's clock agrees with that of {who}.")
    what = problem if abs(seconds) >= CLOCK_PROBLEM_SECONDS else warning
    return what(
        "clock",
        "clock-skew",
        f"{off}; which of the two is wrong cannot be seen from here.",
        "Let both follow a time server: exchanges refuse requests that are signed seconds beside their time.",
        "timedatectl status",
    )


def policy_command(store: str, prefix: str, *more: str) -> str:
    """
    Return the command that shows the policy a deployment needs.

    Args:
        store: `vault` or `aws`.
        prefix: the path under which its secrets are named; that of development tells itself by its end.
        more: more options.
    """
    folder = prefix.removesuffix(DEVELOPMENT_SUFFIX)
    role = "pipeline" if folder == prefix else "developer"
    return shlex.join(["crypto-pipeline", "access", "render", store, "--role", role, "--prefix", folder, *more])


def spoken(seconds: float) -> str:
    """Return a time as one says it: `40 s`, `12 min`, `3 h`, `5 days`."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 1.99 * size:  # a second that has passed meanwhile makes no other unit
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def within(
    seconds: float, symptoms: Iterator[Symptom], *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Symptom]:
    """
    Yield the symptoms as they come, and end after so many seconds with a problem that says so.

    A server that sends its answer letter by letter outlasts every time-out, so the looking is done by a
    thread that is left behind.

    Args:
        seconds: how long all of it may take.
        symptoms: of one doctor.
        clock: seconds that only ever rise.

    Raises:
        AuditError: what was asked could not be recorded.
    """
    found: queue.Queue[Symptom | BaseException | None] = queue.Queue()
    threading.Thread(target=_look, args=(symptoms, found), name="secrets-doctor", daemon=True).start()
    ends_at = clock() + seconds
    while True:
        try:
            next_one = found.get(timeout=max(0.0, ends_at - clock()))
        except queue.Empty:
            yield problem(
                "server",
                "too-slow",
                f"The inspection was not through after {spoken(seconds)}; what was not told by then was not seen.",
                "Look at the network and at the load of the store, then run again.",
            )
            return
        if isinstance(next_one, Symptom):
            yield next_one
        elif next_one is None:
            return
        else:
            raise next_one


def _look(symptoms: Iterator[Symptom], found: queue.Queue[Symptom | BaseException | None]) -> None:
    """Hand over what is noticed, one by one, then None; or what was raised instead."""
    try:
        for symptom in symptoms:
            found.put(symptom)
    except BaseException as error:  # raised again by whoever waits
        found.put(error)
    else:
        found.put(None)
