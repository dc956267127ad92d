"""Faults of models, bundles, exports and device folders: damaged, replaced, and killed runs."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from faults_base import (
    MINNOW,
    TEXTS,
    TIME_LIMIT,
    Kind,
    Outcome,
    World,
    change_value,
    damage_bytes,
    files_below,
    in_child,
    judge_run,
    replace_by_other,
)

from minnow import Embedder
from minnow.bundle import Bundle, check_destination
from minnow.device import read_answers
from minnow.errors import EngineError
from minnow.export.mnn_llm import Export
from minnow.files import replace_folder, staging_folder, whole_file
from minnow.manifest import MANIFEST
from minnow.model.original import read_original
from minnow.model.source import resolve
from minnow.sealing import put_in_place, stamp_record

if TYPE_CHECKING:
    import random
    from pathlib import Path

CLOSE = 2e-5


def manifest_bytes(world: World, rng: random.Random) -> Outcome:
    """Change bytes of a manifest: whatever opens the bundle has to notice."""
    folder = world.copy("old.minnow")
    fault = damage_bytes(folder / MANIFEST, rng)

    def work() -> str:
        Bundle.open(folder)
        return "it was opened"

    return Outcome(fault, in_child(work))


def manifest_values(world: World, rng: random.Random) -> Outcome:
    """Change a value of a manifest and its digest with it: refused, or it embeds."""
    folder = world.copy("old.minnow")
    path = folder / MANIFEST
    values = json.loads(path.read_text(encoding="utf-8"))
    del values["digest"]
    path.write_text(json.dumps(values), encoding="utf-8")
    fault = change_value(path, rng)
    try:
        changed = json.loads(path.read_text(encoding="utf-8"))
        path.write_bytes(stamp_record(changed))
    except Exception:
        pass  # not even JSON: it stays without a digest
    return Outcome(fault, in_child(lambda: _embed(folder)))


def bundle_files(world: World, rng: random.Random) -> Outcome:
    """Damage a file of a bundle, or put something else in its place: noticed before it is read."""
    folder = world.copy("old.minnow")
    path = rng.choice(files_below(folder))
    other = rng.random() < 0.5
    fault = replace_by_other(path, rng) if other else damage_bytes(path, rng)
    unchecked = other and rng.random() < 0.3

    def work() -> str:
        with Embedder.open(folder, check_files=not unchecked) as embedder:
            embedder.encode(TEXTS[:2])
        return "" if unchecked else "it was opened"

    return Outcome(f"{fault}{', unchecked' * unchecked}", in_child(work))


def source_files(world: World, rng: random.Random) -> Outcome:
    """Damage a file of a model: refused in a line, or read."""
    folder = world.copy("model")
    path = rng.choice(files_below(folder))
    if path.suffix == ".json" and rng.random() < 0.5:
        fault = change_value(path, rng)
    elif rng.random() < 0.5:
        fault = replace_by_other(path, rng)
    else:
        fault = damage_bytes(path, rng)

    def work() -> str:
        read_original(resolve(str(folder), offline=True))
        return ""

    return Outcome(fault, in_child(work))


def export_files(world: World, rng: random.Random) -> Outcome:
    """Damage a file of an export: noticed."""
    folder = world.copy("export")
    path = rng.choice(files_below(folder))
    fault = replace_by_other(path, rng) if rng.random() < 0.5 else damage_bytes(path, rng)

    def work() -> str:
        Export.open(folder).check_files()
        return "it passed"

    return Outcome(fault, in_child(work))


def device_files(world: World, rng: random.Random) -> Outcome:
    """Damage what a device sends back, or the folder that reads it: refused, or read."""
    folder = world.copy("device")
    names = ["answer.json", "answer.f32", "probes.json", "expected.f32", f"bundle/{MANIFEST}"]
    path = folder / rng.choice(names)
    if path.suffix == ".json" and rng.random() < 0.4:
        fault = change_value(path, rng)
    elif rng.random() < 0.4:
        fault = replace_by_other(path, rng)
    else:
        fault = damage_bytes(path, rng)

    def work() -> str:
        read_answers(folder)
        return ""

    return Outcome(fault, in_child(work))


def replaced_bundle(world: World, rng: random.Random) -> Outcome:
    """Replace a bundle while an embedder has it open: its vectors are all of one model."""
    scratch = world.scratch
    for name in ("old.minnow", "new.minnow"):
        shutil.copytree(world.folder / name, scratch / name)
    how = rng.choice(["exchange", "rename", "overwrite", "files"])
    before = rng.choice([0, 1, len(TEXTS)])
    forked = rng.random() < 0.3

    def work() -> str:
        with Embedder.open(scratch / "old.minnow", threads=2) as embedder:
            embedder.encode(TEXTS[:before])
            _replace(scratch, how)
            if forked:
                return in_child(lambda: _mixed(embedder, world))
            return _mixed(embedder, world)

    fault = f"{how} after {before} texts{', then a fork' * forked}"
    return Outcome(fault, in_child(work))


def _replace(scratch: Path, how: str) -> None:
    old, new = scratch / "old.minnow", scratch / "new.minnow"
    if how == "exchange":
        with staging_folder(old) as staged:
            shutil.copytree(new, staged, dirs_exist_ok=True)
            replace_folder(staged, old)
    elif how == "rename":
        shutil.rmtree(old)
        new.rename(old)
    elif how == "overwrite":
        (old / "encoder.mnn").write_bytes((new / "encoder.mnn").read_bytes())
    else:
        for path in files_below(new):
            with whole_file(old / path.relative_to(new)) as staged:
                shutil.copyfile(path, staged)


def _mixed(embedder: Embedder, world: World) -> str:
    try:
        found = embedder.encode(TEXTS)
    except EngineError as error:
        return "" if "was replaced" in str(error) else str(error)
    return "" if np.abs(found - world.expected["old"]).max() < CLOSE else "vectors of another model"


def _embed(folder: Path) -> str:
    with Embedder.open(folder, on_truncate="ignore") as embedder:
        found = embedder.encode(TEXTS[:3])
    return "" if np.isfinite(found).all() else "NaN in vectors"


def kill_seal(world: World, rng: random.Random) -> Outcome:
    """Kill a process while it replaces a bundle, at any moment: the old or the new is there."""
    scratch = world.scratch
    place, link = scratch / "a.minnow", rng.random() < 0.1
    shutil.copytree(world.folder / "old.minnow", place)
    if link:
        place = scratch / "current"
        place.symlink_to("a.minnow")
    wait = rng.uniform(0, 0.012)
    child = os.fork()
    if child == 0:
        with staging_folder(place) as staged:
            shutil.copytree(world.folder / "new.minnow", staged, dirs_exist_ok=True)
            record = json.loads((staged / MANIFEST).read_text(encoding="utf-8"))
            del record["digest"]
            put_in_place(staged, record, MANIFEST, place, check_destination)
        os._exit(0)
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return Outcome(
        f"killed after {1000 * wait:.1f} ms{', a link' * link}", in_child(lambda: _whole(place))
    )


def _whole(place: Path) -> str:
    """Return what is wrong with a destination after a kill, and after the run that follows it."""
    if not place.exists():
        return "nothing is at the destination"
    bundle = Bundle.open(place)
    bundle.check_files()
    with staging_folder(place):
        pass
    left = [path.name for path in place.resolve().parent.iterdir() if path.name.startswith(".")]
    return f"{left} is left by a killed run" if left else ""


def kill_file(world: World, rng: random.Random) -> Outcome:
    """Kill a process while it replaces a file: the old or the new content is there."""
    place = world.scratch / "vectors.npy"
    old, new = b"old" * rng.randrange(1, 200_000), b"new" * rng.randrange(1, 200_000)
    place.write_bytes(old)
    wait = rng.uniform(0, 0.003)
    child = os.fork()
    if child == 0:
        with whole_file(place) as staged:
            staged.write_bytes(new)
        os._exit(0)
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

    def work() -> str:
        if place.read_bytes() not in (old, new):
            return "neither the old nor the new content"
        with whole_file(place) as staged:
            staged.write_bytes(b"")
        return "" if len(list(place.parent.iterdir())) == 1 else "something is left"

    return Outcome(f"killed after {1000 * wait:.2f} ms", in_child(work))


_COMMANDS: dict[str, tuple[str, ...]] = {
    "convert": ("convert", "model", "--offline", "-o", "scratch/out"),
    "export": ("export", "old.minnow", "--target", "mnn-llm", "--offline", "-o", "scratch/out"),
    "device-check": ("device-check", "old.minnow", "--offline", "-o", "scratch/out"),
    "verify": ("verify", "old.minnow", "--offline"),
    "embed": ("embed", "old.minnow", "--input", "documents/0.txt", "-o", "scratch/out.npy"),
}


def kill_command(world: World, rng: random.Random) -> Outcome:
    """Kill or stop a command at a random moment, and run it again: it leaves nothing else."""
    scratch = world.scratch
    name = rng.choice(list(_COMMANDS))
    number = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    command, wait = [*MINNOW, *_COMMANDS[name]], rng.uniform(0.05, 3.0)
    older = rng.random() < 0.5 and name in ("convert", "embed")
    if older:
        subprocess.run(command, cwd=world.folder, capture_output=True, check=True)
    process = subprocess.Popen(
        command, cwd=world.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _, errors = process.communicate(timeout=wait)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        try:
            _, errors = process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return Outcome(f"{name}, {number.name}", "it did not end")
    fault = f"{name}, {number.name} after {wait:.2f} s{' over an older one' * older}"
    if process.returncode not in (0, 130, -number) or "Traceback" in errors:
        return Outcome(fault, f"code {process.returncode}: {errors[-200:]!r}")
    if older and not any(path.name in ("out", "out.npy") for path in scratch.iterdir()):
        return Outcome(fault, "the older one is gone")
    done = subprocess.run(command, cwd=world.folder, capture_output=True, text=True, check=False)
    left = sorted(path.name for path in scratch.iterdir() if path.name not in ("out", "out.npy"))
    bad = judge_run(done, {0}) or (f"{left} is left" if left else "")
    return Outcome(fault, bad)


def pipe_as_input(world: World, rng: random.Random) -> Outcome:
    """Give a command a pipe without a writer in a file's place: it ends, or SIGTERM ends it."""
    scratch = world.scratch
    for name in ("pipe", "pipe.txt", "pipe.jsonl"):
        os.mkfifo(scratch / name)
    shutil.copytree(world.folder / "model", scratch / "model")
    (scratch / "model" / "config.json").unlink()
    os.mkfifo(scratch / "model" / "config.json")
    pipe = "scratch/pipe"
    arguments = rng.choice(
        [
            ["embed", "old.minnow", "--input", pipe],
            ["embed", pipe, "a text"],
            ["info", pipe],
            ["convert", "scratch/model", "--offline", "-o", "scratch/out"],
            ["convert", "model", "--precision", "int8", "--calibration", pipe, "-o", "scratch/o"],
            ["search", pipe, "old.minnow", "a question"],
            ["device-check", "--read", pipe],
            ["serve", "old.minnow", "--api-key-file", pipe],
            ["evaluate", "old.minnow", pipe],
            ["index", "scratch/pipe.txt", "--bundle", "old.minnow", "-o", "scratch/i.minnow-index"],
            ["index", "scratch/pipe.jsonl", "--bundle", "old.minnow", "-o", "scratch/i.db"],
            ["memory", "recall", pipe, "a question", "--bundle", "old.minnow"],
            ["gguf", "scratch/model", "-o", "scratch/out.gguf"],
            ["export", pipe, "--target", "mnn-llm", "-o", "scratch/out"],
        ]
    )
    process = subprocess.Popen(
        [*MINNOW, *arguments], cwd=world.folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        _, errors = process.communicate(timeout=rng.uniform(1.5, 3))
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            _, errors = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return Outcome(" ".join(arguments), "SIGTERM did not end it")
    bad = "" if process.returncode > 1 and "Traceback" not in errors else errors[-300:] or "code"
    return Outcome(" ".join(arguments), bad)


def low_address_space(world: World, rng: random.Random) -> Outcome:
    """Limit the address space: the command succeeds, or says that memory ran out."""
    size = rng.randrange(40, 500) << 20
    name = rng.choice(["embed", "embed", "convert"])
    world.scratch.mkdir(exist_ok=True)
    done = subprocess.run(
        [*MINNOW, *_COMMANDS[name]], cwd=world.folder, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)),
        timeout=TIME_LIMIT,
    )  # fmt: skip
    return Outcome(f"{name} in {size >> 20} MB", judge_run(done, {0, 3, 4, 7, 8, 9}))


def hostile_texts(world: World, rng: random.Random) -> Outcome:
    """Embed odd texts alone and among others: equal vectors, or a line about the text."""
    parts = [
        "fish",
        "\0",
        "\ud800",
        "\U0010ffff",
        "e\u0301" * 50,
        "\u202e",
        "👩‍👩‍👧",
        " " * 500,
        "[MASK]",
        "\r\n",
    ]
    texts: list[Any] = ["".join(rng.choices(parts, k=rng.randrange(0, 40))) for _ in range(8)]
    if rng.random() < 0.1:
        texts[rng.randrange(8)] = rng.choice([None, 5, b"bytes", ["list"], 1.5])

    def work() -> str:
        with Embedder.open(world.folder / "old.minnow", on_truncate="ignore") as embedder:
            together = embedder.encode(texts)
            alone = np.stack([embedder.encode(text) for text in texts])
        return "" if np.abs(together - alone).max() < CLOSE else "other vectors in company"

    return Outcome(repr(texts)[:80], in_child(work))


KINDS: dict[str, tuple[int, Kind]] = {
    "manifest-bytes": (220, manifest_bytes),
    "manifest-values": (160, manifest_values),
    "bundle-files": (160, bundle_files),
    "source-files": (160, source_files),
    "export-files": (60, export_files),
    "device-files": (80, device_files),
    "replaced-bundle": (60, replaced_bundle),
    "kill-seal": (120, kill_seal),
    "kill-file": (120, kill_file),
    "hostile-texts": (40, hostile_texts),
    "kill-command": (2, kill_command),
    "pipe-as-input": (2, pipe_as_input),
    "low-address-space": (2, low_address_space),
}
"""Name -> weight and function; a kind's share of the faults is in proportion to its weight."""
