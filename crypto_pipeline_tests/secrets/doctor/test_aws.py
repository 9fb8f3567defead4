"""The doctor of AWS: each fault is planted in a real server, and seen as itself and as nothing else."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from crypto_pipeline.secrets import AwsSource, build_client
from crypto_pipeline.secrets.doctor.aws_secrets import NOBODYS_LABEL
from crypto_pipeline.secrets.doctor.symptom import Severity
from crypto_pipeline_tests.secrets.doctor.aws_faults import ELSEWHERE, FAULTS, READING, Ward, role
from crypto_pipeline_tests.secrets.doctor.seen import Seen, assert_hidden, assert_only, events_in
from crypto_pipeline_tests.support.aws import REGION, Answers, Aws


@pytest.fixture
def ward(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ward:
    """A place of the test's own."""
    return Ward(aws, tmp_path, monkeypatch)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_seen_and_nothing_else(name: str, ward: Ward) -> None:
    """With its remedy; no secret stands in what is said, nor in the record."""
    plant, code, severity = FAULTS[name]

    with plant(ward) as doctor:
        seen = Seen(doctor)

    assert_only(seen, code, severity)
    assert_hidden(seen, ward.folder, ward.planted)


# What is well...


@pytest.mark.parametrize("layout", ["separate", "combined"])
def test_a_store_that_is_well_has_nothing_wrong_with_it(layout: Any, ward: Ward) -> None:
    """And each secret in use is described as the source itself would."""
    for name in ("okx", "bybit") if layout == "separate" else ("exchange-keys",):
        ward.store(name)
    doctor = ward.doctor(issuers=("okx", "bybit"), layout=layout)

    seen = Seen(doctor)

    assert (seen.problems, seen.warnings) == ([], [])
    source = AwsSource(build_client(REGION, ward.aws.address), prefix=ward.prefix, layout=layout)
    assert doctor.described == {issuer: source.describe(issuer) for issuer in ("okx", "bybit")}
    assert doctor.questions == 1


def test_without_the_right_to_list_each_secret_costs_two_questions(ward: Ward) -> None:
    ward.store("okx")
    ward.store("bybit")
    ward.log_in_as_user(*READING)
    doctor = ward.doctor(issuers=("okx", "bybit"))

    with ward.aws.enforcing():
        Seen(doctor)

    assert doctor.questions == 4


def test_without_a_key_in_use_the_login_and_the_list_are_looked_at(ward: Ward) -> None:
    seen = Seen(ward.doctor(issuers=()))

    assert [each.about for each in seen.symptoms] == ["login", "clock"]
    assert (seen.problems, seen.warnings) == ([], [])


def test_a_role_is_assumed_and_asked_with(ward: Ward) -> None:
    """As the user the login may do nothing."""
    ward.store()
    ward.log_in_as_user("sts:GetCallerIdentity", "sts:AssumeRole")
    iam = ward.aws.client("iam")
    name = f"role-{ward.prefix}"
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    allowed = [f"secretsmanager:{each}" for each in (*READING, "ListSecrets")]
    statement = {"Effect": "Allow", "Action": allowed, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=name, PolicyName="reading", PolicyDocument=policy)

    with ward.aws.enforcing():
        seen = Seen(ward.doctor(ward.connections(role_arn=role(name))))

    assert (seen.problems, seen.warnings) == ([], [])
    assert f"Assumed the role {role(name)}." in [each.seen for each in seen.symptoms]


def test_copies_with_the_same_versions_are_well(ward: Ward) -> None:
    ward.client().replicate_secret_to_regions(SecretId=ward.store(), AddReplicaRegions=[{"Region": ELSEWHERE}])

    seen = Seen(ward.doctor(replica_regions=(ELSEWHERE,)))

    assert (seen.problems, seen.warnings) == ([], [])
    assert f"{ELSEWHERE} has the same versions." in [each.seen for each in seen.symptoms]


def test_a_region_that_cannot_be_asked_is_not_where_a_missing_secret_is(ward: Ward) -> None:
    connections = ward.connections()
    Answers(connections.client("secretsmanager", ELSEWHERE), {"DescribeSecret": (500, {"__type": "Broken"})})

    assert Seen(ward.doctor(connections, replica_regions=(ELSEWHERE,))).problems == ["secret-missing"]


def test_more_secrets_than_a_page_holds_are_listed(ward: Ward) -> None:
    """Each is told once."""
    ward.store()
    page = {"SecretList": [{"Name": f"{ward.prefix}/a"}, {"Name": "other/b"}], "NextToken": "next"}
    last = {"SecretList": [{"Name": f"{ward.prefix}/c"}]}

    found = Seen(ward.told(ListSecrets=[(200, page), (200, last)])).one("secrets-unused")

    assert found.seen == f"Stored here, and used by no key: '{ward.prefix}/a', '{ward.prefix}/c'."


def test_a_list_without_an_end_is_not_followed_for_ever(ward: Ward) -> None:
    ward.store()
    page = {"SecretList": [{"Name": f"{ward.prefix}/a"}], "NextToken": "next"}

    assert Seen(ward.told(ListSecrets=(200, page))).one("secrets-unused").severity is Severity.NOTE


# What is asked...


def test_no_value_is_given_and_each_question_is_on_the_record(ward: Ward) -> None:
    """`GetSecretValue` is asked with a label that no version has, so AWS has nothing to give."""
    ward.store("okx")
    ward.client().delete_secret(SecretId=ward.store("bybit"), RecoveryWindowInDays=7)
    connections = ward.connections()
    client = connections.client("secretsmanager")
    asked: list[tuple[str, str]] = []
    given: list[str] = []
    client.meta.events.register("before-send.secrets-manager", lambda request, **_: asked.append(what_of(request)))
    client.meta.events.register(
        "after-call.secrets-manager", lambda parsed, **_: given.extend(parsed.keys() & {"SecretString", "SecretBinary"})
    )

    Seen(ward.doctor(connections, issuers=("okx", "bybit", "coinbase")))

    assert given == []
    values = [body for operation, body in asked if operation == "GetSecretValue"]
    assert len(values) == 1
    assert json.loads(values[0])["VersionStage"].startswith(NOBODYS_LABEL)
    recorded = [str(event["secret_name"]).split(" ")[0] for event in events_in(ward.folder)]
    assert recorded == ["GetCallerIdentity", *(operation for operation, _ in asked)]


def what_of(request: Any) -> tuple[str, str]:
    """Return operation and body of a request."""
    return request.headers["X-Amz-Target"].decode().rpartition(".")[2], request.body.decode()


# What is said...


def test_each_denied_action_is_named(ward: Ward) -> None:
    ward.store()
    ward.log_in_as_user("sts:GetCallerIdentity")

    with ward.aws.enforcing():
        found = Seen(ward.doctor()).one("rights-missing")

    denied = ", ".join(f"secretsmanager:{each}" for each in READING)
    assert found.seen == f"AWS denies this login {denied} on '{ward.prefix}/okx'."
    assert found.commands == (
        f"crypto-pipeline access render aws --role pipeline --prefix {ward.prefix} --region {REGION}",
    )


# What is advised, done...

MENDED = ("the_secret_is_marked_for_deletion", "a_rotation_was_never_completed", "there_is_no_copy")


@pytest.mark.parametrize("name", MENDED)
def test_the_command_that_is_advised_does_it(name: str, ward: Ward) -> None:
    """There is no `aws` program here, so its words are given to the library that it is made of."""
    plant, code, _ = FAULTS[name]
    with plant(ward) as doctor:
        (command,) = Seen(doctor).one(code).commands

        run(command, ward)

        assert code not in {each.code for each in Seen(doctor).symptoms}


def run(command: str, ward: Ward) -> None:
    """Do what `aws secretsmanager <operation> --option value …` does."""
    program, service, operation, *options = shlex.split(command)
    assert (program, service) == ("aws", "secretsmanager")
    words: dict[str, Any] = {
        "".join(part.title() for part in name.removeprefix("--").split("-")): value
        for name, value in zip(options[::2], options[1::2], strict=True)
    }
    region = words.pop("Region")
    if "AddReplicaRegions" in words:
        words["AddReplicaRegions"] = [dict([words["AddReplicaRegions"].split("=")])]
    getattr(ward.client(region), operation.replace("-", "_"))(**words)
