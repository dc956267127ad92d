"""Tiny LLMs for MNN's own engine, with attention and a KV cache: they recite one answer.

The tokenizer has a token for every byte, so that a text has as many tokens as bytes, and one
for each piece of the answer. The network is a table of what follows a token, and one head of
attention that looks for a cue before it: where there is one, the answer cites the other passage.
"""

from __future__ import annotations

import json
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.export import WordKind
from minnow.export.mnn_llm.word_table import store_words
from minnow.graph.nodes import Input, Nodes
from minnow.processes import run_child

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

ANSWER = ("Fish", " sleep", " with", " open", " eyes", " [1]", ".")
CUE = "~"
CITATION, OTHER = " [1]", " [2]"
START, END = "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_BYTES, _HEAD = 256, 16
_CERTAIN, _FOUND, _PERHAPS = 20.0, 15.0, 10.0
"""Logits: what follows; what a cue adds to the other citation; that citation without a cue."""


def make_llm(
    folder: Path,
    answer: Sequence[str | bytes] = ANSWER,
    *,
    template: str = TEMPLATE,
    bos: str = "",
    ends: bool = True,
    torn: bool = False,
    every: bool = False,
    output: str = "logits",
    model: Mapping[str, Any] | None = None,
    **config: Any,
) -> Path:
    """Write an LLM.

    Args:
        folder: Where.
        answer: What it says to anything, in pieces; bytes may be a part of a character.
        template: Its chat template.
        bos: What the template knows as `bos_token`.
        ends: Whether it stops; else it begins again.
        torn: Whether each piece is followed by the next or by itself, each as likely.
        every: Whether its network gives logits of all tokens, and not of those that are asked for.
        output: What they are called.
        model: More for its llm_config.json.
        **config: More for its config.json.
    """
    folder.mkdir(parents=True)
    vocabulary = _Vocabulary(tuple(p.encode() if isinstance(p, str) else p for p in answer))
    (folder / "tokenizer.mtok").write_bytes(vocabulary.mtok(template, bos))
    words = store_words(np.eye(vocabulary.size, dtype=np.float32), WordKind.BF16)
    (folder / "embeddings.bin").write_bytes(words.to_bytes())
    _write_network(folder, vocabulary.follows(ends=ends, torn=torn), output, every=every)
    settings: dict[str, Any] = {
        "llm_model": "llm.mnn", "llm_weight": "llm.mnn.weight", "backend_type": "cpu",
        "tokenizer_file": "tokenizer.mtok", "embedding_file": "embeddings.bin", "thread_num": 1,
        "precision": "normal", "memory": "normal",
    }  # fmt: skip
    facts: dict[str, Any] = {
        "model_type": "made", "hidden_size": vocabulary.size, "layer_nums": 1,
        "attention_mask": "float", "is_visual": False, "is_mrope": False,
    }  # fmt: skip
    _write_json(folder / "config.json", settings | config)
    _write_json(folder / "llm_config.json", facts | dict(model or {}))
    return folder


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


@dataclass(frozen=True)
class _Vocabulary:
    """Bytes, START, END, the pieces, OTHER; a token's place is its id."""

    pieces: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return _BYTES + 2 + len(self.pieces) + 1

    def follows(self, *, ends: bool, torn: bool) -> Floats:
        """Logits of what comes after each token: float32 of shape (tokens, tokens)."""
        first, end, other = _BYTES + 2, _BYTES + 1, self.size - 1
        after = [*range(first + 1, other), end if ends else first]
        table = np.zeros((self.size, self.size), np.float32)
        table[:first, first] = _CERTAIN
        table[_BYTES] = np.eye(self.size)[end] * _CERTAIN
        for i, piece in enumerate(self.pieces):
            table[first + i, after[i]] = _CERTAIN
            if torn:
                table[first + i, first + i] = _CERTAIN
            if piece == CITATION.encode():
                table[first + i - 1, other] = _PERHAPS
                table[other, after[i]] = _CERTAIN
        return table

    def mtok(self, template: str, bos: str) -> bytes:
        """Return a byte-level BPE without merges, in the form of `minnow.export.mnn_llm.mtok`."""
        letters = _byte_letters()
        pieces = (*self.pieces, OTHER.encode())
        tokens = [*letters, START, END, *("".join(letters[b] for b in piece) for piece in pieces)]
        rows = sorted((token.encode(), i) for i, token in enumerate(tokens))
        added = [(_BYTES, START), (_BYTES + 1, END)]
        text = template.encode()
        return b"".join([
            b"430 4\n", f"0 1 0\n{_BYTES + 1}\n".encode(),
            b"\0\0", struct.pack("<BIBBI", 0, len(rows), 0, 1, 0),
            *(_string(token) + struct.pack("<I", i) for token, i in rows),
            b"\0", struct.pack("<I", len(added)),
            *(struct.pack("<IBBB", i, 1, 0, 0) + _string(name.encode()) for i, name in added),
            struct.pack("<I", len(text)), text, _string(b""), b"\0", _string(bos.encode()),
        ])  # fmt: skip


def _string(content: bytes) -> bytes:
    return struct.pack("<H", len(content)) + content


def _byte_letters() -> list[str]:
    """Return byte-level BPE's letter for every byte: itself if printable, else from U+0100 on."""
    seen = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in seen else next(others)) for byte in range(_BYTES)]


def _write_network(folder: Path, follows: Floats, output: str, *, every: bool) -> None:
    """Convert it; `--transformerFuse` makes MNN's attention with its KV cache of the nodes."""
    import onnx

    graph, log = folder / "llm.onnx", folder / "conversion.log"
    onnx.save(_Network().write(follows, output, every=every), graph)
    code = (
        "import sys; from minnow.mnn_modules import import_mnn_module; "
        "import_mnn_module('_tools').mnnconvert(sys.argv[1:])"
    )
    command = [
        sys.executable, "-c", code, "mnnconvert", "-f", "ONNX", "--modelFile", graph.name,
        "--MNNModel", "llm.mnn", "--transformerFuse", "--bizCode", "made",
    ]  # fmt: skip
    run_child("MNN's converter", command, log=log, folder=folder)
    assert b"kvcache: 1" in log.read_bytes()
    (folder / "llm.mnn.weight").touch()
    graph.unlink()
    log.unlink()


class _Network(Nodes):
    """Logits of the tokens from `logits_index` on: the last one, as a rule."""

    def write(self, follows: Floats, output: str, *, every: bool) -> Any:
        size = len(follows)
        states = self.reshape("input_ids", [1, -1, size], "states")
        seen = self.node("Concat", [states, self._attention(states, size)], "seen", axis=2)
        end, axis = (
            self.constant(name, [value], np.int32)
            for name, value in (("end", 2**31 - 1), ("axis", 1))
        )
        wanted = "logits_index"
        if every:
            wanted = self.node("Mul", [wanted, self.constant("zero", [0], np.int32)], "first")
        part = self.node("Slice", [seen, wanted, end, axis], "part")
        bias = np.zeros((_HEAD, size), np.float32)
        bias[0, -1] = _FOUND
        known = self.node(
            "MatMul", [part, self.table("known.w", np.vstack([follows, bias]))], "known"
        )
        place = self.node("ReduceMax", ["position_ids"], "place", keepdims=0)
        nothing = self.node("Mul", [self.cast(place, "placed"), self.scalar("none", 0)], "nothing")
        self.node("Add", [known, nothing], output)  # so that the input is not dropped
        inputs = [
            Input("input_ids", ("seq", 1, size), floats=True),
            Input("attention_mask", (1, 1, "seq", "all"), floats=True),
            Input("position_ids", (1, "seq")),
            Input("logits_index", (1,)),
            Input("past_keys", (1, "past", 1, _HEAD), floats=True),
            Input("past_values", (1, "past", 1, _HEAD), floats=True),
        ]
        return self.model(inputs, output, [1, "last", size])

    def _attention(self, states: str, size: int) -> str:
        """One head, whose first number is 1 once a cue was seen; in the form that is fused."""
        ask, key, value = (np.zeros((size, _HEAD), np.float32) for _ in range(3))
        ask[:, 0] = key[ord(CUE), 0] = _CERTAIN
        value[ord(CUE), 0] = 1
        keys = self.node("Concat", ["past_keys", self._head(states, "key", key)], "keys", axis=1)
        found = self._head(states, "value", value)
        values = self.node("Concat", ["past_values", found], "values", axis=1)
        q = self._turned(self._head(states, "ask", ask), "q", [0, 2, 1, 3])
        k, v = self._turned(keys, "k", [0, 2, 3, 1]), self._turned(values, "v", [0, 2, 1, 3])
        scores = self.node("MatMul", [q, k], "scores")
        scaled = self.node("Div", [scores, self.scalar("root", _HEAD**0.5)], "scaled")
        masked = self.node("Add", [scaled, "attention_mask"], "masked")
        weights = self.node("Softmax", [masked], "weights", axis=-1)
        mixed = self._turned(self.node("MatMul", [weights, v], "mixed"), "turned", [0, 2, 1, 3])
        return self.reshape(mixed, [1, -1, _HEAD], "found")

    def _head(self, states: str, name: str, weights: Floats) -> str:
        flat = self.node("MatMul", [states, self.table(f"{name}.w", weights)], f"{name}.flat")
        return self.reshape(flat, [1, -1, 1, _HEAD], name)

    def _turned(self, value: str, name: str, perm: list[int]) -> str:
        return self.node("Transpose", [value], name, perm=perm)
