"""Bundles by the name of a model: found in place, on the Hub, or converted once and kept.

A name is a bundle's folder, `hf:USER/NAME` for a bundle on the Hub, or a source as `minnow convert`
takes it. A source is converted, with its proof, by a process of its own, and the bundle stays in
the cache. It keeps the commit of the Hub that it was made of, until it is removed from the cache.
"""

from __future__ import annotations

import hashlib
import re
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from minnow.bundle import Bundle
from minnow.caches import BUNDLES, cache_folder, files_below
from minnow.errors import (
    AmbiguousModelError,
    BundleError,
    MissingExtraError,
    OutputError,
    SourceNotFoundError,
)
from minnow.manifest import MANIFEST
from minnow.model.spec import Choices
from minnow.options import split_arguments
from minnow.recipe import RECIPES, Recipe
from minnow.record_json import to_json
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from minnow.model.source import ModelSource
    from minnow.options import OpenArguments, PeerSettings

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows: two processes that start at once both convert
    fcntl = None

ON_THE_HUB = "hf:"
ORGANISATION = "sentence-transformers"
"""The owner of a model that is named without a slash, as in sentence-transformers."""

_PACKAGE = "package:"
_DAY = 24 * 3600.0
_EXTRA = ("onnx", "safetensors", "ml_dtypes", "scipy", "jinja2", "threadpoolctl")
_CHILD = "from minnow.convert.child import main; sys.exit(main())"


class ConversionOptions(Struct, frozen=True):
    """How a model is converted that is not converted yet; see `minnow.convert.convert`.

    Attributes:
        recipe: Precision, graph, interface and bar.
        choices: What the user decides in place of the source's files.
        revision: Branch, tag or commit on the Hub.
        offline: Make no network call at all; also in force where HF_HUB_OFFLINE is set.
    """

    recipe: Recipe = RECIPES["fp16"]
    choices: Choices = Choices()
    revision: str | None = None
    offline: bool = False


class ConvertRequest(Struct, frozen=True):
    """A model to convert into a bundle at a destination."""

    source: str
    destination: str
    options: ConversionOptions


class Step(Struct, frozen=True):
    """A step of a conversion that begins; with an empty name, the bundle is there."""

    name: str


def print_step(step: str) -> None:
    """Print a step of a conversion on stderr."""
    sys.stderr.write(f"minnow: {step}\n")


def of_the_hub(settings: PeerSettings) -> dict[str, Any]:
    """Return the fields of ConversionOptions that arguments of sentence-transformers set."""
    found: dict[str, Any] = {}
    if settings.get("revision") is not None:
        found["revision"] = settings["revision"]
    if settings.get("local_files_only"):
        found["offline"] = True
    return found


def open_bundle(
    name: str | Path | Bundle, *, revision: str | None = None, offline: bool = False
) -> Bundle:
    """Open a bundle in a folder, or one on the Hub that is named `hf:USER/NAME`.

    Raises:
        BundleError: It is no bundle.
        SourceError: The Hub has no such repository, or did not answer.
        AmbiguousModelError: A folder has no revisions.
    """
    if isinstance(name, str) and name.startswith(ON_THE_HUB):
        model_id = name.removeprefix(ON_THE_HUB)
        found = _on_the_hub(model_id, revision=revision, offline=offline)
        if found is None:
            raise BundleError(
                f"{model_id} on the Hub is not a bundle: it has no {MANIFEST}"
                f"{' in the cache' if offline else ''}. Convert it: minnow convert {model_id}"
            )
        return found
    if revision is not None:
        raise AmbiguousModelError(f"{name} is a folder and has no revision: leave it out.")
    return name if isinstance(name, Bundle) else Bundle.open(name)


def bundle_of_call(
    name: str | Path | Bundle,
    changes: OpenArguments,
    conversion: ConversionOptions,
    progress: Callable[[str], None],
) -> Bundle:
    """Find the bundle of a model that the class `Embedder` or `Reranker` is called with.

    Args:
        name: As for `find_bundle`.
        changes: Arguments of `open`; the revision, which chooses the bundle, is taken out of them.
        conversion: How a model is converted that is not converted yet.
        progress: Receives a line of text before each step of a conversion.

    Raises:
        MinnowError: As `find_bundle` and `split_arguments`.
    """
    _, settings = split_arguments(changes)
    changes["revision"] = None
    return find_bundle(name, replace(conversion, **of_the_hub(settings)), progress=progress)


def find_bundle(
    name: str | Path | Bundle,
    options: ConversionOptions = ConversionOptions(),
    *,
    progress: Callable[[str], None] = print_step,
) -> Bundle:
    """Find the bundle of a model, and convert the model first if there is none.

    Args:
        name: A bundle's folder, `hf:USER/NAME`, a Hub id, a folder, or `package:NAME`.
        options: How it is converted.
        progress: Receives a line of text before each step of a conversion.

    Raises:
        BundleError: A folder with a manifest is no intact bundle.
        SourceError: The model cannot be found, read or understood.
        ConversionError, ParityError: It cannot be converted, or the result is another model.
        OutputError: The cache cannot be written.
        MissingExtraError: It has to be converted, and the extra `convert` is not installed.
    """
    revision, offline = options.revision, options.offline
    text = str(name)
    is_bundle = isinstance(name, Bundle) or text.startswith(ON_THE_HUB)
    if is_bundle or (Path(text).expanduser() / MANIFEST).is_file():
        name = name if is_bundle else Path(text).expanduser()
        return open_bundle(name, revision=revision, offline=offline)
    local = _local_source(text, options)
    if local is None and "/" not in text:
        text = f"{ORGANISATION}/{text}"
    folder = _place(text, local, options)
    if not folder.is_dir() and local is None:
        published = _on_the_hub(text, revision=revision, offline=offline)
        if published is not None:
            return published
    with _alone(folder):
        if not folder.is_dir():
            _convert(text if local is None else local.name, folder, options, progress)
    try:
        return Bundle.open(folder)
    except BundleError as error:
        raise BundleError(f"{error} Remove it: minnow cache prune {folder.name}") from error


def _local_source(name: str, options: ConversionOptions) -> ModelSource | None:
    """Find a folder or a package; None for what can only be a model on the Hub."""
    from minnow.model.source import resolve

    is_local = name.startswith(_PACKAGE) or Path(name).expanduser().exists()
    if is_local or name.count("/") > 1 or name.startswith((".", "~", "/")) or not name:
        return resolve(name, revision=options.revision, offline=options.offline)
    return None


def _on_the_hub(model_id: str, *, revision: str | None, offline: bool) -> Bundle | None:
    from minnow.model.hub import HubRequest, snapshot_with_record

    folder = snapshot_with_record(
        HubRequest(model_id, revision or "main"),
        MANIFEST,
        lambda folder: Bundle.open(folder).manifest.files,
        offline=offline,
    )
    return None if folder is None else Bundle.open(folder)


def _place(name: str, local: ModelSource | None, options: ConversionOptions) -> Path:
    """Return the folder of a model's bundle in the cache.

    Its key has all that decides the bundle; of a folder the names, sizes and times of its files.
    """
    facts: dict[str, Any] = {"name": name, "revision": options.revision}
    if local is not None:
        facts |= {"name": local.name, "revision": local.revision, "files": _states(local.folder)}
    facts |= {"recipe": to_json(options.recipe), "choices": to_json(options.choices)}
    key = hashlib.sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()[:16]
    readable = re.sub(r"[^\w.-]+", "--", name.removeprefix(_PACKAGE).strip("./~"))[-80:]
    return cache_folder() / BUNDLES / f"{readable}-{key}"


def _states(folder: Path) -> list[tuple[str, int, int]]:
    found = ((path, path.stat()) for path in sorted(files_below(folder)))
    return [
        (path.relative_to(folder).as_posix(), state.st_size, state.st_mtime_ns)
        for path, state in found
    ]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from converting the same model; wait for one that does."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.is_dir() or fcntl is None:
            yield
            return
        with (folder.parent / f".{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise OutputError(
            f"Cannot write the cache {folder.parent}: {error.strerror}. Set MINNOW_CACHE to "
            "another folder."
        ) from error


def _convert(
    source: str, folder: Path, options: ConversionOptions, progress: Callable[[str], None]
) -> None:
    from minnow.processes import python_command
    from minnow.workers import Worker

    if any(find_spec(module) is None for module in _EXTRA):
        raise MissingExtraError(f"Converting {source}", "convert")
    progress(f"{source} is converted once, and kept in {folder}")
    command = python_command(_CHILD)
    with Worker("The conversion", command, timeout=_DAY, folder=Path()) as worker:
        worker.send(ConvertRequest(source, str(folder.absolute()), options))
        while (step := worker.receive(Step)) is not None and step.name:
            progress(f"{source}: {step.name}")
    if not folder.is_dir():
        raise SourceNotFoundError(f"The conversion of {source} ended without a bundle.")
