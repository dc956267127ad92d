from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import (
    random_tensors,
    source_of,
    write_json,
    write_model,
    write_safetensors,
    write_weights,
)

from minnow.errors import (
    CheckpointError,
    MissingExtraError,
    SourceError,
    SourceNotFoundError,
)
from minnow.model.checkpoint import read_tensors, weight_files
from minnow.model.config import read_encoder_spec
from minnow.model.families import network_of
from minnow.model.parameters import tensor_shapes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Tensors = dict[str, NDArray[Any]]

pytestmark = pytest.mark.extra("convert")

WORDS = "embeddings.word_embeddings.weight"
QUERY_BIAS = "encoder.layer.0.attention.self.query.bias"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


@pytest.fixture
def tensors(folder: Path) -> Tensors:
    """The tensors of the folder's checkpoint, under the names of its family."""
    return dict(random_tensors(folder))


def read(folder: Path) -> dict[str, NDArray[np.float32]]:
    source = source_of(folder)
    return dict(read_tensors(source, read_encoder_spec(source)))


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(folder)
    return str(caught.value)


# --- what is read ------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_every_tensor_is_read_under_our_name(tmp_path: Path, family: str) -> None:
    folder = write_model(tmp_path / "model", family=family)
    stored = random_tensors(folder)

    tensors = read(folder)

    shapes = tensor_shapes(network_of(read_encoder_spec(source_of(folder))))
    assert {name: tensor.shape for name, tensor in tensors.items()} == shapes
    assert len(tensors) == len(stored)
    for ours, theirs in zip(tensors.values(), stored.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(tensors["embeddings.word"], stored[WORDS])


def test_tensors_go_by_name_and_not_by_order(folder: Path, tensors: Tensors) -> None:
    expected = read(folder)
    write_weights(folder, {name: tensors[name] for name in reversed(tensors)})

    again = read(folder)

    assert list(again) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(again[name], tensor)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floating_point_becomes_float32(folder: Path, tensors: Tensors, dtype: str) -> None:
    stored = {name: tensor.astype(dtype) for name, tensor in tensors.items()}
    write_weights(folder, stored)

    words = read(folder)["embeddings.word"]

    assert words.dtype == np.float32
    np.testing.assert_array_equal(words, stored[WORDS].astype(np.float32))


def test_bfloat16_is_read_by_a_process_without_torch(folder: Path, tensors: Tensors) -> None:
    write_safetensors(folder / "model.safetensors", tensors, bfloat16=True)
    code = f"""if True:
        import sys
        sys.modules["torch"] = None
        from pathlib import Path
        from minnow.model.checkpoint import read_tensors
        from minnow.model.config import read_encoder_spec
        from minnow.model.source import resolve
        source = resolve({str(folder)!r})
        words = read_tensors(source, read_encoder_spec(source))["embeddings.word"]
        print(words.dtype)
        Path(sys.argv[1]).write_bytes(words.tobytes())
    """
    output = folder / "words"

    shown = subprocess.check_output([sys.executable, "-c", code, str(output)], text=True)

    truncated = (tensors[WORDS].view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert shown == "float32\n"
    assert output.read_bytes() == truncated.tobytes()


@pytest.mark.extra("sentence-transformers")
def test_bfloat16_is_what_torch_writes(folder: Path, tensors: Tensors) -> None:
    import torch
    from safetensors.torch import save_file

    stored = {name: torch.tensor(t).bfloat16() for name, t in tensors.items()}
    save_file(stored, folder / "model.safetensors")

    np.testing.assert_array_equal(read(folder)["embeddings.word"], stored[WORDS].float().numpy())


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_norms_may_have_the_names_of_the_first_bert(
    folder: Path, tensors: Tensors, prefix: str
) -> None:
    plain = read(folder)
    old = {
        prefix
        + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in tensors.items()
    }
    assert sum(name.endswith((".gamma", ".beta")) for name in old) == 2 * 5
    write_weights(folder, old)

    found = read(folder)

    assert found.keys() == plain.keys()
    assert all(np.array_equal(found[name], plain[name]) for name in plain)


def test_a_norm_under_both_names_is_refused(folder: Path, tensors: Tensors) -> None:
    name = "embeddings.LayerNorm.gamma"
    write_weights(folder, tensors | {name: tensors["embeddings.LayerNorm.weight"]})

    assert f"{name} is left over" in refusal(folder)


@pytest.mark.parametrize(
    ("family", "prefix"),
    [("bert", "bert."), ("roberta", "roberta."), ("distilbert", "distilbert.")],
)
def test_names_may_have_the_prefix_of_the_family(tmp_path: Path, family: str, prefix: str) -> None:
    folder = write_model(tmp_path / "model", family=family)
    expected = read(folder)
    write_weights(folder, {prefix + name: t for name, t in random_tensors(folder).items()})

    tensors = read(folder)

    np.testing.assert_array_equal(tensors["layer.1.output.bias"], expected["layer.1.output.bias"])


@pytest.mark.parametrize(
    ("family", "prefix", "names"),
    [
        ("bert", "", ["pooler.dense.weight", "embeddings.position_ids"]),
        ("bert", "bert.", ["bert.pooler.dense.weight", "cls.predictions.bias"]),
        ("roberta", "roberta.", ["lm_head.dense.weight", "roberta.embeddings.token_type_ids"]),
        ("distilbert", "distilbert.", ["vocab_transform.bias", "vocab_projector.weight"]),
    ],
)
def test_heads_and_buffers_are_left_out(
    tmp_path: Path, family: str, prefix: str, names: list[str]
) -> None:
    folder = write_model(tmp_path / "model", family=family)
    tensors = random_tensors(folder)
    more = {name: np.zeros(3, np.int64) for name in names}
    write_weights(folder, {**{prefix + name: t for name, t in tensors.items()}, **more})

    assert len(read(folder)) == len(tensors)


# --- what is refused ---------------------------------------------------------------------


def test_a_missing_tensor_is_named_as_the_file_would(folder: Path, tensors: Tensors) -> None:
    del tensors[QUERY_BIAS]
    write_weights(folder, tensors)

    message = refusal(folder)

    assert message.startswith(f"The checkpoint of {folder} does not fit its config.json: ")
    assert message.endswith(f": {QUERY_BIAS} is missing.")


def test_a_missing_tensor_is_named_with_the_prefix(folder: Path, tensors: Tensors) -> None:
    del tensors[QUERY_BIAS]
    write_weights(folder, {"bert." + name: tensor for name, tensor in tensors.items()})

    assert f": bert.{QUERY_BIAS} is missing." in refusal(folder)


@pytest.mark.parametrize(
    "name", ["encoder.layer.2.output.dense.bias", "adapter.weight", "embeddings.LayerNorm.gamma"]
)
def test_an_unused_tensor_is_refused(folder: Path, tensors: Tensors, name: str) -> None:
    write_weights(folder, tensors | {name: np.zeros(32, np.float32)})

    assert f": {name} is left over (minnow does not know what it does)." in refusal(folder)


def test_an_encoder_with_and_without_prefix_at_once_is_refused(
    folder: Path, tensors: Tensors
) -> None:
    write_weights(folder, tensors | {"bert." + name: tensor for name, tensor in tensors.items()})

    assert f"{WORDS} is left over" in refusal(folder)


def test_a_misshapen_tensor_is_refused(folder: Path, tensors: Tensors) -> None:
    write_weights(folder, tensors | {WORDS: tensors[WORDS].T.copy()})

    rows, width = tensors[WORDS].shape
    assert f": {WORDS} has shape ({width}, {rows}), not ({rows}, {width})." in refusal(folder)


@pytest.mark.parametrize(
    ("dtype", "named"), [("int8", "I8"), ("int32", "I32"), ("int64", "I64"), ("uint8", "U8")]
)
def test_integers_are_refused(folder: Path, tensors: Tensors, dtype: str, named: str) -> None:
    write_weights(folder, tensors | {QUERY_BIAS: np.ones(32, dtype)})

    assert f": {QUERY_BIAS} is stored as {named}, not as floating point." in refusal(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_value_that_is_not_finite_is_refused(
    folder: Path, tensors: Tensors, dtype: str, value: float
) -> None:
    spoiled = tensors[QUERY_BIAS].astype(dtype)
    spoiled[-1] = value
    write_weights(folder, tensors | {QUERY_BIAS: spoiled})

    assert f": {QUERY_BIAS} holds NaN or infinity." in refusal(folder)


def test_a_matrix_of_zeros_is_a_download_cut_short(folder: Path, tensors: Tensors) -> None:
    """A file of the right length may end in zeros; a bias or a table of one row may be zero."""
    matrix = "encoder.layer.1.output.dense.weight"
    zeros = {name: np.zeros_like(tensors[name]) for name in (matrix, QUERY_BIAS)}
    write_weights(folder, tensors | zeros)

    found = refusal(folder)
    assert f": {matrix} holds only zeros, as the end of a download cut short." in found
    assert QUERY_BIAS not in found


def test_a_value_too_large_for_float32_is_refused(folder: Path, tensors: Tensors) -> None:
    write_weights(folder, tensors | {QUERY_BIAS: np.full(32, 1e300)})

    assert f": {QUERY_BIAS} holds NaN or infinity." in refusal(folder)


def test_faults_of_every_kind_are_named_together(folder: Path, tensors: Tensors) -> None:
    del tensors[WORDS]
    tensors["more"] = np.zeros(1, np.float32)
    tensors["embeddings.LayerNorm.weight"] = np.zeros(31, np.float32)
    tensors["embeddings.LayerNorm.bias"] = np.full(32, np.nan, np.float32)
    tensors[QUERY_BIAS] = np.zeros(32, np.int8)
    write_weights(folder, tensors)

    faults = refusal(folder).partition("config.json: ")[2].split("; ")

    assert {fault.split(" ")[0] for fault in faults} == {
        WORDS,
        "more",
        "embeddings.LayerNorm.weight",
        "embeddings.LayerNorm.bias",
        QUERY_BIAS,
    }
    assert len(faults) == 5


@pytest.mark.parametrize(("count", "rest"), [(8, ""), (9, "; and 1 more"), (12, "; and 4 more")])
def test_many_faults_are_abbreviated(folder: Path, tensors: Tensors, count: int, rest: str) -> None:
    write_weights(folder, tensors | {f"x{i:02}": np.zeros(1, np.float32) for i in range(count)})

    message = refusal(folder)

    assert message.count("is left over") == 8
    assert message.endswith(f"x07 is left over (minnow does not know what it does){rest}.")


# --- files -------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_truncated_file_is_refused(folder: Path, kept: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])

    message = refusal(folder)

    assert message.startswith(f"{folder}: model.safetensors is not a whole safetensors file (")
    assert message.endswith("Download it again.")


def test_a_git_lfs_pointer_is_refused(folder: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 90868376\n"
    (folder / "model.safetensors").write_text(pointer)

    assert "is not a whole safetensors file" in refusal(folder)


@pytest.fixture
def shards(folder: Path, tensors: Tensors) -> list[Path]:
    """The folder's checkpoint in two files and an index."""
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    paths = [folder / f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    parts = dict(zip(paths, (names[::2], names[1::2]), strict=True))
    for path, part in parts.items():
        write_safetensors(path, {name: tensors[name] for name in part})
    weight_map = {name: path.name for path, part in parts.items() for name in part}
    write_json(folder / INDEX, {"metadata": {}, "weight_map": weight_map})
    return paths


def test_shards_are_read_together(folder: Path, tensors: Tensors, shards: list[Path]) -> None:
    assert weight_files(source_of(folder)) == shards

    read_from_shards = read(folder)

    write_weights(folder, tensors)
    for name, tensor in read(folder).items():
        np.testing.assert_array_equal(read_from_shards[name], tensor)


def test_one_file_wins_over_an_index(folder: Path, tensors: Tensors, shards: list[Path]) -> None:
    write_weights(folder, tensors)
    shards[0].unlink()

    assert weight_files(source_of(folder)) == [folder / "model.safetensors"]


def test_a_missing_shard_is_named(folder: Path, shards: list[Path]) -> None:
    shards[1].unlink()

    with pytest.raises(SourceNotFoundError, match=f"has no {re.escape(shards[1].name)}"):
        read(folder)


def test_a_truncated_shard_is_named(folder: Path, shards: list[Path]) -> None:
    shards[1].write_bytes(shards[1].read_bytes()[:-1])

    assert f": {shards[1].name} is not a whole safetensors file" in refusal(folder)


def test_a_shard_of_another_model_leaves_tensors_missing(folder: Path, shards: list[Path]) -> None:
    shards[1].write_bytes(shards[0].read_bytes())

    assert " is missing; " in refusal(folder)


@pytest.mark.parametrize(
    "index",
    [[], {}, {"weight_map": []}, {"weight_map": {"a": 1}}, {"weight_map": {"a": 1, "b": "c"}}],
)
@pytest.mark.usefixtures("shards")
def test_an_index_of_another_shape_is_refused(folder: Path, index: object) -> None:
    write_json(folder / INDEX, index)

    with pytest.raises(SourceError, match=re.escape(str(folder / INDEX))):
        read(folder)


@pytest.mark.usefixtures("shards")
def test_an_index_stays_within_its_folder(folder: Path) -> None:
    write_json(folder / INDEX, {"weight_map": {WORDS: "../other/model.safetensors"}})

    with pytest.raises(SourceError, match="outside its own folder"):
        read(folder)


def test_without_safetensors_there_is_no_checkpoint(folder: Path) -> None:
    (folder / "model.safetensors").unlink()

    with pytest.raises(SourceNotFoundError, match=r"has no model\.safetensors"):
        read(folder)


@pytest.mark.parametrize("module", ["safetensors", "ml_dtypes"])
def test_the_extra_is_named_where_a_library_is_absent(
    folder: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingExtraError, match=r"pip install 'minnow-embed\[convert\]'"):
        read(folder)


def test_a_file_that_changes_while_it_is_read_is_noticed(folder: Path, tensors: Tensors) -> None:
    """Tensors are read from their file when they are asked for, long after it was checked."""
    source = source_of(folder)
    lazy = read_tensors(source, read_encoder_spec(source))
    before = lazy["embeddings.word"]
    before[:] = 0
    assert lazy["embeddings.word"].any()
    name = next(name for name in tensors if name.endswith("word_embeddings.weight"))
    write_weights(folder, tensors | {name: tensors[name][1:]})
    with pytest.raises(CheckpointError, match=r"changed while it was read: .* has shape"):
        lazy["embeddings.word"]
