"""Tiny GGUF files, and the vectors that llama.cpp should give for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fakes.checkpoint import source_of, write_model
from minnow.export.gguf.file import VALUE_TYPES, gguf_metadata, write_file
from minnow.model.original import Original, read_original
from minnow.model.reference import ReferenceModel

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Made:
    """A tiny model as a GGUF file, and its reference."""

    file: Path
    original: Original

    def expected(self, ids: list[list[int]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        model = ReferenceModel(self.original.network, self.original.head, self.original.tensors)
        return np.stack([model.vector(row) for row in ids])


def make(folder: Path, *, without: tuple[str, ...] = (), **model: Any) -> Made:
    """Write a tiny model in float32."""
    original = read_original(source_of(write_model(folder / "model", **model)))
    metadata = {k: v for k, v in gguf_metadata(original).items() if k not in without}
    write_file(folder / "model.gguf", original, metadata, file_type=0, matrices="F32")
    return Made(folder / "model.gguf", original)


def write_decoder(file: Path, original: Original, pooling: int = 0) -> Path:
    """Write a tiny causal language model, with the tokenizer of another model."""
    import gguf

    writer = gguf.GGUFWriter(file, "llama")
    sizes = {"context_length": 600, "embedding_length": 32, "feed_forward_length": 64}
    numbers = {"block_count": 1, "attention.head_count": 4, "pooling_type": pooling}
    values: dict[str, Any] = {f"llama.{k}": v for k, v in {**sizes, **numbers}.items()}
    values["llama.attention.layer_norm_rms_epsilon"] = 1e-5
    values |= {k: v for k, v in gguf_metadata(original).items() if k.startswith("tokenizer.")}
    for key, value in values.items():
        writer.add_key_value(key, value, gguf.GGUFValueType[VALUE_TYPES.get(type(value), "ARRAY")])
    shapes = {"token_embd": (original.encoder.vocab_size, 32), "output_norm": (32,)}
    square = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (32, 32))
    layer = {"attn_norm": (32,), "ffn_norm": (32,), "ffn_gate": (64, 32), "ffn_up": (64, 32)}
    shapes |= {f"blk.0.{k}": v for k, v in {**square, **layer, "ffn_down": (32, 64)}.items()}
    generator = np.random.default_rng(0)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", generator.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def charsmap(rules: Mapping[str, str]) -> bytes:
    """Return a SentencePiece charsmap that replaces single ASCII characters.

    It is the length of a double array of 32-bit units, the array, and the replacements, each
    with a NUL at its end. The root's children are at their own character, since its base is 0;
    each has the base 256 + 2 n, where a unit with its value hangs on the character NUL.
    """
    units = np.zeros(1024, dtype="<u4")
    replacements = b""
    for n, (character, replacement) in enumerate(rules.items()):
        code, leaf = ord(character), 256 + 2 * n
        units[code] = (code ^ leaf) << 10 | 1 << 8 | code
        units[leaf] = 1 << 31 | len(replacements)
        replacements += replacement.encode() + b"\0"
    return units.nbytes.to_bytes(4, "little") + units.tobytes() + replacements
