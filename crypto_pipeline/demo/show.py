"""What the commands `demo`, `run` and `sandbox` do, and show while they do it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from crypto_pipeline.access import Access
from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.demo.report import Bars, show_table
from crypto_pipeline.demo.runs import Outcome, dagster_home, run_all
from crypto_pipeline.demo.stack import running_stack
from crypto_pipeline.errors import (
    ConfigurationError,
    CryptoPipelineError,
    ExchangeError,
    ExchangeUnavailableError,
)
from crypto_pipeline.exchanges import CLIENTS
from crypto_pipeline.redaction import scrub
from crypto_pipeline.sandbox.server import serve
from crypto_pipeline.settings import PREFIX, Settings

REACH_SECONDS = 6.0
"""How long `demo --live` tries to reach an exchange before it says that there is no way out."""


def last_full_months(now: datetime, count: int) -> tuple[str, str]:
    """Return the first and the last of the `count` full months before `now`."""
    last = now.replace(day=1) - timedelta(days=1)
    first = last
    for _ in range(count - 1):
        first = first.replace(day=1) - timedelta(days=1)
    return f"{first:%Y-%m}", f"{last:%Y-%m}"


def show_demo(console: Console, *, symbols: str, months: int, data: Path, debug: bool = False) -> int:
    """Start the servers, run the main job on all exchanges, show the table; return the exit code."""
    started = time.monotonic()
    dagster_home()  # before any server is started
    first, last = _months_of_demo(symbols, months)
    console.print("Starting four sandbox exchanges and an OpenBao with their keys …")
    with running_stack(data) as stack:
        environment = {**stack.environment, f"{PREFIX}SYMBOLS": symbols}
        outcomes = _run(console, tuple(CLIENTS), first, last, environment)
    code = show_outcomes(console, outcomes, seconds=time.monotonic() - started, debug=debug)
    if code == 0:
        console.print(
            "\nNext: [bold]make dev[/bold] and open http://127.0.0.1:3000: the same runs, charts and checks.\n"
            f"The data: {data / 'lake'}\nThe record of every access: {data / 'audit' / 'audit.jsonl'}",
            soft_wrap=True,
        )
    return code


def show_live(console: Console, *, symbols: str, months: int, data: Path, debug: bool = False) -> int:
    """
    Run the main job on the real exchanges without any key; return the exit code.

    Raises:
        ExchangeUnavailableError: no exchange can be reached from here.
    """
    del data  # the sandbox's; real data goes where the settings say
    started = time.monotonic()
    first, last = _months_of_demo(symbols, months)
    reachable, refused = asyncio.run(_reachable(Settings.from_environment(secrets="none", keys=())))
    for sentence in refused:
        console.print(scrub(sentence), highlight=False, markup=False)
    if not reachable:
        msg = (
            "No exchange can be reached from this machine, so nothing was fetched. "
            "Check its way to the internet, or run the demo without --live."
        )
        raise ExchangeUnavailableError(msg)
    environment = {f"{PREFIX}SYMBOLS": symbols, f"{PREFIX}SECRETS": "none", f"{PREFIX}KEYS": ""}
    outcomes = _run(console, reachable, first, last, environment)
    code = show_outcomes(console, outcomes, seconds=time.monotonic() - started, debug=debug)
    return code or (ExchangeError.exit_code if refused else 0)


def show_run(
    console: Console, *, exchanges: Sequence[str], first: str | None, last: str | None, debug: bool = False
) -> int:
    """Run the main job with the settings of the environment; return the exit code."""
    settings = Settings.from_environment()
    chosen = tuple(dict.fromkeys(exchanges)) or settings.exchanges
    if not chosen:
        msg = f"No exchange is configured ({PREFIX}EXCHANGES is empty), so there is nothing to run."
        raise ConfigurationError(msg)
    unknown = [name for name in chosen if name not in settings.exchanges]
    if unknown:
        msg = f"{', '.join(unknown)} is not among the configured exchanges: {', '.join(settings.exchanges)}."
        raise ConfigurationError(msg)
    start = first or last_full_months(datetime.now(UTC), 1)[0]
    start, end = _checked_months(start, last or start, settings)
    started = time.monotonic()
    outcomes = _run(console, chosen, start, end, {})
    return show_outcomes(console, outcomes, seconds=time.monotonic() - started, debug=debug)


def show_sandbox(console: Console, *, port: int) -> None:
    """Serve the sandbox until it is told to stop, and say where."""

    def announce(urls: Mapping[str, str]) -> None:
        for name, url in urls.items():
            console.print(f"{name:<18} {url}", highlight=False)
        console.print("Stop with Ctrl-C.")

    serve(port, announce)


def _months_of_demo(symbols: str, count: int) -> tuple[str, str]:
    """Return the first and the last month, once they and the symbols are known to be usable."""
    settings = Settings.from_environment(symbols=symbols, secrets="none", keys=())
    return _checked_months(*last_full_months(datetime.now(UTC), count), settings)


def _checked_months(first: str, last: str, settings: Settings) -> tuple[str, str]:
    """Return the months as Dagster names them."""
    start, end = _checked_month(first, settings), _checked_month(last, settings)
    if end < start:
        msg = f"{end} is before {start}. Name the earlier month first."
        raise ConfigurationError(msg)
    return start, end


def _checked_month(month: str, settings: Settings) -> str:
    try:
        found = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        msg = f"{month!r} is not a month such as 2026-10."
        raise ConfigurationError(msg) from None
    if not settings.first_month <= f"{found:%Y-%m}" <= f"{datetime.now(UTC):%Y-%m}":
        msg = (
            f"{month} is not between the first month ({settings.first_month}, {PREFIX}FIRST_MONTH) and the running one."
        )
        raise ConfigurationError(msg)
    return f"{found:%Y-%m}"


def _run(
    console: Console, exchanges: Sequence[str], first: str, last: str, environment: Mapping[str, str]
) -> list[Outcome]:
    said = first if first == last else f"{first} to {last}"
    console.print(f"Running the main job for {said} on {', '.join(exchanges)} …")
    with Bars(console, exchanges) as bars:
        return run_all(exchanges, first, last, environment=environment, on_progress=bars.update)


def show_outcomes(console: Console, outcomes: Sequence[Outcome], *, seconds: float, debug: bool) -> int:
    """Print the table and what failed; return the exit code of the first failure, or 0."""
    show_table(console, outcomes, root=dagster_home())
    for outcome in outcomes:
        if outcome.failure:
            console.print(f"[red]{outcome.exchange}[/red]: {escape(outcome.failure)}", highlight=False)
        if outcome.failure and debug:
            console.print(outcome.trace, highlight=False, markup=False)
    console.print(f"{seconds:.1f} s in all.")
    return next((outcome.exit_code for outcome in outcomes if outcome.exit_code), 0)


async def _reachable(settings: Settings) -> tuple[list[str], list[str]]:
    """Return the exchanges that answer, and a sentence for each that does not."""
    audit = JsonLinesAuditLog(settings.audit_log)

    async def ask(exchange: str) -> str | None:
        access = Access(exchange, None, audit, settings.base_url(exchange))
        try:
            async with asyncio.timeout(REACH_SECONDS), access.open(asset="demo") as client:
                await client.read_clock()
        except TimeoutError:
            return f"{CLIENTS[exchange].title} did not answer within {REACH_SECONDS:.0f} s."
        except CryptoPipelineError as error:
            return str(error)
        return None

    answers = await asyncio.gather(*map(ask, settings.exchanges))
    said = dict(zip(settings.exchanges, answers, strict=True))
    return [name for name, why in said.items() if why is None], [why for why in answers if why is not None]
