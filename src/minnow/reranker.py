"""The class that users open and call to score pairs of texts, and to rank documents."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from minnow.embedder import TruncationWarning
from minnow.engine_choice import CHECKED_PAIRS, Check, judge_logits, open_chosen
from minnow.engines import AGREEMENT, EngineOptions, open_engine
from minnow.errors import InputError
from minnow.manifest import ENCODER, TOKENIZER
from minnow.model.pairs import PairTokenizer
from minnow.model.spec import Interface
from minnow.model_cache import (
    ConversionOptions,
    bundle_of_call,
    of_the_hub,
    open_bundle,
    print_step,
)
from minnow.options import (
    PredictOptions,
    check_iterable,
    check_options,
    check_pairs,
    check_unset,
    is_pair,
    split_arguments,
)
from minnow.outputs import OutputForm
from minnow.pipeline import Pipeline
from minnow.progress import show_progress
from minnow.records import replace
from minnow.scores import is_known, scores_of, softmax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray
    from typing_extensions import NotRequired, Unpack

    from minnow.bundle import Bundle
    from minnow.engines import Engine, EngineArguments
    from minnow.model.spec import EmbeddingSpec, EncoderSpec, RerankingSpec
    from minnow.model.tokenizer import TokenizedText
    from minnow.options import OnTruncate, OpenArguments

    Floats = NDArray[np.float32]
    Pair = tuple[str, str]


class RankedDocument(TypedDict):
    """A document in its place, as `CrossEncoder.rank` gives it.

    Attributes:
        corpus_id: Its number among the documents, from 0.
        score: Its score.
        text: The document, where `return_documents` asks for it.
    """

    corpus_id: int
    score: float
    text: NotRequired[str]


class Reranker:
    """Reranker of documents with a bundle: it reads a query and a document together.

    Names and conventions are those of sentence-transformers' `CrossEncoder`. It can be used from
    several threads, and after a fork.

    ```python
    with Reranker.open("ms-marco.minnow") as reranker:
        for row in reranker.rank("how do fish sleep?", passages, top_k=5, return_documents=True):
            print(row["score"], row["text"])
    ```
    """

    name: str
    encoder: EncoderSpec
    embedding: EmbeddingSpec
    reranking: RerankingSpec
    on_truncate: OnTruncate
    _reason: Callable[[], str]
    pipeline: Pipeline[Pair]

    def __init__(
        self,
        model_name_or_path: str | Path | Bundle,
        options: EngineOptions = EngineOptions(),
        *,
        conversion: ConversionOptions = ConversionOptions(),
        progress: Callable[[str], None] = print_step,
        on_truncate: OnTruncate = "warn",
        check_files: bool = True,
        **changes: Unpack[OpenArguments],
    ) -> None:
        """Open a model by its name; convert it first if that has not been done yet.

        The arguments and errors are those of the class `Embedder`; a name has a slash.
        """
        bundle = bundle_of_call(model_name_or_path, changes, conversion, progress)
        opened = self.open(
            bundle, options, on_truncate=on_truncate, check_files=check_files, **changes
        )
        vars(self).update(vars(opened))

    @classmethod
    def from_parts(
        cls,
        engine: Engine,
        tokenizer: PairTokenizer,
        encoder: EncoderSpec,
        embedding: EmbeddingSpec,
        reranking: RerankingSpec,
        *,
        name: str = "reranker",
        on_truncate: OnTruncate = "warn",
    ) -> Self:
        """Join a token engine with a tokenizer of pairs; `open` does it for a bundle.

        Args:
            engine: Ids in, logits out.
            tokenizer: Pairs in, ids and token types out.
            encoder: The network that the engine runs.
            embedding: The way from token states to logits.
            reranking: The way from logits to scores.
            name: Its name in messages and reports.
            on_truncate: What to do about pairs over the limit: warn, refuse, or say nothing.
        """
        self = cls.__new__(cls)
        self.name = name
        self.encoder = encoder
        self.embedding = embedding
        self.reranking = reranking
        self.on_truncate = on_truncate
        self._reason = lambda: f"{engine.name}, as it was given."
        self.pipeline = Pipeline(engine, tokenizer, encoder, embedding, name)
        return self

    @classmethod
    def open(
        cls,
        bundle: str | Path | Bundle,
        options: EngineOptions = EngineOptions(),
        *,
        on_truncate: OnTruncate = "warn",
        check_files: bool = True,
        **changes: Unpack[OpenArguments],
    ) -> Reranker:
        """Open a bundle; see `Embedder.open` for the engines that run it.

        Args:
            bundle: The folder that `minnow convert` wrote, or `hf:USER/NAME` for one on the Hub.
            options: Which engine runs it, and how. `engine_reason` says which one was chosen.
                `agreement` is 1 less the greatest difference of a logit from the bundle's own, in
                units of the largest logit where that is above 1; by default the difference is that
                which the bundle's proof allows for the numbers that it stores.
            on_truncate: What to do about pairs over the limit: warn, refuse, or say nothing.
            check_files: Compare every file with its hash in the manifest first, not only its size.
            **changes: Fields of the options, such as engine="mnn" or threads=2.

        Raises:
            BundleError: Not the bundle of a reranker, or a file in it has changed.
            SourceError, EngineError, ParityError, InputError, MissingExtraError: As
                `Embedder.open`.
        """
        engine, settings = split_arguments(changes)
        check_unset(settings)
        options = replace(options, **engine)
        bundle = open_bundle(bundle, **of_the_hub(settings))
        bundle.check_kind(reranks=True)
        manifest = bundle.manifest
        assert manifest.reranking is not None
        reranking = manifest.reranking

        def open_(
            changed: EngineOptions,
            model: bytes | None = None,
            interface: Interface = Interface.SCORES,
        ) -> Reranker:
            assert interface is Interface.SCORES
            return cls.from_files(
                bundle.folder, manifest.encoder, manifest.embedding, reranking, changed,
                model=model, tokenizer=tokenizer, on_truncate="ignore",
            )  # fmt: skip

        def judge(found: Floats, expected: Floats, agreement: float) -> str:
            is_default = agreement == AGREEMENT
            allowed = manifest.recipe.engine_difference if is_default else 1 - agreement
            return judge_logits(found, expected, allowed)

        reranker: Reranker | None = None
        try:
            with bundle.unchanged():
                with bundle.checking_encoders(hashes=check_files):
                    tokenizer = PairTokenizer(
                        bundle.folder / TOKENIZER, manifest.embedding, reranking
                    )
                reranker, reason = open_chosen(options, bundle, open_, Check(checked_logits, judge))
        except BaseException:
            if reranker is not None:
                reranker.close()
            raise
        reranker.on_truncate, reranker._reason = on_truncate, reason
        return reranker

    @classmethod
    def from_files(
        cls,
        folder: Path,
        encoder: EncoderSpec,
        embedding: EmbeddingSpec,
        reranking: RerankingSpec,
        options: EngineOptions = EngineOptions(),
        *,
        model: Path | bytes | None = None,
        tokenizer: PairTokenizer | None = None,
        on_truncate: OnTruncate = "warn",
        **changes: Unpack[EngineArguments],
    ) -> Self:
        """Open a folder with a tokenizer.json that is not sealed, or not yet.

        Args:
            folder: The folder of the tokenizer.json.
            encoder: The network.
            embedding: The way from token states to logits.
            reranking: The way from logits to scores.
            options: Which engine runs it, and how; "auto" is MNN here.
            model: What the engine loads; by default the folder's encoder.mnn.
            tokenizer: The folder's tokenizer, where it is loaded already.
            on_truncate: What to do about pairs over the limit.
            **changes: Fields of the options.

        Raises:
            SourceError: The tokenizer cannot be read.
            EngineError, InputError, MissingExtraError: As in `open`.
        """
        tokenizer = tokenizer or PairTokenizer(folder / TOKENIZER, embedding, reranking)
        engine = open_engine(
            model or folder / ENCODER, encoder, replace(options, **changes),
            interface=Interface.SCORES, width=len(reranking.labels),
            heads_apart=embedding.is_long,
        )  # fmt: skip
        return cls.from_parts(
            engine, tokenizer, encoder, embedding, reranking,
            name=folder.name, on_truncate=on_truncate,
        )  # fmt: skip

    @property
    def engine_reason(self) -> str:
        """Which engine runs the model, and why: sentences that may change with a call in bulk."""
        return self._reason()

    @property
    def num_labels(self) -> int:
        """How many scores a pair has; 1 where documents can be ranked by it."""
        return len(self.reranking.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each score, in order."""
        return self.reranking.labels

    @property
    def max_tokens(self) -> int:
        """The longest pair in tokens, special tokens included."""
        return self.embedding.max_tokens

    def predict(
        self,
        inputs: Pair | Iterable[Pair] | Iterable[Sequence[str]],
        *,
        apply_softmax: bool | None = False,
        **options: Unpack[PredictOptions],
    ) -> Any:
        """Score pairs of texts.

        Args:
            inputs: A pair of strings, or several.
            apply_softmax: Where there are several labels, have the scores of a pair sum to 1.
            **options: Those of `CrossEncoder.predict`: `prompt_name` or `prompt`, which is put
                before the first text of each pair; `batch_size`, the most pairs in one forward
                pass; `show_progress_bar`; `activation_fn`, which makes scores of the logits in
                place of the model's own: "sigmoid", "identity", or a function of a float32 array
                of shape (pairs, labels). `convert_to_tensor` gives a tensor of torch,
                `convert_to_numpy=False` a list of them. And `on_truncate`, in place of the
                reranker's choice.

        Returns:
            float32: one label gives shape (pairs,), several (pairs, labels). Without the first
            axis for a single pair.

        Raises:
            InputError: A pair is not two strings, is over the limit and `on_truncate` is "error",
                or an argument is out of range.
            EngineError: The runtime failed, or gave NaN.
        """
        single = is_pair(inputs)
        logits = self._logits(check_pairs([inputs] if single else inputs), options)
        form = OutputForm.check(options, self.num_labels)
        scores = scores_of(logits, self.reranking.activation, options.get("activation_fn"))
        if self.num_labels == 1 and scores.ndim > 1:
            scores = scores[:, 0]
        elif apply_softmax and scores.ndim > 1:
            scores = softmax(scores)
        found = form.of_vectors(scores)
        return found[0] if single else found

    def rank(
        self,
        query: str,
        documents: Iterable[str],
        top_k: int | None = None,
        return_documents: bool = False,
        **options: Unpack[PredictOptions],
    ) -> list[RankedDocument]:
        """Score documents against a query, the best first.

        The order is that of the logits, so that documents whose scores round to the same number,
        as sigmoids do near 1, still stand in their order; equal ones keep that of the input. A
        function of the caller's orders by its own scores.

        Args:
            query: The query.
            documents: The documents.
            top_k: Return so many at most; None returns all.
            return_documents: Return the documents too, as `text`.
            **options: As in `predict`; a prompt is put before the query.

        Returns:
            A row for each document, with `corpus_id`, `score` and perhaps `text`.

        Raises:
            InputError: The model has several labels, a text is not a string, or an argument is out
                of range.
            EngineError: The runtime failed, or gave NaN.
        """
        if self.num_labels != 1:
            raise InputError(
                f"{self.name} gives {self.num_labels} scores ({', '.join(self.labels)}), of which "
                "none orders documents. Use predict() with pairs."
            )
        if top_k is not None and (isinstance(top_k, bool) or top_k < 0):
            raise InputError(f"top_k should be 0 or more, not {top_k!r}.")
        if isinstance(documents, str):
            raise InputError("documents is one string; rank takes several.")
        texts = list(check_iterable(documents))
        logits = self._logits(check_pairs([(query, text) for text in texts]), options)
        chosen = options.get("activation_fn")
        scores = scores_of(logits, self.reranking.activation, chosen).reshape(len(texts))
        keys = logits[:, 0] if is_known(chosen) else scores
        rows: list[RankedDocument] = [
            {"corpus_id": int(i), "score": float(scores[i])}
            for i in np.argsort(-keys, kind="stable")[:top_k]
        ]
        if return_documents:
            for row in rows:
                row["text"] = texts[row["corpus_id"]]
        return rows

    def logits_batch(self, pairs: Sequence[Pair]) -> Floats:
        """Compute the logits of pairs in one forward pass, all padded to the longest.

        This is for measurements and proofs; `predict` makes better batches.

        Args:
            pairs: At least one pair, without prompts.

        Returns:
            float32 of shape (pairs, labels).
        """
        return self.pipeline.forward(self.pipeline.engine, self.tokenize(pairs))

    def tokenize(self, pairs: Sequence[Pair]) -> list[TokenizedText]:
        """Return the ids of each pair as the encoder reads them, and their token types."""
        return self.pipeline.tokenizer.tokenize(pairs)

    def warmup(self) -> None:
        """Run the model once, so that no request has to wait for work that is slow the first time.

        Raises:
            EngineError: The runtime failed.
        """
        self.predict(("minnow", "minnow"))

    def close(self) -> None:
        """Free the runtime's memory; scoring fails from then on."""
        self.pipeline.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _logits(self, pairs: list[Pair], given: PredictOptions) -> Floats:
        for name in given:
            if name not in PredictOptions.__annotations__:
                raise TypeError(f"got an unexpected keyword argument {name!r}")
        options = check_options(
            {name: value for name, value in given.items() if name != "activation_fn"},  # type: ignore[arg-type]
            self.embedding,
            self.num_labels,
            self.on_truncate,
        )
        logits = np.empty((len(pairs), self.num_labels), dtype=np.float32)
        start = cut = 0
        with show_progress("scoring", len(pairs), "pairs", show=options.show_progress) as advance:
            for block, found, over in self.pipeline.stream(pairs, options, advance):
                logits[start : start + len(block)] = found
                start, cut = start + len(block), cut + over
        if cut and options.on_truncate == "warn":
            warnings.warn(
                f"{cut} of {len(pairs)} pairs {'is' if cut == 1 else 'are'} longer than "
                f"{self.max_tokens} tokens, the limit of {self.name}; the ends of their texts were "
                "not read. Split documents into chunks.",
                TruncationWarning,
                stacklevel=3,
            )
        return logits


def checked_logits(reranker: Reranker) -> Floats:
    """Score the pairs on which engines are compared: logits, float32 of shape (pairs, labels)."""
    logits: Floats = reranker.predict(CHECKED_PAIRS, activation_fn="identity")
    return logits
