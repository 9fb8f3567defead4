"""Looks for a secret in an error, and in everything that hangs on it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping

from crypto_pipeline_tests.support.search import hits


def assert_hides(error: BaseException, secrets: Mapping[str, str]) -> None:
    """Check that no secret stands in the error, its causes and contexts (the suppressed ones too), or its traceback."""
    said = "\n".join([*traceback.format_exception(error), *_everything_in(error)])

    assert hits(secrets, iter([("the error", said.encode(errors="surrogateescape"))])) == []


def _everything_in(error: BaseException | None) -> Iterator[str]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield f"{found!s} {found!r} {found.args!r} {vars(found)!r}"
        for name in ("doc", "object", "response", "request"):
            attached = getattr(found, name, None)
            yield f"{attached!r} {getattr(attached, 'headers', '')!r} {getattr(attached, 'text', '')!r}"
        waiting += [found.__cause__, found.__context__]
