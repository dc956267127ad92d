"""Reader of modules.json and of the modules' own configurations, of sentence-transformers 1 to 6.

A key that changes vectors is honoured or refused by name, and so is a key that no table has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from minnow.errors import SourceError, SourceNotFoundError, UnsupportedModelError
from minnow.model.config import read_json, read_object
from minnow.model.config_keys import (
    LOADING_KEYS,
    MODULE_ROW_KEYS,
    TRANSFORMER_KEYS,
    shown,
    unknown_keys,
)
from minnow.model.layout import SENTENCE_CONFIGS
from minnow.model.listing import MODULES
from minnow.model.router import refuse_routes, routed_rows
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.model.source import ModelSource

FIRST = ("Transformer", "Pooling")
STATIC_FIRST = ("StaticEmbedding",)
"""The modules that come first, one each, in this order."""
LAYERS = ("Dense", "LayerNorm", "Normalize", "Dropout")
"""The modules that may follow them, in any order and number; Dropout changes no vector."""


@dataclass(frozen=True)
class Module:
    """A row of modules.json.

    Attributes:
        kind: The class, `Pooling` for sentence-transformers' own; all of any other name.
        folder: Its folder, "" for the root.
    """

    kind: str
    folder: str


LOGIT_SCORE = "LogitScore"
"""The last module of a causal language model that reranks; see `minnow.model.logit_score`."""


def read_modules(source: ModelSource) -> tuple[Module, ...] | None:
    """Read the modules, in the order in which they run; None where there is no modules.json.

    Raises:
        SourceError: modules.json is not a list of modules.
        UnsupportedModelError: It names a module, an order, a place or a key that minnow does not
            compute.
    """
    path = source.optional_file(MODULES)
    if path is None:
        return None
    rows = read_json(path)
    refuse_routes(source)
    if source.route is not None:
        rows = routed_rows(source, rows, source.route)
    try:
        modules = tuple(Module(_kind(str(row["type"])), _folder(row["path"])) for row in rows)
    except (TypeError, KeyError) as error:
        raise SourceError(f"{path} should be a list of modules with type and path.") from error
    kinds = [module.kind for module in modules]
    starts = STATIC_FIRST if kinds[:1] == list(STATIC_FIRST) else FIRST
    foreign = sorted(set(kinds) - {*starts, *LAYERS, LOGIT_SCORE})
    first = [kind for kind in kinds if kind in starts]
    if foreign or len(set(first)) != len(first):
        raise UnsupportedModelError(
            f"{path} names modules that minnow does not compute: "
            f"{', '.join(foreign) or 'the same one twice'}. It understands one each of "
            f"{' and '.join(FIRST)}, then {', '.join(LAYERS)}."
        )
    in_order = kinds[: len(first)] == [kind for kind in starts if kind in kinds]
    if not in_order or any(m.kind == starts[0] and m.folder != source.network for m in modules):
        where = f"the folder {source.network}" if source.network else "the root folder"
        shown_modules = ", ".join(f"{module.kind} in {module.folder!r}" for module in modules)
        raise UnsupportedModelError(
            f"{path} should name the Transformer in {where}, where the weights are, then Pooling, "
            f"then the others, not {shown_modules}."
        )
    _check_rows(rows, path)
    return modules


def _kind(name: str) -> str:
    kind = name.rsplit(".", 1)[-1] if name.startswith("sentence_transformers.") else name
    scores = name.startswith("sentence_transformers.cross_encoder.")
    return name if kind == LOGIT_SCORE and not scores else kind


def _folder(path: object) -> str:
    folder = str(path).replace("\\", "/").strip("/").removeprefix("./")
    return "" if folder == "." else folder


def _check_rows(rows: list[dict[str, Any]], path: Path) -> None:
    faults = [fault for row in rows for fault in unknown_keys(row, MODULE_ROW_KEYS, _ROW)]
    faults += [shown("kwargs", row["kwargs"]) for row in rows if row.get("kwargs")]
    names = [row["name"] for row in rows if "name" in row]
    if len(set(map(str, names))) != len(names):
        faults.append("two modules of one name, of which sentence-transformers keeps the last")
    refuse_keys(path, faults)


_ROW = ("type", "path", "kwargs")


def refuse_keys(path: Path | None, faults: list[str]) -> None:
    """Refuse a file for the keys that ask for more than minnow computes, or that are unknown."""
    if faults:
        raise UnsupportedModelError(
            f"{path} asks for {', '.join(faults)}, which minnow does not compute."
        )


# --- the Transformer ---------------------------------------------------------------------

_PLAIN: Mapping[str, tuple[object, ...]] = {
    "query_length": (),
    "document_length": (),
    "query_expansion": (),
    "tokenizer_name_or_path": (),
}
"""Keys of the Transformer -> their only values besides null that ask for nothing."""


@dataclass(frozen=True)
class TransformerTask:
    """What a Transformer is loaded for, in the words of its own file.

    Attributes:
        plain: Further keys -> their only values besides null.
        output: The output of transformers' class that is taken.
        messages: Whether it takes messages, which a chat template makes a text of. Where it does,
            sentence-transformers makes messages of all texts.
    """

    plain: Mapping[str, tuple[object, ...]]
    output: str
    messages: Literal["never", "perhaps", "always"] = "never"


EMBEDDING = TransformerTask(
    {
        "transformer_task": ("feature-extraction",),
        "module_output_name": ("token_embeddings",),
        "processing_kwargs": ({},),
    },
    "last_hidden_state",
    messages="perhaps",
)
POOLED_SCORES = replace(EMBEDDING, messages="never")
"""A cross-encoder that pools."""
CLASSIFICATION = TransformerTask(
    {"transformer_task": ("sequence-classification",), "module_output_name": ("scores",)},
    "logits",
    messages="perhaps",
)
"""A cross-encoder, which takes `processing_kwargs` too; see `minnow.model.reranking`."""
GENERATION = TransformerTask(
    {"transformer_task": ("text-generation",), "module_output_name": ("causal_logits",)},
    "logits",
    messages="always",
)
"""A causal language model that reranks; see `minnow.model.logit_score`."""

_LOADING = {
    **dict.fromkeys(("model_args", "model_kwargs", "config_args", "config_kwargs"), LOADING_KEYS),
    **dict.fromkeys(("tokenizer_args", "processor_kwargs"), ("use_fast", "trust_remote_code")),
}
_LIMITS = ("max_seq_length", "do_lower_case", "modality_config")


def read_limits(source: ModelSource, task: TransformerTask = EMBEDDING) -> dict[str, Any]:
    """Read the Transformer's own file: `max_seq_length` and `do_lower_case`, each optional.

    Raises:
        SourceError: It is not a JSON object.
        UnsupportedModelError: It asks for more than minnow computes; the message names the keys.
    """
    paths = [p for name in SENTENCE_CONFIGS if (p := source.optional_file(name))]
    for path in paths:
        limits = read_object(path)
        if limits:  # an empty one is passed over, as sentence-transformers does
            refuse_keys(path, _transformer_faults(limits, task))
            return limits
    return {}


def _transformer_faults(limits: dict[str, Any], task: TransformerTask) -> list[str]:
    only = {**_PLAIN, **task.plain}
    processing = () if "processing_kwargs" in only else ("processing_kwargs",)
    faults = unknown_keys(limits, only, _LOADING, _LIMITS, TRANSFORMER_KEYS, processing)
    faults += [
        shown(key, limits[key])
        for key, plain in only.items()
        if limits.get(key) not in (None, *plain)
    ]
    for key, known in _LOADING.items():
        given = limits.get(key) or {}
        if not isinstance(given, dict):
            faults.append(shown(key, given))
        else:
            faults += [f"{key}.{fault}" for fault in unknown_keys(given, known)]
    modalities = limits.get("modality_config")
    if modalities is not None:
        text = modalities.get("text") if isinstance(modalities, dict) else None
        method = {"method": "forward", "method_output_name": task.output}
        chat = modalities.get("message") if isinstance(modalities, dict) else None
        formats = ({**method, "format": "flat"}, {**method, "format": "structured"})
        allowed: tuple[object, ...] = {
            "never": (None,), "perhaps": (None, *formats), "always": formats,
        }[task.messages]  # fmt: skip
        if text != method:
            faults.append(shown("modality_config", modalities))
        elif chat not in allowed:
            faults.append(f"modality_config.{shown('message', chat)}")
    elif task.messages == "always":
        faults.append("modality_config: null")
    return faults


def reads_messages(limits: Mapping[str, Any]) -> bool:
    """Return whether a Transformer makes one text of a pair with a chat template.

    Args:
        limits: What `read_limits` read of it.
    """
    return "message" in (limits.get("modality_config") or {})


# --- Pooling and Normalize ---------------------------------------------------------------

_POOLING_FLAGS = {
    "pooling_mode_cls_token": Pooling.CLS,
    "pooling_mode_max_tokens": Pooling.MAX,
    "pooling_mode_mean_tokens": Pooling.MEAN,
    "pooling_mode_mean_sqrt_len_tokens": Pooling.MEAN_SQRT_LEN,
    "pooling_mode_weightedmean_tokens": Pooling.WEIGHTED_MEAN,
    "pooling_mode_lasttoken": Pooling.LAST_TOKEN,
}
_POOLING_KEYS = (
    "pooling_mode",
    "embedding_dimension",
    "word_embedding_dimension",
    "include_prompt",
)


def pooling_modes(config: Mapping[str, Any], path: Path, width: int) -> list[Pooling]:
    """Read the ways to pool that a Pooling module's configuration asks for.

    Both schemas of sentence-transformers are read: `pooling_mode`, and a flag for each mode.

    Args:
        config: The content of the module's config.json.
        path: The file, for messages.
        width: Length of a token state.

    Raises:
        SourceError: It is made for token states of another length.
        UnsupportedModelError: It names a pooling or a key that minnow does not know.
    """
    modes = _modes(config, path)
    off = [key for key, on in config.items() if key.startswith("pooling_mode_") and not on]
    refuse_keys(path, unknown_keys(config, _POOLING_KEYS, _POOLING_FLAGS, off))
    stated = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    if stated is not None and stated != width:
        raise SourceError(f"{path} is made for width {stated}, but the model's is {width}.")
    return modes


def pools_prompt(config: Mapping[str, Any], path: Path | None) -> bool:
    """Read whether a Pooling module pools the tokens of a prompt too.

    Raises:
        SourceError: It says neither yes nor no.
    """
    pools = config.get("include_prompt", True)
    if not isinstance(pools, bool):
        raise SourceError(f"{path}: include_prompt should be true or false, not {pools!r}.")
    return pools


def _modes(config: Mapping[str, Any], path: Path) -> list[Pooling]:
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


def check_normalize(source: ModelSource, folder: str) -> None:
    """Check that a Normalize module normalises the vector, in place.

    Raises:
        UnsupportedModelError: It reads or writes something else, or has a key of unknown effect.
    """
    path = source.optional_file(f"{folder}/config.json") if folder else None
    config = read_object(path)
    keys = ("module_input_name", "module_output_name")
    faults = unknown_keys(config, keys)
    faults += [
        shown(key, config[key])
        for key in keys
        if config.get(key) not in (None, "sentence_embedding")
    ]
    refuse_keys(path, faults)


def module_config(source: ModelSource, module: Module) -> Path:
    """Locate a module's config.json.

    Raises:
        SourceNotFoundError: It is missing: the copy of the model is not complete.
    """
    path = source.optional_file(f"{module.folder}/config.json") if module.folder else None
    if path is None:
        raise SourceNotFoundError(
            f"{source.name} has no {module.folder}/config.json, which its {MODULES} names: the "
            "copy is not complete. Copy or download the folder again, with its subfolders."
        )
    return path
