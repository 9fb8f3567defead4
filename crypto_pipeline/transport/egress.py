"""
Where a request may go: hosts and paths, and nothing else.

The table is asked by `client.GuardedTransport` for every request, with the very URL that is about to be dialled.
Which hosts and paths stand in it is for each exchange to say.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import httpx

from crypto_pipeline.errors import ConfigurationError, EgressDeniedError

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""What may follow a prefix: no escape, no separator, no dot in front, so that no path leads elsewhere."""
_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class EgressRule:
    """
    One host, and the paths that may be asked of it.

    Fields:
        host: the name, in lower case.
        paths: exact paths; one that ends in `/` is a prefix, for segments of letters, digits, `.`, `_` and `-`.
        scheme: `https`; `http` is for loopback only.
        port: the port.
        methods: the HTTP methods.
    """

    host: str
    paths: tuple[str, ...]
    scheme: str = "https"
    port: int = 443
    methods: tuple[str, ...] = ("GET",)

    def __post_init__(self) -> None:
        if self.scheme != "https" and not (self.scheme == "http" and is_loopback(self.host)):
            msg = f"Only HTTPS may leave this machine, so {self.scheme}://{self.host} cannot be on the list."
            raise ConfigurationError(msg)

    def allows(self, method: str, scheme: str, host: str, port: int, path: str) -> bool:
        """Say whether this rule lets a request through."""
        place = (scheme, host, port) == (self.scheme, self.host, self.port)
        return place and method in self.methods and any(_matches(pattern, path) for pattern in self.paths)


class EgressTable:
    """All rules together: what none of them allows is denied."""

    def __init__(self, rules: Iterable[EgressRule]) -> None:
        self.rules = tuple(rules)

    def check(self, method: str, url: httpx.URL | str) -> None:
        """
        Do nothing if the request may leave.

        Raises:
            EgressDeniedError: no rule allows it; the query is not named.
        """
        target = httpx.URL(url)
        path = target.raw_path.partition(b"?")[0].decode("ascii", "replace")
        port = target.port or _DEFAULT_PORTS.get(target.scheme, 0)
        found = any(rule.allows(method, target.scheme, target.host, port, path) for rule in self.rules)
        if not found or target.userinfo:
            where = f"{target.host}:{port}" if port != _DEFAULT_PORTS.get(target.scheme) else target.host
            msg = (
                f"A {method} over {target.scheme} to {where}{path} is not on the list of places this package may ask, "
                "so it was not sent. Only the documented read-only paths of the exchanges are."
            )
            raise EgressDeniedError(msg)

    def rebased(self, base_url: str) -> EgressTable:
        """
        Return the same paths at another address, which must be on this machine.

        Raises:
            ConfigurationError: the address is not a loopback address.
        """
        scheme, host, port = parse_loopback(base_url)
        return EgressTable(replace(rule, scheme=scheme, host=host, port=port) for rule in self.rules)


def rules_for(host: str, paths: Iterable[str], *, base_url: str | None = None) -> tuple[str, EgressTable]:
    """
    Return the address of one exchange and the table that lets its paths through.

    Args:
        host: the exchange's host.
        paths: what may be asked of it; see `EgressRule`.
        base_url: a sandbox on this machine instead of the exchange.

    Raises:
        ConfigurationError: `base_url` is not a loopback address.
    """
    table = EgressTable([EgressRule(host, tuple(paths))])
    if base_url is None:
        return f"https://{host}", table
    return base_url.rstrip("/"), table.rebased(base_url)


def parse_loopback(base_url: str) -> tuple[str, str, int]:
    """
    Return scheme, host and port of an address on this machine.

    Raises:
        ConfigurationError: it is not one, or is more than scheme, host and port.
    """
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    is_bare = url.path in {"", "/"} and not (url.query or url.fragment or url.userinfo)
    if url.scheme not in _DEFAULT_PORTS or not is_bare or not is_loopback(url.host):
        msg = (
            f"An exchange's address can be replaced only by a sandbox on this machine, such as http://127.0.0.1:8080; "
            f"the address with host {url.host!r} is not one."
        )
        raise ConfigurationError(msg)
    return url.scheme, url.host, url.port or _DEFAULT_PORTS[url.scheme]


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine; of all names only `localhost` is."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _matches(listed: str, path: str) -> bool:
    if not listed.endswith("/"):
        return path == listed
    rest = path.removeprefix(listed)
    return rest != path and all(_SEGMENT.fullmatch(segment) for segment in rest.split("/"))
