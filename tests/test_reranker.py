"""Rerankers: converted, proven, and equal to CrossEncoder of sentence-transformers."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import (
    WORDS,
    change_tokenizer,
    edit_json,
    source_of,
    write_model,
    write_reranker,
)
from fakes.programs import refused, run_minnow
from tokenizers import processors

from minnow import Embedder, Reranker, TruncationWarning
from minnow.convert import convert, verify
from minnow.convert.calibration import as_pairs, calibration_rows
from minnow.errors import (
    AmbiguousModelError,
    BundleError,
    InputError,
    ParityError,
    UnsupportedModelError,
)
from minnow.manifest import MANIFEST
from minnow.model.original import read_original
from minnow.model.pairs import PairTokenizer
from minnow.model.reference import ReferenceModel
from minnow.model.spec import Choices, PairTruncation, ScoreActivation
from minnow.parity import Measure
from minnow.recipe import RECIPES, Grid
from minnow.records import replace

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny
    from numpy.typing import NDArray

    from minnow.bundle import Bundle

pytestmark = [
    pytest.mark.extra("convert", "sentence-transformers"),
    pytest.mark.filterwarnings("ignore"),
]

FAMILIES = (
    "bert",
    "roberta",
    "distilbert",
    "mpnet",
    "electra",
    "albert",
    "modernbert",
    "deberta-v2",
    "qwen3",
)
BARS = {"fp32": 1e-4, "fp16": 2e-3}
WIDE = {"qwen3": 5e-3}
"""Bars in fp16 of families whose random logits are spread by 1."""
QUERY = "how do small fish sleep"
SIGMOID = "torch.nn.modules.activation.Sigmoid"


def documents(count: int = 30) -> list[str]:
    """Return documents from no word to more than the limit."""
    dice = np.random.default_rng(3)
    return [" ".join(dice.choice(WORDS, size)) for size in dice.integers(0, 50, count)]


PAIRS = [(QUERY, text) for text in documents()]


def cross_encoder(folder: Path | str) -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(folder), device="cpu")


def model_of(bundle: Bundle) -> Path:
    return bundle.folder.parent / "model"


@pytest.mark.whole_proof
@pytest.mark.transformers_5
@pytest.mark.parametrize(
    ("family", "precision"), [("bert", "fp32"), *((family, "fp16") for family in FAMILIES)]
)
def test_the_scores_are_those_of_sentence_transformers(
    family: str, precision: str, tmp_path: Path
) -> None:
    """One at a time and in batches, and 30 documents in the same order."""
    model = write_reranker(tmp_path / "model", family=family)
    bundle = convert(str(model), tmp_path / "bundle", recipe=RECIPES[precision], shapes=[(2, 24)])
    peer, bar = cross_encoder(model), BARS[precision]
    bar = WIDE.get(family, bar) if precision == "fp16" else bar
    expected = peer.predict(PAIRS)
    assert np.std(expected) > 10 * bar  # documents that all score alike would prove nothing
    with Reranker.open(bundle, on_truncate="ignore") as reranker:
        together = reranker.predict(PAIRS)
        alone = np.array([reranker.predict(pair) for pair in PAIRS])
        order = [row["corpus_id"] for row in reranker.rank(QUERY, documents())]
    assert together.shape == expected.shape == alone.shape
    assert np.abs(together - expected).max() <= bar
    assert np.abs(alone - expected).max() <= bar
    sorted_by = expected[order]
    assert (sorted_by[:-1] - sorted_by[1:]).min() >= -2 * bar
    [fixed] = bundle.manifest.fixed_shapes
    for parity in (bundle.manifest.parity, fixed.parity):
        assert parity.measure is Measure.DIFFERENCE
        assert parity.passed
    if (family, precision) == ("bert", "fp16"):
        compare_with_another_engine(bundle, expected)


def compare_with_another_engine(bundle: Bundle, expected: Any) -> None:
    """Its GELU is exact, and MNN's of fp16 is not: they may differ as the proof allows."""
    pytest.importorskip("onnxruntime")
    with Reranker.open(bundle, engine="onnxruntime", on_truncate="ignore") as other:
        assert np.abs(other.predict(PAIRS) - expected).max() <= BARS["fp16"]
    with pytest.raises(ParityError, match="does not give the bundle's logits"):
        Reranker.open(bundle, engine="onnxruntime", agreement=1 - 1e-9)


@pytest.mark.transformers_5
def test_a_proof_by_sentence_transformers_compares_ids_types_and_logits(tmp_path: Path) -> None:
    """Its own tokenizer makes the ids of all probe pairs; three labels each have a logit."""
    model = write_reranker(tmp_path / "model", labels=3)
    bundle = convert(
        str(model),
        tmp_path / "bundle",
        recipe=RECIPES["fp32"],
        reference="sentence-transformers",
    )
    assert bundle.manifest.reranking is not None
    assert bundle.manifest.reranking.labels == ("label 0", "label 1", "label 2")
    assert bundle.manifest.reranking.activation is ScoreActivation.IDENTITY
    peer = cross_encoder(model)
    with Reranker.open(bundle, on_truncate="ignore") as reranker:
        for softmax in (False, True):
            found, expected = (m.predict(PAIRS, apply_softmax=softmax) for m in (reranker, peer))
            assert np.abs(found - expected).max() <= 1e-4
        with pytest.raises(InputError, match="gives 3 scores"):
            reranker.rank(QUERY, documents())
    assert verify(bundle).worst.worst <= 1e-4


def test_a_manifest_says_what_it_is(ranker: Bundle) -> None:
    written = json.loads((ranker.folder / MANIFEST).read_text())
    assert written["format"] == 6
    assert written["recipe"]["interface"] == "scores"
    assert written["reranking"] == {
        "labels": ["label 0"],
        "activation": "identity",
        "truncation": "longest_first",
        "segments": True,
        "chat": None,
    }
    assert ranker.manifest.parity.ranking is not None
    assert ranker.manifest.parity.ranking.agreement == 1.0
    card = (ranker.folder / "README.md").read_text()
    assert "pipeline_tag: text-ranking" in card
    assert "from minnow import Reranker" in card


def test_the_program_on_the_card_gives_the_logits(ranker: Bundle) -> None:
    card = (ranker.folder / "README.md").read_text()
    program = card.rsplit("```python\n", 1)[1].split("```")[0]
    found: dict[str, Any] = {}
    code = program.replace('from_pretrained(".")', f"from_pretrained({str(ranker.folder)!r})")
    code = code.replace('Interpreter("', f'Interpreter("{ranker.folder}/')
    exec(code, found)
    with Reranker.open(ranker) as reranker:
        expected = reranker.predict(("how do fish sleep?", "Fish rest with open eyes."))
    assert found["scores"] == pytest.approx([expected], abs=1e-5)


# --- the class ---------------------------------------------------------------------------


def test_predict_and_rank_have_the_shapes_of_the_peer(ranker: Bundle) -> None:
    peer = cross_encoder(model_of(ranker))
    with Reranker.open(ranker, on_truncate="ignore") as reranker:
        for inputs in (PAIRS[:3], [list(pair) for pair in PAIRS[:3]], np.array(PAIRS[:3])):
            found, expected = reranker.predict(inputs), peer.predict(inputs)
            assert found.shape == expected.shape == (3,)
            assert found.dtype == expected.dtype
        for pair in (PAIRS[0], list(PAIRS[0])):
            assert np.shape(reranker.predict(pair)) == np.shape(peer.predict(pair)) == ()
        assert reranker.predict([]).shape == (0,)
        ours, theirs = (
            each.rank(QUERY, documents(), top_k=4, return_documents=True)
            for each in (reranker, peer)
        )
        assert [{**row, "score": round(row["score"], 3)} for row in ours] == [
            {**row, "score": round(row["score"], 3)} for row in theirs
        ]
        assert reranker.rank(QUERY, []) == []


def test_scores_of_a_sigmoid_keep_the_order_of_logits_that_round_to_1(ranker: Bundle) -> None:
    with Reranker.open(ranker, on_truncate="ignore") as reranker:
        reranker.pipeline = replace(reranker.pipeline, engine=Shifted(reranker.pipeline.engine))
        rows = reranker.rank(QUERY, documents(), activation_fn="sigmoid")
        logits = reranker.predict(PAIRS)
    assert {row["score"] for row in rows} == {1.0}
    order = [row["corpus_id"] for row in rows]
    assert order == np.argsort(-logits, kind="stable").tolist() != sorted(order)


class Shifted:
    """An engine whose logits are far up where a sigmoid in float32 is 1."""

    def __init__(self, engine: Any) -> None:
        self._engine, self.interface, self.name = engine, engine.interface, engine.name

    def run(self, batch: Any) -> Any:
        return self._engine.run(batch) + 30

    def lanes(self, batches: int) -> Any:
        return (self,)

    def close(self) -> None:
        self._engine.close()


def test_activations_are_torchs_or_the_callers(ranker: Bundle) -> None:
    from torch import nn

    peer = cross_encoder(model_of(ranker))
    with Reranker.open(ranker, on_truncate="ignore") as reranker:
        for module in (nn.Sigmoid(), nn.Identity()):
            found = reranker.predict(PAIRS, activation_fn=module)
            assert np.abs(found - peer.predict(PAIRS, activation_fn=module)).max() < 1e-4
        turned = reranker.rank(QUERY, documents(), activation_fn=lambda logits: -logits)
        usual = reranker.rank(QUERY, documents())
        assert [row["corpus_id"] for row in turned[:3]] == [
            row["corpus_id"] for row in usual[:-4:-1]
        ]
        with pytest.raises(InputError, match=r"activation_fn should be identity, sigmoid"):
            reranker.predict(PAIRS, activation_fn="tanh")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("one string", "is one string"),
        ([("a", "b"), ("c",)], r"Pair 1 should be two strings, not \('c',\)"),
        ([("a", 3)], "Pair 0 should be two strings"),
        ({"a": "b"}, "whose keys"),
        (["a"], r"Pair 0 should be two strings"),
    ],
)
def test_what_is_no_pair_is_refused_by_number(ranker: Bundle, inputs: Any, message: str) -> None:
    with Reranker.open(ranker) as reranker, pytest.raises(InputError, match=message):
        reranker.predict(inputs)


def test_arguments_that_have_one_value_here_are_refused_otherwise(ranker: Bundle) -> None:
    with Reranker.open(ranker) as reranker:
        assert reranker.predict(PAIRS[0], device="cpu", convert_to_numpy=True).shape == ()
        with pytest.raises(InputError, match="device='cuda'"):
            reranker.predict(PAIRS, device="cuda")
        with pytest.raises(TypeError, match="unexpected keyword argument 'output_value'"):
            reranker.predict(PAIRS, output_value="token_embeddings")  # type: ignore[call-arg]
        with pytest.raises(InputError, match="top_k should be 0 or more"):
            reranker.rank(QUERY, ["a"], top_k=-1)
        with pytest.raises(InputError, match="batch_size"):
            reranker.rank(QUERY, ["a"], batch_size=0)


@pytest.mark.extra("sentence-transformers")
def test_scores_may_be_tensors(ranker: Bundle) -> None:
    torch = pytest.importorskip("torch")
    with Reranker.open(ranker) as reranker:
        expected = reranker.predict(PAIRS)
        found = reranker.predict(PAIRS, convert_to_tensor=True)
        assert isinstance(found, torch.Tensor)
        assert found.tolist() == expected.tolist()
        apart = reranker.predict(PAIRS, convert_to_numpy=False)
        assert [float(each) for each in apart] == expected.tolist()


def test_pairs_over_the_limit_are_told_or_refused(ranker: Bundle) -> None:
    long = (QUERY, "river " * 60)
    with Reranker.open(ranker) as reranker:
        with pytest.warns(TruncationWarning, match="1 of 2 pairs is longer than 40 tokens"):
            reranker.predict([("fish", "river"), long])
        with pytest.raises(InputError, match=r"Pair 1 is longer than 40 tokens.*'river river"):
            reranker.predict([("a", "b"), long], on_truncate="error")


def test_a_prompt_stands_before_the_first_text(ranker: Bundle) -> None:
    with Reranker.open(ranker) as reranker:
        prompted = reranker.predict(("fish", "river"), prompt="what is ")
        assert prompted == reranker.predict(("what is fish", "river"))
        assert prompted != reranker.predict(("fish", "river"))


# --- pairs as tokens ---------------------------------------------------------------------


@pytest.mark.parametrize("room", [20, 21])
@pytest.mark.parametrize("truncation", list(PairTruncation))
def test_pairs_are_cut_as_the_tokenizers_library_cuts_them(
    room: int, truncation: PairTruncation, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    original = read_original(source_of(write_reranker(tmp_path)))
    assert original.reranking is not None
    tokenizer = PairTokenizer(
        original.tokenizer.content,
        replace(original.embedding, max_tokens=room + 3),
        replace(original.reranking, truncation=truncation),
    )
    plain = Tokenizer.from_buffer(original.tokenizer.content)
    plain.no_padding()
    plain.enable_truncation(room + 3, strategy=truncation.value)
    texts = {size: " ".join(["fish"] * size) for size in (0, 1, 9, 10, 11, 12, 19, 21, 22, 40)}
    for one in texts.values():
        for two in texts.values():
            try:
                expected = plain.encode(one, two)
            except Exception:  # it cannot cut the second text only
                with pytest.raises(InputError, match="leaves no room"):
                    tokenizer.tokenize([(one, two)])
                continue
            [found] = tokenizer.tokenize([(one, two)])
            assert (found.ids, found.types) == (expected.ids, expected.type_ids)
            assert found.truncated == bool(expected.overflowing)


def test_huge_texts_are_cut_as_their_whole_would_be(tmp_path: Path) -> None:
    original = read_original(source_of(write_reranker(tmp_path)))
    assert original.reranking is not None
    embedding = replace(original.embedding, max_tokens=22)
    tokenizer = PairTokenizer(original.tokenizer.content, embedding, original.reranking)
    for one, two in ((3000, 2000), (2000, 3000), (500, 3000)):
        [found] = tokenizer.tokenize([("fish " * one, "river " * two)])
        assert found.types.count(1) - 1 == (10 if two > one else 9)


# --- what matters, and what is refused ---------------------------------------------------


def logits(folder: Path) -> NDArray[np.float64]:
    original = read_original(source_of(folder))
    assert original.reranking is not None
    tokenizer = PairTokenizer(original.tokenizer.content, original.embedding, original.reranking)
    model = ReferenceModel(original.network, original.head, dict(original.tensors))
    return np.array([model.vector(row.ids, row.types) for row in tokenizer.tokenize(PAIRS[:6])])


MATTERS: dict[str, list[dict[str, Any]]] = {
    "bert": [{"labels": 2}],
    "roberta": [{"labels": 3}],
    "distilbert": [],
    "mpnet": [],
    "electra": [{"labels": 2}],
    "albert": [],
    "modernbert": [
        {"classifier_pooling": "mean"},
        {"classifier_activation": "relu"},
        {"classifier_bias": True},
        {"norm_bias": True},
    ],
    "deberta-v2": [{"pooler_hidden_act": "tanh"}, {"type_vocab_size": 2}],
}


@pytest.mark.transformers_5
@pytest.mark.parametrize("family", MATTERS)
def test_the_logits_are_those_of_transformers_and_settings_matter(
    family: str, tmp_path: Path
) -> None:
    """Each setting is read as CrossEncoder reads it, and none is without effect."""
    seen: list[NDArray[np.float64]] = []
    for number, config in enumerate([{}, *MATTERS[family]]):
        folder = write_reranker(tmp_path / str(number), family=family, **config)
        found = logits(folder)
        expected = cross_encoder(folder).predict(PAIRS[:6]).reshape(found.shape)
        assert np.abs(found - expected).max() < 1e-5
        assert np.ptp(expected) > 0.05
        assert all(np.abs(found[:, :1] - other[:, :1]).max() > 1e-3 for other in seen)
        seen.append(found)


@pytest.mark.parametrize(
    ("family", "config", "message"),
    [
        ("modernbert", {"classifier_pooling": "max"}, "transformers knows cls and mean"),
        ("modernbert", {"classifier_activation": "mish"}, "classifier_activation 'mish'"),
        ("deberta-v2", {"pooler_hidden_act": "mish"}, "pooler_hidden_act 'mish'"),
    ],
)
def test_classifiers_that_are_not_described_are_refused(
    family: str, config: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = write_reranker(tmp_path, family=family)
    edit_json(folder / "config.json", **config)
    with pytest.raises(UnsupportedModelError, match=message):
        read_original(source_of(folder))


def test_a_family_without_a_classifier_here_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path, family="eurobert")
    (folder / "modules.json").unlink()
    names = ["EuroBertForSequenceClassification"]
    edit_json(folder / "config.json", architectures=names, id2label={"0": "x"})
    with pytest.raises(UnsupportedModelError, match="no classifier of the family eurobert"):
        read_original(source_of(folder))


def test_token_types_matter(tmp_path: Path) -> None:
    with_types = write_reranker(tmp_path / "with")
    without = write_reranker(tmp_path / "without")
    edit_json(without / "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"])
    for folder in (with_types, without):
        found = cross_encoder(folder).predict(PAIRS[:6])
        assert np.abs(found - logits(folder)[:, 0]).max() < 1e-4
    assert np.abs(logits(with_types) - logits(without)).max() > 0.01


@pytest.mark.parametrize(
    ("stated", "labels", "activation"),
    [
        ({"sentence_transformers": {"activation_fn": SIGMOID}}, 1, "sigmoid"),
        ({"sbert_ce_default_activation_function": SIGMOID}, 1, "sigmoid"),
        ({"sbert_ce_default_activation_function": "torch.nn.Identity"}, 1, "identity"),
        ({}, 1, "sigmoid"),
        ({"sbert_ce_default_activation_function": SIGMOID}, 2, "sigmoid"),
        ({"sentence_transformers": {"activation_fn": "torch.nn.Identity"}}, 2, "identity"),
    ],
)
def test_activations_are_read_where_the_peer_reads_them(
    stated: dict[str, Any], labels: int, activation: str, tmp_path: Path
) -> None:
    folder = write_reranker(tmp_path, activation=None, labels=labels, **stated)
    reranking = read_original(source_of(folder)).reranking
    assert reranking is not None
    assert reranking.activation.value == activation
    assert type(cross_encoder(folder).activation_fn).__name__.lower() == activation


def test_modules_of_sentence_transformers_6_are_read(tmp_path: Path) -> None:
    """Its own file of the Transformer may cut the second text only; a prompt may be the default."""
    cross_encoder(write_reranker(tmp_path / "old", activation=SIGMOID)).save_pretrained(
        str(tmp_path / "new")
    )
    folder = tmp_path / "new"
    edit_json(folder / "config_sentence_transformers.json", prompts={"ask": "what is "})
    edit_json(folder / "config_sentence_transformers.json", default_prompt_name="ask")
    text = {"truncation": "only_second", "max_length": 30}
    edit_json(folder / "sentence_bert_config.json", processing_kwargs={"text": text})
    original = read_original(source_of(folder))
    assert original.reranking is not None
    assert original.reranking.activation is ScoreActivation.SIGMOID
    assert original.reranking.truncation is PairTruncation.ONLY_SECOND
    assert original.embedding.max_tokens == 30
    bundle = convert(str(folder), tmp_path / "bundle", recipe=RECIPES["fp32"])
    with Reranker.open(bundle, on_truncate="ignore") as reranker:
        found = reranker.predict(PAIRS)
    assert np.abs(found - cross_encoder(folder).predict(PAIRS)).max() < 1e-4


@pytest.mark.transformers_5
@pytest.mark.parametrize("labels", [1, 3])
def test_a_network_with_pooling_and_dense_gives_scores(labels: int, tmp_path: Path) -> None:
    """The form of a CrossEncoder that is made of modules; a pair has token types there too."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from torch import manual_seed, nn

    manual_seed(0)
    network = write_model(tmp_path / "network")
    (network / "modules.json").unlink()
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    edit_json(network / "tokenizer_config.json", model_input_names=inputs)
    transformer = Transformer(str(network), max_seq_length=40)
    width = transformer.get_embedding_dimension()
    modules = [
        transformer,
        Pooling(width, "mean"),
        Dense(width, 16, activation_function=nn.GELU()),
        Dense(16, labels, activation_function=nn.Identity(), module_output_name="scores"),
    ]
    peer = CrossEncoder(modules=modules, device="cpu")
    peer.save_pretrained(str(tmp_path / "model"))
    found = logits(tmp_path / "model")
    expected = peer.predict(PAIRS[:6], activation_fn=nn.Identity()).reshape(found.shape)
    assert np.ptp(expected) > 0.01
    assert np.abs(found - expected).max() < 1e-5
    original = read_original(source_of(tmp_path / "model"))
    assert original.reranking is not None
    assert original.reranking.segments
    assert len(original.reranking.labels) == labels
    assert original.reranking.activation.value == type(peer.activation_fn).__name__.lower()
    edit_json(tmp_path / "model" / "3_Dense" / "config.json", module_output_name="other")
    with pytest.raises(UnsupportedModelError, match='module_output_name: "other"'):
        read_original(source_of(tmp_path / "model"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentence_transformers": {"activation_fn": "torch.nn.Tanh"}}, "Identity and Sigmoid"),
        ({"architectures": ["BertForMaskedLM"]}, "ForSequenceClassification"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = write_reranker(tmp_path / "model", **change)
    with pytest.raises(UnsupportedModelError, match=message):
        convert(str(folder), tmp_path / "bundle")


def test_token_types_that_no_file_decides_are_refused(tmp_path: Path) -> None:
    """transformers 4 gives them to a PreTrainedTokenizerFast, and transformers 5 does not."""
    folder = write_reranker(tmp_path)
    edit_json(
        folder / "tokenizer_config.json",
        without=("model_input_names",),
        tokenizer_class="PreTrainedTokenizerFast",
    )
    with pytest.raises(AmbiguousModelError, match="model_input_names"):
        read_original(source_of(folder))


def test_another_template_of_pairs_than_transformers_5_makes_is_refused(tmp_path: Path) -> None:
    folder = write_reranker(tmp_path)

    def change(tokenizer: Any) -> None:
        ids = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ids
        )

    change_tokenizer(folder / "tokenizer.json", change)
    with pytest.raises(Exception, match="a pair of texts has the ids"):
        read_original(source_of(folder))


def test_choices_of_embedding_models_are_refused(tmp_path: Path) -> None:
    folder = write_reranker(tmp_path / "model")
    with pytest.raises(InputError, match="`normalize=` belongs to embedding models"):
        convert(str(folder), tmp_path / "bundle", choices=Choices(normalize=True))
    assert read_original(source_of(folder), Choices(max_tokens=20)).embedding.max_tokens == 20


def test_a_fault_of_the_graph_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier that reads the tokens' mean, where the model reads the first token."""
    from minnow.graph.encoder import GraphWriter
    from minnow.vectors import Pooling

    write = GraphWriter.write
    monkeypatch.setattr(
        GraphWriter,
        "write",
        lambda self, head, output: write(self, replace(head, pooling=Pooling.MEAN), output),
    )
    with pytest.raises(ParityError, match="does not give the logits"):
        convert(str(write_reranker(tmp_path / "model")), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_changed_claim_does_not_verify(ranker: Bundle, tmp_path: Path) -> None:
    from fakes.sealed import set_in_record

    shutil.copytree(ranker.folder, tmp_path / "bundle")
    set_in_record(tmp_path / "bundle" / MANIFEST, "reranking", "activation", "sigmoid")
    with pytest.raises(ParityError, match="activation sigmoid, its source identity"):
        verify(tmp_path / "bundle", source=str(model_of(ranker)))


# --- the other kind, and the command -----------------------------------------------------


def test_each_kind_is_told_from_the_other(ranker: Bundle, made: Tiny) -> None:
    with pytest.raises(BundleError, match=r"is a reranker.*minnow rerank"):
        Embedder.open(ranker)
    with pytest.raises(BundleError, match=r"is an embedding model.*minnow embed"):
        Reranker.open(made.bundle)


def test_the_command_ranks(ranker: Bundle, made: Tiny, tmp_path: Path) -> None:
    with Reranker.open(ranker) as reranker:
        expected = reranker.rank("fish", ["a river", "red fish"], return_documents=True)
    done = run_minnow("rerank", ranker.folder, "fish", "a river", "red fish", "--json")
    found = json.loads(done.stdout)
    assert [row["text"] for row in found] == [row["text"] for row in expected]
    lines = tmp_path / "lines.txt"
    lines.write_text("a river\nred fish\n")
    done = run_minnow("rerank", ranker.folder, "fish", "--input", lines, "--top", 1)
    assert done.stdout.split()[1:] == [str(expected[0]["corpus_id"]), *expected[0]["text"].split()]
    assert "is an embedding model" in refused(run_minnow("rerank", made.bundle.folder, "a", "b"), 6)
    assert "is a reranker" in refused(run_minnow("embed", ranker.folder, "a"), 6)
    shown = run_minnow("info", ranker.folder).stdout
    assert "reranker" in shown
    assert "label 0" in shown


# --- few bits, other engines, and what does not take a reranker ---------------------------


@pytest.mark.whole_proof
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_few_bits_are_calibrated_on_pairs_and_proven(precision: str, tmp_path: Path) -> None:
    """The proof compares with the stored numbers too, at the bar of float32."""
    model = write_reranker(tmp_path / "model")
    recipe = RECIPES[precision]
    bundle = convert(str(model), tmp_path / "bundle", recipe=recipe, shapes=[(1, 16)])
    parity = bundle.manifest.parity
    assert parity.passed
    assert parity.bar == recipe.ranking_bars.difference  # the largest logit here is below 1
    assert parity.ranking is not None
    assert parity.ranking.least == recipe.ranking_bars.agreement
    assert verify(bundle).passed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": Grid(2)}, "does not give the logits"),
        ({"words": Grid(2), "max_difference": 9.0}, "orders documents of"),
    ],
)
def test_words_of_two_bits_miss_the_bars_of_eight(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """The graph computes what is stored, so only these two bars see it."""
    model = write_reranker(tmp_path / "model")
    recipe = replace(RECIPES["int8"], **change)
    with pytest.raises(ParityError, match=message):
        convert(str(model), tmp_path / "bundle", recipe=recipe)


def test_calibration_pairs_have_both_token_types(tmp_path: Path) -> None:
    original = read_original(source_of(write_reranker(tmp_path)))
    ids, types = as_pairs(original, calibration_rows(original)[:50])
    template = PairTokenizer(original.tokenizer.content, original.embedding, original.reranking)  # type: ignore[arg-type]
    assert {kind for row in types for kind in row} == {0, 1}
    for row, kinds in zip(ids, types, strict=True):
        assert len(row) == len(kinds) <= original.embedding.max_tokens
        assert row[-1] == template.template.ids[2][-1]


@pytest.mark.extra("onnxruntime")
def test_another_engine_gives_the_bundle_s_scores(ranker: Bundle) -> None:
    with (
        Reranker.open(ranker, on_truncate="ignore") as own,
        Reranker.open(ranker, engine="onnxruntime", on_truncate="ignore") as other,
    ):
        assert "gives the bundle's logits" in other.engine_reason
        assert np.abs(own.predict(PAIRS) - other.predict(PAIRS)).max() < 1e-4


def test_what_needs_vectors_refuses_a_reranker_in_a_line(ranker: Bundle, tmp_path: Path) -> None:
    for arguments, code in (
        (("export", ranker.folder, "--output", tmp_path / "export"), 6),
        (("index", model_of(ranker), "--output", tmp_path / "x.db", "--bundle", ranker.folder), 6),
    ):
        assert "is a reranker" in refused(run_minnow(*arguments), code)
