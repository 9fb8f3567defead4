"""
What an issuer's answer says a key may do, and whether that is reading only.

Pure rules over the decoded answers of the permission endpoints. All are allow-lists: what is not
known to be harmless counts as more than reading, and what is missing proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from crypto_pipeline.credentials import KeyReport

Answer = Any
"""A decoded JSON value; nothing is assumed of its shape."""

BINANCE_HARMLESS = frozenset({"enableReading", "enableFixReadOnly"})
COINBASE_HARMLESS = frozenset({"can_view"})
BYBIT_FATAL = "Withdraw"

_WORDS = (
    ("withdraw", ("withdraw",)),
    ("transfer", ("transfer",)),
    ("trade", ("trade", "trading", "order", "margin", "futures", "options", "position", "exchangehistory")),
    ("write", ("write", "readonly=0")),
)


def words_for(report: KeyReport) -> str:
    """Return what goes beyond reading in words: `may trade and withdraw (enableFutures, enableWithdrawals)`."""
    found = [
        word for word, signs in _WORDS if any(sign in excess.lower() for excess in report.excess for sign in signs)
    ]
    said = " and ".join(sorted(found)) if found else "do more than read"
    return f"may {said} ({', '.join(report.excess)})"


def judge_binance(answer: Answer) -> KeyReport:
    """Judge GET /sapi/v1/account/apiRestrictions (Binance wallet document "Get API Key Permission")."""
    fields = _fields(answer)
    switches = _switches(fields, ("enable", "permits"), neutral="ipRestrict")
    may = tuple(sorted(name for name, value in switches.items() if value is not False))
    reading = fields.get("enableReading")
    return KeyReport(
        issuer="binance",
        may=may,
        excess=tuple(name for name in may if name not in BINANCE_HARMLESS),
        unproven="" if reading is True else _missing("enableReading", reading, "true"),
        ip_bound=_flag(fields.get("ipRestrict")),
        created_at=_from_ms(fields.get("createTime")),
        # The expiry of the *trading* permission, where one is set, says nothing about a read-only key.
    )


def judge_coinbase(answer: Answer) -> KeyReport:
    """Judge GET /api/v3/brokerage/key_permissions (Advanced Trade "Get API Key Permissions")."""
    fields = _fields(answer)
    switches = _switches(fields, ("can_",))
    may = tuple(sorted(name for name, value in switches.items() if value is not False))
    missing = [name for name in ("can_view", "can_trade", "can_transfer") if name not in fields]
    unproven = f"{missing[0]} is missing from its answer" if missing else ""
    if not unproven and fields["can_view"] is not True:
        unproven = _missing("can_view", fields["can_view"], "true")
    return KeyReport(
        issuer="coinbase",
        may=may,
        excess=tuple(name for name in may if name not in COINBASE_HARMLESS),
        unproven=unproven,
    )


def judge_okx(answer: Answer) -> KeyReport:
    """Judge GET /api/v5/account/config (OKX v5 "Get account configuration"): `perm` must be `read_only` alone."""
    rows = _fields(answer).get("data")
    fields = _fields(rows[0]) if isinstance(rows, list) and len(rows) == 1 else {}
    perm, ip, label = fields.get("perm"), fields.get("ip"), fields.get("label")
    words = [word.strip() for word in perm.split(",")] if isinstance(perm, str) else []
    may = tuple(sorted({word for word in words if word}))
    addresses = _addresses(ip.split(",")) if isinstance(ip, str) else ()
    return KeyReport(
        issuer="okx",
        may=may,
        excess=tuple(word for word in may if word != "read_only"),
        unproven="" if "read_only" in may else _missing("perm", perm, "read_only"),
        ip_bound=bool(addresses) if isinstance(ip, str) else None,
        addresses=addresses,
        label=label if isinstance(label, str) else "",
    )


def judge_bybit(answer: Answer) -> KeyReport:
    """
    Judge GET /v5/user/query-api (Bybit v5 "Get API Key Information").

    The lists name areas, `readOnly` decides between reading and writing; a key that lists
    withdrawals, or an area that the documents do not know, is refused even then.
    """
    fields = _fields(_fields(answer).get("result"))
    read_only, permissions = fields.get("readOnly"), fields.get("permissions")
    groups = permissions if isinstance(permissions, Mapping) else {}
    listed = tuple(sorted(f"{group}.{entry}" for group, entries in groups.items() for entry in _entries(entries)))
    excess = [entry for entry in listed if BYBIT_FATAL.lower() in entry.lower() or _is_unknown(entry)]
    # bool is an int in Python, but `true` is not what the documents give.
    is_one = type(read_only) is int and read_only == 1
    if type(read_only) is int and read_only != 1:
        excess = [f"readOnly={read_only}", *listed]
    unproven = "" if is_one or excess else _missing("readOnly", read_only, "1")
    if not unproven and not isinstance(permissions, Mapping):
        unproven = _missing("permissions", permissions, "an object")
    bound = fields.get("ips")
    addresses = _addresses(bound) if isinstance(bound, list) else ()
    return KeyReport(
        issuer="bybit",
        may=("read", *listed) if is_one else listed,
        excess=tuple(excess),
        unproven=unproven,
        ip_bound=bool(addresses) if isinstance(bound, list) else None,
        addresses=addresses,
        created_at=_from_iso(fields.get("createdAt")),
        expires_at=_bybit_expiry(fields),
        label=str(fields.get("note", "")) if isinstance(fields.get("note"), str) else "",
    )


def judge_huggingface(answer: Answer) -> KeyReport:
    """Judge GET /api/whoami-v2 (Hugging Face Hub): the role must be read, or every fine-grained scope a read."""
    token = _fields(_fields(_fields(answer).get("auth")).get("accessToken"))
    role, label = token.get("role"), token.get("displayName")
    scopes = _fine_grained(token.get("fineGrained")) if role == "fineGrained" else ()
    may = scopes if scopes else ((role,) if isinstance(role, str) and role else ())
    excess = tuple(entry for entry in may if entry != "read" and not entry.endswith(".read"))
    return KeyReport(
        issuer="huggingface",
        may=tuple(sorted(may)),
        excess=tuple(sorted(excess)),
        unproven="" if may else _missing("role", role, "read"),
        created_at=_from_iso(token.get("createdAt")),
        label=label if isinstance(label, str) else "",
    )


BYBIT_KNOWN = frozenset(
    {
        "ContractTrade.Order", "ContractTrade.Position", "Spot.SpotTrade", "Wallet.AccountTransfer",
        "Wallet.SubMemberTransfer", "Wallet.SubMemberTransferList", "Wallet.Withdraw", "Options.OptionsTrade",
        "Derivatives.DerivativesTrade", "Exchange.ExchangeHistory", "Earn.Earn", "FiatP2P.FiatP2POrder",
        "FiatP2P.Advertising", "FiatBitPay.FaitPayOrder", "FiatConvertBroker.FiatConvertBrokerOrder",
        "BlockTrade.BlockTrade", "CopyTrading.CopyTrading", "NFT.NFTQueryProductList", "Affiliate.Affiliate",
        "BitCard.BitCard", "ByXPost.ByXPost", "FiatGlobalPay.FiatGlobalPayOrder",
    }
)  # fmt: skip
"""What Bybit's documents list; a read-only key may name these areas, because it only reads them."""


def _is_unknown(entry: str) -> bool:
    group = entry.partition(".")[0]
    return not any(known.partition(".")[0] == group for known in BYBIT_KNOWN)


def _bybit_expiry(fields: Mapping[str, Any]) -> datetime | None:
    """Return the key's end; a key with bound addresses shows 1970 and -2 days, which means never."""
    expires = _from_iso(fields.get("expiredAt"))
    never = fields.get("deadlineDay") == -2 or (expires is not None and expires.year < 2000)
    return None if never else expires


def _fine_grained(value: Answer) -> tuple[str, ...]:
    fields = _fields(value)
    found = list(_entries(fields.get("global", [])))
    scoped = fields.get("scoped", [])
    for scope in scoped if isinstance(scoped, list) else ["unreadable scopes"]:
        found += _entries(_fields(scope).get("permissions", "unreadable scope"))
    return tuple(found)


def _fields(value: Answer) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _entries(value: Answer) -> Sequence[str]:
    """Return the texts of a list; anything else becomes an entry that nobody knows."""
    if isinstance(value, list):
        return [entry if isinstance(entry, str) else f"unreadable {entry!r:.20}" for entry in value]
    return [f"unreadable {value!r:.20}"]


def _switches(fields: Mapping[str, Any], prefixes: tuple[str, ...], *, neutral: str = "") -> dict[str, Any]:
    """Return what may be a permission: by its name, or because it is true and nobody knows it."""
    return {
        name: value
        for name, value in fields.items()
        if name != neutral and (name.lower().startswith(prefixes) or value is True)
    }


def _flag(value: Answer) -> bool | None:
    return value if isinstance(value, bool) else None


def _missing(name: str, value: Answer, wanted: str) -> str:
    return f"{name} is missing from its answer" if value is None else f"{name} is not {wanted} in its answer"


def _addresses(values: Sequence[Any]) -> tuple[str, ...]:
    """Return the bound addresses; `*` means that the key is not bound."""
    found = [value.strip() for value in values if isinstance(value, str) and value.strip()]
    return () if "*" in found else tuple(found)


def _from_ms(value: Answer) -> datetime | None:
    if type(value) is not int or not 0 < value < 10**14:
        return None
    return datetime.fromtimestamp(value / 1000, UTC)


def _from_iso(value: Answer) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
