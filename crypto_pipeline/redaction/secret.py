"""The one type in which a secret value travels through this package."""

from __future__ import annotations

import hmac
from typing import NoReturn

from crypto_pipeline.redaction.forms import MASK, bytes_of
from crypto_pipeline.redaction.redactor import REDACTOR


class Secret:
    """
    A text that is never shown.

    Printing, formatting and `repr` give a mask; pickling, writing into JSON and hashing raise;
    comparison takes constant time. `reveal` is the only way to the value, and is called only
    where a request is signed, a store is logged in to, or a credential is sent to be stored.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            msg = "A secret must be made from text."  # type: ignore[unreachable]  # for callers without a type checker
            raise TypeError(msg)
        self._value = value
        REDACTOR.register(value)

    def reveal(self) -> str:
        """Return the value."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(bytes_of(self._value), bytes_of(other._value))

    __hash__ = None  # type: ignore[assignment]  # a hash in a dict or a cache key would tell values apart

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return MASK

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        msg = "A Secret cannot be pickled: it would be written in the clear. Pass its name and read it again."
        raise TypeError(msg)

    def __getstate__(self) -> NoReturn:
        # Serialisers of another make ask for the state directly.
        self.__reduce_ex__(0)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "_value" and not hasattr(self, "_value"):
            object.__setattr__(self, name, value)
            return
        msg = "A Secret cannot be changed."
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> NoReturn:
        msg = "A Secret cannot be changed."
        raise AttributeError(msg)
