"""
What times that are set, or built in, mean together: for a sensor's tick, for an outage, for a rotation.

Pure: no store can tell of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from crypto_pipeline.secrets import aws_client, vault_session
from crypto_pipeline.secrets.doctor.symptom import Symptom, fine, note, spoken, warning

TICK_SECONDS: Final = 60.0
"""How long Dagster waits for a sensor's tick, unless DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS says otherwise."""

RESTART_SECONDS: Final = 120.0
"""What a restart of a store takes, with somebody who unseals it."""

OVERLAP_SECONDS: Final = 3_600.0
"""What may be expected of a rotation: for how long the old key lives beside the new one."""

WITHDRAWN_SECONDS: Final = 6 * 3_600.0
"""For how long a key that was withdrawn may stay in use while nobody can say so."""

STEP_SECONDS: Final = 30.0
"""What a short step takes; a cache that lasts less is asked anew by the next one."""


@dataclass(frozen=True, slots=True)
class Patience:
    """
    How long one question to a store can take, if that does not answer.

    Fields:
        connect_seconds: how long to wait for the connection.
        read_seconds: how long to wait for the answer.
        attempts: how often it is asked.
    """

    connect_seconds: float
    read_seconds: float
    attempts: int = 1

    @property
    def seconds(self) -> float:
        """All of it together."""
        return self.attempts * (self.connect_seconds + self.read_seconds)


PATIENCE: Final = {
    "vault": Patience(vault_session.CONNECT_TIMEOUT_SECONDS, vault_session.READ_TIMEOUT_SECONDS),
    "aws": Patience(aws_client.CONNECT_TIMEOUT_SECONDS, aws_client.READ_TIMEOUT_SECONDS, aws_client.ATTEMPTS),
}
"""Of the stores that are servers."""


def tick_symptom(store: str, *, questions: int, regions: int = 1, limit: float = TICK_SECONDS) -> Symptom:
    """
    Return whether a tick that looks at all keys ends in time while the store hangs.

    Args:
        store: `vault` or `aws`.
        questions: how many questions are asked before it is clear to all that the store is down.
        regions: how many servers are asked each of them.
        limit: how long Dagster waits for a tick.
    """
    patience = PATIENCE[store]
    seconds = questions * regions * patience.seconds
    if seconds < limit:
        seen = f"While the store hangs, a sensor that looks at all keys tells so within {spoken(seconds)}"
        return fine("times", f"{seen}; Dagster waits {spoken(limit)}.")
    return warning(
        "times",
        "tick-too-short",
        f"While the store hangs, a sensor that looks at all keys takes up to {spoken(seconds)}, and Dagster ends its "
        f"tick after {spoken(limit)} without a reason.",
        "Let the daemon wait longer, or let the login have all secrets described with one question.",
        f"export DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS={int(seconds) + 30}",
    )


def cache_symptoms(cache_seconds: float, stale_seconds: float) -> Iterator[Symptom]:
    """
    Yield what the cache's times mean where they are unusual.

    Args:
        cache_seconds: how long a value is fresh.
        stale_seconds: the age up to which it is used while the store is down.
    """
    bridged = stale_seconds - cache_seconds
    if bridged < RESTART_SECONDS:
        yield warning(
            "times",
            "outage-not-bridged",
            f"An outage of the store of more than {spoken(bridged)} stops runs; a restart takes about "
            f"{spoken(RESTART_SECONDS)}.",
            "Let a value be used for longer while the store is down.",
            f"export CRYPTO_PIPELINE_STALE_SECONDS={int(cache_seconds + 5 * RESTART_SECONDS)}",
        )
    if stale_seconds > WITHDRAWN_SECONDS:
        yield warning(
            "times",
            "stale-for-long",
            f"While the store is down, a key that was withdrawn is used for up to {spoken(stale_seconds)} more.",
            "Let a value be used for less time while the store is down.",
            "export CRYPTO_PIPELINE_STALE_SECONDS=900",
        )
    if cache_seconds > OVERLAP_SECONDS:
        yield warning(
            "times",
            "cached-for-long",
            f"A key that was replaced is used for up to {spoken(cache_seconds)} more, so a rotation must leave the "
            "old one alive for longer than that.",
            "Let a value be fresh for less time.",
            "export CRYPTO_PIPELINE_CACHE_SECONDS=300",
        )
    if cache_seconds < STEP_SECONDS:
        yield note(
            "times",
            "cached-for-moments",
            f"A value is fresh for {spoken(cache_seconds)} only, so nearly every step of a run asks the store.",
            "See with `crypto-pipeline secrets plan` what that costs.",
        )
