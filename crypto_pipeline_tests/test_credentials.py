"""Records of credentials hold secrets, show none, and prove nothing that was not said."""

from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError, asdict, replace
from datetime import UTC, datetime

import pytest

from crypto_pipeline.credentials import ISSUERS, CredentialDescription, Credentials, IssuerFields, KeyReport
from crypto_pipeline.exchanges import CLIENTS, ISSUER_PROBES
from crypto_pipeline.redaction import MASK, Secret

DESCRIPTION = CredentialDescription("okx", "crypto-pipeline/okx", "vault", "3", datetime(2026, 11, 1, tzinfo=UTC))
VALUES = {"api_key": "planted-api-key-value", "api_secret": "planted-api-secret-value"}


@pytest.fixture
def credentials() -> Credentials:
    """A credential of two parts."""
    return Credentials(DESCRIPTION, {part: Secret(value) for part, value in VALUES.items()})


def test_every_issuer_that_can_be_asked_has_its_parts() -> None:
    """A new exchange is of no use without either."""
    assert set(ISSUERS) == set(ISSUER_PROBES)
    assert set(CLIENTS) < set(ISSUERS)


@pytest.mark.parametrize("issuer", ISSUERS)
def test_an_issuers_parts_are_named_once_and_the_required_come_first(issuer: str) -> None:
    fields = ISSUERS[issuer]

    assert fields.required
    assert fields.names == fields.required + fields.optional
    assert len(set(fields.names)) == len(fields.names)


def test_okx_wants_a_passphrase() -> None:
    """The handbook says so."""
    assert "passphrase" in ISSUERS["okx"].required
    assert IssuerFields(("a",), ("b",)).names == ("a", "b")


def test_parts_are_taken_by_name(credentials: Credentials) -> None:
    passphrase = credentials.get("passphrase")

    assert credentials.issuer == "okx"
    assert credentials["api_key"].reveal() == VALUES["api_key"]
    assert credentials.get("api_secret") == Secret(VALUES["api_secret"])
    assert passphrase is None
    with pytest.raises(KeyError):
        credentials["passphrase"]


def test_a_credential_shows_its_description_and_no_value(credentials: Credentials) -> None:
    for shown in (repr(credentials), str(asdict(credentials)), f"{credentials.parts}"):
        assert MASK in shown
        assert "planted" not in shown
    assert "crypto-pipeline/okx" in repr(credentials)


def test_a_credential_cannot_be_stored_or_changed(credentials: Credentials) -> None:
    """Dagster would pickle what an asset returns."""
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(credentials)
    with pytest.raises(TypeError):
        json.dumps(asdict(credentials), default=vars)
    with pytest.raises(FrozenInstanceError):
        credentials.parts = {}  # type: ignore[misc]


def test_a_description_can_be_stored_and_told(credentials: Credentials) -> None:
    assert pickle.loads(pickle.dumps(credentials.description)) == DESCRIPTION  # noqa: S301 - our own bytes
    assert "planted" not in str(asdict(DESCRIPTION))


READ_ONLY = KeyReport("okx", may=("read_only",))


@pytest.mark.parametrize(
    ("report", "is_read_only"),
    [
        (READ_ONLY, True),
        (replace(READ_ONLY, ip_bound=False), True),
        (replace(READ_ONLY, excess=("trade",)), False),
        (replace(READ_ONLY, unproven="the field perm is missing"), False),
        (replace(READ_ONLY, excess=("trade",), unproven="and more"), False),
        (replace(READ_ONLY, may=()), False),
    ],
    ids=["may read", "bound or not is another question", "excess", "unproven", "both", "may nothing"],
)
def test_a_key_is_read_only_if_that_is_proved(report: KeyReport, is_read_only: bool) -> None:
    """An answer that names no permission at all proves nothing."""
    assert report.is_read_only is is_read_only
