"""What a store tells of the credentials in use, and that what it does not tell is a finding too."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import AuditError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.rotation import Freshness, take_inventory
from crypto_pipeline.secrets import AuditedSource, DotenvSource, EnvironmentSource, TokenAuth, VaultSource
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.vault import Vault, running_vault

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty_environment(monkeypatch, tmp_path)


@pytest.fixture
def prefix() -> str:
    """A path in the store that no other test uses."""
    return f"rotation-{secrets.token_hex(4)}"


@pytest.fixture
def put(vault: Vault, prefix: str) -> Callable[[str], datetime]:
    """Stores a new version of an issuer's credential, and tells when."""

    def put_new(issuer: str) -> datetime:
        vault.put(f"{prefix}/{issuer}", {part: secrets.token_hex(16) for part in ISSUERS[issuer].required})
        return datetime.now(UTC)

    return put_new


@pytest.fixture
def source(vault: Vault, prefix: str) -> VaultSource:
    """A source whose login may describe, and may not read."""
    token = vault.token(f'path "secret/metadata/{prefix}/*" {{ capabilities = ["read"] }}')
    return VaultSource(vault.address, auth=TokenAuth(Secret(token)), prefix=prefix)


@pytest.mark.parametrize(
    ("issuer", "days", "freshness", "says"),
    [
        ("okx", 0, Freshness.FRESH, ""),
        ("okx", 80, Freshness.DUE, "will expire in 10 days"),
        ("okx", 95, Freshness.OVERDUE, "is 95 days old (max: 90)"),
        ("huggingface", 95, Freshness.FRESH, ""),
        ("huggingface", 175, Freshness.DUE, "will expire in 5 days"),
        ("huggingface", 181, Freshness.OVERDUE, "is 181 days old (max: 180)"),
    ],
)
def test_a_credential_is_judged_by_when_its_current_version_was_stored(
    issuer: str, days: int, freshness: Freshness, says: str,
    source: VaultSource, put: Callable[[str], datetime], prefix: str,
) -> None:  # fmt: skip
    """The store is real, so the present moves instead of the past; the login may not read a value."""
    put(issuer)
    stored = put(issuer)

    (found,) = take_inventory(source, [issuer], now=stored + days * DAY)

    assert found.freshness is freshness
    assert found.warning == (f"Secret '{prefix}/{issuer}' {says}" if says else "")
    assert (found.issuer, found.name, found.version) == (issuer, f"{prefix}/{issuer}", "2")
    assert found.created_at is not None
    assert abs(found.created_at - stored) < timedelta(minutes=1)


def test_each_issuer_has_its_finding_whatever_became_of_the_others(
    source: VaultSource, put: Callable[[str], datetime], prefix: str
) -> None:
    stored = put("okx")

    missing, fresh = take_inventory(source, ["bybit", "okx"], now=stored)

    assert (missing.issuer, missing.freshness) == ("bybit", Freshness.UNKNOWN)
    assert missing.warning.startswith(f"The age of secret '{prefix}/bybit' is not known. ")
    assert (missing.name, missing.version, missing.created_at) == (f"{prefix}/bybit", "", None)
    assert (fresh.issuer, fresh.freshness, fresh.warning) == ("okx", Freshness.FRESH, "")


def test_no_issuer_gives_no_finding(source: VaultSource) -> None:
    assert take_inventory(source, [], now=datetime.now(UTC)) == []


def test_a_store_that_denies_is_a_finding(vault: Vault, put: Callable[[str], datetime], prefix: str) -> None:
    stored = put("okx")
    token = vault.token('path "secret/metadata/elsewhere" { capabilities = ["read"] }')
    powerless = VaultSource(vault.address, auth=TokenAuth(Secret(token)), prefix=prefix)

    (found,) = take_inventory(powerless, ["okx"], now=stored)

    assert found.freshness is Freshness.UNKNOWN
    assert "denied" in found.warning


def test_a_store_that_is_down_or_sealed_is_a_finding() -> None:
    auth = TokenAuth(Secret(secrets.token_hex(16)))
    down = VaultSource(f"http://127.0.0.1:{free_port()}", auth=auth)
    with running_vault() as vault:
        vault.root.sys.seal()
        sealed = VaultSource(vault.address, auth=auth)

        found = [take_inventory(source, ["okx"], now=datetime.now(UTC))[0] for source in (down, sealed)]

    assert [finding.freshness for finding in found] == [Freshness.UNKNOWN, Freshness.UNKNOWN]
    assert "cannot be reached" in found[0].warning
    assert "sealed" in found[1].warning


def test_a_store_that_knows_no_ages_is_a_finding(tmp_path: Path) -> None:
    """A key in a variable may be as old as the exchange."""
    variables = {"OKX_API_KEY": "planted-key-1", "OKX_API_SECRET": "planted-key-2", "OKX_PASSPHRASE": "planted-key-3"}
    file = tmp_path / ".env.local"
    file.touch(mode=0o600)
    file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))

    for source in (EnvironmentSource(variables), DotenvSource(file, environment="development")):
        (found,) = take_inventory(source, ["okx"], now=datetime.now(UTC))
        assert found.freshness is Freshness.UNKNOWN
        assert found.warning == (
            f"Secret '{source.name_of('okx')}' has no known age. Keep it in a store that knows when it was stored."
        )


def test_a_file_that_others_may_read_is_a_finding(tmp_path: Path) -> None:
    file = tmp_path / ".env.local"
    file.touch()
    file.chmod(0o644)

    (found,) = take_inventory(DotenvSource(file, environment="development"), ["okx"], now=datetime.now(UTC))

    assert found.freshness is Freshness.UNKNOWN
    assert "chmod 600" in found.warning


def test_an_inventory_that_cannot_be_recorded_is_not_taken(
    source: VaultSource, put: Callable[[str], datetime], tmp_path: Path
) -> None:
    """No record, no answer."""
    stored = put("okx")
    (tmp_path / "audit").write_text("a file where the folder should be")
    asked = AuditedSource(source, JsonLinesAuditLog(tmp_path / "audit" / "log.jsonl"), accessor="test")

    with pytest.raises(AuditError, match="nothing was done"):
        take_inventory(asked, ["okx"], now=stored)
