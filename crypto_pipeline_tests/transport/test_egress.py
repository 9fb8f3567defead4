"""What the list of places lets through, and what it does not."""

from __future__ import annotations

import pytest

from crypto_pipeline.errors import ConfigurationError, EgressDeniedError
from crypto_pipeline.transport import EgressRule, EgressTable, is_loopback
from crypto_pipeline.transport.egress import parse_loopback, rules_for

HOST = "api.coinbase.com"
TABLE = EgressTable([EgressRule(HOST, ("/api/v3/time", "/api/v3/products/"))])


@pytest.mark.parametrize(
    "url",
    [
        f"https://{HOST}/api/v3/time",
        f"https://{HOST}/api/v3/time?limit=1&signature=abc",
        f"https://{HOST}:443/api/v3/time",
        f"https://{HOST.upper()}/api/v3/time",
        f"https://{HOST}/api/v3/products/BTC-USDT",
        f"https://{HOST}/api/v3/products/BTC-USDT/candles?start=1",
        f"https://{HOST}/api/v3/products/1.2_x/candles",
    ],
)
def test_a_listed_place_is_let_through(url: str) -> None:
    TABLE.check("GET", url)


@pytest.mark.parametrize(
    ("method", "url"),
    [
        pytest.param("POST", f"https://{HOST}/api/v3/time", id="another method"),
        pytest.param("get", f"https://{HOST}/api/v3/time", id="a method that is not spelled so"),
        pytest.param("GET", f"http://{HOST}/api/v3/time", id="without TLS"),
        pytest.param("GET", f"https://{HOST}:8443/api/v3/time", id="another port"),
        pytest.param("GET", "https://api.coinbase.com.evil.test/api/v3/time", id="a longer name"),
        pytest.param("GET", f"https://{HOST}./api/v3/time", id="a dot after the name"),
        pytest.param("GET", f"https://{HOST}@evil.test/api/v3/time", id="the name as a user"),
        pytest.param("GET", f"https://user@{HOST}/api/v3/time", id="a user"),
        pytest.param("GET", f"https://:password@{HOST}/api/v3/time", id="a password"),
        pytest.param("GET", f"https://{HOST}/api/v3/time/", id="one slash more"),
        pytest.param("GET", f"https://{HOST}/api/v3/times", id="a longer path"),
        pytest.param("GET", f"https://{HOST}/api/v3", id="a shorter path"),
        pytest.param("GET", f"https://{HOST}/API/v3/time", id="another case"),
        pytest.param("GET", f"https://{HOST}/api/v3/products/", id="a prefix alone"),
        pytest.param("GET", f"https://{HOST}/api/v3/products", id="a prefix without its slash"),
        pytest.param("GET", f"https://{HOST}/api/v3/products//x", id="an empty segment"),
        pytest.param("GET", f"https://{HOST}/api/v3/products/x/", id="a slash at the end"),
        pytest.param("GET", f"https://{HOST}/api/v3/products/..%2forders", id="an encoded slash"),
        pytest.param("GET", f"https://{HOST}/api/v3/products/%2e%2e/orders", id="encoded dots"),
        pytest.param("GET", f"https://{HOST}/api/v3/products/../orders", id="dot segments"),
        pytest.param("GET", f"https://{HOST}/api/v3/products/.hidden", id="a dot in front"),
        pytest.param("GET", f"https://{HOST}/api/v3/products/x;a=b", id="a parameter of the path"),
        pytest.param("GET", f"https://{HOST}/api/v3/products/x\\..\\orders", id="backslashes"),
        pytest.param("GET", f"https://{HOST}/api/v3/products/ü", id="another script"),
        pytest.param("GET", "https:///api/v3/time", id="no host"),
        pytest.param("GET", "ftp://api.coinbase.com/api/v3/time", id="another protocol"),
    ],
)
def test_any_other_place_is_denied(method: str, url: str) -> None:
    with pytest.raises(EgressDeniedError, match="not on the list"):
        TABLE.check(method, url)


def test_dot_segments_that_lead_to_a_listed_path_are_that_path() -> None:
    """What is checked is what is sent: the address is written without them before both."""
    TABLE.check("GET", f"https://{HOST}/api/v3/products/../time")


def test_a_denial_names_the_place_and_not_the_query() -> None:
    with pytest.raises(EgressDeniedError) as denied:
        TABLE.check("GET", "https://evil.test:8443/api/v3/time?signature=9f3c8a&key=abc")

    assert "evil.test:8443/api/v3/time" in str(denied.value)
    assert "9f3c8a" not in str(denied.value)
    assert "abc" not in str(denied.value)


@pytest.mark.parametrize("host", ["api.coinbase.com", "10.0.0.1", "localhost.evil.test", "127.0.0.1.evil.test"])
def test_plain_http_cannot_be_put_on_the_list_for_another_machine(host: str) -> None:
    with pytest.raises(ConfigurationError, match="Only HTTPS"):
        EgressRule(host, ("/",), scheme="http", port=80)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104 - that it does not count is the point
        ("10.0.0.1", False),
        ("localhost.", False),
        ("localhost.evil.test", False),
        ("", False),
    ],
)
def test_this_machine_is_known_by_its_address_and_one_name(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_without_a_sandbox_the_exchange_itself_is_asked_over_tls() -> None:
    address, table = rules_for(HOST, ["/api/v3/time"])

    assert address == f"https://{HOST}"
    table.check("GET", f"{address}/api/v3/time")


@pytest.mark.parametrize(
    "base",
    ["http://127.0.0.1:8080", "http://127.0.0.1:8080/", "http://localhost:9", "http://[::1]:9", "https://localhost"],
)
def test_a_sandbox_takes_the_place_of_the_exchange(base: str) -> None:
    """Its paths stay the same, and the exchange itself is no longer on the list."""
    address, table = rules_for(HOST, ["/api/v3/time"], base_url=base)

    table.check("GET", f"{address}/api/v3/time")
    with pytest.raises(EgressDeniedError):
        table.check("GET", f"{address}/api/v3/orders")
    with pytest.raises(EgressDeniedError):
        table.check("GET", f"https://{HOST}/api/v3/time")


@pytest.mark.parametrize(
    "base",
    [
        "https://api.evil.test",
        "http://10.0.0.1:8080",
        "http://127.0.0.1:8080/path",
        "http://127.0.0.1:8080?x=1",
        "http://127.0.0.1:8080#x",
        "http://user@127.0.0.1:8080",
        "ftp://127.0.0.1",
        "127.0.0.1:8080",
        "",
        "http://[::1",
        "http://127.0.0.1:port",
    ],
)
def test_an_address_that_is_not_this_machine_is_refused(base: str) -> None:
    with pytest.raises(ConfigurationError, match="sandbox on this machine"):
        parse_loopback(base)
