"""What only Binance's spot quotes do: a price for each question, and more of it for a deeper book."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.exchanges import BinanceClient
from crypto_pipeline.sandbox.server import Sandbox
from crypto_pipeline_tests.exchanges.support import VirtualTime


@pytest.mark.parametrize(
    ("ask", "weight"),
    [
        pytest.param(lambda client: client.read_trades("BTC-USDT"), 25, id="trades"),
        pytest.param(lambda client: client.read_quote("BTC-USDT"), 2, id="quote"),
        *(
            pytest.param(lambda client, levels=levels: client.read_book("BTC-USDT", levels), weight, id=f"{levels}")
            for levels, weight in (
                (1, 5), (100, 5), (101, 25), (500, 25), (501, 50), (1000, 50), (1001, 250), (5000, 250),
            )
        ),
    ],
)  # fmt: skip
def test_a_question_costs_what_the_exchange_counts(
    sandbox: Sandbox, audit: JsonLinesAuditLog, time: VirtualTime, ask: Callable[[Any], Awaitable[Any]], weight: int
) -> None:
    """Reckoned with too little, the limit would be overrun; with too much, time would be lost."""

    async def asking() -> tuple[int, int]:
        url = sandbox.urls["binance"]
        async with BinanceClient(
            None, audit=audit, base_url=url, clock=time, monotonic=time, sleep=time.sleep
        ) as client:
            await ask(client)
            ours = client.usage.weight
            told = await client.ask(client.time_endpoint)
            return ours, int(told.headers["x-mbx-used-weight-1m"]) - 1

    ours, theirs = asyncio.run(asking())

    assert ours == theirs == weight
