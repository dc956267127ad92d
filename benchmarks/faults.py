"""Plant random faults in minnow's inputs, files and processes, and judge how each one ends.

    python benchmarks/faults.py [--count 5000] [--seconds 3600] [--seed 0] [--only KIND ...]
        [--again NUMBER] [--keep FOLDER]

A fault ends well when minnow notices it in one line, or gives right answers in spite of it; it
ends badly with a traceback, a crash, a hang, wrong vectors, a lost file, or something left behind.
The exit code is 1 if any ends badly. Tiny models are used, so most faults take milliseconds.
`--again` plants the fault of one number of the same seed once more. A kind of fault is a function
in the table KINDS of a file `faults_*.py`; that file is listed in TABLES.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import faults_bundles
import faults_index
import faults_server
import numpy as np
from faults_base import BEFORE, ROOT, TEXTS, Kind, Outcome, World, in_child

TABLES = (faults_bundles, faults_index, faults_server)


def main() -> int:
    """Plant the faults; return 1 if one of them ended badly."""
    options = read_options()
    kinds: dict[str, tuple[int, Kind]] = {}
    for table in TABLES:
        kinds |= table.KINDS
    if options.only:
        kinds = {name: kinds[name] for name in options.only}
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        world = World(Path(options.keep or folder))
        make_world(world)
        try:
            return campaign(world, kinds, options)
        finally:
            if world.server is not None:
                world.server.close()


def campaign(world: World, kinds: dict[str, tuple[int, Kind]], options: argparse.Namespace) -> int:
    """Plant faults until their number or the time is reached; print the bad ones and the counts."""
    names, weights = list(kinds), [weight for weight, _ in kinds.values()]
    planted: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    start = time.monotonic()
    numbers = [options.again] if options.again is not None else range(options.count)
    for number in numbers:
        if time.monotonic() - start > options.seconds:
            break
        rng = random.Random(f"{options.seed}/{number}")
        [name] = rng.choices(names, weights)
        outcome = plant(kinds[name][1], world, rng)
        planted[name] += 1
        if outcome.bad:
            bad[name] += 1
        if outcome.bad or options.again is not None:
            print(f"{number} {name}: {outcome.fault}: {outcome.bad[:400] or 'good'}", flush=True)
    for name, count in sorted(planted.items()):
        print(f"{name:20} {count:6} faults, {bad[name]} bad")
    print(
        f"{planted.total()} faults in {time.monotonic() - start:.0f} s, {bad.total()} bad "
        f"(seed {options.seed})"
    )
    return 1 if bad else 0


def plant(kind: Kind, world: World, rng: random.Random) -> Outcome:
    """Plant a fault; an error of the campaign itself counts as bad too."""
    here = Path.cwd()
    try:
        return kind(world, rng)
    except Exception as error:
        return Outcome(kind.__name__, f"the campaign failed: {error!r}")
    finally:
        os.chdir(here)  # faults of index files work in a folder that is removed


def make_world(world: World) -> None:
    """Make what faults are planted in; it takes some seconds."""
    if (world.folder / "old.npy").exists():
        load_vectors(world)
        return
    world.folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(BEFORE / "model", world.folder / "model")
    write_other_model(world.folder)
    (world.folder / "documents").mkdir()
    for number in range(4):
        rows = TEXTS[number * 30 : number * 30 + 30]
        (world.folder / "documents" / f"{number}.txt").write_text("\n".join(rows) + "\n")
    found = in_child(lambda: convert_all(world.folder), limit=600)
    if found:
        raise SystemExit(f"the inputs cannot be made: {found}")
    load_vectors(world)


def write_other_model(folder: Path) -> None:
    """Write a model of the same shape with other weights."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(folder / "model", folder / "other-model")
    path = folder / "other-model" / "model.safetensors"
    rng = np.random.default_rng(1)
    tensors = load_file(path)
    changed = {
        k: v + rng.normal(0, v.std() / 2, v.shape).astype(v.dtype) for k, v in tensors.items()
    }
    save_file(changed, path)


def convert_all(folder: Path) -> str:
    """Make bundles, an export, a device folder with an answer, and vectors."""
    import subprocess

    from minnow import Embedder
    from minnow.convert import convert
    from minnow.device import write_check
    from minnow.export.mnn_llm import export_mnn_llm

    for name, model in (("old", "model"), ("new", "other-model")):
        convert(str(folder / model), folder / f"{name}.minnow", offline=True)
        with Embedder.open(folder / f"{name}.minnow") as embedder:
            np.save(folder / f"{name}.npy", embedder.encode(TEXTS))
    export_mnn_llm(folder / "old.minnow", folder / "export", offline=True)
    write_check(folder / "old.minnow", folder / "device", choose=lambda probes: probes[:6])
    subprocess.run([sys.executable, folder / "device" / "check.py"], check=True)
    return ""


def load_vectors(world: World) -> None:
    """Load the vectors that both bundles give."""
    world.expected = {name: np.load(world.folder / f"{name}.npy") for name in ("old", "new")}


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Plant random faults, and judge how each ends.")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", metavar="KIND")
    parser.add_argument("--again", type=int, metavar="NUMBER")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    return parser.parse_args()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "src"))
    sys.exit(main())
