"""Free ports for servers that are started as processes."""

from __future__ import annotations

import random
import socket

BELOW_THE_SYSTEMS_OWN = range(15_000, 32_000)
"""The system hands out ports above these by itself, so that none is taken between looking and listening."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on at this moment."""
    for port in random.SystemRandom().sample(BELOW_THE_SYSTEMS_OWN, 50):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    msg = "fifty ports of this machine are all in use"
    raise AssertionError(msg)
