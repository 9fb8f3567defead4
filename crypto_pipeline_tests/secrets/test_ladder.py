"""An answer of the store goes down the ladder as it ages, and never comes back up without the store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from crypto_pipeline.errors import (
    ConfigurationError,
    EgressDeniedError,
    MalformedSecretError,
    SecretDeniedError,
    SecretError,
    SecretNotFoundError,
    SecretStoreSealedError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.secrets.ladder import Ladder, Surroundings
from crypto_pipeline.secrets.staleness import CachePolicy, Rung
from crypto_pipeline_tests.secrets.told import Time

POLICY = CachePolicy(ttl_seconds=300, revalidate_seconds=60, bound_seconds=900, error_seconds=2, jitter=0)
OUTAGES = (SecretStoreUnavailableError, SecretStoreSealedError)
REFUSALS = (SecretDeniedError, SecretNotFoundError, MalformedSecretError, ConfigurationError, EgressDeniedError)
FRESH, REVALIDATING, STALE = Rung.FRESH, Rung.STALE_REVALIDATING, Rung.STALE_IF_ERROR

Answer = tuple[str, Rung, datetime | None]
"""What a ladder of these tests hands out: the version, the rung, and when the store was asked."""


class Store:
    """A store that holds one version, or fails."""

    def __init__(self) -> None:
        self.version = 1
        self.error: Exception | None = None
        self.asked = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def ask(self, key: str) -> Answer:
        """Return the version of the moment of the question, once the gate is open."""
        self.asked += 1
        found = (f"{key} {self.version}", FRESH, None)
        self.entered.release()
        assert self.gate.wait(timeout=30)
        if self.error:
            raise self.error
        return found


def ladder_over(ask: Callable[[str], Answer], around: Surroundings, policy: CachePolicy = POLICY) -> Ladder[Answer]:
    """Return a ladder over a question."""
    return Ladder(ask, lambda found, rung, at: (found[0], rung, at), policy=policy, surroundings=around)


def virtual(time: Time, *, chance: float = 0.0) -> Surroundings:
    """Return surroundings in which nothing happens by itself."""
    return Surroundings(time.clock, time.wall, lambda: chance, time.start)


def threaded(store: Store) -> tuple[Ladder[Answer], Time]:
    """Return a ladder that asks in real threads, and the time it goes by."""
    time = Time()
    return ladder_over(store.ask, Surroundings(time.clock, time.wall, lambda: 0.0)), time


@pytest.fixture
def store() -> Store:
    """A store that is well."""
    return Store()


@pytest.fixture
def time() -> Time:
    """Time that stands still."""
    return Time()


@pytest.fixture
def ladder(store: Store, time: Time) -> Ladder[Answer]:
    """A ladder before the store."""
    return ladder_over(store.ask, virtual(time))


UP = None
SITUATIONS: tuple[tuple[float, type[Exception] | None, str, Rung | type[Exception], int, int], ...] = (
    # age, the store is, version and rung that are handed out, questions: before that, and after it in the background
    (0, UP, "1", FRESH, 0, 0),
    (299.9, UP, "1", FRESH, 0, 0),
    (300, UP, "1", REVALIDATING, 0, 1),
    (359.9, UP, "1", REVALIDATING, 0, 1),
    (360, UP, "2", FRESH, 1, 0),
    (899, UP, "2", FRESH, 1, 0),
    (100_000, UP, "2", FRESH, 1, 0),
    *((299.9, outage, "1", FRESH, 0, 0) for outage in OUTAGES),
    *((300, outage, "1", REVALIDATING, 0, 1) for outage in OUTAGES),
    *((360, outage, "1", STALE, 1, 0) for outage in OUTAGES),
    *((899.9, outage, "1", STALE, 1, 0) for outage in OUTAGES),
    *((900, outage, "", outage, 1, 0) for outage in OUTAGES),
    *((299.9, refusal, "1", FRESH, 0, 0) for refusal in REFUSALS),
    *((300, refusal, "1", REVALIDATING, 0, 1) for refusal in REFUSALS),
    *((360, refusal, "", refusal, 1, 0) for refusal in REFUSALS),
    (360, ZeroDivisionError, "", ZeroDivisionError, 1, 0),
)


@pytest.mark.parametrize(("age", "state", "version", "outcome", "before", "after"), SITUATIONS)
def test_what_is_handed_out_depends_on_its_age_and_on_the_store(
    age: float,
    state: type[Exception] | None,
    version: str,
    outcome: Rung | type[Exception],
    before: int,
    after: int,
    store: Store,
    time: Time,
    ladder: Ladder[Answer],
) -> None:
    """The rules of the ladder, each at its edge."""
    asked_at = time.wall()
    ladder.give("okx")
    store.version, store.error = 2, state("no") if state else None
    time.pass_by(age)

    if isinstance(outcome, Rung):
        expected_at = asked_at if version == "1" else time.wall()
        assert ladder.give("okx") == (f"okx {version}", outcome, expected_at)
    else:
        with pytest.raises(outcome):
            ladder.give("okx")

    assert store.asked == 1 + before
    assert time.run_background() == after
    assert store.asked == 1 + before + after


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_met_in_the_background_takes_the_value_away(
    refusal: type[Exception], store: Store, time: Time, ladder: Ladder[Answer]
) -> None:
    """The next reader is told why, and not given what the store refuses."""
    ladder.give("okx")
    time.pass_by(300)
    ladder.give("okx")
    store.error = refusal("no longer")
    time.run_background()

    with pytest.raises(refusal, match="no longer"):
        ladder.give("okx")

    assert ladder.held == {}
    assert store.asked == 2


def test_a_bug_met_in_the_background_shows_in_the_next_reader(store: Store, time: Time, ladder: Ladder[Answer]) -> None:
    """It is no answer of the store, so it is not repeated for it either."""
    ladder.give("okx")
    time.pass_by(300)
    ladder.give("okx")
    store.error = ZeroDivisionError("a bug")
    time.run_background()

    with pytest.raises(ZeroDivisionError):
        ladder.give("okx")

    assert store.asked == 3


def test_an_outage_met_in_the_background_marks_what_is_handed_out(
    store: Store, time: Time, ladder: Ladder[Answer]
) -> None:
    """And takes the mark away when the store is back."""
    ladder.give("okx")
    time.pass_by(300)
    store.error = SecretStoreUnavailableError("down")
    rungs = [ladder.give("okx")[1]]
    time.run_background()
    rungs.append(ladder.give("okx")[1])
    time.pass_by(2)
    store.error = None
    rungs.append(ladder.give("okx")[1])
    time.run_background()
    rungs.append(ladder.give("okx")[1])

    assert rungs == [REVALIDATING, STALE, STALE, FRESH]


@pytest.mark.parametrize(("minutes", "bound", "ends_after"), [(10, 15, None), (10, 5, 300)])
def test_an_outage_is_survived_up_to_the_bound_and_no_second_longer(
    minutes: int, bound: int, ends_after: int | None, store: Store, time: Time
) -> None:
    """A reader every second; its value was confirmed right before the store went down."""
    ladder = ladder_over(store.ask, virtual(time), CachePolicy(bound_seconds=bound * 60, jitter=0))
    ladder.give("okx")
    store.error = SecretStoreUnavailableError("down")
    failed = []
    for second in range(minutes * 60):
        try:
            found = ladder.give("okx")
            assert found[1] is FRESH or second >= 300
        except SecretStoreUnavailableError:
            failed.append(second)
        time.run_background()
        time.pass_by(1)

    store.error = None
    time.pass_by(2)

    assert failed == ([] if ends_after is None else list(range(ends_after, minutes * 60)))
    ladder.give("okx")
    time.run_background()
    assert ladder.give("okx")[1] is FRESH


def test_a_store_that_is_down_is_asked_every_few_seconds_and_nobody_waits_for_it(
    store: Store, time: Time, ladder: Ladder[Answer]
) -> None:
    """Whoever reads during an outage gets the old value at once."""
    ladder.give("okx")
    time.pass_by(360)
    store.error = SecretStoreUnavailableError("down")
    ladder.give("okx")  # the first to notice
    waited_for = store.asked

    for _ in range(100):
        before = store.asked
        ladder.give("okx")
        assert store.asked == before
        time.run_background()
        time.pass_by(1)

    assert store.asked - waited_for == 49


def test_an_outage_long_ago_is_no_news(store: Store, time: Time, ladder: Ladder[Answer]) -> None:
    """An old value must not be handed out as if the store were still down, when nobody has looked since."""
    ladder.give("okx")
    time.pass_by(360)
    store.error = SecretStoreUnavailableError("down")
    ladder.give("okx")
    store.error, store.version = None, 2
    time.pass_by(60)

    assert ladder.give("okx")[:2] == ("okx 2", FRESH)


@pytest.mark.parametrize("kind", [*OUTAGES, *REFUSALS])
def test_an_error_is_repeated_for_seconds_only(
    kind: type[Exception], store: Store, time: Time, ladder: Ladder[Answer]
) -> None:
    """A burst of readers is one question; a secret that was just made is found soon."""
    store.error = kind("no")
    for _ in range(5):
        with pytest.raises(kind, match="no"):
            ladder.give("okx")
    asked = store.asked
    store.error = None
    time.pass_by(2)

    assert ladder.give("okx")[:2] == ("okx 1", FRESH)
    assert asked == 1


def test_a_repeated_error_carries_nothing_of_where_it_was_raised(store: Store, ladder: Ladder[Answer]) -> None:
    """The frames of the first one hold what the store answered, those of the second a reader of another thread."""
    store.error = SecretDeniedError("no")
    errors = []
    for _ in range(3):
        with pytest.raises(SecretDeniedError) as caught:
            ladder.give("okx")
        errors.append(caught)

    assert store.asked == 1
    assert len({id(each.value) for each in errors}) == 3
    for each in errors[1:]:
        assert "ask" not in [frame.name for frame in each.traceback]
        assert (each.value.__cause__, each.value.__context__) == (None, None)
    kept = ladder._slots["okx"].failure
    assert kept is not None
    assert kept.error.__traceback__ is None


def test_keys_do_not_know_each_other(store: Store, ladder: Ladder[Answer]) -> None:
    """One issuer's error is not the other's."""
    ladder.give("okx")
    store.error = SecretNotFoundError("no")
    with pytest.raises(SecretNotFoundError):
        ladder.give("bybit")

    assert ladder.give("okx")[0] == "okx 1"


@pytest.mark.parametrize(("chance", "fresh_for"), [(0.0, 300.0), (0.5, 285.0), (0.999, 270.03)])
def test_chance_shortens_how_long_a_value_is_fresh(chance: float, fresh_for: float, store: Store, time: Time) -> None:
    """By up to the jitter, and never the other way."""
    ladder = ladder_over(store.ask, virtual(time, chance=chance), CachePolicy(ttl_seconds=300, jitter=0.1))
    ladder.give("okx")

    time.pass_by(fresh_for - 0.01)
    before = ladder.give("okx")[1]
    time.pass_by(0.02)
    after = ladder.give("okx")[1]

    assert (before, after) == (FRESH, REVALIDATING)


def test_age_counts_from_the_question(store: Store, time: Time) -> None:
    """An answer that took long was true when it was asked for, and nobody knows for how long after."""

    def slow(key: str) -> Answer:
        time.pass_by(20)
        return store.ask(key)

    ladder = ladder_over(slow, virtual(time))
    asked_at = time.wall()

    assert ladder.give("okx")[2] == asked_at
    time.pass_by(280)
    assert ladder.give("okx")[1] is REVALIDATING


def test_without_a_thread_to_spare_the_old_value_is_handed_out_until_it_must_not(store: Store, time: Time) -> None:
    """A process that ends cannot start threads."""

    def no_thread(_: object) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    ladder = ladder_over(store.ask, Surroundings(time.clock, time.wall, lambda: 0.0, no_thread))
    ladder.give("okx")
    store.version = 2
    time.pass_by(300)

    rungs = [ladder.give("okx")[1], ladder.give("okx")[1]]
    time.pass_by(60)

    assert rungs == [REVALIDATING, REVALIDATING]
    assert ladder.give("okx")[:2] == ("okx 2", FRESH)


# Renewing and dropping...


def test_renewing_asks_however_young_the_value_is(store: Store, ladder: Ladder[Answer]) -> None:
    ladder.give("okx")
    store.version = 2

    found = ladder.renew("okx")

    assert found[:2] == ("okx 2", FRESH)
    assert ladder.give("okx") is found


def test_renewing_asks_not_at_all_if_what_is_held_will_do(store: Store, time: Time, ladder: Ladder[Answer]) -> None:
    """With the mark that it has by then."""
    ladder.give("okx")
    time.pass_by(300)

    found = ladder.renew("okx", suffices=lambda held: held[0] == "okx 1")

    assert found[:2] == ("okx 1", REVALIDATING)
    assert store.asked == 1


def test_renewing_tells_an_outage_and_keeps_the_value(store: Store, ladder: Ladder[Answer]) -> None:
    """Whoever wants a newer value is not helped by the old one; the others are."""
    ladder.give("okx")
    store.error = SecretStoreUnavailableError("down")

    with pytest.raises(SecretStoreUnavailableError):
        ladder.renew("okx")

    assert ladder.give("okx")[:2] == ("okx 1", FRESH)


def test_a_dropped_value_is_asked_for_again(store: Store, ladder: Ladder[Answer]) -> None:
    ladder.give("okx")
    store.version = 2

    ladder.drop("okx")

    assert ladder.give("okx")[0] == "okx 2"


def test_a_value_that_is_not_meant_is_not_dropped(store: Store, ladder: Ladder[Answer]) -> None:
    """The second thread that was refused with the old version must not throw away the new one."""
    ladder.give("okx")

    ladder.drop("okx", unless=lambda held: held[0] == "okx 1")
    ladder.give("okx")

    assert store.asked == 1


def test_an_expired_value_is_revalidated(store: Store, time: Time, ladder: Ladder[Answer]) -> None:
    """And one that is as it should be, or that is not there, is left alone."""
    ladder.give("okx")
    ladder.expire("bybit", unless=lambda _: False)
    ladder.expire("okx", unless=lambda held: held[0] == "okx 1")
    first = ladder.give("okx")[1]
    store.version = 2

    ladder.expire("okx", unless=lambda held: held[0] == "okx 2")
    second = ladder.give("okx")[1]
    time.run_background()

    assert (first, second) == (FRESH, REVALIDATING)
    assert ladder.give("okx")[:2] == ("okx 2", FRESH)


def test_what_was_learned_elsewhere_is_handed_out(store: Store, time: Time, ladder: Ladder[Answer]) -> None:
    ladder.learn("okx", ("okx 7", FRESH, None))

    assert ladder.give("okx") == ("okx 7", FRESH, time.wall())
    assert store.asked == 0


def test_a_refresh_that_finds_its_work_done_asks_nothing(store: Store, time: Time, ladder: Ladder[Answer]) -> None:
    """Somebody renewed, or dropped, the value while the thread was on its way."""
    for meanwhile in (ladder.renew, ladder.drop):
        ladder.give("okx")
        time.pass_by(300)
        ladder.give("okx")
        meanwhile("okx")
        asked = store.asked
        time.run_background()

        assert store.asked == asked


def test_forgetting_leaves_nothing(store: Store, ladder: Ladder[Answer]) -> None:
    """Not even an error, nor a lock that somebody holds."""
    ladder.give("okx")
    store.error = SecretDeniedError("no")
    with pytest.raises(SecretDeniedError):
        ladder.give("bybit")
    ladder._lock.acquire()

    ladder.forget()
    store.error = None

    assert [ladder.give("okx")[1], ladder.give("bybit")[1]] == [FRESH, FRESH]
    assert store.asked == 4


# Threads...


def test_threads_that_miss_together_ask_once(store: Store) -> None:
    ladder, _ = threaded(store)
    store.gate.clear()
    barrier = threading.Barrier(13)

    def read(_: int) -> Answer:
        barrier.wait(timeout=30)
        return ladder.give("okx")

    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(read, number) for number in range(12)]
        barrier.wait(timeout=30)
        store.entered.acquire(timeout=30)
        store.gate.set()
        found = [each.result(timeout=30) for each in waiting]

    assert store.asked == 1
    assert {id(each) for each in found} == {id(found[0])}


def test_threads_that_fail_together_ask_once(store: Store) -> None:
    """Each is told."""
    ladder, _ = threaded(store)
    store.error = SecretDeniedError("no")
    store.gate.clear()
    barrier = threading.Barrier(13)

    def read(_: int) -> Exception | None:
        barrier.wait(timeout=30)
        try:
            ladder.give("okx")
        except SecretDeniedError as error:
            return error
        return None

    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(read, number) for number in range(12)]
        barrier.wait(timeout=30)
        store.gate.set()
        found = [each.result(timeout=30) for each in waiting]

    assert store.asked == 1
    assert all(isinstance(each, SecretDeniedError) for each in found)


def test_one_thread_refreshes_while_all_others_go_on(store: Store) -> None:
    """Nobody waits, and nobody asks a second time."""
    ladder, time = threaded(store)
    ladder.give("okx")
    store.entered.acquire(timeout=30)
    time.pass_by(300)
    store.gate.clear()
    store.version = 2

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ladder.give("okx"), range(100)))
    store.entered.acquire(timeout=30)
    asked = store.asked
    store.gate.set()
    time.pass_by(60)  # by now a reader waits for the refresh, and does not ask beside it
    last = ladder.give("okx")

    assert {each[:2] for each in found} == {("okx 1", REVALIDATING)}
    assert asked == 2
    assert (last[0], store.asked) == ("okx 2", 2)


@pytest.mark.parametrize(("version", "most"), [(2, 1), (1, 2)], ids=["another version", "the same version"])
def test_threads_that_renew_together_share_questions(version: int, most: int, store: Store) -> None:
    """Twelve steps whose key is refused at once; what was asked before the last of them came may not do for it."""
    ladder, _ = threaded(store)
    ladder.give("okx")
    store.version = version

    found = renewed_together(ladder, store)

    assert {each[0] for each in found if isinstance(each, tuple)} == {f"okx {version}"}
    assert 1 <= store.asked - 1 <= most


def test_nobody_waits_for_a_question_whose_answer_is_not_needed(store: Store) -> None:
    """The thread that comes late to a rotation finds the new version and goes on."""
    ladder, _ = threaded(store)
    ladder.give("okx")
    store.entered.acquire(timeout=30)
    store.gate.clear()

    with ThreadPoolExecutor(2) as pool:
        asking = pool.submit(ladder.renew, "okx")
        store.entered.acquire(timeout=30)
        late = pool.submit(ladder.renew, "okx", suffices=lambda _: True)
        try:
            found = late.result(timeout=10)
        finally:
            store.gate.set()
        asking.result(timeout=30)

    assert found[0] == "okx 1"


def test_threads_that_renew_together_share_a_failure(store: Store) -> None:
    """Each is told."""
    ladder, _ = threaded(store)
    ladder.give("okx")
    store.error = SecretStoreUnavailableError("down")

    found = renewed_together(ladder, store)

    assert {type(each) for each in found} == {SecretStoreUnavailableError}
    assert 1 <= store.asked - 1 <= 2


def renewed_together(ladder: Ladder[Answer], store: Store) -> list[Answer | Exception]:
    """Renew in twelve threads, and let the store answer when all of them have come in."""
    came_in = threading.Semaphore(0)
    store.gate.clear()

    def is_another(held: Answer) -> bool:
        came_in.release()
        return held[0] != "okx 1"

    def renew(_: int) -> Answer | Exception:
        try:
            return ladder.renew("okx", suffices=is_another)
        except SecretStoreUnavailableError as error:
            return error

    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(renew, number) for number in range(12)]
        assert all(came_in.acquire(timeout=30) for _ in range(12))
        store.gate.set()
        return [each.result(timeout=30) for each in waiting]


def test_an_answer_that_was_asked_for_before_the_drop_is_not_kept(store: Store) -> None:
    """It may be the very version that was dropped."""
    ladder, _ = threaded(store)
    store.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ladder.give, "okx")
        store.entered.acquire(timeout=30)
        ladder.drop("okx")
        store.version = 2
        store.gate.set()
        early = waiting.result(timeout=30)

    assert early[:2] == ("okx 1", FRESH)
    assert ladder.give("okx")[:2] == ("okx 2", FRESH)


class Model(RuleBasedStateMachine):
    """
    A reader, a store and time, in any order.

    The model knows what the store said and when; from that alone it tells what may be handed out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.time, self.store = Time(), Store()
        self.ladder = ladder_over(self.ask, virtual(self.time))
        self.said: list[tuple[float, str | type[Exception]]] = []
        """What the store was asked, and when: a version, or its error."""
        self.dropped_at = -1.0

    def ask(self, key: str) -> Answer:
        """Write down what the store says."""
        try:
            found = self.store.ask(key)
        except Exception as error:
            self.said.append((self.time.seconds, type(error)))
            raise
        self.said.append((self.time.seconds, found[0]))
        return found

    @property
    def good(self) -> tuple[float, str] | None:
        """The last version the store gave, unless it was refused, dropped or grew too old since."""
        for at, what in reversed(self.said):
            if isinstance(what, str):
                is_kept = at >= self.dropped_at and self.time.seconds - at < POLICY.bound_seconds
                return (at, what) if is_kept else None
            if what not in OUTAGES:
                return None
        return None

    @rule(seconds=st.sampled_from([0.5, 1.875, 2, 30, 59, 60, 240, 299, 300, 361, 899, 5000]))
    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.time.pass_by(seconds)

    @rule(kind=st.sampled_from([None, None, *OUTAGES, *REFUSALS]))
    def change_state(self, kind: type[Exception] | None) -> None:
        """Let the store fail or heal."""
        self.store.error = kind("no") if kind else None

    @rule()
    def rotate(self) -> None:
        """Store a new version."""
        self.store.version += 1

    @precondition(lambda self: self.time.waiting)
    @rule()
    def run_background(self) -> None:
        """Let the background catch up."""
        self.time.run_background()

    @rule()
    def drop(self) -> None:
        """Reject the value; what the store says from now on counts."""
        self.ladder.drop("okx")
        self.time.pass_by(1 / 1024)  # no step loses a bit, so that the edges are exact
        self.dropped_at = self.time.seconds

    @rule()
    def renew(self) -> None:
        """Ask now."""
        asked, outcome = len(self.said), self._outcome(self.ladder.renew)

        what = type(outcome) if isinstance(outcome, Exception) else outcome[0]
        assert self.said[asked:] == [(self.time.seconds, what)]
        assert isinstance(outcome, Exception) or outcome[1] is FRESH

    @rule()
    def give(self) -> None:
        """Read, and check it against what the store said."""
        asked, outcome = len(self.said), self._outcome(self.ladder.give)

        assert len(self.said) - asked <= 1
        if isinstance(outcome, Exception):
            at, what = self.said[-1]
            assert what is type(outcome)
            assert self.time.seconds - at < POLICY.error_seconds or at == self.time.seconds
            assert self.good is None
            return
        assert self.good is not None
        at, version = self.good
        age = self.time.seconds - at
        assert outcome == (version, self._rung(age), self._wall_at(at))
        if age >= POLICY.ttl_seconds + POLICY.revalidate_seconds:
            assert self.time.seconds - self.said[-1][0] < POLICY.revalidate_seconds

    def _outcome(self, verb: Callable[[str], Answer]) -> Answer | Exception:
        try:
            return verb("okx")
        except (SecretError, ConfigurationError, EgressDeniedError) as error:
            return error

    def _wall_at(self, at: float) -> datetime:
        then = Time()
        then.seconds = at
        return then.wall()

    def _rung(self, age: float) -> Rung:
        if age < POLICY.ttl_seconds:
            return FRESH
        return REVALIDATING if isinstance(self.said[-1][1], str) else STALE

    @invariant()
    def one_refresh_at_a_time(self) -> None:
        """However many readers there are."""
        assert len(self.time.waiting) <= 1


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
