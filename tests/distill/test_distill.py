"""Static queries: what is written, that it searches the teacher's index, and what is refused."""

from __future__ import annotations

import json
import random
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.programs import refused, run_minnow
from tokenizers import Tokenizer

from minnow.distill import distill
from minnow.distill.fitting import count_tokens, fit_table
from minnow.distill.queries import make_queries, split_texts
from minnow.distill.texts import read_fitting_texts
from minnow.errors import BundleError, InputError, OutputError, ParityError
from minnow.indexfile.query_table import RECORD, TABLE, StaticQueries, write_table
from minnow.search import Collection, Index, Record, open_model

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny

    from minnow.bundle import Bundle
    from minnow.indexfile.query_table import QueryTableRecord

pytestmark = pytest.mark.extra("convert")

WORDS = ("fish", "river", "run", "two", "red", "one")


def made_texts(count: int) -> list[str]:
    chance = random.Random(3)
    return [" ".join(chance.choices(WORDS, k=8)) + f" {n}." for n in range(count)]


@pytest.fixture(scope="module")
def teacher(made: Tiny) -> Bundle:
    return made.bundle


@pytest.fixture(scope="module")
def distilled(
    teacher: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, QueryTableRecord]:
    """Static queries of a tiny bundle."""
    folder = tmp_path_factory.mktemp("distilled") / "queries"
    return folder, distill(teacher.folder, made_texts(240), folder, least_share=0.0)


class TestFolder:
    def test_it_is_read_as_documented(self, distilled: tuple[Path, QueryTableRecord]) -> None:
        folder, record = distilled
        content, width = (folder / TABLE).read_bytes(), record.model.width
        rows, rank = record.rows, record.rank
        assert len(content) == 4 * (rows + rank * width) + rows * rank
        scales = struct.unpack(f"<{rows}f", content[: 4 * rows])
        basis = np.frombuffer(content, "<f4", rank * width, 4 * rows).reshape(rank, width)
        numbers = np.frombuffer(content, np.int8, offset=4 * (rows + rank * width))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        ids = tokenizer.encode("two red fish", add_special_tokens=False).ids
        vector = sum(scales[i] * numbers.reshape(rows, rank)[i] @ basis for i in ids)
        expected = vector / np.linalg.norm(vector)
        found = StaticQueries.open(folder).encode_queries(["two red fish"])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found[0], expected, atol=1e-5)

    def test_the_figures_are_sealed(self, distilled: tuple[Path, QueryTableRecord]) -> None:
        folder, record = distilled
        proof = record.proof
        assert proof is not None
        assert StaticQueries.open(folder).record == record
        assert proof.texts == 24
        assert record.fitted_texts == 216
        assert proof.low <= proof.ndcg - proof.teacher_ndcg <= proof.high
        assert -1 <= proof.worst_cosine <= proof.mean_cosine <= 1

    def test_the_fit_brings_vectors_near(
        self, distilled: tuple[Path, QueryTableRecord], teacher: Bundle
    ) -> None:
        texts = made_texts(300)[260:]
        with open_model(teacher) as model:
            expected = model.encode_queries(texts)
        found = StaticQueries.open(distilled[0]).encode_queries(texts)
        own, other = (
            1 - (found * vectors).sum(axis=1).mean()
            for vectors in (expected, np.roll(expected, 1, axis=0))
        )
        assert 2 * own < other

    @pytest.mark.parametrize("name", [TABLE, "tokenizer.json", RECORD])
    def test_what_has_changed_is_refused(
        self, distilled: tuple[Path, QueryTableRecord], tmp_path: Path, name: str
    ) -> None:
        for path in distilled[0].iterdir():
            content = path.read_bytes()
            middle = len(content) // 2
            if path.name == name:
                flipped = bytes([content[middle] ^ 1])
                content = content[:middle] + flipped + content[middle + 1 :]
            (tmp_path / path.name).write_bytes(content)
        with pytest.raises(BundleError):
            StaticQueries.open(tmp_path)


class TestSearch:
    def test_an_index_of_the_teacher_takes_it(
        self, distilled: tuple[Path, QueryTableRecord], teacher: Bundle, tmp_path: Path
    ) -> None:
        file = tmp_path / "a.index"
        with open_model(teacher) as model, Collection(file, model) as collection:
            collection.put([Record("1", "two red fish"), Record("2", "one river")])
        static = StaticQueries.open(distilled[0])
        (question,) = static.encode_queries(["red fish"])
        with Index.open(file, distilled[0]) as index:
            hits = index.search("red fish", mode="vector")
            expected = {hit.id: float(question @ index.vectors([hit.id])[0]) for hit in hits}
        assert len(hits) == 2
        for hit in hits:
            assert hit.score == pytest.approx(expected[hit.id], abs=1e-5)
        with pytest.raises(InputError, match="embed no documents"):
            static.encode_documents(["fish"])
        with (
            Index.open(file, distilled[0]) as index,
            pytest.raises(InputError, match="holds no word"),
        ):
            index.search(" ", mode="vector")

    def test_the_command(
        self, distilled: tuple[Path, QueryTableRecord], teacher: Bundle, tmp_path: Path
    ) -> None:
        texts = tmp_path / "texts.txt"
        texts.write_text("\n".join(made_texts(200)))
        arguments = ("distill", teacher.folder, "--texts", texts, "--output", tmp_path / "q")
        done = run_minnow(*arguments, "--least-share", "0", "--json")
        assert done.code == 0, done.stderr
        facts = json.loads(done.stdout)
        assert facts["fitted_texts"] == 180
        assert facts["file_bytes"] == sum(
            p.stat().st_size for p in (tmp_path / "q").iterdir() if p.name != RECORD
        )
        refusal = run_minnow("index", texts, "-b", tmp_path / "q", "-o", tmp_path / "a.index")
        assert "not a bundle" in refused(refusal, 6)


class TestRefusals:
    def test_what_finds_too_little(self, teacher: Bundle, tmp_path: Path) -> None:
        with pytest.raises(ParityError, match=r"Refused: the static queries find .* the bar is"):
            distill(teacher.folder, made_texts(200), tmp_path / "q", least_share=1.01)
        assert list(tmp_path.iterdir()) == []

    def test_few_texts(self, teacher: Bundle, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="at least 200 texts, not 199"):
            distill(teacher.folder, [*made_texts(199), " "], tmp_path / "q")

    def test_no_room(self, teacher: Bundle, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"does not fit into 0\.0 MB"):
            distill(teacher.folder, made_texts(200), tmp_path / "q", most_bytes=9000)

    def test_another_folder_is_not_replaced(self, teacher: Bundle, tmp_path: Path) -> None:
        (tmp_path / "q").mkdir()
        (tmp_path / "q/mine.txt").write_text("mine")
        with pytest.raises(OutputError, match="holds files that are not"):
            distill(teacher.folder, made_texts(200), tmp_path / "q")


class TestParts:
    def test_the_fit_solves_the_normal_equations(self) -> None:
        chance = np.random.default_rng(0)
        rows = [chance.integers(0, 9, size=n).tolist() for n in (1, 2, 4, 5, 9, 3, 3)]
        vectors = chance.normal(size=(len(rows), 4)).astype(np.float32)
        prior = chance.normal(size=(9, 4)).astype(np.float32)
        dense = np.zeros((len(rows), 9))
        for i, row in enumerate(rows):
            np.add.at(dense[i], row, len(row) ** -0.25)
        expected = np.linalg.solve(dense.T @ dense + np.eye(9), dense.T @ vectors + prior)
        np.testing.assert_allclose(
            fit_table(count_tokens(rows, 9), vectors, prior), expected, atol=1e-3
        )

    def test_a_table_that_fits_whole_is_rounded_only(self, tmp_path: Path) -> None:
        table = np.random.default_rng(0).normal(size=(50, 24)).astype(np.float32)
        (tmp_path / "tokenizer.json").write_bytes(b"{}")
        rows, rank = write_table(tmp_path, table, 10_000)
        assert (rows, rank) == (50, 24)
        _, smaller = write_table(tmp_path, table, 4 * 50 + 18 * (50 + 4 * 24) + 2)
        assert smaller == 18

    def test_queries_are_of_their_texts_and_the_same_each_time(self) -> None:
        texts = [f"The {word} is a word of the text with this word. It is short." for word in WORDS]
        made = make_queries(texts, 20)
        assert made == make_queries(texts, 20)
        assert {place for place, _ in made} == set(range(len(WORDS)))
        assert len(make_queries(texts, 4)) == 4
        for place, query in made:
            own = set(texts[place].replace(".", "").split())
            known = {word.strip("?.") for word in query.split()} & own
            assert len(known) >= 2

    def test_texts_are_divided(self) -> None:
        fitted, kept = split_texts(WORDS, 2)
        assert len(kept) == 2
        assert sorted((*fitted, *kept)) == sorted(WORDS)

    def test_sources_of_texts(self, teacher: Bundle, tmp_path: Path) -> None:
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs/a.md").write_text("# One\n\nred fish\n\n# Two\n\nriver\n")
        assert [t.strip() for t in read_fitting_texts(tmp_path / "docs")] == ["red fish", "river"]
        with open_model(teacher) as model, Collection(tmp_path / "a.index", model) as collection:
            collection.put([Record("1", "two red fish")])
        assert read_fitting_texts(tmp_path / "a.index") == ["two red fish"]
        (tmp_path / "a.txt").write_text("one\ntwo\n")
        assert read_fitting_texts(tmp_path / "a.txt") == ["one", "two"]
