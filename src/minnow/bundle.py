"""A bundle: a folder with an encoder, its tokenizer, and a manifest with the hash of every file.

`seal` is the only writer. A bundle exists completely or not at all.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from minnow.errors import BundleError, MinnowError
from minnow.files import restore_if_missing, writing
from minnow.graph.mnn_file import WEIGHTS
from minnow.manifest import ENCODER, MANIFEST, QUERIES, TOKENIZER, Manifest, decode_manifest
from minnow.record_json import to_json
from minnow.records import replace
from minnow.sealing import (
    FileRecord,
    check_replaceable,
    file_faults,
    file_records,
    put_in_place,
    read_record,
    staging_beside,
    stamp_record,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

_READ = (ENCODER, ENCODER + WEIGHTS, TOKENIZER)


class Bundle(Struct, frozen=True):
    """A sealed bundle on disk.

    Attributes:
        folder: The folder.
        manifest: The content of its minnow.json.
    """

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: str | Path) -> Bundle:
        """Read a bundle's manifest; `check_files` compares the files with it.

        Raises:
            BundleError: The folder or its manifest is missing, broken, or of a newer format.
        """
        folder = Path(folder)
        path = folder / MANIFEST
        restore_if_missing(folder)
        if not os.path.isdir(folder):  # noqa: PTH112  Path.is_dir raises for a name too long
            raise BundleError(
                f"{folder} is not a folder. A bundle is what `minnow convert` writes."
            )
        try:
            content = read_record(path)
        except OSError as error:
            raise BundleError(
                f"{folder} is not a bundle: {MANIFEST} cannot be read ({error.strerror})."
            ) from error
        return cls(folder, decode_manifest(content, path))

    @property
    def queries(self) -> Bundle | None:
        """The encoder of queries as a bundle, where they have one of their own."""
        part, prefix = self.manifest.queries, f"{QUERIES}/"
        if part is None:
            return None
        inside = {
            name.removeprefix(prefix): record
            for name, record in self.manifest.files.items()
            if name.startswith(prefix)
        }
        return Bundle(self.folder / QUERIES, replace(part, files=inside))

    @property
    def parts(self) -> tuple[Bundle, ...]:
        """The bundle itself, and that of queries if there is one."""
        return (self,) if self.queries is None else (self, self.queries)

    @property
    def encoder(self) -> Path:
        """The encoder.mnn."""
        return self.folder / ENCODER

    @property
    def size(self) -> int:
        """Bytes of all files that the manifest lists."""
        return sum(record.size for record in self.manifest.files.values())

    def check_kind(self, *, reranks: bool) -> None:
        """Check that this is a reranker, or that it is an embedding model.

        Raises:
            BundleError: It is the other; the message says what to do.
        """
        found = self.manifest.reranking is not None
        if found and not reranks:
            raise BundleError(
                f"{self.folder} is a reranker: it scores pairs of texts and gives no vectors. Take "
                "the bundle of an embedding model, or rank texts with `minnow rerank` (in Python: "
                "Reranker.open)."
            )
        if reranks and not found:
            raise BundleError(
                f"{self.folder} is an embedding model: it gives vectors and scores no pairs. Take "
                "the bundle of a reranker, or use `minnow embed` or `minnow search` (in Python: "
                "Embedder.open)."
            )

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Read the files as one bundle: fail if another takes its place meanwhile.

        Raises:
            BundleError: The manifest is not the one that was opened, or it or a file that is read
                was replaced within the block.
        """
        before = self._states()
        if Bundle.open(self.folder).manifest != self.manifest:
            raise self._replaced()
        yield
        if self._states() != before:
            raise self._replaced()

    def _states(self) -> list[tuple[int, int, int]]:
        names = [
            MANIFEST,
            *(d + name for d in ("", f"{QUERIES}/") for name in _READ),
        ]
        found = (os.stat(self.folder / name) for name in names if (self.folder / name).exists())  # noqa: PTH116
        return [(status.st_ino, status.st_size, status.st_mtime_ns) for status in found]

    def _replaced(self) -> BundleError:
        return BundleError(f"{self.folder} was replaced since it was opened. Open it again.")

    def check_files(self) -> None:
        """Compare every file with the size and hash in the manifest.

        Files that the manifest does not list are ignored: nothing reads them.

        Raises:
            BundleError: Files are missing or have changed; all of them are named.
        """
        self._raise_for(file_faults(self.folder, self.manifest.files))

    @contextmanager
    def checking_encoders(self, *, hashes: bool = True) -> Iterator[None]:
        """Compare every file as `check_files` does: those of the encoders while the block runs.

        A thread reads those, and hashes them without Python's lock. The block may read all others.

        Args:
            hashes: Whether to compare hashes too, or sizes alone, which takes no time.

        Raises:
            BundleError: As `check_files`; before the block, or at its end.
        """
        if not hashes:
            self._raise_for(file_faults(self.folder, self.manifest.files, hashes=False))
            yield
            return
        encoders: dict[str, FileRecord] = {}
        others: dict[str, FileRecord] = {}
        for name, record in self.manifest.files.items():
            part = encoders if name.endswith((".mnn", f".mnn{WEIGHTS}")) else others
            part[name] = record
        with ThreadPoolExecutor(1, thread_name_prefix="minnow-hash") as thread:
            found = thread.submit(file_faults, self.folder, encoders)
            faults = file_faults(self.folder, others)
            if faults:
                self._raise_for(faults | found.result())
            try:
                yield
            except MinnowError:  # a changed encoder is the news, whatever else is wrong
                self._raise_for(found.result())
                raise
            self._raise_for(found.result())

    def _raise_for(self, faults: Mapping[str, str]) -> None:
        """Raise an error that names all faults of files, if there are any."""
        if faults:
            raise BundleError(
                f"{self.folder} is not the bundle that was proven: {'; '.join(faults.values())}. "
                "Copy or convert it again."
            )


def staging(destination: Path) -> AbstractContextManager[Path]:
    """Make a staging directory for a bundle; it is always removed at the end.

    Args:
        destination: Where the bundle will be: nothing, an empty folder, or an older bundle.

    Raises:
        OutputError: The destination is something else, or cannot be written.
    """
    return staging_beside(destination, check_destination)


def seal(staged: Path, manifest: Manifest, destination: Path) -> Bundle:
    """Hash the staged files, write the manifest last, and rename the folder into place.

    An older bundle at the destination is replaced only when the new one is complete.

    Args:
        staged: The folder from `staging`, complete except for the manifest.
        manifest: The manifest, without the file records.
        destination: Where the bundle will be.

    Returns:
        The sealed bundle.

    Raises:
        OutputError: The bundle cannot be written; an older one is still in place.
        BundleError: The manifest says what no bundle can be.
    """
    with writing(destination):
        sealed = replace(manifest, files=file_records(staged))
        values = to_json(sealed)
        decode_manifest(stamp_record(values), destination / MANIFEST)
        put_in_place(staged, values, MANIFEST, destination, check_destination)
    return Bundle(destination, sealed)


def check_destination(destination: Path) -> None:
    """Check that a bundle may be put in a place.

    Raises:
        OutputError: Something else than an older bundle is there.
    """
    check_replaceable(
        destination, "bundle", lambda: {MANIFEST, *Bundle.open(destination).manifest.files}
    )
