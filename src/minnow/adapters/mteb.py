"""Adapter for mteb 2: a bundle gets the leaderboard's scores, as it is shipped.

```python
import mteb
from minnow.adapters.mteb import MtebModel

model = MtebModel("bge-small.minnow")
results = mteb.evaluate(model, tasks=mteb.get_tasks(tasks=["SciFact"]))
```

mteb stores scores by name and revision. The name is `minnow/bge-small-en-v1.5-fp16`, because a
conversion is not the original; the revision is a digest of everything that the vectors depend on.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, cast, get_args
from uuid import uuid4

import msgspec
import numpy as np

from minnow.bundle import Bundle
from minnow.embedder import Embedder
from minnow.errors import InputError, MissingExtraError
from minnow.graph.mnn_file import WEIGHTS
from minnow.manifest import ENCODER, QUERIES, TOKENIZER
from minnow.model.families import network_of
from minnow.model.parameters import count_parameters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import torch
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models.model_meta import ModelMeta
    from mteb.types import PromptType
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from minnow.engines import EngineArguments
    from minnow.manifest import Manifest
    from minnow.options import EncodeOptions, PeerEncodeOptions

    Vectors = NDArray[np.float32] | torch.Tensor


class MtebModel:
    """A bundle as mteb's `EncoderProtocol`.

    Attributes:
        embedder: The embedder of the bundle; close it to free its memory.
        mteb_model_meta: The metadata that mteb stores with the scores.
    """

    def __init__(
        self, bundle: str | Path | Bundle | Embedder, **engine: Unpack[EngineArguments]
    ) -> None:
        """Open a bundle, or take an open embedder.

        Texts over the limit are truncated without a warning, as for every model of the
        leaderboard; an embedder keeps its own `on_truncate`. An embedder has no manifest, so it
        gets a new revision each time, and mteb never reuses old scores for it.

        Args:
            bundle: The folder that `minnow convert` wrote, or an embedder.
            **engine: Which engine runs a bundle, and how, as in `Embedder.open`.

        Raises:
            BundleError: Not a bundle, or a file in it has changed.
            EngineError: The runtime cannot load it.
            InputError: Arguments for the engine were given with an embedder.
            MissingExtraError: The extra `mteb` is not installed.
        """
        if isinstance(bundle, Embedder):
            given = ", ".join(name for name, value in engine.items() if value is not None)
            if given:
                raise InputError(f"{given} is for a bundle; an embedder already has its engine.")
            self.embedder, manifest = bundle, None
        else:
            bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
            manifest = bundle.manifest
            self.embedder = Embedder.open(bundle, on_truncate="ignore", **engine)
        self.mteb_model_meta = _describe(self.embedder, manifest)

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **options: Unpack[EncodeOptions],
    ) -> NDArray[np.float32]:
        """Embed the texts of a task, each after the model's prompt for it.

        That is the first one named `TASK-ROLE`, `TASK`, `TYPE-ROLE` or `TYPE`, in mteb's order
        (`Retrieval-query`, `STS`); otherwise the role's prompt; without a role, the default prompt.

        Args:
            inputs: Batches; `text` holds the texts, those of documents after their titles.
            task_metadata: The task's name and type.
            hf_split: Not used.
            hf_subset: Not used.
            prompt_type: The role.
            **options: Options of `Embedder.encode`, from the `encode_kwargs` of `mteb.evaluate`.

        Returns:
            float32 of shape (texts, width).

        Raises:
            InputError: As `Embedder.encode`, or the precision is not float32: ranges of one call
                are not those of another.
            EngineError: The runtime failed, or gave NaN.
        """
        from mteb.models.abs_encoder import get_prompt_name

        precision = cast("PeerEncodeOptions", options).get("precision")
        if precision not in (None, "float32"):
            raise InputError(
                f"precision={precision!r:.60} is not possible for tasks: leave it out."
            )
        texts: list[str] = [text for batch in inputs for text in batch["text"]]
        prompts = dict(self.embedder.embedding.prompts)
        options.setdefault("prompt_name", get_prompt_name(prompts, task_metadata, prompt_type))
        if prompt_type is not None:
            options = self.embedder.role_options(prompt_type.value, options)
        return self.embedder.encode(texts, **options)

    def similarity(self, embeddings1: Vectors, embeddings2: Vectors) -> torch.Tensor:
        """Compare every vector with every other by the model's similarity.

        Args:
            embeddings1: float32 of shape (rows, width) or (width,).
            embeddings2: float32 of shape (others, width) or (width,).

        Returns:
            float32 of shape (rows, others); larger is more alike.
        """
        import torch

        rows, others = np.asarray(embeddings1), np.asarray(embeddings2)
        return torch.from_numpy(self.embedder.similarity(rows, others))

    def similarity_pairwise(self, embeddings1: Vectors, embeddings2: Vectors) -> torch.Tensor:
        """Compare each vector with the one in the same row, as `similarity` does.

        Both are float32 of shape (rows, width); the result is float32 of shape (rows,).
        """
        import torch

        pairs = zip(np.asarray(embeddings1), np.asarray(embeddings2), strict=True)
        return torch.tensor([self.embedder.similarity(a, b).item() for a, b in pairs])


def _describe(embedder: Embedder, manifest: Manifest | None) -> ModelMeta:
    """Return mteb's metadata of a model; fields that are unknown are None."""
    try:
        from mteb.models.model_meta import ModelMeta, ScoringFunction
    except ImportError as error:
        raise MissingExtraError("The MTEB adapter", "mteb") from error
    parts = (embedder,) if embedder.queries is None else (embedder, embedder.queries)
    known = {
        "name": f"minnow/{embedder.name}",
        "revision": f"unsealed-{uuid4().hex[:12]}",
        "n_parameters": sum(count_parameters(p.encoder, p.embedding.head) for p in parts),
        "n_embedding_parameters": sum(
            part.encoder.vocab_size * network_of(part.encoder).table_width for part in parts
        ),
        "embed_dim": embedder.width,
        "max_tokens": embedder.max_tokens,
        "similarity_fn_name": ScoringFunction(embedder.embedding.similarity.value),
        "use_instructions": any(embedder.embedding.prompts.values()),
        "framework": [],  # mteb's list has no MNN
    }
    if manifest is not None:
        known |= _origin(manifest)
    return ModelMeta.model_validate({**ModelMeta.create_empty().model_dump(), **known})


def _origin(manifest: Manifest) -> dict[str, Any]:
    """Return the fields that only a bundle's manifest has."""
    from mteb.types import Licenses

    source = manifest.source
    model = re.split(r"[/\\:]", source.model_id or source.name)[-1]
    return {
        "name": f"minnow/{model}-{manifest.recipe.precision.value}",
        "revision": _digest(manifest),
        "adapted_from": source.model_id,
        "reference": source.model_id and f"https://huggingface.co/{source.model_id}",
        "license": source.license if source.license in get_args(Licenses) else None,
        "open_weights": True if source.model_id else None,
        "memory_usage_mb": sum(manifest.files[name].size for name in _encoders(manifest)) / 2**20,
    }


def _encoders(manifest: Manifest) -> list[str]:
    """Return the files of the encoders: of all texts, or of documents and of queries."""
    names = (ENCODER, ENCODER + WEIGHTS)
    places = (prefix + name for prefix in ("", f"{QUERIES}/") for name in names)
    return [name for name in places if name in manifest.files]


def _digest(manifest: Manifest) -> str:
    """Return twelve digits that change with anything that the vectors depend on."""
    tokenizers = [name for name in (TOKENIZER, f"{QUERIES}/{TOKENIZER}") if name in manifest.files]
    files = [manifest.files[name].sha256 for name in (*_encoders(manifest), *tokenizers)]
    parts = (manifest, manifest.queries) if manifest.queries else (manifest,)
    specs = [spec for part in parts for spec in (part.encoder, part.embedding)]
    content = msgspec.json.encode([files, *specs])
    return hashlib.sha256(content).hexdigest()[:12]
