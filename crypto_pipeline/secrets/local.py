"""
Credentials of this machine: environment variables, and `.env.local` in development.

Neither store has versions or knows since when a value is there, so `created_at` is None. Nothing
is written to the environment.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.errors import (
    ConfigurationError,
    MalformedSecretError,
    SecretDeniedError,
    SecretError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.secrets.layout import VARIABLES, check_parts, covered, parts_of, parts_wanted
from crypto_pipeline.secrets.listing import ListedSecret, described_one_by_one
from crypto_pipeline.secrets.memory import keep_to_this_process


def _first_variable(issuer: str) -> str:
    return VARIABLES.names(issuer, parts_wanted(issuer).required[0])[0]


def _read_variables(
    issuer: str, variables: Mapping[str, str | None], *, store: str, name: str, version: str, place: str
) -> Credentials:
    """Return the issuer's credential out of variables; see `parts_of` for what is raised."""
    wanted = {variable for part in parts_wanted(issuer).names for variable in VARIABLES.names(issuer, part)}
    # Only what is asked for becomes a Secret: the rest of an environment is none of ours.
    fields = {variable: covered(variables[variable]) for variable in wanted if variable in variables}
    parts = parts_of(issuer, fields, layout=VARIABLES, place=place)
    return Credentials(CredentialDescription(issuer, name, store, version), parts)


class EnvironmentSource:
    """
    Credentials in environment variables: `BINANCE_API_KEY`, `BINANCE_API_SECRET`, `OKX_PASSPHRASE`, ….

    `HF_TOKEN` is read where `HUGGINGFACE_TOKEN` is not set.

    The version is always `environment`: a process keeps the environment it was started with, and
    any label made of the value would tell something of it.

    Args:
        environ: the variables.
    """

    store: Final = "environment"

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        keep_to_this_process()
        self._environ = environ

    def name_of(self, issuer: str) -> str:
        """Return the first variable of the issuer's credential."""
        return _first_variable(issuer)

    def describe(self, issuer: str) -> CredentialDescription:
        """
        Return what may be told of the issuer's variables.

        Raises:
            SecretNotFoundError: none of them is set.
            MalformedSecretError: some are missing.
        """
        return self.read(issuer).description

    def describe_all(self) -> list[ListedSecret]:
        """Return the issuers all of whose variables are set; only names are looked at."""
        return described_one_by_one(self._named)

    def _named(self, issuer: str) -> CredentialDescription:
        check_parts(issuer, self._environ.keys(), layout=VARIABLES, place="The environment")
        return CredentialDescription(issuer, self.name_of(issuer), self.store, self.store)

    def read(self, issuer: str) -> Credentials:
        """
        Return the issuer's credential.

        Raises:
            SecretNotFoundError: none of its variables is set.
            MalformedSecretError: some are missing.
        """
        return _read_variables(
            issuer,
            self._environ,
            store=self.store,
            name=self.name_of(issuer),
            version="environment",
            place="The environment",
        )


class DotenvSource:
    """
    Credentials in a file such as `.env.local`, for development only.

    The variables are those of `EnvironmentSource`. The version is the time of the file's last
    change: it moves when the file is written and tells nothing of what stands in it. It is not an
    age, so `created_at` stays None.

    Args:
        path: the file, which nobody but its owner may touch.
        environment: the kind of deployment.

    Raises:
        ConfigurationError: this is not `development`.
    """

    store: Final = "dotenv"

    def __init__(self, path: Path, *, environment: str) -> None:
        if environment != "development":
            msg = (
                f"Credentials in {path} are refused, because this is not development. Keep them in AWS Secrets "
                "Manager or Vault, or set CRYPTO_PIPELINE_ENVIRONMENT=development on a machine that is for it."
            )
            raise ConfigurationError(msg)
        keep_to_this_process()
        self._path = path

    def name_of(self, issuer: str) -> str:
        """Return the file and the first variable of the issuer's credential."""
        return f"{self._path.name}:{_first_variable(issuer)}"

    def describe(self, issuer: str) -> CredentialDescription:
        """
        Return what may be told of the issuer's variables in the file; see `read`.

        Raises:
            ConfigurationError: the file is not safe to use.
            SecretError: no usable credential of the issuer is in it.
        """
        return self.read(issuer).description

    def describe_all(self) -> list[ListedSecret]:
        """
        Return the issuers all of whose variables are in the file, which is read for that.

        Raises:
            ConfigurationError: the file is not safe to use.
            SecretError: it cannot be read.
        """
        return described_one_by_one(self.describe)

    def read(self, issuer: str) -> Credentials:
        """
        Return the issuer's credential.

        Raises:
            ConfigurationError: the file is not safe to use.
            SecretError: no usable credential of the issuer is in it.
        """
        text, version = _read_private(self._path)
        return _read_variables(
            issuer,
            _parse_dotenv(text),
            store=self.store,
            name=self.name_of(issuer),
            version=version,
            place=str(self._path),
        )


def _parse_dotenv(text: str) -> Mapping[str, str | None]:
    from dotenv import dotenv_values  # noqa: PLC0415 - needed in development only

    # Without interpolation: a `$` in a secret is a `$`, and no other variable gets into it.
    return dotenv_values(stream=io.StringIO(text), interpolate=False)


def _read_private(path: Path) -> tuple[str, str]:
    """
    Return a file's text and the time of its last change, after a look at who else may have seen it.

    Raises:
        ConfigurationError: it is a link, not a file, somebody else's, or open to others.
        SecretError: it cannot be read.
    """
    try:
        found, content = _looked_at_and_read(path)
    except OSError as error:
        raise _cannot_read(path, error) from None
    fault = _unsafe(found)
    if fault:
        msg = f"{path} is not used for credentials, because {fault}. Correct that (chmod 600), then change the keys."
        raise ConfigurationError(msg)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = None
    if text is None:  # raised out here: the decoder's error holds the whole file
        msg = f"{path} is not UTF-8 text. Write it again."
        raise MalformedSecretError(msg)
    changed = datetime.fromtimestamp(found.st_mtime_ns // 1000 / 1_000_000, UTC)
    return text, changed.isoformat(timespec="microseconds")


def _looked_at_and_read(path: Path) -> tuple[os.stat_result, bytes]:
    """Return what a file is, and its content if that is safe to use: both of the same open file."""
    # O_NONBLOCK: a pipe must not make us wait.
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(opened)
        if _unsafe(found):
            return found, b""
        with os.fdopen(opened, "rb", closefd=False) as file:
            return found, file.read()
    finally:
        os.close(opened)


def _cannot_read(path: Path, error: OSError) -> SecretError | ConfigurationError:
    if error.errno == errno.ENOENT:
        return SecretNotFoundError(f"There is no file {path}. Make it from .env.example, or correct its path.")
    if error.errno == errno.ELOOP:
        return ConfigurationError(
            f"{path} is a link; credentials are read from a plain file only. Name the file itself."
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return SecretDeniedError(f"Reading {path} was denied to this user. Make the file this user's own, mode 0600.")
    return SecretStoreUnavailableError(f"{path} cannot be read ({error.strerror}). Check the file.")


def _unsafe(found: os.stat_result) -> str:
    """Return why a file is not safe; empty if it is."""
    if not stat.S_ISREG(found.st_mode):
        return "it is not a plain file"
    if found.st_uid != os.geteuid():
        return "it belongs to another user"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"others than its owner may touch it (mode {stat.S_IMODE(found.st_mode):04o})"
    return ""
