"""Words that line ends cut: the typesetter's hyphens go, the author's stay."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.chunks.line_ends import join_words


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ("adminis-\ntration repairs", "administration repairs"),
        ("adminis-  \n   tration,", "administration,"),
        ("adminis\u2010\ntration", "administration"),
        ("adminis\u00ad\ntration and ad\u00admin", "administration and admin"),
        ("Verwal-\ntung", "Verwaltung"),
        ("ADMINIS-\nTRATION", "ADMINISTRATION"),
        ("a well-\nknown rule", "a well-known rule"),
        ("a well\u2010\nknown rule", "a well\u2010known rule"),
        ("a user-\ndefined, rule-\nbased", "a user-defined, rule-based"),
        ("state-of-the-\nart", "state-of-the-art"),
        ("an e-\nmail, an X-\nray", "an e-mail, an X-ray"),
        ("Jean-\nPaul, HIV-\nAIDS", "Jean-Paul, HIV-AIDS"),
        ("2020-\n2021, COVID-\n19, 10-\nyear", "2020-2021, COVID-19, 10-year"),
        ("2020–\n2021, Rome–\nparis", "2020–2021, Rome–paris"),
        ("pre-\nand post-war, Vor-\nund Nachteile", "pre-\nand post-war, Vor-\nund Nachteile"),
        ("independ-\nent, in-\ndependent, un-\nknown", "independent, independent, unknown"),
        ("the high-\nest", "the highest"),
        ("see a.org/x-\nyz", "see a.org/x-yz"),
        ("snow-\nball; a snow-ball", "snow-ball; a snow-ball"),
        ("well-\nness; wellness", "wellness; wellness"),
        ("a list:\n- one\n-two -\nthree --\nfour", "a list:\n- one\n-two -\nthree --\nfour"),
        ("end-\n\nnew paragraph", "end-\n\nnew paragraph"),
        ("power\n-\nenhancing Mini\n-\nCons", "power-enhancing Mini-Cons"),
        ("Po\n\u00ad\nlitikwissenschaft, Wert\u00adpapier", "Politikwissenschaft, Wertpapier"),
        ("part 01\u00ad2301\u00adXXX", "part 01-2301-XXX"),
        ("powerful capabili-\nties of", "powerful capabilities of"),
        ("", ""),
    ],
)
def test_what_is_joined(cut: str, whole: str) -> None:
    assert join_words(cut) == whole


@given(st.text(alphabet="ab-\n \u00ad–1."))
def test_nothing_but_hyphens_and_space_is_lost(text: str) -> None:
    def letters(of: str) -> str:
        return "".join(c for c in of if c.isalnum())

    assert letters(join_words(text)) == letters(text)


def test_the_time_grows_with_the_text() -> None:
    start = time.process_time()
    join_words("a" * 400_000 + "-\nb" * 100_000)
    assert time.process_time() - start < 10
