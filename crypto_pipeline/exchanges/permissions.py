"""
What an issuer's answer says a key may do, and whether that is reading only.

Pure rules over the decoded answers of the permission endpoints. All are allow-lists: what is not
known to be harmless counts as more than reading, and what is missing or odd proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from crypto_pipeline.credentials import KeyReport

Answer = Any
"""A decoded JSON value; nothing is assumed of its shape."""

BINANCE_HARMLESS = frozenset({"enableReading", "enableFixReadOnly"})
BINANCE_NEUTRAL = frozenset({"ipRestrict", "createTime", "tradingAuthorityExpirationTime"})
BINANCE_MUST_BE_FALSE = (
    "enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer", "enableSpotAndMarginTrading",
    "enableMargin", "enableFutures", "enableVanillaOptions",
)  # fmt: skip
"""What every answer has had for years; the document's newer switches may be absent, but not true."""

COINBASE_HARMLESS = frozenset({"can_view"})
COINBASE_MUST_BE_FALSE = ("can_trade", "can_transfer")

BYBIT_AREAS = frozenset(
    {
        "Affiliate", "BitCard", "BlockTrade", "ByXPost", "ContractTrade", "CopyTrading", "Derivatives", "Earn",
        "Exchange", "FiatBitPay", "FiatConvertBroker", "FiatGlobalPay", "FiatP2P", "NFT", "Options", "Spot", "Wallet",
    }
)  # fmt: skip
"""What Bybit's documents list; a read-only key may name these areas, because it only reads them."""
BYBIT_FATAL = "withdraw"

HUGGINGFACE_HARMLESS = frozenset({"canReadGatedRepos"})

UNREADABLE = "something unreadable"
MOST_SHOWN = 8
DEEPEST = 5
_PLAIN = re.compile(r"[A-Za-z0-9_.\-=]{1,60}")

_WORDS = (
    ("trade", ("trade", "trading", "order", "margin", "futures", "options", "position")),
    ("transfer", ("transfer",)),
    ("withdraw", ("withdraw",)),
    ("write", ("write", "readonly=")),
)


def words_for(report: KeyReport) -> str:
    """Return what goes beyond reading in words: `may trade and withdraw (enableFutures, enableWithdrawals)`."""
    found = [
        word for word, signs in _WORDS if any(sign in excess.lower() for excess in report.excess for sign in signs)
    ]
    said = " and ".join(filter(None, [", ".join(found[:-1]), *found[-1:]])) or "do more than read"
    more = len(report.excess) - MOST_SHOWN
    shown = [*report.excess[:MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])]
    return f"may {said} ({', '.join(shown)})"


def judge_binance(answer: Answer) -> KeyReport:
    """Judge GET /sapi/v1/account/apiRestrictions (Binance wallet document "Get API Key Permission")."""
    fields = _fields(answer)
    may = _granted(fields, prefixes=("enable", "permits"), neutral=BINANCE_NEUTRAL)
    return KeyReport(
        issuer="binance",
        may=may,
        excess=tuple(name for name in may if name not in BINANCE_HARMLESS),
        unproven=_not_true(fields, "enableReading") or _not_false(fields, BINANCE_MUST_BE_FALSE),
        ip_bound=_flag(fields.get("ipRestrict")),
        created_at=_from_ms(fields.get("createTime")),
        # The expiry of the *trading* permission, where one is set, says nothing about a read-only key.
    )


def judge_coinbase(answer: Answer) -> KeyReport:
    """Judge GET /api/v3/brokerage/key_permissions (Advanced Trade "Get API Key Permissions")."""
    fields = _fields(answer)
    may = _granted(fields, prefixes=("can",))
    return KeyReport(
        issuer="coinbase",
        may=may,
        excess=tuple(name for name in may if name not in COINBASE_HARMLESS),
        unproven=_not_true(fields, "can_view") or _not_false(fields, COINBASE_MUST_BE_FALSE),
    )


def judge_okx(answer: Answer) -> KeyReport:
    """Judge GET /api/v5/account/config (OKX v5 "Get account configuration"): `perm` must be `read_only` alone."""
    rows = _fields(answer).get("data")
    fields = _fields(rows[0]) if isinstance(rows, list) and len(rows) == 1 else {}
    perm, ip = fields.get("perm"), fields.get("ip")
    words = [word.strip() for word in perm.split(",")] if isinstance(perm, str) else []
    may = _sorted(_shown(word) for word in words if word)
    addresses = _addresses(ip.split(",")) if isinstance(ip, str) else ()
    return KeyReport(
        issuer="okx",
        may=may,
        excess=tuple(word for word in may if word != "read_only"),
        unproven="" if "read_only" in may else _missing("perm", perm, "read_only"),
        ip_bound=bool(addresses) if isinstance(ip, str) else None,
        addresses=addresses,
        label=_text(fields.get("label")),
    )


def judge_bybit(answer: Answer) -> KeyReport:
    """
    Judge GET /v5/user/query-api (Bybit v5 "Get API Key Information").

    The lists name areas, `readOnly` decides between reading and writing; a key that lists
    withdrawals, or an area that the documents do not know, is refused even then.
    """
    fields = _fields(_fields(answer).get("result"))
    read_only, permissions, bound = fields.get("readOnly"), fields.get("permissions"), fields.get("ips")
    listed, mode = _sorted(_listed(_fields(permissions))), _bybit_mode(read_only)
    may = _sorted([*listed, mode] if mode else listed)
    fatal = [entry for entry in listed if BYBIT_FATAL in entry.lower() or entry.partition(".")[0] not in BYBIT_AREAS]
    unproven = "" if mode else _missing("readOnly", read_only, "1")
    if not isinstance(permissions, Mapping):
        unproven = unproven or _missing("permissions", permissions, "an object")
    addresses = _addresses(bound) if isinstance(bound, list) else ()
    return KeyReport(
        issuer="bybit",
        may=may,
        excess=tuple(fatal) if mode in {"read", ""} else may,
        unproven=unproven,
        ip_bound=bool(addresses) if isinstance(bound, list) else None,
        addresses=addresses,
        created_at=_from_iso(fields.get("createdAt")),
        expires_at=_bybit_expiry(fields),
        label=_text(fields.get("note")),
    )


def judge_huggingface(answer: Answer) -> KeyReport:
    """Judge GET /api/whoami-v2 (Hugging Face Hub): the role must be read, or every fine-grained scope a read."""
    token = _fields(_fields(_fields(answer).get("auth")).get("accessToken"))
    role, scopes = token.get("role"), _sorted(_scopes(token.get("fineGrained")))
    named = _shown(role) if role else ""
    # A fine-grained token may what its scopes say; one without any says nothing.
    may = scopes if named == "fineGrained" else _sorted([*scopes, *([named] if named else [])])
    return KeyReport(
        issuer="huggingface",
        may=may,
        excess=tuple(entry for entry in may if not _only_reads(entry)),
        unproven=("" if may else "it lists no scopes") if named else _missing("role", None, "read"),
        created_at=_from_iso(token.get("createdAt")),
        label=_text(token.get("displayName")),
    )


def _only_reads(entry: str) -> bool:
    return entry == "read" or entry.endswith(".read") or entry in HUGGINGFACE_HARMLESS


def _scopes(value: Answer) -> Iterator[str]:
    """Yield what a fine-grained token may do, and whatever nobody knows about it."""
    if value is None:
        return
    if not isinstance(value, Mapping):
        yield UNREADABLE
    fields = _fields(value)
    yield from _granted(fields, prefixes=("can",), neutral=frozenset({"global", "scoped"}))
    yield from _entries(fields.get("global", []))
    scoped = fields.get("scoped", [])
    for scope in scoped if isinstance(scoped, list) else [UNREADABLE]:
        yield from _entries(_fields(scope).get("permissions"))


def _listed(groups: Mapping[str, Any]) -> Iterator[str]:
    """Yield every entry of every area; an area that cannot be read is an entry that nobody knows."""
    for group, entries in groups.items():
        for entry in _entries(entries):
            yield UNREADABLE if UNREADABLE in {entry, _shown(group)} else f"{_shown(group)}.{entry}"


def _granted(
    fields: Mapping[str, Any], *, prefixes: tuple[str, ...], neutral: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """
    Return what is granted: a switch, by its name, that is not plainly false; any other field that says yes.

    A field that nobody knows and that says something else (a date, a label) grants nothing.
    """
    return _sorted(
        _shown(name)
        for name, value in fields.items()
        if name not in neutral and (value is not False if name.lower().startswith(prefixes) else _says_yes(value))
    )


def _says_yes(value: Answer, depth: int = 0) -> bool:
    """Say whether a value is a yes in any form, or holds one; what lies too deep to look at may be one."""
    if isinstance(value, str):
        return value.strip().lower() in {"true", "yes", "on", "1", "enabled"}
    if isinstance(value, Mapping | list):
        inner = value.values() if isinstance(value, Mapping) else value
        return depth > DEEPEST or any(_says_yes(one, depth + 1) for one in inner)
    return bool(value == 1)  # true, 1 and 1.0 are all equal to it


def _not_true(fields: Mapping[str, Any], name: str) -> str:
    """Return why a switch that must be on proves nothing; empty if it is on."""
    return "" if fields.get(name) is True else _missing(name, fields.get(name), "true")


def _not_false(fields: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return which switch that must be off is not there; one that is on is an excess."""
    missing = next((name for name in names if name not in fields), None)
    return "" if missing is None else _missing(missing, None, "false")


def _missing(name: str, value: Answer, wanted: str) -> str:
    return f"{name} is missing from its answer" if value is None else f"{name} is not {wanted} in its answer"


def _bybit_mode(read_only: Answer) -> str:
    """Return in a word what `readOnly` says; empty if that is nothing the documents give, such as `true`."""
    if type(read_only) is not int:
        return ""
    return {1: "read", 0: "readOnly=0"}.get(read_only, "readOnly=other")


def _bybit_expiry(fields: Mapping[str, Any]) -> datetime | None:
    """Return the key's end; a key with bound addresses shows 1970 and -2 days, which means never."""
    expires = _from_iso(fields.get("expiredAt"))
    never = fields.get("deadlineDay") == -2 or (expires is not None and expires.year < 2000)
    return None if never else expires


def _fields(value: Answer) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _entries(value: Answer) -> Sequence[str]:
    """Return the texts of a list; anything else becomes an entry that nobody knows."""
    return [_shown(entry) for entry in value] if isinstance(value, list) else [UNREADABLE]


def _shown(name: Answer) -> str:
    """Return a name as it may stand in a message and in the record; it comes from outside."""
    return name if isinstance(name, str) and _PLAIN.fullmatch(name) else UNREADABLE


def _text(value: Answer) -> str:
    return "".join(filter(str.isprintable, value))[:100] if isinstance(value, str) else ""


def _sorted(names: Iterator[str] | Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _flag(value: Answer) -> bool | None:
    return value if isinstance(value, bool) else None


def _addresses(values: Sequence[Any]) -> tuple[str, ...]:
    """Return the bound addresses; `*` means that the key is not bound."""
    found = [_text(value).strip() for value in values if isinstance(value, str) and value.strip()]
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
