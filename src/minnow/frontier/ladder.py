"""The precision ladder of a model: a bundle for each recipe, and GGUF files to hold them against.

All are made in one folder. What is there already, made of the same files in the same way, is not
made again.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from minnow.bundle import MANIFEST, Bundle
from minnow.convert import convert, metadata_files
from minnow.errors import (
    BundleError,
    ConversionError,
    InputError,
    MissingExtraError,
    OutputError,
    ParityError,
    UnsupportedModelError,
)
from minnow.evaluate.metrics import import_measures
from minnow.export.gguf import GGUF_TYPES, write_gguf
from minnow.files import temporary_beside, writing
from minnow.frontier.points import Kind
from minnow.model.checkpoint import weight_files
from minnow.model.source import resolve
from minnow.model.spec import Choices
from minnow.recipe import RECIPES, Precision
from minnow.sealing import sha256
from minnow.signals import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from minnow.errors import MinnowError
    from minnow.model.source import ModelSource

    Progress = Callable[[str], None]

DEFAULT_TYPES = ("f16", "q8_0", "q4_k_m")
"""The GGUF files that are made where nobody says which."""


@dataclass(frozen=True)
class Refusal:
    """Why a rung is missing.

    Attributes:
        reason: The first line of what was said.
        worst: The lowest cosine of a probe text; None if it never came to that.
        bar: What it had to reach.
    """

    reason: str
    worst: float | None
    bar: float


@dataclass(frozen=True)
class Rung:
    """One form of the model, on disk; or refused.

    Attributes:
        name: The recipe's, or "GGUF" and the type.
        kind: A bundle, or a GGUF file.
        path: Where it is, or would be.
        refusal: Why it is not there.
    """

    name: str
    kind: Kind
    path: Path
    refusal: Refusal | None = None

    @property
    def system(self) -> str:
        """As `compare` is told it."""
        return f"gguf:{self.path}" if self.kind == "gguf" else str(self.path)


@dataclass(frozen=True)
class Ladder:
    """A model in many forms.

    Attributes:
        source: What the user named.
        folder: Where they are.
        baseline: What all are compared with, in float32, as `compare` is told it; it may be a rung.
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
    """Make the bundles and GGUF files of a model, each proven; a refused one stays out.

    The baseline is the source in ONNX Runtime; where that is not installed, the float32 bundle.

    Args:
        source: A Hub id, a folder, or `package:NAME`.
        output: The folder for them; by default one of the model's name, with `.frontier`.
        precisions: Keys of `RECIPES`; by default all.
        gguf: Keys of `GGUF_TYPES`. By default a few, if llama.cpp is installed; none if empty.
        offline: Make no network call at all.
        progress: Told each step.

    Raises:
        InputError: There is no such recipe or type, or nothing to compare.
        ParityError: The proof refused all of them, or the baseline.
        MissingExtraError: The extra `convert` or `evaluate` is not installed, or types were
            named and `llama-cpp` is not.
        MinnowError: As `convert`.
    """
    import_measures()
    recipes = _known(precisions, RECIPES, "precision")
    types, notes = _types(gguf)
    origin = resolve(source, offline=offline)
    folder = output or Path(f"{_stem(origin)}.frontier")
    with _writing_in(folder):
        builder = _Builder(origin, folder, progress)
        exact = _float32()
        rungs = {name: builder.bundle(name) for name in recipes}
        baseline = f"onnx:{source}"
        if not find_spec("onnxruntime"):
            notes.append(
                f"ONNX Runtime is not installed: the {exact} bundle is the baseline, by which its "
                "own fidelity cannot be told. Install it with: "
                "pip install 'minnow-embed[onnxruntime]'"
            )
            baseline = _baseline(rungs.get(exact) or builder.bundle(exact))
        made = (*rungs.values(), *map(builder.gguf, types))
    _check_left(made, baseline)
    return Ladder(source, folder, baseline, made, tuple(notes))


# --- what to make ------------------------------------------------------------------------


def _known(names: Sequence[str] | None, table: Iterable[str], what: str) -> list[str]:
    """The names of a table that were chosen, each once.

    Raises:
        InputError: There is no such name.
    """
    rows = list(table)
    chosen = rows if names is None else list(dict.fromkeys(names))
    for name in chosen:
        if name not in rows:
            raise InputError(f"There is no {what} {name!r}; choose {', '.join(rows)}.")
    return chosen


def _types(chosen: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The GGUF types to make, and notes on why there are none."""
    types = _known(DEFAULT_TYPES if chosen is None else chosen, GGUF_TYPES, "GGUF type")
    if not types or (find_spec("gguf") and find_spec("llama_cpp")):
        return types, []
    missing = MissingExtraError("Writing a GGUF file", "llama-cpp")
    if chosen is not None:
        raise missing
    return [], [f"There are no GGUF files to compare with. {missing}"]


def _float32() -> str:
    """The recipe that changes nothing."""
    return next(name for name, row in RECIPES.items() if row.precision is Precision.FP32)


def _stem(origin: ModelSource) -> str:
    """What the files are called after: the last part of the model's name."""
    return Path(origin.name.removeprefix("package:")).name or "model"


def _baseline(rung: Rung) -> str:
    if rung.refusal is not None:
        raise ParityError(
            f"{rung.refusal.reason} There is no baseline without it. Install ONNX Runtime for "
            "another: pip install 'minnow-embed[onnxruntime]'"
        )
    return rung.system


def _check_left(rungs: Sequence[Rung], baseline: str) -> None:
    if any(rung.refusal is None and rung.system != baseline for rung in rungs):
        return
    refused = [f"{rung.name}: {rung.refusal.reason}" for rung in rungs if rung.refusal]
    if refused:
        raise ParityError("Nothing is left to compare.\n  " + "\n  ".join(refused))
    raise InputError(
        "There is nothing to compare with the baseline. Take more precisions or GGUF types."
    )


# --- making it ---------------------------------------------------------------------------


@contextmanager
def _writing_in(folder: Path) -> Iterator[None]:
    """A folder to write in; gone afterwards if nothing came to be in it."""
    with writing(folder):
        if (folder / MANIFEST).exists():
            raise OutputError(f"{folder} is a bundle. Name a folder to make several in.")
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder} is not a folder. Name a folder for the bundles.")
        made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for place in made:
            with suppress(OSError):
                place.rmdir()


class _Builder:
    """Makes the forms of one model in one folder."""

    def __init__(self, origin: ModelSource, folder: Path, progress: Progress) -> None:
        self.origin, self.folder, self.progress = origin, folder, progress

    def bundle(self, name: str) -> Rung:
        """A bundle by a recipe, found or made."""
        rung = Rung(name, "bundle", self.folder / f"{_stem(self.origin)}-{name}.minnow")
        if self._is_bundle(rung):
            self.progress(f"{name}: found, made of the same weights")
            return rung
        tell = self._teller(name)
        try:
            convert(self.origin, rung.path, recipe=RECIPES[name], progress=tell)
        except ParityError as error:
            return _refused(rung, error, RECIPES[name].bar, tell)
        return rung

    def gguf(self, kind: str) -> Rung:
        """A GGUF file of a type, found or made.

        A model that llama.cpp has not the like of, or crashes on, has no such file: what there is
        of bundles is worth measuring all the same.
        """
        rung = Rung(f"GGUF {kind}", "gguf", self.folder / f"{_stem(self.origin)}-{kind}.gguf")
        if self._is_gguf(rung):
            self.progress(f"{rung.name}: found, made of the same weights")
            return rung
        tell = self._teller(rung.name)
        try:
            write_gguf(self.origin, rung.path, kind=kind, progress=tell)
        except (ParityError, UnsupportedModelError, ConversionError) as error:
            return _refused(rung, error, GGUF_TYPES[kind].bar, tell)
        _write_record(rung.path, self._record(rung))
        return rung

    def _teller(self, name: str) -> Progress:
        return lambda step: self.progress(f"{name}: {step}")

    @cached_property
    def _metadata(self) -> dict[str, str]:
        """Hashes of the source's files other than weights, by name."""
        return {name: sha256(self.origin.folder / name) for name in metadata_files(self.origin)}

    @cached_property
    def _weights(self) -> str:
        return sha256(*weight_files(self.origin))

    def _is_bundle(self, rung: Rung) -> bool:
        """Whether an intact bundle is there, of the same files and the same recipe."""
        try:
            bundle = Bundle.open(rung.path)
            bundle.check_files()
        except BundleError:
            return False
        manifest = bundle.manifest
        copied = {name: record.sha256 for name, record in manifest.files.items()}
        return (
            manifest.recipe == RECIPES[rung.name]
            and manifest.choices == Choices()
            and manifest.source.weights_sha256 == self._weights
            and self._metadata.items() <= copied.items()
        )

    def _is_gguf(self, rung: Rung) -> bool:
        try:
            found = msgspec.json.decode(_record_path(rung.path).read_bytes(), type=_Record)
            return found == self._record(rung)
        except (OSError, msgspec.MsgspecError):
            return False

    def _record(self, rung: Rung) -> _Record:
        return _Record(sha256(rung.path), self._weights, self._metadata)


def _refused(rung: Rung, error: MinnowError, bar: float, progress: Progress) -> Rung:
    reason = str(error).splitlines()[0]
    progress(reason)
    worst = error.worst if isinstance(error, ParityError) else None
    return Rung(rung.name, rung.kind, rung.path, Refusal(reason, worst, bar))


# --- what a GGUF was made of -------------------------------------------------------------


@dataclass(frozen=True)
class _Record:
    """Lies beside a GGUF file, which does not say it itself: hashes of it and of its source."""

    file_sha256: str
    weights_sha256: str
    metadata_sha256: dict[str, str]


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _write_record(path: Path, record: _Record) -> None:
    target = _record_path(path)
    unfinished = temporary_beside(target)
    try:
        with writing(target):
            unfinished.write_bytes(msgspec.json.encode(record) + b"\n")
            unfinished.replace(target)
    finally:
        with uninterrupted(), suppress(OSError):
            unfinished.unlink()
