"""The keys of the simulated exchanges."""

from __future__ import annotations

import base64
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from crypto_pipeline.sandbox.keys import DAY_MS, KeyKind, KeyRing, SimulatedKey
from crypto_pipeline_tests.sandbox.asking import NOW_MS

EXCHANGES = ("binance", "coinbase", "coinbase_exchange", "okx", "bybit", "huggingface")


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing()


def issued(keys: KeyRing, exchange: str, kind: KeyKind = KeyKind.READ_ONLY) -> SimulatedKey:
    return keys.issue(exchange, kind, now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("exchange", "name"),
    [
        ("binance", r"[A-Za-z0-9]{64}"),
        ("coinbase", r"organizations/[0-9a-f-]{36}/apiKeys/[0-9a-f-]{36}"),
        ("coinbase_exchange", r"[0-9a-f]{32}"),
        ("okx", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        ("bybit", r"[A-Za-z0-9]{18}"),
    ],
)
def test_a_name_is_in_its_exchanges_form(keys: KeyRing, exchange: str, name: str) -> None:
    assert re.fullmatch(name, issued(keys, exchange).api_key)


@pytest.mark.parametrize(
    ("exchange", "secret"),
    [
        ("binance", r"[A-Za-z0-9]{64}"),
        ("okx", r"[0-9A-F]{32}"),
        ("bybit", r"[A-Za-z0-9]{36}"),
        ("huggingface", r"hf_[A-Za-z0-9]{34}"),
    ],
)
def test_a_secret_is_in_its_exchanges_form(keys: KeyRing, exchange: str, secret: str) -> None:
    assert re.fullmatch(secret, issued(keys, exchange).api_secret)


def test_a_coinbase_exchange_secret_is_the_base64_of_64_bytes(keys: KeyRing) -> None:
    assert len(base64.b64decode(issued(keys, "coinbase_exchange").api_secret, validate=True)) == 64


@pytest.mark.parametrize(
    ("exchange", "algorithm", "family"),
    [
        ("coinbase", None, ec.EllipticCurvePrivateKey),
        ("coinbase", "eddsa", ed25519.Ed25519PrivateKey),
        ("binance", "ed25519", ed25519.Ed25519PrivateKey),
    ],
)
def test_a_private_key_is_a_pem_of_its_family(
    keys: KeyRing, exchange: str, algorithm: str | None, family: type
) -> None:
    key = keys.issue(exchange, KeyKind.READ_ONLY, now_ms=NOW_MS, algorithm=algorithm)

    assert isinstance(load_pem_private_key(key.api_secret.encode(), password=None), family)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_only_okx_and_coinbase_exchange_have_passphrases(keys: KeyRing, exchange: str) -> None:
    assert (issued(keys, exchange).passphrase is not None) == (exchange in {"okx", "coinbase_exchange"})


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_no_two_keys_are_the_same(keys: KeyRing, exchange: str) -> None:
    one, other = issued(keys, exchange), issued(keys, exchange)

    assert one.api_secret != other.api_secret
    assert keys.all(exchange) == [one, other]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_key_is_found_by_what_a_request_shows_of_it(keys: KeyRing, exchange: str) -> None:
    """Its name; a Hugging Face token is shown itself. Each exchange knows its own keys only."""
    key = issued(keys, exchange)
    presented = key.api_secret if exchange == "huggingface" else key.api_key

    assert keys.find(exchange, presented) is key
    assert keys.find(exchange, "unknown") is None
    assert keys.find("bybit" if exchange != "bybit" else "okx", presented) is None


def test_a_revoked_key_is_unknown_but_listed(keys: KeyRing) -> None:
    key = issued(keys, "okx")

    assert keys.revoke("okx", key.api_key)

    assert keys.find("okx", key.api_key) is None
    assert not keys.revoke("okx", key.api_key)
    assert keys.all("okx") == [key]


@pytest.mark.parametrize(
    ("kind", "age_days", "addresses", "is_over", "revoked"),
    [
        (KeyKind.READ_ONLY, 5, ("127.0.0.1",), False, False),
        (KeyKind.OLD, 100, ("127.0.0.1",), False, False),
        (KeyKind.UNBOUND_IP, 5, (), False, False),
        (KeyKind.EXPIRED, 5, ("127.0.0.1",), True, False),
        (KeyKind.REVOKED, 5, ("127.0.0.1",), False, True),
    ],
)
def test_each_kind_is_what_it_says(
    keys: KeyRing, kind: KeyKind, age_days: int, addresses: tuple[str, ...], *, is_over: bool, revoked: bool
) -> None:
    key = issued(keys, "bybit", kind)

    assert key.created_ms == NOW_MS - age_days * DAY_MS
    assert key.addresses == addresses
    assert (key.is_over(NOW_MS), key.revoked) == (is_over, revoked)


def test_a_key_takes_the_values_it_is_given(keys: KeyRing) -> None:
    key = keys.issue(
        "okx",
        KeyKind.READ_ONLY,
        now_ms=NOW_MS,
        api_key="k",
        api_secret="s",
        passphrase="p",
        addresses=("10.0.0.0/8",),
        created_ms=7,
    )

    assert (key.api_key, key.api_secret, key.passphrase) == ("k", "s", "p")
    assert (key.addresses, key.created_ms) == (("10.0.0.0/8",), 7)


@pytest.mark.parametrize(
    ("exchange", "parts", "said"),
    [
        ("kraken", {}, "no exchange 'kraken'"),
        ("bybit", {"algorithm": "es256"}, "sign with hmac, not with 'es256'"),
        ("okx", {"addresses": ("home",)}, "home"),
        ("coinbase", {"api_secret": "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"}, "."),
        ("coinbase", {"api_secret": base64.b64encode(b"short").decode()}, "32 or 64 bytes"),
        ("binance", {"algorithm": "ed25519", "api_secret": "no base64!"}, "."),
    ],
)
def test_a_key_that_could_not_be_used_is_not_issued(
    keys: KeyRing, exchange: str, parts: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        keys.issue(exchange, KeyKind.READ_ONLY, now_ms=NOW_MS, **parts)  # type: ignore[arg-type]

    assert keys.all(exchange) == []


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_key_does_not_print_its_values(keys: KeyRing, exchange: str) -> None:
    key = issued(keys, exchange)

    shown = repr(key)

    for value in (key.api_key, key.api_secret, key.passphrase):
        assert value is None or value not in shown
