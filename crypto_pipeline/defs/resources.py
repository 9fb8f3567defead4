"""
The configurable resources: names and addresses in, plain objects out.

Add a resource here when an asset needs something from outside. Keep secrets out: Dagster shows
every field to everyone who can open the UI, so a field holds the *name* of a secret or an
address, never a value. Values are read when a step opens a client.

Another team can use these classes in its own code location:

    vault = VaultSecrets(address="https://vault.internal:8200", auth="approle")
    okx = ExchangeAccess(issuer="okx", use_key=True, secrets=vault, audit=AuditFile(path="/var/log/audit.jsonl"))
"""

# No `from __future__ import annotations` here: Dagster reads the annotations at run time.

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from crypto_pipeline.access import Access
from crypto_pipeline.audit import AuditLog, JsonLinesAuditLog
from crypto_pipeline.audit.configuration import ConfigurationNotingLog, user_name
from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.lake import LocalLake
from crypto_pipeline.secrets import (
    AuthName,
    CacheKey,
    CachePolicy,
    DotenvSource,
    EnvironmentSource,
    FileSource,
    RejectedVersions,
    SecretSource,
    SourceOpenedLater,
    open_aws,
    open_vault,
    shared_cache,
    sweep,
)

SETTINGS_LAST_SEEN = "settings-last-seen.json"


CACHE_SECONDS = Field(default=300.0, description="How long a secret that was read is fresh; see decision 0013.")
STALE_SECONDS = Field(default=900.0, description="The age up to which it is used, marked, while the store is down.")


def _run_id(context: dg.InitResourceContext) -> str | None:
    return context.run.run_id if context.run else None


class NoSecrets(dg.ConfigurableResource[None]):
    """No secret store: every exchange is read without a key."""

    def create_resource(self, context: dg.InitResourceContext) -> None:
        """Return nothing to read from."""


class AwsSecrets(dg.ConfigurableResource[SecretSource]):
    """Exchange keys kept in AWS Secrets Manager; the login is the AWS chain's own (role, profile)."""

    region: str | None = Field(default=None, description="Region of the secrets; empty means the AWS chain's own.")
    endpoint_url: str | None = Field(default=None, description="Another endpoint, such as a VPC endpoint.")
    profile: str | None = Field(default=None, description="Profile of the AWS configuration to log in with.")
    layout: Literal["combined", "separate"] = Field(
        default="combined",
        description="One JSON secret for all issuers (combined), or one secret each (separate).",
    )
    prefix: str = Field(default="crypto-pipeline", description="Path under which all secrets are named.")

    role_arn: str | None = Field(default=None, description="Role to assume with that login.")
    replica_regions: list[str] = Field(
        default_factory=list, description="Regions to ask, in this order, while the first one is down."
    )
    cache_seconds: float = CACHE_SECONDS
    stale_seconds: float = STALE_SECONDS

    def create_resource(self, context: dg.InitResourceContext) -> SecretSource:
        """Return the store, opened at its first use, behind the cache that this process has for it."""
        login = f"{self.profile or 'default'} {self.role_arn or ''}"
        place = f"{self.prefix} {self.layout}"
        where = f"{self.endpoint_url or ''} {self.region or ''} {','.join(self.replica_regions)}"
        # Not dagster-aws's SecretsManagerResource: its client waits up to two minutes an attempt (decision 0012).
        return shared_cache(
            CacheKey("aws", address=where, role=login, place=place),
            lambda: open_aws(
                self.region,
                self.endpoint_url,
                self.profile,
                prefix=self.prefix,
                layout=self.layout,
                replica_regions=self.replica_regions,
                role_arn=self.role_arn,
                run_id=_run_id(context),
            ),
            CachePolicy(ttl_seconds=self.cache_seconds, bound_seconds=self.stale_seconds),
            sweep=sweep,
        )


class VaultSecrets(dg.ConfigurableResource[SecretSource]):
    """Exchange keys kept in HashiCorp Vault or OpenBao, KV version 2."""

    address: str = Field(description="Address of the server; plain http is accepted on loopback only.")
    mount: str = Field(default="secret", description="Mount of the KV version 2 engine.")
    prefix: str = Field(default="crypto-pipeline", description="Path under which all secrets are named.")
    namespace: str | None = Field(default=None, description="Namespace, where the server has them.")
    ca_file: str | None = Field(default=None, description="CA certificate that signed the server's certificate.")
    auth: AuthName = Field(
        default="token",
        description="How to log in: `token` reads VAULT_TOKEN, `approle` reads VAULT_ROLE_ID and VAULT_SECRET_ID "
        "or VAULT_WRAPPED_SECRET_ID, `jwt` and `kubernetes` read a file, `cert` is the client certificate.",
    )
    auth_mount: str | None = Field(default=None, description="Where the server has that login, if not under its name.")
    role: str | None = Field(default=None, description="Role to log in with; for `jwt`, `kubernetes` and `cert`.")
    jwt_file: str | None = Field(default=None, description="File with the signed token, for `jwt` and `kubernetes`.")
    client_cert_file: str | None = Field(default=None, description="File of a client certificate.")
    client_key_file: str | None = Field(default=None, description="File of its key, if it is another one.")
    cache_seconds: float = CACHE_SECONDS
    stale_seconds: float = STALE_SECONDS

    def create_resource(self, context: dg.InitResourceContext) -> SecretSource:
        """Return the store, opened at its first use, behind the cache that this process has for it."""
        login = " ".join((self.auth, self.auth_mount or "", self.role or "", self.client_cert_file or ""))
        return shared_cache(
            CacheKey(
                "vault",
                address=self.address,
                namespace=self.namespace or "",
                role=login,
                place=f"{self.mount} {self.prefix}",
            ),
            lambda: open_vault(
                self.address,
                mount=self.mount,
                prefix=self.prefix,
                namespace=self.namespace,
                ca_file=self.ca_file,
                auth=self.auth,
                auth_mount=self.auth_mount,
                role=self.role,
                jwt_file=self.jwt_file,
                client_certificate=(self.client_cert_file, self.client_key_file or self.client_cert_file)
                if self.client_cert_file
                else None,
                run_id=_run_id(context),
            ),
            CachePolicy(ttl_seconds=self.cache_seconds, bound_seconds=self.stale_seconds),
            sweep=sweep,
        )


class EnvironmentSecrets(dg.ConfigurableResource[SecretSource]):
    """Exchange keys in plain environment variables, such as BINANCE_API_KEY and BINANCE_API_SECRET."""

    def create_resource(self, context: dg.InitResourceContext) -> SecretSource:
        """Return a source that reads the variables when asked."""
        return EnvironmentSource()


class DotenvSecrets(dg.ConfigurableResource[SecretSource]):
    """Exchange keys in a file that only its owner can read; refused outside development."""

    path: str = Field(default=".env.local", description="The file; mode 0600, git-ignored.")
    environment: str = Field(default="production", description="Must be `development` for the file to be used.")

    def create_resource(self, context: dg.InitResourceContext) -> SecretSource:
        """Return a source that reads the file when asked."""
        return SourceOpenedLater(lambda: DotenvSource(Path(self.path), environment=self.environment))


class FileSecrets(dg.ConfigurableResource[SecretSource]):
    """Exchange keys in files that the container's runtime mounts: okx_api_key, okx_api_secret, or okx/api_key."""

    folder: str = Field(default="/run/secrets", description="The folder; only its owner may change what is in it.")

    def create_resource(self, context: dg.InitResourceContext) -> SecretSource:
        """Return a source that reads the files when asked."""
        return FileSource(Path(self.folder))


class AuditFile(dg.ConfigurableResource[AuditLog]):
    """The record of every secret read, every API call, every verdict and every change of settings."""

    path: str = Field(description="The append-only file; one JSON object per line.")
    settings: dict[str, str] = Field(
        default_factory=dict, description="The settings in force; what differs from the last run is recorded."
    )

    def create_resource(self, context: dg.InitResourceContext) -> AuditLog:
        """Return the log for this run; its first event is preceded by what changed in the settings."""
        path = Path(self.path)
        log: AuditLog = JsonLinesAuditLog(path).bound(run_id=_run_id(context))
        if not self.settings:
            return log
        return ConfigurationNotingLog(log, path.with_name(SETTINGS_LAST_SEEN), self.settings, who=user_name())


class ExchangeAccess(dg.ConfigurableResource[Access]):
    """One exchange (or other issuer of keys), read only, with or without a key."""

    issuer: str = Field(description="`binance`, `coinbase`, `okx`, `bybit` or `huggingface`.")
    use_key: bool = Field(
        default=False,
        description="Whether a key is read from the store and proved; without one, public data only.",
    )
    base_url: str | None = Field(default=None, description="A sandbox on loopback instead of the exchange.")
    perpetuals_url: str | None = Field(
        default=None, description="The same for perpetual contracts, where these have a host of their own."
    )
    rejected_keys: str | None = Field(
        default=None,
        description="File that tells all processes of the host which versions of keys were rejected; no values.",
    )
    limits: str | None = Field(
        default=None, description="File in which all processes of the host count together what exchanges were asked."
    )
    secrets: dg.ResourceDependency[Any]
    audit: dg.ResourceDependency[Any]

    def create_resource(self, context: dg.InitResourceContext) -> Access:
        """Return the access; the credential is read when a step opens a client."""
        if self.use_key and self.secrets is None:
            msg = f"The key of {self.issuer} is to be used, but no secret store is configured for it."
            raise ConfigurationError(msg)
        return Access(
            issuer=self.issuer,
            source=self.secrets if self.use_key else None,
            audit=self.audit,
            base_url=self.base_url,
            perpetuals_url=self.perpetuals_url,
            limits=Path(self.limits) if self.limits else None,
            rejected=RejectedVersions(Path(self.rejected_keys)) if self.rejected_keys else None,
        )

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[Access, None, None]:
        """Give the access to a run, or to a step process of it, and record in the end how often its key was used."""
        access = self.create_resource(context)
        try:
            yield access
        finally:
            access.record_use()


class Lake(dg.ConfigurableResource[LocalLake]):
    """The Parquet files."""

    root: str = Field(description="Folder of the data sets; made with no access for others.")

    def create_resource(self, context: dg.InitResourceContext) -> LocalLake:
        """Open the lake."""
        return LocalLake(Path(self.root))
