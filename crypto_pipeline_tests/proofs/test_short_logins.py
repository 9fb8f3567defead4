"""A long run whose login to the store lives for seconds: nothing fails, and the server is not flooded."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from crypto_pipeline.access import Access
from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.exchanges import CLIENTS
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import AppRoleAuth, CachedSource, CachePolicy, TokenAuth, VaultSource
from crypto_pipeline_tests.proofs.location import read_a_page
from crypto_pipeline_tests.proofs.scene import MAY_READ, VaultScene, reads_of
from crypto_pipeline_tests.proofs.waiting import until

CACHE = CachePolicy(ttl_seconds=0.5, revalidate_seconds=0.2, bound_seconds=2, error_seconds=0.1)
"""So short that the store is asked all the time, and that an error of it would soon be seen."""


@dataclass(slots=True)
class Course:
    """
    What happened in a long run.

    Fields:
        seconds: how long it took.
        rounds: how often all exchanges were read.
        most_tokens: the most tokens of the run that were alive at the same time, as the server told.
        asked: how often the server was asked for what.
        reads: how often it gave a key.
        refusals: what it refused.
    """

    seconds: float
    rounds: int = 0
    most_tokens: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    reads: int = 0
    refusals: list[str] = field(default_factory=list)

    @property
    def logins(self) -> int:
        """How often somebody logged in."""
        return self.asked["auth/approle/login"]

    @property
    def renewals(self) -> int:
        """How often a login was renewed."""
        return self.asked["auth/token/renew-self"]

    def __str__(self) -> str:
        """Return the figures on one line."""
        return (
            f"{self.seconds:.0f} s, {self.rounds} rounds over four exchanges, {self.reads} readings of the store: "
            f"{self.logins} logins, {self.renewals} renewals, at most {self.most_tokens} tokens alive"
        )


def run_for(seconds: float, scene: VaultScene, auth: AppRoleAuth | TokenAuth) -> Course:
    """Open all exchanges again and again, four at a time, each with a key that the store was asked for just now."""
    cached = CachedSource(VaultSource(scene.store.vault.address, auth=auth), policy=CACHE)
    audit = JsonLinesAuditLog(scene.audit_log)
    accesses = [Access(exchange, cached, audit, scene.sandbox.urls[exchange]) for exchange in CLIENTS]
    course, asked, deadline = Course(seconds), scene.asked(), time.monotonic() + seconds

    async def read_on(access: Access) -> int:
        rounds = 0
        while time.monotonic() < deadline:
            await read_a_page(access, asset="a-long-run")
            rounds += 1
            await asyncio.sleep(0.05)
        return rounds

    async def read_all() -> list[int]:
        return await asyncio.gather(*map(read_on, accesses))

    with tokens_counted(scene, course):
        course.rounds = min(asyncio.run(read_all()))
    course.asked = Counter(asked.paths())
    course.reads = sum(reads_of(asked).values())
    course.refusals = asked.errors()
    return course


@contextmanager
def tokens_counted(scene: VaultScene, course: Course) -> Iterator[None]:
    """Ask the server, several times a second, how many tokens there are beside those there were before."""
    before, is_over = tokens_of(scene), threading.Event()

    def look() -> None:
        while not is_over.wait(0.3):
            course.most_tokens = max(course.most_tokens, len(tokens_of(scene) - before))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def tokens_of(scene: VaultScene) -> set[str]:
    """Return the accessors of all tokens that are alive."""
    return set(scene.store.vault.root.auth.token.list_accessors()["data"]["keys"])


def as_role(scene: VaultScene, *, ttl: str, max_ttl: str) -> AppRoleAuth:
    """Return a login whose tokens live so long, and not longer than that however often they are renewed."""
    role_id, secret_id = scene.store.vault.app_role(MAY_READ, ttl=ttl, max_ttl=max_ttl)
    return AppRoleAuth(Secret(role_id), Secret(secret_id))


def check_is_modest(course: Course, *, lease: float, longest: float) -> None:
    """Check that the server saw no more of the run than its leases explain."""
    # Renewed between a half and two thirds of a lease; a login is over, at the earliest, when that is true of the last
    # lease that fits into its longest life.
    assert course.refusals == []
    assert 1 <= course.renewals <= course.seconds / (lease / 2) + 1
    assert 2 <= course.logins <= course.seconds / (longest / 2) + 2
    assert course.most_tokens <= longest / (longest / 2) + 1
    assert course.asked["auth/token/lookup-self"] == 0
    assert course.reads > course.seconds


def test_a_run_outlives_its_five_second_token(scene: VaultScene) -> None:
    """The small version: a token that cannot be renewed for ever either, and is replaced."""
    course = run_for(10, scene, as_role(scene, ttl="5s", max_ttl="8s"))

    check_is_modest(course, lease=5, longest=8)


def test_a_token_of_five_seconds_from_the_environment_is_kept_alive(scene: VaultScene) -> None:
    """Nobody can replace that one: it is asked once how long it lives, and renewed in time."""
    course = run_for(8, scene, TokenAuth(Secret(scene.token(ttl="5s"))))

    assert course.refusals == []
    assert (course.logins, course.asked["auth/token/lookup-self"]) == (0, 1)
    assert 2 <= course.renewals <= 4
    assert course.most_tokens == 0


def test_nothing_of_a_run_lives_on_at_the_server(scene: VaultScene) -> None:
    """A login that nobody renews ends; nobody has to clean up after a process that was killed."""
    before = tokens_of(scene)
    run_for(2, scene, as_role(scene, ttl="2s", max_ttl="8s"))

    assert until(lambda: tokens_of(scene) <= before, seconds=20)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("seconds", "lease", "longest"), [(70, 5, 20), (200, 60, 120)], ids=["five seconds", "a minute"]
)
def test_a_long_run_outlives_many_logins(
    seconds: float, lease: int, longest: int, scene: VaultScene, capsys: pytest.CaptureFixture[str]
) -> None:
    """The heavy version; prints its figures."""
    course = run_for(seconds, scene, as_role(scene, ttl=f"{lease}s", max_ttl=f"{longest}s"))

    with capsys.disabled():
        sys.stdout.write(f"\nleases of {lease} s, logins of at most {longest} s: {course}\n")
    check_is_modest(course, lease=lease, longest=longest)
