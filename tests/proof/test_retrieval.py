"""The search that is part of a small bundle's proof."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.bundles import quick_recipe
from fakes.checkpoint import source_of, write_model
from fakes.programs import run_minnow

from minnow.bundle import Bundle
from minnow.convert import convert, verify
from minnow.datasets import builtin_dataset
from minnow.errors import ParityError
from minnow.evaluate import rank, score, to_rankings
from minnow.model.original import Original, read_original
from minnow.proof import retrieval
from minnow.proof.references import CheckpointReference
from minnow.proof.retrieval import prove_retrieval, searched_dataset
from minnow.proof.verdict import Candidate
from minnow.records import replace
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fakes.bundles import BundleStore
    from numpy.typing import NDArray

pytestmark = [pytest.mark.extra("convert")]


@pytest.fixture(scope="module")
def sealed(bundle_store: BundleStore) -> tuple[Original, Bundle]:
    bundle = bundle_store.calibrated()
    return read_original(source_of(bundle.folder.parent / "model")), bundle


@dataclass
class Seer:
    """A stand-in that knows all answers, and records the texts it was given."""

    name: str = "one who knows"
    asked: list[list[str]] = field(default_factory=list)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        raise NotImplementedError

    def vectors(self, texts: Sequence[str], prompt: str = "") -> NDArray[np.float64]:
        self.asked.append([prompt + text for text in texts])
        dataset = searched_dataset()
        if len(texts) == len(dataset.documents):
            return np.eye(len(texts))
        places = {name: i for i, name in enumerate(dataset.documents)}
        rows = np.zeros((len(texts), len(places)))
        for row, judged in zip(rows, dataset.qrels.values(), strict=True):
            row[[places[name] for name in judged]] = 1
        return rows


def prove(sealed: tuple[Original, Bundle], reference: Any, drop: float) -> Any:
    original, bundle = sealed
    candidate = Candidate(
        bundle.folder, original.encoder, original.embedding,
        bar=0.9, max_ndcg_drop=drop, advice="Do better.",
    )  # fmt: skip
    return prove_retrieval(candidate, reference)


def test_what_is_searched_has_all_answers_and_others() -> None:
    whole, part = builtin_dataset(), searched_dataset()
    assert part.queries == whole.queries
    assert part.qrels == whole.qrels
    answers = {name for judged in whole.qrels.values() for name in judged}
    assert answers < set(part.documents) < set(whole.documents)
    assert list(part.documents) == [name for name in whole.documents if name in part.documents]


@pytest.mark.extra("evaluate")
def test_the_manifest_tells_what_was_found(sealed: tuple[Original, Bundle]) -> None:
    """The reference's figure, computed again another way; the candidate's from its vectors."""
    original, bundle = sealed
    found = bundle.manifest.parity.retrieval
    assert found is not None
    dataset = searched_dataset()
    assert found.fingerprint == dataset.fingerprint
    assert (found.queries, found.documents) == (len(dataset.queries), len(dataset.documents))
    reference = CheckpointReference(original)
    queries, documents = (
        reference.vectors([prompt + text for text in texts.values()]).astype(np.float32)
        for prompt, texts in (("ask: ", dataset.queries), ("said: ", dataset.documents))
    )
    indices, _ = rank(queries, documents, k=10)
    expected = score(dataset, to_rankings(dataset, indices)).means["nDCG@10"]
    assert found.reference == pytest.approx(expected, abs=1e-12)
    assert 0 < found.reference < 1
    assert abs(found.candidate - found.reference) <= found.max_ndcg_drop == 0.01
    assert Bundle.open(bundle.folder).manifest.parity.retrieval == found


def test_the_card_tells_it_too(sealed: tuple[Original, Bundle]) -> None:
    found = sealed[1].manifest.parity.retrieval
    assert found is not None
    card = (sealed[1].folder / "README.md").read_text()
    assert f"has nDCG@10 {found.candidate:.4f} with this encoder.mnn, {found.reference:.4f}" in card
    assert "it may be 0.01 below" in card


def test_info_tells_it_too(sealed: tuple[Original, Bundle]) -> None:
    found = sealed[1].manifest.parity.retrieval
    assert found is not None
    done = run_minnow("info", sealed[1].folder)
    assert f"reference ndcg 10  {found.reference:.4f}" in done.stdout
    assert f"\nndcg 10            {found.candidate:.4f}\n" in done.stdout
    facts = json.loads(run_minnow("info", sealed[1].folder, "--json").stdout)
    assert (facts["ndcg_10"], facts["largest_fall"]) == (found.candidate, 0.01)


def test_floats_are_not_searched_with(tmp_path: Path, tiny: Path) -> None:
    assert convert(str(tiny), tmp_path / "out").manifest.parity.retrieval is None


def test_verify_searches_again(
    sealed: tuple[Original, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    parity = verify(sealed[1], progress=steps.append)
    assert parity.retrieval == sealed[1].manifest.parity.retrieval
    assert any(step.startswith("searching with the staged encoder (154 ques") for step in steps)
    values = iter([0.4, 0.5])
    monkeypatch.setattr(retrieval, "_mean_ndcg", lambda *_: next(values))
    with pytest.raises(ParityError, match=r"is 0\.4000, the reference's 0\.5000"):
        verify(sealed[1])


def test_finding_less_is_refused_with_the_figures(sealed: tuple[Original, Bundle]) -> None:
    seer = Seer()
    with pytest.raises(ParityError) as caught:
        prove(sealed, seer, 0.3)
    message = str(caught.value)
    assert message.startswith("Refused: the converted model finds less than one who knows.")
    assert "the reference's 1.0000; it may be 0.3 below" in message
    assert message.endswith("Nothing was written. Do better.")
    assert caught.value.worst is None
    assert prove(sealed, Seer(), 1).reference == 1


def test_the_reference_gets_the_prompts(sealed: tuple[Original, Bundle]) -> None:
    seer = Seer()
    prove(sealed, seer, 1)
    queries, documents = seer.asked
    assert all(text.startswith("ask: ") for text in queries)
    assert all(text.startswith("said: ") for text in documents)


def test_nan_is_refused(sealed: tuple[Original, Bundle]) -> None:
    class Broken(Seer):
        def vectors(self, texts: Sequence[str], prompt: str = "") -> NDArray[np.float64]:
            return np.full((len(texts), 8), np.nan)

    with pytest.raises(ParityError, match=r"the reference's nan"):
        prove(sealed, Broken(), 1)


def test_a_refusal_leaves_nothing(tmp_path: Path) -> None:
    """A recipe that asks for more than the reference finds."""
    model = write_model(tmp_path / "model")
    recipe = replace(quick_recipe("int8"), max_ndcg_drop=-0.5)
    with pytest.raises(ParityError, match=r"finds less than .*\(`calibration=`\)\.$"):
        convert(str(model), tmp_path / "out", recipe=recipe)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.extra("evaluate")
@pytest.mark.parametrize("noise", [0.1, 1.0, 3.0])
def test_the_measure_is_that_of_trec_eval(noise: float) -> None:
    dataset, random = searched_dataset(), np.random.default_rng(0)
    documents = normalize(random.standard_normal((len(dataset.documents), 16), np.float32))
    places = {name: i for i, name in enumerate(dataset.documents)}
    answers = [places[next(iter(judged))] for judged in dataset.qrels.values()]
    queries = documents[answers] + noise * random.standard_normal((len(answers), 16), np.float32)
    indices, _ = rank(normalize(queries), documents, k=10)
    expected = score(dataset, to_rankings(dataset, indices)).means["nDCG@10"]
    found = retrieval._mean_ndcg(dataset, (queries, documents), Similarity.COSINE)
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0.01 < found < 1
