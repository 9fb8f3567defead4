"""What it means that AWS does not accept a login, by the code of its error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from crypto_pipeline.secrets.doctor.aws_probe import AwsReply
from crypto_pipeline.secrets.doctor.symptom import Severity, Symptom, problem

_RENEW: Final = "Renew the login."
_MEANINGS: Final[Mapping[str, tuple[str, str, str]]] = {
    code: meaning
    for codes, meaning in (
        (
            ("ExpiredToken", "ExpiredTokenException", "RequestExpired"),
            ("login-ended", "The session has ended", _RENEW),
        ),
        (
            ("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"),
            (
                "login-unknown-key",
                "AWS knows no such access key, or its session token is not the one that belongs to it",
                "Check that key, secret and token come from one place, and that the key was not deactivated.",
            ),
        ),
        (
            (
                "IncompleteSignature",
                "IncompleteSignatureException",
                "InvalidSignatureException",
                "SignatureDoesNotMatch",
            ),
            (
                "login-wrong-signature",
                "AWS knows the access key, and the secret that belongs to it is another one",
                "Set the secret access key again; it may be cut, or that of another key.",
            ),
        ),
        (
            ("RequestTimeTooSkewed",),
            ("clock-skew", "AWS finds this machine's clock too far off", "Let it follow a time server."),
        ),
    )
    for code in codes
}


def is_login_refusal(reply: AwsReply, operation: str) -> bool:
    """Tell whether the answer to a question says that the login is not accepted, or could not be made."""
    return reply.code in _MEANINGS or reply.operation != operation


def refused_login(reply: AwsReply) -> Symptom:
    """Return why a login is not accepted, as far as AWS tells: a clock that is wrong shows as a signature that is."""
    if reply.clock.severity is Severity.PROBLEM:
        return reply.clock
    code, seen, remedy = _MEANINGS.get(
        reply.code, ("login-refused", f"AWS refused {reply.operation} with this login", _RENEW)
    )
    about = "clock" if code == "clock-skew" else "login"
    return problem(about, code, f"{seen} ({reply.code}).", remedy, "aws sts get-caller-identity")
