"""The C++ library on what else minnow writes: fixed shapes, device checks, the mnn-llm layout."""

from __future__ import annotations

import importlib.util
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import write_model
from fakes.native import has_llm

from minnow import Embedder
from minnow.convert import convert
from minnow.device import read_answers, write_check
from minnow.manifest import ENCODER, MANIFEST
from minnow.proof.probes import probe_texts
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.native import Program

    from minnow.bundle import Bundle

pytestmark = [pytest.mark.mnn_sdk, pytest.mark.tool("g++"), pytest.mark.extra("convert")]

CLOSE = 2e-5
LIMIT = 24


def probes() -> dict[str, str]:
    found = probe_texts(LIMIT, lambda text: len(text.split()) + 2)
    return {probe.name: probe.text for probe in found}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("layouts")
    model = write_model(folder / "model", pooling="mean", max_tokens=LIMIT)
    return convert(str(model), folder / "bundle", recipe=RECIPES["fp32"])


def with_shapes(bundle: Bundle, folder: Path, shapes: list[tuple[int, int]]) -> Path:
    """Write a copy that lists encoders for fixed shapes; each is the encoder for any."""
    shutil.copytree(bundle.folder, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["fixed_shapes"] = []
    for batch, tokens in shapes:
        name = f"encoder-{batch}x{tokens}.mnn"
        shutil.copy(folder / ENCODER, folder / name)
        manifest["files"][name] = manifest["files"][ENCODER]
        manifest["fixed_shapes"].append({"batch": batch, "tokens": tokens, "file": name})
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("shapes", [[(1, 16), (1, 8)], [(3, LIMIT)], [(2, 4)]])
def test_texts_are_padded_to_the_shape_that_is_long_enough(
    shapes: list[tuple[int, int]], bundle: Bundle, program: Program, tmp_path: Path
) -> None:
    """Longer texts than all of them go to the encoder for any shape."""
    folder = with_shapes(bundle, tmp_path / "fixed", shapes)
    texts = list(probes().values())
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        expected = embedder.encode(texts)
    for options in ((), ("--batch",)):
        found = np.array(program.rows(folder, texts, "--fixed-shapes", *options))
        assert np.abs(found - expected).max() < CLOSE


def test_a_shape_without_its_encoder_is_reported(
    bundle: Bundle, program: Program, tmp_path: Path
) -> None:
    folder = with_shapes(bundle, tmp_path / "fixed", [(1, 8)])
    (folder / "encoder-1x8.mnn").write_bytes((folder / ENCODER).read_bytes()[:100])
    assert "encoder-1x8.mnn is missing or truncated" in program.refusal(folder, "a")


def check_folder(bundle: Bundle, folder: Path) -> dict[str, Any]:
    """What `minnow device-check` writes, as far as a runner reads it."""
    shutil.copytree(bundle.folder, folder / "bundle")
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        ids = embedder.token_ids(list(probes().values()))
    rows = zip(probes().items(), ids, strict=True)
    texts = [{"name": name, "text": text, "ids": row} for (name, text), row in rows]
    batches = [[n] for n in range(len(texts))] + [[5, 40, 3, 3], [len(texts) - 1, 0]]
    content = {"format": 1, "max_tokens": LIMIT, "texts": texts, "batches": batches}
    (folder / "probes.json").write_text(json.dumps(content))
    return content


def test_a_device_check_is_answered(bundle: Bundle, program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "check"
    content = check_folder(bundle, folder)
    done = program.run("--check", folder, "--threads", "2", "--precision", "low")
    assert (done.returncode, done.stdout) == (0, b"")
    answer = json.loads((folder / "answer.json").read_text())
    rows = [[n, b] for b, batch in enumerate(content["batches"]) for n in batch]
    assert answer == {
        "format": 1, "runner": "minnow-embed (C++)", "machine": answer["machine"],
        "mnn": answer["mnn"], "precision": "low", "threads": 2, "rows": rows, "ids_differ": [],
    }  # fmt: skip
    assert answer["mnn"].startswith("3.")
    vectors = np.fromfile(folder / "answer.f32", dtype="<f4").reshape(len(rows), -1)
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        expected = embedder.encode([content["texts"][n]["text"] for n, _ in rows])
    assert np.abs(vectors - expected).max() < CLOSE


def test_a_device_check_of_a_reranker_is_answered(
    ranker: Bundle, program: Program, tmp_path: Path
) -> None:
    folder = write_check(ranker, tmp_path / "check", choose=lambda probes: probes[::6])
    assert program.run("--check", folder).returncode == 0
    [found] = read_answers(folder)
    assert found.passed
    assert found.parity.worst.worst < CLOSE * 10
    probes = json.loads((folder / "probes.json").read_text())
    probes["texts"][3]["types"] = []
    (folder / "probes.json").write_text(json.dumps(probes))
    assert program.run("--check", folder).returncode == 0
    [other] = read_answers(folder)
    assert other.answer.ids_differ == (probes["texts"][3]["name"],)
    assert not other.passed


def test_other_ids_in_a_device_check_are_named(
    bundle: Bundle, program: Program, tmp_path: Path
) -> None:
    content = check_folder(bundle, tmp_path / "check")
    content["texts"][7]["ids"] = [2, 3]
    (tmp_path / "check/probes.json").write_text(json.dumps(content))
    assert program.run("--check", tmp_path / "check").returncode == 0
    answer = json.loads((tmp_path / "check/answer.json").read_text())
    assert answer["ids_differ"] == [content["texts"][7]["name"]]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 3}, "an unsupported version"),
        ({"format": 2}, '"second" is missing'),
        ({"batches": [[0, 4000]]}, "has no text 4000"),
        ({"batches": [7]}, '"batches" is missing or of another kind'),
        ({"texts": [{"name": "a", "ids": []}]}, '"text" is missing'),
    ],
)
def test_a_damaged_device_check_is_reported(
    change: dict[str, Any], says: str, bundle: Bundle, program: Program, tmp_path: Path
) -> None:
    content = check_folder(bundle, tmp_path / "check")
    (tmp_path / "check/probes.json").write_text(json.dumps({**content, **change}))
    assert says in program.refusal("--check", tmp_path / "check")
    assert "probes.json cannot be read" in program.refusal("--check", tmp_path)


def test_the_layout_of_mnn_llm(bundle: Bundle, program: Program, tmp_path: Path) -> None:
    if not has_llm():
        pytest.skip("this MNN is built without its LLM part")
    export = importlib.import_module("minnow.export.mnn_llm")
    folder = tmp_path / "exported"
    export.export_mnn_llm(bundle, folder)
    texts = list(probes().values())
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        expected, ids = embedder.encode(texts), embedder.token_ids(texts)
    assert program.rows(folder, texts, "--ids") == ids
    found = np.array(program.rows(folder, texts))
    assert (found * expected).sum(1).min() > 0.9999
    for options in (("--backend", "metal"), ("--fixed-shapes",)):
        assert "has its backend in config.json" in program.refusal(folder, *options, "a")
    (folder / "tokenizer.mtok").unlink()
    assert "tokenizer.mtok is missing or truncated" in program.refusal(folder, "a")
