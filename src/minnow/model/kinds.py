"""Kinds of repositories and folders that are not embedding models, and what to do with each.

A row of the two tables says how a kind is recognised, what it is, and what its user can do. A kind
that minnow learns to convert loses its row. The first row that fits is what a user is told, before
anything is said of missing files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.errors import UnsupportedModelError
from minnow.model.gguf_header import original_of
from minnow.model.listing import CONFIG, MODULES, PIPELINE, Listing

if TYPE_CHECKING:
    from pathlib import Path

CAUSAL_RERANKERS = ("Qwen3ForCausalLM",)
"""Causal language models that rerank: logits are products of the last state with a table."""

_SAVE_AGAIN = (
    "Save the model again with save_pretrained(folder, safe_serialization=True), or have it "
    "converted by https://huggingface.co/spaces/safetensors/convert and give "
    "`revision=refs/pr/N`."
)


@dataclass(frozen=True)
class Kind:
    """One row of the table.

    Attributes:
        key: The kind's name in code.
        what: What it is, after "NAME is"; `{detail}` is what `detail` returned.
        advice: What to do, in a sentence or two; `{name}` and `{detail}` are filled in.
        detail: Returns a word on the listing if it is of this kind, else None.
    """

    key: str
    what: str
    advice: str
    detail: Callable[[Listing], str | None]

    def message(self, listing: Listing, detail: str) -> str:
        """Return the sentences that tell a user what the listing is."""
        words = {"name": listing.name, "detail": detail}
        return f"{listing.name} is {self.what.format(**words)}. {self.advice.format(**words)}"


def refuse_other_kinds(listing: Listing) -> None:
    """Refuse a repository that is recognised as something other than an embedding model.

    Raises:
        UnsupportedModelError: It is; the message says what it is and what to do.
    """
    _refuse(KINDS, listing)


def refuse_other_weights(listing: Listing) -> None:
    """Refuse a repository without safetensors whose weights are in another form.

    Raises:
        UnsupportedModelError: They are; the message says in which, and what to do.
    """
    _refuse(OTHER_WEIGHTS, listing)


def _refuse(kinds: tuple[Kind, ...], listing: Listing) -> None:
    for kind in kinds:
        detail = kind.detail(listing)
        if detail is not None:
            raise UnsupportedModelError(kind.message(listing, detail))


def describe_file(path: Path) -> str:
    """Say what a file is that was named in place of a model's folder, and what to do."""
    suffix = path.suffix.lower()
    if suffix == ".gguf":
        return f"{path} is a GGUF file. {_gguf_advice(original_of(path))}"
    what, advice = _FILES.get(suffix, ("a file", "Give the folder that holds the model."))
    return f"{path} is {what}. {advice}"


_PICKLE = ("a file of weights, probably a pickle, which can run code", _SAVE_AGAIN)
_ARCHIVE = ("an archive", "Unpack it, and give the folder that holds config.json.")
_FILES = {
    ".safetensors": (
        "the weights of a model",
        "Give the folder that holds them, with config.json.",
    ),
    ".json": ("one file of a model", "Give the folder that holds it."),
    ".onnx": (
        "an ONNX graph",
        "minnow writes its own from the weights: give the folder or the Hub id of the model that "
        "it was exported from.",
    ),
    ".mnn": (
        "an MNN model already",
        "Give the folder or the Hub id of the model that it was made from.",
    ),
    **dict.fromkeys((".bin", ".pt", ".pth", ".ckpt"), _PICKLE),
    **dict.fromkeys((".zip", ".gz", ".tar"), _ARCHIVE),
}
"""Suffix of a file -> what it is, and what to do."""


def _gguf_advice(original: str | None) -> str:
    of = f"{original}, which it was made from" if original else "the original that it was made from"
    return (
        "minnow does not read llama.cpp's weights, which are rounded already: give the folder or "
        f"the Hub id of {of}."
    )


# --- how each kind is recognised -------------------------------------------------------------


def _has_weights(listing: Listing) -> bool:
    return bool(listing.ending(".safetensors", ".safetensors.index.json"))


def _bundle(listing: Listing) -> str | None:
    if "minnow.json" not in listing.names:
        return None
    source = listing.object("minnow.json").get("source")
    name = source.get("name") if isinstance(source, dict) else None
    return str(name) if name else "its source"


def _mnn(listing: Listing) -> str | None:
    if _has_weights(listing):
        return None
    if {"llm_config.json", "llm.mnn", "export.json"} & listing.names:
        return "MNN-LLM"
    return next(iter(listing.ending(".mnn")), None)


def _adapter(listing: Listing) -> str | None:
    if "adapter_config.json" not in listing.names:
        return None
    base = listing.object("adapter_config.json").get("base_model_name_or_path")
    return str(base) if base else "the base model"


def _pipeline_type(*types: str) -> Callable[[Listing], bool]:
    return lambda listing: listing.object(PIPELINE).get("model_type") in types


def _has_module(listing: Listing, *starts: str) -> bool:
    return any(name.startswith(starts) for name in listing.modules)


def scores_pairs(listing: Listing) -> str | None:
    """Recognise a cross-encoder; return the word that says so, or None."""
    config = listing.object(CONFIG)
    own = config.get("sentence_transformers")
    pools = any(name.endswith(".Pooling") for name in listing.modules)  # trained on from a reranker
    known = (
        _pipeline_type("CrossEncoder")(listing)
        or _has_module(listing, "sentence_transformers.cross_encoder.")
        or ("sbert_ce_default_activation_function" in config and not pools)
        or (isinstance(own, dict) and "activation_fn" in own and not pools)
    )
    return "CrossEncoder" if known else _classifier(listing, one_label=True)


def _foreign_reranker(listing: Listing) -> str | None:
    """Recognise a cross-encoder that is in no form that minnow computes."""
    last = [name.rsplit(".", 1)[-1] for name in listing.modules]
    scores = "LogitScore" in last and {*listing.architectures} & {*CAUSAL_RERANKERS}
    known = listing.classifiers or scores or "Pooling" in last
    return None if known else scores_pairs(listing)


def _reranker_without_prompt(listing: Listing) -> str | None:
    """Recognise a causal language model that reranks, by its card, and does not say what it reads.

    Qwen3-Reranker was one before sentence-transformers' files were added to it.
    """
    causal = [name for name in listing.architectures if name.endswith("ForCausalLM")]
    front = listing.text("README.md").split("\n---", 1)[0]
    ranks = re.search(r"^pipeline_tag: *['\"]?text-ranking", front, re.MULTILINE)
    return causal[0] if causal and ranks and MODULES not in listing.names else None


def _classifier(listing: Listing, *, one_label: bool = False) -> str | None:
    """Recognise a model for classes without a pooling; one class is a reranker's score."""
    config = listing.object(CONFIG)
    heads = listing.classifiers
    if not heads or MODULES in listing.names:
        return None
    labels = config.get("id2label")
    count = len(labels) if isinstance(labels, dict) else config.get("num_labels", 2)
    return heads[0] if (count == 1) == one_label else None


def _plain_classifier(listing: Listing) -> str | None:
    return None if scores_pairs(listing) else _classifier(listing)


def _colbert(listing: Listing) -> str | None:
    stated = listing.object(PIPELINE)
    found = (
        _pipeline_type("MultiVectorEncoder", "ColBERT")(listing)
        or _has_module(listing, "sentence_transformers.multi_vector_encoder.", "pylate.")
        or {"query_length", "skiplist_words"} <= stated.keys()
        or any("ColBERT" in name for name in listing.architectures)
        or "artifact.metadata" in listing.names
    )
    return "" if found else None


def _sparse(listing: Listing) -> str | None:
    if _pipeline_type("SparseEncoder")(listing) or _has_module(
        listing, "sentence_transformers.sparse_encoder."
    ):
        return ""
    masked = any(name.endswith("ForMaskedLM") for name in listing.architectures)
    names = (listing.name.rsplit("/", 1)[-1], str(listing.object(CONFIG).get("_name_or_path")))
    front = listing.text("README.md").split("\n---", 1)[0]
    said = any("splade" in text.lower() for text in (*names, front))
    return "" if masked and said and MODULES not in listing.names else None


_IMAGE_TYPES = (
    "clip", "siglip", "siglip2", "chinese_clip", "altclip", "blip", "blip-2", "align", "flava",
    "clip_text_model", "clip_vision_model", "jina_clip", "open_clip", "xclip", "clipseg",
)  # fmt: skip


def _clip(listing: Listing) -> str | None:
    stated = listing.object(CONFIG).get("model_type")
    found = (
        stated in _IMAGE_TYPES
        or any(name.startswith("0_CLIPModel/") for name in listing.names)
        or any(name.rsplit(".", 1)[-1] == "CLIPModel" for name in listing.modules)
        or "open_clip_config.json" in listing.names
    )
    return "" if found else None


def _word_vectors(listing: Listing) -> str | None:
    found = any(name.startswith(("0_WordEmbeddings/", "0_BoW/")) for name in listing.names) or any(
        name.rsplit(".", 1)[-1] in ("WordEmbeddings", "BoW") for name in listing.modules[:1]
    )
    return "" if found else None


def _gguf(listing: Listing) -> str | None:
    files = listing.ending(".gguf") or [f for f in listing.ending(".bin") if f.startswith("ggml")]
    if not files or _has_weights(listing):
        return None
    original = original_of(listing.folder / files[0]) if listing.folder is not None else None
    return _gguf_advice(original)


_OF_TRAINING = ("training_args", "optimizer", "scheduler", "rng_state", "scaler")
_OPENVINO = "openvino_model"


def _only(*suffixes: str) -> Callable[[Listing], str | None]:
    """Recognise weights in files with these suffixes, where there are no safetensors."""

    def found(listing: Listing) -> str | None:
        if _has_weights(listing):
            return None
        other = (*_OF_TRAINING, *([] if ".xml" in suffixes else [_OPENVINO]))
        files = listing.ending(*suffixes)
        return next((f for f in files if not f.rsplit("/", 1)[-1].startswith(other)), None)

    return found


def _named(*names: str) -> Callable[[Listing], str | None]:
    """Recognise a kind by the name of a file."""
    return lambda listing: next((name for name in names if name in listing.names), None)


def _spacy(listing: Listing) -> str | None:
    found = {"config.cfg", "meta.json"} <= listing.names and CONFIG not in listing.names
    return "config.cfg" if found else None


def _dataset(listing: Listing) -> str | None:
    if CONFIG in listing.names or MODULES in listing.names or _has_weights(listing):
        return None
    stated = _named("dataset_dict.json", "dataset_info.json", "dataset_infos.json", "corpus.jsonl")
    rows = listing.ending(".jsonl", ".parquet", ".arrow", ".csv", ".tsv")
    return stated(listing) or (rows[0] if rows else None)


_VECTORS = "minnow converts models that give one vector for a text."

KINDS: tuple[Kind, ...] = (
    Kind(
        "bundle",
        "a minnow bundle already, made from {detail}",
        "Use it as it is: `minnow embed {name}`. To make another, convert {detail}.",
        _bundle,
    ),
    Kind(
        "mnn",
        "a folder for MNN ({detail}), not the model that it was made from",
        "Give the folder or the Hub id of that original, with its safetensors.",
        _mnn,
    ),
    Kind(
        "adapter",
        "a LoRA adapter (adapter_config.json), a small change to {detail}, not a whole model",
        "Merge it into its base and save that: PeftModel.from_pretrained(AutoModel.from_pretrained("
        "BASE), ADAPTER).merge_and_unload().save_pretrained(FOLDER), with the base's other files.",
        _adapter,
    ),
    Kind(
        "reranker",
        "a reranker (a cross-encoder, {detail}) in a form that minnow does not compute",
        "It converts rerankers whose config.json names a class that ends with "
        f"ForSequenceClassification, or {', '.join(CAUSAL_RERANKERS)} where modules.json names "
        "LogitScore, and those whose modules.json names Pooling and Dense.",
        _foreign_reranker,
    ),
    Kind(
        "reranker-without-prompt",
        "a reranker (its card says text-ranking, {detail}) whose files do not say which text it "
        "reads of a pair",
        "Give a revision with modules.json, 1_LogitScore and chat_template.jinja, as Qwen's own "
        'have; or save one: CrossEncoder(MODEL, processor_kwargs={{"chat_template": TEMPLATE}})'
        ".save_pretrained(FOLDER).",
        _reranker_without_prompt,
    ),
    Kind(
        "classifier",
        "a text classifier ({detail}): it gives a score for each class, and no vectors",
        "minnow converts embedding models and rerankers. If it scores pairs of texts, have "
        "sentence-transformers say so: CrossEncoder(MODEL).save_pretrained(FOLDER).",
        _plain_classifier,
    ),
    Kind(
        "colbert",
        "a ColBERT model: it gives a vector for each token, which are compared one by one",
        _VECTORS,
        _colbert,
    ),
    Kind(
        "sparse",
        "a sparse encoder (SPLADE): it gives a weight for each word of its vocabulary",
        _VECTORS,
        _sparse,
    ),
    Kind(
        "image-text",
        "a model of images and texts (CLIP and its relatives)",
        f"{_VECTORS} Its text part alone is not one of those yet.",
        _clip,
    ),
    Kind(
        "word-vectors",
        "a model of word vectors without a network (GloVe, word2vec or a bag of words)",
        "minnow converts transformer encoders only.",
        _word_vectors,
    ),
    Kind(
        "diffusers",
        "a pipeline that makes images ({detail})",
        _VECTORS,
        _named("model_index.json"),
    ),
    Kind("spacy", "a spaCy pipeline ({detail})", _VECTORS, _spacy),
)
"""What a repository is, in the order in which kinds are tried."""

OTHER_WEIGHTS: tuple[Kind, ...] = (
    Kind("gguf", "a model for llama.cpp only (GGUF)", "{detail}", _gguf),
    Kind(
        "dataset",
        "a data set ({detail}), not a model",
        "`minnow evaluate` and `minnow compare` read such folders; give a model here.",
        _dataset,
    ),
    Kind(
        "pickle",
        "a model whose weights are a pickle only ({detail}, no model.safetensors)",
        "A pickle can run code, so minnow reads safetensors only. " + _SAVE_AGAIN,
        _only(".bin", ".pt", ".pth", ".ckpt"),
    ),
    Kind(
        "tensorflow",
        "a model for TensorFlow only ({detail}, no model.safetensors)",
        "With transformers 4 and TensorFlow, AutoModel.from_pretrained(MODEL, from_tf=True)"
        ".save_pretrained(FOLDER) writes the safetensors that minnow reads.",
        _only(".h5", ".pb", ".ckpt.index"),
    ),
    Kind(
        "flax",
        "a model for Flax only ({detail}, no model.safetensors)",
        "With transformers 4 and Flax, AutoModel.from_pretrained(MODEL, from_flax=True)"
        ".save_pretrained(FOLDER) writes the safetensors that minnow reads.",
        _only(".msgpack"),
    ),
    Kind(
        "onnx",
        "a model as an ONNX graph only ({detail}, no model.safetensors)",
        "minnow needs the weights: give the model that it was exported from, which its card names.",
        _only(".onnx"),
    ),
    Kind(
        "other-runtime",
        "a model for another runtime only ({detail}, no model.safetensors)",
        "minnow needs the weights: give the model that it was exported from, which its card names.",
        _only(".xml", ".tflite", ".mlmodel", ".ot", ".npz"),
    ),
)
"""Other forms of weights. They are tried where all files of a repository are listed, and none of
them is safetensors."""
