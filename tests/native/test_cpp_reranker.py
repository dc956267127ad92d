"""The library in C++ scores pairs as Python does; it refuses the other kind of model."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.causal_reranker import write_causal
from fakes.checkpoint import WORDS, change_tokenizer, edit_json, write_model, write_reranker
from tokenizers import processors

from minnow import Reranker
from minnow.bundle import Bundle
from minnow.convert import convert
from minnow.manifest import MANIFEST, TOKENIZER
from minnow.model.pairs import PairTokenizer
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fakes.native import Program

pytestmark = [pytest.mark.tool("g++"), pytest.mark.extra("convert")]

CLOSE = 2e-5
"""Largest difference of a score."""
SIGMOID = "torch.nn.modules.activation.Sigmoid"
QUERY = "how do small fish sleep"
CHAT = {"before": "the query : ", "between": " the document : ", "after": " [SEP] the end ?"}


def texts(count: int = 40) -> list[str]:
    """Return texts from no word to more than the limit."""
    dice = np.random.default_rng(5)
    return [" ".join(dice.choice(WORDS, size)) for size in dice.integers(0, 70, count)]


def pairs() -> list[tuple[str, str]]:
    """Return pairs of which either text, both or none is too long."""
    dice = np.random.default_rng(6)
    odd = [("", ""), (QUERY, ""), ("", "fish"), ("鱼 \0 big", "naïve 🦊")]
    return [
        *odd,
        *((QUERY, text) for text in texts()),
        *zip(dice.permutation(texts()), texts(), strict=True),
    ]


def run(program: Program, folder: Path, given: Sequence[tuple[str, str]], *options: object) -> Any:
    done = program.run(folder, "--pairs", *options, given=json.dumps(given).encode())
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def ids_of(bundle: Bundle, given: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Return the ids of each pair, and its token types where it has some, as the program prints."""
    manifest = bundle.manifest
    assert manifest.reranking is not None
    tokenizer = PairTokenizer(bundle.folder / TOKENIZER, manifest.embedding, manifest.reranking)
    prompt = manifest.embedding.prompts.get(manifest.embedding.default_prompt_name or "", "")
    return [
        list(part)
        for row in tokenizer.tokenize(given, prompt=prompt)
        for part in (row.ids, row.types)
        if part
    ]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("reranker")
    model = write_reranker(folder / "model", activation=SIGMOID)
    return convert(str(model), folder / "bundle", recipe=RECIPES["fp32"], shapes=[(2, 24)])


def changed(bundle: Bundle, folder: Path, template: Any = None, **changes: object) -> Bundle:
    """Return a copy with something else in its manifest, and perhaps another template of pairs."""
    shutil.copytree(bundle.folder, folder)
    if template is not None:
        change_tokenizer(
            folder / TOKENIZER, lambda tokenizer: setattr(tokenizer, "post_processor", template)
        )
    manifest = json.loads((folder / MANIFEST).read_text())
    for part, fields in changes.items():
        manifest[part] |= fields
    manifest["files"][TOKENIZER]["size"] = (folder / TOKENIZER).stat().st_size
    del manifest["digest"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return Bundle.open(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"reranking": {}},
        {"reranking": {"segments": False}},
        {"reranking": {"truncation": "only_second"}},
        {"embedding": {"max_tokens": 39}},
        {"embedding": {"prompts": {"ask": "is it "}, "default_prompt_name": "ask"}},
        {"reranking": {"chat": CHAT, "segments": False}},
    ],
    ids=["longest first", "no segments", "only second", "odd room", "prompt", "chat"],
)
def test_the_ids_of_pairs_are_those_of_python(
    changes: dict[str, Any], tokenizer_program: Program, bundle: Bundle, tmp_path: Path
) -> None:
    other = changed(bundle, tmp_path / "bundle", **changes)
    given = pairs()
    if changes.get("reranking", {}).get("truncation"):
        given = [(one[:60], two) for one, two in given]
    expected = ids_of(other, given)
    limit = other.manifest.embedding.max_tokens
    assert sum(len(row) == limit for row in expected) > len(given) / 3
    assert run(tokenizer_program, other.folder, given, "--ids") == expected


AROUND = [("[CLS]", 2), ("[SEP]", 3)]
TEMPLATES = {
    "Roberta": processors.RobertaProcessing(AROUND[1], AROUND[0]),
    "BERT": processors.BertProcessing(AROUND[1], AROUND[0]),
    "sequence": processors.Sequence(
        [
            processors.ByteLevel(),
            processors.TemplateProcessing("[CLS] $A", "[CLS] $A:0 [SEP]:1 $B:1", AROUND),
        ]
    ),
    "other types": processors.TemplateProcessing("$A", "$A:1 [SEP]:0 [CLS]:1 $B:0", AROUND),
    "none": processors.ByteLevel(),
}


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_the_ids_of_pairs_in_other_templates(
    template: Any, tokenizer_program: Program, bundle: Bundle, tmp_path: Path
) -> None:
    other = changed(bundle, tmp_path / "bundle", template)
    given = [pair for pair in pairs() if any(pair)]
    assert run(tokenizer_program, other.folder, given, "--ids") == ids_of(other, given)


@pytest.mark.parametrize(
    ("part", "changes", "says"),
    [
        ("reranking", {"activation": "tanh"}, "its activation is tanh"),
        ("reranking", {"truncation": "only_first"}, "its truncation is only_first"),
        ("reranking", {"labels": ["a", "b"]}, "another number of labels"),
        ("reranking", {"chat": {**CHAT, "around_prompt": ["a"]}}, "is not two texts"),
        ("recipe", {"interface": "sentence_embedding"}, "its encoder gives sentence_embedding"),
        ("embedding", {"max_tokens": 3}, "no room for a token"),
        (None, {"format": 9}, "an unsupported version"),
    ],
)
def test_manifests_of_something_else_are_refused(
    part: str | None,
    changes: dict[str, Any],
    says: str,
    tokenizer_program: Program,
    bundle: Bundle,
    tmp_path: Path,
) -> None:
    folder = changed(bundle, tmp_path / "bundle").folder
    manifest = json.loads((folder / MANIFEST).read_text())
    edit_json(folder / MANIFEST, **({part: {**manifest[part], **changes}} if part else changes))
    assert says in tokenizer_program.refusal(folder, "--pairs", "--ids", given=b'[["a", "b"]]')


def test_pairs_without_their_order_or_room_are_refused(
    tokenizer_program: Program, bundle: Bundle, tmp_path: Path
) -> None:
    swapped = processors.TemplateProcessing("$A", "$B:1 [SEP]:0 $A:0", AROUND)
    folder = changed(bundle, tmp_path / "swapped", swapped).folder
    said = tokenizer_program.refusal(folder, "--pairs", "--ids", given=b'[["a", "b"]]')
    assert "does not put the first text before the second" in said
    only = changed(bundle, tmp_path / "only", reranking={"truncation": "only_second"})
    longest = [QUERY, "the " * 50]
    given = json.dumps([longest, longest[::-1]]).encode()
    said = tokenizer_program.refusal(only.folder, "--pairs", "--ids", given=given)
    assert "Pair 1: the first text has 50 tokens, which leaves no room for the second" in said


needs_mnn = [pytest.mark.mnn_sdk, pytest.mark.extra("sentence-transformers")]


class TestScores:
    pytestmark = needs_mnn

    @staticmethod
    def check(program: Program, bundle: Bundle, *options: object) -> None:
        with Reranker.open(bundle, on_truncate="ignore") as reranker:
            expected = reranker.predict(pairs()).reshape(len(pairs()), -1)
        assert np.std(expected) > 100 * CLOSE
        found = np.array(run(program, bundle.folder, pairs(), *options))
        assert np.abs(found - expected).max() < CLOSE * max(1, np.abs(expected).max())

    def test_scores_and_ranks_are_those_of_python(self, program: Program, bundle: Bundle) -> None:
        for options in ((), ("--threads", 2), ("--fixed-shapes",)):
            self.check(program, bundle, *options)
        with Reranker.open(bundle, on_truncate="ignore") as reranker:
            expected = reranker.rank(QUERY, texts())
        for top in (0, 3, 40):
            done = program.run(
                bundle.folder, "--query", QUERY, "--json", "--top", top,
                given=json.dumps(texts()).encode(),
            )  # fmt: skip
            rows = [json.loads(line) for line in done.stdout.splitlines()]
            assert [row["corpus_id"] for row in rows] == [r["corpus_id"] for r in expected[:top]]
            for row, other in zip(rows, expected, strict=False):
                assert abs(row["score"] - other["score"]) < CLOSE

    def test_several_labels_of_another_family(self, program: Program, tmp_path: Path) -> None:
        model = write_reranker(tmp_path / "model", family="roberta", labels=3)
        bundle = convert(str(model), tmp_path / "bundle", recipe=RECIPES["fp16"])
        self.check(program, bundle)
        said = program.refusal(bundle.folder, "--query", QUERY, "a")
        assert "gives 3 scores, of which none orders documents" in said

    @pytest.mark.transformers_5
    def test_a_language_model_behind_a_chat_template(
        self, program: Program, tmp_path: Path
    ) -> None:
        """Its prompt is the message of the system."""
        model = write_causal(tmp_path / "model")
        edit_json(model / "config_sentence_transformers.json", default_prompt_name="ask")
        bundle = convert(str(model), tmp_path / "bundle", recipe=RECIPES["fp32"])
        assert bundle.manifest.reranking is not None
        assert bundle.manifest.reranking.chat is not None
        assert run(program, bundle.folder, pairs(), "--ids") == ids_of(bundle, pairs())
        self.check(program, bundle)

    def test_the_other_kind_of_model_is_refused(
        self, program: Program, bundle: Bundle, tmp_path: Path
    ) -> None:
        model = write_model(tmp_path / "model")
        embedder = convert(str(model), tmp_path / "bundle", recipe=RECIPES["fp32"])
        for folder, options, says in (
            (bundle.folder, ("a",), "is a reranker"),
            (bundle.folder, ("--ids", "a"), "is a reranker"),
            (embedder.folder, ("--query", "a", "b"), "is an embedding model"),
            (embedder.folder, ("--ids", "--query", "a", "b"), "is an embedding model"),
        ):
            assert says in program.refusal(folder, *options)
        assert "for vectors" in program.refusal(
            bundle.folder, "--query", "a", "--raw", tmp_path / "x", "b", code=2
        )
