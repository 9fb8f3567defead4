"""The simulated Hugging Face Hub, as far as a token can be asked about: GET /api/whoami-v2."""

from __future__ import annotations

from datetime import UTC, datetime

from crypto_pipeline.sandbox.interface import Answer, Request, json_answer
from crypto_pipeline.sandbox.keys import KeyKind, KeyRing, SimulatedKey

WRITING = frozenset({KeyKind.MAY_TRADE, KeyKind.MAY_WITHDRAW, KeyKind.MAY_TRANSFER})


class HuggingFaceHub:
    """The Hub as seen from outside."""

    name = "huggingface"

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def handle(self, request: Request) -> Answer:
        """Answer one request."""
        if request.path != "/api/whoami-v2":
            return json_answer(404, {"error": "Not Found"})
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        key = self._keys.find("huggingface", token) if scheme == "Bearer" else None
        if key is None or key.is_over(request.now_ms):
            return json_answer(401, {"error": "Invalid credentials in Authorization header"})
        return json_answer(200, _whoami(key))

    def rate_answer(self, request: Request, fault: str) -> Answer:  # noqa: ARG002 - part of the interface
        """Answer with the Hub's form of a fault."""
        status, said, headers = {
            "rate_limited": (429, "Too Many Requests", {"retry-after": "3"}),
            "banned": (403, "Forbidden", {}),
            "region_blocked": (451, "Unavailable For Legal Reasons", {}),
            "maintenance": (503, "Service Unavailable", {}),
            "unavailable": (500, "Internal Server Error", {}),
        }[fault]
        return json_answer(status, {"error": said}, headers)


def _whoami(key: SimulatedKey) -> dict[str, object]:
    created = datetime.fromtimestamp(key.created_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    token: dict[str, object] = {"displayName": key.label, "role": "read", "createdAt": created}
    if key.kind in WRITING:
        token["role"] = "write"
    elif key.kind is KeyKind.UNKNOWN_FLAG:
        scope = {"entity": {"type": "user", "name": "reader"}, "permissions": ["repo.content.read", "repo.write"]}
        token |= {"role": "fineGrained", "fineGrained": {"global": [], "scoped": [scope]}}
    elif key.kind is KeyKind.FLAG_MISSING:
        del token["role"]
    return {
        "type": "user",
        "id": "0123456789abcdef01234567",
        "name": "reader",
        "fullname": "A Reader",
        "isPro": False,
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": token},
    }
