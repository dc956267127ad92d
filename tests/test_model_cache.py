"""Models opened by their names: converted once and kept, or bundles that lie on the Hub."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.checkpoint import write_model
from fakes.hub import FakeHub
from huggingface_hub import constants

from minnow import Embedder, Reranker, model_cache
from minnow.caches import list_cache
from minnow.errors import (
    AmbiguousModelError,
    BundleError,
    MissingExtraError,
    NetworkError,
    SourceNotFoundError,
)
from minnow.manifest import ENCODER, MANIFEST
from minnow.model.spec import Choices
from minnow.model_cache import ConversionOptions, find_bundle
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.bundles import Tiny

    from minnow.bundle import Bundle

pytestmark = pytest.mark.extra("convert")

TEXTS = ["how do fish sleep?", "red"]
PROGRAM = """
import sys
import numpy as np
from minnow import Embedder
with Embedder(sys.argv[1]) as embedder:
    np.save(sys.argv[2], embedder.encode(["how do fish sleep?", "red"]))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.use(monkeypatch, tmp_path / "home")
        yield fake


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch, made: Tiny) -> list[str]:
    """The sources that were converted; each becomes the same tiny bundle, at once."""
    sources: list[str] = []

    def convert(source: str, folder: Path, *_: object) -> None:
        sources.append(source)
        shutil.copytree(made.bundle.folder, folder)

    monkeypatch.setattr(model_cache, "_convert", convert)
    return sources


def test_a_model_of_the_hub_is_converted_once_and_needs_no_network_then(
    made: Tiny, tmp_path: Path, cache: Path
) -> None:
    def run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, "acme/tiny", str(tmp_path / "vectors.npy")],
            env={**environment, "MINNOW_CACHE": str(cache)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    with FakeHub() as hub:
        hub.add("acme/tiny", made.source.folder)
        environment = hub.environment(tmp_path / "home")
        first = run(environment)
        assert first.returncode == 0, first.stderr
        assert "minnow: acme/tiny is converted once, and kept in" in first.stderr
        assert "minnow: acme/tiny: running the staged encoder, 1 thread" in first.stderr
        asked = len(hub.requests)
        second = run(environment)
        assert (second.returncode, second.stderr) == (0, "")
        assert len(hub.requests) == asked
    third = run({**os.environ, "HF_HUB_OFFLINE": "1"})
    assert (third.returncode, third.stderr) == (0, "")
    (entry,) = list_cache()
    with Embedder.open(entry.path) as embedder, Embedder.open(made.bundle) as exact:
        vectors = np.load(tmp_path / "vectors.npy")
        assert np.array_equal(vectors, embedder.encode(TEXTS))
        assert (vectors * exact.encode(TEXTS)).sum(axis=1).min() > 0.9999


def test_a_folder_is_converted_again_when_a_file_of_it_changes(
    made: Tiny, tmp_path: Path, converted: list[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made.source.folder, folder)
    first = find_bundle(folder)
    assert find_bundle(str(folder)).folder == first.folder
    assert converted == [str(folder)]
    (folder / "modules.json").write_text((folder / "modules.json").read_text() + "\n")
    assert find_bundle(folder).folder != first.folder
    assert converted == [str(folder)] * 2
    assert {entry.kind for entry in list_cache()} == {"bundle"}
    assert len(list_cache()) == 2


def test_what_decides_a_bundle_is_part_of_its_place(
    converted: list[str], hub: FakeHub, made: Tiny
) -> None:
    hub.add("acme/tiny", made.source.folder)
    asked = [
        ConversionOptions(),
        ConversionOptions(revision="main"),
        ConversionOptions(recipe=RECIPES["int8"]),
        ConversionOptions(choices=Choices(max_tokens=9)),
    ]
    places = {find_bundle("acme/tiny", options).folder for options in asked}
    assert len(places) == len(converted) == 4
    places |= {find_bundle("acme/tiny", options).folder for options in asked}
    assert len(places) == len(converted) == 4


def test_a_name_without_a_slash_is_one_of_sentence_transformers(
    converted: list[str], hub: FakeHub, made: Tiny
) -> None:
    hub.add("sentence-transformers/all-tiny", made.source.folder)
    with Embedder(model_name_or_path="all-tiny", truncate_dim=8) as embedder:
        assert embedder.encode("fish").shape == (8,)
    assert converted == ["sentence-transformers/all-tiny"]


def test_a_folder_with_a_bundle_is_opened_in_place(made: Tiny, converted: list[str]) -> None:
    for name in (made.bundle.folder, str(made.bundle.folder), made.bundle):
        with Embedder(name, threads=1) as embedder:
            assert embedder.name == made.bundle.folder.name
    assert converted == []
    assert list_cache() == []
    with pytest.raises(AmbiguousModelError, match="is a folder and has no revision"):
        Embedder(made.bundle.folder, revision="main")


def test_a_bundle_on_the_hub_is_downloaded_and_checked(
    made: Tiny, hub: FakeHub, converted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.add("acme/bundle", made.bundle.folder)
    with Embedder.open("hf:acme/bundle") as embedder, Embedder.open(made.bundle) as local:
        expected = local.encode(TEXTS)
        assert np.array_equal(embedder.encode(TEXTS), expected)
    with Embedder("acme/bundle", revision=commit) as embedder:
        assert np.array_equal(embedder.encode(TEXTS), expected)
    assert converted == []
    asked = len(hub.requests)
    with Embedder.open("hf:acme/bundle", local_files_only=True) as embedder:
        assert np.array_equal(embedder.encode(TEXTS), expected)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with Embedder("acme/bundle") as embedder:
        assert np.array_equal(embedder.encode(TEXTS), expected)
    assert len(hub.requests) == asked
    with pytest.raises(BundleError, match="acme/other on the Hub is not a bundle"):
        Embedder.open("hf:acme/other")


def test_a_damaged_bundle_on_the_hub_is_refused(made: Tiny, hub: FakeHub, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(made.bundle.folder, folder)
    content = bytearray((folder / ENCODER).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / ENCODER).write_bytes(content)
    hub.add("acme/damaged", folder)
    with pytest.raises(BundleError, match=r"encoder\.mnn has changed since it was sealed"):
        Embedder.open("hf:acme/damaged")
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text().replace("mean", "cls", 1))
    hub.add("acme/forged", folder)
    with pytest.raises(BundleError, match="is not a manifest of a bundle"):
        Embedder("acme/forged")


def test_what_is_not_there_is_named(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="acme/absent is neither a folder here nor"):
        Embedder("acme/absent")
    with pytest.raises(SourceNotFoundError, match="There is no folder"):
        Embedder(tmp_path / "absent" / "model")
    with pytest.raises(SourceNotFoundError, match="The package absent is not installed"):
        Embedder("package:absent")
    with pytest.raises(BundleError, match="is not a folder"):
        Embedder.open("acme/absent")
    with pytest.raises(NetworkError, match="acme/absent at revision main is not, or not fully"):
        Embedder("acme/absent", local_files_only=True, progress=lambda _: None)
    assert list_cache() == []


def test_an_error_of_the_conversion_is_raised_here_and_leaves_nothing(tmp_path: Path) -> None:
    source = write_model(tmp_path / "model")
    steps: list[str] = []
    (source / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(Exception, match=r"model\.safetensors") as caught:
        find_bundle(source, progress=steps.append)
    assert type(caught.value).__module__ == "minnow.errors"
    assert len(steps) > 1
    assert list_cache() == []


def test_a_conversion_without_the_extra_is_one_clear_line(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_cache, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError) as caught:
        Embedder(tiny)
    message = str(caught.value)
    assert message.startswith(f"Converting {tiny} needs an optional dependency")
    assert "pip install 'minnow-embed[convert]'" in message
    assert "\n" not in message


def test_a_bundle_that_was_damaged_in_the_cache_says_how_to_remove_it(
    tiny: Path, converted: list[str]
) -> None:
    place = find_bundle(tiny).folder
    (place / MANIFEST).write_text("{}")
    with pytest.raises(BundleError, match=f"Remove it: minnow cache prune {place.name}"):
        Embedder(tiny)
    assert len(converted) == 1


def test_a_reranker_opens_by_its_name_too(ranker: Bundle, hub: FakeHub) -> None:
    hub.add("acme/ranker", ranker.folder)
    with Reranker("acme/ranker") as found, Reranker.open(ranker) as expected:
        pairs = [("fish", "river"), ("fish", "ship")]
        assert found.predict(pairs).tolist() == expected.predict(pairs).tolist()
    with pytest.raises(BundleError, match="is a reranker"):
        Embedder.open("hf:acme/ranker")
