"""
Market data: fetched as a grid of pages, checked, stored as partitions.

`months` is the calendar, `checks` are the rules of good data, `ingest` brings one month of one
symbol into the lake, `instruments` one day's list of markets, `funding` one month of a contract's funding
rates. `snapshots` adds what is to be had only while it is there.
"""

from crypto_pipeline.market.checks import Gap, Verdict, check_stored
from crypto_pipeline.market.ingest import MonthResult, Progress, ingest_month
from crypto_pipeline.market.instruments import InstrumentsResult, ingest_instruments

__all__ = [
    "Gap",
    "InstrumentsResult",
    "MonthResult",
    "Progress",
    "Verdict",
    "check_stored",
    "ingest_instruments",
    "ingest_month",
]
