"""What a line of the audit log says: the handbook's keys, no query, and nothing overwritten by its context."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from crypto_pipeline.audit import (
    AuditEvent,
    api_call,
    configuration_change,
    failed_auth,
    key_verdict,
    rate_limit_hit,
    secret_access,
    secret_write_intended,
)
from crypto_pipeline.audit.event import SCHEMA_VERSION, stamped

NOW = datetime(2026, 11, 24, 20, 25, 30, 123456, tzinfo=UTC)
VERDICT: dict[str, Any] = {"may": "enableReading", "reason": None, "credential_version": "7"}

EVENTS = [
    secret_access("crypto-pipeline/okx", "crypto_pipeline/okx/api_key", version="3", store="vault"),
    api_call("binance", "/api/v3/klines", True, status=200),
    failed_auth("binance", "RejectedKeyError", "/sapi/v1/account/apiRestrictions"),
    rate_limit_hit("bybit", "/v5/market/kline", 429, 12.0),
    key_verdict("okx", accepted=True, **VERDICT),
    key_verdict("okx", accepted=False, **VERDICT),
    configuration_change("secrets", "dotenv", "vault", "dagster"),
    secret_write_intended(
        "crypto-pipeline/okx", "crypto_pipeline/secrets_put", store="vault", replaces="3", version="4"
    ),
]
every_event = pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.event)


@pytest.mark.parametrize(
    ("event", "kind", "fields"),
    [
        (
            secret_access("name", "accessor"),
            "secret_access",
            {"secret_name": "name", "accessor": "accessor", "action": "read", "success": True, "error": None},
        ),
        (
            secret_access("name", "accessor", "rotate", success=False, version="3", store="aws", error="Denied"),
            "secret_access",
            {
                "secret_name": "name", "accessor": "accessor", "action": "rotate", "success": False,
                "credential_version": "3", "store": "aws", "error": "Denied",
            },
        ),
        (
            api_call("okx", "/api/v5/market/candles", True),
            "api_call",
            {"exchange": "okx", "endpoint": "/api/v5/market/candles", "success": True, "error": None, "signed": False},
        ),
        (
            api_call("okx", "/api", False, "Timeout", status=504, signed=True, credential_version="3"),
            "api_call",
            {
                "exchange": "okx", "endpoint": "/api", "success": False, "error": "Timeout", "status": 504,
                "signed": True, "credential_version": "3",
            },
        ),
        (
            failed_auth("okx", "RejectedKeyError", "/api", credential_version="3"),
            "failed_auth",
            {"exchange": "okx", "error_type": "RejectedKeyError", "endpoint": "/api", "credential_version": "3"},
        ),
        (
            rate_limit_hit("okx", "/api", 429, 2.5),
            "rate_limit_hit",
            {"exchange": "okx", "endpoint": "/api", "status": 429, "retry_after_seconds": 2.5},
        ),
        (key_verdict("okx", accepted=True, **VERDICT), "key_accepted", {"exchange": "okx", "may": "enableReading"}),
        (key_verdict("okx", accepted=False, **VERDICT), "key_refused", {"exchange": "okx", "credential_version": "7"}),
        (
            secret_write_intended("name", "accessor", store="vault", replaces=None, version="1"),
            "secret_write_intended",
            {
                "secret_name": "name", "accessor": "accessor", "action": "write", "store": "vault",
                "credential_version": "1",
            },
        ),
        (
            configuration_change("secrets", None, "vault", "dagster"),
            "configuration_change",
            {"what": "secrets", "new": "vault", "who": "dagster"},
        ),
    ],
    ids=lambda value: value.event if isinstance(value, AuditEvent) else "",
)  # fmt: skip
def test_an_event_has_the_keys_of_the_handbook(event: AuditEvent, kind: str, fields: dict[str, object]) -> None:
    """Those that collectors were told to look for, and those that are ours."""
    stamp = stamped(event, at=NOW, context={})

    assert stamp["event"] == kind
    assert stamp["timestamp"] == "2026-11-24T20:25:30.123456+00:00"
    assert fields.items() <= stamp.items()


@every_event
def test_what_is_not_known_is_left_out_but_for_the_error(event: AuditEvent) -> None:
    """The handbook prints `"error": null`; every other null would be noise."""
    stamp = stamped(event, at=NOW, context={"run_id": None})

    assert {name for name, value in stamp.items() if value is None} <= {"error"}
    assert ("error" in stamp) is ("error" in event.fields)


@every_event
def test_the_kind_and_the_time_stand_first(event: AuditEvent) -> None:
    """A person who reads the file sees them at the left edge."""
    assert list(stamped(event, at=NOW, context={"a": 1}))[:3] == ["event", "timestamp", "schema"]


@every_event
def test_the_context_adds_and_never_overwrites(event: AuditEvent) -> None:
    own = stamped(event, at=NOW, context={})

    around = dict.fromkeys([*own, "run_id"], "forged")

    assert stamped(event, at=NOW, context=around) == own | {"run_id": "forged"}


def test_what_an_event_does_not_know_the_context_may_tell() -> None:
    """A client binds the version of its credential once, not with every call."""
    stamp = stamped(api_call("okx", "/api", True), at=NOW, context={"credential_version": "3"})

    assert stamp["credential_version"] == "3"
    assert stamp["schema"] == SCHEMA_VERSION


def test_a_time_of_another_zone_keeps_its_offset() -> None:
    stamp = stamped(EVENTS[0], at=NOW.astimezone(timezone(timedelta(hours=9))), context={})

    assert stamp["timestamp"] == "2026-11-25T05:25:30.123456+09:00"


def test_a_time_without_a_fraction_has_the_same_width() -> None:
    """Lines sort by time as text."""
    assert stamped(EVENTS[0], at=NOW.replace(microsecond=0), context={})["timestamp"] == (
        "2026-11-24T20:25:30.000000+00:00"
    )


@pytest.mark.parametrize(
    ("kind", "is_warning"),
    [
        ("failed_auth", True),
        ("rate_limit_hit", True),
        ("key_refused", True),
        ("key_accepted", False),
        ("secret_access", False),
        ("api_call", False),
        ("configuration_change", False),
        ("secret_write_intended", False),
    ],
)
def test_the_handbook_says_which_events_are_warnings(kind: str, is_warning: bool) -> None:
    (event,) = [event for event in EVENTS if event.event == kind]

    assert event.is_warning is is_warning


@pytest.mark.parametrize(
    ("kind", "durable"),
    [
        ("secret_access", True),
        ("secret_write_intended", True),
        ("key_refused", True),
        ("configuration_change", True),
        ("api_call", False),
    ],
)
def test_what_must_be_on_disk_before_it_is_done_says_so(kind: str, durable: bool) -> None:
    """A disk flush for each of thousands of public calls would buy nothing."""
    (event,) = [event for event in EVENTS if event.event == kind]

    assert event.durable is durable


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("/api/v3/account?timestamp=1&signature=9f3c", "/api/v3/account"),
        ("/sapi/v1/x/?signature=9f3c", "/sapi/v1/x/"),
        ("https://api.example.com/a?token=t#end", "https://api.example.com/a"),
        ("/api/v3/klines", "/api/v3/klines"),
    ],
)
def test_an_endpoint_is_recorded_without_its_query(written: str, kept: str) -> None:
    """A query holds the signature, and may hold the key."""
    for event in (
        api_call("binance", written, True),
        failed_auth("binance", "RejectedKeyError", written),
        rate_limit_hit("binance", written, 429, None),
    ):
        assert event.fields["endpoint"] == kept


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Client error '401' for url 'https://a.example/x?a=1&signature=9f3c'. Why?",
         "Client error '401' for url 'https://a.example/x'. Why?"),
        ("two: /a?b=c and /d?e=f", "two: /a and /d"),
        ("Really? Yes.", "Really? Yes."),
        (None, None),
    ],
)  # fmt: skip
def test_an_error_is_recorded_without_the_queries_in_it(written: str | None, kept: str | None) -> None:
    assert api_call("binance", "/x", False, written).fields["error"] == kept
