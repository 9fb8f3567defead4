"""
What a deployment will ask of its store, and what that costs: known before it runs.

Pure: which steps want whose key, what starts them how often, and how the store is asked come in; calls of
a day come out. What is measured (`make bench`) and what the stores count themselves agree with it; the tests hold
that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Final, Literal

from crypto_pipeline.secrets.staleness import CachePolicy

DAY_SECONDS: Final = 86_400.0
MONTH_DAYS: Final = 365 / 12

SECRET_USD: Final = 0.40
"""What AWS takes for a secret and month; a copy in another region is one more."""

CALLS_USD: Final = 0.05 / 10_000
"""What AWS takes for a call, whatever it asks."""

PRICE_SOURCE: Final = (
    "$0.40 per secret and month and $0.05 per 10,000 calls: AWS's published price as quoted in apache/airflow #30259 "
    "and infracost #366; it may have changed since, and differs by region."
)


# What comes in...


@dataclass(frozen=True, slots=True)
class Step:
    """
    One step of a job.

    Fields:
        name: what it makes, such as `okx/candles_1m`.
        issuers: whose key it uses.
    """

    name: str
    issuers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """
    One job.

    Fields:
        name: its name.
        steps: what is done in one run of it.
        in_one_process: whether all steps share a process, and so its cache.
    """

    name: str
    steps: tuple[Step, ...]
    in_one_process: bool = True


@dataclass(frozen=True, slots=True)
class Timer:
    """
    What happens by itself: a schedule, or a sensor.

    Fields:
        name: its name.
        when: how often, as it was written: `3 * * * *`, `every 300 s`.
        per_day: how often that is in a day, on average.
        job: the job that a schedule starts.
        describes: the issuers whose secrets it looks at by itself; it reads none.
        is_on: whether a new instance has it switched on.
    """

    name: str
    when: str
    per_day: float
    job: str = ""
    describes: tuple[str, ...] = ()
    is_on: bool = False


@dataclass(frozen=True, slots=True)
class Deployment:
    """All jobs, and all that happens by itself."""

    jobs: tuple[Job, ...]
    timers: tuple[Timer, ...]


@dataclass(frozen=True, slots=True)
class Asking:
    """
    How one store is asked.

    Fields:
        names: the name of each issuer's secret in the store; several issuers may have the same.
        describe_calls: calls to describe one issuer's secret by itself.
        look_calls: calls of one look at all secrets, without the right to list them.
        listed_look_calls: the same with that right.
        login: what a process does to be let in: nothing; a login, one call; or, with a token of the environment, one
            question for its end before the second request.
    """

    names: Mapping[str, str]
    describe_calls: int = 1
    look_calls: int = 1
    listed_look_calls: int = 1
    login: Literal["none", "login", "token"] = "none"

    def login_calls(self, questions: int) -> int:
        """Return what a process that asks so many questions does beside them to be let in."""
        from_question = {"none": inf, "login": 1, "token": 2}[self.login]
        return int(questions >= from_question)


# What comes out...


@dataclass(frozen=True, slots=True)
class Calls:
    """What the store is asked, by kind."""

    reads: float = 0.0
    descriptions: float = 0.0
    logins: float = 0.0

    def __add__(self, other: Calls) -> Calls:
        return Calls(self.reads + other.reads, self.descriptions + other.descriptions, self.logins + other.logins)

    def times(self, number: float) -> Calls:
        """Return so many times as many."""
        return Calls(self.reads * number, self.descriptions * number, self.logins * number)

    @property
    def total(self) -> float:
        """All of them."""
        return self.reads + self.descriptions + self.logins


@dataclass(frozen=True, slots=True)
class Reader:
    """
    Who reads one issuer's key, and when.

    Fields:
        issuer: whose key.
        name: its name in the store.
        steps: who reads it.
        jobs: the jobs in which that happens.
    """

    issuer: str
    name: str
    steps: tuple[str, ...]
    jobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What a deployment will ask of its store.

    Fields:
        readers: who reads what.
        per_run: what one run of each job costs with the cache.
        runs_per_day: how often each job runs.
        uncached: calls of a day if each step and each tick asked for what it names.
        cached: calls of a day with the cache, without the right to list.
        listed: the same with that right.
    """

    readers: tuple[Reader, ...]
    per_run: Mapping[str, Calls]
    runs_per_day: Mapping[str, float]
    uncached: Calls
    cached: Calls
    listed: Calls


@dataclass(frozen=True, slots=True)
class Cost:
    """What AWS takes in a month, in US dollars."""

    secrets_usd: float
    calls_usd: float

    @property
    def total_usd(self) -> float:
        """All of it."""
        return self.secrets_usd + self.calls_usd


def make_plan(
    deployment: Deployment, asking: Asking, policy: CachePolicy | None, *, runs_per_day: float | None = None
) -> Plan:
    """
    Return what will be asked, with and without a cache.

    A run is taken to last for less than a value is fresh, and a schedule to start one run each time. Sensors
    are taken to live in one process that is never started anew.

    Args:
        deployment: what is done, and what happens by itself.
        asking: how the store is asked.
        policy: the cache's times; None where nothing is cached.
        runs_per_day: how often each scheduled job runs, instead of what its schedules say.
    """
    runs = _runs_per_day(deployment, runs_per_day)
    per_run = {job.name: _run_calls(job, asking, is_cached=policy is not None) for job in deployment.jobs}
    reads = _sum(per_run[name].times(number) for name, number in runs.items())
    uncached_runs = (_run_calls(job, asking, is_cached=False).times(runs.get(job.name, 0)) for job in deployment.jobs)
    ticks = _sum(_tick_calls(timer, asking).times(timer.per_day) for timer in deployment.timers)
    uncached = _sum(uncached_runs) + ticks
    return Plan(
        readers=_readers(deployment.jobs, asking),
        per_run=per_run,
        runs_per_day=runs,
        uncached=uncached,
        cached=reads + _looks(deployment.timers, asking, policy, asking.look_calls) if policy else uncached,
        listed=reads + _looks(deployment.timers, asking, policy, asking.listed_look_calls) if policy else uncached,
    )


def monthly_cost(names: Sequence[str], calls_per_day: float, *, regions: int = 1) -> Cost:
    """
    Return what AWS takes in a month.

    Args:
        names: the secrets.
        calls_per_day: how often it is asked.
        regions: in how many regions each secret is kept.
    """
    return Cost(len(set(names)) * regions * SECRET_USD, calls_per_day * MONTH_DAYS * CALLS_USD)


def looks_per_day(timers: Sequence[Timer], describe_seconds: float) -> float:
    """
    Return how often a process asks for descriptions in a day, if its sensors tick so often.

    A description is asked for anew by the first tick that finds it too old.
    """
    per_day = max((timer.per_day for timer in timers if timer.describes), default=0.0)
    if not per_day:
        return 0.0
    seconds = DAY_SECONDS / per_day
    return DAY_SECONDS / (ceil(describe_seconds / seconds) * seconds)


def _runs_per_day(deployment: Deployment, override: float | None) -> dict[str, float]:
    """Return how often each job runs that is started by itself."""
    found: dict[str, float] = {}
    for timer in deployment.timers:
        if timer.job:
            found[timer.job] = found.get(timer.job, 0.0) + timer.per_day
    return found if override is None else dict.fromkeys(found, override)


def _run_calls(job: Job, asking: Asking, *, is_cached: bool) -> Calls:
    """Return what one run costs: a question for each secret and process, or for each step and key."""
    if not is_cached:
        return _sum(_process_calls(len(_used(step.issuers, asking)), asking) for step in job.steps)
    processes = [job.steps] if job.in_one_process else [(step,) for step in job.steps]
    return _sum(_process_calls(len(_names(steps, asking)), asking) for steps in processes)


def _process_calls(reads: int, asking: Asking) -> Calls:
    return Calls(reads=reads, logins=asking.login_calls(reads))


def _tick_calls(timer: Timer, asking: Asking) -> Calls:
    """Return what a tick without a cache costs: each secret is described by itself, after a login."""
    calls = len(_used(timer.describes, asking)) * asking.describe_calls
    return Calls(descriptions=calls, logins=asking.login_calls(calls))


def _looks(timers: Sequence[Timer], asking: Asking, policy: CachePolicy, calls: int) -> Calls:
    """Return what all sensors of one process cost in a day."""
    watching = [timer for timer in timers if _used(timer.describes, asking)]
    looks = looks_per_day(watching, policy.describe_seconds)
    return Calls(descriptions=looks * calls, logins=asking.login_calls(2) if looks else 0)


def _readers(jobs: Sequence[Job], asking: Asking) -> tuple[Reader, ...]:
    return tuple(
        Reader(
            issuer,
            name,
            steps=tuple(sorted({step.name for job in jobs for step in job.steps if issuer in step.issuers})),
            jobs=tuple(sorted({job.name for job in jobs for step in job.steps if issuer in step.issuers})),
        )
        for issuer, name in asking.names.items()
    )


def _used(issuers: Sequence[str], asking: Asking) -> list[str]:
    return [issuer for issuer in issuers if issuer in asking.names]


def _names(steps: Sequence[Step], asking: Asking) -> set[str]:
    return {asking.names[issuer] for step in steps for issuer in _used(step.issuers, asking)}


def _sum(calls: Iterable[Calls]) -> Calls:
    return sum(calls, Calls())
