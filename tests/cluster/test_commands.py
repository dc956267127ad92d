"""The commands around a corpus in Parquet files: embed, verify, index, search."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fakes.corpora import corpus
from fakes.programs import refused, run_minnow

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.extra("convert", "parquet")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, made: Tiny) -> Path:
    """A folder with a bundle, a corpus, and the vectors that the program made of it."""
    place = tmp_path_factory.mktemp("corpora")
    made.copy_to(place)
    (place / "corpus").mkdir()
    parquet.write_table(corpus(30), place / "corpus" / "a.parquet")
    done = run_minnow(
        "embed", "tiny.minnow", "--input", "corpus", "--output", "vectors", "--rows", "10",
        "--engine", "mnn", "--json", cwd=place,
    )  # fmt: skip
    assert done.code == 0, done.stderr
    (place / "facts.json").write_text(done.stdout)
    assert done.stderr.splitlines()[-1] == "30 of 30 rows"
    return place


def test_embed_counts_what_it_did(place: Path) -> None:
    facts = json.loads((place / "facts.json").read_text())
    assert (facts["output"], facts["parts"], facts["rows"], facts["embedded"]) == (
        "vectors", 3, 30, 30,
    )  # fmt: skip
    again = run_minnow(
        "embed", "tiny.minnow", "-i", "corpus/*.parquet", "-o", "vectors", "--rows", "10",
        "--engine", "mnn", "--json", cwd=place,
    )  # fmt: skip
    assert json.loads(again.stdout)["embedded"] == 0


def test_rows_with_errors_have_an_exit_code(place: Path, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"text": ["fish", None]}), tmp_path / "a.parquet")
    done = run_minnow(
        "embed", place / "tiny.minnow", "-i", tmp_path / "a.parquet", "-o", tmp_path / "out",
        "--vectors", "int8", "--engine", "mnn", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert (done.code, json.loads(done.stdout)["errors"]) == (8, 1)
    assert parquet.read_table(tmp_path / "out")["embedding_scale"].null_count == 0


def test_vectors_are_verified_and_searched(place: Path) -> None:
    done = run_minnow("verify", "vectors", "--bundle", "tiny.minnow", "--json", cwd=place)
    assert (done.code, json.loads(done.stdout)["faults"]) == (0, 0)
    for output, more in (("one.index", ()), ("shards", ("--shard-rows", "10"))):
        done = run_minnow("index", "--from", "vectors", "-o", output, *more, "--json", cwd=place)
        assert (done.code, json.loads(done.stdout)["rows"]) == (0, 30)
    found = [
        json.loads(run_minnow(
            "search", index, "fish", "-b", "tiny.minnow", "--mode", "vector", "--no-fold", "--json",
            cwd=place,
        ).stdout)
        for index in ("one.index", "shards")
    ]  # fmt: skip
    one, shards = ([hit["score"] for hit in answer["hits"]] for answer in found)
    assert len(one) == 5
    assert one == pytest.approx(shards)


def test_a_fault_has_an_exit_code(place: Path, tmp_path: Path) -> None:
    path = sorted((place / "vectors").glob("*.parquet"))[0]
    table = parquet.read_table(path)
    parquet.write_table(table.slice(1), tmp_path / path.name)
    done = run_minnow("verify", tmp_path, "--bundle", place / "tiny.minnow", cwd=place)
    assert done.code == 5
    assert f"fault: {path.name}: it has 9 rows" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("embed", "tiny.minnow", "-i", "corpus"), 2, "need --input and --output"),
        (("embed", "tiny.minnow", "-i", "corpus", "-o", "new", "--column", "body"), 8,
         "has no column 'body'"),
        (("embed", "tiny.minnow", "-i", "corpus", "-o", "new", "--on-truncate", "error"), 2,
         "leave --on-truncate out"),
        (("embed", "tiny.minnow", "-i", "corpus", "-o", "vectors", "--vectors", "int8"), 9,
         "has vectors of another model, column or options"),
        (("embed", "tiny.minnow", "-i", "s3x://corpus/wiki", "-o", "new"), 8, "cannot be opened"),
        (("index", "-o", "x.index"), 2, "Give paths of documents, or a folder of vectors"),
        (("index", "--from", "corpus", "-o", "x.index"), 8, "There are no vectors in corpus"),
        (("index", "--from", "vectors", "-o", "x.index", "--rebuild"), 2, "leave --chunk-tokens"),
        (("index", "--from", "vectors", "-o", "x.index", "--dim", "8"), 8,
         "Name the model with --bundle"),
        (("verify", "corpus", "--bundle", "tiny.minnow"), 8, "There are no vectors in corpus"),
    ],
)  # fmt: skip
def test_what_is_refused(place: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    assert message in refused(run_minnow(*arguments, cwd=place), code)
