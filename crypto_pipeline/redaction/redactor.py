"""
Text that is scrubbed of every value that this process has registered.

How a value may be written stands in `forms`; here, how many of them are found quickly, and what is put in
their place.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import accumulate

from crypto_pipeline.redaction.forms import MASK, SHORTEST, encoded_forms, lines_of

_LONG = 16
# Forms this long are looked for by sample; nearly all are.

_STRIDE = _LONG - SHORTEST + 1
# Any stretch of `_LONG` characters holds one of the samples that begin at the multiples of this.


@dataclass(frozen=True, slots=True)
class _Known:
    """
    The forms of all registered values, never changed once made.

    Fields:
        values: what was registered.
        forms: every form of every value.
        short: the forms that are too short to be sampled.
        samples: stretches of the others; a text in which none stands holds none of them.
    """

    values: frozenset[str] = frozenset()
    forms: frozenset[str] = frozenset()
    short: frozenset[str] = frozenset()
    samples: frozenset[str] = frozenset()

    def with_values(self, values: Collection[str]) -> _Known:
        """Return these and the forms of some more values."""
        texts = [text for value in values for text in (value, *lines_of(value))]
        new = frozenset[str]().union(*map(encoded_forms, texts))
        long = [form for form in new if len(form) >= _LONG]
        samples = {form[at : at + SHORTEST] for form in long for at in range(_STRIDE)}
        short = self.short | new.difference(long)
        return _Known(self.values.union(values), self.forms | new, short, self.samples | samples)

    def may_stand_in(self, text: str) -> bool:
        """Tell quickly, and never wrongly with "no", whether a form stands in `text`."""
        last = len(text) - SHORTEST + 1
        sampled = [text[at : at + SHORTEST] for at in range(0, last, _STRIDE)]
        return not self.samples.isdisjoint(sampled) or any(form in text for form in self.short)


class Redactor:
    """Takes registered values out of text, wherever they overlap, so that none leaves a tail of another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known = _Known()
        self._new: set[str] = set()

    def register(self, value: str) -> None:
        """
        Add a value, in all its forms; values under six characters are not registered.

        What the forms are is found out when the next text is scrubbed, so that whoever reads a secret does not wait.
        """
        if len(value.strip()) < SHORTEST or value in self._known.values:
            return
        with self._lock:
            self._new.add(value)

    def renew_lock(self) -> None:
        """For a forked child: a thread that held the lock is not there to let go of it."""
        self._lock = threading.Lock()

    def scrub(self, text: str) -> str:
        """Return `text` with every registered value, in any form, replaced by a mask."""
        known = self._learned() if self._new else self._known
        if not known.may_stand_in(text):
            return text
        spans = sorted(span for form in known.forms if form in text for span in _spans(form, text))
        kept, end = [], 0
        for start, stop in _merged(spans):
            kept.append(text[end:start])
            end = stop
        return MASK.join([*kept, text[end:]])

    def _learned(self) -> _Known:
        """Return what is known, the new values included."""
        with self._lock:
            # In this order: a thread that sees nothing new must see it known.
            self._known = self._known.with_values(self._new)
            self._new = set()
            return self._known


def _spans(form: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield where `form` stands in `text`, overlapping places included."""
    start = text.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = text.find(form, start + 1)


def _merged(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join spans (in order) that overlap."""
    ends = list(accumulate((stop for _, stop in spans), max))
    first = 0
    for index, end in enumerate(ends):
        if index + 1 == len(spans) or spans[index + 1][0] >= end:
            yield spans[first][0], end
            first = index + 1


REDACTOR = Redactor()
os.register_at_fork(after_in_child=REDACTOR.renew_lock)


def scrub(text: str) -> str:
    """Return `text` without any secret value this process has seen."""
    return REDACTOR.scrub(text)
