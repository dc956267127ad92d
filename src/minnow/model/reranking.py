"""Reader of the files in which a cross-encoder says how it makes scores of a pair of texts.

Source: `CrossEncoder` of sentence-transformers 6.2 (cross_encoder/model.py), which reads
config_sentence_transformers.json only beside a modules.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from minnow.errors import AmbiguousModelError, InputError, SourceError, UnsupportedModelError
from minnow.model.config import read_object
from minnow.model.config_keys import PIPELINE_KEYS, shown, unknown_keys
from minnow.model.embedding import read_max_tokens
from minnow.model.kinds import scores_pairs
from minnow.model.layout import list_names
from minnow.model.listing import CONFIG, PIPELINE, Listing
from minnow.model.modules import read_modules, refuse_keys
from minnow.model.pairs import PairTemplate
from minnow.model.spec import (
    ChatFrame,
    Choices,
    EmbeddingSpec,
    EncoderSpec,
    PairTruncation,
    RerankingSpec,
    ScoreActivation,
)
from minnow.model.tokenizer_files import gives_token_types, read_tokenizer_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from minnow.model.scorers import Scorer
    from minnow.model.source import ModelSource
    from minnow.model.tokenizer_adoption import SourceTokenizer

SMALLEST_ROOM = 8
"""The fewest tokens that a chat template leaves for the texts of a pair."""

_ACTIVATIONS = {
    "torch.nn.modules.linear.Identity": ScoreActivation.IDENTITY,
    "torch.nn.Identity": ScoreActivation.IDENTITY,
    "torch.nn.modules.activation.Sigmoid": ScoreActivation.SIGMOID,
    "torch.nn.Sigmoid": ScoreActivation.SIGMOID,
}
"""Classes of torch that files name, as far as they are computed here."""


def is_reranker(source: ModelSource) -> bool:
    """Return whether the files of a source are those of a cross-encoder."""
    names = list_names(source.folder) if source.folder.is_dir() else frozenset()
    return scores_pairs(Listing(source.name, names, source.folder)) is not None


def read_reranker(
    source: ModelSource,
    encoder: EncoderSpec,
    tokenizer: SourceTokenizer,
    scorer: Scorer,
    choices: Choices = Choices(),
) -> tuple[EmbeddingSpec, RerankingSpec]:
    """Read how a cross-encoder makes scores.

    Args:
        source: The model's files.
        encoder: The network.
        tokenizer: The model's tokenizer.
        scorer: What makes its logits.
        choices: Settings of the user; `max_tokens` is the only one that a reranker has.

    Returns:
        The way to the logits, and what a reranker adds to it.

    Raises:
        InputError: A choice is made that belongs to embedding models.
        SourceError: A file contradicts itself or another.
        AmbiguousModelError: The files leave a choice open.
        UnsupportedModelError: They ask for something that minnow does not compute.
    """
    _check_choices(choices)
    pipeline = {} if read_modules(source) is None else _read_pipeline(source)
    text = _read_text_options(scorer.limits, source, chats=scorer.chat is not None)
    spec = EmbeddingSpec(
        pooling=scorer.head.pooling,
        joined_poolings=scorer.head.joined,
        normalize=False,
        max_tokens=read_max_tokens(source, {**scorer.limits, **text}, encoder, choices),
        lowercase=bool(scorer.limits.get("do_lower_case", False)),
        prompts={name: text or "" for name, text in (pipeline.get("prompts") or {}).items()},
        default_prompt_name=pipeline.get("default_prompt_name"),
        layers=scorer.head.layers,
    )
    reranking = RerankingSpec(
        labels=scorer.labels,
        activation=_read_activation(pipeline, read_object(source.file(CONFIG)), len(scorer.labels)),
        truncation=PairTruncation(text.get("truncation", PairTruncation.LONGEST_FIRST)),
        segments=scorer.chat is None and _read_segments(source, encoder, tokenizer),
        chat=None if scorer.chat is None else scorer.chat.frame(),
    )
    if reranking.chat is not None:
        _check_frame(source, reranking.chat, tokenizer, spec)
    return spec, reranking


def _check_frame(
    source: ModelSource, frame: ChatFrame, tokenizer: SourceTokenizer, spec: EmbeddingSpec
) -> None:
    if frame.around_prompt is None and any(spec.prompts.values()):
        raise SourceError(f"{source.name} has prompts, and its chat template no place for them.")
    size = PairTemplate.around(tokenizer.content, frame).size
    if spec.max_tokens - size < SMALLEST_ROOM:
        raise InputError(
            f"The chat template of {source.name} alone has {size} tokens, of a limit of "
            f"{spec.max_tokens}. Give a larger limit (`max_tokens=`)."
        )


def _check_choices(choices: Choices) -> None:
    given = [name for name, value in asdict(choices).items() if value is not None]
    foreign = [f"`{name}=`" for name in given if name != "max_tokens"]
    if foreign:
        raise InputError(
            f"{', '.join(foreign)} belong{'s' * (len(foreign) == 1)} to embedding models, and this "
            "is a reranker. Leave it out; `max_tokens=` is the only choice here."
        )


def _read_activation(
    pipeline: Mapping[str, Any], config: Mapping[str, Any], labels: int
) -> ScoreActivation:
    """Read the activation from the newest file that states it; without one, take CrossEncoder's."""
    own = config.get("sentence_transformers")
    own = own if isinstance(own, dict) else {}
    places = (
        (PIPELINE, "activation_fn", pipeline),
        (CONFIG, "activation_fn", own),
        (CONFIG, "sbert_ce_default_activation_function", {} if "activation_fn" in own else config),
    )
    for file, key, content in places:
        named = content.get(key)
        if named is None:
            continue
        if named not in _ACTIVATIONS:
            raise UnsupportedModelError(
                f"{file} asks for {shown(key, named)}, which minnow does not compute; it knows "
                "torch's Identity and Sigmoid."
            )
        return _ACTIVATIONS[named]
    return ScoreActivation.SIGMOID if labels == 1 else ScoreActivation.IDENTITY


def _read_segments(source: ModelSource, encoder: EncoderSpec, tokenizer: SourceTokenizer) -> bool:
    """Read whether the network is given the token types of a pair."""
    types = PairTemplate.of(tokenizer.content).types
    if not encoder.token_types or not any(types):
        return False
    segments = gives_token_types(read_tokenizer_files(source))
    if segments and max(types) >= encoder.token_types:
        raise SourceError(
            f"{source.name}: the tokenizer gives pairs the token type {max(types)}, but the "
            f"network has a table of {encoder.token_types}."
        )
    return segments


_PIPELINE_OF_RERANKERS = (
    "prompts",
    "default_prompt_name",
    "model_type",
    "activation_fn",
    "keep_in_fp32_modules",  # all of them are computed in float32 here
)


def _read_pipeline(source: ModelSource) -> dict[str, Any]:
    path = source.optional_file(PIPELINE)
    config = read_object(path)
    refuse_keys(path, unknown_keys(config, _PIPELINE_OF_RERANKERS, PIPELINE_KEYS))
    prompts, default = config.get("prompts") or {}, config.get("default_prompt_name")
    texts = prompts.values() if isinstance(prompts, dict) else (0,)
    if not all(text is None or isinstance(text, str) for text in texts):
        raise SourceError(f"{path}: prompts should map names to texts.")
    if default is not None and default not in prompts:
        raise SourceError(f"{path}: default_prompt_name {default!r} is not among the prompts.")
    return config


def _read_text_options(
    limits: Mapping[str, Any], source: ModelSource, *, chats: bool
) -> dict[str, Any]:
    """Read what `processing_kwargs` of the Transformer's file says of truncation.

    Args:
        limits: The content of that file.
        source: The model's files.
        chats: Whether a chat template, which may have options there too, makes one text of a pair.

    Returns:
        `truncation` and `max_seq_length`, each where it is stated.
    """
    stated = limits.get("processing_kwargs") or {}
    text = stated.get("text", {}) if isinstance(stated, dict) else stated
    known = ("truncation", "max_length", "padding")
    places = {"text", "chat_template"} if chats else {"text"}
    if not isinstance(text, dict) or set(stated) - places or set(text) - set(known):
        raise UnsupportedModelError(
            f"{source.name} asks for {shown('processing_kwargs', stated)}, of which minnow "
            f"computes text.{', text.'.join(known[:2])}."
        )
    found = {}
    if text.get("max_length") is not None:
        found["max_seq_length"] = text["max_length"]
    truncation = text.get("truncation", True)
    if truncation is False or truncation == "do_not_truncate":
        raise AmbiguousModelError(
            f"{source.name} cuts no text (truncation: {truncation!r}), and no network reads texts "
            "of any length. Set it to longest_first in a copy of the file."
        )
    if truncation is not True:
        names = [each.value for each in PairTruncation][: 1 if chats else None]
        if truncation not in names:
            raise UnsupportedModelError(
                f"{source.name} has truncation {truncation!r}; minnow knows {', '.join(names)}."
            )
        found["truncation"] = truncation
    return found
