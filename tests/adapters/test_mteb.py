"""mteb's tasks on a bundle, with data made here: the scores are those of the bundle's vectors."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from fakes.bundles import PROMPTS, Tiny
from fakes.checkpoint import WORDS
from fakes.network import forbid_network
from fakes.programs import answer_of

from minnow.adapters.mteb import MtebModel
from minnow.bundle import Bundle
from minnow.convert import convert
from minnow.embedder import Embedder
from minnow.errors import InputError, MissingExtraError
from minnow.model.checkpoint import read_tensors
from minnow.recipe import RECIPES
from minnow.records import replace
from minnow.vectors import Similarity, rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.extra("convert")

needs_mteb = pytest.mark.extra("mteb")

CLOSE = 1e-4
BY_TASK = {"query": "query: ", "STS": "green ", "Classification-query": "red "}
OTHERS = (
    "BitextMining", "Clustering", "PairClassification", "Regression", "Reranking", "Summarization"
)  # fmt: skip


def sentences(count: int, longest: int, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(2, longest, count)
    return [" ".join(generator.choice(WORDS, length)) for length in lengths]


QUERIES = sentences(6, 8, seed=1)
TEXTS = sentences(20, 30, seed=2)
TITLES = [title if i % 2 else "" for i, title in enumerate(sentences(20, 4, seed=3))]
GRADES = np.random.default_rng(4).choice(4, size=(6, 20), p=(0.7, 0.1, 0.1, 0.1))
LEFT, RIGHT = sentences(15, 9, seed=5), sentences(15, 9, seed=6)
ALIKE = np.random.default_rng(7).uniform(0, 5, 15)
LABELS = [i % 2 for i in range(30)]
LABELLED, UNSEEN = (
    [f"{'red' if label else 'blue'} {text}" for label, text in zip(LABELS, texts, strict=True)]
    for texts in (sentences(30, 9, seed=8), sentences(30, 9, seed=9))
)


class Row(NamedTuple):
    """The part of a task's mteb metadata that chooses the prompt."""

    name: str = "TinyTask"
    type: str = "Retrieval"


def task_of(kind: type, main_score: str, data: object, **attributes: object) -> Any:
    """A task of one of mteb's kinds, whose data is at hand."""
    from mteb.abstasks.task_metadata import TaskMetadata

    def load_data(self: Any, **_: object) -> None:
        self.dataset, self.data_loaded = data, True

    word = kind.__name__.removeprefix("AbsTask")
    metadata = TaskMetadata.model_validate(
        {
            "name": f"Tiny{word}",
            "description": "Sentences without a meaning.",
            "type": word,
            "dataset": {"path": "tiny/tiny", "revision": "1"},
            "eval_langs": ["eng-Latn"],
            "main_score": main_score,
        }
    )
    members = {"metadata": metadata, "load_data": load_data, **attributes}
    return type(metadata.name, (kind,), members)()


def rows(**columns: list[Any]) -> Any:
    datasets: Any = pytest.importorskip("datasets")

    return datasets.Dataset.from_dict(columns)


def retrieval() -> Any:
    from mteb.abstasks import AbsTaskRetrieval

    split = {
        "corpus": rows(id=[f"d{i}" for i in range(20)], title=TITLES, text=TEXTS),
        "queries": rows(id=[f"q{i}" for i in range(6)], text=QUERIES),
        "relevant_docs": {
            f"q{i}": {f"d{j}": int(grade) for j, grade in enumerate(row) if grade}
            for i, row in enumerate(GRADES)
        },
        "top_ranked": None,
    }
    return task_of(AbsTaskRetrieval, "ndcg_at_10", {"default": {"test": split}})


def sts() -> Any:
    from mteb.abstasks import AbsTaskSTS

    data = {"test": rows(sentence1=LEFT, sentence2=RIGHT, score=ALIKE.tolist())}
    return task_of(AbsTaskSTS, "cosine_spearman", data, min_score=0, max_score=5)


def classification() -> Any:
    datasets: Any = pytest.importorskip("datasets")
    from mteb.abstasks import AbsTaskClassification

    splits = {"train": LABELLED, "test": UNSEEN}
    data = datasets.DatasetDict(
        {name: rows(text=texts, label=LABELS) for name, texts in splits.items()}
    )
    return task_of(AbsTaskClassification, "accuracy", data, samples_per_label=30, n_experiments=2)


def scores_of(model: Any, folder: Path) -> dict[str, float]:
    """Run the three tasks; main scores by the task's name."""
    import mteb

    tasks = [retrieval(), sts(), classification()]
    cache = mteb.ResultCache(folder)
    results = mteb.evaluate(model, tasks, cache=cache, show_progress_bar=False).task_results
    return {result.task_name: result.get_score() for result in results}


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No network, and no trace in the home folder, where mteb makes one when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTEB_CACHE", str(tmp_path_factory.mktemp("mteb")))
        forbid_network(patch)
        yield


@pytest.fixture(scope="module")
def model(made: Tiny) -> Iterator[MtebModel]:
    model = MtebModel(made.bundle, threads=1)
    yield model
    model.embedder.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def scores(model: MtebModel, folder: Path) -> dict[str, float]:
    return scores_of(model, folder)


@pytest.fixture
def plain(made: Tiny) -> Iterator[Embedder]:
    with Embedder.open(made.bundle, threads=1, on_truncate="ignore") as embedder:
        yield embedder


def embedder_of(made: Tiny, **changes: Any) -> Embedder:
    """Return an embedder of the bundle's encoder that makes vectors in another way."""
    manifest = made.bundle.manifest
    embedding = replace(manifest.embedding, **changes)
    return Embedder.from_files(made.bundle.folder, manifest.encoder, embedding, threads=1)


def meta_of(made: Tiny, **changes: Any) -> Any:
    """Return the metadata that mteb gets, as if the manifest said something else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bundle, "unchanged", lambda bundle: nullcontext())
        model = MtebModel(Bundle(made.bundle.folder, replace(made.bundle.manifest, **changes)))
    model.embedder.close()
    return model.mteb_model_meta


def vectors_of(model: MtebModel, task: Any, role: str | None, **options: Any) -> NDArray[Any]:
    """Return the vectors that mteb gets for the text "fish"."""
    from mteb.types import PromptType

    return model.encode(
        [{"text": ["fish"]}],
        task_metadata=task,
        hf_split="test",
        hf_subset="default",
        prompt_type=PromptType(role) if role else None,
        **options,
    )


def test_mteb_is_imported_by_nothing_but_the_model() -> None:
    code = "import sys, minnow.cli, minnow.adapters.mteb; print({'mteb', 'torch'} & {*sys.modules})"
    assert answer_of(code) == "set()\n"


def test_mteb_that_is_not_installed(made: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mteb", "mteb.models.model_meta"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"minnow-embed\[mteb\]"):
        MtebModel(made.bundle)


@needs_mteb
class TestScores:
    def test_retrieval(self, scores: Mapping[str, float], plain: Embedder) -> None:
        queries = plain.encode([PROMPTS["query"] + query for query in QUERIES])
        pairs = zip(TITLES, TEXTS, strict=True)
        documents = [PROMPTS["document"] + f"{title} {text}".strip() for title, text in pairs]
        order = np.argsort(-queries @ plain.encode(documents).T, axis=1)[:, :10]
        found = np.take_along_axis(GRADES, order, axis=1)
        best = -np.sort(-GRADES, axis=1)[:, :10]
        discount = 1 / np.log2(np.arange(2, 12))

        expected = float(np.mean((found @ discount) / (best @ discount)))
        assert scores["TinyRetrieval"] == pytest.approx(expected, abs=1e-5)  # mteb rounds it
        assert 0.2 < expected < 0.9

    def test_sts(self, scores: Mapping[str, float], plain: Embedder) -> None:
        from scipy.stats import spearmanr

        cosines = rowwise_cosine(plain.encode(LEFT), plain.encode(RIGHT))
        assert scores["TinySTS"] == pytest.approx(spearmanr(cosines, ALIKE).statistic)

    def test_classification(self, scores: Mapping[str, float], plain: Embedder) -> None:
        from sklearn.linear_model import LogisticRegression

        classifier = LogisticRegression(max_iter=100).fit(plain.encode(LABELLED), LABELS)
        expected = classifier.score(plain.encode(UNSEEN), LABELS)
        assert scores["TinyClassification"] == pytest.approx(expected)
        assert 0.5 < expected < 1

    @pytest.mark.filterwarnings("ignore:.*get_sentence_embedding_dimension:FutureWarning")
    @pytest.mark.filterwarnings("ignore:Task name red is not valid:UserWarning")
    @pytest.mark.filterwarnings("ignore:Some prompts are not in the expected:UserWarning")
    def test_they_are_those_of_mteb_on_the_original(
        self, scores: Mapping[str, float], made: Tiny, tmp_path: Path
    ) -> None:
        from sentence_transformers import SentenceTransformer

        original = SentenceTransformer(str(made.source.folder), device="cpu", local_files_only=True)
        assert scores == pytest.approx(scores_of(original, tmp_path), abs=CLOSE)

    def test_they_are_kept_under_the_name(
        self, scores: Mapping[str, float], model: MtebModel, folder: Path
    ) -> None:
        place = folder / "results/minnow__model-fp32" / str(model.mteb_model_meta.revision)
        found = {path.stem for path in place.glob("Tiny*.json")}
        about = json.loads((place / "model_meta.json").read_text(encoding="utf-8"))

        assert found == set(scores)
        assert about["name"] == "minnow/model-fp32"
        assert about["similarity_fn_name"] == "cosine"

    @pytest.mark.filterwarnings("ignore:To copy construct:UserWarning")
    @pytest.mark.parametrize("kind", OTHERS)
    def test_other_kinds_of_task_run(self, kind: str, model: Any) -> None:
        from mteb import evaluate, mocks

        task = getattr(mocks, f"Mock{kind}Task")()
        results = evaluate(model, task, cache=None, show_progress_bar=False).task_results
        assert [result.task_name for result in results] == [task.metadata.name]


@needs_mteb
class TestPrompts:
    @pytest.mark.parametrize(
        ("role", "text"), [("query", "query: fish"), ("document", "passage: fish"), (None, "fish")]
    )
    def test_each_role_has_its_own(
        self, role: str | None, text: str, model: MtebModel, plain: Embedder
    ) -> None:
        np.testing.assert_array_equal(vectors_of(model, Row(), role), plain.encode([text]))

    def test_without_a_role_it_is_the_default(self, made: Tiny, plain: Embedder) -> None:
        with embedder_of(made, default_prompt_name="red") as embedder:
            vectors = vectors_of(MtebModel(embedder), Row(), None)
        np.testing.assert_array_equal(vectors, plain.encode(["red fish"]))

    @pytest.mark.parametrize(
        ("task", "role", "text"),
        [
            (Row(type="STS"), None, "green fish"),
            (Row(type="Classification"), "query", "red fish"),
            (Row(type="Classification"), None, "fish"),
            (Row(type="Retrieval"), "query", "query: fish"),
            (Row(name="STS"), "document", "green fish"),
        ],
    )
    def test_one_for_the_task_wins(
        self, task: Row, role: str | None, text: str, made: Tiny, plain: Embedder
    ) -> None:
        with embedder_of(made, prompts=BY_TASK) as embedder:
            vectors = vectors_of(MtebModel(embedder), task, role)
        np.testing.assert_array_equal(vectors, plain.encode([text]))

    def test_the_callers_prompt_wins(self, model: MtebModel, plain: Embedder) -> None:
        vectors = vectors_of(model, Row(), "query", prompt="two ")
        np.testing.assert_array_equal(vectors, plain.encode(["two fish"]))


@needs_mteb
class TestOptions:
    def test_those_of_encode_are_passed_on(self, model: MtebModel, plain: Embedder) -> None:
        vectors = vectors_of(model, Row(), None, truncate_dim=8, batch_size=1)
        np.testing.assert_array_equal(vectors, plain.encode(["fish"], truncate_dim=8))

    def test_float32_is_the_only_precision(self, model: MtebModel) -> None:
        assert vectors_of(model, Row(), None, precision="float32").dtype == np.float32
        with pytest.raises(InputError, match="precision='int8' is not possible"):
            vectors_of(model, Row(), None, precision="int8")

    def test_threads_are_not_for_an_embedder(self, plain: Embedder) -> None:
        with pytest.raises(InputError, match="threads is for a bundle; an embedder already has"):
            MtebModel(plain, threads=2)
        assert MtebModel(plain, threads=None).embedder is plain


@needs_mteb
@pytest.mark.parametrize("kind", Similarity)
def test_similarity_is_the_models_own(kind: Similarity, made: Tiny) -> None:
    import torch
    from sentence_transformers import SimilarityFunction

    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 5, 32)).astype(np.float32)
    with embedder_of(made, similarity=kind) as embedder:
        model = MtebModel(embedder)
    everything, pairs = model.similarity(a, torch.from_numpy(b)), model.similarity_pairwise(a, b)

    expected = SimilarityFunction.to_similarity_fn(kind.value)(a, b)
    torch.testing.assert_close(everything, expected)
    torch.testing.assert_close(pairs, expected.diagonal())
    assert float(model.similarity(a[0], b[1])) == pytest.approx(float(everything[0, 1]))
    assert model.mteb_model_meta.similarity_fn_name == kind.value


@needs_mteb
class TestMeta:
    def test_it_is_an_encoder_to_mteb(self, model: MtebModel) -> None:
        from mteb.models import EncoderProtocol

        assert isinstance(model, EncoderProtocol)

    def test_it_tells_what_the_manifest_knows(self, model: MtebModel, made: Tiny) -> None:
        meta = model.mteb_model_meta
        tensors = read_tensors(made.source, made.bundle.manifest.encoder)

        assert (meta.name, meta.license) == ("minnow/model-fp32", "mit")
        assert meta.n_parameters == sum(tensor.size for tensor in tensors.values())
        assert meta.n_embedding_parameters == tensors["embeddings.word"].size
        assert (meta.embed_dim, meta.max_tokens) == (32, 24)
        assert meta.memory_usage_mb == made.bundle.encoder.stat().st_size / 2**20
        assert meta.use_instructions is True

    @pytest.mark.parametrize("source", ["/home/me/bge", r"C:\models\bge", "package:bge"])
    def test_a_model_of_this_machine_is_named(self, source: str, made: Tiny) -> None:
        meta = meta_of(made, source=replace(made.bundle.manifest.source, name=source))
        assert meta.name == "minnow/bge-fp32"

    def test_a_model_of_the_hub_is_named(self, made: Tiny) -> None:
        source = made.bundle.manifest.source
        meta = meta_of(made, source=replace(source, model_id="BAAI/bge-small", license="other"))

        assert meta.name == "minnow/bge-small-fp32"
        assert meta.adapted_from == "BAAI/bge-small"
        assert meta.reference == "https://huggingface.co/BAAI/bge-small"
        assert meta.open_weights is True
        assert meta.license is None

    def test_a_revision_is_all_that_makes_the_vectors(self, model: MtebModel, made: Tiny) -> None:
        manifest, revision = made.bundle.manifest, model.mteb_model_meta.revision
        shorter = replace(manifest.embedding, max_tokens=12)

        assert meta_of(made, parity=replace(manifest.parity, texts=1)).revision == revision
        assert meta_of(made, embedding=shorter).revision != revision

    def test_another_conversion_is_another_model(
        self, model: MtebModel, made: Tiny, tmp_path: Path
    ) -> None:
        smaller = convert(made.source.name, tmp_path / "bundle", recipe=RECIPES["fp16"])
        other = MtebModel(smaller.folder).mteb_model_meta

        assert other.name == "minnow/model-fp16"
        assert other.revision != model.mteb_model_meta.revision

    def test_an_embedder_has_another_revision_each_time(self, plain: Embedder) -> None:
        metas = [MtebModel(plain).mteb_model_meta for _ in range(2)]
        assert [meta.name for meta in metas] == ["minnow/tiny.minnow"] * 2
        assert metas[0].revision != metas[1].revision
