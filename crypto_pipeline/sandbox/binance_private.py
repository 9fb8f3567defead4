"""
How the simulated Binance judges a signed request, and what it says a key may do.

Read rest-api.md ("SIGNED Endpoint security", "Timing security") and the wallet document "Get API Key Permission".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from crypto_pipeline.sandbox.interface import Request, json_answer
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing, SimulatedKey
from crypto_pipeline.sandbox.refusal import RefusalError, is_listed, parse_parameters, parse_whole

AHEAD_MS = 1000
LONGEST_WINDOW_MS = 60_000
FLAGS = (
    "enableReading", "enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer",
    "enableSpotAndMarginTrading", "enableMargin", "enableFutures", "enableVanillaOptions",
    "enablePortfolioMarginTrading", "enableFixApiTrade", "enableFixReadOnly",
)  # fmt: skip
GRANTED = {
    KeyKind.MAY_TRADE: "enableSpotAndMarginTrading",
    KeyKind.MAY_WITHDRAW: "enableWithdrawals",
    KeyKind.MAY_TRANSFER: "permitsUniversalTransfer",
    KeyKind.UNKNOWN_FLAG: "enableStaking",
}


def authenticate(request: Request, keys: KeyRing) -> SimulatedKey:
    """
    Return the key that signed the request.

    Raises:
        RefusalError: carries Binance's own refusal.
    """
    presented = request.headers.get("x-mbx-apikey", "")
    if not (presented.isascii() and presented.isalnum() and 16 <= len(presented) <= 64):
        raise _refused(401, -2014, "API-key format invalid.")
    key = keys.find("binance", presented)
    if key is None or key.kind is KeyKind.EXPIRED or not is_listed(request.client_address, key.addresses):
        raise _refused(401, -2015, "Invalid API-key, IP, or permissions for action.")
    _check_time(request)
    _check_signature(request, key)
    return key


def api_restrictions(key: SimulatedKey) -> dict[str, object]:
    """Return the body of GET /sapi/v1/account/apiRestrictions."""
    flags = dict.fromkeys(FLAGS, False) | {"enableReading": True}
    if key.kind in GRANTED:
        flags[GRANTED[key.kind]] = True
    if key.kind is KeyKind.FLAG_MISSING:
        del flags["enableReading"]
    return {
        "ipRestrict": bool(key.addresses),
        "createTime": key.created_ms,
        **flags,
        "tradingAuthorityExpirationTime": None,
    }


def _refused(status: int, code: int, message: str) -> RefusalError:
    return RefusalError(json_answer(status, {"code": code, "msg": message}))


def _check_time(request: Request) -> None:
    parameters = parse_parameters(request.query)
    timestamp = parse_whole(parameters.get("timestamp", ""))
    if timestamp is None:
        raise _refused(400, -1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.")
    window = parse_whole(parameters.get("recvWindow", "5000"))
    if window is None or window > LONGEST_WINDOW_MS:
        raise _refused(400, -1131, "Invalid recvWindow.")
    if timestamp >= request.now_ms + AHEAD_MS:
        raise _refused(400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if request.now_ms - timestamp > window:
        raise _refused(400, -1021, "Timestamp for this request is outside of the recvWindow.")


def _check_signature(request: Request, key: SimulatedKey) -> None:
    payload, separator, tail = request.query.rpartition("&signature=")
    if not separator:
        raise _refused(400, -1102, "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.")
    signature, _, rest = tail.partition("&")
    signed = (payload + (f"&{rest}" if rest else "")).encode("latin-1") + request.body
    if not _matches(signed, unquote(signature), key):
        raise _refused(400, -1022, "Signature for this request is not valid.")


def _matches(signed: bytes, signature: str, key: SimulatedKey) -> bool:
    if key.algorithm == "hmac":
        expected = hmac.new(key.api_secret.encode(), signed, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.lower().encode())
    private = load_pem_private_key(key.api_secret.encode(), None)
    if not isinstance(private, Ed25519PrivateKey):
        return False
    try:
        private.public_key().verify(base64.b64decode(signature, validate=True), signed)
    except (InvalidSignature, binascii.Error):
        return False
    return True
