"""`secrets doctor` shows what its doctor sees as it sees it, adds what no store tells, and ends with a code."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.cli import main
from crypto_pipeline.commands.secrets_doctor import doctor_of, show_doctor
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import AuditError, ConfigurationError
from crypto_pipeline.rotation import Freshness
from crypto_pipeline.secrets import RejectedVersions
from crypto_pipeline.secrets.doctor.vault_login import REFUSALS
from crypto_pipeline.secrets.policies import render_vault
from crypto_pipeline.settings import Settings
from crypto_pipeline_tests.secrets.doctor import aws_faults, local_faults, vault_faults
from crypto_pipeline_tests.secrets.doctor.aws_faults import Ward as AwsWard
from crypto_pipeline_tests.secrets.doctor.vault_faults import HEALTH, HEALTHY, LOOKUP
from crypto_pipeline_tests.secrets.doctor.vault_faults import Ward as VaultWard
from crypto_pipeline_tests.support.aws import REGION, Aws
from crypto_pipeline_tests.support.environment import empty_environment
from crypto_pipeline_tests.support.odd_server import odd_server
from crypto_pipeline_tests.support.project import ROOT
from crypto_pipeline_tests.support.search import everything_under, hits
from crypto_pipeline_tests.support.vault import Vault, running_vault

NOW = datetime.now(UTC)


class Inspected:
    """What `secrets doctor` printed with these variables, and its exit code."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        variables: dict[str, str],
        *,
        now: datetime = NOW,
        as_json: bool = False,
        width: int = 100,
        **more: Any,
    ) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        shown = io.StringIO()
        self.code = show_doctor(Console(file=shown, width=width), now=now, as_json=as_json, **more)
        self.text = shown.getvalue()

    @property
    def lines(self) -> list[str]:
        """The lines, without the spaces around them."""
        return [line.strip() for line in self.text.splitlines()]

    def told(self) -> dict[str, dict[str, Any]]:
        """Return the symptoms that are not well, by code."""
        return {each["code"]: each for each in json.loads(self.text)["symptoms"] if each["severity"] != "ok"}


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """An environment that leads to no store, and variables that keep the record in a folder of the test's own."""
    empty_environment(monkeypatch, tmp_path)
    return {"CRYPTO_PIPELINE_AUDIT_LOG": str(tmp_path / "audit.jsonl")}


@pytest.fixture
def ward(vault: Vault, tmp_path: Path) -> VaultWard:
    """A place in Vault."""
    return VaultWard(vault, tmp_path)


@pytest.fixture
def in_vault(ward: VaultWard, variables: dict[str, str]) -> dict[str, str]:
    """A deployment whose key is in Vault, and all is well."""
    ward.store("okx")
    scan = f'path "secret/detailed-metadata/{ward.prefix}" {{ capabilities = ["scan"] }}'
    return variables | {
        "CRYPTO_PIPELINE_SECRETS": "vault",
        "CRYPTO_PIPELINE_KEYS": "okx",
        "CRYPTO_PIPELINE_SECRET_PREFIX": ward.prefix,
        "CRYPTO_PIPELINE_VAULT_ADDRESS": ward.vault.address,
        "VAULT_TOKEN": ward.token(f"{ward.policy()}\n{scan}").token.reveal(),
    }


@pytest.fixture
def in_aws(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> dict[str, str]:
    """A deployment whose keys are in AWS, in one secret, and all is well."""
    place = AwsWard(aws, tmp_path, monkeypatch)
    place.store("exchange-keys")
    return variables | {
        "CRYPTO_PIPELINE_SECRETS": "aws",
        "CRYPTO_PIPELINE_KEYS": ",".join(ISSUERS),
        "CRYPTO_PIPELINE_SECRET_PREFIX": place.prefix,
        "CRYPTO_PIPELINE_AWS_REGION": REGION,
        "CRYPTO_PIPELINE_AWS_ENDPOINT_URL": aws.address,
    }


# What is shown...


def test_a_store_that_is_well_is_said_to_be(
    in_vault: dict[str, str], ward: VaultWard, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Inspected(monkeypatch, in_vault)

    assert found.code == 0
    assert found.lines[0] == "Vault; keys in use: okx"
    assert found.lines[-1] == "Nothing is wrong."
    titles = [line for line in found.text.splitlines()[1:] if line and not line.startswith(" ")]
    assert titles == ["server", "clock", "login", "mount", "rights", "secret okx", "times", "Nothing is wrong."]


def test_a_problem_is_shown_with_what_to_do_and_ends_with_the_code_of_the_stores_errors(
    in_vault: dict[str, str], ward: VaultWard, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Inspected(monkeypatch, in_vault | {"CRYPTO_PIPELINE_KEYS": "okx,bybit"}, width=200)

    assert found.code == 3
    assert f"problem  There is no '{ward.prefix}/bybit' under 'secret'." in found.lines
    assert "→ Store it, correct CRYPTO_PIPELINE_SECRET_PREFIX, or take bybit off CRYPTO_PIPELINE_KEYS." in found.lines
    assert "crypto-pipeline secrets put bybit" in found.lines
    assert found.lines[-1] == "1 problem."


def test_a_warning_alone_ends_well(in_vault: dict[str, str], ward: VaultWard, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Inspected(monkeypatch, in_vault | {"VAULT_TOKEN": ward.vault.root.token})

    assert found.code == 0
    assert found.lines[-1] == "1 warning."


def test_sentences_are_broken_to_the_width_and_commands_never(
    in_vault: dict[str, str], ward: VaultWard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that was broken could not be copied."""
    variables = in_vault | {"VAULT_TOKEN": ward.token('path "secret/*" { capabilities = ["read"] }').token.reveal()}

    found = Inspected(monkeypatch, variables, width=80)

    long_lines = [line.strip() for line in found.text.splitlines() if len(line) > 80]
    starts = (("crypto-pipeline", "access"), ("path", f'"secret/detailed-metadata/{ward.prefix}"'))
    assert tuple(tuple(line.split()[:2]) for line in long_lines) == starts
    assert long_lines[0].endswith("| bao policy write crypto-pipeline -")
    assert not [line for line in found.text.splitlines() if line != line.rstrip()]


def test_for_programs_each_symptom_has_its_code(in_vault: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = Inspected(monkeypatch, in_vault | {"CRYPTO_PIPELINE_KEYS": "okx,bybit"}, as_json=True)

    told = json.loads(found.text)
    assert (found.code, told["store"], told["problems"]) == (3, "vault", 1)
    assert found.told().keys() == {"secret-missing"}
    assert found.told()["secret-missing"].keys() == {"about", "severity", "code", "seen", "remedy", "commands"}


def test_what_a_server_says_cannot_move_the_cursor(in_vault: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({**HEALTHY, "data": {"display_name": "\x1b[2Jevil", "policies": ["x\rok"]}}).encode()
    with odd_server({HEALTH: 200, LOOKUP: 200}, body) as server:
        found = Inspected(monkeypatch, in_vault | {"CRYPTO_PIPELINE_VAULT_ADDRESS": server.address})

    assert "\x1b" not in found.text
    assert "\r" not in found.text
    assert "'\\x1b[2Jevil', policies x\\rok" in found.text


# What no store tells...


@pytest.mark.parametrize(
    ("days", "code"),
    [(0, None), (76, None), (77, "age-due"), (90, "age-due"), (91, "age-overdue"), (-1, "age-unknown")],
)
def test_the_age_of_each_key_is_judged(
    days: int, code: str | None, in_vault: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Inspected(monkeypatch, in_vault, now=datetime.now(UTC) + timedelta(days=days, minutes=1), as_json=True)

    assert found.code == 0
    assert list(found.told()) == ([code] if code else [])
    if code:
        assert found.told()[code]["severity"] == "warning"


def test_issuers_in_one_secret_are_told_together(in_aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that may be as old as others, that is."""
    found = Inspected(monkeypatch, in_aws, now=datetime.now(UTC) + timedelta(days=100), as_json=True)

    (age,) = [each for each in json.loads(found.text)["symptoms"] if each["about"] == "age"]
    assert age["code"] == "age-overdue"
    assert age["seen"].endswith("is 100 days old (max: 90) (binance, coinbase, okx, bybit).")
    assert len(age["commands"]) == 4


def test_a_store_without_times_is_worth_a_note(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"CRYPTO_PIPELINE_SECRETS": "environment", "CRYPTO_PIPELINE_KEYS": "okx,bybit"}
    values = {
        f"{issuer}_{part}".upper(): "planted-value" for issuer in ("okx", "bybit") for part in ISSUERS[issuer].names
    }

    found = Inspected(monkeypatch, variables | keys | values, as_json=True)

    assert found.code == 0
    assert found.told().keys() == {"environment-in-production", "age-unknown"}
    assert "(okx, bybit)" in found.told()["age-unknown"]["seen"]


def test_a_version_that_was_rejected_is_a_problem(
    in_vault: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until another one is stored."""
    for name, value in in_vault.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment()
    doctor = doctor_of(settings, JsonLinesAuditLog(settings.audit_log))
    assert doctor is not None
    list(doctor.symptoms())
    RejectedVersions(settings.rejected_keys).add(doctor.described["okx"])

    found = Inspected(monkeypatch, {}, as_json=True)

    assert found.code == 3
    assert found.told().keys() == {"version-rejected"}
    assert "okx rejected version 1 of" in found.told()["version-rejected"]["seen"]
    assert "crypto-pipeline keys check" in found.told()["version-rejected"]["commands"]


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [
        ("CRYPTO_PIPELINE_STALE_SECONDS", "310", "outage-not-bridged"),
        ("CRYPTO_PIPELINE_STALE_SECONDS", "90000", "stale-for-long"),
        ("DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS", "10", "tick-too-short"),
    ],
)
def test_times_that_do_not_fit_together_are_warned_of(
    variable: str, value: str, code: str, in_vault: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Inspected(monkeypatch, in_vault | {variable: value}, as_json=True)

    assert found.code == 0
    assert list(found.told()) == [code]


def test_without_the_right_to_list_a_tick_asks_for_each_key_of_aws(
    in_aws: dict[str, str], aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five times 24 s are more than Dagster waits."""
    actions = ("DescribeSecret", "ListSecretVersionIds", "GetSecretValue")
    login = aws.user("no-list", allowed=tuple(f"secretsmanager:{each}" for each in actions))

    with aws.enforcing():
        found = Inspected(monkeypatch, in_aws | login, as_json=True)

    assert found.told().keys() == {"no-list", "tick-too-short"}
    assert "takes up to 2 min" in found.told()["tick-too-short"]["seen"]


def test_a_limit_that_is_no_number_is_a_sentence(in_vault: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS must be a number of seconds"):
        Inspected(monkeypatch, in_vault | {"DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "soon"})


# What is configured...


def test_without_a_store_there_is_nothing_to_inspect(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Inspected(monkeypatch, variables)

    assert found.code == 0
    assert found.lines[0] == "No store; no key in use"
    assert "No store is configured (CRYPTO_PIPELINE_SECRETS is none)" in found.text


def test_without_a_key_in_use_the_store_is_inspected_all_the_same(
    in_vault: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Inspected(monkeypatch, in_vault | {"CRYPTO_PIPELINE_KEYS": ""}, as_json=True)

    assert found.code == 0
    assert found.told().keys() == {"no-key", "secrets-unused"}


@pytest.mark.parametrize("store", ["files", "dotenv", "environment"])
def test_each_store_of_this_machine_has_its_doctor(
    store: str, variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is there yet."""
    places = {
        "CRYPTO_PIPELINE_SECRETS": store,
        "CRYPTO_PIPELINE_KEYS": "okx",
        "CRYPTO_PIPELINE_ENVIRONMENT": "development",
        "CRYPTO_PIPELINE_SECRETS_FOLDER": str(tmp_path / "missing"),
        "CRYPTO_PIPELINE_DOTENV": str(tmp_path / "missing"),
    }

    found = Inspected(monkeypatch, variables | places, as_json=True)

    problems = [each["code"] for each in found.told().values() if each["severity"] == "problem"]
    assert (found.code, problems) == (
        3,
        [{"files": "folder-missing", "dotenv": "file-missing", "environment": "variable-missing"}[store]],
    )


# The end...


def test_a_server_that_says_one_letter_at_a_time_is_not_waited_for(
    in_vault: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each letter comes in time, and the answer never."""
    with dripping() as address:
        started = time.monotonic()

        found = Inspected(monkeypatch, in_vault | {"CRYPTO_PIPELINE_VAULT_ADDRESS": address}, as_json=True, seconds=1.5)

        assert time.monotonic() - started < 15
    assert found.code == 3
    assert found.told().keys() == {"too-slow"}


class dripping:  # noqa: N801 - reads like the other servers
    """A server that sends a header, one byte every tenth of a second."""

    def __enter__(self) -> str:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._socket.close()

    def _serve(self) -> None:
        client, _ = self._socket.accept()
        with client:
            client.recv(4096)
            for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 10_000:
                if self._ended.wait(timeout=0.1):
                    return
                client.send(bytes([byte]))


def test_what_cannot_be_recorded_is_not_asked(
    in_vault: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "audit.jsonl").mkdir()

    with pytest.raises(AuditError):
        Inspected(monkeypatch, in_vault)


def test_the_command_ends_with_the_code(
    in_vault: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (in_vault | {"CRYPTO_PIPELINE_KEYS": "bybit"}).items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as ended:
        main(["secrets", "doctor", "--json"])

    assert ended.value.code == 3
    assert json.loads(capsys.readouterr().out)["problems"] == 1


# What must not be shown...


def test_no_secret_is_shown_by_any_doctor_not_even_with_its_traceback(
    in_vault: dict[str, str], in_aws: dict[str, str], ward: VaultWard, tmp_path: Path
) -> None:
    """Well, refused, broken; on both streams, in JSON, and in the record."""
    role = ward.role()
    planted = dict(ward.planted) | {"token": in_vault["VAULT_TOKEN"]}
    approle = {
        "CRYPTO_PIPELINE_VAULT_AUTH": "approle",
        "VAULT_ROLE_ID": role.role_id.reveal(),
        "VAULT_SECRET_ID": role.secret_id.reveal(),
    }
    key = {"AWS_ACCESS_KEY_ID": "AKIAPLANTED000000000", "AWS_SECRET_ACCESS_KEY": "planted-secret-key-27e1"}
    session = {**key, "AWS_SESSION_TOKEN": "planted-session-token-90fa", "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9"}
    planted |= {name: value for name, value in session.items() if "SECRET" in name or "TOKEN" in name}
    broken = {"CRYPTO_PIPELINE_AUDIT_LOG": str(tmp_path)}
    deployments = (
        in_vault,
        in_vault | approle,
        in_vault | approle | {"VAULT_SECRET_ID": "planted-wrong-secret-id-52"},
        in_vault | {"VAULT_TOKEN": "hvs.planted-wrong-token-11"},
        in_vault | broken,
        in_aws | session,
        in_aws | session | {"CRYPTO_PIPELINE_AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
    )
    planted |= {"wrong secret id": "planted-wrong-secret-id-52", "wrong token": "hvs.planted-wrong-token-11"}
    done = [
        subprocess.run(
            [sys.executable, "-m", "crypto_pipeline", "secrets", "doctor", *words, "--debug"],
            env=os.environ | variables,
            capture_output=True,
            timeout=120,
            check=False,
        )
        for variables in deployments
        for words in ([], ["--json"])
    ]

    assert [each.returncode for each in done] == [code for code in (0, 0, 3, 3, 9, 0, 3) for _ in range(2)]
    said = [(f"command {number}", each.stdout + each.stderr) for number, each in enumerate(done)]
    assert hits(planted, iter(said)) == []
    assert hits(planted, everything_under(tmp_path)) == []


# What the documents say...


def documented(name: str) -> str:
    """Return what stands in the documents between two marks."""
    text = (ROOT / "docs" / "operations.md").read_text()
    return text.partition(f"<!-- {name}: begin -->")[2].partition(f"<!-- {name}: end -->")[0].strip().strip("`").strip()


def test_the_documents_show_what_it_prints(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """But for the address, the version, the day, and where its lines are broken."""
    with running_vault() as server:
        for issuer in ("okx", "binance"):
            server.put(f"crypto-pipeline/{issuer}", {"api_key": "planted-value-1188"})
        kv = server.root.secrets.kv.v2
        kv.delete_latest_version_of_secret(path="crypto-pipeline/binance", mount_point="secret")
        server.root.sys.create_or_update_policy(
            "crypto-pipeline", render_vault("pipeline", mount="secret", prefix="crypto-pipeline")
        )
        token = server.root.auth.token.create(policies=["crypto-pipeline"], ttl="2h", renewable=False)
        deployment = {
            "CRYPTO_PIPELINE_SECRETS": "vault",
            "CRYPTO_PIPELINE_KEYS": "okx,binance",
            "CRYPTO_PIPELINE_VAULT_ADDRESS": server.address,
            "VAULT_TOKEN": token["auth"]["client_token"],
        }

        found = Inspected(monkeypatch, variables | deployment, width=100)

    said = found.text.replace(server.address, "http://127.0.0.1:8200").replace("'token-token'", "'token'")
    assert normal(said) == normal(documented("secrets doctor"))


def normal(text: str) -> str:
    """Return a text without what differs from one time to the next, and without where its lines are broken."""
    text = re.sub(r"\d{4}-\d\d-\d\d", "DAY", text)
    return " ".join(re.sub(r"OpenBao [\d.]+ answers", "OpenBao answers", text).split())


def test_the_documents_name_every_code_and_no_other() -> None:
    """Those in the source, those that a planted fault brings, and those that are put together."""
    files = [*(ROOT / "crypto_pipeline" / "secrets" / "doctor").glob("*.py")]
    source = "\n".join(
        file.read_text() for file in [*files, ROOT / "crypto_pipeline" / "commands" / "secrets_doctor.py"]
    )
    calls = r'(?:note|warning|problem|problem_of|what)\(\s*(?:about|f?"[^"]*"),\s*"([a-z0-9-]+)"'
    planted = {code for faults in (vault_faults, aws_faults, local_faults) for _, code, _ in faults.FAULTS.values()}
    ages = {f"age-{each.value}" for each in Freshness if each is not Freshness.FRESH}
    refusals = {f"login-{code}" for _, code, _ in REFUSALS}

    told = set(re.findall(r"`([a-z0-9-]+)`", documented("symptoms")))

    codes = {*re.findall(calls, source), *planted, *ages, *refusals}
    assert told == {code for code in codes if not code.startswith("copies-")}
