"""A folder of vectors is checked: each fault that is planted is named."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fakes.bundles import Tiny

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.extra("convert", "parquet")


def check(folder: Path, made: Tiny) -> Any:
    from minnow.cluster.checking import verify_folder

    return verify_folder(folder, made.bundle.folder)


def test_an_intact_folder_has_no_fault(vectors: Path, made: Tiny) -> None:
    found = check(vectors, made)
    assert found.faults == []
    assert (found.files, found.rows, found.errors, found.checked) == (4, 40, 1, 32)
    assert found.worst > 0.9999


def set_vectors(table: Any, change: Callable[[Any], Any]) -> Any:
    from minnow.cluster.columns import read_vectors, vector_columns

    place = table.column_names.index("embedding")
    rows = change(read_vectors(table)).astype(np.float32)
    return table.set_column(place, "embedding", vector_columns(rows, "float32")["embedding"])


def with_nan(rows: Any) -> Any:
    rows[5, 3] = np.nan
    return rows


def other_texts(table: Any) -> Any:
    texts = [*table["text"].to_pylist()[:-1], "whales"]
    return table.set_column(table.column_names.index("text"), "text", pa.array(texts))


FAULTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "swapped": (lambda table: set_vectors(table, lambda rows: np.roll(rows, 1, 0)), "agreement"),
    "nan": (lambda table: set_vectors(table, with_nan), "1 of its vectors"),
    "long": (lambda table: set_vectors(table, lambda rows: 2 * rows), "do not have length 1"),
    "narrow": (lambda table: set_vectors(table, lambda rows: rows[:, 1:]), "of a width of"),
    "zeros": (lambda table: set_vectors(table, lambda rows: 0 * rows), "10 vectors are zeros"),
    "lost": (lambda table: table.slice(1), "it has 9 rows"),
    "texts": (other_texts, "its rows are not those that were embedded"),
}


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_is_named(vectors: Path, made: Tiny, tmp_path: Path, name: str) -> None:
    shutil.copytree(vectors, tmp_path / "out")
    path = sorted((tmp_path / "out").glob("*.parquet"))[2]
    change, message = FAULTS[name]
    table = parquet.read_table(path)
    parquet.write_table(change(table).replace_schema_metadata(table.schema.metadata), path)
    faults = check(tmp_path / "out", made).faults
    assert any(fault.startswith(path.name) and message in fault for fault in faults), faults


def test_a_part_twice_repeats_ids(vectors: Path, made: Tiny, tmp_path: Path) -> None:
    shutil.copytree(vectors, tmp_path / "out")
    path = sorted((tmp_path / "out").glob("*.parquet"))[2]
    shutil.copy(path, path.with_name(path.name.replace("corpus", "copy")))
    assert check(tmp_path / "out", made).faults == ["10 rows have an id that another row has too"]


def test_another_model_is_named(vectors: Path, pooled: Tiny, tmp_path: Path) -> None:
    from minnow.cluster.checking import verify_folder

    assert verify_folder(vectors, pooled.bundle.folder).faults == []  # the same weights
    shutil.copytree(vectors, tmp_path / "out")
    path = sorted((tmp_path / "out").glob("*.parquet"))[0]
    table = parquet.read_table(path)
    record = re.sub(
        rb'"weights_sha256":"\w+"', b'"weights_sha256":"0"', table.schema.metadata[b"minnow"]
    )
    parquet.write_table(table.replace_schema_metadata({b"minnow": record}), path)
    faults = verify_folder(tmp_path / "out", pooled.bundle.folder).faults
    assert len(faults) == 1
    assert "was made with another model" in faults[0]
