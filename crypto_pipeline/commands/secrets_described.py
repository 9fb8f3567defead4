"""How `secrets describe` shows one secret to people: what it is, its versions, and what the record says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crypto_pipeline.audit.reading import Reader, SecretRecord, Writing
from crypto_pipeline.commands import secrets_shown as shown
from crypto_pipeline.rotation import Freshness, age_warning
from crypto_pipeline.secrets import ListedSecret
from crypto_pipeline.secrets.history import History, StoredVersion

MOST_READ: Final = 3
"""How many of the versions that somebody has read are shown, the last ones; --json tells them all."""

MOST_VERSIONS: Final = 10
"""How many versions are shown; AWS keeps a hundred, and --json tells them all."""


def show_description(
    console: Console, found: History, record: SecretRecord, rejected: Mapping[str, str], *, log: Path, now: datetime
) -> None:
    """
    Print all that is known of one secret.

    Args:
        console: where to.
        found: what the store tells.
        record: what the audit log says.
        rejected: who has rejected the version that is current, and when.
        log: the audit log.
        now: the time.
    """
    shown.say(console, f"{shown.printable(found.name)} in {shown.TITLES[found.secret.store]}", style="bold")
    _show_facts(console, [*_facts(found.secret, now), *_without_value(found), *_rejections(rejected)])
    if found.versions:
        console.print()
        _show_versions(console, found.versions, record)
    console.print()
    _show_readers(console, record.readers, log)
    for writing in record.unfinished.values():
        shown.say(console, _unfinished(writing))
    if record.unread_lines:
        lines = shown.counted(record.unread_lines, "line")
        shown.say(console, f"{lines} of the audit log could not be read, and may have said more.")


def _show_facts(console: Console, facts: Sequence[tuple[str, Text]]) -> None:
    if not console.is_terminal:
        for title, text in facts:
            shown.say(console, f"  {title:<14} {text.plain}")
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    for title, text in facts:
        grid.add_row(Text(f"  {title}"), text)
    console.print(grid)


def _facts(secret: ListedSecret, now: datetime) -> Iterator[tuple[str, Text]]:
    """Yield what is told of the secret itself, with a title for each."""
    yield "of", Text(_holder(secret))
    yield "version", Text(shown.printable(secret.version) or "none: it was never given a value")
    if secret.created_at:
        yield "stored", Text(f"{shown.minute(secret.created_at)} UTC, {shown.age_days(secret, now)} days ago")
    if secret.deleted_at:
        yield "deleted", Text(f"{shown.minute(secret.deleted_at)} UTC", style=shown.STYLES["deleted"])
    elif secret.version:
        yield "age", _age(secret, now)
    if secret.next_rotation_at:
        yield "next rotation", Text(shown.day(secret.next_rotation_at))
    if labels := shown.labels_of(secret):
        yield "labels", Text(shown.joined(labels))


def _holder(secret: ListedSecret) -> str:
    whose = shown.whose(secret)
    if not secret.issuers:
        return "no issuer this package knows"
    return (
        f"{whose}: the secret is shared, and who is in it cannot be told without reading it"
        if _shared(secret)
        else whose
    )


def _shared(secret: ListedSecret) -> bool:
    return len(secret.issuers) > 1


def _age(secret: ListedSecret, now: datetime) -> Text:
    """Return what the age means, in the words of the rotation policy."""
    freshness, most = shown.freshness_of(secret, now), shown.max_age_days(secret)
    warning = age_warning(shown.printable(secret.name), secret.created_at, now=now, max_age_days=most)
    style = shown.STYLES[freshness.value]
    if freshness is Freshness.FRESH or warning is None:
        return Text(f"{freshness.value}; {most} days are allowed", style=style)
    return Text(f"{freshness.value}: {warning}", style=style)


def _without_value(found: History) -> Iterator[tuple[str, Text]]:
    """Yield the stages that have been given out for a version that has not come."""
    versions = {each.version for each in found.versions}
    for stage, version in sorted(found.secret.stages.items()):
        if version not in versions:
            yield shown.printable(stage), Text(f"{shown.printable(version)}, which has no value")


def _rejections(rejected: Mapping[str, str]) -> Iterator[tuple[str, Text]]:
    for issuer, at in rejected.items():
        said = f"by {issuer} at {shown.printable(at)}: this version is not used again. Store another one."
        yield "rejected", Text(said, style="bold red")


# Versions...


def _show_versions(console: Console, versions: Sequence[StoredVersion], record: SecretRecord) -> None:
    some = versions[:MOST_VERSIONS]
    _show_rows(
        console,
        [_version_cells(each, record, shown.printable) for each in some],
        [_version_cells(each, record, shown.short) for each in some],
    )
    if len(versions) > len(some):
        older = shown.counted(len(versions) - len(some), "older version")
        shown.say(console, f"… and {older}; --json shows all.")


def _version_cells(version: StoredVersion, record: SecretRecord, named: Callable[[str], str]) -> dict[str, str]:
    stored = record.stored.get(version.version)
    return {
        "version": named(version.version),
        "stored": shown.minute(version.created_at),
        "state": ", ".join(_states(version)),
        "last read": shown.day(version.last_accessed_on),
        "stored by": shown.printable(stored.user or stored.accessor) if stored else "",
    }


def _states(version: StoredVersion) -> Iterator[str]:
    if version.stages:
        yield from map(shown.printable, version.stages)
    elif version.is_current:
        yield "current"
    if version.is_destroyed:
        yield "destroyed"
    elif version.is_gone:
        yield f"deleted {shown.day(version.deleted_at)}"
    elif version.deleted_at:
        yield f"will be deleted {shown.day(version.deleted_at)}"


# The record...


def _show_readers(console: Console, readers: Sequence[Reader], log: Path) -> None:
    if not readers:
        shown.say(console, f"Nobody has read it, as far as {log} says.")
        return
    shown.say(console, f"Read by, as {log} says:", style="bold")
    _show_rows(
        console,
        [_reader_cells(each, shown.printable, shown.minute) for each in readers],
        [_cut(_reader_cells(each, shown.short, shown.day), each) for each in readers],
    )


def _reader_cells(reader: Reader, named: Callable[[str], str], dated: Callable[[datetime], str]) -> dict[str, str]:
    accessor, asset = (shown.printable(each) for each in (reader.accessor, reader.asset))
    who = accessor.removeprefix("crypto_pipeline/")
    last = reader.versions[-MOST_READ:]
    failures = [f"{number} {shown.printable(kind)}" for kind, number in sorted(reader.failures.items())]
    return {
        "who": who if asset in {"", who} else f"{who} ({asset})",
        "read": f"{reader.reads:,}",
        "signed": f"{reader.signed_requests:,}" if reader.signed_requests else "",
        "first": dated(reader.first_at),
        "last": dated(reader.last_at),
        "versions": ", ".join([*(["…"] if len(reader.versions) > MOST_READ else []), *map(named, last)]),
        "failed": ", ".join(failures),
    }


def _cut(cells: Mapping[str, str], reader: Reader) -> dict[str, str]:
    """Return the cells of a reader for a narrow terminal."""
    failures = f"{reader.failures.total():,}" if reader.failures else ""
    return {**cells, "versions": cells["versions"].replace(", ", "\n"), "failed": failures}


def _unfinished(writing: Writing) -> str:
    version, user = shown.printable(writing.version), shown.printable(writing.user)
    return (
        f"Version {version} was about to be stored by {user} at {shown.minute(writing.at)} UTC, and the record does "
        "not say what became of it; the versions above do."
    )


def _show_rows(console: Console, rows: Sequence[Mapping[str, str]], cut: Sequence[Mapping[str, str]]) -> None:
    """
    Print rows, without the columns in which there is nothing: as a table on a terminal, as plain columns elsewhere.

    Args:
        console: where to.
        rows: the cells of each row by the title of their column.
        cut: the same for a terminal that is too narrow for these.
    """
    columns = [title for title in rows[0] if any(row[title] for row in rows)]
    cells, cut_cells = ([[row[title] for title in columns] for row in some] for some in (rows, cut))
    if not console.is_terminal:
        shown.show_columns(console, columns, cells)
        return
    table = shown.table_of(columns, cells, right=("read", "signed"))
    console.print(table if shown.fits(console, table) else shown.table_of(columns, cut_cells, right=("read", "signed")))
