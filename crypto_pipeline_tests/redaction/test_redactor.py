"""Text is scrubbed of registered values in every form they take."""

from __future__ import annotations

import base64
import html
import json
import random
import re
import threading
from collections.abc import Callable, Iterable
from urllib.parse import urlencode

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crypto_pipeline.redaction import (
    MASK,
    Redactor,
    encoded_forms,
)
from crypto_pipeline.redaction.forms import _WRITINGS, _WRITTEN_ONE_WAY
from crypto_pipeline_tests.redaction.values import AWKWARD, PEM, VALUE
from crypto_pipeline_tests.support.search import forms

# Surrogates are no text, and a star could join with the mask to something new.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*"), max_size=60)
VALUES = TEXTS.filter(lambda value: len(value.strip()) >= 6)
fuzzed = settings(deadline=None, max_examples=150, database=None)


def redactor_of(*values: str) -> Redactor:
    """Return a redactor of the test's own that knows the values."""
    redactor = Redactor()
    for value in values:
        redactor.register(value)
    return redactor


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (value, name)
        for value in (VALUE, AWKWARD, PEM, "Aa1!bB", "/+/+/+==", "päßwörd-日本語-🔑")
        for name in forms(value)
        if name != "reversed"
    ],
)
def test_no_form_that_the_leak_search_knows_survives(value: str, name: str) -> None:
    """The search is written without a look at the product."""
    form = forms(value)[name].decode()

    scrubbed = redactor_of(value).scrub(f"before {form} after")

    assert form not in scrubbed
    assert MASK in scrubbed
    assert scrubbed.startswith("before ")
    assert scrubbed.endswith(" after")


@pytest.mark.parametrize(
    "write",
    [
        repr,
        json.dumps,
        lambda value: json.dumps([json.dumps({"k": value})]),
        lambda value: json.dumps(value, ensure_ascii=False),
        lambda value: json.dumps(urlencode({"key": value})),
        lambda value: urlencode({"key": value}),
        lambda value: urlencode({"outer": urlencode({"key": value})}),
        lambda value: repr(value.encode()),
        lambda value: repr({"k": f"'both' \"quotes\" {value}"}),
        lambda value: repr(json.dumps({"k": value})),
        lambda value: f"{value}\n".encode().hex(":").replace(":", ""),
        lambda value: base64.b64encode(f"user:{value}".encode()).decode(),
        lambda value: urlencode({"basic": base64.b64encode(f"user:{value}@".encode()).decode()}),
        lambda value: base64.urlsafe_b64encode(f"xx{value}yy".encode()).decode(),
        lambda value: json.dumps(value).replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e"),
        lambda value: json.dumps(value).replace("/", r"\/"),
        html.escape,
        lambda value: html.escape(value).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    ],
)
@pytest.mark.parametrize("value", [VALUE, "simple&<less>", "a/b+c/d=e/f", 'it\'s "quoted" all', "back\\slash\\value"])
def test_nothing_of_a_value_is_left_in_what_programs_write(write: Callable[[str], str], value: str) -> None:
    """JSON in JSON, URLs in JSON, `repr`, Go's and PHP's JSON, templates: as they meet in logs."""
    scrubbed = redactor_of(value).scrub(write(value))

    assert MASK in scrubbed
    # In base64 up to two characters on each side hold bits of the value.
    assert len(scrubbed) <= len(write("")) + len(MASK) + 8


@pytest.mark.parametrize("length", range(6, 40))
def test_a_value_is_found_wherever_it_begins(length: int) -> None:
    """Long forms are looked for by sample; no place may fall between two samples."""
    redactor = redactor_of(VALUE[:length])

    missed = [at for at in range(40) if redactor.scrub(f"{' ' * at}{VALUE[:length]}.") != f"{' ' * at}{MASK}."]

    assert missed == []


@pytest.mark.parametrize("before", ["", "u", "uv", "user:"])
@pytest.mark.parametrize("after", ["", "x", "xy"])
def test_in_base64_all_is_masked_but_the_characters_shared_with_neighbours(before: str, after: str) -> None:
    """Three bytes make four characters; one at each edge may hold bits of both."""
    written = base64.b64encode(f"{before}{VALUE}{after}".encode()).decode()
    start, stop = -(-len(before) * 8 // 6), len(before + VALUE) * 8 // 6

    assert redactor_of(VALUE).scrub(written) == written[:start] + MASK + written[stop:]


def test_url_escapes_are_found_in_both_cases() -> None:
    redactor = redactor_of("a/b+c/d=e/f")

    assert redactor.scrub("key=a%2Fb%2Bc%2Fd%3De%2Ff.") == f"key={MASK}."
    assert redactor.scrub("key=a%2fb%2bc%2fd%3de%2ff.") == f"key={MASK}."


@pytest.mark.parametrize("first", [0, 1])
def test_a_secret_that_begins_like_another_leaves_no_tail(first: int) -> None:
    """Whichever of them was registered first."""
    values = ["prefix-secret", "prefix-secret-with-tail"]

    redactor = redactor_of(values[first], values[1 - first])

    assert redactor.scrub("<prefix-secret-with-tail>") == f"<{MASK}>"
    assert redactor.scrub("<prefix-secret>") == f"<{MASK}>"


def test_secrets_that_overlap_are_masked_as_one() -> None:
    redactor = redactor_of("abcdefghijkl", "ghijklmnopqr")

    assert redactor.scrub("<abcdefghijklmnopqr>") == f"<{MASK}>"


def test_a_secret_that_overlaps_with_itself_leaves_nothing() -> None:
    assert redactor_of("abcabcabc").scrub("<abcabcabcabcabc>") == f"<{MASK}>"


@pytest.mark.parametrize("breaks", ["\n", "\\n", "\r\n", " ", "\n    "], ids=repr)
def test_a_pem_key_is_found_by_its_lines_however_they_are_broken(breaks: str) -> None:
    """In an environment variable its breaks are written out; a log shows one line of it."""
    redactor = redactor_of(PEM.replace("\n", breaks))

    for line in PEM.splitlines()[1:-1]:
        assert redactor.scrub(f"line: {line};") == f"line: {MASK};"
    assert redactor.scrub("-----BEGIN EC PRIVATE KEY-----") == "-----BEGIN EC PRIVATE KEY-----"


def test_a_value_of_several_lines_is_found_by_the_line() -> None:
    redactor = redactor_of("first-line-of-it\nsecond-line-of-it\nx")

    assert redactor.scrub("got second-line-of-it") == f"got {MASK}"


def test_white_space_around_a_value_does_not_hide_it() -> None:
    """A file ends with a line break; the key in it does not."""
    assert redactor_of(f"  {VALUE}\n").scrub(f"key={VALUE};") == f"key={MASK};"


@pytest.mark.parametrize("value", ["", "short", "      ", "  ab  \n", "\t\n\r \n\n"])
def test_what_is_too_short_is_not_looked_for(value: str) -> None:
    """It would blank out ordinary words, or every indentation."""
    text = "a short text\n      with ab and     spaces\t\n\r \n\n"

    assert redactor_of(value).scrub(text) == text


def test_a_value_that_stands_in_the_mask_does_not_make_masks_grow() -> None:
    redactor = redactor_of("REDACTED")

    assert redactor.scrub(MASK) == MASK


@fuzzed
@given(VALUES, TEXTS, TEXTS, st.data())
def test_no_form_of_any_value_survives_in_any_text(value: str, before: str, after: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(set(forms(value)) - {"reversed"})))
    form = forms(value)[name].decode()
    assume(len(form) >= 6)

    scrubbed = redactor_of(value).scrub(before + form + after)

    assert form not in scrubbed
    assert value.strip() not in scrubbed


@fuzzed
@given(st.lists(VALUES, min_size=1, max_size=4), TEXTS)
def test_a_text_without_secrets_is_left_as_it_is(values: list[str], text: str) -> None:
    assume(not any(form in text for form in all_forms(values)))

    assert redactor_of(*values).scrub(text) == text


@fuzzed
@given(st.lists(VALUES, min_size=1, max_size=4), st.lists(TEXTS, max_size=4), st.randoms(use_true_random=False))
def test_scrubbing_twice_changes_nothing_more(values: list[str], texts: list[str], chance: random.Random) -> None:
    parts = texts + [chance.choice(sorted(encoded_forms(value))) for value in values]
    chance.shuffle(parts)
    redactor = redactor_of(*values)

    once = redactor.scrub("".join(parts))

    assert redactor.scrub(once) == once


@fuzzed
@given(st.text("ab/", min_size=6, max_size=40), st.data())
def test_exactly_what_a_slow_search_finds_is_masked(base: str, data: st.DataObject) -> None:
    """Values that are cut from one another overlap in every way there is."""
    cut = st.tuples(st.integers(0, len(base) - 6), st.integers(6, len(base))).map(lambda at: base[at[0] :][: at[1]])
    values = data.draw(st.lists(cut, min_size=1, max_size=5))
    text = data.draw(st.lists(st.one_of(cut, st.text("ab/ %2F\\", max_size=8)), max_size=8).map("".join))

    scrubbed = redactor_of(*values).scrub(text)

    assert masks_joined(scrubbed) == masks_joined(slowly_scrubbed(text, all_forms(values)))


def all_forms(values: Iterable[str]) -> set[str]:
    """Return every form of the values, and of their lines."""
    pieces = [piece for value in values for piece in (value, *re.split(r"\\[nr]|\s|-----[A-Z0-9 ]+-----", value))]
    return {form for piece in pieces if len(piece.strip()) >= 6 for form in encoded_forms(piece)}


def slowly_scrubbed(text: str, wanted: Iterable[str]) -> str:
    """Mask each character that belongs to any occurrence of any form."""
    covered = {
        place
        for form in wanted
        for start in range(len(text))
        if text.startswith(form, start)
        for place in range(start, start + len(form))
    }
    return "".join(MASK if place in covered else character for place, character in enumerate(text))


def masks_joined(text: str) -> str:
    """Return the text with masks that follow each other made one."""
    return re.sub(f"({re.escape(MASK)})+", MASK, text)


def test_values_may_be_registered_while_others_scrub() -> None:
    """Runs read their keys in threads; each scrub sees whole sets only."""
    redactor = redactor_of(VALUE)
    values = [f"{number:04d}-{VALUE[number:]}" for number in range(20)]
    failures: list[str] = []

    def scrub_often() -> None:
        failures.extend(shown for _ in range(200) if VALUE in (shown := redactor.scrub(f"<{VALUE}>")))

    threads = [threading.Thread(target=scrub_often) for _ in range(3)]
    threads += [threading.Thread(target=redactor.register, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert [value for value in values if redactor.scrub(value) != MASK] == []


@pytest.mark.parametrize("write", _WRITINGS)
def test_what_is_written_in_one_way_only_is_left_as_it_is_by_every_writing(write: Callable[[str], str]) -> None:
    """So that leaving these writings out loses no form."""
    plain = "".join(chr(code) for code in range(256) if _WRITTEN_ONE_WAY.fullmatch(chr(code)))

    assert len(plain) == 65
    assert write(plain) == plain


def test_a_value_is_looked_for_from_the_moment_it_was_registered() -> None:
    """Its forms are found out late; nothing is scrubbed before they are."""
    redactor = redactor_of(VALUE)

    first = redactor.scrub(f"<{VALUE}>")
    redactor.register(AWKWARD)
    redactor.register(AWKWARD)
    second = redactor.scrub(f"<{VALUE}|{json.dumps(AWKWARD)}>")

    assert first == f"<{MASK}>"
    assert second == f'<{MASK}|"{MASK}">'
