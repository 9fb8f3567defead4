"""Who may what, written by hand after the security handbook and not taken from the table that is tested."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

SUFFIXES = {"production": "", "development": "-dev", "elsewhere": "-devious"}
"""How the folder of each environment ends, and one that only looks like them."""

READING = {"describe", "read"}
EVERYTHING = {*READING, "list", "store", "withdraw"}
MATRIX: Mapping[tuple[str, str], set[str]] = {
    ("developer", "development"): READING,
    ("devops", "production"): EVERYTHING,
    ("devops", "development"): EVERYTHING,
    ("ci", "production"): READING,
    ("pipeline", "production"): READING,
}
"""What each role may do where; everything that is not here is denied."""

NAMES = ("developer", "reviewer", "devops", "ci", "pipeline")
NOBODY = "nobody"

each_role = pytest.mark.parametrize("role", NAMES)
each_environment = pytest.mark.parametrize("environment", SUFFIXES)


def may(role: str, environment: str, right: str) -> bool:
    """Tell what the matrix says."""
    return right in MATRIX.get((role, environment), set())
