"""Hugging Face Hub: an issuer of tokens without market data (Hub API "whoami-v2")."""

from __future__ import annotations

from typing import Any

from crypto_pipeline.credentials import Credentials, KeyReport
from crypto_pipeline.errors import CryptoPipelineError
from crypto_pipeline.exchanges import symbols
from crypto_pipeline.exchanges.asking import Endpoint, Signed
from crypto_pipeline.exchanges.base import BaseClient
from crypto_pipeline.exchanges.interface import Instrument
from crypto_pipeline.exchanges.pages import CandlePage
from crypto_pipeline.exchanges.permissions import judge_huggingface
from crypto_pipeline.transport import Answer, Budget, TokenBucket

PERMISSIONS = Endpoint("/api/whoami-v2")


class HuggingFaceClient(BaseClient):
    """The Hub, as far as a token can be asked about."""

    name = "huggingface"
    title = "Hugging Face"
    host = "huggingface.co"
    paths = (PERMISSIONS.path,)
    permission_endpoint = PERMISSIONS

    def build_budget(self) -> Budget:
        """One request a second: the Hub tells no limit for this question, and it is asked once."""
        return TokenBucket(1, 2, clock=self._monotonic, sleep=self._sleep)

    def sign(self, endpoint: Endpoint, query: str, credentials: Credentials, *, now: float) -> Signed:
        """Show the token; the Hub has no signatures."""
        del endpoint, now
        return Signed(query, {"Authorization": f"Bearer {credentials['token'].reveal()}"})

    def refusal(self, answer: Answer, path: str) -> CryptoPipelineError | None:
        """Translate the status."""
        status = answer.status
        if status == 200:
            return self.unless_json(answer, path)
        if status == 401:
            return self.rejected("unknown or ended", str(status))
        if status == 429:
            return self.rate_limited(answer, path, default_seconds=5)
        if status in {403, 451}:
            return self.forbidden(answer, path) if status == 403 else self.region_blocked(answer, path)
        if status >= 500:
            return self.unavailable(answer, path, "an error on its side or maintenance")
        return self.refused(answer, path, str(status))

    def judge(self, body: Any) -> KeyReport:
        """See `permissions.judge_huggingface`."""
        return judge_huggingface(body)

    def parse_time(self, body: bytes) -> float:  # pragma: no cover - it has no time endpoint, so nobody asks
        """Refuse: tokens carry no time."""
        raise AssertionError(body)

    async def read_instruments(self) -> list[Instrument]:
        """Return nothing: the Hub has no markets."""
        return []

    async def read_page(self, symbol: str, start_ms: int, end_ms: int) -> CandlePage:
        """Refuse: the Hub has no markets."""
        del start_ms, end_ms
        raise symbols.unknown(symbol, exchange=self.name, title=self.title)
