"""Which addresses a secret may come from, whatever the store."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from crypto_pipeline.errors import ConfigurationError
from crypto_pipeline.transport import is_loopback

_PLAIN = re.compile(r"[!-\[\]-~]+")
"""Printable, no space, no backslash: what two parsers of addresses do not read in two ways."""


def check_address(address: str, *, what: str) -> None:
    """
    Do nothing if secrets may travel to and from this address: TLS, or this machine.

    Args:
        address: the store's.
        what: how the message calls it, such as `The address of Vault`.

    Raises:
        ConfigurationError: they may not; the address is not shown, for it may hold a password.
    """
    if not _is_safe(address):
        msg = (
            f"{what} must be an https address, without user name, query or fragment; plain http is accepted on "
            "this machine only. Correct it; nothing was sent."
        )
        raise ConfigurationError(msg)


def _is_safe(address: str) -> bool:
    try:
        url = urlsplit(address)
        host, _ = url.hostname or "", url.port
    except ValueError:
        return False
    is_bare = _PLAIN.fullmatch(address) and "@" not in url.netloc and not (url.query or url.fragment)
    return bool(is_bare and host and (url.scheme == "https" or (url.scheme == "http" and is_loopback(host))))
