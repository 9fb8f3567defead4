"""
Servers that are started once per test process, for every test that wants one.

Imported where they are used: most runs of a few tests need none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from crypto_pipeline_tests.support.aws import Aws
    from crypto_pipeline_tests.support.vault import Vault


@pytest.fixture(scope="session")
def vault() -> Iterator[Vault]:
    """A Vault for all tests of this process; each uses a path of its own."""
    from crypto_pipeline_tests.support.vault import running_vault

    with running_vault() as running:
        yield running


@pytest.fixture(scope="session")
def aws() -> Iterator[Aws]:
    """An AWS for all tests of this process; each uses names of its own."""
    from crypto_pipeline_tests.support.aws import running_aws

    with running_aws() as running:
        yield running
