"""A tick describes the keys in use, reads none, and tells only what has changed."""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

import json
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from crypto_pipeline.credentials import ISSUERS, CredentialDescription, Credentials
from crypto_pipeline.defs.build import build_defs
from crypto_pipeline.defs.sensors import MINIMUM_INTERVAL_SECONDS, ROTATION_DUE
from crypto_pipeline.errors import SecretStoreUnavailableError
from crypto_pipeline.settings import Settings
from crypto_pipeline_tests.support.deployment import Deployment, shared_instance
from crypto_pipeline_tests.support.sealable import Sealable, running_sealable

NOW = datetime.now(UTC)


class Aged:
    """A store that says how old each key is."""

    store = "aged"

    def __init__(self, **days: int | None) -> None:
        self.days = days
        self.is_down = False

    def name_of(self, issuer: str) -> str:
        """Return a name."""
        return f"team/{issuer}"

    def describe(self, issuer: str) -> CredentialDescription:
        """Describe version 1."""
        if self.is_down:
            msg = "The store is down."
            raise SecretStoreUnavailableError(msg)
        days = self.days[issuer]
        made = None if days is None else NOW - timedelta(days=days)
        return CredentialDescription(issuer, self.name_of(issuer), self.store, "1", made)

    def read(self, issuer: str) -> Credentials:
        """Fail: no sensor reads."""
        msg = f"A sensor read the key of {issuer}."
        raise AssertionError(msg)


Tick = Callable[..., dg.SensorResult | dg.SkipReason]


def ticking(deployment: Deployment, source: object, keys: tuple[str, ...]) -> Tick:
    """Return what evaluates one tick of the sensor, with its cursor."""
    defs = build_defs(deployment.settings(keys=keys), secrets=source)
    sensor = defs.get_repository_def().get_sensor_def(ROTATION_DUE)

    def tick(cursor: str | None = None) -> Any:
        resources = {name: defs.resources[name] for name in ("secrets", "audit")} if defs.resources else {}
        with dg.build_sensor_context(shared_instance(), cursor=cursor, resources=resources) as context:
            return sensor(context)

    return tick


def observed(result: Any) -> dict[str, str]:
    """Return the freshness that was observed of each issuer's key."""
    assert isinstance(result, dg.SensorResult)
    return {event.asset_key.path[0]: str(event.metadata["freshness"].value) for event in result.asset_events}


def test_what_each_key_s_age_means_is_observed_in_the_history_of_its_asset(deployment: Deployment) -> None:
    tick = ticking(
        deployment, Aged(okx=1, bybit=80, binance=95, coinbase=None), ("okx", "bybit", "binance", "coinbase")
    )

    result: Any = tick()

    assert observed(result) == {"okx": "fresh", "bybit": "due", "binance": "overdue", "coinbase": "unknown"}
    (old,) = [event for event in result.asset_events if event.asset_key.path == ["binance", "api_key"]]
    assert (old.metadata["age_days"].value, old.metadata["credential_version"].value) == (95, "1")
    assert old.description == "Secret 'team/binance' is 95 days old (max: 90)"
    assert result.skip_reason.skip_message == (
        "Secret 'team/bybit' will expire in 10 days Secret 'team/binance' is 95 days old (max: 90) "
        "Secret 'team/coinbase' has no known age. Keep it in a store that knows when it was stored."
    )


def test_what_has_not_changed_is_not_observed_again(deployment: Deployment) -> None:
    """The history of a key shows changes, not ticks."""
    store = Aged(okx=1, bybit=80)
    tick = ticking(deployment, store, ("okx", "bybit"))

    first: Any = tick()
    second: Any = tick(first.cursor)
    store.days["bybit"] = 91
    third: Any = tick(second.cursor)

    assert observed(second) == {}
    assert observed(third) == {"bybit": "overdue"}


def test_a_store_that_is_down_is_an_unknown_age_and_not_a_failed_tick(deployment: Deployment) -> None:
    store = Aged(okx=1)
    tick = ticking(deployment, store, ("okx",))
    before: Any = tick()
    store.is_down = True

    during: Any = tick(before.cursor)
    store.is_down = False
    after: Any = tick(during.cursor)

    assert observed(during) == {"okx": "unknown"}
    assert "The store is down." in during.skip_reason.skip_message
    assert observed(after) == {"okx": "fresh"}
    assert after.skip_reason.skip_message == "All 1 keys in use are fresh."


@pytest.mark.parametrize("cursor", ["no json", "[1]", '"text"'])
def test_a_cursor_set_by_hand_counts_as_none(cursor: str, deployment: Deployment) -> None:
    tick = ticking(deployment, Aged(okx=1), ("okx",))

    assert observed(tick(cursor)) == {"okx": "fresh"}


def test_without_a_key_there_is_nothing_to_look_at(deployment: Deployment) -> None:
    result = ticking(deployment, Aged(), ())()

    assert isinstance(result, dg.SkipReason)
    assert deployment.events() == []


def test_a_tick_that_cannot_be_recorded_fails_with_one_sentence(deployment: Deployment) -> None:
    """A folder stands where the record should be."""
    tick = ticking(deployment, Aged(okx=1), ("okx",))
    deployment.audit_file.mkdir()

    with pytest.raises(dg.Failure) as failed:
        tick()

    assert "audit" in str(failed.value.description)


@pytest.mark.parametrize(("running", "status"), [(False, "STOPPED"), (True, "RUNNING")])
def test_it_starts_as_the_settings_say_and_never_ticks_more_often_than_a_description_is_fresh(
    running: bool, status: str
) -> None:
    repository = build_defs(Settings.from_environment(schedules_running=running)).get_repository_def()

    for sensor in repository.sensor_defs:
        assert sensor.default_status.value == status
        assert sensor.minimum_interval_seconds == MINIMUM_INTERVAL_SECONDS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealable]:
    """A server that records what it is asked; one for all tests of this module."""
    with running_sealable(tmp_path_factory.mktemp("server")) as running:
        yield running


class TestManyTicks:
    """What they cost a real server: one question, and no value."""

    @pytest.fixture
    def prefix(self, server: Sealable) -> str:
        """A folder with a key for every issuer."""
        prefix = f"ticks-{secrets.token_hex(4)}"
        for issuer, fields in ISSUERS.items():
            server.vault.put(f"{prefix}/{issuer}", {part: secrets.token_hex(16) for part in fields.required})
        return prefix

    @pytest.mark.parametrize("ticks", [100, pytest.param(1_000, marks=pytest.mark.soak)])
    @pytest.mark.parametrize(
        ("policy", "questions"),
        [
            ('path "secret/detailed-metadata/{0}" {{ capabilities = ["scan"] }}', 1),
            # One `SCAN` and one `LIST` that are refused, and then each key by itself.
            ('path "secret/metadata/{0}/*" {{ capabilities = ["read"] }}', 2 + len(ISSUERS)),
        ],
        ids=["may scan", "may describe single secrets"],
    )
    def test_no_value_and_one_sweep(
        self,
        policy: str,
        questions: int,
        ticks: int,
        server: Sealable,
        prefix: str,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """All sensors, through the code location, each tick with resources of its own; on the record once."""
        monkeypatch.setenv("VAULT_TOKEN", server.vault.token(policy.format(prefix)))
        log = tmp_path / "audit.jsonl"
        settings = Settings.from_environment(
            secrets="vault",
            vault_address=server.vault.address,
            secret_prefix=prefix,
            keys=tuple(ISSUERS),
            audit_log=log,
        )
        defs = build_defs(settings)
        cursors: dict[str, str | None] = {}

        for _ in range(ticks):
            for sensor in defs.get_repository_def().sensor_defs:
                cursor = cursors.get(sensor.name)
                resources = {name: (defs.resources or {})[name] for name in sensor.required_resource_keys}
                with dg.build_sensor_context(shared_instance(), cursor=cursor, resources=resources) as context:
                    result: Any = sensor(context)
                cursors[sensor.name] = result.cursor

        asked = [
            operation
            for door in ("data", "metadata", "detailed-metadata")
            for operation in server.asked_for(f"secret/{door}/{prefix}")
            if operation not in {"create", "update"}
        ]
        events = [json.loads(line) for line in log.read_text().splitlines()]
        assert server.asked_for(f"secret/data/{prefix}") == ["create"] * len(ISSUERS)
        assert len(asked) == questions
        assert [event["action"] for event in events if event["event"] == "secret_access"] == ["describe"] * len(ISSUERS)
