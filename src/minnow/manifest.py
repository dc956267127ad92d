"""The manifest of a bundle: what it was made from, how, what its proof found, and its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct, field
from msgspec.structs import force_setattr

from minnow.errors import BundleError
from minnow.graph.mnn_file import WEIGHTS
from minnow.model.limits import spec_faults
from minnow.model.spec import (
    Choices,
    EmbeddingSpec,
    EncoderSpec,
    Interface,
    RerankingSpec,
    rebuilt_interface,
)
from minnow.parity import Measure, Parity
from minnow.recipe import Recipe, check_recipe
from minnow.record_json import from_json
from minnow.sealing import FileRecord, check_record

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 8
"""The newest format of a manifest. Format 2 has `truncate_dim`, and format 3 `joined_poolings` and
`layers`, which older readers ignore: they would give other vectors. Format 4 has `include_prompt`,
format 5 `queries`, format 6 `reranking`, whose bundles give scores, format 7 an encoder's
`stream`, which other engines than MNN need, and format 8 a file of an encoder's numbers, or
`powers` of them. A bundle without any of them has format 1, for those readers too."""
MANIFEST = "minnow.json"
ENCODER = "encoder.mnn"
TOKENIZER = "tokenizer.json"
QUERIES = "query"
"""The folder of the files that embed queries, where they have an encoder of their own."""
CARD = "README.md"


class SourceRecord(Struct, frozen=True):
    """Source of the model.

    Attributes:
        name: What the user named.
        kind: hub, folder or package.
        revision: The commit of the Hub, or the version of the package, if there is one.
        model_id: The model's id on the Hub, if known.
        weights_sha256: SHA-256 over the weight files, in name order.
        license: The licence that the source states, if it does.
        tokenizer: The class of transformers that the tokenizer was rebuilt as, and a text whose
            ids the source's tokenizer.json gives otherwise; None where it is the source's own.
        route: The route of the source's router that was converted, if it has one.
    """

    name: str
    kind: str
    revision: str | None
    model_id: str | None
    weights_sha256: str
    license: str | None = None
    tokenizer: str | None = None
    route: str | None = None

    @property
    def title(self) -> str:
        """A short name of the model, for people."""
        return self.model_id or self.name.removeprefix("package:").rsplit("/", 1)[-1]

    @property
    def link(self) -> str:
        """The model's page on the Hub; where none is known, a card's section on attribution."""
        return f"https://huggingface.co/{self.model_id}" if self.model_id else "#attribution"


class FixedShape(Struct, frozen=True):
    """An encoder that takes one shape only, for accelerators that need that.

    Attributes:
        batch: Texts at once.
        tokens: Tokens of each; shorter texts are padded, with mask 0.
        file: Its MNN file in the bundle; inputs and output have the names of encoder.mnn's.
        parity: The figures of its own proof, on the probe texts that fit.
    """

    batch: int
    tokens: int
    file: str
    parity: Parity


class Manifest(Struct, frozen=True):
    """All that is known of a bundle; `minnow.json` is its JSON form.

    Attributes:
        source: Where the model came from.
        encoder: The network.
        embedding: How its vectors are made.
        choices: What the user decided in place of the source's files.
        recipe: How the model was made small.
        parity: The figures of the proof.
        tools: Name -> version of each tool that made the bundle.
        fixed_shapes: Encoders of one shape each, beside encoder.mnn.
        reranking: How a reranker makes scores; None for an embedding model.
        files: Path in the bundle -> size and hash; all files except the manifest itself.
        format: The version of this form: the oldest whose readers give this bundle's vectors.
        queries: The manifest of the encoder of queries, whose files are in QUERIES, where they have
            one of their own; all else is of documents then. Its own files are among `files`.
        default_role: Whose encoder takes a text without a role: "query" or "document"; None where
            none does.
    """

    source: SourceRecord
    encoder: EncoderSpec
    embedding: EmbeddingSpec
    choices: Choices
    recipe: Recipe
    parity: Parity
    tools: Mapping[str, str]
    fixed_shapes: tuple[FixedShape, ...] = ()
    reranking: RerankingSpec | None = None
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    format: int = 1
    queries: Manifest | None = None
    default_role: Literal["query", "document"] | None = "document"

    def __post_init__(self) -> None:
        """Raise the format where readers of an older one would give other vectors."""
        beside = any(name.endswith(f".mnn{WEIGHTS}") for name in self.files)
        if beside or self.encoder.powers or self.encoder.stream > 1:
            force_setattr(self, "format", 8)
        elif self.encoder.stream != 1:
            force_setattr(self, "format", 7)
        elif self.reranking is not None:
            force_setattr(self, "format", 6)
        elif self.queries is not None:
            force_setattr(self, "format", 5)
        elif not self.embedding.include_prompt:
            force_setattr(self, "format", 4)
        elif not self.embedding.head.is_plain:
            force_setattr(self, "format", 3)
        elif self.embedding.truncate_dim is not None:
            force_setattr(self, "format", 2)

    @property
    def encoder_files(self) -> dict[str, FileRecord]:
        """The records of encoder.mnn, and of the file of its numbers where it has one."""
        names = (ENCODER, ENCODER + WEIGHTS)
        return {name: self.files[name] for name in names if name in self.files}

    @property
    def encoder_size(self) -> int:
        """Bytes of `encoder_files`."""
        return sum(record.size for record in self.encoder_files.values())

    @property
    def output(self) -> str:
        """A description of what the encoder gives: dtype, shape, and the length of vectors."""
        if self.reranking is not None:
            return f"float32 of shape (batch, {self.width}), logits"
        if self.recipe.interface is Interface.LAST_HIDDEN_STATE:
            return f"float32 of shape (batch, seq, {self.encoder.width}), to be pooled"
        length = "of length 1" if self.embedding.head.gives_unit_length else "of any length"
        return f"float32 of shape (batch, {self.width}), {length}"

    @property
    def rebuilt_interface(self) -> Interface:
        """The output of a graph for other engines than MNN; see `rebuilt_interface`."""
        return rebuilt_interface(self.embedding, self.reranking)

    @property
    def width(self) -> int:
        """Length of a vector, or the number of a reranker's labels."""
        return self.embedding.head.width(self.encoder.width)


def encoder_file(shape: tuple[int, int]) -> str:
    """Return the name of a fixed shape's encoder in a bundle."""
    return f"encoder-{shape_name(shape)}.mnn"


def shape_name(shape: tuple[int, int]) -> str:
    """Return a shape of batch and tokens as it is written: 1x32."""
    return f"{shape[0]}x{shape[1]}"


def decode_manifest(content: bytes, path: Path) -> Manifest:
    """Read a manifest from the content of its file.

    Args:
        content: The bytes of minnow.json.
        path: The file, for messages.

    Raises:
        BundleError: It is no manifest, or of a newer format; the message names all faults.
    """
    try:
        version = msgspec.json.decode(content, type=dict[str, object]).get("format")
        if isinstance(version, int) and version > FORMAT:
            raise BundleError(
                f"{path} has format {version}; this minnow reads up to {FORMAT}. Update minnow."
            )
        check_record(content, set(Manifest.__struct_fields__))
        manifest = from_json(content, Manifest)
        check_recipe(manifest.recipe)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        reason = str(error).rstrip(".")
        raise BundleError(f"{path} is not a manifest of a bundle: {reason}.") from error
    needed, queries = _needed(manifest), manifest.queries
    if queries is not None:
        needed += [f"{QUERIES}/{name}" for name in _needed(queries)]
    faults = [f"it lists no {name}" for name in needed if name not in manifest.files]
    faults += [f"it lists {name!r}" for name in manifest.files if _escapes(name)]
    faults += _number_faults(manifest)
    if queries is not None:
        faults += [f"of its queries, {fault}" for fault in _number_faults(queries)]
        if queries.width != manifest.width:
            faults.append(f"its vectors have {manifest.width} and {queries.width} numbers")
        if queries.queries is not None or queries.files:
            faults.append("its encoder of queries is a bundle of two again")
    if version not in range(1, FORMAT + 1) or faults:
        faults = faults or [f"its format is {version!r}"]
        raise BundleError(f"{path} is not a manifest of a bundle: {'; '.join(faults)}.")
    return manifest


def _needed(manifest: Manifest) -> list[str]:
    return [ENCODER, TOKENIZER, *(shape.file for shape in manifest.fixed_shapes)]


def _number_faults(manifest: Manifest) -> list[str]:
    """Describe the numbers in a manifest that are out of range or contradict each other."""
    faults = spec_faults(manifest.encoder, manifest.embedding)
    interface = manifest.recipe.interface
    if interface is Interface.LAST_HIDDEN_STATE and not manifest.embedding.head.is_plain:
        faults.append(f"it has layers or several poolings, and gives {interface.value}")
    faults += _kind_faults(manifest)
    bars = [manifest.recipe.bar]
    if manifest.parity.measure is Measure.COSINE:
        bars.append(manifest.parity.bar)
    faults += [f"its bar is {bar}" for bar in bars if not -1 <= bar <= 1]
    for shape in manifest.fixed_shapes:
        name = encoder_file((shape.batch, shape.tokens))
        if min(shape.batch, shape.tokens) < 1 or shape.file != name:
            faults.append(f"it has a fixed shape of {name.removesuffix('.mnn')} in {shape.file!r}")
    faults += [f"{n} has {r.size} bytes" for n, r in manifest.files.items() if r.size < 0]
    return faults


def _kind_faults(manifest: Manifest) -> list[str]:
    """Describe what an embedding model and a reranker have in common, but should not."""
    reranking, interface = manifest.reranking, manifest.recipe.interface
    if (reranking is not None) != (interface is Interface.SCORES):
        has = "no `reranking`" if reranking is None else "`reranking`"
        return [f"it has {has}, and gives {interface.value}"]
    if reranking is None:
        return []
    faults, width = [], manifest.width
    if len(reranking.labels) != width:
        faults.append(f"it names {len(reranking.labels)} labels of {width} logits")
    if manifest.parity.measure is not Measure.DIFFERENCE or not 0 < manifest.parity.bar < 1e6:
        faults.append(f"its logits were compared by {manifest.parity.measure.value}, with a bar of "
                      f"{manifest.parity.bar}")  # fmt: skip
    return faults


def _escapes(name: str) -> bool:
    """Return whether a path leads out of the folder, on any system."""
    return any(
        kind(name).is_absolute() or kind(name).drive or ".." in kind(name).parts
        for kind in (PurePosixPath, PureWindowsPath)
    )
