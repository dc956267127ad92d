"""The program of a model card: it gives the vectors of the Embedder."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from minnow import RECIPES, Bundle, Embedder
from minnow.convert.usage import usage_snippet
from minnow.model.spec import EMBEDDING_INTERFACES, Interface
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from fakes.bundles import BundleStore

pytestmark = pytest.mark.extra("convert")


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
def test_a_prompt_of_several_lines(
    bundle_store: BundleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts of instructed models have line ends, and some have quotation marks."""
    prompts = {"query": '"a" \\ {b}\nask: '}
    bundle = bundle_store.bundle(RECIPES["fp32"], pooling="mean", prompts=prompts)
    with Embedder.open(bundle) as embedder:
        expected = embedder.encode_query("how do fish sleep?")
    monkeypatch.chdir(bundle.folder)
    found: dict[str, Any] = {}
    exec(usage_snippet(bundle.manifest), found)
    np.testing.assert_allclose(found["vector"], expected, atol=1e-5)
