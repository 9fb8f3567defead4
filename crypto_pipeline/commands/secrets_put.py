"""What `crypto-pipeline secrets put` does: take a credential in, store it as a new version, and say what comes next."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from crypto_pipeline.commands import secrets_shown as shown
from crypto_pipeline.commands.secrets_asked import take_in
from crypto_pipeline.commands.secrets_opened import open_store
from crypto_pipeline.credentials import ISSUERS
from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.secrets.writing import Stored, store_credential, writer_of
from crypto_pipeline.settings import PREFIX, Settings


def store_given(console: Console, issuer: str, stray: Sequence[str]) -> int:
    """
    Store what somebody gives as the issuer's credential, say what became of it, and return 0.

    Args:
        console: where to say it.
        issuer: whose credential.
        stray: what else stood on the command line.

    Raises:
        ConfigurationError: it cannot be stored here, or is no credential; says why, and shows nothing of it.
        SecretError: the store refused, did not answer, or was changed by somebody else meanwhile.
        AuditError: it could not be recorded.
    """
    _check_words(issuer, stray)
    opened = open_store("secrets_put")
    # First of all: nobody should type a key for a store that takes none.
    writer = writer_of(opened.source)
    stored = store_credential(writer, issuer, take_in(issuer), audit=opened.audit, accessor=opened.accessor)
    for line in _told(issuer, stored, opened.settings):
        shown.say(console, shown.printable(line))
    return 0


def _check_words(issuer: str, stray: Sequence[str]) -> None:
    """Refuse a command line with a value on it; no word of it is repeated, for any may be a key."""
    if stray:
        msg = (
            "Nothing was stored: values are not taken from the command line, where the shell's history and the list "
            "of processes show them. If one stood there, it is no secret any more: have another one issued. Run "
            "`crypto-pipeline secrets put ISSUER` and nothing more: it asks for the values, or reads them from a pipe."
        )
        raise ConfigurationError(msg)
    if issuer not in ISSUERS:
        msg = f"That is no issuer of credentials; known are {', '.join(ISSUERS)}."
        raise ConfigurationError(msg)


def _told(issuer: str, stored: Stored, settings: Settings) -> list[str]:
    """Return what became of it, and what comes next."""
    name = stored.name
    if not stored.is_new:
        since = f", stored {shown.minute(stored.created_at)} UTC," if stored.created_at else ""
        said = f"Nothing was stored: version {stored.version} of {name}{since} holds the very same values."
        return [f"{said} A new version of an old key would only make it look young."]
    before = f"; it was {stored.replaced}" if stored.replaced else "; it is the first one"
    lines = [f"Stored {name}: the current version is {stored.version}{before}."]
    if stored.kept:
        lines.append(f"{shown.counted(stored.kept, 'other field')} of the secret stayed as they were.")
    if stored.remark:
        lines.append(stored.remark)
    if issuer not in settings.keys:
        lines.append(f"Nothing uses it yet: {PREFIX}KEYS does not name {issuer}.")
    elif stored.replaced:
        lines.append(
            f"Processes that run now use the version before for up to {settings.cache_seconds:g} s more "
            f"({PREFIX}CACHE_SECONDS), so let the old key live that long."
        )
    return [*lines, "Prove it: crypto-pipeline keys check"]
