"""
Where a stored credential meets the exchange it is for.

`secrets` and `exchanges` do not know each other; this is the one place below Dagster and the
command line that holds both. A credential is read, with its audit event, when a client is opened,
and goes nowhere but into that client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from crypto_pipeline.audit import AuditLog
from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.errors import RejectedKeyError, SecretError, UnknownSymbolError
from crypto_pipeline.exchanges import ISSUER_PROBES, PERPETUAL_CLIENTS, BaseClient
from crypto_pipeline.secrets import AuditedSource, HandOuts, RejectedVersions, SecretSource
from crypto_pipeline.transport import Budget


@dataclass(frozen=True, slots=True)
class Access:
    """
    How one issuer is reached: with which credential, if any, and at which address.

    Fields:
        issuer: a key of `ISSUER_PROBES`.
        source: where its credential is kept; None reads public data without a key.
        audit: the record that every read and every call goes to.
        base_url: a sandbox on loopback instead of the exchange.
        perpetuals_url: the same for perpetual contracts, where these have a host of their own (Binance).
        clock: wall clock in seconds.
        budget: instead of the exchange's own, such as one that is shared by several clients.
        limits: the file in which all processes of this host count what they ask.
        rejected: which versions of keys were rejected before; these are not tried again.
        handed: what the run was handed so far; told by `record_use`.
    """

    issuer: str
    source: SecretSource | None
    audit: AuditLog
    base_url: str | None = None
    perpetuals_url: str | None = None
    clock: Callable[[], float] = time.time
    budget: Budget | None = None
    limits: Path | None = None
    rejected: RejectedVersions | None = None
    handed: HandOuts = field(default_factory=HandOuts, compare=False)

    @property
    def has_key(self) -> bool:
        """Whether a credential is configured for this issuer."""
        return self.source is not None

    def describe(self, *, asset: str) -> CredentialDescription | None:
        """Return what may be told of the credential; None where none is configured."""
        source = self._audited(self.audit.bound(asset=asset), asset)
        return None if source is None else source.describe(self.issuer)

    @asynccontextmanager
    async def open(self, *, asset: str) -> AsyncIterator[BaseClient]:
        """
        Read the credential, if one is configured, and open a client whose key is proved.

        The key is proved also where only public data will be read: a key that is configured and may
        do more than read has to be noticed by every run, not only by the one that uses it.

        Args:
            asset: on whose behalf; stands in the audit log as part of the accessor.

        Raises:
            SecretError: the store did not give the credential.
            KeyRefusedError: the key is not proved to be read-only; nothing else was asked with it.
            ExchangeError: the exchange could not be asked what the key may do.
            AuditError: the read could not be recorded.
        """
        audit = self.audit.bound(asset=asset)
        source = self._audited(audit, asset)
        credentials = None if source is None else self._usable(source)
        client = ISSUER_PROBES[self.issuer](
            credentials,
            audit=audit,
            base_url=self.base_url,
            clock=self.clock,
            budget=self.budget,
            limits=self.limits,
            renew=None if source is None else partial(self._renew, source),
        )
        async with client:
            try:
                await client.prove_key()
                yield client
            except RejectedKeyError as error:
                self._remember(client.credential, error)
                raise
            finally:
                self.handed.add_requests(client.signed_requests, _accessor(asset))

    @asynccontextmanager
    async def open_perpetuals(self, *, asset: str) -> AsyncIterator[BaseClient]:
        """
        Open a client for the issuer's perpetual contracts, always without a key: all of it is public.

        Args:
            asset: on whose behalf; stands in the audit log.

        Raises:
            ExchangeError: the exchange has no such contracts.
        """
        if self.issuer not in PERPETUAL_CLIENTS:
            msg = f"{self.issuer} has no linear perpetual contracts. Leave it out."
            raise UnknownSymbolError(msg, exchange=self.issuer)
        client = PERPETUAL_CLIENTS[self.issuer](
            None,
            audit=self.audit.bound(asset=asset),
            base_url=self.perpetuals_url or self.base_url,
            clock=self.clock,
            limits=self.limits,
        )
        async with client:
            yield client

    def record_use(self) -> None:
        """
        Record how often each credential was handed out and used since the last time.

        Raises:
            AuditError: it could not be recorded.
        """
        self.handed.close()

    def _usable(self, source: AuditedSource) -> Credentials:
        """Return the credential, or the next version of one that was rejected before."""
        found = source.read(self.issuer)
        if self.rejected is None or self.rejected.rejected_at(found.description) is None:
            return found
        found = source.refresh(self.issuer, rejected=found.description.version)
        at = self.rejected.rejected_at(found.description)
        if at is None:
            return found
        msg = (
            f"Key '{found.description.name}' (version {found.description.version}) of {self.issuer} was rejected at "
            f"{at} and there is no other version, so {self.issuer} was not asked with it again. Store a new key; if it "
            "was the list of addresses that was wrong, mend it and run `crypto-pipeline keys check`."
        )
        raise RejectedKeyError(msg)

    def _remember(self, credential: CredentialDescription | None, error: RejectedKeyError) -> None:
        if self.rejected is not None and credential is not None and error.is_dead:
            self.rejected.add(credential)

    async def _renew(self, source: AuditedSource, rejected: CredentialDescription) -> Credentials | None:
        """
        Ask the store for another version of a key that the exchange has just rejected.

        A store that does not answer leaves the rejection as it is: that is what has to be told.
        """
        try:
            # Not in the loop: other pages go on while the store is asked.
            return await asyncio.to_thread(source.refresh, self.issuer, rejected=rejected.version)
        except SecretError:
            return None

    def _audited(self, audit: AuditLog, asset: str) -> AuditedSource | None:
        if self.source is None:
            return None
        return AuditedSource(self.source, audit, accessor=_accessor(asset), handed=self.handed)


def _accessor(asset: str) -> str:
    """Return the name under which the record knows an asset."""
    return f"crypto_pipeline/{asset}"
