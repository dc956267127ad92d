"""Servers that many tests share: each is started once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.programs import run_minnow
from fakes.searching import write_documents
from fakes.serving import KEY, Running, serving

from minnow import Embedder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.bundles import BundleStore, Tiny

    from minnow.bundle import Bundle


@pytest.fixture(scope="session")
def served(made: Tiny) -> Tiny:
    """The bundle that is served."""
    return made


@pytest.fixture(scope="session")
def embedder(served: Tiny) -> Iterator[Embedder]:
    """An embedder on the served bundle, to compare with."""
    with Embedder.open(served.bundle, engine="mnn", on_truncate="ignore") as embedder:
        yield embedder


@pytest.fixture(scope="session")
def server(
    served: Tiny, pooled: Tiny, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A server as it is by default, with two models: `tiny` and `pooled`."""
    folder = tmp_path_factory.mktemp("server")
    arguments = (served.bundle.folder, f"pooled={pooled.bundle.folder}", "--access-log")
    with serving(folder, *arguments) as running:
        yield running


@pytest.fixture(scope="session")
def index_file(served: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of a few documents."""
    folder: Path = tmp_path_factory.mktemp("indexed")
    write_documents(folder / "docs")
    options = ("-b", served.bundle.folder, "-o", "a.index")
    done = run_minnow("index", "docs", *options, cwd=folder)
    assert done.code == 0, done.stderr
    return folder / "a.index"


@pytest.fixture(scope="session")
def indexed(
    served: Tiny, ranker: Bundle, index_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A server that searches the index, and reranks."""
    folder = tmp_path_factory.mktemp("server")
    name = f"org/tiny={served.bundle.folder}"
    reranker = f"ranker={ranker.folder}"
    with serving(folder, name, reranker, "--index", index_file) as running:
        yield running


@pytest.fixture(scope="session")
def unscaled(bundle_store: BundleStore) -> Bundle:
    """A bundle whose vectors have lengths of their own."""
    from minnow.model.spec import Interface

    return bundle_store.pooling("mean", Interface.LAST_HIDDEN_STATE, normalize=False)


@pytest.fixture(scope="session")
def raw(unscaled: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of that bundle alone."""
    with serving(tmp_path_factory.mktemp("raw"), f"raw={unscaled.folder}") as running:
        yield running


@pytest.fixture(scope="session")
def strict(served: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A strict server with a key, an origin, low limits and truncation, set by its environment."""
    folder: Path = tmp_path_factory.mktemp("strict")
    (folder / "key").write_text(f"{KEY}\n", encoding="utf-8")
    settings = {
        "MINNOW_BUNDLES": str(served.bundle.folder),
        "MINNOW_API_KEY_FILE": str(folder / "key"),
        "MINNOW_CORS_ORIGIN": "https://example.org app://obsidian.md",
        "MINNOW_MAX_BODY_BYTES": "2000",
        "MINNOW_MAX_INPUTS": "4",
        "MINNOW_TRUNCATE": "1",
        "MINNOW_STRICT": "1",
        "MINNOW_METRICS_PUBLIC": "1",
        "MINNOW_MEMORY": "normal",
    }
    with serving(folder, env=settings) as running:
        yield running
