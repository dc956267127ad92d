"""Options of `encode`, checked, and the words of those of a search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast, get_args

from msgspec import Struct, field

from minnow.engines import EngineArguments
from minnow.errors import InputError
from minnow.outputs import OutputForm

if TYPE_CHECKING:
    from minnow.model.spec import EmbeddingSpec
    from minnow.scores import Activation

OnTruncate = Literal["warn", "error", "ignore"]
Role = Literal["query", "document"]
SearchMode = Literal["vector", "keyword", "hybrid"]
"""Search by meaning, by words, or by both; see `Index.search`."""
SidecarUse = Literal["auto", "always", "codes", "never"]
"""How an index finds the nearest vectors; see `Index`."""

BATCH_SIZE = 32
CANDIDATES = 50
"""Texts that a reranker scores for a query, unless the caller chooses."""
_NO_PROMPTS = {"query": "", "document": ""}


class Fusion(str, Enum):
    """Method of fusing two rankings; see `minnow.indexfile.fusion`.

    SCORES adds the scores, each scaled from the least possible to the greatest found ("TM2C2" in
    the source at VECTOR_WEIGHT). RRF adds 1 / (60 + rank).
    """

    SCORES = "scores"
    RRF = "rrf"


class PeerOptions(TypedDict, total=False):
    """Further arguments of sentence-transformers' `encode` (6.2)."""

    inputs: Any
    sentences: Any
    output_value: str | None
    precision: str | None
    ranges: Any
    convert_to_numpy: bool
    convert_to_tensor: bool
    device: Any
    pool: Any
    chunk_size: int | None


class PeerPredictOptions(TypedDict, total=False):
    """Further arguments of `CrossEncoder.predict` and `rank`."""

    convert_to_numpy: bool
    convert_to_tensor: bool
    device: Any
    pool: Any
    chunk_size: int | None


class PredictOptions(PeerPredictOptions, total=False):
    """The keyword arguments of `Reranker.predict` and `rank`."""

    prompt_name: str | None
    prompt: str | None
    batch_size: int
    show_progress_bar: bool | None
    activation_fn: Activation | None
    on_truncate: OnTruncate | None


class PeerSettings(TypedDict, total=False):
    """Arguments of the class `SentenceTransformer` (6.2)."""

    device: Any
    modules: None
    prompts: Mapping[str, str] | None
    default_prompt_name: str | None
    cache_folder: None
    trust_remote_code: bool
    revision: str | None
    local_files_only: bool
    token: None
    use_auth_token: None
    model_kwargs: None
    processor_kwargs: None
    tokenizer_kwargs: None
    config_kwargs: None
    model_card_data: None
    similarity_fn_name: str | None
    truncate_dim: int | None


class OpenArguments(EngineArguments, PeerSettings, total=False):
    """The keyword arguments of `Embedder.open`."""


_OPENED = "the bundle settles it; choose it when you convert the model"
_HUB = "the Hub's own settings hold: HF_TOKEN, HF_HOME"
_CPU = "a bundle runs on the CPU; see `engine=` and `threads=` of open()"
_ONE_VALUE: dict[str, tuple[tuple[object, ...], str]] = {
    "modules": ((None,), _OPENED),
    "cache_folder": ((None,), "models are kept in $MINNOW_CACHE, and downloads in $HF_HOME"),
    "trust_remote_code": ((False,), "no code of a model is run"),
    "token": ((None,), _HUB),
    "use_auth_token": ((None,), _HUB),
    "model_kwargs": ((None,), _OPENED),
    "processor_kwargs": ((None,), _OPENED),
    "tokenizer_kwargs": ((None,), _OPENED),
    "config_kwargs": ((None,), _OPENED),
    "model_card_data": ((None,), _OPENED),
}
"""The values that each of these arguments may have, and what to do instead of another."""
_BACKENDS_OF_PEER = ("torch", "onnx", "openvino")
"""Those of the class `SentenceTransformer`, its default first; `backend=` is MNN's here."""
_HONOURED = {
    "prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim", "revision",
    "local_files_only",
}  # fmt: skip


class EncodeOptions(TypedDict, total=False):
    """The keyword arguments of `Embedder.encode` that leave its result an array of float32."""

    prompt_name: str | None
    prompt: str | None
    batch_size: int
    show_progress_bar: bool | None
    truncate_dim: int | None
    normalize_embeddings: bool
    on_truncate: OnTruncate | None
    task: Role | None


class PeerEncodeOptions(EncodeOptions, PeerOptions, total=False):
    """All keyword arguments of `Embedder.encode`."""


class Options(Struct, frozen=True):
    """The checked options of one call.

    Attributes:
        prompt: Prefix of each text; may be empty.
        batch_size: Most texts in one forward pass.
        width: Length of the vectors to return.
        normalize: Whether to scale them to length 1.
        on_truncate: What to do about texts over the limit.
        show_progress: Whether to show progress on stderr.
        task: The role of the texts; None where the call has none.
        form: The form of what the call returns.
    """

    prompt: str
    batch_size: int
    width: int
    normalize: bool
    on_truncate: OnTruncate
    show_progress: bool
    task: Role | None = None
    form: OutputForm = field(default_factory=OutputForm)


def check_options(
    given: EncodeOptions,
    embedding: EmbeddingSpec,
    width: int,
    on_truncate: OnTruncate,
) -> Options:
    """Check the arguments of a call, and fill in defaults.

    Args:
        given: The caller's arguments.
        embedding: The model's prompts.
        width: Length of the model's vectors.
        on_truncate: The default for texts over the limit.

    Raises:
        InputError: An argument is out of range, or the model has no such prompt.
    """
    for name in given:
        if name not in PeerEncodeOptions.__annotations__ or name in ("inputs", "sentences"):
            raise TypeError(f"got an unexpected keyword argument {name!r}")
    check_device(cast("PeerEncodeOptions", given).get("device"))
    batch_size, dim = given.get("batch_size", BATCH_SIZE), given.get("truncate_dim")
    policy = given.get("on_truncate") or on_truncate
    for name, number in (("batch_size", batch_size), ("truncate_dim", dim)):
        if isinstance(number, bool) or not isinstance(number, (Integral, type(None))):
            raise InputError(f"{name} should be a whole number, not {number!r:.60}.")
    if batch_size < 1:
        raise InputError(f"batch_size should be at least 1, not {batch_size}.")
    if dim is not None and not 0 < dim <= width:
        raise InputError(f"truncate_dim should be 1 to {width}, the model's width, not {dim}.")
    task = given.get("task")
    if task is not None and task not in get_args(Role):
        raise InputError(f"task should be query or document, not {task!r:.60}.")
    if policy not in get_args(OnTruncate):
        names = ", ".join(get_args(OnTruncate))
        raise InputError(f"on_truncate should be {names}, not {policy!r}.")
    return Options(
        prompt=_prompt(given, embedding),
        batch_size=int(batch_size),
        width=int(dim or width),
        normalize=bool(given.get("normalize_embeddings", False)),
        on_truncate=policy,
        show_progress=bool(given.get("show_progress_bar")),
        task=task,
        form=OutputForm.check(given, int(dim or width)),
    )


def check_device(device: object) -> None:
    """Check that what sentence-transformers calls a device is the CPU, or several times the CPU.

    Several, and a pool of processes, are answered by the sessions that an engine opens by itself.

    Raises:
        InputError: It is another device.
    """
    devices = device if isinstance(device, (list, tuple)) else [device]
    for each in devices:
        if each is not None and str(each).partition(":")[0] != "cpu":
            raise InputError(f"`device={str(each)!r:.60}` is not possible here: {_CPU}.")


def split_arguments(given: OpenArguments) -> tuple[EngineArguments, PeerSettings]:
    """Split the arguments of `open`: fields of `EngineOptions`, and settings that are honoured.

    Raises:
        InputError: A setting of sentence-transformers has a value that is not possible here; the
            message names it and says what to do.
        TypeError: There is no such argument, as Python says it.
    """
    engine: dict[str, object] = {}
    settings: dict[str, object] = {}
    for name, value in given.items():
        if name == "backend" and value in _BACKENDS_OF_PEER:
            if value != _BACKENDS_OF_PEER[0]:
                raise InputError(f"`backend={value!r}` is not possible here: see `engine=`.")
        elif name in EngineArguments.__annotations__:
            engine[name] = value
        elif name in _HONOURED:
            settings[name] = value
        elif name == "device":
            check_device(value)
        elif name not in _ONE_VALUE:
            raise TypeError(f"got an unexpected keyword argument {name!r}")
        else:
            allowed, advice = _ONE_VALUE[name]
            if not any(value is each or (type(value) is str and value == each) for each in allowed):
                raise InputError(
                    f"`{name}={value!r:.60}` is not possible here: {advice}. Leave it out."
                )
    return cast("EngineArguments", engine), cast("PeerSettings", settings)


def check_unset(settings: PeerSettings) -> None:
    """Refuse settings of the class `SentenceTransformer` that a reranker does not have.

    Raises:
        InputError: One is given; the message names it.
    """
    for name, value in settings.items():
        if value is not None and name not in ("revision", "local_files_only"):
            raise InputError(
                f"`{name}={value!r:.60}` is not possible here: {_OPENED}. Leave it out."
            )


def named_texts(texts: str | Iterable[str] | None, options: PeerEncodeOptions) -> Any:
    """Return the texts of a call, which may be named `inputs` or `sentences`; take these out.

    Raises:
        TypeError: There are several.
    """
    named = [options.pop("inputs", None), options.pop("sentences", None)]
    given = [each for each in (texts, *named) if each is not None]
    if len(given) > 1:
        raise TypeError(f"encode takes the texts once, not {len(given)} times")
    return given[0] if given else None


def check_iterable(texts: Iterable[str]) -> Iterable[str]:
    """Check that the argument holds texts, one after the other, and return them.

    Lists, tuples, generators, Series of pandas or polars, arrays of NumPy and pyarrow are taken.
    A mapping or a table is refused: it would yield its keys, or the names of its columns.

    Raises:
        InputError: It is not iterable, or not of one axis; or it is bytes, a mapping, a table, or
            a set, which has no order.
    """
    kind = type(texts)
    if isinstance(texts, (bytes, bytearray, memoryview)):
        raise InputError(f"texts is {kind.__name__}, not a string: decode it first.")
    if isinstance(texts, Mapping):
        raise InputError(
            f"texts is {kind.__name__}, whose keys would be embedded: pass list(texts.values())."
        )
    if hasattr(kind, "columns") or hasattr(kind, "column_names"):
        raise InputError(
            f"texts is {kind.__name__}, whose column names would be embedded: pass one column, "
            "such as texts['text']."
        )
    if isinstance(texts, (set, frozenset)):
        raise InputError(f"texts is {kind.__name__}, which has no order: pass a list.")
    if not isinstance(texts, Iterable):
        raise InputError(f"texts is {kind.__name__}, not a string or several of them.")
    if getattr(texts, "ndim", 1) != 1:
        shape = f" of shape {texts.shape}" if hasattr(texts, "shape") else ""
        raise InputError(
            f"texts is {kind.__name__}{shape}: pass one axis of texts, such as texts.ravel()."
        )
    if hasattr(kind, "to_pylist"):  # pyarrow's arrays yield scalars of their own
        rows: list[str] = texts.to_pylist()  # type: ignore[attr-defined]
        return rows
    return texts


def _prompt(given: EncodeOptions, embedding: EmbeddingSpec) -> str:
    """Return `prompt`, else the prompt named `prompt_name`, else the model's default.

    As in sentence-transformers, every model has prompts named query and document, empty unless
    its files say otherwise.
    """
    prompt, name = given.get("prompt"), given.get("prompt_name")
    if prompt is None:
        prompts = {**_NO_PROMPTS, **embedding.prompts}
        name = embedding.default_prompt_name if name is None else name
        if name is not None and name not in prompts:
            raise InputError(f"There is no prompt named {name!r}; there is {', '.join(prompts)}.")
        return "" if name is None else prompts[name]
    if not isinstance(prompt, str):
        raise InputError(f"prompt is {type(prompt).__name__}, not a string.")
    return prompt


def check_default_prompt(name: str | None, prompts: Mapping[str, str]) -> None:
    """Check that a default prompt is one of the prompts.

    Raises:
        InputError: It is not.
    """
    if name is not None and name not in {**_NO_PROMPTS, **prompts}:
        names = ", ".join({**_NO_PROMPTS, **prompts})
        raise InputError(f"default_prompt_name should be one of {names}, not {name!r:.60}.")


def with_role(role: Role, given: EncodeOptions, embedding: EmbeddingSpec) -> EncodeOptions:
    """Add a role to options, and its prompt to those that choose no prompt themselves.

    A role without a prompt gets an empty one: the default prompt is for plain `encode`.
    """
    if given.get("prompt") is not None or given.get("prompt_name") is not None:
        return {**given, "task": role}
    return {**given, "task": role, "prompt": getattr(embedding.role_prompts, role)}


def is_pair(inputs: object) -> bool:
    """Return whether this is one pair of texts, as `CrossEncoder.is_singular_input` has it."""
    if hasattr(inputs, "ndim"):
        return bool(inputs.ndim == 1 and len(inputs) > 0)  # type: ignore[arg-type]
    return isinstance(inputs, (list, tuple)) and len(inputs) > 0 and isinstance(inputs[0], str)


def check_pairs(inputs: object) -> list[tuple[str, str]]:
    """Check that the argument holds pairs of texts: tuples, lists, or an array of two columns.

    Raises:
        InputError: It holds something else; the message names the first such pair.
    """
    if isinstance(inputs, str):
        raise InputError("inputs is one string; give a pair of them, or several pairs.")
    two_axes = getattr(inputs, "ndim", 1) == 2 and hasattr(inputs, "tolist")
    rows = inputs.tolist() if two_axes else check_iterable(inputs)  # type: ignore[arg-type, attr-defined]
    pairs = []
    for number, row in enumerate(rows):
        pair = tuple(row.tolist() if hasattr(row, "tolist") else row) if _holds(row) else ()
        if len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise InputError(f"Pair {number} should be two strings, not {row!r:.60}.")
        pairs.append(pair)
    return pairs


def _holds(row: object) -> bool:
    return isinstance(row, (list, tuple)) or getattr(row, "ndim", 0) == 1
