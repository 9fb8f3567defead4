"""What each exchange's refusals mean, as tables of answers; statuses and codes are those of their documents."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.errors import (
    BannedError,
    ClockSkewError,
    CryptoPipelineError,
    ExchangeError,
    ExchangeUnavailableError,
    MalformedAnswerError,
    RateLimitedError,
    RegionBlockedError,
    RejectedKeyError,
    RequestRefusedError,
)
from crypto_pipeline.exchanges import ISSUER_PROBES, BaseClient
from crypto_pipeline.transport import Answer
from crypto_pipeline_tests.exchanges.support import NOW, VirtualTime, credentials

PATH = "/the/path"
HTML = "<html><body>Access denied</body></html>"
PLANTED = "planted-key-in-a-body"


def client_of(issuer: str, audit: JsonLinesAuditLog) -> BaseClient:
    """Return a client with a key; nothing is sent in these tests."""
    key = credentials(issuer, api_key="k", api_secret="s", token="t")
    return ISSUER_PROBES[issuer](key, audit=audit, clock=VirtualTime())


def meant(
    issuer: str, audit: JsonLinesAuditLog, status: int, body: object, headers: dict[str, str] | None = None
) -> CryptoPipelineError | None:
    """Return what the client makes of an answer."""
    raw = body if isinstance(body, str) else json.dumps(body)
    return client_of(issuer, audit).refusal(Answer(status, headers or {}, raw.encode()), PATH)


def binance(status: int, code: int, error: type[CryptoPipelineError], text: str = "") -> Any:
    return pytest.param("binance", status, {"code": code, "msg": PLANTED}, error, text, id=f"Binance {status} {code}")


def okx(status: int, code: int, error: type[CryptoPipelineError], text: str = "") -> Any:
    body = {"code": str(code), "msg": PLANTED, "data": []}
    return pytest.param("okx", status, body, error, text, id=f"OKX {status} {code}")


def bybit(status: int, code: int, error: type[CryptoPipelineError], text: str = "", message: str = PLANTED) -> Any:
    body = {"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": 1}
    return pytest.param("bybit", status, body, error, text, id=f"Bybit {status} {code} {message[:20]}")


def coinbase(status: int, body: object, error: type[CryptoPipelineError], text: str = "") -> Any:
    return pytest.param("coinbase", status, body, error, text, id=f"Coinbase {status} {str(body)[:40]}")


def hub(status: int, error: type[CryptoPipelineError], text: str = "", body: object = None) -> Any:
    said = {"error": PLANTED} if body is None else body
    return pytest.param("huggingface", status, said, error, text, id=f"Hub {status} {str(said)[:20]}")


def page(issuer: str, status: int, error: type[CryptoPipelineError], text: str = "") -> Any:
    return pytest.param(issuer, status, HTML, error, text, id=f"{issuer} {status} with a page")


REFUSALS = [
    binance(401, -2014, RejectedKeyError, "its format is invalid"),
    binance(
        401, -2015, RejectedKeyError, "unknown or ended, or this address is not on its list, or it may not ask this"
    ),
    binance(400, -2015, RejectedKeyError),
    binance(403, -2015, RejectedKeyError),
    binance(400, -1022, RejectedKeyError, "its signature does not match"),
    binance(401, -1002, RejectedKeyError, "not authorised"),
    binance(400, -1021, ClockSkewError, "too far from its own"),
    binance(400, -1121, RequestRefusedError, "code -1121"),
    binance(400, -1120, RequestRefusedError),
    binance(400, -1100, RequestRefusedError),
    binance(400, -1102, RequestRefusedError),
    binance(400, -1127, RequestRefusedError),
    binance(429, -1003, RateLimitedError, "wait 60 s"),
    binance(400, -1003, RateLimitedError),
    binance(418, -1003, BannedError, "asking earlier makes the ban longer"),
    binance(418, -2015, BannedError),
    binance(451, 0, RegionBlockedError, "does not serve the region"),
    binance(503, -1008, ExchangeUnavailableError),
    binance(503, -1016, ExchangeUnavailableError),
    binance(400, -1007, ExchangeUnavailableError),
    binance(400, -1000, ExchangeUnavailableError),
    binance(400, -1001, ExchangeUnavailableError),
    binance(408, -1007, ExchangeUnavailableError),
    binance(500, 0, ExchangeUnavailableError),
    page("binance", 403, BannedError, "does not say why"),
    page("binance", 502, ExchangeUnavailableError),
    page("binance", 404, RequestRefusedError, "code none"),
    page("binance", 200, MalformedAnswerError),
    coinbase(401, "Unauthorized\n", RejectedKeyError, "this address is not on its list"),
    coinbase(
        401,
        {"errors": [{"id": "authentication_error", "message": "request timestamp expired"}]},
        ClockSkewError,
        "too far from its own",
    ),
    coinbase(
        403,
        {
            "error": "PERMISSION_DENIED",
            "error_details": "Missing required scopes",
            "message": "Missing required scopes",
        },
        RejectedKeyError,
        "lacks the `view` permission",
    ),
    coinbase(403, "Forbidden\n", BannedError, "does not say why"),
    coinbase(403, "not available in your country", RegionBlockedError),
    coinbase(451, "", RegionBlockedError),
    coinbase(404, {"error": "NOT_FOUND", "message": "Product X not supported"}, RequestRefusedError, "code product"),
    coinbase(
        400, {"error": "INVALID_ARGUMENT", "message": "ProductID is invalid"}, RequestRefusedError, "code product"
    ),
    coinbase(
        400,
        {"error": "INVALID_ARGUMENT", "message": "number of candles requested should be less than 350"},
        RequestRefusedError,
        "code 400",
    ),
    coinbase(429, {"errors": [{"id": "rate_limit_exceeded", "message": "Too many requests"}]}, RateLimitedError),
    coinbase(500, {"error": "INTERNAL"}, ExchangeUnavailableError),
    coinbase(503, "", ExchangeUnavailableError),
    page("coinbase", 200, MalformedAnswerError),
    okx(401, 50103, RejectedKeyError),
    okx(401, 50104, RejectedKeyError),
    okx(401, 50105, RejectedKeyError, "passphrase is wrong"),
    okx(401, 50106, RejectedKeyError),
    okx(401, 50107, RejectedKeyError, "not accepted"),
    okx(401, 50101, RejectedKeyError, "other environment"),
    okx(401, 50110, RejectedKeyError, "address is not on its list"),
    okx(401, 50111, RejectedKeyError, "unknown key"),
    okx(200, 50119, RejectedKeyError, "unknown key"),
    okx(401, 50113, RejectedKeyError, "signature"),
    okx(401, 50114, RejectedKeyError),
    okx(200, 50120, RejectedKeyError),
    okx(200, 50030, RejectedKeyError),
    okx(403, 50035, RejectedKeyError, "bound to addresses first"),
    okx(400, 50100, RejectedKeyError, "frozen"),
    okx(401, 50102, ClockSkewError),
    okx(401, 50112, ClockSkewError),
    okx(200, 50011, RateLimitedError, "wait 2 s"),
    okx(429, 50011, RateLimitedError),
    okx(429, 50013, RateLimitedError),
    okx(200, 50013, ExchangeUnavailableError),
    okx(503, 50001, ExchangeUnavailableError),
    okx(400, 50004, ExchangeUnavailableError),
    okx(500, 50026, ExchangeUnavailableError),
    okx(200, 50046, ExchangeUnavailableError, "maintenance"),
    okx(410, 50005, RequestRefusedError),
    okx(200, 50051, RegionBlockedError),
    okx(200, 50121, BannedError, "does not say why"),
    okx(200, 51001, RequestRefusedError, "code 51001"),
    okx(400, 51000, RequestRefusedError),
    okx(400, 50014, RequestRefusedError),
    okx(200, 50039, RequestRefusedError),
    okx(400, 0, RequestRefusedError),
    page("okx", 403, BannedError),
    page("okx", 429, RateLimitedError),
    page("okx", 502, ExchangeUnavailableError),
    page("okx", 401, RejectedKeyError),
    page("okx", 451, RegionBlockedError),
    page("okx", 404, RequestRefusedError, "code 404"),
    page("okx", 200, MalformedAnswerError),
    bybit(200, 10003, RejectedKeyError, "unknown key"),
    bybit(401, 10003, RejectedKeyError),
    bybit(401, 1, RejectedKeyError, "not accepted"),
    bybit(200, 10004, RejectedKeyError, "signature", f"error sign! origin_string[1{PLANTED}5000]"),
    bybit(200, 10005, RejectedKeyError),
    bybit(200, 10007, RejectedKeyError),
    bybit(200, 10008, RejectedKeyError, "banned"),
    bybit(200, 10027, RejectedKeyError),
    bybit(200, 10010, RejectedKeyError, "this address is not on its list"),
    bybit(200, 33004, RejectedKeyError, "expired"),
    bybit(200, -2015, RejectedKeyError, "expired"),
    bybit(200, 10002, ClockSkewError),
    bybit(200, 10006, RateLimitedError, "wait 2 s"),
    bybit(429, 0, RateLimitedError),
    bybit(200, 10018, BannedError),
    bybit(200, 10009, BannedError, "does not say why"),
    bybit(200, 10024, RegionBlockedError),
    bybit(200, 10016, ExchangeUnavailableError),
    bybit(503, 10016, ExchangeUnavailableError),
    bybit(200, 10000, ExchangeUnavailableError),
    bybit(200, 10014, ExchangeUnavailableError),
    bybit(200, -1, ExchangeUnavailableError),
    bybit(404, 10017, RequestRefusedError),
    bybit(200, 10029, RequestRefusedError, "code 10029"),
    bybit(200, 10001, RequestRefusedError, "code 10001, symbol", "params error: Symbol Is Invalid"),
    bybit(200, 10001, RequestRefusedError, "code 10001, symbol", "Not supported symbols"),
    bybit(200, 10001, RequestRefusedError, "code 10001)", "params error: start is invalid"),
    bybit(400, 0, RequestRefusedError),
    pytest.param("bybit", 403, "403, access too frequent", BannedError, "asking earlier", id="Bybit 403 too frequent"),
    pytest.param(
        "bybit",
        403,
        "The Amazon CloudFront distribution is configured to block access from your country.",
        RegionBlockedError,
        "region",
        id="Bybit 403 country",
    ),
    pytest.param("bybit", 403, "403 Forbidden", BannedError, "does not say why", id="Bybit 403 and no reason"),
    page("bybit", 502, ExchangeUnavailableError),
    page("bybit", 404, RequestRefusedError, "code 404"),
    page("bybit", 200, MalformedAnswerError),
    hub(401, RejectedKeyError, "unknown or ended"),
    hub(403, BannedError),
    hub(404, RequestRefusedError),
    hub(429, RateLimitedError, "wait 5 s"),
    hub(451, RegionBlockedError),
    hub(500, ExchangeUnavailableError),
    page("huggingface", 200, MalformedAnswerError),
]


@pytest.mark.parametrize(("issuer", "status", "body", "error", "text"), REFUSALS)
def test_a_refusal_becomes_its_error(
    audit: JsonLinesAuditLog, issuer: str, status: int, body: object, error: type[CryptoPipelineError], text: str
) -> None:
    """With the exchange's name and a reason, and without anything of the body."""
    found = meant(issuer, audit, status, body)

    assert type(found) is error
    assert text in str(found)
    assert ISSUER_PROBES[issuer].title in str(found)
    assert PLANTED not in str(found)
    if isinstance(found, ExchangeError):
        assert (found.exchange, found.endpoint) == (issuer, PATH)
        assert found.status == status or isinstance(found, ClockSkewError)


@pytest.mark.parametrize(
    ("issuer", "body"),
    [
        ("binance", {"serverTime": 1}),
        ("binance", []),
        ("coinbase", {"candles": []}),
        ("okx", {"code": "0", "msg": "", "data": []}),
        ("okx", {"code": "52000", "msg": "No data", "data": []}),
        ("bybit", {"retCode": 0, "retMsg": "OK", "result": {}}),
        ("huggingface", {"type": "user"}),
    ],
)
def test_an_answer_that_gives_what_was_asked_is_no_refusal(audit: JsonLinesAuditLog, issuer: str, body: object) -> None:
    assert meant(issuer, audit, 200, body) is None


def test_no_data_at_okx_is_an_empty_page() -> None:
    """The manual has a code for it; it is not a failure."""
    from crypto_pipeline.exchanges import parse_candles

    assert parse_candles("okx", b'{"code":"52000","msg":"No data","data":[]}') == []


WAITS = [
    ("7", 7.0),
    ("0", 0.0),
    ("0.5", 0.5),
    ("3600", 3600.0),
    ("", None),
    ("soon", None),
    ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ("-5", None),
    ("nan", None),
    ("inf", None),
    ("1e12", None),
]


@pytest.mark.parametrize(("header", "seconds"), WAITS)
@pytest.mark.parametrize(
    ("issuer", "default"), [("binance", 60), ("coinbase", 1), ("okx", 2), ("bybit", 2), ("huggingface", 5)]
)
def test_the_wait_that_was_asked_for_is_taken_where_it_is_a_number(
    audit: JsonLinesAuditLog, issuer: str, default: float, header: str, seconds: float | None
) -> None:
    found = meant(issuer, audit, 429, "[]", {"retry-after": header})

    assert isinstance(found, RateLimitedError)
    assert found.retry_after_seconds == (default if seconds is None else seconds)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        pytest.param({"retry-after": "120"}, "", 120.0, id="from the header"),
        pytest.param({}, f"Too much weight; IP banned until {int(NOW * 1000) + 90_000}.", 90.0, id="from the text"),
        pytest.param({"retry-after": "120"}, f"IP banned until {int(NOW * 1000) + 1}.", 120.0, id="the header counts"),
        pytest.param({}, f"IP banned until {int(NOW * 1000) - 90_000}.", 0.0, id="it is over by now"),
        pytest.param({}, "IP banned until 9999999999999.", 1e7, id="for centuries"),
        pytest.param({}, "IP banned until tomorrow.", None, id="not told"),
        pytest.param({}, "", None, id="nothing is told"),
    ],
)  # fmt: skip
def test_the_end_of_a_binance_ban_is_told(
    audit: JsonLinesAuditLog, headers: dict[str, str], body: str, seconds: float | None
) -> None:
    found = meant("binance", audit, 418, {"code": -1003, "msg": body}, headers)

    assert isinstance(found, BannedError)
    assert not found.retryable
    assert found.retry_after_seconds == pytest.approx(seconds)
    if seconds is not None:
        assert found.until is not None
        assert found.until.timestamp() == pytest.approx(NOW + seconds)
        assert f"until {found.until:%Y-%m-%d %H:%M:%S} UTC" in str(found)
    else:
        assert found.until is None
        assert "until" not in str(found)


def test_a_bybit_ban_lasts_ten_minutes(audit: JsonLinesAuditLog) -> None:
    found = meant("bybit", audit, 403, "403, access too frequent")

    assert isinstance(found, BannedError)
    assert found.until == datetime.fromtimestamp(NOW + 600, UTC)


@pytest.mark.parametrize("code", ["-1121 " + PLANTED, PLANTED + "\n", "x" * 30, 10**30, 1.5, True, None, [], {}])
@pytest.mark.parametrize(("issuer", "field"), [("binance", "code"), ("okx", "code"), ("bybit", "retCode")])
def test_a_code_from_outside_brings_no_text_into_a_message(
    audit: JsonLinesAuditLog, issuer: str, field: str, code: object
) -> None:
    found = meant(issuer, audit, 400, {field: code})

    assert isinstance(found, RequestRefusedError)
    assert PLANTED not in str(found)
    assert "code none" in str(found) or "code 400" in str(found)
