"""
How requests are signed: pure functions, same input, same output.

The exchanges' own published examples are the tests. Time comes in as an argument.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from datetime import UTC, datetime
from urllib.parse import quote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from crypto_pipeline.redaction import Secret

JWT_SECONDS = 120
"""How long a Coinbase token lives (CDP "Coinbase App API key authentication")."""


def hmac_hex(text: str, secret: Secret) -> str:
    """Return HMAC-SHA256 in lower-case hex (Binance, Bybit)."""
    return hmac.new(secret.reveal().encode(), text.encode(), hashlib.sha256).hexdigest()


def hmac_base64(text: str, key: bytes) -> str:
    """Return HMAC-SHA256 in base64 (OKX, Coinbase Exchange)."""
    return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()


def ed25519_base64(text: str, private_key: Ed25519PrivateKey) -> str:
    """Return the Ed25519 signature in base64 (Binance)."""
    return base64.b64encode(private_key.sign(text.encode())).decode()


def is_pem(secret: Secret) -> bool:
    """Tell whether a secret is a private key in PEM form, not an HMAC secret."""
    return "-----BEGIN" in secret.reveal()


def load_private_key(secret: Secret) -> Ed25519PrivateKey | EllipticCurvePrivateKey:
    """
    Return the private key: PEM (SEC1 or PKCS#8), or a raw Ed25519 key as base64 of 32 or 64 bytes.

    Raises:
        ValueError: it is neither, or of a kind that no exchange issues; the text quotes nothing.
    """
    text = secret.reveal().replace("\\n", "\n").strip()
    try:
        if "-----BEGIN" in text:
            key = load_pem_private_key(text.encode(), None)
        else:
            raw = base64.b64decode("".join(text.split()), validate=True)
            key = Ed25519PrivateKey.from_private_bytes(raw[:32] if len(raw) == 64 else raw)
    except (ValueError, TypeError, binascii.Error):
        msg = "the secret is not a private key"
        raise ValueError(msg) from None
    if isinstance(key, Ed25519PrivateKey):
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    msg = "the private key is neither Ed25519 nor P-256"
    raise ValueError(msg)


def binance_query(query: str, secret: Secret, *, timestamp_ms: int, recv_window_ms: int | None = None) -> str:
    """
    Return the query with time stamp and signature (spot rest-api.md, "SIGNED Endpoint security").

    A PEM secret signs with Ed25519, any other with HMAC-SHA256. The query must be percent-encoded
    already: Binance verifies what it receives.
    """
    window = f"&recvWindow={recv_window_ms}" if recv_window_ms else ""
    payload = f"{query}&" if query else ""
    payload += f"timestamp={timestamp_ms}{window}"
    return f"{payload}&signature={binance_signature(payload, secret)}"


def binance_signature(payload: str, secret: Secret) -> str:
    """Return the signature of a query (and body), ready to stand in a query."""
    if not is_pem(secret):
        return hmac_hex(payload, secret)
    key = load_private_key(secret)
    if not isinstance(key, Ed25519PrivateKey):
        msg = "Binance takes Ed25519 keys only"
        raise TypeError(msg)
    return quote(ed25519_base64(payload, key), safe="")


def bybit_signature(secret: Secret, *, timestamp_ms: int, api_key: str, recv_window_ms: int, payload: str) -> str:
    """Return X-BAPI-SIGN over time, key, window and the query or body as sent (v5 "Integration Guidance")."""
    return hmac_hex(f"{timestamp_ms}{api_key}{recv_window_ms}{payload}", secret)


def okx_timestamp(now: float) -> str:
    """Return the time as OKX wants it: ISO-8601 UTC with milliseconds and `Z`."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def okx_signature(secret: Secret, *, timestamp: str, method: str, path: str, body: str = "") -> str:
    """Return OK-ACCESS-SIGN; `path` includes the query (v5 "REST Authentication")."""
    return hmac_base64(f"{timestamp}{method.upper()}{path}{body}", secret.reveal().encode())


def coinbase_exchange_signature(secret: Secret, *, timestamp: str, method: str, path: str, body: str = "") -> str:
    """Return CB-ACCESS-SIGN: the secret is base64 and is decoded first (Exchange "REST Auth")."""
    return hmac_base64(f"{timestamp}{method.upper()}{path}{body}", base64.b64decode(secret.reveal()))


def coinbase_token(secret: Secret, *, key_name: str, method: str, host: str, path: str, now: int, nonce: str) -> str:
    """
    Return the JWT that authenticates one Advanced Trade request.

    `path` stands in the token without its query. ES256 for P-256 keys, EdDSA for Ed25519 keys.
    """
    key = load_private_key(secret)
    is_edwards = isinstance(key, Ed25519PrivateKey)
    header: dict[str, object] = {
        "alg": "EdDSA" if is_edwards else "ES256",
        "kid": key_name,
        "nonce": nonce,
        "typ": "JWT",
    }
    claims: dict[str, object] = {
        "sub": key_name,
        "iss": "cdp",
        "nbf": now,
        "exp": now + JWT_SECONDS,
        "uri": f"{method.upper()} {host}{path}",
    }
    return coinbase_jwt(header, claims, key)


def coinbase_jwt(
    header: dict[str, object], claims: dict[str, object], key: Ed25519PrivateKey | EllipticCurvePrivateKey
) -> str:
    """Return header, claims and signature as a compact JWS (RFC 7515)."""
    signed = f"{_part(header)}.{_part(claims)}"
    if isinstance(key, Ed25519PrivateKey):
        signature = key.sign(signed.encode())
    else:
        r, s = decode_dss_signature(key.sign(signed.encode(), ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return f"{signed}.{_base64url(signature)}"


def _part(value: dict[str, object]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
