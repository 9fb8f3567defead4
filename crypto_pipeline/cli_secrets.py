"""
The command line's group `secrets`: what a person asks of the store, without seeing a value.

The words and options only; what they do is in `commands`, and errors are told by `cli.main`.
Commands import what they need when they run, so that `--help` is quick.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click


@click.group()
def secrets() -> None:
    """The stored secrets: what is there, who reads it, what is wrong; values are never shown."""


@secrets.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs: all that is known, with times in ISO 8601.")
def secrets_list(as_json: bool) -> None:
    """
    Show all stored secrets: version, age, state.

    No value is read. Ends with code 3 if a key in use (CRYPTO_PIPELINE_KEYS) is not there.
    """
    from crypto_pipeline.commands.secrets_list import show_list  # noqa: PLC0415
    from crypto_pipeline.demo.report import open_console  # noqa: PLC0415

    sys.exit(show_list(open_console(), now=datetime.now(UTC), as_json=as_json))


@secrets.command("describe")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="For programs: all that is known, with times in ISO 8601.")
def secrets_describe(name: str, as_json: bool) -> None:
    """
    Show one secret: its versions, since when, and who has read it.

    NAME is an issuer, such as okx, or a name that `secrets list` shows, such as crypto-pipeline/okx. What the
    store does not tell, such as who has read it, comes from the audit log. No value is read.
    """
    from crypto_pipeline.commands.secrets_describe import show_secret  # noqa: PLC0415
    from crypto_pipeline.demo.report import open_console  # noqa: PLC0415

    sys.exit(show_secret(open_console(), name, now=datetime.now(UTC), as_json=as_json))


@secrets.command("put", context_settings={"ignore_unknown_options": True})
@click.argument("issuer")
@click.argument("stray", nargs=-1, type=click.UNPROCESSED, metavar="")
def secrets_put(issuer: str, stray: tuple[str, ...]) -> None:
    r"""
    Store a new version of an issuer's credential.

    Values are never taken from the command line. On a terminal each is asked for and not shown. From a pipe
    comes a JSON object of the fields, with the line breaks of a private key as \n; for an issuer with one
    field, the field alone will do.

    The old version stays in the store, and stays current if anything fails on the way.
    """
    from crypto_pipeline.commands.secrets_put import store_given  # noqa: PLC0415
    from crypto_pipeline.demo.report import open_console  # noqa: PLC0415

    sys.exit(store_given(open_console(), issuer, stray))


@secrets.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="For programs: each symptom with its code, remedy and commands.")
def secrets_doctor(as_json: bool) -> None:
    """
    Inspect the store, and say what is wrong and what to do.

    From the outside in: the server, the login, the place, the rights, each secret in use. No value is read, and it
    ends within a minute. Ends with code 3 if something does not work.
    """
    from crypto_pipeline.commands.secrets_doctor import show_doctor  # noqa: PLC0415
    from crypto_pipeline.demo.report import open_console  # noqa: PLC0415

    sys.exit(show_doctor(open_console(), now=datetime.now(UTC), as_json=as_json))


@secrets.command("plan")
@click.option("--runs-per-day", type=click.FloatRange(min=0), help="Of each scheduled job, instead of its schedule.")
@click.option("--json", "as_json", is_flag=True, help="For programs: all numbers, unrounded.")
def secrets_plan(runs_per_day: float | None, as_json: bool) -> None:
    """
    Say who will read what, how often, and what that costs.

    For the settings of the environment, before anything runs: no store is asked, and no login is needed.
    """
    from crypto_pipeline.commands.secrets_plan import show_plan  # noqa: PLC0415
    from crypto_pipeline.demo.report import open_console  # noqa: PLC0415

    sys.exit(show_plan(open_console(), as_json=as_json, runs_per_day=runs_per_day))
