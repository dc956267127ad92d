"""Remembering, recalling, reflecting and forgetting."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.remembering import START, Clock, open_memory
from fakes.rerankers import FakeReranker
from fakes.searching import FakeModel, contents_of, open_fake, run_index, write_documents

from minnow import Reranker
from minnow.errors import IndexFileError, InputError, OutputError
from minnow.memory import (
    PARK_2023,
    Grouping,
    Item,
    Memory,
    MemoryKind,
    Observation,
    Retention,
    Weights,
)
from minnow.memory.columns import Columns
from minnow.search import VectorEncoding, open_index, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from minnow.bundle import Bundle

RIVER = (
    "the river is cold today",
    "a cold river today is the best",
    "today the river is cold and deep",
)
NAIVE = START.replace(tzinfo=None)


TRAIN = ("the night train leaves from nine", "nine is where the night train leaves from again")


def cosine(query: str, text: str) -> float:
    """Return the similarity that the fake model gives."""
    model = FakeModel()
    return float(model.encode_queries([query])[0] @ model.encode_documents([text])[0])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(tmp_path: Path, clock: Clock) -> Iterator[Memory]:
    with open_memory(tmp_path / "a.memory", clock=clock) as opened:
        yield opened
        assert opened.check() == []


class TestRemember:
    def test_what_is_kept(self, memory: Memory, clock: Clock) -> None:
        at = datetime(2026, 2, 1, 12, 30, 0, 123_000, timezone(timedelta(hours=2)))
        item = memory.remember("fish sleep", importance=0.7, at=at, tags=["b", " a", "b"])
        assert item == Item(1, "fish sleep", MemoryKind.OBSERVATION, 0.7, at, at, 1, ("a", "b"))
        facts = item.facts()
        assert [facts["tags"], facts["wordings"], facts["sources"]] == [["a", "b"], [], []]
        assert item.created.utcoffset() == timedelta(0)
        assert memory.remember("boats float").created == clock.time
        assert [one.id for one in memory.items()] == [2, 1]
        assert len(memory) == 2

    def test_times_that_cannot_be_read_back_are_refused(self, memory: Memory) -> None:
        """They would be years 0 and 10 000 in UTC."""
        west, east = (timezone(timedelta(hours=hours)) for hours in (-5, 5))
        for at in (datetime(9999, 12, 31, 23, tzinfo=west), datetime(1, 1, 1, tzinfo=east)):
            with pytest.raises(InputError, match="is not in the years 1 to 9999"):
                memory.remember("fish sleep", at=at)
        for year in (9999, 1):
            memory.remember(f"time {year}", at=datetime(year, 1, 1, tzinfo=timezone.utc))
        assert [item.created.year for item in memory.items()] == [9999, 1]
        assert len(memory.recall("time")) == 2

    def test_a_file_keeps_it(self, tmp_path: Path, memory: Memory) -> None:
        item = memory.remember("fish sleep", tags=["x"])
        with open_memory(tmp_path / "a.memory") as again:
            assert again.items() == [item]

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [({"text": " "}, "empty"), ({"text": "word " * 70}, "72 tokens"),
         ({"importance": 1.1}, "0 to 1"),
         ({"importance": float("nan")}, "0 to 1"), ({"at": NAIVE}, "time zone"),
         ({"importance": "high"}, "0 to 1"), ({"importance": True}, "0 to 1"),
         ({"at": "2026-03-01"}, "datetime"), ({"sources": [True]}, "integer"),
         ({"sources": ["1"]}, "integer"),
         ({"tags": "ab"}, "list"), ({"tags": [""]}, "list"), ({"sources": [99]}, "no memory 99"),
         ({"speaker": 1}, "speaker"), ({"session": None}, "session")],
    )  # fmt: skip
    def test_what_cannot_be_kept_leaves_all_as_it_was(
        self, memory: Memory, wrong: dict[str, Any], message: str
    ) -> None:
        memory.remember("boats float")
        good = Observation("fish sleep")
        with pytest.raises(InputError, match=message):
            memory.remember_many([good, replace(good, **{"text": "eels swim", **wrong})])
        assert [item.text for item in memory.items()] == ["boats float"]

    def test_none_at_all(self, memory: Memory) -> None:
        assert memory.remember_many([]) == []


class TestMerging:
    def test_the_same_in_other_words(self, memory: Memory, clock: Clock) -> None:
        memory.remember("fish sleep at night", importance=0.2, tags=["a"])
        clock.move(hours=3)
        item = memory.remember("at night fish sleep", importance=0.6, tags=["b"])
        assert item == Item(
            1, "fish sleep at night", MemoryKind.OBSERVATION, 0.6, START, clock.time, 2, ("a", "b"),
            ("at night fish sleep",),
        )  # fmt: skip
        again = memory.remember("at night fish sleep", at=START - timedelta(days=1))
        assert (again.times, again.wordings) == (3, ("at night fish sleep",))
        assert (again.created, again.used) == (START - timedelta(days=1), clock.time)
        assert len(memory) == 1

    def test_within_one_call(self, memory: Memory) -> None:
        texts = ("fish sleep at night", "boats float", "at night fish sleep", "float boats")
        items = memory.remember_many(map(Observation, texts))
        assert [item.id for item in items] == [1, 2, 1, 2]
        assert [item.times for item in memory.items()] == [2, 2]

    def test_other_numbers_are_other_things(self, memory: Memory) -> None:
        memory.remember("the fish weighs 3 kg and sleeps in the deep cold river today")
        memory.remember("the fish weighs 4 kg and sleeps in the deep cold river today")
        assert len(memory) == 2

    def test_insights_with_insights_only(self, memory: Memory) -> None:
        first, second = memory.remember("fish sleep"), memory.remember("boats float")
        insight = memory.remember("sleep fish", sources=[first.id])
        assert insight.kind is MemoryKind.INSIGHT
        assert (insight.times, insight.sources) == (1, (first.id,))
        merged = memory.remember("fish sleep", sources=[second.id])
        assert merged.id == insight.id
        assert merged.sources == (first.id, second.id)

    def test_how_close(self, tmp_path: Path) -> None:
        texts = ("the river is deep and cold today", "today the river is deep and cold")
        for duplicate, count in ((0.5, 1), (0.95, 1), (1.1, 2)):
            with open_memory(tmp_path / f"{duplicate}", duplicate=duplicate) as memory:
                memory.remember_many(map(Observation, texts))
                assert len(memory) == count

    def test_never(self, tmp_path: Path) -> None:
        with open_memory(tmp_path / "a", duplicate=1.1) as memory:
            memory.remember("fish sleep")
            assert memory.remember("fish sleep").id == 2

    def test_vectors_of_any_length(self, tmp_path: Path) -> None:
        """Where a model compares by dot product, texts are still compared by their cosine."""
        with open_memory(tmp_path / "a", similarity="dot", normalize=False) as memory:
            memory.remember("fish sleep at night")
            assert memory.remember("at night fish sleep").times == 2


class TestRecall:
    def test_half_a_surrogate_pair_and_nul_are_kept_as_a_file_can_hold_them(
        self, memory: Memory
    ) -> None:
        item = memory.remember("fish\0 sleep \ud83d", tags=["x\ud800\0"])
        assert (item.text, item.tags) == ("fish sleep \ufffd", ("x\ufffd",))
        assert memory.items(tags=["x\ud800"]) == [item]

    def test_the_parts_of_a_score(self, memory: Memory, clock: Clock) -> None:
        """Worked out by hand: every part, and their sum."""
        memory.remember("fish sleep", importance=0.2)
        memory.remember("boats float on water", importance=0.9, at=START - timedelta(days=20))
        memory.remember("fish swim in water", importance=0.4, at=START - timedelta(days=10))
        weights = Weights(2, 0.5, 0.25, half_life=timedelta(days=10), context=0)
        found = {one.item.id: one for one in memory.recall("fish water", 3, weights=weights)}
        query = FakeModel().encode_queries(["fish water"])[0]
        texts = {id_: one.item.text for id_, one in found.items()}
        near = {i: float(FakeModel().encode_documents([t])[0] @ query) for i, t in texts.items()}
        nearest = max(near.values()) + 1
        for id_, importance, left in ((1, 0.2, 1), (2, 0.9, 0.25), (3, 0.4, 0.5)):
            one = found[id_]
            assert one.similarity == pytest.approx(near[id_], abs=1e-3)
            assert one.parts["recency"] == pytest.approx(0.5 * left)
            assert one.parts["importance"] == pytest.approx(0.25 * importance)
            by_vectors = 0.8 * (near[id_] + 1) / nearest
            by_words = one.parts["relevance"] / 2 - by_vectors  # BM25: two words, or one of them
            assert by_words == pytest.approx(0.2, abs=2e-3) if id_ == 3 else 0 < by_words < 0.2
            assert one.score == sum(one.parts.values())
            assert one.facts()["parts"] == one.parts
        order = list(found.values())
        assert order == sorted(order, key=lambda one: -one.score)

    def test_the_answer_comes_before_the_newest(self, memory: Memory, clock: Clock) -> None:
        memory.remember("Emma is allergic to peanuts", importance=0.3)
        clock.move(days=365)
        memory.remember("the car has new tyres", importance=1.0)
        question = "is Emma allergic?"
        assert [one.item.id for one in memory.recall(question, touch=False)] == [1, 2]
        by_park = memory.recall(question, weights=PARK_2023)
        assert [(one.item.id, one.parts["recency"]) for one in by_park] == [(2, 1), (1, 0)]

    def test_nearly_equal_ones_are_tipped(self, memory: Memory, clock: Clock) -> None:
        """Turns are not merged, so that these three are equal but for what tips them."""
        memory.remember_many(
            Observation("the boat floats", importance, session=f"{number}")
            for number, importance in enumerate((0.5, 0.9, 0.5))
        )
        assert [one.item.id for one in memory.recall("boat", touch=False)] == [2, 1, 3]
        clock.move(days=120)
        memory.remember("the boat floats", session="9")
        assert [one.item.id for one in memory.recall("boat", touch=False)] == [4, 2, 1, 3]
        weights = Weights(recency=0, importance=0)
        assert [one.item.id for one in memory.recall("boat", weights=weights)] == [1, 2, 3, 4]

    def test_times_that_a_question_names(self, memory: Memory) -> None:
        """The clock shows March 2026."""
        for month in (1, 6, 9):
            at = datetime(2025, month, 5, tzinfo=timezone.utc)
            memory.remember(f"the boat sank, number {month}", at=at)
        for question, first in (
            ("which boat sank last June?", 2), ("which boat sank in September 2025?", 3),
            ("which boat sank 14 months ago?", 1),
        ):  # fmt: skip
            found = memory.recall(question, touch=False)
            assert found[0].item.id == first
            assert found[0].parts["time"] == Weights().time
        assert "time" not in memory.recall("which boat may sink second?")[0].parts

    def test_speakers_and_sessions(self, memory: Memory) -> None:
        turns = (
            ("Eve", "1", "I bought a boat"), ("Tom", "1", "I bought a train"),
            ("Tom", "2", "It floats on the river"), ("Eve", "2", "The river is cold"),
            ("Tom", "2", "The river is deep"),
        )  # fmt: skip
        items = memory.remember_many(
            Observation(text, speaker=who, session=where) for who, where, text in turns
        )
        assert (items[1].speaker, items[1].session) == ("Tom", "1")
        for name, first in (("Eve", 1), ("Tom", 2)):
            found = memory.recall(f"what did {name} buy?", touch=False)[0]
            assert (found.item.id, found.parts["speaker"]) == (first, Weights().speaker)
        ids = [
            [one.item.id for one in memory.recall("the river", speaker=who, session=where)]
            for who, where in (("Eve", None), (None, "2"), ("Tom", "2"), ("Nobody", None))
        ]
        assert [sorted(some) for some in ids] == [[1, 4], [3, 4, 5], [3, 5], []]
        assert [item.id for item in memory.items(speaker="Eve")] == [4, 1]
        deep = memory.recall("deep", 1, window=1)[0]
        assert ([i.id for i in deep.before], deep.after) == ([4], ())
        cold = memory.recall("cold", 1, window=5)[0]
        assert ([i.id for i in cold.before], [i.id for i in cold.after]) == ([3], [5])
        assert [one["id"] for one in cold.facts()["before"]] == [3]
        memory.forget(3)
        assert memory.recall("cold", 1, window=5)[0].before == ()
        assert memory.check() == []

    def test_the_turn_after_a_question_answers_it(self, memory: Memory) -> None:
        for minute, text in enumerate(("what is the dog called", "Rex", "lovely", "Tim")):
            memory.remember(text, at=START - timedelta(hours=5 * (minute > 1), minutes=-minute))
        order = [one.item.id for one in memory.recall("how is the dog called")]
        assert order[:2] == [1, 2]
        assert "context" not in memory.recall("dog", weights=Weights(context=0))[0].parts

    def test_speakers_before_a_colon(self, memory: Memory) -> None:
        memory.remember("Eve: I bought a boat")
        memory.remember("Tom: I bought a boat")
        assert memory.recall("What did Tom buy?")[0].item.id == 2
        assert memory.recall("What did Eve buy?")[0].item.id == 1

    def test_a_question_is_asked_as_its_speaker_would(self, memory: Memory) -> None:
        for number, who in enumerate(("Tom", "Eve", "Tom", "Eve", "Tom")):
            memory.remember(f'{who} said, "I like my boat {number}, Tom"')
        mentions = memory._view.data().find_mentions("Does Tom like Tom's boat?")
        assert (mentions.first_person, mentions.words.split()) == (
            "Does I like my boat?", ["Does", "like", "boat?"]
        )  # fmt: skip
        assert {one.name for one in mentions.speakers} == {"Tom"}
        for question in ("Does Eve like it?", "does tom like it?", "Tomorrow?", "Tom?"):
            assert memory._view.data().find_mentions(question).first_person == question
        memory.remember("I left", speaker="Will Smith")
        hear = memory._view.data().find_mentions
        assert hear("will it rain, and what will we do?").speakers == frozenset()
        assert hear("When did Will leave?").first_person == "When did I leave?"
        assert hear("When did will smith leave?").first_person == "When did I leave?"

    def test_facts_that_nobody_said_are_found_by_the_name(self, memory: Memory) -> None:
        for who in ("Tom", "Eve", "Tom", "Eve"):
            memory.remember("Hey, I like my boat", speaker=who)
        facts = [memory.remember(f"{who} works on a ship") for who in ("Tom", "Eve")]
        for fact, who in zip(facts, ("Tom", "Eve"), strict=True):
            question = f"Where does {who} work?"
            found = memory.recall(question, weights=Weights(speaker=0))[0]
            assert found.item.id == fact.id
            assert found.similarity == pytest.approx(cosine(question, fact.text), abs=1e-3)
        assert memory.recall("Does Eve like boats?")[0].item.speaker == "Eve"

    def test_dates_in_brackets_before_the_name(self, memory: Memory) -> None:
        for text in ("[3 May 2024] Tom: I left", "(2024-05-04): Tom: I came", "Tom: I sat"):
            memory.remember(text)
        hear = memory._view.data().find_mentions
        assert hear("When did Tom leave?").first_person == "When did I leave?"

    def test_a_reranker_orders_what_was_found(self, memory: Memory) -> None:
        memory.remember_many(
            Observation(f"the fish number {number}", speaker="Tom" if number == 7 else "")
            for number in range(12)
        )
        reranker = FakeReranker()
        found = memory.recall("Tom fish 7", 2, reranker=reranker, window=1)
        assert found[0].item.text == "the fish number 7"
        assert [one.rerank_score for one in found] == [3, 1]
        assert found[0].score == sum(found[0].parts.values())
        assert found[0].facts()["rerank_score"] == 3
        ((query, texts),) = reranker.asked
        assert (query, len(texts), "Tom: the fish number 7" in texts) == ("Tom fish 7", 12, True)
        memory.recall("Tom", 2, reranker=reranker, candidates=5)
        assert len(reranker.asked[1][1]) == 5
        assert memory.recall("fish", 1)[0].rerank_score is None

    @pytest.mark.extra("convert")
    def test_a_rerankers_bundle_reads_what_was_found(self, memory: Memory, ranker: Bundle) -> None:
        texts = ("two small fish run", "a red house", "the green river", "one old fish")
        for text in texts:
            memory.remember(text)
        with Reranker.open(ranker, on_truncate="ignore") as reranker:
            found = memory.recall("small fish", 4, reranker=reranker)
            rows = reranker.rank("small fish", texts)
        assert [one.item.text for one in found] == [texts[row["corpus_id"]] for row in rows]
        scores = [row["score"] for row in rows]
        assert [one.rerank_score for one in found] == pytest.approx(scores, abs=1e-5)
        with pytest.raises(InputError, match="candidates"):
            memory.recall("fish", 2, candidates=5)

    def test_what_other_processes_write_is_seen(self, tmp_path: Path, memory: Memory) -> None:
        memory.remember("fish sleep", tags=["a"])
        assert len(memory.recall("fish")) == 1
        with open_memory(tmp_path / "a.memory") as other:
            other.remember("fish swim in the river")
            other.forget(1)
            memory.remember("fish eat")
            other.remember("fish jump")
        assert sorted(one.item.id for one in memory.recall("fish")) == [2, 3, 4]
        memory.remember("fish eat", tags=["b"])
        assert memory.recall("eat", tags=["b"], k=1)[0].item.times == 2

    def test_only_what_changed_is_read_again(
        self, memory: Memory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        memory.remember("fish sleep")
        memory.recall("fish")
        monkeypatch.delattr(Columns, "read")
        forgotten = memory.remember("fish swim")
        memory.forget(forgotten.id)
        kept = memory.remember("fish jump")
        memory.recall("jump")
        memory.forget(1)
        assert [one.item.id for one in memory.recall("fish")] == [kept.id]

    def test_what_was_taken_back_is_not_seen(self, memory: Memory) -> None:
        memory.remember("fish sleep")
        assert len(memory.recall("fish")) == 1

        def fail() -> None:
            with memory.store.writing():
                memory.remember("fish swim")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert len(memory.recall("fish")) == 1
        memory.remember("fish jump")
        assert sorted(one.item.text for one in memory.recall("fish")) == ["fish jump", "fish sleep"]

    def test_each_weight_alone(self, memory: Memory) -> None:
        memory.remember("fish sleep", importance=0.1, at=START - timedelta(hours=5))
        memory.remember("boats float", importance=0.9, at=START - timedelta(hours=9))
        memory.remember("trains run", importance=0.5)
        for weights, first in (
            (Weights(1, 0, 0), 1), (Weights(0, 0, 1, context=0), 2),
            (Weights(0, 1, 0, context=0), 3),
        ):  # fmt: skip
            assert memory.recall("fish sleep", 1, weights=weights, touch=False)[0].item.id == first

    def test_what_is_recalled_is_used(self, memory: Memory, clock: Clock) -> None:
        memory.remember("fish sleep")
        memory.remember("boats float")
        clock.move(hours=1)
        (found,) = memory.recall("fish sleep", 1, weights=Weights(1, 0, 0))
        assert found.item.used == START
        assert {item.id: item.used for item in memory.items()} == {1: clock.time, 2: START}
        clock.move(hours=1)
        memory.recall("fish sleep", 1, weights=Weights(1, 0, 0), touch=False)
        assert memory.items(where="id = 1")[0].used == clock.time - timedelta(hours=1)

    def test_some_only(self, memory: Memory) -> None:
        memory.remember("fish sleep", tags=["a", "b"])
        memory.remember("fish swim", tags=["a"], importance=0.9)
        memory.remember("fish eat", sources=[1])
        assert {one.item.id for one in memory.recall("fish", tags=["a"])} == {1, 2}
        assert {one.item.id for one in memory.recall("fish", tags=["a", "b"])} == {1}
        assert memory.recall("fish", tags=["none"]) == []
        kinds = memory.recall("fish", where="kind = ?", params=["insight"])
        assert [one.item.id for one in kinds] == [3]
        tagged = "EXISTS (SELECT 1 FROM json_each(tags) WHERE value LIKE 'B%')"
        assert [item.id for item in memory.items(where=tagged)] == [1]
        assert [item.id for item in memory.items(where="importance > 0.8", limit=1)] == [2]

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"query": None}, "should be a string"),
         ({"k": 0}, "from 1 to 1000"), ({"k": 1001}, "from 1 to 1000"), ({"tags": "ab"}, "list"),
         ({"window": -1}, "window"), ({"where": "nope = 1"}, "Columns are id, text"),
         ({"where": ""}, "empty"),
         ({"where": "id IN (SELECT id FROM meta)"}, "columns"),
         ({"where": "1); DROP TABLE memories; --"}, "cannot be used")],
    )  # fmt: skip
    def test_wrong_arguments(
        self, memory: Memory, options: dict[str, object], message: str
    ) -> None:
        memory.remember("fish sleep")
        with pytest.raises(InputError, match=message):
            memory.recall(**{"query": "fish", **options})  # type: ignore[arg-type]

    def test_nothing_there(self, memory: Memory) -> None:
        assert memory.recall("fish") == []
        assert memory.items() == []
        assert memory.clusters() == []

    def test_the_same_file_and_time_give_the_same(self, tmp_path: Path) -> None:
        answers = []
        for name in ("a", "b"):
            with open_memory(tmp_path / name) as memory:
                memory.remember_many(map(Observation, (*RIVER, *TRAIN)))
                memory.reflect(lambda items: f"about {items[0].text}")
                answers.append((memory.recall("river"), memory.items()))
        assert answers[0] == answers[1]


class TestReflect:
    def test_clusters_are_concluded_from(self, memory: Memory, clock: Clock) -> None:
        memory.remember_many(Observation(text, 0.3, tags=["w", "x"]) for text in RIVER)
        memory.remember_many(Observation(text, 0.8, tags=["x"]) for text in TRAIN)
        memory.remember("something else")
        seen: list[list[int]] = []

        def conclude(items: Sequence[Item]) -> str:
            seen.append([item.id for item in items])
            return f" conclusion {len(items)} \n"

        clock.move(hours=1)
        insights = memory.reflect(conclude, Grouping(smallest=2))
        assert seen == [[1, 2, 3], [4, 5]]
        insight, at = MemoryKind.INSIGHT, clock.time
        assert insights == [
            Item(7, "conclusion 3", insight, 0.3, at, at, 1, ("w", "x"), (), (1, 2, 3)),
            Item(8, "conclusion 2", insight, 0.8, at, at, 1, ("x",), (), (4, 5)),
        ]
        assert memory.reflect(conclude, Grouping(smallest=2, closeness=0.9)) == []
        assert len(seen) == 2

    def test_nothing_follows(self, memory: Memory) -> None:
        memory.remember_many(map(Observation, RIVER))
        assert memory.reflect(lambda _: None) == []
        assert memory.reflect(lambda _: "  ") == []
        assert len(memory) == 3
        assert len(memory.clusters()) == 1

    def test_those_before_a_failure_stay(self, memory: Memory) -> None:
        memory.remember_many(map(Observation, (*RIVER, *TRAIN)))
        with pytest.raises(InputError, match="92 tokens"):
            memory.reflect(
                lambda items: "good" if len(items) == 3 else "word " * 90, Grouping(smallest=2)
            )
        assert [i.text for i in memory.items(where="kind = 'insight'")] == ["good"]

    def test_only_the_newest(self, memory: Memory, clock: Clock) -> None:
        memory.remember_many(map(Observation, RIVER))
        clock.move(hours=1)
        memory.remember_many(map(Observation, TRAIN))
        assert [[item.id for item in one] for one in memory.clusters(Grouping(2, 0.4, 2))] == [
            [4, 5]
        ]

    def test_a_memory_that_went_meanwhile(self, memory: Memory) -> None:
        memory.remember_many(map(Observation, RIVER))

        def conclude(items: Sequence[Item]) -> str:
            memory.forget(items[0].id)
            return "conclusion"

        assert memory.reflect(conclude)[0].sources == (2, 3)


class TestForget:
    def test_by_id(self, memory: Memory) -> None:
        memory.remember("fish sleep")
        memory.remember("boats float")
        memory.remember("both are wet", sources=[1, 2])
        assert [item.id for item in memory.forget(1, 99, 2**70, 1)] == [1]
        assert memory.items(where="id = 3")[0].sources == (2,)
        assert {one.item.id for one in memory.recall("fish")} == {2, 3}
        memory.forget(2)
        left = memory.items(where="id = 3")[0]
        assert (left.kind, left.sources) == (MemoryKind.INSIGHT, ())
        assert memory.remember("fish sleep").id == 4

    @pytest.mark.parametrize("wrong", [True, 1.9, "1", None, [1], np.True_])
    def test_what_is_no_id_is_refused(self, memory: Memory, wrong: Any) -> None:
        """`forget(True)` is not memory 1, nor is 1.9."""
        memory.remember("fish sleep")
        memory.remember("boats float")
        with pytest.raises(InputError, match="not the id of a memory"):
            memory.forget(2, wrong)
        assert len(memory) == 2
        number: Any = np.int64(1)
        assert [item.id for item in memory.forget(number)] == [1]

    def test_by_rule(self, memory: Memory, clock: Clock) -> None:
        memory.remember("fish sleep")
        memory.remember("boats float", importance=0.9)
        clock.move(days=100)
        memory.remember("trains run")
        rule = Retention(unused_for=timedelta(days=90), spare=0.8)
        assert [item.id for item in memory.forget_outdated(rule, dry_run=True)] == [1]
        assert len(memory) == 3
        assert [item.id for item in memory.forget_outdated(rule)] == [1]
        assert [item.id for item in memory.items()] == [3, 2]
        assert [item.id for item in memory.forget_outdated(Retention(keep=1))] == [2]

    def test_what_is_still_recalled_is_kept(self, memory: Memory, clock: Clock) -> None:
        memory.remember_many(
            Observation(f"number {number} is a {word}", (number % 10) / 10)
            for number, word in enumerate(("fish", "boat", "train", "river") * 10)
        )
        clock.move(days=90)
        questions = ("number 10 fish", "number 21 boat", "number 32 train")
        asked = {question: memory.recall(question, 1)[0].item.id for question in questions}
        clock.move(days=10)
        gone = memory.forget_outdated(Retention(keep=20))
        assert len(gone) == 20
        assert {q: memory.recall(q, 1)[0].item.id for q in questions} == asked


class TestFile:
    def test_documents_and_memories_side_by_side(self, tmp_path: Path) -> None:
        file, docs = tmp_path / "a.index", write_documents(tmp_path / "docs")
        run_index(file, docs)
        before = contents_of(file)
        with open_memory(file) as memory:
            memory.remember("fish sleep")
        assert contents_of(file) == before
        with open_fake(file) as index:
            assert "fish sleep" not in [hit.text for hit in index.search("fish sleep")]
        run_index(file, docs, rebuild=True)
        with open_memory(file) as memory:
            assert [item.text for item in memory.items()] == ["fish sleep"]

    def test_another_model_is_refused(self, tmp_path: Path) -> None:
        open_memory(tmp_path / "a").close()
        with pytest.raises(IndexFileError, match="weights"):
            open_memory(tmp_path / "a", weights_sha256="c" * 64)

    def test_memories_move_to_another_model(self, tmp_path: Path, clock: Clock) -> None:
        with open_memory(tmp_path / "old", clock=clock) as old:
            old.remember("boats float", tags=["x"], importance=0.9)
            old.remember_many(map(Observation, RIVER))
            old.remember("float boats")
            clock.move(hours=1)
            old.reflect(lambda _: "rivers are cold")
            old.forget(3)
            expected = [replace(item, id=0, sources=()) for item in old.items()]
            with open_memory(tmp_path / "new", weights_sha256="c" * 64) as new:
                assert new.copy_from(old) == 4
                assert new.copy_from(old) == 0
                assert [replace(item, id=0, sources=()) for item in new.items()] == expected
                insight = new.items(where="kind = 'insight'")[0]
                behind = {item.text for item in new.items() if item.id in insight.sources}
                assert behind == {RIVER[0], RIVER[2]}
                assert new.check() == []

    def test_for_reading_only(self, tmp_path: Path) -> None:
        with open_memory(tmp_path / "a") as memory:
            memory.remember("fish sleep")
        with Memory.open(tmp_path / "a", writable=False) as memory:
            assert len(memory) == 1
            with pytest.raises(OutputError, match="reading only"):
                memory.forget(1)
        with Memory.open(tmp_path / "a") as memory, pytest.raises(InputError, match="bundle"):
            memory.remember("boats float")

    def test_no_memories(self, tmp_path: Path) -> None:
        run_index(tmp_path / "a", write_documents(tmp_path / "docs"))
        with pytest.raises(IndexFileError, match="no memories"):
            Memory.open(tmp_path / "a", writable=False)
        with pytest.raises(InputError, match="no file"):
            Memory.open(tmp_path / "nope")

    def test_damage_is_reported(self, tmp_path: Path) -> None:
        with open_memory(tmp_path / "a") as memory:
            memory.remember("fish sleep")
            with memory.store.writing() as database:
                database.execute("DELETE FROM memory_vectors")
            assert memory.check() == ["1 memories have no vector"]
            with pytest.raises(IndexFileError, match="damaged"):
                memory.recall("fish")
            with memory.store.writing() as database:
                database.execute("UPDATE memories SET tags = '{'")
            with pytest.raises(IndexFileError, match="row 1 of memories has changed"):
                memory.items()

    def test_duplicate_makes_sense(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="duplicate"):
            open_memory(tmp_path / "a", duplicate=0)

    def test_int8_and_precision(self, tmp_path: Path) -> None:
        model = FakeModel()
        open_index(tmp_path / "a", model, encoding=VectorEncoding.INT8).close()
        with open_memory(tmp_path / "a", precision="int8") as memory:
            memory.remember("fish sleep")
            assert memory.recall("fish sleep")[0].similarity == pytest.approx(1, abs=0.02)

    def test_from_many_threads(self, memory: Memory) -> None:
        faults: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for turn in range(5):
                    memory.remember(f"thing {number} {turn} happened")
                    assert memory.recall("thing", 3)
            except BaseException as error:
                faults.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        assert len(memory) == 30


def test_what_another_connection_writes_is_seen(tmp_path: Path) -> None:
    with open_memory(tmp_path / "a") as one, open_memory(tmp_path / "a") as other:
        one.remember("fish sleep")
        assert other.recall("fish")[0].item.text == "fish sleep"
        assert other.remember("sleep fish").times == 2
        other.forget(1)
        assert one.recall("fish") == []


def test_older_files_open(tmp_path: Path) -> None:
    """An index that was made before there were memories gets their tables."""
    run_index(tmp_path / "a", write_documents(tmp_path / "docs"))
    store = open_store(tmp_path / "a")
    with store.reading() as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master")]
    store.close()
    assert not [name for name in names if "memor" in name]
    with open_memory(tmp_path / "a") as memory:
        assert memory.remember("fish sleep").id == 1
