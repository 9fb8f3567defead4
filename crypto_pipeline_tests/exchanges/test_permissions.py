"""What each issuer's answer says a key may do: tables of answers, and rules that hold for every answer."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_pipeline.credentials import KeyReport
from crypto_pipeline.exchanges.permissions import (
    BINANCE_HARMLESS,
    BINANCE_MUST_BE_FALSE,
    BINANCE_NEUTRAL,
    BYBIT_AREAS,
    UNREADABLE,
    judge_binance,
    judge_bybit,
    judge_coinbase,
    judge_huggingface,
    judge_okx,
    words_for,
)

Judge = Callable[[Any], KeyReport]

BINANCE: dict[str, Any] = {
    "ipRestrict": True,
    "createTime": 1698645219000,
    "enableReading": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "permitsUniversalTransfer": False,
    "enableSpotAndMarginTrading": False,
    "enableMargin": False,
    "enableFutures": False,
    "enableVanillaOptions": False,
    "enablePortfolioMarginTrading": False,
    "enableFixApiTrade": False,
    "enableFixReadOnly": False,
}
COINBASE: dict[str, Any] = {
    "can_view": True,
    "can_trade": False,
    "can_transfer": False,
    "portfolio_uuid": "1b8a1f2e-0000-4000-8000-000000000001",
    "portfolio_type": "DEFAULT",
}
OKX: dict[str, Any] = {
    "code": "0",
    "data": [{"perm": "read_only", "ip": "203.0.113.7,2001:db8::/64", "label": "reader", "uid": "1", "acctLv": "1"}],
    "msg": "",
}
BYBIT: dict[str, Any] = {
    "retCode": 0,
    "retMsg": "",
    "result": {
        "id": "13770661",
        "note": "reader",
        "apiKey": "XXXXXX",
        "readOnly": 1,
        "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"],
            "Spot": ["SpotTrade"],
            "Wallet": ["AccountTransfer", "SubMemberTransferList"],
            "Options": ["OptionsTrade"],
            "CopyTrading": [],
            "Earn": ["Earn"],
            "FiatGlobalPay": ["FiatGlobalPayOrder"],
            "NFT": [],
        },
        "ips": ["203.0.113.7"],
        "type": 1,
        "deadlineDay": -2,
        "expiredAt": "1970-01-01T00:00:00Z",
        "createdAt": "2026-05-20T07:22:53Z",
        "uta": 1,
        "isMaster": True,
    },
}
HUGGINGFACE: dict[str, Any] = {
    "type": "user",
    "name": "reader",
    "auth": {
        "type": "access_token",
        "accessToken": {"displayName": "reader", "role": "read", "createdAt": "2026-05-20T07:22:53.000Z"},
    },
}
FINE_GRAINED = {
    "canReadGatedRepos": True,
    "global": [],
    "scoped": [{"entity": {"_id": "1", "type": "user", "name": "reader"}, "permissions": ["repo.content.read"]}],
}

ACCEPTED: dict[Judge, dict[str, Any]] = {
    judge_binance: BINANCE,
    judge_coinbase: COINBASE,
    judge_okx: OKX,
    judge_bybit: BYBIT,
    judge_huggingface: HUGGINGFACE,
}
"""A key of each issuer that may only read, as its documents show it."""


class Missing:
    """Stands for a field that is not there; its name is the same in every process."""

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()


def changed(answer: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy in which the field at `path` (`data.0.perm`) has this value, or is missing."""
    copied = copy.deepcopy(answer)
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = copied
    for step in way:
        place = place[step]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return copied


def case(judge: Judge, path: str, value: object, *said: str, id: str) -> Any:  # noqa: A002 - pytest's word
    """Return a case for pytest: the accepted answer with one field changed, and what is to be said of it."""
    return pytest.param(judge, changed(ACCEPTED[judge], path, value), *said, id=id)


@pytest.mark.parametrize("judge", ACCEPTED, ids=lambda judge: judge.__name__)
def test_a_key_that_may_only_read_is_accepted(judge: Judge) -> None:
    report = judge(ACCEPTED[judge])

    assert report.is_read_only
    assert report.excess == ()
    assert report.unproven == ""
    assert list(report.may) == sorted(report.may)


REFUSED = [
    # Binance: any switch but the harmless ones, and anything that is not a plain `false`
    *[
        case(judge_binance, name, True, name, id=f"Binance, {name}")
        for name in BINANCE
        if name not in BINANCE_HARMLESS | BINANCE_NEUTRAL
    ],
    case(judge_binance, "enableStaking", True, "enableStaking", id="Binance, a new switch"),
    case(judge_binance, "permitsAll", True, "permitsAll", id="Binance, a new permit"),
    case(judge_binance, "EnableX", 0, "EnableX", id="Binance, a switch in another case"),
    case(judge_binance, "canTrade", True, "canTrade", id="Binance, a new word that is true"),
    case(judge_binance, "canTrade", "true", "canTrade", id="Binance, a new word that says so"),
    case(judge_binance, "more", {"trade": 1}, "more", id="Binance, a yes further down"),
    case(judge_binance, "more", [["on"]], "more", id="Binance, a yes in lists"),
    case(judge_binance, "more", json.loads("[" * 300 + "]" * 300), "more", id="Binance, too deep to look into"),
    case(judge_binance, "enableFutures", "false", "enableFutures", id="Binance, false as text"),
    case(judge_binance, "enableFutures", 0, "enableFutures", id="Binance, 0 for false"),
    case(judge_binance, "enableFutures", None, "enableFutures", id="Binance, null for false"),
    # Coinbase
    case(judge_coinbase, "can_trade", True, "can_trade", id="Coinbase, trade"),
    case(judge_coinbase, "can_transfer", True, "can_transfer", id="Coinbase, transfer"),
    case(judge_coinbase, "can_receive", True, "can_receive", id="Coinbase, a new switch"),
    case(judge_coinbase, "can_trade", "false", "can_trade", id="Coinbase, false as text"),
    case(judge_coinbase, "can_trade", 0, "can_trade", id="Coinbase, 0 for false"),
    case(judge_coinbase, "canStake", True, "canStake", id="Coinbase, another spelling"),
    case(judge_coinbase, "admin", True, "admin", id="Coinbase, a new word that is true"),
    # OKX
    *[
        case(judge_okx, "data.0.perm", perm, word, id=f"OKX, {perm}")
        for perm, word in [
            ("trade", "trade"),
            ("read_only,trade", "trade"),
            ("withdraw,trade,read_only", "withdraw"),
            ("read_only, trade", "trade"),
            ("read_only,stake", "stake"),
            ("read_only,READ_ONLY", "READ_ONLY"),
            ("read_only,Read Only", UNREADABLE),
        ]
    ],
    # Bybit: readOnly decides, and two things refuse even then
    case(judge_bybit, "result.readOnly", 0, "readOnly=0", id="Bybit, read-write"),
    case(judge_bybit, "result.readOnly", 2, "readOnly=other", id="Bybit, a mode nobody knows"),
    case(judge_bybit, "result.readOnly", -1, "readOnly=other", id="Bybit, a mode below zero"),
    case(judge_bybit, "result.readOnly", 10**30, "readOnly=other", id="Bybit, a huge mode"),
    case(
        judge_bybit,
        "result.permissions.Wallet",
        ["Withdraw"],
        "Wallet.Withdraw",
        id="Bybit, a read-only key that lists withdrawals",
    ),
    case(
        judge_bybit,
        "result.permissions.Earn",
        ["AutoWithdrawal"],
        "Earn.AutoWithdrawal",
        id="Bybit, a withdrawal somewhere else",
    ),
    case(
        judge_bybit,
        "result.permissions.Custody",
        ["CustodyTransfer"],
        "Custody.CustodyTransfer",
        id="Bybit, an area nobody knows",
    ),
    case(
        judge_bybit,
        "result.permissions.spot",
        ["SpotTrade"],
        "spot.SpotTrade",
        id="Bybit, another case",
    ),
    case(judge_bybit, "result.permissions.Spot", "SpotTrade", UNREADABLE, id="Bybit, an area as text"),
    case(judge_bybit, "result.permissions.Spot", [{"SpotTrade": 1}], UNREADABLE, id="Bybit, no text"),
    case(judge_bybit, "result.permissions.Spot", True, UNREADABLE, id="Bybit, an area that is true"),
    # Hugging Face
    *[
        case(judge_huggingface, "auth.accessToken.role", role, said, id=f"Hub, role {role}")
        for role, said in [("write", "write"), ("admin", "admin"), ("god", "god"), ("READ", "READ"), (1, UNREADABLE)]
    ],
    *[
        pytest.param(
            judge_huggingface,
            changed(
                changed(HUGGINGFACE, "auth.accessToken.role", role),
                "auth.accessToken.fineGrained",
                changed(FINE_GRAINED, path, value),
            ),
            said,
            id=f"Hub, {role} with {said} in {path}",
        )
        for role in ("fineGrained", "read")
        for path, value, said in [
            ("scoped.0.permissions", ["repo.content.read", "repo.write"], "repo.write"),
            ("scoped.0.permissions", ["repo.readwrite"], "repo.readwrite"),
            ("scoped.0.permissions", "repo.content.read", UNREADABLE),
            ("scoped.0.permissions", [None], UNREADABLE),
            ("scoped.0.permissions", MISSING, UNREADABLE),
            ("scoped.0", "repo.write", UNREADABLE),
            ("scoped", {"repo.write": True}, UNREADABLE),
            ("global", ["discussion.write"], "discussion.write"),
            ("global", "discussion.write", UNREADABLE),
            ("canWrite", True, "canWrite"),
            ("canPay", "no", "canPay"),
            ("admin", {"of": [1]}, "admin"),
        ]
    ],
    *[
        pytest.param(
            judge_huggingface,
            changed(changed(HUGGINGFACE, "auth.accessToken.role", "fineGrained"), "auth.accessToken.fineGrained", odd),
            UNREADABLE,
            id=f"Hub, scopes that are {odd!r}",
        )
        for odd in (["repo.content.read"], "read", 1, True)
    ],
]


@pytest.mark.parametrize(("judge", "answer", "excess"), REFUSED)
def test_a_key_that_may_do_more_is_refused_by_name(judge: Judge, answer: dict[str, Any], excess: str) -> None:
    report = judge(json.loads(json.dumps(answer), parse_float=Decimal))

    assert not report.is_read_only
    assert excess in report.excess
    assert set(report.excess) <= set(report.may)
    assert list(report.excess) == sorted(report.excess)


NO_SCOPES: tuple[Any, ...] = (None, {}, {"global": [], "scoped": []})

UNPROVEN = [
    *[
        case(judge_binance, name, MISSING, f"{name} is missing", id=f"Binance, no {name}")
        for name in ("enableReading", *BINANCE_MUST_BE_FALSE)
    ],
    *[
        case(judge_binance, "enableReading", odd, "enableReading is", id=f"Binance, {odd!r}")
        for odd in (False, None, "true", 1, 1.0, [True], {"true": True})
    ],
    *[
        case(judge_coinbase, name, MISSING, f"{name} is missing", id=f"Coinbase, no {name}")
        for name in ("can_view", "can_trade", "can_transfer")
    ],
    *[
        case(judge_coinbase, "can_view", odd, "can_view is", id=f"Coinbase, {odd!r}")
        for odd in (False, None, "true", 1, "yes")
    ],
    *[
        case(judge_okx, "data.0.perm", odd, "perm is", id=f"OKX, {odd!r}")
        for odd in (MISSING, None, "", ",", " , ", ["read_only"], {"read_only": True}, True, 1)
    ],
    case(judge_okx, "data", [], "perm is missing", id="OKX, no rows"),
    case(judge_okx, "data", OKX["data"] * 2, "perm is missing", id="OKX, two rows"),
    case(judge_okx, "data", OKX["data"][0], "perm is missing", id="OKX, no list"),
    case(judge_okx, "data.0", "read_only", "perm is missing", id="OKX, a row that is a text"),
    *[
        case(judge_bybit, "result.readOnly", odd, "readOnly is", id=f"Bybit, {odd!r}")
        for odd in (MISSING, None, "1", True, 1.0, [1], {"1": 1})
    ],
    *[
        case(judge_bybit, "result.permissions", odd, "permissions is", id=f"Bybit, areas {odd!r}")
        for odd in (MISSING, None, ["Spot"], "Spot", 0)
    ],
    case(judge_bybit, "result", [], "readOnly is missing", id="Bybit, no result"),
    *[
        case(judge_huggingface, "auth.accessToken.role", odd, "role is missing", id=f"Hub, {odd!r}")
        for odd in (MISSING, None, "", 0, False)
    ],
    case(judge_huggingface, "auth", MISSING, "role is missing", id="Hub, no auth"),
    case(
        judge_huggingface,
        "auth.accessToken",
        "read",
        "role is missing",
        id="Hub, a token as text",
    ),
    *[
        pytest.param(
            judge_huggingface,
            changed(
                changed(HUGGINGFACE, "auth.accessToken.role", "fineGrained"), "auth.accessToken.fineGrained", scopes
            ),
            "no scopes",
            id=f"Hub, fine-grained with {scopes!r}",
        )
        for scopes in NO_SCOPES
    ],
]


@pytest.mark.parametrize(("judge", "answer", "why"), UNPROVEN)
def test_an_answer_that_leaves_the_question_open_proves_nothing(judge: Judge, answer: dict[str, Any], why: str) -> None:
    report = judge(json.loads(json.dumps(answer), parse_float=Decimal))

    assert not report.is_read_only
    assert why in report.unproven


@pytest.mark.parametrize("answer", [None, [], "", 1, True, {}, [BINANCE], "read"], ids=repr)
@pytest.mark.parametrize("judge", ACCEPTED, ids=lambda judge: judge.__name__)
def test_an_answer_of_another_shape_proves_nothing(judge: Judge, answer: object) -> None:
    report = judge(answer)

    assert not report.is_read_only
    assert report.unproven


HARMLESS = [
    case(judge_binance, "enableFixReadOnly", True, id="Binance, FIX for reading"),
    case(judge_binance, "enableFixApiTrade", MISSING, id="Binance, a newer switch is absent"),
    case(judge_binance, "tradingAuthorityExpirationTime", 1, id="Binance, the old time"),
    case(judge_binance, "apiName", "truest", id="Binance, a new label"),
    case(judge_binance, "lastUsed", 1698645219001, id="Binance, a new time"),
    case(judge_coinbase, "portfolio_type", "UNDEFINED", id="Coinbase, another portfolio"),
    case(judge_okx, "data.0.perm", " read_only ,", id="OKX, blanks and a comma"),
    case(judge_okx, "data.0.enableSpotBorrow", True, id="OKX, a setting of the account"),
    case(judge_bybit, "result.permissions", {}, id="Bybit, no areas at all"),
    case(judge_bybit, "result.permissions.Custody", [], id="Bybit, a new area that is empty"),
    pytest.param(
        judge_huggingface,
        changed(
            changed(HUGGINGFACE, "auth.accessToken.role", "fineGrained"), "auth.accessToken.fineGrained", FINE_GRAINED
        ),
        id="Hub, fine-grained reading",
    ),
    case(judge_huggingface, "auth.accessToken.fineGrained", FINE_GRAINED, id="Hub, read and scopes"),
]


@pytest.mark.parametrize(("judge", "answer"), HARMLESS)
def test_what_says_nothing_of_permissions_does_not_refuse(judge: Judge, answer: dict[str, Any]) -> None:
    """A pipeline that stops for a new label would be switched off."""
    report = judge(answer)

    assert report.is_read_only, report


# Rules that hold for every answer...

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,20}", fullmatch=True)


@given(answer=JSON)
@pytest.mark.parametrize("judge", ACCEPTED, ids=lambda judge: judge.__name__)
def test_no_answer_breaks_the_judge_and_none_by_chance_is_accepted(judge: Judge, answer: object) -> None:
    assert not judge(answer).is_read_only


@given(name=NAMES, value=st.sampled_from([True, "true", "TRUE", "yes", 1, [True], {"x": "on"}]))
@pytest.mark.parametrize("judge", [judge_binance, judge_coinbase], ids=lambda judge: judge.__name__)
def test_any_switch_more_that_says_yes_refuses(judge: Judge, name: str, value: object) -> None:
    accepted = ACCEPTED[judge]
    if name in accepted or name in BINANCE_NEUTRAL | BINANCE_HARMLESS:
        return

    report = judge({**accepted, name: value})

    assert not report.is_read_only
    assert name in report.excess


@given(word=NAMES, place=st.integers(0, 2))
def test_any_word_more_of_okx_refuses(word: str, place: int) -> None:
    if word == "read_only":
        return
    words = ["read_only"]
    words.insert(place, word)

    report = judge_okx(changed(OKX, "data.0.perm", ",".join(words)))

    assert report.excess == (word,)


@given(group=NAMES, entry=NAMES)
def test_any_area_of_bybit_that_nobody_knows_refuses(group: str, entry: str) -> None:
    if group in BYBIT_AREAS:
        return

    report = judge_bybit(changed(BYBIT, f"result.permissions.{group}", [entry]))

    assert report.excess == (f"{group}.{entry}",)


@given(scope=NAMES)
def test_any_scope_of_the_hub_that_is_not_called_reading_refuses(scope: str) -> None:
    if scope in {"read", "canReadGatedRepos"}:
        return
    token = {"role": "fineGrained", "fineGrained": changed(FINE_GRAINED, "global", [scope])}

    report = judge_huggingface({"auth": {"accessToken": token}})

    assert report.excess == (scope,)


@given(dropped=st.sets(st.sampled_from(["enableReading", *BINANCE_MUST_BE_FALSE]), min_size=1))
def test_whatever_binance_leaves_out_refuses(dropped: set[str]) -> None:
    report = judge_binance({name: value for name, value in BINANCE.items() if name not in dropped})

    assert not report.is_read_only


@given(dropped=st.sets(st.sampled_from(["can_view", "can_trade", "can_transfer"]), min_size=1))
def test_whatever_coinbase_leaves_out_refuses(dropped: set[str]) -> None:
    report = judge_coinbase({name: value for name, value in COINBASE.items() if name not in dropped})

    assert not report.is_read_only


# What else is told...


@pytest.mark.parametrize(
    ("judge", "answer", "bound", "addresses"),
    [
        (judge_binance, BINANCE, True, ()),
        (judge_binance, changed(BINANCE, "ipRestrict", False), False, ()),
        (judge_binance, changed(BINANCE, "ipRestrict", MISSING), None, ()),
        (judge_binance, changed(BINANCE, "ipRestrict", 1), None, ()),
        (judge_coinbase, COINBASE, None, ()),
        (judge_okx, OKX, True, ("203.0.113.7", "2001:db8::/64")),
        (judge_okx, changed(OKX, "data.0.ip", ""), False, ()),
        (judge_okx, changed(OKX, "data.0.ip", MISSING), None, ()),
        (judge_bybit, BYBIT, True, ("203.0.113.7",)),
        (judge_bybit, changed(BYBIT, "result.ips", ["*"]), False, ()),
        (judge_bybit, changed(BYBIT, "result.ips", []), False, ()),
        (judge_bybit, changed(BYBIT, "result.ips", ["203.0.113.7", "*"]), False, ()),
        (judge_bybit, changed(BYBIT, "result.ips", "*"), None, ()),
        (judge_bybit, changed(BYBIT, "result.ips", [1, " 203.0.113.7 "]), True, ("203.0.113.7",)),
        (judge_huggingface, HUGGINGFACE, None, ()),
    ],
)
def test_whether_a_key_is_bound_is_told_where_the_issuer_says_it(
    judge: Judge, answer: dict[str, Any], *, bound: bool | None, addresses: tuple[str, ...]
) -> None:
    report = judge(answer)

    assert report.is_read_only
    assert report.ip_bound is bound
    assert report.addresses == addresses


MAY_2026 = datetime(2026, 5, 20, 7, 22, 53, tzinfo=UTC)


@pytest.mark.parametrize(
    ("judge", "answer", "made"),
    [
        (judge_binance, BINANCE, datetime(2023, 10, 30, 5, 53, 39, tzinfo=UTC)),
        (judge_binance, changed(BINANCE, "createTime", MISSING), None),
        (judge_binance, changed(BINANCE, "createTime", "1698645219000"), None),
        (judge_binance, changed(BINANCE, "createTime", True), None),
        (judge_binance, changed(BINANCE, "createTime", 10**20), None),
        (judge_coinbase, COINBASE, None),
        (judge_okx, OKX, None),
        (judge_bybit, BYBIT, MAY_2026),
        (judge_bybit, changed(BYBIT, "result.createdAt", "2026-05-20T07:22:53"), MAY_2026),
        (judge_bybit, changed(BYBIT, "result.createdAt", "2026-05-20T09:22:53+02:00"), MAY_2026),
        (judge_bybit, changed(BYBIT, "result.createdAt", "yesterday"), None),
        (judge_bybit, changed(BYBIT, "result.createdAt", 5), None),
        (judge_huggingface, HUGGINGFACE, MAY_2026),
    ],
)
def test_when_a_key_was_made_is_told_where_the_issuer_says_it(
    judge: Judge, answer: dict[str, Any], made: datetime | None
) -> None:
    assert judge(answer).created_at == made


@pytest.mark.parametrize(
    ("ends", "days", "expected"),
    [
        pytest.param("1970-01-01T00:00:00Z", -2, None, id="bound keys never end"),
        pytest.param("1970-01-01T00:00:00Z", 0, None, id="1970 alone means never"),
        pytest.param("2026-08-18T07:22:53Z", -2, None, id="-2 alone means never"),
        pytest.param("2026-08-18T07:22:53Z", 60, datetime(2026, 8, 18, 7, 22, 53, tzinfo=UTC), id="unbound keys end"),
        pytest.param("", 60, None, id="not told"),
    ],
)
def test_when_a_bybit_key_ends(ends: str, days: int, expected: datetime | None) -> None:
    """1970 must not be read as long ago."""
    answer = changed(changed(BYBIT, "result.expiredAt", ends), "result.deadlineDay", days)

    report = judge_bybit(answer)

    assert report.expires_at == expected
    assert report.is_read_only


@pytest.mark.parametrize(
    ("judge", "path"),
    [
        (judge_okx, "data.0.label"),
        (judge_bybit, "result.note"),
        (judge_huggingface, "auth.accessToken.displayName"),
    ],
)
def test_the_owners_label_is_shown_as_one_short_line(judge: Judge, path: str) -> None:
    """It is free text from outside, on its way into a page and a log."""
    accepted = ACCEPTED[judge]

    assert judge(accepted).label == "reader"
    assert judge(changed(accepted, path, "a\nb\x1b[31m" + "c" * 300)).label == "ab[31m" + "c" * 94
    assert judge(changed(accepted, path, 5)).label == ""


@pytest.mark.parametrize(
    ("excess", "words"),
    [
        (("can_trade",), "may trade (can_trade)"),
        (("enableFutures", "enableWithdrawals"), "may trade and withdraw (enableFutures, enableWithdrawals)"),
        (
            ("Spot.SpotTrade", "Wallet.AccountTransfer", "Wallet.Withdraw", "readOnly=0"),
            (
                "may trade, transfer, withdraw and write "
                "(Spot.SpotTrade, Wallet.AccountTransfer, Wallet.Withdraw, readOnly=0)"
            ),
        ),
        (("enableStaking",), "may do more than read (enableStaking)"),
        (("repo.write",), "may write (repo.write)"),
        (tuple("abcdefghij"), "may do more than read (a, b, c, d, e, f, g, h, and 2 more)"),
    ],
)
def test_what_goes_beyond_reading_is_said_in_words(excess: tuple[str, ...], words: str) -> None:
    assert words_for(KeyReport("issuer", may=excess, excess=excess)) == words


@given(name=st.text(min_size=1, max_size=80))
def test_a_name_from_outside_brings_no_text_of_its_own_into_a_message(name: str) -> None:
    """Line breaks in a log, markup in a page: only a plain name is repeated."""
    report = judge_coinbase({**COINBASE, name: True})

    assert all(entry == UNREADABLE or entry.replace("_", "").replace(".", "").isascii() for entry in report.excess)
    assert not any(character in words_for(report) for character in '\n\r<>"&')
