"""What kinds of faults share: a tiny model, what minnow made of it, a process for each fault.

A kind is a function of a `World` and a `random.Random` that plants one fault and returns an
`Outcome`. All that it does is random by that generator alone, so a fault can be planted again.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minnow.errors import MinnowError

ROOT = Path(__file__).parents[1]
BEFORE = ROOT / "tests" / "data" / "before"
MINNOW = (sys.executable, "-m", "minnow")
TIME_LIMIT = 60.0
TEXTS = [f"fish number {i} swim in the river" for i in range(150)]


@dataclass(frozen=True)
class Outcome:
    """The end of a fault.

    Attributes:
        fault: The fault that was planted, in a few words.
        bad: What went wrong; empty if minnow noticed the fault, or was right in spite of it.
    """

    fault: str
    bad: str = ""


@dataclass
class World:
    """A folder with inputs, made once, and one of scratch for each fault.

    Attributes:
        folder: It holds `model` and `other-model` of one shape, `old.minnow` and `new.minnow` made
            of them, `export` for MNN-LLM, `device` with an answer, and `documents`.
        expected: Vectors of TEXTS by old.minnow and by new.minnow.
    """

    folder: Path
    expected: dict[str, Any] = field(default_factory=dict)
    server: Any = None

    @property
    def scratch(self) -> Path:
        """An empty folder for the fault; it is cleared before the next one."""
        place = self.folder / "scratch"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return place

    def copy(self, name: str) -> Path:
        """Copy one of the inputs into scratch, where it can be damaged."""
        return Path(shutil.copytree(self.folder / name, self.scratch / name))


Kind = Callable[[World, random.Random], Outcome]


def run_minnow(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*MINNOW, *arguments], capture_output=True, text=True, timeout=TIME_LIMIT, check=False,
        **options,
    )  # fmt: skip


def in_child(work: Callable[[], str], limit: float = TIME_LIMIT) -> str:
    """Run a function in a forked process; return what is bad about its end.

    The function returns what is bad, or nothing. An error of minnow's in one line is good. Any
    other error, a crash, and a hang are bad.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.write(writer, _judge(work).encode()[-60_000:])
        os._exit(0)
    os.close(writer)
    found = b""
    until = time.monotonic() + limit
    while select.select([reader], [], [], max(0.0, until - time.monotonic()))[0]:
        block = os.read(reader, 1 << 16)
        found += block
        if not block:
            break
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        return f"hung for {limit:.0f} s"
    os.close(reader)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return found.decode(errors="replace") if code == 0 else f"ended with {code}"


def _judge(work: Callable[[], str]) -> str:
    try:
        return work()
    except MinnowError as error:
        return one_line(str(error))
    except BaseException:
        return "traceback: " + " | ".join(traceback.format_exc().splitlines()[-4:])


def one_line(message: str) -> str:
    """Return what is bad about a message: it is empty, of several lines, or endless."""
    if not message.strip() or "\n" in message or len(message) > 3000:
        return f"a message of {len(message)} characters: {message[:200]!r}"
    return ""


def judge_run(done: subprocess.CompletedProcess[str], codes: set[int]) -> str:
    """Return what is bad about the end of a command: another exit code, or no line of ours."""
    lines = done.stderr.splitlines()
    if done.returncode not in codes:
        return f"exit code {done.returncode}: {' | '.join(lines[-3:])}"
    if "Traceback" in done.stderr:
        return f"traceback: {' | '.join(lines[-3:])}"
    if done.returncode and not any(line.startswith("error: ") for line in lines):
        return f"exit code {done.returncode} without a line: {' | '.join(lines[-3:])}"
    return ""


def damage_bytes(path: Path, rng: random.Random) -> str:
    """Flip, insert, remove or overwrite bytes of a file; return what was done."""
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content)) if content else 0
    kind = rng.choice(["flip", "cut", "insert", "remove", "overwrite", "append"])
    if kind == "flip" and content:
        content[at] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del content[at:]
    elif kind == "insert":
        content[at:at] = rng.randbytes(rng.randint(1, 8))
    elif kind == "remove" and content:
        del content[at : at + rng.randint(1, 8)]
    elif kind == "overwrite" and content:
        start = content[:at]
        content = start + rng.randbytes(rng.randint(1, 64)) + content[at + 64 :]
    else:
        content += rng.randbytes(rng.randint(1, 8))
    if bytes(content) == path.read_bytes():
        content += b"\0"
    path.write_bytes(bytes(content))
    return f"{kind} at {at} of {path.name}"


def replace_by_other(path: Path, rng: random.Random) -> str:
    """Put something else into a file's place; return what."""
    kind = rng.choice(["pipe", "socket", "folder", "loop", "device", "nothing", "empty", "huge"])
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            here = Path.cwd()
            os.chdir(path.parent)  # the path of a socket may have 100 bytes
            listener.bind(path.name)
            os.chdir(here)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "device":
        path.symlink_to(rng.choice(["/dev/zero", "/dev/null", "/dev/tty"]))
    elif kind == "empty":
        path.touch()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 42)
    return f"{kind} in the place of {path.name}"


def files_below(folder: Path) -> list[Path]:
    """List the files of a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


HOSTILE = [
    "1e30", "-1e30", "1e400", "-1", "0", "1e12", str(2**31), str(2**63), str(2**64), "1" * 4400,
    "NaN", "Infinity", "-Infinity", "null", "true", '""', '"a"', "[]", "{}", "[1, 2]", "0.5",
    "[" * 3000 + "]" * 3000, '"\\ud800"', '"\\u0000"', '"' + "x" * 100_000 + '"', "-0", "1.0",
]  # fmt: skip


def change_value(path: Path, rng: random.Random, skip: tuple[str, ...] = ()) -> str:
    """Replace a random value of a JSON file by something hostile, or write a name twice."""
    text = path.read_text(encoding="utf-8")
    mark = '"<here>"'
    places = list(_places(json.loads(text), ()))
    place = rng.choice([place for place in places if not set(skip) & set(place)] or places)
    values = json.loads(text)
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    if rng.random() < 0.1 and isinstance(inner, dict):
        written = json.dumps({**inner, "<twice>": 0}).replace("<twice>", str(place[-1]))
        new, value = f"{mark[1:-1]}", written
        values = _put(values, place[:-1], mark[1:-1]) if place[:-1] else new
    else:
        value = rng.choice(HOSTILE)
        inner[place[-1]] = mark[1:-1]
    path.write_text(json.dumps(values, indent=2).replace(mark, value) + "\n", encoding="utf-8")
    return f"{'.'.join(map(str, place))} = {value[:40]} in {path.name}"


def _put(values: Any, place: tuple[Any, ...], value: object) -> Any:
    inner = values
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return values


def _places(value: Any, place: tuple[Any, ...]) -> Any:
    rows = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in rows:
        yield (*place, key)
        if isinstance(inner, (dict, list)):
            yield from _places(inner, (*place, key))
