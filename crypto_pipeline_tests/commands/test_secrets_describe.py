"""`secrets describe`: which secret, which version, since when, read by whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from crypto_pipeline.audit import AuditEvent, JsonLinesAuditLog, secret_access, secret_used, secret_write_intended
from crypto_pipeline.commands.secrets_describe import show_secret
from crypto_pipeline.credentials import ISSUERS, CredentialDescription
from crypto_pipeline.secrets import RejectedVersions
from crypto_pipeline_tests.commands.stocked import Place, Stocked, StockedAws, StockedVault, row, terminal
from crypto_pipeline_tests.support.asked import Asked
from crypto_pipeline_tests.support.aws import Aws
from crypto_pipeline_tests.support.meddler import meddler
from crypto_pipeline_tests.support.odd_server import odd_server
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.sealable import running_sealable
from crypto_pipeline_tests.support.vault import Vault

KEY = "crypto_pipeline/okx/api_key"


def store_of(stocked: Stocked) -> str:
    """Return the kind of store."""
    return stocked.variables["CRYPTO_PIPELINE_SECRETS"]


def record(stocked: Stocked, event: AuditEvent, *, at: datetime, **context: str) -> None:
    """Put an event of an earlier time on the record."""
    JsonLinesAuditLog(stocked.audit, clock=lambda: at).bound(**context).record(event)


def shown_on(width: int, given: str, now: datetime | None = None) -> str:
    """Return what a terminal of this width shows of a secret."""
    with terminal(width) as (console, shown):
        code = show_secret(console, given, now=now or datetime.now(UTC), as_json=False)
    assert code == 0
    return shown.getvalue()


class TestEveryDescription:
    """On both kinds of server."""

    def test_programs_get_all_that_is_known(self, stocked: StockedVault | StockedAws) -> None:
        stocked.stock("okx")
        first = stocked.stored_at("okx")
        stocked.stock("okx")
        second = stocked.stored_at("okx")

        done = stocked.run("secrets", "describe", "okx", "--json")

        told = done.told
        assert (done.code, done.err, told["store"]) == (0, "", store_of(stocked))
        assert told["secret"]["name"] == f"{stocked.prefix}/okx"
        assert (told["secret"]["version"], told["secret"]["state"]) == (second[0], "fresh")
        assert [(each["version"], each["is_current"]) for each in told["versions"]] == [
            (second[0], True), (first[0], False),
        ]  # fmt: skip
        assert datetime.fromisoformat(told["versions"][1]["created_at"]) == first[1].replace(microsecond=0)
        assert (told["readers"], told["rejected"], told["unfinished_writes"]) == ([], [], [])
        assert told["audit_log"] == {"path": str(stocked.audit), "unread_lines": 0}
        stocked.assert_hidden(done)

    def test_the_stored_name_means_the_same_as_the_issuer(self, stocked: StockedVault | StockedAws) -> None:
        stocked.stock("okx")

        by_issuer = stocked.run("secrets", "describe", "okx", "--json").told
        by_name = stocked.run("secrets", "describe", f"{stocked.prefix}/okx", "--json").told

        for told in (by_issuer, by_name):
            del told["told_at"]
            for version in told["versions"]:
                del version["last_accessed_on"]  # the server of these tests counts a look as a read
        assert by_issuer == by_name

    @pytest.mark.parametrize("name", ["okx", "{prefix}/okx", "{prefix}/team/none"])
    def test_a_missing_secret_is_one_sentence_and_the_code_3(
        self, stocked: StockedVault | StockedAws, name: str
    ) -> None:
        done = stocked.run("secrets", "describe", name.format(prefix=stocked.prefix))

        assert (done.code, done.out) == (3, "")
        assert f"no secret '{stocked.prefix}/" in done.said
        assert [(event["action"], event["success"]) for event in stocked.events()] == [("describe", False)]

    def test_what_is_no_name_may_be_a_key_and_is_neither_repeated_nor_recorded(
        self, stocked: StockedVault | StockedAws
    ) -> None:
        """Pasted into the wrong place."""
        stocked.planted["pasted"] = "hf_planted0in0the0wrong0place"

        done = stocked.run("secrets", "describe", stocked.planted["pasted"], "--debug")

        assert (done.code, done.out) == (3, "")
        assert "That is no name of a secret here. Name an issuer (binance, coinbase, okx" in done.said
        assert stocked.events() == []
        stocked.assert_hidden(done)

    def test_it_is_on_record_before_anything_is_shown(self, stocked: StockedVault | StockedAws) -> None:
        stocked.stock("okx")

        stocked.run("secrets", "describe", "okx")

        (event,) = stocked.events()
        assert (event["action"], event["success"], event["secret_name"]) == (
            "describe", True, f"{stocked.prefix}/okx",
        )  # fmt: skip
        assert event["credential_version"] == stocked.stored_at("okx")[0]
        assert (event["accessor"], event["asset"]) == ("crypto_pipeline/secrets_describe", "secrets_describe")

    def test_what_cannot_be_recorded_is_not_shown(self, stocked: StockedVault | StockedAws) -> None:
        stocked.stock("okx")
        stocked.audit.mkdir(parents=True)

        for words in ((), ("--json",)):
            done = stocked.run("secrets", "describe", "okx", *words)

            assert (done.code, done.out) == (9, "")

    def test_a_store_that_is_down_ends_the_command(self, stocked: StockedVault | StockedAws) -> None:
        nowhere = f"http://127.0.0.1:{free_port()}"
        stocked.set(VAULT_ADDR=nowhere, CRYPTO_PIPELINE_AWS_ENDPOINT_URL=nowhere)

        done = stocked.run("secrets", "describe", "okx", "--debug")

        assert (done.code, done.out) == (3, "")
        assert "cannot be reached" in done.said
        stocked.assert_hidden(done)

    def test_who_has_read_it_comes_from_the_audit_log(self, stocked: StockedVault | StockedAws) -> None:
        stocked.stock("okx")
        name, store = f"{stocked.prefix}/okx", store_of(stocked)
        version, now = stocked.stored_at("okx")[0], datetime.now(UTC)
        context = {"asset": "okx/api_key"}
        given = secret_access(name, KEY, version=version, store=store)
        used = secret_used(name, KEY, version=version, store=store, handed_out=9, signed_requests=1234)
        refused = secret_access(
            name, "crypto_pipeline/okx/candles", success=False, store=store, error="SecretDeniedError"
        )
        record(stocked, given, at=now - timedelta(days=3), **context)
        record(stocked, used, at=now - timedelta(days=2), **context)
        record(stocked, refused, at=now - timedelta(days=1), asset="okx/candles")

        told = stocked.run("secrets", "describe", "okx", "--json").told["readers"]
        wide, narrow = shown_on(120, "okx"), shown_on(80, "okx")

        assert told == [
            {
                "accessor": "crypto_pipeline/okx/candles", "asset": "okx/candles", "reads": 0, "handed_out": 0,
                "signed_requests": 0, "first_at": iso(now - timedelta(days=1)), "last_at": iso(now - timedelta(days=1)),
                "versions": [], "failures": {"SecretDeniedError": 1},
            },
            {
                "accessor": KEY, "asset": "okx/api_key", "reads": 1, "handed_out": 9, "signed_requests": 1234,
                "first_at": iso(now - timedelta(days=3)), "last_at": iso(now - timedelta(days=2)),
                "versions": [version], "failures": {},
            },
        ]  # fmt: skip
        days = [f"{now - timedelta(days=back):%Y-%m-%d}" for back in (3, 2)]
        assert row(narrow, "okx/api_key")[:3] == ["okx/api_key", "1", "1,234"]
        assert [cell[:10] for cell in row(narrow, "okx/api_key")[3:5]] == days
        assert row(wide, "okx/candles")[-1] in {"1 SecretDeniedError", "1"}

    @pytest.mark.parametrize("width", [80, 120])
    def test_nothing_is_wider_than_the_terminal(self, stocked: StockedVault | StockedAws, width: int) -> None:
        for _ in range(3):
            stocked.stock("okx")
        name, store = f"{stocked.prefix}/okx", store_of(stocked)
        for number in range(6):
            event = secret_access(name, KEY, version=f"0f3a91c2-0000-4000-8000-00000000000{number}", store=store)
            record(stocked, event, at=datetime.now(UTC))

        text = shown_on(width, "okx")

        assert text.splitlines()[0].startswith(f"{name} in ")
        assert max(map(len, text.splitlines())) <= width
        assert row(text, "okx/api_key")[1] == "6"
        assert text.count("0f3a91c2") == 3
        assert "│ …" in text

    def test_a_version_that_was_rejected_is_marked(self, stocked: StockedVault | StockedAws) -> None:
        """Nobody wonders why it is not used."""
        stocked.stock("okx")
        version, created_at = stocked.stored_at("okx")
        at = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
        memory = RejectedVersions(stocked.audit.with_name("rejected-keys.json"), clock=lambda: at)
        memory.add(CredentialDescription("okx", f"{stocked.prefix}/okx", store_of(stocked), version, created_at))

        told = stocked.run("secrets", "describe", "okx", "--json").told
        plain, text = stocked.run("secrets", "describe", "okx").out, shown_on(120, "okx")
        stocked.stock("okx")
        after = stocked.run("secrets", "describe", "okx", "--json").told

        assert told["rejected"] == [{"issuer": "okx", "at": "2026-11-23T09:30:00+00:00"}]
        for said in (plain, text):
            assert "by okx at 2026-11-23T09:30:00+00:00: this version is not used again." in said
        assert after["rejected"] == []

    def test_who_stored_a_version_is_told(self, stocked: StockedVault | StockedAws) -> None:
        stocked.put("okx", stocked.plant("okx"))

        told = stocked.run("secrets", "describe", "okx", "--json").told
        text = shown_on(120, "okx")

        by = told["versions"][0]["stored_by"]
        assert by["accessor"] == "crypto_pipeline/secrets_put"
        assert by["version"] == stocked.stored_at("okx")[0]
        assert by["user"] in text
        assert told["unfinished_writes"] == []
        stocked.assert_hidden(text)

    def test_a_write_that_did_not_come_to_its_end_is_told(self, stocked: StockedVault | StockedAws) -> None:
        """Whoever died in the middle may have stored it, or not."""
        stocked.stock("okx")
        who = "crypto_pipeline/secrets_put"
        event = secret_write_intended(
            f"{stocked.prefix}/okx", who, store=store_of(stocked), replaces="1", version="planned"
        )
        at = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
        record(stocked, event, at=at, user="ada")

        told = stocked.run("secrets", "describe", "okx", "--json").told
        plain = stocked.run("secrets", "describe", "okx").out

        assert told["unfinished_writes"] == [{"version": "planned", "accessor": who, "user": "ada", "at": iso(at)}]
        assert "Version planned was about to be stored by ada at 2026-11-23 09:30 UTC, and the record" in plain

    def test_lines_that_are_no_events_are_counted_and_said(self, stocked: StockedVault | StockedAws) -> None:
        stocked.stock("okx")
        stocked.audit.parent.mkdir()
        stocked.audit.write_bytes(b'not JSON\n{"event": "of somebody else"}\n\xff\n')

        told = stocked.run("secrets", "describe", "okx", "--json").told
        text = shown_on(80, "okx")

        assert told["audit_log"]["unread_lines"] == 3
        assert "3 lines of the audit log could not be read" in text
        assert "Nobody has read it, as far as " in text

    def test_what_the_log_says_cannot_move_the_cursor(self, stocked: StockedVault | StockedAws) -> None:
        """Another program may have written there."""
        stocked.stock("okx")
        event = secret_access(
            f"{stocked.prefix}/okx", "evil\x1b[2J", version="1\n\x07", store=store_of(stocked), error=None
        )
        record(stocked, event, at=datetime.now(UTC), asset="[red]x[/red]")

        done, text = stocked.run("secrets", "describe", "okx"), shown_on(200, "okx")

        for said in (done.out, text):
            assert "\x1b[2J" not in said
            assert "\x07" not in said
            assert "evil\\x1b[2J ([red]x[/red])" in said
            assert "1\\n\\x07" in said


def iso(moment: datetime) -> str:
    """Return a time as it is told to programs."""
    return moment.isoformat(timespec="seconds")


class TestNoValueIsRead:
    """The servers' own records tell."""

    def test_vault_is_asked_for_metadata_once(self, place: Place) -> None:
        with running_sealable(place.folder) as sealable:
            stocked = StockedVault(sealable.vault, place)
            stocked.stock("okx")
            asked = Asked(sealable.audit)

            done = stocked.run("secrets", "describe", "okx")

        assert done.code == 0
        assert asked.requests() == [("read", f"secret/metadata/{stocked.prefix}/okx")]

    def test_aws_is_asked_twice(self, aws: Aws, place: Place) -> None:
        with meddler(aws.address) as between:
            stocked = StockedAws(aws, place, address=between.address)
            stocked.stock("okx")

            done = stocked.run("secrets", "describe", "okx")

        assert done.code == 0
        assert between.asked == ["DescribeSecret", "ListSecretVersionIds"]


class TestVault:
    """What became of versions, labels, and other secrets of the folder."""

    def test_deleted_versions_are_told(self, on_vault: StockedVault) -> None:
        on_vault.stock("okx", "okx", "okx", "okx")
        path = f"{on_vault.prefix}/okx"
        on_vault.kv.delete_secret_versions(path=path, versions=[2], mount_point="secret")
        on_vault.kv.destroy_secret_versions(path=path, versions=[1], mount_point="secret")
        on_vault.kv.delete_latest_version_of_secret(path=path, mount_point="secret")
        today = f"{datetime.now(UTC):%Y-%m-%d}"

        text = shown_on(80, "okx")

        assert [row(text, number)[2] for number in "4321"] == [
            f"current, deleted {today}", "", f"deleted {today}", "destroyed",
        ]  # fmt: skip
        assert f"deleted  {today}" in text
        assert "fresh" not in text

    def test_a_version_that_will_be_deleted_is_told(self, on_vault: StockedVault) -> None:
        path = f"{on_vault.prefix}/okx"
        on_vault.kv.update_metadata(path=path, delete_version_after="48h", mount_point="secret")
        on_vault.stock("okx")

        text = shown_on(80, "okx")

        assert row(text, "1")[2].startswith("current, will be deleted 20")

    def test_labels_and_age_are_told(self, on_vault: StockedVault) -> None:
        on_vault.stock("okx")
        labels = {"owner": "research", "password": "planted-in-a-label-1"}
        on_vault.planted["label"] = "planted-in-a-label-1"
        on_vault.kv.update_metadata(path=f"{on_vault.prefix}/okx", custom_metadata=labels, mount_point="secret")
        stored_at = on_vault.stored_at("okx")[1]

        fresh = shown_on(80, "okx", stored_at + timedelta(hours=1))
        due = shown_on(120, "okx", stored_at + timedelta(days=80, hours=1))
        overdue = shown_on(120, "okx", stored_at + timedelta(days=100, hours=1))

        assert "  labels   owner=research, password=***REDACTED***" in fresh
        assert "fresh; 90 days are allowed" in fresh
        assert f"due: Secret '{on_vault.prefix}/okx' will expire in 10 days" in due
        assert f"overdue: Secret '{on_vault.prefix}/okx' is 100 days old (max: 90)" in overdue
        assert f"{stored_at:%Y-%m-%d %H:%M} UTC, 100 days ago" in overdue
        on_vault.assert_hidden(fresh)

    def test_another_secret_of_the_folder_is_described_by_its_name(self, on_vault: StockedVault) -> None:
        name = f"{on_vault.prefix}/team/grafana"
        on_vault.vault.put(name, {"x": "planted"})

        text = shown_on(80, name)

        assert text.startswith(f"{name} in Vault\n")
        assert "no issuer this package knows" in text

    def test_metadata_without_a_version_are_told(self, on_vault: StockedVault) -> None:
        on_vault.kv.update_metadata(
            path=f"{on_vault.prefix}/okx", custom_metadata={"owner": "me"}, mount_point="secret"
        )

        text = shown_on(80, "okx")

        assert "none: it was never given a value" in text
        assert "stored" not in text

    def test_old_versions_are_counted_on_a_terminal_and_all_told_to_programs(self, on_vault: StockedVault) -> None:
        path = f"{on_vault.prefix}/okx"
        on_vault.kv.update_metadata(path=path, max_versions=30, mount_point="secret")
        on_vault.stock(*["okx"] * 12)

        text, told = shown_on(80, "okx"), on_vault.run("secrets", "describe", "okx", "--json").told

        assert "… and 2 older versions; --json shows all." in text
        assert len(told["versions"]) == 12
        assert row(text, "12")[2] == "current"
        assert "│ 2 " not in text

    def test_without_the_right_to_describe_nothing_is_told(self, vault: Vault, place: Place) -> None:
        stocked = StockedVault(vault, place, role="reviewer")
        stocked.stock("okx")

        done = stocked.run("secrets", "describe", "okx")

        assert (done.code, done.out) == (3, "")
        assert "must allow read" in done.said
        assert [event["event"] for event in stocked.events()] == ["secret_access", "failed_auth"]

    def test_the_right_to_describe_is_enough(self, vault: Vault, place: Place) -> None:
        """Who may not list, such as the pipeline itself, is told of a name that it knows."""
        stocked = StockedVault(vault, place, role="ci")
        stocked.stock("okx")

        assert stocked.run("secrets", "describe", "okx").code == 0


class TestAws:
    """What only AWS tells."""

    def test_stages_and_the_last_read_are_told(self, on_aws: StockedAws) -> None:
        on_aws.stock("okx", "okx")
        current = on_aws.stored_at("okx")[0]

        text = shown_on(120, "okx")

        assert row(text, current)[2] == "AWSCURRENT"
        assert row(text, current)[3] == f"{datetime.now(UTC):%Y-%m-%d}"

    def test_the_shared_secret_is_one_for_all(self, aws: Aws, place: Place) -> None:
        stocked = StockedAws(aws, place, layout="combined")
        aws.put(f"{stocked.prefix}/exchange-keys", "{}")

        for issuer in ISSUERS:
            told = stocked.run("secrets", "describe", issuer, "--json").told
            assert (told["secret"]["name"], told["secret"]["issuers"]) == (
                f"{stocked.prefix}/exchange-keys", list(ISSUERS),
            )  # fmt: skip
        assert "any issuer: the secret is shared, and who is in it cannot be told" in shown_on(120, "okx")

    def test_a_label_that_was_given_out_for_a_value_that_has_not_come_is_told(self, aws: Aws, place: Place) -> None:
        """A rotation begins like that."""
        body = (
            b'{"ARN": "arn", "VersionIdsToStages": {"planned": ["AWSPENDING"]}, "Versions": [],'
            b' "NextRotationDate": 1801440000.0}'
        )
        with odd_server(200, body) as server:
            StockedAws(aws, place, address=server.address)

            text = shown_on(80, "okx")

        assert "AWSPENDING     planned, which has no value" in text
        assert "next rotation  2027-02-01" in text


class TestOtherStores:
    """Stores that know neither versions nor times."""

    @pytest.mark.parametrize("given", ["okx", "OKX_API_KEY"])
    def test_variables_are_described_without_a_version(self, elsewhere: Stocked, given: str) -> None:
        parts = elsewhere.plant("okx")
        elsewhere.set(**{f"OKX_{part.upper()}": value for part, value in parts.items()})

        done, text = elsewhere.run("secrets", "describe", given, "--json"), shown_on(80, given)

        assert (done.told["secret"]["name"], done.told["secret"]["version"]) == ("OKX_API_KEY", "environment")
        assert done.told["versions"] == []
        assert "unknown: Secret 'OKX_API_KEY' has no known age." in " ".join(text.split())
        elsewhere.assert_hidden(done, text)

    def test_a_missing_one_is_the_code_3(self, elsewhere: Stocked) -> None:
        done = elsewhere.run("secrets", "describe", "okx")

        assert (done.code, done.out) == (3, "")
        assert "'OKX_API_KEY'" in done.said
