"""
How old a credential may be, and which of those in use are too old.

`policy` judges an age and says it in words, without asking anyone; `inventory` asks a store about
the credentials in use. Nothing here reads a value, and nothing here rotates.
"""

from crypto_pipeline.rotation.inventory import Finding, take_inventory
from crypto_pipeline.rotation.policy import SECRET_MAX_AGE_DAYS, Freshness, age_warning, judge, max_age_days_of

__all__ = ["SECRET_MAX_AGE_DAYS", "Finding", "Freshness", "age_warning", "judge", "max_age_days_of", "take_inventory"]
