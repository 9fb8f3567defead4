"""Signed requests to the simulated Binance, and what it says of a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from crypto_pipeline.sandbox.binance import BinanceExchange
from crypto_pipeline.sandbox.interface import Answer
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing
from crypto_pipeline_tests.sandbox.asking import NOW_MS, asked, content, signed_binance, with_headers

RESTRICTIONS = "/sapi/v1/account/apiRestrictions"
DAY_MS = 86_400_000


@pytest.fixture
def keys() -> KeyRing:
    return KeyRing()


@pytest.fixture
def binance(keys: KeyRing) -> BinanceExchange:
    return BinanceExchange(keys)


def refusal(answer: Answer) -> tuple[int, int]:
    return answer.status, content(answer)["code"]


@pytest.mark.parametrize(
    ("sent_ms", "query"),
    [
        (
            1_578_963_600_000,
            "timestamp=1578963600000&signature=d84e6641b1e328e7b418fff030caed655c266299c9355e36ce801ed14631eed4",
        ),
        (
            1_700_000_000_000,
            (
                "timestamp=1700000000000&recvWindow=5000"
                "&signature=1e007ef2535aaa12a2584e410f756c0f06b159ddad46fe71baa45f1ec8c7f9ec"
            ),
        ),
        (
            1_499_827_319_559,
            (
                "symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&side=BUY&type=LIMIT&timeInForce=GTC"
                "&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
                "&signature=e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"
            ),
        ),
    ],
    ids=["from nautilus", "from ccxt 4.5.90", "from rest-api.md, percent-encoded before signing"],
)
def test_a_signature_from_elsewhere_is_accepted(
    keys: KeyRing, binance: BinanceExchange, sent_ms: int, query: str
) -> None:
    """All three are for the key that is printed in Binance's documents."""
    keys.issue(
        "binance",
        KeyKind.READ_ONLY,
        now_ms=sent_ms,
        api_key="vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
        api_secret="NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
    )
    headers = {"x-mbx-apikey": "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"}

    answer = binance.handle(with_headers(asked(RESTRICTIONS, query, now_ms=sent_ms), headers))

    assert answer.status == 200
    assert content(answer)["enableReading"] is True


def test_an_ed25519_signature_from_elsewhere_is_accepted(keys: KeyRing, binance: BinanceExchange) -> None:
    """Computed by ccxt 4.5.90 for the key of RFC 8032's first test."""
    sent_ms = 1_700_000_000_000
    keys.issue(
        "binance",
        KeyKind.READ_ONLY,
        now_ms=sent_ms,
        algorithm="ed25519",
        api_key="ed25519testkey00",
        api_secret="-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
        "-----END PRIVATE KEY-----\n",
    )
    signature = "iZJGnYpkCL69XbwzrgDp34y58mk1770tHxHr3i%2FALsJl9FSdhyAnrrZ796xMbYm%2FHfnFrpoUjnqBfrAqc268Dg%3D%3D"
    query = f"timestamp=1700000000000&recvWindow=5000&signature={signature}"

    answer = binance.handle(
        with_headers(asked(RESTRICTIONS, query, now_ms=sent_ms), {"x-mbx-apikey": "ed25519testkey00"})
    )

    assert answer.status == 200


@pytest.mark.parametrize("algorithm", ["hmac", "ed25519"])
def test_a_key_of_each_family_signs(keys: KeyRing, binance: BinanceExchange, algorithm: str) -> None:
    key = keys.issue("binance", KeyKind.READ_ONLY, now_ms=NOW_MS, algorithm=algorithm)

    assert binance.handle(signed_binance(key)).status == 200


@pytest.mark.parametrize("algorithm", ["hmac", "ed25519"])
@pytest.mark.parametrize("signature", ["00", "%21%21", "d3Jvbmc%3D", "%C3%A9"])
def test_a_wrong_signature_is_refused(keys: KeyRing, binance: BinanceExchange, algorithm: str, signature: str) -> None:
    key = keys.issue("binance", KeyKind.READ_ONLY, now_ms=NOW_MS, algorithm=algorithm)
    request = signed_binance(key)
    forged = replace(request, query=request.query.partition("&signature=")[0] + f"&signature={signature}")

    assert refusal(binance.handle(forged)) == (400, -1022)


def test_a_key_of_another_family_is_refused(keys: KeyRing, binance: BinanceExchange) -> None:
    """Binance takes no P-256 keys."""
    key = keys.issue("binance", KeyKind.READ_ONLY, now_ms=NOW_MS, algorithm="ed25519")
    request = signed_binance(key)
    key.api_secret = KeyRing().issue("coinbase", KeyKind.READ_ONLY, now_ms=NOW_MS).api_secret

    assert refusal(binance.handle(request)) == (400, -1022)


def test_the_query_is_judged_as_it_was_sent(keys: KeyRing, binance: BinanceExchange) -> None:
    """The signature covers the raw text: the same parameters in another order are another text."""
    key = keys.issue("binance", KeyKind.READ_ONLY, now_ms=NOW_MS)
    request = signed_binance(key, query=f"timestamp={NOW_MS}&recvWindow=5000")
    text, signature = request.query.split("&signature=")

    swapped = f"recvWindow=5000&timestamp={NOW_MS}&signature={signature}"
    first = f"signature={signature}&{text}"
    between = f"timestamp={NOW_MS}&signature={signature.upper()}&recvWindow=5000"

    assert refusal(binance.handle(replace(request, query=swapped))) == (400, -1022)
    assert binance.handle(replace(request, query=first)).status == 200
    assert binance.handle(replace(request, query=between)).status == 200


def test_a_body_is_signed_behind_the_query_with_nothing_in_between(keys: KeyRing, binance: BinanceExchange) -> None:
    key = keys.issue("binance", KeyKind.READ_ONLY, now_ms=NOW_MS)
    text = f"timestamp={NOW_MS}"

    def sent(signed: str) -> Answer:
        signature = signed_binance(key, query=signed).query.partition("&signature=")[2]
        request = with_headers(asked(RESTRICTIONS, f"{text}&signature={signature}"), {"x-mbx-apikey": key.api_key})
        return binance.handle(replace(request, body=b"note=1"))

    assert sent(f"{text}note=1").status == 200
    assert refusal(sent(f"{text}&note=1")) == (400, -1022)
    assert refusal(sent(text)) == (400, -1022)


@pytest.mark.parametrize(
    ("headers", "query", "status", "code"),
    [
        ({"x-mbx-apikey": ""}, None, 401, -2014),
        ({"x-mbx-apikey": "short"}, None, 401, -2014),
        ({"x-mbx-apikey": "not-alphanumeric-0123456789"}, None, 401, -2014),
        ({"x-mbx-apikey": "A" * 64}, None, 401, -2015),
        ({}, "recvWindow=5000&signature=00", 400, -1102),
        ({}, "timestamp=soon&signature=00", 400, -1102),
        ({}, f"timestamp={NOW_MS}", 400, -1102),
        ({}, f"timestamp={NOW_MS}&signature=", 400, -1102),
        ({}, f"timestamp={NOW_MS}&recvWindow=wide&signature=00", 400, -1100),
        ({}, f"timestamp={NOW_MS}&recvWindow=60001&signature=00", 400, -1131),
        ({}, f"timestamp={NOW_MS}&recvWindow=60000&signature=00", 400, -1022),
    ],
)
def test_each_fault_of_a_signed_request_has_its_code(
    keys: KeyRing, binance: BinanceExchange, headers: Mapping[str, str], query: str | None, status: int, code: int
) -> None:
    key = keys.issue("binance", KeyKind.READ_ONLY, now_ms=NOW_MS)
    request = signed_binance(key)

    answer = binance.handle(with_headers(replace(request, query=query or request.query), headers))

    assert refusal(answer) == (status, code)


@pytest.mark.parametrize(("skew_ms", "status"), [(-5000, 200), (-5001, 400), (999, 200), (1000, 400)])
def test_a_request_may_be_late_by_its_window_and_early_by_a_second(
    keys: KeyRing, binance: BinanceExchange, skew_ms: int, status: int
) -> None:
    key = keys.issue("binance", KeyKind.READ_ONLY, now_ms=NOW_MS)

    answer = binance.handle(signed_binance(key, sent_ms=NOW_MS + skew_ms))

    assert answer.status == status
    if status == 400:
        side = "1000ms ahead of the server's time." if skew_ms > 0 else "outside of the recvWindow."
        assert content(answer)["code"] == -1021
        assert content(answer)["msg"].endswith(side)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (f"timestamp={NOW_MS - 5000}", 200),
        (f"timestamp={NOW_MS - 5001}", 400),
        (f"timestamp={NOW_MS - 2}&recvWindow=1.5", 400),
        (f"timestamp={NOW_MS - 1}&recvWindow=1.5", 200),
        (f"timestamp={NOW_MS}000&recvWindow=5000", 200),
    ],
    ids=["five seconds are usual", "and no more", "half a millisecond counts", "within it", "in microseconds"],
)
def test_the_window_is_what_was_asked_for(keys: KeyRing, binance: BinanceExchange, query: str, status: int) -> None:
    key = keys.issue("binance", KeyKind.READ_ONLY, now_ms=NOW_MS)

    assert binance.handle(signed_binance(key, query=query)).status == status


@pytest.mark.parametrize("kind", [KeyKind.REVOKED, KeyKind.EXPIRED])
def test_a_key_that_is_no_more_is_refused(keys: KeyRing, binance: BinanceExchange, kind: KeyKind) -> None:
    key = keys.issue("binance", kind, now_ms=NOW_MS)

    assert refusal(binance.handle(signed_binance(key))) == (401, -2015)


def test_a_key_bound_to_other_addresses_is_refused_like_an_unknown_one(keys: KeyRing, binance: BinanceExchange) -> None:
    key = keys.issue("binance", KeyKind.READ_ONLY, now_ms=NOW_MS, addresses=("10.0.0.1",))

    assert refusal(binance.handle(signed_binance(key))) == (401, -2015)


@pytest.mark.parametrize(
    ("kind", "granted"),
    [
        (KeyKind.READ_ONLY, {"enableReading"}),
        (KeyKind.OLD, {"enableReading"}),
        (KeyKind.MAY_TRADE, {"enableReading", "enableSpotAndMarginTrading"}),
        (KeyKind.MAY_WITHDRAW, {"enableReading", "enableWithdrawals"}),
        (KeyKind.MAY_TRANSFER, {"enableReading", "permitsUniversalTransfer"}),
        (KeyKind.UNKNOWN_FLAG, {"enableReading", "enableStaking"}),
        (KeyKind.FLAG_MISSING, set()),
    ],
)
def test_each_kind_of_key_shows_its_permissions(
    keys: KeyRing, binance: BinanceExchange, kind: KeyKind, granted: set[str]
) -> None:
    restrictions = content(binance.handle(signed_binance(keys.issue("binance", kind, now_ms=NOW_MS))))

    assert {name for name, value in restrictions.items() if value is True} == granted | {"ipRestrict"}
    assert ("enableReading" in restrictions) == (kind is not KeyKind.FLAG_MISSING)


def test_every_documented_field_of_a_key_is_there(keys: KeyRing, binance: BinanceExchange) -> None:
    key = keys.issue("binance", KeyKind.UNBOUND_IP, now_ms=NOW_MS)

    restrictions = content(binance.handle(signed_binance(key)))

    assert set(restrictions) == {
        "ipRestrict", "createTime", "enableReading", "enableWithdrawals", "enableInternalTransfer",
        "permitsUniversalTransfer", "enableSpotAndMarginTrading", "enableMargin", "enableFutures",
        "enableVanillaOptions", "enablePortfolioMarginTrading", "enableFixApiTrade", "enableFixReadOnly",
        "tradingAuthorityExpirationTime",
    }  # fmt: skip
    assert restrictions["ipRestrict"] is False
    assert restrictions["createTime"] == NOW_MS - 5 * DAY_MS
