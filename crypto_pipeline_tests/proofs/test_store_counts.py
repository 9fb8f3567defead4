"""What a run of twelve steps in one process costs the store, counted by the store itself."""

from __future__ import annotations

import base64
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests
from moto.moto_api import recorder

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.demo.stack import parts_of
from crypto_pipeline.errors import SecretNotFoundError, SecretStoreUnavailableError
from crypto_pipeline.exchanges import CLIENTS
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline.secrets import AwsSource, CachedSource, CachePolicy, build_client, open_aws
from crypto_pipeline.settings import Settings
from crypto_pipeline_tests.proofs.location import JOB, build
from crypto_pipeline_tests.proofs.scene import VaultScene, read_events, reads_of
from crypto_pipeline_tests.support.aws import LOGIN, REGION, Answers, Aws
from crypto_pipeline_tests.support.deployment import QUIET, materialized, shared_instance

STEPS = 12
LONG = CachePolicy(ttl_seconds=3600, bound_seconds=7200)
OKX = {f"okx_{part}": f"planted-okx-{part}-77aa" for part in ISSUERS["okx"].required}
BYBIT = {f"bybit_{part}": f"planted-bybit-{part}-77aa" for part in ISSUERS["bybit"].required}


def run(settings: Mapping[str, Any]) -> dg.ExecuteInProcessResult:
    """Run all steps in this process."""
    job = build(Settings.from_environment(**settings)).resolve_job_def(JOB)
    return job.execute_in_process(run_config=QUIET, instance=shared_instance(), raise_on_error=False)


def handed_to(audit_log: Path) -> set[tuple[str, str]]:
    """Return which secret was handed to which step, as our own record tells."""
    return {(one["secret_name"], one["accessor"]) for one in read_events(audit_log, "secret_access") if one["success"]}


@contextmanager
def recorded(aws: Aws, file: Path) -> Iterator[Callable[[], Mapping[tuple[str, str], int]]]:
    """Let the server write down what it is asked; yield a function that counts operations and secrets."""
    recorder._location = str(file)
    requests.post(f"{aws.address}/moto-api/recorder/start-recording", timeout=10)

    def counted() -> Mapping[tuple[str, str], int]:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        return Counter(
            (line["headers"]["X-Amz-Target"].rpartition(".")[2], str(asked.get("SecretId", asked.get("Name"))))
            for line in lines
            for asked in [json.loads(base64.b64decode(line["body"]))]
        )

    try:
        yield counted
    finally:
        requests.post(f"{aws.address}/moto-api/recorder/stop-recording", timeout=10)


@pytest.fixture
def prefix() -> str:
    """Return a path in the shared AWS that is this test's own."""
    return f"test-{uuid.uuid4()}"


def test_vault_is_asked_once_for_each_secret_by_a_run_of_twelve_steps(
    scene: VaultScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three steps share each key; the server's own audit file counts."""
    monkeypatch.setenv("VAULT_TOKEN", scene.token())
    asked = scene.asked()

    result = run(scene.settings())

    assert len(materialized(result)) == STEPS
    assert reads_of(asked) == dict.fromkeys(CLIENTS, 1)
    assert len(handed_to(scene.audit_log)) == STEPS


@pytest.mark.parametrize("layout", ["combined", "separate"])
def test_aws_is_asked_once_for_each_secret_by_a_run_of_twelve_steps(
    layout: str, aws: Aws, prefix: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all keys lie in one secret, that one is read once; the server's own recorder counts."""
    wanted = stored_in(aws, sandbox, prefix, layout)
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    urls = {f"{issuer}_url": sandbox.urls[issuer] for issuer in ISSUERS}
    store = {"secrets": "aws", "aws_endpoint_url": aws.address, "aws_region": REGION, "aws_layout": layout}
    files = {"lake": tmp_path / "lake", "audit_log": tmp_path / "audit.jsonl"}

    with recorded(aws, tmp_path / "asked.jsonl") as counted:
        result = run({**store, **files, **urls, "keys": tuple(CLIENTS), "secret_prefix": prefix})

    assert len(materialized(result)) == STEPS
    assert counted() == {("GetSecretValue", name): 1 for name in wanted}
    assert len(handed_to(tmp_path / "audit.jsonl")) == STEPS


def stored_in(aws: Aws, sandbox: Sandbox, prefix: str, layout: str) -> list[str]:
    """Store a key for each exchange, and return the names of the secrets."""
    keys = {
        issuer: parts_of(sandbox.keys.issue(issuer, KeyKind.READ_ONLY, now_ms=sandbox.now_ms())) for issuer in CLIENTS
    }
    if layout == "separate":
        for issuer, parts in keys.items():
            aws.put(f"{prefix}/{issuer}", json.dumps(parts))
        return [f"{prefix}/{issuer}" for issuer in keys]
    fields = {f"{issuer}_{part}": value for issuer, parts in keys.items() for part, value in parts.items()}
    aws.put(f"{prefix}/exchange-keys", json.dumps(fields))
    return [f"{prefix}/exchange-keys"]


@pytest.fixture
def together(aws: Aws, prefix: str, monkeypatch: pytest.MonkeyPatch) -> CachedSource:
    """A cache before an AWS secret that holds the keys of OKX and Bybit."""
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    aws.put(f"{prefix}/exchange-keys", json.dumps({**OKX, **BYBIT}))
    return CachedSource(open_aws(REGION, aws.address, prefix=prefix), policy=LONG)


def test_one_reading_of_a_secret_serves_all_whose_keys_lie_in_it(
    together: CachedSource, aws: Aws, prefix: str, tmp_path: Path
) -> None:
    """After a rotation, too."""
    with recorded(aws, tmp_path / "asked.jsonl") as counted:
        before = [together.read(issuer).description.version for issuer in ("okx", "bybit", "okx")]
        version = aws.put(f"{prefix}/exchange-keys", json.dumps({**OKX, **BYBIT, "okx_api_key": "planted-new-77aa01"}))
        together.refresh("okx", rejected=before[0])
        after = [together.read(issuer).description.version for issuer in ("bybit", "okx")]
        told = together.describe("bybit").version

    reads = {what: number for what, number in counted().items() if what[0] == "GetSecretValue"}
    assert len(set(before)) == 1
    assert [*after, told] == [version] * 3
    assert reads == {("GetSecretValue", f"{prefix}/exchange-keys"): 2}


def test_a_key_that_was_taken_out_of_a_shared_secret_is_gone_when_another_is_read_anew(
    together: CachedSource, aws: Aws, prefix: str
) -> None:
    """What an answer does not hold must not be handed out for another hour."""
    version = together.read("okx").description.version
    together.read("bybit")
    aws.put(f"{prefix}/exchange-keys", json.dumps(OKX))

    together.refresh("okx", rejected=version)

    with pytest.raises(SecretNotFoundError):
        together.read("bybit")


def test_a_shared_secret_that_was_deleted_is_gone_for_all(together: CachedSource, aws: Aws, prefix: str) -> None:
    """Whoever notices first."""
    version = together.read("okx").description.version
    aws.client("secretsmanager").delete_secret(SecretId=f"{prefix}/exchange-keys", ForceDeleteWithoutRecovery=True)

    with pytest.raises(SecretNotFoundError):
        together.refresh("okx", rejected=version)

    for issuer in ("okx", "bybit"):
        with pytest.raises(SecretNotFoundError):
            together.read(issuer)


def test_a_shared_secret_that_cannot_be_asked_for_is_kept_for_all(
    aws: Aws, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage says nothing about the keys."""
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    aws.put(f"{prefix}/exchange-keys", json.dumps({**OKX, **BYBIT}))
    client = build_client(REGION, aws.address)
    cached = CachedSource(AwsSource(client, prefix=prefix), policy=LONG)
    version = cached.read("okx").description.version
    Answers(client, {"GetSecretValue": (400, {"__type": "ThrottlingException"})})

    with pytest.raises(SecretStoreUnavailableError):
        cached.refresh("okx", rejected=version)

    assert [cached.read(issuer).description.version for issuer in ("okx", "bybit")] == [version] * 2
