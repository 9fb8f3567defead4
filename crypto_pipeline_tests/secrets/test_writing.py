"""Storing a new version: what every store that is written to guarantees, and what the record says of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import (
    AuditError,
    ConfigurationError,
    CryptoPipelineError,
    MalformedSecretError,
    SecretChangedError,
    SecretDeniedError,
    SecretStoreSealedError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import DotenvSource, EnvironmentSource, FileSource, SecretSource
from crypto_pipeline.secrets.layout import OWN, Layout
from crypto_pipeline.secrets.writing import Placed, SecretWriter, Seen, Stored, settle, writer_of
from crypto_pipeline_tests.secrets.stores import new_parts
from crypto_pipeline_tests.secrets.writable import WHO, AwsWritable, VaultWritable, Watched, WritableStore, stored
from crypto_pipeline_tests.support.aws import Aws
from crypto_pipeline_tests.support.hiding import assert_hides
from crypto_pipeline_tests.support.meddler import meddler
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.search import everything_under, hits
from crypto_pipeline_tests.support.vault import Vault

PEM = "\n".join((f"-----BEGIN {'PRIVATE'} KEY-----", "MIGHAgEAMBMGByqGSM49AgEG", f"-----END {'PRIVATE'} KEY-----", ""))


@pytest.fixture
def vault_writable(vault: Vault) -> VaultWritable:
    return VaultWritable(vault)


@pytest.fixture
def aws_writable(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> AwsWritable:
    return AwsWritable(aws, monkeypatch)


@pytest.fixture
def aws_writable_combined(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> AwsWritable:
    return AwsWritable(aws, monkeypatch, "combined")


@pytest.fixture(params=["vault_writable", "aws_writable", "aws_writable_combined"])
def writable(request: pytest.FixtureRequest) -> WritableStore:
    """Every kind of store that is written to."""
    found: WritableStore = request.getfixturevalue(request.param)
    return found


class Overtaken:
    """A writer in front of another one: somebody else goes first once it has looked."""

    def __init__(self, writer: SecretWriter, meanwhile: Callable[[], object]) -> None:
        self._writer = writer
        self._meanwhile = meanwhile

    @property
    def store(self) -> str:
        """The kind of store."""
        return self._writer.store

    @property
    def layout(self) -> Layout:
        """Its layout."""
        return self._writer.layout

    def name_of(self, issuer: str) -> str:
        """Return its name."""
        return self._writer.name_of(issuer)

    def look(self, issuer: str) -> Seen:
        """Look, and let somebody else go first."""
        seen = self._writer.look(issuer)
        self._meanwhile()
        return seen

    def write(self, issuer: str, placed: Placed, seen: Seen) -> None:
        """Write."""
        self._writer.write(issuer, placed, seen)


class TestEveryStoreThatIsWrittenTo:
    """Held against each of them, on a real server."""

    @pytest.mark.parametrize("issuer", ISSUERS)
    def test_a_new_secret_is_read_as_it_was_given(self, writable: WritableStore, issuer: str) -> None:
        parts = new_parts(issuer)

        outcome = stored(writable.writer, issuer, parts)

        found = writable.source.read(issuer)
        assert {name: value.reveal() for name, value in found.parts.items()} == parts
        assert outcome == Stored(writable.source.name_of(issuer), writable.current(issuer), "", True, None, 0, "")
        assert found.description.version == outcome.version

    def test_a_new_version_takes_the_place_of_the_old_one_which_stays_there(self, writable: WritableStore) -> None:
        """Whoever stored the wrong key goes back."""
        old, new = new_parts("okx"), new_parts("okx")
        writable.put("okx", writable.fields_of("okx", old))
        before = writable.current("okx")

        outcome = stored(writable.writer, "okx", new)

        assert (outcome.replaced, outcome.version) == (before, writable.current("okx"))
        assert outcome.version != before
        assert writable.parts("okx") == new
        assert writable.parts("okx", before) == old

    def test_one_version_after_the_other(self, writable: WritableStore) -> None:
        """Nothing of the first is in the way of the second."""
        versions = [stored(writable.writer, "bybit", new_parts("bybit")) for _ in range(3)]

        assert [each.replaced for each in versions] == ["", versions[0].version, versions[1].version]
        assert writable.count("bybit") == 3
        assert versions[2].version == writable.current("bybit")

    def test_a_private_key_keeps_its_line_breaks(self, writable: WritableStore) -> None:
        stored(writable.writer, "coinbase", {**new_parts("coinbase"), "api_secret": PEM})

        assert writable.source.read("coinbase")["api_secret"].reveal() == PEM

    def test_the_same_values_again_are_not_stored(self, writable: WritableStore) -> None:
        """A new version would make an old key look young; whoever lost an answer may just run it again."""
        parts = new_parts("okx")
        first = stored(writable.writer, "okx", parts)
        audit = Watched()

        again = stored(writable.writer, "okx", parts, audit)

        assert (again.is_new, again.version) == (False, first.version)
        assert again.created_at == writable.source.describe("okx").created_at
        assert writable.count("okx") == 1
        assert audit.story == [("secret_access", "read", True)]

    def test_fields_that_are_not_ours_stay(self, writable: WritableStore) -> None:
        """Somebody put them there for a reason."""
        others = {"note": "who to call", "number": 7, "list": ["a", {"b": None}]}
        writable.put("okx", writable.fields_of("okx", new_parts("okx")) | others)
        new = new_parts("okx")

        outcome = stored(writable.writer, "okx", new)

        assert writable.fields("okx") == writable.fields_of("okx", new) | others
        assert outcome.kept == 3

    def test_a_part_that_was_malformed_is_mended(self, writable: WritableStore) -> None:
        """The old version keeps what was there."""
        writable.put("okx", writable.fields_of("okx", {"api_key": 7, "api_secret": None, "passphrase": ["x"]}))
        new = new_parts("okx")

        outcome = stored(writable.writer, "okx", new)

        assert writable.parts("okx") == new
        assert writable.parts("okx", outcome.replaced) == {"api_key": 7, "api_secret": None, "passphrase": ["x"]}

    @pytest.mark.parametrize("exists", [True, False], ids=["a version", "the first version"])
    def test_whoever_comes_second_is_refused_and_nothing_is_lost(self, writable: WritableStore, exists: bool) -> None:
        """The other one's values are current, all of them, and nobody else's."""
        if exists:
            writable.put("okx", writable.fields_of("okx", new_parts("okx")))
        theirs, ours = new_parts("okx"), new_parts("okx")
        overtaken = Overtaken(writable.writer, lambda: writable.put("okx", writable.fields_of("okx", theirs)))
        audit = Watched()

        with pytest.raises(SecretChangedError, match="changed by somebody else") as caught:
            stored(overtaken, "okx", ours, audit)

        assert writable.fields("okx") == writable.fields_of("okx", theirs)
        assert writable.source.name_of("okx") in str(caught.value)
        assert audit.events[-1].fields["error"] == "SecretChangedError"
        assert_hides(caught.value, {f"our {part}": value for part, value in ours.items()})

    def test_whoever_was_refused_can_do_it_again(self, writable: WritableStore) -> None:
        writable.put("okx", writable.fields_of("okx", new_parts("okx")))
        ours = new_parts("okx")
        overtaken = Overtaken(writable.writer, lambda: writable.put("okx", writable.fields_of("okx", new_parts("okx"))))
        with pytest.raises(SecretChangedError):
            stored(overtaken, "okx", ours)

        stored(writable.writer, "okx", ours)

        assert writable.parts("okx") == ours

    @pytest.mark.parametrize("exists", [True, False], ids=["a version", "the first version"])
    def test_an_answer_that_is_lost_is_found_out_about(self, writable: WritableStore, exists: bool) -> None:
        """It was stored: to say the opposite would be to have it stored twice."""
        if exists:
            writable.put("okx", writable.fields_of("okx", new_parts("okx")))
        parts = new_parts("okx")
        with meddler(writable.address()) as between:
            between.lost.add(writable.writing("okx"))

            outcome = stored(writable.at(between.address).writer(), "okx", parts)

        assert between.lost == set()
        assert outcome.version == writable.current("okx")
        assert writable.parts("okx") == parts

    def test_a_lost_answer_does_not_hide_that_somebody_else_was_faster(self, writable: WritableStore) -> None:
        writable.put("okx", writable.fields_of("okx", new_parts("okx")))
        theirs = new_parts("okx")
        with meddler(writable.address()) as between:
            request = writable.writing("okx")
            between.lost.add(request)
            between.before[request] = lambda: writable.put("okx", writable.fields_of("okx", theirs))

            with pytest.raises(SecretChangedError):
                stored(writable.at(between.address).writer(), "okx", new_parts("okx"))

        assert writable.parts("okx") == theirs

    def test_without_the_right_to_write_nothing_is_stored(self, writable: WritableStore) -> None:
        """The message names what a policy must allow."""
        old, new = new_parts("binance"), new_parts("binance")
        writable.put("binance", writable.fields_of("binance", old))
        audit = Watched()

        with (
            writable.without_right_to_write() as reading,
            pytest.raises(SecretDeniedError, match="must allow") as caught,
        ):
            stored(reading.writer(), "binance", new, audit)

        assert ("create and update" in str(caught.value)) or ("PutSecretValue" in str(caught.value))
        assert writable.parts("binance") == old
        assert writable.count("binance") == 1
        assert [kind for kind, _, _ in audit.story] == [
            "secret_access", "secret_write_intended", "secret_access", "failed_auth",
        ]  # fmt: skip
        assert_hides(caught.value, new)

    def test_a_store_that_is_down_is_said_to_be(self, writable: WritableStore) -> None:
        parts = new_parts("binance")
        source = writable.at(f"http://127.0.0.1:{free_port()}")

        with pytest.raises(SecretStoreUnavailableError, match="cannot be reached") as caught:
            stored(source.writer(), "binance", parts)

        assert caught.value.retryable
        assert_hides(caught.value, parts)

    def test_no_value_is_in_the_record(self, writable: WritableStore, tmp_path: Path) -> None:
        """Neither of what was stored nor of what was there before."""
        old, new = new_parts("okx"), new_parts("okx")
        writable.put("okx", writable.fields_of("okx", old))

        stored(writable.writer, "okx", new, JsonLinesAuditLog(tmp_path / "audit.jsonl"))

        lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
        assert [line["event"] for line in lines] == ["secret_access", "secret_write_intended", "secret_access"]
        planted = {f"old {part}": value for part, value in old.items()} | new
        assert hits(planted, everything_under(tmp_path)) == []


class TestTheRecord:
    """What is read, what is about to be done, what was done: each before the next."""

    def test_it_tells_both_versions_and_all_is_flushed_to_disk(self, vault_writable: VaultWritable) -> None:
        vault_writable.put("okx", new_parts("okx"))
        audit = Watched()

        stored(vault_writable.writer, "okx", new_parts("okx"), audit)

        read, intended, done = audit.events
        assert (read.fields["action"], read.fields["credential_version"]) == ("read", "1")
        assert (intended.fields["replaces_version"], intended.fields["credential_version"]) == ("1", "2")
        assert (done.fields["action"], done.fields["success"], done.fields["credential_version"]) == (
            "write",
            True,
            "2",
        )
        assert {each.fields["accessor"] for each in audit.events} == {WHO}
        assert all(each.durable for each in audit.events)
        # A failure would tell no version: the context does.
        assert audit.contexts == [{"intended_version": "2"}]

    def test_the_first_version_replaces_none(self, vault_writable: VaultWritable) -> None:
        audit = Watched()

        stored(vault_writable.writer, "okx", new_parts("okx"), audit)

        assert audit.events[1].fields["replaces_version"] is None

    @pytest.mark.parametrize(("fails_at", "story"), [(0, []), (1, [("secret_access", "read", True)])])
    def test_what_cannot_be_recorded_before_is_not_done(
        self, writable: WritableStore, fails_at: int, story: list[object]
    ) -> None:
        writable.put("okx", writable.fields_of("okx", new_parts("okx")))
        audit = Watched(fails_at=fails_at)

        with pytest.raises(AuditError, match="no room"):
            stored(writable.writer, "okx", new_parts("okx"), audit)

        assert audit.story == story
        assert writable.count("okx") == 1

    def test_what_cannot_be_recorded_after_was_done_and_that_is_said(self, vault_writable: VaultWritable) -> None:
        """To say that nothing was done would be a lie."""
        audit, parts = Watched(fails_at=2), new_parts("okx")

        with pytest.raises(AuditError, match=r"Version 1 of '.*/okx' was stored and is current.* no room") as caught:
            stored(vault_writable.writer, "okx", parts, audit)

        assert vault_writable.parts("okx") == parts
        assert [kind for kind, _, _ in audit.story] == ["secret_access", "secret_write_intended"]
        assert_hides(caught.value, parts)

    def test_a_failure_that_cannot_be_recorded_does_not_claim_that_it_was_done(
        self, vault_writable: VaultWritable
    ) -> None:
        theirs = new_parts("okx")
        overtaken = Overtaken(vault_writable.writer, lambda: vault_writable.put("okx", theirs))

        with pytest.raises(AuditError) as caught:
            stored(overtaken, "okx", new_parts("okx"), Watched(fails_at=2))

        assert str(caught.value) == "no room"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (None, "No store of secrets is configured"),
        (EnvironmentSource({}), "a process cannot change the environment"),
        (DotenvSource(Path(".env.local"), environment="development"), "Edit it by hand and keep its mode 0600"),
        (FileSource(Path("/run/secrets")), "belong to the container's runtime"),
    ],
    ids=["none", "environment", "dotenv", "files"],
)
def test_other_stores_are_not_written_to_and_it_is_said_why(source: SecretSource | None, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        writer_of(source)


@pytest.mark.parametrize("source", ["vault_writable", "aws_writable"])
def test_a_store_that_is_written_to_gives_its_writer(source: str, request: pytest.FixtureRequest) -> None:
    writable: WritableStore = request.getfixturevalue(source)

    assert writer_of(writable.source).store == writable.source.store


class Settled:
    """A writer whose store says what it is told to, before and after."""

    store = "told"
    layout = OWN

    def __init__(self, *after: Seen | CryptoPipelineError, failure: CryptoPipelineError) -> None:
        self._looks: list[Seen | CryptoPipelineError] = [Seen("place/huggingface", "7", "8", exists=True), *after]
        self._failure = failure

    def name_of(self, issuer: str) -> str:
        """Return a name."""
        return f"place/{issuer}"

    def look(self, issuer: str) -> Seen:  # noqa: ARG002 - always the same
        """Return what comes next."""
        found = self._looks.pop(0)
        if isinstance(found, CryptoPipelineError):
            raise found
        return found

    def write(self, issuer: str, placed: Placed, seen: Seen) -> None:
        """Fail, and find out what that means."""
        failure = self._failure
        assert isinstance(failure, ConfigurationError | SecretStoreUnavailableError)
        settle(lambda: self.look(issuer), placed, seen, failure)


TOKEN = {"token": "planted-51b0c7"}
AS_BEFORE = Seen("place/huggingface", "7", "8", exists=True)
OURS = Seen("place/huggingface", "8", "8", exists=True, fields={"token": Secret(TOKEN["token"])})
THEIRS = Seen("place/huggingface", "8", "8", exists=True, fields={"token": Secret("planted-of-somebody-else")})


class TestWhatAFailureMeans:
    """A write that failed is looked after: the same error means different things."""

    @pytest.mark.parametrize("kind", [ConfigurationError, SecretStoreUnavailableError])
    def test_ours_is_there(self, kind: type[CryptoPipelineError]) -> None:
        outcome = stored(Settled(OURS, failure=kind("said")), "huggingface", TOKEN)

        assert (outcome.is_new, outcome.version) == (True, "8")

    @pytest.mark.parametrize("kind", [ConfigurationError, SecretStoreUnavailableError])
    def test_nothing_has_changed(self, kind: type[CryptoPipelineError]) -> None:
        with pytest.raises(kind, match="said"):
            stored(Settled(AS_BEFORE, failure=kind("said")), "huggingface", TOKEN)

    @pytest.mark.parametrize("kind", [ConfigurationError, SecretStoreUnavailableError])
    def test_somebody_elses_is_there(self, kind: type[CryptoPipelineError]) -> None:
        """Whatever its number is called."""
        with pytest.raises(SecretChangedError, match="there was version 7 of it before"):
            stored(Settled(THEIRS, failure=kind("said")), "huggingface", TOKEN)

    def test_what_somebody_else_stored_is_no_credential(self) -> None:
        """It is still theirs."""
        with pytest.raises(SecretChangedError):
            stored(
                Settled(MalformedSecretError("odd"), failure=SecretStoreUnavailableError("said")), "huggingface", TOKEN
            )

    def test_nobody_can_say(self) -> None:
        """Neither that it was stored nor that it was not."""
        gone = SecretStoreUnavailableError("still down")

        with pytest.raises(SecretStoreUnavailableError, match="not known whether version 8 of 'place/huggingface'"):
            stored(Settled(gone, failure=SecretStoreUnavailableError("said")), "huggingface", TOKEN)

    @pytest.mark.parametrize("kind", [ConfigurationError, SecretStoreSealedError])
    def test_a_refusal_is_one_also_if_nobody_can_look(self, kind: type[CryptoPipelineError]) -> None:
        """The store itself said that it did not."""
        with pytest.raises(kind, match="said"):
            stored(Settled(SecretStoreSealedError("sealed"), failure=kind("said")), "huggingface", TOKEN)
