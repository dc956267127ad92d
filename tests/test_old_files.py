"""Files that an earlier minnow wrote still open and verify; see tests/data/before/README.md."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from fakes.checkpoint import source_of

from minnow import Embedder
from minnow.bundle import Bundle
from minnow.convert import verify
from minnow.device import read_answers
from minnow.export.mnn_llm import Export, ExportRecord
from minnow.export.mnn_llm.engine import engine_ids, engine_vectors
from minnow.manifest import MANIFEST, Manifest
from minnow.model.original import read_original
from minnow.proof.references import CheckpointReference
from minnow.record_json import from_json, to_json
from minnow.vectors import rowwise_cosine

pytestmark = pytest.mark.extra("convert")

BEFORE = Path(__file__).with_name("data") / "before"
TEXTS = ["how do fish sleep", "", "two small fish run in the river"]


def test_a_bundle_opens_with_all_that_its_manifest_says() -> None:
    bundle = Bundle.open(BEFORE / "bundle")
    bundle.check_files()
    written = json.loads((BEFORE / "bundle" / MANIFEST).read_text())
    parity = bundle.manifest.parity
    assert parity.worst.worst == min(run["worst"] for run in written["parity"]["runs"])
    assert parity.retrieval is not None
    assert parity.retrieval.candidate == written["parity"]["retrieval"]["candidate"]
    [fixed] = bundle.manifest.fixed_shapes
    assert (fixed.batch, fixed.tokens, fixed.file) == (1, 16, "encoder-1x16.mnn")


@pytest.mark.parametrize(
    ("path", "kind"), [("bundle/minnow.json", Manifest), ("mnn-llm/export.json", ExportRecord)]
)
def test_records_are_written_as_before(path: str, kind: type) -> None:
    """The keys and their order are the old ones, also where names in Python have changed."""
    content = (BEFORE / path).read_bytes()
    written = to_json(from_json(content, kind))
    assert msgspec.json.format(msgspec.json.encode(written), indent=2) + b"\n" == content
    assert from_json(content, kind).recipe.max_ndcg_drop == 0.01


def test_a_bundle_verifies() -> None:
    bundle = Bundle.open(BEFORE / "bundle")
    steps: list[str] = []
    parity = verify(bundle, source=str(BEFORE / "model"), offline=True, progress=steps.append)
    assert parity.worst.worst >= parity.bar == 0.998
    assert parity.retrieval is not None
    assert any("1x16" in step for step in steps)


def test_a_bundle_embeds() -> None:
    reference = CheckpointReference(read_original(source_of(BEFORE / "model")))
    with Embedder.open(BEFORE / "bundle") as embedder:
        found = embedder.encode(TEXTS, prompt="")
    assert rowwise_cosine(found, reference.vectors(TEXTS)).min() >= 0.998


def test_an_export_opens_and_runs(tmp_path: Path) -> None:
    folder = BEFORE / "mnn-llm"
    export = Export.open(folder)
    export.check_files()
    written = json.loads((folder / "export.json").read_text())
    assert export.record.parity.worst.worst == min(
        run["worst"] for run in written["parity"]["runs"]
    )
    reference = CheckpointReference(read_original(source_of(BEFORE / "model")))
    assert engine_ids(folder, TEXTS, tmp_path) == reference.token_ids(TEXTS)
    found = engine_vectors(folder, TEXTS, 1, tmp_path)
    assert rowwise_cosine(found, reference.vectors(TEXTS)).min() >= 0.998


def test_device_answers_are_read(tmp_path: Path) -> None:
    folder = shutil.copytree(BEFORE / "device", tmp_path / "device")
    shutil.copytree(BEFORE / "bundle", folder / "bundle")
    small, whole = read_answers(folder)
    assert (small.name, small.passed) == ("answer-1x16.json", True)
    assert (whole.name, whole.passed) == ("answer.json", True)
    assert whole.parity.worst.worst_text in {"empty", "whitespace-mix"}
    assert whole.parity.worst.worst == pytest.approx(0.999998, abs=1e-6)
    assert small.parity.worst.worst_shape == (1, 16)
