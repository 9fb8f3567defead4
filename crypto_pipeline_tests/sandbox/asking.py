"""
Requests to simulated exchanges, made without any client.

The signatures here are the tests' own lines: neither the clients' nor the sandbox's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from crypto_pipeline.sandbox.interface import Answer, Request
from crypto_pipeline.sandbox.keys import SimulatedKey

NOW_MS = 1_772_452_830_500
"""2026-03-02 12:00:30.500 UTC, in the middle of a minute."""
MINUTE_MS = 60_000


def asked(path: str, query: str = "", *, now_ms: int = NOW_MS, address: str = "127.0.0.1") -> Request:
    """Return a GET without a key."""
    return Request("GET", path, query, {"host": "127.0.0.1:8080"}, b"", address, now_ms)


def with_headers(request: Request, headers: Mapping[str, str]) -> Request:
    """Return the same request with further headers; an empty value takes one away."""
    merged = {**request.headers, **headers}
    return replace(request, headers={name: value for name, value in merged.items() if value})


def content(answer: Answer) -> Any:
    """Return the JSON of an answer."""
    return json.loads(answer.body)


def signed_binance(
    key: SimulatedKey, path: str = "/sapi/v1/account/apiRestrictions", *, sent_ms: int = NOW_MS, query: str = ""
) -> Request:
    """Return a GET signed as Binance's rest-api.md says."""
    text = query or f"timestamp={sent_ms}&recvWindow=5000"
    if key.algorithm == "hmac":
        signature = hmac.new(key.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    else:
        private = load_pem_private_key(key.api_secret.encode(), password=None)
        assert isinstance(private, ed25519.Ed25519PrivateKey)
        signature = quote(base64.b64encode(private.sign(text.encode())).decode(), safe="")
    return with_headers(asked(path, f"{text}&signature={signature}"), {"x-mbx-apikey": key.api_key})


def signed_okx(key: SimulatedKey, path: str = "/api/v5/account/config", *, now_ms: int = NOW_MS) -> Request:
    """Return a GET signed as the OKX v5 manual says."""
    moment = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    digest = hmac.new(key.api_secret.encode(), f"{moment}GET{path}".encode(), hashlib.sha256).digest()
    headers = {
        "ok-access-key": key.api_key,
        "ok-access-sign": base64.b64encode(digest).decode(),
        "ok-access-timestamp": moment,
        "ok-access-passphrase": key.passphrase or "",
    }
    return with_headers(asked(path), headers)


def signed_bybit(key: SimulatedKey, *, sent_ms: int = NOW_MS, window: str = "5000") -> Request:
    """Return a GET of a key's information, signed as the Bybit v5 manual says."""
    text = f"{sent_ms}{key.api_key}{window}"
    headers = {
        "x-bapi-api-key": key.api_key,
        "x-bapi-timestamp": str(sent_ms),
        "x-bapi-recv-window": window,
        "x-bapi-sign": hmac.new(key.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest(),
    }
    return with_headers(asked("/v5/user/query-api"), headers)


def signed_coinbase_exchange(key: SimulatedKey, *, sent: str = str(NOW_MS // 1000)) -> Request:
    """Return a GET of the accounts, signed as the Coinbase Exchange documents say."""
    digest = hmac.new(base64.b64decode(key.api_secret), f"{sent}GET/accounts".encode(), hashlib.sha256).digest()
    headers = {
        "cb-access-key": key.api_key,
        "cb-access-sign": base64.b64encode(digest).decode(),
        "cb-access-timestamp": sent,
        "cb-access-passphrase": key.passphrase or "",
    }
    return with_headers(asked("/accounts"), headers)


def token_claims(key: SimulatedKey, path: str, *, now_ms: int = NOW_MS) -> dict[str, object]:
    """Return the claims that Coinbase documents for a GET."""
    now = now_ms // 1000
    uri = f"GET api.coinbase.com{path}"
    return {"sub": key.api_key, "iss": "cdp", "nbf": now, "exp": now + 120, "uri": uri}


def token(key: SimulatedKey, claims: Mapping[str, object], header: Mapping[str, object] | None = None) -> str:
    """Return a token over any claims, signed with the key's own algorithm."""
    name = {"es256": "ES256", "eddsa": "EdDSA"}[key.algorithm]
    full = {"alg": name, "kid": key.api_key, "nonce": "0" * 32, "typ": "JWT", **(header or {})}
    signed = f"{_part(json.dumps(full).encode())}.{_part(json.dumps(claims).encode())}"
    return f"{signed}.{_part(_signature(key, signed.encode()))}"


def bearing(text: str, path: str = "/api/v3/brokerage/key_permissions") -> Request:
    """Return a GET with a bearer token."""
    return with_headers(asked(path), {"authorization": f"Bearer {text}"})


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signature(key: SimulatedKey, signed: bytes) -> bytes:
    if not key.api_secret.startswith("-----BEGIN"):
        seed = base64.b64decode(key.api_secret)[:32]
        return ed25519.Ed25519PrivateKey.from_private_bytes(seed).sign(signed)
    private = load_pem_private_key(key.api_secret.encode(), password=None)
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign(signed)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    numbers = decode_dss_signature(private.sign(signed, ec.ECDSA(hashes.SHA256())))
    return b"".join(number.to_bytes(32) for number in numbers)
