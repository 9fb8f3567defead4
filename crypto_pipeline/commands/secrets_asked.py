"""
How a credential comes in: hidden at a terminal, or through the standard input; never on the command line.

What it must look like is decided in `crypto_pipeline.secrets.given`.
"""

from __future__ import annotations

import os
import select
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import click

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets.given import (
    MOST_BYTES,
    Given,
    check_given,
    fault_of,
    is_first_line_of_pem,
    parse_given,
    taken,
)
from crypto_pipeline.secrets.layout import parts_wanted

TYPED: Final = frozenset({"passphrase"})
"""Parts that people make up and type. All others are pasted, and pasting them twice would prove nothing."""

_QUIET_SECONDS: Final = 1.0
"""How long nothing more must come of a paste before it counts as over."""

HOW_TO_PIPE: Final = (
    """python3 -c 'import json; """
    """print(json.dumps({"api_key": open("name.txt").read().strip(), "api_secret": open("key.pem").read()}))'"""
)
"""Makes the JSON object of a private key of several lines out of files, without a value on a command line."""


def take_in(issuer: str) -> dict[str, Secret]:
    """
    Return a credential of the issuer, as somebody gives it.

    Raises:
        ConfigurationError: it is no usable credential; names fields, never what is in them.
    """
    return _asked_for(issuer) if sys.stdin.isatty() else parse_given(issuer, _piped())


def _piped() -> str:
    content = sys.stdin.buffer.read(4 * MOST_BYTES + 1)
    if len(content) > 4 * MOST_BYTES:
        msg = "Nothing was stored: what came in on the standard input is far too long for a credential."
        raise ConfigurationError(msg)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = None
    if text is None:  # raised out here: the decoder's error holds the whole input
        msg = "Nothing was stored: what came in on the standard input is not UTF-8 text."
        raise ConfigurationError(msg)
    return text


def _asked_for(issuer: str) -> dict[str, Secret]:
    """Return what a person types or pastes; nothing of it is shown, nor left to the shell that comes after us."""
    with _echo_off() as terminal:
        parts = {name: _asked_for_part(issuer, name, terminal) for name in parts_wanted(issuer).names}
    return check_given(issuer, parts)


def _asked_for_part(issuer: str, name: str, terminal: int) -> Secret:
    while True:
        given = _hidden(f"{issuer} {name}")
        if is_first_line_of_pem(given):
            _refuse_paste(issuer, terminal)
        fault = fault_of(given)
        if not fault and name in TYPED and _hidden(f"{issuer} {name}, again") != given:
            fault = "was not the same the second time"
        if not fault and isinstance(given, Secret):
            return given
        click.echo(f"The {name} {fault}. Give it once more, or stop with Ctrl-C.", err=True)


def _hidden(text: str) -> Given:
    return taken(click.prompt(text, hide_input=True, err=True))


def _refuse_paste(issuer: str, terminal: int) -> NoReturn:
    """Take in the rest of a private key that was pasted: the shell would run its lines, and remember them."""
    while select.select([terminal], [], [], _QUIET_SECONDS)[0]:
        os.read(terminal, MOST_BYTES)
    msg = (
        "Nothing was stored: a private key of several lines cannot be given at a prompt, which ends with the first. "
        f"Put it into a JSON object and pipe that, such as: {HOW_TO_PIPE} | crypto-pipeline secrets put {issuer}"
    )
    raise ConfigurationError(msg)


@contextmanager
def _echo_off() -> Iterator[int]:
    """Give the terminal, which shows nothing of what is typed, also between two prompts; forget what nobody read."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    quiet = termios.tcgetattr(terminal)
    quiet[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, quiet)
    try:
        yield terminal
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
