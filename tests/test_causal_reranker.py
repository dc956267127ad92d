"""Causal language models that rerank by the logits of two tokens behind a chat template."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.causal_reranker import LIMIT, write_causal
from fakes.checkpoint import (
    edit_json,
    source_of,
    write_json,
    write_weights,
)
from fakes.programs import refused, run_minnow
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel

from minnow import Reranker
from minnow.convert import convert
from minnow.convert.calibration import as_pairs, calibration_rows
from minnow.errors import InputError, SourceError, UnsupportedModelError
from minnow.model.original import read_original
from minnow.model.pairs import PairTokenizer
from minnow.model.reference import ReferenceModel
from minnow.model.spec import Choices
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.whole_proof,
    pytest.mark.extra("convert", "sentence-transformers"),
    pytest.mark.filterwarnings("ignore"),
]

JUDGE = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".'
)
FIND = "Given a web search query, retrieve relevant passages that answer the query"
CONTENT = '| map(attribute="content") | first'
PUBLISHED = (
    f"""{{%- set instruction = messages | selectattr("role", "eq", "system") {CONTENT} | """
    f"""default("{FIND}") -%}}
{{%- set query_text = messages | selectattr("role", "eq", "query") {CONTENT} -%}}
{{%- set document_text = messages | selectattr("role", "eq", "document") {CONTENT} -%}}
<|im_start|>system
{JUDGE}<|im_end|>
<|im_start|>user
<Instruct>: {{{{ instruction }}}}
<Query>: {{{{ query_text }}}}
<Document>: {{{{ document_text }}}}<|im_end|>
<|im_start|>assistant
<think>

</think>


"""
)
"""chat_template.jinja of Qwen/Qwen3-Reranker-0.6B, revision e61197e; its SHA-256 is asserted."""


def pairs() -> list[tuple[str, str]]:
    """Return pairs of every length: none, at the limit, and far over it by either text."""
    dice = np.random.default_rng(5)
    words = ["fish", "sleep", "water", "river", "Lamp", "é", "<|im_end|>", "\n", " 12", "?"]
    texts = [" ".join(dice.choice(words, size)) for size in dice.integers(0, 60, 29)]
    return [("how do fish sleep", text) for text in [*texts, ""]]


def cross_encoder(folder: Path) -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(folder), device="cpu")


@pytest.mark.transformers_5
def test_scores_are_those_of_cross_encoder(tmp_path: Path) -> None:
    """Their table may be the words' own; a prompt is the system's message."""
    folder = write_causal(tmp_path / "model")
    theirs = cross_encoder(folder)
    bundle = convert(str(folder), tmp_path / "bundle", recipe=RECIPES["fp32"])
    edges = [("fish " * 200, "a"), ("", ""), ("  a\n", "\n"), ("fish", "a" * 300)]
    edges += [("how", "fish " * size) for size in range(30, 60, 3)]
    with Reranker.open(bundle, on_truncate="ignore") as reranker:
        choices: list[Any] = [{}, {"prompt": " {{ a }} \n"}, {"prompt_name": "ask"}]
        for options in choices:
            for texts in (pairs(), edges):
                found = reranker.predict(texts, **options)
                expected = theirs.predict(texts, **options)
                assert np.abs(found - expected).max() <= 1e-4
        assert np.ptp(expected) > 0.1
        query, documents = pairs()[0][0], [text for _, text in pairs()]
        ranked = [row["corpus_id"] for row in reranker.rank(query, documents)]
        assert ranked == [row["corpus_id"] for row in theirs.rank(query, documents)]
        rows = reranker.tokenize(edges)
    for row, edge in zip(rows, edges, strict=True):
        features = theirs.preprocess([edge])
        assert row.ids == features["input_ids"][0].tolist()
    assert {row.truncated for row in rows} == {True, False}
    assert bundle.manifest.reranking == read_original(source_of(folder)).reranking


def logits(folder: Path, texts: list[tuple[str, str]]) -> Any:
    """Return the first logit of each pair, by the files alone."""
    original = read_original(source_of(folder))
    assert original.reranking is not None
    tokenizer = PairTokenizer(original.tokenizer.content, original.embedding, original.reranking)
    model = ReferenceModel(original.network, original.head, original.tensors)
    return np.array([model.vector(row.ids, row.types)[0] for row in tokenizer.tokenize(texts)])


@pytest.mark.transformers_5
def test_a_table_of_its_own_and_a_single_token(tmp_path: Path) -> None:
    folder = write_causal(tmp_path / "model", tied=False, false_token_id=None)
    expected = cross_encoder(folder).predict(pairs()[:8])
    assert np.abs(logits(folder, pairs()[:8]) - expected).max() <= 1e-4


@pytest.mark.transformers_5
def test_the_files_that_qwen_publishes_need_nothing_else(tmp_path: Path) -> None:
    """Their template has the text that Qwen's card makes of a pair."""
    digest = "6f682162495ec5b39fd9005c01b6aa2a74669379fe967039f1e2cbbe8752369d"
    assert sha256(PUBLISHED.encode()).hexdigest() == digest
    folder = write_causal(tmp_path / "model", limit=500)
    (folder / "chat_template.jinja").write_text(PUBLISHED)
    edit_json(folder / "sentence_bert_config.json", without=("processing_kwargs",))
    edit_json(folder / "tokenizer_config.json", chat_template="{{ messages[0].content }}")
    reranking = read_original(source_of(folder)).reranking
    assert reranking is not None
    assert reranking.chat is not None
    system = f"<|im_start|>system\n{JUDGE}<|im_end|>\n"
    end = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    for instruction in (FIND, "is it a fish?"):
        asked = f"<|im_start|>user\n<Instruct>: {instruction}\n<Query>: q\n<Document>: d"
        prompt = "" if instruction == FIND else instruction
        assert reranking.chat.join("q", "d", prompt) == f"{system}{asked}{end}"
    texts = [*pairs()[:3], ("fish " * 300, "a")]
    assert np.abs(logits(folder, texts) - cross_encoder(folder).predict(texts)).max() <= 1e-4


@pytest.mark.transformers_5
def test_a_classifier_may_have_a_chat_template_too(tmp_path: Path) -> None:
    """sentence-transformers makes messages of all texts where the files say that it can."""
    from safetensors.numpy import load_file

    folder = write_causal(tmp_path / "model")
    edit_json(
        folder / "config.json",
        architectures=["Qwen3ForSequenceClassification"],
        id2label={"0": "yes"},
        pad_token_id=1,
    )
    rows = json.loads((folder / "modules.json").read_text())
    write_json(folder / "modules.json", rows[:1])
    edit_json(
        folder / "sentence_bert_config.json",
        transformer_task="sequence-classification",
        module_output_name="scores",
    )
    tensors = load_file(folder / "model.safetensors")
    score = np.random.default_rng(1).normal(0, 0.5, (1, 32)).astype(np.float32)
    write_weights(folder, tensors | {"score.weight": score})
    found = logits(folder, pairs()[:8])
    assert np.ptp(found) > 0.1
    assert np.abs(found - cross_encoder(folder).predict(pairs()[:8])).max() <= 1e-4


def test_calibration_pairs_are_inside_the_template(tmp_path: Path) -> None:
    original = read_original(source_of(write_causal(tmp_path)))
    assert original.reranking is not None
    assert original.reranking.chat is not None
    ids, _ = as_pairs(original, calibration_rows(original)[:5])
    decoder = Tokenizer.from_str(original.tokenizer.content.decode())
    for row in ids:
        text = ByteLevel().decode([str(decoder.id_to_token(number)) for number in row])
        assert text.startswith(original.reranking.chat.before)
        assert text.endswith(original.reranking.chat.after)
        assert len(row) <= LIMIT


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ messages[1].content }} {{ messages[0].content }}", "query and document once"),
        ("{{ messages[-2].content }}:{{ messages[-1].content | trim }}.", "it changes"),
        ("{{ messages[0].content }}:{{ messages[-1].content }}{{ 0 / 0 }}", "ZeroDivisionError"),
        ("{{ messages[0].content }}{{ strftime_now('%d') }}", "strftime_now, which"),
        ("{{ bos_token }}{{ messages[0].content }}", "it needs bos_token"),
        ("{{ '<a>' | tojson }}", "the filter tojson"),
        ("{{ nothing.x }}", "UndefinedError"),
        ("{{ messages[0].content", "TemplateSyntaxError"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
    ],
)
def test_other_templates_are_refused(template: str, message: str, tmp_path: Path) -> None:
    folder = write_causal(tmp_path)
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(UnsupportedModelError, match=message):
        read_original(source_of(folder))


def test_files_that_ask_for_more_are_refused(tmp_path: Path) -> None:
    folder = write_causal(tmp_path)
    with pytest.raises(InputError, match=r"chat template of .* alone has"):
        read_original(source_of(folder), Choices(max_tokens=50))
    edit_json(folder / "1_LogitScore" / "config.json", true_token_id=10**6)
    with pytest.raises(SourceError, match="the token 1000000"):
        read_original(source_of(folder))
    edit_json(folder / "config.json", architectures=["LlamaForCausalLM"])
    assert "Qwen3ForCausalLM" in refused(run_minnow("convert", folder, "-o", tmp_path / "b"), 3)


def test_a_template_without_a_place_for_prompts_takes_none(tmp_path: Path) -> None:
    folder = write_causal(tmp_path)
    plain = "{{ messages[-2].content }}|{{ messages[-1].content }}<|im_end|>"
    (folder / "chat_template.jinja").write_text(plain)
    with pytest.raises(SourceError, match="no place for"):
        read_original(source_of(folder))
    edit_json(folder / "config_sentence_transformers.json", prompts={})
    original = read_original(source_of(folder))
    assert original.reranking is not None
    assert original.reranking.chat is not None
    with pytest.raises(InputError, match="no place for a prompt"):
        original.reranking.chat.join("a", "b", "c")
