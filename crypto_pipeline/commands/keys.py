"""What `crypto-pipeline keys check` does: ask every issuer what the configured key may do."""

from __future__ import annotations

from datetime import datetime

from rich.console import Console
from rich.table import Table

from crypto_pipeline.access import Access
from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.credentials import KeyReport
from crypto_pipeline.errors import CryptoPipelineError
from crypto_pipeline.redaction import scrub
from crypto_pipeline.secrets import RejectedVersions
from crypto_pipeline.settings import PREFIX, Settings


async def show_keys(console: Console, *, now: datetime) -> int:
    """Print a verdict per key and return 0, or the exit code of the first that was not accepted."""
    settings = Settings.from_environment()
    if not settings.keys:
        console.print(f"No key is configured ({PREFIX}KEYS is empty): only public data is read, without a key.")
        return 0
    audit, source = JsonLinesAuditLog(settings.audit_log), settings.build_source()
    table = Table("issuer", "verdict", "may", "IP binding", "made", "stored version", header_style="bold")
    problems: list[CryptoPipelineError] = []
    for issuer in settings.keys:
        access = Access(issuer, source, audit, settings.base_url(issuer), limits=settings.limits)
        try:
            async with access.open(asset="keys_check") as client:
                report = await client.prove_key()
                version = client.credential.version if client.credential else ""
                if client.credential:
                    # A key that was rejected before, and whose list of addresses was mended, may be used again.
                    RejectedVersions(settings.rejected_keys).remove(client.credential)
        except CryptoPipelineError as error:
            problems.append(error)
            table.add_row(issuer, "[red]refused[/red]" if error.exit_code == 4 else "[red]not asked[/red]")
        else:
            table.add_row(issuer, "read-only", *_told(report, now), version)
        access.record_use()
    console.print(table)
    for problem in problems:
        console.print(scrub(str(problem)), highlight=False, markup=False)
    return problems[0].exit_code if problems else 0


def _told(report: KeyReport | None, now: datetime) -> tuple[str, str, str]:
    """Return what the issuer told, for one row of the table."""
    if report is None:  # pragma: no cover - a client that was given a key always reports on it
        return "", "", ""
    binding = {True: "bound", False: "not bound", None: "not told"}[report.ip_bound]
    age = f"{(now - report.created_at).days} days ago" if report.created_at else "not told"
    return ", ".join(report.may), ", ".join(report.addresses) or binding, age
