"""How a request is read, and whether its address is on a key's list."""

from __future__ import annotations

import pytest

from crypto_pipeline.sandbox.refusal import is_listed, parse_parameters, parse_whole


@pytest.mark.parametrize(
    ("address", "allowed", "listed"),
    [
        ("127.0.0.1", (), True),
        ("127.0.0.1", ("10.0.0.1", "127.0.0.0/8"), True),
        ("127.0.0.1", ("10.0.0.1",), False),
        ("::1", ("127.0.0.1",), False),
        ("not an address", ("127.0.0.1",), False),
    ],
)
def test_a_bound_key_works_from_its_addresses_only(address: str, allowed: tuple[str, ...], *, listed: bool) -> None:
    assert is_listed(address, allowed) is listed


def test_parameters_are_read_as_they_were_sent() -> None:
    """Empty ones are kept, and of one that is sent twice the first counts."""
    assert parse_parameters("a=1&b=&a=2&c=%2C") == {"a": "1", "b": "", "c": ","}
    assert [parse_whole(text) for text in ("7", "007", "-1", "1.0", "", "\u0667", "9" * 19)] == [7, 7] + [None] * 5
