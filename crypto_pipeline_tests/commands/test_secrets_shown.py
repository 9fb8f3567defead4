"""What is shown of a secret: other people's text made harmless, and what its age means."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console
from rich.text import Text

from crypto_pipeline.commands import secrets_shown as shown
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.redaction import MASK, Secret
from crypto_pipeline.secrets import ListedSecret

NOW = datetime(2026, 11, 24, 20, 30, 15, tzinfo=UTC)


def secret(**changes: object) -> ListedSecret:
    """Return a secret that is ten days old, but for these."""
    whole = {
        "name": "crypto-pipeline/okx", "store": "vault", "version": "3", "created_at": NOW - timedelta(days=10),
        "issuers": ("okx",),
    }  # fmt: skip
    return ListedSecret(**(whole | changes))  # type: ignore[arg-type]  # what a test wants


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("crypto-pipeline/okx", "crypto-pipeline/okx"),
        ("ünï 🔑", "ünï 🔑"),
        ("two\nlines\ttab", "two\\nlines\\ttab"),
        ("\x1b[2J\x07\x9b31m", "\\x1b[2J\\x07\\x9b31m"),
        ("right\u202eleft\u200b", "right\\u202eleft\\u200b"),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        ("[red]markup[/red] :smile:", "[red]markup[/red] :smile:"),
    ],
)
def test_what_a_terminal_would_act_on_is_written_out(text: str, expected: str) -> None:
    assert shown.printable(text) == expected
    assert shown.printable(text).isprintable()


def test_a_value_that_this_process_knows_is_masked() -> None:
    value = Secret("planted-value-5c11")

    assert shown.printable(f"it is {value.reveal()}") == f"it is {MASK}"
    assert shown.labels_of(secret(labels={value.reveal(): value.reveal()})) == {MASK: MASK}


def test_labels_are_in_order_and_masked_under_names_that_are_sensitive() -> None:
    """Somebody wrote a password where everybody reads it."""
    labels = {"b": "2", "a": "1", "db_password": "planted-in-a-label"}

    assert shown.labels_of(secret(labels=labels)) == {"a": "1", "b": "2", "db_password": MASK}


@pytest.mark.parametrize(
    ("changes", "state", "days"),
    [
        ({}, "fresh", 90),
        ({"created_at": NOW - timedelta(days=80)}, "due", 90),
        ({"created_at": NOW - timedelta(days=91)}, "overdue", 90),
        ({"created_at": NOW - timedelta(days=91), "issuers": ("huggingface",)}, "fresh", 180),
        ({"created_at": NOW - timedelta(days=91), "issuers": tuple(ISSUERS)}, "overdue", 90),
        ({"created_at": NOW - timedelta(days=91), "issuers": ()}, "overdue", 90),
        ({"created_at": None}, "unknown", 90),
        ({"created_at": NOW + timedelta(days=2)}, "unknown", 90),
        ({"version": "", "created_at": None}, "empty", 90),
        ({"deleted_at": NOW}, "deleted", 90),
        ({"deleted_at": NOW, "version": ""}, "deleted", 90),
    ],
)
def test_the_state_says_what_is_to_be_known(changes: dict[str, object], state: str, days: int) -> None:
    """As strict as the strictest of what it holds."""
    found = secret(**changes)

    assert (shown.state_of(found, NOW), shown.max_age_days(found)) == (state, days)
    assert shown.state_text(state).plain == state
    assert shown.facts_of(found, NOW)["state"] == state


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("3", "3"),
        ("", ""),
        ("0f3a91c2-5f54-46f7-aebd-f3c2d0f400f2", "0f3a91c2"),
        ("2026-11-24T23:40:05.123456+00:00", "2026-11-24T23:40:05…"),
        ("environment", "environment"),
        ("\x1b[2J", "\\x1b[2J"),
    ],
)
def test_a_version_is_as_short_as_it_can_still_be_told_apart(version: str, expected: str) -> None:
    assert shown.short(version) == expected


def test_times_are_in_utc_whoever_told_them() -> None:
    moment = datetime.fromisoformat("2026-11-25T05:25:30+09:00")

    assert (shown.iso(moment), shown.minute(moment), shown.day(moment)) == (
        "2026-11-24T20:25:30+00:00", "2026-11-24 20:25", "2026-11-24",
    )  # fmt: skip
    assert (shown.iso(None), shown.minute(None), shown.day(None)) == (None, "", "")


def test_whose_it_is() -> None:
    assert shown.whose(secret()) == "okx"
    assert shown.whose(secret(issuers=("okx", "bybit"))) == "okx, bybit"
    assert shown.whose(secret(issuers=tuple(ISSUERS))) == "any issuer"
    assert shown.whose(secret(issuers=())) == ""


@pytest.mark.parametrize(("number", "expected"), [(0, "0 lines"), (1, "1 line"), (1234, "1,234 lines")])
def test_what_is_counted_is_in_the_plural_where_it_has_to_be(number: int, expected: str) -> None:
    assert shown.counted(number, "line") == expected


def test_columns_are_as_wide_as_they_need_be() -> None:
    """However long, for no program reads half a line; nothing at the end of one."""
    out = io.StringIO()
    console = Console(file=out, width=20)

    shown.show_columns(console, ["name", "version"], [["a" * 40, "1"], ["[red]b[/red]", ""]])

    assert out.getvalue() == f"name{' ' * 36}  version\n{'a' * 40}  1\n[red]b[/red]{' ' * 28}  -\n"


def test_a_sentence_is_broken_on_a_terminal_only() -> None:
    plain, terminal = io.StringIO(), io.StringIO()
    words = "word " * 10

    shown.say(Console(file=plain, width=20), words.strip())
    shown.say(Console(file=terminal, width=20, force_terminal=True, color_system=None), words.strip())

    assert plain.getvalue().count("\n") == 1
    assert terminal.getvalue().count("\n") == 3


def test_a_table_takes_text_as_it_is() -> None:
    """No markup, no emoji; a cell that has its own looks keeps them."""
    out = io.StringIO()
    console = Console(file=out, width=60, force_terminal=True, color_system=None)

    console.print(shown.table_of(["secret", "age"], [["[red]x[/red] :smile:", Text("7 d")]], right=("age",)))

    assert "[red]x[/red] :smile:" in out.getvalue()
    assert "│ 7 d │" in out.getvalue()
