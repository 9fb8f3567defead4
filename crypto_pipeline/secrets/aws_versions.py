"""The versions of one secret in AWS Secrets Manager, and how its long answers are asked for page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from crypto_pipeline.secrets import aws_errors
from crypto_pipeline.secrets.aws_region import AwsRegion
from crypto_pipeline.secrets.history import History, StoredVersion
from crypto_pipeline.secrets.listing import ListedSecret

MOST_PAGES: Final = 20
"""A secret keeps at most some hundred versions, a page holds a hundred."""


def pages(region: AwsRegion, operation: str, name: str, **parameters: Any) -> Iterator[Mapping[str, Any]]:
    """Yield one page after the other; the library has no paginator for some of these operations."""
    token: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        page = region.ask(operation, name, **parameters, **token)
        yield page
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def utc(moment: datetime | None) -> datetime | None:
    """Return a time as the library gives it, in UTC."""
    return moment.astimezone(UTC) if moment else None


def read_history(region: AwsRegion, name: str, told_of: Callable[[Mapping[str, Any]], ListedSecret]) -> History:
    """
    Return what AWS tells of one secret: two calls.

    Args:
        region: where it is asked.
        name: the secret.
        told_of: makes a record of what a list of secrets tells of one.

    Raises:
        SecretError: it is not there, or AWS did not tell.
    """
    told = region.ask("DescribeSecret", name, SecretId=name)
    secret = told_of({"Name": name, **told, "SecretVersionsToStages": told.get("VersionIdsToStages", {})})
    parameters = {"SecretId": name, "IncludeDeprecated": True}
    found = [
        _version(each, secret.version, region)
        for page in pages(region, "ListSecretVersionIds", name, **parameters)
        for each in page["Versions"]
    ]
    newest_first = sorted(found, key=lambda each: (each.is_current, each.created_at), reverse=True)
    created_at = next((each.created_at for each in newest_first if each.is_current), None)
    return History(replace(secret, created_at=created_at), tuple(newest_first))


def _version(told: Mapping[str, Any], current: str, region: AwsRegion) -> StoredVersion:
    version, created_at = told.get("VersionId"), told.get("CreatedDate")
    if not isinstance(version, str) or not isinstance(created_at, datetime):
        raise aws_errors.not_aws(region.where)
    return StoredVersion(
        version=version,
        is_current=version == current,
        created_at=utc(created_at),
        stages=tuple(sorted(told.get("VersionStages", ()))),
        last_accessed_on=utc(told.get("LastAccessedDate")),
    )
