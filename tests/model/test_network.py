"""A new family is a row: one that only this test registers converts, and gives its vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import (
    VOCABULARY,
    ids_of,
    random_tensors,
    source_of,
    write_model,
    write_weights,
)

from minnow.convert import convert
from minnow.errors import UnsupportedModelError
from minnow.export.gguf.file import gguf_metadata
from minnow.model import config, families, naming
from minnow.model.families import family_named, network_of
from minnow.model.family import Family
from minnow.model.naming import Naming
from minnow.model.network import Placement
from minnow.model.networks import post_norm_network
from minnow.model.original import read_original
from minnow.model.reference import ReferenceModel
from minnow.model.spec import Interface
from minnow.recipe import RECIPES
from minnow.records import replace

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.model.network import Network
    from minnow.model.spec import EncoderSpec

pytestmark = [
    pytest.mark.extra("convert", "sentence-transformers"),
    pytest.mark.filterwarnings("ignore"),
]


def pre_norm_network(spec: EncoderSpec) -> Network:
    """As BERT's, but each part of a block reads normalised states."""
    network = post_norm_network(spec)
    blocks = tuple(replace(block, placement=Placement.PRE) for block in network.blocks)
    return replace(network, blocks=blocks, final_norm=network.embedding_norm)


PRE_NORM = replace(
    family_named("roberta"),
    name="roberta-prelayernorm",
    model_types=("roberta-prelayernorm",),
    namings=(
        Naming(
            "roberta_prelayernorm.",
            {
                **naming.BERT,
                "layer.{i}.attention_norm": "encoder.layer.{i}.attention.LayerNorm",
                "layer.{i}.output_norm": "encoder.layer.{i}.intermediate.LayerNorm",
                "final_norm": "LayerNorm",
            },
        ),
    ),
    network=pre_norm_network,
)
PAD = len(VOCABULARY) + 9
"""No text has this id; transformers counts no position for a token that looks like padding."""
SETTINGS: dict[str, dict[str, Any]] = {
    "roberta-prelayernorm": {
        "vocab_size": PAD + 1,
        "max_position_embeddings": PAD + 41,
        "pad_token_id": PAD,
    },
}


@pytest.fixture(params=[PRE_NORM], ids=lambda row: row.name)
def row(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Family:
    """A row of the table, for one test."""
    added: Family = request.param
    for module in (families, config):
        monkeypatch.setattr(module, "FAMILIES", (*families.FAMILIES, added))
    return added


only_pre_norm = pytest.mark.parametrize("row", [PRE_NORM], indirect=True, ids=["pre-norm"])


def write(folder: Path, row: Family, pooling: str = "mean") -> Path:
    return write_model(
        folder, pooling=pooling, model_type=row.name, architectures=[], **SETTINGS[row.name]
    )


def test_the_reference_gives_the_states_of_transformers(row: Family, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel

    folder = write(tmp_path / "model", row)
    original = read_original(source_of(folder))
    ids = ids_of("two small fish run in the river")
    model = AutoModel.from_pretrained(folder, dtype=torch.float64).eval()
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()

    found = ReferenceModel(original.network, original.head, original.tensors).hidden_states(ids)

    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("row", "precision", "pooling"),
    [(PRE_NORM, "fp16", "mean"), (PRE_NORM, "fp32", "mean"), (PRE_NORM, "int8", "cls")],
    indirect=["row"],
    ids=lambda value: value.name if isinstance(value, Family) else value,
)
def test_it_converts_and_gives_the_vectors_of_sentence_transformers(
    row: Family, precision: str, pooling: str, tmp_path: Path
) -> None:
    interface = Interface.LAST_HIDDEN_STATE if pooling == "mean" else Interface.SENTENCE_EMBEDDING
    recipe = replace(RECIPES[precision], interface=interface, max_ndcg_drop=None)
    bundle = convert(
        str(write(tmp_path / "model", row, pooling)),
        tmp_path / "bundle",
        recipe=recipe,
        reference="sentence-transformers",
        shapes=[(2, 12)],
    )

    assert bundle.manifest.encoder.family == row.name
    assert bundle.manifest.parity.worst.worst >= recipe.bar


@only_pre_norm
def test_every_norm_of_it_matters(row: Family, tmp_path: Path) -> None:
    """A network without one of them, or with norms elsewhere, gives other states."""
    original = read_original(source_of(write(tmp_path / "model", row)))
    network, ids = original.network, ids_of("two small fish")
    expected = ReferenceModel(network, original.head, original.tensors).hidden_states(ids)
    for other in (
        replace(network, final_norm=None),
        replace(network, embedding_norm=None),
        replace(network, blocks=post_norm_network(original.encoder).blocks),
    ):
        found = ReferenceModel(other, original.head, original.tensors).hidden_states(ids)
        assert np.abs(found - expected).max() > 0.1


@only_pre_norm
def test_llama_cpp_s_bert_is_not_taken_for_it(row: Family, tmp_path: Path) -> None:
    original = read_original(source_of(write(tmp_path / "model", row)))
    with pytest.raises(UnsupportedModelError, match="it normalises before each part"):
        gguf_metadata(original)


@only_pre_norm
def test_a_missing_final_norm_is_named(row: Family, tmp_path: Path) -> None:
    folder = write(tmp_path / "model", row)
    tensors = random_tensors(folder)
    del tensors["LayerNorm.bias"]
    write_weights(folder, tensors)
    with pytest.raises(Exception, match=r"LayerNorm\.bias is missing"):
        read_original(source_of(folder))


def test_a_family_that_is_not_in_the_table_is_named(row: Family, tmp_path: Path) -> None:
    original = read_original(source_of(write(tmp_path / "model", row)))
    with pytest.raises(UnsupportedModelError, match="knows no family 'later'"):
        network_of(replace(original.encoder, family="later"))
