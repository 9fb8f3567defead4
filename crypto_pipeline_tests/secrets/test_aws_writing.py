"""New versions in AWS: two steps, and whatever may come between them; the policy that is enough for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crypto_pipeline.errors import (
    ConfigurationError,
    MalformedSecretError,
    SecretChangedError,
    SecretDeniedError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets import AwsSource, build_client
from crypto_pipeline.secrets.aws_writing import MOST_BYTES
from crypto_pipeline.secrets.policies import aws_policy
from crypto_pipeline.secrets.roles import ROLES
from crypto_pipeline_tests.secrets.matrix import SUFFIXES, each_role, may
from crypto_pipeline_tests.secrets.stores import new_parts, new_prefix
from crypto_pipeline_tests.secrets.writable import AwsWritable, stored
from crypto_pipeline_tests.support.aws import REGION, Answers, Aws
from crypto_pipeline_tests.support.hiding import assert_hides
from crypto_pipeline_tests.support.iam import OVER_TLS, allows, seen_by_moto
from crypto_pipeline_tests.support.meddler import meddler
from crypto_pipeline_tests.support.ports import free_port

THROTTLED = (400, {"__type": "ThrottlingException", "message": "Rate exceeded"})


@pytest.fixture
def writable(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> AwsWritable:
    """Names that nobody else uses; a secret for each issuer."""
    return AwsWritable(aws, monkeypatch)


@pytest.fixture
def combined(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> AwsWritable:
    """Names that nobody else uses; one secret for all issuers."""
    return AwsWritable(aws, monkeypatch, "combined")


def labels(writable: AwsWritable, issuer: str = "okx") -> dict[str, str]:
    """Return the version of each label."""
    return {label: version for version, each in writable.stages(issuer).items() for label in each}


# Between the two steps...


def test_who_dies_between_the_steps_leaves_the_old_version_current(writable: AwsWritable) -> None:
    """And can do it again: what was left is taken out of use, and that is said."""
    old, new = new_parts("okx"), new_parts("okx")
    writable.put("okx", old)
    before = writable.current("okx")

    def die() -> None:
        raise KeyboardInterrupt

    client = build_client(REGION, writable.aws.address)
    client.meta.events.register("before-send.secrets-manager.UpdateSecretVersionStage", lambda **_: die())
    with pytest.raises(KeyboardInterrupt):
        stored(AwsSource(client, prefix=writable.prefix, layout="separate").writer(), "okx", new)
    left = labels(writable)
    outcome = stored(writable.writer, "okx", new)

    assert (left["AWSCURRENT"], writable.parts("okx", before)) == (before, old)
    assert left["AWSPENDING"] not in {before, outcome.version}
    assert labels(writable) == {"AWSCURRENT": outcome.version, "AWSPREVIOUS": before}
    assert writable.parts("okx") == new
    assert left["AWSPENDING"] in outcome.remark
    assert "did not come to its end" in outcome.remark


def test_who_overtakes_between_the_steps_stays_current(writable: AwsWritable) -> None:
    """AWS refuses to take the label from a version that has it no more; ours ends without any label."""
    writable.put("okx", new_parts("okx"))
    theirs = new_parts("okx")
    with meddler(writable.aws.address) as between:
        between.before["UpdateSecretVersionStage"] = lambda: writable.put("okx", theirs)

        with pytest.raises(SecretChangedError):
            stored(writable.at(between.address).writer(), "okx", new_parts("okx"))

    assert writable.parts("okx") == theirs
    assert set(labels(writable)) == {"AWSCURRENT", "AWSPREVIOUS"}
    assert writable.count("okx") == 3


def test_of_two_that_put_at_once_the_second_is_refused(writable: AwsWritable) -> None:
    """Both need AWSPENDING; that it was taken away from the first does not hide who was first."""
    writable.put("okx", new_parts("okx"))
    first = new_parts("okx")
    with meddler(writable.aws.address) as between:
        between.before["UpdateSecretVersionStage"] = lambda: stored(writable.writer, "okx", first)

        with pytest.raises(SecretChangedError):
            stored(writable.at(between.address).writer(), "okx", new_parts("okx"))

    assert writable.parts("okx") == first
    assert set(labels(writable)) == {"AWSCURRENT", "AWSPREVIOUS"}


def test_a_label_that_somebody_else_has_by_now_is_left_to_them(writable: AwsWritable) -> None:
    """A rotation that begins at the same moment: our version is current, and AWSPENDING is theirs."""
    writable.put("okx", new_parts("okx"))
    ours = new_parts("okx")
    name = writable.source.name_of("okx")

    def rotate() -> None:
        writable.client.put_secret_value(SecretId=name, SecretString="{}", VersionStages=["AWSPENDING"])

    with meddler(writable.aws.address) as between:
        between.before["UpdateSecretVersionStage"] = rotate
        outcome = stored(writable.at(between.address).writer(), "okx", ours)

    assert labels(writable)["AWSCURRENT"] == outcome.version
    assert writable.parts("okx") == ours
    assert labels(writable)["AWSPENDING"] not in {outcome.version, outcome.replaced}


def test_a_pending_label_on_the_current_version_is_nothing_to_tell(writable: AwsWritable) -> None:
    """AWS leaves it there after a rotation that came to its end."""
    writable.put("okx", new_parts("okx"))
    writable.client.update_secret_version_stage(
        SecretId=writable.source.name_of("okx"), VersionStage="AWSPENDING", MoveToVersionId=writable.current("okx")
    )

    assert stored(writable.writer, "okx", new_parts("okx")).remark == ""


@pytest.mark.parametrize("operation", ["PutSecretValue", "UpdateSecretVersionStage"])
def test_a_step_that_is_throttled_leaves_the_old_version_current(writable: AwsWritable, operation: str) -> None:
    writable.put("okx", old := new_parts("okx"))
    before = writable.current("okx")
    client = build_client(REGION, writable.aws.address)
    Answers(client, {operation: THROTTLED})

    with pytest.raises(SecretStoreUnavailableError, match="limiting requests"):
        stored(AwsSource(client, prefix=writable.prefix, layout="separate").writer(), "okx", new_parts("okx"))

    assert (writable.current("okx"), writable.parts("okx")) == (before, old)


# What is there before...


def test_a_secret_without_a_value_gets_its_first_one(writable: AwsWritable) -> None:
    """Somebody made it by hand, with its tags, to be filled."""
    name = writable.source.name_of("okx")
    writable.client.create_secret(Name=name, Tags=[{"Key": "owner", "Value": "research"}])
    parts = new_parts("okx")

    outcome = stored(writable.writer, "okx", parts)

    assert (outcome.replaced, outcome.version) == ("", writable.current("okx"))
    assert writable.parts("okx") == parts
    assert writable.source.history(name).secret.labels == {"owner": "research"}


OTHERS = (
    '{"note" : "1.10 €\\u20ac \\ud83d\\udd11", "n":1.10,"big": 123456789012345678901234567890 , "x":{"b": [1,  2]}}'
)


def test_what_others_keep_in_a_shared_secret_stays_as_they_wrote_it(combined: AwsWritable) -> None:
    """Number by number, escape by escape."""
    combined.aws.put(combined.source.name_of("okx"), OTHERS)

    outcome = stored(combined.writer, "okx", parts := new_parts("okx"))

    text = combined.text("okx")
    assert outcome.kept == 4
    for written in ('"note": "1.10 €\\u20ac \\ud83d\\udd11"', '"n": 1.10', '"x": {"b": [1,  2]}', "234567890,"):
        assert written in text
    assert combined.parts("okx") == parts


def test_issuers_that_share_a_secret_do_not_touch_each_other(combined: AwsWritable) -> None:
    everything = {issuer: new_parts(issuer) for issuer in ("okx", "bybit", "huggingface")}

    for issuer, parts in everything.items():
        stored(combined.writer, issuer, parts)

    assert {issuer: combined.parts(issuer) for issuer in everything} == everything
    assert combined.count("okx") == 3


def test_two_issuers_that_are_stored_at_once_are_not_lost_on_each_other(combined: AwsWritable) -> None:
    """One read and wrote the whole secret while the other did."""
    stored(combined.writer, "okx", new_parts("okx"))
    bybit = new_parts("bybit")
    with meddler(combined.aws.address) as between:
        between.before["PutSecretValue"] = lambda: stored(combined.writer, "bybit", bybit)

        with pytest.raises(SecretChangedError):
            stored(combined.at(between.address).writer(), "okx", new_parts("okx"))

    assert combined.parts("bybit") == bybit


def test_a_part_with_two_names_is_renewed_under_both(combined: AwsWritable) -> None:
    """Whoever reads the other name must not go on with the old token."""
    combined.put("huggingface", {"hf_token": "planted-old-token", "note": "n"})

    stored(combined.writer, "huggingface", {"token": "planted-new-token"})

    assert combined.fields("huggingface") == {"hf_token": "planted-new-token", "note": "n"}


@pytest.mark.parametrize("text", ["planted, and not JSON", '["planted-in-a-list"]', '"planted-text"', "{", ""])
def test_a_secret_that_is_no_object_is_not_overwritten(writable: AwsWritable, text: str) -> None:
    """Whatever it is, it would be lost."""
    name, parts = writable.source.name_of("okx"), new_parts("okx")
    writable.client.create_secret(Name=name, SecretString=text or " ")

    with pytest.raises(MalformedSecretError, match="would be lost") as caught:
        stored(writable.writer, "okx", parts)

    assert writable.count("okx") == 1
    assert writable.text("okx") == (text or " ")
    assert_hides(caught.value, parts | ({"old": text} if len(text) > 5 else {}))


def test_a_binary_secret_is_not_overwritten(writable: AwsWritable) -> None:
    writable.client.create_secret(Name=writable.source.name_of("okx"), SecretBinary=b"{}")

    with pytest.raises(MalformedSecretError, match="would be lost"):
        stored(writable.writer, "okx", new_parts("okx"))

    assert writable.count("okx") == 1


@pytest.mark.parametrize(
    "value", [{"VersionId": "another"}, {"VersionId": None}, {"CreatedDate": None}], ids=["another", "none", "no time"]
)
def test_an_answer_that_is_not_of_the_version_is_none_of_aws(writable: AwsWritable, value: dict[str, Any]) -> None:
    """What it holds must not be kept as if it were."""
    writable.put("okx", new_parts("okx"))
    whole = {"ARN": "arn", "VersionId": writable.current("okx"), "CreatedDate": 1.0, "SecretString": "{}"}
    client = build_client(REGION, writable.aws.address)
    Answers(client, {"GetSecretValue": (200, {key: each for key, each in (whole | value).items() if each})})

    with pytest.raises(SecretStoreUnavailableError, match="is not AWS"):
        stored(AwsSource(client, prefix=writable.prefix, layout="separate").writer(), "okx", new_parts("okx"))

    assert writable.count("okx") == 1


def test_a_secret_that_waits_for_its_deletion_is_not_written_to(writable: AwsWritable) -> None:
    writable.put("okx", new_parts("okx"))
    writable.client.delete_secret(SecretId=writable.source.name_of("okx"), RecoveryWindowInDays=7)

    with pytest.raises(SecretNotFoundError, match="marked for deletion"):
        stored(writable.writer, "okx", new_parts("okx"))

    assert writable.count("okx") == 1


def test_a_secret_that_would_be_too_long_is_not_sent(combined: AwsWritable) -> None:
    """AWS has a limit for the whole of it."""
    combined.put("okx", {"note": "x" * (MOST_BYTES - 150)})

    with pytest.raises(ConfigurationError, match=f"longer than {MOST_BYTES} bytes"):
        stored(combined.writer, "okx", new_parts("okx"))

    assert combined.count("okx") == 1


def test_nothing_is_stored_in_a_copy(writable: AwsWritable) -> None:
    """A replica cannot be written to; while the region is down, nothing is."""
    down = build_client(REGION, f"http://127.0.0.1:{free_port()}")
    replica = build_client(REGION, writable.aws.address)
    source = AwsSource(down, prefix=writable.prefix, layout="separate", replicas=[replica])

    with pytest.raises(SecretStoreUnavailableError):
        stored(source.writer(), "okx", new_parts("okx"))

    assert writable.count("okx") == 0


# Who may...


def asked_of(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return every action that it takes to store a new secret, and a new version of it."""
    writable = AwsWritable(aws, monkeypatch)
    for _ in range(2):
        stored(writable.writer, "okx", new_parts("okx"))
    return set(writable.source.calls)


def test_all_that_it_asks_for_is_in_the_policy_of_devops_and_of_nobody_else(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As AWS evaluates the policies that are rendered."""
    asked = asked_of(aws, monkeypatch)
    secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:crypto-pipeline/okx-aBcDeF"
    policies = {name: [aws_policy(role, prefix="crypto-pipeline")] for name, role in ROLES.items()}

    allowed = {
        name: all(allows(policy, f"secretsmanager:{action}", secret, OVER_TLS) for action in asked)
        for name, policy in policies.items()
    }

    assert asked == {
        "CreateSecret", "DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage",
    }  # fmt: skip
    assert allowed == {name: name == "devops" for name in ROLES}


@pytest.mark.parametrize("environment", SUFFIXES)
@each_role
def test_a_role_may_store_what_the_matrix_says(
    role: str, environment: str, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server that checks logins and actions, with what of the rendered policy concerns these secrets."""
    prefix = new_prefix()
    folder = f"{prefix}{SUFFIXES[environment]}"
    old, new = new_parts("okx"), new_parts("okx")
    aws.put(f"{folder}/okx", json.dumps(old))
    client = aws.client("secretsmanager")
    address = client.describe_secret(SecretId=f"{folder}/okx")["ARN"]
    login(aws, monkeypatch, f"{prefix}-{role}", seen_by_moto(aws_policy(ROLES[role], prefix=prefix), address))
    source = AwsSource(build_client(REGION, aws.address), prefix=folder, layout="separate")

    with aws.enforcing():
        try:
            stored(source.writer(), "okx", new)
            stored(source.writer(), "bybit", new_parts("bybit"))
            done = True
        except SecretDeniedError as error:
            assert_hides(error, new)
            done = False

    found = json.loads(client.get_secret_value(SecretId=f"{folder}/okx")["SecretString"])
    assert done is may(role, environment, "store")
    assert found == (new if done else old)


def login(aws: Aws, monkeypatch: pytest.MonkeyPatch, name: str, policy: dict[str, Any]) -> None:
    """Log in as a new user with this policy and no other."""
    iam = aws.client("iam")
    iam.create_user(UserName=name)
    if policy["Statement"]:
        iam.put_user_policy(UserName=name, PolicyName="role", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])


def test_a_refusal_of_one_step_names_the_action(writable: AwsWritable) -> None:
    """Whoever may put and not move labels is told which is missing, and AWSCURRENT stays."""
    writable.put("okx", old := new_parts("okx"))
    may_put = ("DescribeSecret", "GetSecretValue", "PutSecretValue")
    user = writable.aws.user(f"{writable.prefix}-put", allowed=tuple(f"secretsmanager:{each}" for each in may_put))
    source = writable.store.opened(writable.aws.address, user)

    with writable.aws.enforcing(), pytest.raises(SecretDeniedError, match="allow secretsmanager:UpdateSecretVersion"):
        stored(source.writer(), "okx", new_parts("okx"))

    assert writable.parts("okx") == old


def test_the_secret_text_is_never_part_of_what_can_be_printed(writable: AwsWritable) -> None:
    writable.put("okx", parts := new_parts("okx"))

    seen = writable.writer.look("okx")

    assert not [value for value in parts.values() if value in repr(seen)]
    assert seen.fields["api_key"] == Secret(parts["api_key"])
