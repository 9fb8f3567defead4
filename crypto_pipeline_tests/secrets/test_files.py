"""Credentials in files that a container's runtime mounts."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import (
    ConfigurationError,
    MalformedSecretError,
    SecretDeniedError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.secrets import FileSource, SecretSource
from crypto_pipeline.secrets.files import MOST_BYTES
from crypto_pipeline_tests.secrets.stores import FileStore, VolumeStore, new_parts
from crypto_pipeline_tests.support.hiding import assert_hides

VERBS: tuple[Callable[[SecretSource, str], object], ...] = (
    lambda source, issuer: source.describe(issuer),
    lambda source, issuer: source.read(issuer),
)
each_verb = pytest.mark.parametrize("ask", VERBS, ids=["describe", "read"])
Ask = Callable[[SecretSource, str], object]
NOBODY = 65_534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Act as a user who owns nothing."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_files_may_lie_in_a_folder_of_the_issuer(tmp_path: Path) -> None:
    """As a volume with paths, or several secrets mounted side by side."""
    store = FileStore(tmp_path / "keys", "{issuer}/{part}")
    parts = {name: new_parts(name) for name in ISSUERS}
    for name in ISSUERS:
        store.put(name, parts[name])

    found = {name: store.source.read(name) for name in ISSUERS}

    assert {name: {part: value.reveal() for part, value in found[name].parts.items()} for name in ISSUERS} == parts


def test_the_other_name_of_a_token_is_read(files: FileStore) -> None:
    """As the Hugging Face tools call it."""
    (files.folder / "hf_token").write_text("planted-hf-token\n")

    assert files.source.read("huggingface")["token"].reveal() == "planted-hf-token"


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"planted\n", "planted"),
        (b"planted\r\n", "planted"),
        (b"planted\n\n", "planted\n"),
        (b" planted ", " planted "),
    ],
)
def test_one_line_break_at_the_end_is_not_part_of_the_value(files: FileStore, content: bytes, value: str) -> None:
    """`echo` put it there; anything else is the value's own."""
    (files.folder / "huggingface_token").write_bytes(content)

    assert files.source.read("huggingface")["token"].reveal() == value


class TestTheVersion:
    """It moves when a file is replaced, and tells nothing of what is in it."""

    def test_it_stays_while_nothing_happens(self, files: FileStore) -> None:
        files.put("okx", new_parts("okx"))

        assert files.source.describe("okx") == files.source.describe("okx") == files.source.read("okx").description

    def test_it_moves_even_if_the_time_is_the_same(self, files: FileStore) -> None:
        """A tool that keeps times copies another file over it."""
        files.put("huggingface", new_parts("huggingface"))
        file = files.folder / "huggingface_token"
        before, kept = files.source.describe("huggingface").version, file.stat().st_mtime_ns
        (files.folder / "new").write_text("planted-other")
        os.utime(files.folder / "new", ns=(kept, kept))

        (files.folder / "new").replace(file)

        assert files.source.describe("huggingface").version != before

    def test_it_moves_when_one_part_of_several_is_replaced(self, files: FileStore) -> None:
        files.put("okx", new_parts("okx"))
        before = files.source.describe("okx").version

        files.put("okx", {**new_parts("okx")})

        assert files.source.describe("okx").version != before

    def test_it_is_the_same_for_another_value_in_the_same_file(self, files: FileStore) -> None:
        """Not its content and not its length: whoever sees versions must not learn of values."""
        file = files.folder / "huggingface_token"
        file.write_text("planted-short")
        kept = file.stat().st_mtime_ns
        before = files.source.describe("huggingface").version
        file.write_text("planted-and-much-longer")
        os.utime(file, ns=(kept, kept))

        assert files.source.describe("huggingface").version == before

    def test_another_issuers_files_do_not_move_it(self, files: FileStore) -> None:
        files.put("okx", new_parts("okx"))
        before = files.source.describe("okx").version

        files.put("bybit", new_parts("bybit"))

        assert files.source.describe("okx").version == before


@each_verb
def test_a_folder_that_is_not_there_is_told(tmp_path: Path, ask: Ask) -> None:
    """Nothing was mounted."""
    with pytest.raises(SecretNotFoundError, match=r"There is no folder .*nowhere\. Mount .*SECRETS_FOLDER"):
        ask(FileSource(tmp_path / "nowhere"), "okx")


@each_verb
@pytest.mark.parametrize("mode", [0o646, 0o664, 0o666])
@pytest.mark.parametrize("place", ["file", "folder", "issuer's folder"])
def test_what_others_can_change_is_refused(tmp_path: Path, ask: Ask, place: str, mode: int) -> None:
    """Somebody else's key would be used; that others may read is accepted, as runtimes mount it so."""
    store = FileStore(tmp_path / "keys", "{issuer}/{part}")
    store.put("okx", new_parts("okx"))
    path = {
        "file": store.folder / "okx" / "api_key",
        "folder": store.folder,
        "issuer's folder": store.folder / "okx",
    }[place]
    path.chmod(mode if place == "file" else mode | 0o111)

    with pytest.raises(ConfigurationError, match=rf"{path} is not used .* others than its owner may change it"):
        ask(store.source, "okx")


@each_verb
@needs_root
def test_another_users_file_is_refused(files: FileStore, ask: Ask) -> None:
    """Its owner can change it, whatever its mode."""
    files.put("okx", new_parts("okx"))
    os.chown(files.folder / "okx_api_secret", NOBODY, NOBODY)

    with pytest.raises(ConfigurationError, match=r"okx_api_secret is not used .* belongs to another user"):
        ask(files.source, "okx")


@needs_root
def test_a_file_that_this_user_may_not_read_is_denied(files: FileStore) -> None:
    """Mounted for somebody else in the same container; that it is there may be known."""
    parts = new_parts("okx")
    files.put("okx", parts)
    for path in (files.folder, *files.folder.parents):
        if path.stat().st_uid == 0 and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    (files.folder / "okx_api_secret").chmod(0o400)

    with as_nobody():
        described = files.source.describe("okx").issuer
        with pytest.raises(SecretDeniedError, match=r"Reading .*okx_api_secret was denied to this user") as caught:
            files.source.read("okx")

    assert described == "okx"
    assert_hides(caught.value, parts)


@needs_root
@each_verb
def test_a_folder_that_this_user_may_not_enter_is_denied(tmp_path: Path, ask: Ask) -> None:
    store = FileStore(tmp_path / "keys", "{issuer}/{part}")
    store.put("okx", new_parts("okx"))
    for path in (store.folder, *store.folder.parents):
        if path.stat().st_uid == 0 and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    (store.folder / "okx").chmod(0o700)

    with as_nobody(), pytest.raises(SecretDeniedError, match="denied to this user"):
        ask(store.source, "okx")


def a_link(path: Path) -> None:
    """Put a link to a file elsewhere."""
    path.with_name("elsewhere").write_text("planted")
    path.symlink_to(path.with_name("elsewhere"))


def a_socket(path: Path) -> None:
    """Put a socket."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@each_verb
@pytest.mark.parametrize("put", [a_link, a_socket, os.mkfifo, Path.mkdir], ids=["link", "socket", "pipe", "folder"])
def test_what_is_no_plain_file_is_refused(files: FileStore, ask: Ask, put: Callable[[Path], None]) -> None:
    """A link of the runtime's own is another thing: it leads to a state of the whole folder."""
    put(files.folder / "huggingface_token")

    with pytest.raises(ConfigurationError, match=r"huggingface_token is not used .* not a plain file"):
        ask(files.source, "huggingface")


@each_verb
@pytest.mark.parametrize("target", ["elsewhere", "../elsewhere", "/etc", ".."])
def test_a_state_that_leads_elsewhere_is_refused(volume: VolumeStore, ask: Ask, target: str) -> None:
    """Kubernetes names a folder beside it, whose name begins with two dots."""
    volume.put("okx", new_parts("okx"))
    link = volume.folder / "..data"
    link.unlink()
    link.symlink_to(target)

    with pytest.raises(ConfigurationError, match=r"leads to another place|may change it|belongs to"):
        ask(volume.source, "okx")


@pytest.mark.parametrize(
    "content", [b"planted-\xff\xfe", b"planted" * MOST_BYTES], ids=["not text", "longer than a secret"]
)
def test_what_is_no_text_is_malformed_and_not_shown(files: FileStore, content: bytes) -> None:
    (files.folder / "huggingface_token").write_bytes(content)

    with pytest.raises(MalformedSecretError, match="huggingface_token is not UTF-8 text of at most 65536") as caught:
        files.source.read("huggingface")

    assert_hides(caught.value, {"content": "planted"})


def test_an_empty_file_is_a_missing_part(files: FileStore) -> None:
    """A description sees that too, without opening it."""
    files.put("okx", {**new_parts("okx"), "passphrase": ""})

    for ask in VERBS:
        with pytest.raises(MalformedSecretError, match="nothing in 'okx_passphrase'"):
            ask(files.source, "okx")


def test_parts_of_two_versions_are_never_mixed(volume: VolumeStore) -> None:
    """The runtime replaces all of them, again and again, while they are read."""
    volume.put("okx", dict.fromkeys(ISSUERS["okx"].required, "planted-0"))
    stop = threading.Event()

    def replace() -> None:
        count = 0
        while not stop.is_set():
            count += 1
            volume.put("okx", dict.fromkeys(ISSUERS["okx"].required, f"planted-{count}"))

    replacing = threading.Thread(target=replace)
    replacing.start()
    try:
        found = [whole for _ in range(300) if (whole := read_or_busy(volume.source)) is not None]
    finally:
        stop.set()
        replacing.join()

    assert len(found) > 30
    assert {len(values) for values in found} == {1}
    assert len(set.union(*found)) > 5


def read_or_busy(source: SecretSource) -> set[str] | None:
    """Return the values of the parts; None if there was no moment of peace to read them in."""
    try:
        found = source.read("okx")
    except SecretStoreUnavailableError:
        return None
    return {value.reveal() for value in found.parts.values()}


def test_files_that_are_not_at_rest_are_an_outage_and_no_missing_key(volume: VolumeStore) -> None:
    """Looked at once only, sooner or later the link has moved on in between."""
    volume.put("okx", new_parts("okx"))
    source, stop = FileSource(volume.folder, attempts=1), threading.Event()

    def replace() -> None:
        while not stop.is_set():
            volume.put("okx", new_parts("okx"))

    def read_until_it_is_told() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            source.read("okx")

    replacing = threading.Thread(target=replace)
    replacing.start()
    try:
        with pytest.raises(SecretStoreUnavailableError, match=r"of okx in .* are being replaced again and") as caught:
            read_until_it_is_told()
    finally:
        stop.set()
        replacing.join()

    assert caught.value.retryable


@each_verb
def test_a_folder_that_is_none_is_refused_or_an_outage(tmp_path: Path, ask: Ask) -> None:
    """A link that leads to itself, and whatever else a file system has to say."""
    (tmp_path / "round").symlink_to("round")

    with pytest.raises(ConfigurationError, match="round is not used for credentials"):
        ask(FileSource(tmp_path / "round"), "okx")
    with pytest.raises(SecretStoreUnavailableError, match=r"cannot be read \(File name too long\)"):
        ask(FileSource(tmp_path / ("long" * 100)), "okx")


@each_verb
def test_a_file_in_the_place_of_an_issuers_folder_holds_no_key(files: FileStore, ask: Ask) -> None:
    (files.folder / "okx").write_text("planted")

    with pytest.raises(ConfigurationError, match="okx is not used for credentials, because it is not a folder"):
        ask(files.source, "okx")
