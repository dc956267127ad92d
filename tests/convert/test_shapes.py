"""Encoders of one fixed shape: written, proven each by itself, refused where they are wrong."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import write_model
from fakes.pairs import pairwise
from fakes.programs import run_minnow
from fakes.sealed import change_record
from hypothesis import given
from hypothesis import strategies as st

from minnow import RECIPES, Bundle, Embedder
from minnow.convert import convert, verify
from minnow.convert.shapes import parse_shapes
from minnow.engines.base import TokenBatch
from minnow.engines.mnn import MnnEngine
from minnow.errors import BundleError, InputError, ParityError
from minnow.graph.encoder import build_graph
from minnow.graph.form import GraphForm
from minnow.model.spec import EMBEDDING_INTERFACES, Interface
from minnow.recipe import Graph, Rounding
from minnow.records import replace
from minnow.vectors import normalize, pool

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.extra("convert")

SHAPES = [(1, 8), (3, 16)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("shapes") / "model", pooling="mean")


@pytest.fixture(scope="module")
def bundle(model: Path) -> Bundle:
    """A bundle with encoders of fixed shapes; for reading only."""
    return convert(str(model), model.parent / "bundle", shapes=SHAPES)


@given(st.lists(st.tuples(st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1)), min_size=1))
def test_what_is_written_is_read(shapes: list[tuple[int, int]]) -> None:
    assert parse_shapes(", ".join(f"{batch}x{tokens}" for batch, tokens in shapes)) == shapes


@given(st.text(alphabet="0123456789x, -.X٣", max_size=12))
def test_all_else_is_refused(written: str) -> None:
    try:
        found = parse_shapes(written)
    except InputError:
        return
    assert ",".join(f"{a}x{b}" for a, b in found).isascii()


@pytest.mark.parametrize("written", ["", "1", "1x", "x1", "1x2x3", "1x-2", "1x2,", "axb", "1*2"])
def test_malformed_shapes(written: str) -> None:
    with pytest.raises(InputError, match="not a shape"):
        parse_shapes(written)


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        ([(1, 8), (1, 8)], "twice"),
        ([(0, 8)], "holds nothing"),
        ([(1, 25)], "longer than 24 tokens"),
        ([(1, 1)], "No probe text fits"),
    ],
)
def test_shapes_that_cannot_be_had(
    model: Path, tmp_path: Path, shapes: list[tuple[int, int]], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        convert(str(model), tmp_path / "out", shapes=shapes)
    assert not (tmp_path / "out").exists()


def test_the_author_s_graph_has_none(model: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPES["fp16"], graph=Graph.AUTHOR)
    with pytest.raises(InputError, match="no fixed shapes"):
        convert(str(model), tmp_path / "out", recipe=recipe, shapes=SHAPES)


def test_the_manifest_lists_them(bundle: Bundle) -> None:
    opened = Bundle.open(bundle.folder)
    fixed = opened.manifest.fixed_shapes
    assert [(each.batch, each.tokens) for each in fixed] == SHAPES
    assert [each.file for each in fixed] == ["encoder-1x8.mnn", "encoder-3x16.mnn"]
    assert all(each.file in opened.manifest.files for each in fixed)
    assert 0 < fixed[0].parity.texts < fixed[1].parity.texts < opened.manifest.parity.texts
    for each in fixed:
        assert each.parity.worst.worst >= each.parity.bar
        assert each.parity.worst.worst_shape == (each.batch, each.tokens)
    card = (bundle.folder / "README.md").read_text()
    assert "| `encoder-3x16.mnn` | 3, 16 |" in card
    opened.check_files()


def test_the_graph_leaves_nothing_open(model: Path) -> None:
    from fakes.checkpoint import source_of

    from minnow.model.original import read_original

    original = read_original(source_of(model))
    form = GraphForm(shape=(3, 16))
    for head in (None, original.head):
        graph = build_graph(original.network, original.tensors, head=head, form=form).graph
        for value in (*graph.input, *graph.output):
            assert all(axis.dim_value > 0 for axis in value.type.tensor_type.shape.dim)
    graph = build_graph(original.network, original.tensors, form=form).graph
    assert "Shape" not in [node.op_type for node in graph.node]


@pytest.mark.parametrize(
    ("pooling", "precision", "interface"),
    pairwise(["cls", "weightedmean", "lasttoken", "max"], ["fp32", "int8"], EMBEDDING_INTERFACES),
)
def test_they_give_the_bundle_s_vectors(
    tmp_path: Path, interface: Interface, precision: str, pooling: str
) -> None:
    model = write_model(tmp_path / "model", pooling=pooling)
    recipe = replace(
        RECIPES[precision], interface=interface, rounding=Rounding.NEAREST, calibration="",
        max_ndcg_drop=None,
    )  # fmt: skip
    bundle = convert(str(model), tmp_path / "out", recipe=recipe, shapes=[(2, 12)])
    manifest = bundle.manifest
    with Embedder.open(bundle) as embedder:
        rows = embedder.token_ids(["a fish", "the river is small"])
        expected = embedder.encode(["a fish", "the river is small"])
    batch = TokenBatch.pad([*rows, [0] * 12], 0)
    batch = TokenBatch(batch.input_ids[:2], batch.attention_mask[:2], batch.token_type_ids[:2])
    for n, row in enumerate(rows):
        assert batch.attention_mask[n].sum() == len(row)
    engine = MnnEngine(
        bundle.folder / "encoder-2x12.mnn", manifest.encoder, threads=1, interface=interface
    )
    found = engine.run(batch)
    if interface is Interface.LAST_HIDDEN_STATE:
        found = normalize(pool(found, batch.attention_mask, manifest.embedding.pooling))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    engine.close()


def test_verify_proves_them_again(bundle: Bundle) -> None:
    steps: list[str] = []
    verify(bundle, progress=steps.append)
    assert any("shape 3x16" in step for step in steps)


@pytest.mark.parametrize("precision", ["fp16", "int4"])
def test_a_wrong_one_is_refused(
    tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder of any shape is right; that of the fixed one reads nothing but padding."""

    def build(
        network: Any, tensors: Any, packed: Any, head: Any, *, form: GraphForm, **options: Any
    ) -> Any:
        graph = build_graph(network, tensors, packed, head, form, **options)
        for node in graph.graph.node:
            if form.shape is not None and node.name.endswith(".masked"):
                node.op_type = "Sub"
        return graph

    model = write_model(tmp_path / "model", pooling="mean")
    monkeypatch.setattr("minnow.convert.encoders.build_graph", build)
    recipe = RECIPES[precision]
    if recipe.rounds:
        recipe = replace(recipe, rounding=Rounding.NEAREST, calibration="", max_ndcg_drop=None)
    with pytest.raises(ParityError, match="padded to 1x16"):
        convert(str(model), tmp_path / "out", recipe=recipe, shapes=[(1, 16)])
    assert not (tmp_path / "out").exists()


def test_other_vectors_in_a_sealed_one_are_found(model: Path, tmp_path: Path) -> None:
    """A file of another model, with the hashes made to fit."""
    from minnow.sealing import sha256

    bundle = convert(str(model), tmp_path / "one", shapes=[(1, 8)])
    other = write_model(tmp_path / "model", pooling="mean", seed=1)
    wrong = convert(str(other), tmp_path / "two", shapes=[(1, 8)]).folder / "encoder-1x8.mnn"
    (bundle.folder / "encoder-1x8.mnn").write_bytes(wrong.read_bytes())
    path = bundle.folder / "minnow.json"
    record = {"size": wrong.stat().st_size, "sha256": sha256(wrong)}
    change_record(path, lambda manifest: manifest["files"].update({"encoder-1x8.mnn": record}))
    with pytest.raises(ParityError, match="padded to 1x8"):
        verify(bundle.folder)


def test_old_manifests_still_open(bundle: Bundle, tmp_path: Path) -> None:
    manifest = json.loads((bundle.folder / "minnow.json").read_text())
    del manifest["fixed_shapes"], manifest["digest"]
    (tmp_path / "minnow.json").write_text(json.dumps(manifest))
    assert Bundle.open(tmp_path).manifest.fixed_shapes == ()


def test_a_manifest_without_the_file_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    shutil.copy(bundle.folder / "minnow.json", tmp_path)
    change_record(tmp_path / "minnow.json", lambda m: m["files"].pop("encoder-1x8.mnn"))
    with pytest.raises(BundleError, match="lists no encoder-1x8"):
        Bundle.open(tmp_path)


def test_the_command(model: Path, tmp_path: Path) -> None:
    done = run_minnow(
        "convert", str(model), "-o", "out", "--shapes", "1x8,2x8", "--json", cwd=tmp_path
    )
    assert done.code == 0, done.stderr
    assert [s.split()[0] for s in json.loads(done.stdout)["fixed_shapes"]] == ["1x8", "2x8"]
    shown = run_minnow("info", "out", cwd=tmp_path)
    assert "2x8 (" in shown.stdout
    bad = run_minnow("convert", str(model), "-o", "no", "--shapes", "1y8", cwd=tmp_path)
    assert bad.code == 8
    assert "'1y8' is not a shape" in bad.stderr
