"""What `crypto-pipeline secrets doctor` does: inspect the configured store, and say what is wrong and what to do."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.text import Text

from crypto_pipeline.audit import AuditLog, JsonLinesAuditLog
from crypto_pipeline.audit.configuration import user_name
from crypto_pipeline.commands import secrets_shown as shown
from crypto_pipeline.credentials import CredentialDescription
from crypto_pipeline.errors import ConfigurationError, SecretError
from crypto_pipeline.rotation import Freshness, age_warning, judge, max_age_days_of
from crypto_pipeline.rotation.inventory import SECRET_TYPES
from crypto_pipeline.secrets import RejectedVersions
from crypto_pipeline.secrets.doctor.symptom import (
    LONGEST_SECONDS,
    Doctor,
    Severity,
    Symptom,
    note,
    problem,
    warning,
    within,
)
from crypto_pipeline.secrets.doctor.times import TICK_SECONDS, cache_symptoms, tick_symptom
from crypto_pipeline.secrets.vault_login import auth_of
from crypto_pipeline.settings import PREFIX, Settings

TICK_VARIABLE: Final = "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS"

_STYLES: Final[Mapping[Severity, str]] = {
    Severity.OK: "green",
    Severity.NOTE: "cyan",
    Severity.WARNING: "yellow",
    Severity.PROBLEM: "bold red",
}
_INDENT: Final = 11
"""Columns before what was seen: two, the longest severity, two."""


def show_doctor(console: Console, *, now: datetime, as_json: bool, seconds: float = LONGEST_SECONDS) -> int:
    """
    Print what is noticed as it is noticed; return 0, or 3 if something does not work.

    Args:
        console: where to.
        now: the time (aware).
        as_json: whether a program reads it; then all of it comes at the end.
        seconds: how long the whole inspection may take.
    """
    settings = Settings.from_environment()
    audit = JsonLinesAuditLog(settings.audit_log).bound(asset="secrets_doctor", user=user_name())
    symptoms = _inspected(settings, doctor_of(settings, audit), now=now, seconds=seconds)
    found = list(symptoms) if as_json else list(_shown(console, settings, symptoms))
    problems = sum(each.severity is Severity.PROBLEM for each in found)
    if as_json:
        shown.show_json(
            console, {"store": settings.secrets, "problems": problems, "symptoms": list(map(_facts, found))}
        )
    else:
        _show_end(console, found)
    return SecretError.exit_code if problems else 0


def _inspected(settings: Settings, doctor: Doctor | None, *, now: datetime, seconds: float) -> Iterator[Symptom]:
    """Yield what the store tells, and then what follows from that and from the settings."""
    if doctor is None:
        seen = f"No store is configured ({PREFIX}SECRETS is none): only public data is read."
        yield note("store", "no-store", seen)
        return
    yield from within(seconds, doctor.symptoms())
    if not settings.keys:
        seen = f"No key is in use ({PREFIX}KEYS is empty), so no secret was looked at."
        remedy = "Name the issuers whose keys are in the store."
        yield note("secrets", "no-key", seen, remedy, f"export {PREFIX}KEYS=okx")
    yield from _ages(doctor.described, now)
    yield from _rejected(doctor.described, settings)
    if settings.secrets in {"vault", "aws"}:
        yield from _times(doctor, settings)


def doctor_of(settings: Settings, audit: AuditLog) -> Doctor | None:
    """Return whoever inspects the configured store; None where none is configured."""
    # Each knows libraries that only its own users should pay for.
    match settings.secrets:
        case "vault":
            from crypto_pipeline.secrets.doctor.vault import VaultDoctor  # noqa: PLC0415

            return VaultDoctor(
                settings.vault_address,
                settings.keys,
                audit,
                auth=lambda: auth_of(
                    settings.vault_auth,
                    role=settings.vault_role,
                    jwt_file=settings.vault_jwt_file,
                    mount=settings.vault_auth_mount,
                ),
                mount=settings.vault_mount,
                prefix=settings.secret_prefix,
                namespace=settings.vault_namespace,
                ca_file=settings.vault_ca_file,
                client_certificate=settings.vault_client_certificate,
            )
        case "aws":
            from crypto_pipeline.secrets.doctor.aws import AwsDoctor  # noqa: PLC0415
            from crypto_pipeline.secrets.doctor.aws_probe import AwsConnections  # noqa: PLC0415

            return AwsDoctor(
                AwsConnections(
                    settings.aws_region,
                    settings.aws_endpoint_url,
                    settings.aws_profile,
                    role_arn=settings.aws_role_arn,
                ),
                settings.keys,
                audit,
                prefix=settings.secret_prefix,
                layout=settings.aws_layout,
                replica_regions=settings.aws_replica_regions,
            )
        case "none":
            return None
        case local:
            from crypto_pipeline.secrets.doctor import local as doctors  # noqa: PLC0415

            if local == "files":
                return doctors.FilesDoctor(settings.secrets_folder, settings.keys, audit)
            if local == "dotenv":
                return doctors.DotenvDoctor(settings.dotenv, settings.environment, settings.keys, audit)
            return doctors.EnvironmentDoctor(settings.environment, settings.keys, audit)


# What no store tells...


def _ages(described: Mapping[str, CredentialDescription], now: datetime) -> Iterator[Symptom]:
    """Yield which secrets are too old, or of unknown age; several issuers in one secret are told together."""
    alike: dict[tuple[Freshness, str], list[str]] = {}
    for issuer, found in described.items():
        days = max_age_days_of(SECRET_TYPES.get(issuer, "exchange_keys"))
        verdict = judge(found.created_at, now=now, max_age_days=days)
        said = age_warning(found.name, found.created_at, now=now, max_age_days=days)
        if found.created_at is None:
            said = "This store does not tell since when a value is there"
        if said:
            alike.setdefault((verdict, said.rstrip(".")), []).append(issuer)
    for (verdict, said), issuers in alike.items():
        code, seen = f"age-{verdict.value}", f"{said} ({', '.join(issuers)})."
        renew = tuple(f"crypto-pipeline secrets put {issuer}" for issuer in issuers)
        if verdict is not Freshness.UNKNOWN:
            remedy = "Make a new key at the issuer, store it, then withdraw the old one."
            yield warning("age", code, seen, remedy, *renew)
        elif said.startswith("This store"):
            yield note("age", code, seen, "Note down yourself when a key was made, or keep it in a store that knows.")
        else:
            yield warning("age", code, seen, "Correct the clock of this machine or of the store.")


def _rejected(described: Mapping[str, CredentialDescription], settings: Settings) -> Iterator[Symptom]:
    """Yield which of the current versions their issuers have rejected before."""
    memory = RejectedVersions(settings.rejected_keys)
    for issuer, found in described.items():
        if (at := memory.rejected_at(found)) is not None:
            yield problem(
                f"secret {issuer}",
                "version-rejected",
                f"{issuer} rejected version {found.version} of '{found.name}' at {at}; it is not asked with it again.",
                f"Store a new key; if only its list of addresses was wrong, mend that and let {issuer} be asked again.",
                f"crypto-pipeline secrets put {issuer}",
                "crypto-pipeline keys check",
            )


def _times(doctor: Doctor, settings: Settings) -> Iterator[Symptom]:
    """Yield what the times that are set and built in mean together."""
    yield from cache_symptoms(settings.cache_seconds, settings.stale_seconds)
    one_by_one = settings.secrets == "aws" and (doctor.questions or 1) > 1
    yield tick_symptom(
        settings.secrets,
        questions=len(settings.keys) if one_by_one else 1,
        regions=1 + len(settings.aws_replica_regions) if one_by_one else 1,
        limit=_tick_seconds(),
    )


def _tick_seconds() -> float:
    """Return how long Dagster waits for a tick here."""
    text = os.environ.get(TICK_VARIABLE, "")
    try:
        return float(text) if text else TICK_SECONDS
    except ValueError:
        msg = f"{TICK_VARIABLE} must be a number of seconds. Correct it."
        raise ConfigurationError(msg) from None


# How it is shown...


def _facts(symptom: Symptom) -> dict[str, object]:
    """Return a symptom for a program."""
    return {
        "about": shown.printable(symptom.about),
        "severity": symptom.severity.value,
        "code": symptom.code,
        "seen": shown.printable(symptom.seen),
        "remedy": shown.printable(symptom.remedy),
        "commands": list(map(shown.printable, symptom.commands)),
    }


def _shown(console: Console, settings: Settings, symptoms: Iterator[Symptom]) -> Iterator[Symptom]:
    """Print each symptom as it comes, those of one thing under its name, and pass it on."""
    title = shown.TITLES.get(settings.secrets, "No store")
    keys = f"keys in use: {', '.join(settings.keys)}" if settings.keys else "no key in use"
    shown.say(console, f"{title}; {keys}", style="bold")
    about = ""
    for symptom in symptoms:
        if symptom.about != about:
            about = symptom.about
            console.print(Text(shown.printable(about), style="bold"), highlight=False)
        _show(console, symptom)
        yield symptom


def _show(console: Console, symptom: Symptom) -> None:
    head = f"  {symptom.severity.value:<{_INDENT - 2}}"
    _say_below(console, shown.printable(symptom.seen), head, style=_STYLES[symptom.severity])
    if symptom.remedy:
        _say_below(console, shown.printable(symptom.remedy), f"{' ' * (_INDENT - 2)}→ ")
    for command in symptom.commands:
        # Whole, however long it is: it is there to be copied.
        line = Text(f"{' ' * (_INDENT + 2)}{shown.printable(command)}", style="dim")
        console.print(line, soft_wrap=True, highlight=False)


def _say_below(console: Console, text: str, head: str, *, style: str = "") -> None:
    """Print a sentence beside what stands before it, its further lines below its beginning."""
    lines = textwrap.wrap(text, max(console.width - len(head), 20), break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(lines):
        before = Text(head if number == 0 else " " * len(head), style=style)
        console.print(before.append(Text(line, style="none")), soft_wrap=True, highlight=False)


def _show_end(console: Console, found: list[Symptom]) -> None:
    """Print in one line what came out."""
    counts = {each: sum(symptom.severity is each for symptom in found) for each in Severity}
    told = [shown.counted(counts[each], each.value) for each in (Severity.PROBLEM, Severity.WARNING) if counts[each]]
    worst = Severity.PROBLEM if counts[Severity.PROBLEM] else Severity.WARNING if told else Severity.OK
    console.print()
    shown.say(console, f"{' and '.join(told)}." if told else "Nothing is wrong.", style=_STYLES[worst])
