"""Systems in processes of their own: their vectors are kept, and their failures reported."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.programs import first_on_path

from minnow import Embedder
from minnow.datasets import Dataset
from minnow.errors import BundleError, EngineError, MissingExtraError
from minnow.evaluate import RunOptions, compare
from minnow.evaluate.cache import VectorCache
from minnow.evaluate.run import Embedded, embed_dataset
from minnow.processes import peak_memory
from minnow.systems import find_system
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from fakes.bundles import Tiny

pytestmark = pytest.mark.extra("convert")

DATASET = Dataset(
    name="made",
    documents={"d1": "two small fish", "d2": "the big red river", "d3": "two small fish"},
    queries={"q1": "fish", "q2": "where is the river"},
    qrels={"q1": {"d1": 1, "d3": 1}, "q2": {"d2": 1}},
)


class Watch:
    """Remembers how many texts were to be embedded, and how many were."""

    def __init__(self) -> None:
        self.totals: list[int] = []
        self.done: list[int] = []

    def __call__(self, total: int) -> AbstractContextManager[Callable[[int], None]]:
        self.totals.append(total)
        return nullcontext(self.done.append)


def embed(made: Tiny, cache: Path, watch: Watch, *, fresh: bool = False) -> Embedded:
    system = find_system(str(made.bundle.folder))
    return embed_dataset(system, DATASET, cache=cache, threads=1, fresh=fresh, progress=watch)


def test_vectors_are_the_embedders(made: Tiny, tmp_path: Path) -> None:
    watch = Watch()
    found = embed(made, tmp_path, watch)

    with Embedder.open(made.bundle) as embedder:
        queries = embedder.encode_query(list(DATASET.queries.values()))
        documents = embedder.encode_document(list(DATASET.documents.values()))
    np.testing.assert_allclose(found.queries, queries, atol=1e-5)
    np.testing.assert_allclose(found.documents, documents, atol=1e-5)
    assert found.similarity is Similarity.COSINE
    assert 0 < found.usage.load_seconds < 60
    assert found.usage.texts_per_second > 0
    assert 20e6 < found.usage.peak_bytes < 2e9
    assert (watch.totals, sum(watch.done)) == ([4], 4)  # equal texts are embedded once


def test_a_second_time_nothing_is_run(made: Tiny, tmp_path: Path) -> None:
    watch = Watch()
    first, second = (embed(made, tmp_path, watch) for _ in range(2))
    assert watch.totals == [4]
    assert np.array_equal(first.documents, second.documents)
    assert first.usage == second.usage

    embed(made, tmp_path, watch, fresh=True)
    assert watch.totals == [4, 4]


def test_what_was_made_before_a_stop_is_not_made_again(made: Tiny, tmp_path: Path) -> None:
    watch = Watch()
    system = find_system(str(made.bundle.folder))
    with VectorCache(tmp_path, system.fingerprint) as cache:
        kept = np.full((1, made.bundle.manifest.encoder.width), 0.5, np.float32)
        cache.put("document", ["two small fish"], kept)

    found = embed(made, tmp_path, watch)
    assert watch.totals == [3]
    assert np.array_equal(found.documents[[0, 2]], np.vstack([kept, kept]))


def test_ctrl_c_ends_the_process_too(made: Tiny, tmp_path: Path) -> None:
    """Blocks of one text each; stopped after the first, which is in the cache."""
    started = tmp_path / "pid"
    code = f"""
import sys, os, subprocess
from pathlib import Path
import minnow.evaluate.run as run
from contextlib import contextmanager
sys.path.insert(0, {str(Path(__file__).parent)!r})
from minnow.systems import find_system
from minnow.datasets import Dataset
documents = {{str(i): "fish " * (i % 20) + str(i) for i in range(20000)}}
dataset = Dataset("many", documents, {{"q": "fish"}}, {{"q": {{"1": 1}}}})
popen = subprocess.Popen
def remember(*args, **kwargs):
    process = popen(*args, **kwargs)
    Path({str(started)!r}).write_text(str(process.pid))
    return process
subprocess.Popen = remember
@contextmanager
def progress(total):
    def advance(done):
        print(done, flush=True)
    yield advance
run.embed_dataset(find_system({str(made.bundle.folder)!r}), dataset, cache=Path({str(tmp_path)!r}),
                  threads=1, progress=progress)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        assert program.stdout is not None
        assert [program.stdout.readline() for _ in range(2)] == [b"1\n", b"512\n"]
        program.send_signal(signal.SIGINT)
        program.stdout.read()
    child = int(started.read_text())
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and Path(f"/proc/{child}").exists():
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()

    system = find_system(str(made.bundle.folder))
    with VectorCache(tmp_path, system.fingerprint) as cache:
        assert cache.missing("query", ["fish"]) == []
        assert cache.missing("document", ["0"]) == []


def test_modules_in_the_users_folder_are_not_imported(
    made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('not this one')\n")
    monkeypatch.chdir(tmp_path)
    assert embed(made, tmp_path / "cache", Watch()).documents.shape == (3, 32)


def hide(monkeypatch: pytest.MonkeyPatch, folder: Path, **modules: str) -> None:
    """Have child processes import these in place of what is installed."""
    folder.mkdir()
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code)
    for name, value in first_on_path(folder).items():
        monkeypatch.setenv(name, value)


def test_a_crash_is_reported_with_its_signal(
    made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import os, sys, signal\nprint('about to use AMX', file=sys.stderr, flush=True)\n"
    hide(monkeypatch, tmp_path / "m", MNN=f"{code}os.kill(os.getpid(), signal.SIGILL)\n")

    with pytest.raises(
        EngineError, match=r"crashed with SIGILL: MNN .* may not be built.*about to use AMX"
    ):
        embed(made, tmp_path, Watch())


def test_a_python_error_is_reported_with_its_last_line(
    made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, tmp_path / "m", MNN="raise RuntimeError('out of fish')\n")

    with pytest.raises(EngineError, match=r"failed\. It printed last: RuntimeError: out of fish"):
        embed(made, tmp_path, Watch())


@pytest.mark.extra("onnxruntime")
def test_a_peer_that_hangs_ends_the_comparison(
    made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, tmp_path / "m", onnxruntime="import time\ntime.sleep(600)\n")
    embed(made, tmp_path, Watch())
    names = [str(made.bundle.folder), f"onnx:{made.source.folder}"]
    started = time.monotonic()
    with pytest.raises(EngineError, match=r"onnx:/.* did not answer within 2 s and was stopped"):
        compare(names, DATASET, RunOptions(cache=tmp_path, threads=1, timeout=2))
    assert time.monotonic() - started < 60


def test_minnows_own_errors_cross_as_they_are(
    made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, tmp_path / "m", MNN="raise ImportError('no MNN here')\n")
    with pytest.raises(EngineError, match=r"MNN cannot be imported \(no MNN here\)"):
        embed(made, tmp_path, Watch())

    hide(monkeypatch, tmp_path / "o", onnxruntime="raise ImportError\n")
    system = find_system(f"onnx:{made.source.folder}")
    with pytest.raises(MissingExtraError) as caught:
        embed_dataset(system, DATASET, cache=tmp_path, threads=1, progress=Watch())
    assert caught.value.extra == "onnxruntime"


STUB = """
import numpy as np

class SentenceTransformer:
    similarity_fn_name = "cosine"
    max_seq_length = 8
    def __init__(self, *args, **kwargs):
        print("a library that prints on stdout")
    def get_embedding_dimension(self):
        return 3
    def encode_query(self, texts, prompt=None, batch_size=32):
        return np.array([[1.0, 2.0, np.nan if "river" in t else 3.0] for t in texts])
    encode_document = encode_query
"""


@pytest.mark.extra("sentence-transformers")
def test_nan_is_reported_with_the_name_of_its_text(
    made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, tmp_path / "m", sentence_transformers=STUB)
    system = find_system(f"st:{made.source.folder}")

    with pytest.raises(EngineError, match="gave NaN or infinity for the query 'q2'"):
        embed_dataset(system, DATASET, cache=tmp_path, threads=1, progress=Watch())


@pytest.mark.extra("sentence-transformers")
def test_rows_that_are_too_few_are_refused(
    made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = STUB.replace("for t in texts]", "for t in texts[:1]]")
    hide(monkeypatch, tmp_path / "m", sentence_transformers=stub)
    system = find_system(f"st:{made.source.folder}")

    with pytest.raises(EngineError, match=r"gave shape \(1, 3\) for 2 texts"):
        embed_dataset(system, DATASET, cache=tmp_path, threads=1, progress=Watch())


def test_a_bundle_that_changes_is_refused(made: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "changed.minnow"
    shutil.copytree(made.bundle.folder, folder)
    encoder = folder / "encoder.mnn"
    encoder.write_bytes(encoder.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match="has changed"):
        find_system(str(folder))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_is_that_of_this_process_not_of_its_parent() -> None:
    """The parent's peak, which getrusage would carry over, is at least 400 MB."""
    ballast = np.ones(50_000_000)
    code = "from minnow.processes import peak_memory; print(peak_memory())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    del ballast
    assert peak_memory() > 400e6
    assert 10e6 < int(answer) < 300e6
