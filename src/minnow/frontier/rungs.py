"""The rungs of a ladder: bundles and GGUF files, each found or made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from minnow.bundle import Bundle
from minnow.convert import convert
from minnow.convert.provenance import metadata_files
from minnow.errors import BundleError, ConversionError, ParityError, UnsupportedModelError
from minnow.export.gguf import GGUF_TYPES, write_gguf
from minnow.files import whole_file
from minnow.frontier.points import Format
from minnow.model.checkpoint import weight_files
from minnow.model.spec import Choices
from minnow.recipe import RECIPES
from minnow.sealing import sha256

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.errors import MinnowError
    from minnow.model.source import ModelSource

    Progress = Callable[[str], None]


@dataclass(frozen=True)
class Refusal:
    """Reason why a rung is missing.

    Attributes:
        reason: The first line of the error message.
        worst: The lowest cosine of a probe text; None if the proof did not measure it.
        bar: The cosine that it had to reach.
    """

    reason: str
    worst: float | None
    bar: float


@dataclass(frozen=True)
class Rung:
    """One form of a model, on disk or refused.

    Attributes:
        name: The recipe's name, or "GGUF" and the type.
        format: A bundle, or a GGUF file.
        path: Where it is, or would be.
        refusal: Why it is missing; None if it is there.
    """

    name: str
    format: Format
    path: Path
    refusal: Refusal | None = None

    @property
    def system(self) -> str:
        """Its name for `compare`: a bundle runs on MNN, whatever is installed."""
        return f"{'gguf' if self.format == 'gguf' else 'mnn'}:{self.path}"


class RungBuilder:
    """Builder of one model's rungs, which keeps those that exist already."""

    def __init__(self, model: ModelSource, stem: Path, progress: Progress) -> None:
        """Set the model, the beginning of all paths, and the receiver of progress lines."""
        self.model, self.stem, self.progress = model, stem, progress

    def build_bundle(self, name: str) -> Rung:
        """Find or make the bundle of a recipe."""
        recipe = RECIPES[name]
        rung = Rung(name, "bundle", self._path(f"{name}.minnow"))
        if not self._is_found(rung, self._has_bundle(rung)):
            try:
                convert(self.model, rung.path, recipe=recipe, progress=self._progress_of(rung))
            except ParityError as error:
                return self._refuse(rung, error, recipe.bar)
        return rung

    def build_gguf(self, type_: str) -> Rung:
        """Find or make the GGUF file of a type.

        A model that llama.cpp does not support, or crashes on, has no such file. That is not an
        error, because its bundles are worth measuring without it.
        """
        rung = Rung(f"GGUF {type_}", "gguf", self._path(f"{type_}.gguf"))
        if not self._is_found(rung, self._has_gguf(rung)):
            try:
                write_gguf(self.model, rung.path, kind=type_, progress=self._progress_of(rung))
            except (ParityError, UnsupportedModelError, ConversionError) as error:
                return self._refuse(rung, error, GGUF_TYPES[type_].bar)
            _write_record(rung.path, self._record(rung))
        return rung

    def _path(self, ending: str) -> Path:
        return self.stem.with_name(f"{self.stem.name}-{ending}")

    def _progress_of(self, rung: Rung) -> Progress:
        return lambda step: self.progress(f"{rung.name}: {step}")

    def _is_found(self, rung: Rung, found: bool) -> bool:
        if found:
            self._progress_of(rung)("found, made of the same weights")
        return found

    def _refuse(self, rung: Rung, error: MinnowError, bar: float) -> Rung:
        reason = str(error).splitlines()[0]
        self._progress_of(rung)(reason)
        worst = error.worst if isinstance(error, ParityError) else None
        return replace(rung, refusal=Refusal(reason, worst, bar))

    # --- what is there -------------------------------------------------------------------

    @cached_property
    def _metadata(self) -> dict[str, str]:
        """Hashes of the model's files other than weights, by name."""
        return {name: sha256(self.model.folder / name) for name in metadata_files(self.model)}

    @cached_property
    def _weights(self) -> str:
        return sha256(*weight_files(self.model))

    def _has_bundle(self, rung: Rung) -> bool:
        """Return whether an intact bundle is there, made of the same files by the same recipe."""
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

    def _has_gguf(self, rung: Rung) -> bool:
        try:
            found = msgspec.json.decode(_record_path(rung.path).read_bytes(), type=_Record)
            return found == self._record(rung)
        except (OSError, msgspec.MsgspecError):
            return False

    def _record(self, rung: Rung) -> _Record:
        return _Record(sha256(rung.path), self._weights, self._metadata)


@dataclass(frozen=True)
class _Record:
    """Hashes of a GGUF file and its source, kept in a file beside it."""

    file_sha256: str
    weights_sha256: str
    metadata_sha256: dict[str, str]


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _write_record(path: Path, record: _Record) -> None:
    with whole_file(_record_path(path)) as staged:
        staged.write_bytes(msgspec.json.encode(record) + b"\n")
