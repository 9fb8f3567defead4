"""The doctor of Vault: each fault is planted in a real server, and seen as itself and as nothing else."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from crypto_pipeline.errors import AuditError
from crypto_pipeline.secrets import VaultSource
from crypto_pipeline.secrets.doctor.symptom import Severity
from crypto_pipeline.secrets.doctor.vault_probe import host_of, unreachable
from crypto_pipeline_tests.secrets.doctor.seen import Seen, assert_hidden, assert_only, events_in
from crypto_pipeline_tests.secrets.doctor.vault_faults import (
    FAULTS,
    HEALTH,
    HEALTHY,
    LOOKUP,
    MAY_LOOK_UP,
    Ward,
    new_namespace,
    token_in,
    wrapped,
)
from crypto_pipeline_tests.support.asked import Asked
from crypto_pipeline_tests.support.odd_server import odd_server
from crypto_pipeline_tests.support.sealable import running_sealable
from crypto_pipeline_tests.support.vault import Vault, bao_program


@pytest.fixture
def ward(vault: Vault, tmp_path: Path) -> Ward:
    """A place of the test's own."""
    return Ward(vault, tmp_path)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_seen_and_nothing_else(name: str, ward: Ward) -> None:
    """With its remedy; no secret stands in what is said, nor in the record."""
    plant, code, severity = FAULTS[name]

    with plant(ward) as doctor:
        seen = Seen(doctor)

    assert_only(seen, code, severity)
    assert_hidden(seen, ward.folder, ward.planted)


# What is well...


@pytest.mark.parametrize("as_role", [False, True])
def test_a_store_that_is_well_has_nothing_wrong_with_it(as_role: bool, ward: Ward) -> None:
    """And each secret in use is described as the source itself would."""
    ward.store("okx")
    ward.store("bybit")
    auth = ward.role() if as_role else ward.token()
    doctor = ward.doctor(auth, issuers=("okx", "bybit"))

    seen = Seen(doctor)

    assert (seen.problems, seen.warnings) == ([], [])
    source = VaultSource(ward.vault.address, auth=auth, prefix=ward.prefix)
    assert doctor.described == {issuer: source.describe(issuer) for issuer in ("okx", "bybit")}
    assert doctor.questions == 2


@pytest.mark.parametrize("way", ["scan", "list"])
def test_with_the_right_to_list_one_question_does_for_all(way: str, ward: Ward) -> None:
    ward.store("okx")
    folder = f"secret/detailed-metadata/{ward.prefix}{'/' if way == 'list' else ''}"
    doctor = ward.doctor(ward.token(f'{ward.policy()}\npath "{folder}" {{ capabilities = ["{way}"] }}'))

    seen = Seen(doctor)

    assert doctor.questions == 1
    assert [each.code for each in seen.symptoms if each.about == "other secrets"] == []


@pytest.mark.parametrize("way", ["scan", "list"])
def test_an_empty_folder_may_be_listed_too(way: str, ward: Ward) -> None:
    """Before the first secret is stored."""
    folder = f"secret/detailed-metadata/{ward.prefix}{'/' if way == 'list' else ''}"
    doctor = ward.doctor(ward.token(f'{ward.policy()}\npath "{folder}" {{ capabilities = ["{way}"] }}'))

    seen = Seen(doctor)

    assert seen.problems == ["secret-missing"]
    assert doctor.questions == 1


def test_without_a_key_in_use_the_server_the_login_and_the_mount_are_looked_at(ward: Ward) -> None:
    seen = Seen(ward.doctor(issuers=()))

    assert [each.about for each in seen.symptoms] == ["server", "clock", "login", "mount", "other secrets"]
    assert (seen.problems, seen.warnings) == ([], [])


def test_a_secret_in_a_namespace_is_found_there(ward: Ward) -> None:
    namespace, inside = new_namespace(ward)

    seen = Seen(ward.doctor(token_in(ward, inside), namespace=namespace))

    assert (seen.problems, seen.warnings) == ([], [])
    assert f"in namespace '{namespace}'" in next(each.seen for each in seen.symptoms if each.about == "mount")


def test_a_standby_is_worth_a_note(ward: Ward) -> None:
    body = json.dumps({**HEALTHY, "standby": True, "data": {"policies": ["x"]}}).encode()
    with odd_server({HEALTH: 429, LOOKUP: 200}, body) as server:
        seen = Seen(ward.doctor(address=server.address))

    assert seen.one("standby").severity is Severity.NOTE


def test_the_time_is_taken_from_the_header_where_the_health_does_not_tell_it(ward: Ward) -> None:
    with odd_server({HEALTH: 200}, json.dumps(HEALTHY).encode()) as server:
        seen = Seen(ward.doctor(address=server.address, clock=lambda: datetime.now(UTC) - timedelta(minutes=5)))

    assert "5 min behind that of the server" in seen.one("clock-skew").seen


def test_a_secret_id_without_an_end_is_well(ward: Ward) -> None:
    ward.store()

    seen = Seen(ward.doctor(ward.role(f"{ward.policy()}\n{MAY_LOOK_UP}")))

    assert (seen.problems, seen.warnings) == ([], [])
    said = "The secret id is not limited to a number of logins and does not end."
    assert said in [each.seen for each in seen.symptoms]


def test_an_end_of_the_secret_id_that_nobody_can_read_is_none(ward: Ward) -> None:
    data = {"meta": {"role_name": "reader"}, "policies": ["x"], "secret_id_num_uses": 0, "expiration_time": "never"}
    body = json.dumps({**HEALTHY, "auth": {"client_token": "planted-token-5e0c"}, "data": data}).encode()
    paths = (HEALTH, LOOKUP, "/v1/auth/approle/login", "/v1/auth/approle/role/reader/secret-id/lookup")
    with odd_server(dict.fromkeys(paths, 200), body) as server:
        seen = Seen(ward.doctor(ward.role(), address=server.address))

    assert [each.seen for each in seen.symptoms if "secret id" in each.seen] == [
        "The secret id is not limited to a number of logins and does not end."
    ]


def test_a_question_that_the_server_does_not_know_is_not_held_against_the_login(ward: Ward) -> None:
    """As HashiCorp's does not know the one for all secrets."""
    names = ("detailed-metadata", "data", "metadata")
    rights = {f"secret/{name}/{ward.prefix}{more}": ["read", "scan"] for name in names for more in ("", "/okx")}
    version = {"created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": False}
    data = {"type": "kv", "options": {"version": "2"}, "current_version": 1, "versions": {"1": version}, **rights}
    secret = f"/v1/secret/metadata/{ward.prefix}/okx"
    paths = (HEALTH, LOOKUP, "/v1/sys/internal/ui/mounts/secret", "/v1/sys/capabilities-self", secret)
    with odd_server(dict.fromkeys(paths, 200), json.dumps({**HEALTHY, "data": data}).encode()) as server:
        doctor = ward.doctor(address=server.address)
        seen = Seen(doctor)

    assert (seen.problems, doctor.questions) == ([], 1)
    assert seen.one("no-list").severity is Severity.NOTE


def test_all_namespaces_within_reach_are_looked_into(ward: Ward) -> None:
    """The first one has a place for the secret, and no secret."""
    (first, inside), (second, _) = sorted((new_namespace(ward) for _ in range(2)), key=lambda each: each[0])
    inside.secrets.kv.v2.delete_metadata_and_all_versions(path=f"{ward.prefix}/okx", mount_point="secret")
    policies = [ward.policy(), *(ward.policy().replace('path "', f'path "{name}/') for name in (first, second))]

    found = Seen(ward.doctor(ward.token("\n".join(policies)))).one("namespace-other")

    assert f"in namespace '{second}'" in found.seen


# What is asked...


def test_no_value_is_read_and_no_login_is_left_behind(tmp_path: Path) -> None:
    """As the server's own audit tells; whether the secret is well, deleted, or missing."""
    with running_sealable(tmp_path) as sealable:
        ward = Ward(sealable.vault, tmp_path)
        ward.store("okx")
        sealable.vault.root.secrets.kv.v2.delete_latest_version_of_secret(
            path=ward.store("bybit"), mount_point="secret"
        )
        scan = f'path "secret/detailed-metadata/{ward.prefix}" {{ capabilities = ["scan"] }}'
        auth = ward.role(f"{ward.policy()}\n{scan}")
        before = tokens_of(sealable.vault)
        asked = Asked(sealable.audit)

        Seen(ward.doctor(auth, issuers=("okx", "bybit", "coinbase")))

        assert not [path for path in asked.paths() if path.startswith("secret/data/")]
        assert {operation for operation, path in asked.requests() if path.startswith("secret/")} == {"read", "scan"}
        assert tokens_of(sealable.vault) == before
        recorded = [str(event["secret_name"]) for event in events_in(tmp_path)]
        unrecorded = [path for path in asked.paths() if path.rstrip("/") not in recorded]
        assert unrecorded == []


def tokens_of(vault: Vault) -> set[str]:
    """Return the accessors of all tokens there are."""
    found = vault.root.adapter.request("LIST", "/v1/auth/token/accessors")
    return set(found["data"]["keys"])


def test_each_question_is_on_the_record_and_a_refused_login_is_a_warning_there(ward: Ward) -> None:
    with FAULTS["the_token_was_revoked"][0](ward) as doctor:
        Seen(doctor)

    events = events_in(ward.folder)
    assert [(event["event"], event.get("secret_name"), event.get("error")) for event in events] == [
        ("secret_access", "sys/health", None),
        ("secret_access", "auth/token/lookup-self", "HTTP 403"),
        ("secret_access", "sys/internal/ui/mounts/secret", "HTTP 403"),
        ("failed_auth", None, None),
    ]
    assert {event["accessor"] for event in events[:3]} == {"crypto_pipeline/secrets_doctor"}
    assert {event["action"] for event in events[:3]} == {"inspect"}


def test_what_cannot_be_recorded_is_not_asked_further(ward: Ward) -> None:
    (ward.folder / "audit.jsonl").mkdir()

    with pytest.raises(AuditError):
        Seen(ward.doctor())


def test_a_wrapped_secret_id_is_not_opened(ward: Ward) -> None:
    """The process that needs it finds it as it was."""
    auth = wrapped(ward)

    Seen(ward.doctor(auth))

    assert ward.vault.root.sys.unwrap(token=auth.secret_id.reveal())["data"]["secret_id"]


# What is said...


def test_a_redirect_is_told_by_its_host_alone(ward: Ward) -> None:
    with FAULTS["a_standby_redirects"][0](ward) as doctor:
        found = Seen(doctor).one("redirect")

    assert "a redirect to active.example.org:8200, and none is followed" in found.seen
    assert found.commands == ("export CRYPTO_PIPELINE_VAULT_ADDRESS=http://active.example.org:8200",)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://[::1]:8200/v1", "[::1]:8200"),
        ("https://user:planted@vault.example.org/x", "vault.example.org"),
        ("https://vault.example.org:99999", ""),
        ("https://v\x1b[2J", ""),
        ("/v1/elsewhere", ""),
    ],
)
def test_only_a_host_is_taken_from_where_a_redirect_leads(text: str, host: str) -> None:
    assert host_of(text) == host


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("certificate verify failed: certificate has expired", "it has expired"),
        ("certificate verify failed: certificate is not yet valid", "it is not valid yet"),
        ("certificate verify failed: Hostname mismatch", "it was made for another name"),
        ("certificate verify failed: something new", "it does not verify"),
    ],
)
def test_it_is_told_what_is_wrong_with_a_certificate(said: str, why: str) -> None:
    error = requests.exceptions.SSLError(f"[SSL: CERTIFICATE_VERIFY_FAILED] {said}")

    assert why in unreachable(error, "https://vault.example.org").symptom.seen


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (requests.exceptions.ConnectionError("NameResolutionError: planted"), "its name does not resolve"),
        (requests.exceptions.ConnectionError("Connection refused"), "nobody listens there"),
        (requests.exceptions.ReadTimeout("planted"), "it does not answer in time"),
        (requests.exceptions.ChunkedEncodingError("planted"), "the connection was cut"),
    ],
)
def test_it_is_told_why_nobody_was_reached(error: requests.exceptions.RequestException, why: str) -> None:
    assert (
        unreachable(error, "http://127.0.0.1:1").symptom.seen
        == f"Vault cannot be reached at http://127.0.0.1:1: {why}."
    )


def test_the_missing_rights_are_told_by_path_with_the_lines_that_give_them(ward: Ward) -> None:
    ward.store("okx")
    ward.store("bybit")
    policy = f'path "secret/metadata/{ward.prefix}/okx" {{ capabilities = ["read"] }}'

    seen = Seen(ward.doctor(ward.token(policy), issuers=("okx", "bybit")))

    found = seen.one("rights-missing")
    paths = [
        f"secret/data/{ward.prefix}/okx",
        f"secret/data/{ward.prefix}/bybit",
        f"secret/metadata/{ward.prefix}/bybit",
    ]
    assert found.seen == f"This login may not read {', '.join(map(repr, paths))}."
    assert list(found.commands) == [f'path "{path}" {{ capabilities = ["read"] }}' for path in paths]
    assert [each.about for each in seen.symptoms if each.about.startswith("secret ")] == ["secret okx"]


def test_excess_rights_that_are_alike_are_told_once(ward: Ward) -> None:
    for issuer in ("okx", "bybit", "coinbase"):
        ward.store(issuer)

    found = Seen(ward.doctor(ward.token(ward.policy("devops")), issuers=("okx", "bybit", "coinbase"))).one(
        "rights-excess"
    )

    assert f"create, update, delete 'secret/data/{ward.prefix}/okx' and 2 like it" in found.seen
    assert f"update 'secret/destroy/{ward.prefix}/okx' and 2 like it" in found.seen
    assert f"read 'secret/data/{ward.prefix}-dev/okx'" in found.seen


@pytest.mark.parametrize(("suffix", "role"), [("", "pipeline"), ("-dev", "developer")])
def test_the_policy_that_is_advised_is_that_of_the_environment(suffix: str, role: str, ward: Ward) -> None:
    folder = ward.prefix
    ward.prefix = f"{folder}{suffix}"
    ward.store()

    found = Seen(ward.doctor(ward.token('path "secret/*" { capabilities = ["read"] }'))).one("rights-excess")

    policy = f"crypto-pipeline access render vault --role {role} --prefix {folder} --mount secret"
    assert found.commands == (f"{policy} | bao policy write crypto-pipeline -",)


@pytest.mark.parametrize(
    "answer",
    [
        {"current_version": 1},
        {"current_version": 1, "versions": []},
        {
            "current_version": 1,
            "versions": {"1": {"created_time": "long ago", "deletion_time": "", "destroyed": False}},
        },
        {"current_version": 1, "versions": {"1": {"created_time": "2026-01-01T00:00:00Z"}}},
    ],
)
def test_metadata_that_are_none_of_vaults_are_told(answer: object, ward: Ward) -> None:
    """Something in between answers."""
    body = {**HEALTHY, "data": {**answer, "type": "kv", "options": {"version": "2"}}}  # type: ignore[dict-item]
    paths = dict.fromkeys((HEALTH, LOOKUP, "/v1/sys/internal/ui/mounts/secret"), 200)
    paths[f"/v1/secret/metadata/{ward.prefix}/okx"] = 200
    with odd_server(paths, json.dumps(body).encode()) as server:
        seen = Seen(ward.doctor(address=server.address))

    assert seen.problems == ["not-vault"]


# What is advised, done...

MENDED = (
    "the_current_version_was_deleted",
    "the_current_version_of_two_was_destroyed",
    "the_version_will_be_deleted_by_itself",
    "the_mount_is_of_version_1",
)


@pytest.mark.parametrize("name", MENDED)
def test_the_command_that_is_advised_does_it(name: str, ward: Ward) -> None:
    plant, code, _ = FAULTS[name]
    with plant(ward) as doctor:
        found = Seen(doctor).one(code)
        environment = {**os.environ, "BAO_ADDR": ward.vault.address, "BAO_TOKEN": ward.vault.root.token}
        environment |= {"HOME": str(ward.folder)}

        for command in found.commands:
            program, *words = shlex.split(command)
            assert program == "bao"
            subprocess.run([bao_program(), *words], env=environment, check=True, capture_output=True, timeout=60)
        if name == "the_version_will_be_deleted_by_itself":
            ward.store()  # as is advised, too

        assert code not in {each.code for each in Seen(doctor).symptoms}


def test_the_lines_that_are_advised_give_the_rights(ward: Ward) -> None:
    """Two lines for one secret, and nothing for another."""
    ward.store("okx")
    found = Seen(ward.doctor(ward.token('path "secret/metadata/x" { capabilities = ["read"] }'))).one("rights-missing")

    seen = Seen(ward.doctor(ward.token("\n".join(found.commands))))

    assert (seen.problems, seen.warnings) == ([], [])


def test_the_namespace_that_is_advised_is_the_right_one(ward: Ward) -> None:
    namespace, inside = new_namespace(ward)
    auth = token_in(ward, inside)

    found = Seen(ward.doctor(auth)).one("namespace-other")

    assert found.commands == (f"export CRYPTO_PIPELINE_VAULT_NAMESPACE={namespace}",)
    assert Seen(ward.doctor(auth, namespace=namespace)).problems == []
