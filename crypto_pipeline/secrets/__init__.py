"""
Where credentials are kept: a family of sources behind one interface.

`interface` is the family's verb list; `aws`, `vault`, `local` and `files` are its members, `audited` puts any
of them on the record, `cache` keeps what was read for a stated time. A deployment has one store
(docs/decisions/0002), and a process one cache for it (docs/decisions/0013).
"""

from crypto_pipeline.secrets.audited import AuditedSource
from crypto_pipeline.secrets.aws import AwsSource, open_aws
from crypto_pipeline.secrets.aws_client import build_client
from crypto_pipeline.secrets.cache import CachedSource, CacheKey, clear_shared_caches, shared_cache
from crypto_pipeline.secrets.files import FileSource
from crypto_pipeline.secrets.handouts import HandOuts
from crypto_pipeline.secrets.interface import SecretSource
from crypto_pipeline.secrets.listing import ListedSecret, Listing, sweep
from crypto_pipeline.secrets.local import DotenvSource, EnvironmentSource
from crypto_pipeline.secrets.opened_later import SourceOpenedLater
from crypto_pipeline.secrets.rejected import RejectedVersions
from crypto_pipeline.secrets.staleness import CachePolicy, Rung
from crypto_pipeline.secrets.vault import VaultSource, open_vault
from crypto_pipeline.secrets.vault_login import AppRoleAuth, AuthName, CertificateAuth, JwtAuth, TokenAuth

__all__ = [
    "AppRoleAuth",
    "AuditedSource",
    "AuthName",
    "AwsSource",
    "CacheKey",
    "CachePolicy",
    "CachedSource",
    "CertificateAuth",
    "DotenvSource",
    "EnvironmentSource",
    "FileSource",
    "HandOuts",
    "JwtAuth",
    "ListedSecret",
    "Listing",
    "RejectedVersions",
    "Rung",
    "SecretSource",
    "SourceOpenedLater",
    "TokenAuth",
    "VaultSource",
    "build_client",
    "clear_shared_caches",
    "open_aws",
    "open_vault",
    "shared_cache",
    "sweep",
]
