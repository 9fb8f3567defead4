"""What goes wrong is one sentence in Dagster, tried again where that can help and nowhere else."""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

import logging
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from dagster_shared.serdes import serialize_value

from crypto_pipeline import errors
from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.defs.build import build_defs
from crypto_pipeline.defs.failures import failure, reported_to_dagster
from crypto_pipeline.errors import (
    AuditError,
    BannedError,
    ConfigurationError,
    CryptoPipelineError,
    ExchangeError,
    ExchangeUnavailableError,
    RateLimitedError,
    SecretStoreUnavailableError,
    StorageFullError,
)
from crypto_pipeline.redaction import MASK, Secret
from crypto_pipeline.secrets import EnvironmentSource
from crypto_pipeline_tests.support.deployment import (
    QUIET,
    Deployment,
    failure_of,
    materialized,
    run_job,
    shared_instance,
    steps_that,
)

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CryptoPipelineError)]
POLICY = dg.RetryPolicy(max_retries=2, delay=0.01, backoff=dg.Backoff.EXPONENTIAL)
every_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


def step(
    *outcomes: BaseException | None, policy: dg.RetryPolicy = POLICY, instance: dg.DagsterInstance | None = None
) -> dg.ExecuteInProcessResult:
    """Run one step that fails with each of these in turn, one an attempt, until one is None."""
    waiting: Iterator[BaseException | None] = iter(outcomes)

    @dg.asset(name="step")
    def attempt(context: dg.AssetExecutionContext) -> None:
        with reported_to_dagster(context, policy):
            error = next(waiting)
            if error is not None:
                raise error

    return dg.materialize([attempt], run_config=QUIET, instance=instance or shared_instance(), raise_on_error=False)


def waits(result: dg.ExecuteInProcessResult) -> list[float]:
    """Return how long Dagster waited before each further attempt."""
    return [event.step_retry_data.seconds_to_wait or 0.0 for event in result.all_events if event.is_step_up_for_retry]


# What is raised...


@every_class
def test_a_failure_says_what_it_is_and_which_exit_code_it_gives(kind: type[CryptoPipelineError]) -> None:
    """How each class fares in a run is in `test_errors`."""
    made = failure(kind("it failed"))

    assert made.description == "it failed"
    assert made.allow_retries is kind.retryable
    assert {name: entry.value for name, entry in made.metadata.items()} == {
        "error": kind.__name__,
        "exit_code": kind.exit_code,
        "retryable": kind.retryable,
    }


def test_where_nothing_goes_wrong_nothing_is_raised() -> None:
    result = step(None)

    assert result.success
    assert waits(result) == []


# Trying again...


def test_what_heals_in_time_is_a_success() -> None:
    """Two attempts fail, the third is good."""
    result = step(StorageFullError("full"), AuditError("not recorded"), None)

    assert result.success
    assert len(waits(result)) == 2
    assert materialized(result) == {"step"}


def test_what_does_not_heal_fails_after_the_last_attempt_with_its_sentence() -> None:
    result = step(*[ExchangeUnavailableError(f"Bybit is down ({number})") for number in range(5)])

    assert not result.success
    assert len(waits(result)) == POLICY.max_retries
    assert failure_of(result).description == "Bybit is down (2)"


def test_waits_grow_from_attempt_to_attempt_as_the_policy_says() -> None:
    result = step(*[StorageFullError("full")] * 3)

    assert waits(result) == pytest.approx([0.01, 0.03])


@pytest.mark.parametrize("asked", [0.02, 0.0])
def test_an_exchange_that_named_a_wait_gets_exactly_that(asked: float) -> None:
    """Not less, which would be punished, and not more."""
    result = step(RateLimitedError("wait", retry_after_seconds=asked), None)

    assert waits(result) == [asked]


def test_an_exchange_that_named_no_wait_gets_the_policys() -> None:
    assert waits(step(RateLimitedError("wait"), None)) == [0.01]


def test_a_ban_is_not_tried_again_whatever_its_length() -> None:
    """Asking again makes it longer."""
    result = step(BannedError("banned", retry_after_seconds=0.01), None)

    assert waits(result) == []
    assert not result.success


def test_without_retries_what_could_heal_fails_at_once() -> None:
    result = step(StorageFullError("full"), None, policy=dg.RetryPolicy(max_retries=0))

    assert waits(result) == []
    assert failure_of(result).metadata["retryable"].value is True


# Faults...


def test_a_fault_keeps_its_traceback_and_is_not_tried_again() -> None:
    """It is a bug: the next attempt has it too."""
    result = step(ZeroDivisionError("a fault of ours"), None)

    (failed,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert waits(result) == []
    assert failed.user_failure_data is None
    assert failed.error is not None
    assert "ZeroDivisionError" in failed.error.to_string()
    assert "raise error\n" in failed.error.to_string()


# What is told...


def carrying(secret: Secret, kind: type[CryptoPipelineError]) -> CryptoPipelineError:
    """Return an error with a secret in its text and in its cause's."""
    error = kind(f"It failed with {secret.reveal()}. Do this.")
    error.__cause__ = ValueError(f"answer with body-of-an-answer and {secret.reveal()}")
    return error


@pytest.mark.parametrize("kind", [ConfigurationError, RateLimitedError])
def test_a_secret_in_the_text_is_taken_out_and_the_cause_is_not_told(kind: type[CryptoPipelineError]) -> None:
    """A cause may quote an answer or an address; none of it reaches the event log."""
    secret = Secret("value-that-" + "is-secret")

    with dg.DagsterInstance.ephemeral() as instance:
        result = step(*[carrying(secret, kind) for _ in range(3)], instance=instance)
        everything = str([serialize_value(entry) for entry in instance.all_logs(result.run_id)])

    assert failure_of(result).description == f"It failed with {MASK}. Do this."
    assert secret.reveal() not in everything
    assert "body-of-an-answer" not in everything


def test_the_reason_for_another_attempt_stands_in_the_log() -> None:
    """Else a run that waits would not say for what; a secret in it is taken out there too."""
    secret = Secret("value-that-" + "is-secret")
    error = RateLimitedError(f"Bybit asked {secret.reveal()} to wait.", retry_after_seconds=0.0)

    with dg.DagsterInstance.ephemeral() as instance:
        result = step(error, None, instance=instance)
        told = [(entry.level, entry.user_message) for entry in instance.all_logs(result.run_id)]

    assert (logging.WARNING, f"Bybit asked {MASK} to wait.") in told
    assert secret.reveal() not in str(told)


# In the code location...


class Moody:
    """A store that is down for its first readings."""

    store = "moody"

    def __init__(self, source: EnvironmentSource, *, failures: int, error: Callable[[], Exception]) -> None:
        self._source = source
        self._failures = failures
        self._error = error
        self.readings = 0

    def name_of(self, issuer: str) -> str:
        """Return the name."""
        return self._source.name_of(issuer)

    def describe(self, issuer: str) -> CredentialDescription:
        """Return the description."""
        return self.read(issuer).description

    def read(self, issuer: str) -> Credentials:
        """Return the credential, once it is up."""
        self.readings += 1
        if self.readings <= self._failures:
            raise self._error()
        return self._source.read(issuer)


def down() -> Exception:
    return SecretStoreUnavailableError("The store is down. Try again.")


def run_with(deployment: Deployment, secrets: Any, retries: int) -> dg.ExecuteInProcessResult:
    """Check the key of OKX, with a store of the test's own."""
    settings = deployment.settings(op_retries=retries, op_retry_delay_seconds=0.01)
    return run_job(build_defs(settings, secrets=secrets), "key_check", assets=("okx/api_key",))


@pytest.mark.parametrize(("failures", "retries", "succeeds"), [(2, 2, True), (3, 2, False), (1, 0, False)])
def test_a_step_is_tried_again_as_often_as_the_setting_says(
    failures: int, retries: int, succeeds: bool, deployment: Deployment
) -> None:
    """`CRYPTO_PIPELINE_OP_RETRIES` and its delay reach the steps."""
    deployment.give_key("okx")
    source = Moody(EnvironmentSource(deployment.variables), failures=failures, error=down)

    result = run_with(deployment, source, retries)

    assert result.success is succeeds
    assert source.readings == retries + 1
    assert len(waits(result)) == retries
    assert all(0 < wait < 0.2 for wait in waits(result))
    assert (materialized(result) == {"okx/api_key"}) is succeeds


def test_a_fault_in_the_code_location_is_not_tried_again(deployment: Deployment) -> None:
    deployment.give_key("okx")
    source = Moody(EnvironmentSource(deployment.variables), failures=1, error=lambda: KeyError("a fault of ours"))

    result = run_with(deployment, source, 3)

    assert source.readings == 1
    assert waits(result) == []
    assert steps_that(result, "STEP_FAILURE") == {"okx__api_key"}


def test_every_error_of_an_exchange_can_name_a_wait() -> None:
    """`failures` looks for it there; an error outside of that family that names one would be overheard."""
    naming = [kind for kind in CLASSES if hasattr(kind("x"), "retry_after_seconds")]

    assert {kind for kind in naming if not issubclass(kind, ExchangeError)} == set()
    assert RateLimitedError in naming
