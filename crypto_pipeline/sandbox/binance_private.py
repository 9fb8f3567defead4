"""
How the simulated Binance judges a signed request, and what it says about a key and its coins.

Read rest-api.md ("SIGNED Endpoint security", "Timing security") and the wallet documents "Get API Key
Permission" and "All Coins' Information".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.binance_input import illegal, missing, parse_time_ms, refused
from crypto_pipeline.sandbox.interface import Request
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing, SimulatedKey
from crypto_pipeline.sandbox.refusal import is_listed, parse_parameters

AHEAD_MS = 1000
"""How far a request's time may be ahead of the server's."""
LONGEST_WINDOW_MS = 60_000
WINDOW_FORM = re.compile(r"\d{1,6}(\.\d{1,3})?")
SIGNATURE_FORM = re.compile(r"(?:^|&)signature=([^&]*)")
FLAGS = (
    "enableReading", "enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer",
    "enableSpotAndMarginTrading", "enableMargin", "enableFutures", "enableVanillaOptions",
    "enablePortfolioMarginTrading", "enableFixApiTrade", "enableFixReadOnly",
)  # fmt: skip
GRANTED: Mapping[KeyKind, str] = MappingProxyType(
    {
        KeyKind.MAY_TRADE: "enableSpotAndMarginTrading",
        KeyKind.MAY_WITHDRAW: "enableWithdrawals",
        KeyKind.MAY_TRANSFER: "permitsUniversalTransfer",
        KeyKind.UNKNOWN_FLAG: "enableStaking",
    }
)
"""What each kind of key may do besides reading; nobody has documented the last one."""


def authenticate(request: Request, keys: KeyRing) -> SimulatedKey:
    """
    Return the key that signed the request.

    Raises:
        RefusalError: carries Binance's own refusal.
    """
    presented = request.headers.get("x-mbx-apikey", "")
    if not (presented.isascii() and presented.isalnum() and 16 <= len(presented) <= 64):
        raise refused(401, -2014, "API-key format invalid.")
    key = keys.find("binance", presented)
    # One code for all three, as on the real host.
    if key is None or key.is_over(request.now_ms) or not is_listed(request.client_address, key.addresses):
        raise refused(401, -2015, "Invalid API-key, IP, or permissions for action.")
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


def coins() -> list[dict[str, object]]:
    """Return the body of GET /sapi/v1/capital/config/getall, which general clients read before anything else."""
    listings = market.instruments("binance")
    codes = sorted({code for listing in listings for code in (listing.base, listing.quote)})
    amounts = dict.fromkeys(("free", "locked", "freeze", "withdrawing", "ipoing", "ipoable", "storage"), "0")
    states = {"depositAllEnable": False, "withdrawAllEnable": False, "trading": True, "isLegalMoney": False}
    return [{"coin": code, "name": code, **states, **amounts, "networkList": []} for code in codes]


def _check_time(request: Request) -> None:
    parameters = parse_parameters(request.query)
    timestamp = parse_time_ms(parameters.get("timestamp", ""))
    if timestamp is None:
        raise missing("timestamp")
    window_text = parameters.get("recvWindow", "5000")
    if not WINDOW_FORM.fullmatch(window_text):
        raise illegal("recvWindow", "^[0-9]{1,5}(\\\\.[0-9]{1,3})?$")
    if float(window_text) > LONGEST_WINDOW_MS:
        raise refused(400, -1131, "recvWindow must be less than 60000.")
    if timestamp >= request.now_ms + AHEAD_MS:
        raise refused(400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if request.now_ms - timestamp > float(window_text):
        raise refused(400, -1021, "Timestamp for this request is outside of the recvWindow.")


def _check_signature(request: Request, key: SimulatedKey) -> None:
    """Judge the query exactly as it was sent, without its signature, wherever that stands, and the body behind it."""
    found = SIGNATURE_FORM.search(request.query)
    if found is None or not found[1]:
        raise missing("signature")
    rest = request.query[: found.start()] + request.query[found.end() :]
    signed = rest.removeprefix("&").encode("latin-1") + request.body
    if not _matches(signed, unquote(found[1]), key):
        raise refused(400, -1022, "Signature for this request is not valid.")


def _matches(signed: bytes, signature: str, key: SimulatedKey) -> bool:
    if key.algorithm == "hmac":
        expected = hmac.new(key.api_secret.encode(), signed, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.lower().encode())
    private = load_pem_private_key(key.api_secret.encode(), None)
    if not isinstance(private, Ed25519PrivateKey):
        return False
    try:
        private.public_key().verify(base64.b64decode(signature, validate=True), signed)
    except (InvalidSignature, ValueError):
        return False
    return True
