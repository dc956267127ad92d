"""Reader of static models: a table with a vector for each token, and no network.

Two libraries write them. `StaticEmbedding` of sentence-transformers averages the rows of all
tokens of a text. model2vec leaves unknown tokens out, and cuts texts at `max_length` tokens; a
repository whose config.json says model2vec is read as that. Neither adds special tokens.

Source: sentence-transformers 6.2 (modules/static_embedding.py) and model2vec 0.10.0 (model.py and
persistence/).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import AmbiguousModelError, CheckpointError, SourceError, UnsupportedModelError
from minnow.model.checkpoint import open_weights, weight_files
from minnow.model.config import read_json, read_object
from minnow.model.config_keys import NETWORK_KEYS, unknown_keys
from minnow.model.layout import list_names
from minnow.model.listing import CONFIG, MODULES, Listing
from minnow.model.modules import Module, read_modules
from minnow.model.spec import STATIC, Activation, EncoderSpec
from minnow.model.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minnow.model.source import ModelSource

LONGEST = 8192
"""Tokens of a text, where the model itself has no limit."""
_DEFAULT_LIMIT = 512  # of model2vec
_KEYS = (
    "normalize", "max_length", "tokenizer_name", "apply_pca", "apply_zipf", "sif_coefficient",
    "hidden_dim", "seq_length", "pooling", "embedding_dtype", "vocabulary_quantization",
)  # fmt: skip
"""Keys of model2vec's config.json: the first two are read, the others say how it was distilled."""


def is_static(source: ModelSource) -> bool:
    """Return whether a source is a static model."""
    if source.route is not None:
        return (read_modules(source) or (None,))[0] == Module("StaticEmbedding", source.network)
    return Listing(source.name, list_names(source.folder), source.folder).is_static


def is_model2vec(source: ModelSource) -> bool:
    """Return whether model2vec wrote a source."""
    return read_object(source.optional_file(CONFIG)).get("model_type") == "model2vec"


def read_static_spec(source: ModelSource) -> EncoderSpec:
    """Describe a static model's table, and the longest text in tokens.

    Raises:
        SourceError: A file cannot be read, or `max_length` is no number of tokens.
        UnsupportedModelError: config.json has a key of unknown effect.
        CheckpointError: There is no table in the weights.
        MissingExtraError: The extra `convert` is not installed.
    """
    rows, width = read_static_table(source).shape
    return EncoderSpec(
        family=STATIC,
        vocab_size=rows,
        width=width,
        layers=0,
        heads=1,
        inner_width=1,
        positions=_limit(source),
        position_offset=0,
        token_types=0,
        activation=Activation.RELU,
        layer_norm_eps=0.0,
        pad_token_id=0,
    )


def _limit(source: ModelSource) -> int:
    if not is_model2vec(source):
        return LONGEST
    path = source.file(CONFIG)
    config = read_object(path)
    faults = unknown_keys(config, _KEYS, NETWORK_KEYS)
    if faults:
        raise UnsupportedModelError(
            f"{path} asks for {', '.join(faults)}, which minnow does not compute."
        )
    limit = config.get("max_length", _DEFAULT_LIMIT)
    if limit is None:
        return LONGEST
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 3:
        raise SourceError(f"{path}: max_length should be at least 3 or null, not {limit!r}.")
    return min(limit, LONGEST)


def static_normalizes(source: ModelSource, stated: bool | None) -> bool:
    """Return whether vectors are scaled to length 1.

    Args:
        source: The model's files.
        stated: Whether modules.json ends with Normalize; None without that file.

    Raises:
        AmbiguousModelError: config.json and modules.json contradict each other.
    """
    if not is_model2vec(source):
        return bool(stated)
    path = source.file(CONFIG)
    config = read_object(path)
    found = config.get("normalize", False if stated is None else stated)
    if not isinstance(found, bool):
        raise SourceError(f"{path}: normalize should be true or false, not {found!r}.")
    if stated is not None and found is not stated:
        raise AmbiguousModelError(
            f"{path} says normalize: {json.dumps(found)}, and {MODULES} the opposite. Give "
            "`normalize=True` or `normalize=False`."
        )
    return found


def dropped_ids(source: ModelSource) -> tuple[int, ...]:
    """Return the ids of tokens that a static model leaves out: the unknown token of model2vec."""
    if not is_model2vec(source):
        return ()
    tokenizer = load_tokenizer(source.file("tokenizer.json"))
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    token = model.get("unk_token")
    found = model.get("unk_id") if token is None else tokenizer.token_to_id(token)
    return () if found is None else (int(found),)


def read_static_table(source: ModelSource) -> NDArray[np.float32]:
    """Read the row of each token: float32 of shape (tokens, width).

    model2vec may store a table of fewer rows, the row of each token (`mapping`), and a factor for
    each token (`weights`).

    Raises:
        CheckpointError: A tensor is missing, left over, misshapen, or not of numbers.
        MissingExtraError: The extra `convert` is not installed.
    """
    (path,) = weight_files(source)
    with open_weights(path, source.name) as handle:
        stored = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    table = stored.pop("embedding.weight", None)
    table = stored.pop("embeddings", None) if table is None else table
    mapping, weights = stored.pop("mapping", None), stored.pop("weights", None)
    faults = [f"{name} is left over" for name in sorted(stored)]
    if table is None or table.ndim != 2:
        faults.append("there is no table embedding.weight or embeddings of two axes")
    elif mapping is not None and not _are_rows(mapping, len(table)):
        faults.append("mapping names rows that embeddings does not have")
    if table is not None and not faults:
        rows = table.astype(np.float32)
        rows = rows if mapping is None else rows[mapping]
        if weights is not None and weights.shape != (len(rows),):
            faults.append(f"weights has shape {weights.shape}, not {(len(rows),)}")
        elif weights is not None:
            rows = rows * weights.astype(np.float32)[:, None]
        if not np.isfinite(rows).all():
            faults.append("the table holds NaN or infinity")
        if not faults:
            found: NDArray[np.float32] = np.ascontiguousarray(rows, dtype=np.float32)
            return found
    raise CheckpointError(f"{source.name}: {path.name}: {'; '.join(faults)}.")


def _are_rows(mapping: NDArray[Any], rows: int) -> bool:
    return (
        mapping.ndim == 1
        and np.issubdtype(mapping.dtype, np.integer)
        and bool(((mapping >= 0) & (mapping < rows)).all())
    )


def check_static_tokenizer(source: ModelSource, encoder: EncoderSpec) -> None:
    """Check that the tokenizer fits the table, row by row.

    Raises:
        SourceError: It has an id without a row, or cannot be read.
    """
    path = source.file("tokenizer.json")
    vocabulary = load_tokenizer(path).get_vocab(with_added_tokens=True)
    token, highest = max(vocabulary.items(), key=lambda row: row[1], default=("", -1))
    if highest >= encoder.vocab_size:
        raise SourceError(
            f"{path} does not fit its model: {token!r} has id {highest}, but the table has "
            f"{encoder.vocab_size} rows."
        )


def static_tokenizer(source: ModelSource) -> bytes:
    """Return a static model's tokenizer.json as a bundle has it: without special tokens."""
    content = read_json(source.file("tokenizer.json"))
    content["post_processor"] = None
    return json.dumps(content, ensure_ascii=False).encode()
