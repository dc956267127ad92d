"""Figures of several rounds, and how many operations a network's matrix products take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.benchmarks import make
from fakes.checkpoint import write_model

from minnow.bench import Sample, benchmark_facts
from minnow.bench.results import matrix_operations
from minnow.model.config import read_encoder_spec
from minnow.model.source import ModelSource

if TYPE_CHECKING:
    from pathlib import Path


def test_a_sample() -> None:
    sample = Sample((3.0, 1.0, 2.0, 10.0))
    assert (sample.low, sample.median, sample.high) == (1.0, 2.5, 10.0)


def test_ratios_are_of_the_same_round() -> None:
    """A round in which the machine was ten times slower changes no ratio."""
    mine, theirs = Sample((10.0, 1.0, 11.0)), Sample((5.0, 0.5, 5.5))
    assert mine.over(theirs).values == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="shorter"):
        mine.over(Sample((1.0,)))


@pytest.mark.extra("convert")
@pytest.mark.parametrize("lengths", [[1], [7], [3, 20, 20]])
def test_operations_are_those_of_the_graph(tmp_path: Path, lengths: list[int]) -> None:
    """Counted in the ONNX graph, as ONNX's own evaluator runs it."""
    import onnx.reference

    from minnow.graph.encoder import build_graph
    from minnow.model.checkpoint import read_tensors
    from minnow.model.families import network_of

    folder = write_model(tmp_path / "model")
    source = ModelSource(str(folder), "folder", folder, None, None)
    encoder = read_encoder_spec(source)
    network = network_of(encoder)
    model = build_graph(network, read_tensors(source, encoder))
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    names = [name for node in products for name in (node.input[0], node.output[0])]
    model.graph.ClearField("output")
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    evaluator = onnx.reference.ReferenceEvaluator(model)
    counted = 0
    for length in lengths:
        feeds = {row.name: np.ones((1, length), np.int32) for row in model.graph.input}
        values: Any = evaluator.run(None, feeds)
        pairs = zip(values[::2], values[1::2], strict=True)
        counted += sum(2 * taken.shape[-1] * given.size for taken, given in pairs)
    assert matrix_operations(network, lengths) == counted


def test_facts_are_json() -> None:
    found = make()
    facts = json.loads(json.dumps(benchmark_facts(found), allow_nan=False))
    assert facts["rounds"] == 3
    first, second = facts["systems"]
    assert first["tokens_per_second"]["median"] == 2000.0
    assert second["tokens_per_second"]["ratio"] == {"median": 2.0, "values": [2.0, 2.0, 2.0]}
    assert second["query_p50_seconds"]["ratio"]["median"] == 0.5
    assert second["cold_start_seconds"]["values"] == [0.4, 0.5, 0.6]
    assert first["matmul_peak_share"]["median"] == pytest.approx(0.2)
    assert facts["machine"]["cpus"] == 2


def test_without_a_network_there_is_no_share() -> None:
    found = make(operations=None)
    assert found.peak_share(found.baseline) is None
    assert benchmark_facts(found)["systems"][0]["matmul_peak_share"] is None
