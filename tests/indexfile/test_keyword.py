"""Search for words, against an index of FTS5 that keeps everything."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minnow.indexfile import documents, keyword, query_words, schema
from minnow.indexfile.checksums import SUMS_SCHEMA
from minnow.indexfile.keyword import Keywords
from minnow.indexfile.query_words import read_query
from minnow.indexfile.words import TOKENIZE, words_of
from minnow.search.passages import passages

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXTS = (
    "Fish sleep with open eyes.",
    "A fish, a fish, and another fish!",
    "The river is long; fishes live in the river.",
    "Café au lait, and naïve élan.",
    "silence an alert in the alert manager before alerts are sent",
    "the manager of alerts",
    "nothing of that",
    "nothing at all",
)


def index_of(texts: Sequence[str] = TEXTS) -> Keywords:
    """Index texts as chunks 1, 2, ... of one document."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    for statement in (schema.META_SCHEMA, SUMS_SCHEMA, *documents.DOCUMENTS.schema):
        database.execute(statement)
    database.execute("INSERT INTO files VALUES (1, 'a', x'', NULL)")
    database.execute(
        "INSERT INTO documents VALUES (1, 1, '', x'', 1, ?, NULL, NULL)", (len(texts),)
    )
    rows = [
        (number, 1, 0, 0, None, text, words_of(text)) for number, text in enumerate(texts, start=1)
    ]
    checked = [(*row, documents.CHUNKS.checksum(row)) for row in rows]
    database.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)", checked)
    return Keywords(database)


def found(query: str, texts: Sequence[str] = TEXTS) -> list[int]:
    ids: list[int] = index_of(texts).search(query, 10).ids.tolist()
    return ids


MADE = index_of()
"""For reading only."""


def whole_fts(texts: Sequence[str], question: str) -> list[tuple[int, float]]:
    """Return what FTS5 finds with an index that keeps positions and lengths."""
    database = sqlite3.connect(":memory:")
    database.execute(f'CREATE VIRTUAL TABLE t USING fts5(text, tokenize="{TOKENIZE}")')
    database.executemany("INSERT INTO t VALUES (?)", [(text,) for text in texts])
    return database.execute(
        "SELECT rowid, -bm25(t) AS score FROM t WHERE t MATCH ? ORDER BY score DESC, rowid",
        (question,),
    ).fetchall()


def test_scores_are_those_of_fts5() -> None:
    ranking = index_of().search("Fish manager alert", 10)
    expected = whole_fts(TEXTS, "fish OR manager OR alert")
    assert ranking.ids.tolist() == [row[0] for row in expected]
    assert np.allclose(ranking.scores, [row[1] for row in expected])


class TestWords:
    def test_endings_case_and_accents_do_not_count(self) -> None:
        assert set(found("FISHES")) == {1, 2, 3}
        assert found("cafe NAIVE") == [4]

    def test_common_words_are_left_out_if_there_are_others(self) -> None:
        texts = ["the fish", "the river", "the boat", "the tide"]
        assert found("the river", texts) == [2]
        assert found("the", texts) == [1, 2, 3, 4]

    @pytest.mark.parametrize("query", ["", " ", "?!", "zebra", '""', "_", "\0", "’"])
    def test_nothing_to_look_for(self, query: str) -> None:
        assert found(query) == []

    def test_only_allowed_ones(self) -> None:
        ranking = index_of().search("fish", 10, np.array([1, 3, 7]))
        assert set(ranking.ids.tolist()) == {1, 3}

    def test_an_empty_index(self) -> None:
        assert found("fish", []) == []


class TestNothingIsAnOperator:
    @pytest.mark.parametrize(
        "query",
        ["fish AND river", "fish NOT eyes", "NEAR(fish river)", "text: fish", "fish*", "^fish",
         "-fish", "fish + river", "{text}: fish", '"fish', 'fish"', "fish' --", "(fish", "fish;"],
    )  # fmt: skip
    def test_known_ones(self, query: str) -> None:
        assert {1, 2, 3} <= set(found(query))

    @given(query=st.text(max_size=60))
    @example(query='a" OR "b')
    @example(query="\ud800 fish")
    @example(query="fish\0fish")
    @example(query="e\u0301cole \u0301 \u200d ﬁsh ß İ ǅ")
    def test_any_text(self, query: str) -> None:
        MADE.search(query, 5)
        passages(TEXTS[:2], query, 8)

    @given(text=st.text(st.characters(categories=("L", "N", "P", "S", "Z")), max_size=30))
    def test_a_text_is_found_by_itself(self, text: str) -> None:
        if read_query(text).words:
            assert 2 in found(text.replace('"', " "), ["other", text, "more", "of", "them"])


COLOURS = st.sampled_from(["red", "green", "blue", "one", "two"])
SENTENCES = st.text("abc \n.,", max_size=9).map(lambda some: f"red {some} green blue two")


class TestPhrases:
    def test_words_in_quotation_marks_follow_each_other(self) -> None:
        assert found('"alert manager"') == [5]
        assert set(found("alert manager")) == {5, 6}
        assert found('"manager of alerts"') == [6]

    def test_of_common_words(self) -> None:
        texts = ["the of", "of the", "the of it", "what the"]
        assert found('"the of"', texts) == [1, 3]

    def test_several(self) -> None:
        assert found('"alert manager" "silence an"') == [5]
        assert found('"alert manager" "open eyes"') == []

    def test_one_word_is_no_phrase(self) -> None:
        assert set(found('"river" fish')) == {1, 2, 3}

    @given(words=st.lists(COLOURS, min_size=2, max_size=3), texts=st.lists(SENTENCES, max_size=9))
    def test_as_fts5_finds_them(self, words: list[str], texts: list[str]) -> None:
        phrase = f'"{" ".join(words)}"'
        assert set(found(phrase, texts)) == {row[0] for row in whole_fts(texts, phrase)}


class TestManyMatches:
    @given(st.lists(st.sets(COLOURS, min_size=1), min_size=8, max_size=30))
    def test_the_rarest_words_decide(self, words: list[set[str]]) -> None:
        """Where more have a word than are scored, those that are have the scores they ever had."""
        texts = [" ".join(sorted(row)) for row in words]
        query = "red green blue one"
        limit = keyword.MOST_SCORED
        try:
            keyword.MOST_SCORED = 5
            few = index_of(texts).search(query, 5)
        finally:
            keyword.MOST_SCORED = limit
        every = index_of(texts).search(query, len(texts))
        assert len(few.ids) == min(5, len(every.ids))
        known = dict(zip(every.ids.tolist(), every.scores.tolist(), strict=True))
        for id_, score in zip(few.ids.tolist(), few.scores.tolist(), strict=True):
            assert known[id_] == pytest.approx(score)


class TestPassages:
    LONG = "one two three. " * 40 + "The kettle is descaled with vinegar. " + "four five six. " * 40

    def test_the_part_that_answers(self) -> None:
        (part,) = passages([self.LONG], "descale a kettle", 8)
        assert part is not None
        assert "kettle is descaled" in part
        assert part.startswith("…")
        assert part.endswith("…")

    def test_where_no_word_is_in_it(self) -> None:
        assert passages(["fish", "river"], "river", 8) == [None, "river"]
        assert passages(["fish"], "?", 8) == [None]


def test_the_first_words_of_a_long_query_count() -> None:
    words = " ".join(f"w{n}" for n in range(query_words.MOST_WORDS - 1))
    assert found(f"{words} fish silence") == found("fish")
    assert len(read_query(f'"{words} {words}"').words) == query_words.MOST_WORDS - 1


class TestScriptsWithoutSpaces:
    TEXTS = (
        "冷冻室结霜时，请先断开电源。",
        "遥控器上的童锁键按住三秒。",
        "吸引力が弱いときはフィルターを水洗いしてください。",
        "フィルムは別売りです。",
        "東京と京都へ行く。",
        "東京都に住む。",
        "น้ำดื่มสะอาด",
        "서울은 수도이다.",
        "重跑gen-itgc后清零",
        "Kettle and vinegar",
    )

    @pytest.mark.parametrize(
        ("query", "ids"),
        [
            ("童锁", [2]), ("锁", [2]), ("フィルター", [3]), ("ﾌｨﾙﾀｰ", [3]), ("フィルム", [4]),
            ("東京都", [6]), ("東京", [5, 6]), ("นํ้า", [7]), ("น้ำดื่ม", [7]), ("서울", [8]),
            ("itgc", [9]), ("童锁 vinegar", [2, 10]), ("冰箱", []), ('"结霜时 请先"', [1]),
            ('"冷冻室"', [1]), ('"冻冷室"', []), ('"gen itgc 后"', [9]),
        ],
    )  # fmt: skip
    def test_the_word_is_found_and_nothing_else(self, query: str, ids: list[int]) -> None:
        assert sorted(found(query, self.TEXTS)) == ids

    def test_a_word_that_no_text_has_is_found_by_its_parts(self) -> None:
        assert found("冷冻室遥控", self.TEXTS)[:2] == [1, 2]

    def test_a_question_ranks_the_text_with_most_pairs_first(self) -> None:
        assert found("冷冻室结霜的时候应该怎么办才好呢", self.TEXTS)[0] == 1

    def test_what_looks_the_same_is_found(self) -> None:
        texts = ["Text\u00addatei", "Straße", "رابطهٔ أخرى", "обʼєкт", "ﬁle", "nice🤔", "x"]
        for query, id_ in (
            ("Textdatei", 1), ("STRASSE", 2), ("رابطه", 3), ("об'єкт", 4), ("file", 5), ("nice", 6),
        ):  # fmt: skip
            assert found(query, texts) == [id_]

    def test_passages_are_of_the_original_text(self) -> None:
        long = "天地玄黄宇宙洪荒。" * 30 + "请按童锁键三秒。" + "日月盈昃辰宿列张。" * 30
        (part,) = passages([long], "童锁", 20)
        assert part is not None
        assert "请按童锁键三秒" in part
        assert part.strip("…") in long
        assert len(part) < 60
        (part,) = passages(["Ein Ki\u00adno in der Straße"], "STRASSE", 20)
        assert part == "Ein Ki\u00adno in der Straße"
        assert passages(["冰箱"], "空调", 20) == [None]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("低头思故乡", "故乡"),
        ("步2 重跑gen-itgc后50条悬空引用清零", "itgc"),
        ("步2 重跑gen-itgc后50条悬空引用清零", "悬空"),
        ("서울은 수도이다", "서울"),
        ("Text\u00addatei und Auf\u200clage", "Auflage"),
        ("كَتَبَ", "كتب"),
        ("آكل", "اكل"),
        ("обʼєкт", "об’єкт"),
        ("کتاب\u200cهای نو", "کتاب"),
        ("کتاب\u200cهای نو", "کتابهای"),
        ("نیم فاصله", "نیم\u200cفاصله"),
        ("Œuvres de Łódź", "oeuvres lodz"),
        ("മലയാളം അവന്\u200d", "അവൻ"),
    ],
)
def test_what_others_reported_as_not_found(text: str, query: str) -> None:
    assert found(query, ["other", text, "of them"]) == [2]
