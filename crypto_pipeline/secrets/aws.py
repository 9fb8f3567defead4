"""
AWS Secrets Manager: one secret for all issuers, or one each, in one region or several.

The client is made in `aws_client`, asked in `aws_region`, and what its errors mean stands in
`aws_errors`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from crypto_pipeline.credentials import ISSUERS, CredentialDescription, Credentials
from crypto_pipeline.errors import (
    MalformedSecretError,
    SecretDeniedError,
    SecretError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.secrets import aws_errors
from crypto_pipeline.secrets.aws_client import build_client, silence_logs
from crypto_pipeline.secrets.aws_region import AwsRegion, AwsRegions, Known
from crypto_pipeline.secrets.aws_versions import pages, read_history, utc
from crypto_pipeline.secrets.aws_writing import AwsWriter
from crypto_pipeline.secrets.history import History
from crypto_pipeline.secrets.layout import OWN, SHARED, StoredSecret, parse_fields, parts_of, parts_wanted
from crypto_pipeline.secrets.listing import ListedSecret
from crypto_pipeline.secrets.memory import keep_to_this_process

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

T = TypeVar("T")

Stage = Literal["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"]

MOST_IN_A_BATCH: Final = 20


def open_aws(
    region: str | None = None,
    endpoint_url: str | None = None,
    profile: str | None = None,
    *,
    prefix: str = "crypto-pipeline",
    layout: Literal["combined", "separate"] = "combined",
    replica_regions: Iterable[str] = (),
    role_arn: str | None = None,
    run_id: str | None = None,
) -> AwsSource:
    """
    Return a source with clients of its own; nothing is sent before the first read.

    Args:
        region: see `build_client`.
        endpoint_url: another endpoint, of this region; replicas have their own.
        profile: see `build_client`.
        prefix: see `AwsSource`.
        layout: see `AwsSource`.
        replica_regions: where the secrets are replicated to, in the order in which they are asked.
        role_arn: a role to assume.
        run_id: the run on whose behalf AWS is asked.

    Raises:
        ConfigurationError: an argument or the login is not usable.
    """
    client = build_client(region, endpoint_url, profile, role_arn=role_arn, run_id=run_id)
    replicas = [build_client(each, None, profile, role_arn=role_arn, run_id=run_id) for each in replica_regions]
    return AwsSource(client, prefix=prefix, layout=layout, replicas=replicas)


class AwsSource:
    """
    Credentials in AWS Secrets Manager, as JSON.

    With the layout `combined`, one secret `<prefix>/exchange-keys` holds all of them
    (`binance_api_key`, …); with `separate` (better: one policy per issuer) there is a secret
    `<prefix>/<issuer>` each.

    A description tells of the secret only. Whether a combined secret holds a certain issuer's key
    cannot be known without reading it, so `describe` of an issuer that is not in it succeeds and
    `read` does not.

    A replica is asked only where the region itself is unavailable, never because of what that says.
    It may be behind. Where it has the version that the region had last, nothing is said of it;
    otherwise the version that is told says so: `<id> (replica eu-central-1)`, or
    `<id> (replica eu-central-1, behind <id>)` where a newer one was seen here.

    Args:
        client: from `build_client`, or another one for Secrets Manager.
        prefix: the path under which all secrets are named.
        layout: see above.
        stage: which version is meant. A rotation tests the pending one; nobody else wants another than the current.
        replicas: clients of the regions that hold copies, in the order in which they are asked.
        clock: seconds that only ever rise.

    Raises:
        ConfigurationError: a client's endpoint is plain http and not on this machine.
    """

    store: Final = "aws"

    def __init__(
        self,
        client: SecretsManagerClient,
        *,
        prefix: str = "crypto-pipeline",
        layout: Literal["combined", "separate"] = "combined",
        stage: Stage = "AWSCURRENT",
        replicas: Sequence[SecretsManagerClient] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        keep_to_this_process()
        silence_logs()  # the client may be somebody else's
        self._regions = AwsRegions(AwsRegion(client), [AwsRegion(each) for each in replicas], clock=clock)
        self._prefix = prefix.strip("/")
        self._is_combined = layout == "combined"
        self._stage = stage
        self._made: dict[tuple[str, str], datetime] = {}

    @property
    def calls(self) -> Mapping[str, int]:
        """How often each operation was sent to AWS, in all regions together."""
        return self._regions.calls

    @property
    def folder(self) -> str:
        """What the names of all secrets of ours begin with."""
        return f"{self._prefix}/"

    def name_of(self, issuer: str) -> str:
        """Return the name of the secret that holds the issuer's credential."""
        parts_wanted(issuer)
        return f"{self.folder}{'exchange-keys' if self._is_combined else issuer}"

    def describe(self, issuer: str) -> CredentialDescription:
        """
        Return name, version and time of the secret; `GetSecretValue` is not called.

        Raises:
            SecretError: the secret is not there, or AWS did not answer.
        """
        name = self.name_of(issuer)
        (_, created_at), version = self._regions.ask(name, self._version_at, lambda known: known)
        return CredentialDescription(issuer, name, self.store, version, created_at)

    def describe_all(self) -> list[ListedSecret]:
        """
        Return what AWS tells of each secret under the prefix: one call for a hundred of them.

        When a version was made costs one more call, once for each version. `GetSecretValue` is not called.

        Raises:
            SecretError: this login may not list secrets, or AWS did not answer.
        """
        listed = [
            self._listed(each)
            for page in pages(
                self._regions.first,
                "ListSecrets",
                self.folder,
                Filters=[{"Key": "name", "Values": [self.folder]}],
                IncludePlannedDeletion=True,
                MaxResults=100,
            )
            for each in page["SecretList"]
            if each["Name"].startswith(self.folder)
        ]
        return sorted(map(self._dated, listed), key=lambda each: each.name)

    def history(self, name: str) -> History:
        """
        Return what AWS tells of one secret and its versions; `GetSecretValue` is not called.

        Raises:
            SecretError: the secret is not there, or AWS did not answer.
        """
        return read_history(self._regions.first, name, self._listed)

    def writer(self) -> AwsWriter:
        """Return what stores new versions in the region itself, never in a copy of it."""
        return AwsWriter(self._regions.first, name_of=self.name_of, layout=SHARED if self._is_combined else OWN)

    def read(self, issuer: str) -> Credentials:
        """
        Return the issuer's credential, of the stage that is meant.

        Raises:
            SecretError: it is not there, not readable, or AWS did not answer.
        """
        return self._credentials(issuer, self.fetch(self.name_of(issuer)))

    def read_many(self, issuers: Iterable[str]) -> Mapping[str, Credentials | SecretError]:
        """
        Return the credentials of several issuers with as few calls as can be: one secret, or one batch for twenty.

        What cannot be had in a batch (the right to it, another stage than the current) is read one by one.

        Returns:
            for each issuer its credential, or what `read` would raise.
        """
        wanted = {issuer: self.name_of(issuer) for issuer in issuers}
        names = list(dict.fromkeys(wanted.values()))
        found: dict[str, StoredSecret | SecretError] = {}
        if len(names) > 1 and self._stage == "AWSCURRENT":
            for start in range(0, len(names), MOST_IN_A_BATCH):
                found |= self._batch(names[start : start + MOST_IN_A_BATCH])
        for name in names:
            if name not in found:
                found[name] = _outcome(lambda name=name: self.fetch(name))  # type: ignore[misc]  # bound now
        return {
            issuer: stored
            if isinstance(stored := found[name], SecretError)
            else _outcome(lambda issuer=issuer, stored=stored: self._credentials(issuer, stored))  # type: ignore[misc]
            for issuer, name in wanted.items()
        }

    def fetch(self, name: str) -> StoredSecret:
        """
        Return one secret, whatever it holds, as long as that is a JSON object.

        Raises:
            SecretError: it is not there, not readable, or AWS did not answer.
        """
        answer, version = self._regions.ask(name, self._value_at, _version_in)
        return _stored(name, answer, version)

    def _credentials(self, issuer: str, stored: StoredSecret) -> Credentials:
        layout = SHARED if self._is_combined else OWN
        parts = parts_of(issuer, stored.fields, layout=layout, place=_place(stored.name))
        return Credentials(
            CredentialDescription(issuer, stored.name, self.store, stored.version, stored.created_at), parts
        )

    def _listed(self, told: Mapping[str, Any]) -> ListedSecret:
        """Return what a list tells of one secret; it does not tell when the version was made."""
        name = told["Name"]
        stages = {stage: version for version, each in told.get("SecretVersionsToStages", {}).items() for stage in each}
        version = stages.get(self._stage, "")
        last = name.removeprefix(self.folder)
        shared = tuple(ISSUERS) if self._is_combined and last == "exchange-keys" else ()
        return ListedSecret(
            name=name,
            store=self.store,
            version=version,
            issuers=(last,) if not self._is_combined and last in ISSUERS else shared,
            stages=stages,
            next_rotation_at=utc(told.get("NextRotationDate")),
            deleted_at=utc(told.get("DeletedDate")),
            labels={tag["Key"]: tag.get("Value", "") for tag in told.get("Tags", ())},
        )

    def _dated(self, listed: ListedSecret) -> ListedSecret:
        is_there = listed.version and not listed.deleted_at
        return replace(listed, created_at=self._made_at(listed.name, listed.version)) if is_there else listed

    def _made_at(self, name: str, version: str) -> datetime | None:
        """Return when a version was made, which never changes; None if this login may not know."""
        if (name, version) not in self._made:
            try:
                known, made_at = self._listed_version(self._regions.first, name)
            except (SecretDeniedError, SecretNotFoundError):
                return None
            self._made[name, known] = made_at
        # None: it was rotated between the two questions.
        return self._made.get((name, version))

    # What is asked of one region...

    def _value_at(self, region: AwsRegion, name: str) -> Mapping[str, Any]:
        if self._stage == "AWSCURRENT":
            return _whole(region.ask("GetSecretValue", name, SecretId=name), region)
        try:
            return _whole(region.ask("GetSecretValue", name, SecretId=name, VersionStage=self._stage), region)
        except SecretNotFoundError:
            failure = aws_errors.without_value(name, self._stage)
        raise failure

    def _version_at(self, region: AwsRegion, name: str) -> Known:
        # The list of versions goes on answering for a secret that is marked for deletion.
        if region.ask("DescribeSecret", name, SecretId=name).get("DeletedDate"):
            raise aws_errors.deleted(name)
        return self._listed_version(region, name)

    def _listed_version(self, region: AwsRegion, name: str) -> Known:
        for page in pages(region, "ListSecretVersionIds", name, SecretId=name):
            for version in page["Versions"]:
                if self._stage in version.get("VersionStages", ()):
                    # When it was made, and not when anything was changed.
                    return _version_in(_whole(version, region))
        raise aws_errors.without_value(name, self._stage)

    def _batch(self, names: list[str]) -> dict[str, StoredSecret | SecretError]:
        """Return what one call gives: for some names a secret, for some an error; others are left out."""
        region = self._regions.first
        try:
            answer = region.ask("BatchGetSecretValue", self._prefix, SecretIdList=names)
        except (SecretDeniedError, SecretStoreUnavailableError):
            return {}
        found: dict[str, StoredSecret | SecretError] = {}
        for value in answer.get("SecretValues", ()):
            found[value["Name"]] = _outcome(lambda value=value: self._from_batch(region, value))  # type: ignore[misc]
        for error in answer.get("Errors", ()):
            name = str(error.get("SecretId"))
            meaning = aws_errors.meaning(str(error.get("ErrorCode")), str(error.get("Message")), name)
            # An outage is told by the read itself, which may ask a replica.
            if isinstance(meaning, SecretError) and not meaning.retryable:
                found[name] = meaning
        return {name: each for name, each in found.items() if name in names}

    def _from_batch(self, region: AwsRegion, value: Mapping[str, Any]) -> StoredSecret:
        name = value["Name"]
        version = _version_in(_whole(value, region))
        self._regions.saw(name, version)
        return _stored(name, value, version[0])


def _outcome(ask: Callable[[], T]) -> T | SecretError:
    """Return what is given, or the store's error: an outcome like any other where several are asked for."""
    try:
        return ask()
    except SecretError as error:
        return error


def _whole(answer: Mapping[str, Any], region: AwsRegion) -> Mapping[str, Any]:
    """Return an answer that tells its version."""
    if isinstance(answer.get("VersionId"), str) and isinstance(answer.get("CreatedDate"), datetime):
        return answer
    raise aws_errors.not_aws(region.where)


def _version_in(answer: Mapping[str, Any]) -> Known:
    return answer["VersionId"], answer["CreatedDate"].astimezone(UTC)


def _stored(name: str, answer: Mapping[str, Any], version: str) -> StoredSecret:
    text = answer.get("SecretString")
    if text is None:
        msg = f"{_place(name)} is binary. Store it as text: a JSON object with the credential's parts."
        raise MalformedSecretError(msg)
    return StoredSecret(name, version, _version_in(answer)[1], parse_fields(text, place=_place(name)))


def _place(name: str) -> str:
    return f"AWS secret '{name}'"
