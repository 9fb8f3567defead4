"""The registries: who is in them, and that every member is what the floors above take it for."""

from __future__ import annotations

import pytest

import crypto_pipeline.exchanges as family
from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import EgressDeniedError
from crypto_pipeline.exchanges import CLIENTS, ISSUER_PROBES, PERPETUAL_CLIENTS, BaseClient, ExchangeClient
from crypto_pipeline.transport.egress import rules_for

TRADING = ("order", "withdraw", "transfer", "orders", "trade/order", "asset/withdrawal")


def test_every_issuer_of_credentials_can_be_asked_about_its_keys() -> None:
    assert set(ISSUER_PROBES) == set(ISSUERS)
    assert set(CLIENTS) == set(ISSUERS) - {"huggingface"}


def test_everything_that_is_exported_exists_and_is_in_order() -> None:
    assert sorted(family.__all__) == sorted(set(family.__all__))
    assert all(hasattr(family, name) for name in family.__all__)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_is_what_the_market_floor_takes_it_for(name: str, audit: JsonLinesAuditLog) -> None:
    client: ExchangeClient = CLIENTS[name](None, audit=audit)

    assert client.name == name
    assert client.page_minutes >= 300
    assert client.candle_endpoint.startswith(CLIENTS[name].host + "/")
    assert client.instruments_endpoint.startswith(CLIENTS[name].host + "/")
    assert client.usage.requests == client.usage.retries == client.usage.weight == 0
    assert "at most" in client.usage.budget


def test_every_exchange_with_perpetual_contracts_has_spot_markets_too() -> None:
    """The symbol of a contract is that of the pair behind it. Coinbase Exchange has no such contracts."""
    assert set(PERPETUAL_CLIENTS) == set(CLIENTS) - {"coinbase"}
    assert all(client.name == name for name, client in PERPETUAL_CLIENTS.items())


EVERYONE = list(dict.fromkeys([*ISSUER_PROBES.values(), *PERPETUAL_CLIENTS.values()]))


@pytest.mark.parametrize("client", EVERYONE, ids=lambda client: client.title)
def test_a_client_can_reach_nothing_that_changes_anything(client: type[BaseClient]) -> None:
    """Not by a method, and not by a path beside its own."""
    address, table = rules_for(client.host, client.paths)
    own = next(path for path in client.paths if not path.endswith("/"))

    table.check("GET", f"{address}{own}")
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        with pytest.raises(EgressDeniedError):
            table.check(method, f"{address}{own}")
    for path in client.paths:
        folder = path.rstrip("/").rpartition("/")[0]
        for word in TRADING:
            with pytest.raises(EgressDeniedError):
                table.check("GET", f"{address}{folder}/{word}")
