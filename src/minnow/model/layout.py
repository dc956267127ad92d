"""The files of a Hugging Face model: which of them minnow reads, and whether all are there."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from minnow.errors import SourceError, SourceNotFoundError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Collection

CONFIG = "config.json"
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
    "modules.json",
    "config_sentence_transformers.json",
    *SENTENCE_CONFIGS,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
"""Files that change the vectors: a copy that lacks one of them is incomplete."""

_OTHER_FILES = ("vocab.txt", "vocab.json", "merges.txt", "README.md")
_MODULE_CONFIG = re.compile(r"[^/]*_[^/]*/config\.json")
_LICENCE = re.compile(r"(licen[sc]e|notice)[^/]*", re.IGNORECASE)


def needed_files(names: Collection[str], *, with_author_graph: bool) -> list[str]:
    """Choose the files of a repository that minnow reads, except shards, which the index lists.

    Args:
        names: Paths of all files in the repository.
        with_author_graph: Whether to take the author's ONNX graph too.

    Returns:
        The chosen paths, sorted.
    """
    fixed = {*BEHAVIOUR_FILES, *_OTHER_FILES, WEIGHTS if WEIGHTS in names else WEIGHTS_INDEX}
    if with_author_graph:
        folder = "onnx/" if f"onnx/{AUTHOR_GRAPH[0]}" in names else ""
        fixed |= {folder + name for name in AUTHOR_GRAPH}
    return sorted(
        name
        for name in names
        if name in fixed or _MODULE_CONFIG.fullmatch(name) or _LICENCE.fullmatch(name)
    )


def check_names(names: Collection[str], source: str) -> None:
    """Check that these files can be a model that minnow reads.

    Args:
        names: Paths of all files of the source.
        source: Name of the source in messages.

    Raises:
        SourceNotFoundError: There is no config.json.
        UnsupportedModelError: There are no safetensors weights.
    """
    if CONFIG not in names:
        raise SourceNotFoundError(f"{source} has no {CONFIG}, so it is not a model.")
    if WEIGHTS not in names and WEIGHTS_INDEX not in names:
        raise UnsupportedModelError(
            f"{source} has no {WEIGHTS}. minnow reads weights from safetensors only, since a "
            "pickle such as pytorch_model.bin can run code. Save the model again with "
            "save_pretrained(folder, safe_serialization=True), or have it converted by "
            "https://huggingface.co/spaces/safetensors/convert and give `revision=refs/pr/N`."
        )


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
        UnsupportedModelError: There are no safetensors weights.
        SourceError: The folder or the index cannot be read.
    """
    try:
        names = {path.name for path in folder.iterdir() if path.is_file()}
    except OSError as error:
        raise SourceError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    check_names(names, source)
    if WEIGHTS not in names:
        check_shards(read_shards(folder / WEIGHTS_INDEX), names, source)


def read_shards(index: Path) -> list[str]:
    """Read the names of the weight files that a safetensors index lists, all in its folder.

    Raises:
        SourceError: It is not such an index, or lists a file outside its folder.
    """
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        beside = all(PurePosixPath(shard).name == shard for shard in shards)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{index} does not map tensor names to files ({error!r}).") from error
    if not beside:
        raise SourceError(f"{index} lists a weight file outside its own folder.")
    return shards
