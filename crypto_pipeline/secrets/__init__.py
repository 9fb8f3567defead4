"""
Where credentials are kept: a family of sources behind one interface.

`interface` is the family's verb list; `aws`, `vault` and `local` are its members, `audited` puts any
of them on the record. A deployment has one store (docs/decisions/0002), and nothing is cached: a
rotated key is seen by the next read.
"""

from crypto_pipeline.secrets.audited import AuditedSource
from crypto_pipeline.secrets.aws import AwsSource, build_client
from crypto_pipeline.secrets.interface import SecretSource
from crypto_pipeline.secrets.local import DotenvSource, EnvironmentSource
from crypto_pipeline.secrets.vault import VaultSource, open_vault
from crypto_pipeline.secrets.vault_session import AppRoleAuth, TokenAuth

__all__ = [
    "AppRoleAuth",
    "AuditedSource",
    "AwsSource",
    "DotenvSource",
    "EnvironmentSource",
    "SecretSource",
    "TokenAuth",
    "VaultSource",
    "build_client",
    "open_vault",
]
