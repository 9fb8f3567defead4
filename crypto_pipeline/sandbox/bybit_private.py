"""
What Bybit asks of a signed request, and what it tells about a key.

Read the Bybit v5 manual, "Integration guidance - Authentication", "Get API Key Information" and "Error codes"; the
signature is checked here with lines of the sandbox's own.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from crypto_pipeline.sandbox import market
from crypto_pipeline.sandbox.interface import Answer, Request, json_answer
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing, SimulatedKey
from crypto_pipeline.sandbox.refusal import RefusalError, is_listed, parse_whole

AHEAD_MS = 1000
"""How far a request's time may be ahead of the server's."""
DAY_MS = 24 * 60 * 60 * 1000
UNBOUND_KEY_DAYS = 90
"""A key that is bound to no address ends this long after it was made."""
NEVER_DAYS = -2
"""`deadlineDay` of a key that does not end."""

AREAS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ContractTrade": ("Order", "Position"),
        "Spot": ("SpotTrade",),
        "Wallet": (),
        "Options": ("OptionsTrade",),
        "Derivatives": ("DerivativesTrade",),
        "CopyTrading": (),
        "BlockTrade": (),
        "Exchange": ("ExchangeHistory",),
        "NFT": (),
        "Affiliate": (),
        "Earn": (),
        "FiatP2P": (),
        "FiatBitPay": (),
        "FiatConvertBroker": (),
        "BitCard": (),
        "ByXPost": (),
    }
)
"""The lists name areas only; whether a key may write in them is for `readOnly` to say."""

READ_WRITE: Mapping[KeyKind, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        KeyKind.MAY_TRADE: {},
        KeyKind.MAY_WITHDRAW: {"Wallet": ("AccountTransfer", "Withdraw")},
        KeyKind.MAY_TRANSFER: {"Wallet": ("AccountTransfer", "SubMemberTransfer")},
    }
)
"""The kinds of key that may write, each with the areas it has beyond the usual ones."""


def envelope(
    request: Request,
    code: int,
    message: str,
    result: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Return an answer in Bybit's envelope; failures have HTTP 200 too, unless `status` says otherwise."""
    content = {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": request.now_ms}
    return json_answer(status, content, headers)


def refused(request: Request, code: int, message: str, *, status: int = 200) -> RefusalError:
    """Return a refusal with Bybit's own code."""
    return RefusalError(envelope(request, code, message, {}, status=status))


def authenticate(request: Request, keys: KeyRing) -> SimulatedKey:
    """
    Return the key that signed a request.

    Raises:
        RefusalError: a header is missing, or the key, address, time or signature is wrong.
    """
    if not all(request.headers.get(f"x-bapi-{part}") for part in ("api-key", "timestamp", "sign")):
        raise refused(request, 10003, "API key is invalid.", status=401)
    key = _known_key(request, keys)
    _check_time(request)
    headers = request.headers
    window = headers.get("x-bapi-recv-window", "")
    signed = f"{headers['x-bapi-timestamp']}{headers['x-bapi-api-key']}{window}{request.query}"
    expected = hmac.new(key.api_secret.encode(), signed.encode() + request.body, "sha256").hexdigest()
    if not hmac.compare_digest(headers["x-bapi-sign"].encode(), expected.encode()):
        # The real host echoes what it signed, key included: a client must keep this text out of its logs.
        raise refused(request, 10004, f"error sign! origin_string[{signed}]")
    return key


def _known_key(request: Request, keys: KeyRing) -> SimulatedKey:
    key = keys.find("bybit", request.headers["x-bapi-api-key"])
    if key is None:
        raise refused(request, 10003, "API key is invalid.")
    if key.is_over(request.now_ms):
        raise refused(request, 33004, "Your api key has expired.")
    if not is_listed(request.client_address, key.addresses):
        raise refused(request, 10010, "Unmatched IP, please check your API key's bound IP addresses.")
    return key


def _check_time(request: Request) -> None:
    sent_text = request.headers["x-bapi-timestamp"]
    window_text = request.headers.get("x-bapi-recv-window") or "5000"
    sent_ms, window_ms = parse_whole(sent_text), parse_whole(window_text)
    if sent_ms is None or window_ms is None:
        raise refused(request, 10001, "params error: the timestamp and recv_window must be whole numbers")
    if not request.now_ms - window_ms <= sent_ms < request.now_ms + AHEAD_MS:
        raise refused(
            request,
            10002,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{sent_ms}],server_timestamp[{request.now_ms}],recv_window[{window_ms}]",
        )


def key_information(request: Request, key: SimulatedKey) -> dict[str, object]:
    """Return the `result` of `GET /v5/user/query-api`: every documented field."""
    user = int.from_bytes(hashlib.sha256(key.api_key.encode()).digest()[:4])
    information: dict[str, object] = {
        "id": str(user % 100_000_000),
        "note": key.label,
        "apiKey": key.api_key,
        "readOnly": 0 if key.kind in READ_WRITE else 1,
        "secret": "",
        "permissions": _permissions(key),
        **_life(request, key),
        "type": 1,
        "unified": 0,
        "uta": 1,
        "userID": user,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_DEFAULT",
        "kycRegion": "",
    }
    if key.kind is KeyKind.FLAG_MISSING:
        del information["readOnly"]
    return information


def coin_information(_: Request, __: SimulatedKey) -> dict[str, object]:
    """Return the `result` of `GET /v5/asset/coin/query-info`, which general clients read before anything else."""
    listings = market.instruments("bybit")
    codes = sorted({code for listing in listings for code in (listing.base, listing.quote)})
    return {"rows": [{"name": code, "coin": code, "remainAmount": "0", "chains": []} for code in codes]}


def _permissions(key: SimulatedKey) -> dict[str, list[str]]:
    areas = dict(AREAS) | dict(READ_WRITE.get(key.kind, {}))
    if key.kind is KeyKind.UNKNOWN_FLAG:
        areas["Custody"] = ("CustodyTransfer",)
    return {area: list(names) for area, names in areas.items()}


def _life(request: Request, key: SimulatedKey) -> dict[str, object]:
    """Return the addresses a key is bound to and when it ends: a bound key says 1970, and means never."""
    if key.addresses:
        bound = {"ips": list(key.addresses), "deadlineDay": NEVER_DAYS, "expiredAt": _moment(0)}
        return bound | {"createdAt": _moment(key.created_ms)}
    ends_ms = key.expires_ms or key.created_ms + UNBOUND_KEY_DAYS * DAY_MS
    days_left = max(0, (ends_ms - request.now_ms) // DAY_MS)
    unbound = {"ips": ["*"], "deadlineDay": days_left, "expiredAt": _moment(ends_ms)}
    return unbound | {"createdAt": _moment(key.created_ms)}


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
