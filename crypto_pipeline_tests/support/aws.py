"""A real AWS-shaped server (moto) on loopback, for tests that read secrets."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from moto.secretsmanager.models import SecretsManagerBackend
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

REGION = "eu-west-1"
LOGIN = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE77", "AWS_SECRET_ACCESS_KEY": "example-of-a-login-that-is-none"}


@dataclass(frozen=True, slots=True)
class Aws:
    """A running server."""

    address: str

    @cache  # noqa: B019 - one server per test process
    def client(self, service: str) -> Any:
        """Return a client of the server for a service; it may do everything."""
        return boto3.client(  # type: ignore[call-overload]  # any service
            service,
            region_name=REGION,
            endpoint_url=self.address,
            aws_access_key_id=LOGIN["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=LOGIN["AWS_SECRET_ACCESS_KEY"],
            config=Config(proxies={}),
        )

    def put(self, name: str, text: str) -> str:
        """Store a secret, or a new version of it, and return the version's id."""
        client = self.client("secretsmanager")
        try:
            version: str = client.create_secret(Name=name, SecretString=text)["VersionId"]
        except client.exceptions.ResourceExistsException:
            version = client.put_secret_value(SecretId=name, SecretString=text)["VersionId"]
        return version

    def user(self, name: str, *, allowed: tuple[str, ...]) -> dict[str, str]:
        """Return the login, as variables, of a new user that may do these things and no others."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        statement = {"Effect": "Allow", "Action": list(allowed), "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="allowed", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    @contextmanager
    def enforcing(self) -> Iterator[None]:
        """Check logins and policies, which the server leaves out otherwise."""
        self._check_logins_from(0)
        try:
            yield
        finally:
            self._check_logins_from(float("inf"))

    def _check_logins_from(self, call: float) -> None:
        url = f"{self.address}/moto-api/reset-auth"
        plain = {"Content-Type": "text/plain"}
        request = urllib.request.Request(url, data=str(call).encode(), headers=plain)  # noqa: S310 - loopback
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()


@contextmanager
def running_aws() -> Iterator[Aws]:
    """Start a server in this process, and end it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with _versions_keep_their_time(), _reads_follow_the_label():
            yield Aws(f"http://{host}:{port}")
    finally:
        server.stop()
        assert server._server is not None
        server._server.server_close()


@contextmanager
def _versions_keep_their_time() -> Iterator[None]:
    """Mend the server: it lists each version as made just now, where AWS tells when it was stored."""
    listed = SecretsManagerBackend.list_secret_version_ids

    def list_secret_version_ids(self: SecretsManagerBackend, secret_id: str) -> str:
        answer = json.loads(listed(self, secret_id))
        for version in answer["Versions"]:
            version["CreatedDate"] = self.secrets[secret_id].versions[version["VersionId"]]["createdate"]
        return json.dumps(answer)

    SecretsManagerBackend.list_secret_version_ids = list_secret_version_ids  # type: ignore[method-assign]
    try:
        yield
    finally:
        SecretsManagerBackend.list_secret_version_ids = listed  # type: ignore[method-assign]


@contextmanager
def _reads_follow_the_label() -> Iterator[None]:
    """Mend the server: once AWSCURRENT was moved by hand, it goes on giving the version that had it before."""
    moved = SecretsManagerBackend.update_secret_version_stage

    def update_secret_version_stage(
        self: SecretsManagerBackend,
        secret_id: str,
        version_stage: str,
        remove_from_version_id: str,
        move_to_version_id: str,
    ) -> tuple[str, str]:
        answer = moved(self, secret_id, version_stage, remove_from_version_id, move_to_version_id)
        if version_stage == "AWSCURRENT":
            self.secrets[secret_id].default_version_id = move_to_version_id  # type: ignore[misc]  # not of a replica
        return answer

    SecretsManagerBackend.update_secret_version_stage = update_secret_version_stage  # type: ignore[method-assign]
    try:
        yield
    finally:
        SecretsManagerBackend.update_secret_version_stage = moved  # type: ignore[method-assign]


Prepared = tuple[int, Mapping[str, Any] | bytes]


class Answers:
    """
    Lets a client get prepared answers instead of the server's, and counts what it asks.

    Args:
        client: whose requests are answered.
        answers: status and body by operation, such as `{"GetSecretValue": (400, {"__type": "…"})}`,
            or several for one after the other, the last again and again; the server answers what is not in it.
    """

    def __init__(self, client: SecretsManagerClient, answers: Mapping[str, Prepared | list[Prepared]]) -> None:
        self.asked: list[str] = []
        self._answers = answers
        client.meta.events.register("before-send.secrets-manager", self._answer)  # type: ignore[arg-type]

    def _answer(self, request: Any, **_: object) -> AWSResponse | None:
        operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
        self.asked.append(operation)
        prepared = self._answers.get(operation)
        if isinstance(prepared, list):
            prepared = prepared[min(self.asked.count(operation), len(prepared)) - 1]
        if prepared is None:
            return None
        status, body = prepared
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers: Any = {"Content-Type": "application/x-amz-json-1.1"}
        return AWSResponse(request.url, status, headers, _Body(content))


class _Body:
    """The body of a prepared answer, as the library reads it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: object) -> Iterator[bytes]:
        """Yield all of it."""
        yield self._content
