"""Faults of AWS, of a login at it and of what is in it, planted for real where moto can, with what must be seen."""

from __future__ import annotations

import json
import secrets as random
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from crypto_pipeline.secrets.doctor.aws import AwsDoctor
from crypto_pipeline.secrets.doctor.aws_probe import AwsConnections
from crypto_pipeline.secrets.doctor.symptom import Severity
from crypto_pipeline_tests.secrets.doctor.seen import record_in
from crypto_pipeline_tests.secrets.stores import new_parts, new_prefix
from crypto_pipeline_tests.support.aws import LOGIN, REGION, Answers, Aws
from crypto_pipeline_tests.support.odd_server import odd_server
from crypto_pipeline_tests.support.ports import free_port

ELSEWHERE = "eu-central-1"
READING = ("DescribeSecret", "ListSecretVersionIds", "GetSecretValue")
XML = {"Content-Type": "text/xml"}
WHO = (
    "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>x</UserId><Account>1</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)


@dataclass
class Ward:
    """
    Where a fault is planted.

    Fields:
        aws: a server that all tests share.
        folder: a folder of the test's own.
        monkeypatch: for the login and the addresses, which the library takes from the environment.
        prefix: names of the test's own.
        planted: every secret in it, by a name that is none.
    """

    aws: Aws
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    prefix: str = field(default_factory=new_prefix)
    planted: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log_in(LOGIN)
        self.set(AWS_ENDPOINT_URL_STS=self.aws.address, AWS_ENDPOINT_URL_SECRETS_MANAGER=self.aws.address)

    def set(self, **variables: str) -> None:
        """Set variables."""
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    def log_in(self, login: Mapping[str, str]) -> None:
        """Use this login."""
        self.set(**login)
        self.planted["login"] = login["AWS_SECRET_ACCESS_KEY"]

    def log_in_as_user(self, *allowed: str) -> None:
        """Use the login of a new user that may do these things with secrets."""
        actions = tuple(each if ":" in each else f"secretsmanager:{each}" for each in allowed)
        self.log_in(self.aws.user(f"user-{random.token_hex(4)}", allowed=actions))

    def store(self, name: str = "okx", *, region: str = REGION) -> str:
        """Store a credential, and return its name."""
        parts = new_parts("okx")
        self.planted |= {f"{name} {region} {part}": value for part, value in parts.items()}
        full = f"{self.prefix}/{name}"
        client = self.client(region)
        try:
            client.create_secret(Name=full, SecretString=json.dumps(parts))
        except client.exceptions.ResourceExistsException:
            client.put_secret_value(SecretId=full, SecretString=json.dumps(parts))
        return full

    def client(self, region: str = REGION) -> Any:
        """Return a client that may do everything."""
        return boto3.client(
            "secretsmanager",
            region_name=region,
            endpoint_url=self.aws.address,
            aws_access_key_id=LOGIN["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=LOGIN["AWS_SECRET_ACCESS_KEY"],
            config=Config(proxies={}),
        )

    def connections(self, address: str | None = None, *, region: str | None = REGION, **more: Any) -> AwsConnections:
        """Return connections to the server, or to another address."""
        return AwsConnections(region, address or self.aws.address, **more)

    def doctor(
        self, connections: AwsConnections | None = None, *, issuers: tuple[str, ...] = ("okx",), **more: Any
    ) -> AwsDoctor:
        """Return the doctor of this place."""
        usual = {"prefix": self.prefix, "layout": "separate"}
        return AwsDoctor(connections or self.connections(), issuers, record_in(self.folder), **{**usual, **more})

    def told(self, **answers: Any) -> AwsDoctor:
        """Return a doctor who gets prepared answers to some of the questions."""
        connections = self.connections()
        Answers(connections.client("secretsmanager"), answers)
        return self.doctor(connections)


Planting = Callable[[Ward], AbstractContextManager[AwsDoctor]]
FAULTS: dict[str, tuple[Planting, str, Severity]] = {}


def fault(
    code: str, severity: Severity = Severity.PROBLEM
) -> Callable[[Callable[[Ward], Iterator[AwsDoctor]]], Planting]:
    """Put a way of planting a fault into the table, with what must be seen."""

    def put(plant: Callable[[Ward], Iterator[AwsDoctor]]) -> Planting:
        planting = contextmanager(plant)
        FAULTS[plant.__name__] = (planting, code, severity)
        return planting

    return put


# The way there...


@fault("unreachable")
def nobody_listens(ward: Ward) -> Iterator[AwsDoctor]:
    yield ward.doctor(ward.connections(f"http://127.0.0.1:{free_port()}"))


@fault("unreachable")
def somebody_listens_and_says_nothing(ward: Ward) -> Iterator[AwsDoctor]:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield ward.doctor(ward.connections(f"http://127.0.0.1:{silent.getsockname()[1]}"))


@fault("unreachable")
def the_server_hangs_up(ward: Ward) -> Iterator[AwsDoctor]:
    with odd_server(0) as server:
        yield ward.doctor(ward.connections(server.address))


@fault("unreachable")
def a_role_is_to_be_assumed_where_nobody_listens(ward: Ward) -> Iterator[AwsDoctor]:
    ward.set(AWS_ENDPOINT_URL_STS=f"http://127.0.0.1:{free_port()}")
    yield ward.doctor(ward.connections(role_arn=role("reader")))


@fault("login-not-told", Severity.NOTE)
def there_is_no_way_to_sts(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store()
    ward.set(AWS_ENDPOINT_URL_STS=f"http://127.0.0.1:{free_port()}")
    yield ward.doctor()


@fault("tls")
def https_is_spoken_to_a_server_of_http(ward: Ward) -> Iterator[AwsDoctor]:
    yield ward.doctor(ward.connections(ward.aws.address.replace("http", "https")))


@fault("plain-http")
def http_would_leave_this_machine(ward: Ward) -> Iterator[AwsDoctor]:
    yield ward.doctor(ward.connections("http://secrets.example.org"))


@fault("endpoint")
def the_endpoint_is_no_address(ward: Ward) -> Iterator[AwsDoctor]:
    yield ward.doctor(ward.connections("secrets"))


@fault("not-aws")
def another_web_server_answers(ward: Ward) -> Iterator[AwsDoctor]:
    with odd_server(200, b"<html>planted-page</html>", headers={"Content-Type": "text/html"}) as server:
        yield ward.doctor(ward.connections(server.address))


@fault("not-aws")
def the_answer_is_empty(ward: Ward) -> Iterator[AwsDoctor]:
    with odd_server(200, b"{}") as server:
        yield ward.doctor(ward.connections(server.address))


@fault("not-aws")
def another_web_server_knows_no_such_page(ward: Ward) -> Iterator[AwsDoctor]:
    with odd_server(404, b"<html>planted-page</html>", headers={"Content-Type": "text/html"}) as server:
        yield ward.doctor(ward.connections(server.address))


@fault("failing")
def the_service_fails(ward: Ward) -> Iterator[AwsDoctor]:
    with odd_server(500, b'{"__type": "InternalServiceError"}') as server:
        yield ward.doctor(ward.connections(server.address))


@fault("limited")
def the_service_limits_requests(ward: Ward) -> Iterator[AwsDoctor]:
    with odd_server(400, b'{"__type": "ThrottlingException"}') as server:
        yield ward.doctor(ward.connections(server.address))


@fault("region-missing")
def nobody_names_a_region(ward: Ward) -> Iterator[AwsDoctor]:
    yield ward.doctor(ward.connections(region=None))


@fault("region-unknown")
def the_region_is_misspelt(ward: Ward) -> Iterator[AwsDoctor]:
    nowhere = f"http://127.0.0.1:{free_port()}"
    ward.set(AWS_ENDPOINT_URL_STS=nowhere)
    yield ward.doctor(ward.connections(nowhere, region="eu-wset-1"))


@fault("region-unknown")
def the_region_is_misspelt_and_sts_answers(ward: Ward) -> Iterator[AwsDoctor]:
    yield ward.doctor(ward.connections(f"http://127.0.0.1:{free_port()}", region="eu-wset-1"))


@fault("clock-skew", Severity.WARNING)
def the_clock_is_seconds_off(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store()
    yield ward.doctor(ward.connections(clock=lambda: datetime.now(UTC) + timedelta(seconds=30)))


@fault("clock-skew")
def the_clock_is_minutes_off(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store()
    yield ward.doctor(ward.connections(clock=lambda: datetime.now(UTC) - timedelta(minutes=10)))


@fault("clock-skew")
def the_signature_is_wrong_because_the_clock_is(ward: Ward) -> Iterator[AwsDoctor]:
    ward.log_in({**LOGIN, **ward.aws.user(f"user-{random.token_hex(4)}", allowed=("sts:GetCallerIdentity",))})
    ward.log_in({"AWS_SECRET_ACCESS_KEY": "planted-wrong-key-81bb"})
    with ward.aws.enforcing():
        yield ward.doctor(ward.connections(clock=lambda: datetime.now(UTC) - timedelta(minutes=10)))


@fault("clock-skew")
def aws_says_that_it_is_the_clock(ward: Ward) -> Iterator[AwsDoctor]:
    with refusing_sts("RequestTimeTooSkewed") as address:
        ward.set(AWS_ENDPOINT_URL_STS=address)
        yield ward.doctor()


# The login...


@fault("login-missing")
def there_is_no_login(ward: Ward) -> Iterator[AwsDoctor]:
    ward.monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    ward.monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    yield ward.doctor()


@fault("login-missing")
def there_is_half_a_login(ward: Ward) -> Iterator[AwsDoctor]:
    ward.monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    yield ward.doctor()


@fault("profile")
def there_is_no_such_profile(ward: Ward) -> Iterator[AwsDoctor]:
    yield ward.doctor(ward.connections(profile="nobody"))


@fault("login-ended")
def nobody_has_signed_on(ward: Ward) -> Iterator[AwsDoctor]:
    names = ("sso_start_url", "sso_region", "sso_account_id", "sso_role_name")
    values = ("https://sso.example.org/start", REGION, "123456789012", "reader")
    lines = "\n".join(f"{name} = {value}" for name, value in zip(names, values, strict=True))
    yield with_profile(ward, lines)


@fault("login-file")
def the_token_of_a_web_identity_is_missing(ward: Ward) -> Iterator[AwsDoctor]:
    yield with_profile(ward, f"role_arn = {role('reader')}\nweb_identity_token_file = {ward.folder / 'missing'}")


@fault("login-unusable")
def the_token_of_a_web_identity_is_empty(ward: Ward) -> Iterator[AwsDoctor]:
    (ward.folder / "empty").touch()
    yield with_profile(ward, f"role_arn = {role('reader')}\nweb_identity_token_file = {ward.folder / 'empty'}")


@fault("not-aws")
def sts_is_something_else(ward: Ward) -> Iterator[AwsDoctor]:
    with odd_server(200, b"planted-page", headers=XML) as server:
        ward.set(AWS_ENDPOINT_URL_STS=server.address)
        yield ward.doctor()


@fault("login-program")
def the_program_that_gives_the_login_is_missing(ward: Ward) -> Iterator[AwsDoctor]:
    yield with_profile(ward, "credential_process = /does/not/exist")


@fault("login-missing")
def the_program_that_gives_the_login_fails(ward: Ward) -> Iterator[AwsDoctor]:
    yield with_profile(ward, "credential_process = /bin/false")


@fault("login-unknown-key")
def nobody_knows_the_access_key(ward: Ward) -> Iterator[AwsDoctor]:
    ward.log_in({"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN000000000", "AWS_SECRET_ACCESS_KEY": "planted-unknown-key-a0c1"})
    with ward.aws.enforcing():
        yield ward.doctor()


@fault("login-wrong-signature")
def the_secret_key_is_another_ones(ward: Ward) -> Iterator[AwsDoctor]:
    ward.log_in_as_user("sts:GetCallerIdentity")
    ward.log_in({"AWS_SECRET_ACCESS_KEY": "planted-wrong-key-81bb"})
    with ward.aws.enforcing():
        yield ward.doctor()


@fault("login-ended")
def the_session_has_ended(ward: Ward) -> Iterator[AwsDoctor]:
    ward.set(AWS_SESSION_TOKEN="planted-session-token-44d0")
    ward.planted["session token"] = "planted-session-token-44d0"
    with refusing_sts("ExpiredToken") as address:
        ward.set(AWS_ENDPOINT_URL_STS=address)
        yield ward.doctor()


@fault("login-ended")
def the_session_has_ended_and_only_secrets_manager_can_say_so(ward: Ward) -> Iterator[AwsDoctor]:
    ward.set(AWS_ENDPOINT_URL_STS=f"http://127.0.0.1:{free_port()}")
    yield ward.told(DescribeSecret=(400, {"__type": "ExpiredTokenException"}))


@fault("login-refused")
def aws_refuses_the_login_for_a_reason_of_its_own(ward: Ward) -> Iterator[AwsDoctor]:
    with refusing_sts("OptInRequired") as address:
        ward.set(AWS_ENDPOINT_URL_STS=address)
        yield ward.doctor()


@fault("login-refused")
def the_profile_names_a_role_that_may_not_be_assumed(ward: Ward) -> Iterator[AwsDoctor]:
    """The library assumes it by itself."""
    ward.log_in_as_user("DescribeSecret")
    lines = ["[profile reader]", f"role_arn = {role('reader')}", "credential_source = Environment"]
    (ward.folder / "config").write_text("\n".join(lines))
    ward.set(AWS_CONFIG_FILE=str(ward.folder / "config"))
    with ward.aws.enforcing():
        yield ward.doctor(ward.connections(profile="reader"))


@fault("root", Severity.WARNING)
def the_login_is_that_of_the_account(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store()
    with odd_server(200, WHO.format(arn="arn:aws:iam::123456789012:root").encode(), headers=XML) as server:
        ward.set(AWS_ENDPOINT_URL_STS=server.address)
        yield ward.doctor()


@fault("role-malformed")
def the_role_is_no_role(ward: Ward) -> Iterator[AwsDoctor]:
    yield ward.doctor(ward.connections(role_arn="reader"))


@fault("role-refused")
def the_role_may_not_be_assumed(ward: Ward) -> Iterator[AwsDoctor]:
    ward.log_in_as_user("sts:GetCallerIdentity")
    with ward.aws.enforcing():
        yield ward.doctor(ward.connections(role_arn=role("reader")))


# The secrets...


@fault("secret-missing")
def nothing_was_ever_stored(ward: Ward) -> Iterator[AwsDoctor]:
    yield ward.doctor()


@fault("secret-missing")
def nothing_was_ever_stored_for_all_issuers_together(ward: Ward) -> Iterator[AwsDoctor]:
    yield ward.doctor(layout="combined", issuers=("okx", "bybit"))


@fault("secret-missing")
def some_are_missing(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store("bybit")
    yield ward.doctor(issuers=("okx", "bybit", "coinbase"))


@fault("layout-other")
def the_secrets_are_stored_one_by_one(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store("bybit")
    yield ward.doctor(layout="combined", issuers=("okx", "bybit"))


@fault("layout-other")
def the_secrets_are_stored_together(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store("exchange-keys")
    yield ward.doctor(issuers=("okx", "bybit"))


@fault("region-other")
def the_secret_is_in_another_region(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store(region=ELSEWHERE)
    yield ward.doctor(replica_regions=("us-east-1", ELSEWHERE))


@fault("secret-deleted")
def the_secret_is_marked_for_deletion(ward: Ward) -> Iterator[AwsDoctor]:
    ward.client().delete_secret(SecretId=ward.store(), RecoveryWindowInDays=7)
    yield ward.doctor()


@fault("secret-empty")
def the_secret_has_no_value(ward: Ward) -> Iterator[AwsDoctor]:
    ward.client().create_secret(Name=f"{ward.prefix}/okx")
    yield ward.doctor()


@fault("secret-refused")
def aws_does_not_like_the_name(ward: Ward) -> Iterator[AwsDoctor]:
    yield ward.told(DescribeSecret=(400, {"__type": "InvalidParameterException", "Message": "planted-words"}))


@fault("rights-missing")
def the_login_may_not_describe(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store()
    ward.log_in_as_user("GetSecretValue", "ListSecretVersionIds", "sts:GetCallerIdentity")
    with ward.aws.enforcing():
        yield ward.doctor()


@fault("rights-missing")
def the_login_may_not_read(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store()
    ward.log_in_as_user("DescribeSecret", "ListSecretVersionIds")
    with ward.aws.enforcing():
        yield ward.doctor()


@fault("rights-missing")
def the_login_may_not_list_versions(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store()
    ward.log_in_as_user("DescribeSecret", "GetSecretValue")
    with ward.aws.enforcing():
        yield ward.doctor()


@fault("no-list", Severity.NOTE)
def the_login_may_not_list_secrets(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store()
    ward.log_in_as_user(*READING)
    with ward.aws.enforcing():
        yield ward.doctor()


@fault("rotation-overdue", Severity.WARNING)
def the_rotation_of_aws_is_overdue(ward: Ward) -> Iterator[AwsDoctor]:
    """As AWS tells it; moto rotates nothing without a function."""
    name = ward.store()
    described = ward.client().describe_secret(SecretId=name)
    told = {key: described[key] for key in ("ARN", "Name", "VersionIdsToStages")}
    yesterday = (datetime.now(UTC) - timedelta(days=1)).timestamp()
    yield ward.told(DescribeSecret=(200, {**told, "RotationEnabled": True, "NextRotationDate": yesterday}))


@fault("rotation-incomplete", Severity.WARNING)
def a_rotation_was_never_completed(ward: Ward) -> Iterator[AwsDoctor]:
    name = ward.store()
    ward.client().put_secret_value(SecretId=name, SecretString="{}", VersionStages=["AWSPENDING"])
    yield ward.doctor()


@fault("kms-not-told", Severity.NOTE)
def the_secret_has_a_key_of_its_own(ward: Ward) -> Iterator[AwsDoctor]:
    ward.client().create_secret(Name=f"{ward.prefix}/okx", SecretString="{}", KmsKeyId="alias/ours")
    yield ward.doctor()


@fault("secret-is-copy", Severity.NOTE)
def a_copy_is_asked_first(ward: Ward) -> Iterator[AwsDoctor]:
    ward.client().replicate_secret_to_regions(SecretId=ward.store(), AddReplicaRegions=[{"Region": ELSEWHERE}])
    yield ward.doctor(ward.connections(region=ELSEWHERE))


@fault("copy-missing", Severity.WARNING)
def there_is_no_copy(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store()
    yield ward.doctor(replica_regions=(ELSEWHERE,))


@fault("copy-behind", Severity.WARNING)
def the_copy_has_another_version(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store()
    ward.store(region=ELSEWHERE)
    yield ward.doctor(replica_regions=(ELSEWHERE,))


@fault("copies-unreachable", Severity.WARNING)
def the_region_of_the_copies_is_down(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store()
    connections = ward.connections()
    connections.client("secretsmanager")
    ward.set(AWS_ENDPOINT_URL_SECRETS_MANAGER=f"http://127.0.0.1:{free_port()}")
    yield ward.doctor(connections, replica_regions=(ELSEWHERE,))


@fault("copy-denied", Severity.WARNING)
def the_copy_is_denied(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store()
    connections = ward.connections()
    denied = (400, {"__type": "AccessDeniedException"})
    Answers(connections.client("secretsmanager", ELSEWHERE), {"DescribeSecret": denied})
    yield ward.doctor(connections, replica_regions=(ELSEWHERE,))


@fault("secrets-unused", Severity.NOTE)
def there_is_more_than_is_used(ward: Ward) -> Iterator[AwsDoctor]:
    ward.store()
    ward.store("bybit")
    yield ward.doctor()


def role(name: str) -> str:
    """Return the name of a role as AWS writes it."""
    return f"arn:aws:iam::123456789012:role/{name}"


def with_profile(ward: Ward, lines: str) -> AwsDoctor:
    """Return a doctor whose login is to come from a profile with these lines, and from nothing else."""
    (ward.folder / "config").write_text(f"[profile ours]\n{lines}\n")
    ward.set(AWS_CONFIG_FILE=str(ward.folder / "config"))
    for name in LOGIN:
        ward.monkeypatch.delenv(name)
    return ward.doctor(ward.connections(profile="ours"))


@contextmanager
def refusing_sts(code: str) -> Iterator[str]:
    """Give the address of an STS that refuses everybody for this reason."""
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>planted-words</Message></Error></ErrorResponse>"
    with odd_server(403, body.encode(), headers=XML) as server:
        yield server.address
