"""Heads of more than one pooling: the vectors of sentence-transformers, and what is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from fakes.bundles import quick_recipe
from fakes.checkpoint import (
    edit_json,
    embedding_of,
    source_of,
    write_model,
    write_safetensors,
)
from fakes.sealed import set_in_record

from minnow import Embedder
from minnow.bundle import Bundle
from minnow.convert import convert, verify
from minnow.device import read_answers, write_check
from minnow.errors import (
    BundleError,
    CheckpointError,
    InputError,
    SourceError,
    UnsupportedModelError,
)
from minnow.export.gguf.file import gguf_metadata
from minnow.export.mnn_llm import export_mnn_llm
from minnow.indexfile.fingerprint import Fingerprint
from minnow.manifest import MANIFEST
from minnow.model.head import LayerActivation, LayerKind
from minnow.model.original import read_original
from minnow.model.spec import Interface
from minnow.recipe import RECIPES, Graph
from minnow.records import replace
from minnow.serve.errors import ApiError
from minnow.serve.inputs import rows_of, tokenized
from minnow.serve.models import ServedEmbedder
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXTS = ["fish sleep", "how do fish sleep in the big blue river?", "water", "a small red fish " * 9]
POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


def save_with(
    folder: Path, *modules: Any, poolings: tuple[str, ...] = ("mean",), family: str = "bert"
) -> Path:
    """Have sentence-transformers save a tiny model with other modules after its Transformer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    plain = SentenceTransformer(str(write_model(folder / "plain", family=family)), device="cpu")
    head = [Pooling(32, pooling_mode=poolings), *modules]
    SentenceTransformer(modules=[plain[0], *head], device="cpu").save_pretrained(
        str(folder / "model")
    )
    return folder / "model"


@pytest.mark.transformers_5
@pytest.mark.extra("convert", "sentence-transformers")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", ["all poolings", "as INSTRUCTOR", "T5"])
def test_pooling_leaves_the_prompt_out(tmp_path: Path, name: str, precision: str) -> None:
    """The tokens of a prompt are read, not pooled: [CLS] with them, a token [SEP] behind it not."""
    from sentence_transformers import SentenceTransformer

    folder = save_with(
        tmp_path,
        *([dense(32, 24), normalize()] if name == "as INSTRUCTOR" else []),
        poolings=POOLINGS if name == "all poolings" else ("mean",),
        family="t5" if name == "T5" else "bert",
    )
    edit_json(folder / "1_Pooling/config.json", include_prompt=False)
    prompts = {"query": "a big query: ", "document": "the small zoo "}
    edit_json(folder / "config_sentence_transformers.json", prompts=prompts)
    theirs = SentenceTransformer(str(folder), device="cpu")

    shapes = [(2, 12)] if precision == "fp32" else []
    bundle = convert(str(folder), tmp_path / "bundle", recipe=RECIPES[precision], shapes=shapes)

    least = {"fp32": 0.999999, "fp16": 0.9999}[precision]
    assert "without the prompt" in Fingerprint.of(bundle.manifest).pooling
    assert bundle.manifest.format == 4
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        for prompt in (*prompts.values(), "", "river " * 40, "fish[SEP]"):
            expected = theirs.encode(TEXTS, prompt=prompt)
            batch = embedder.encode(TEXTS, prompt=prompt)
            alone = np.stack([embedder.encode(text, prompt=prompt) for text in TEXTS])
            assert rowwise_cosine(batch, expected).min() >= least
            assert rowwise_cosine(alone, expected).min() >= least
        assert (
            rowwise_cosine(embedder.encode_query(TEXTS), theirs.encode_query(TEXTS)).min() >= least
        )
        pooling: Any = theirs[1]
        pooling.include_prompt = True
        other = rowwise_cosine(embedder.encode_query(TEXTS), theirs.encode_query(TEXTS))
    assert other.min() < 0.9995  # the setting matters


@pytest.fixture(scope="module")
def unprompted(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Convert a model with a prompt of queries that pooling leaves out."""
    folder = write_model(
        tmp_path_factory.mktemp("unprompted") / "model",
        pooling="weightedmean",
        prompts={"query": "a big query: "},
    )
    edit_json(folder / "1_Pooling/config.json", include_prompt=False)
    return convert(str(folder), folder.parent / "bundle", recipe=RECIPES["fp32"])


@pytest.mark.extra("convert")
@pytest.mark.extra("onnxruntime")
def test_a_prompt_is_left_out_everywhere(unprompted: Bundle, tmp_path: Path) -> None:
    folder = write_check(unprompted, tmp_path / "check", choose=lambda probes: probes[-5:])
    command = [sys.executable, str(folder / "check.py"), "--precision", "normal"]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = read_answers(folder)
    assert found.passed

    with (
        Embedder.open(unprompted, on_truncate="ignore") as own,
        Embedder.open(unprompted, engine="onnxruntime", on_truncate="ignore") as other,
    ):
        expected = own.encode_query(TEXTS)
        np.testing.assert_allclose(other.encode_query(TEXTS), expected, rtol=0, atol=1e-5)
        mixed = own.encode_batch(TEXTS * 2, ["a big query: "] * len(TEXTS) + [""] * len(TEXTS))
        np.testing.assert_allclose(mixed[: len(TEXTS)], expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(mixed[len(TEXTS) :], own.encode(TEXTS), rtol=0, atol=1e-5)

        served = ServedEmbedder("tiny", unprompted, own)
        ids = own.token_ids(TEXTS)
        with pytest.raises(ApiError, match="tiny leaves prompts out of pooling, and token ids do"):
            rows_of(served, list(ids), "", truncate=True, most=9)
        rows = tokenized(served, TEXTS, "a big query: ", truncate=True)
        vectors = served.forward(served.whole, rows.texts)
        np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)


@pytest.mark.extra("convert")
def test_mnn_llm_does_not_know_where_a_prompt_ends(unprompted: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leaves the prompt out of pooling"):
        export_mnn_llm(unprompted, tmp_path / "export")


def dense(width_in: int, width: int, activation: str = "Identity", **options: Any) -> Any:
    import torch
    from sentence_transformers.base.modules import Dense

    return Dense(width_in, width, activation_function=getattr(torch.nn, activation)(), **options)


def normalize() -> Any:
    from sentence_transformers.base.modules import Normalize

    return Normalize()


def layer_norm(width: int) -> Any:
    import torch
    from sentence_transformers.sentence_transformer.modules import LayerNorm

    module = LayerNorm(width)
    torch.nn.init.normal_(module.norm.weight, 1, 0.3)
    torch.nn.init.normal_(module.norm.bias, 0, 0.3)
    return module


def dropout() -> Any:
    from sentence_transformers.sentence_transformer.modules import Dropout

    return Dropout(0.5)


HEADS: dict[str, tuple[tuple[str, ...], Callable[[], list[Any]], int, str]] = {
    "as LaBSE": (
        ("cls",),
        lambda: [dense(32, 32, "Tanh"), normalize()],
        32,
        "cls, dense to 32, tanh",
    ),
    "as EmbeddingGemma": (
        ("mean",),
        lambda: [dense(32, 48, bias=False), dropout(), dense(48, 32, bias=False), normalize()],
        32,
        "mean, dense to 48, dense to 32",
    ),
    "all poolings and kinds": (
        POOLINGS,
        lambda: [
            layer_norm(192),
            dense(192, 40, "GELU", use_residual=True),
            normalize(),
            dense(40, 24, "SiLU"),
            dense(24, 24, "ReLU", use_residual=True),
            dense(24, 24, "Sigmoid"),
        ],
        24,
        "cls+max+mean+mean_sqrt_len_tokens+weightedmean+lasttoken, LayerNorm, dense to 40, gelu, "
        "residual, L2 normalisation, dense to 24, silu, dense to 24, relu, residual, dense to 24, "
        "sigmoid",
    ),
    "two poolings": (("cls", "mean"), lambda: [normalize()], 64, "cls+mean"),
}


@pytest.mark.transformers_5
@pytest.mark.extra("convert", "sentence-transformers")
@pytest.mark.parametrize(
    ("name", "precision"),
    [*((name, p) for name in HEADS for p in ("fp32", "fp16")), ("all poolings and kinds", "int4")],
)
def test_a_bundle_gives_the_vectors_of_sentence_transformers(
    tmp_path: Path, name: str, precision: str
) -> None:
    from sentence_transformers import SentenceTransformer

    poolings, modules, width, description = HEADS[name]
    folder = save_with(tmp_path, *modules(), poolings=poolings)
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    recipe, shapes = RECIPES[precision], [(1, 12)] if precision == "fp32" else []
    if precision == "int4":
        recipe = quick_recipe(precision)

    bundle = convert(str(folder), tmp_path / "bundle", recipe=recipe, shapes=shapes)

    assert bundle.manifest.recipe.interface is Interface.SENTENCE_EMBEDDING
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        batch = embedder.encode(TEXTS)
        alone = np.stack([embedder.encode(text) for text in TEXTS])
    least = {"fp32": 0.999999, "fp16": 0.9999, "int4": 0.9}[precision]
    for found in (batch, alone):
        assert found.shape == (len(TEXTS), width)
        assert rowwise_cosine(found, expected).min() >= least
        if precision == "fp32":
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    assert Fingerprint.of(bundle.manifest).pooling == description
    assert bundle.manifest.format == 3
    assert description in (bundle.folder / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def labse(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle]:
    """Write a model with a dense layer by hand, and convert it, once for all tests here."""
    folder = write_dense_model(tmp_path_factory.mktemp("labse") / "model")
    return folder, convert(str(folder), folder.parent / "bundle", recipe=RECIPES["fp32"])


def write_dense_model(folder: Path, **config: Any) -> Path:
    """Write a tiny model with a mean, a dense layer to 16 with tanh, and Normalize."""
    write_model(folder, pooling="mean")
    rows = msgspec.json.decode((folder / "modules.json").read_bytes())
    types = "sentence_transformers.models."
    rows.insert(2, {"idx": 2, "name": "dense", "path": "2_Dense", "type": f"{types}Dense"})
    rows[3] |= {"idx": 3, "path": "3_Normalize"}
    (folder / "modules.json").write_bytes(msgspec.json.encode(rows))
    edit_json(
        folder / "2_Dense/config.json",
        in_features=32,
        out_features=16,
        bias=True,
        activation_function="torch.nn.modules.activation.Tanh",
    )
    edit_json(folder / "2_Dense/config.json", **config)
    generator = np.random.default_rng(5)
    tensors = {"linear.weight": (16, 32), "linear.bias": (16,)}
    write_safetensors(
        folder / "2_Dense/model.safetensors",
        {n: generator.normal(0, 0.3, shape).astype(np.float32) for n, shape in tensors.items()},
    )
    return folder


@pytest.mark.extra("convert")
def test_a_head_s_weights_belong_to_the_model(labse: tuple[Path, Bundle], tmp_path: Path) -> None:
    folder, bundle = labse
    assert verify(bundle).worst.worst >= 0.999999
    assert bundle.manifest.output == "float32 of shape (batch, 16), of length 1"
    assert not list(bundle.folder.rglob("*.safetensors"))

    other = write_dense_model(tmp_path / "other")
    zeros = {"linear.weight": np.ones((16, 32), "f4"), "linear.bias": np.zeros(16, "f4")}
    write_safetensors(other / "2_Dense/model.safetensors", zeros)

    with pytest.raises(BundleError, match="does not hold the weights"):
        verify(bundle, source=str(other))
    assert folder.is_dir()


@pytest.mark.extra("convert")
@pytest.mark.parametrize(
    ("engine", "precision"),
    [
        pytest.param("onnxruntime", "fp16", marks=pytest.mark.extra("onnxruntime")),
        pytest.param("onnxruntime", "int4", marks=pytest.mark.extra("onnxruntime")),
        pytest.param("openvino", "fp32", marks=pytest.mark.extra("openvino")),
    ],
)
def test_other_engines_compute_the_head_without_the_model(
    tmp_path: Path, engine: str, precision: str
) -> None:
    """The numbers of the layers are those of the encoder, as its precision rounded them.

    GELU is exact there; MNN's is in fp16 and int4.
    """
    folder = write_dense_model(tmp_path / "model", use_residual=True)
    generator = np.random.default_rng(6)
    shapes = {"linear.weight": (16, 32), "linear.bias": (16,), "residual.weight": (16, 32)}
    write_safetensors(
        folder / "2_Dense/model.safetensors",
        {n: generator.normal(0, 0.3, shape).astype(np.float32) for n, shape in shapes.items()},
    )
    bundle = convert(str(folder), tmp_path / "bundle", recipe=quick_recipe(precision))
    shutil.rmtree(folder)
    with (
        Embedder.open(bundle, on_truncate="ignore") as own,
        Embedder.open(bundle, engine=engine, on_truncate="ignore") as other,
    ):
        expected, found = own.encode(TEXTS), other.encode(TEXTS)

    allowed = {"fp32": 1e-5, "fp16": 1e-3, "int4": 2e-4}[precision]
    np.testing.assert_allclose(found, expected, rtol=0, atol=allowed)


@pytest.mark.extra("convert")
def test_a_device_gives_the_head_s_vectors(labse: tuple[Path, Bundle], tmp_path: Path) -> None:
    folder = write_check(labse[1], tmp_path / "check", choose=lambda probes: probes[:5])
    command = [sys.executable, str(folder / "check.py"), "--precision", "normal"]
    subprocess.run(command, check=True, capture_output=True)

    (found,) = read_answers(folder)
    assert found.passed


@pytest.mark.extra("convert")
def test_a_head_needs_an_encoder_that_gives_vectors(
    labse: tuple[Path, Bundle], tmp_path: Path
) -> None:
    folder, bundle = labse
    copied = tmp_path / "bundle"
    shutil.copytree(bundle.folder, copied)
    set_in_record(copied / MANIFEST, "recipe", "interface", "last_hidden_state")
    with pytest.raises(BundleError, match="it has layers or several poolings, and gives last_hidd"):
        Bundle.open(copied)
    recipe = replace(RECIPES["fp32"], graph=Graph.AUTHOR)
    (folder / "model.onnx").write_bytes(b"")
    with pytest.raises(InputError, match="is not in the author's graph"):
        convert(str(folder), tmp_path / "out", recipe=recipe)
    (folder / "model.onnx").unlink()


@pytest.mark.extra("convert")
def test_llama_cpp_has_no_such_head(labse: tuple[Path, Bundle]) -> None:
    with pytest.raises(UnsupportedModelError, match="its head is mean, dense to 16, tanh, and lla"):
        gguf_metadata(read_original(source_of(labse[0])))


@pytest.mark.parametrize(
    ("config", "error", "said"),
    [
        ({"in_features": 31}, SourceError, "in_features is 31, but the vectors have 32"),
        ({"out_features": 0}, SourceError, "out_features should be a positive integer, not 0"),
        ({"bias": "yes"}, SourceError, "bias should be true or false, not 'yes'"),
        ({"gate": True}, UnsupportedModelError, "gate: true, which minnow does not compute"),
        (
            {"module_input_name": "token_embeddings"},
            UnsupportedModelError,
            'module_input_name: "token_embeddings"',
        ),
        (
            {"activation_function": "torch.nn.modules.activation.Mish"},
            UnsupportedModelError,
            "activation 'torch.nn.modules.activation.Mish', which minnow does not compute; it know",
        ),
        ({"activation_function": "mine.Tanh"}, UnsupportedModelError, "activation 'mine.Tanh'"),
    ],
)
def test_what_a_dense_layer_cannot_ask_for(
    tmp_path: Path, config: dict[str, Any], error: type[Exception], said: str
) -> None:
    folder = write_dense_model(tmp_path / "model", **config)

    with pytest.raises(error, match=re.escape(said)):
        embedding_of(folder)


def test_a_dense_layer_without_an_activation_has_tanh(tmp_path: Path) -> None:
    folder = write_dense_model(tmp_path / "model")
    edit_json(folder / "2_Dense/config.json", without=("activation_function",))

    (layer,) = embedding_of(folder).layers

    assert (layer.kind, layer.activation) == (LayerKind.DENSE, LayerActivation.TANH)


@pytest.mark.extra("convert")
@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"linear.weight": (16, 32)}, "2_Dense: linear.bias is missing"),
        (
            {"linear.weight": (32, 16), "linear.bias": (16,)},
            "2_Dense: linear.weight has shape (32, 16), not (16, 32)",
        ),
        (
            {"linear.weight": (16, 32), "linear.bias": (16,), "gate.weight": (1,)},
            "2_Dense: gate.weight is left over",
        ),
    ],
)
def test_the_weights_of_a_layer_fit_it(
    tmp_path: Path, tensors: dict[str, tuple[int, ...]], said: str
) -> None:
    folder = write_dense_model(tmp_path / "model")
    ones = {name: np.ones(shape, np.float32) for name, shape in tensors.items()}
    write_safetensors(folder / "2_Dense/model.safetensors", ones)

    with pytest.raises(CheckpointError, match=re.escape(said)):
        read_original(source_of(folder))


@pytest.mark.extra("convert")
def test_the_weights_of_a_layer_are_no_pickle(tmp_path: Path) -> None:
    folder = write_dense_model(tmp_path / "model")
    (folder / "2_Dense/model.safetensors").rename(folder / "2_Dense/pytorch_model.bin")

    with pytest.raises(UnsupportedModelError, match="a pickle only"):
        read_original(source_of(folder))


@pytest.mark.parametrize("kind", ["WeightedLayerPooling", "CNN", "LSTM", "WordWeights"])
def test_a_module_that_changes_token_states_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    folder = write_dense_model(tmp_path / "model")
    rows = msgspec.json.decode((folder / "modules.json").read_bytes())
    rows.insert(
        1, {"idx": 1, "name": kind, "path": "", "type": f"sentence_transformers.models.{kind}"}
    )
    (folder / "modules.json").write_bytes(msgspec.json.encode(rows))

    with pytest.raises(UnsupportedModelError, match=f"does not compute: {kind}"):
        embedding_of(folder)
