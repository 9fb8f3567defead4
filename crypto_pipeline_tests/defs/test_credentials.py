"""What a person sees of a key: what it may do, or why it was refused, and never the key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.defs.build import build_defs
from crypto_pipeline.exchanges import CLIENTS, ISSUER_PROBES
from crypto_pipeline.redaction import Secret
from crypto_pipeline.sandbox.keys import KeyKind
from crypto_pipeline_tests.support.deployment import (
    Deployment,
    checks_of,
    failure_of,
    materialized,
    metadata_of,
    run_job,
    steps_that,
)
from crypto_pipeline_tests.support.search import hits

DAY = timedelta(days=1)

# issuer, kind, the error's class, words the description must hold
REFUSED = (
    ("binance", KeyKind.MAY_TRADE, "ExcessPermissionsError", ("Binance", "may trade", "store it")),
    ("binance", KeyKind.FLAG_MISSING, "UnprovenKeyError", ("Binance", "enableReading", "Make a new key")),
    ("coinbase", KeyKind.MAY_TRANSFER, "ExcessPermissionsError", ("Coinbase", "transfer", "delete this one")),
    ("okx", KeyKind.MAY_WITHDRAW, "ExcessPermissionsError", ("OKX", "withdraw", "Make a key with reading only")),
    ("bybit", KeyKind.EXPIRED, "RejectedKeyError", ("Bybit", "expired", "rotate it")),
    ("huggingface", KeyKind.UNKNOWN_FLAG, "ExcessPermissionsError", ("Hugging Face", "write", "delete this one")),
)


def check_key(deployment: Deployment, issuer: str, **changes: Any) -> dg.ExecuteInProcessResult:
    """Run the check of one issuer's key."""
    return run_job(deployment.build(**changes), "key_check", assets=(f"{issuer}/api_key",))


@pytest.mark.parametrize("issuer", ISSUER_PROBES)
def test_a_good_key_is_shown_by_what_it_may_do_and_where_it_is_kept(issuer: str, deployment: Deployment) -> None:
    """Its name, its version and its issuer's own words."""
    key = deployment.give_key(issuer)

    result = check_key(deployment, issuer)

    shown = metadata_of(result, f"{issuer}/api_key")
    verdict = checks_of(result)["key_is_read_only"]
    assert result.success
    assert shown["verdict"] == "read-only"
    assert shown["credential"].startswith(f"{issuer.upper()}_")
    assert (shown["credential_version"], shown["store"]) == ("environment", "environment")
    assert verdict.passed
    assert verdict.description == f"{ISSUER_PROBES[issuer].title} says the key may {shown['may']} and nothing else."
    secrets = {"api_secret": key.api_secret, "passphrase": key.passphrase or key.api_secret, "api_key": key.api_key}
    assert hits(secrets, iter([("what is shown", f"{shown} {result.all_events}".encode())])) == []


@pytest.mark.parametrize("issuer", ["binance", "bybit", "huggingface"])
def test_an_issuer_that_says_when_a_key_was_made_is_believed(issuer: str, deployment: Deployment) -> None:
    """Its age is the issuer's, not the store's."""
    deployment.give_key(issuer, KeyKind.OLD)

    shown = metadata_of(check_key(deployment, issuer), f"{issuer}/api_key")

    made_at = datetime.fromtimestamp(shown["made_at"], UTC)
    assert abs(datetime.now(UTC) - made_at - 100 * DAY) < timedelta(hours=1)
    assert shown["age"] == "100 days"


def test_an_issuer_that_does_not_say_when_a_key_was_made_is_not_guessed_for(deployment: Deployment) -> None:
    deployment.give_key("coinbase", KeyKind.OLD)

    shown = metadata_of(check_key(deployment, "coinbase"), "coinbase/api_key")

    assert "made_at" not in shown
    assert shown["age"] == "nobody tells"


BINDINGS = (
    ("binance", KeyKind.READ_ONLY, "bound to addresses"),
    ("binance", KeyKind.UNBOUND_IP, "not bound: it works from everywhere"),
    ("bybit", KeyKind.READ_ONLY, "127.0.0.1"),
    ("bybit", KeyKind.UNBOUND_IP, "not bound: it works from everywhere"),
    ("okx", KeyKind.READ_ONLY, "127.0.0.1"),
    ("coinbase", KeyKind.READ_ONLY, "Coinbase does not say"),
)


@pytest.mark.parametrize(("issuer", "kind", "said"), BINDINGS)
def test_a_key_is_shown_with_the_addresses_it_is_bound_to(
    issuer: str, kind: KeyKind, said: str, deployment: Deployment
) -> None:
    """As far as the issuer tells; nothing is guessed."""
    deployment.give_key(issuer, kind)

    assert metadata_of(check_key(deployment, issuer), f"{issuer}/api_key")["ip_binding"] == said


def test_what_else_the_issuer_tells_is_shown(deployment: Deployment) -> None:
    """An unbound Bybit key ends after some months, and has a label."""
    key = deployment.give_key("bybit", KeyKind.UNBOUND_IP)

    shown = metadata_of(check_key(deployment, "bybit"), "bybit/api_key")

    assert shown["expires_at"] > datetime.now(UTC).timestamp()
    assert shown["label"] == key.label


class Versioned:
    """A store that knows since when a version is there."""

    store = "versioned"

    def __init__(self, key: dict[str, str], created_at: datetime) -> None:
        self._key = key
        self._description = CredentialDescription("okx", "team/okx", self.store, "7", created_at)

    def name_of(self, issuer: str) -> str:
        """Return its one name."""
        assert issuer == "okx"
        return self._description.name

    def describe(self, issuer: str) -> CredentialDescription:
        """Return its one description."""
        assert issuer == "okx"
        return self._description

    def read(self, issuer: str) -> Credentials:
        """Return its one credential."""
        return Credentials(self.describe(issuer), {name: Secret(value) for name, value in self._key.items()})


def test_a_store_that_knows_since_when_a_version_is_there_is_quoted(deployment: Deployment) -> None:
    key = deployment.give_key("okx")
    assert key.passphrase is not None
    parts = {"api_key": key.api_key, "api_secret": key.api_secret, "passphrase": key.passphrase}
    stored_at = datetime.now(UTC) - 40 * DAY
    defs = build_defs(deployment.settings(), secrets=Versioned(parts, stored_at))

    result = run_job(defs, "key_check", assets=("okx/api_key",))

    shown = metadata_of(result, "okx/api_key")
    assert (shown["credential"], shown["credential_version"], shown["store"]) == ("team/okx", "7", "versioned")
    assert shown["stored_at"] == stored_at.timestamp()
    assert shown["age"] == "40 days"


@pytest.mark.parametrize("issuer", ISSUER_PROBES)
def test_without_a_key_it_is_said_that_only_public_data_is_read(issuer: str, deployment: Deployment) -> None:
    """The check passes: what is not there can do nothing."""
    result = check_key(deployment, issuer)

    shown = metadata_of(result, f"{issuer}/api_key")
    verdict = checks_of(result)["key_is_read_only"]
    assert result.success
    assert shown["verdict"] == "no key configured"
    assert shown["what_it_means"] == verdict.description
    assert verdict.passed
    assert f"No key is configured for {ISSUER_PROBES[issuer].title}" in str(verdict.description)
    assert deployment.requests() == []
    assert deployment.events() == []


@pytest.mark.parametrize(("issuer", "kind", "error", "words"), REFUSED)
def test_a_refused_key_fails_its_check_and_its_run_and_says_what_to_do(
    issuer: str, kind: KeyKind, error: str, words: tuple[str, ...], deployment: Deployment
) -> None:
    """The sentence stands in the check and in the failure, with exchange, permissions and remedy."""
    deployment.give_key(issuer, kind)

    result = check_key(deployment, issuer)

    verdict, failure = checks_of(result)["key_is_read_only"], failure_of(result)
    assert not result.success
    assert materialized(result) == set()
    assert (verdict.passed, verdict.blocking, verdict.severity) == (False, True, dg.AssetCheckSeverity.ERROR)
    assert verdict.description == failure.description
    assert [word for word in (*words, f"{issuer.upper()}_") if word not in str(failure.description)] == []
    assert failure.metadata["error"].value == error
    assert failure.metadata["exit_code"].value == 4
    assert failure.metadata["retryable"].value is False


@pytest.mark.parametrize("exchange", CLIENTS)
def test_a_refused_key_stops_everything_that_comes_after_it(exchange: str, deployment: Deployment) -> None:
    """Instruments and candles are not started, and the exchange is asked nothing but what the key may do."""
    deployment.give_key(exchange, KeyKind.MAY_TRADE)

    result = run_job(deployment.build(op_retries=3), f"{exchange}_market_data", "2024-01")

    paths = [request["path"] for request in deployment.requests()]
    probe = CLIENTS[exchange]
    assert probe.time_endpoint is not None
    assert steps_that(result, "STEP_START") == steps_that(result, "STEP_FAILURE") == {f"{exchange}__api_key"}
    assert steps_that(result, "STEP_UP_FOR_RETRY") == set()
    assert {path for path in paths if path != probe.time_endpoint.path} == {probe.permission_endpoint.path}
    assert not deployment.lake.exists()


def test_a_refused_key_does_not_stop_the_check_of_the_others(deployment: Deployment) -> None:
    """One run asks all issuers."""
    for issuer in ISSUER_PROBES:
        deployment.give_key(issuer, KeyKind.MAY_WITHDRAW if issuer == "okx" else KeyKind.READ_ONLY)

    result = run_job(deployment.build(), "key_check")

    passed = {check.asset_key.path[0]: check.passed for check in result.get_asset_check_evaluations()}
    assert passed == {issuer: issuer != "okx" for issuer in ISSUER_PROBES}
    assert materialized(result) == {f"{issuer}/api_key" for issuer in ISSUER_PROBES if issuer != "okx"}
    assert not result.success


def test_an_exchange_that_cannot_be_asked_proves_nothing(deployment: Deployment) -> None:
    """The check is not made, so it neither passes nor fails; the run fails."""
    deployment.give_key("okx")
    deployment.sandbox.add_fault("okx", "region_block")

    result = check_key(deployment, "okx")

    assert checks_of(result) == {}
    assert failure_of(result).metadata["error"].value == "RegionBlockedError"
    assert materialized(result) == set()
