"""The precision ladder of a model: a bundle for each recipe, and GGUF files to compare with."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.errors import InputError, MissingExtraError, OutputError, ParityError
from minnow.evaluate.metrics import import_measures
from minnow.export.gguf import GGUF_TYPES
from minnow.files import writing
from minnow.frontier.rungs import Rung, RungBuilder
from minnow.manifest import MANIFEST
from minnow.model.source import resolve
from minnow.recipe import RECIPES, Precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Progress = Callable[[str], None]

DEFAULT_TYPES = ("f16", "q8_0", "q4_k_m")
"""The types of the GGUF files that are made by default."""


@dataclass(frozen=True)
class Ladder:
    """A model in many forms.

    Attributes:
        source: The model, as the user named it.
        folder: Where the forms are.
        baseline: The system in float32 that all are compared with, as `compare` takes it; it may
            be a rung.
        rungs: The forms: bundles first, in the order of the recipes.
        notes: What a reader should know about what was left out.
    """

    source: str
    folder: Path
    baseline: str
    rungs: tuple[Rung, ...]
    notes: tuple[str, ...] = ()


def build_ladder(
    source: str,
    output: Path | None = None,
    *,
    precisions: Sequence[str] | None = None,
    gguf: Sequence[str] | None = None,
    offline: bool = False,
    progress: Progress = lambda _: None,
) -> Ladder:
    """Make the bundles and GGUF files of a model, each proven, in one folder.

    Those that the proof refuses are left out. Those that are already there, made of the same files
    in the same way, are not made again. The baseline is the source in ONNX Runtime; if that is not
    installed, the float32 bundle.

    Args:
        source: A Hub id, a folder, or `package:NAME`.
        output: The folder for them; by default named after the model, with `.frontier`.
        precisions: Keys of `RECIPES`; by default all.
        gguf: Keys of `GGUF_TYPES`. By default `DEFAULT_TYPES` if llama.cpp is installed; none if
            empty.
        offline: Make no network call.
        progress: Receives a line of text before each step.

    Raises:
        InputError: A recipe or type is unknown, or there is nothing to compare.
        ParityError: The proof refused all of them, or the baseline.
        MissingExtraError: The extra `convert` or `evaluate` is not installed, or `gguf` names
            types and the extra `llama-cpp` is not installed.
        MinnowError: As `convert`.
    """
    import_measures()
    recipes = _choose(precisions, RECIPES, "precision")
    types, notes = _choose_types(gguf)
    model = resolve(source, offline=offline)
    stem = Path(model.name.removeprefix("package:")).name or "model"
    folder = output or Path(f"{stem}.frontier")
    with _open_folder(folder):
        builder = RungBuilder(model, folder / stem, progress)
        rungs = {name: builder.build_bundle(name) for name in recipes}
        baseline = f"onnx:{source}"
        if not find_spec("onnxruntime"):
            exact = next(n for n, row in RECIPES.items() if row.precision is Precision.FP32)
            notes.append(
                f"ONNX Runtime is not installed, so the {exact} bundle is the baseline, and its "
                "own fidelity cannot be measured. Install ONNX Runtime with: "
                "pip install 'minnow-embed[onnxruntime]'"
            )
            baseline = _require_baseline(rungs.get(exact) or builder.build_bundle(exact))
        made = (*rungs.values(), *map(builder.build_gguf, types))
    _require_candidates(made, baseline)
    return Ladder(source, folder, baseline, made, tuple(notes))


# --- choices and checks ------------------------------------------------------------------


def _choose(names: Sequence[str] | None, table: Iterable[str], what: str) -> list[str]:
    """Return the chosen names of a table, each once.

    Raises:
        InputError: A name is not in the table.
    """
    rows = list(table)
    chosen = rows if names is None else list(dict.fromkeys(names))
    for name in chosen:
        if name not in rows:
            raise InputError(f"There is no {what} {name!r}; choose {', '.join(rows)}.")
    return chosen


def _choose_types(chosen: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Return the GGUF types to make, and notes on why there are none."""
    types = _choose(DEFAULT_TYPES if chosen is None else chosen, GGUF_TYPES, "GGUF type")
    if not types or (find_spec("gguf") and find_spec("llama_cpp")):
        return types, []
    missing = MissingExtraError("Writing a GGUF file", "llama-cpp")
    if chosen is not None:
        raise missing
    return [], [f"There are no GGUF files to compare with. {missing}"]


def _require_baseline(rung: Rung) -> str:
    if rung.refusal is not None:
        raise ParityError(
            f"{rung.refusal.reason} There is no baseline without it. Install ONNX Runtime for "
            "another: pip install 'minnow-embed[onnxruntime]'"
        )
    return rung.system


def _require_candidates(rungs: Sequence[Rung], baseline: str) -> None:
    if any(rung.refusal is None and rung.system != baseline for rung in rungs):
        return
    refused = [f"{rung.name}: {rung.refusal.reason}" for rung in rungs if rung.refusal]
    if refused:
        raise ParityError("Nothing is left to compare.\n  " + "\n  ".join(refused))
    raise InputError(
        "There is nothing to compare with the baseline. Give more precisions or GGUF types."
    )


@contextmanager
def _open_folder(folder: Path) -> Iterator[None]:
    """Create a folder for the rungs; it is removed afterwards if nothing was written in it."""
    with writing(folder):
        if (folder / MANIFEST).exists():
            raise OutputError(f"{folder} is a bundle. Name a folder to make several in.")
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is not a folder. Name a folder for the bundles.")
        created = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for place in created:
            with suppress(OSError):
                place.rmdir()
