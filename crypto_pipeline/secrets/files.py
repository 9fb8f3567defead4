"""
Credentials in files that are mounted into a container: `/run/secrets` of Docker, volumes of Kubernetes.

The runtime puts each part of a credential into a file of its own, and may replace it while we run.
A file tells neither a version nor since when its value exists, so `created_at` is None.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from crypto_pipeline.credentials import CredentialDescription, Credentials
from crypto_pipeline.errors import (
    ConfigurationError,
    CryptoPipelineError,
    MalformedSecretError,
    SecretDeniedError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets.layout import SHARED, Layout, check_parts, parts_of, parts_wanted
from crypto_pipeline.secrets.listing import ListedSecret, described_one_by_one
from crypto_pipeline.secrets.memory import keep_to_this_process

MOST_BYTES: Final = 65_536
"""As much as AWS takes for a secret; a longer file is something else."""

_NOW: Final = "..data"
"""The link that Kubernetes moves when it replaces all files of a volume at once."""

_STATE = re.compile(r"\.\.[^/]+")


def _names(issuer: str, part: str) -> tuple[str, ...]:
    return (*SHARED.names(issuer, part), f"{issuer}/{part}")


FILES: Final = Layout(_names, is_shared=True)
"""Files: `okx_api_key`, or `okx/api_key`."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One file: its name, and which one it is. Not its size, which would tell of the value."""

    name: str
    changed_ns: int
    number: int
    is_empty: bool


class _MovedOnError(Exception):
    """The volume's state was replaced, and the old one removed, between looking where it is and opening it."""


class FileSource:
    """
    Credentials as files in one folder: `okx_api_key`, `okx_api_secret`, … or `okx/api_key`, ….

    A file must be a plain one that only its owner can change, and the owner must be this user or
    root. That others may read it is accepted: Docker mounts secrets with mode 0444 and Kubernetes
    with 0644, and what stands in a container's own file system is open to that container only. The
    folder must not let others change it either (a sticky one, as Kubernetes makes them, does not).

    One line break at the end of a file is not part of the value: editors and `echo` put it there.

    The version moves when a file is replaced, and tells nothing of what is in it: the name that
    Kubernetes gives to a volume's state, elsewhere the time of the last change with a mark made of
    the files' times and numbers. Parts of two versions are never mixed.

    Args:
        folder: where they are mounted.
        attempts: how often a credential is looked at that is being replaced meanwhile.
    """

    store: Final = "files"

    def __init__(self, folder: Path, *, attempts: int = 5) -> None:
        keep_to_this_process()
        self._folder = folder
        self._attempts = attempts

    def name_of(self, issuer: str) -> str:
        """Return the folder and the first file of the issuer's credential."""
        return f"{self._folder}:{FILES.names(issuer, parts_wanted(issuer).required[0])[0]}"

    def describe(self, issuer: str) -> CredentialDescription:
        """
        Return what may be told of the issuer's files; none of them is read.

        Raises:
            ConfigurationError: a file or a folder is not safe to use.
            SecretError: no usable credential of the issuer is in the folder.
        """
        found, _, version = self._gathered(issuer, lambda *_: Secret(""))
        there = [each.name for each in found if not each.is_empty]
        check_parts(issuer, there, layout=FILES, place=str(self._folder))
        return CredentialDescription(issuer, self.name_of(issuer), self.store, version)

    def describe_all(self) -> list[ListedSecret]:
        """Return what may be told of each issuer whose files are all there; none of them is read."""
        return described_one_by_one(self.describe)

    def read(self, issuer: str) -> Credentials:
        """
        Return the issuer's credential.

        Raises:
            ConfigurationError: a file or a folder is not safe to use.
            SecretError: no usable credential of the issuer is in the folder.
        """
        _, fields, version = self._gathered(issuer, self._value)
        parts = parts_of(issuer, fields, layout=FILES, place=str(self._folder))
        return Credentials(CredentialDescription(issuer, self.name_of(issuer), self.store, version), parts)

    def _gathered(
        self, issuer: str, take: Callable[[int, _Found], Secret | None]
    ) -> tuple[list[_Found], Mapping[str, Secret], str]:
        """Return the issuer's files, what `take` gives for each, and their version: all of one moment."""
        parts_wanted(issuer)
        for _ in range(self._attempts):
            try:
                with self._opened() as (folder, base, state):
                    found = self._look(base, issuer)
                    taken = {each.name: take(base, each) for each in found}
                    is_whole = self._look(base, issuer) == found and _state(folder) == state
            except _MovedOnError:
                continue
            fields = {name: value for name, value in taken.items() if value is not None}
            if is_whole and len(fields) == len(taken):
                return found, fields, state.removeprefix("..") or _version_of(found)
        msg = f"The files of {issuer} in {self._folder} are being replaced again and again. Run again."
        raise SecretStoreUnavailableError(msg)

    @contextmanager
    def _opened(self) -> Iterator[tuple[int, int, str]]:
        """Yield the folder and the one in it that holds the files now, opened, and the name of the latter."""
        with _folder_at(str(self._folder), self._folder) as folder:
            state = _state(folder)
            if not state:
                yield folder, folder, ""
                return
            if not _STATE.fullmatch(state):
                raise _refused(self._folder / _NOW, "it leads to another place than Kubernetes lets it")
            with ExitStack() as opened:
                try:
                    base = opened.enter_context(_folder_at(state, self._folder / state, inside=folder))
                except SecretNotFoundError:
                    if _state(folder) != state:
                        raise _MovedOnError from None
                    raise
                yield folder, base, state

    def _look(self, base: int, issuer: str) -> list[_Found]:
        """Return the issuer's files that are there."""
        names = [name for part in parts_wanted(issuer).names for name in FILES.names(issuer, part)]
        return [found for name in names if (found := self._look_at(base, name)) is not None]

    def _look_at(self, base: int, name: str) -> _Found | None:
        folder, _, _ = name.rpartition("/")
        try:
            if folder and (fault := _unsafe_folder(os.stat(folder, dir_fd=base, follow_symlinks=False))):
                raise _refused(self._folder / folder, fault)
            found = os.stat(name, dir_fd=base, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _cannot_use(self._folder / name, error) from None
        if fault := _unsafe_file(found):
            raise _refused(self._folder / name, fault)
        return _Found(name, found.st_mtime_ns, found.st_ino, found.st_size == 0)

    def _value(self, base: int, found: _Found) -> Secret | None:
        """Return what is in a file; None if it is not the file any more that was looked at."""
        place = self._folder / found.name
        try:
            # O_NONBLOCK: a pipe that was put in its place must not make us wait.
            opened = os.open(found.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=base)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _cannot_use(place, error) from None
        with os.fdopen(opened, "rb") as file:
            if os.fstat(opened).st_ino != found.number:
                return None
            content = file.read(MOST_BYTES + 1)
        return _text_in(content, place)


@contextmanager
def _folder_at(name: str, place: Path, *, inside: int | None = None) -> Iterator[int]:
    """Yield a folder, opened, if nobody else can change what is in it."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if inside is None else os.O_NOFOLLOW)
    try:
        opened = os.open(name, flags, dir_fd=inside)
    except OSError as error:
        raise _cannot_use(place, error) from None
    try:
        if fault := _unsafe_folder(os.fstat(opened)):
            raise _refused(place, fault)
        yield opened
    finally:
        os.close(opened)


def _state(folder: int) -> str:
    """Return the name of the folder that holds the files now, below this one; empty if this one does."""
    try:
        return os.readlink(_NOW, dir_fd=folder)
    except OSError:
        return ""


def _text_in(content: bytes, place: Path) -> Secret:
    try:
        text = content.decode() if len(content) <= MOST_BYTES else None
    except UnicodeDecodeError:
        text = None
    if text is None:  # raised out here: the decoder's error holds the whole file
        msg = f"{place} is not UTF-8 text of at most {MOST_BYTES} bytes. Store the value alone, as text."
        raise MalformedSecretError(msg)
    return Secret(text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text)


def _version_of(found: list[_Found]) -> str:
    """Return a text that moves when one of the files is replaced."""
    changed = datetime.fromtimestamp(max((each.changed_ns for each in found), default=0) // 1000 / 1_000_000, UTC)
    mark = hashlib.sha256(repr([(each.name, each.changed_ns, each.number) for each in found]).encode())
    return f"{changed.isoformat(timespec='microseconds')}-{mark.hexdigest()[:8]}"


def _unsafe_file(found: os.stat_result) -> str:
    """Return why a file is not safe; empty if it is."""
    if not stat.S_ISREG(found.st_mode):
        return "it is not a plain file"
    return _in_other_hands(found)


def _unsafe_folder(found: os.stat_result) -> str:
    """Return why a folder is not safe; empty if it is."""
    if not stat.S_ISDIR(found.st_mode):
        return "it is not a folder"
    if found.st_mode & stat.S_ISVTX and found.st_uid in {0, os.geteuid()}:
        return ""  # others may add to it, but change nothing in it; what they add is theirs, and refused
    return _in_other_hands(found)


def _in_other_hands(found: os.stat_result) -> str:
    if found.st_uid not in {0, os.geteuid()}:
        return "it belongs to another user, who could change it"
    mode = stat.S_IMODE(found.st_mode)
    return f"others than its owner may change it (mode {mode:04o})" if mode & 0o022 else ""


def _refused(place: Path, fault: str) -> ConfigurationError:
    return ConfigurationError(
        f"{place} is not used for credentials, because {fault}. Mount it read-only, owned by root or by this user, "
        "mode 0444 or less; then change the keys."
    )


def _cannot_use(place: Path, error: OSError) -> CryptoPipelineError:
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return SecretNotFoundError(
            f"There is no folder {place}. Mount the secrets there, or correct CRYPTO_PIPELINE_SECRETS_FOLDER."
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return SecretDeniedError(f"Reading {place} was denied to this user. Mount it with this user as its owner.")
    if error.errno == errno.ELOOP:
        return _refused(place, "it is not a plain file")
    return SecretStoreUnavailableError(f"{place} cannot be read ({error.strerror}). Check the mount, then run again.")
