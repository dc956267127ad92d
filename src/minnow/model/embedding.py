"""Reader of the files in which sentence-transformers writes how a model's vectors are made.

Nothing is guessed: a choice that they leave open is an error, which names the option to give.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.errors import AmbiguousModelError, SourceError, UnsupportedModelError
from minnow.model.chat import check_messages
from minnow.model.config import read_object
from minnow.model.config_keys import PIPELINE_KEYS, shown, unknown_keys
from minnow.model.families import family_named
from minnow.model.head import Head
from minnow.model.layers import read_layers
from minnow.model.listing import MODULES, PIPELINE
from minnow.model.modules import (
    module_config,
    pooling_modes,
    pools_prompt,
    read_limits,
    read_modules,
    reads_messages,
)
from minnow.model.prompts import KNOWN_PROMPTS, identify
from minnow.model.spec import (
    DOCUMENT_PROMPT_NAMES,
    QUERY_PROMPT_NAMES,
    STATIC,
    Choices,
    EmbeddingSpec,
    EncoderSpec,
)
from minnow.model.static import dropped_ids, static_normalizes
from minnow.vectors import Pooling, Similarity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from minnow.model.modules import Module
    from minnow.model.prompts import KnownPrompts
    from minnow.model.source import ModelSource


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
    modules = read_modules(source)
    limits = read_limits(source)
    if reads_messages(limits):
        towers = None if encoder.family == STATIC else family_named(encoder.family).towers
        check_messages(source, limits, towers.processor if towers else None)
    pipeline = _read_pipeline(source)
    prompts, prompts_source = _read_prompts(source, pipeline, choices)
    is_table = encoder.family == STATIC
    pooling = None if is_table else _pooling_config(source, modules)
    if choices.pooling or is_table:
        poolings: tuple[Pooling, ...] = (choices.pooling or Pooling.MEAN,)
    else:
        poolings = _read_poolings(source, pooling, encoder)
    layers, normalizes = read_layers(source, encoder.width * len(poolings))
    head = Head(poolings[0], joined=poolings[1:], layers=layers)
    if is_table and choices.normalize is None:
        normalize = static_normalizes(source, None if modules is None else normalizes)
    else:
        normalize = _read_normalize(source, modules, choices, stated=normalizes)
    return EmbeddingSpec(
        pooling=head.pooling,
        joined_poolings=head.joined,
        layers=layers,
        unpooled_ids=dropped_ids(source) if is_table else (),
        include_prompt=is_table or _includes_prompt(source, pooling),
        normalize=normalize,
        max_tokens=read_max_tokens(source, limits, encoder, choices),
        lowercase=bool(limits.get("do_lower_case", False)),
        prompts=prompts,
        default_prompt_name=pipeline.config.get("default_prompt_name"),
        similarity=_read_similarity(pipeline),
        prompts_source=prompts_source,
        truncate_dim=_read_truncation(pipeline, head.width(encoder.width)),
    )


def _pooling_config(source: ModelSource, modules: tuple[Module, ...] | None) -> Path | None:
    """Locate the configuration of the Pooling module; None where there is none."""
    if modules is None:
        return source.optional_file("1_Pooling/config.json")
    module = next((module for module in modules if module.kind == "Pooling"), None)
    return None if module is None else module_config(source, module)


def _read_poolings(
    source: ModelSource, path: Path | None, encoder: EncoderSpec
) -> tuple[Pooling, ...]:
    options = f"Give `pooling={'|'.join(p.value for p in Pooling)}`."
    if path is None:
        has_modules = source.optional_file(MODULES) is not None
        lacks = "modules.json names no Pooling" if has_modules else "no 1_Pooling/config.json"
        raise AmbiguousModelError(
            f"{source.name} does not say how its token states are pooled ({lacks}). {options}"
        )
    modes = pooling_modes(read_object(path), path, encoder.width)
    if not modes:
        raise AmbiguousModelError(f"{path} asks for none of the poolings. {options}")
    return tuple(modes)


def _includes_prompt(source: ModelSource, path: Path | None) -> bool:
    """Read whether a prompt is pooled; sentence-transformers knows three models that leave it out.

    Source: `SentenceTransformer.__init__` of sentence-transformers 6.2.
    """
    return pools_prompt(read_object(path), path) and source.model_id not in _INSTRUCTORS


_INSTRUCTORS = ("hkunlp/instructor-base", "hkunlp/instructor-large", "hkunlp/instructor-xl")


def _read_normalize(
    source: ModelSource, modules: tuple[Module, ...] | None, choices: Choices, *, stated: bool
) -> bool:
    if choices.normalize is not None:
        return choices.normalize
    if modules is None:
        raise AmbiguousModelError(
            f"{source.name} has no modules.json, so it does not say whether its vectors are "
            "scaled to length 1. Give `normalize=True` or `normalize=False`."
        )
    return stated


def read_max_tokens(
    source: ModelSource, limits: Mapping[str, Any], encoder: EncoderSpec, choices: Choices
) -> int:
    """Read the longest input in tokens, special tokens included.

    Args:
        source: The model's files.
        limits: What `read_limits` read of them.
        encoder: The network, whose positions end the input too.
        choices: Settings that replace those of the files.

    Raises:
        SourceError: The user's limit is out of range.
        AmbiguousModelError: The files state no limit, or none that can be.
    """
    if choices.max_tokens is not None:
        if not 2 < choices.max_tokens <= encoder.max_positions:
            raise SourceError(
                f"`max_tokens={choices.max_tokens}` is outside of 3 to {encoder.max_positions}, "
                f"the positions of {source.name}."
            )
        return choices.max_tokens
    if encoder.family == STATIC:
        return encoder.max_positions
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
    return _read_prompts(source, _read_pipeline(source), choices)[0]


@dataclass(frozen=True)
class _Pipeline:
    """config_sentence_transformers.json: where it is, and its content."""

    path: Path | None
    config: dict[str, Any]


_PIPELINE = (
    "prompts",
    "default_prompt_name",
    "similarity_fn_name",
    "truncate_dim",
    "model_type",
)


def _read_pipeline(source: ModelSource) -> _Pipeline:
    path = source.optional_file(PIPELINE)
    config = read_object(path)
    faults = unknown_keys(config, _PIPELINE, PIPELINE_KEYS)
    if config.get("model_type") not in (None, "SentenceTransformer"):
        faults.append(shown("model_type", config["model_type"]))
    if faults:
        raise UnsupportedModelError(
            f"{path} asks for {', '.join(faults)}, which minnow does not compute."
        )
    return _Pipeline(path, config)


def _read_truncation(pipeline: _Pipeline, width: int) -> int | None:
    """Read `truncate_dim`; one that keeps the whole vector is None."""
    kept = pipeline.config.get("truncate_dim")
    if kept is None:
        return None
    if not isinstance(kept, int) or isinstance(kept, bool) or kept < 1:
        raise SourceError(f"{pipeline.path}: truncate_dim should be at least 1, not {kept!r}.")
    return kept if kept < width else None


def _read_prompts(
    source: ModelSource, pipeline: _Pipeline, choices: Choices
) -> tuple[dict[str, str], str]:
    """Return the named prompts, and where they were found."""
    path, config = pipeline.path, pipeline.config
    prompts, default = config.get("prompts") or {}, config.get("default_prompt_name")
    texts = prompts.values() if isinstance(prompts, dict) else (0,)
    if not all(text is None or isinstance(text, str) for text in texts):
        raise SourceError(f"{path}: prompts should map names to texts.")
    prompts = {name: text or "" for name, text in prompts.items()}  # null: no prompt
    if default is not None and default not in prompts:
        raise SourceError(f"{path}: default_prompt_name {default!r} is not among the prompts.")
    origin = PIPELINE if any(prompts.values()) else "none"
    given = {"query": choices.query_prompt, "document": choices.document_prompt}
    if (
        origin == "none"
        and source.route is None
        and (known := _known_prompts(source, warn=given["query"] is None))
    ):
        prompts = {**prompts, "query": known.query, "document": known.document}
        origin = known.source
    for role, text in given.items():
        if text is not None:
            prompts = {**prompts, role: text}
            origin = "given by the user"
    if any(prompts.values()) and not set(prompts) & {*QUERY_PROMPT_NAMES, *DOCUMENT_PROMPT_NAMES}:
        raise AmbiguousModelError(
            f"{path} names the prompts {', '.join(prompts)}, but not which of them is for queries "
            "or documents. Give `query_prompt=` and `document_prompt=` (each may be empty)."
        )
    return prompts, origin


def _known_prompts(source: ModelSource, *, warn: bool) -> KnownPrompts | None:
    """Return the prompts of a model that is known for certain; warn where it only may be one."""
    identity = identify(source)
    if identity is None:
        return None
    known = KNOWN_PROMPTS[identity.model_id]
    if identity.certain:
        return known
    if warn:
        warnings.warn(
            f"{source.name} may need prompts, and its files state none: {identity.evidence} "
            f"{identity.model_id}, whose queries begin with {known.query!r}"
            + (f" and documents with {known.document!r}" if known.document else "")
            + f" ({known.source}). Give `query_prompt=` and `document_prompt=`, or an empty "
            "`query_prompt=` if it needs none.",
            stacklevel=2,
        )
    return None


def _read_similarity(pipeline: _Pipeline) -> Similarity:
    named = pipeline.config.get("similarity_fn_name") or Similarity.COSINE.value
    try:
        return Similarity(named)
    except ValueError as error:
        raise UnsupportedModelError(
            f"{pipeline.path}: unknown similarity_fn_name {named!r}."
        ) from error
