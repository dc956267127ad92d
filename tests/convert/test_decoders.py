"""Decoders that embed texts, in the form of their published repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.checkpoint import ids_of, source_of, write_model, write_weights
from fakes.decoders import GEMMA_PROMPTS, write_published, write_with_towers

from minnow.bundle import Bundle
from minnow.convert import convert, verify
from minnow.embedder import Embedder
from minnow.engines.base import TokenBatch
from minnow.errors import UnsupportedModelError
from minnow.graph.encoder import build_graph
from minnow.model.magnitudes import Magnitudes, fit_halves, with_factors
from minnow.model.original import read_original
from minnow.model.reference import ReferenceModel
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.extra("convert", "sentence-transformers"),
    pytest.mark.filterwarnings("ignore"),
]

TEXTS = ["how do fish sleep", "the river", "not the lamp, the water of the river", "x"]


@pytest.mark.transformers_5
@pytest.mark.parametrize(("family", "precision"), [("qwen3", "fp32"), ("gemma3", "fp16")])
@pytest.mark.whole_proof
def test_a_published_repository_gives_the_vectors_of_sentence_transformers(
    family: str, precision: str, tmp_path: Path
) -> None:
    """With its tokenizer's own end, its padding on the left, prompts for queries, and its head."""
    from sentence_transformers import SentenceTransformer

    folder = write_published(tmp_path / "model", family)
    bundle = convert(
        str(folder),
        tmp_path / "bundle",
        recipe=RECIPES[precision],
        reference="sentence-transformers",
    )
    bar = {"fp32": 0.999999, "fp16": 0.9999}[precision]
    assert bundle.manifest.parity.worst.worst >= bar
    theirs = SentenceTransformer(str(folder), device="cpu")
    with Embedder.open(tmp_path / "bundle") as ours:
        for name in ("encode", "encode_query", "encode_document"):
            found, expected = (getattr(system, name)(TEXTS) for system in (ours, theirs))
            assert (found * expected).sum(1).min() >= bar, name
        clustering = ours.encode(TEXTS, prompt_name="Clustering") if family == "gemma3" else None
    if clustering is not None:
        expected = theirs.encode(TEXTS, prompt_name="Clustering")
        assert (clustering * expected).sum(1).min() >= bar


@pytest.mark.transformers_5
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_towers_stay_behind(precision: str, tmp_path: Path) -> None:
    """Texts get the vectors of transformers' whole model, with tokens of images in them too."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder, told = write_with_towers(tmp_path / "model"), list[str]()
    bundle = convert(
        str(folder), tmp_path / "bundle", recipe=RECIPES[precision], progress=told.append
    )
    assert any("the towers for images and sounds are left out" in line for line in told)
    assert "left out" in (bundle.folder / "README.md").read_text()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    texts = [*TEXTS, "a lamp <|image|> in <|audio|> the <|video|> water", "<|image|>"]
    expected = []
    for text in texts:
        ids = tokenizer(GEMMA_PROMPTS["query"] + text, return_tensors="pt")
        with torch.inference_mode():
            mean = model(**ids).last_hidden_state[0].mean(0).numpy()
        expected.append(mean / np.linalg.norm(mean))
    bar = {"fp32": 0.999999, "fp16": 0.9999}[precision]
    with Embedder.open(bundle) as ours:
        batch = ours.encode_query(texts)
        alone = np.stack([ours.encode_query(text) for text in texts])
    assert (batch * np.stack(expected)).sum(1).min() >= bar
    np.testing.assert_allclose(alone, batch, atol=2e-6)


@pytest.mark.transformers_5
def test_a_template_that_puts_words_around_a_text_is_refused(tmp_path: Path) -> None:
    folder = write_with_towers(tmp_path / "model")
    template = folder / "chat_template.jinja"
    plain = template.read_text()
    template.write_text("<|turn>" + plain)
    with pytest.raises(UnsupportedModelError, match="template puts nothing around a text"):
        read_original(source_of(folder))
    template.write_text(plain.replace("{{ part['text']", "{{ part['text'] | trim"))
    with pytest.raises(UnsupportedModelError, match="template puts nothing around a text"):
        read_original(source_of(folder))
    template.write_text(plain)
    (folder / "processor_config.json").unlink()
    with pytest.raises(UnsupportedModelError, match="names no class in processor_class"):
        read_original(source_of(folder))


@pytest.mark.extra("onnxruntime")
@pytest.mark.parametrize(
    ("family", "pooling"),
    [("qwen3", "lasttoken"), ("gemma3", "mean"), ("embedding_gemma2", "mean"), ("lfm2", "mean")],
)
def test_padding_on_either_side_gives_the_same(family: str, pooling: str, tmp_path: Path) -> None:
    import onnxruntime

    folder = write_model(tmp_path / "model", family=family, pooling=pooling)
    original = read_original(source_of(folder))
    model = ReferenceModel(original.network, original.head, original.tensors)
    graph = build_graph(original.network, original.tensors, head=original.head)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    rows = [ids_of("the small red fish run"), ids_of("water"), ids_of("how do fish sleep")]
    right = TokenBatch.pad(rows, 0)
    ahead = [right.shape[1] - len(row) for row in rows]
    for moves in ([0] * len(rows), ahead):
        ids, mask = (
            np.stack([np.roll(row, move) for row, move in zip(part, moves, strict=True)])
            for part in (right.input_ids, right.attention_mask)
        )
        (found,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
        expected = np.stack([model.vector(row) for row in rows])
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_a_token_of_qwen_sees_only_those_before_it(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", family="qwen3")
    original = read_original(source_of(folder))
    model = ReferenceModel(original.network, original.head, original.tensors)
    ids = ids_of("the small red fish run in the blue water")
    whole = model.hidden_states(ids)
    np.testing.assert_allclose(model.hidden_states(ids[:5]), whole[:5], atol=1e-12)
    assert np.abs(model.hidden_states(ids[1:])[-1] - whole[-1]).max() > 1e-3


@pytest.mark.parametrize("family", ["qwen3", "gemma3"])
def test_norms_of_heads_and_of_parts_matter(family: str, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", family=family, pooling="mean")
    original = read_original(source_of(folder))
    ids = ids_of("the small red fish run in the blue water")
    before = ReferenceModel(original.network, original.head, original.tensors).vector(ids)
    names = ["query_norm", "key_norm"] + ["attention_end_norm", "output_end_norm"] * (
        family == "gemma3"
    )
    for name in names:
        changed = dict(original.tensors)
        changed[f"layer.1.{name}.weight"] = np.ones_like(changed[f"layer.1.{name}.weight"])
        assert (
            before @ ReferenceModel(original.network, original.head, changed).vector(ids) < 1 - 1e-6
        )


_LAST = {"gemma3": "post_feedforward_layernorm", "qwen3": "down_proj", "t5": "wo"}
"""Names of the tensors whose outputs are added to the states."""


def write_large(folder: Path, family: str) -> Path:
    """Write a model whose states are far beyond half precision."""
    from safetensors.numpy import load_file

    folder = write_model(folder, family=family, pooling="mean")
    stored = load_file(folder / "model.safetensors")
    large = {name: 150_000 * t if _LAST[family] in name else t for name, t in stored.items()}
    write_weights(folder, large)
    return folder


@pytest.mark.parametrize("family", _LAST)
def test_a_conversion_makes_states_fit_half_precision(family: str, tmp_path: Path) -> None:
    folder = write_large(tmp_path / "model", family)
    bundle = convert(str(folder), tmp_path / "bundle", recipe=RECIPES["fp16"], offline=True)
    manifest = Bundle.open(bundle.folder).manifest
    assert manifest.format == 7
    assert manifest.encoder.stream < 2**-4
    found = manifest.parity.magnitude
    assert found is not None
    assert 4 <= found.head_room < 6
    assert found.where.endswith((".states", ".added"))
    verify(bundle, offline=True)


@pytest.mark.extra("onnxruntime")
def test_another_engine_knows_the_factor_of_the_states(tmp_path: Path) -> None:
    """Without it, the eps of norms would be too large by its square."""
    folder = write_large(tmp_path / "model", "qwen3")
    bundle = convert(str(folder), tmp_path / "bundle", recipe=RECIPES["fp16"], offline=True)
    texts = ["the small red fish run", "water", "in the blue water we see fish"]
    with Embedder.open(bundle, engine="mnn") as on_mnn:
        expected = on_mnn.encode(texts)
    with Embedder.open(bundle, engine="onnxruntime") as other:
        np.testing.assert_allclose(other.encode(texts), expected, atol=1e-4)


def test_what_fits_is_left_alone(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", family="qwen3", pooling="mean")
    bundle = convert(str(folder), tmp_path / "bundle", recipe=RECIPES["fp16"], offline=True)
    manifest = Bundle.open(bundle.folder).manifest
    assert (manifest.encoder.stream, manifest.format) == (1, 1)
    assert manifest.parity.magnitude is not None
    assert manifest.parity.magnitude.head_room > 8


@pytest.mark.extra("onnxruntime")
@pytest.mark.parametrize("family", ["gemma3", "t5"])
def test_states_beyond_half_precision_are_scaled_into_it(family: str, tmp_path: Path) -> None:
    """The network is the same; no value of its graph reaches 65504, though states do."""
    import onnx
    import onnxruntime

    folder = write_large(tmp_path / "model", family)
    original, ids = read_original(source_of(folder)), ids_of("the small red fish run")
    measured = Magnitudes()
    ReferenceModel(original.network, original.head, original.tensors, measured.note).vector(ids)
    original = fit_halves(original, measured.values)
    graph = build_graph(original.network, original.tensors)
    states = [name for node in graph.graph.node for name in node.output if "layer" in name]
    graph.graph.output.extend([onnx.ValueInfoProto(name=name) for name in states])
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    feeds = {"input_ids": np.array([ids], np.int32), "attention_mask": np.ones((1, 7), np.int32)}
    found = dict(zip(["states", *states], session.run(None, feeds), strict=True))
    inside = ("square", "mean", "eps")  # MNN has one operator for a norm, in float32
    sizes = {n: np.abs(x).max() for n, x in found.items() if not n.endswith(inside)}
    assert max(sizes.values()) < 65504
    assert max(sizes.values()) / original.network.stream > 150_000
    expected = ReferenceModel(original.network, original.head, original.tensors)
    np.testing.assert_allclose(found["states"][0], expected.hidden_states(ids), atol=2e-4)


def test_gemma_s_tensors_are_read_with_what_its_code_adds(tmp_path: Path) -> None:
    """Words have a factor, weights of norms are stored less one, and states can be scaled."""
    from safetensors.numpy import load_file

    folder = write_model(tmp_path / "model", family="gemma3")
    original = read_original(source_of(folder))
    network, tensors = original.network, original.tensors
    stored, one = load_file(folder / "model.safetensors"), np.float32(1)
    assert (network.words.scale, network.stream) == (32**0.5, 1)
    words = stored["embed_tokens.weight"] * np.float32(32**0.5)
    np.testing.assert_array_equal(tensors["embeddings.word"], words)
    np.testing.assert_array_equal(tensors["final_norm.weight"], stored["norm.weight"] + one)
    end = stored["layers.1.post_attention_layernorm.weight"] + one
    np.testing.assert_array_equal(tensors["layer.1.attention_end_norm.weight"], end)
    scaled = with_factors(original, 2**-6, {})
    words, end = words / np.float32(64), end / np.float32(64)
    np.testing.assert_array_equal(scaled.tensors["embeddings.word"], words)
    np.testing.assert_array_equal(scaled.tensors["layer.1.attention_end_norm.weight"], end)
    block = scaled.network.blocks[0]
    norms = (block.attention_norm, block.attention.norm, block.attention_end_norm)
    assert [norm.eps for norm in norms if norm] == [1e-6 / 64**2, 1e-6, 1e-6]
