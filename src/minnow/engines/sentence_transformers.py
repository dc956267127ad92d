"""The sentence-transformers text engine: its own tokenizer, batching and pooling, on the CPU.

The network runs on torch, or through optimum on ONNX Runtime or OpenVINO.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from minnow.engines.base import check_threads, one_line
from minnow.engines.openvino_library import own_signal_stack, without_telemetry
from minnow.engines.sizes import NetworkSizes, fit_texts
from minnow.errors import EngineError, MissingExtraError
from minnow.model.tokenizer import check_texts
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Backend = Literal["torch", "onnx", "openvino"]

BATCH_TEXTS = 32
"""Texts of a batch in sentence-transformers, where nobody says otherwise."""

_MODULES = {
    "torch": (),
    "onnx": ("onnxruntime", "optimum.onnxruntime"),
    "openvino": ("openvino", "optimum.intel.openvino"),
}
"""Modules that each back end imports besides sentence-transformers."""


def export_model(folder: Path, destination: Path, backend: Backend) -> None:
    """Write a model as a back end reads it, with sentence-transformers' own export.

    Run it in a process of its own: it loads torch and traces the network.

    Args:
        folder: A sentence-transformers model with its weights.
        destination: The folder that receives all files of the model; it is made if need be.
        backend: "onnx" or "openvino".

    Raises:
        EngineError: sentence-transformers refuses the folder, or cannot export the model.
        MissingExtraError: The extra `st-backends` is not installed.
    """
    model = _load(folder, backend, export=True)
    model.save_pretrained(str(destination), create_model_card=False)


class SentenceTransformersEmbedder:
    """A model in a folder, as sentence-transformers runs it.

    It computes in float32; on OpenVINO in bfloat16 if the processor has instructions for that.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        backend: Backend = "torch",
        route: str | None = None,
    ) -> None:
        """Load the model; nothing is downloaded.

        Args:
            folder: A sentence-transformers model with its weights; for another back end than torch
                with its graph instead, as `export_model` writes it.
            threads: CPU threads, on torch for this whole process; by default the choice of torch
                or of the back end.
            query_prompt: Prefix of queries, in place of the model's.
            document_prompt: Prefix of documents, in place of the model's.
            backend: The runtime of the network.
            route: The route of its router that takes all texts, where it has one.

        Raises:
            EngineError: sentence-transformers refuses the folder.
            MissingExtraError: The extra `sentence-transformers` is not installed, or for another
                back end than torch `st-backends`.
        """
        check_threads(threads)
        torch = _import_torch()
        if threads is not None:
            torch.set_num_threads(threads)
        self._model: Any = _load(folder, backend, threads)
        if route is not None:
            self._model = _on_route(self._model, route)
        self._query_prompt, self._document_prompt = query_prompt, document_prompt
        self._sizes = _network_sizes(self._model, backend)
        self.name = f"sentence-transformers {version('sentence-transformers')}"
        if backend != "torch":
            self.name += f" on {backend}"

    @property
    def similarity_kind(self) -> Similarity:
        """The similarity that the model's vectors are made for."""
        return Similarity(self._open().similarity_fn_name)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text as the model reads them, special tokens included."""
        model = self._open()
        limit = model.max_seq_length
        try:
            rows = [model.tokenizer(t, truncation=True, max_length=limit) for t in texts]
        except Exception as error:  # of its tokenizer
            raise EngineError(f"{self.name} cannot read the texts: {_reason(error)}") from error
        return [list(row["input_ids"]) for row in rows]

    def encode(
        self, texts: Sequence[str], *, batch_size: int = BATCH_TEXTS, prompt: str = ""
    ) -> NDArray[np.float32]:
        """Embed texts behind a prompt: float32 of shape (texts, width).

        Raises:
            EngineError: sentence-transformers failed, or the engine is closed.
            BatchSizeError: There is no memory for the longest text alone.
        """
        return self._rows(self._open().encode, texts, prompt, batch_size)

    def encode_query(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed questions behind the query prompt if there is one; raises as `encode` does."""
        return self._rows(self._open().encode_query, texts, self._query_prompt)

    def encode_document(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages behind the document prompt if there is one; raises as `encode` does."""
        return self._rows(self._open().encode_document, texts, self._document_prompt)

    def close(self) -> None:
        """Release the model; encoding fails from then on."""
        self._model = None

    def _open(self) -> Any:
        if self._model is None:
            raise EngineError("This engine is closed.")
        return self._model

    def _rows(
        self,
        encode: Callable[..., object],
        texts: Sequence[str],
        prompt: str | None,
        batch_size: int = BATCH_TEXTS,
    ) -> NDArray[np.float32]:
        texts = check_texts(texts)
        if not texts:
            return np.empty((0, self._open().get_embedding_dimension()), dtype=np.float32)
        if self._sizes is not None:
            behind = [prompt + text for text in texts] if prompt else texts
            batch_size = fit_texts(behind, batch_size, self._sizes, self.token_ids)
        try:
            found = encode(texts, prompt=prompt, batch_size=batch_size)
        except Exception as error:  # of torch, or of the model's own modules
            raise EngineError(f"{self.name} cannot embed the texts: {_reason(error)}") from error
        rows: NDArray[np.float32] = np.asarray(found, dtype=np.float32)
        return rows


def _reason(error: Exception) -> str:
    """Return what an error of another library says in one line, with its type where that helps."""
    said = one_line(error)
    return said if isinstance(error, (OSError, RuntimeError)) else f"{type(error).__name__}: {said}"


def _import_torch() -> Any:
    try:
        import sentence_transformers  # noqa: F401
        import torch
    except ImportError as error:
        raise MissingExtraError(
            "The engine sentence-transformers", "sentence-transformers"
        ) from error
    return torch


def _load(
    folder: Path, backend: Backend, threads: int | None = None, *, export: bool = False
) -> Any:
    """Load the model; importing its back end sends no telemetry."""
    _import_torch()
    from sentence_transformers import SentenceTransformer

    with without_telemetry(), own_signal_stack():
        try:
            for module in _MODULES[backend]:
                import_module(module)
        except ImportError as error:
            name = f"sentence-transformers' back end {backend}"
            raise MissingExtraError(name, "st-backends") from error
        options = {**_thread_options(backend, threads), **({"export": True} if export else {})}
        try:
            return SentenceTransformer(
                str(folder),
                device="cpu",
                local_files_only=True,
                backend=backend,
                model_kwargs=options,
            )
        except Exception as error:  # whatever its modules raise at a file that they do not expect
            raise EngineError(
                f"sentence-transformers cannot load {folder}: {_reason(error)}"
            ) from error


def _on_route(model: Any, route: str) -> Any:
    """Return a model with the modules of a route in the place of the router."""
    from sentence_transformers import SentenceTransformer

    modules: list[Any] = []
    for module in model:
        modules += getattr(module, "sub_modules", {route: [module]})[route]
    return SentenceTransformer(modules=modules, device="cpu")


def _network_sizes(model: Any, backend: Backend) -> NetworkSizes | None:
    """Return the sizes of a model's network; None where it has none, as a static model."""
    try:
        config = model[0].auto_model.config
        width, heads = int(config.hidden_size), int(config.num_attention_heads)
    except (AttributeError, TypeError, ValueError):
        return None
    inner = getattr(config, "intermediate_size", None) or 4 * width
    if backend == "torch" and getattr(config, "_attn_implementation", "") == "sdpa":
        heads = 1  # torch's own attention holds the mask alone, not the scores
    return NetworkSizes(width, int(inner), heads)


def _thread_options(backend: Backend, threads: int | None) -> dict[str, Any]:
    """Return the options that sentence-transformers documents for a back end's threads."""
    if backend == "onnx":
        import onnxruntime

        session = onnxruntime.SessionOptions()
        session.intra_op_num_threads = threads or 0
        return {"provider": "CPUExecutionProvider", "session_options": session}
    if backend == "openvino" and threads is not None:
        return {"ov_config": {"INFERENCE_NUM_THREADS": threads}}
    return {}
