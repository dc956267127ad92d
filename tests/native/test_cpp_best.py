"""minnow_open_best: faulty modes are caught, the record is Python's, no crash is repeated."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.bundles import PROMPTS, quick_recipe
from fakes.checkpoint import write_router
from fakes.native import CORE, TOKENIZER, compile_library, compile_program, link_mnn, with_mnn
from fakes.native_api import Text
from fakes.programs import run_minnow
from fakes.sealed import change_record

from minnow import Embedder
from minnow.backend_choice import describe_device, read_choice
from minnow.canaries import VECTORS
from minnow.convert import convert
from minnow.engines.base import processor
from minnow.errors import InputError
from minnow.manifest import MANIFEST
from minnow.recipe import RECIPES
from minnow.sealing import stated_digest

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import BundleStore, Tiny
    from fakes.native import Program

    from minnow.bundle import Bundle

pytestmark = [pytest.mark.mnn_sdk, pytest.mark.tool("g++"), pytest.mark.extra("convert")]
HIGH = "1"


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("best") / "check_best"
    sources = ("../tests/native/check_best.cpp", *TOKENIZER, *CORE)
    return compile_program(path, sources, *with_mnn(), after=link_mnn())


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = compile_library(tmp_path_factory.mktemp("library") / "libminnow.so", [])
    found = ctypes.CDLL(str(path))
    for name in ("minnow_open_best", "minnow_open_best_reranker"):
        getattr(found, name).restype = ctypes.c_void_p
    return found


def choose(
    check: Path, bundle: Bundle, record: Path, fault: str
) -> subprocess.CompletedProcess[str]:
    command = [str(check), str(bundle.folder), str(record), fault]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("fault", ["zeros", "nan", "permuted", "range", "long"])
def test_a_faulty_mode_is_caught(made: Tiny, check: Path, tmp_path: Path, fault: str) -> None:
    done = choose(check, made.bundle, tmp_path / "r.json", fault)
    assert (done.returncode, done.stdout.split()[-1:]) == (0, [HIGH]), done.stderr
    record = read_choice(tmp_path / "r.json")
    assert [each.outcome for each in record.attempts] == ["right", "wrong", "right"]
    assert record.mode.precision == "high"
    assert "times as fast as the default; 1 gave others, 0 are not there." in record.reason
    assert record.attempts[1].message.startswith("It")
    assert record.attempts[0].worst == pytest.approx(1, abs=1e-5)


def test_a_crash_is_not_repeated(made: Tiny, check: Path, tmp_path: Path) -> None:
    record = tmp_path / "r.json"
    assert choose(check, made.bundle, record, "crash").returncode < 0
    with pytest.raises(InputError, match="ended while cpu, precision low, memory normal was tried"):
        read_choice(record)
    done = choose(check, made.bundle, record, "crash")
    assert (done.returncode, done.stdout.split()[-1:]) == (0, [HIGH]), done.stderr
    found = read_choice(record)
    assert found.attempts[1].message == "The app ended while this was tried."
    shown = run_minnow("device-check", "--read", record)
    assert "chosen" in shown.stdout
    assert choose(check, made.bundle, record, "all").stdout.split()[-1] == HIGH, "it is remembered"


def test_where_all_is_wrong_nothing_is_chosen(made: Tiny, check: Path, tmp_path: Path) -> None:
    record = tmp_path / "r.json"
    done = choose(check, made.bundle, record, "all")
    assert done.returncode == 1
    assert "Nothing here gives the vectors of the bundle's canaries. cpu, precision" in done.stderr
    again = choose(check, made.bundle, record, "none")
    assert again.returncode == 0, again.stderr


def open_best(library: Any, folder: Path, record: Path | None, name: str = "") -> tuple[Any, str]:
    error = ctypes.create_string_buffer(500)
    where = None if record is None else str(record).encode()
    found = getattr(library, f"minnow_open_best{name}")(
        str(folder).encode(), where, None, error, ctypes.c_size_t(500)
    )
    return found, error.value.decode()


def test_the_c_api_opens_and_remembers(made: Tiny, library: Any, tmp_path: Path) -> None:
    record = tmp_path / "choice.json"
    embedder, error = open_best(library, made.bundle.folder, record)
    assert embedder, error
    choice = read_choice(record)
    manifest = (made.bundle.folder / MANIFEST).read_bytes()
    assert choice.bundle == stated_digest(manifest)
    assert choice.device == describe_device()
    assert choice.attempts[0].outcome == "right"
    gpus = [each for each in choice.attempts if each.backend != "cpu"]
    assert {each.backend for each in gpus} == {"metal", "cuda", "opencl", "vulkan"}
    assert all("has no backend" in each.message for each in gpus)
    written = record.read_bytes()
    again, error = open_best(library, made.bundle.folder, record)
    assert again, error
    assert record.read_bytes() == written
    text = "how do fish sleep?"
    vector = (ctypes.c_float * made.bundle.manifest.width)()
    given = Text.of(text)
    encode = library.minnow_encode
    assert encode(
        ctypes.c_void_p(again), ctypes.byref(given), ctypes.c_size_t(1), 0, vector, None,
        ctypes.c_size_t(0),
    ) == 0  # fmt: skip
    with Embedder.open(made.bundle, engine="mnn") as python:
        np.testing.assert_allclose(np.array(vector), python.encode(text), atol=1e-5)
    for opened in (embedder, again):
        library.minnow_close(ctypes.c_void_p(opened))


def test_without_a_record_only_the_cpu_is_tried(
    made: Tiny, ranker: Bundle, library: Any, tmp_path: Path
) -> None:
    embedder, error = open_best(library, made.bundle.folder, None)
    assert embedder, error
    library.minnow_close(ctypes.c_void_p(embedder))
    reranker, error = open_best(library, ranker.folder, tmp_path / "no" / "record", "_reranker")
    assert reranker, error
    library.minnow_close_reranker(ctypes.c_void_p(reranker))
    assert not (tmp_path / "no").exists()


def test_wrong_vectors_never_open(made: Tiny, library: Any, tmp_path: Path) -> None:
    copy = shutil.copytree(made.bundle.folder, tmp_path / "tiny.minnow")
    vectors = np.fromfile(copy / VECTORS, "<f4")
    vectors[:32] *= -1
    vectors.tofile(copy / VECTORS)
    embedder, error = open_best(library, copy, tmp_path / "r.json")
    assert not embedder
    assert "has cosine -1.0" in error
    assert json.loads((tmp_path / "r.json").read_text())["chosen"] == -1


def test_the_program_takes_the_best_and_warns_of_an_unproven_mode(
    made: Tiny, program: Program, tmp_path: Path
) -> None:
    record = tmp_path / "choice.json"
    done = program.run(made.bundle.folder, "--best", record, "how do fish sleep?")
    assert done.returncode == 0, done.stderr
    assert read_choice(record).reason.encode() not in done.stdout
    with Embedder.open(made.bundle, engine="mnn") as python:
        expected = python.encode("how do fish sleep?")
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-5)
    done = program.run(made.bundle.folder, "--best", record, "--precision", "low", "fish")
    assert b"brings its precision and memory" in done.stderr
    assert b"warning" not in program.run(made.bundle.folder, "--memory", "low", "fish").stderr


@pytest.mark.skipif(processor() != "x86_64", reason="the mode of memory is the only other one")
def test_a_proof_of_a_mode_is_read(
    bundle_store: BundleStore, program: Program, tmp_path: Path
) -> None:
    made = bundle_store.bundle(quick_recipe("int8"), pooling="mean", prompts=PROMPTS, seed=0)
    copy = shutil.copytree(made.folder, tmp_path / "tiny.minnow")
    arguments = (copy, "--memory", "low", "--threads", "1", "fish")
    assert b"has no proof of its vectors in this mode" in program.run(*arguments).stderr
    proof = {
        "processor": "x86_64", "emulated": False, "mnn": "3.6.1", "precision": "normal",
        "memory": "low", "texts": 1, "bar": 0.9, "worst": 0.95, "worst_text": "x",
        "worst_shape": [1, 2],
    }  # fmt: skip
    change_record(copy / MANIFEST, lambda values: values["parity"].update(modes=[proof]))
    assert b"warning" not in program.run(*arguments).stderr


def test_a_bundle_with_two_encoders_is_checked_in_both(program: Program, tmp_path: Path) -> None:
    source = str(write_router(tmp_path / "model", {"query": "query: "}))
    bundle = convert(source, tmp_path / "two.minnow", recipe=RECIPES["fp32"])
    record = tmp_path / "choice.json"
    assert program.run(bundle.folder, "--best", record, "--role", "query", "fish").returncode == 0
    assert read_choice(record).attempts[0].outcome == "right"
    with Embedder.open(bundle, backend="best", engine="mnn") as embedder:
        assert embedder.engine_reason.count("give the canaries' vectors") == 2
    record.unlink()
    vectors = np.fromfile(bundle.folder / "query" / VECTORS, "<f4")
    (-vectors).tofile(bundle.folder / "query" / VECTORS)
    done = program.run(bundle.folder, "--best", record, "--role", "document", "fish")
    assert b"Nothing here gives the vectors" in done.stderr
