"""What a folder, a file or a repository is, is the first thing that its user is told."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import edit_json, write_json, write_model
from fakes.hub import FakeHub
from fakes.models import WHOLE_MODEL, write_files

from minnow.errors import MinnowError, SourceError, SourceNotFoundError, UnsupportedModelError
from minnow.model.gguf_header import original_of
from minnow.model.hub import HubRequest, snapshot_of
from minnow.model.kinds import KINDS, OTHER_WEIGHTS
from minnow.model.source import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

WEIGHTS = {"model.safetensors": "weights"}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 133466304\n"
ST = "sentence_transformers."


def gguf(**names: str | list[str]) -> bytes:
    """Return the header of a GGUF file, version 3."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    rows = b""
    for key, value in names.items():
        rows += text("general." + key.replace("__", "."))
        if isinstance(value, str):
            rows += struct.pack("<I", 8) + text(value)
        else:
            rows += struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    return struct.pack("<4sIQQ", b"GGUF", 3, 0, len(names)) + rows


def modules(*kinds: str) -> str:
    return json.dumps([{"type": kind, "path": ""} for kind in kinds])


def head(architecture: str, **config: Any) -> str:
    return json.dumps({"model_type": "bert", "architectures": [architecture], **config})


FOLDERS: dict[str, tuple[Mapping[str, str], str]] = {
    "bundle": (
        {"minnow.json": '{"source": {"name": "acme/tiny"}}', "encoder.mnn": ""},
        "is a minnow bundle already, made from acme/tiny",
    ),
    "mnn": ({"config.json": "{}", "llm_config.json": "{}", "llm.mnn": ""}, "is a folder for MNN"),
    "adapter": (
        {"adapter_config.json": '{"base_model_name_or_path": "acme/base"}'} | WEIGHTS,
        "is a LoRA adapter (adapter_config.json), a small change to acme/base,",
    ),
    "reranker": (
        {
            "config.json": head("LlamaForCausalLM"),
            "modules.json": modules(ST + "cross_encoder.modules.logit_score.LogitScore"),
        }
        | WEIGHTS,
        "is a reranker (a cross-encoder, CrossEncoder) in a form that minnow does not compute",
    ),
    "reranker of sentence-transformers 2": (
        {"config.json": head("BertModel", sbert_ce_default_activation_function="x")} | WEIGHTS,
        "is a reranker",
    ),
    "reranker-without-prompt": (
        {
            "config.json": head("Qwen3ForCausalLM"),
            "README.md": "---\nlicense: apache-2.0\npipeline_tag: text-ranking\n---\n# Judge\n",
        }
        | WEIGHTS,
        "is a reranker (its card says text-ranking, Qwen3ForCausalLM)",
    ),
    "classifier": (
        {"config.json": head("BertForSequenceClassification", id2label={"0": "a", "1": "b"})}
        | WEIGHTS,
        "is a text classifier (BertForSequenceClassification)",
    ),
    "colbert": ({"config.json": head("HF_ColBERT")} | WEIGHTS, "is a ColBERT model"),
    "colbert of PyLate": (
        {"config.json": head("BertModel"), "modules.json": modules("pylate.models.Dense.Dense")}
        | WEIGHTS,
        "is a ColBERT model",
    ),
    "sparse": (
        {
            "config.json": head("BertForMaskedLM"),
            "modules.json": modules(ST + "sparse_encoder.modules.splade_pooling.SpladePooling"),
        }
        | WEIGHTS,
        "is a sparse encoder (SPLADE)",
    ),
    "sparse by its card": (
        {
            "config.json": head("BertForMaskedLM"),
            "README.md": "---\ntags:\n- splade\n---\n# text",
        }
        | WEIGHTS,
        "is a sparse encoder (SPLADE)",
    ),
    "image-text": ({"config.json": '{"model_type": "clip"}'} | WEIGHTS, "is a model of images and"),
    "image-text, old": ({"0_CLIPModel/config.json": "{}"}, "is a model of images and texts"),
    "word-vectors": ({"modules.json": modules(ST + "models.WordEmbeddings")}, "is a model of word"),
    "diffusers": ({"model_index.json": "{}"}, "is a pipeline that makes images"),
    "spacy": ({"config.cfg": "", "meta.json": "{}"}, "is a spaCy pipeline"),
    "gguf": (
        {"bge-q8_0.gguf": "GGUF"},
        "is a model for llama.cpp only (GGUF). minnow does not read llama",
    ),
    "gguf, before that name": ({"ggml-model-q4_0.bin": ""}, "is a model for llama.cpp only (GGUF)"),
    "dataset": ({"corpus.jsonl": "", "queries.jsonl": ""}, "is a data set (corpus.jsonl), not a"),
    "pickle": (
        {"config.json": "{}", "pytorch_model.bin": ""},
        "is a model whose weights are a pickle only (pytorch_model.bin, no model.safetensors)",
    ),
    "tensorflow": ({"config.json": "{}", "tf_model.h5": ""}, "is a model for TensorFlow only"),
    "flax": ({"config.json": "{}", "flax_model.msgpack": ""}, "is a model for Flax only"),
    "onnx": ({"config.json": "{}", "onnx/model.onnx": ""}, "is a model as an ONNX graph only"),
    "other-runtime": (
        {"config.json": "{}", "openvino_model.bin": "", "openvino_model.xml": ""},
        "is a model for another runtime only (openvino_model.xml",
    ),
}


def refusal(source: str) -> str:
    with pytest.raises(MinnowError) as caught:
        resolve(source)
    return str(caught.value)


def test_every_row_of_the_tables_has_a_folder_here() -> None:
    keys = [kind.key for kind in (*KINDS, *OTHER_WEIGHTS)]
    assert len(set(keys)) == len(keys)
    assert set(keys) <= FOLDERS.keys()


@pytest.mark.parametrize(("files", "words"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_is_named_for_what_it_is(
    tmp_path: Path, files: Mapping[str, str], words: str
) -> None:
    folder = write_files(tmp_path / "mine", files)

    message = refusal(str(folder))

    assert message.startswith(f"{folder} {words}")
    assert "\n" not in message


def test_a_model_that_also_carries_other_formats_is_read(tmp_path: Path) -> None:
    others = ("pytorch_model.bin", "tf_model.h5", "onnx/model.onnx", "x.gguf", "training_args.bin")
    write_files(tmp_path, WHOLE_MODEL | dict.fromkeys(others, "x"))

    assert resolve(str(tmp_path)).network == ""


def test_an_embedding_model_trained_from_a_classifier_is_read(tmp_path: Path) -> None:
    config = head("BertForSequenceClassification", sentence_transformers={"activation_fn": "x"})
    rows = modules(ST + "models.Transformer", ST + "models.Pooling")
    write_files(tmp_path, WHOLE_MODEL | {"config.json": config, "modules.json": rows})

    resolve(str(tmp_path))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_clone_without_git_lfs_is_named(tmp_path: Path, name: str) -> None:
    write_files(tmp_path, WHOLE_MODEL | {name: POINTER})

    with pytest.raises(SourceError, match=rf"{name} is a pointer of Git LFS.*git lfs pull"):
        resolve(str(tmp_path))


def test_a_folder_around_a_model_names_the_model(tmp_path: Path) -> None:
    write_files(tmp_path / "checkpoint-500", WHOLE_MODEL)

    assert refusal(str(tmp_path)).endswith("The folder checkpoint-500 in it holds one: give that.")


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    assert refusal(str(tmp_path)).endswith("has no config.json, so it is not a model. It is empty.")


@pytest.mark.parametrize("left", ["optimizer.pt", "training_args.bin", "rng_state.pth"])
def test_files_of_training_are_no_weights(tmp_path: Path, left: str) -> None:
    write_files(tmp_path, {"config.json": "{}", left: ""})

    assert "has no model.safetensors: the weights are missing" in refusal(str(tmp_path))


# --- files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("m.safetensors", "is the weights of a model. Give the folder that holds them"),
        ("m.onnx", "is an ONNX graph"),
        ("pytorch_model.bin", "is a file of weights, probably a pickle"),
        ("m.zip", "is an archive. Unpack it"),
        ("m.mnn", "is an MNN model already"),
        ("notes", "is a file. Give the folder that holds the model"),
    ],
)
def test_a_file_is_named_for_what_it_is(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(b"")

    with pytest.raises(SourceNotFoundError) as caught:
        resolve(str(tmp_path / name))

    assert str(caught.value).startswith(f"{tmp_path / name} {words}")


@pytest.mark.parametrize(
    ("header", "original"),
    [
        (gguf(architecture="bert", name="Bge Small"), "Bge Small"),
        (gguf(tags=["a", "b"], base_model__0__repo_url="https://hf.co/a/b"), "https://hf.co/a/b"),
        (gguf(name="x", source__huggingface__repository="a/b"), "a/b"),
        (gguf(architecture="bert"), None),
        (gguf(name="whole")[:-2], "who"),
        (b"GGUF", None),
        (b"GGUF\x03\0\0\0" + b"\xff" * 40, None),
        (b"", None),
        (b"PK\x03\x04" + b"\0" * 40, None),
    ],
)
def test_the_original_of_a_gguf_file_is_named(
    tmp_path: Path, header: bytes, original: str | None
) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(header)

    assert original_of(path) == original
    message = refusal(str(path))
    assert message.startswith(f"{path} is a GGUF file. minnow does not read llama.cpp's weights")
    assert (original or "the original") in message


# --- the Hub -----------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub() as hub:
        hub.use(monkeypatch, tmp_path / "cache")
        yield hub


BY_CONTENT = ("reranker", "sparse", "sparse by its card", "image-text")


@pytest.mark.parametrize("kind", ["adapter", "gguf", "pickle", "image-text, old", *BY_CONTENT])
def test_a_repository_is_named_before_its_weights_are_fetched(hub: FakeHub, kind: str) -> None:
    files, words = FOLDERS[kind]
    hub.add("acme/tiny", dict(files))

    with pytest.raises(UnsupportedModelError) as caught:
        snapshot_of(HubRequest("acme/tiny"))

    stated = words.replace("a small change to acme/base", "a small change to the base model")
    assert str(caught.value).startswith(f"acme/tiny {stated}")
    assert not any(name.endswith(".safetensors") for name in hub.downloads("acme/tiny"))


# --- old layouts -------------------------------------------------------------------------


@pytest.mark.extra("convert")
@pytest.mark.parametrize("folder_name", ["0_Transformer", "0_BERT"])
def test_a_network_in_a_folder_of_its_own_is_read(tmp_path: Path, folder_name: str) -> None:
    from minnow.convert import convert
    from minnow.recipe import RECIPES

    plain, old = write_model(tmp_path / "plain"), write_model(tmp_path / "old")
    stays = {"modules.json", "config_sentence_transformers.json", "README.md"}
    for path in [path for path in old.iterdir() if path.is_file() and path.name not in stays]:
        (old / folder_name).mkdir(exist_ok=True)
        path.rename(old / folder_name / path.name)
    rows = json.loads((old / "modules.json").read_text())
    rows[0]["path"] = folder_name
    write_json(old / "modules.json", rows)
    write_json(old / "config.json", {"__version__": "0.4.1"})

    bundles = [
        convert(str(folder), tmp_path / f"{folder.name}.minnow", recipe=RECIPES["fp32"])
        for folder in (plain, old)
    ]

    first, second = (bundle.manifest for bundle in bundles)
    assert (first.encoder, first.embedding) == (second.encoder, second.embedding)
    assert first.source.weights_sha256 == second.source.weights_sha256
    assert first.files["tokenizer.json"].sha256 == second.files["tokenizer.json"].sha256
    assert first.files["config.json"].sha256 == second.files["config.json"].sha256


def test_modules_that_name_another_folder_are_refused(tmp_path: Path) -> None:
    from fakes.checkpoint import embedding_of

    folder = write_model(tmp_path / "model")
    edit_json(folder / "0_Transformer/config.json", model_type="bert")
    rows = json.loads((folder / "modules.json").read_text())
    rows[0]["path"] = "0_Transformer"
    write_json(folder / "modules.json", rows)

    with pytest.raises(UnsupportedModelError, match="in the root folder, where the weights are"):
        embedding_of(folder)


def test_a_pipe_in_the_place_of_a_gguf_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "bge.gguf")

    assert original_of(tmp_path / "bge.gguf") is None
    with pytest.raises(SourceError, match=r"bge\.gguf"):
        resolve(str(tmp_path / "bge.gguf"))
