"""Signatures against the examples the exchanges publish; see `source` of each vector."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.errors import UnprovenKeyError
from crypto_pipeline.exchanges import CoinbaseClient, signing
from crypto_pipeline.redaction import Secret
from crypto_pipeline_tests.exchanges.support import credentials

Vector = dict[str, Any]
VECTORS: list[Vector] = json.loads((Path(__file__).parent / "signing_vectors.json").read_text())


def vectors(*schemes: str) -> list[Any]:
    """Return the vectors of these schemes, each with a name for pytest."""
    return [
        pytest.param(vector, id=f"{vector['exchange']} {vector['method']} {vector['path']} {index}")
        for index, vector in enumerate(VECTORS)
        if vector["scheme"] in schemes
    ]


def test_every_vector_is_used() -> None:
    """A vector of a scheme that no test below knows would be passed over in silence."""
    known = {
        "hmac-sha256-hex": 6,
        "ed25519-base64": 2,
        "cb-access-hmac-sha256-base64": 3,
        "cb-access-hmac-sha256-hex": 1,
        "jwt-eddsa": 1,
        "jwt-es256": 1,
        "hmac-sha256-base64": 4,
        "v5-hmac-sha256-hex": 3,
    }

    assert {scheme: len(vectors(scheme)) for scheme in known} == known
    assert len(VECTORS) == sum(known.values()) == 21


def target(vector: Vector) -> str:
    """Return the path with its query."""
    return f"{vector['path']}?{vector['query']}".removesuffix("?")


@pytest.mark.parametrize("vector", vectors("hmac-sha256-hex", "ed25519-base64"))
def test_binance_signs_query_and_body_as_they_are_sent(vector: Vector) -> None:
    """Query and body with nothing between them; a base64 signature is escaped for the query it goes into."""
    expected = vector.get("expected_percent_encoded", vector["expected"].replace("+", "%2B").replace("/", "%2F"))

    signature = signing.binance_signature(vector["query"] + vector["body"], Secret(vector["secret"]))

    assert signature == expected.replace("=", "%3D")


@pytest.mark.parametrize(
    "vector",
    [
        found
        for found in vectors("hmac-sha256-hex", "ed25519-base64")
        if found.values[0]["query"] == "timestamp=1700000000000&recvWindow=5000"
    ],
)
def test_binances_query_ends_with_time_window_and_signature(vector: Vector) -> None:
    query = signing.binance_query("", Secret(vector["secret"]), timestamp_ms=1_700_000_000_000, recv_window_ms=5000)

    expected = vector.get("expected_percent_encoded", vector["expected"])
    assert query == f"timestamp=1700000000000&recvWindow=5000&signature={expected}"


def test_binances_time_follows_the_parameters_and_the_window_may_be_left_out() -> None:
    secret = Secret(VECTORS[3]["secret"])

    query = signing.binance_query("symbol=LTCBTC&limit=5", secret, timestamp_ms=1578963600000)
    bare = signing.binance_query("", secret, timestamp_ms=1578963600000)

    assert query.startswith("symbol=LTCBTC&limit=5&timestamp=1578963600000&signature=")
    assert bare == f"timestamp=1578963600000&signature={VECTORS[3]['expected']}"


@pytest.mark.parametrize("vector", vectors("hmac-sha256-base64"))
def test_okx_signs_time_method_path_and_body(vector: Vector) -> None:
    signature = signing.okx_signature(
        Secret(vector["secret"]),
        timestamp=vector["timestamp"],
        method=vector["method"].lower(),
        path=target(vector),
        body=vector["body"],
    )

    assert signature == vector["expected"]


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (1607418537.715, "2020-12-08T09:08:57.715Z"),
        (1700000000, "2023-11-14T22:13:20.000Z"),
        (0.001, "1970-01-01T00:00:00.001Z"),
        (1700000000.9999, "2023-11-14T22:13:20.999Z"),
    ],
)
def test_okxs_time_has_milliseconds_and_a_z(now: float, text: str) -> None:
    assert signing.okx_timestamp(now) == text


@pytest.mark.parametrize("vector", vectors("v5-hmac-sha256-hex"))
def test_bybit_signs_time_key_window_and_query_or_body(vector: Vector) -> None:
    signature = signing.bybit_signature(
        Secret(vector["secret"]),
        timestamp_ms=int(vector["timestamp"]),
        api_key=vector["key"],
        recv_window_ms=int(vector["recv_window"]),
        payload=vector["query"] or vector["body"],
    )

    assert signature == vector["expected"]


@pytest.mark.parametrize("vector", vectors("cb-access-hmac-sha256-base64"))
def test_coinbase_exchange_signs_with_the_decoded_secret(vector: Vector) -> None:
    """No client uses such keys, because nobody says what they may do; the scheme is kept with its vectors."""
    signature = signing.coinbase_exchange_signature(
        Secret(vector["secret"]),
        timestamp=vector["timestamp"],
        method=vector["method"],
        path=target(vector),
        body=vector["body"],
    )

    assert signature == vector["expected"]


def token_of(vector: Vector) -> str:
    return signing.coinbase_token(
        Secret(vector["secret"]),
        key_name=vector["key"],
        method=vector["method"],
        host="api.coinbase.com",
        path=vector["path"],
        now=int(vector["timestamp"]),
        nonce=vector["jwt_header"]["nonce"],
    )


def part(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


@pytest.mark.parametrize("vector", vectors("jwt-eddsa"))
def test_a_coinbase_token_of_an_ed25519_key_is_the_published_one(vector: Vector) -> None:
    """These signatures are the same each time, so the whole token is."""
    assert token_of(vector) == vector["expected"]


@pytest.mark.parametrize("vector", vectors("jwt-es256"))
def test_a_coinbase_token_of_a_p256_key_verifies(vector: Vector) -> None:
    """These signatures are drawn anew each time: the public key tells whether one is right."""
    public = load_pem_public_key(vector["public_key_pem"].encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)

    for token in (token_of(vector), token_of(vector), vector["expected"]):
        header, claims, signature = token.split(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        numbers = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
        assert len(raw) == 64
        assert part(header) == vector["jwt_header"]
        assert part(claims) == vector["jwt_claims"]
        public.verify(encode_dss_signature(*numbers), f"{header}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    assert token_of(vector) != token_of(vector)


@pytest.mark.parametrize("vector", vectors("cb-access-hmac-sha256-hex"))
def test_a_legacy_coinbase_key_is_refused_before_anything_is_asked(vector: Vector, tmp_path: Path) -> None:
    """Coinbase retired these keys; nobody can be asked what they may do."""
    key = credentials("coinbase", api_key=vector["key"], api_secret=vector["secret"])
    # Port 9 of this machine: a request would fail in another way.
    client = CoinbaseClient(key, audit=JsonLinesAuditLog(tmp_path / "audit"), base_url="http://127.0.0.1:9")

    with pytest.raises(UnprovenKeyError, match="not a private key of the Advanced Trade API"):
        asyncio.run(client.prove_key())

    assert client.usage.requests == 0


# Private keys as they come out of stores...


def pem(key: Any) -> str:
    text: str = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return text


SEED = bytes(range(32))
EDWARDS = ed25519.Ed25519PrivateKey.from_private_bytes(SEED)
CURVE = ec.generate_private_key(ec.SECP256R1())
SEC1 = CURVE.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param(pem(EDWARDS), ed25519.Ed25519PrivateKey, id="PKCS#8, Ed25519"),
        pytest.param(pem(CURVE), ec.EllipticCurvePrivateKey, id="PKCS#8, P-256"),
        pytest.param(SEC1, ec.EllipticCurvePrivateKey, id="SEC1, P-256"),
        pytest.param(SEC1.replace("\n", "\\n"), ec.EllipticCurvePrivateKey, id="line breaks written out"),
        pytest.param(f"  {SEC1}\n\n", ec.EllipticCurvePrivateKey, id="white space around"),
        pytest.param(base64.b64encode(SEED).decode(), ed25519.Ed25519PrivateKey, id="base64 of 32 bytes"),
        pytest.param(base64.b64encode(SEED * 2).decode(), ed25519.Ed25519PrivateKey, id="base64 of 64 bytes"),
        pytest.param(
            base64.b64encode(SEED).decode()[:20] + "\n " + base64.b64encode(SEED).decode()[20:],
            ed25519.Ed25519PrivateKey,
            id="base64 that was wrapped",
        ),
    ],
)
def test_a_private_key_is_taken_in_every_form_it_is_issued_and_kept_in(text: str, kind: type) -> None:
    assert isinstance(signing.load_private_key(Secret(text)), kind)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("planted-secret-that-is-no-key", id="no base64"),
        pytest.param(base64.b64encode(bytes(33)).decode(), id="base64 of another length"),
        pytest.param(pem(EDWARDS)[:60], id="a PEM key cut short"),
        pytest.param(
            "-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----", id="a PEM frame around nothing"
        ),
        pytest.param(pem(ec.generate_private_key(ec.SECP384R1())), id="another curve"),
        pytest.param(pem(rsa.generate_private_key(65537, 2048)), id="RSA"),
        pytest.param(
            EDWARDS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
            id="a public key",
        ),
    ],
)
def test_what_is_no_private_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="private key") as refused:
        signing.load_private_key(Secret(text))

    assert "planted" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_binance_takes_no_p256_key() -> None:
    with pytest.raises(TypeError, match="Ed25519 keys only"):
        signing.binance_query("", Secret(SEC1), timestamp_ms=1)
