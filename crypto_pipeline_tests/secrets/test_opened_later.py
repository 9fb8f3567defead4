"""A source is opened when it is first asked, once, and again after an error or in another process."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.secrets.interface import SecretSource
from crypto_pipeline.secrets.opened_later import SourceOpenedLater
from crypto_pipeline_tests.secrets.told import Told


class Opener:
    """Opens a store, and counts."""

    def __init__(self, *, failures: int = 0) -> None:
        self.opened: list[Told] = []
        self._failures = failures

    def __call__(self) -> SecretSource:
        """Open it, after some failures."""
        if self._failures:
            self._failures -= 1
            msg = "there is no login"
            raise ConfigurationError(msg)
        self.opened.append(Told())
        return self.opened[-1]


def test_it_is_the_source_it_opens_and_opens_it_once() -> None:
    """Not before it is asked."""
    opener = Opener()
    source: SecretSource = SourceOpenedLater(opener)
    before = len(opener.opened)

    found = (source.store, source.name_of("okx"), source.describe("okx").version, source.read("okx").issuer)

    assert found == ("told", "place/okx", "1", "okx")
    assert (before, len(opener.opened)) == (0, 1)
    assert opener.opened[0].reads == ["okx"]


def test_an_error_is_told_each_time_and_not_kept() -> None:
    """Somebody may set the login right."""
    source = SourceOpenedLater(Opener(failures=1))

    with pytest.raises(ConfigurationError, match="no login"):
        source.read("okx")

    assert source.read("okx").issuer == "okx"


def test_threads_share_one_opening() -> None:
    """A client of AWS takes a third of a second."""
    opener, barrier = Opener(), threading.Barrier(8)
    source = SourceOpenedLater(opener)

    def ask(_: int) -> str:
        barrier.wait(timeout=30)
        return source.store

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))

    assert len(opener.opened) == 1


def test_a_source_that_was_forgotten_is_opened_anew() -> None:
    """In a forked child the connections are the parent's."""
    opener = Opener()
    source = SourceOpenedLater(opener)
    first = source.opened()

    source.forget()

    assert source.opened() is not first
    assert len(opener.opened) == 2
