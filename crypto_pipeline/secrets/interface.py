"""
The interface every source of credentials implements.

A source knows the store's layout and its errors. It does not cache, and does not know what a
credential is for. `describe` never returns a value, so sensors and reports use it; `read` is
called only where a client is opened.
"""

from __future__ import annotations

from typing import Protocol

from crypto_pipeline.credentials import CredentialDescription, Credentials


class SecretSource(Protocol):
    """
    One place where credentials are kept.

    Both verbs raise the members of `SecretError`: not found, denied, malformed, unavailable,
    sealed. An outage is never reported as "not found". What is wrong on our side raises
    `ConfigurationError` (no login, a mount of the wrong kind), a certificate that does not verify
    `EgressDeniedError`.
    """

    @property
    def store(self) -> str:
        """The kind of store, such as `vault`."""
        ...

    def name_of(self, issuer: str) -> str:
        """Return the name under which the issuer's credential is looked for; asks nobody."""
        ...

    def describe(self, issuer: str) -> CredentialDescription:
        """Return name, version and time of the issuer's credential without reading its value."""
        ...

    def read(self, issuer: str) -> Credentials:
        """Return the issuer's credential."""
        ...
