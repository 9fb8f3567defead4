"""
What may be the matter with credentials on this machine: mounted files, `.env.local`, the environment.

The source itself is asked to describe each credential; only if it cannot is looked for the reason. What is in a
mounted file is not read. A process has its environment, and a `.env.local` names and values in one: of these
the names are told.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from crypto_pipeline.audit import AuditLog
from crypto_pipeline.credentials import ISSUERS, CredentialDescription
from crypto_pipeline.errors import ConfigurationError, CryptoPipelineError, SecretDeniedError
from crypto_pipeline.secrets.doctor.symptom import (
    BrokenError,
    Record,
    Symptom,
    fine,
    note,
    problem,
    problem_of,
    warning,
)
from crypto_pipeline.secrets.files import FILES, FileSource
from crypto_pipeline.secrets.interface import SecretSource
from crypto_pipeline.secrets.layout import VARIABLES
from crypto_pipeline.secrets.local import DotenvSource, EnvironmentSource

_OTHERS_WRITE: Final = 0o022
_OTHERS: Final = 0o077


class LocalDoctor(ABC):
    """
    What the doctors of this machine share: each issuer is described, and what is missing is explained.

    Args:
        source: the store.
        issuers: whose credentials are in use.
        audit: the record.
    """

    def __init__(self, source: SecretSource, issuers: Sequence[str], audit: AuditLog) -> None:
        self.described: dict[str, CredentialDescription] = {}
        self.questions: int | None = None
        self._source = source
        self._issuers = issuers
        self._record = Record(audit, store=source.store)

    def symptoms(self) -> Iterator[Symptom]:
        """
        Look, and yield what is noticed as it is noticed.

        Raises:
            AuditError: what was asked could not be recorded.
        """
        try:
            yield from self._place()
            for issuer in self._issuers:
                yield self._looked_at(issuer)
        except BrokenError as broken:
            yield broken.symptom

    @abstractmethod
    def _place(self) -> Iterator[Symptom]:
        """Yield what is the matter with the place where all credentials are."""

    @abstractmethod
    def _explained(self, issuer: str, error: CryptoPipelineError) -> Symptom:
        """Return why an issuer's credential cannot be described."""

    def _denied(self, issuer: str) -> Symptom | None:
        """Return what keeps a credential that is there from being read."""
        del issuer
        return None

    def _looked_at(self, issuer: str) -> Symptom:
        name = self._source.name_of(issuer)
        try:
            found = self._source.describe(issuer)
        except CryptoPipelineError as error:
            self._record.asked(name, error=type(error).__name__)
            return self._explained(issuer, error)
        self._record.asked(name)
        if (denied := self._denied(issuer)) is not None:
            return denied
        self.described[issuer] = found
        return fine(f"secret {issuer}", f"'{name}' and what belongs to it are there.")


class FilesDoctor(LocalDoctor):
    """
    Inspects files that are mounted into a container.

    Args:
        folder: where they are mounted.
        issuers: whose credentials are in use.
        audit: the record.
    """

    def __init__(self, folder: Path, issuers: Sequence[str], audit: AuditLog) -> None:
        super().__init__(FileSource(folder), issuers, audit)
        self._folder = folder

    def _place(self) -> Iterator[Symptom]:
        try:
            found = self._folder.stat()
        except FileNotFoundError:
            found = None
        except OSError as error:
            raise BrokenError(_not_looked_at(self._folder, error)) from None
        if found is None or not stat.S_ISDIR(found.st_mode):
            seen = f"There is no folder {self._folder}."
            remedy = "Mount the secrets there, or correct CRYPTO_PIPELINE_SECRETS_FOLDER."
            raise BrokenError(problem("folder", "folder-missing", seen, remedy))
        if (unsafe := _changed_by_others("folder", self._folder, found)) is not None:
            raise BrokenError(unsafe)
        yield fine("folder", f"{self._folder} is there, and nobody else can change it.")

    def _explained(self, issuer: str, error: CryptoPipelineError) -> Symptom:
        about = f"secret {issuer}"
        for path in self._files(issuer):
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                return problem_of(about, "file-unusable", error)
            if found.st_size == 0:
                return problem(about, "file-empty", f"{path} is empty.", "Mount the value in it.")
            if (unsafe := _changed_by_others(about, path, found)) is not None:
                return unsafe
        return problem_of(about, "file-missing", error)

    def _denied(self, issuer: str) -> Symptom | None:
        for path in self._files(issuer):
            if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
                seen = f"{path} is there, and this user may not read it."
                remedy = "Mount it with this user as its owner."
                return problem(f"secret {issuer}", "file-denied", seen, remedy, f"chown {os.geteuid()} {path}")
        return None

    def _files(self, issuer: str) -> Iterator[Path]:
        """Yield the files of an issuer that are there, where Kubernetes has put them now or in the folder itself."""
        now = self._folder / "..data"
        base = now if now.is_symlink() else self._folder
        for part in ISSUERS[issuer].names:
            yield from (path for name in FILES.names(issuer, part) if os.path.lexists(path := base / name))


class DotenvDoctor(LocalDoctor):
    """
    Inspects a file such as `.env.local`.

    Args:
        path: the file.
        environment: the kind of deployment.
        issuers: whose credentials are in use.
        audit: the record.
    """

    def __init__(self, path: Path, environment: str, issuers: Sequence[str], audit: AuditLog) -> None:
        # As in development: where it is another one, nothing is asked of it.
        super().__init__(DotenvSource(path, environment="development"), issuers, audit)
        self._path = path
        self._environment = environment

    def _place(self) -> Iterator[Symptom]:
        try:
            DotenvSource(self._path, environment=self._environment)
            found = self._path.lstat()
        except ConfigurationError as error:
            raise BrokenError(problem_of("file", "dotenv-refused", error)) from None
        except FileNotFoundError:
            seen, remedy = f"There is no file {self._path}.", "Make it, or correct CRYPTO_PIPELINE_DOTENV."
            command = f"install -m 600 .env.example {self._path}"
            raise BrokenError(problem("file", "file-missing", seen, remedy, command)) from None
        except OSError as error:
            raise BrokenError(_not_looked_at(self._path, error)) from None
        if not stat.S_ISREG(found.st_mode):
            seen = f"{self._path} is no plain file, so it is not used."
            raise BrokenError(problem("file", "file-unusable", seen, "Name the file itself, not a link to it."))
        if found.st_uid != os.geteuid():
            raise BrokenError(_of_another("file", self._path))
        if stat.S_IMODE(found.st_mode) & _OTHERS:
            raise BrokenError(
                problem(
                    "file",
                    "file-mode",
                    f"Others than its owner may touch {self._path} (mode {stat.S_IMODE(found.st_mode):04o}), so it is "
                    "not used.",
                    "Close it, then change the keys that stood in it.",
                    f"chmod 600 {self._path}",
                )
            )
        yield fine("file", f"{self._path} is there, and nobody else may read it.")
        folder = self._path.parent
        if (unsafe := _changed_by_others("folder", folder, folder.stat())) is not None:
            yield warning("folder", unsafe.code, unsafe.seen, unsafe.remedy, *unsafe.commands)

    def _explained(self, issuer: str, error: CryptoPipelineError) -> Symptom:
        code = "file-denied" if isinstance(error, SecretDeniedError) else "variable-missing"
        return problem_of(f"secret {issuer}", code, error)


class EnvironmentDoctor(LocalDoctor):
    """
    Inspects the environment of this process.

    Args:
        environment: the kind of deployment.
        issuers: whose credentials are in use.
        audit: the record.
        environ: the variables.
    """

    def __init__(
        self, environment: str, issuers: Sequence[str], audit: AuditLog, environ: Mapping[str, str] = os.environ
    ) -> None:
        super().__init__(EnvironmentSource(environ), issuers, audit)
        self._environment = environment
        self._environ = environ

    def _place(self) -> Iterator[Symptom]:
        seen = "Keys in the environment are seen by every process that is started from here, and have no version."
        if self._environment == "production":
            remedy = "Keep them in Vault, in AWS, or in files that are mounted."
            yield warning("environment", "environment-in-production", seen, remedy)
        else:
            yield note("environment", "environment", seen)

    def _explained(self, issuer: str, error: CryptoPipelineError) -> Symptom:
        names = [name for part in ISSUERS[issuer].names for name in VARIABLES.names(issuer, part)]
        if empty := [name for name in names if name in self._environ and not self._environ[name].strip()]:
            seen = f"{', '.join(empty)} of the environment is empty."
            return problem(f"secret {issuer}", "variable-empty", seen, "Set it where the process is started.")
        return problem_of(f"secret {issuer}", "variable-missing", error)


def _changed_by_others(about: str, path: Path, found: os.stat_result) -> Symptom | None:
    """Return who else can change a file or folder; None if nobody can."""
    kind = "folder" if stat.S_ISDIR(found.st_mode) else "file"
    if found.st_uid not in {0, os.geteuid()}:
        return _of_another(about, path, kind=kind)
    mode = stat.S_IMODE(found.st_mode)
    if not mode & _OTHERS_WRITE or (kind == "folder" and mode & stat.S_ISVTX):
        return None
    seen = f"Others than its owner may change {path} (mode {mode:04o})."
    return problem(about, f"{kind}-mode", seen, "Close it, then change the keys.", f"chmod go-w {path}")


def _of_another(about: str, path: Path, *, kind: str = "file") -> Symptom:
    seen = f"{path} belongs to another user, who could change it."
    return problem(about, f"{kind}-owner", seen, "Make it this user's own, or root's.", f"chown {os.geteuid()} {path}")


def _not_looked_at(path: Path, error: OSError) -> Symptom:
    seen = f"{path} cannot be looked at ({error.strerror})."
    return problem("folder", "folder-denied", seen, "Let this user into the folders on the way there.")
