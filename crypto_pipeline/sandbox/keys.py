"""
The keys of the simulated exchanges: one of every kind that a pipeline must accept or refuse.

Values are random in each exchange's own form. How a kind shows in a permission endpoint is each exchange's affair.
"""

from __future__ import annotations

import base64
import ipaddress
import secrets
import string
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

DAY_MS = 86_400_000
ALPHANUMERIC = string.ascii_letters + string.digits


ALGORITHMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "binance": ("hmac", "ed25519"),
        "coinbase": ("es256", "eddsa"),
        "coinbase_exchange": ("hmac",),
        "okx": ("hmac",),
        "bybit": ("hmac",),
        "huggingface": ("hmac",),
    }
)
"""How the keys of each exchange sign, the usual way first; a Hugging Face token signs nothing."""


class KeyKind(StrEnum):
    """What is special about a key."""

    READ_ONLY = "read_only"
    MAY_TRADE = "may_trade"
    MAY_WITHDRAW = "may_withdraw"
    MAY_TRANSFER = "may_transfer"
    UNKNOWN_FLAG = "unknown_flag"
    FLAG_MISSING = "flag_missing"
    EXPIRED = "expired"
    UNBOUND_IP = "unbound_ip"
    OLD = "old"
    REVOKED = "revoked"


@dataclass(slots=True)
class SimulatedKey:
    """
    One key of one exchange.

    Fields:
        api_secret: HMAC secret or PEM private key; for Hugging Face the token itself.
        algorithm: `hmac`, `ed25519`, `es256` or `eddsa`.
        addresses: the addresses it works from; empty if it is not bound.
    """

    exchange: str
    kind: KeyKind
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    passphrase: str | None = field(repr=False)
    algorithm: str
    created_ms: int
    expires_ms: int | None
    addresses: tuple[str, ...]
    revoked: bool
    label: str

    def is_over(self, now_ms: int) -> bool:
        """Say whether the key has ended."""
        return self.expires_ms is not None and self.expires_ms <= now_ms


class KeyRing:
    """All keys of the sandbox; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, str], SimulatedKey] = {}

    def issue(
        self,
        exchange: str,
        kind: KeyKind,
        *,
        now_ms: int,
        algorithm: str | None = None,
        api_key: str | None = None,
        api_secret: str | None = None,
        passphrase: str | None = None,
        addresses: tuple[str, ...] | None = None,
        created_ms: int | None = None,
    ) -> SimulatedKey:
        """
        Make a key with random values, or the given ones, and remember it.

        Raises:
            ValueError: there is no such exchange, it has no such algorithm, or an address or a
                private key is none.
        """
        _check_form(exchange, algorithm, addresses)
        chosen = algorithm or ALGORITHMS[exchange][0]
        if api_secret is not None and chosen != "hmac":
            _check_private_key(api_secret)
        age_days = 100 if kind is KeyKind.OLD else 5
        bound = () if kind is KeyKind.UNBOUND_IP else ("127.0.0.1",)
        key = SimulatedKey(
            exchange=exchange,
            kind=kind,
            api_key=api_key or _new_name(exchange),
            api_secret=api_secret or _new_secret(exchange, chosen),
            passphrase=passphrase or _new_passphrase(exchange),
            algorithm=chosen,
            created_ms=now_ms - age_days * DAY_MS if created_ms is None else created_ms,
            expires_ms=now_ms - DAY_MS if kind is KeyKind.EXPIRED else None,
            addresses=bound if addresses is None else addresses,
            revoked=kind is KeyKind.REVOKED,
            label="crypto-pipeline-readonly",
        )
        with self._lock:
            self._keys[exchange, _presented(key)] = key
        return key

    def find(self, exchange: str, api_key: str) -> SimulatedKey | None:
        """Return the key that is presented as `api_key`; None if it is unknown or revoked."""
        with self._lock:
            key = self._keys.get((exchange, api_key))
        return None if key is None or key.revoked else key

    def revoke(self, exchange: str, api_key: str) -> bool:
        """Revoke a key and say whether it was known and valid."""
        key = self.find(exchange, api_key)
        if key is None:
            return False
        key.revoked = True
        return True

    def all(self, exchange: str) -> list[SimulatedKey]:
        """Return every key of an exchange, the revoked ones included."""
        with self._lock:
            return [key for (name, _), key in self._keys.items() if name == exchange]


def _check_form(exchange: str, algorithm: str | None, addresses: tuple[str, ...] | None) -> None:
    if exchange not in ALGORITHMS:
        msg = f"There is no exchange {exchange!r}; there are {', '.join(ALGORITHMS)}."
        raise ValueError(msg)
    if algorithm is not None and algorithm not in ALGORITHMS[exchange]:
        msg = f"Keys of {exchange} sign with {' or '.join(ALGORITHMS[exchange])}, not with {algorithm!r}."
        raise ValueError(msg)
    for address in addresses or ():
        ipaddress.ip_network(address, strict=False)


def _check_private_key(text: str) -> None:
    """Refuse what is neither a PEM nor the base64 of an Ed25519 key."""
    if "-----BEGIN" in text:
        load_pem_private_key(text.replace("\\n", "\n").encode(), password=None)
    elif len(base64.b64decode(text, validate=True)) not in {32, 64}:
        msg = "The private key is neither PEM nor the base64 of 32 or 64 bytes."
        raise ValueError(msg)


def _presented(key: SimulatedKey) -> str:
    """Return what a request shows of the key: its name, or for Hugging Face the token."""
    return key.api_secret if key.exchange == "huggingface" else key.api_key


def _random_text(length: int) -> str:
    return "".join(secrets.choice(ALPHANUMERIC) for _ in range(length))


def _new_name(exchange: str) -> str:
    if exchange == "coinbase":
        return f"organizations/{uuid.uuid4()}/apiKeys/{uuid.uuid4()}"
    if exchange in {"okx", "coinbase_exchange"}:
        return str(uuid.uuid4()) if exchange == "okx" else secrets.token_hex(16)
    return _random_text(18 if exchange == "bybit" else 64)


def _new_secret(exchange: str, algorithm: str) -> str:
    if algorithm == "es256":
        return _pem(ec.generate_private_key(ec.SECP256R1()))
    if algorithm in {"ed25519", "eddsa"}:
        return _pem(ed25519.Ed25519PrivateKey.generate())
    if exchange == "huggingface":
        return "hf_" + _random_text(34)
    if exchange == "okx":
        return secrets.token_hex(16).upper()
    if exchange == "coinbase_exchange":
        return base64.b64encode(secrets.token_bytes(64)).decode()
    return _random_text(36 if exchange == "bybit" else 64)


def _new_passphrase(exchange: str) -> str | None:
    if exchange == "okx":
        return _random_text(14) + "+/=" + _random_text(4)
    return secrets.token_hex(6) if exchange == "coinbase_exchange" else None


def _pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
