"""Reader of the files in which sentence-transformers writes how a model's vectors are made.

Nothing is guessed: a choice that they leave open is an error, which names the option to give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minnow.errors import AmbiguousModelError, SourceError, UnsupportedModelError
from minnow.model.config import read_json, read_object
from minnow.model.layout import SENTENCE_CONFIGS
from minnow.model.prompts import known_prompts
from minnow.model.spec import (
    DOCUMENT_PROMPT_NAMES,
    QUERY_PROMPT_NAMES,
    Choices,
    EmbeddingSpec,
    EncoderSpec,
)
from minnow.vectors import Pooling, Similarity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from minnow.model.source import ModelSource

_POOLING_FLAGS = {
    "pooling_mode_cls_token": Pooling.CLS,
    "pooling_mode_max_tokens": Pooling.MAX,
    "pooling_mode_mean_tokens": Pooling.MEAN,
    "pooling_mode_mean_sqrt_len_tokens": Pooling.MEAN_SQRT_LEN,
    "pooling_mode_weightedmean_tokens": Pooling.WEIGHTED_MEAN,
    "pooling_mode_lasttoken": Pooling.LAST_TOKEN,
}


def read_embedding_spec(
    source: ModelSource, encoder: EncoderSpec, choices: Choices = Choices()
) -> EmbeddingSpec:
    """Read pooling, normalisation, limits and prompts from the sentence-transformers files.

    Args:
        source: The model's files.
        encoder: Its hyperparameters, for limits and widths.
        choices: Settings that replace those of the files.

    Raises:
        AmbiguousModelError: The files leave pooling or normalisation open, or contradict
            themselves; the message names the option to give.
        UnsupportedModelError: The pipeline has a module that minnow does not compute.
    """
    modules = _read_modules(source)
    limits = _read_limits(source)
    prompts, default_prompt, prompts_source, similarity = _read_prompts(source, choices)
    return EmbeddingSpec(
        pooling=choices.pooling or _read_pooling(source, modules, encoder),
        normalize=_read_normalize(source, modules, choices),
        max_tokens=_read_max_tokens(source, limits, encoder, choices),
        lowercase=bool(limits.get("do_lower_case", False)),
        prompts=prompts,
        default_prompt_name=default_prompt,
        similarity=similarity,
        prompts_source=prompts_source,
    )


_PLAIN_LIMITS = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "query_length": None,
    "document_length": None,
    "query_expansion": None,
}


def _read_limits(source: ModelSource) -> dict[str, Any]:
    """Read the Transformer module's own file; since sentence-transformers 6 it can ask for more."""
    path = next((p for name in SENTENCE_CONFIGS if (p := source.optional_file(name))), None)
    limits = read_object(path)
    foreign = [
        f"{key} {limits[key]!r}"
        for key, plain in _PLAIN_LIMITS.items()
        if limits.get(key) not in (None, plain)
    ]
    if foreign:
        raise UnsupportedModelError(
            f"{path} asks for {', '.join(foreign)}, which minnow does not compute."
        )
    return limits


_MODULES = ("Transformer", "Pooling", "Normalize")


def _read_modules(source: ModelSource) -> dict[str, str] | None:
    """Read module class (`Transformer`, `Pooling`, `Normalize`) -> folder; None without a file."""
    path = source.optional_file("modules.json")
    if path is None:
        return None
    content = read_json(path)
    try:
        kinds = {_module_kind(str(row["type"])): str(row["path"]) for row in content}
    except (TypeError, KeyError) as error:
        raise SourceError(f"{path} should be a list of modules with type and path.") from error
    foreign = sorted(set(kinds) - set(_MODULES))
    if foreign or len(kinds) != len(content):
        raise UnsupportedModelError(
            f"{path} names modules that minnow does not compute: "
            f"{', '.join(foreign) or 'the same one twice'}. "
            "It understands one each of Transformer, Pooling and Normalize."
        )
    if list(kinds) != [kind for kind in _MODULES if kind in kinds] or kinds.get("Transformer"):
        raise UnsupportedModelError(
            f"{path} should name the Transformer in the root folder (an empty path), then Pooling, "
            f"then Normalize, not {', '.join(f'{k} in {p!r}' for k, p in kinds.items())}."
        )
    return kinds


def _module_kind(name: str) -> str:
    """Return `Pooling` for `sentence_transformers.(...).Pooling`, but all of any other name."""
    return name.rsplit(".", 1)[-1] if name.startswith("sentence_transformers.") else name


def _read_pooling(
    source: ModelSource, modules: dict[str, str] | None, encoder: EncoderSpec
) -> Pooling:
    options = f"Give `pooling={'|'.join(p.value for p in Pooling)}`."
    folder = "1_Pooling" if modules is None else modules.get("Pooling")
    path = None if folder is None else source.optional_file(f"{folder}/config.json")
    if path is None:
        lacks = f"no {folder}/config.json" if folder else "modules.json names no Pooling"
        raise AmbiguousModelError(
            f"{source.name} does not say how its token states are pooled ({lacks}). {options}"
        )
    config = read_object(path)
    modes = _pooling_modes(config, path)
    if len(modes) != 1:
        named = ", ".join(mode.value for mode in modes) or "none"
        raise AmbiguousModelError(f"{path} asks for {named} of the poolings at once. {options}")
    if config.get("include_prompt", True) is not True:
        raise UnsupportedModelError(
            f"{path} leaves the prompt out of pooling, which minnow does not support."
        )
    width = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    if width is not None and width != encoder.width:
        raise SourceError(f"{path} is made for width {width}, but the model's is {encoder.width}.")
    return modes[0]


def _pooling_modes(config: dict[str, Any], path: Path) -> list[Pooling]:
    """Read either schema of sentence-transformers: `pooling_mode`, or older booleans per mode."""
    if "pooling_mode" in config:
        named = config["pooling_mode"]
        try:
            return [Pooling(mode) for mode in ([named] if isinstance(named, str) else named)]
        except (ValueError, TypeError) as error:
            raise UnsupportedModelError(f"{path}: unknown pooling_mode {named!r}.") from error
    foreign = [
        key
        for key, on in config.items()
        if key.startswith("pooling_mode_") and on and key not in _POOLING_FLAGS
    ]
    if foreign:
        raise UnsupportedModelError(f"{path}: unknown pooling {', '.join(foreign)}.")
    return [mode for key, mode in _POOLING_FLAGS.items() if config.get(key)]


def _read_normalize(source: ModelSource, modules: dict[str, str] | None, choices: Choices) -> bool:
    if choices.normalize is not None:
        return choices.normalize
    if modules is None:
        raise AmbiguousModelError(
            f"{source.name} has no modules.json, so it does not say whether its vectors are "
            "scaled to length 1. Give `normalize=True` or `normalize=False`."
        )
    return "Normalize" in modules


def _read_max_tokens(
    source: ModelSource, limits: dict[str, Any], encoder: EncoderSpec, choices: Choices
) -> int:
    if choices.max_tokens is not None:
        if not 2 < choices.max_tokens <= encoder.max_positions:
            raise SourceError(
                f"`max_tokens={choices.max_tokens}` is outside of 3 to {encoder.max_positions}, "
                f"the positions of {source.name}."
            )
        return choices.max_tokens
    limit = limits.get("max_seq_length")
    if limit is None:
        tokenizer = read_object(source.optional_file("tokenizer_config.json"))
        limit = tokenizer.get("model_max_length", encoder.max_positions)
    if not isinstance(limit, (int, float)) or not min(limit, encoder.max_positions) >= 3:
        raise AmbiguousModelError(
            f"{source.name} states a limit of {limit!r} tokens. Give `max_tokens=`."
        )
    return int(min(limit, encoder.max_positions))


def read_prompts(source: ModelSource, choices: Choices = Choices()) -> Mapping[str, str]:
    """Read the named prompts alone, of any sentence-transformers model.

    Args:
        source: The model's files.
        choices: Settings that replace those of the files.

    Raises:
        AmbiguousModelError: No prompt is named for queries or documents.
    """
    return _read_prompts(source, choices)[0]


def _read_prompts(
    source: ModelSource, choices: Choices
) -> tuple[dict[str, str], str | None, str, Similarity]:
    name = "config_sentence_transformers.json"
    path = source.optional_file(name)
    config = read_object(path)
    prompts = config.get("prompts") or {}
    default = config.get("default_prompt_name")
    if not isinstance(prompts, dict) or not all(isinstance(p, str) for p in prompts.values()):
        raise SourceError(f"{path}: prompts should map names to texts.")
    if default is not None and default not in prompts:
        raise SourceError(f"{path}: default_prompt_name {default!r} is not among the prompts.")
    origin = name if any(prompts.values()) else "none"
    known = known_prompts(source.model_id) if source.model_id else None
    if known is not None and origin == "none":
        prompts = {**prompts, "query": known.query, "document": known.document}
        origin = known.source
    for role, text in (("query", choices.query_prompt), ("document", choices.document_prompt)):
        if text is not None:
            prompts = {**prompts, role: text}
            origin = "given by the user"
    if any(prompts.values()) and not set(prompts) & {*QUERY_PROMPT_NAMES, *DOCUMENT_PROMPT_NAMES}:
        raise AmbiguousModelError(
            f"{path} names the prompts {', '.join(prompts)}, but not which of them is for queries "
            "or documents. Give `query_prompt=` and `document_prompt=` (each may be empty)."
        )
    return dict(prompts), default, origin, _read_similarity(config, path)


def _read_similarity(config: dict[str, Any], path: Path | None) -> Similarity:
    named = config.get("similarity_fn_name") or Similarity.COSINE.value
    try:
        return Similarity(named)
    except ValueError as error:
        raise UnsupportedModelError(f"{path}: unknown similarity_fn_name {named!r}.") from error
