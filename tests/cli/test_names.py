"""Commands take the name of a model where they take a bundle's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.bundles import PROMPTS
from fakes.hub import FakeHub
from fakes.programs import refused, run_minnow
from fakes.searching import write_documents
from fakes.serving import serving

from minnow import Embedder
from minnow.cli.options import folder_of
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.bundles import BundleStore

    from minnow.bundle import Bundle

pytestmark = pytest.mark.extra("convert")


@pytest.fixture
def bundle(bundle_store: BundleStore) -> Bundle:
    return bundle_store.bundle(RECIPES["fp32"], pooling="mean", prompts=PROMPTS, seed=0)


@pytest.fixture
def hub(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub() as hub:
        hub.use(monkeypatch, tmp_path / "home")
        hub.add("me/tiny", bundle.folder)
        yield hub


@pytest.mark.parametrize("name", ["hf:me/tiny", "me/tiny"])
def test_a_bundle_on_the_hub(hub: FakeHub, bundle: Bundle, name: str, tmp_path: Path) -> None:
    done = run_minnow("embed", name, "fish sleep", cwd=tmp_path)
    assert done.code == 0, done.stderr
    with Embedder.open(bundle, engine="mnn") as embedder:
        np.testing.assert_allclose(
            json.loads(done.stdout), embedder.encode("fish sleep"), atol=1e-6
        )
    write_documents(tmp_path / "docs")
    made = run_minnow("index", "docs", "-b", name, "-o", "a.index", cwd=tmp_path)
    assert made.code == 0, made.stderr
    found = run_minnow("search", "a.index", "fish", "-b", name, "--json", cwd=tmp_path)
    assert json.loads(found.stdout)["hits"]


@pytest.mark.extra("serve")
def test_the_server(hub: FakeHub, tmp_path: Path) -> None:
    environment = hub.environment(tmp_path / "home")
    with serving(tmp_path, "hf:me/tiny", "small=me/tiny", env=environment) as server:
        assert server.get("/health").json["models"] == ["me/tiny", "small"]


@pytest.mark.parametrize(
    "path", ["nowhere", "nowhere.minnow", "me/nowhere.minnow", "./me/tiny", "/me/tiny", "a/b/c"]
)
def test_what_could_be_a_path_is_never_looked_up(path: str) -> None:
    with FakeHub() as hub:
        assert folder_of(path) == Path(path)
        assert "is not a folder" in refused(run_minnow("embed", path, "fish"), 6)
        assert not hub.requests


def test_neither_is_what_begins_with_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bundles").mkdir()
    monkeypatch.chdir(tmp_path)
    assert folder_of("bundles/mistyped") == Path("bundles/mistyped")
