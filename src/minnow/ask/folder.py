"""Folder of an LLM for MNN, checked before the engine reads it.

The engine uses defaults for a config.json that it cannot parse, and reads a word table past its
end; in both cases the LLM writes nonsense. The source is transformers/llm/engine/src/llmconfig.hpp
and diskembedding.cpp of MNN 3.6.1.
"""

from __future__ import annotations

import json
import mmap
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.errors import InputError, SourceError, SourceNotFoundError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG, LLM_CONFIG = "config.json", "llm_config.json"
WINDOW = 2048
"""The window where the folder states none: MNN's own default of `max_all_tokens`."""
_WINDOWS = ("max_all_tokens", "max_position_embeddings")
_FILES = {
    "llm_model": "llm.mnn",
    "llm_weight": "llm.mnn.weight",
    "tokenizer_file": "tokenizer.txt",
    "embedding_file": "embeddings_bf16.bin",
}
"""Files that the engine reads: keys of config.json, and the engine's default names."""
_EMBEDDING = {"minnow.json": "a minnow bundle", "export.json": "what `minnow export` wrote"}
_LOGITS = struct.pack("<I", 6) + b"logits\0"
"""The name of an output in a graph's FlatBuffers."""
_WHOSE = "an LLM for MNN has config.json, llm_config.json, llm.mnn, its weights and a tokenizer"


@dataclass(frozen=True)
class LlmFolder:
    """LLM on disk.

    Attributes:
        path: The folder.
        model: Its llm.mnn.
        window: Most tokens that it reads and writes, in all.
        rows: The rows of its word table, one for each token id.
        settings: config.json and llm_config.json together, as the engine joins them.
    """

    path: Path
    model: Path
    window: int
    rows: int
    settings: Mapping[str, Any]

    def has_logits(self) -> bool:
        """Return whether the graph has the output that the engine reads."""
        with (
            self.model.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return content.find(_LOGITS) >= 0


def read_llm_folder(path: Path, window: int | None = None) -> LlmFolder:
    """Read and check the folder of an LLM.

    Args:
        path: The folder.
        window: The window, in place of what the folder states.

    Raises:
        InputError: The window is not a positive number.
        SourceNotFoundError: There is no such folder, or a file is missing.
        UnsupportedModelError: It is an embedding model.
        SourceError: A file of it is damaged.
    """
    if window is not None and window < 1:
        raise InputError(f"window should be at least 1, not {window}.")
    path = path.absolute()
    if path.is_file():
        raise SourceNotFoundError(f"{path} is a file; give the folder of the LLM, {path.parent}.")
    if not path.is_dir():
        raise SourceNotFoundError(f"There is no folder {path}; {_WHOSE}.")
    for name, what in _EMBEDDING.items():
        if (path / name).is_file():
            raise UnsupportedModelError(
                f"{path} is {what}, an embedding model: it makes vectors and no text. Give the "
                f"folder of an LLM; {_WHOSE}."
            )
    settings = {**_read_json(path / CONFIG)}
    settings |= _read_json(path / str(settings.get("llm_config", LLM_CONFIG)))
    files = {key: path / str(settings.get(key, name)) for key, name in _FILES.items()}
    if "tie_embeddings" in settings and _tie(settings)["weight_offset"]:
        files["embedding_file"] = files["llm_weight"]
    missing = sorted({file.name for file in files.values() if not file.is_file()})
    if missing:
        raise SourceNotFoundError(
            f"{path} lacks {', '.join(missing)}; {_WHOSE}. Copy or export the LLM again."
        )
    if files["llm_model"].stat().st_size == 0:
        raise SourceError(f"{files['llm_model']} is empty. Copy or export the LLM again.")
    rows = _rows(settings, files["embedding_file"])
    return LlmFolder(path, files["llm_model"], window or _window(settings), rows, settings)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceNotFoundError(f"{path.parent} has no {path.name}; {_WHOSE}.") from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # no JSON, or no UTF-8
        raise SourceError(f"{path} is damaged: {error}. Copy or export the LLM again.") from error
    if not isinstance(content, dict):
        raise SourceError(
            f"{path} is damaged: it is not a JSON object. Copy or export the LLM again."
        )
    return content


def _window(settings: Mapping[str, Any]) -> int:
    stated = (settings.get(key) for key in _WINDOWS)
    return next((value for value in stated if type(value) is int and value > 0), WINDOW)


def _rows(settings: Mapping[str, Any], file: Path) -> int:
    """Count the rows of the word table.

    Raises:
        SourceError: It has none, or is cut off.
    """
    size, tie = file.stat().st_size, _tie(settings)
    start, end, needed = tie["weight_offset"], size, 0
    if tie["quant_bit"] != 16:
        end = tie["alpha_offset"]
        needed = end + tie["alpha_size"]
    row = _width(settings) * tie["quant_bit"] // 8
    if size < needed or end - start < row:
        raise SourceError(
            f"{file} has {size} bytes, which is less than {LLM_CONFIG} says. Copy or export the "
            "LLM again."
        )
    return (end - start) // row


def _width(settings: Mapping[str, Any]) -> int:
    width = settings.get("hidden_size")
    if type(width) is not int or width < 1:
        raise SourceError(f"{LLM_CONFIG} states no hidden_size. Copy or export the LLM again.")
    return width


def _tie(settings: Mapping[str, Any]) -> dict[str, int]:
    """Return the place and the bits of the word table; by default bfloat16 in its own file."""
    given = settings.get("tie_embeddings", {"quant_bit": 16})
    names = ("weight_offset", "alpha_offset", "alpha_size", "quant_bit")
    if isinstance(given, list):
        given = dict(zip(names, given, strict=False))
    try:
        tie = {name: int(given.get(name, 0)) for name in names}
    except (AttributeError, TypeError, ValueError):
        tie = {"quant_bit": 0}
    if tie["quant_bit"] not in (4, 8, 16) or min(tie.values()) < 0:
        raise SourceError(
            f"tie_embeddings in {LLM_CONFIG} is damaged: {given!r}. Copy or export the LLM again."
        )
    return tie


def changed_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that minnow changes; all others are the folder's.

    The engine forgets one question before the next, and generates one token at a time, so that
    limits hold. Thinking is switched off if the model's template has a switch.
    """
    changed: dict[str, Any] = {
        "reuse_kv": False,
        "all_logits": False,
        "speculative_type": "",
        "jinja": {"context": {"enable_thinking": False}},
    }
    if "chunk_limits" in settings:  # the engine pads to them, and moves the last token's logits
        changed["chunk_limits"] = []
    return changed


def markers_in(frame: str) -> Iterator[str]:
    """Find what looks like a mark, such as "<|im_end|>", in a chat template without messages."""
    for found in re.finditer(r"<[^\s<>]+>|\[/?[A-Za-z_]\w*\]", frame):
        yield found[0]
