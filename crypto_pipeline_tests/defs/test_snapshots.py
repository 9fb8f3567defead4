"""A look at each exchange's markets lands in the lake, and what a person sees of it are numbers and files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto_pipeline.exchanges import CLIENTS, PERPETUAL_CLIENTS
from crypto_pipeline.sandbox.server import Sandbox, running_sandbox
from crypto_pipeline_tests.support.deployment import Deployment, failure_of, metadata_of, run_job

SPOT = {"trades", "quotes", "books"}
CONTRACTS = {"open_interest", "mark_prices"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One sandbox for all tests of this module; none of them breaks it."""
    with running_sandbox() as running:
        yield running


@pytest.fixture
def there(sandbox: Sandbox, tmp_path: Path) -> Deployment:
    """A deployment that reads from it."""
    return Deployment(sandbox, tmp_path)


def parquet(deployment: Deployment, data_set: str) -> list[str]:
    """Return the files of a data set, as they lie in the lake."""
    return [str(path.relative_to(deployment.lake)) for path in sorted((deployment.lake / data_set).rglob("*.parquet"))]


@pytest.mark.parametrize("exchange", CLIENTS)
def test_two_looks_are_two_rows_and_each_trade_once(exchange: str, there: Deployment) -> None:
    defs = there.build(perpetuals=("BTC-USDT",), book_levels=5)
    names = SPOT | (CONTRACTS if exchange in PERPETUAL_CLIENTS else set())

    first, second = (run_job(defs, f"{exchange}_looks") for _ in range(2))

    assert first.success
    assert second.success
    seen = {name: metadata_of(second, f"{exchange}/{name}") for name in names}
    assert {name: told["dagster/row_count"] for name, told in seen.items() if name not in {"trades", "books"}} == (
        dict.fromkeys(names - {"trades", "books"}, 2)
    )
    assert seen["books"]["dagster/row_count"] == 2 * seen["books"]["new_rows"] == 2 * 2 * 5
    assert seen["trades"]["joins_what_was_there"] is True
    assert seen["trades"]["new_rows"] < seen["trades"]["dagster/row_count"]
    for name, told in seen.items():
        market = "perpetual" if name in CONTRACTS else "spot"
        (file,) = parquet(there, name)
        assert file.startswith(f"{name}/exchange={exchange}/market={market}/symbol=BTC-USDT/day=20")
        assert [str(there.lake / file)] == told["files"]
        assert told["symbols"] == "BTC-USDT"


@pytest.mark.parametrize("exchange", PERPETUAL_CLIENTS)
def test_funding_rates_of_a_month_are_one_file(exchange: str, there: Deployment) -> None:
    defs = there.build(perpetuals=("BTC-USDT",))

    results = [run_job(defs, f"{exchange}_funding", "2026-10") for _ in range(2)]

    assert [result.success for result in results] == [True, True]
    tables = [metadata_of(result, f"{exchange}/funding_rates", "2026-10")["contracts"] for result in results]
    assert [table[0]["file"] for table in tables] == ["changed", "as before"]
    assert parquet(there, "funding_rates") == [
        f"funding_rates/exchange={exchange}/market=perpetual/symbol=BTC-USDT/month=2026-10/data.parquet"
    ]


def test_a_range_of_months_is_one_run(there: Deployment) -> None:
    defs = there.build(perpetuals=("BTC-USDT",))

    result = run_job(defs, "bybit_funding", "2026-09", through="2026-10")

    assert result.success
    counts = [
        metadata_of(result, "bybit/funding_rates", month)["dagster/row_count"] for month in ("2026-09", "2026-10")
    ]
    assert counts == [90, 93]


def test_contracts_are_read_without_a_key_though_one_is_configured(there: Deployment) -> None:
    """The host of Binance's contracts cannot say what a key may do."""
    key = there.give_key("binance")
    defs = there.build(perpetuals=("BTC-USDT",))

    result = run_job(defs, "binance_funding", "2026-10")

    assert result.success
    assert [request["path"] for request in there.requests(key=True) if request["key"] == key.api_key] == []


@pytest.mark.parametrize("job", ["okx_looks", "okx_funding"])
def test_a_symbol_without_a_contract_is_named(job: str, there: Deployment) -> None:
    defs = there.build(perpetuals=("NOPE-USDT",))

    result = run_job(defs, job, "2026-10" if job == "okx_funding" else None)

    assert not result.success
    assert "NOPE-USDT" in str(failure_of(result).description)
