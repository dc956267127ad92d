"""Prove tiny models with numbers beyond half precision in it, on an emulated ARM processor.

    PYTHONPATH=src:tests python benchmarks/half_range.py [WORD ...]

Each is planted by tests/model/test_magnitudes.py, converted at fp16, and proven as `minnow prove
--arm` does; only those whose names have one of the words, if any is given. Prints the worst cosines
here and in low precision on ARM, and what the conversion multiplied.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from model.test_magnitudes import PLANTED, STATES, plant

from minnow.convert import convert
from minnow.device.proving import prove_modes
from minnow.errors import MinnowError
from minnow.recipe import RECIPES


def main() -> None:
    """Convert and prove each; print a row."""
    models = {name: (family, factors) for name, (family, factors, _) in PLANTED.items()}
    models |= {f"{name} states": ("embedding_gemma2", factors) for name, factors in STATES.items()}
    print("| planted | family | worst, here | worst, ARM low | states times | powers of two |")
    print("|---|---|---|---|---|---|")
    for name, (family, factors) in models.items():
        if sys.argv[1:] and not any(word in name for word in sys.argv[1:]):
            continue
        with TemporaryDirectory() as place:
            source = str(plant(Path(place) / "model", family, factors))
            try:
                bundle = convert(source, Path(place) / "bundle", recipe=RECIPES["fp16"])
                bundle = prove_modes(bundle, arm=True, offline=False)
            except MinnowError as error:
                print(f"| {name} | {family} | {str(error).splitlines()[0]} |", flush=True)
                continue
        encoder, parity = bundle.manifest.encoder, bundle.manifest.parity
        low = next(mode for mode in parity.modes if mode.precision == "low")
        powers = sorted({f"{key.rpartition('.')[2]} {n:+}" for key, n in encoder.powers.items()})
        print(
            f"| {name} | {family} | {parity.worst.worst:.7f} | {low.worst:.6f} "
            f"| {encoder.stream:g} | {', '.join(powers)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
