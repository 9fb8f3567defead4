"""
What the hosts of Binance have in common: how a key signs, and what their refusals mean (errors.md, "General Info").

What is asked of a host, and how often it may be, is in the client of each.
"""

from __future__ import annotations

import re
from abc import ABC
from typing import Any

from crypto_pipeline.credentials import Credentials, KeyReport
from crypto_pipeline.errors import CryptoPipelineError, ExchangeError
from crypto_pipeline.exchanges import rows
from crypto_pipeline.exchanges.answers import NO_CODE, code_of, decode, malformed, retry_after
from crypto_pipeline.exchanges.asking import Endpoint, Signed
from crypto_pipeline.exchanges.base import BaseClient
from crypto_pipeline.exchanges.permissions import judge_binance
from crypto_pipeline.exchanges.signing import binance_query
from crypto_pipeline.transport import Answer

RECV_WINDOW_MS = 5000
REJECTED = {
    "-2014": "its format is invalid",
    "-2015": "unknown or ended, or this address is not on its list, or it may not ask this",
    "-1022": "its signature does not match",
    "-1002": "not authorised",
}
UNAVAILABLE = frozenset({"-1000", "-1001", "-1004", "-1006", "-1007", "-1008", "-1016"})
TOO_MANY_REQUESTS = "-1003"
UNKNOWN_SYMBOL = "-1121"
_BANNED_UNTIL = re.compile(rb"banned until (\d{13})\b")


class BinanceHost(BaseClient, ABC):
    """One host of Binance."""

    def sign(self, endpoint: Endpoint, query: str, credentials: Credentials, *, now: float) -> Signed:
        """Sign with HMAC or Ed25519; the key goes into a header."""
        del endpoint  # the path is not signed
        signed = binance_query(
            query, credentials["api_secret"], timestamp_ms=int(now * 1000), recv_window_ms=RECV_WINDOW_MS
        )
        return Signed(signed, {"X-MBX-APIKEY": credentials["api_key"].reveal()})

    def refusal(self, answer: Answer, path: str) -> CryptoPipelineError | None:
        """Translate status and code (errors.md)."""
        if answer.status == 200:
            return self.unless_json(answer, path)
        code = code_of(answer.body, "code")
        # First the address: during a ban, -2015 has been seen for keys that are in order.
        return self._refused_address(answer, path, code) or self._refused_request(answer, path, code)

    def _refused_address(self, answer: Answer, path: str, code: str) -> ExchangeError | None:
        if answer.status == 418:
            return self.banned(answer, path, seconds=self._ban_seconds(answer))
        if answer.status == 429 or code == TOO_MANY_REQUESTS:
            return self.rate_limited(answer, path, default_seconds=60)
        if answer.status == 451:
            return self.region_blocked(answer, path)
        # The documents say of 403 only that it is the firewall, which gives no code.
        return self.forbidden(answer, path) if answer.status == 403 and code == NO_CODE else None

    def _refused_request(self, answer: Answer, path: str, code: str) -> CryptoPipelineError:
        if code == "-1021":
            return self.clock_refused(path, code)
        if code in REJECTED:
            return self.rejected(REJECTED[code], code)
        if answer.status >= 500 or answer.status == 408 or code in UNAVAILABLE:
            return self.unavailable(answer, path, "an error on its side or maintenance", code)
        return self.refused(answer, path, code)

    def _ban_seconds(self, answer: Answer) -> float | None:
        """Return how long a ban lasts: from the header, else from the text."""
        told = retry_after(answer.headers)
        found = _BANNED_UNTIL.search(answer.body)
        if told is not None or found is None:
            return told
        return min(max(0.0, int(found[1]) / 1000 - self.now()), 1e7)

    def judge(self, body: Any) -> KeyReport:
        """See `permissions.judge_binance`."""
        return judge_binance(body)


def parse_server_time(body: bytes, title: str, path: str) -> float:
    """Return the server's time in seconds."""
    value = decode(body, title, path)
    if not isinstance(value, dict):
        malformed(title, "its time is not an object")
    return rows.time_ms(value.get("serverTime"), title) / 1000
