"""An index that is migrated to another model, before, while and after its texts are embedded."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.programs import start_python
from fakes.remembering import open_memory
from fakes.searching import FakeModel, TurnedModel, contents_of, run_index, write_documents

from minnow.errors import IndexFileError, InputError
from minnow.indexfile.documents import VECTORS
from minnow.indexfile.opening import make_store, open_store
from minnow.indexfile.schema import MIGRATING, VERSION, second_generation, vectors_schema
from minnow.indexfile.store import OpenIndexFile
from minnow.memory import Memory
from minnow.migration import MigrationReport, cancel_migration, migrate_store
from minnow.search import Collection, Index, Record, open_index

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:.* is being migrated")

WORDS = [
    "fish",
    "river",
    "kettle",
    "train",
    "night",
    "platform",
    "vinegar",
    "boat",
    "school",
    "water",
    "stone",
    "bird",
]


def documents() -> dict[str, str]:
    """Return texts of which each has its own words, in sentences."""
    chance = random.Random(3)
    return {
        f"{n}.txt": " ".join(
            f"Number{n} {' '.join(chance.sample(WORDS, 5))} w{n * i}." for i in (1, 2)
        )
        for n in range(60)
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return an index of files, with a record and a memory."""
    run_index(tmp_path / "a.index", write_documents(tmp_path / "docs", documents()))
    with Collection(tmp_path / "a.index", FakeModel()) as collection:
        collection.put([Record("1", "Eels swim far.", {"lang": "en"})])
    with open_memory(tmp_path / "a.index") as memory:
        memory.remember("Emma eats no peanuts.")
    return tmp_path / "a.index"


@pytest.fixture
def begun(file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the same with a migration of which only the sample is embedded."""
    monkeypatch.setattr("minnow.migration.running.SAMPLE", 30)
    assert not run(file, limit=0).is_finished
    return file


def run(file: Path, model: FakeModel | None = None, **options: Any) -> MigrationReport:
    """Go on with a migration."""
    with closing(open_store(file, writable=True)) as store:
        return migrate_store(store, model or TurnedModel(), **options)


def open_with(file: Path, model: FakeModel) -> Index:
    return Index(open_store(file), model)


def version_of(file: Path) -> int:
    with closing(sqlite3.connect(file)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def tables_of(file: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute("SELECT name, sql FROM sqlite_master ORDER BY name")
        return [(name, "".join(str(sql).split())) for name, sql in rows]


def test_a_finished_one_is_a_fresh_index_of_the_new_model(file: Path, tmp_path: Path) -> None:
    tables, before = tables_of(file), contents_of(file)
    with closing(open_store(file)) as store:
        identity, settings = store.id, store.settings
    (tmp_path / "a.index.usearch").write_bytes(b"of the old vectors")
    report = run(file)
    assert (report.is_finished, report.texts, report.migrated, report.embedded) == (
        True,
        62,
        62,
        62,
    )
    assert (tables_of(file), version_of(file)) == (tables, VERSION)
    after = contents_of(file)  # which checks the file
    assert [(*row[:9], *row[10:]) for row in after] == [(*row[:9], *row[10:]) for row in before]
    expected = TurnedModel().encode_documents([row[4] for row in after])
    for row, vector in zip(after, expected, strict=True):
        assert np.allclose(np.frombuffer(row[9], "<f2").astype(np.float32), vector, atol=1e-3)
    with closing(open_store(file)) as store:
        assert (store.fingerprint, store.settings) == (TurnedModel().fingerprint, settings)
        assert store.id != identity  # what was made of the old vectors fits no more
        facts = dict(store.database.execute("SELECT name, value FROM meta"))
    assert not any(name.startswith(("migration", "memory_background")) for name in facts)
    assert not (tmp_path / "a.index.usearch").exists()
    with Memory(open_store(file, writable=True), TurnedModel()) as memory:
        assert memory.recall("who eats peanuts?", 1)[0].item.text == "Emma eats no peanuts."
    run_index(file, tmp_path / "docs", model=TurnedModel())
    assert run(file).is_finished  # again: nothing to do


def test_the_new_model_searches_at_once(begun: Path) -> None:
    texts = documents()
    with open_with(begun, TurnedModel()) as index, open_with(begun, FakeModel()) as old:
        for mode in ("vector", "keyword", "hybrid"):
            (hit,) = index.search(texts["7.txt"], 1, mode=mode)
            assert hit.source.endswith("docs/7.txt")
            assert hit.source == old.search(texts["7.txt"], 1, mode=mode)[0].source
        found = index.search("fish", 5, where="metadata->>'lang' = 'en'")
        assert [hit.text for hit in found] == ["Eels swim far."]
        with pytest.raises(InputError, match="does not have all vectors"):
            index.vectors([1])
        run(begun, limit=20)  # what other processes embed is taken up
        (hit,) = index.search(texts["7.txt"], 1, mode="vector")
        assert hit.source.endswith("docs/7.txt")


def test_embedded_texts_have_the_scores_of_the_end(begun: Path) -> None:
    question = ["Number7 w7 w14"]
    with closing(open_store(begun)) as store:
        rows = store.database.execute("SELECT id FROM migrated_vectors").fetchall()
    said = pytest.warns(UserWarning, match="vectors of 31 of its 61 chunks are predicted")
    with said, open_with(begun, TurnedModel()) as index:
        early = {hit.id: hit.score for hit in index.search_many(question, 100, mode="vector")[0]}
    run(begun)
    with open_with(begun, TurnedModel()) as index:
        late = {hit.id: hit.score for hit in index.search_many(question, 100, mode="vector")[0]}
    assert {id_: early[id_] for (id_,) in rows} == {id_: late[id_] for (id_,) in rows}
    assert early != late
    assert np.corrcoef([early[id_] for id_ in late], list(late.values()))[0, 1] > 0.9


def test_the_old_model_reads_and_writes_meanwhile(begun: Path, tmp_path: Path) -> None:
    write_documents(tmp_path / "docs", documents() | {"7.txt": "", "new.txt": "A heron stands."})
    run_index(begun, tmp_path / "docs")
    with open_memory(begun) as memory:
        memory.remember("Jonas plays chess.")
        assert len(memory.recall("chess", 9)) == 2
    with open_with(begun, TurnedModel()) as index:
        assert index.search("A heron stands.", 1)[0].text == "A heron stands."
        assert not any("Number7 " in hit.text for hit in index.search("Number7", 100))
    assert run(begun).is_finished
    assert "A heron stands." in {row[4] for row in contents_of(begun)}
    with Memory(open_store(begun), TurnedModel()) as memory:
        assert len(memory) == 2


@pytest.mark.parametrize("opening", [Memory, OpenIndexFile, open_index, Collection])
def test_the_new_model_writes_only_afterwards(begun: Path, opening: Any) -> None:
    given = begun if opening in (open_index, Collection) else open_store(begun, writable=True)
    with pytest.raises(IndexFileError, match=r"is being migrated to made/turned.*for searching"):
        opening(given, TurnedModel())


def test_another_model_is_refused(begun: Path) -> None:
    third = FakeModel(weights_sha256="d" * 64, model_id="made/third")
    with pytest.raises(
        IndexFileError, match=r"is being migrated to made/turned .*, not to made/th"
    ):
        run(begun, third)
    with pytest.raises(IndexFileError, match="was made with another model"):
        open_with(begun, third)
    with pytest.raises(IndexFileError, match="holds records"):
        open_index(begun, third, rebuild=True)


def test_cancelled(begun: Path) -> None:
    index = open_with(begun, TurnedModel())
    before = contents_of(begun)
    assert version_of(begun) == MIGRATING + VERSION
    assert (cancel_migration(begun), cancel_migration(begun)) == (True, False)
    assert (contents_of(begun), version_of(begun)) == (before, VERSION)
    with pytest.raises(IndexFileError, match="was cancelled meanwhile"), index:
        index.search("fish", mode="vector")
    with pytest.raises(IndexFileError, match="another model"):
        open_with(begun, TurnedModel())


class MeanwhileModel(TurnedModel):
    """Calls a function before some batch, as if another process ran then."""

    def __init__(self, meanwhile: Callable[[], object], *, at: int = 1) -> None:
        super().__init__()
        self.meanwhile, self.left = meanwhile, at

    def encode_documents(self, texts: Sequence[str]) -> Any:
        self.left -= 1
        if not self.left:
            self.meanwhile()
        return super().encode_documents(texts)


def test_cancelled_while_another_process_embeds(begun: Path) -> None:
    """That one wrote on; a later migration to a third model took its vectors for the third's."""
    before = contents_of(begun)
    with pytest.raises(IndexFileError, match="was cancelled meanwhile"):
        run(begun, MeanwhileModel(lambda: cancel_migration(begun)))
    assert contents_of(begun) == before
    with closing(sqlite3.connect(begun)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master")]
    assert not [name for name in names if name.startswith("migrat")]
    third = TurnedModel(weights_sha256="d" * 64, model_id="made/third")
    third._turn = -third._turn
    assert run(begun, third).is_finished
    with open_with(begun, third) as index:
        hits = index.select("1 = 1")
        expected = third.encode_documents([hit.text for hit in hits])
        cosines = (index.vectors([hit.id for hit in hits]) * expected).sum(axis=1)
    assert cosines.min() > 0.99


def test_vectors_that_an_older_minnow_left_after_cancelling_are_not_taken(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, row = second_generation(VECTORS), (1, bytes(40))
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(vectors_schema(left))
        database.execute(f"INSERT INTO {left.name} VALUES (?, ?, ?)", (*row, left.checksum(row)))
    monkeypatch.setattr("minnow.migration.running.SAMPLE", 30)
    assert run(file).is_finished
    with open_with(file, TurnedModel()) as index:
        assert np.abs(index.vectors([1])).max() > 0.01


def test_two_processes_that_begin_at_once(file: Path) -> None:
    """The second of them said that the file is damaged."""
    model = MeanwhileModel(lambda: run(file, limit=0))
    with pytest.raises(IndexFileError, match="has begun to migrate"):
        run(file, model)
    assert run(file).is_finished


def test_an_older_reader_refuses_it(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minnow.indexfile.schema.VERSION", VERSION - 1)
    with pytest.raises(IndexFileError, match=f"has version {MIGRATING + VERSION}; this minnow"):
        open_store(begun)


def test_what_no_model_can_make_again_is_refused(file: Path) -> None:
    with pytest.raises(InputError, match="has 18 tokens, and made/turned in fp16 takes 10"):
        run(file, TurnedModel(max_tokens=10))
    with Collection(file, FakeModel()) as collection:
        collection.put([Record("2", "Given.", vector=np.ones(24, np.float32))])
    with pytest.raises(IndexFileError, match="The vector of the record collection://records#2"):
        run(file)
    assert version_of(file) == VERSION


@pytest.mark.parametrize("table", ["migrated_vectors", "migration_map"])
def test_damage_is_noticed(begun: Path, table: str) -> None:
    with closing(sqlite3.connect(begun)) as database, database:
        database.execute(f"UPDATE {table} SET vector = zeroblob(length(vector))")
    with (
        pytest.raises(IndexFileError, match="has changed"),
        open_with(begun, TurnedModel()) as index,
    ):
        index.search("fish", mode="vector")
    with closing(open_store(begun)) as store:
        assert any(table in fault for fault in store.check())
    with open_with(begun, FakeModel()) as index:
        assert index.search("fish", mode="vector")


def test_the_loss_is_said_before_and_during(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minnow.migration.running.SAMPLE", 50)
    seen: list[MigrationReport] = []
    report = run(file, limit=3, progress=seen.append)
    assert (seen[0].embedded, seen[0].migrated, seen[0].losses) == (50, 50, report.losses)
    assert "mean cosine 0.9" in report.method
    assert [(loss.mode, loss.share) for loss in report.losses] == [
        (mode, share) for mode in ("vector", "hybrid") for share in (0, 0.25, 0.5, 0.75)
    ]
    for loss in report.losses:
        assert loss.interval.difference == pytest.approx(loss.ndcg - loss.ndcg_after)
        assert loss.interval.low <= loss.interval.difference <= loss.interval.high
        assert 0.5 < loss.ndcg <= 1
    again = run(file, limit=0)
    assert (again.losses, again.migrated, again.embedded) == (report.losses, 53, 0)


def test_the_loss_on_questions_of_a_user(file: Path) -> None:
    losses = run(file, limit=0, questions=["fish and boats", "a river at night"]).losses
    assert losses[0].interval.queries == 2
    assert losses[0].ndcg_after == pytest.approx(1)  # what the new model finds is right


def test_few_texts_need_no_map(tmp_path: Path) -> None:
    run_index(tmp_path / "a.index", write_documents(tmp_path / "docs", {"a.txt": "one fish"}))
    assert run(tmp_path / "a.index").is_finished
    make_store(
        tmp_path / "b.index", FakeModel().fingerprint, open_store(tmp_path / "a.index").settings
    )
    assert run(tmp_path / "b.index").is_finished


_MIGRATE = """
import sys, time
from pathlib import Path
from contextlib import closing
from minnow.migration import migrate_store, running
from minnow.search import open_store
from fakes.searching import TurnedModel
running.SAMPLE, running._AT_A_TIME = 20, 5

class Slow(TurnedModel):
    def encode_documents(self, texts):
        time.sleep(0.03)
        return super().encode_documents(texts)

with closing(open_store(Path(sys.argv[1]), writable=True)) as store:
    print("ready", flush=True)
    migrate_store(store, Slow())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_killed_at_random_moments(file: Path) -> None:
    """The file is whole, one of the models answers, and the end is that of an unbroken run."""
    chance, cut, states = random.Random(7), 0, set()
    for _ in range(6):
        child = start_python(_MIGRATE, file)
        time.sleep(chance.uniform(0, 0.5))
        child.kill()
        child.communicate()
        cut += child.returncode == -signal.SIGKILL
        contents_of(file)
        with closing(open_store(file)) as store:
            states.add((store.fingerprint.model_id, store.fact("migration") is not None))
        for model in (FakeModel(), TurnedModel()):
            try:
                index = open_with(file, model)
            except IndexFileError:
                continue
            with index:
                assert index.search(documents()["7.txt"], 1)[0].source.endswith("docs/7.txt")
                break
        else:
            pytest.fail("no model searches the file")
    assert cut > 0
    run(file)
    expected = TurnedModel().encode_documents([row[4] for row in contents_of(file)])
    stored = [np.frombuffer(row[9], "<f2").astype(np.float32) for row in contents_of(file)]
    assert np.allclose(stored, expected, atol=1e-3)
