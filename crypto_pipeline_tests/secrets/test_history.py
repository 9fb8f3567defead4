"""What a store tells of one secret and of its versions, without a value."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import (
    ConfigurationError,
    SecretDeniedError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import AwsSource, EnvironmentSource, Listing, TokenAuth, VaultSource, build_client
from crypto_pipeline.secrets.history import Historical, history_of, name_meant
from crypto_pipeline_tests.secrets.stores import AwsStore, RemoteStore, Store, VaultStore, new_parts
from crypto_pipeline_tests.support.aws import REGION, Answers, Aws
from crypto_pipeline_tests.support.odd_server import odd_server
from crypto_pipeline_tests.support.vault import Vault


class TestEveryHistory:
    """Held against each kind of store."""

    def test_it_tells_of_the_secret_what_the_listing_tells(self, store: Store) -> None:
        store.put("okx", new_parts("okx"))
        store.put("bybit", new_parts("bybit"))
        assert isinstance(store.source, Listing)

        found = history_of(store.source, store.source.name_of("okx"))

        assert found.secret in store.source.describe_all()
        assert (found.version, found.secret.created_at) == store.truth("okx")

    def test_a_missing_secret_is_not_found(self, store: Store) -> None:
        name = store.source.name_of("okx")

        with pytest.raises(SecretNotFoundError) as caught:
            history_of(store.source, name)

        assert name.rpartition(":")[2] in str(caught.value)

    def test_an_issuer_means_its_secret_and_so_does_the_name(self, store: Store) -> None:
        for issuer in ISSUERS:
            name = store.source.name_of(issuer)

            assert name_meant(store.source, issuer) == name
            assert name_meant(store.source, name) == name

    @pytest.mark.parametrize("given", ["", "okxx", "hf_planted0token", "/", "..", "secret/other"])
    def test_anything_else_means_nothing(self, store: Store, given: str) -> None:
        """No other place of a server is asked for."""
        assert name_meant(store.source, given) is None

    def test_no_value_is_part_of_it(self, store: Store) -> None:
        parts = new_parts("okx")
        store.put("okx", parts)

        found = history_of(store.source, store.source.name_of("okx"))

        assert not [value for value in parts.values() if value in repr(found)]


class TestEveryHistoryOfAServer:
    """Held against each kind of store that keeps versions, and can refuse or be down."""

    def test_all_versions_are_told_the_current_one_first(self, remote: RemoteStore) -> None:
        versions = []
        for _ in range(3):
            remote.put("okx", new_parts("okx"))
            versions.append(remote.truth("okx"))

        found = history_of(remote.source, remote.source.name_of("okx"))

        assert found.versions[0].version == found.version == versions[-1][0]
        assert {(each.version, each.created_at) for each in found.versions} == set(versions)
        assert [each.is_current for each in found.versions] == [True, False, False]
        assert not any(each.is_gone or each.is_destroyed or each.deleted_at for each in found.versions)

    def test_it_needs_no_right_to_read(self, remote: RemoteStore) -> None:
        """The store itself proves that no value was asked for: it would have refused."""
        remote.put("okx", new_parts("okx"))

        with remote.blind() as blind:
            found = history_of(blind, blind.name_of("okx"))
            with pytest.raises(SecretDeniedError):
                blind.read("okx")

        assert found.version == remote.truth("okx")[0]

    def test_a_store_that_is_down_is_not_an_empty_one(self, remote: RemoteStore) -> None:
        down = remote.down()

        with pytest.raises(SecretStoreUnavailableError, match="cannot be reached"):
            history_of(down, down.name_of("okx"))

    def test_a_name_below_the_folder_is_taken_as_it_is(self, remote: RemoteStore) -> None:
        """There may be other secrets than ours."""
        assert isinstance(remote.source, Historical)
        name = f"{remote.source.folder}team/something"

        assert name_meant(remote.source, name) == name
        assert name_meant(remote.source, remote.source.folder) is None
        assert name_meant(remote.source, f"x{name}") is None
        with pytest.raises(SecretNotFoundError):
            history_of(remote.source, name)


def test_a_store_without_versions_knows_its_own_names_only() -> None:
    with pytest.raises(SecretNotFoundError, match="no secret of that name"):
        history_of(EnvironmentSource({}), "PLANTED_KEY")


class TestVault:
    """What became of each version."""

    def test_deleted_and_destroyed_versions_are_told(self, vault: Vault, vault_token: VaultStore) -> None:
        kv, path = vault.root.secrets.kv.v2, vault_token.source.name_of("okx")
        for _ in range(4):
            vault_token.put("okx", new_parts("okx"))
        kv.delete_secret_versions(path=path, versions=[2], mount_point="secret")
        kv.destroy_secret_versions(path=path, versions=[1], mount_point="secret")
        kv.delete_latest_version_of_secret(path=path, mount_point="secret")

        found = vault_token.source.history(path)

        told = {each.version: (each.is_gone, each.is_destroyed, each.deleted_at is not None) for each in found.versions}
        assert told == {
            "4": (True, False, True), "3": (False, False, False), "2": (True, False, True), "1": (True, True, False),
        }  # fmt: skip
        assert found.secret.deleted_at is not None
        assert [each.version for each in found.versions] == ["4", "3", "2", "1"]

    def test_a_version_that_will_be_deleted_is_there(self, vault: Vault, vault_token: VaultStore) -> None:
        path = vault_token.source.name_of("okx")
        vault.root.secrets.kv.v2.update_metadata(path=path, delete_version_after="2h", mount_point="secret")
        vault_token.put("okx", new_parts("okx"))

        (version,) = vault_token.source.history(path).versions

        assert not version.is_gone
        assert version.deleted_at is not None
        assert version.deleted_at - datetime.now(UTC) > timedelta(hours=1)

    def test_versions_are_in_the_order_of_numbers(self, vault_token: VaultStore) -> None:
        """Ten comes after nine."""
        for _ in range(11):
            vault_token.put("okx", new_parts("okx"))

        found = vault_token.source.history(vault_token.source.name_of("okx"))

        assert [each.version for each in found.versions] == [str(number) for number in range(11, 1, -1)]

    @pytest.mark.parametrize("name", ["{folder}../sys/policy", "{folder}", "{folder}a//b"])
    def test_a_name_that_leads_elsewhere_is_refused(self, vault_token: VaultStore, name: str) -> None:
        with pytest.raises(ConfigurationError, match="must not"):
            vault_token.source.history(name.format(folder=vault_token.source.folder))

    @pytest.mark.parametrize(
        "versions",
        [None, {"1": {"created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": False}, "x": {}}],
    )
    def test_metadata_of_another_shape_are_none_of_vaults(self, versions: object) -> None:
        body = json.dumps({"data": {"current_version": 1, "versions": versions}}).encode()
        with odd_server(200, body) as server:
            source = VaultSource(server.address, auth=TokenAuth(Secret("planted-token")))

            with pytest.raises(SecretStoreUnavailableError, match="is not Vault"):
                source.history("crypto-pipeline/okx")


class TestAws:
    """Labels, tags, and what AWS itself says of the last read."""

    def test_labels_tags_and_the_next_rotation_are_told(self, aws: Aws, aws_separate: AwsStore) -> None:
        for _ in range(3):
            aws_separate.put("okx", new_parts("okx"))
        name = aws_separate.source.name_of("okx")
        service = aws.client("secretsmanager")
        service.tag_resource(SecretId=name, Tags=[{"Key": "owner", "Value": "research"}])
        service.put_secret_value(SecretId=name, SecretString="{}", VersionStages=["AWSPENDING"])

        found = aws_separate.source.history(name)

        assert found.secret.labels == {"owner": "research"}
        assert sorted(each.stages for each in found.versions) == [
            (),
            ("AWSCURRENT",),
            ("AWSPENDING",),
            ("AWSPREVIOUS",),
        ]
        assert found.versions[0].stages == ("AWSCURRENT",)
        assert all(each.last_accessed_on is not None for each in found.versions)

    def test_it_costs_two_calls(self, aws_separate: AwsStore) -> None:
        aws_separate.put("okx", new_parts("okx"))

        aws_separate.source.history(aws_separate.source.name_of("okx"))

        assert aws_separate.source.calls == {"DescribeSecret": 1, "ListSecretVersionIds": 1}

    def test_pages_are_followed_and_the_next_rotation_is_told(self, aws: Aws, aws_separate: AwsStore) -> None:
        client = build_client(REGION, aws.address)
        due = datetime(2027, 2, 1, tzinfo=UTC)
        versions: list[dict[str, Any]] = [
            {"VersionId": f"v{number}", "CreatedDate": due.timestamp() - number, "VersionStages": stages}
            for number, stages in enumerate((["AWSCURRENT"], ["AWSPREVIOUS"], []))
        ]
        told = {"ARN": "arn", "VersionIdsToStages": {"v0": ["AWSCURRENT"]}, "NextRotationDate": due.timestamp()}
        Answers(
            client,
            {
                "DescribeSecret": (200, told),
                "ListSecretVersionIds": [
                    (200, {"Versions": versions[:2], "NextToken": "x"}),
                    (200, {"Versions": versions[2:]}),
                ],
            },
        )

        name = aws_separate.source.name_of("okx")
        found = AwsSource(client, prefix=aws_separate.prefix, layout="separate").history(name)

        assert [each.version for each in found.versions] == ["v0", "v1", "v2"]
        assert (found.name, found.secret.issuers, found.secret.next_rotation_at) == (
            name,
            ("okx",),
            due,
        )
        assert found.secret.created_at == due

    def test_a_secret_that_waits_for_its_deletion_is_told(self, aws: Aws, aws_separate: AwsStore) -> None:
        """A read would be refused; who asks what is there wants to know just that."""
        aws_separate.put("okx", new_parts("okx"))
        name = aws_separate.source.name_of("okx")
        aws.client("secretsmanager").delete_secret(SecretId=name, RecoveryWindowInDays=7)

        assert aws_separate.source.history(name).secret.deleted_at is not None

    def test_a_secret_without_a_value_has_no_versions(self, aws: Aws, aws_separate: AwsStore) -> None:
        name = aws_separate.source.name_of("okx")
        aws.client("secretsmanager").create_secret(Name=name)

        found = aws_separate.source.history(name)

        assert (found.version, found.versions, found.secret.created_at) == ("", (), None)

    @pytest.mark.parametrize("version", [{"VersionId": 7, "CreatedDate": 1.0}, {"VersionId": "v1"}])
    def test_an_answer_of_another_shape_is_none_of_aws(
        self, aws: Aws, aws_separate: AwsStore, version: dict[str, Any]
    ) -> None:
        client = build_client(REGION, aws.address)
        Answers(
            client, {"DescribeSecret": (200, {"ARN": "arn"}), "ListSecretVersionIds": (200, {"Versions": [version]})}
        )

        with pytest.raises(SecretStoreUnavailableError, match="is not AWS"):
            AwsSource(client).history(aws_separate.source.name_of("okx"))

    def test_the_shared_secret_may_hold_any_issuer(self, aws_combined: AwsStore) -> None:
        aws_combined.put("okx", new_parts("okx"))

        assert aws_combined.source.history(aws_combined.source.name_of("bybit")).secret.issuers == tuple(ISSUERS)
