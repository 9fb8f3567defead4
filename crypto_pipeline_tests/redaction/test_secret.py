"""A secret cannot be shown by accident."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pprint
import string
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from crypto_pipeline.redaction import (
    MASK,
    Secret,
    scrub,
)
from crypto_pipeline_tests.redaction.values import AWKWARD, VALUE


class Holder(BaseModel):
    """A model with a secret in it."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    key: Secret


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        ascii,
        format,
        pprint.pformat,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r:>80}",
        lambda secret: f"{secret:>80}",
        lambda secret: f"{secret=}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - what logging does
        lambda secret: string.Template("$key").substitute(key=secret),
        lambda secret: str([secret, (secret,), {"key": secret}]),
        lambda secret: str(ValueError("wrong key", secret)),
        lambda secret: str(Holder(key=secret)) + repr(Holder(key=secret)) + str(Holder(key=secret).model_dump()),
        lambda secret: json.dumps({"key": secret}, default=str),
        lambda secret: logging.LogRecord("x", 20, "", 1, "key %s", (secret,), None).getMessage(),
    ],
)
def test_a_secret_shows_a_mask_however_it_is_written(show: Callable[[Secret], str]) -> None:
    shown = show(Secret(VALUE))

    assert MASK in shown
    assert VALUE not in shown


@pytest.mark.parametrize(
    "write",
    [
        pickle.dumps,
        lambda secret: pickle.dumps(secret, protocol=0),
        lambda secret: pickle.dumps({"deep": [secret]}),
        lambda secret: secret.__reduce__(),
        lambda secret: secret.__getstate__(),
        json.dumps,
        lambda secret: Holder(key=secret).model_dump_json(),
        vars,
        hash,
        lambda secret: {secret},
        bytes,
        list,
        len,
        lambda secret: secret + "",
        lambda secret: "".join([secret]),
        lambda secret: VALUE[:3] in secret,
        lambda secret: secret[0],
    ],
)
def test_what_would_write_or_take_a_secret_apart_raises(write: Callable[[Any], object]) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        write(Secret(VALUE))

    assert VALUE not in str(caught.value)


def test_a_copy_of_a_secret_is_the_secret() -> None:
    """Records that hold one can be copied and turned into dicts, and still hold a secret."""

    @dataclass
    class Record:
        key: Secret

    secret = Secret(VALUE)

    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret
    assert asdict(Record(secret))["key"] is secret


def test_a_secret_cannot_be_changed() -> None:
    secret = Secret(VALUE)

    with pytest.raises(AttributeError, match="cannot be changed"):
        secret._value = "other"
    with pytest.raises(AttributeError, match="cannot be changed"):
        secret.more = "other"
    with pytest.raises(AttributeError, match="cannot be changed"):
        del secret._value
    assert secret.reveal() == VALUE


def test_secrets_compare_by_value_and_with_secrets_only() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret(VALUE[::-1])
    assert Secret(AWKWARD) == Secret(AWKWARD)
    assert Secret(VALUE) != VALUE
    assert not Secret("")
    assert Secret(VALUE)


@pytest.mark.parametrize("value", [b"bytes", 123456, None, ["x"]])
def test_a_secret_is_made_from_text_only(value: object) -> None:
    with pytest.raises(TypeError, match="made from text"):
        Secret(value)  # type: ignore[arg-type]


def test_the_bytes_of_an_environment_variable_that_are_no_text_make_a_secret() -> None:
    """Python hands them out as lone surrogates; they must neither crash nor leak."""
    value = "surrogate-\udcff-escaped-value"

    secret = Secret(value)

    assert secret == Secret(value)
    assert scrub(f"<{value}>") == f"<{MASK}>"


def test_making_a_secret_registers_it() -> None:
    secret = Secret("registered-on-" + "construction")

    assert scrub(f"a {secret.reveal()} b") == f"a {MASK} b"
