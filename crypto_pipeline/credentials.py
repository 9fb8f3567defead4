"""
What a credential is, and what it may do.

Records only: nothing here reads a store or asks an exchange. A credential's parts are `Secret`
values; its description (where it is kept, which version, since when) never holds one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from crypto_pipeline.redaction import Secret


@dataclass(frozen=True, slots=True)
class IssuerFields:
    """The parts a credential of one issuer consists of, as they are named in a store."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All part names, the required ones first."""
        return self.required + self.optional


ISSUERS: Mapping[str, IssuerFields] = {
    "binance": IssuerFields(("api_key", "api_secret")),
    "coinbase": IssuerFields(("api_key", "api_secret")),
    "okx": IssuerFields(("api_key", "api_secret", "passphrase")),
    "bybit": IssuerFields(("api_key", "api_secret")),
    "huggingface": IssuerFields(("token",)),
}
"""Every issuer of credentials, and the parts of its credential.

`api_secret` is an HMAC secret or a PEM private key (Binance Ed25519, Coinbase ES256 or EdDSA);
the client tells them apart by their form.
"""


@dataclass(frozen=True, slots=True)
class CredentialDescription:
    """
    What may be told of a stored credential without reading its value.

    Fields:
        issuer: a key of `ISSUERS`.
        name: the name in the store, such as `crypto-pipeline/binance`.
        store: the kind of store, such as `aws`, `vault`, `environment`, `dotenv`.
        version: the store's version of the value that is current, as text.
        created_at: when that version was stored (aware, UTC), if the store knows.
        fetched_at: when the store was asked for what is told here, if a cache stands before it.
        rung: how far that cache has gone down since, a member of `secrets.staleness.Rung`; empty where the
            store itself answered.

    How it got here does not make it another credential: the last two do not count in a comparison.
    """

    issuer: str
    name: str
    store: str
    version: str
    created_at: datetime | None = None
    fetched_at: datetime | None = field(default=None, compare=False)
    rung: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """One issuer's credential: its parts as secrets, and its description."""

    description: CredentialDescription
    parts: Mapping[str, Secret]

    @property
    def issuer(self) -> str:
        """The issuer, a key of `ISSUERS`."""
        return self.description.issuer

    def __getitem__(self, part: str) -> Secret:
        """Return one part, such as `api_key`."""
        return self.parts[part]

    def get(self, part: str) -> Secret | None:
        """Return one part, or None where the credential has no such part."""
        return self.parts.get(part)


@dataclass(frozen=True, slots=True)
class KeyReport:
    """
    What the issuer says a key may do: the answer of its permission endpoint, judged.

    Fields:
        issuer: who was asked.
        may: what the key may do, in the issuer's own words, sorted (`("enableReading",)`).
        excess: the members of `may` that go beyond reading, sorted; empty for an accepted key.
        unproven: why the answer proves nothing (a missing field, an odd type); empty if it does.
        ip_bound: whether the key works from listed addresses only; None where the issuer does not say.
        addresses: the bound addresses, where the issuer lists them.
        created_at: when the issuer made the key (aware, UTC), where it says.
        expires_at: when the key ends, where it says.
        label: the name the owner gave the key at the issuer, where it says.
    """

    issuer: str
    may: tuple[str, ...]
    excess: tuple[str, ...] = ()
    unproven: str = ""
    ip_bound: bool | None = None
    addresses: tuple[str, ...] = ()
    created_at: datetime | None = None
    expires_at: datetime | None = None
    label: str = ""

    @property
    def is_read_only(self) -> bool:
        """True only if the issuer's answer proves that the key can do nothing but read."""
        return not self.excess and not self.unproven and bool(self.may)
