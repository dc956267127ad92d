"""The files of a Hugging Face model: which of them minnow reads, and whether all are there."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from minnow.errors import SourceError, SourceNotFoundError, UnsupportedModelError
from minnow.files import open_regular, read_regular
from minnow.model.kinds import refuse_other_kinds, refuse_other_weights
from minnow.model.listing import CONFIG, MODULES, PIPELINE, ROUTER_CONFIG, Listing, names_routes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
AUTHOR_GRAPH = ("model.onnx", "model.onnx_data")

SENTENCE_CONFIGS = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
"""The Transformer module's own file, under every name that sentence-transformers has used."""

BEHAVIOUR_FILES = (
    CONFIG,
    MODULES,
    PIPELINE,
    *SENTENCE_CONFIGS,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
"""Files that change the vectors: a copy that lacks one of them is incomplete."""

README = "README.md"
CHAT_TEMPLATE = "chat_template.jinja"
PROCESSOR = "processor_config.json"
_OTHER_FILES = ("vocab.txt", "vocab.json", "merges.txt", CHAT_TEMPLATE, PROCESSOR, README)
_ROOT_FILES = (MODULES, PIPELINE, README)
"""Files that lie beside the network's folder where it has one of its own."""
_MODULE_CONFIG = re.compile(r"[^/]*_[^/]*/config\.json")
_MODULE_WEIGHTS = re.compile(r"[1-9][0-9]*_[^/]*/model\.safetensors")
_ROUTER = re.compile("[0-9]+_(Router|Asym)")
_ROUTED = re.compile(
    r"(([^/]*_[^/]*/){1,2}"
    rf"({'|'.join(map(re.escape, (*BEHAVIOUR_FILES, *_OTHER_FILES, WEIGHTS, WEIGHTS_INDEX)))})"
    rf"|([^/]*/)?{re.escape(ROUTER_CONFIG)})"
)
"""Files of the modules of a router's routes, and its configuration."""
_LICENCE = re.compile(r"(licen[sc]e|notice)[^/]*", re.IGNORECASE)


_POINTER = b"version https://git-lfs.github.com/spec/"
_MOST_FILES = 20_000


def network_folder(names: Collection[str]) -> str:
    """Return the folder of the network: "" for the root, or the folder of the first module.

    sentence-transformers before version 1 saved the network, its tokenizer and its configuration
    in 0_Transformer or 0_BERT, and still loads them from there.

    Args:
        names: Paths of all files of the source.
    """
    if WEIGHTS in names or WEIGHTS_INDEX in names:
        return ""
    folders = {
        name.split("/")[0]
        for name in names
        if name.startswith("0_") and name.split("/")[1:] in ([WEIGHTS], [WEIGHTS_INDEX])
    }
    folders = {f for f in folders if f"{f}/{CONFIG}" in names or f.endswith("_StaticEmbedding")}
    return folders.pop() if len(folders) == 1 else ""


def place(name: str, network: str) -> str:
    """Return where a file of a plain model lies if the network has a folder of its own."""
    stays = not network or "/" in name or name in _ROOT_FILES or _LICENCE.fullmatch(name)
    return name if stays else f"{network}/{name}"


def list_names(folder: Path) -> frozenset[str]:
    """List the files in a folder and in its direct subfolders, with forward slashes.

    Raises:
        SourceError: The folder cannot be read.
    """
    try:
        names = []
        for name in _walk(folder):
            names.append(name)
            if len(names) == _MOST_FILES:
                break
    except OSError as error:
        raise SourceError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    return frozenset(names)


def _walk(folder: Path, depth: int = 1) -> Iterator[str]:
    for path in folder.iterdir():
        if path.is_file():
            yield path.name
        elif depth and path.is_dir() and not path.name.startswith("."):
            deeper = 1 if _ROUTER.fullmatch(path.name) else depth - 1
            with contextlib.suppress(OSError):  # a folder that is not the model's business
                yield from (f"{path.name}/{name}" for name in _walk(path, deeper))


def needed_files(names: Collection[str], *, with_author_graph: bool) -> list[str]:
    """Choose the files of a repository that minnow reads, except shards, which the index lists.

    Args:
        names: Paths of all files in the repository.
        with_author_graph: Whether to take the author's ONNX graph too.

    Returns:
        The chosen paths, sorted.
    """
    network = network_folder(names)
    weights = WEIGHTS if place(WEIGHTS, network) in names else WEIGHTS_INDEX
    fixed = {place(name, network) for name in (*BEHAVIOUR_FILES, *_OTHER_FILES, weights)}
    if with_author_graph:
        folder = "onnx/" if f"onnx/{AUTHOR_GRAPH[0]}" in names else ""
        fixed |= {folder + name for name in AUTHOR_GRAPH}
    if names_routes(names):
        fixed |= {name for name in names if _ROUTED.fullmatch(name)}
    return sorted(
        name
        for name in names
        if name in fixed
        or any(kind.fullmatch(name) for kind in (_MODULE_CONFIG, _MODULE_WEIGHTS, _LICENCE))
    )


def check_names(names: Collection[str], source: str, folder: Path | None = None) -> None:
    """Check that these files can be a model that minnow reads.

    Args:
        names: Paths of all files of the source.
        source: Name of the source in messages.
        folder: The folder that holds the files, or those of them that were fetched.

    Raises:
        SourceNotFoundError: There is no config.json.
        UnsupportedModelError: It is recognised as something else, or there are no safetensors
            weights.
    """
    listing = Listing(source, frozenset(names), folder)
    refuse_other_kinds(listing)
    network = network_folder(names)
    weights = {place(WEIGHTS, network), place(WEIGHTS_INDEX, network)} & listing.names
    if listing.has_routes and listing.ending(f"/{WEIGHTS}", f"/{WEIGHTS_INDEX}"):
        return  # `minnow.model.router` reads where the networks of its routes are
    if not weights:
        refuse_other_weights(listing)
    if place(CONFIG, network) not in names and not listing.is_static:
        raise SourceNotFoundError(
            f"{source} has no {CONFIG}, so it is not a model.{_inside(names)}"
        )
    if not weights:
        raise UnsupportedModelError(
            f"{source} has no {WEIGHTS}: the weights are missing. Copy or download the model "
            f"again, with all of its files.{_inside(names)}"
        )


def _inside(names: Collection[str]) -> str:
    """Say what else a folder without a model holds."""
    if not names:
        return " It is empty."
    models = sorted(
        name.split("/")[0]
        for name in names
        if name.endswith(f"/{CONFIG}") and {place(n, name.split("/")[0]) for n in _ANY} & {*names}
    )
    return f" The folder {models[0]} in it holds one: give that." if models else ""


_ANY = (WEIGHTS, WEIGHTS_INDEX)


def check_shards(shards: Collection[str], names: Collection[str], source: str) -> None:
    """Check that every weight file that the index lists exists.

    Raises:
        SourceNotFoundError: Some are missing; the message names them.
    """
    if missing := sorted(set(shards) - set(names)):
        raise SourceNotFoundError(
            f"{source} lacks {len(missing)} of the {len(shards)} weight files that "
            f"{WEIGHTS_INDEX} lists: {', '.join(missing[:4])}."
        )


def check_folder(folder: Path, source: str) -> None:
    """Check that a folder holds a whole model.

    Args:
        folder: The folder.
        source: Name of the source in messages.

    Raises:
        SourceNotFoundError: There is no config.json, or a weight file of the index is missing.
        UnsupportedModelError: It is recognised as something else, or there are no safetensors
            weights.
        SourceError: The folder or the index cannot be read, or a file is a pointer of Git LFS.
    """
    names = list_names(folder)
    check_names(names, source, folder)
    _check_pointers(folder, names)
    for index in sharded_weights(names):
        inside = index.removesuffix(WEIGHTS_INDEX)
        shards = read_shards(folder / index)
        check_shards(shards, {name.rsplit("/", 1)[-1] for name in names}, source)
        _check_pointers(folder, [inside + shard for shard in shards])


def sharded_weights(names: Collection[str]) -> list[str]:
    """Return the indices of weights among names of files that no whole file stands beside."""
    indices = [name for name in names if name.rsplit("/", 1)[-1] == WEIGHTS_INDEX]
    if not names_routes(names):
        indices = [name for name in indices if name == place(WEIGHTS_INDEX, network_folder(names))]
    return sorted(i for i in indices if i.removesuffix(WEIGHTS_INDEX) + WEIGHTS not in names)


def _check_pointers(folder: Path, names: Collection[str]) -> None:
    """Refuse a clone without Git LFS, in which a small text stands in the place of a large file."""
    for name in needed_files(names, with_author_graph=True) or names:
        path = folder / name
        try:
            with open_regular(path) as file:
                start = file.read(len(_POINTER))
        except OSError:
            continue  # what reads the file says why it cannot
        if start == _POINTER:
            raise SourceError(
                f"{path} is a pointer of Git LFS, not the file that it stands for: the folder was "
                "cloned without Git LFS. Run `git lfs install` and `git lfs pull` in it, or "
                "download the model by its Hub id."
            )


def read_shards(index: Path) -> list[str]:
    """Read the names of the weight files that a safetensors index lists, all in its folder.

    Raises:
        SourceError: It is not such an index, or lists a file outside its folder.
    """
    try:
        shards = sorted(set(json.loads(read_regular(index))["weight_map"].values()))
        beside = all(PurePosixPath(shard).name == shard for shard in shards)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(f"{index} does not map tensor names to files ({error!r}).") from error
    if not beside:
        raise SourceError(f"{index} lists a weight file outside its own folder.")
    return shards
