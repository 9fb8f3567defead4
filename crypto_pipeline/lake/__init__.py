"""
Where data lies: Parquet files with exact decimals, one per partition, replaced as a whole.

`schema` and `quotes` say what columns a data set has, `store` writes and reads files of it.
"""

from crypto_pipeline.lake.quotes import BOOKS, FUNDING_RATES, MARK_PRICES, OPEN_INTEREST, QUOTES, TRADES
from crypto_pipeline.lake.schema import CANDLES, CANDLES_WIDE, INSTRUMENTS, DataSet, build_table
from crypto_pipeline.lake.store import LocalLake, Partition, Provenance, Stored

__all__ = [
    "BOOKS",
    "CANDLES",
    "CANDLES_WIDE",
    "FUNDING_RATES",
    "INSTRUMENTS",
    "MARK_PRICES",
    "OPEN_INTEREST",
    "QUOTES",
    "TRADES",
    "DataSet",
    "LocalLake",
    "Partition",
    "Provenance",
    "Stored",
    "build_table",
]
