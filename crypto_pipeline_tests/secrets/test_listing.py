"""What each store tells of all its secrets at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import ConfigurationError, SecretDeniedError, SecretStoreUnavailableError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import AppRoleAuth, AwsSource, Listing, TokenAuth, VaultSource, build_client, sweep
from crypto_pipeline_tests.secrets.stores import AwsStore, DotenvStore, RemoteStore, Store, VaultStore, new_parts
from crypto_pipeline_tests.secrets.told import Told
from crypto_pipeline_tests.support.asked import Asked
from crypto_pipeline_tests.support.aws import REGION, Answers, Aws
from crypto_pipeline_tests.support.odd_server import odd_server
from crypto_pipeline_tests.support.sealable import Sealable, running_sealable
from crypto_pipeline_tests.support.vault import Vault

DETAILS = 'path "secret/detailed-metadata/{prefix}" {{ capabilities = [{capabilities}] }}'


class TestEverySweep:
    """Held against each kind of store."""

    def test_it_tells_of_each_issuer_what_a_description_tells(self, store: Store) -> None:
        """Nothing more has to be asked for a report."""
        for issuer in ("okx", "huggingface", "bybit"):
            store.put(issuer, new_parts(issuer))

        found = sweep(store.source)

        expected = {issuer: store.source.describe(issuer) for issuer in ("okx", "huggingface", "bybit")}
        assert {issuer: found[issuer] for issuer in expected} == expected
        # In a secret that issuers share there may be any of them.
        assert set(found) in (set(expected), set(ISSUERS))

    def test_a_store_with_nothing_in_it_lists_nothing(self, store: Store) -> None:
        assert isinstance(store.source, Listing)
        assert store.source.describe_all() == []

    def test_the_listing_is_in_the_order_of_names_and_shows_no_value(self, store: Store) -> None:
        parts = {issuer: new_parts(issuer) for issuer in ("okx", "bybit")}
        for issuer, each in parts.items():
            store.put(issuer, each)

        assert isinstance(store.source, Listing)
        found = store.source.describe_all()

        assert [each.name for each in found] == sorted(each.name for each in found)
        assert not [value for each in parts.values() for value in each.values() if value in repr(found)]


class TestEverySweepOfAServer:
    """Held against each kind of store that can refuse or be down."""

    def test_it_needs_no_right_to_read(self, remote: RemoteStore) -> None:
        """The store itself proves that no value was asked for: it would have refused."""
        remote.put("okx", new_parts("okx"))

        with remote.blind() as blind:
            found = sweep(blind)
            with pytest.raises(SecretDeniedError):
                blind.read("okx")

        assert (found["okx"].version, found["okx"].created_at) == remote.truth("okx")

    def test_a_store_that_is_down_is_not_an_empty_one(self, remote: RemoteStore) -> None:
        with pytest.raises(SecretStoreUnavailableError, match="cannot be reached"):
            sweep(remote.down())


def test_a_source_that_lists_nothing_is_swept_for_nothing() -> None:
    """Each issuer has to be asked for."""
    assert sweep(Told()) == {}


def test_what_is_not_whole_is_left_to_the_description(dotenv: DotenvStore) -> None:
    """That names what is missing."""
    dotenv.put("okx", {"api_key": "planted"})
    dotenv.put("bybit", new_parts("bybit"))

    assert set(sweep(dotenv.source)) == {"bybit"}


class TestAws:
    """One call for a hundred secrets; one more for each version that was not seen before."""

    def test_a_sweep_costs_one_call_once_the_versions_are_known(self, aws_separate: AwsStore) -> None:
        for issuer in ISSUERS:
            aws_separate.put(issuer, new_parts(issuer))
        first = sweep(aws_separate.source)
        before = dict(aws_separate.source.calls)

        again = sweep(aws_separate.source)
        aws_separate.put("okx", new_parts("okx"))
        rotated = sweep(aws_separate.source)

        assert before == {"ListSecrets": 1, "ListSecretVersionIds": len(ISSUERS)}
        assert aws_separate.source.calls == {"ListSecrets": 3, "ListSecretVersionIds": len(ISSUERS) + 1}
        assert again == first
        assert rotated["okx"].version == aws_separate.truth("okx")[0] != first["okx"].version

    def test_it_tells_stages_tags_rotation_and_deletion(self, aws: Aws, aws_separate: AwsStore) -> None:
        """A secret that waits for its deletion is listed, and swept for nobody."""
        aws_separate.put("okx", new_parts("okx"))
        aws_separate.put("okx", new_parts("okx"))
        aws_separate.put("bybit", new_parts("bybit"))
        service, names = aws.client("secretsmanager"), {i: aws_separate.source.name_of(i) for i in ("okx", "bybit")}
        service.tag_resource(SecretId=names["okx"], Tags=[{"Key": "owner", "Value": "research"}])
        service.delete_secret(SecretId=names["bybit"], RecoveryWindowInDays=7)
        aws.put(f"{aws_separate.prefix}/something-else", "x")
        aws.put(f"{aws_separate.prefix}-of-others/okx", "x")

        bybit, okx, other = aws_separate.source.describe_all()

        assert (okx.name, okx.issuers, okx.labels) == (names["okx"], ("okx",), {"owner": "research"})
        assert set(okx.stages) == {"AWSCURRENT", "AWSPREVIOUS"}
        assert okx.stages["AWSCURRENT"] == okx.version
        assert bybit.deleted_at is not None
        assert bybit.created_at is None
        assert (other.name, other.issuers) == (f"{aws_separate.prefix}/something-else", ())
        assert set(sweep(aws_separate.source)) == {"okx"}

    def test_pages_are_followed_and_the_next_rotation_is_told(self, aws: Aws, aws_separate: AwsStore) -> None:
        aws_separate.put("okx", new_parts("okx"))
        name, version = aws_separate.source.name_of("okx"), aws_separate.truth("okx")[0]
        due = datetime(2027, 2, 1, tzinfo=UTC)
        told = {"Name": name, "SecretVersionsToStages": {version: ["AWSCURRENT"]}, "NextRotationDate": due.timestamp()}
        without_value = {"Name": f"{aws_separate.prefix}/empty"}
        client = build_client(REGION, aws.address)
        Answers(
            client,
            {"ListSecrets": [(200, {"SecretList": [told], "NextToken": "x"}), (200, {"SecretList": [without_value]})]},
        )

        empty, okx = AwsSource(client, prefix=aws_separate.prefix, layout="separate").describe_all()

        assert (okx.next_rotation_at, okx.created_at) == (due, aws_separate.truth("okx")[1])
        assert (empty.version, empty.created_at) == ("", None)

    def test_pages_without_end_come_to_one(self, aws: Aws, aws_separate: AwsStore) -> None:
        client = build_client(REGION, aws.address)
        answers = Answers(client, {"ListSecrets": (200, {"SecretList": [], "NextToken": "for ever"})})

        assert AwsSource(client, prefix=aws_separate.prefix).describe_all() == []
        assert len(answers.asked) < 50

    def test_an_age_that_this_login_may_not_know_is_left_open(self, aws: Aws, aws_separate: AwsStore) -> None:
        """The list itself may be allowed on its own."""
        aws_separate.put("okx", new_parts("okx"))
        client = build_client(REGION, aws.address)
        Answers(client, {"ListSecretVersionIds": (400, {"__type": "AccessDeniedException"})})

        (found,) = AwsSource(client, prefix=aws_separate.prefix, layout="separate").describe_all()

        assert (found.version, found.created_at) == (aws_separate.truth("okx")[0], None)


@pytest.fixture(scope="module")
def sealable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealable]:
    """A Vault that records what it is asked."""
    with running_sealable(tmp_path_factory.mktemp("sealable")) as running:
        yield running


class TestVault:
    """One call where the server knows how; else one for each issuer."""

    @pytest.fixture
    def store(self, sealable: Sealable) -> VaultStore:
        """A store of that server, with two secrets in it."""
        store = VaultStore(sealable.vault)
        for issuer in ("okx", "bybit"):
            store.put(issuer, new_parts(issuer))
        return store

    @staticmethod
    def source(store: VaultStore, capabilities: str, *kinds: str) -> VaultSource:
        """Return a source that may list in this way, and read these kinds of paths."""
        policy = DETAILS.format(prefix=store.prefix, capabilities=capabilities) if capabilities else ""
        return store.opened(f"{policy}\n{store.policy(*kinds)}")

    @pytest.mark.parametrize(
        ("capabilities", "kinds", "asked"),
        [
            ('"scan"', (), ["scan"]),
            ('"list"', (), ["scan", "list"]),
            ("", ("metadata",), ["scan", "list", *["read"] * len(ISSUERS)]),
        ],
        ids=["scan", "list", "neither"],
    )
    def test_it_is_asked_in_the_way_that_works_and_never_for_a_value(
        self, sealable: Sealable, store: VaultStore, capabilities: str, kinds: tuple[str, ...], asked: list[str]
    ) -> None:
        """What works is remembered; the server's own record tells what was asked."""
        source, first = self.source(store, capabilities, *kinds), Asked(sealable.audit)
        found = sweep(source)
        ways = [way for way, path in first.requests() if "metadata" in path]
        second = Asked(sealable.audit)

        again = sweep(source)

        assert set(found) == {"okx", "bybit"}
        assert again == found
        assert ways == asked
        assert [way for way, path in second.requests() if "metadata" in path] == [
            each for each in asked if each == asked[-1]
        ]
        assert not [path for path in [*first.paths(), *second.paths()] if "/data/" in path]

    @pytest.mark.parametrize(
        ("way", "page_size", "calls"), [("list", 3, 3), ("list", 7, 2), ("list", 8, 1), ("scan", 3, 1), ("scan", 7, 2)]
    )
    def test_pages_are_followed(
        self, sealable: Sealable, store: VaultStore, way: str, page_size: int, calls: int
    ) -> None:
        """`SCAN` knows none, and gives everything again."""
        for number in range(5):
            sealable.vault.put(f"{store.prefix}/more-{number}", {"x": "y"})
        source, asked = self.source(store, f'"{way}"'), Asked(sealable.audit)

        found = source.describe_all(page_size=page_size)

        assert [each.name.rpartition("/")[2] for each in found] == ["bybit", *(f"more-{n}" for n in range(5)), "okx"]
        assert [way for way, path in asked.requests() if "detailed" in path].count(way) == calls

    def test_it_tells_labels_and_deletion_and_what_lies_deeper(self, sealable: Sealable, store: VaultStore) -> None:
        """A version that will be deleted later is there; metadata without a version are no secret yet."""
        kv = sealable.vault.root.secrets.kv.v2
        okx, bybit = (f"{store.prefix}/{issuer}" for issuer in ("okx", "bybit"))
        kv.update_metadata(path=okx, custom_metadata={"owner": "research"}, mount_point="secret")
        kv.delete_latest_version_of_secret(path=bybit, mount_point="secret")
        sealable.vault.put(f"{store.prefix}/team/okx", {"x": "y"})
        kv.update_metadata(path=f"{store.prefix}/later", delete_version_after="2h", mount_point="secret")
        sealable.vault.put(f"{store.prefix}/later", {"x": "y"})
        sealable.vault.put(f"{store.prefix}/gone", {"x": "y"})
        kv.destroy_secret_versions(path=f"{store.prefix}/gone", versions=[1], mount_point="secret")
        kv.update_metadata(path=f"{store.prefix}/none", custom_metadata={"owner": "me"}, mount_point="secret")

        found = {
            each.name.removeprefix(f"{store.prefix}/"): each for each in self.source(store, '"scan"').describe_all()
        }

        assert found["okx"].labels == {"owner": "research"}
        assert found["bybit"].deleted_at is not None
        assert found["gone"].deleted_at is not None
        assert found["later"].deleted_at is None
        assert (found["none"].version, found["none"].created_at) == ("", None)
        assert found["team/okx"].issuers == ()
        assert set(sweep(self.source(store, '"scan"'))) == {"okx"}

    def test_what_a_policy_hides_is_left_out_unless_that_is_everything(self, store: VaultStore) -> None:
        """A policy per issuer is the better one."""
        path = f'path "secret/metadata/{store.prefix}/okx" {{ capabilities = ["read"] }}'
        one = store.opened(path)
        none = store.opened('path "nothing/at/all" { capabilities = ["read"] }')

        assert set(sweep(one)) == {"okx"}
        with pytest.raises(SecretDeniedError, match="must allow read"):
            sweep(none)

    def test_a_mount_of_another_kind_is_named(self, vault: Vault) -> None:
        """It has nothing to list either."""
        mount = f"v1-{os.urandom(4).hex()}"
        vault.root.sys.enable_secrets_engine("kv", path=mount, options={"version": "1"})

        with pytest.raises(ConfigurationError, match="is KV version 1"):
            VaultSource(vault.address, auth=TokenAuth(Secret(vault.root.token)), mount=mount).describe_all()

    @pytest.mark.parametrize("status", [404, 405])
    def test_a_server_that_does_not_know_the_question_is_asked_for_each_issuer(self, status: int) -> None:
        """HashiCorp Vault: it has a warning for the path, or no such method."""
        version = {"created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": False}
        body = json.dumps({"data": {"current_version": 1, "versions": {"1": version}}, "warnings": ["no such path"]})
        paths = {f"/v1/secret/metadata/crypto-pipeline/{issuer}": 200 for issuer in ISSUERS}
        paths |= dict.fromkeys(
            ("/v1/secret/detailed-metadata/crypto-pipeline?limit=500&after=", "/v1/auth/token/lookup-self"), status
        )
        with odd_server(paths, body.encode()) as server:
            found = sweep(VaultSource(server.address, auth=TokenAuth(Secret("planted-token"))))

        assert set(found) == set(ISSUERS)

    @pytest.mark.parametrize(
        "data",
        [
            {"keys": "okx"},
            {"keys": ["okx"], "key_info": ["okx"]},
            {"keys": ["okx"], "key_info": {"okx": {}}},
            {"keys": ["okx"], "key_info": {"okx": {"current_version": 1, "versions": {"1": {"created_time": 7}}}}},
        ],
    )
    def test_an_answer_that_is_not_the_servers_is_an_outage(self, data: dict[str, Any]) -> None:
        with (
            odd_server(200, json.dumps({"data": data}).encode()) as server,
            pytest.raises(SecretStoreUnavailableError, match="is not Vault"),
        ):
            VaultSource(server.address, auth=TokenAuth(Secret("planted-token"))).describe_all()

    def test_a_refused_login_is_told_and_not_tried_in_other_ways(self) -> None:
        """There is nothing to fall back to."""
        auth = AppRoleAuth(Secret("planted-role-2e7a"), Secret("planted-secret-id-90bd"))
        with odd_server(403) as server, pytest.raises(SecretDeniedError, match="denied the login"):
            VaultSource(server.address, auth=auth).describe_all()

        assert [path for path, _ in server.requests] == ["/v1/auth/approle/login"]
