"""
The command line's group `secrets`: what a person asks of the store, without seeing a value.

The words and options only; what they do is in `commands`, and errors are told by `cli.main`.
Commands import what they need when they run, so that `--help` is quick.
"""

from __future__ import annotations

import click


@click.group()
def secrets() -> None:
    """The stored secrets: what is there, who reads it, what is wrong; values are never shown."""
