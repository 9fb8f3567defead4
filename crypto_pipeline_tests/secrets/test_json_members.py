"""A JSON object is taken apart and put together without a change to what stands in it."""

from __future__ import annotations

import json

import pytest

from crypto_pipeline.secrets.json_members import members_of, object_of

WRITTEN = [
    "{}",
    " \n{ }\t",
    '{"a":1}',
    '{"a" : "b" , "c":[1, {"d": "}"}],"e":{"f":null} }',
    '{"quo\\"te": "back\\\\slash", "colon: ": ":", "brace}": "{", "comma,": ","}',
    '{"\\u20ac": "\\ud83d\\ude00", "lone": "\\ud800"}',
    '{"number": 1.10, "big": 123456789012345678901234567890, "small": 1e-400, "odd": NaN}',
    '{"": ""}',
]


@pytest.mark.parametrize("text", WRITTEN)
def test_members_are_those_that_a_parser_finds(text: str) -> None:
    members = members_of(text)

    assert members is not None
    assert repr({name: json.loads(written) for name, written in members.items()}) == repr(json.loads(text))
    assert all(written in text for written in members.values())


@pytest.mark.parametrize("text", WRITTEN)
def test_an_object_out_of_its_members_is_the_same(text: str) -> None:
    members = members_of(text)

    assert members is not None
    assert members_of(object_of(members)) == members


def test_of_two_members_with_one_name_the_last_one_counts() -> None:
    """As it does for every reader."""
    assert members_of('{"a": 1, "b": 2, "a": 3}') == {"a": "3", "b": "2"}


@pytest.mark.parametrize(
    "text", ["", " ", "null", "[]", '["a"]', '"{}"', "7", "{", '{"a"}', '{"a": }', "{'a': 1}", '{"a": 1} x', "[" * 9999]
)
def test_what_is_no_object_has_no_members(text: str) -> None:
    assert members_of(text) is None
