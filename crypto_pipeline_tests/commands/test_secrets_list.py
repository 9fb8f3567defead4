"""`secrets list`: one look at all stored secrets, and a code that tells whether those in use are there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crypto_pipeline.commands.secrets_list import show_list
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline_tests.commands.stocked import Place, Stocked, StockedAws, StockedVault, row, terminal
from crypto_pipeline_tests.support.asked import Asked
from crypto_pipeline_tests.support.aws import Aws
from crypto_pipeline_tests.support.meddler import meddler
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.sealable import running_sealable
from crypto_pipeline_tests.support.vault import Vault


class TestEveryListing:
    """On both kinds of server."""

    def test_programs_get_what_the_store_tells(self, stocked: StockedVault | StockedAws) -> None:
        """In the order of names, with times in ISO 8601."""
        stocked.stock("okx", "bybit", "huggingface")

        done = stocked.run("secrets", "list", "--json")

        told = done.told
        assert (done.code, done.err) == (0, "")
        assert (told["store"], told["folder"]) == (stocked.variables["CRYPTO_PIPELINE_SECRETS"], f"{stocked.prefix}/")
        assert datetime.fromisoformat(told["told_at"]).utcoffset() == timedelta(0)
        assert [each["name"] for each in told["secrets"]] == [
            f"{stocked.prefix}/{issuer}" for issuer in ("bybit", "huggingface", "okx")
        ]
        for each, issuer in zip(told["secrets"], ("bybit", "huggingface", "okx"), strict=True):
            version, created_at = stocked.stored_at(issuer)
            assert (each["issuers"], each["version"]) == ([issuer], version)
            assert datetime.fromisoformat(each["created_at"]) == created_at.replace(microsecond=0)
            assert (each["age_days"], each["freshness"], each["state"]) == (0, "fresh", "fresh")
            assert each["max_age_days"] == (180 if issuer == "huggingface" else 90)
            assert (each["deleted_at"], each["next_rotation_at"], each["labels"]) == (None, None, {})
        assert told["problems"] == []
        stocked.assert_hidden(done)

    def test_columns_are_plain_where_there_is_no_terminal(self, stocked: StockedVault | StockedAws) -> None:
        """A name, and so on, to be cut by `awk`; no box, no colour, and what is not known is a hyphen."""
        stocked.stock("okx", "bybit")

        done = stocked.run("secrets", "list")

        head, *lines = [line.split() for line in done.out.splitlines()]
        assert head == [
            "name", "issuers", "version", "stored", "age_days", "state", "stages", "next_rotation", "deleted", "labels",
        ]  # fmt: skip
        for issuer, line in zip(("bybit", "okx"), lines, strict=True):
            assert line[:3] == [f"{stocked.prefix}/{issuer}", issuer, stocked.stored_at(issuer)[0]]
            assert line[4:6] == ["0", "fresh"]
            assert line[7:] == ["-", "-", "-"]
        assert done.out.isascii()
        assert "\x1b" not in done.out

    def test_a_key_in_use_that_is_not_there_is_missing_and_the_code_tells(
        self, stocked: StockedVault | StockedAws
    ) -> None:
        stocked.stock("okx")
        stocked.set(CRYPTO_PIPELINE_KEYS="okx,coinbase")

        plain, told = stocked.run("secrets", "list"), stocked.run("secrets", "list", "--json")

        missing = f"{stocked.prefix}/coinbase"
        assert (plain.code, told.code) == (3, 3)
        assert [line.split()[:6] for line in plain.out.splitlines()[1:2]] == [
            [missing, "coinbase", "-", "-", "-", "missing"]
        ]
        assert f"no secret '{missing}'" in plain.said
        (problem,) = told.told["problems"]
        assert (problem["issuer"], problem["name"], problem["state"]) == ("coinbase", missing, "missing")
        assert f"no secret '{missing}'" in problem["message"]
        assert [each["name"] for each in told.told["secrets"]] == [f"{stocked.prefix}/okx"]

    def test_a_key_that_nobody_uses_may_be_missing(self, stocked: StockedVault | StockedAws) -> None:
        stocked.stock("okx")
        stocked.set(CRYPTO_PIPELINE_KEYS="okx")

        assert stocked.run("secrets", "list").code == 0

    def test_a_deleted_secret_is_shown_once_and_counts_as_missing(self, stocked: StockedVault | StockedAws) -> None:
        stocked.stock("okx", "bybit")
        stocked.set(CRYPTO_PIPELINE_KEYS="okx,bybit")
        if isinstance(stocked, StockedVault):
            stocked.kv.delete_latest_version_of_secret(path=f"{stocked.prefix}/bybit", mount_point="secret")
        else:
            stocked.client.delete_secret(SecretId=f"{stocked.prefix}/bybit", RecoveryWindowInDays=7)

        plain, told = stocked.run("secrets", "list"), stocked.run("secrets", "list", "--json")

        assert (plain.code, told.code) == (3, 3)
        assert plain.out.count("/bybit ") == 1
        (bybit, okx) = told.told["secrets"]
        assert (bybit["state"], okx["state"]) == ("deleted", "fresh")
        assert datetime.fromisoformat(bybit["deleted_at"]) > datetime(2020, 1, 1, tzinfo=UTC)
        assert "delet" in plain.said

    @pytest.mark.parametrize("width", [80, 120])
    def test_a_terminal_shows_a_row_for_each_that_fits(self, stocked: StockedVault | StockedAws, width: int) -> None:
        """What has no room is told below."""
        stocked.stock(*ISSUERS)
        stocked.set(CRYPTO_PIPELINE_KEYS="okx")
        label(stocked, "okx", {"owner": "market data research", "ticket": "SEC-1412"})
        now = stocked.stored_at("okx")[1] + timedelta(days=80, minutes=5)

        with terminal(width) as (console, shown):
            code = show_list(console, now=now, as_json=False)

        text = shown.getvalue()
        assert code == 0
        assert max(map(len, text.splitlines())) <= width
        head = " ".join(text[: text.index("┏")].split())
        assert head.endswith(f", {stocked.prefix}/: 5 secrets at {now:%Y-%m-%d %H:%M} UTC")
        assert row(text, "okx")[:2] == ["okx", "okx"]
        assert row(text, "okx")[3:6] == [f"{stocked.stored_at('okx')[1]:%Y-%m-%d}", "80 d", "due"]
        assert row(text, "huggingface")[4:6] == ["80 d", "fresh"]
        labels = "owner=market data research, ticket=SEC-1412"
        assert (labels in row(text, "okx")) is (width == 120)
        assert (f"okx: labels {labels}" in text) is (width == 80)

    def test_a_terminal_shows_what_is_missing_and_why(self, stocked: StockedVault | StockedAws) -> None:
        stocked.stock("okx")
        stocked.set(CRYPTO_PIPELINE_KEYS="coinbase")

        with terminal(120) as (console, shown):
            code = show_list(console, now=datetime.now(UTC), as_json=False)

        assert code == 3
        assert row(shown.getvalue(), "coinbase") == ["coinbase", "coinbase", "", "", "", "missing"]
        assert f"no secret '{stocked.prefix}/coinbase'" in shown.getvalue()

    def test_a_store_with_nothing_in_it_is_empty(self, stocked: StockedVault | StockedAws) -> None:
        with terminal(80) as (console, shown):
            code = show_list(console, now=datetime.now(UTC), as_json=False)

        assert code == 0
        assert shown.getvalue().endswith("UTC\nThere is none.\n")
        assert stocked.run("secrets", "list", "--json").told["secrets"] == []
        assert len(stocked.run("secrets", "list").out.splitlines()) == 1

    def test_the_listing_is_one_event_before_anything_is_shown(self, stocked: StockedVault | StockedAws) -> None:
        """With who asked; not one for each name, which would drown the reads."""
        stocked.stock("okx", "bybit")

        stocked.run("secrets", "list")

        (event,) = stocked.events()
        assert (event["event"], event["action"], event["success"]) == ("secret_access", "list", True)
        assert event["secret_name"] == f"{stocked.prefix}/*"
        assert (event["accessor"], event["asset"]) == ("crypto_pipeline/secrets_list", "secrets_list")
        assert event["user"]

    def test_each_that_is_asked_for_by_itself_is_an_event_too(self, stocked: StockedVault | StockedAws) -> None:
        stocked.set(CRYPTO_PIPELINE_KEYS="okx")

        stocked.run("secrets", "list")

        assert [(event["action"], event["success"]) for event in stocked.events()] == [
            ("list", True),
            ("describe", False),
        ]

    def test_what_cannot_be_recorded_is_not_shown(self, stocked: StockedVault | StockedAws) -> None:
        stocked.stock("okx")
        stocked.audit.mkdir(parents=True)

        for words in (("list",), ("list", "--json")):
            done = stocked.run("secrets", *words)

            assert (done.code, done.out) == (9, "")
            assert "audit log" in done.said

    def test_a_store_that_is_down_ends_the_command(self, stocked: StockedVault | StockedAws) -> None:
        nowhere = f"http://127.0.0.1:{free_port()}"
        stocked.set(VAULT_ADDR=nowhere, CRYPTO_PIPELINE_AWS_ENDPOINT_URL=nowhere)

        done = stocked.run("secrets", "list", "--debug")

        assert (done.code, done.out) == (3, "")
        assert "cannot be reached" in done.said
        assert [event["error"] for event in stocked.events()] == ["SecretStoreUnavailableError"]
        stocked.assert_hidden(done)


def label(stocked: StockedVault | StockedAws, issuer: str, labels: dict[str, str]) -> None:
    """Put labels on a secret."""
    name = f"{stocked.prefix}/{issuer}"
    if isinstance(stocked, StockedVault):
        stocked.kv.update_metadata(path=name, custom_metadata=labels, mount_point="secret")
    else:
        tags = [{"Key": key, "Value": value} for key, value in labels.items()]
        stocked.client.tag_resource(SecretId=name, Tags=tags)


class TestNoValueIsRead:
    """The servers' own records tell."""

    def test_vault_is_asked_for_one_list_and_no_data(self, place: Place) -> None:
        """In the way that works: what is not known, or not allowed, is tried once."""
        with running_sealable(place.folder) as sealable:
            stocked = StockedVault(sealable.vault, place)
            stocked.stock(*ISSUERS)
            stocked.set(CRYPTO_PIPELINE_KEYS=",".join(ISSUERS))
            asked = Asked(sealable.audit)

            done = stocked.run("secrets", "list", "--json")

        details = f"secret/detailed-metadata/{stocked.prefix}"
        assert done.code == 0
        assert len(done.told["secrets"]) == len(ISSUERS)
        assert [path for path in asked.paths() if "/data/" in path] == []
        assert [(way, path.rstrip("/")) for way, path in asked.requests() if "metadata" in path] == [
            ("scan", details),
            ("list", details),
        ]

    def test_aws_is_asked_for_one_list_and_no_value(self, aws: Aws, place: Place) -> None:
        """When a version was made costs one more call for each."""
        with meddler(aws.address) as between:
            stocked = StockedAws(aws, place, address=between.address)
            stocked.stock(*ISSUERS)
            stocked.set(CRYPTO_PIPELINE_KEYS=",".join(ISSUERS))

            done = stocked.run("secrets", "list", "--json")

        assert done.code == 0
        assert between.asked == ["ListSecrets", *["ListSecretVersionIds"] * len(ISSUERS)]


class TestAws:
    """What only AWS tells."""

    def test_stages_are_told(self, on_aws: StockedAws) -> None:
        on_aws.stock("okx")
        previous = on_aws.stored_at("okx")[0]
        on_aws.stock("okx")
        current = on_aws.stored_at("okx")[0]

        told, plain = on_aws.run("secrets", "list", "--json"), on_aws.run("secrets", "list")
        with terminal(140) as (console, shown):
            show_list(console, now=datetime.now(UTC), as_json=False)

        assert told.told["secrets"][0]["stages"] == {"AWSCURRENT": current, "AWSPREVIOUS": previous}
        assert f"  AWSCURRENT={current},AWSPREVIOUS={previous}  " in plain.out
        assert row(shown.getvalue(), "okx")[2::4] == [current[:8], f"AWSPREVIOUS {previous[:8]}"]

    def test_the_shared_secret_may_hold_any_issuer(self, aws: Aws, place: Place) -> None:
        """So none of them is missing, as far as a list tells."""
        stocked = StockedAws(aws, place, layout="combined")
        aws.put(f"{stocked.prefix}/exchange-keys", json.dumps(stocked.plant("okx")))
        stocked.set(CRYPTO_PIPELINE_KEYS="okx,bybit")

        done = stocked.run("secrets", "list", "--json")
        with terminal(80) as (console, shown):
            show_list(console, now=datetime.now(UTC), as_json=False)

        assert done.code == 0
        assert done.told["secrets"][0]["issuers"] == list(ISSUERS)
        assert row(shown.getvalue(), "exchange-keys")[:2] == ["exchange-keys", "any issuer"]

    def test_a_secret_without_a_value_is_empty(self, on_aws: StockedAws) -> None:
        on_aws.client.create_secret(Name=f"{on_aws.prefix}/okx")
        on_aws.set(CRYPTO_PIPELINE_KEYS="okx")

        done = on_aws.run("secrets", "list", "--json")

        assert done.code == 3
        assert done.told["secrets"][0]["state"] == "empty"
        assert done.told["problems"][0]["state"] == "missing"

    def test_labels_can_neither_show_a_key_nor_move_the_cursor(self, on_aws: StockedAws) -> None:
        """They are other people's text."""
        on_aws.stock("okx")
        on_aws.planted["label"] = "planted-in-a-label-77"
        label(
            on_aws,
            "okx",
            {"api_key": on_aws.planted["label"], "a[red]b": "[bold]x[/bold] :smile:", "evil": "\x1b[2J\x07\u202e!"},
        )

        told, plain = on_aws.run("secrets", "list", "--json"), on_aws.run("secrets", "list")
        with terminal(200) as (console, shown):
            show_list(console, now=datetime.now(UTC), as_json=False)

        expected = {"a[red]b": "[bold]x[/bold] :smile:", "api_key": "***REDACTED***", "evil": "\\x1b[2J\\x07\\u202e!"}
        assert told.told["secrets"][0]["labels"] == expected
        for text in (plain.out, shown.getvalue()):
            assert ", ".join(f"{name}={value}" for name, value in expected.items()) in text
            assert "\x1b[2J" not in text
        on_aws.assert_hidden(told, plain, shown.getvalue())


class TestVault:
    """What a policy hides."""

    def test_a_secret_that_is_denied_is_not_said_to_be_missing(self, vault: Vault, place: Place) -> None:
        """A login that may not list is told what it may describe."""
        stocked = StockedVault(vault, place)
        stocked.stock("okx", "bybit")
        policy = f'path "secret/metadata/{stocked.prefix}/okx" {{ capabilities = ["read"] }}'
        stocked.set(VAULT_TOKEN=vault.token(policy), CRYPTO_PIPELINE_KEYS="okx,bybit")

        done = stocked.run("secrets", "list", "--json")

        assert done.code == 3
        assert [each["name"] for each in done.told["secrets"]] == [f"{stocked.prefix}/okx"]
        assert [(each["issuer"], each["state"]) for each in done.told["problems"]] == [("bybit", "denied")]
        assert [event["event"] for event in stocked.events()] == ["secret_access", "secret_access", "failed_auth"]

    def test_a_login_that_may_nothing_ends_the_command(self, vault: Vault, place: Place) -> None:
        stocked = StockedVault(vault, place, role="reviewer")
        stocked.stock("okx")

        done = stocked.run("secrets", "list")

        assert (done.code, done.out) == (3, "")
        assert "denied" in done.said
        assert [event["event"] for event in stocked.events()] == ["secret_access", "failed_auth"]

    def test_other_secrets_of_the_folder_are_listed_with_no_issuer(self, on_vault: StockedVault) -> None:
        on_vault.vault.put(f"{on_vault.prefix}/grafana", {"x": "y"})

        (found,) = on_vault.run("secrets", "list", "--json").told["secrets"]

        assert (found["name"], found["issuers"], found["max_age_days"]) == (f"{on_vault.prefix}/grafana", [], 90)

    def test_an_old_key_is_overdue(self, on_vault: StockedVault) -> None:
        """By the policy of its kind."""
        on_vault.stock("okx", "huggingface")
        now = on_vault.stored_at("okx")[1] + timedelta(days=91, minutes=5)

        with terminal(80) as (console, shown):
            show_list(console, now=now, as_json=False)

        assert row(shown.getvalue(), "okx")[-2:] == ["91 d", "overdue"]
        assert row(shown.getvalue(), "huggingface")[-2:] == ["91 d", "fresh"]


class TestOtherStores:
    """Stores that know neither versions nor times."""

    def test_variables_are_listed_by_their_names(self, elsewhere: Stocked) -> None:
        parts = elsewhere.plant("okx")
        elsewhere.set(**{f"OKX_{part.upper()}": value for part, value in parts.items()}, CRYPTO_PIPELINE_KEYS="okx")

        done = elsewhere.run("secrets", "list", "--json")
        with terminal(80) as (console, shown):
            show_list(console, now=datetime.now(UTC), as_json=False)

        (found,) = done.told["secrets"]
        assert (found["name"], found["version"], found["freshness"]) == ("OKX_API_KEY", "environment", "unknown")
        assert (found["created_at"], found["age_days"], done.told["folder"]) == (None, None, "")
        assert row(shown.getvalue(), "OKX_API_KEY") == ["OKX_API_KEY", "okx", "environment", "", "", "unknown"]
        assert shown.getvalue().startswith("Environment variables: 1 secret at ")
        assert elsewhere.events()[0]["secret_name"] == "*"
        elsewhere.assert_hidden(done, shown.getvalue())

    def test_a_credential_that_is_not_whole_is_malformed(self, elsewhere: Stocked) -> None:
        elsewhere.set(OKX_API_KEY=elsewhere.plant("okx")["api_key"], CRYPTO_PIPELINE_KEYS="okx")

        done = elsewhere.run("secrets", "list")

        assert done.code == 3
        assert done.out.splitlines()[1].split()[:6] == ["OKX_API_KEY", "okx", "-", "-", "-", "malformed"]
        assert "'OKX_API_SECRET'" in done.said
        elsewhere.assert_hidden(done)

    def test_a_file_is_listed_with_the_time_of_its_last_change(self, elsewhere: Stocked) -> None:
        file = elsewhere.folder / ".env.local"
        parts = elsewhere.plant("okx")
        file.touch(mode=0o600)
        file.write_text("".join(f"OKX_{part.upper()}={value}\n" for part, value in parts.items()))
        elsewhere.set(CRYPTO_PIPELINE_SECRETS="dotenv", CRYPTO_PIPELINE_ENVIRONMENT="development")

        done = elsewhere.run("secrets", "list", "--json")
        with terminal(80) as (console, shown):
            show_list(console, now=datetime.now(UTC), as_json=False)
        file.unlink()

        assert (done.told["folder"], done.told["secrets"][0]["name"]) == (".env.local:", ".env.local:OKX_API_KEY")
        assert row(shown.getvalue(), "OKX_API_KEY")[2].endswith("…")
        assert max(map(len, shown.getvalue().splitlines())) <= 80
        elsewhere.assert_hidden(done, shown.getvalue())

    def test_without_a_store_there_is_nothing_to_list(self, elsewhere: Stocked) -> None:
        elsewhere.set(CRYPTO_PIPELINE_SECRETS="none")

        done = elsewhere.run("secrets", "list")

        assert (done.code, done.out) == (2, "")
        assert done.said.startswith("No store of secrets is configured. Set CRYPTO_PIPELINE_SECRETS")
        assert elsewhere.events() == []


def test_one_that_appears_between_two_questions_is_listed(aws: Aws, place: Place) -> None:
    """The list said that it is not there; asked for by itself, it is."""
    with meddler(aws.address) as between:
        stocked = StockedAws(aws, place, address=between.address)
        stocked.set(CRYPTO_PIPELINE_KEYS="okx")
        between.before["DescribeSecret"] = lambda: stocked.stock("okx")

        done = stocked.run("secrets", "list", "--json")

    told: dict[str, Any] = done.told
    assert done.code == 0
    assert [each["name"] for each in told["secrets"]] == [f"{stocked.prefix}/okx"]
    assert told["problems"] == []
