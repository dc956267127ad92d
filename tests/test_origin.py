"""The model that a bundle was made from, found again, and the graph rebuilt from it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.checkpoint import random_tensors, write_model, write_weights
from fakes.network import forbid_network

from minnow import Embedder
from minnow.errors import BundleError, EngineError, SourceNotFoundError
from minnow.origin import find_origin, rebuild_graph
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny

pytestmark = pytest.mark.extra("convert")

TEXTS = ["how do fish sleep", "", "two small fish run in the river " * 9]


def test_the_origin_is_where_the_manifest_says(made: Tiny) -> None:
    assert find_origin(made.bundle).folder == made.source.folder


def test_an_origin_that_moved_is_named_by_the_user(made: Tiny, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(made.source.folder, moved)

    assert find_origin(made.bundle, str(moved)).folder == moved
    assert rebuild_graph(made.bundle, str(moved)) == rebuild_graph(made.bundle)


def test_a_missing_origin_is_asked_for(made: Tiny, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="name it with `source=`"):
        find_origin(made.bundle, str(tmp_path / "gone"))


def test_other_weights_are_refused(made: Tiny, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other", pooling="mean")
    write_weights(other, random_tensors(other, seed=1))

    with pytest.raises(BundleError, match="does not hold the weights"):
        Embedder.open(made.bundle, engine="onnxruntime", source=str(other))


@pytest.mark.extra("onnxruntime")
@pytest.mark.extra("openvino")
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_bundle_on_a_server_gives_the_same_vectors(
    made: Tiny, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_network(monkeypatch)
    with (
        Embedder.open(made.bundle, on_truncate="ignore") as ours,
        Embedder.open(made.bundle, engine=engine, threads=1, on_truncate="ignore") as hosted,
    ):
        cosines = rowwise_cosine(ours.encode_query(TEXTS), hosted.encode_query(TEXTS))
        assert ours.token_ids(TEXTS) == hosted.token_ids(TEXTS)

    assert cosines.min() > 0.999999
    assert np.isfinite(cosines).all()


@pytest.mark.extra("onnxruntime")
def test_a_bundle_that_pools_is_pooled_outside_there(made: Tiny, pooled: Tiny) -> None:
    assert rebuild_graph(pooled.bundle) == rebuild_graph(made.bundle)
    with (
        Embedder.open(made.bundle, on_truncate="ignore") as ours,
        Embedder.open(pooled.bundle, engine="onnxruntime", on_truncate="ignore") as hosted,
    ):
        np.testing.assert_allclose(hosted.encode(TEXTS), ours.encode(TEXTS), atol=1e-5)


def test_an_unknown_engine(made: Tiny) -> None:
    with pytest.raises(EngineError, match="no engine 'tensorrt'"):
        Embedder.open(made.bundle, engine="tensorrt")
