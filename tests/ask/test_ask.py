"""From a question to an answer, with an LLM whose answers are scripted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.searching import open_fake, run_index, write_documents
from fakes.talking import FakeLlm

from minnow.ask import ask
from minnow.errors import EngineError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from minnow.search import Index


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    run_index(tmp_path / "a.index", write_documents(tmp_path / "docs"))
    with open_fake(tmp_path / "a.index") as opened:
        yield opened


class TestAsk:
    def test_an_answer(self, index: Index) -> None:
        llm, heard = FakeLlm(), list[str]()
        answer = ask(index, "fish sleep eyes", llm, k=2, on_text=heard.append, max_new_tokens=20)
        assert answer.text == "Fish sleep with open eyes [1]."
        assert "".join(heard) == answer.text
        assert answer.cited[1].source.endswith("docs/fish.md")
        assert (answer.complete, answer.tokens, len(answer.passages)) == (True, 2, 2)
        ((messages, limit),) = llm.asked
        assert limit == 20
        assert "Fish sleep with open eyes." in messages[1].content
        assert messages[1].content.endswith("Question: fish sleep eyes")
        assert answer.prompt_tokens == llm.count(messages)

    def test_nothing_found_nothing_asked(self, index: Index) -> None:
        llm = FakeLlm()
        answer = ask(index, "zebra", llm, mode="keyword")
        assert (answer.text, answer.passages, llm.asked) == ("", (), [])
        assert "not asked" in " ".join(answer.warnings())

    def test_search_gets_the_filter(self, index: Index) -> None:
        place = ["%kettle.md"]
        answer = ask(index, "fish", FakeLlm(), k=9, where="source LIKE ?", params=place)
        assert [hit.source[-9:] for hit in answer.passages] == ["kettle.md"]

    def test_the_limit(self, index: Index) -> None:
        answer = ask(index, "fish", FakeLlm(), max_new_tokens=1)
        assert (answer.text, answer.tokens, answer.complete) == ("Fish sleep", 1, False)

    def test_what_had_no_room(self, index: Index) -> None:
        bare = FakeLlm()
        ask(index, "fish", bare, k=1)
        window = bare.count(bare.asked[0][0]) + 10
        answer = ask(index, "fish", FakeLlm(window=window), k=4, max_new_tokens=10)
        assert (len(answer.passages), len(answer.left_out), answer.cut) == (1, 3, False)

    def test_too_small_a_window(self, index: Index) -> None:
        llm = FakeLlm(window=60)
        with pytest.raises(InputError, match="The question with the instructions takes"):
            ask(index, "fish", llm, max_new_tokens=10)
        assert llm.asked == []

    def test_an_llm_that_fails(self, index: Index) -> None:
        heard: list[str] = []
        with pytest.raises(EngineError, match="crashed"):
            ask(index, "fish", FakeLlm(["Fish ", EngineError("crashed")]), on_text=heard.append)
        assert heard == ["Fish "]
