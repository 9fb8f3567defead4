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
def reported_to_dagster(context: dg.AssetExecutionContext, *, max_retries: int) -> Iterator[None]:
    """
    Report our errors to Dagster.

    An exchange that told how long to wait gets exactly that wait; every other error becomes a
    `dagster.Failure`, whose `allow_retries` is the error's own `retryable`.
    """
    try:
        yield
    except CryptoPipelineError as error:
        wait_seconds = error.retry_after_seconds if isinstance(error, ExchangeError) else None
        if error.retryable and wait_seconds is not None and context.retry_number < max_retries:
            context.log.warning(scrub(str(error)))
            raise dg.RetryRequested(max_retries=max_retries, seconds_to_wait=wait_seconds) from None
        # The cause may quote an answer or an address; its text does not belong in the event log.
        raise failure(error) from None
