"""
Where data lies: Parquet files with exact decimals, one per partition, replaced as a whole.

`schema` says what columns a data set has, `store` writes and reads files of it.
"""

from crypto_pipeline.lake.schema import CANDLES, CANDLES_WIDE, INSTRUMENTS, DataSet, build_table
from crypto_pipeline.lake.store import LocalLake, Partition, Provenance, Stored

__all__ = [
    "CANDLES",
    "CANDLES_WIDE",
    "INSTRUMENTS",
    "DataSet",
    "LocalLake",
    "Partition",
    "Provenance",
    "Stored",
    "build_table",
]
