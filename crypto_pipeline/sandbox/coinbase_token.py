"""
The bearer token that Coinbase Advanced asks for, judged with lines of the sandbox's own.

Read "Coinbase App - API key authentication" and coinbase-advanced-py's `jwt_generator`. Besides what the
documents show, the forms that other clients send are accepted: issuer `coinbase-cloud`, a list `uris` instead of
`uri`, an audience, an `iat`. The real host answers every fault with the same bare 401, so no reason is given here.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from types import MappingProxyType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from crypto_pipeline.sandbox.interface import Answer, Request
from crypto_pipeline.sandbox.keys import KeyRing, SimulatedKey
from crypto_pipeline.sandbox.refusal import RefusalError, is_listed

HOST = "api.coinbase.com"
LIFE_SECONDS = 120
"""A token may not be made to live longer."""
LEEWAY_SECONDS = 5
"""How far a token's beginning may lie ahead of the server's clock; the real figure is not documented."""
ALGORITHMS = MappingProxyType({"es256": "ES256", "eddsa": "EdDSA"})
ISSUERS = frozenset({"cdp", "coinbase-cloud"})
AUDIENCES = frozenset({"retail_rest_api_proxy", "cdp_service"})


def unauthorized() -> RefusalError:
    """Return the one refusal that Coinbase Advanced gives to every fault of a token."""
    return RefusalError(Answer(401, b"Unauthorized\n", {"content-type": "text/plain; charset=utf-8"}))


def authenticate(request: Request, keys: KeyRing) -> SimulatedKey:
    """
    Return the key that signed the token of a request.

    Raises:
        RefusalError: there is no token, or anything about it or its key is wrong.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    parts = token.split(".")
    if scheme != "Bearer" or len(parts) != 3:
        raise unauthorized()
    header, claims, signature = _object(parts[0]), _object(parts[1]), _decode(parts[2])
    key = keys.find("coinbase", str(header.get("kid", "")))
    if key is None or header.get("alg") != ALGORITHMS.get(key.algorithm):
        raise unauthorized()
    if key.is_over(request.now_ms):
        raise unauthorized()
    if not is_listed(request.client_address, key.addresses):
        raise unauthorized()
    if not _are_current(claims, request.now_ms // 1000) or not _are_for(claims, request, key):
        raise unauthorized()
    if not _is_signature(f"{parts[0]}.{parts[1]}".encode(), signature, key):
        raise unauthorized()
    return key


def _decode(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise unauthorized() from None


def _object(part: str) -> Mapping[str, object]:
    try:
        value = json.loads(_decode(part))
    except ValueError:
        raise unauthorized() from None
    if not isinstance(value, dict):
        raise unauthorized()
    return value


def _are_current(claims: Mapping[str, object], now: int) -> bool:
    begins, ends = claims.get("nbf"), claims.get("exp")
    if not isinstance(begins, int) or not isinstance(ends, int):
        return False
    return begins - LEEWAY_SECONDS <= now < ends and ends - begins <= LIFE_SECONDS


def _are_for(claims: Mapping[str, object], request: Request, key: SimulatedKey) -> bool:
    """Say whether a token was made by this key, for this issuer, and for exactly this method, host and path."""
    if claims.get("sub") != key.api_key or claims.get("iss") not in ISSUERS:
        return False
    audience = claims.get("aud")
    if audience is not None and not _texts(audience) & AUDIENCES:
        return False
    targets = _texts(claims.get("uri")) | _texts(claims.get("uris"))
    here = request.headers.get("host", "")
    # ccxt cuts `https://` from the address but not `http://`, so on loopback its claim keeps the scheme.
    hosts = (HOST, here, f"http://{here}")
    return bool(targets & {f"{request.method} {host}{request.path}" for host in hosts})


def _texts(claim: object) -> set[str]:
    values = claim if isinstance(claim, list) else [claim]
    return {value for value in values if isinstance(value, str)}


def _is_signature(signed: bytes, signature: bytes, key: SimulatedKey) -> bool:
    public = _public_key(key)
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, signed)
        else:
            half = len(signature) // 2
            numbers = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
            public.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return key.algorithm == "eddsa" or len(signature) == 64


def _public_key(key: SimulatedKey) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
    """Return the public half; the real host keeps nothing else."""
    secret = key.api_secret.replace("\\n", "\n")
    if not secret.startswith("-----BEGIN"):
        return ed25519.Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret)[:32]).public_key()
    private = load_pem_private_key(secret.encode(), password=None)
    if isinstance(private, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        return private.public_key()
    raise unauthorized()
