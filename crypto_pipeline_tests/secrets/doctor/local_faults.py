"""Faults of files, folders and variables of this machine: each with what must be seen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crypto_pipeline.secrets.doctor.local import DotenvDoctor, EnvironmentDoctor, FilesDoctor, LocalDoctor
from crypto_pipeline.secrets.doctor.symptom import Severity
from crypto_pipeline_tests.secrets.doctor.seen import record_in
from crypto_pipeline_tests.secrets.stores import DotenvStore, EnvironmentStore, FileStore, VolumeStore, new_parts

SOMEBODY = 12_345


@dataclass
class Ward:
    """
    Where a fault is planted.

    Fields:
        folder: a folder of the test's own.
        planted: every secret in it, by a name that is none.
    """

    folder: Path
    planted: dict[str, str] = field(default_factory=dict)

    def parts(self, issuer: str = "okx") -> dict[str, str]:
        """Return a credential of the issuer."""
        parts = new_parts(issuer)
        self.planted |= {f"{issuer} {part}": value for part, value in parts.items()}
        return parts

    def files(self) -> FileStore:
        """Return a folder as Docker mounts it, with a credential in it."""
        store = FileStore(self.folder / "secrets")
        store.put("okx", self.parts())
        return store

    def files_doctor(self) -> FilesDoctor:
        """Return the doctor of such a folder."""
        return FilesDoctor(self.folder / "secrets", ("okx",), record_in(self.folder))

    def dotenv(self) -> DotenvStore:
        """Return a file of variables, with a credential in it."""
        (self.folder / "app").mkdir(mode=0o755)
        store = DotenvStore(self.folder / "app" / ".env.local")
        store.put("okx", self.parts())
        return store

    def dotenv_doctor(self, environment: str = "development") -> DotenvDoctor:
        """Return the doctor of such a file."""
        path = self.folder / "app" / ".env.local"
        return DotenvDoctor(path, environment, ("okx",), record_in(self.folder))

    def variables(self) -> dict[str, str]:
        """Return variables with a credential among them."""
        store = EnvironmentStore()
        store.put("okx", self.parts())
        return store._variables

    def environment_doctor(self, variables: dict[str, str], environment: str = "development") -> EnvironmentDoctor:
        """Return the doctor of such variables."""
        return EnvironmentDoctor(environment, ("okx",), record_in(self.folder), variables)


Planting = Callable[[Ward], AbstractContextManager[LocalDoctor]]
FAULTS: dict[str, tuple[Planting, str, Severity]] = {}


def fault(
    code: str, severity: Severity = Severity.PROBLEM
) -> Callable[[Callable[[Ward], Iterator[LocalDoctor]]], Planting]:
    """Put a way of planting a fault into the table, with what must be seen."""

    def put(plant: Callable[[Ward], Iterator[LocalDoctor]]) -> Planting:
        planting = contextmanager(plant)
        FAULTS[plant.__name__] = (planting, code, severity)
        return planting

    return put


# Mounted files...


@fault("folder-missing")
def nothing_is_mounted(ward: Ward) -> Iterator[LocalDoctor]:
    yield ward.files_doctor()


@fault("folder-missing")
def a_file_is_mounted_where_the_folder_should_be(ward: Ward) -> Iterator[LocalDoctor]:
    (ward.folder / "secrets").touch()
    yield ward.files_doctor()


@fault("folder-denied")
def the_folder_is_behind_a_closed_one(ward: Ward) -> Iterator[LocalDoctor]:
    ward.files()
    with somebody_else(ward.folder, closed=ward.folder / "secrets"):
        yield FilesDoctor(ward.folder / "secrets" / "inner", ("okx",), record_in(ward.folder))


@fault("folder-mode")
def others_may_change_the_folder(ward: Ward) -> Iterator[LocalDoctor]:
    ward.files().folder.chmod(0o777)
    yield ward.files_doctor()


@fault("folder-owner")
def the_folder_is_somebody_elses(ward: Ward) -> Iterator[LocalDoctor]:
    os.chown(ward.files().folder, SOMEBODY, -1)
    yield ward.files_doctor()


@fault("file-missing")
def a_file_is_missing(ward: Ward) -> Iterator[LocalDoctor]:
    (ward.files().folder / "okx_passphrase").unlink()
    yield ward.files_doctor()


@fault("file-missing")
def there_is_no_file_of_the_issuer(ward: Ward) -> Iterator[LocalDoctor]:
    ward.files().put("okx", {})
    yield ward.files_doctor()


@fault("file-empty")
def a_file_is_empty(ward: Ward) -> Iterator[LocalDoctor]:
    (ward.files().folder / "okx_passphrase").write_text("")
    yield ward.files_doctor()


@fault("file-mode")
def others_may_change_a_file(ward: Ward) -> Iterator[LocalDoctor]:
    (ward.files().folder / "okx_api_key").chmod(0o666)
    yield ward.files_doctor()


@fault("file-mode")
def others_may_change_a_file_of_a_volume(ward: Ward) -> Iterator[LocalDoctor]:
    volume = VolumeStore(ward.folder / "secrets")
    volume.put("okx", ward.parts())
    (volume.folder / "..data" / "okx" / "api_key").resolve().chmod(0o666)
    yield ward.files_doctor()


@fault("file-owner")
def a_file_is_somebody_elses(ward: Ward) -> Iterator[LocalDoctor]:
    os.chown(ward.files().folder / "okx_api_key", SOMEBODY, -1)
    yield ward.files_doctor()


@fault("file-unusable")
def a_file_is_a_link(ward: Ward) -> Iterator[LocalDoctor]:
    file = ward.files().folder / "okx_api_key"
    file.rename(ward.folder / "elsewhere")
    file.symlink_to(ward.folder / "elsewhere")
    yield ward.files_doctor()


@fault("file-denied")
def this_user_may_not_read_a_file(ward: Ward) -> Iterator[LocalDoctor]:
    (ward.files().folder / "okx_api_key").chmod(0o400)
    with somebody_else(ward.folder):
        yield ward.files_doctor()


# A file of variables...


@fault("dotenv-refused")
def it_is_production(ward: Ward) -> Iterator[LocalDoctor]:
    ward.dotenv()
    yield ward.dotenv_doctor("production")


@fault("file-missing")
def there_is_no_file_of_variables(ward: Ward) -> Iterator[LocalDoctor]:
    yield ward.dotenv_doctor()


@fault("file-mode")
def others_may_read_the_variables(ward: Ward) -> Iterator[LocalDoctor]:
    ward.dotenv().path.chmod(0o644)
    yield ward.dotenv_doctor()


@fault("file-owner")
def the_variables_are_somebody_elses(ward: Ward) -> Iterator[LocalDoctor]:
    os.chown(ward.dotenv().path, SOMEBODY, -1)
    yield ward.dotenv_doctor()


@fault("file-unusable")
def the_variables_are_behind_a_link(ward: Ward) -> Iterator[LocalDoctor]:
    path = ward.dotenv().path
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))
    yield ward.dotenv_doctor()


@fault("folder-denied")
def the_variables_are_behind_a_closed_folder(ward: Ward) -> Iterator[LocalDoctor]:
    ward.dotenv()
    with somebody_else(ward.folder, closed=ward.folder / "app"):
        yield ward.dotenv_doctor()


@fault("folder-mode", Severity.WARNING)
def others_may_replace_the_file_of_variables(ward: Ward) -> Iterator[LocalDoctor]:
    ward.dotenv().path.parent.chmod(0o777)
    yield ward.dotenv_doctor()


@fault("variable-missing")
def a_variable_is_missing_in_the_file(ward: Ward) -> Iterator[LocalDoctor]:
    parts = ward.parts()
    del parts["passphrase"]
    ward.dotenv().put("okx", parts)
    yield ward.dotenv_doctor()


# The environment...


@fault("environment-in-production", Severity.WARNING)
def the_environment_is_the_store_of_production(ward: Ward) -> Iterator[LocalDoctor]:
    yield ward.environment_doctor(ward.variables(), "production")


@fault("environment", Severity.NOTE)
def the_environment_is_the_store_of_development(ward: Ward) -> Iterator[LocalDoctor]:
    yield ward.environment_doctor(ward.variables())


@fault("variable-missing")
def a_variable_is_missing(ward: Ward) -> Iterator[LocalDoctor]:
    variables = ward.variables()
    del variables["OKX_API_SECRET"]
    yield ward.environment_doctor(variables)


@fault("variable-missing")
def no_variable_is_set(ward: Ward) -> Iterator[LocalDoctor]:
    yield ward.environment_doctor({})


@fault("variable-empty")
def a_variable_is_empty(ward: Ward) -> Iterator[LocalDoctor]:
    yield ward.environment_doctor({**ward.variables(), "OKX_API_SECRET": " "})


@contextmanager
def somebody_else(folder: Path, *, closed: Path | None = None) -> Iterator[None]:
    """Be a user without rights, who may get into all folders but the closed one, and write the record."""
    if os.geteuid() != 0:
        why = "needs root to become another user: run as root, or in a container"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    for path in (folder, *folder.parents):
        if path.stat().st_uid == 0 and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    record = folder / "audit.jsonl"
    record.touch()
    os.chown(record, 65_534, -1)
    if closed:
        closed.chmod(0o700)
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)
