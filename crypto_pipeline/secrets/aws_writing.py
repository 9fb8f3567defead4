"""
New versions in AWS Secrets Manager.

A value is put there with the label AWSPENDING, which nobody reads by default, and then AWSCURRENT is
moved to it from the very version that was seen before: AWS refuses that if the label is elsewhere by
now. A process that dies in between leaves AWSCURRENT where it was. The next put, or rotation, takes
AWSPENDING away from what was left; a version without a label is out of use, and AWS removes it in time.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from crypto_pipeline.errors import (
    ConfigurationError,
    MalformedSecretError,
    SecretChangedError,
    SecretError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)
from crypto_pipeline.secrets import aws_errors
from crypto_pipeline.secrets.aws_region import AwsRegion
from crypto_pipeline.secrets.json_members import members_of, object_of
from crypto_pipeline.secrets.layout import Layout, parse_fields
from crypto_pipeline.secrets.writing import Placed, Seen, settle

MOST_BYTES: Final = 65_536
"""As much as AWS takes for a secret."""

Refused = ConfigurationError | SecretStoreUnavailableError


class AwsWriter:
    """
    Stores versions; see `SecretWriter`.

    Args:
        region: where secrets are stored.
        name_of: the secret that holds an issuer's credential.
        layout: how parts are named in it.
        new_version: a new name for a version; AWS takes 32 to 64 characters.
    """

    store: Final = "aws"

    def __init__(
        self,
        region: AwsRegion,
        *,
        name_of: Callable[[str], str],
        layout: Layout,
        new_version: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self.layout = layout
        self._region = region
        self._name_of = name_of
        self._new_version = new_version

    def name_of(self, issuer: str) -> str:
        """Return the name of the secret that holds the issuer's credential."""
        return self._name_of(issuer)

    def look(self, issuer: str) -> Seen:
        """
        Return what stands in the secret that holds, or is to hold, the issuer's credential.

        Raises:
            MalformedSecretError: it is no JSON object, and what is in it would be lost.
            SecretError: it waits for its deletion, this login may not read it, or AWS did not answer.
        """
        name, new_version = self._name_of(issuer), self._new_version()
        try:
            told = self._ask("DescribeSecret", name)
        except SecretNotFoundError:
            return Seen(name, "", new_version, exists=False)
        if told.get("DeletedDate"):
            raise aws_errors.deleted(name)
        stages = {stage: version for version, each in _stages(told).items() for stage in each}
        remark = _remark(stages)
        if "AWSCURRENT" not in stages:
            return Seen(name, "", new_version, exists=True, remark=remark)
        # The very version that is current here, so that value and version are of one moment.
        value = self._ask("GetSecretValue", name, VersionId=stages["AWSCURRENT"])
        created_at = value.get("CreatedDate")
        if value.get("VersionId") != stages["AWSCURRENT"] or not isinstance(created_at, datetime):
            raise aws_errors.not_aws(self._region.where)
        text = value.get("SecretString")
        if text is None or members_of(text) is None:
            raise _would_be_lost(name)
        return Seen(
            name=name,
            version=stages["AWSCURRENT"],
            next_version=new_version,
            exists=True,
            created_at=created_at.astimezone(UTC),
            fields=parse_fields(text, place=f"AWS secret '{name}'"),
            text=text,
            remark=remark,
        )

    def write(self, issuer: str, placed: Placed, seen: Seen) -> None:
        """
        Store a version and make it the current one, if the one that was seen still is that.

        Raises:
            SecretChangedError: it is not; what was stored is without a label, and out of use.
            SecretError: this login may not, or AWS did not answer.
            ConfigurationError: AWS does not take it.
        """
        text = _merged(seen.text, placed)
        if len(text.encode()) > MOST_BYTES:
            msg = (
                f"AWS secret '{seen.name}' would be longer than {MOST_BYTES} bytes, so nothing was stored. Shorten it."
            )
            raise ConfigurationError(msg)
        if not seen.exists:
            failure = self._tried(
                "CreateSecret", seen.name, Name=seen.name, SecretString=text, ClientRequestToken=seen.next_version
            )
        else:
            failure = self._put(text, seen)
        if failure is not None:
            self._settle(issuer, placed, seen, failure)
        if seen.exists:
            self._forget_pending(seen)

    def _put(self, text: str, seen: Seen) -> Refused | None:
        """Store the version and move AWSCURRENT to it; return what went wrong, if anything."""
        self._ask(
            "PutSecretValue",
            seen.name,
            SecretString=text,
            ClientRequestToken=seen.next_version,  # the library's own repetitions store one version
            VersionStages=["AWSPENDING"],
        )
        from_version = {"RemoveFromVersionId": seen.version} if seen.version else {}
        return self._tried(
            "UpdateSecretVersionStage",
            seen.name,
            SecretId=seen.name,
            VersionStage="AWSCURRENT",
            MoveToVersionId=seen.next_version,
            **from_version,
        )

    def _settle(self, issuer: str, placed: Placed, seen: Seen, failure: Refused) -> None:
        try:
            settle(lambda: self.look(issuer), placed, seen, failure)
        except SecretChangedError:
            if seen.exists:
                self._forget_pending(seen)
            raise

    def _forget_pending(self, seen: Seen) -> None:
        """Take AWSPENDING off our version; elsewhere it would look like a rotation that is not through."""
        try:
            self._ask(
                "UpdateSecretVersionStage",
                seen.name,
                VersionStage="AWSPENDING",
                RemoveFromVersionId=seen.next_version,
            )
        except (SecretError, ConfigurationError):
            return  # another one has it by now, or it stays: the next put takes it, and nobody reads it until then

    def _ask(self, operation: str, name: str, **parameters: Any) -> Mapping[str, Any]:
        return self._region.ask(operation, name, SecretId=name, **parameters)

    def _tried(self, operation: str, name: str, **parameters: Any) -> Refused | None:
        """Send one call; return its refusal if that may mean that somebody else was faster, or nothing at all."""
        try:
            self._region.ask(operation, name, **parameters)
        except (ConfigurationError, SecretStoreUnavailableError) as error:
            return error
        return None


def _stages(told: Mapping[str, Any]) -> Mapping[str, list[str]]:
    return told.get("VersionIdsToStages") or {}


def _remark(stages: Mapping[str, str]) -> str:
    """Return what has to be said of a label that is not where it should be."""
    pending = stages.get("AWSPENDING")
    if pending is None or pending == stages.get("AWSCURRENT"):
        return ""
    return (
        f"The label AWSPENDING was on version {pending}, left by a put or a rotation that did not come to its end; "
        "it was taken off there."
    )


def _would_be_lost(name: str) -> MalformedSecretError:
    return MalformedSecretError(
        f"AWS secret '{name}' is not a JSON object, and what is in it would be lost, so nothing was stored. "
        "See what it is, and put a JSON object in its place, such as {}."
    )


def _merged(text: str, placed: Placed) -> str:
    """Return the secret's text with our fields in it; all others stay as they are written."""
    members = members_of(text) or {}
    for name, value in placed.items():
        members.pop(name, None) if value is None else members.update({name: json.dumps(value.reveal())})
    return object_of(members)
