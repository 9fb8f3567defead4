"""The clients' signed requests against those of ccxt, which nobody here wrote: same key, same moment, same request."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ccxt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.exchanges import CLIENTS, BaseClient
from crypto_pipeline.exchanges.asking import Signed
from crypto_pipeline_tests.exchanges.support import credentials

MOMENT_MS = 1_700_000_000_123
KEY = "0f8fad5bd9cb469fa165708677f91b4c"
SECRET = "chNOOS4KvNXR_Xq4k4c9qsfoKWvnDecLATCRlcBwyKDYnWgO"
EDWARDS = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CURVE = ec.derive_private_key(0x1F2E3D4C5B6A79880102030405060708, ec.SECP256R1())


def pem(key: Any) -> str:
    text: str = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return text


def asked_by_us(tmp_path: Path, exchange: str, **parts: str) -> Signed:
    """Return the permission request as our client signs it."""
    client: BaseClient = CLIENTS[exchange](None, audit=JsonLinesAuditLog(tmp_path / "audit"))
    key = credentials(exchange, **parts)
    return client.sign(client.permission_endpoint, "", key, now=MOMENT_MS / 1000)


def asked_by_ccxt(exchange: str, path: str, api: list[str], **options: object) -> dict[str, Any]:
    """Return the same request as ccxt signs it."""
    other = getattr(ccxt, exchange)(options)
    other.nonce = lambda: MOMENT_MS
    signed: dict[str, Any] = other.sign(path, api, "GET", {})
    return signed


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize("secret", [SECRET, pem(EDWARDS)], ids=["HMAC", "Ed25519"])
def test_binance_is_asked_as_ccxt_asks_it(tmp_path: Path, secret: str) -> None:
    theirs = asked_by_ccxt(
        "binance", "account/apiRestrictions", ["sapi"], apiKey=KEY, secret=secret, options={"recvWindow": 5000}
    )

    ours = asked_by_us(tmp_path, "binance", api_key=KEY, api_secret=secret)

    assert f"https://api.binance.com/sapi/v1/account/apiRestrictions?{ours.query}" == theirs["url"]
    assert lower(ours.headers) == lower(theirs["headers"])


def test_okx_is_asked_as_ccxt_asks_it(tmp_path: Path) -> None:
    theirs = asked_by_ccxt("okx", "account/config", ["private"], apiKey=KEY, secret=SECRET, password="pass+/=word")

    ours = asked_by_us(tmp_path, "okx", api_key=KEY, api_secret=SECRET, passphrase="pass+/=word")

    assert ours.query == ""
    assert theirs["url"] == "https://www.okx.com/api/v5/account/config"
    assert lower(ours.headers) == lower(theirs["headers"])


def test_bybit_is_asked_as_ccxt_asks_it(tmp_path: Path) -> None:
    """Ccxt leaves a `?` at the end and says that its empty body is JSON, which Bybit may take for a fault."""
    theirs = asked_by_ccxt("bybit", "v5/user/query-api", ["private"], apiKey=KEY, secret=SECRET)

    ours = asked_by_us(tmp_path, "bybit", api_key=KEY, api_secret=SECRET)

    expected = lower(theirs["headers"])
    del expected["content-type"]
    assert ours.query == ""
    assert lower(ours.headers) == expected


@pytest.mark.parametrize(
    "secret",
    [pem(CURVE), base64.b64encode(bytes(range(32)) + EDWARDS.public_key().public_bytes_raw()).decode()],
    ids=["ES256", "EdDSA"],
)
def test_coinbase_is_asked_for_the_same_by_both(tmp_path: Path, secret: str) -> None:
    """Both tokens verify with the same public key and claim the same; who issued them is worded in several ways."""
    name = "organizations/8e0d/apiKeys/" + KEY
    theirs = asked_by_ccxt("coinbase", "brokerage/key_permissions", ["v3", "private"], apiKey=name, secret=secret)

    ours = asked_by_us(tmp_path, "coinbase", api_key=name, api_secret=secret)

    our_header, our_claims = verified(ours.headers["Authorization"])
    their_header, their_claims = verified(theirs["headers"]["Authorization"])
    assert {part: our_header[part] for part in ("alg", "kid", "typ")} == {
        part: their_header[part] for part in ("alg", "kid", "typ")
    }
    assert len(our_header["nonce"]) == 32
    assert their_header["nonce"]  # theirs drops a leading zero now and then
    assert our_claims["sub"] == their_claims["sub"] == name
    assert [our_claims["uri"]] == [their_claims.get("uri") or their_claims["uris"][0]]
    assert our_claims["exp"] - our_claims["nbf"] == their_claims["exp"] - their_claims["nbf"] == 120
    assert our_claims["nbf"] == MOMENT_MS // 1000


def verified(authorization: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a bearer token whose signature is right."""
    scheme, token = authorization.split(" ")
    header, claims, signature = token.split(".")
    signed, raw = f"{header}.{claims}".encode(), decoded(signature)
    assert scheme == "Bearer"
    if json.loads(decoded(header))["alg"] == "EdDSA":
        EDWARDS.public_key().verify(raw, signed)
    else:
        numbers = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
        CURVE.public_key().verify(encode_dss_signature(*numbers), signed, ec.ECDSA(hashes.SHA256()))
    return json.loads(decoded(header)), json.loads(decoded(claims))


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
