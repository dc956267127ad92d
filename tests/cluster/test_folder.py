"""Folders of Parquet files with vectors: whole files, runs that are resumed, samples that agree."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.corpora import MNN, corpus

from minnow.errors import InputError, OutputError, ParityError

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny

    from minnow.cluster import Job

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.extra("convert", "parquet")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    (folder / "more").mkdir(parents=True)
    parquet.write_table(corpus(25), folder / "a.parquet", row_group_size=4)
    parquet.write_table(corpus(7, start=25), folder / "more" / "b.parquet")
    (folder / "_done").write_text("")
    return folder


def read(folder: Path) -> Any:
    return parquet.read_table(folder).sort_by("id")


class TestRuns:
    def test_every_row_has_the_vector_of_its_text(
        self, source: Path, job: Job, tmp_path: Path
    ) -> None:
        from minnow.cluster import BlockRunner, embed_folder

        seen: list[tuple[int, int]] = []
        report = embed_folder(
            source, tmp_path / "out", job, rows=10, progress=lambda *state: seen.append(state)
        )
        assert (report.parts, report.rows, report.embedded, report.errors) == (4, 32, 32, 0)
        assert seen == [(10, 32), (20, 32), (25, 32), (32, 32)]
        found = read(tmp_path / "out")
        whole = pa.concat_tables([corpus(25), corpus(7, 25)]).sort_by("id")
        assert found.select(["id", "text", "lang"]).equals(whole)
        with BlockRunner(job) as runner:
            expected = runner(whole)["embedding"].to_pylist()
        np.testing.assert_allclose(found["embedding"].to_pylist(), expected, atol=1e-5)

    def test_a_second_run_embeds_nothing_and_needs_no_runtime(
        self, source: Path, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from minnow.cluster import embed_folder, folder

        embed_folder(source, tmp_path / "out", job, rows=20)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
        monkeypatch.setattr(folder, "BlockRunner", None)
        again = embed_folder(source / "*.parquet", tmp_path / "out", job, rows=20)
        assert (again.parts, again.embedded, again.others) == (2, 0, 1)
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before

    def test_a_stopped_run_ends_as_an_unbroken_one(
        self, source: Path, job: Job, tmp_path: Path
    ) -> None:
        from minnow.cluster import embed_folder

        def stop(done: int, total: int) -> None:
            if done == 20:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            embed_folder(source, tmp_path / "out", job, rows=10, progress=stop)
        report = embed_folder(source, tmp_path / "out", job, rows=10)
        assert (report.parts, report.embedded) == (4, 12)
        embed_folder(source, tmp_path / "unbroken", job, rows=10)
        assert read(tmp_path / "out").equals(read(tmp_path / "unbroken"))

    def test_changed_rows_replace_their_part_and_new_rows_the_last(
        self, source: Path, job: Job, tmp_path: Path
    ) -> None:
        from minnow.cluster import embed_folder

        embed_folder(source, tmp_path / "out", job, rows=10)
        parquet.write_table(corpus(28), source / "a.parquet")
        report = embed_folder(source, tmp_path / "out", job, rows=10)
        assert (report.embedded, report.replaced) == (8, 1)
        changed = corpus(28).set_column(2, "lang", pa.array(["de"] + ["en"] * 27))
        parquet.write_table(changed, source / "a.parquet")
        report = embed_folder(source, tmp_path / "out", job, rows=10)
        assert (report.embedded, report.replaced) == (10, 1)
        assert read(tmp_path / "out")["lang"].to_pylist().count("de") == 1
        assert len(read(tmp_path / "out")) == 35

    def test_a_kept_column_and_made_ids(self, source: Path, job: Job, tmp_path: Path) -> None:
        from minnow.cluster import embed_folder

        parquet.write_table(corpus(25).drop_columns("id"), source / "a.parquet")
        report = embed_folder(source / "a.parquet", tmp_path / "out", job, rows=10, keep=[])
        found = parquet.read_table(tmp_path / "out")
        assert (report.rows, found.column_names[:3]) == (25, ["id", "text", "embedding"])
        assert set(found["id"].to_pylist()) == {f"a.parquet#{n}" for n in range(25)}

    def test_object_stores_and_fsspec(self, source: Path, job: Job) -> None:
        fsspec = pytest.importorskip("fsspec")
        from minnow.cluster import embed_folder

        memory = fsspec.filesystem("memory")
        for _ in range(2):
            report = embed_folder(source, "/vectors", job, output_filesystem=memory)
        assert (report.parts, report.embedded) == (2, 0)
        assert len([name for name in memory.ls("/vectors", False) if "minnow-" in name]) == 0
        memory.rm("/vectors", recursive=True)
        report = embed_folder(source.as_uri() + "/*.parquet", "/vectors", job,
                              output_filesystem=memory)  # fmt: skip
        assert report.rows == 25


class TestFiles:
    def test_a_file_says_what_it_is(self, source: Path, job: Job, tmp_path: Path) -> None:
        from minnow.cluster import embed_folder
        from minnow.cluster.parts import read_record
        from minnow.cluster.places import Place

        embed_folder(source / "a.parquet", tmp_path / "out", job, rows=20)
        names = sorted(path.name for path in (tmp_path / "out").glob("*.parquet"))
        records = [read_record(Place.of(tmp_path / "out" / name)) for name in names]
        assert [(r.source, r.start, r.rows) for r in records] == [
            ("a.parquet", 0, 20), ("a.parquet", 20, 5),
        ]  # fmt: skip
        first = records[0]
        assert names[0].startswith("a-")
        assert first.key[:16] in names[0]
        assert len(first.sample.rows) == 8
        assert first.sample.worst > 0.9999
        assert first.host == f"{os.uname().nodename}/{os.getpid()}" != first.sample.host
        vectors = np.frombuffer(first.sample.vectors, "<f4").reshape(8, -1)
        table = parquet.read_table(tmp_path / "out" / names[0])
        own = np.array(table["embedding"].to_pylist(), np.float32)[first.sample.rows]
        np.testing.assert_allclose(own, vectors, atol=1e-5)

    @pytest.mark.parametrize(("dtype", "most"), [("float32", 4), ("float16", 2), ("int8", 1)])
    def test_vectors_take_the_bytes_of_their_numbers(
        self, tmp_path: Path, dtype: Any, most: int
    ) -> None:
        from minnow.cluster.columns import vector_columns
        from minnow.cluster.parts import PartRecord, with_record

        rows, width = 2000, 384
        vectors = np.random.default_rng(1).normal(size=(rows, width)).astype(np.float32)
        record: PartRecord = None  # type: ignore[assignment]  # of which only the JSON is written
        content = with_record(pa.table(vector_columns(vectors, dtype)), record)
        assert rows * width * most <= len(content) < rows * width * (most + 0.1)

    def test_a_neighbour_that_does_not_agree_stops_the_run(
        self, source: Path, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from minnow.cluster import BlockRunner, embed_folder

        run = BlockRunner.run

        def wrong(runner: BlockRunner, rows: Any) -> Any:
            vectors, truncated, errors = run(runner, rows)
            return np.roll(vectors, 1, axis=0), truncated, errors

        monkeypatch.setattr(BlockRunner, "run", wrong)  # in this process, not in the other one
        with pytest.raises(ParityError, match=r"row of a\.parquet, part 0 is"):
            embed_folder(source, tmp_path / "out", job)
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["_minnow.json"]

    def test_another_job_is_refused(
        self, source: Path, made: Tiny, job: Job, tmp_path: Path
    ) -> None:
        from minnow.cluster import Job, embed_folder

        embed_folder(source, tmp_path / "out", job)
        other = Job.embedding(made.bundle.folder, role="query", options=MNN)
        with pytest.raises(OutputError, match="has vectors of another model"):
            embed_folder(source, tmp_path / "out", other)

    def test_after_an_error_the_right_command_works(
        self, source: Path, made: Tiny, job: Job, tmp_path: Path
    ) -> None:
        """The folder of a run that wrote nothing was refused as one of another column."""
        from minnow.cluster import Job, embed_folder

        wrong = Job.embedding(made.bundle.folder, "txet", options=MNN)
        with pytest.raises(InputError, match="no column 'txet'"):
            embed_folder(source, tmp_path / "out", wrong)
        assert embed_folder(source, tmp_path / "out", job).rows == 32
        with pytest.raises(OutputError, match="another model, column or options"):
            embed_folder(source, tmp_path / "out", wrong)

    @pytest.mark.parametrize(
        ("given", "output", "refused"),
        [("", "", True), ("", "vectors", True), ("", "_vectors", False), ("*.parquet", "", True),
         ("*.parquet", "vectors", False), ("a.parquet", "", False), ("", "../beside", False)],
    )  # fmt: skip
    def test_vectors_are_not_written_where_the_next_run_would_read_them(
        self, source: Path, job: Job, given: str, output: str, refused: bool
    ) -> None:
        from minnow.cluster import embed_folder

        for _ in range(2):
            if refused:
                with pytest.raises(InputError, match="Name a folder elsewhere"):
                    embed_folder(source / given, source / output, job)
                assert not (source / output / "_minnow.json").exists()
            else:
                assert embed_folder(source / given, source / output, job).rows in (25, 32)

    def test_a_name_with_brackets_is_the_file_if_there_is_one(
        self, job: Job, tmp_path: Path
    ) -> None:
        from minnow.cluster import embed_folder

        parquet.write_table(corpus(3), tmp_path / "data[1].parquet")
        assert embed_folder(tmp_path / "data[1].parquet", tmp_path / "out", job).rows == 3

    def test_what_killed_runs_leave_is_removed_after_an_hour(
        self, source: Path, job: Job, tmp_path: Path
    ) -> None:
        from minnow.cluster import embed_folder

        (tmp_path / "out").mkdir()
        old, new = (tmp_path / "out" / f".minnow-{name}" for name in ("old", "new"))
        for path in (old, new):
            path.write_text("half")
        os.utime(old, (time.time() - 7200,) * 2)
        embed_folder(source, tmp_path / "out", job)
        assert (old.exists(), new.exists()) == (False, True)
        assert len(read(tmp_path / "out")) == 32

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("none", "There is no Parquet file at"),
            ("broken.parquet", r"Cannot read .*broken\.parquet"),
            ("titles.parquet", r"titles\.parquet has no column 'text'; it has title"),
            ("s3x://bucket/corpus", "s3x://bucket/corpus cannot be opened"),
        ],
    )
    def test_a_source_that_cannot_be_read(
        self, job: Job, tmp_path: Path, name: str, message: str
    ) -> None:
        from minnow.cluster import embed_folder

        (tmp_path / "broken.parquet").write_bytes(b"PAR1")
        parquet.write_table(pa.table({"title": ["fish"]}), tmp_path / "titles.parquet")
        given = name if "://" in name else tmp_path / name
        with pytest.raises(InputError, match=message):
            embed_folder(given, tmp_path / "out", job)
