"""
How our errors reach Dagster: one of the two places where the base error is caught.

Errors that are not ours pass through untouched: they are bugs, and want a traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from crypto_pipeline.errors import CryptoPipelineError, ExchangeError
from crypto_pipeline.redaction import scrub


def failure(error: CryptoPipelineError) -> dg.Failure:
    """Return the Dagster failure that says what `error` says, and retries only if that can help."""
    return dg.Failure(
        description=scrub(str(error)),
        metadata={
            "error": type(error).__name__,
            "exit_code": error.exit_code,
            "retryable": error.retryable,
        },
        allow_retries=error.retryable,
    )


@contextmanager
def reported_to_daemon() -> Iterator[None]:
    """Report our errors as the failure of a sensor's tick; the daemon tries again with the next one."""
    try:
        yield
    except CryptoPipelineError as error:
        raise failure(error) from None


@contextmanager
def reported_to_dagster(context: dg.AssetExecutionContext, retries: dg.RetryPolicy) -> Iterator[None]:
    """
    Report our errors to Dagster, and ask it to try again where that can help.

    An exchange that told how long to wait gets exactly that wait, other errors that can heal the
    policy's. The policy is not given to Dagster itself, which would apply it to faults of ours too.
    """
    try:
        yield
    except CryptoPipelineError as error:
        if not error.retryable:
            # The cause may quote an answer or an address; its text does not belong in the event log.
            raise failure(error) from None
        asked_for = error.retry_after_seconds if isinstance(error, ExchangeError) else None
        wait_seconds = retries.calculate_delay(context.retry_number + 1) if asked_for is None else asked_for
        context.log.warning(scrub(str(error)))
        raise dg.RetryRequested(retries.max_retries, wait_seconds) from failure(error)
