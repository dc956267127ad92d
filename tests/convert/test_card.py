"""The model card: its statements are true, and its programs run."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import encoder_of, write_model

from minnow import RECIPES, Bundle, Embedder
from minnow.convert import convert
from minnow.convert.card import usage_snippet
from minnow.model.spec import EMBEDDING_INTERFACES, Interface
from minnow.records import replace
from minnow.vectors import Pooling

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
    assert "`query: `" in card
    assert "{" not in card.split("```")[0].replace("{}", "")


def test_no_path_of_this_machine_is_published(bundle: Bundle) -> None:
    assert str(bundle.folder.parent) not in (bundle.folder / "README.md").read_text()


def run_snippet(bundle: Bundle) -> np.ndarray:
    """Run the card's MNN program as a user would, in the bundle's folder."""
    program = usage_snippet(bundle.manifest) + "print('VECTOR', *vector.tolist())\n"
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=bundle.folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    line = next(line for line in answer.splitlines() if line.startswith("VECTOR"))
    return np.array(line.split()[1:], dtype=np.float32)


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
@pytest.mark.parametrize("interface", EMBEDDING_INTERFACES)
@pytest.mark.parametrize("pooling", [p.value for p in Pooling])
def test_the_usual_program_gives_the_embedder_s_vectors(
    bundle_store: BundleStore,
    monkeypatch: pytest.MonkeyPatch,
    pooling: str,
    interface: Interface,
) -> None:
    bundle = bundle_store.pooling(pooling, interface)
    pools = interface is Interface.SENTENCE_EMBEDDING
    assert ("numpy.linalg" in usage_snippet(bundle.manifest)) is not pools
    with Embedder.open(bundle) as embedder:
        expected = embedder.encode_query("how do fish sleep?")
    monkeypatch.chdir(bundle.folder)
    found: dict[str, Any] = {}
    exec(usage_snippet(bundle.manifest), found)
    np.testing.assert_allclose(found["vector"], expected, atol=1e-5)


@pytest.mark.extra("sentence-transformers")
@pytest.mark.weights
def test_the_usual_program_on_real_weights(bundle_store: BundleStore) -> None:
    bundle = bundle_store.packaged()
    with Embedder.open(bundle) as embedder:
        expected = embedder.encode_query("how do fish sleep?")
    np.testing.assert_allclose(run_snippet(bundle), expected, atol=1e-5)


@pytest.mark.extra("sentence-transformers")
def test_auto_tokenizer_reads_a_bundle(bundle: Bundle) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(bundle.folder))
    texts = ["how do fish sleep?", "Naïve [SEP] fish", "", "a " * 50]
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        ours = embedder.token_ids(texts)
    theirs = tokenizer(texts, truncation=True, max_length=bundle.manifest.embedding.max_tokens)
    assert ours == theirs["input_ids"]
