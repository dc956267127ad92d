"""Systems to compare: how they are written, what is found, and how they are distinguished."""

from __future__ import annotations

import shutil
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.bundles import PROMPTS, Tiny, with_author_graph
from fakes.checkpoint import edit_json, write_pooling
from fakes.gguf_files import make, write_decoder
from fakes.hub import FakeHub
from fakes.network import WATCH, forbid_network
from fakes.programs import run_python

from minnow import Embedder
from minnow.errors import (
    BundleError,
    EngineError,
    InputError,
    MinnowError,
    MissingExtraError,
    SourceNotFoundError,
)
from minnow.model.original import read_original
from minnow.model.spec import RolePrompts
from minnow.systems import KINDS, find_system, first_tokenizer, open_system

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.extra("convert"),
    pytest.mark.extra("onnxruntime"),
    pytest.mark.extra("openvino"),
    pytest.mark.extra("sentence-transformers"),
]

TEXTS = ["fish", "how do fish sleep", ""]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Share exports between the tests of a run, outside the user's cache."""
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path_factory.getbasetemp() / "exports"))


def named(made: Tiny, kind: str) -> str:
    place = made.bundle.folder if kind in ("", "mnn") else made.source.folder
    return f"{kind}:{place}" if kind else str(place)


PEERS = {"fastembed": "fastembed", "st-onnx": "st-backends", "st-openvino": "st-backends"}
USUAL = [kind for kind in KINDS if kind != "gguf" and kind not in PEERS]
WITH_A_SOURCE = [
    *USUAL,
    *(pytest.param(kind, marks=pytest.mark.extra(extra)) for kind, extra in PEERS.items()),
]
IN_HALF = ("openvino-bf16", "st-openvino")
quiet = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
"""What optimum and its like warn of when they are imported is none of ours."""


@quiet
@pytest.mark.parametrize("kind", WITH_A_SOURCE)
def test_what_is_found_can_be_opened(
    made: Tiny, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_network(monkeypatch)
    system = find_system(named(made, kind))
    embedder = open_system(system.name, threads=1)
    found = embedder.encode_query(TEXTS)
    embedder.close()

    with Embedder.open(made.bundle) as ours:
        expected = ours.encode_query(TEXTS)
    np.testing.assert_allclose(found, expected, atol=0.03 if kind in IN_HALF else 2e-5)
    assert system.prompts == RolePrompts(PROMPTS["query"], PROMPTS["document"])
    assert system.label == ("tiny.minnow" if kind in ("", "mnn") else f"{kind}:model")
    assert system.tokenizer is not None
    assert all(metadata.version(package) in system.runtime for package in KINDS[kind].packages)


@pytest.mark.extra("llama-cpp")
class TestGguf:
    def test_what_is_found_can_be_opened(self, made: Tiny, tmp_path: Path) -> None:
        file = make(tmp_path, pooling="mean", prompts=PROMPTS).file
        system = find_system(f"gguf:{file}")
        assert system.label == "gguf:model.gguf"
        assert system.size == file.stat().st_size
        assert system.prompts == RolePrompts(PROMPTS["query"], PROMPTS["document"])
        with Embedder.open(made.bundle) as ours:
            expected = ours.encode_query(TEXTS)
        for prompts in (None, system.prompts):
            embedder = open_system(system.name, threads=1, prompts=prompts)
            np.testing.assert_allclose(embedder.encode_query(TEXTS), expected, atol=2e-3)
            embedder.close()

    def test_one_that_states_no_prompts_takes_those_that_it_is_given(
        self, made: Tiny, tmp_path: Path
    ) -> None:
        silent = ("minnow.prompt.query", "minnow.prompt.document")
        name = f"gguf:{make(tmp_path, pooling='mean', without=silent).file}"
        prompts = RolePrompts(PROMPTS["query"], PROMPTS["document"])
        alone, with_prompts = find_system(name), find_system(name, prompts=prompts)
        assert (alone.prompts, with_prompts.prompts) == (None, prompts)
        assert alone.fingerprint != with_prompts.fingerprint

        embedder = open_system(name, threads=1, prompts=prompts)
        with Embedder.open(made.bundle) as ours:
            expected = ours.encode_query(TEXTS)
        np.testing.assert_allclose(embedder.encode_query(TEXTS), expected, atol=2e-3)
        embedder.close()

    def test_a_language_model_is_no_system(self, made: Tiny, tmp_path: Path) -> None:
        file = write_decoder(tmp_path / "chat.gguf", read_original(made.source))
        with pytest.raises(EngineError, match=r"chat\.gguf is not an embedding model: llama with"):
            open_system(f"gguf:{file}", threads=1)

    def test_something_else_is_no_system(self, tmp_path: Path) -> None:
        file = tmp_path / "broken.gguf"
        file.write_bytes(b"GGUF but not really")
        with pytest.raises(EngineError, match=r"llama\.cpp cannot load .*broken\.gguf"):
            find_system(f"gguf:{file}")


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_bundle_can_run_on_another_engine(made: Tiny, engine: str) -> None:
    system = find_system(f"{engine}:{made.bundle.folder}")
    embedder = open_system(system.name, threads=1)
    found = embedder.encode_document(TEXTS)
    embedder.close()

    with Embedder.open(made.bundle) as ours:
        np.testing.assert_allclose(found, ours.encode_document(TEXTS), atol=2e-5)
    assert "minnow's graph" in system.runtime


def test_the_authors_graph_is_preferred(made: Tiny, tmp_path: Path) -> None:
    """It is another network here, so that one sees which of the two was run."""
    folder = with_author_graph(made, tmp_path / "model")
    system = find_system(f"onnx:{folder}")
    embedder = open_system(system.name, threads=1)
    found = embedder.encode_document(TEXTS)
    with Embedder.open(made.bundle) as ours:
        assert not np.allclose(found, ours.encode_document(TEXTS), atol=1e-2)
    assert "the author's graph" in system.runtime
    assert system.fingerprint != find_system(f"onnx:{made.source.folder}").fingerprint


def test_the_size_is_that_of_the_files(made: Tiny) -> None:
    bundle = sum(path.stat().st_size for path in made.bundle.folder.rglob("*") if path.is_file())
    weights = (made.source.folder / "model.safetensors").stat().st_size
    assert find_system(named(made, "")).size == bundle
    assert weights < find_system(named(made, "st")).size < weights + 60_000


def test_a_fingerprint_is_of_all_that_decides_the_vectors(made: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made.source.folder, folder)
    names = [named(made, kind) for kind in USUAL]
    assert len({find_system(name).fingerprint for name in names}) == len(names)
    same = find_system(f"st:{made.source.folder}").fingerprint
    assert find_system(f"st:{folder}").fingerprint == same

    edit_json(folder / "config_sentence_transformers.json", prompts={"query": "", "document": ""})
    changed = find_system(f"st:{folder}")
    assert changed.fingerprint != same
    assert changed.prompts == RolePrompts()
    (folder / "README.md").write_text("other words")
    assert find_system(f"st:{folder}").fingerprint == changed.fingerprint


def test_a_pooling_decides_too(made: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made.source.folder, folder)
    before = find_system(f"st:{folder}").fingerprint
    write_pooling(folder, "cls")
    assert find_system(f"st:{folder}").fingerprint != before


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("gguf:", InputError, "names no file or source behind the colon"),
        ("gguf:no.gguf", MinnowError, "no.gguf"),
        ("onyx:model", InputError, "no system 'onyx'.*gguf:FILE"),
        ("no-such-folder", BundleError, "not a folder"),
        ("onnx:./no-such-folder", SourceNotFoundError, "no folder"),
        ("st:package:no-such-package", SourceNotFoundError, "not installed"),
    ],
)
def test_what_is_written_wrongly(
    name: str,
    kind: type[MinnowError],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=message):
        find_system(name)


def test_a_file_is_no_bundle(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(InputError, match=f"Did you mean gguf:{file}"):
        find_system(str(file))


@pytest.mark.parametrize(
    ("kind", "missing"),
    [(kind, package) for kind, row in KINDS.items() if kind for package in row.packages],
)
def test_a_missing_extra_is_named(
    made: Tiny, kind: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, real = KINDS[kind], metadata.version

    def version(package: str) -> str:
        if package == missing:
            raise metadata.PackageNotFoundError(package)
        return real(package)

    monkeypatch.setattr("minnow.systems.version", version)
    with pytest.raises(MissingExtraError) as caught:
        find_system(f"{kind}:{made.source.folder}")
    assert caught.value.extra == row.extra


@pytest.mark.parametrize("kind", WITH_A_SOURCE)
def test_no_system_touches_the_network(made: Tiny, kind: str, tmp_path: Path) -> None:
    """In a new process and a new home, with all that its libraries do when they are imported."""
    code = f"""
from minnow.systems import find_system, open_system
name = {named(made, kind)!r}
find_system(name)
open_system(name, threads=1).encode_query(["fish"])
"""
    done = run_python(WATCH + code, home=tmp_path, timeout=180)
    assert done.returncode == 0, done.stderr
    assert "NETWORK" not in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name != ".cache"] == []


@quiet
@pytest.mark.parametrize(
    "kind",
    [
        "onnx",
        "st",
        pytest.param("fastembed", marks=pytest.mark.extra("fastembed")),
        pytest.param("st-onnx", marks=pytest.mark.extra("st-backends")),
    ],
)
def test_a_model_of_the_hub_is_fetched_once(
    made: Tiny, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is opened without the network, with the author's graph or without."""
    with FakeHub() as hub:
        hub.use(monkeypatch, tmp_path / "home")
        hub.add("acme/tiny", made.source.folder)
        found = find_system(f"{kind}:acme/tiny")
        forbid_network(monkeypatch)
        embedder = open_system(found.name, threads=1)
        again = find_system(found.name, offline=True)

    assert found.label == f"{kind}:tiny"
    assert again.fingerprint == found.fingerprint
    with Embedder.open(made.bundle) as ours:
        expected = ours.encode_query(TEXTS)
    np.testing.assert_allclose(embedder.encode_query(TEXTS), expected, atol=2e-5)
    embedder.close()


def test_the_first_tokenizer_cuts_documents(made: Tiny) -> None:
    tokenizer = first_tokenizer([named(made, "st")])
    assert len(tokenizer.encode("fish " * 99).ids) == 101
