"""
Everything that can go wrong here, as one tree.

Each message says what failed, which one, and what to do. No message holds a secret, a URL with
a query, or the body of an answer. `retryable` says whether the same call may succeed later
without a person's help; `exit_code` is what the command line returns.

    CryptoPipelineError                      exit  retryable
    ├── ConfigurationError                      2  no    a setting is wrong or insecure
    ├── SecretError                             3        the secret store
    │   ├── SecretNotFoundError                    no    the store answered: no such secret
    │   ├── SecretDeniedError                      no    the store answered: not for you
    │   ├── MalformedSecretError                   no    found, but not in the agreed layout
    │   ├── SecretChangedError                     no    somebody else stored a version meanwhile
    │   └── SecretStoreUnavailableError            yes   no answer, throttled, or a server error
    │       └── SecretStoreSealedError             yes   Vault is up but sealed
    ├── KeyRefusedError                         4        a key we will not use
    │   ├── ExcessPermissionsError                 no    it may do more than read
    │   ├── UnprovenKeyError                       no    nobody can say what it may do
    │   └── RejectedKeyError                       no    the exchange does not accept it
    ├── ExchangeError                           5        an exchange did not give what was asked
    │   ├── ExchangeUnavailableError               yes   unreachable, 5xx, cut off, maintenance
    │   ├── RateLimitedError                       yes   asked us to wait
    │   ├── BannedError                            no    banned this address for a time
    │   ├── RegionBlockedError                     no    does not serve this address's country
    │   ├── ClockSkewError                         no    this machine's clock is wrong
    │   ├── UnknownSymbolError                     no    it does not list that symbol
    │   ├── RequestRefusedError                    no    it refused the request as we built it
    │   └── MalformedAnswerError                   no    it answered in a shape its documents do not give
    ├── EgressDeniedError                       6  no    a request to a place that is not on the list
    ├── DataError                               7        data that must not be stored
    │   ├── InconsistentDataError                  no    a check failed
    │   └── ValueTooWideError                      no    a number does not fit the declared column
    ├── StorageError                            8        the lake
    │   ├── StorageFullError                       yes   no space left
    │   └── CorruptFileError                       no    a stored file cannot be read back
    └── AuditError                              9  yes   the record could not be written, so nothing was done
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar


class CryptoPipelineError(Exception):
    """The base of every error this package raises on purpose."""

    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1


class ConfigurationError(CryptoPipelineError):
    """A setting is missing, malformed or insecure."""

    exit_code: ClassVar[int] = 2


# The secret store...


class SecretError(CryptoPipelineError):
    """A secret store did not give what was asked."""

    exit_code: ClassVar[int] = 3


class SecretNotFoundError(SecretError):
    """The store answered that it has no such secret."""


class SecretDeniedError(SecretError):
    """The store answered that this identity may not read the secret."""


class MalformedSecretError(SecretError):
    """The secret was found, but is not in the layout this package reads."""


class SecretChangedError(SecretError):
    """Somebody else stored a version between our look and our write, so ours is not the current one."""


class SecretStoreUnavailableError(SecretError):
    """The store could not be reached, throttled us, or failed on its side."""

    retryable: ClassVar[bool] = True


class SecretStoreSealedError(SecretStoreUnavailableError):
    """Vault or OpenBao is running but sealed."""


# A key we will not use...


class KeyRefusedError(CryptoPipelineError):
    """A key was not used, because it is not proved to be read-only."""

    exit_code: ClassVar[int] = 4


class ExcessPermissionsError(KeyRefusedError):
    """The key may do more than read."""


class UnprovenKeyError(KeyRefusedError):
    """The issuer cannot, or did not, say what the key may do."""


class RejectedKeyError(KeyRefusedError):
    """
    The exchange does not accept the key: wrong, expired, revoked, or bound to other addresses.

    `is_dead` is false where the exchange itself says that it is only the address: then the same key
    may work again once its list is mended, or from elsewhere.
    """

    is_dead: bool = True


# An exchange did not give what was asked...


class ExchangeError(CryptoPipelineError):
    """
    An exchange did not give what was asked.

    Args:
        message: what failed, which one, what to do.
        exchange: the exchange's name, such as `binance`.
        endpoint: the path without query.
        status: the HTTP status, if there was an answer.
        code: the exchange's own error code, if it gave one.
        retry_after_seconds: how long the exchange asked us to wait, if it did.
    """

    exit_code: ClassVar[int] = 5

    def __init__(
        self,
        message: str,
        *,
        exchange: str = "",
        endpoint: str = "",
        status: int | None = None,
        code: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.exchange = exchange
        self.endpoint = endpoint
        self.status = status
        self.code = code
        self.retry_after_seconds = retry_after_seconds


class ExchangeUnavailableError(ExchangeError):
    """The exchange was unreachable, cut the connection, failed on its side, or is in maintenance."""

    retryable: ClassVar[bool] = True


class RateLimitedError(ExchangeError):
    """The exchange asked us to wait."""

    retryable: ClassVar[bool] = True


class BannedError(ExchangeError):
    """
    The exchange banned this address for a time; asking again makes it longer.

    `until` is the end of the ban where the exchange told it.
    """

    until: datetime | None = None


class RegionBlockedError(ExchangeError):
    """The exchange does not serve the country of this machine's address."""


class ClockSkewError(ExchangeError):
    """This machine's clock is too far from the exchange's."""


class UnknownSymbolError(ExchangeError):
    """The exchange does not list the symbol."""


class RequestRefusedError(ExchangeError):
    """The exchange refused the request as it was built."""


class MalformedAnswerError(ExchangeError):
    """The exchange answered in a shape its documents do not give."""


class EgressDeniedError(CryptoPipelineError):
    """A request was about to leave for a place, or in a way, that is not on the list."""

    exit_code: ClassVar[int] = 6


# Data and its store...


class DataError(CryptoPipelineError):
    """Data that must not be stored."""

    exit_code: ClassVar[int] = 7


class InconsistentDataError(DataError):
    """A check on the data failed."""


class ValueTooWideError(DataError):
    """A number does not fit the column that was declared for it."""


class StorageError(CryptoPipelineError):
    """The lake could not be read or written."""

    exit_code: ClassVar[int] = 8


class StorageFullError(StorageError):
    """There is no space left for the lake."""

    retryable: ClassVar[bool] = True


class CorruptFileError(StorageError):
    """A stored file cannot be read back."""


class AuditError(CryptoPipelineError):
    """The record could not be written, so the thing to be recorded was not done."""

    exit_code: ClassVar[int] = 9
    retryable: ClassVar[bool] = True
