"""`truncate_dim`: the vectors of sentence-transformers, by every reader of a bundle."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from fakes.checkpoint import edit_json, embedding_of, write_model

from minnow import Embedder
from minnow.convert import convert, verify
from minnow.device import read_answers, write_check
from minnow.engines.sentence_transformers import SentenceTransformersEmbedder
from minnow.errors import EngineError, ParityError, SourceError
from minnow.indexfile.fingerprint import Fingerprint
from minnow.manifest import MANIFEST
from minnow.model.spec import EMBEDDING_INTERFACES, Choices, Interface
from minnow.recipe import RECIPES
from minnow.records import replace
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from pathlib import Path

PROMPTS_FILE = "config_sentence_transformers.json"
TEXTS = ["fish sleep in the water", "how do fish sleep?", "a big river"]


def model_of(folder: Path, truncate_dim: object, **options: Any) -> Path:
    write_model(folder, **options)
    edit_json(folder / PROMPTS_FILE, truncate_dim=truncate_dim)
    return folder


@pytest.mark.extra("convert", "sentence-transformers")
@pytest.mark.parametrize("interface", EMBEDDING_INTERFACES, ids=lambda interface: interface.value)
@pytest.mark.parametrize("normalize", [True, False], ids=["normalised", "of any length"])
def test_a_bundle_gives_the_vectors_of_sentence_transformers(
    tmp_path: Path, interface: Interface, normalize: bool
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = model_of(tmp_path / "model", 12, pooling="mean", normalize=normalize)
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    assert expected.shape == (3, 12)

    bundle = convert(
        str(folder),
        tmp_path / "bundle",
        recipe=replace(RECIPES["fp32"], interface=interface),
        reference="sentence-transformers",
        shapes=[(1, 12)],
    )

    with Embedder.open(bundle) as embedder:
        found = embedder.encode(TEXTS)
        assert embedder.width == 12
        unit = embedder.encode(TEXTS, normalize_embeddings=True, truncate_dim=8)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    cut = expected[:, :8] / np.linalg.norm(expected[:, :8], axis=1, keepdims=True)
    np.testing.assert_allclose(unit, cut, rtol=0, atol=1e-5)
    assert verify(bundle).worst.worst > 0.9999
    assert Fingerprint.of(bundle.manifest).width == 12
    pooled = interface is Interface.SENTENCE_EMBEDDING
    assert bundle.manifest.output == (
        "float32 of shape (batch, 12), of any length"
        if pooled
        else "float32 of shape (batch, seq, 32), to be pooled"
    )


@pytest.mark.extra("convert", "sentence-transformers")
def test_a_reference_of_another_width_is_named(tmp_path: Path) -> None:
    folder = model_of(tmp_path / "model", 12, max_tokens=None)
    (folder / "modules.json").unlink()  # sentence-transformers then ignores truncate_dim

    with pytest.raises(ParityError, match=r"vectors of 12 numbers, and sentence-transf.* of 32\."):
        convert(
            str(folder),
            tmp_path / "bundle",
            recipe=RECIPES["fp32"],
            choices=Choices(pooling=Pooling.MEAN, normalize=False),
            reference="sentence-transformers",
        )


@pytest.mark.extra("sentence-transformers")
def test_what_sentence_transformers_cannot_load_is_an_error_of_one_line(tmp_path: Path) -> None:
    folder = model_of(tmp_path / "model", None)
    edit_json(folder / PROMPTS_FILE, prompts=None)  # an AttributeError there

    with pytest.raises(EngineError, match=r"sentence-transformers cannot load .*AttributeError"):
        SentenceTransformersEmbedder(folder)


@pytest.mark.extra("convert")
def test_a_device_gives_truncated_vectors(tmp_path: Path) -> None:
    model = model_of(tmp_path / "model", 12, pooling="mean")
    bundle = convert(str(model), tmp_path / "bundle", recipe=RECIPES["fp32"])

    folder = write_check(bundle, tmp_path / "check", choose=lambda probes: probes[:5])
    command = [sys.executable, str(folder / "check.py"), "--precision", "normal"]
    subprocess.run(command, check=True, capture_output=True)

    (found,) = read_answers(folder)
    assert found.passed
    assert (folder / "answer.f32").stat().st_size == 4 * 12 * len(found.answer.rows)


@pytest.mark.extra("convert")
@pytest.mark.parametrize(("kept", "written"), [(16, 2), (None, 1), (32, 1), (99, 1)])
def test_only_a_bundle_of_truncated_vectors_is_kept_from_older_readers(
    tmp_path: Path, kept: int | None, written: int
) -> None:
    folder = model_of(tmp_path / "model", kept)

    bundle = convert(str(folder), tmp_path / "bundle", recipe=RECIPES["fp32"])

    manifest = msgspec.json.decode((bundle.folder / MANIFEST).read_bytes())
    assert manifest["format"] == written
    assert bundle.manifest.width == (kept if kept == 16 else 32)


@pytest.mark.parametrize("value", [0, -1, 1.5, "16", True, [16]])
def test_a_truncation_is_a_positive_integer(tmp_path: Path, value: object) -> None:
    folder = model_of(tmp_path / "model", value)

    with pytest.raises(SourceError, match="truncate_dim should be at least 1, not "):
        embedding_of(folder)
