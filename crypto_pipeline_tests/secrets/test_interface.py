"""What every source of credentials does, whatever its store."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import (
    ConfigurationError,
    MalformedSecretError,
    SecretDeniedError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.redaction import MASK, scrub
from crypto_pipeline.secrets import SecretSource
from crypto_pipeline_tests.secrets.stores import AwsStore, RemoteStore, Store, new_parts
from crypto_pipeline_tests.support.hiding import assert_hides

PEM_IN_ONE_LINE = "\\n".join((f"-----BEGIN {'PRIVATE'} KEY-----", "MIGHAgEAMBMGByqGSM49", "-----END KEY-----", ""))
AWKWARD = " quo\"te's back\\slash $HOME ${HOME} %7E & # = , ünï 🔑\r\n\tsecond line, then a blank "
VERBS: tuple[Callable[[SecretSource, str], object], ...] = (
    lambda source, issuer: source.describe(issuer),
    lambda source, issuer: source.read(issuer),
)


class TestEverySource:
    """Held against each kind of store."""

    @pytest.mark.parametrize("issuer", ISSUERS)
    def test_read_gives_the_parts_that_were_stored(self, store: Store, issuer: str) -> None:
        """Each issuer's, and no other."""
        parts = {name: new_parts(name) for name in ISSUERS}
        for name in ISSUERS:
            store.put(name, parts[name])

        found = store.source.read(issuer)

        assert {part: value.reveal() for part, value in found.parts.items()} == parts[issuer]
        assert found.issuer == issuer

    @pytest.mark.parametrize("value", [AWKWARD, PEM_IN_ONE_LINE], ids=["awkward", "PEM in one line"])
    def test_a_value_comes_back_as_it_was_stored(self, store: Store, value: str) -> None:
        """Nothing is trimmed, unescaped or put in place of a `$`."""
        store.put("okx", {**new_parts("okx"), "api_secret": value})

        found = store.source.read("okx")

        assert found["api_secret"].reveal() == value

    def test_read_and_describe_tell_the_same(self, store: Store) -> None:
        """A report must not speak of another version than the one in use."""
        store.put("bybit", new_parts("bybit"))

        assert store.source.describe("bybit") == store.source.read("bybit").description

    def test_version_and_time_are_the_stores_own(self, store: Store) -> None:
        """Another program that asks the store sees the same."""
        store.put("bybit", new_parts("bybit"))

        found = store.source.describe("bybit")

        assert (found.version, found.created_at) == store.truth("bybit")
        assert (found.issuer, found.store) == ("bybit", store.source.store)
        assert found.created_at is None or found.created_at.utcoffset() is not None

    def test_a_rotated_value_is_seen_at_once(self, store: Store) -> None:
        """Nothing is cached: a key that was replaced must not live on here."""
        store.put("binance", new_parts("binance"))
        before = store.source.read("binance")
        parts = new_parts("binance")
        store.put("binance", parts)

        after = store.source.read("binance")

        assert after["api_secret"].reveal() == parts["api_secret"]
        assert after.description.version == store.truth("binance")[0]
        assert after.description.version != before.description.version or store.source.store == "environment"

    @pytest.mark.parametrize("ask", VERBS, ids=["describe", "read"])
    def test_a_missing_credential_is_not_found(self, store: Store, ask: Callable[[SecretSource, str], object]) -> None:
        """The message names it, so that a wrong prefix or mount shows."""
        with pytest.raises(SecretNotFoundError) as caught:
            ask(store.source, "okx")

        assert store.source.name_of("okx").rpartition(":")[2] in str(caught.value)
        assert not caught.value.retryable

    @pytest.mark.parametrize("value", [None, "", "  \n"], ids=["left out", "empty", "blank"])
    def test_a_missing_part_is_named(self, store: Store, value: str | None) -> None:
        """An empty part is a missing one, and what the others hold is not told."""
        parts = new_parts("okx")
        del parts["passphrase"]
        store.put("okx", parts if value is None else {**parts, "passphrase": value})

        with pytest.raises(MalformedSecretError) as caught:
            store.source.read("okx")

        assert f"'{store.field('okx', 'passphrase')}'" in str(caught.value)
        assert "api_key" not in str(caught.value).lower()
        assert_hides(caught.value, parts)

    @pytest.mark.parametrize("ask", VERBS, ids=["describe", "read"])
    def test_an_issuer_that_does_not_exist_is_refused(
        self, store: Store, ask: Callable[[SecretSource, str], object]
    ) -> None:
        """A misspelt issuer is no missing secret."""
        with pytest.raises(ConfigurationError, match="'binanse'"):
            ask(store.source, "binanse")

    def test_what_was_read_is_known_to_the_redactor(self, store: Store) -> None:
        """Whoever prints it later prints a mask."""
        parts = new_parts("huggingface")
        store.put("huggingface", parts)

        found = store.source.read("huggingface")

        assert scrub(f"token={parts['token']}") == f"token={MASK}"
        assert parts["token"] not in f"{found} {found!r} {store.source!r}"
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(found)


class TestEverySourceThatIsAServer:
    """Held against each kind of store that can refuse or be down."""

    def test_describe_needs_no_right_to_read(self, remote: RemoteStore) -> None:
        """The store itself proves that no value was asked for: it would have refused."""
        parts = new_parts("binance")
        remote.put("binance", parts)

        with remote.blind() as blind:
            found = blind.describe("binance")
            with pytest.raises(SecretDeniedError) as caught:
                blind.read("binance")

        assert (found.version, found.created_at) == remote.truth("binance")
        assert "denied" in str(caught.value)
        assert remote.source.name_of("binance") in str(caught.value)
        assert "must allow" in str(caught.value)
        assert_hides(caught.value, parts)

    @pytest.mark.parametrize("ask", VERBS, ids=["describe", "read"])
    def test_a_store_that_is_down_is_not_an_empty_one(
        self, remote: RemoteStore, ask: Callable[[SecretSource, str], object]
    ) -> None:
        """An outage heals; "not found" would not."""
        with pytest.raises(SecretStoreUnavailableError, match="cannot be reached") as caught:
            ask(remote.down(), "binance")

        assert caught.value.retryable

    @pytest.mark.parametrize(
        "value", [7_031_998, 1.5, True, ["a-value-in-a-list"], {"in": "a-nested-value"}], ids=lambda v: type(v).__name__
    )
    def test_a_part_that_is_not_text_is_named_and_not_shown(self, remote: RemoteStore, value: object) -> None:
        """A numeric passphrase would lose its leading zeros; it has to be stored as text."""
        parts = {**new_parts("okx"), "passphrase": value}
        remote.put("okx", parts)

        with pytest.raises(MalformedSecretError, match="other than text") as caught:
            remote.source.read("okx")

        assert f"'{remote.field('okx', 'passphrase')}'" in str(caught.value)
        assert_hides(caught.value, {name: str(shown) for name, shown in parts.items()} | {"in": "a-nested-value"})

    def test_a_null_counts_as_missing(self, remote: RemoteStore) -> None:
        """JSON has a word for nothing."""
        remote.put("okx", {**new_parts("okx"), "passphrase": None})

        with pytest.raises(MalformedSecretError, match="nothing in"):
            remote.source.read("okx")


def test_a_combined_secret_without_the_issuer_is_described_and_not_read(aws_combined: AwsStore) -> None:
    """Whether an issuer is in it cannot be known without reading it."""
    aws_combined.put("binance", new_parts("binance"))

    described = aws_combined.source.describe("okx")

    assert described.name == aws_combined.source.name_of("okx")
    with pytest.raises(SecretNotFoundError, match="'okx_api_key', 'okx_api_secret', 'okx_passphrase'"):
        aws_combined.source.read("okx")
