"""Bundles published on a Hub on this machine, and opened from there."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.bundles import PROMPTS
from fakes.checkpoint import write_model
from fakes.hub import FakeHub, Fault
from fakes.programs import run_minnow

from minnow import Embedder
from minnow.convert import convert
from minnow.errors import BundleError, InputError, NetworkError, OutputError
from minnow.manifest import CARD, ENCODER, MANIFEST
from minnow.model_cache import open_bundle
from minnow.push import push
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.bundles import BundleStore

    from minnow.bundle import Bundle

pytestmark = pytest.mark.extra("convert")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub() as hub:
        hub.use(monkeypatch, tmp_path / "home")
        monkeypatch.setenv("HF_TOKEN", hub.token)
        yield hub


@pytest.fixture
def bundle(bundle_store: BundleStore) -> Bundle:
    return bundle_store.bundle(RECIPES["fp32"], pooling="mean", prompts=PROMPTS, seed=0)


def test_a_bundle_is_pushed_and_opened_from_there(hub: FakeHub, bundle: Bundle) -> None:
    done = push(bundle, "me/tiny")
    assert done.is_new
    assert set(done.uploaded) == {*bundle.manifest.files, MANIFEST}
    assert len(hub.uploads()) == 1
    with Embedder.open("hf:me/tiny") as there, Embedder.open(bundle.folder) as here:
        np.testing.assert_array_equal(there.encode("fish sleep"), here.encode("fish sleep"))
    writes = len([r for r in hub.requests if r.method in ("POST", "PUT")])
    again = push(bundle.folder, "me/tiny")
    assert not again.uploaded
    assert again.commit is None
    assert len([r for r in hub.requests if r.method in ("POST", "PUT")]) == writes


def test_a_newer_bundle_replaces_an_older_one(
    hub: FakeHub, bundle: Bundle, bundle_store: BundleStore
) -> None:
    older = bundle_store.bundle(RECIPES["fp32"], shapes=[(1, 16)], pooling="mean", prompts=PROMPTS)
    push(older, "me/tiny")
    plan = push(bundle, "me/tiny", dry_run=True)
    assert plan.removed == ("encoder-1x16.log", "encoder-1x16.mnn")
    assert "config.json" in plan.unchanged
    assert "config.json" not in plan.uploaded
    done = push(bundle, "me/tiny")
    assert done.commit is not None
    assert len(hub.uploads()) == len(set(hub.uploads()))
    assert open_bundle("hf:me/tiny").manifest == bundle.manifest


def test_a_dry_run_shows_all_and_writes_nothing(hub: FakeHub, bundle: Bundle) -> None:
    plan = push(bundle, "me/tiny", private=True, dry_run=True)
    assert plan.private
    assert plan.uploaded[ENCODER] == (bundle.folder / ENCODER).stat().st_size
    assert plan.front_matter.startswith("library_name: mnn\npipeline_tag: feature-extraction\n")
    assert "license: mit" in plan.front_matter
    assert plan.notes == ("The card names no base_model: the bundle was not made from a Hub id.",)
    assert {request.method for request in hub.requests} <= {"GET", "HEAD"}


def test_the_card_names_the_base_model(hub: FakeHub, tmp_path: Path) -> None:
    hub.add("maker/tiny", write_model(tmp_path / "model"))
    made = convert("maker/tiny", tmp_path / "tiny.minnow", recipe=RECIPES["fp32"])
    plan = push(made, "me/tiny", dry_run=True)
    assert "base_model: maker/tiny\nbase_model_relation: quantized\n" in plan.front_matter
    assert not plan.notes


def test_what_is_refused(
    hub: FakeHub, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="USER/NAME"):
        push(bundle, "tiny")
    hub.add("me/other", {"model.safetensors": "weights"})
    with pytest.raises(OutputError, match=r"holds model\.safetensors and no minnow\.json"):
        push(bundle, "me/other")
    copy = tmp_path / "copy.minnow"
    shutil.copytree(bundle.folder, copy)
    (copy / CARD).write_text("another card")
    with pytest.raises(BundleError, match=r"README\.md"):
        push(copy, "me/tiny")
    hub.faults["POST", "/api/repos/create"] = Fault(status=403)
    with pytest.raises(OutputError, match="may write there"):
        push(bundle, "me/tiny")
    hub.faults["POST", "/api/repos/create"] = Fault(status=422)
    with pytest.raises(NetworkError, match="HTTP 422"):
        push(bundle, "me/tiny")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(OutputError, match="hf auth login"):
        push(bundle, "me/tiny")


def test_the_command(hub: FakeHub, bundle: Bundle, tmp_path: Path) -> None:
    done = run_minnow("push", bundle.folder, "me/tiny", "--json", cwd=tmp_path)
    assert done.code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["commit"] != "none made"
    assert answer["opens_as"] == "hf:me/tiny"
    assert "base_model" in done.stderr
