"""The fastembed text engine: its own tokenizer, batching and pooling, on the CPU.

fastembed knows models by name and downloads them. Any other model is a folder that `write_model`
writes, which fastembed opens as a custom model without the network.
"""

from __future__ import annotations

import json
import os
import shutil
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.engines.base import check_threads, one_line
from minnow.engines.sizes import fit_texts
from minnow.errors import EngineError, MissingExtraError
from minnow.model.tokenizer import check_texts, load_whole_tokenizer
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.model.spec import EmbeddingSpec, EncoderSpec
    from minnow.vectors import Similarity

GRAPH = "model.onnx"
BATCH_TEXTS = 256
"""fastembed's own default."""

_POOLINGS = {Pooling.CLS: "CLS", Pooling.MEAN: "MEAN", Pooling.LAST_TOKEN: "LAST_TOKEN"}


def write_model(
    folder: Path,
    *,
    tokenizer: Path,
    encoder: EncoderSpec,
    embedding: EmbeddingSpec,
    graph: Path | bytes,
) -> None:
    """Write a model's files as fastembed reads them, for the same vectors.

    Args:
        folder: An existing, empty folder.
        tokenizer: The model's tokenizer.json.
        encoder: The network, for its padding.
        embedding: How its vectors are made: the limit, and whether texts are lowercased.
        graph: An ONNX file whose first output is token states, which is linked where possible; or
            the content of one, whose inputs are widened, see `widen_inputs`.

    Raises:
        EngineError: fastembed has no such pooling, or the tokenizer no padding.
        SourceError: The tokenizer cannot be read.
        MissingExtraError: `graph` is content, and the extra `convert` is not installed.
        OSError: The folder cannot be written.
    """
    _pooling(embedding.pooling)
    if not embedding.head.is_plain:
        raise EngineError(
            f"The model's head is {embedding.head.description}, and fastembed only pools."
        )
    if embedding.truncate_dim is not None:
        raise EngineError(
            f"The model keeps {embedding.truncate_dim} numbers of a vector (truncate_dim), and "
            "fastembed keeps all."
        )
    whole = load_whole_tokenizer(tokenizer, lowercase=embedding.lowercase)
    padding = whole.id_to_token(encoder.pad_token_id)
    if padding is None:
        raise EngineError(f"{tokenizer} has no token with the id {encoder.pad_token_id} to pad by.")
    whole.save(str(folder / "tokenizer.json"))
    limits = {"model_max_length": embedding.max_tokens, "pad_token": padding}
    (folder / "tokenizer_config.json").write_text(json.dumps(limits), encoding="utf-8")
    identity = {"pad_token_id": encoder.pad_token_id}
    (folder / "config.json").write_text(json.dumps(identity), encoding="utf-8")
    if isinstance(graph, bytes):
        (folder / GRAPH).write_bytes(widen_inputs(graph))
        return
    _link(graph, folder / GRAPH)
    weights = graph.with_name(graph.name + "_data")
    if weights.is_file():
        _link(weights, folder / weights.name)


def widen_inputs(graph: bytes) -> bytes:
    """Widen a graph's inputs to ids of 64 bits, as fastembed passes them, with a cast behind each.

    Raises:
        MissingExtraError: The extra `convert` is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("Writing a graph for fastembed", "convert") from error
    model = onnx.load_from_string(graph)
    narrow, wide = onnx.TensorProto.INT32, onnx.TensorProto.INT64
    inputs = [row for row in model.graph.input if row.type.tensor_type.elem_type == narrow]
    names = {row.name: f"{row.name}.int32" for row in inputs}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    for row in inputs:
        row.type.tensor_type.elem_type = wide
        cast = onnx.helper.make_node("Cast", [row.name], [names[row.name]], to=narrow)
        model.graph.node.insert(0, cast)
    content: bytes = model.SerializeToString()
    return content


class FastembedEmbedder:
    """A model in a folder that `write_model` wrote, as fastembed runs it.

    Attributes:
        name: The library and its version.
    """

    def __init__(
        self,
        folder: Path,
        embedding: EmbeddingSpec,
        *,
        encoder: EncoderSpec,
        threads: int | None = None,
    ) -> None:
        """Load the model; nothing is downloaded.

        Args:
            folder: A model in fastembed's form.
            embedding: How its vectors are made; its prompts go before texts.
            encoder: Its network.
            threads: CPU threads of a forward pass; by default ONNX Runtime's own choice.

        Raises:
            EngineError: fastembed has no such pooling, or refuses the folder.
            MissingExtraError: The extra `fastembed` is not installed.
        """
        check_threads(threads)
        pooling = _pooling(embedding.pooling)
        try:
            from fastembed import TextEmbedding
            from fastembed.common.model_description import ModelSource, PoolingType
        except ImportError as error:
            raise MissingExtraError("The engine fastembed", "fastembed") from error
        name = f"minnow/{os.urandom(8).hex()}"  # fastembed refuses a name that it knows
        TextEmbedding.add_custom_model(
            name,
            pooling=PoolingType[pooling],
            normalization=embedding.normalize,
            sources=ModelSource(hf=name),
            dim=encoder.width,
            model_file=GRAPH,
        )
        try:
            self._model: Any = TextEmbedding(
                name,
                cache_dir=str(folder),
                threads=threads,
                providers=["CPUExecutionProvider"],
                lazy_load=False,
                specific_model_path=str(folder),
                local_files_only=True,
            )
        except Exception as error:  # those of ONNX Runtime and tokenizers have no public base
            raise EngineError(f"fastembed cannot load {folder}: {one_line(error)}") from error
        self._embedding, self._encoder = embedding, encoder
        self.name = f"fastembed {version('fastembed')}"

    @property
    def similarity_kind(self) -> Similarity:
        """The similarity that the model's vectors are made for."""
        return self._embedding.similarity

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text as the model reads them, special tokens included."""
        rows = self._open().model.tokenize(check_texts(texts))
        return [
            [i for i, real in zip(row.ids, row.attention_mask, strict=True) if real] for row in rows
        ]

    def encode(self, texts: Sequence[str], *, batch_size: int = BATCH_TEXTS) -> NDArray[np.float32]:
        """Embed texts without a prompt: float32 of shape (texts, width).

        Raises:
            EngineError: fastembed failed, or the engine is closed.
            BatchSizeError: There is no memory for the longest text alone.
            InputError: A text is not a string; the message names it.
        """
        return self._rows("", texts, batch_size)

    def encode_query(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed questions behind the query prompt; raises as `encode` does."""
        return self._rows(self._embedding.role_prompts.query, texts)

    def encode_document(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages behind the document prompt; raises as `encode` does."""
        return self._rows(self._embedding.role_prompts.document, texts)

    def close(self) -> None:
        """Release the model; encoding fails from then on."""
        self._model = None

    def _open(self) -> Any:
        if self._model is None:
            raise EngineError("This engine is closed.")
        return self._model

    def _rows(
        self, prompt: str, texts: Sequence[str], batch_size: int = BATCH_TEXTS
    ) -> NDArray[np.float32]:
        texts = check_texts(texts)
        model = self._open()
        if not texts:
            return np.empty((0, self._encoder.width), dtype=np.float32)
        behind = [prompt + text for text in texts]
        batch_size = fit_texts(behind, batch_size, self._encoder, self.token_ids)
        try:
            rows = np.asarray(list(model.embed(behind, batch_size=batch_size)), dtype=np.float32)
        except Exception as error:  # ONNX Runtime's errors have no public base
            raise EngineError(f"fastembed failed: {one_line(error)}") from error
        shape = len(texts), self._encoder.width
        if rows.shape != shape:
            raise EngineError(
                f"fastembed gave vectors of shape {rows.shape}, not {shape}: "
                "the first output of the graph is not its token states."
            )
        return rows


def _pooling(pooling: Pooling) -> str:
    """Return fastembed's name of a pooling.

    Raises:
        EngineError: fastembed does not have it.
    """
    if pooling not in _POOLINGS:
        known = ", ".join(each.value for each in _POOLINGS)
        raise EngineError(f"fastembed pools by {known}; this model by {pooling.value}.")
    return _POOLINGS[pooling]


def _link(file: Path, name: Path) -> None:
    """Link a file under another name; copy it where the system cannot."""
    try:
        os.link(file.resolve(), name)
    except OSError:
        shutil.copyfile(file, name)
