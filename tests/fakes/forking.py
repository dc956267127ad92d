"""Child processes of the product, forked from one that has imported what they import.

Most of such a child's time is the start of Python and the import of NumPy and MNN. A fork has both.
It is a process of its own: it may crash, hang or be killed, and has its own folder, environment and
streams. What is started from a shell or by a child process starts as ever.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MNN = ("minnow.engines.mnn", "MNN.llm")
BEFORE: dict[str, tuple[str, ...]] = {
    "convert/mnn_child.py": ("_tools", *MNN),
    "audit/child.py": ("minnow.workers", *MNN),
    "mnn_llm/engine_child.py": MNN,
    "ask/mnn_child.py": ("minnow.workers", *MNN),
    "minnow.export.gguf.child": ("minnow.engines.llama_cpp_model", "minnow.proof.verdict"),
    "minnow.backend_child": ("minnow.backend_child", *MNN),
    "minnow.mnn_modules": ("_tools",),
    "minnow.convert.child": ("minnow.convert.child", "_tools", *MNN),
}
"""What is imported before a fork, by the end of a script's path or by the name of a module."""
_START = ("PYTHON", "OPENBLAS", "OMP", "MKL", "LD_", "MALLOC", "GLIBC")
"""How the names of variables begin that are read when Python, NumPy or a library starts."""


@contextmanager
def forked_children() -> Iterator[None]:
    """Have `minnow.processes` fork the programs of BEFORE in this block."""
    import pytest

    from minnow import processes

    with pytest.MonkeyPatch.context() as patch, closing(_Servers()) as servers:

        class Started(SimpleNamespace):
            PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL
            TimeoutExpired = subprocess.TimeoutExpired
            Popen = servers.start

        patch.setattr(processes, "subprocess", Started())
        yield


class _Forked:
    """What `minnow.processes` needs of a `Popen`."""

    def __init__(self, pid: int, codes: int, stdin: BinaryIO | None, stdout: BinaryIO | None):
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self.returncode: int | None = None
        self._codes, self._lock = codes, threading.Lock()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return its exit code, negative for a signal."""
        with self._lock:
            if self.returncode is None:
                poll = select.poll()
                poll.register(self._codes, select.POLLIN)
                if not poll.poll(None if timeout is None else timeout * 1000):
                    raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
                code = os.read(self._codes, 4)
                os.close(self._codes)
                self.returncode = int.from_bytes(code, "little", signed=True)
            return self.returncode

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)


class _Servers:
    """The processes that are forked: one for all programs of the same settings."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._servers: dict[tuple[tuple[str, str], ...], _Server] = {}

    def start(self, command: Sequence[Any], *, env: dict[str, str], **options: Any) -> Any:
        """Fork a program of BEFORE; start another as ever."""
        command = list(map(str, command))
        if not program_of(command):
            return subprocess.Popen(command, env=env, **options)
        settings = tuple((name, env[name]) for name in sorted(env) if name.startswith(_START))
        with self._lock:
            if settings not in self._servers:
                self._servers[settings] = _Server(settings)
            return self._servers[settings].fork(command, env, **options)

    def close(self) -> None:
        """End the processes that are forked; what was forked goes on."""
        for server in self._servers.values():
            server.close()


class _Server:
    """A process that is forked."""

    def __init__(self, settings: Sequence[tuple[str, str]]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env={**os.environ, **dict(settings)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def fork(
        self,
        command: list[str],
        env: dict[str, str],
        *,
        cwd: Path,
        stdin: int,
        stdout: Any,
        stderr: Any,
        start_new_session: bool,
    ) -> _Forked:
        """Fork a program; the arguments are those of `Popen`."""
        request = json.dumps([command, str(cwd), env, start_new_session]).encode()
        given = os.pipe() if stdin == subprocess.PIPE else (os.open(os.devnull, os.O_RDONLY), -1)
        printed = os.pipe() if stdout == subprocess.PIPE else (-1, os.dup(stdout.fileno()))
        code = os.pipe()
        streams = [given[0], printed[1], os.dup(stderr.fileno()), code[1]]
        self._socket.sendall(len(request).to_bytes(4, "little"))
        socket.send_fds(self._socket, [request[:1]], streams)
        self._socket.sendall(request[1:])
        pid = int.from_bytes(_exactly(self._socket, 4), "little")
        for stream in streams:
            os.close(stream)
        return _Forked(
            pid,
            code[0],
            os.fdopen(given[1], "wb") if given[1] >= 0 else None,
            os.fdopen(printed[0], "rb") if printed[0] >= 0 else None,
        )

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait()


def program_of(command: Sequence[str]) -> str:
    """Return the row of BEFORE that a command of this Python runs; empty for none."""
    if len(command) < 2 or command[0] != sys.executable:
        return ""
    _, first, *rest = command
    if first == "-m":
        return rest[0] if rest[0] in BEFORE else ""
    if first == "-c":
        return next((name for name in BEFORE if f"from {name} import " in rest[0]), "")
    return next((name for name in BEFORE if first.endswith(f"/{name}")), "")


def serve(requests: socket.socket) -> None:
    """Fork a process for each request, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _wait_for_all)
    while size := requests.recv(4):
        first, streams, _, _ = socket.recv_fds(requests, 1, 4)
        request = json.loads(first + _exactly(requests, int.from_bytes(size, "little") - 1))
        for module in BEFORE[program_of(request[0])]:
            _import(module)
        gc.freeze()  # else a child's first collection writes to, and so copies, all that is there
        reads, writes = os.pipe()
        if not os.fork():
            os.close(reads)
            _run_and_tell(request, streams, writes)
        os.close(writes)
        requests.sendall(os.read(reads, 4))
        for stream in (*streams, reads):
            os.close(stream)


def _wait_for_all(*_: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _exactly(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = source.recv(size - len(found))
        assert part, "the other end has closed"
        found += part
    return found


def _import(module: str) -> None:
    from minnow.mnn_modules import import_mnn_module, import_mnn_package

    if module == "_tools":
        import_mnn_module("_tools")
    elif module == "MNN.llm":
        import_mnn_package("MNN.llm")
    else:
        import_module(module)


def _run_and_tell(request: list[Any], streams: Sequence[int], pids: int) -> NoReturn:
    """Fork a program, write its process id, wait for its end and write its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *own, codes = streams
    pid = os.fork()
    if not pid:
        os.closerange(max(*own, 2) + 1, 256)
        _become(own, *request)
    os.write(pids, pid.to_bytes(4, "little"))
    for stream in (*own, pids):
        os.close(stream)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(codes, code.to_bytes(4, "little", signed=True))
    os._exit(0)


def _become(
    streams: Sequence[int],
    command: list[str],
    folder: str,
    environment: dict[str, str],
    alone: bool,
) -> NoReturn:
    """Run a program as Python would from its beginning."""
    code = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if alone:
            os.setsid()
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        code = _run(command[1:])
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        ctypes.CDLL(None).fflush(None)
        os._exit(code)


def _run(arguments: list[str]) -> int:
    """Run a script, a module or code; return the exit code."""
    first, *rest = arguments
    try:
        if first == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        elif first == "-c":
            sys.argv = [first, *rest[1:]]
            exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv = arguments
            runpy.run_path(first, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file, whose modules are called as libraries are
    serve(socket.socket(fileno=int(sys.argv[1])))
