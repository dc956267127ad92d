"""A bundle: a folder with an encoder, its tokenizer, and a manifest that vouches for both.

`seal` is the only writer. A bundle exists whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import msgspec

from minnow.errors import BundleError
from minnow.files import writing
from minnow.model.spec import Choices, EmbeddingSpec, EncoderSpec, Interface
from minnow.recipe import Recipe
from minnow.sealing import (
    FileRecord,
    check_replaceable,
    file_faults,
    file_records,
    put_in_place,
    staging_beside,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

FORMAT = 1
MANIFEST = "minnow.json"
ENCODER = "encoder.mnn"
TOKENIZER = "tokenizer.json"
CARD = "README.md"


@dataclass(frozen=True)
class ParityRun:
    """The cosines of one way to run the probe texts.

    Attributes:
        threads: CPU threads.
        batching: "one by one", or "mixed" for padded batches of unlike lengths.
        mean: Mean cosine over the texts.
        p5: 5th percentile.
        worst: The lowest cosine.
        worst_text: The name of the text that had it.
        worst_shape: The (batch, tokens) that it was run in.
    """

    threads: int
    batching: str
    mean: float
    p5: float
    worst: float
    worst_text: str
    worst_shape: tuple[int, int]


@dataclass(frozen=True)
class Retrieval:
    """How much of a data set the staged bytes find, beside the reference.

    Attributes:
        dataset: What was searched.
        fingerprint: SHA-256 of its texts and judgements.
        documents: How many.
        queries: How many.
        measure: The measure of both values.
        reference: The reference's, from 0 to 1.
        candidate: That of the staged bytes.
        largest_fall: How far it may be below the reference's.
    """

    dataset: str
    fingerprint: str
    documents: int
    queries: int
    measure: str
    reference: float
    candidate: float
    largest_fall: float


@dataclass(frozen=True)
class Parity:
    """What the proof found: the staged bytes against a reference that does not share their path.

    Attributes:
        reference: What the vectors were compared with.
        texts: How many probe texts.
        bar: What the worst of them had to reach.
        runs: The cosines, one row per way to run; at least one.
        retrieval: What is found with the vectors; None where the recipe does not ask.
    """

    reference: str
    texts: int
    bar: float
    runs: tuple[ParityRun, ...]
    retrieval: Retrieval | None = None

    def __post_init__(self) -> None:
        if not self.runs:
            raise ValueError("a proof without a run proves nothing")

    @property
    def worst(self) -> ParityRun:
        """The run with the lowest cosine; NaN counts as the lowest of all."""
        return min(self.runs, key=lambda run: run.worst if run.worst == run.worst else -2.0)


@dataclass(frozen=True)
class SourceRecord:
    """Where the model came from.

    Attributes:
        name: What the user named.
        kind: hub, folder or package.
        revision: The commit of the Hub, or the version of the package, if there is one.
        model_id: The model's id on the Hub, where known.
        weights_sha256: SHA-256 over the weight files, in name order.
        license: The licence that the source states, if it does.
    """

    name: str
    kind: str
    revision: str | None
    model_id: str | None
    weights_sha256: str
    license: str | None = None


@dataclass(frozen=True)
class FixedShape:
    """An encoder that takes one shape only, for accelerators that need that.

    Attributes:
        batch: Texts at once.
        tokens: Tokens of each; shorter texts are padded, with mask 0.
        file: Its MNN file in the bundle; inputs and output are called as encoder.mnn's are.
        parity: What its own proof found, over the probe texts that fit.
    """

    batch: int
    tokens: int
    file: str
    parity: Parity


@dataclass(frozen=True)
class Manifest:
    """All that is known of a bundle; `minnow.json` is its JSON form.

    Attributes:
        source: Where the model came from.
        encoder: The network.
        embedding: How its vectors are made.
        choices: What the user decided of it, in place of the source's files.
        recipe: What was done to it.
        parity: What the proof found.
        tools: Name -> version of what made it.
        fixed_shapes: Encoders of one shape each, beside encoder.mnn.
        files: Path in the bundle -> size and hash; all files but the manifest itself.
        format: Version of this form.
    """

    source: SourceRecord
    encoder: EncoderSpec
    embedding: EmbeddingSpec
    choices: Choices
    recipe: Recipe
    parity: Parity
    tools: Mapping[str, str]
    fixed_shapes: tuple[FixedShape, ...] = ()
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def output(self) -> str:
        """What the encoder gives, in words: dtype, shape, and of what length vectors are."""
        width = self.encoder.width
        if self.recipe.interface is Interface.LAST_HIDDEN_STATE:
            return f"float32 of shape (batch, seq, {width}), to be pooled"
        length = "of length 1" if self.embedding.normalize else "of any length"
        return f"float32 of shape (batch, {width}), {length}"


@dataclass(frozen=True)
class Bundle:
    """A sealed bundle on disk.

    Attributes:
        folder: Where it is.
        manifest: What its minnow.json says.
    """

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: str | Path) -> Bundle:
        """Read a bundle's manifest; `check_files` compares the files with it.

        Raises:
            BundleError: Not a folder, no manifest, a broken one, or one of a newer form.
        """
        folder = Path(folder)
        path = folder / MANIFEST
        if not os.path.isdir(folder):  # noqa: PTH112  Path.is_dir raises for a name too long
            raise BundleError(
                f"{folder} is not a folder. A bundle is what `minnow convert` writes."
            )
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BundleError(
                f"{folder} is not a bundle: {MANIFEST} cannot be read ({error.strerror})."
            ) from error
        return cls(folder, _decode_manifest(content, path))

    @property
    def encoder(self) -> Path:
        """The encoder.mnn."""
        return self.folder / ENCODER

    @property
    def size(self) -> int:
        """Bytes of all files that the manifest lists."""
        return sum(record.size for record in self.manifest.files.values())

    def check_files(self) -> None:
        """Compare every file with the size and hash in the manifest.

        Files that the manifest does not list are none of its business: nothing reads them.

        Raises:
            BundleError: Files are missing or have changed; all of them are named.
        """
        faults = file_faults(self.folder, self.manifest.files)
        if faults:
            raise BundleError(
                f"{self.folder} is not the bundle that was proven: {'; '.join(faults.values())}. "
                "Copy or convert it again."
            )


def _decode_manifest(content: bytes, path: Path) -> Manifest:
    try:
        version = msgspec.json.decode(content, type=dict[str, object]).get("format")
        if isinstance(version, int) and version > FORMAT:
            raise BundleError(
                f"{path} has format {version}; this minnow reads up to {FORMAT}. Update minnow."
            )
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path} is not a manifest of a bundle: {error}.") from error
    needed = (ENCODER, TOKENIZER, *(shape.file for shape in manifest.fixed_shapes))
    faults = [f"it lists no {name}" for name in needed if name not in manifest.files]
    faults += [f"it lists {name!r}" for name in manifest.files if _escapes(name)]
    if version != FORMAT or faults:
        faults = faults or [f"its format is {version!r}"]
        raise BundleError(f"{path} is not a manifest of a bundle: {'; '.join(faults)}.")
    return manifest


def _escapes(name: str) -> bool:
    """Whether a path leads out of the folder, on any system."""
    return any(
        kind(name).is_absolute() or kind(name).drive or ".." in kind(name).parts
        for kind in (PurePosixPath, PureWindowsPath)
    )


def staging(destination: Path) -> AbstractContextManager[Path]:
    """A folder beside the destination to build a bundle in; gone afterwards, whatever happens.

    Args:
        destination: Where the bundle shall be: nothing, an empty folder, or an older bundle.

    Raises:
        OutputError: The destination is something else, or cannot be written.
    """
    return staging_beside(destination, _check_destination)


def seal(staged: Path, manifest: Manifest, destination: Path) -> Bundle:
    """Hash the staged files, write the manifest last, and rename the folder into place.

    An older bundle at the destination is replaced only when the new one is complete.

    Args:
        staged: The folder from `staging`, complete but for the manifest.
        manifest: What is known, without the file records.
        destination: Where the bundle shall be.

    Returns:
        The sealed bundle.

    Raises:
        OutputError: It cannot be written; an older bundle is still in place.
    """
    with writing(destination):
        sealed = replace(manifest, files=file_records(staged))
        put_in_place(staged, sealed, MANIFEST, destination, _check_destination)
    return Bundle(destination, sealed)


def _check_destination(destination: Path) -> None:
    check_replaceable(
        destination, "bundle", lambda: {MANIFEST, *Bundle.open(destination).manifest.files}
    )
