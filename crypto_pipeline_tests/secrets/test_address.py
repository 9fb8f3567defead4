"""Where a secret may come from."""

from __future__ import annotations

import pytest

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.secrets.address import check_address


@pytest.mark.parametrize(
    "address",
    [
        "https://vault.example.org",
        "https://vault.example.org:8200/behind/a/proxy",
        "http://127.0.0.1:8200",
        "http://127.8.8.8",
        "http://[::1]:8200",
        "http://localhost:8200/",
    ],
)
def test_tls_and_this_machine_are_accepted(address: str) -> None:
    """Over TLS everywhere, in the clear only here."""
    check_address(address, what="The address")


@pytest.mark.parametrize(
    "address",
    [
        "http://vault.example.org:8200",
        "http://10.0.0.1:8200",
        "http://localhost.example.org",
        "http://127.0.0.1.example.org",
        "http://127.0.0.1@vault.example.org",
        "http://127.0.0.1\\@vault.example.org",
        "http://127.0.0.1#@vault.example.org",
        "https://user:hunter2hunter2@vault.example.org",
        "https://vault.example.org?token=hunter2hunter2",
        "https://vault.example.org#hunter2hunter2",
        "https://vault example.org",
        "https://vault.example.org\n",
        "https://vault.example.org:port",
        "https://[::1",
        "https://",
        "vault.example.org:8200",
        "127.0.0.1:8200",
        "ftp://127.0.0.1",
        "unix:///run/vault.sock",
        "",
    ],
)
def test_every_other_address_is_refused_and_not_shown(address: str) -> None:
    """It may hold a password, or lead one parser here and the other elsewhere."""
    with pytest.raises(ConfigurationError, match="The address of Vault must be an https address") as caught:
        check_address(address, what="The address of Vault")

    assert "hunter2" not in str(caught.value)
    assert "example.org" not in str(caught.value)
