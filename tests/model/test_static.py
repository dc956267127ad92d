"""Static models: StaticEmbedding of sentence-transformers, and repositories of model2vec."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.bundles import quick_recipe
from fakes.checkpoint import (
    VOCABULARY,
    edit_json,
    source_of,
    write_json,
    write_safetensors,
    write_tokenizer,
)
from tokenizers import Tokenizer

from minnow import Embedder
from minnow.convert import convert, verify
from minnow.errors import AmbiguousModelError, CheckpointError, InputError, UnsupportedModelError
from minnow.export.gguf.file import gguf_metadata
from minnow.export.mnn_llm import export_mnn_llm
from minnow.model.original import read_original
from minnow.model.source import resolve
from minnow.recipe import RECIPES
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TEXTS = ["fish sleep", "how do fish sleep in the big blue river?", "ß 魚 water", "a", "red " * 60]
WIDTH = 16


def write_model2vec(folder: Path, *, quantized: bool = False, **config: Any) -> Path:
    """Write a repository as model2vec does; a quantised vocabulary has fewer rows than tokens."""
    generator, tokens = np.random.default_rng(0), len(VOCABULARY)
    write_tokenizer(folder)
    (folder / "vocab.txt").unlink()
    tensors: dict[str, Any] = {
        "embeddings": generator.normal(0, 1, (9 if quantized else tokens, WIDTH)).astype("f4")
    }
    if quantized:
        tensors["mapping"] = generator.integers(0, 9, tokens).astype("i8")
        tensors["weights"] = generator.uniform(0.1, 1, tokens).astype("f8")
    write_safetensors(folder / "model.safetensors", tensors)
    about = {"model_type": "model2vec", "architectures": ["StaticModel"], "hidden_dim": WIDTH}
    write_json(folder / "config.json", about | {"normalize": True, "seq_length": 10**6} | config)
    return folder


def as_model2vec(folder: Path, texts: list[str], tensors: dict[str, Any]) -> NDArray[np.float64]:
    """Compute vectors as model2vec 0.10.0 does: StaticModel._encode_batch."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(32)
    unknown, rows = tokenizer.token_to_id("[UNK]"), []
    for text in texts:
        ids = [i for i in tokenizer.encode(text, add_special_tokens=False).ids if i != unknown]
        taken = tensors["mapping"][ids] if "mapping" in tensors else ids
        found = tensors["embeddings"][taken].astype(np.float64)
        if "weights" in tensors:
            found = found * tensors["weights"][ids][:, None]
        rows.append(found.mean(0) if ids else np.zeros(WIDTH))
    vectors = np.stack(rows)
    unit: NDArray[np.float64] = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-32)
    return unit


@pytest.mark.extra("convert")
@pytest.mark.parametrize(
    ("precision", "quantized"), [("fp32", False), ("fp16", True), ("int8", True)]
)
def test_a_bundle_gives_the_vectors_of_model2vec(
    tmp_path: Path, precision: str, quantized: bool
) -> None:
    from safetensors.numpy import load_file

    folder = write_model2vec(tmp_path / "model", quantized=quantized, max_length=32)
    expected = as_model2vec(folder, TEXTS, load_file(folder / "model.safetensors"))

    bundle = convert(str(folder), tmp_path / "bundle", recipe=quick_recipe(precision))

    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        batch = embedder.encode(TEXTS)
        alone = np.stack([embedder.encode(text) for text in TEXTS])
        nothing = embedder.encode(["", "魚", "fish"])
    least = {"fp32": 0.999999, "fp16": 0.9999, "int8": 0.999}[precision]
    assert min(rowwise_cosine(found, expected).min() for found in (batch, alone)) >= least
    assert (np.linalg.norm(nothing, axis=1) > 0.5).tolist() == [False, False, True]
    assert verify(bundle).worst.worst >= least
    assert bundle.manifest.embedding.max_tokens == 32


@pytest.mark.extra("convert", "onnxruntime")
def test_another_engine_gives_zeros_for_the_same_texts(tmp_path: Path) -> None:
    folder = write_model2vec(tmp_path / "model")
    bundle = convert(str(folder), tmp_path / "bundle", recipe=RECIPES["fp32"])
    texts = [*TEXTS, "", "魚"]

    with Embedder.open(bundle) as own, Embedder.open(bundle, engine="onnxruntime") as other:
        expected, found = own.encode(texts), other.encode(texts)

    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert not found[-2:].any()


@pytest.mark.extra("convert")
def test_mnn_s_own_engine_runs_no_table(tmp_path: Path) -> None:
    folder = write_model2vec(tmp_path / "model")
    bundle = convert(str(folder), tmp_path / "bundle", recipe=RECIPES["fp32"])

    with pytest.raises(InputError, match="a table of vectors without a network"):
        export_mnn_llm(bundle, tmp_path / "export")


@pytest.mark.transformers_5
@pytest.mark.extra("convert", "sentence-transformers")
@pytest.mark.parametrize("normalize", [True, False])
def test_a_bundle_gives_the_vectors_of_static_embedding(tmp_path: Path, normalize: bool) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Normalize
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    write_tokenizer(tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokenizer.no_truncation()
    table = np.random.default_rng(1).normal(0, 1, (len(VOCABULARY), WIDTH)).astype("f4")
    modules: list[Any] = [StaticEmbedding(tokenizer, embedding_weights=table)]
    modules += [Normalize()] if normalize else [Dense(WIDTH, 8)]
    model = SentenceTransformer(modules=modules, device="cpu")
    model.save_pretrained(str(tmp_path / "model"))
    expected = model.encode(TEXTS)

    bundle = convert(str(tmp_path / "model"), tmp_path / "bundle", recipe=RECIPES["fp32"])

    with Embedder.open(bundle) as embedder:
        np.testing.assert_allclose(embedder.encode(TEXTS), expected, rtol=0, atol=2e-6)
        with pytest.raises(InputError, match="Text 0 is empty"):
            embedder.encode([""])


@pytest.mark.extra("convert")
def test_a_static_model_in_a_folder_of_its_own_is_found(tmp_path: Path) -> None:
    folder = write_model2vec(tmp_path / "model")
    (folder / "0_StaticEmbedding").mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).rename(folder / "0_StaticEmbedding" / name)
    (folder / "config.json").unlink()
    kind = "sentence_transformers.models.StaticEmbedding"
    write_json(folder / "modules.json", [{"type": kind, "path": "0_StaticEmbedding"}])

    original = read_original(resolve(str(folder)))

    assert original.tensors["embeddings.word"].shape == (len(VOCABULARY), WIDTH)
    assert original.embedding.max_tokens == 8192
    assert original.embedding.unpooled_ids == ()


@pytest.mark.extra("convert")
@pytest.mark.parametrize(
    ("config", "error", "said"),
    [
        ({"max_length": 2}, Exception, "max_length should be at least 3 or null, not 2"),
        ({"rotate": True}, UnsupportedModelError, "rotate: true, which minnow does not compute"),
    ],
)
def test_what_config_json_cannot_ask_for(
    tmp_path: Path, config: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=re.escape(said)):
        read_original(source_of(write_model2vec(tmp_path / "model", **config)))


@pytest.mark.extra("convert")
def test_two_files_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    folder = write_model2vec(tmp_path / "model")
    kind = "sentence_transformers.models.StaticEmbedding"
    write_json(folder / "modules.json", [{"type": kind, "path": "."}])

    with pytest.raises(AmbiguousModelError, match="says normalize: true, and modules"):
        read_original(source_of(folder))

    edit_json(folder / "config.json", normalize=False)
    assert not read_original(source_of(folder)).embedding.normalize


@pytest.mark.extra("convert")
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    folder = write_model2vec(tmp_path / "model", quantized=True)
    table = np.ones((4, WIDTH), "f4")
    mapping = np.full(len(VOCABULARY), 4, "i8")
    write_safetensors(folder / "model.safetensors", {"embeddings": table, "mapping": mapping})
    with pytest.raises(CheckpointError, match="mapping names rows that embeddings does not have"):
        read_original(source_of(folder))
    write_safetensors(folder / "model.safetensors", {"embeddings": table, "more": table})
    with pytest.raises(CheckpointError, match="more is left over"):
        read_original(source_of(folder))


@pytest.mark.extra("convert")
def test_llama_cpp_runs_no_table(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="a table without a network"):
        gguf_metadata(read_original(source_of(write_model2vec(tmp_path / "model"))))
