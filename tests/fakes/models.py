"""Folders that look like models: the right files with hardly anything in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = json.dumps({"weight_map": {"a": SHARDS[0], "b": SHARDS[1], "c": SHARDS[1]}})

WHOLE_MODEL = {
    "config.json": '{"model_type": "bert"}',
    "modules.json": "[]",
    "1_Pooling/config.json": '{"pooling_mode_cls_token": true}',
    "tokenizer.json": '{"version": "1.0"}',
    "model.safetensors": "weights " * 64,
}

SHARDED_MODEL = {
    "config.json": "{}",
    "model.safetensors.index.json": INDEX,
    SHARDS[0]: "first",
    SHARDS[1]: "second",
}


def write_files(
    folder: Path, files: Mapping[str, str] = WHOLE_MODEL, *, without: Iterable[str] = ()
) -> Path:
    """Write files (path -> text) into a folder and return the folder."""
    for name in files.keys() - set(without):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name], encoding="utf-8")
    return folder
