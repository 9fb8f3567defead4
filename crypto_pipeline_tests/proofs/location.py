"""
A code location of small assets over the four exchanges, with the resources of the real one.

Each step opens a client as the real assets do, proves its key and reads a page of candles; what it does not
do is to fetch a whole month, so that a proof can afford many steps. Imported anew by each process of a run.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

import asyncio
import sys
from collections.abc import Mapping, Sequence

import dagster as dg

from crypto_pipeline.access import Access
from crypto_pipeline.defs.build import build_resources
from crypto_pipeline.defs.failures import failure
from crypto_pipeline.errors import CryptoPipelineError
from crypto_pipeline.exchanges import CLIENTS
from crypto_pipeline.settings import Settings
from crypto_pipeline_tests.support.deployment import QUIET

JOB = "small_steps"
MINUTE_MS = 60_000

TWELVE: Mapping[str, Sequence[str]] = {f"{each}_{number}": [each] for number in range(3) for each in CLIENTS}
"""Three steps for each exchange."""

FOUR: Mapping[str, Sequence[str]] = {f"all_{number}": list(CLIENTS) for number in range(4)}
"""Four steps, each of which needs the keys of all exchanges."""

TWO = dict(list(FOUR.items())[:2])
"""Two of them."""

SHAPES = {"twelve": TWELVE, "four": FOUR, "two": TWO}


def build_step(name: str, exchanges: Sequence[str]) -> dg.AssetsDefinition:
    """Return an asset that reads from these exchanges, one after the other."""

    @dg.asset(name=name, required_resource_keys=set(exchanges))
    def step(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        used = {}
        for exchange in exchanges:
            access: Access = getattr(context.resources, exchange)
            try:
                used[exchange] = asyncio.run(read_a_page(access, asset=name))
            except CryptoPipelineError as error:
                raise failure(error) from None
        return dg.MaterializeResult(metadata={"used": used})

    return step


async def read_a_page(access: Access, *, asset: str) -> dict[str, str]:
    """Read ten minutes of candles, and return what may be told of the key that was used."""
    async with access.open(asset=asset) as client:
        await client.prove_key()
        end_ms = (await client.read_clock()).timestamp() * 1000 // MINUTE_MS * MINUTE_MS - 60 * MINUTE_MS
        candles = await client.read_candles("BTC-USDT", int(end_ms) - 10 * MINUTE_MS, int(end_ms))
        assert candles, f"{access.issuer} has no candles"
        found = client.credential
    return {} if found is None else {"store": found.store, "version": found.version, "rung": found.rung}


def build(settings: Settings, shape: str = "twelve") -> dg.Definitions:
    """Return the code location; its one job has all steps of this shape."""
    assets = [build_step(name, exchanges) for name, exchanges in SHAPES[shape].items()]
    return dg.Definitions(
        assets=assets,
        jobs=[dg.define_asset_job(JOB, selection=dg.AssetSelection.assets(*assets))],
        resources=build_resources(settings, {}),
    )


def build_job(shape: str) -> dg.JobDefinition:
    """Return the job with the settings of the environment; called in each step process, too."""
    return build(Settings.from_environment(), shape).resolve_job_def(JOB)


def main(shape: str, processes: str) -> int:
    """Run the job on the instance of DAGSTER_HOME, each step in a process of its own, so many of them at a time."""
    job = dg.build_reconstructable_job(__spec__.name, "build_job", reconstructable_args=(shape,))
    how = {"execution": {"config": {"multiprocess": {"max_concurrent": int(processes)}}}}
    with dg.DagsterInstance.get() as instance:
        return 0 if dg.execute_job(job, instance=instance, run_config={**QUIET, **how}).success else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
