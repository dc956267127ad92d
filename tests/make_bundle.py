"""Makes what tests/test_core.py reads: a tiny bundle, and its vectors as made with all extras.

python tests/make_bundle.py FOLDER
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
from fakes.checkpoint import write_model
from test_core import TEXTS

from minnow import Embedder
from minnow.convert import convert


def main() -> None:
    """Write FOLDER/bundle and FOLDER/expected.npy."""
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    bundle = convert(str(write_model(folder / "model")), folder / "bundle")
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        np.save(folder / "expected.npy", embedder.encode(TEXTS))


if __name__ == "__main__":
    main()
