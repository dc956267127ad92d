"""Behaviour that only the MNN engine has: its output, loading, and forks."""

from __future__ import annotations

import gc
import os
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.programs import answer_of, run_python

from minnow.engines import TokenBatch
from minnow.engines.base import default_threads
from minnow.engines.lanes import run_batches
from minnow.engines.mnn import MnnEngine
from minnow.errors import EngineError
from minnow.model.spec import EMBEDDING_INTERFACES, Interface
from minnow.records import replace

if TYPE_CHECKING:
    from fakes.bundles import Tiny

STATM = Path("/proc/self/statm")
ROWS = [[2, *range(10, 10 + n), 3] for n in (30, 12, 3, 21, 1, 30, 30, 7)]

# Every program begins with a bundle's folder in sys.argv[1], and with ROWS.
OPENED = f"""
import multiprocessing, os, sys, threading
from pathlib import Path
import numpy as np
from minnow.bundle import Bundle
from minnow.engines import TokenBatch
from minnow.engines.mnn import MnnEngine

bundle = Bundle.open(sys.argv[1])
batch = TokenBatch.pad({ROWS}, 0)

def open_engine(threads=2, model=bundle.encoder):
    return MnnEngine(model, bundle.manifest.encoder, threads=threads)

def same(found):
    return bool(np.abs(found - expected).max() < 2e-5)

def in_child(check):
    "Whether a forked child finds the check true; a child that hangs is killed by its alarm."
    import signal
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if check() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

engine = open_engine()
expected = engine.run(batch)
"""

converts = pytest.mark.extra("convert")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def open_engine(
    made: Tiny,
    threads: int | None = None,
    interface: Interface = Interface.LAST_HIDDEN_STATE,
) -> MnnEngine:
    spec = made.bundle.manifest.encoder
    return MnnEngine(made.bundle.encoder, spec, threads=threads, interface=interface)


class TestStdout:
    def test_mnn_itself_prints_at_import(self) -> None:
        """The reason for all the others; delete them with it."""
        code = "from minnow.mnn_modules import import_mnn_module; import_mnn_module('_mnncengine')"
        assert answer_of(code) != ""

    def test_import_prints_nothing(self) -> None:
        code = "from minnow.engines.mnn import import_mnn; import_mnn(); print('answer')"
        assert answer_of(code) == "answer\n"

    @converts
    def test_running_prints_nothing(self, made: Tiny) -> None:
        assert answer_of(OPENED + "print(same(engine.run(batch)))", made.bundle.folder) == "True\n"

    def test_what_was_printed_before_is_not_lost(self) -> None:
        code = """
import ctypes, sys
from minnow.engines.mnn import import_mnn
sys.stdout.write("python ")
ctypes.CDLL(None).printf(b"c ")
import_mnn()
print("after")
"""
        assert answer_of(code) == "python c after\n"

    def test_threads_that_import_at_once_all_get_the_whole_module(self) -> None:
        code = """
import threading
from minnow.engines.mnn import import_mnn
together = threading.Barrier(8)
found = []
def load():
    together.wait()
    found.append(import_mnn().Interpreter)
threads = [threading.Thread(target=load) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), len(set(found)))
"""
        assert answer_of(code) == "8 1\n"

    @converts
    def test_a_closed_stdout_is_no_obstacle(self, made: Tiny) -> None:
        code = (
            "import os; os.close(1)\n" + OPENED + "sys.stderr.write(str(engine.run(batch).shape))"
        )
        done = run_python(code, made.bundle.folder)
        assert (done.returncode, done.stderr) == (0, "(8, 32, 32)")


@converts
class TestLoading:
    def test_a_missing_file_has_its_own_message(self, made: Tiny, tmp_path: Path) -> None:
        with pytest.raises(EngineError, match="there is no such file"):
            MnnEngine(tmp_path / "none.mnn", made.bundle.manifest.encoder)

    def test_inputs_of_another_family_are_refused(self, made: Tiny) -> None:
        spec = replace(made.bundle.manifest.encoder, token_types=0)
        with pytest.raises(EngineError, match=r"token_type_ids.*; an encoder has"):
            MnnEngine(made.bundle.encoder, spec)

    def test_threads_default_to_those_of_the_machine(self, made: Tiny) -> None:
        engine = open_engine(made)
        assert engine.threads == default_threads()
        assert 1 <= engine.threads <= 4
        engine.close()

    def test_a_path_with_spaces_and_other_scripts(self, made: Tiny, tmp_path: Path) -> None:
        model = tmp_path / "ein Fisch 鱼" / "encoder.mnn"
        model.parent.mkdir()
        model.write_bytes(made.bundle.encoder.read_bytes())
        engine = MnnEngine(model, made.bundle.manifest.encoder, threads=1)
        assert engine.run(TokenBatch.pad(ROWS, 0)).shape == (8, 32, 32)
        engine.close()

    def test_a_file_that_was_replaced_is_read_again(self, made: Tiny, tmp_path: Path) -> None:
        """MNN may know an interpreter by its path."""
        model = tmp_path / "encoder.mnn"
        model.write_bytes(made.bundle.encoder.read_bytes())
        spec = made.bundle.manifest.encoder
        MnnEngine(model, spec).close()
        model.write_bytes(b"something else")
        with pytest.raises(EngineError, match="not an MNN model"):
            MnnEngine(model, spec)


@converts
class TestMemory:
    def test_an_unreferenced_engine_is_freed(self, made: Tiny) -> None:
        engine = open_engine(made)
        engine.run(TokenBatch.pad(ROWS, 0))
        reference = weakref.ref(engine)
        del engine
        gc.collect()
        assert reference() is None

    @pytest.mark.skipif(not STATM.exists(), reason="this system has no /proc")
    def test_opening_again_and_again_does_not_grow(self, made: Tiny) -> None:
        """More often than a path has spellings; a leak of a model each would be 50 MB."""
        code = (
            OPENED
            + """
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def rounds(n):
    for _ in range(n):
        other = open_engine(threads=1)
        other.run(batch)
        other.close()

rounds(50)
before = resident()
rounds(600)
print(resident() - before < 20_000_000)
"""
        )
        assert answer_of(code, made.bundle.folder) == "True\n"


@converts
@needs_fork
class TestFork:
    def test_a_child_of_a_process_in_use_gets_the_same_vectors(self, made: Tiny) -> None:
        """Another thread holds the engine's lock, or is within MNN, at most of the forks."""
        code = (
            OPENED
            + """
stop = threading.Event()
def work():
    while not stop.is_set():
        engine.run(batch)
thread = threading.Thread(target=work)
thread.start()
found = [in_child(lambda: same(engine.run(batch))) for _ in range(10)]
stop.set()
thread.join()
print(all(found), same(engine.run(batch)), engine.threads)
"""
        )
        assert answer_of(code, made.bundle.folder) == "True True 2\n"

    def test_lanes_in_a_child_of_a_process_that_has_them_at_work(self, made: Tiny) -> None:
        code = (
            OPENED
            + """
from minnow.engines.lanes import run_batches
def many():
    found = run_batches(engine, [batch] * 12, lambda lane, batch: lane.run(batch))
    return all(same(states) for _, states in found)
stop = threading.Event()
def work():
    while not stop.is_set():
        many()
thread = threading.Thread(target=work)
thread.start()
found = [in_child(many) for _ in range(10)]
stop.set()
thread.join()
print(all(found), many(), len(engine.lanes(12)))
"""
        )
        assert answer_of(code, made.bundle.folder) == "True True 2\n"

    def test_a_child_may_open_an_engine_of_its_own(self, made: Tiny) -> None:
        code = (
            OPENED
            + """
def check():
    own = open_engine(threads=2)
    return same(own.run(batch)) and own.threads == 1
print(in_child(check))
"""
        )
        assert answer_of(code, made.bundle.folder) == "True\n"

    def test_a_child_of_a_child(self, made: Tiny) -> None:
        code = (
            OPENED
            + """
def check():
    return same(engine.run(batch)) and in_child(lambda: same(engine.run(batch)))
print(in_child(check))
"""
        )
        assert answer_of(code, made.bundle.folder) == "True\n"

    def test_threads_survive_where_none_were_lost(self, made: Tiny) -> None:
        """A process that never ran MNN with several threads has no pool to lose."""
        code = (
            OPENED.replace("open_engine()", "open_engine(threads=1)")
            + """
def check():
    own = open_engine(threads=2)
    return same(own.run(batch)) and own.threads == 2
print(in_child(check))
"""
        )
        assert answer_of(code, made.bundle.folder) == "True\n"

    def test_a_pool_of_forked_processes(self, made: Tiny) -> None:
        code = (
            OPENED
            + """
def work(_):
    return same(engine.run(batch))
with multiprocessing.get_context("fork").Pool(3) as pool:
    print(all(pool.map_async(work, range(12)).get(timeout=40)))
"""
        )
        assert answer_of(code, made.bundle.folder) == "True\n"

    def test_an_engine_closed_before_stays_closed(self, made: Tiny) -> None:
        code = (
            OPENED
            + """
from minnow.errors import EngineError
engine.close()
def check():
    try:
        engine.run(batch)
    except EngineError:
        return True
print(in_child(check))
"""
        )
        assert answer_of(code, made.bundle.folder) == "True\n"

    def test_a_child_in_another_folder_finds_the_model(self, made: Tiny) -> None:
        code = (
            OPENED
            + """
def check():
    os.chdir("/")
    return same(engine.run(batch))
print(in_child(check))
"""
        )
        folder = made.bundle.folder
        assert answer_of(code, folder.name, cwd=folder.parent) == "True\n"


@converts
class TestInterface:
    def test_vectors_of_the_reference(self, pooled: Tiny) -> None:
        engine = open_engine(pooled, interface=Interface.SENTENCE_EMBEDDING)
        found = engine.run(TokenBatch.pad(ROWS, 0))
        assert found.shape == (8, 32)
        assert found.dtype == np.float32
        expected = [pooled.reference.vector(row) for row in ROWS]
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_lanes_give_them_too(self, pooled: Tiny) -> None:
        engine = open_engine(pooled, 2, interface=Interface.SENTENCE_EMBEDDING)
        batches = [TokenBatch.pad([row, [2, 3]], 0) for row in ROWS]
        lanes = engine.lanes(len(batches))
        assert {lane.interface for lane in lanes} == {Interface.SENTENCE_EMBEDDING}
        assert len(lanes) == 2
        found = dict(run_batches(engine, batches, lambda lane, batch: lane.run(batch)))
        for number, batch in enumerate(batches):
            np.testing.assert_allclose(found[number], engine.run(batch), atol=1e-5)
        engine.close()

    @pytest.mark.parametrize("asked", EMBEDDING_INTERFACES)
    def test_the_other_one_is_refused(self, made: Tiny, pooled: Tiny, asked: Interface) -> None:
        other = pooled if asked is Interface.LAST_HIDDEN_STATE else made
        with pytest.raises(EngineError, match=rf"an encoder has .* and {asked.value}\."):
            open_engine(other, interface=asked)

    def test_a_network_of_another_width_is_refused(self, pooled: Tiny) -> None:
        spec = replace(pooled.bundle.manifest.encoder, width=16)
        engine = MnnEngine(pooled.bundle.encoder, spec, interface=Interface.SENTENCE_EMBEDDING)
        fault = r"sentence_embedding of shape \(8, 32\), not \(8, 16\)"
        with pytest.raises(EngineError, match=fault):
            engine.run(TokenBatch.pad(ROWS, 0))


@converts
def test_results_do_not_depend_on_the_threads(made: Tiny) -> None:
    one, two = open_engine(made, 1), open_engine(made, 2)
    batch = TokenBatch.pad(ROWS, 0)
    np.testing.assert_allclose(one.run(batch), two.run(batch), atol=1e-5)
    one.close()
    two.close()
