"""What a deployment will ask of its store: computed, and held against the cache itself driven through a day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import CachedSource, CachePolicy, SecretSource
from crypto_pipeline.secrets.plan import (
    DAY_SECONDS,
    Asking,
    Calls,
    Deployment,
    Job,
    Plan,
    Step,
    Timer,
    looks_per_day,
    make_plan,
    monthly_cost,
)

POLICY = CachePolicy()
NAMES = {f"issuer-{number}": f"team/issuer-{number}" for number in range(12)}


def reference() -> Deployment:
    """Return the deployment of `make bench`: 12 secrets, 96 runs of 3 steps, 5 sensors every 30 s."""
    steps = tuple(Step(f"step-{number}", tuple(NAMES)) for number in range(3))
    sensors = tuple(
        Timer(f"sensor-{number}", "every 30 s", DAY_SECONDS / 30, describes=tuple(NAMES)) for number in range(5)
    )
    return Deployment((Job("job", steps),), (Timer("quarterly", "*/15 * * * *", 96, job="job"), *sensors))


def small(*, in_one_process: bool = True, runs: float = 24, seconds: float = 300) -> Deployment:
    """Return one job of three steps, two of which use OKX's key and one Bybit's too, and one sensor."""
    steps = (Step("a", ("okx",)), Step("b", ("okx", "bybit")), Step("c", ()))
    sensor = Timer("due", f"every {seconds:.0f} s", DAY_SECONDS / seconds, describes=("okx", "bybit"))
    return Deployment((Job("job", steps, in_one_process),), (Timer("hourly", "0 * * * *", runs, job="job"), sensor))


BOTH = {"okx": "team/okx", "bybit": "team/bybit"}


# The reference deployment...


def test_the_reference_deployment_is_as_in_the_benchmark() -> None:
    """176,256 calls a day without a cache; 1,440 with it and the right to list; 4,608 without that right."""
    plan = make_plan(reference(), Asking(NAMES, look_calls=12), POLICY)

    assert plan.uncached == Calls(reads=96 * 3 * 12, descriptions=5 * 2_880 * 12)
    assert plan.uncached.total == 176_256
    assert plan.listed == Calls(reads=96 * 12, descriptions=288)
    assert plan.listed.total == 1_440
    assert plan.cached.total == 96 * 12 + 288 * 12 == 4_608


class Counting:
    """A store that counts what it is asked."""

    store = "counting"

    def __init__(self) -> None:
        self.reads = 0
        self.looks = 0

    def name_of(self, issuer: str) -> str:
        """Return a name."""
        return NAMES[issuer]

    def describe(self, issuer: str) -> CredentialDescription:
        """Describe one."""
        return CredentialDescription(issuer, self.name_of(issuer), self.store, "1")

    def read(self, issuer: str) -> Credentials:
        """Return one."""
        self.reads += 1
        return Credentials(self.describe(issuer), {"token": Secret("planted-value-c0d3")})

    def sweep(self, _: SecretSource) -> Mapping[str, CredentialDescription]:
        """Describe all with one question."""
        self.looks += 1
        return {issuer: self.describe(issuer) for issuer in NAMES}


@pytest.mark.parametrize(
    ("ttl", "describe", "tick"), [(300, 300, 30), (300, 300, 300), (300, 100, 70), (60, 300, 3_600)]
)
def test_the_cache_itself_asks_as_often_in_a_day(ttl: float, describe: float, tick: int) -> None:
    """Runs every quarter of an hour in processes of their own, and sensors in one that lives on."""
    policy = CachePolicy(ttl_seconds=ttl, describe_seconds=describe)
    store, now = Counting(), [0.0]

    def process() -> CachedSource:
        return CachedSource(
            store,
            policy=policy,
            sweep=store.sweep,
            clock=lambda: now[0],
            wall=lambda: datetime.fromtimestamp(now[0], UTC),
            start=lambda work: work(),
        )

    server = process()
    for second in range(0, int(DAY_SECONDS), 10):
        now[0] = float(second)
        if second % 900 == 0:
            run = process()
            for issuer in [*NAMES] * 3:
                run.read(issuer)
        if second % tick == 0:
            for issuer in NAMES:
                server.describe(issuer)

    sensors = tuple(Timer(f"s{n}", "", DAY_SECONDS / tick, describes=tuple(NAMES)) for n in range(2))
    job = Job("job", tuple(Step(f"step-{number}", tuple(NAMES)) for number in range(3)))
    plan = make_plan(Deployment((job,), (Timer("t", "", 96, job="job"), *sensors)), Asking(NAMES), policy)
    assert store.reads == plan.listed.reads
    assert store.looks == pytest.approx(plan.listed.descriptions, abs=1)


# The rules...


def test_one_process_reads_each_secret_once_and_many_read_it_in_each() -> None:
    together = make_plan(small(), Asking(BOTH), POLICY)
    apart = make_plan(small(in_one_process=False), Asking(BOTH), POLICY)

    assert (together.per_run["job"].reads, together.cached.reads) == (2, 48)
    assert (apart.per_run["job"].reads, apart.cached.reads) == (3, 72)
    assert together.uncached.reads == apart.uncached.reads == 72


def test_a_secret_that_issuers_share_is_read_once_for_all_of_them() -> None:
    shared = dict.fromkeys(BOTH, "team/exchange-keys")

    plan = make_plan(small(), Asking(shared), POLICY)

    assert plan.per_run["job"].reads == 1
    assert [(reader.issuer, reader.name) for reader in plan.readers] == [*shared.items()]


def test_only_keys_in_use_count() -> None:
    plan = make_plan(small(), Asking({"bybit": "team/bybit"}), POLICY)

    assert plan.per_run["job"].reads == 1
    assert [(each.issuer, each.steps, each.jobs) for each in plan.readers] == [("bybit", ("b",), ("job",))]


def test_without_a_key_in_use_nothing_is_asked() -> None:
    plan = make_plan(small(), Asking({}, login="login"), POLICY)

    assert plan.uncached == plan.cached == plan.listed == Calls()
    assert plan.readers == ()


def test_where_nothing_is_cached_all_ways_cost_the_same() -> None:
    plan = make_plan(small(), Asking(BOTH), None)

    assert plan.cached == plan.listed == plan.uncached
    assert plan.per_run["job"].reads == 3


def test_the_runs_of_a_day_can_be_given_instead_of_the_schedules() -> None:
    plan = make_plan(small(), Asking(BOTH), POLICY, runs_per_day=96)

    assert plan.runs_per_day == {"job": 96}
    assert plan.cached.reads == 192


def test_schedules_of_the_same_job_add_up_and_a_job_without_one_does_not_run() -> None:
    jobs = (Job("a", (Step("x", ("okx",)),)), Job("b", (Step("y", ("okx",)),)))
    timers = (Timer("one", "", 24, job="a"), Timer("two", "", 1, job="a"))

    plan = make_plan(Deployment(jobs, timers), Asking(BOTH), POLICY)

    assert plan.runs_per_day == {"a": 25}
    assert plan.cached.reads == 25
    assert plan.per_run["b"].reads == 1


@pytest.mark.parametrize(
    ("login", "per_run", "uncached", "cached"),
    [("none", 0, 0, 0), ("login", 1, 24 * 2 + 288, 24 + 1), ("token", 1, 24 * 1 + 288, 24 + 1)],
)
def test_logins_are_made_for_each_process_that_asks(login: str, per_run: float, uncached: float, cached: float) -> None:
    """With a token, its end is asked for before the second question."""
    plan = make_plan(small(), Asking(BOTH, login=login), POLICY)  # type: ignore[arg-type]  # from the table

    assert plan.per_run["job"].logins == per_run
    assert (plan.uncached.logins, plan.cached.logins) == (uncached, cached)


def test_one_question_with_a_token_asks_nothing_else() -> None:
    plan = make_plan(small(), Asking({"okx": "team/okx"}, login="token"), POLICY)

    assert plan.per_run["job"] == Calls(reads=1)


def test_a_look_costs_what_the_store_takes_for_it() -> None:
    asking = Asking(BOTH, describe_calls=2, look_calls=5, listed_look_calls=1)

    plan = make_plan(small(), asking, POLICY)

    assert plan.uncached.descriptions == 288 * 2 * 2
    assert (plan.cached.descriptions, plan.listed.descriptions) == (288 * 5, 288)


@pytest.mark.parametrize(
    ("ticks", "fresh", "looks"),
    [
        (2_880, 300, 288),  # each tenth tick of 30 s
        (288, 300, 288),  # each
        (1_440, 90, 720),  # each second one of 60 s
        (24, 300, 24),  # each: they come more seldom
        (0, 300, 0),
    ],
)
def test_a_look_is_taken_by_the_first_tick_that_finds_the_last_one_old(
    ticks: float, fresh: float, looks: float
) -> None:
    timers = [Timer("a", "", ticks, describes=("okx",)), Timer("other", "", 86_400)]

    assert looks_per_day(timers, fresh) == pytest.approx(looks)


def test_the_sensor_that_ticks_most_decides() -> None:
    """They share one process, and its cache."""
    timers = [Timer("slow", "", 24, describes=("okx",)), Timer("fast", "", 2_880, describes=("okx",))]

    assert looks_per_day(timers, 300) == 288


# The price...


def test_aws_takes_for_secrets_by_the_region_and_for_calls_by_the_piece() -> None:
    cost = monthly_cost(["a", "b", "b"], 10_000, regions=3)

    assert cost.secrets_usd == pytest.approx(2 * 3 * 0.40)
    assert cost.calls_usd == pytest.approx(0.05 * 365 / 12)
    assert cost.total_usd == pytest.approx(cost.secrets_usd + cost.calls_usd)


def test_calls_add_up_and_multiply() -> None:
    calls = Calls(1, 2, 3) + Calls(10, 20, 30)

    assert calls == Calls(11, 22, 33)
    assert calls.times(2) == Calls(22, 44, 66)
    assert calls.total == 66


def test_a_plan_names_each_step_and_job_once() -> None:
    plan: Plan = make_plan(small(), Asking(BOTH), POLICY)

    assert [(each.issuer, each.steps, each.jobs) for each in plan.readers] == [
        ("okx", ("a", "b"), ("job",)),
        ("bybit", ("b",), ("job",)),
    ]
