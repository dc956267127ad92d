"""Numbers beyond half precision in tiny models: the same network, with numbers that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.checkpoint import ids_of, source_of, write_model, write_weights

from minnow.convert import convert, verify
from minnow.embedder import Embedder
from minnow.graph.encoder import build_graph
from minnow.model.factors import noted_factor
from minnow.model.magnitudes import Magnitudes, fit_halves
from minnow.model.original import read_original
from minnow.model.reference import ReferenceModel
from minnow.parity import HALF_MAX
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from minnow.model.original import Original

pytestmark = pytest.mark.extra("convert", "sentence-transformers")

PLANTED: dict[str, tuple[str, dict[str, float], str]] = {
    "gated units": ("qwen3", {"up_proj": 3e5, "down_proj": 3e-6}, "units"),
    "units before a norm": ("gemma3", {"up_proj": 3e5}, "units"),
    "faint units before a norm": ("gemma3", {"up_proj": 1e-7}, "units"),
    "units of ReLU": ("t5", {"wi": 3e5, "wo": 3e-6}, "units"),
    "values": ("qwen3", {"v_proj": 1e6, "o_proj": 1e-6}, "value"),
    "faint values before a norm": ("gemma3", {"v_proj": 1e-7}, "value"),
    "values between gates": (
        "lfm2",
        {"conv.in_proj": 100.0, "conv.out_proj": 1e-6, "v_proj": 1e6, "attn.out_proj": 1e-6},
        "value",
    ),
    "scores": ("qwen3", {"q_norm": 20.0, "k_norm": 20.0}, "scores"),
    "scores without norms of heads": ("eurobert", {"q_proj": 400.0, "k_proj": 400.0}, "scores"),
    "words read again": ("embedding_gemma2", {"per_layer_projection_norm": 1e6}, "words_units"),
    "faint words": ("embedding_gemma2", {"per_layer_projection_norm": 1e-7}, "words_units"),
}
"""Name -> the family, factors of tensors whose names hold a word, and what gets powers."""
STATES = {
    "large": {"post_feedforward_layernorm": 1.5e5, "post_per_layer_input_norm": 1.5e5,
              "per_layer_input_gate": 1e-4},
    "faint": {"embed_tokens": 1e-6, "post_attention_layernorm": 1e-6,
              "post_feedforward_layernorm": 1e-6, "post_per_layer_input_norm": 1e-6,
              "per_layer_input_gate": 1e6},
}  # fmt: skip
IDS = ids_of("the small red fish run in the blue water")


def plant(folder: Path, family: str, factors: Mapping[str, float]) -> Path:
    from safetensors.numpy import load_file

    tensors = load_file(write_model(folder, family=family, pooling="mean") / "model.safetensors")
    for word, factor in factors.items():
        assert any(word in name for name in tensors)
        for name in tensors:
            if word in name:
                tensors[name] = tensors[name] * np.float32(factor)
    write_weights(folder, tensors)
    return folder


def measured(original: Original) -> tuple[dict[str, float], np.ndarray]:
    """Return the largest value of each tensor, and the vector."""
    found = Magnitudes()
    model = ReferenceModel(original.network, original.head, original.tensors, found.note)
    return found.values, model.vector(IDS)


def check_same(original: Original, fitted: Original) -> dict[str, float]:
    """Check that the fitted model gives the same vector, by the reference and by a graph."""
    import onnxruntime

    before, expected = measured(original)
    after, found = measured(fitted)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    for name, value in after.items():
        assert value == pytest.approx(before[name] * noted_factor(fitted.network, name), rel=1e-5)
    assert max(after.values()) < HALF_MAX / 8
    graph = build_graph(fitted.network, fitted.tensors, head=fitted.head)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    ids = np.array([IDS], np.int32)
    (rows,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    np.testing.assert_allclose(rows[0], expected, rtol=0, atol=2e-5)
    return after


@pytest.mark.extra("onnxruntime")
@pytest.mark.parametrize(("family", "factors", "kind"), PLANTED.values(), ids=PLANTED)
def test_numbers_inside_layers_get_powers_of_two(
    family: str, factors: dict[str, float], kind: str, tmp_path: Path
) -> None:
    original = read_original(source_of(plant(tmp_path, family, factors)))
    values, _ = measured(original)
    fitted = fit_halves(original, values)
    powers = fitted.encoder.powers
    assert {name.rpartition(".")[2] for name in powers} == {kind}
    assert len(powers) == fitted.encoder.layers
    faint = min(factors.values()) < 1e-6
    assert all(power > 0 if faint else power < 0 for power in powers.values())
    after = check_same(original, fitted)
    assert all(after[name] > 2**-4 for name in powers)


@pytest.mark.extra("onnxruntime")
@pytest.mark.parametrize("factors", STATES.values(), ids=STATES)
def test_states_that_a_gate_reads_too(factors: dict[str, float], tmp_path: Path) -> None:
    """The gate reads the states without a norm; its matrix takes their factor out again."""
    original = read_original(source_of(plant(tmp_path, "embedding_gemma2", factors)))
    values, _ = measured(original)
    fitted = fit_halves(original, values)
    assert (fitted.encoder.stream > 2**8) == (factors is STATES["faint"])
    assert (fitted.encoder.stream < 2**-4) == (factors is STATES["large"])
    check_same(original, fitted)


@pytest.mark.extra("onnxruntime")
def test_a_bundle_records_them(tmp_path: Path) -> None:
    """Other engines need them: norms have an eps to match."""
    folder = plant(tmp_path / "model", "gemma3", PLANTED["units before a norm"][1])
    bundle = convert(str(folder), tmp_path / "bundle", recipe=RECIPES["fp32"], offline=True)
    manifest = bundle.manifest
    assert manifest.format == 8
    assert set(manifest.encoder.powers) == {f"layer.{i}.units" for i in range(3)}
    found = manifest.parity.magnitude
    assert found is not None
    assert found.head_room > 3
    assert found.foot_room > 8
    assert found.least_where
    verify(bundle, offline=True)
    texts = ["the small red fish run", "water"]
    with Embedder.open(bundle, engine="mnn") as on_mnn:
        expected = on_mnn.encode(texts)
    with Embedder.open(bundle, engine="onnxruntime") as other:
        np.testing.assert_allclose(other.encode(texts), expected, atol=1e-4)
