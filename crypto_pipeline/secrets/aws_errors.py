"""
What the errors of the AWS library mean, in this package's words.

Nothing of an answer is repeated but its error code: messages of AWS name accounts and roles, and a
proxy's page may quote the request.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from crypto_pipeline.errors import (
    ConfigurationError,
    CryptoPipelineError,
    EgressDeniedError,
    SecretDeniedError,
    SecretNotFoundError,
    SecretStoreUnavailableError,
)

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_LOGIN_REFUSED: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
"""The identity itself is not accepted; a clock that is wrong shows as a signature that is."""

THROTTLED = re.compile(r"Throttl|TooManyRequests|LimitExceeded|SlowDown|PriorRequestNotComplete")
"""Codes of "too fast": they come with HTTP 400, so the status does not tell."""

_MARKED_DELETED = re.compile(r"marked.{0,12}delet", re.IGNORECASE)

_CODE = re.compile(r"[A-Za-z0-9.]{1,64}")


def refused(error: ClientError, name: str) -> CryptoPipelineError:
    """Return what an answer of AWS that is an error means for the secret `name`."""
    details = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return _meaning(error.operation_name, str(details.get("Code", "")), str(details.get("Message", "")), status, name)


def meaning(code: str, message: str, name: str) -> CryptoPipelineError:
    """Return what an error about one secret means that stands in an answer about several."""
    return _meaning("GetSecretValue", code, message, 500 if code.startswith("Internal") else 400, name)


def _meaning(operation: str, code: str, message: str, status: int, name: str) -> CryptoPipelineError:
    what = f"{operation} on '{name}' ({code if _CODE.fullmatch(code) else f'HTTP {status}'})"
    if code == "ResourceNotFoundException":
        return not_found(name)
    is_deleted = _MARKED_DELETED.search(message) is not None
    if code == "InvalidRequestException" and (is_deleted or operation not in _WRITING):
        return deleted(name) if is_deleted else without_value(name)
    if code == "DecryptionFailure":
        said = f"AWS could not decrypt '{name}': {operation} answered DecryptionFailure."
        return SecretDeniedError(f"{said} Allow this role kms:Decrypt on the key of the secret.")
    if THROTTLED.search(code) or status == 429:
        return SecretStoreUnavailableError(f"AWS is limiting requests: {what}. Wait, then run again.")
    if status < 400 or status >= 500:
        return SecretStoreUnavailableError(f"AWS Secrets Manager failed on its side: {what}. Run again.")
    return _refused_by_policy_or_rule(operation, code, what, status)


def _refused_by_policy_or_rule(operation: str, code: str, what: str, status: int) -> CryptoPipelineError:
    if code in _LOGIN_REFUSED:
        return SecretDeniedError(
            f"AWS denied {what}: it does not accept the login of this machine. Renew the login, and check the clock."
        )
    if status in {401, 403} or code.startswith("AccessDenied"):
        if operation not in _OPERATIONS:
            return SecretDeniedError(f"AWS denied {what}, a step of the login. Check the role and who may assume it.")
        return SecretDeniedError(
            f"AWS denied {what}. The policy of this role must allow secretsmanager:{operation} on it."
        )
    return ConfigurationError(f"AWS refused {what}. Check prefix, region and endpoint of the secrets.")


_WRITING: Final = frozenset({"CreateSecret", "PutSecretValue", "UpdateSecretVersionStage"})
_READING: Final = frozenset(
    {"BatchGetSecretValue", "DescribeSecret", "GetSecretValue", "ListSecretVersionIds", "ListSecrets"}
)
_OPERATIONS: Final = _READING | _WRITING
"""What is asked of the store; any other operation in an error is a step of the login, such as AssumeRole."""


def not_found(name: str) -> SecretNotFoundError:
    """Return the error for a secret that is not there."""
    return SecretNotFoundError(
        f"AWS Secrets Manager has no secret '{name}' in this region. Create it, or correct region, prefix and layout."
    )


def deleted(name: str) -> SecretNotFoundError:
    """Return the error for a secret that waits for its deletion."""
    return SecretNotFoundError(
        f"AWS secret '{name}' is marked for deletion. Restore it, or store the credential under another prefix."
    )


def without_value(name: str, stage: str = "AWSCURRENT") -> SecretNotFoundError:
    """Return the error for a secret without a version of this stage."""
    if stage == "AWSCURRENT":
        return SecretNotFoundError(f"AWS secret '{name}' has no current version. Store its value.")
    return SecretNotFoundError(
        f"There is no AWS secret '{name}', or no version of it with the label {stage}. "
        "A rotation sets that label: look how far it came."
    )


def unreachable(error: Exception, name: str, where: str) -> CryptoPipelineError:
    """
    Return what an error on the way to AWS, or on the way to a login, means.

    Args:
        error: one of botocore's own.
        name: the secret that was asked for.
        where: the address that was asked.
    """
    from botocore import exceptions  # noqa: PLC0415 - costs a fifth of a second, and only AWS users need it

    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        msg = f"The certificate of {where} does not verify, so '{name}' was not asked for. Check AWS_CA_BUNDLE."
        return EgressDeniedError(msg)
    on_the_way = exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError
    if isinstance(error, on_the_way) or type(error).__name__ == "ResponseParserError":
        msg = f"AWS Secrets Manager cannot be reached at {where}, or cut us off. Check the network, then run again."
        return SecretStoreUnavailableError(msg)
    return unusable(error)


def no_login_file(error: OSError) -> ConfigurationError:
    """Return the error for a login of the AWS chain that stands in a file, or comes from a program, and is gone."""
    return ConfigurationError(
        f"The login that the AWS chain names cannot be read ({error.strerror or type(error).__name__}). Correct "
        "AWS_WEB_IDENTITY_TOKEN_FILE, or the program or file that the profile names."
    )


def not_aws(where: str) -> SecretStoreUnavailableError:
    """Return the error for an answer that is not in the service's shape."""
    return SecretStoreUnavailableError(
        f"What answers at {where} is not AWS Secrets Manager, or its answer was cut. Check region and endpoint."
    )


_REMEDIES: Final = {
    "NoCredentialsError": "There is no login for AWS: give this machine a role, or set a profile.",
    "NoRegionError": "No region is set: set CRYPTO_PIPELINE_AWS_REGION or AWS_REGION.",
    "ProfileNotFound": "The profile does not exist: correct CRYPTO_PIPELINE_AWS_PROFILE or AWS_PROFILE.",
}


def unusable(error: Exception) -> ConfigurationError:
    """Return the error for an AWS configuration without which nothing can be asked."""
    return _unusable(type(error).__name__)


def no_login() -> ConfigurationError:
    """Return the error for a machine without a login."""
    return _unusable("NoCredentialsError")


def _unusable(kind: str) -> ConfigurationError:
    remedy = _REMEDIES.get(kind, "Check region, endpoint, profile and login.")
    return ConfigurationError(f"AWS Secrets Manager cannot be used ({kind}). {remedy}")
