"""A source that is opened at its first use, and anew in a forked child."""

from __future__ import annotations

import threading
from collections.abc import Callable

from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.secrets.interface import SecretSource


class SourceOpenedLater:
    """
    A secret source that is opened at its first use, by one thread.

    Dagster makes resources before the first step of a run, where an error, such as a login that is
    missing in the environment, would have no step to be told by.

    Args:
        open_source: opens it; called again after an error, and after `forget`.
    """

    def __init__(self, open_source: Callable[[], SecretSource]) -> None:
        self._open = open_source
        self._source: SecretSource | None = None
        self._lock = threading.Lock()

    def opened(self) -> SecretSource:
        """Return the source itself."""
        with self._lock:
            if self._source is None:
                self._source = self._open()
            return self._source

    def forget(self) -> None:
        """Let go of the source: a forked child must not speak on its parent's connections, nor wait for its locks."""
        self._lock = threading.Lock()
        self._source = None

    @property
    def store(self) -> str:
        """The kind of store."""
        return self.opened().store

    def name_of(self, issuer: str) -> str:
        """Return the name under which the store keeps the issuer's credential."""
        return self.opened().name_of(issuer)

    def describe(self, issuer: str) -> CredentialDescription:
        """Return name, version and time of the issuer's credential without reading its value."""
        return self.opened().describe(issuer)

    def read(self, issuer: str) -> Credentials:
        """Return the issuer's credential."""
        return self.opened().read(issuer)
