"""Citations read back, and warnings about an answer."""

from __future__ import annotations

import io
import json

import pytest
from fakes.talking import make_hit
from hypothesis import given
from hypothesis import strategies as st

from minnow.ask import Answer
from minnow.ask.answer import print_sources

PASSAGES = tuple(make_hit(f"Text {n}.", f"{n}.md", ("A", "B")[: n - 1], n) for n in (1, 2, 3))


def answer(text: str, **changes: object) -> Answer:
    facts: dict[str, object] = {"passages": PASSAGES, **changes}
    return Answer("Why?", text, **facts)  # type: ignore[arg-type]


class TestCitations:
    @pytest.mark.parametrize(
        ("text", "cited", "unknown"),
        [
            ("Fish [2]. Cats [1][2].", [1, 2], []),
            ("Fish [1, 3].", [1, 3], []),
            ("Fish [1; 2].", [1, 2], []),
            ("Fish [1-3] and [2–3].", [1, 2, 3], []),
            ("Fish [ 2 ].", [2], []),
            ("Fish [4], [0], [2].", [2], [4, 0]),
            ("Fish [1-9].", [1], [9]),
            ("In [1990-2020] [3].", [3], [1990, 2020]),
            ("Fish [3-1].", [1, 3], []),
            ("Fish (1), [a], [1a], [], [-1], [１].", [], []),
            (f"Fish [{'9' * 5000}] [2].", [2], []),
            ("<think>Is it [1] or [7]?</think>It is [2].", [2], []),
            ("", [], []),
        ],
    )
    def test_they_are_read(self, text: str, cited: list[int], unknown: list[int]) -> None:
        read = answer(text)
        assert list(read.cited) == cited
        assert list(read.cited.values()) == [PASSAGES[n - 1] for n in cited]
        assert list(read.unknown) == unknown

    @given(st.text(alphabet="[]0123456789,-– x") | st.text())
    def test_each_is_a_passage_or_flagged(self, text: str) -> None:
        read = answer(text)
        assert set(read.cited) | set(read.unknown) == set(read.citations)
        assert set(read.cited) <= {1, 2, 3}
        assert set(read.unknown).isdisjoint({1, 2, 3})


class TestWarnings:
    @pytest.mark.parametrize(
        ("given_", "words"),
        [
            (answer("Fish [1]."), []),
            (answer("Fish."), ["cites no passage"]),
            (answer("Fish [1] [8] [9]."), ["cites [8], [9], which no passage has"]),
            (answer("Fish [1]", complete=False, tokens=7), ["stopped at 7 tokens"]),
            (answer("Fish [1]", left_out=PASSAGES[:2]), ["2 of 5 passages had no room"]),
            (answer("Fish [1]", cut=True), ["was given the beginning"]),
            (Answer("Why?"), ["nothing was found, so the LLM was not asked"]),
        ],
    )
    def test_warnings_about_an_answer(self, given_: Answer, words: list[str]) -> None:
        warnings = list(given_.warnings())
        assert len(warnings) == len(words)
        assert all(part in warning for part, warning in zip(words, warnings, strict=True))


class TestForms:
    def test_sources(self) -> None:
        stream = io.StringIO()
        print_sources(answer("Fish [3] [1]."), stream)
        assert stream.getvalue() == (
            "\nSources\n  [1] 1.md, part 1\n  [3] 3.md, part 3\n      A > B\n"
        )

    def test_no_sources(self) -> None:
        stream = io.StringIO()
        print_sources(answer("Fish [9]."), stream)
        assert stream.getvalue() == ""

    def test_json(self) -> None:
        facts = json.loads(answer("Fish [3] [9].", prompt_tokens=40, tokens=5).json())
        assert [(row["citation"], row["cited"]) for row in facts["passages"]] == [
            (1, False), (2, False), (3, True),
        ]  # fmt: skip
        assert facts["passages"][2]["source"] == "3.md"
        assert (facts["unknown_citations"], facts["complete"]) == ([9], True)
        assert (facts["prompt_tokens"], facts["answer_tokens"]) == (40, 5)
        assert len(facts["warnings"]) == 1
