"""The tree of errors is what its drawing says, and every member of it reaches people the same way."""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

import copy
import inspect
import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
import dagster as dg
import pytest

from crypto_pipeline import cli, errors
from crypto_pipeline.defs.failures import reported_to_dagster
from crypto_pipeline.errors import CryptoPipelineError, ExchangeError, RateLimitedError
from crypto_pipeline.redaction import MASK, Secret

DRAWN = re.compile(
    r"^ {4}(?P<branch>[│├└─ ]*)(?P<name>\w+Error) +(?P<exit>\d+)? +(?:(?P<heals>yes|no)\b)?(?P<says>.*)$"
)


@dataclass(frozen=True)
class Line:
    """One line of the drawing: what it says of a class, its parent's exit code where it gives none."""

    name: str
    parent: str
    exit_code: int
    retryable: bool | None
    says: str


def drawing() -> Iterator[Line]:
    """Yield the lines of the tree in the module's docstring, each with its parent."""
    above: list[tuple[int, str, int]] = []
    for line in (errors.__doc__ or "").splitlines():
        if drawn := DRAWN.match(line):
            depth, name = len(drawn["branch"]), drawn["name"]
            above = [entry for entry in above if entry[0] < depth]
            parent, inherited = (above[-1][1], above[-1][2]) if above else ("Exception", CryptoPipelineError.exit_code)
            exit_code = int(drawn["exit"] or inherited)
            heals = None if drawn["heals"] is None else drawn["heals"] == "yes"
            yield Line(name, parent, exit_code, heals, drawn["says"].strip())
            above.append((depth, name, exit_code))


def tree(root: type[CryptoPipelineError] = CryptoPipelineError) -> Iterator[type[CryptoPipelineError]]:
    """Yield the base and everything below it."""
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


LINES = {line.name: line for line in drawing()}
CLASSES = list(tree())
every_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


def test_every_error_is_in_the_drawing_and_the_drawing_holds_no_other() -> None:
    """The tree is walked over the whole package, so that an error defined elsewhere is found too."""
    assert set(LINES) == {kind.__name__ for kind in CLASSES if kind.__module__.startswith("crypto_pipeline.")}
    assert {kind.__module__ for kind in CLASSES} == {"crypto_pipeline.errors"}
    assert len(LINES) >= 28


@every_class
def test_an_error_is_what_its_line_says(kind: type[CryptoPipelineError]) -> None:
    line = LINES[kind.__name__]

    assert kind.__bases__[0].__name__ == line.parent
    assert kind.exit_code == line.exit_code
    assert line.retryable in (kind.retryable, None)


@every_class
def test_an_error_that_may_be_raised_says_whether_it_heals(kind: type[CryptoPipelineError]) -> None:
    """Only a family's base leaves it open."""
    line = LINES[kind.__name__]

    assert line.retryable is not None or kind.__subclasses__()
    assert line.says or kind is CryptoPipelineError


@every_class
def test_an_error_has_a_docstring_of_its_own(kind: type[CryptoPipelineError]) -> None:
    assert kind.__name__.endswith("Error")
    assert "__doc__" in vars(kind)
    assert re.match(r"\S.*\.", inspect.cleandoc(kind.__doc__ or ""))


def test_families_have_exit_codes_of_their_own() -> None:
    """Scripts tell the families apart by it; 0, 1 and what shells use are not among them."""
    codes = [kind.exit_code for kind in CryptoPipelineError.__subclasses__()]

    assert sorted(codes) == sorted(set(codes))
    assert all(2 <= code < 64 for code in codes)


@every_class
def test_an_error_survives_a_copy_and_a_process(kind: type[CryptoPipelineError]) -> None:
    """Dagster sends errors between processes."""
    error = kind("what failed, what to do")
    if isinstance(error, ExchangeError):
        error = type(error)("what failed", exchange="okx", endpoint="/api", status=429, code="5", retry_after_seconds=1)

    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own bytes
        assert type(same) is kind
        assert str(same) == str(error)
        assert vars(same) == vars(error)


@every_class
def test_the_command_line_says_it_in_one_sentence(
    kind: type[CryptoPipelineError], capsys: pytest.CaptureFixture[str]
) -> None:
    """And exits with the error's own code."""

    @click.group()
    def commands() -> None:
        """Commands of this test."""

    @commands.command()
    def fail() -> None:
        secret = Secret("value-in-the-" + "message")
        raise kind(f"It failed with {secret.reveal()}. Do this.")

    with pytest.raises(SystemExit) as ended:
        cli.main(["fail"], commands=commands)

    assert ended.value.code == kind.exit_code
    assert capsys.readouterr() == ("", f"It failed with {MASK}. Do this.\n")


def failing(kind: type[CryptoPipelineError], **more: Any) -> dg.AssetsDefinition:
    """Return an asset that fails with this error, whose text holds a secret."""

    @dg.asset(name=kind.__name__)
    def fails(context: dg.AssetExecutionContext) -> None:
        with reported_to_dagster(context, dg.RetryPolicy(max_retries=1, delay=0)):
            secret = Secret("value-in-the-" + "message")
            raise kind(f"It failed with {secret.reveal()}. Do this.", **more)

    return fails


@pytest.fixture(scope="module")
def failed_run() -> dg.ExecuteInProcessResult:
    """One run with a step per class of error, each of which fails."""
    return dg.materialize([failing(kind) for kind in CLASSES], raise_on_error=False)


@every_class
def test_dagster_is_told_the_sentence_and_retries_only_what_heals(
    kind: type[CryptoPipelineError], failed_run: dg.ExecuteInProcessResult
) -> None:
    events = [event for event in failed_run.all_events if event.step_key == kind.__name__]
    (failure,) = [event.step_failure_data.user_failure_data for event in events if event.is_step_failure]

    assert failure is not None
    assert failure.description == f"It failed with {MASK}. Do this."
    assert {name: entry.value for name, entry in failure.metadata.items()} == {
        "error": kind.__name__,
        "exit_code": kind.exit_code,
        "retryable": kind.retryable,
    }
    assert len([event for event in events if event.is_step_up_for_retry]) == int(kind.retryable)
    assert "value-in-the" not in str(events)


def test_dagster_waits_as_long_as_the_exchange_asked() -> None:
    step = failing(RateLimitedError, exchange="bybit", retry_after_seconds=0.03)

    result = dg.materialize([step], raise_on_error=False)

    assert [event.step_retry_data.seconds_to_wait for event in result.all_events if event.is_step_up_for_retry] == [
        0.03
    ]


def test_what_is_not_ours_reaches_dagster_untouched() -> None:
    """It is a bug, and wants its traceback."""
    with (
        pytest.raises(ZeroDivisionError),
        reported_to_dagster(dg.build_asset_context(), dg.RetryPolicy(max_retries=1)),
    ):
        _ = 1 / 0
