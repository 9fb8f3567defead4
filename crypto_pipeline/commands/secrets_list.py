"""What `crypto-pipeline secrets list` does: one look at all secrets, and at which of those in use are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import click
from rich.console import Console

from crypto_pipeline.commands import secrets_shown as shown
from crypto_pipeline.commands.secrets_opened import Opened, open_store
from crypto_pipeline.errors import MalformedSecretError, SecretDeniedError, SecretError, SecretNotFoundError
from crypto_pipeline.redaction import scrub
from crypto_pipeline.secrets import AuditedSource, ListedSecret, Listing
from crypto_pipeline.secrets.audited import recorded
from crypto_pipeline.secrets.listing import listed

_STATES: Mapping[type[SecretError], str] = {
    SecretNotFoundError: "missing",
    SecretDeniedError: "denied",
    MalformedSecretError: "malformed",
}
"""What is the matter with a secret in use that the store does not list; anything else ends the command."""


@dataclass(frozen=True, slots=True)
class _Folder:
    """What the record says of a listing: the folder. A line for each name in it would say no more, many times."""

    name: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class _Problem:
    """An issuer whose key is in use and cannot be had."""

    issuer: str
    name: str
    state: str
    said: str


def show_list(console: Console, *, now: datetime, as_json: bool) -> int:
    """Print what the store tells of all secrets; return 0, or 3 if one that is in use is not there."""
    opened = open_store("secrets_list")
    secrets = _listed(opened)
    secrets, problems = _with_those_in_use(opened, secrets)
    if as_json:
        told = {
            "store": opened.source.store,
            "folder": opened.folder,
            "told_at": shown.iso(now),
            "secrets": [shown.facts_of(each, now) for each in secrets],
            "problems": [
                {"issuer": each.issuer, "name": each.name, "state": each.state, "message": each.said}
                for each in problems
            ],
        }
        shown.show_json(console, told)
    elif console.is_terminal:
        _show_table(console, opened, secrets, problems, now)
        for problem in problems:
            shown.say(console, problem.said)
    else:
        shown.show_columns(console, _PLAIN_COLUMNS, _plain_rows(secrets, problems, now))
        for problem in problems:
            click.echo(problem.said, err=True)  # apart from what a program reads
    return SecretError.exit_code if problems else 0


def _listed(opened: Opened) -> list[ListedSecret]:
    """Return what the store tells with one sweep, on the record as one event."""
    source = opened.source
    if not isinstance(source, Listing):  # pragma: no cover - every store of ours lists; the type does not say so
        return []
    return recorded(
        source.describe_all,
        lambda _: _Folder(f"{opened.folder}*"),
        audit=opened.audit,
        accessor=opened.accessor,
        action="list",
        store=source.store,
        name=f"{opened.folder}*",
    )


def _with_those_in_use(opened: Opened, secrets: list[ListedSecret]) -> tuple[list[ListedSecret], list[_Problem]]:
    """Return the listing, and what is the matter with those in use that are not in it; each is asked for by itself."""
    there = {issuer for each in secrets if each.version and not each.deleted_at for issuer in each.issuers}
    source = AuditedSource(opened.source, opened.audit, accessor=opened.accessor)
    problems, more = [], []
    for issuer in opened.settings.keys:
        if issuer in there:
            continue
        try:
            more += listed([source.describe(issuer)])
        except (SecretNotFoundError, SecretDeniedError, MalformedSecretError) as error:
            name = opened.source.name_of(issuer)
            problems.append(_Problem(issuer, name, _STATES[type(error)], scrub(str(error))))
    return sorted([*secrets, *more], key=lambda each: each.name), sorted(problems, key=lambda each: each.name)


# For people...


def _show_table(
    console: Console, opened: Opened, secrets: Sequence[ListedSecret], problems: Sequence[_Problem], now: datetime
) -> None:
    """Print a table; what has no room in it follows below."""
    folder = opened.folder
    place = f", {shown.printable(folder)}" if folder else ""
    said = f"{shown.counted(len(secrets), 'secret')} at {shown.minute(now)} UTC"
    shown.say(console, f"{shown.TITLES[opened.source.store]}{place}: {said}", style="bold")
    more = {each.name: _more(each) for each in secrets}
    titles = list(dict.fromkeys(title for told in more.values() for title in told))
    known = {each.name for each in secrets}
    rows = [(each.name, _cells(each, folder, now)) for each in secrets]
    rows += [(each.name, _cells_of_missing(each, folder)) for each in problems if each.name not in known]
    rows.sort(key=lambda row: row[0])
    columns = ["secret", "of", "version", "stored", "age", "state"]
    wide = [[*cells, *(more.get(name, {}).get(title, "") for title in titles)] for name, cells in rows]
    table = shown.table_of([*columns, *titles], wide, right=("age",))
    if not secrets and not problems:
        shown.say(console, "There is none.")
    elif shown.fits(console, table):
        console.print(table)
    else:
        console.print(shown.table_of(columns, [cells for _, cells in rows], right=("age",)))
        for name, told in more.items():
            if told:
                said = "; ".join(f"{title} {text}" for title, text in told.items())
                shown.say(console, f"{_short_name(name, folder)}: {said}")


def _cells(secret: ListedSecret, folder: str, now: datetime) -> list[shown.Cell]:
    age = shown.age_days(secret, now)
    return [
        _short_name(secret.name, folder),
        shown.whose(secret),
        shown.short(secret.version),
        shown.day(secret.created_at),
        "" if age is None else f"{age} d",
        shown.state_text(shown.state_of(secret, now)),
    ]


def _cells_of_missing(problem: _Problem, folder: str) -> list[shown.Cell]:
    return [_short_name(problem.name, folder), problem.issuer, "", "", "", shown.state_text(problem.state)]


def _more(secret: ListedSecret) -> dict[str, str]:
    """Return what only some stores tell, by its title; what is empty is left out."""
    others = {
        shown.printable(stage): shown.short(version)
        for stage, version in sorted(secret.stages.items())
        if stage != "AWSCURRENT"
    }
    told = {
        "deleted": shown.day(secret.deleted_at),
        "other stages": shown.joined(others, between=" "),
        "next rotation": shown.day(secret.next_rotation_at),
        "labels": shown.joined(shown.labels_of(secret)),
    }
    return {title: text for title, text in told.items() if text}


def _short_name(name: str, folder: str) -> str:
    return shown.printable(name.removeprefix(folder))


# For programs that read columns...

_PLAIN_COLUMNS = (
    "name", "issuers", "version", "stored", "age_days", "state", "stages", "next_rotation", "deleted", "labels",
)  # fmt: skip


def _plain_rows(secrets: Sequence[ListedSecret], problems: Sequence[_Problem], now: datetime) -> list[list[str]]:
    known = {each.name for each in secrets}
    rows = [_plain_row(each, now) for each in secrets]
    rows += [
        [shown.printable(each.name), each.issuer, "", "", "", each.state, "", "", "", ""]
        for each in problems
        if each.name not in known
    ]
    return sorted(rows)


def _plain_row(secret: ListedSecret, now: datetime) -> list[str]:
    age = shown.age_days(secret, now)
    stages = {shown.printable(stage): shown.printable(version) for stage, version in sorted(secret.stages.items())}
    return [
        shown.printable(secret.name),
        ",".join(secret.issuers),
        shown.printable(secret.version),
        shown.iso(secret.created_at) or "",
        "" if age is None else str(age),
        shown.state_of(secret, now),
        ",".join(f"{stage}={version}" for stage, version in stages.items()),
        shown.iso(secret.next_rotation_at) or "",
        shown.iso(secret.deleted_at) or "",
        shown.joined(shown.labels_of(secret)),
    ]
