"""Published MNN models: every planted fault is found and named, and no right model is accused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.bundles import quick_recipe
from fakes.checkpoint import change_tokenizer, edit_json, write_model, write_pooling, write_reranker
from fakes.hub import FakeHub
from fakes.programs import refused, run_minnow
from fakes.published import (
    publish,
    renamed,
    with_added_mask,
    with_joined_axes,
    without_mask,
)
from tokenizers import processors

from minnow import Embedder
from minnow.audit import AuditReport, Cause, Verdict, audit, trying
from minnow.bundle import Bundle
from minnow.convert import verify
from minnow.errors import (
    AmbiguousModelError,
    BundleError,
    InputError,
    OutputError,
    SourceError,
    SourceNotFoundError,
    UnsupportedModelError,
)
from minnow.export.mnn_llm import export_mnn_llm
from minnow.export.mnn_llm.record import RECORD
from minnow.graph.mnn_file import WEIGHTS
from minnow.manifest import ENCODER, MANIFEST
from minnow.recipe import RECIPES, Graph
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fakes.bundles import BundleStore

    from minnow.model.network import Network

pytestmark = pytest.mark.extra("convert")

FP16 = RECIPES["fp16"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sources")
    large = write_model(folder / "large", pooling="mean")
    _move_beyond_half(large)
    return {
        "model": write_model(folder / "model", pooling="mean"),
        "ranker": write_reranker(folder / "ranker"),
        "large": large,
    }


def _move_beyond_half(folder: Path) -> None:
    """Make a matrix larger than half precision, and the one that follows it smaller."""
    from fakes.checkpoint import random_tensors, write_weights

    tensors = random_tensors(folder)
    tensors["encoder.layer.0.intermediate.dense.weight"] *= np.float32(1e6)
    tensors["encoder.layer.0.output.dense.weight"] *= np.float32(1e-6)
    write_weights(folder, tensors)


def causal(network: Network) -> Network:
    blocks = (replace(b, attention=replace(b.attention, causal=True)) for b in network.blocks)
    return replace(network, blocks=tuple(blocks))


def type_one(tensors: dict[str, Any]) -> None:
    tensors["embeddings.token_type"] = tensors["embeddings.token_type"][::-1].copy()


def one_type(tensors: dict[str, Any]) -> None:
    tensors["embeddings.token_type"] = tensors["embeddings.token_type"][[0, 0]]


def moved(tensors: dict[str, Any]) -> None:
    tensors["embeddings.position"] = np.roll(tensors["embeddings.position"], -2, 0)


def shortened(tensors: dict[str, Any]) -> None:
    tensors["embeddings.position"] = tensors["embeddings.position"][:16]


def zeroed(tensors: dict[str, Any]) -> None:
    tensors["layer.1.query.weight"] = np.zeros_like(tensors["layer.1.query.weight"])


NAMES = {"input_ids": "input.1", "attention_mask": "input.3", "token_type_ids": "input.5"}

RIGHT: dict[str, dict[str, Any]] = {
    "token states, three inputs": {},
    "vectors, half precision": {"pooled": True, "recipe": FP16},
    "a fixed shape": {"shape": (1, 16)},
    "inputs of names that say nothing": {
        "graph": renamed(NAMES), "inputs": tuple(NAMES.values()), "recipe": FP16,
    },
    "a reranker": {"source": "ranker"},
    "a mask that is added": {"graph": with_added_mask},
    "states without an axis of texts": {"graph": with_joined_axes},
    "integers": {"recipe": quick_recipe("int8")},
}  # fmt: skip

WRONG: dict[str, tuple[Cause, dict[str, Any]]] = {
    "cls in place of mean": (Cause.POOLING, {"pooled": True, "head": {"pooling": Pooling.CLS}}),
    "the last token": (
        Cause.POOLING, {"pooled": True, "head": {"pooling": Pooling.LAST_TOKEN}, "recipe": FP16},
    ),
    "causal attention": (Cause.CAUSAL, {"network": causal}),
    "not normalised": (Cause.NORMALIZATION, {"pooled": True, "head": {"normalize": False}}),
    "beyond half precision": (
        Cause.HALF_RANGE, {"source": "large", "recipe": FP16, "as_it_is": True},
    ),
    "token types of 1": (Cause.TOKEN_TYPES, {"tensors": type_one}),
    "a reranker without token types": (
        Cause.TOKEN_TYPES, {"source": "ranker", "tensors": one_type},
    ),
    "positions from 2": (Cause.POSITIONS, {"tensors": moved}),
    "a table of 16 positions": (Cause.LIMIT, {"tensors": shortened}),
    "a matrix of zeros": (Cause.UNKNOWN, {"tensors": zeroed}),
}  # fmt: skip


@pytest.fixture
def published(sources: dict[str, Path], tmp_path: Path) -> Callable[..., AuditReport]:
    def audited(source: str = "model", change: Any = None, **how: Any) -> AuditReport:
        folder = publish(sources[source], tmp_path / "published", **how)
        if change is not None:
            change(folder)
        report, bundle = audit(folder, source=str(sources[source]), offline=True)
        assert bundle is None
        return report

    return audited


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with one thread only, which takes half of the time."""
    monkeypatch.setattr(trying, "thread_counts", lambda: (1,))


@pytest.mark.whole_proof
@pytest.mark.parametrize("how", RIGHT.values(), ids=RIGHT)
def test_what_is_right(how: dict[str, Any], published: Callable[..., AuditReport]) -> None:
    report = published(**how)
    assert report.verdict is Verdict.RIGHT, report.causes
    assert not report.causes
    assert report.parity is not None
    assert report.parity.passed
    assert report.parity.texts > 100
    batchings = [run.batching for run in report.parity.runs]
    assert batchings == (["padded to 1x16"] * 2 if "shape" in how else ["one by one", "mixed"] * 2)
    assert report.max_tokens == (16 if "shape" in how else 40 if "source" in how else 24)
    assert "brightgreen" in report.badge


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("cause", "how"), WRONG.values(), ids=WRONG)
def test_what_is_wrong(
    cause: Cause, how: dict[str, Any], published: Callable[..., AuditReport]
) -> None:
    report = published(**how)
    assert report.verdict is Verdict.WRONG
    assert [finding.cause for finding in report.causes] == [cause]
    assert report.parity is not None
    assert report.parity.worst.worst_text
    assert report.badge.startswith("[![minnow audit: wrong]")


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("pooled", [False, True])
def test_a_mask_that_is_ignored_or_missing(
    pooled: bool, published: Callable[..., AuditReport]
) -> None:
    report = published(pooled=pooled, graph=without_mask, inputs=("input_ids", "token_type_ids"))
    assert report.verdict is Verdict.ALONE
    assert [finding.cause for finding in report.causes] == [Cause.MASK]
    assert report.parity is not None
    runs = {run.batching: run.worst for run in report.parity.runs}
    assert runs["one by one"] > 0.999999 > 0.99 > runs["mixed"]


def _swap_words(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    words = content["model"]["vocab"]
    words["fish"], words["the"] = words["the"], words["fish"]
    (folder / "tokenizer.json").write_text(json.dumps(content))


def _without_special_tokens(folder: Path) -> None:
    def change(tokenizer: Any) -> None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A [SEP]", pair="$A $B", special_tokens=[("[SEP]", 3)]
        )

    change_tokenizer(folder / "tokenizer.json", change)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("change", [_swap_words, _without_special_tokens])
def test_another_tokenizer(change: Any, published: Callable[..., AuditReport]) -> None:
    report = published(change=change)
    assert report.verdict is Verdict.WRONG
    assert [finding.cause for finding in report.causes] == [Cause.TOKENIZER]
    assert report.other_ids


@pytest.mark.usefixtures("one_thread")
def test_files_that_state_another_pooling(published: Callable[..., AuditReport]) -> None:
    def change(folder: Path) -> None:
        edit_json(folder / "config.json", model_type="bert")
        modules = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
        rows = [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (kind, path) in enumerate(modules)
        ]
        (folder / "modules.json").write_text(json.dumps(rows))
        write_pooling(folder, "cls")

    report = published(change=change)
    assert (report.verdict, report.pooling) == (Verdict.WRONG, "cls")
    assert [finding.cause for finding in report.causes] == [Cause.POOLING]


def test_a_file_that_is_no_model(published: Callable[..., AuditReport]) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        published(change=lambda folder: (folder / "encoder.mnn").write_bytes(b"no model" * 99))


def test_a_reranker_is_no_embedding_model(sources: dict[str, Path], tmp_path: Path) -> None:
    folder = publish(sources["ranker"], tmp_path / "published")
    report, _ = audit(folder, source=str(sources["model"]), offline=True)
    assert report.verdict is Verdict.WRONG
    assert [finding.cause for finding in report.causes] == [Cause.RUNTIME]
    assert "vectors of 1 numbers" in report.causes[0].detail


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory, bundle_store: BundleStore) -> Path:
    bundle = bundle_store.bundle(RECIPES["fp16"], pooling="mean")
    folder = tmp_path_factory.mktemp("llm") / "llm"
    export_mnn_llm(bundle, folder, offline=True)
    (folder / RECORD).unlink()
    shutil.copytree(bundle.folder.parent / "model", folder.parent / "model")
    return folder


def test_a_folder_for_mnn_llm(llm: Path) -> None:
    source = str(llm.parent / "model")
    report, _ = audit(llm, source=source, offline=True)
    assert report.verdict is Verdict.RIGHT
    with pytest.raises(InputError, match="folder for MNN-LLM"):
        audit(llm, source=source, seal=llm.parent / "out", offline=True)
    ranker = write_reranker(llm.parent / "ranker")
    with pytest.raises(UnsupportedModelError, match="reranker"):
        audit(llm, source=str(ranker), offline=True)


@pytest.mark.usefixtures("one_thread")
def test_a_folder_for_mnn_llm_without_the_last_token(llm: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(llm, tmp_path / "llm")
    edit_json(
        folder / "llm_config.json",
        jinja={"chat_template": "[CLS]{{ messages[0]['content'] }}", "eos": ""},
    )
    report, _ = audit(folder, source=str(llm.parent / "model"), offline=True)
    assert report.verdict is Verdict.WRONG
    assert Cause.TOKENIZER in [finding.cause for finding in report.causes]


@pytest.mark.parametrize("beside", [False, True])
def test_a_sealed_model_embeds_and_is_proven_again(
    sources: dict[str, Path], tmp_path: Path, beside: bool
) -> None:
    folder = publish(sources["model"], tmp_path / "published", recipe=FP16, beside=beside)
    source = str(sources["model"])
    report, bundle = audit(folder, source=source, seal=tmp_path / "out.minnow", offline=True)
    assert bundle is not None
    numbers = bundle.manifest.files.get(ENCODER + WEIGHTS)
    assert report.numbers_sha256 == (numbers and numbers.sha256)
    assert bool(numbers) is beside
    assert bundle.manifest.recipe.graph is Graph.PUBLISHED
    assert verify(Bundle.open(bundle.folder)).passed
    with Embedder.open(bundle.folder) as embedder:
        assert embedder.encode("fish sleep").shape == (32,)
    with pytest.raises(SourceError, match="minnow verify"):
        audit(bundle.folder, source=source)
    folder = publish(sources["model"], tmp_path / "fixed", shape=(1, 16))
    with pytest.raises(InputError, match="the shape 1x16 only"):
        audit(folder, source=source, seal=tmp_path / "no.minnow", offline=True)
    assert not (tmp_path / "no.minnow" / MANIFEST).exists()


@pytest.mark.usefixtures("one_thread")
def test_on_the_hub_with_the_source_that_its_card_names(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish(sources["model"], tmp_path / "published")
    (folder / "README.md").write_text("---\nbase_model: maker/tiny\n---\n")
    with FakeHub() as hub:
        hub.use(monkeypatch, tmp_path / "home")
        hub.add("maker/tiny", sources["model"])
        commit = hub.add("user/tiny-MNN", folder)
        report, _ = audit("user/tiny-MNN")
    assert (report.verdict, report.source, report.revision) == (Verdict.RIGHT, "maker/tiny", commit)
    again, _ = audit("user/tiny-MNN", offline=True)
    assert again.verdict is Verdict.RIGHT


def test_names_that_lead_nowhere(sources: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceNotFoundError, match="no MNN model"):
        audit(tmp_path / "empty")
    with pytest.raises(SourceNotFoundError, match="no folder or MNN file"):
        audit(tmp_path / "missing")
    folder = publish(sources["model"], tmp_path / "published")
    with pytest.raises(AmbiguousModelError, match="`source=`"):
        audit(folder)
    with pytest.raises(AmbiguousModelError, match="no revision"):
        audit(folder, revision="main")
    shutil.copyfile(folder / "encoder.mnn", folder / "other.mnn")
    with pytest.raises(AmbiguousModelError, match=r"encoder\.mnn, other\.mnn"):
        audit(folder, source="x")


def test_places_that_cannot_be_written_are_refused_before_any_work(tmp_path: Path) -> None:
    """Not after minutes, with the report lost."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds files that are not a bundle"):
        audit(tmp_path / "missing", seal=tmp_path / "mine")
    done = run_minnow("audit", "missing", "--report", "nowhere/audit.json", cwd=tmp_path)
    assert "nowhere is not a folder" in refused(done, 9)


def test_the_command(sources: dict[str, Path], tmp_path: Path) -> None:
    folder = publish(sources["model"], tmp_path / "published", network=causal)
    done = run_minnow(
        "audit", str(folder), "--source", str(sources["model"]), "--report", "audit.json",
        "--offline", cwd=tmp_path,
    )  # fmt: skip
    assert done.code == 5, done.stderr
    assert "wrong" in done.stdout
    assert "causal: a token sees only earlier ones" in done.stdout
    report = json.loads((tmp_path / "audit.json").read_text())
    assert (report["verdict"], report["causes"][0]["cause"]) == ("wrong", "causal")
    assert report["badge"].startswith("[![minnow audit: wrong](https://img.shields.io/badge/")
