"""
The environment, read once.

Every setting is a name, an address or a switch; none is a secret. What is read here is handed to
the floors below as constructor arguments, so nothing below knows an environment variable, with
the exception of the logins that a store needs (`VAULT_TOKEN`, the AWS chain), which are read where
the store is opened and never kept in a setting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.exchanges import CLIENTS
from crypto_pipeline.secrets import (
    AuthName,
    DotenvSource,
    EnvironmentSource,
    FileSource,
    SecretSource,
    open_aws,
    open_vault,
)

PREFIX = "CRYPTO_PIPELINE_"

StoreName = Literal["none", "aws", "vault", "environment", "dotenv", "files"]
Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """
    How this deployment is put together.

    Each field is the environment variable `CRYPTO_PIPELINE_<FIELD>`; lists are separated by
    commas. Fields marked with another variable also take the name their tools use.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", frozen=True, populate_by_name=True, hide_input_in_errors=True
    )

    environment: Literal["production", "development"] = Field(
        "production", description="`development` accepts `.env.local`; anything else refuses it."
    )
    secrets: StoreName = Field("none", description="The one place where credentials are kept.")
    keys: Names = Field((), description="Issuers whose credential is used; all others are read without a key.")
    exchanges: Names = Field(tuple(CLIENTS), description="Exchanges to read market data from.", validate_default=False)
    symbols: Names = Field(("BTC-USDT",), description="Canonical symbols to keep candles of.")
    wide_symbols: Names = Field(
        (),
        description="`exchange:symbol` pairs whose numbers need the wide columns, such as `okx:PEPE-USDT`.",
    )
    perpetuals: Names = Field(
        (), description="Canonical symbols whose linear perpetual contracts are read (BTC-USDT); empty reads none."
    )
    book_levels: int = Field(50, ge=1, le=400, description="How many levels of an order book are kept, on each side.")
    first_month: str = Field("2020-01", pattern=r"^20\d\d-(0[1-9]|1[0-2])$", description="The first monthly partition.")
    lake: Path = Field(Path("var/lake"), description="The folder of the Parquet files.")
    audit_log: Path = Field(Path("var/audit/audit.jsonl"), description="The append-only audit log.")
    dotenv: Path = Field(Path(".env.local"), description="The file that `dotenv` reads, in development.")
    secrets_folder: Path = Field(
        Path("/run/secrets"), description="The folder that `files` reads, as the container's runtime mounts it."
    )
    cache_seconds: float = Field(300.0, gt=0, description="How long a secret of Vault or AWS that was read is fresh.")
    stale_seconds: float = Field(
        900.0, gt=0, description="The age up to which it is used, marked, while the store is down; then runs stop."
    )
    schedules_running: bool = Field(
        default=False, description="Whether a new instance starts with its schedules and sensors switched on."
    )
    op_retries: int = Field(2, ge=0, le=10, description="Retries of a step whose error can heal.")
    op_retry_delay_seconds: float = Field(10.0, ge=0, description="Wait before the first of them.")

    aws_region: str | None = Field(None, description="The region of Secrets Manager; else the AWS chain's own.")
    aws_endpoint_url: str | None = Field(None, description="Another endpoint, such as a VPC endpoint.")
    aws_profile: str | None = Field(None, description="A profile of the AWS configuration.")
    aws_layout: Literal["combined", "separate"] = Field(
        "combined", description="One JSON secret for all issuers, or (better) one secret each."
    )
    aws_role_arn: str | None = Field(None, description="A role to assume with that login.")
    aws_replica_regions: Names = Field((), description="Regions to ask, in this order, while the first one is down.")
    vault_address: str = Field(
        default_factory=lambda: os.environ.get("VAULT_ADDR", "http://127.0.0.1:8200"),
        validate_default=True,
        description="Vault or OpenBao; also `VAULT_ADDR`.",
    )
    vault_mount: str = Field("secret", description="The mount of the KV version 2 engine.")
    vault_namespace: str | None = Field(
        default_factory=lambda: os.environ.get("VAULT_NAMESPACE"), description="Also `VAULT_NAMESPACE`."
    )
    vault_ca_file: Path | None = Field(
        default_factory=lambda: _path(os.environ.get("VAULT_CACERT")), description="Also `VAULT_CACERT`."
    )
    vault_client_cert_file: Path | None = Field(
        default_factory=lambda: _path(os.environ.get("VAULT_CLIENT_CERT")),
        description="A client certificate, where the server wants one; also `VAULT_CLIENT_CERT`.",
    )
    vault_client_key_file: Path | None = Field(
        default_factory=lambda: _path(os.environ.get("VAULT_CLIENT_KEY")),
        description="The file of its key, if it is another one; also `VAULT_CLIENT_KEY`.",
    )
    vault_auth: AuthName = Field(
        "token",
        description="`token` reads `VAULT_TOKEN`; `approle` reads `VAULT_ROLE_ID` and `VAULT_SECRET_ID` or "
        "`VAULT_WRAPPED_SECRET_ID`; `jwt` and `kubernetes` read a file; `cert` is the client certificate.",
    )
    vault_auth_mount: str | None = Field(None, description="Where the server has that login, if not under its name.")
    vault_role: str | None = Field(None, description="The role to log in with; for `jwt`, `kubernetes` and `cert`.")
    vault_jwt_file: Path | None = Field(
        None, description="The file with the signed token, for `jwt`; `kubernetes` knows where its own is."
    )
    secret_prefix: str = Field("crypto-pipeline", description="The path under which all secrets are named.")

    binance_url: str | None = Field(None, description="A sandbox on loopback instead of the exchange.")
    coinbase_url: str | None = Field(None, description="As above.")
    okx_url: str | None = Field(None, description="As above.")
    bybit_url: str | None = Field(None, description="As above.")
    huggingface_url: str | None = Field(None, description="As above.")
    binance_perpetual_url: str | None = Field(None, description="As above, for the host of Binance's USD-M contracts.")

    @classmethod
    def from_environment(cls, **overrides: object) -> Self:
        """
        Read the environment.

        Raises:
            ConfigurationError: a setting is malformed; names it, and never shows its value.
        """
        try:
            return cls(**overrides)  # type: ignore[arg-type]  # validated by pydantic
        except ValidationError as error:
            problems = "; ".join(
                f"{PREFIX}{str(problem['loc'][0]).upper() if problem['loc'] else 'SETTINGS'}: {problem['msg']}"
                for problem in error.errors(include_input=False, include_url=False, include_context=False)
            )
            msg = f"The settings are not usable: {problems}. Correct the environment."
            raise ConfigurationError(msg) from None

    @field_validator("keys", "exchanges", "symbols", "wide_symbols", "perpetuals", "aws_replica_regions", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("lake", "audit_log", "dotenv", "secrets_folder", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("keys")
    @classmethod
    def _known_issuers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _each(value, ISSUERS.__contains__, f"one of {', '.join(ISSUERS)}")

    @field_validator("exchanges")
    @classmethod
    def _known_exchanges(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _each(value, CLIENTS.__contains__, f"one of {', '.join(CLIENTS)}")

    @field_validator("perpetuals")
    @classmethod
    def _canonical_contracts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _each(value, _is_canonical, "a canonical symbol such as BTC-USDT")

    @field_validator("symbols")
    @classmethod
    def _canonical_symbols(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            msg = "it must name at least one symbol"
            raise ValueError(msg)
        return _each(value, _is_canonical, "a canonical symbol such as BTC-USDT")

    @field_validator("wide_symbols")
    @classmethod
    def _wide_pairs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _each(value, _is_pair, "an exchange and a canonical symbol, such as okx:PEPE-USDT")

    @field_validator("vault_address", "aws_endpoint_url")
    @classmethod
    def _bare_address(cls, value: str | None) -> str | None:
        # Settings are shown and recorded. Which of these addresses are safe, the store decides when it is opened.
        if value is not None and _host_of(value) is None:
            msg = "it must be an address without user name, query or fragment"
            raise ValueError(msg)
        return value

    @field_validator("binance_url", "coinbase_url", "okx_url", "bybit_url", "huggingface_url", "binance_perpetual_url")
    @classmethod
    def _loopback_only(cls, value: str | None) -> str | None:
        if value is not None and _host_of(value) not in {"127.0.0.1", "::1", "localhost"}:
            msg = "only a sandbox on loopback may stand in for an exchange"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _stale_is_older_than_fresh(self) -> Self:
        if self.stale_seconds < self.cache_seconds:
            msg = f"{PREFIX}STALE_SECONDS must not be below {PREFIX}CACHE_SECONDS"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _keys_need_a_store(self) -> Self:
        if self.keys and self.secrets == "none":
            msg = f"{PREFIX}KEYS names credentials, but {PREFIX}SECRETS names no store for them"
            raise ValueError(msg)
        return self

    @property
    def vault_client_certificate(self) -> tuple[str, str] | None:
        """The files of the client certificate for Vault and of its key."""
        if self.vault_client_cert_file is None:
            return None
        return str(self.vault_client_cert_file), str(self.vault_client_key_file or self.vault_client_cert_file)

    @property
    def rejected_keys(self) -> Path:
        """The file beside the audit log that remembers which versions of keys were rejected."""
        return self.audit_log.with_name("rejected-keys.json")

    @property
    def limits(self) -> Path:
        """The file beside the audit log in which all processes of the host count what exchanges were asked."""
        return self.audit_log.with_name("limits.sqlite")

    def base_url(self, issuer: str) -> str | None:
        """Return the sandbox address that stands in for the issuer, if one is set."""
        url: str | None = getattr(self, f"{issuer}_url")
        return url

    def perpetuals_url(self, issuer: str) -> str | None:
        """Return the sandbox address of the issuer's perpetual contracts, if they have one of their own."""
        return self.binance_perpetual_url if issuer == "binance" else None

    def is_wide(self, exchange: str, symbol: str) -> bool:
        """Tell whether the symbol's numbers were declared to need the wide columns."""
        return f"{exchange}:{symbol}" in self.wide_symbols

    def build_source(self) -> SecretSource | None:
        """Open the configured secret store; None where no store is configured."""
        builder = _SOURCES[self.secrets]
        return builder(self)

    def as_text(self) -> Mapping[str, str]:
        """Return every setting as text, for the record of configuration changes."""
        return {name: str(getattr(self, name)) for name in type(self).model_fields}


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _each(entries: tuple[str, ...], is_good: Callable[[str], bool], what: str) -> tuple[str, ...]:
    """Return the entries of a list if all are good; a bad one is told by its place, for it may be a pasted key."""
    for place, entry in enumerate(entries, 1):
        if not is_good(entry):
            msg = f"entry {place} is not {what}"
            raise ValueError(msg)
    return entries


def _is_canonical(symbol: str) -> bool:
    return re.fullmatch(r"[A-Z0-9]{1,20}-[A-Z0-9]{1,20}", symbol) is not None


def _is_pair(entry: str) -> bool:
    exchange, _, symbol = entry.partition(":")
    return exchange in CLIENTS and _is_canonical(symbol)


def _host_of(address: str) -> str | None:
    """Return the host of a bare address; None if it holds anything but scheme, host, port and path."""
    try:
        url = urlsplit(address)
    except ValueError:
        return None
    is_bare = url.scheme in {"http", "https"} and not ("@" in url.netloc or url.query or url.fragment)
    return url.hostname if is_bare else None


def _aws(settings: Settings) -> SecretSource:
    return open_aws(
        settings.aws_region,
        settings.aws_endpoint_url,
        settings.aws_profile,
        prefix=settings.secret_prefix,
        layout=settings.aws_layout,
        replica_regions=settings.aws_replica_regions,
        role_arn=settings.aws_role_arn,
    )


def _vault(settings: Settings) -> SecretSource:
    return open_vault(
        settings.vault_address,
        mount=settings.vault_mount,
        prefix=settings.secret_prefix,
        namespace=settings.vault_namespace,
        ca_file=str(settings.vault_ca_file) if settings.vault_ca_file else None,
        auth=settings.vault_auth,
        auth_mount=settings.vault_auth_mount,
        role=settings.vault_role,
        jwt_file=settings.vault_jwt_file,
        client_certificate=settings.vault_client_certificate,
    )


_SOURCES: Mapping[str, Callable[[Settings], SecretSource | None]] = {
    "none": lambda _: None,
    "aws": _aws,
    "vault": _vault,
    "environment": lambda _: EnvironmentSource(),
    "dotenv": lambda settings: DotenvSource(settings.dotenv, environment=settings.environment),
    "files": lambda settings: FileSource(settings.secrets_folder),
}
