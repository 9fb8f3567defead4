"""
Secrets as plain dictionaries, for code that cannot take a `Secret`.

The import paths of the security handbook give these out, so they must. Every text in them is known to
the redactor first, and every read is on the record. New code uses `SecretSource` instead.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, Protocol, TypeVar

from crypto_pipeline.audit import AuditLog
from crypto_pipeline.errors import MalformedSecretError
from crypto_pipeline.redaction import Secret
from crypto_pipeline.secrets.audited import recorded
from crypto_pipeline.secrets.layout import StoredSecret

T = TypeVar("T")


class Fetching(Protocol):
    """A store that gives a whole secret by its name."""

    @property
    def store(self) -> str:
        """The kind of store."""
        ...

    def fetch(self, name: str, /) -> StoredSecret:
        """Return one secret."""
        ...


def fetch_plain(source: Fetching, name: str, *, audit: AuditLog, accessor: str) -> dict[str, Any]:
    """
    Return one secret's fields as plain values, on the record.

    Raises:
        AuditError: the read could not be recorded.
        SecretError: the store did not give it.
    """
    stored = recorded(
        lambda: source.fetch(name),
        lambda found: found,
        audit=audit,
        accessor=accessor,
        action="read",
        store=source.store,
        name=name,
    )
    return {key: uncovered(value) for key, value in stored.fields.items()}


def uncovered(value: object) -> Any:
    """Return `value` with every `Secret` in it as plain text; the other way round than `layout.covered`."""
    match value:
        case Secret():
            return value.reveal()
        case dict():
            return {key: uncovered(item) for key, item in value.items()}
        case list():
            return [uncovered(item) for item in value]
        case _:
            return value


def under_prefix(fields: Mapping[str, T], prefix: str) -> dict[str, T]:
    """Return the fields whose name begins with `prefix`, without it; the rest of the name stays as it is."""
    return {name.removeprefix(prefix): value for name, value in fields.items() if name.startswith(prefix)}


def export(fields: Mapping[str, object], environ: MutableMapping[str, str], *, name: str) -> list[str]:
    """
    Put each field into a variable of its name in upper case, unless there is one; return those that were set.

    Args:
        fields: the fields of a secret.
        environ: the variables.
        name: the secret's name, for the message.

    Raises:
        MalformedSecretError: a field cannot be a variable; then none is set.
    """
    odd = [key for key, value in fields.items() if not (key.isidentifier() and _fits(value))]
    if odd:
        msg = f"its field '{odd[0]}' cannot be an environment variable. Keep only texts with plain names in '{name}'."
        raise MalformedSecretError(msg)
    wanted = {key.upper(): str(value) for key, value in fields.items() if key.upper() not in environ}
    environ.update(wanted)
    return list(wanted)


def _fits(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value
