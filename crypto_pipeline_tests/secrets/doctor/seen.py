"""What a doctor saw, for the tests of all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from crypto_pipeline.audit import JsonLinesAuditLog
from crypto_pipeline.secrets.doctor.symptom import Doctor, Severity, Symptom
from crypto_pipeline_tests.support.search import hits


def record_in(folder: Path) -> JsonLinesAuditLog:
    """Return the record of one test."""
    return JsonLinesAuditLog(folder / "audit.jsonl")


def events_in(folder: Path) -> list[dict[str, object]]:
    """Return what was recorded."""
    file = folder / "audit.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


class Seen:
    """
    What one inspection brought.

    Args:
        doctor: who inspects.
    """

    def __init__(self, doctor: Doctor) -> None:
        self.symptoms = list(doctor.symptoms())

    def codes(self, severity: Severity) -> list[str]:
        """Return the codes of this severity, in their order."""
        return [each.code for each in self.symptoms if each.severity is severity]

    @property
    def problems(self) -> list[str]:
        """The codes of what does not work."""
        return self.codes(Severity.PROBLEM)

    @property
    def warnings(self) -> list[str]:
        """The codes of what should not be left as it is."""
        return self.codes(Severity.WARNING)

    def one(self, code: str) -> Symptom:
        """Return the one symptom with this code."""
        (found,) = [each for each in self.symptoms if each.code == code]
        return found


def assert_only(seen: Seen, code: str, severity: Severity) -> None:
    """Check that this was seen, with a remedy, and that nothing else is wrong: one cause is one symptom."""
    found = seen.one(code)
    assert found.severity is severity
    assert found.seen.endswith(".")
    assert found.remedy.endswith((".", ":"))
    assert bool(found.commands) or not found.remedy.endswith(":")
    others = [each.code for each in seen.symptoms if each.severity in {Severity.WARNING, Severity.PROBLEM}]
    assert others == ([code] if severity in {Severity.WARNING, Severity.PROBLEM} else [])


def assert_hidden(seen: Seen, folder: Path, secrets: Mapping[str, str]) -> None:
    """Check that no secret stands in what was said or recorded."""
    record = folder / "audit.jsonl"
    places = [("symptoms", repr(seen.symptoms).encode()), ("record", record.read_bytes() if record.exists() else b"")]
    assert hits(secrets, iter(places)) == []
