"""One cache before every store and per process: what it hands out, when it asks, and what it leaves behind."""

from __future__ import annotations

import dataclasses
import os
import pickle
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

import pytest
from moto.secretsmanager.models import SecretsManagerBackend

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.credentials import ISSUERS, CredentialDescription, Credentials
from crypto_pipeline.errors import (
    ConfigurationError,
    SecretDeniedError,
    SecretNotFoundError,
    SecretStoreSealedError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import AuditedSource, AwsSource, SecretSource, TokenAuth, VaultSource, build_client
from crypto_pipeline.secrets.cache import CachedSource, CacheKey, Sweep, clear_shared_caches, shared_cache
from crypto_pipeline.secrets.listing import sweep
from crypto_pipeline.secrets.staleness import CachePolicy, Rung
from crypto_pipeline_tests.secrets import test_interface
from crypto_pipeline_tests.secrets.stores import AwsStore, RemoteStore, Store, VaultStore, new_parts
from crypto_pipeline_tests.secrets.told import BEGINNING, Time, Told, planted
from crypto_pipeline_tests.support.aws import REGION, Answers
from crypto_pipeline_tests.support.sealable import Sealable, running_sealable
from crypto_pipeline_tests.support.vault import NO_RIGHTS, Vault

ROOT = Path(__file__).parents[2]
POLICY = CachePolicy(ttl_seconds=300, revalidate_seconds=60, bound_seconds=900, error_seconds=2, jitter=0)
LONG = CachePolicy(ttl_seconds=3600, bound_seconds=7200, describe_seconds=300, jitter=0)
"""Values outlive descriptions."""

FRESH, REVALIDATING, STALE = Rung.FRESH.value, Rung.STALE_REVALIDATING.value, Rung.STALE_IF_ERROR.value


@pytest.fixture(autouse=True)
def _no_shared_caches() -> Iterator[None]:
    clear_shared_caches()
    yield
    clear_shared_caches()


@pytest.fixture
def time() -> Time:
    """Time that stands still."""
    return Time()


@pytest.fixture
def told() -> Told:
    """A store that is well."""
    return Told()


@pytest.fixture
def cached(told: Told, time: Time) -> CachedSource:
    """A cache before it."""
    return over(told, time)


def over(source: SecretSource, time: Time, *, policy: CachePolicy = POLICY, sweep: Sweep | None = None) -> CachedSource:
    """Return a cache in which nothing happens by itself."""
    return CachedSource(
        source, policy=policy, sweep=sweep, clock=time.clock, wall=time.wall, chance=lambda: 0.0, start=time.start
    )


# The contract of the family, through the cache...


class Through(RemoteStore):
    """A store that is read through a cache."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.source: SecretSource = CachedSource(store.source, policy=CachePolicy())

    def put(self, issuer: str, parts: Mapping[str, object]) -> None:
        """Store it behind the cache."""
        self._store.put(issuer, parts)

    def truth(self, issuer: str) -> tuple[str, datetime | None]:
        """Ask behind the cache."""
        return self._store.truth(issuer)

    def field(self, issuer: str, part: str) -> str:
        """Return the part's name."""
        return self._store.field(issuer, part)

    def blind(self) -> AbstractContextManager[SecretSource]:
        """Give a source that may not read."""
        assert isinstance(self._store, RemoteStore)
        return self._store.blind()

    def down(self) -> SecretSource:
        """Return a source that reaches nobody."""
        assert isinstance(self._store, RemoteStore)
        return CachedSource(self._store.down(), policy=CachePolicy())


class TestEverySourceThroughTheCache(test_interface.TestEverySource):
    """The cache is a source like the one behind it, but for how soon it sees what is new."""

    @pytest.fixture
    def store(self, store: Store) -> Store:
        """Every kind of store, through a cache."""
        return Through(store)

    def test_a_rotated_value_is_seen_at_once(self, store: Store) -> None:
        """Whoever asks for it, that is; until then the old one is handed out, with its version."""
        store.put("binance", new_parts("binance"))
        before = store.source.read("binance")
        parts = new_parts("binance")
        store.put("binance", parts)
        assert isinstance(store.source, CachedSource)

        unasked = store.source.read("binance")
        asked = store.source.refresh("binance")

        assert unasked is before
        assert asked["api_secret"].reveal() == parts["api_secret"]
        assert asked.description.version == store.truth("binance")[0]
        assert store.source.describe("binance") == store.source.read("binance").description == asked.description


class TestEveryServerThroughTheCache(test_interface.TestEverySourceThatIsAServer):
    """A server that refuses or is down is told as it is."""

    @pytest.fixture
    def remote(self, remote: RemoteStore) -> RemoteStore:
        """Every server, through a cache."""
        return Through(remote)


# What is handed out...


def test_a_credential_tells_where_it_stands(told: Told, time: Time, cached: CachedSource) -> None:
    """Store, version, since when, asked when, on which rung."""
    asked_at = time.wall()
    first = cached.read("okx").description
    told.version, told.error = "2", SecretStoreUnavailableError("down")
    time.pass_by(300)
    second = cached.read("okx").description
    time.run_background()
    third = cached.read("okx").description

    assert [each.rung for each in (first, second, third)] == [FRESH, REVALIDATING, STALE]
    for each in (first, second, third):
        assert (each.store, each.name, each.version) == ("told", "place/okx", "1")
        assert (each.created_at, each.fetched_at) == (BEGINNING, asked_at)


def test_a_hit_is_the_same_object_each_time(cached: CachedSource) -> None:
    """Nothing is built for it: it has to cost next to nothing."""
    assert cached.read("okx") is cached.read("okx")
    assert cached.describe("okx") is cached.describe("okx")


def test_it_is_a_source_like_the_one_behind_it(cached: CachedSource, tmp_path: Path) -> None:
    """And a record can be put before it."""
    source: SecretSource = AuditedSource(cached, JsonLinesAuditLog(tmp_path / "audit.jsonl"), accessor="a/test")

    assert (source.store, source.name_of("okx"), source.read("okx").issuer) == ("told", "place/okx", "okx")


def test_nothing_of_it_shows_a_value(cached: CachedSource) -> None:
    """Nor can it be written to a file."""
    cached.read("okx")

    shown = f"{cached!r} {cached} {vars(cached)} {vars(cached._values)} {cached._values.held['okx'].value!r}"

    assert planted("1") not in shown
    with pytest.raises(TypeError):
        pickle.dumps(cached)


@pytest.mark.parametrize("kind", [SecretDeniedError, SecretNotFoundError, SecretStoreUnavailableError])
def test_an_error_is_the_stores_own(kind: type[Exception], told: Told, cached: CachedSource) -> None:
    told.error = kind("as the store says")

    for ask in (cached.read, cached.describe, cached.refresh):
        with pytest.raises(kind, match="as the store says"):
            ask("okx")


# After a rejection...


def test_a_rejected_version_is_read_again_once(told: Told, cached: CachedSource) -> None:
    """The first caller asks; the others, who were rejected with the same version, get what it found."""
    rejected = cached.read("okx").description.version
    told.version = "2"

    found = [cached.refresh("okx", rejected=rejected) for _ in range(12)]

    assert {each.description.version for each in found} == {"2"}
    assert told.reads == ["okx", "okx"]


def test_a_version_that_is_still_the_same_is_told_so(told: Told, cached: CachedSource) -> None:
    """The store was asked: there is no newer one."""
    cached.read("okx")

    found = cached.refresh("okx", rejected="1")

    assert found.description.version == "1"
    assert told.reads == ["okx", "okx"]


@pytest.mark.parametrize(("rejected", "reads"), [(None, 2), ("1", 2), ("0", 1)])
def test_an_invalidated_value_is_not_handed_out_again(
    rejected: str | None, reads: int, told: Told, cached: CachedSource
) -> None:
    """Unless it is another one by now."""
    cached.read("okx")

    cached.invalidate("okx", rejected=rejected)
    cached.read("okx")

    assert len(told.reads) == reads


def test_an_invalidated_value_is_not_described_either(told: Told, cached: CachedSource) -> None:
    """The version it tells is the one that was rejected."""
    cached.read("okx")
    told.version = "2"

    cached.invalidate("okx")

    assert cached.describe("okx").version == "2"


def test_an_invalidated_value_does_not_come_back_in_an_outage(told: Told, cached: CachedSource) -> None:
    """It was rejected; no answer is better than that one."""
    cached.read("okx")
    told.error = SecretStoreUnavailableError("down")

    cached.invalidate("okx", rejected="1")

    with pytest.raises(SecretStoreUnavailableError):
        cached.read("okx")


# Descriptions...


def test_a_thousand_descriptions_are_one_question_in_five_minutes(told: Told, time: Time, cached: CachedSource) -> None:
    """Sensors tick; the store does not notice."""
    for _ in range(1000):
        cached.describe("okx")
        cached.describe("bybit")
        time.run_background()
        time.pass_by(0.299)
    within = list(told.descriptions)
    for _ in range(1000):
        cached.describe("okx")
        time.run_background()
        time.pass_by(0.3)

    assert within == ["okx", "bybit"]
    assert told.descriptions.count("okx") == 2
    assert told.reads == []


def test_a_value_that_was_read_is_described_too(told: Told, cached: CachedSource) -> None:
    """A report must not speak of an older version than the one in use."""
    old = cached.describe("okx").version
    told.version = "2"

    used = cached.read("okx").description

    assert (old, used.version) == ("1", "2")
    assert cached.describe("okx") == used
    assert told.descriptions == ["okx"]


def test_a_description_of_another_version_makes_the_value_stale(told: Told, time: Time) -> None:
    """A rotation that a sensor sees is not slept through by the readers."""
    cached = over(told, time, policy=LONG)
    cached.read("okx")
    time.pass_by(600)
    cached.describe("okx")
    rungs = [cached.read("okx").description.rung]
    told.version = "2"
    time.pass_by(600)

    cached.describe("okx")
    rungs.append(cached.read("okx").description.rung)
    time.run_background()

    assert rungs == [FRESH, REVALIDATING]
    assert cached.read("okx").description.version == "2"


def test_a_description_that_finds_the_secret_gone_takes_the_value_away(told: Told, time: Time) -> None:
    """However fresh it is; an outage does not."""
    cached = over(told, time, policy=LONG)
    cached.read("okx")
    time.pass_by(600)
    told.error = SecretStoreUnavailableError("down")
    described = cached.describe("okx").rung
    read = cached.read("okx").description.rung
    told.error = SecretNotFoundError("gone")
    time.pass_by(300)

    with pytest.raises(SecretNotFoundError):
        cached.describe("okx")

    assert (described, read) == (STALE, FRESH)
    with pytest.raises(SecretNotFoundError):
        cached.read("okx")


class Sweeper:
    """Describes everything a source holds, and counts."""

    def __init__(self, *issuers: str) -> None:
        self.sweeps = 0
        self.error: Exception | None = None
        self._issuers = issuers

    def __call__(self, source: SecretSource) -> Mapping[str, CredentialDescription]:
        """Describe all."""
        assert isinstance(source, Told)
        self.sweeps += 1
        if self.error:
            raise self.error
        return {issuer: source.described(issuer) for issuer in self._issuers}


def test_a_sweep_describes_everything_with_one_question(told: Told, time: Time) -> None:
    """What it leaves out is asked for by itself."""
    sweeper = Sweeper("okx", "bybit", "binance")
    cached = over(told, time, sweep=sweeper)
    swept_at = time.wall()

    for _ in range(100):
        found = [cached.describe(issuer) for issuer in ("okx", "bybit", "binance", "coinbase")]
        time.pass_by(2.9)

    assert (sweeper.sweeps, told.descriptions) == (1, ["coinbase"])
    assert {(each.version, each.rung, each.fetched_at) for each in found} == {("1", FRESH, swept_at)}


def test_a_sweep_that_sees_another_version_makes_the_value_stale(told: Told, time: Time) -> None:
    cached = over(told, time, sweep=Sweeper("okx", "bybit"))
    cached.read("okx")
    told.version = "2"

    cached.describe("bybit")

    assert cached.read("okx").description.rung == REVALIDATING


@pytest.mark.parametrize("kind", [SecretDeniedError, SecretNotFoundError])
def test_without_the_right_to_sweep_each_secret_is_asked_for(kind: type[Exception], told: Told, time: Time) -> None:
    """And the sweep is not tried again before the next one is due."""
    sweeper = Sweeper("okx")
    sweeper.error = kind("no list right")
    cached = over(told, time, sweep=sweeper)

    for _ in range(10):
        assert cached.describe("okx").version == "1"
        time.pass_by(29)

    assert (sweeper.sweeps, told.descriptions) == (1, ["okx"])


def test_an_outage_of_the_sweep_is_one_of_the_store(told: Told, time: Time) -> None:
    """Old descriptions are handed out, marked; without one, the outage is told."""
    sweeper = Sweeper("okx")
    cached = over(told, time, sweep=sweeper)
    cached.describe("okx")
    sweeper.error = SecretStoreUnavailableError("down")
    time.pass_by(300)
    cached.describe("okx")
    time.run_background()

    assert cached.describe("okx").rung == STALE
    time.pass_by(600)
    with pytest.raises(SecretStoreUnavailableError):
        cached.describe("okx")


# One per process...


def test_everybody_shares_one_cache_per_store_and_role(told: Told) -> None:
    """Twelve resources, set up again and again by many threads, and a hundred reads: one question."""
    key, opened = CacheKey("told", "here", role="reader"), []

    def open_source() -> SecretSource:
        opened.append(told)
        return told

    def use(_: int) -> str:
        return shared_cache(key, open_source, CachePolicy()).read("okx").description.version

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(use, range(100)))

    assert found == ["1"] * 100
    assert (len(opened), told.reads) == (1, ["okx"])


def test_threads_that_come_at_once_get_the_same_cache(told: Told) -> None:
    """However the interpreter switches between them."""
    barrier, usual = threading.Barrier(8), sys.getswitchinterval()

    def caches(_: int) -> list[int]:
        found = []
        for number in range(50):
            barrier.wait(timeout=30)
            found.append(id(shared_cache(CacheKey("told", str(number)), lambda: told, POLICY)))
        return found

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(caches, range(8)))
    finally:
        sys.setswitchinterval(usual)

    assert found == [found[0]] * 8


@pytest.mark.parametrize("field", ["store", "address", "namespace", "role", "place", "stage"])
def test_whatever_differs_in_the_key_is_kept_apart(field: str) -> None:
    """Another login may be denied what this one was given."""
    one = CacheKey("told", "here", "team", "reader", "secret/crypto-pipeline", "current")
    values = {name: getattr(one, name) for name in one.__dataclass_fields__}
    other = CacheKey(**values | {field: "another"})
    stores = {one: Told("1"), other: Told("2")}

    found = [shared_cache(key, lambda key=key: stores[key], POLICY).read("okx") for key in stores]  # type: ignore[misc]

    assert [each.description.version for each in found] == ["1", "2"]


def test_nothing_is_opened_before_it_is_asked() -> None:
    """Dagster sets resources up where an error has no step to be told by; the login may come later."""
    logins: list[SecretSource] = []

    def open_source() -> SecretSource:
        if not logins:
            msg = "there is no login"
            raise ConfigurationError(msg)
        return logins[0]

    cached = shared_cache(CacheKey("told"), open_source, CachePolicy(error_seconds=0))
    with pytest.raises(ConfigurationError, match="no login"):
        cached.read("okx")
    logins.append(Told())

    assert cached.read("okx").description.version == "1"


def test_one_store_is_not_cached_in_two_ways(told: Told) -> None:
    """The looser of the two would be in force, and nobody would know which that is."""
    shared_cache(CacheKey("told", place="secret/team"), lambda: told, POLICY)

    with pytest.raises(ConfigurationError, match="told secrets at 'secret/team'"):
        shared_cache(CacheKey("told", place="secret/team"), lambda: told, CachePolicy())


def test_cleared_caches_are_empty(told: Told) -> None:
    """Also in the hands of those who hold one."""
    before = shared_cache(CacheKey("told"), lambda: told, POLICY)
    before.read("okx")

    clear_shared_caches()
    after = shared_cache(CacheKey("told"), lambda: told, POLICY)
    before.read("okx")
    after.read("okx")

    assert before is not after
    assert len(told.reads) == 3


def test_a_forgotten_cache_asks_again(told: Told, cached: CachedSource) -> None:
    """Also where there is nothing to open anew."""
    cached.read("okx")

    cached.forget()
    cached.read("okx")

    assert told.reads == ["okx", "okx"]


def test_a_shared_sweep_gets_the_opened_source(told: Told) -> None:
    sweeper = Sweeper("okx")

    found = shared_cache(CacheKey("told"), lambda: told, POLICY, sweep=sweeper).describe("okx")

    assert (found.version, sweeper.sweeps, told.descriptions) == ("1", 1, [])


FORK = """
import os
import sys
import threading

from crypto_pipeline.redaction import REDACTOR, Secret
from crypto_pipeline.secrets import cache
from crypto_pipeline.secrets.cache import CachedSource, CacheKey, shared_cache
from crypto_pipeline.secrets.staleness import CachePolicy
from crypto_pipeline_tests.secrets.told import Told

opened = []


def open_source():
    opened.append(Told(version=f"opened {len(opened) + 1} times"))
    return opened[-1]


shared = shared_cache(CacheKey("told"), open_source, CachePolicy())
own = CachedSource(Told("own"), policy=CachePolicy())
for cached in (shared, own):
    cached.read("okx")

# At the moment of the fork a thread asks the store, and others hold every lock there is.
opened[0].gate.clear()
threading.Thread(target=shared.refresh, args=("okx",), daemon=True).start()
opened[0].entered.acquire(timeout=30)
opened[0].entered.acquire(timeout=30)
locks = [shared._values._lock, own._values._lock, shared._source._lock, REDACTOR._lock, cache._REGISTRY._lock]
for lock in locks:
    lock.acquire()

child = os.fork()
if child == 0:
    assert (shared._values.held, own._values.held) == ({}, {})
    assert shared.read("okx").description.version == "opened 2 times"
    assert shared_cache(CacheKey("told"), open_source, CachePolicy()) is shared
    assert own.read("okx").description.version == "own"
    assert repr(Secret("a-value-that-is-new-to-the-child")) == "Secret(***REDACTED***)"
    os._exit(0)
for lock in locks:
    lock.release()
opened[0].gate.set()
_, status = os.waitpid(child, 0)
assert shared.read("okx").description.version == "opened 1 times", "the parent keeps what it has"
sys.exit(os.waitstatus_to_exitcode(status))
"""


def run_alone(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, in an empty folder."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE", "LANG"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c", script],
        cwd=folder,
        env={**kept, "PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_forked_child_starts_with_nothing_and_waits_for_nobody(tmp_path: Path) -> None:
    """Threads, locks and connections stay with the parent; a child that shared them would hang or mix up answers."""
    done = run_alone(FORK, tmp_path)

    assert (done.returncode, done.stderr) == (0, "")


NO_FILES = """
import os
import sys

from crypto_pipeline.errors import SecretStoreUnavailableError
from crypto_pipeline.secrets.cache import CachedSource, CacheKey, shared_cache
from crypto_pipeline.secrets.staleness import CachePolicy
from crypto_pipeline_tests.secrets.told import Time, Told

WAYS = ("mmap", "shutil.", "tempfile.", "os.mkfifo", "os.memfd", "socket.", "shelve", "sqlite3.", "subprocess.")


is_watched = True


def refuse(event, arguments):
    writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if is_watched and (writes or event.startswith(WAYS)):
        raise RuntimeError(f"{event} {arguments}")


time, told = Time(), Told()
surroundings = dict(clock=time.clock, wall=time.wall, chance=lambda: 0.0, start=time.start)
sys.addaudithook(refuse)
shared_cache(CacheKey("told"), Told, CachePolicy()).read("okx")
cached = CachedSource(told, policy=CachePolicy(), **surroundings)
for error in (None, SecretStoreUnavailableError("down"), None):
    told.error = error
    for _ in range(10):
        cached.read("okx"), cached.describe("okx"), time.run_background(), time.pass_by(60)
cached.refresh("okx")
cached.invalidate("okx")
try:
    open("a-file", "w")
except RuntimeError:
    print("the hook is awake")
is_watched = False
"""


def test_no_value_is_ever_written_to_a_file(tmp_path: Path) -> None:
    """Down the whole ladder nothing is opened for writing, mapped or sent."""
    done = run_alone(NO_FILES, tmp_path)

    assert (done.returncode, done.stderr, done.stdout) == (0, "", "the hook is awake\n")
    assert list(tmp_path.iterdir()) == []


# Against real servers...


@pytest.fixture(scope="module")
def sealable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealable]:
    """A Vault that can be sealed; each test leaves it unsealed."""
    with running_sealable(tmp_path_factory.mktemp("vault")) as running:
        yield running


def test_a_sealed_vault_is_survived_up_to_the_bound(sealable: Sealable, time: Time) -> None:
    """Stale and marked, then closed; and fresh again when it is unsealed."""
    store = VaultStore(sealable.vault)
    store.put("okx", new_parts("okx"))
    cached = over(store.source, time)
    before = cached.read("okx")

    sealable.seal()
    try:
        time.pass_by(300)
        rungs = [cached.read("okx").description.rung]
        time.run_background()
        for _ in range(9):
            rungs.append(cached.read("okx").description.rung)
            time.pass_by(59)
            time.run_background()
        last = cached.read("okx")
        time.pass_by(100)
        with pytest.raises(SecretStoreSealedError, match="is sealed"):
            cached.read("okx")
    finally:
        sealable.unseal()

    assert rungs == [REVALIDATING] + [STALE] * 9
    assert last["api_key"] == before["api_key"]
    time.pass_by(2)
    after = cached.read("okx")
    assert (after.description.rung, after["api_key"]) == (FRESH, before["api_key"])


def test_a_vault_that_is_unsealed_in_time_is_fresh_again(sealable: Sealable, time: Time) -> None:
    """By the first background refresh that gets through."""
    store = VaultStore(sealable.vault, as_role=True)
    store.put("okx", new_parts("okx"))
    cached = over(store.source, time)
    cached.read("okx")
    sealable.seal()
    try:
        time.pass_by(400)
        stale = cached.read("okx").description.rung
    finally:
        sealable.unseal()
    store.put("okx", new_parts("okx"))

    time.pass_by(2)
    waiting = cached.read("okx").description
    time.run_background()
    healed = cached.read("okx").description

    assert (stale, waiting.rung, waiting.version) == (STALE, STALE, "1")
    assert (healed.rung, healed.version) == (FRESH, "2")


def test_a_vault_that_limits_requests_is_an_outage(vault: Vault, time: Time) -> None:
    """HTTP 429: the value is as good as before."""
    mount = f"mount-{secrets.token_hex(4)}"
    vault.root.sys.enable_secrets_engine("kv", path=mount, options={"version": "2"})
    vault.put("crypto-pipeline/okx", new_parts("okx"), mount=mount)
    quota = {"path": f"{mount}/", "rate": 1, "interval": "1h"}
    vault.root.adapter.post(f"/v1/sys/quotas/rate-limit/{mount}", json=quota)
    cached = over(VaultSource(vault.address, auth=TokenAuth(Secret(vault.root.token)), mount=mount), time)
    cached.read("okx")

    time.pass_by(360)

    assert cached.read("okx").description.rung == STALE
    vault.root.adapter.delete(f"/v1/sys/quotas/rate-limit/{mount}")
    time.pass_by(60)
    assert cached.read("okx").description.rung == FRESH


def test_aws_that_throttles_is_an_outage(aws_separate: AwsStore, time: Time) -> None:
    """Its throttling comes with HTTP 400, like a refusal."""
    aws_separate.put("okx", new_parts("okx"))
    client = build_client(REGION, aws_separate._aws.address)
    cached = over(AwsSource(client, prefix=aws_separate.prefix, layout="separate"), time)
    cached.read("okx")
    throttled = {"__type": "ThrottlingException", "message": "Rate exceeded"}
    Answers(client, {"GetSecretValue": (400, throttled)})

    time.pass_by(300)
    cached.read("okx")
    time.run_background()

    assert cached.read("okx").description.rung == STALE


def test_a_right_that_is_taken_away_takes_the_value_away(vault: Vault, time: Time) -> None:
    """Within one refresh, and for good: not even an outage brings the value back."""
    store = VaultStore(vault)
    store.put("okx", new_parts("okx"))
    policy = f"policy-{secrets.token_hex(4)}"
    vault.root.sys.create_or_update_policy(policy, store.policy("data", "metadata"))
    token = vault.root.auth.token.create(policies=[policy])["auth"]["client_token"]
    cached = over(VaultSource(vault.address, auth=TokenAuth(Secret(token)), prefix=store.prefix), time)
    cached.read("okx")

    vault.root.sys.create_or_update_policy(policy, NO_RIGHTS)
    time.pass_by(300)
    last = cached.read("okx").description.rung
    time.run_background()

    assert last == REVALIDATING
    assert cached._values.held == {}
    with pytest.raises(SecretDeniedError, match="denied"):
        cached.read("okx")


def test_a_deleted_secret_takes_the_value_away(remote: RemoteStore, time: Time) -> None:
    """Within one refresh; in every store."""
    remote.put("okx", new_parts("okx"))
    cached = over(remote.source, time)
    cached.read("okx")

    remove(remote, "okx")
    time.pass_by(300)
    last = cached.read("okx").description.rung
    time.run_background()

    assert last == REVALIDATING
    assert cached._values.held == {}
    with pytest.raises(SecretNotFoundError):
        cached.read("okx")


def remove(remote: RemoteStore, issuer: str) -> None:
    """Delete the secret that holds the issuer's credential, as its owner would."""
    name = remote.source.name_of(issuer)
    if isinstance(remote, AwsStore):
        remote._aws.client("secretsmanager").delete_secret(SecretId=name)
    else:
        assert isinstance(remote, VaultStore)
        remote._vault.root.secrets.kv.v2.delete_latest_version_of_secret(path=name)


def through_twelve_resources(key: CacheKey, open_source: Callable[[], SecretSource]) -> None:
    """Read a hundred times, the way twelve resources that are set up for each read would, on four threads."""

    def use(number: int) -> None:
        resources = [shared_cache(key, open_source, CachePolicy()) for _ in range(12)]
        resources[number % 12].read("okx")
        resources[number % 12].describe("okx")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(100)))


def test_vault_sees_one_read_of_a_hundred(sealable: Sealable) -> None:
    """As its own audit file tells."""
    store = VaultStore(sealable.vault)
    store.put("okx", new_parts("okx"))

    through_twelve_resources(CacheKey("vault", sealable.vault.address), lambda: store.source)

    assert sealable.asked_for(f"secret/data/{store.prefix}") == ["create", "read"]
    assert sealable.asked_for(f"secret/metadata/{store.prefix}") == []


def test_vault_sees_one_sweep_of_a_thousand_ticks(sealable: Sealable, time: Time) -> None:
    """Five minutes of sensors that look at every secret, and not one value."""
    store = VaultStore(sealable.vault)
    for issuer in ISSUERS:
        store.put(issuer, new_parts(issuer))
    rights = store.policy("data", "metadata") + (
        f'\npath "secret/detailed-metadata/{store.prefix}*" {{ capabilities = ["list", "scan", "read"] }}'
    )
    cached = over(store.opened(rights), time, sweep=sweep)
    before = sealable.asked_for("secret")

    for _ in range(1000):
        found = {issuer: cached.describe(issuer) for issuer in ISSUERS}
        time.pass_by(0.299)

    assert sealable.asked_for("secret")[len(before) :] == ["scan"]
    assert {(each.version, each.rung) for each in found.values()} == {("1", FRESH)}


def test_aws_sees_one_read_of_a_hundred(aws_separate: AwsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the server itself counts them."""
    aws_separate.put("okx", new_parts("okx"))
    asked: list[str] = []
    for operation in ("get_secret_value", "describe_secret", "list_secret_version_ids"):
        _count(monkeypatch, operation, asked)

    through_twelve_resources(CacheKey("aws"), lambda: aws_separate.source)

    assert asked == ["get_secret_value"]


def _count(monkeypatch: pytest.MonkeyPatch, operation: str, asked: list[str]) -> None:
    """Let the server, which runs in this process, write down that it does this."""
    done = getattr(SecretsManagerBackend, operation)

    def counted(self: SecretsManagerBackend, *positional: object, **named: object) -> object:
        asked.append(operation)
        return done(self, *positional, **named)

    monkeypatch.setattr(SecretsManagerBackend, operation, counted)


def test_what_the_cache_adds_to_an_answer_is_its_provenance_and_nothing_else(time: Time) -> None:
    """Every field that a source told, also one that is added some day, is handed on."""

    class Full:
        """A source that tells everything there is to tell."""

        store = "full"

        def name_of(self, issuer: str) -> str:
            """Return a name."""
            return f"place/{issuer}"

        def describe(self, issuer: str) -> CredentialDescription:
            """Fill every field with a text of its own."""
            fields = {field.name: f"its {field.name}" for field in dataclasses.fields(CredentialDescription)}
            return CredentialDescription(**fields | {"issuer": issuer})  # type: ignore[arg-type]

        def read(self, issuer: str) -> Credentials:
            """Return a credential without parts."""
            return Credentials(self.describe(issuer), {})

    read = over(Full(), time).read("okx")

    told, kept = (dataclasses.asdict(each) for each in (Full().describe("okx"), read.description))
    assert {name for name in told if told[name] != kept[name]} == {"fetched_at", "rung"}
