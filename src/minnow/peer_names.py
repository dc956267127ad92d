"""The names of the class `SentenceTransformer` (6.2) that code written for it uses.

`Embedder` has them beside its own. What differs on purpose raises an error that names it.
"""

from __future__ import annotations

from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from minnow.encoding import TextEncoder
from minnow.errors import InputError
from minnow.options import check_default_prompt, check_device
from minnow.outputs import as_numbers, as_tensor, is_tensor
from minnow.peer_tokenizer import PeerTokenizer
from minnow.records import replace
from minnow.vectors import Similarity, pairwise_similarity, similarity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Self

    from minnow.options import PeerSettings

    Pool = dict[str, Any]

_NOT_TRAINED = "a bundle is finished and is not trained; train the source and convert it again"
_CONVERTED = "`minnow convert` writes bundles, and a proven one is not changed"
_NO_TORCH = "the network runs on MNN, not on torch"
_ABSENT = {
    **dict.fromkeys(("fit", "old_fit", "train", "compile", "merge", "add_adapter"), _NOT_TRAINED),
    **dict.fromkeys(("save", "save_pretrained", "save_to_hub", "push_to_hub"), _CONVERTED),
    **dict.fromkeys(
        ("forward", "parameters", "named_parameters", "state_dict", "transformers_model",
         "auto_model", "_first_module", "_last_module", "dtype"),
        _NO_TORCH,
    ),
    "half": "convert with `precision=` fp16, which is the default",
    "bfloat16": "convert with `precision=` fp16, which is the default",
    "cuda": "a bundle runs on the CPU",
    "set_pooling_include_prompt": "the bundle settles which tokens are pooled",
    "get_sentence_features": "tokenize gives the ids of texts",
}  # fmt: skip
"""Names of SentenceTransformer that an embedder does not have, and why."""


class ModelCard:
    """The part of a model's card that evaluators of sentence-transformers read and write.

    The card of a bundle is sealed, so what they write is not kept.

    Attributes:
        base_model: The name of the embedder.
    """

    def __init__(self, base_model: str) -> None:
        self.base_model = base_model

    def set_evaluation_metrics(self, *_: object) -> None:
        """Take the metrics of an evaluator, which also returns them to its caller."""


class SentenceTransformerNames(TextEncoder):
    """Further properties and methods of `SentenceTransformer`."""

    _proven_tokens: int

    @property
    def tokenizer(self) -> PeerTokenizer:
        """The tokenizer, with the methods of one of transformers."""
        return PeerTokenizer(self.text_tokenizer, self.pipeline.encoder.pad_token_id)

    def tokenize(self, texts: Sequence[str]) -> dict[str, Any]:
        """Return the padded ids of texts and their mask: int64 arrays of shape (texts, tokens)."""
        return self.tokenizer(texts, padding=True, truncation=True, return_tensors="np")

    @property
    def device(self) -> str:
        """The device that the model runs on."""
        return "cpu"

    @property
    def prompts(self) -> Mapping[str, str]:
        """The text of each prompt, by name; assign a dict to replace them all."""
        return MappingProxyType({"query": "", "document": "", **self.embedding.prompts})

    @prompts.setter
    def prompts(self, prompts: Mapping[str, str]) -> None:
        self._set_prompts(prompts, self.default_prompt_name)

    @property
    def default_prompt_name(self) -> str | None:
        """The prompt of a plain `encode`."""
        return self.embedding.default_prompt_name

    @default_prompt_name.setter
    def default_prompt_name(self, name: str | None) -> None:
        self._set_prompts(self.embedding.prompts, name)

    @property
    def max_seq_length(self) -> int:
        """The longest text in tokens; it may be set to less than the bundle was proven for."""
        return self.embedding.max_tokens

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        parts = [part for part in (self, self.queries) if part is not None]
        most = min(part._proven_tokens for part in parts)
        if isinstance(tokens, bool) or not isinstance(tokens, int) or not 0 < tokens <= most:
            raise InputError(
                f"max_seq_length={tokens!r:.60} is not possible here: the bundle was proven for "
                f"1 to {most} tokens. For more, convert the model with `max_tokens=`."
            )
        for part in parts:
            part.text_tokenizer.limit(tokens)
        self._change_embedding(max_tokens=tokens)

    def get_max_seq_length(self) -> int:
        """Return `max_seq_length`."""
        return self.max_seq_length

    def get_embedding_dimension(self) -> int:
        """Return the length of the vectors that `encode` gives."""
        return self.truncate_dim or self.pipeline.width

    def get_sentence_embedding_dimension(self) -> int:
        """Return `get_embedding_dimension`, by its name before sentence-transformers 6."""
        return self.get_embedding_dimension()

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Have `encode` return vectors of another length within a block."""
        before = self.truncate_dim
        self._truncate(truncate_dim)
        try:
            yield
        finally:
            self.truncate_dim = before

    truncate_sentence_embeddings = truncate_embeddings

    # --- similarity ----------------------------------------------------------------------

    @property
    def similarity_fn_name(self) -> str:
        """The similarity of vectors: "cosine", "dot", "euclidean" or "manhattan"."""
        return self.embedding.similarity.value

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: str) -> None:
        try:
            kind = Similarity(getattr(name, "value", name))
        except ValueError:
            names = ", ".join(each.value for each in Similarity)
            raise InputError(f"similarity_fn_name should be {names}, not {name!r:.60}.") from None
        self._change_embedding(similarity=kind)

    def similarity(self, a: Any, b: Any) -> Any:
        """Compare vectors by the model's similarity, which is the cosine unless it states another.

        Args:
            a: Numbers of shape (rows, width) or (width,): an array, a tensor, or a list of either.
            b: Numbers of shape (others, width) or (width,).

        Returns:
            float32 of shape (rows, others); larger is more alike. A tensor where either argument
            is one, else an array.

        Raises:
            InputError: The widths differ.
        """
        found = similarity(as_numbers(a), as_numbers(b), self.embedding.similarity)
        return as_tensor(found) if is_tensor(a) or is_tensor(b) else found

    def similarity_pairwise(self, a: Any, b: Any) -> Any:
        """Compare each row of `a` with the same row of `b`.

        Args:
            a: Numbers of shape (rows, width), as `similarity` takes them.
            b: Numbers of the same shape.

        Returns:
            float32 of shape (rows,); a tensor where either argument is one, else an array.

        Raises:
            InputError: The widths or the numbers of rows differ; one row is compared with all.
        """
        found = pairwise_similarity(as_numbers(a), as_numbers(b), self.embedding.similarity)
        return as_tensor(found) if is_tensor(a) or is_tensor(b) else found

    # --- processes, evaluators, torch ----------------------------------------------------

    def start_multi_process_pool(self, target_devices: Sequence[str] | None = None) -> Pool:
        """Return an empty pool: `encode` runs many texts in several sessions by itself."""
        check_device(target_devices)
        return {"input": None, "output": None, "processes": []}

    @staticmethod
    def stop_multi_process_pool(pool: Pool) -> None:
        """Take back the pool of `start_multi_process_pool`, which holds no process."""

    def encode_multi_process(
        self, sentences: Sequence[str], pool: Pool | None = None, **options: Any
    ) -> Any:
        """Embed texts; the same as `encode`."""
        return self.encode(sentences, pool=pool, **options)

    @property
    def model_card_data(self) -> ModelCard:
        """What evaluators ask of the model's card."""
        return ModelCard(self.name)

    def evaluate(self, evaluator: Any, output_path: str | None = None) -> Any:
        """Return what an evaluator of sentence-transformers says of this model."""
        return evaluator(self, output_path)

    def to(self, device: object) -> Self:
        """Return the embedder itself, for the CPU.

        Raises:
            InputError: It is another device.
        """
        check_device(device)
        return self

    def cpu(self) -> Self:
        """Return the embedder itself."""
        return self

    def eval(self) -> Self:
        """Return the embedder itself, which is never in training."""
        return self

    if not TYPE_CHECKING:  # a type checker should know which names there are

        def __getattr__(self, name: str) -> Any:
            """Raise an error that says why a name of SentenceTransformer is absent."""
            if name in _ABSENT:
                raise AttributeError(f"An embedder of minnow has no {name!r}: {_ABSENT[name]}.")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # --- what a caller may change --------------------------------------------------------

    def _apply(self, settings: PeerSettings) -> None:
        """Apply the settings of the class SentenceTransformer that are no fields of the engine."""
        prompts = {**self.embedding.prompts, **(settings.get("prompts") or {})}
        default = settings.get("default_prompt_name") or self.default_prompt_name
        self._set_prompts(prompts, default)
        if settings.get("similarity_fn_name") is not None:
            self.similarity_fn_name = settings["similarity_fn_name"]  # type: ignore[assignment]
        self._truncate(settings.get("truncate_dim"))

    def _set_prompts(self, prompts: Mapping[str, str], default: str | None) -> None:
        if not all(isinstance(text, str) for pair in prompts.items() for text in pair):
            raise InputError("prompts should have a string for each name.")
        check_default_prompt(default, prompts)
        self._change_embedding(prompts=dict(prompts), default_prompt_name=default)

    def _truncate(self, dim: int | None) -> None:
        most = self.pipeline.width
        if dim is not None and (isinstance(dim, bool) or not 0 < dim <= most):
            raise InputError(f"truncate_dim should be 1 to {most}, the model's width, not {dim}.")
        self.truncate_dim = dim

    def _change_embedding(self, **changes: Any) -> None:
        """Change how texts become vectors, in the encoder of queries too."""
        self.embedding = replace(self.embedding, **changes)
        self.pipeline = replace(self.pipeline, embedding=self.embedding)
        if self.queries is not None:
            self.queries._change_embedding(**changes)
