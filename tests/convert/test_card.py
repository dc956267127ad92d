"""The model card: its statements are true, and its programs run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.checkpoint import encoder_of, write_model

from minnow import RECIPES, Bundle, Embedder
from minnow.convert import convert
from minnow.convert.card import code_cell
from minnow.model.spec import Interface
from minnow.records import replace

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import BundleStore

pytestmark = pytest.mark.extra("convert")


@pytest.fixture
def bundle(bundle_store: BundleStore) -> Bundle:
    return bundle_store.bundle(RECIPES["fp16"], prompts={"query": "query: ", "document": ""})


def test_the_card_states_measured_facts(bundle: Bundle) -> None:
    card = (bundle.folder / "README.md").read_text()
    parity = bundle.manifest.parity
    assert card.startswith("---\nlibrary_name: mnn\n")
    assert "license: mit" in card
    assert f"{parity.worst.worst:.7f}" in card
    assert parity.worst.worst_text in card
    assert bundle.manifest.source.weights_sha256[:16] in card
    assert '| prompt: query | `"query: "` |' in card
    assert "{" not in card.split("```")[0].replace("{}", "")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("query: ", '`"query: "`'),
        ("Instruct: answer\nQuery:", '`"Instruct: answer\\nQuery:"`'),
        ("a|b", '`"a\\|b"`'),
        ("with `ticks`", '``"with `ticks`"``'),
    ],
)
def test_a_prompt_stays_in_its_cell(text: str, cell: str) -> None:
    assert code_cell(text) == cell


def test_no_path_of_this_machine_is_published(bundle: Bundle) -> None:
    assert str(bundle.folder.parent) not in (bundle.folder / "README.md").read_text()


def test_the_card_names_inputs_and_outputs(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", family="roberta")
    for interface, output in (
        (Interface.LAST_HIDDEN_STATE, "float32 of shape (batch, seq, 32), to be pooled"),
        (Interface.SENTENCE_EMBEDDING, "float32 of shape (batch, 32), of length 1"),
    ):
        recipe = replace(RECIPES["fp16"], interface=interface)
        card = convert(str(model), tmp_path / "out", recipe=recipe).folder / "README.md"
        inputs = ", ".join(f"`{name}`" for name in encoder_of(model).inputs)
        assert f"| inputs | {inputs}: int32 of shape (batch, seq) |" in card.read_text()
        assert f"| output | `{interface.value}`: {output} |" in card.read_text()


@pytest.mark.extra("sentence-transformers")
def test_auto_tokenizer_reads_a_bundle(bundle: Bundle) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(bundle.folder))
    texts = ["how do fish sleep?", "Naïve [SEP] fish", "", "a " * 50]
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        ours = embedder.token_ids(texts)
    theirs = tokenizer(texts, truncation=True, max_length=bundle.manifest.embedding.max_tokens)
    assert ours == theirs["input_ids"]
