"""
What OKX asks of a signed request, and what it tells about a key.

Read the OKX v5 manual, "REST Authentication", "Get account configuration" and "Error code"; the signature is
checked here with lines of the sandbox's own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.interface import Answer, Request, json_answer
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing, SimulatedKey
from crypto_pipeline.sandbox.refusal import RefusalError, is_listed

CLOCK_WINDOW_MS = 30_000
HEADER_CODES = MappingProxyType(
    {
        "OK-ACCESS-KEY": "50103",
        "OK-ACCESS-PASSPHRASE": "50104",
        "OK-ACCESS-SIGN": "50106",
        "OK-ACCESS-TIMESTAMP": "50107",
    }
)
KEY_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIMESTAMP_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

PERMISSIONS: Mapping[KeyKind, str | None] = MappingProxyType(
    {
        KeyKind.MAY_TRADE: "read_only,trade",
        KeyKind.MAY_WITHDRAW: "read_only,withdraw,trade",
        # OKX has no permission of its own for moving funds between accounts: it is part of `trade`.
        KeyKind.MAY_TRANSFER: "trade,read_only",
        KeyKind.UNKNOWN_FLAG: "read_only,stake",
        KeyKind.FLAG_MISSING: None,
    }
)
"""The `perm` field of each kind of key; `None` leaves the field out, and every other kind is plain `read_only`."""


def refused(status: int, code: str, message: str) -> RefusalError:
    """Return a refusal in OKX's envelope; several of them arrive with HTTP 200."""
    return RefusalError(json_answer(status, {"code": code, "msg": message, "data": []}))


def authenticate(request: Request, keys: KeyRing) -> SimulatedKey:
    """
    Return the key that signed a request.

    Raises:
        RefusalError: a header is missing, or the key, address, time, passphrase or signature is wrong.
    """
    for header, code in HEADER_CODES.items():
        if not request.headers.get(header.lower()):
            raise refused(401, code, f"Request header {header} can not be empty.")
    key = _known_key(request, keys)
    _check_time(request)
    if not _same(request.headers["ok-access-passphrase"], key.passphrase or ""):
        raise refused(401, "50105", "Request header OK-ACCESS-PASSPHRASE incorrect.")
    if not _same(request.headers["ok-access-sign"], _signature(request, key)):
        raise refused(401, "50113", "Invalid Sign")
    return key


def account_config(key: SimulatedKey) -> Answer:
    """Return `GET /api/v5/account/config`: every documented field, of which `perm` and `ip` speak of the key."""
    user = str(int.from_bytes(hashlib.sha256(key.api_key.encode()).digest()[:7]))
    config: dict[str, object] = {
        "acctLv": "1",
        "acctStpMode": "cancel_maker",
        "autoLoan": False,
        "ctIsoMode": "automatic",
        "enableSpotBorrow": False,
        "feeType": "0",
        "greeksType": "PA",
        "ip": ",".join(key.addresses),
        "kycLv": "3",
        "label": key.label,
        "level": "Lv1",
        "levelTmp": "",
        "liquidationGear": "-1",
        "mainUid": user,
        "mgnIsoMode": "automatic",
        "opAuth": "0",
        "perm": PERMISSIONS.get(key.kind, "read_only"),
        "posMode": "net_mode",
        "roleType": "0",
        "settleCcy": "USDT",
        "settleCcyList": ["USDT", "USDC"],
        "spotBorrowAutoRepay": False,
        "spotOffsetType": "",
        "spotRoleType": "0",
        "spotTraderInsts": [],
        "stgyType": "0",
        "traderInsts": [],
        "type": "0",
        "uid": user,
    }
    if config["perm"] is None:
        del config["perm"]
    return json_answer(200, {"code": "0", "data": [config], "msg": ""})


def currencies(_: SimulatedKey) -> Answer:
    """Return `GET /api/v5/asset/currencies`, which general clients read before anything else."""
    listings = market.instruments("okx")
    codes = sorted({code for listing in listings for code in (listing.base, listing.quote)})
    closed = {"canDep": False, "canWd": False, "canInternal": False, "mainNet": True}
    amounts = {"minFee": "0", "maxFee": "0", "minWd": "0", "maxWd": "0", "wdQuota": "0", "usedWdQuota": "0"}
    rows = [
        {"ccy": code, "name": code, "chain": f"{code}-{code}", "wdTickSz": "8", "logoLink": "", **closed, **amounts}
        for code in codes
    ]
    return json_answer(200, {"code": "0", "data": rows, "msg": ""})


def _known_key(request: Request, keys: KeyRing) -> SimulatedKey:
    presented = request.headers["ok-access-key"]
    if not KEY_FORM.fullmatch(presented):
        raise refused(401, "50111", "Invalid OK-ACCESS-KEY")
    key = keys.find("okx", presented)
    if key is None:
        raise refused(200, "50119", "API key doesn't exist")
    if key.is_over(request.now_ms):
        raise refused(401, "50111", "Invalid OK-ACCESS-KEY")
    if request.headers.get("x-simulated-trading") == "1":
        raise refused(401, "50101", "APIKey does not match current environment.")
    if not is_listed(request.client_address, key.addresses):
        address = request.client_address
        raise refused(401, "50110", f"Your IP {address} is not included in your API key's IP whitelist.")
    return key


def _check_time(request: Request) -> None:
    sent = request.headers["ok-access-timestamp"]
    if not TIMESTAMP_FORM.fullmatch(sent):
        raise refused(401, "50112", "Invalid OK-ACCESS-TIMESTAMP")
    try:
        sent_ms = int(datetime.fromisoformat(sent).astimezone(UTC).timestamp() * 1000)
    except ValueError:
        raise refused(401, "50112", "Invalid OK-ACCESS-TIMESTAMP") from None
    if abs(sent_ms - request.now_ms) > CLOCK_WINDOW_MS:
        raise refused(401, "50102", "Timestamp request expired")


def _signature(request: Request, key: SimulatedKey) -> str:
    target = f"{request.path}?{request.query}" if request.query else request.path
    signed = f"{request.headers['ok-access-timestamp']}{request.method}{target}".encode() + request.body
    return base64.b64encode(hmac.digest(key.api_secret.encode(), signed, "sha256")).decode()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
