"""What `crypto-pipeline secrets plan` does: say who will read what, how often, and at what cost; nobody is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from crypto_pipeline.commands import secrets_shown as shown
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.defs.build import build_defs
from crypto_pipeline.defs.readers import collect_readers
from crypto_pipeline.secrets import DotenvSource, EnvironmentSource, FileSource
from crypto_pipeline.secrets.doctor.symptom import policy_command, spoken
from crypto_pipeline.secrets.plan import (
    PRICE_SOURCE,
    Asking,
    Calls,
    Cost,
    Deployment,
    Plan,
    Timer,
    make_plan,
    monthly_cost,
)
from crypto_pipeline.secrets.roles import DEVELOPMENT_SUFFIX
from crypto_pipeline.secrets.staleness import CachePolicy
from crypto_pipeline.settings import PREFIX, Settings

SERVERS: Final = ("vault", "aws")
"""Stores that are asked over the network; only these are cached."""

COLUMNS: Final = ("no cache", "cached", "cached, may list")


def show_plan(console: Console, *, as_json: bool, runs_per_day: float | None = None) -> int:
    """
    Print the plan and return 0.

    Args:
        console: where to.
        as_json: whether a program reads it.
        runs_per_day: how often each scheduled job runs, instead of what its schedule says.
    """
    settings = Settings.from_environment()
    deployment = collect_readers(build_defs(settings))
    policy = CachePolicy(ttl_seconds=settings.cache_seconds, bound_seconds=settings.stale_seconds)
    plan = make_plan(
        deployment, asking_of(settings), policy if settings.secrets in SERVERS else None, runs_per_day=runs_per_day
    )
    if as_json:
        shown.show_json(console, _facts(settings, deployment, plan))
        return 0
    shown.say(console, _headline(settings), style="bold")
    if not settings.keys:
        shown.say(console, f"No key is in use ({PREFIX}KEYS is empty), so no store is asked for anything.")
        return 0
    _show_readers(console, settings, plan)
    _show_timers(console, deployment, plan)
    _show_calls(console, settings, plan, runs_per_day)
    return 0


def asking_of(settings: Settings) -> Asking:
    """Return how the configured store is asked; the store itself is not."""
    names = {issuer: _namer(settings)(issuer) for issuer in settings.keys}
    match settings.secrets:
        case "vault":
            # One by one it asks for all issuers it knows, and for the mount if one has no secret.
            look = 2 * len(ISSUERS) - len(names)
            return Asking(names, look_calls=look, login="token" if settings.vault_auth == "token" else "login")
        case "aws":
            # What is there, and since when; and the list that is refused before.
            look = 1 + 2 * len(names)
            return Asking(names, describe_calls=2, look_calls=look, login="login" if settings.aws_role_arn else "none")
        case _:
            return Asking(names)


def _namer(settings: Settings) -> Callable[[str], str]:
    """Return what tells an issuer's name in the store, without a login."""
    prefix = settings.secret_prefix.strip("/")
    match settings.secrets:
        case "aws" if settings.aws_layout == "combined":
            return lambda _: f"{prefix}/exchange-keys"
        case "files":
            return FileSource(settings.secrets_folder).name_of
        case "dotenv":
            return DotenvSource(settings.dotenv, environment="development").name_of
        case "environment":
            return EnvironmentSource({}).name_of
        case _:
            return lambda issuer: f"{prefix}/{issuer}"


def _regions(settings: Settings) -> int:
    return 1 + len(settings.aws_replica_regions)


def _costs(settings: Settings, plan: Plan) -> dict[str, Cost]:
    """Return what AWS takes in a month for each way of asking; nothing of it where the store is another one."""
    if settings.secrets != "aws":
        return {}
    names = [reader.name for reader in plan.readers]
    asked = dict(zip(COLUMNS, (plan.uncached, plan.cached, plan.listed), strict=True))
    return {
        way: monthly_cost(names, calls.reads + calls.descriptions, regions=_regions(settings))
        for way, calls in asked.items()
    }


# For people...


def _headline(settings: Settings) -> str:
    title = shown.TITLES.get(settings.secrets, "No store")
    if settings.secrets not in SERVERS:
        return title
    fresh, stale = spoken(settings.cache_seconds), spoken(settings.stale_seconds)
    return f"{title}; a value is fresh for {fresh}, and used for up to {stale} while the store is down"


def _show_readers(console: Console, settings: Settings, plan: Plan) -> None:
    rows = [(each.issuer, each.name, "\n".join(each.steps), "\n".join(each.jobs)) for each in plan.readers]
    table = shown.table_of(("key of", "secret", "read by", "in the jobs"), rows)
    if not shown.fits(console, table):  # what starts the jobs, and what they read, stands below
        table = shown.table_of(("key of", "secret", "read by"), [row[:3] for row in rows])
    console.print(table)
    if settings.secrets in SERVERS:
        role = "developer" if settings.secret_prefix.endswith(DEVELOPMENT_SUFFIX) else "pipeline"
        shown.say(console, f"The login needs the role `{role}` (describe, read), and nothing more:")
        more = ("--mount", settings.vault_mount) if settings.secrets == "vault" else ()
        command = policy_command(settings.secrets, settings.secret_prefix, *more)
        console.print(Text(f"  {shown.printable(command)}", style="dim"), soft_wrap=True, highlight=False)


def _show_timers(console: Console, deployment: Deployment, plan: Plan) -> None:
    console.print()
    using = [timer for timer in deployment.timers if _does(timer, plan)]
    rows = [(timer.name, timer.when, _number(_per_day(timer, plan)), _does(timer, plan)) for timer in using]
    console.print(shown.table_of(("what happens by itself", "when", "a day", "and does"), rows, right=("a day",)))
    if others := [timer.name for timer in deployment.timers if timer not in using]:
        shown.say(console, f"Without a key in use: {', '.join(others)}.")
    if not all(timer.is_on for timer in using):
        switch = f"{PREFIX}SCHEDULES_RUNNING"
        shown.say(console, f"All are counted as switched on; a new instance starts with them off ({switch}).")


def _does(timer: Timer, plan: Plan) -> str:
    """Return what a schedule or sensor has to do with keys in use; empty if nothing."""
    used = {each.issuer for each in plan.readers}
    read = [each.issuer for each in plan.readers if timer.job and timer.job in each.jobs]
    looked_at = [issuer for issuer in timer.describes if issuer in used]
    told = [f"starts {timer.job}, which reads {', '.join(read)}"] if read else []
    told += [f"looks at {', '.join(looked_at)}, and reads nothing"] if looked_at else []
    return "; ".join(told)


def _per_day(timer: Timer, plan: Plan) -> float:
    return plan.runs_per_day.get(timer.job, timer.per_day)


def _show_calls(console: Console, settings: Settings, plan: Plan, runs_per_day: float | None) -> None:
    console.print()
    if settings.secrets not in SERVERS:
        shown.say(console, "This store is on this machine: it is looked at again for each step, without a call.")
        return
    asked = (plan.uncached, plan.cached, plan.listed)
    rows = [_row("values read", [each.reads for each in asked])]
    rows.append(_row("secrets described", [each.descriptions for each in asked]))
    if any(each.logins for each in asked):
        kind = "tokens looked up" if settings.vault_auth == "token" else "logins"
        rows.append(_row(kind if settings.secrets == "vault" else "roles assumed", [each.logins for each in asked]))
    rows.append(_row("together", [each.total for each in asked]))
    rows.append(("", "", *(compared(plan.uncached, each) for each in asked[1:])))
    console.print(shown.table_of(("calls a day", *COLUMNS), rows, right=COLUMNS))
    for remark in remarks(settings, plan, runs_per_day):
        shown.say(console, remark)
    if costs := _costs(settings, plan):
        _show_costs(console, settings, plan, costs)


def remarks(settings: Settings, plan: Plan, runs_per_day: float | None) -> Iterator[str]:
    """Yield what has to be known about the numbers."""
    if plan.listed.total < plan.cached.total:
        yield "With the right to list, one question does for all secrets; `secrets doctor` shows how to give it."
    times = "one run each time" if runs_per_day is None else f"{_number(runs_per_day)} runs a day"
    yield (
        f"Counted with {times} for each schedule, runs shorter than {spoken(settings.cache_seconds)}, a process for "
        "each run, and one that lives on for the sensors."
    )


def _show_costs(console: Console, settings: Settings, plan: Plan, costs: Mapping[str, Cost]) -> None:
    console.print()
    regions = _regions(settings)
    secrets = shown.counted(len({reader.name for reader in plan.readers}), "secret")
    where = f" in {regions} regions" if regions > 1 else ""
    table = (
        (f"{secrets}{where}", [cost.secrets_usd for cost in costs.values()]),
        ("calls", [cost.calls_usd for cost in costs.values()]),
        ("together", [cost.total_usd for cost in costs.values()]),
    )
    rows = [(title, *(f"${amount:,.2f}" for amount in amounts)) for title, amounts in table]
    console.print(shown.table_of(("US dollars a month", *costs), rows, right=tuple(costs)))
    shown.say(console, PRICE_SOURCE)


def _row(title: str, numbers: Sequence[float]) -> tuple[str, ...]:
    return (title, *map(_number, numbers))


def _number(number: float) -> str:
    """Return a number of calls or times, whole where it is one, so that one a week does not look like none."""
    return f"{number:,.0f}" if number == round(number) or number >= 10 else f"{number:,.2f}"


def compared(before: Calls, after: Calls) -> str:
    """Return how much less is asked than before, in one glance."""
    if not after.total or not before.total or 0.95 < before.total / after.total < 1.05:
        return "as many"
    ratio, what = (
        (before.total / after.total, "fewer") if after.total < before.total else (after.total / before.total, "more")
    )
    return f"{ratio:,.0f} x {what}" if ratio >= 10 else f"{ratio:.1f} x {what}"


# For programs...


def _facts(settings: Settings, deployment: Deployment, plan: Plan) -> dict[str, Any]:
    """Return all of it for a program."""
    costs = {
        way.replace(",", "").replace(" ", "_"): asdict(cost) | {"total_usd": cost.total_usd}
        for way, cost in _costs(settings, plan).items()
    }
    return {
        "store": settings.secrets,
        "keys": list(settings.keys),
        "readers": [asdict(each) for each in plan.readers],
        "timers": [asdict(each) | {"runs_per_day": plan.runs_per_day.get(each.job)} for each in deployment.timers],
        "calls_per_run": {name: _counted(calls) for name, calls in plan.per_run.items()},
        "calls_per_day": {
            "no_cache": _counted(plan.uncached),
            "cached": _counted(plan.cached),
            "cached_may_list": _counted(plan.listed),
        },
        "usd_per_month": costs,
        "prices": PRICE_SOURCE if costs else "",
    }


def _counted(calls: Calls) -> dict[str, float]:
    return asdict(calls) | {"total": calls.total}
