"""`secrets put`: values come in hidden, are stored once and safely, and are seen nowhere."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto_pipeline.cli_secrets import secrets_put
from crypto_pipeline.commands.secrets_asked import HOW_TO_PIPE, TYPED
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.secrets.roles import ROLES
from crypto_pipeline_tests.commands.stocked import Place, Stocked, StockedAws, StockedVault
from crypto_pipeline_tests.secrets.matrix import may
from crypto_pipeline_tests.support.meddler import meddler
from crypto_pipeline_tests.support.odd_server import odd_server
from crypto_pipeline_tests.support.ports import free_port
from crypto_pipeline_tests.support.project import Project
from crypto_pipeline_tests.support.terminal import Terminal, running_on_terminal
from crypto_pipeline_tests.support.vault import Vault

BEGIN, END = (f"-----{word} {'PRIVATE'} KEY-----" for word in ("BEGIN", "END"))
PEM = f"{BEGIN}\nMIGHAgEAMBMGByqGSM49AgEGplanted\nplantedCCqGSM49AwEHBG0wawIB\n{END}\n"
GARBAGE = ("planted-garbage, and not JSON", '["planted-garbage"]', '{"api_key": "planted-garbage"', '"planted-garbage"')


class TestEveryStoreThatIsWrittenTo:
    """On both kinds of server, with the login of devops."""

    def test_a_first_version_is_stored_and_the_next_step_told(self, stocked: StockedVault | StockedAws) -> None:
        parts = stocked.plant("okx")
        stocked.set(CRYPTO_PIPELINE_KEYS="okx")

        done = stocked.put("okx", parts)

        version = stocked.stored_at("okx")[0]
        assert (done.code, done.err) == (0, "")
        assert done.out.splitlines() == [
            f"Stored {stocked.prefix}/okx: the current version is {version}; it is the first one.",
            "Prove it: crypto-pipeline keys check",
        ]
        stocked.assert_hidden(done)

    def test_a_next_version_tells_how_long_the_old_one_is_used(self, stocked: StockedVault | StockedAws) -> None:
        stocked.stock("okx")
        before = stocked.stored_at("okx")[0]
        stocked.set(CRYPTO_PIPELINE_KEYS="okx", CRYPTO_PIPELINE_CACHE_SECONDS="120")

        done = stocked.put("okx", stocked.plant("okx"))

        version = stocked.stored_at("okx")[0]
        assert done.code == 0
        assert done.out.splitlines() == [
            f"Stored {stocked.prefix}/okx: the current version is {version}; it was {before}.",
            (
                "Processes that run now use the version before for up to 120 s more (CRYPTO_PIPELINE_CACHE_SECONDS), "
                "so let the old key live that long."
            ),
            "Prove it: crypto-pipeline keys check",
        ]
        stocked.assert_hidden(done)

    def test_the_same_again_stores_nothing_and_says_since_when(self, stocked: StockedVault | StockedAws) -> None:
        parts = stocked.plant("okx")
        stocked.put("okx", parts)
        version, at = stocked.stored_at("okx")

        done = stocked.put("okx", parts)

        assert done.code == 0
        assert done.out.startswith(
            f"Nothing was stored: version {version} of {stocked.prefix}/okx, stored {at:%Y-%m-%d %H:%M} UTC, holds the"
        )
        assert stocked.stored_at("okx")[0] == version

    def test_a_key_that_nothing_uses_yet_is_said_to_be_unused(self, stocked: StockedVault | StockedAws) -> None:
        done = stocked.put("bybit", stocked.plant("bybit"))

        assert "Nothing uses it yet: CRYPTO_PIPELINE_KEYS does not name bybit." in done.out

    def test_the_only_field_may_come_alone(self, stocked: StockedVault | StockedAws) -> None:
        token = stocked.plant("huggingface")["token"]

        done = stocked.run("secrets", "put", "huggingface", stdin=f"{token}\n")

        assert done.code == 0
        assert stocked.put("huggingface", {"token": token}).out.startswith("Nothing was stored")
        stocked.assert_hidden(done)

    def test_what_is_stored_is_what_the_pipeline_reads(self, stocked: StockedVault | StockedAws) -> None:
        """And its version is the one that is told."""
        stocked.plant("coinbase")
        stocked.planted["pem"] = PEM
        stocked.put("coinbase", {"api_key": "organizations/1/apiKeys/planted", "api_secret": PEM})

        again = stocked.put("coinbase", {"api_key": "organizations/1/apiKeys/planted", "api_secret": PEM})

        assert again.out.startswith("Nothing was stored: version ")
        stocked.assert_hidden(again)

    def test_the_record_has_what_is_read_intended_and_done_and_by_whom(
        self, stocked: StockedVault | StockedAws
    ) -> None:
        stocked.stock("okx")
        before = stocked.stored_at("okx")[0]

        stocked.put("okx", stocked.plant("okx"))

        read, intended, done = stocked.events()
        version = stocked.stored_at("okx")[0]
        assert (read["event"], read["action"], read["credential_version"]) == ("secret_access", "read", before)
        assert (intended["event"], intended["replaces_version"], intended["credential_version"]) == (
            "secret_write_intended", before, version,
        )  # fmt: skip
        assert (done["action"], done["success"], done["credential_version"], done["intended_version"]) == (
            "write", True, version, version,
        )  # fmt: skip
        for event in (read, intended, done):
            assert (event["accessor"], event["asset"]) == ("crypto_pipeline/secrets_put", "secrets_put")
            assert event["secret_name"] == f"{stocked.prefix}/okx"
            assert event["user"]

    def test_what_cannot_be_recorded_is_not_stored(self, stocked: StockedVault | StockedAws) -> None:
        stocked.stock("okx")
        before = stocked.stored_at("okx")
        stocked.audit.mkdir(parents=True)

        done = stocked.put("okx", stocked.plant("okx"), "--debug")

        assert (done.code, done.out) == (9, "")
        assert stocked.stored_at("okx") == before
        stocked.assert_hidden(done)

    @pytest.mark.parametrize("words", [(), ("--debug",)], ids=["", "debug"])
    def test_a_store_that_is_down_is_told_and_no_value_with_it(
        self, stocked: StockedVault | StockedAws, words: tuple[str, ...]
    ) -> None:
        nowhere = f"http://127.0.0.1:{free_port()}"
        stocked.set(VAULT_ADDR=nowhere, CRYPTO_PIPELINE_AWS_ENDPOINT_URL=nowhere)

        done = stocked.put("okx", stocked.plant("okx"), *words)

        assert (done.code, done.out) == (3, "")
        assert "cannot be reached" in done.said
        stocked.assert_hidden(done)

    def test_a_concurrent_writer_is_told_and_stays(self, stocked: StockedVault | StockedAws) -> None:
        stocked.stock("okx")
        address = stocked.variables.get("VAULT_ADDR") or stocked.variables["CRYPTO_PIPELINE_AWS_ENDPOINT_URL"]
        with meddler(address) as between:
            stocked.set(VAULT_ADDR=between.address, CRYPTO_PIPELINE_AWS_ENDPOINT_URL=between.address)
            request = f"POST /v1/secret/data/{stocked.prefix}/okx"
            between.before |= dict.fromkeys((request, "UpdateSecretVersionStage"), lambda: stocked.stock("okx"))

            done = stocked.put("okx", stocked.plant("okx"), "--debug")

        assert (done.code, done.out) == (3, "")
        assert "was changed by somebody else while it was being stored" in done.said
        assert [event.get("error") for event in stocked.events()] == [None, None, "SecretChangedError"]
        stocked.assert_hidden(done)


class TestWhatIsRefused:
    """Before any store is asked, and without a word of it repeated."""

    @pytest.mark.parametrize(
        "words",
        [
            ("PLANTED",),
            ("--api-key", "PLANTED"),
            ("--api-key=PLANTED",),
            ("--passphrase", "PLANTED", "--debug"),
            ("-p", "PLANTED"),
            ("--", "PLANTED"),
        ],
        ids=" ".join,
    )
    def test_a_value_on_the_command_line_is_refused(self, on_vault: StockedVault, words: tuple[str, ...]) -> None:
        """The shell's history has it already; nothing of ours repeats it."""
        planted = on_vault.planted["argument"] = "planted-on-the-command-line"

        done = on_vault.put("okx", on_vault.plant("okx"), *(word.replace("PLANTED", planted) for word in words))

        assert (done.code, done.out) == (2, "")
        assert done.said.endswith("it asks for the values, or reads them from a pipe.")
        assert on_vault.events() == []
        on_vault.assert_hidden(done)

    def test_no_option_takes_a_value(self) -> None:
        """Help is all there is; the second argument is there to be refused."""
        options = [each for each in secrets_put.params if each.param_type_name == "option"]
        arguments = [each.name for each in secrets_put.params if each.param_type_name == "argument"]

        assert options == []
        assert arguments == ["issuer", "stray"]

    def test_an_issuer_that_is_none_may_be_a_key_and_is_not_repeated(self, on_vault: StockedVault) -> None:
        planted = on_vault.planted["issuer"] = "hf_planted0in0the0wrong0place"

        done = on_vault.put(planted, on_vault.plant("okx"))

        assert (done.code, done.out) == (2, "")
        assert done.said == "That is no issuer of credentials; known are binance, coinbase, okx, bybit, huggingface."
        on_vault.assert_hidden(done)

    @pytest.mark.parametrize(
        ("stdin", "says"),
        [
            ("", "Nothing came in on the standard input"),
            ("planted-raw-value", "not a JSON object"),
            ('{"api_key": "planted-raw-value"', "not a JSON object"),
            (
                '{"api_key": "planted-raw-value", "api_secret": "changeme", "passphrase": " x"}',
                "looks like a placeholder",
            ),
            ('{"planted-raw-value": "api_key"}', "a field whose name is not repeated here"),
            (b"\xff\xfeplanted-raw-value", "not UTF-8 text"),
            ("planted-raw-value" * 20_000, "far too long"),
        ],
        ids=lambda value: str(value)[:40],
    )
    @pytest.mark.parametrize("words", [(), ("--debug",)], ids=["", "debug"])
    def test_what_is_no_credential_is_refused(
        self, on_vault: StockedVault, stdin: str | bytes, says: str, words: tuple[str, ...]
    ) -> None:
        on_vault.planted["raw"] = "planted-raw-value"

        done = on_vault.run("secrets", "put", "okx", *words, stdin=stdin)

        assert (done.code, done.out) == (2, "")
        assert says in done.said
        assert on_vault.events() == []
        on_vault.assert_hidden(done)

    def test_a_byte_order_mark_is_no_part_of_the_text(self, on_vault: StockedVault) -> None:
        """Some shells put it there."""
        text = json.dumps(on_vault.plant("okx"))

        assert on_vault.run("secrets", "put", "okx", stdin=f"\ufeff{text}").code == 0

    @pytest.mark.parametrize(
        ("store", "says"),
        [
            ("environment", "cannot change the environment"),
            ("dotenv", "Edit it by hand"),
            ("files", "belong to the container's runtime"),
            ("none", "No store of secrets is configured"),
        ],
    )
    def test_a_store_that_is_not_written_to_is_told_before_anything_is_asked_for(
        self, elsewhere: Stocked, store: str, says: str
    ) -> None:
        """The standard input is not even looked at."""
        elsewhere.set(CRYPTO_PIPELINE_SECRETS=store, CRYPTO_PIPELINE_ENVIRONMENT="development")

        done = elsewhere.run("secrets", "put", "okx", stdin="planted and not read")

        assert (done.code, done.out) == (2, "")
        assert says in done.said
        assert elsewhere.events() == []

    @pytest.mark.parametrize("role", ROLES)
    def test_a_role_may_store_what_the_matrix_says(self, vault: Vault, place: Place, role: str) -> None:
        """As one that logged in with exactly its policy."""
        stocked = StockedVault(vault, place, role=role)
        stocked.stock("okx")
        before = stocked.fields("okx")
        parts = stocked.plant("okx")

        done = stocked.put("okx", parts, "--debug")

        is_allowed = may(role, "production", "store")
        assert done.code == (0 if is_allowed else 3)
        assert stocked.fields("okx") == (parts if is_allowed else before)
        assert is_allowed or "Vault denied" in done.said
        stocked.assert_hidden(done)


class TestGarbageInTheStore:
    """Whatever is there already: it is not overwritten, and not shown."""

    @pytest.mark.parametrize("text", GARBAGE)
    @pytest.mark.parametrize("command", [("put", "okx"), ("describe", "okx"), ("list",)], ids=" ".join)
    def test_no_command_shows_it(self, on_aws: StockedAws, text: str, command: tuple[str, ...]) -> None:
        on_aws.aws.put(f"{on_aws.prefix}/okx", text)
        on_aws.planted["garbage"] = "planted-garbage"
        before = on_aws.stored_at("okx")

        done = on_aws.run("secrets", *command, "--debug", stdin=json.dumps(on_aws.plant("okx")))

        assert done.code == (3 if command[0] == "put" else 0)
        assert on_aws.stored_at("okx") == before
        on_aws.assert_hidden(done)

    @pytest.mark.parametrize("status", [200, 400, 403, 404, 500])
    @pytest.mark.parametrize("command", [("put", "okx"), ("describe", "okx"), ("list",)], ids=" ".join)
    def test_whatever_a_server_answers_is_not_repeated(
        self, stocked: StockedVault | StockedAws, status: int, command: tuple[str, ...]
    ) -> None:
        """Something that echoes what it was sent, and what it was told before."""
        parts = stocked.plant("okx")
        body = {"errors": [*parts.values()], "message": json.dumps(parts), "__type": parts["api_key"], "data": parts}
        with odd_server(status, json.dumps(body).encode()) as server:
            stocked.set(VAULT_ADDR=server.address, CRYPTO_PIPELINE_AWS_ENDPOINT_URL=server.address)

            done = stocked.run("secrets", *command, "--debug", stdin=json.dumps(parts))

        # "Not found" to everything is how an empty store looks like.
        assert done.code in ({0, 2, 3} if (status, *command) == (404, "list") else {2, 3})
        stocked.assert_hidden(done)

    def test_other_fields_are_counted_and_kept(self, on_vault: StockedVault) -> None:
        """Their names may be anything, so they are not shown."""
        on_vault.vault.put(f"{on_vault.prefix}/okx", {"planted-name-of-a-field": "planted-note-0a", "n": 1})
        on_vault.planted |= {"name": "planted-name-of-a-field", "note": "planted-note-0a"}
        parts = on_vault.plant("okx")

        done = on_vault.put("okx", parts)

        assert "2 other fields of the secret stayed as they were." in done.out
        assert on_vault.fields("okx") == {"planted-name-of-a-field": "planted-note-0a", "n": 1, **parts}
        on_vault.assert_hidden(done)

    def test_a_leftover_of_a_crash_is_told(self, on_aws: StockedAws) -> None:
        on_aws.stock("okx")
        left = on_aws.client.put_secret_value(
            SecretId=f"{on_aws.prefix}/okx", SecretString="{}", VersionStages=["AWSPENDING"]
        )["VersionId"]

        done = on_aws.put("okx", on_aws.plant("okx"))

        assert done.code == 0
        assert f"The label AWSPENDING was on version {left}, left by a put or a rotation" in done.out


# At a terminal...


@pytest.fixture
def project(on_vault: StockedVault, tmp_path: Path) -> Project:
    """A folder, and the environment that leads to the store, for a process of its own."""
    return Project(tmp_path, on_vault.variables)


@pytest.fixture
def typing(project: Project) -> Iterator[Terminal]:
    """`secrets put okx` at a terminal."""
    command, environment = project.command("secrets", "put", "okx"), project.surroundings()
    with running_on_terminal(command, environment, width=80, cwd=str(project.home)) as terminal:
        yield terminal


class TestAtATerminal:
    """Each value is asked for, and nothing of it is shown."""

    def test_values_are_asked_for_and_not_shown(self, typing: Terminal, on_vault: StockedVault) -> None:
        parts = on_vault.plant("okx")
        for name in ISSUERS["okx"].names:
            typing.wait_for(f"okx {name}: ")
            assert not typing.shows_what_is_typed
            typing.type(f"{parts[name]}\n")
            if name in TYPED:
                typing.wait_for(f"okx {name}, again: ")
                typing.type(f"{parts[name]}\n")

        code = typing.end()

        assert code == 0
        said = f"Stored {on_vault.prefix}/okx: the current version is 1; it is the first one."
        assert said in " ".join(typing.shown.split())
        assert on_vault.fields("okx") == parts
        assert typing.shows_what_is_typed
        on_vault.assert_hidden(typing.shown)

    def test_what_cannot_be_a_value_is_asked_for_again(self, typing: Terminal, on_vault: StockedVault) -> None:
        parts = on_vault.plant("okx")
        answers = [
            ("okx api_key: ", "changeme"), ("okx api_key: ", f" {parts['api_key']}"),
            ("okx api_key: ", parts["api_key"]),
            ("okx api_secret: ", parts["api_secret"]),
            ("okx passphrase: ", parts["passphrase"]), ("okx passphrase, again: ", "planted-something-else"),
            ("okx passphrase: ", parts["passphrase"]), ("okx passphrase, again: ", parts["passphrase"]),
        ]  # fmt: skip
        asked: list[str] = []
        for prompt, answer in answers:
            asked.append(prompt)
            typing.wait_for(prompt, times=asked.count(prompt))
            typing.type(f"{answer}\n")

        code = typing.end()

        assert code == 0
        shown = " ".join(typing.shown.split())
        assert "The api_key looks like a placeholder. Give it once more" in shown
        assert "The api_key has white space around it. Give it once more" in shown
        assert "The passphrase was not the same the second time. Give it once more" in shown
        assert on_vault.fields("okx") == parts
        on_vault.assert_hidden(typing.shown)

    @pytest.mark.parametrize("is_slow", [False, True], ids=["at once", "line by line"])
    def test_a_private_key_that_is_pasted_does_not_reach_the_shell(
        self, typing: Terminal, on_vault: StockedVault, is_slow: bool
    ) -> None:
        """A prompt ends with its first line; the others would be run as commands, and remembered."""
        on_vault.planted["pem"] = PEM
        typing.wait_for("okx api_key: ")
        typing.type(on_vault.plant("okx")["api_key"] + "\n")
        typing.wait_for("okx api_secret: ")
        typing.type_slowly(*PEM.splitlines(keepends=True)) if is_slow else typing.type(PEM)

        code = typing.end()

        assert code == 2
        assert typing.unread() == b""
        assert typing.shows_what_is_typed
        assert f"pipe that, such as: {HOW_TO_PIPE} | crypto-pipeline secrets put okx" in typing.shown
        on_vault.assert_hidden(typing.shown)

    def test_whoever_stops_has_stored_nothing(self, typing: Terminal, on_vault: StockedVault) -> None:
        """And has a terminal that works."""
        typing.wait_for("okx api_key: ")
        typing.type(on_vault.plant("okx")["api_key"] + "\n")
        typing.wait_for("okx api_secret: ")
        typing.type("\x03")

        code = typing.end()

        assert code == 130
        assert "Stopped." in typing.shown
        assert typing.shows_what_is_typed
        assert not on_vault.audit.exists()
        on_vault.assert_hidden(typing.shown)


def test_the_way_to_pipe_a_private_key_works_as_it_is_told(project: Project, on_vault: StockedVault) -> None:
    """No value stands on its command line: they come out of files."""
    (project.home / "name.txt").write_text("organizations/1/apiKeys/planted\n")
    (project.home / "key.pem").write_text(PEM)
    on_vault.planted["pem"] = PEM
    command = f"{HOW_TO_PIPE} | {' '.join(project.command('secrets', 'put', 'coinbase'))}"

    done = subprocess.run(
        ["bash", "-c", command],
        check=False,
        cwd=project.home,
        env=project.surroundings(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    for name in ("name.txt", "key.pem"):
        (project.home / name).unlink()

    assert done.returncode == 0, done.stderr
    assert on_vault.fields("coinbase") == {"api_key": "organizations/1/apiKeys/planted", "api_secret": PEM}
    on_vault.assert_hidden(done.stdout + done.stderr)


def test_who_dies_in_the_middle_leaves_the_old_version_and_a_record(vault: Vault, place: Place) -> None:
    """The record was there before; `describe` says that it did not come to its end, and it can be done again."""
    with meddler(vault.address) as between:
        stocked = StockedVault(vault, place, address=between.address)
        stocked.stock("okx")
        old, parts = stocked.fields("okx"), stocked.plant("okx")
        between.held.add(f"POST /v1/secret/data/{stocked.prefix}/okx")
        project = Project(place.folder, stocked.variables)
        program = subprocess.Popen(
            project.command("secrets", "put", "okx"),
            cwd=project.home,
            env=project.surroundings(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert program.stdin is not None
        program.stdin.write(json.dumps(parts).encode())
        program.stdin.close()
        wait_for_intention(stocked)
        program.send_signal(signal.SIGKILL)
        code = program.wait(timeout=30)
        assert program.stdout is not None
        said = program.stdout.read().decode()
        program.stdout.close()
        between.held.clear()

        left, events = stocked.fields("okx"), [event["event"] for event in stocked.events()]
        described = stocked.run("secrets", "describe", "okx", "--json").told
        again = stocked.put("okx", parts)

    assert (code, said) == (-signal.SIGKILL, "")
    assert left == old
    assert events == ["secret_access", "secret_write_intended"]
    (open_write,) = described["unfinished_writes"]
    assert (open_write["version"], open_write["accessor"]) == ("2", "crypto_pipeline/secrets_put")
    assert again.code == 0
    assert stocked.fields("okx") == parts
    stocked.assert_hidden(again)


def wait_for_intention(stocked: Stocked) -> None:
    """Wait until the record says that a version is about to be stored."""
    deadline = time.monotonic() + 60
    while not (stocked.audit.exists() and b"secret_write_intended" in stocked.audit.read_bytes()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
